//! The package for Debian: installed, started from the desktop's menu, used, replaced by a newer one, and removed while
//! it runs. Installing is root's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::desktop::{Desktop, Tray};
use e2e::harness::{Proxy, Setup};
use e2e::patience::until;
use serde_json::json;

use super::{ENTRY, NAME, bundle, newer, run, said};

const APP: &str = "/usr/bin/codex-proxy-app";

/// The installed package is removed when the test ends, also after a failure.
pub(super) struct Installed;

impl Installed {
    pub(super) fn of(package: &Path) -> Self {
        // Nothing else is looked for: what it depends on is what the build needs too.
        run(Command::new("dpkg").arg("--install").arg(package));
        Self
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        let removed = Command::new("dpkg").args(["--purge", NAME]).output();
        let is_gone = removed.as_ref().is_ok_and(|output| output.status.success());
        assert!(is_gone || std::thread::panicking(), "the package {NAME} is still installed: {removed:?}");
    }
}

/// All tray tests with the installed application. Only one sign-in can run at a time, because it needs a fixed port.
fn use_the_tray() {
    let mut suite = Command::new(std::env::current_exe().unwrap());
    suite.args(["tray::", "--skip", "tray::sign_in", "--test-threads", "2"]);
    let output = run(suite.env("E2E_APP_BIN", APP));
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!report.contains("running 0 tests"), "{report}");
}

/// Starts the application as the menu does. What is returned has ended by itself, or soon will have.
async fn launch(desktop: &Desktop, tray: &Tray) -> Proxy {
    let path = desktop.env().into_iter().find(|(name, _)| name == "PATH").unwrap().1;
    let setup = desktop.app(Setup::fake(&json!({}))).env("PATH", &format!("{path}:/usr/bin"));
    let launch = setup.program(PathBuf::from("/usr/bin/gio")).arg("launch").arg(ENTRY).spawn();
    tray.item().await;
    tray.wait_for_menu("readiness", |menu| menu.starting("Ready at ").is_some()).await;
    launch
}

/// The processes of the application on this desktop that run the file which is installed now.
fn running(desktop: &Desktop) -> Vec<String> {
    let lines = desktop.running();
    lines.into_iter().filter(|line| line.starts_with(APP) || line.starts_with("codex-proxy-app")).collect()
}

/// Whether some process still runs a file that has been replaced or removed.
fn is_outdated(program: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut programs = processes.filter_map(|process| fs::read_link(process.path().join("exe")).ok());
    programs.any(|found| found.to_string_lossy() == format!("{program} (deleted)"))
}

#[tokio::test]
async fn it_is_installed_used_replaced_and_removed() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("installing a package is root's");
        return;
    }
    let installed = Installed::of(&bundle("deb"));
    let desktop = Desktop::start().await;
    let tray = desktop.tray().await;
    let launched = launch(&desktop, &tray).await;
    let menu = tray.wait_for_menu("readiness", |menu| menu.starting("Ready at ").is_some()).await;
    let address = menu.starting("Ready at ").unwrap().label.trim_start_matches("Ready at ").to_owned();
    let models = reqwest::get(format!("{address}/models")).await.unwrap();
    assert_eq!(models.status(), 200);
    assert_eq!(running(&desktop).len(), 1, "{:?}", desktop.running());
    tray.click("Quit").await;
    tray.empty().await;
    until("the end of all that was started", async || desktop.running().is_empty().then_some(())).await;
    drop(launched);
    use_the_tray();

    let launched = launch(&desktop, &tray).await;
    // With a window, as WebKit takes signals of its own then.
    tray.click("Open").await;
    desktop.screen.window("Codex Proxy").await;
    let page = || desktop.running().iter().any(|line| line.contains("WebKitWebProcess"));
    until("the page", async || page().then_some(())).await;
    let folder = tempfile::tempdir().unwrap();
    let upgraded = run(Command::new("dpkg").arg("--install").arg(newer(folder.path())));
    assert!(!said(&upgraded).contains("version before"), "{}", said(&upgraded));
    until("the new version to run", async || (!is_outdated(APP)).then_some(())).await;
    tray.wait_for_menu("readiness again", |menu| menu.starting("Ready at ").is_some()).await;
    assert_eq!(running(&desktop).len(), 1, "{:?}", desktop.running());

    let removed = run(Command::new("dpkg").args(["--remove", NAME]));
    assert!(!said(&removed).contains("still runs"), "{}", said(&removed));
    assert_eq!(running(&desktop), [""; 0], "removing waits for the end of what runs");
    tray.empty().await;
    assert!(!Path::new(APP).exists());
    drop(launched);
    desktop.end().await;
    drop(installed);
}
