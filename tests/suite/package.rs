//! The package for Debian: installed, started from the desktop's menu, used, and removed again.
//!
//! `cargo xtask test` packs it before. Installing is root's; who is not gets the package unpacked and read instead.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use e2e::codex_bin::profile_dir;
use e2e::desktop::Desktop;
use e2e::harness::Setup;
use e2e::patience::until;
use serde_json::json;

const NAME: &str = "codex-proxy";
const ENTRY: &str = "/usr/share/applications/Codex Proxy.desktop";

fn package() -> PathBuf {
    let folder = profile_dir().join("bundle").join("deb");
    let found = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut packages = found.filter(|path| path.extension().is_some_and(|kind| kind == "deb"));
    packages
        .next()
        .unwrap_or_else(|| panic!("no package in {}: run `cargo xtask dist --debug`", folder.display()))
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}\n{}{}", text(&output.stdout), text(&output.stderr));
    output
}

/// What was installed goes when the test ends, however it ends.
struct Installed;

impl Installed {
    fn of(package: &Path) -> Self {
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

#[test]
fn it_holds_all_that_it_should_and_names_what_it_needs() {
    let package = package();
    let field = |name: &str| {
        let output = run(Command::new("dpkg-deb").arg("--field").arg(&package).arg(name));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(field("Package"), NAME);
    assert_eq!(field("Version"), env!("CARGO_PKG_VERSION"));
    let needs = field("Depends");
    for library in ["libwebkit2gtk-4.1-0", "libgtk-3-0", "libayatana-appindicator3-1"] {
        assert!(needs.contains(library), "{needs}");
    }
    let folder = tempfile::tempdir().unwrap();
    run(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(folder.path()));
    let inside = |path: &str| folder.path().join(path.trim_start_matches('/'));
    for file in [
        "/usr/bin/codex-proxy",
        "/usr/bin/codex-proxy-app",
        "/usr/share/man/man1/codex-proxy.1",
        "/usr/share/bash-completion/completions/codex-proxy",
        "/usr/share/icons/hicolor/128x128/apps/codex-proxy-app.png",
        ENTRY,
    ] {
        assert!(inside(file).is_file(), "{file} is missing");
    }
    run(Command::new("desktop-file-validate").arg(inside(ENTRY)));
    let version = run(Command::new(inside("/usr/bin/codex-proxy")).arg("--version"));
    assert!(String::from_utf8_lossy(&version.stdout).contains(env!("CARGO_PKG_VERSION")));
}

/// All that is tried with the tray, with what is installed; a sign-in needs a port that there is one of.
fn use_the_tray() {
    let mut suite = Command::new(std::env::current_exe().unwrap());
    suite.args(["tray::", "--skip", "tray::sign_in", "--test-threads", "2"]);
    let output = run(suite.env("E2E_APP_BIN", "/usr/bin/codex-proxy-app"));
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!report.contains("running 0 tests"), "{report}");
}

#[tokio::test]
async fn it_is_installed_and_started_from_the_menu() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("installing a package is root's");
        return;
    }
    let installed = Installed::of(&package());
    let desktop = Desktop::start().await;
    let tray = desktop.tray().await;
    let path = desktop.env().into_iter().find(|(name, _)| name == "PATH").unwrap().1;
    let setup = desktop.app(Setup::fake(&json!({}))).env("PATH", &format!("{path}:/usr/bin"));
    // It starts the application and ends.
    let launch = setup.program(PathBuf::from("/usr/bin/gio")).arg("launch").arg(ENTRY).spawn();
    tray.item().await;
    let menu = tray.wait_for_menu("readiness", |menu| menu.starting("Ready at ").is_some()).await;
    let address = menu.starting("Ready at ").unwrap().label.trim_start_matches("Ready at ").to_owned();
    let models = reqwest::get(format!("{address}/models")).await.unwrap();
    assert_eq!(models.status(), 200);
    let running = desktop.running();
    assert!(
        running
            .iter()
            .any(|line| line.starts_with("/usr/bin/codex-proxy-app") || line.starts_with("codex-proxy-app")),
        "{running:?}"
    );

    tray.click("Quit").await;
    tray.empty().await;
    until("the end of all that was started", async || desktop.running().is_empty().then_some(())).await;
    drop(launch);
    desktop.end().await;
    use_the_tray();
    drop(installed);
    assert!(!Path::new("/usr/bin/codex-proxy-app").exists());
}
