//! The memory of the window, and that it is freed when the window closes.

use e2e::desktop::Window;
use e2e::desktop::memory::{Memory, slope};
use e2e::harness::{Setup, app_path};
use e2e::patience::until;
use serde_json::json;

use crate::tray::Stage;

/// How often the window is opened. The first half fills caches and allocators. Only the second half counts.
const OPENINGS: usize = 60;

/// The largest allowed growth per opening, in KiB. Allocators get and free about 700 KiB at once. Over thirty values this
/// looks like a growth of up to 35. A page that is not freed costs 115 or more. Smaller leaks, such as a text view with 20,
/// would need hundreds of openings to be visible, so the test also counts pages and text views.
const GROWTH: f64 = 75.0;

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

/// The log lines of the application about each page so far, after this text.
fn said(stage: &Stage, about: &str) -> Vec<String> {
    let log = stage.app.log_text();
    log.lines().filter_map(|line| Some(line.split_once(about)?.1.trim().to_owned())).collect()
}

#[tokio::test]
async fn a_closed_window_leaves_no_process_and_no_growth() {
    let setup = Setup::fake(&json!({})).env("PROXY_LOG", "info,codex_proxy_app::tauri_shell=debug");
    let stage = Stage::with(setup).await;
    stage.ready().await;
    assert!(web_processes(&stage).is_empty(), "there is no page before somebody opens one");
    let pid = stage.app.pid().unwrap().as_raw_nonzero().get();
    // A page of a file is private only while no other process maps it.
    let own_memory = || Memory::of(pid, &app_path().display().to_string()).anonymous;
    let mut course = Vec::new();
    for _ in 0..OPENINGS {
        open_and_close(&stage).await;
        course.push(own_memory());
    }
    let count = |about: &'static str| {
        let stage = &stage;
        async move {
            until(about, async || Some(said(stage, about)).filter(|lines| lines.len() >= OPENINGS)).await
        }
    };
    let (made, gone) = (count("a page was made").await, count("a page was let go of").await);
    assert_eq!([made.len(), gone.len()], [OPENINGS; 2]);
    // The one before may just be going.
    assert!(made.iter().all(|page| ["earlier=0", "earlier=1"].contains(&page.as_str())), "{made:?}");
    assert!(gone.iter().all(|page| page.ends_with("left=0")), "{gone:?}");
    let growth = slope(&course[OPENINGS / 2..]);
    assert!(growth < GROWTH, "{growth} KiB more each time: {course:?}");
    stage.ready().await;
    stage.quit().await;
}

/// The memory of the application and of everything that it has started, in KiB.
fn whole(stage: &Stage) -> u64 {
    let program = app_path().display().to_string();
    stage.desktop.processes().iter().map(|(pid, _)| Memory::of(*pid, &program).total).sum()
}

/// How much more a closed window may leave than one that was never opened, in KiB.
const LEFT: u64 = 20 * 1024;

#[tokio::test]
async fn a_window_that_was_closed_for_a_while_leaves_little() {
    let stage = Stage::set(&json!({})).await;
    stage.ready().await;
    let before = whole(&stage);
    for _ in 0..2 {
        open_and_close(&stage).await;
        until("the end of the web engine", async || {
            let left = stage.desktop.running().iter().any(|line| line.contains("WebKit"));
            (!left).then_some(())
        })
        .await;
        until("little memory", async || {
            let after = whole(&stage);
            (after <= before + LEFT).then_some(())
        })
        .await;
    }
    // And it still opens.
    let window = open(&stage).await;
    stage.desktop.screen.focus(&window).await;
    close(&stage, &window).await;
    stage.ready().await;
    stage.quit().await;
}

#[tokio::test]
async fn windows_may_follow_each_other_at_once() {
    let stage = Stage::set(&json!({})).await;
    stage.ready().await;
    for _ in 0..OPENINGS {
        let window = open(&stage).await;
        close(&stage, &window).await;
    }
    no_page(&stage).await;
    stage.ready().await;
    stage.quit().await;
}
