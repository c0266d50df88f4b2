//! The application, installed as version N, updates itself to N+1, and returns to N if N+1 does not start.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::codex_bin::profile_dir;
use e2e::desktop::{Desktop, Notification, Notifications, Tray};
use e2e::harness::{Proxy, Setup};
use e2e::patience::{until, within};
use serde_json::json;
use tempfile::TempDir;

use super::installed::Installed;
use super::{NAME, bundle, run, said};
use crate::channel::{Channel, as_version};

const APP: &str = "/usr/bin/codex-proxy-app";
const THIS: &str = env!("CARGO_PKG_VERSION");
const NEXT: &str = "9.0.0";
const DEB: &str = "linux-x86_64-deb";
const IMAGE: &str = "linux-x86_64-appimage";
/// How long a package may take to be installed on a busy machine.
const INSTALLING: Duration = Duration::from_secs(180);
/// How long the new version may take, in seconds, in tests where it never starts.
const SOON: &str = "3";

/// A desktop on which an installed application runs that has a release channel.
struct Stage {
    desktop: Desktop,
    tray: Tray,
    notifications: Notifications,
    channel: Channel,
    /// The process that was started first, and what all have printed.
    first: Proxy,
    program: PathBuf,
}

impl Stage {
    /// Starts `program`, which finds on its PATH what is in `tools`.
    async fn set(program: &Path, tools: &Path, settings: &[(&str, &str)]) -> Self {
        let channel = Channel::open().await;
        channel.offer("0.0.0", IMAGE, b"nothing newer");
        let desktop = Desktop::start().await;
        let (tray, notifications) = (desktop.tray().await, desktop.notifications().await);
        let path = desktop.env().into_iter().find(|(name, _)| name == "PATH").unwrap().1;
        let path = format!("{}:{path}:/usr/sbin:/usr/bin:/sbin:/bin", tools.display());
        let setup = desktop.app(Setup::fake(&json!({}))).program(program.to_owned()).arg("--hidden");
        let setup = setup.env("PATH", &path).env("CODEX_PROXY_TEST_CHANNEL", &channel.setting());
        let setup = settings.iter().fold(setup, |setup, (name, value)| setup.env(name, value));
        let first = setup.start().await;
        let stage = Self { desktop, tray, notifications, channel, first, program: program.to_owned() };
        stage.ready().await;
        stage
    }

    async fn ready(&self) {
        self.tray.wait_for_menu("readiness", |menu| menu.starting("Ready at ").is_some()).await;
    }

    /// Lets the application look for updates and install the one that it finds.
    async fn install(&self, version: &str) {
        let line = format!("Install version {version} and restart");
        self.look().await;
        self.tray.wait_for_menu(&line, |menu| menu.find(&line).is_some()).await;
        self.tray.click(&line).await;
    }

    async fn look(&self) {
        let idle =
            |menu: &e2e::desktop::MenuItem| menu.find("Check for updates").is_some_and(|item| item.enabled);
        self.tray
            .wait_for_menu("an end of the first look", |menu| {
                idle(menu) || menu.starting("Install version").is_some()
            })
            .await;
        if self.tray.menu().await.find("Check for updates").is_some() {
            self.tray.click("Check for updates").await;
        }
    }

    async fn told(&self, summary: &str) -> Notification {
        self.notifications.wait_for(summary, |one| one.summary == summary).await
    }

    fn times_told(&self, beginning: &str) -> usize {
        self.notifications.all().iter().filter(|one| one.summary.starts_with(beginning)).count()
    }

    /// The version of the only process of the application, and the file that it runs.
    fn running(&self) -> (String, PathBuf) {
        let running = self.desktop.processes();
        let program = |pid: i32| fs::read_link(format!("/proc/{pid}/exe"));
        let is_app = |line: &str| line.contains("--hidden") && !line.contains("--watch-update");
        let found: Vec<i32> = running.iter().filter(|(_, line)| is_app(line)).map(|(pid, _)| *pid).collect();
        let [pid] = found[..] else { panic!("not one application: {running:?}") };
        let says = run(Command::new(format!("/proc/{pid}/exe")).arg("--version"));
        let says = said(&says).trim().rsplit(' ').next().unwrap().to_owned();
        (says, program(pid).unwrap())
    }

