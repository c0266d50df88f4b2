//! The tray application on a separate desktop: its start, its window, its memory. Codex is the fake one.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use e2e::desktop::memory::Memory;
use e2e::desktop::{Desktop, Tray};
use e2e::harness::{Proxy, Setup, app_path};
use e2e::patience::until;
use serde_json::json;

use crate::Options;
use crate::os;
use crate::report::{Report, Times};

const SECTION: &str = "the tray application";

/// The number of memory measurements while the window is opened and closed.
const LOOKS: usize = 5;

pub(crate) async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let desktop = Desktop::start().await;
    let tray = desktop.tray().await;
    start(options, report, &desktop, &tray).await?;
    window(options, report, &desktop, &tray).await?;
    desktop.end().await;
    Ok(())
}

/// As people have it: the keys are the proxy's own.
fn setup() -> Setup {
    Setup::fake(&json!({})).env("PROXY_API_KEY", "")
}

async fn start(options: &Options, report: &mut Report, desktop: &Desktop, tray: &Tray) -> Result<()> {
    let (mut icon, mut ready) = (Times::default(), Times::default());
    for _ in 0..options.starts {
        let begin = Instant::now();
        let app = desktop.app(setup()).arg("--hidden").spawn();
        tray.item().await;
        icon.push(begin.elapsed());
        let app = app.listening().await.ready(true).await;
        ready.push(begin.elapsed());
        quit(app, tray).await?;
    }
    report.times(SECTION, "start until the icon is in the tray", &icon);
    report.times(SECTION, "start until requests are answered", &ready);
    Ok(())
}

async fn window(options: &Options, report: &mut Report, desktop: &Desktop, tray: &Tray) -> Result<()> {
    let app = desktop.app(setup()).arg("--hidden").start().await;
    tray.wait_for_icon("ready").await;
    let pid = app.pid().context("the application runs")?.as_raw_nonzero().get();
    let program = app_path().display().to_string();
    let record = |report: &mut Report, when: &str| {
        let memory = Memory::of(pid, &program);
        let mut value = |what: &str, kib: u64| {
            report.value(SECTION, format!("{when}: {what}"), "MiB", kib as f64 / 1024.0);
        };
        value("PSS", memory.total);
        value("of the system's files", memory.system_files);
        value("its own", memory.own());
    };
    record(report, "never opened");
    let idle = cpu_while_idle(pid, options.idle).await?;
    report.value(SECTION, "never opened, idle: CPU", "%", idle);
    let mut shown = Times::default();
    for cycle in 0..=options.windows {
        if cycle > 0 && cycle % (options.windows / LOOKS).max(1) == 0 {
            record(report, &format!("opened and closed {cycle} times"));
        }
        if cycle == options.windows {
            break;
        }
        let begin = Instant::now();
        tray.click("Open").await;
        let window = desktop.screen.window("Codex Proxy").await;
        shown.push(begin.elapsed());
        desktop.screen.close(&window);
        desktop.screen.no_window().await;
        // The last one ends when the application has given back what it can.
        until("the end of the web engine", async || {
            (!desktop.running().iter().any(|line| line.contains("WebKit"))).then_some(())
        })
        .await;
    }
    report.times(SECTION, "Open until the window is on the screen", &shown);
    let idle = cpu_while_idle(pid, options.idle).await?;
    report.value(SECTION, "closed, idle: CPU", "%", idle);
    record(report, "closed, after that");
    quit(app, tray).await
}

/// The share of one processor that a process takes while nothing happens.
async fn cpu_while_idle(pid: i32, time: Duration) -> Result<f64> {
    let pid = pid.unsigned_abs();
    let (begin, before) = (Instant::now(), os::cpu_time(pid)?);
    tokio::time::sleep(time).await;
    Ok((os::cpu_time(pid)? - before).as_secs_f64() / begin.elapsed().as_secs_f64() * 100.0)
}

async fn quit(mut app: Proxy, tray: &Tray) -> Result<()> {
    tray.click("Quit").await;
    let status = app.exit().await;
    anyhow::ensure!(status.success(), "the application ended with {status}");
    tray.empty().await;
    Ok(())
}
