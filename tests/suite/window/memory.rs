//! What the window costs, and that it costs nothing when it is closed.

use e2e::desktop::memory::Memory;
use e2e::harness::app_path;
use e2e::patience::until;
use serde_json::json;

use crate::tray::Stage;

/// So often it is opened before anything is measured: what is loaded once stays.
const WARM: usize = 3;

/// So often it is opened between two measurements; `cargo xtask bench` does it more often.
const CYCLES: u64 = 30;

/// A page that is not let go of costs about 210 KiB each time; allocators settle within some MiB, and what WebKit itself
/// leaves behind, about 20 KiB a page, is among them.
const SETTLING: u64 = 4096;
const GROWTH: u64 = 16;

async fn open_and_close(stage: &Stage) {
    stage.tray.click("Open").await;
    let window = stage.desktop.screen.window("Codex Proxy").await;
    until("a page", async || web_processes(stage).first().map(drop)).await;
    stage.desktop.screen.close(&window);
    stage.desktop.screen.no_window().await;
    until("the end of the page's process", async || web_processes(stage).is_empty().then_some(())).await;
}

fn web_processes(stage: &Stage) -> Vec<String> {
    stage.desktop.running().into_iter().filter(|line| line.contains("WebKitWebProcess")).collect()
}

#[tokio::test]
async fn a_closed_window_leaves_no_process_and_no_growth() {
    let stage = Stage::set(&json!({})).await;
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
    let grown = course.last().unwrap().saturating_sub(course[0]);
    assert!(grown < SETTLING + GROWTH * CYCLES, "{grown} KiB more after {CYCLES} times: {course:?}");
    stage.ready().await;
    stage.quit().await;
}