    /// Waits until only the new version, or only the previous one, runs, and the watcher has ended.
    async fn settled(&self) {
        let watches = || self.desktop.running().iter().any(|line| line.contains("--watch-update"));
        until("the end of the watch", async || (!watches()).then_some(())).await;
        self.ready().await;
    }

    fn kept(&self) -> PathBuf {
        self.first.data_dir().join("update")
    }

    async fn quit(self) {
        self.tray.click("Quit").await;
        self.tray.empty().await;
        assert!(!self.first.log_text().contains("panicked"), "{}", self.first.log_text());
        self.desktop.end().await;
    }
}

/// The behaviour of a new version at its start.
#[derive(Clone, Copy)]
enum New {
    Starts,
    Exits,
    Hangs,
}

/// The package as another version.
fn deb(version: &str, new: New) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let (root, package) = (folder.path().join("root"), folder.path().join("next.deb"));
    run(Command::new("dpkg-deb").arg("--raw-extract").arg(bundle("deb")).arg(&root));
    let control = root.join("DEBIAN/control");
    let text = fs::read_to_string(&control).unwrap();
    fs::write(&control, text.replace(&format!("Version: {THIS}-1\n"), &format!("Version: {version}-1\n")))
        .unwrap();
    let app = root.join("usr/bin/codex-proxy-app");
    let bytes = match new {
        New::Starts => as_version(&fs::read(&app).unwrap(), version),
        New::Exits => b"#!/bin/sh\nexit 3\n".to_vec(),
        New::Hangs => b"#!/bin/sh\nexec sleep 600\n".to_vec(),
    };
    fs::write(&app, bytes).unwrap();
    // This program is not needed here, and it is large.
    fs::write(root.join("usr/bin/codex-proxy"), "#!/bin/sh\n").unwrap();
    let packed = ["-Znone", "--root-owner-group", "--build"];
    run(Command::new("dpkg-deb").args(packed).arg(&root).arg(&package));
    fs::read(package).unwrap()
}

/// The package is installed as this version.
fn installed() -> String {
    let output = run(Command::new("dpkg-query").args(["--show", "--showformat", "${Version}", NAME]));
    said(&output).trim_end_matches("-1").to_owned()
}

/// A `pkexec` that asks for no password and runs its command. After this many times it fails, as if the user had cancelled.
fn password(tools: &Path, times: usize) {
    let script = format!(
        "#!/bin/sh\necho \"$@\" >> '{0}/asked'\n[ \"$(wc -l < '{0}/asked')\" -le {times} ] || exit 126\nexec \"$@\"\n",
        tools.display()
    );
    program(&tools.join("pkexec"), script.as_bytes());
}

fn program(file: &Path, bytes: &[u8]) {
    fs::write(file, bytes).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

fn tools() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test]
async fn a_package_that_does_not_start_is_taken_back_and_the_next_one_stays() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("installing a package is root's");
        return;
    }
    let installed_now = Installed::of(&bundle("deb"));
    let tools = tools();
    password(tools.path(), 3);
    let stage = Stage::set(Path::new(APP), tools.path(), &[]).await;

    stage.channel.offer(NEXT, DEB, &deb(NEXT, New::Exits));
    stage.install(NEXT).await;
    let told = stage.told(&format!("Version {NEXT} did not start, so {THIS} is back")).await;
    assert!(told.body.contains("log"), "{told:?}");
    stage.settled().await;
    assert_eq!((installed(), stage.running()), (THIS.to_owned(), (THIS.to_owned(), APP.into())));
    stage.first.wait_for_log("it ended before it served: exit status: 3").await;
    // It has looked for updates since, and does not offer this one by itself.
    let line = format!("Version {NEXT} did not start");
    stage.tray.wait_for_menu(&line, |menu| menu.find(&line).is_some()).await;
    let offered = format!("Codex Proxy {NEXT} is ready");
    assert_eq!((stage.times_told(&offered), stage.times_told(&line)), (1, 1));
    until("the end of what was kept", async || (!stage.kept().exists()).then_some(())).await;
    stage.look().await;
    until("it to be offered to whoever asks", async || (stage.times_told(&offered) == 2).then_some(())).await;

    let better = "9.0.1";
    // The newest is installed, whatever was found before.
    stage.channel.offer(better, DEB, &deb(better, New::Starts));
    let line = format!("Install version {NEXT} and restart");
    stage.tray.wait_for_menu(&line, |menu| menu.find(&line).is_some()).await;
    stage.tray.click(&line).await;
    within(INSTALLING, "the new version", async || (installed() == better).then_some(())).await;
    until("its start", async || {
        let exe =
            |pid: &i32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|file| file == Path::new(APP));
        stage.desktop.processes().iter().any(|(pid, _)| exe(pid)).then_some(())
    })
    .await;
    stage.settled().await;
    assert_eq!(stage.running(), (better.to_owned(), APP.into()));
    assert!(!stage.kept().exists());
    assert_eq!(stage.times_told("Version "), 1, "{:#?}", stage.notifications.all());
    let asked = fs::read_to_string(tools.path().join("asked")).unwrap();
    assert_eq!(asked.lines().filter(|line| line.starts_with("dpkg -")).count(), 3, "{asked}");
    stage.quit().await;
    drop(installed_now);
}

