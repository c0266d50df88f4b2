//! What the window costs, and that it costs nothing when it is closed.

use e2e::desktop::Window;
use e2e::desktop::memory::Memory;
use e2e::harness::{Setup, app_path};
use e2e::patience::until;
use serde_json::json;

use crate::tray::Stage;

/// So often it is opened before anything is measured: what is loaded once stays, and allocators settle.
const WARM: usize = 16;

/// So often it is opened while it is measured.
const CYCLES: usize = 40;

/// Between one time and the next, in KiB. A page that is not let go of is about 210. The text view in which WebKitGTK looks
/// keys up is about 20, too little to be told from what allocators do, so the application is asked about those.
const GROWTH: i64 = 8;

async fn open(stage: &Stage) -> Window {
    stage.tray.click("Open").await;
    stage.desktop.screen.window("Codex Proxy").await
}

async fn close(stage: &Stage, window: &Window) {
    stage.desktop.screen.close(window);
    stage.desktop.screen.no_window().await;
}

async fn no_page(stage: &Stage) {
    until("the end of the page's process", async || web_processes(stage).is_empty().then_some(())).await;
}

async fn open_and_close(stage: &Stage) {
    let window = open(stage).await;
    until("a page", async || web_processes(stage).first().map(drop)).await;
    close(stage, &window).await;
    no_page(stage).await;
}

fn web_processes(stage: &Stage) -> Vec<String> {
    stage.desktop.running().into_iter().filter(|line| line.contains("WebKitWebProcess")).collect()
}

/// What is usual between one and the next; an allocator that takes some MiB once is not.
fn median_step(course: &[u64]) -> i64 {
    let mut steps: Vec<i64> =
        course.windows(2).map(|pair| pair[1].cast_signed() - pair[0].cast_signed()).collect();
    steps.sort_unstable();
    steps[steps.len() / 2]
}

#[tokio::test]
async fn a_closed_window_leaves_no_process_and_no_growth() {
    let setup = Setup::fake(&json!({})).env("PROXY_LOG", "info,codex_proxy_app::shell=debug");
    let stage = Stage::with(setup).await;
    stage.ready().await;
    assert!(web_processes(&stage).is_empty(), "there is no page before somebody opens one");
    for _ in 0..WARM {
        open_and_close(&stage).await;
    }
    let pid = stage.app.pid().unwrap().as_raw_nonzero().get();
    // Pages of files are private only while nobody else has them.
    let own_memory = || Memory::of(pid, &app_path().display().to_string()).anonymous;
    let mut course = vec![own_memory()];
    for _ in 0..CYCLES {
        open_and_close(&stage).await;
        course.push(own_memory());
    }
    let step = median_step(&course);
    assert!(step < GROWTH, "{step} KiB more each time: {course:?}");
    let log = stage.app.log_text();
    let pages: Vec<&str> = log.lines().filter(|line| line.contains("a page was let go of")).collect();
    assert_eq!(pages.len(), WARM + CYCLES, "{pages:?}");
    assert!(pages.iter().all(|page| page.contains("text_views=1 left=0")), "{pages:?}");
    stage.ready().await;
    stage.quit().await;
}

#[tokio::test]
async fn windows_may_follow_each_other_at_once() {
    let stage = Stage::set(&json!({})).await;
    stage.ready().await;
    for _ in 0..CYCLES {
        let window = open(&stage).await;
        close(&stage, &window).await;
    }
    no_page(&stage).await;
    stage.ready().await;
    stage.quit().await;
}