#[tokio::test]
async fn whoever_gives_no_password_has_the_version_before_all_the_same() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("installing a package is root's");
        return;
    }
    let installed_now = Installed::of(&bundle("deb"));
    let tools = tools();
    password(tools.path(), 1);
    let settings = [("CODEX_PROXY_TEST_TRIAL_SECONDS", SOON)];
    let stage = Stage::set(Path::new(APP), tools.path(), &settings).await;
    stage.channel.offer(NEXT, DEB, &deb(NEXT, New::Hangs));
    stage.install(NEXT).await;
    let told = stage.told(&format!("Version {NEXT} did not start")).await;
    stage.settled().await;
    let (version, program) = stage.running();
    assert_eq!((version.as_str(), program.parent()), (THIS, Some(&*stage.kept())));
    assert!(told.body.contains("password") && told.body.contains("sudo dpkg --install"), "{told:?}");
    // That command does it.
    let package = told.body.rsplit_once("--install '").unwrap().1.trim_end_matches('\'');
    assert_eq!(installed(), NEXT);
    run(Command::new("dpkg").arg("--install").arg(package));
    assert_eq!(installed(), THIS);
    let verified = run(Command::new("dpkg").args(["--verify", NAME]));
    assert_eq!(said(&verified), "", "it is the package that was there before");
    stage.quit().await;
    drop(installed_now);
}

/// A file that acts as an AppImage of this version.
fn image(folder: &Path, version: &str) -> (PathBuf, Vec<u8>) {
    let inside = bundle("appimage").join("usr/bin/codex-proxy-app");
    let bytes = fs::read(inside).unwrap();
    let file = folder.join("Codex Proxy.AppImage");
    program(&file, &as_version(&bytes, version));
    (file, bytes)
}

#[tokio::test]
async fn an_appimage_is_replaced_by_what_was_signed_and_comes_back_when_that_hangs() {
    let (folder, tools) = (tempfile::tempdir().unwrap(), tools());
    let (file, _) = image(folder.path(), THIS);
    let settings = [("APPIMAGE", file.to_str().unwrap()), ("CODEX_PROXY_TEST_TRIAL_SECONDS", SOON)];
    let stage = Stage::set(&file, tools.path(), &settings).await;
    let before = fs::read(&file).unwrap();
    let hangs = fs::read(profile_dir().join("hangs")).unwrap();

    let stranger = Channel::open().await;
    for (what, signature, told) in [
        ("a stranger's", stranger.sign(&hangs, NEXT), "is not what the makers of Codex Proxy have signed"),
        ("another version's", stage.channel.sign(&hangs, "8.0.0"), "is signed as 8.0.0"),
        ("cut", stage.channel.sign(&hangs, NEXT), "he download did not come through"),
    ] {
        stage.channel.offer_signed(NEXT, IMAGE, &hangs, &signature);
        if what == "cut" {
            stage.channel.cut();
        }
        stage.install(NEXT).await;
        let found = stage.notifications.wait_for(what, |one| one.body.contains(told)).await;
        assert_eq!(found.summary, "The update cannot be installed", "{found:?}");
        assert!(found.body.contains("This version goes on"), "{found:?}");
        assert!(fs::read(&file).unwrap() == before && !stage.kept().exists(), "{what}");
    }
    stage.channel.offer("0.0.1", IMAGE, &hangs);
    stage.look().await;
    stage.told("Codex Proxy is up to date").await;

    stage.channel.offer(NEXT, IMAGE, &hangs);
    stage.install(NEXT).await;
    stage.told(&format!("Version {NEXT} did not start, so {THIS} is back")).await;
    stage.settled().await;
    assert!(fs::read(&file).unwrap() == before, "the file is what it was");
    assert_eq!(stage.running(), (THIS.to_owned(), file.clone()));
    stage.first.wait_for_log(&format!("it did not serve within {SOON} seconds")).await;
    assert_eq!(stage.times_told("Version "), 1, "{:#?}", stage.notifications.all());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    stage.quit().await;
}

#[tokio::test]
async fn the_updater_takes_what_a_release_says() {
    let (folder, tools) = (tempfile::tempdir().unwrap(), tools());
    let (file, bytes) = image(folder.path(), "0.0.1");
    let stage = Stage::set(&file, tools.path(), &[("APPIMAGE", file.to_str().unwrap())]).await;
    let release = tempfile::tempdir().unwrap();
    for (name, signed) in [
        (format!("codex-proxy_{THIS}_amd64.deb"), true),
        (format!("codex-proxy-{THIS}-1.x86_64.rpm"), true),
        (format!("Codex-Proxy-{THIS}-x86_64.AppImage"), true),
        (format!("codex-proxy-{THIS}-x86_64-linux.tar.gz"), false),
        (format!("Codex-Proxy-{THIS}-x64-setup.exe"), true),
        (format!("Codex-Proxy-{THIS}-x64.msi"), true),
        (format!("Codex-Proxy-{THIS}-universal.dmg"), false),
        (format!("Codex-Proxy-{THIS}-universal.app.tar.gz"), true),
        (format!("codex-proxy-{THIS}-universal-macos.tar.gz"), false),
    ] {
        let package = if name.ends_with(".AppImage") { bytes.clone() } else { name.clone().into_bytes() };
        if signed {
            let signature = stage.channel.sign(&package, THIS);
            fs::write(release.path().join(format!("{name}.sig")), signature).unwrap();
        }
        fs::write(release.path().join(name), package).unwrap();
    }
    let changes = folder.path().join("changes");
    fs::write(&changes, format!("## [{THIS}]\n\n- New.\n")).unwrap();
    let mut assemble = Command::new(profile_dir().join("xtask"));
    run(assemble.arg("assemble").arg(release.path()).arg("--changelog").arg(&changes));
    fs::remove_file(changes).unwrap();
    let base = format!("https://github.com/codex-proxy/codex-proxy/releases/download/v{THIS}");
    stage.channel.publish(release.path(), &base);

    stage.install(THIS).await;
    stage.told(&format!("Codex Proxy {THIS} is ready")).await;
    // It is read on another thread: the channel answers on this one.
    within(INSTALLING, "the new file", async || {
        assert_eq!(stage.times_told("The update cannot"), 0, "{:#?}", stage.notifications.all());
        (tokio::fs::read(&file).await.ok()? == bytes).then_some(())
    })
    .await;
    until("a good start", async || (!stage.kept().exists()).then_some(())).await;
    stage.settled().await;
    assert_eq!(stage.running(), (THIS.to_owned(), stage.program.clone()));
    // It has looked since: there is nothing newer than itself.
    let idle =
        |menu: &e2e::desktop::MenuItem| menu.find("Check for updates").is_some_and(|item| item.enabled);
    stage.tray.wait_for_menu("nothing newer", idle).await;
    assert_eq!(stage.times_told("Version "), 0, "{:#?}", stage.notifications.all());
    stage.quit().await;
}
