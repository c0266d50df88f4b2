//! The updater on Windows. A running program cannot be replaced there, so the kept copy of the version before installs
//! the new version, starts it and watches it. There is no menu under Wine, so a debug build installs what it finds.
//!
//! The first start of a program under Wine can take tens of seconds, so these tests wait longer than others.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use e2e::patience::within;

use super::installers::{APPS, Machine, installer};
use super::{ANSWER, Windows, programs};
use crate::channel::Channel;

/// How long a step may take: an installer and two starts.
const LONG: Duration = Duration::from_secs(240);

const NSIS: &str = "windows-x86_64-nsis";
const APP: &str = "codex-proxy-app.exe";
/// What an update replaces, and what comes back.
const FILES: [&str; 3] = [APP, "codex-proxy.exe", "uninstall.exe"];

/// An installed version that runs and has a release channel.
struct Stage {
    machine: Machine,
    app: Windows,
    channel: Channel,
    version: String,
    /// The installed files of this version.
    before: Vec<Vec<u8>>,
}

impl Stage {
    /// The new version has this time to start, in seconds.
    async fn set(seconds: &str) -> Self {
        let machine = Machine::new().await;
        let (setup, version) = installer("bundle", "-setup.exe");
        machine.done(None, &[&setup, "/S"]).await;
        let channel = Channel::open().await;
        channel.offer("0.0.1", NSIS, b"nothing newer");
        let setting = channel.setting();
        let settings = [
            ("CODEX_PROXY_TEST_CHANNEL", setting.as_str()),
            ("CODEX_PROXY_TEST_TRIAL_SECONDS", seconds),
            ("CODEX_PROXY_TEST_UPDATE_SECONDS", "1"),
        ];
        let app = machine.start_with(APP, &["--hidden"], &settings).await;
        let before = FILES.iter().filter_map(|name| installed(&machine, name)).collect();
        Self { machine, app, channel, version, before }
    }

    fn log(&self) -> String {
        let folder = self.machine.local(r"codex-proxy\data\logs");
        let files = fs::read_dir(folder).unwrap().flatten();
        files.map(|file| fs::read_to_string(file.path()).unwrap_or_default()).collect()
    }

    async fn logged(&self, text: &str) {
        within(LONG, text, async || self.log().contains(text).then_some(())).await;
    }

    fn kept(&self) -> PathBuf {
        self.machine.local(r"codex-proxy\data\update")
    }

    /// The installed version runs, nothing of an update is left, and nobody watches.
    async fn goes_on_as(&self, version: &str) {
        within(LONG, "the end of the watch", async || (!self.app.runs("--watch-update")).then_some(())).await;
        within(LONG, "the end of what was kept", async || (!self.kept().exists()).then_some(())).await;
        self.app.ready().await;
        assert_eq!(self.app.ask().await, ANSWER);
        self.machine.is_installed_as(&format!(r"HKCU\{APPS}\Codex Proxy"), version).await;
    }

    async fn is_as_before(&self) {
        self.goes_on_as(&self.version).await;
        let now: Vec<_> = FILES.iter().filter_map(|name| installed(&self.machine, name)).collect();
        assert!(now == self.before, "the files are not those of the version before");
    }

    /// The version before says, after it has come back, that this version has not started.
    async fn is_told_of(&self, version: &str) {
        let place = format!(r"C:\users\{}\AppData\Roaming\codex-proxy\config\app.json", self.machine.user);
        let file = self.machine.file(&place);
        let told = async || {
            let text = fs::read_to_string(&file).ok()?;
            text.contains(&format!(r#""failed_update": "{version}""#)).then_some(())
        };
        within(LONG, &format!("version {version} to be taken back\n{}", self.log()), told).await;
    }

    fn offer(&self, bundle: &str) -> (String, Vec<u8>) {
        let (version, package) = package(bundle);
        self.channel.offer(&version, NSIS, &package);
        (version, package)
    }
}

fn installed(machine: &Machine, name: &str) -> Option<Vec<u8>> {
    fs::read(machine.file(&format!(r"{}\{name}", machine.installed()))).ok()
}

/// The version of a setup program, and its bytes.
fn package(bundle: &str) -> (String, Vec<u8>) {
    let (path, version) = installer(bundle, "-setup.exe");
    (version, fs::read(path.trim_start_matches("Z:").replace('\\', "/")).unwrap())
}

#[tokio::test]
#[ignore = "`cargo xtask cross windows update` builds what it needs"]
async fn only_what_is_signed_is_installed_and_what_ends_at_once_is_taken_back() {
    let stage = Stage::set("600").await;
    let (next, good) = package("bundle-next");
    let stranger = Channel::open().await;
    for (signature, told) in [
        (stranger.sign(&good, &next), "is not what the makers of Codex Proxy have signed"),
        (stage.channel.sign(&good, "8.0.0"), "is signed as 8.0.0"),
    ] {
        stage.channel.offer_signed(&next, NSIS, &good, &signature);
        stage.logged(told).await;
        stage.is_as_before().await;
    }

    let (ends, _) = stage.offer("bundle-ends");
    stage.is_told_of(&ends).await;
    stage.logged("it ended before it served: exit code: 3").await;
    stage.is_as_before().await;

    // The version that did not start is not installed again; another one is.
    let (next, _) = stage.offer("bundle-next");
    let new = fs::read(programs().join("bundle-next/nsis").join(APP)).unwrap();
    let replaced = async || (installed(&stage.machine, APP)? == new).then_some(());
    within(LONG, "the new version", replaced).await;
    within(LONG, "its start", async || (!stage.kept().join("trial.json").exists()).then_some(())).await;
    stage.goes_on_as(&next).await;
    assert!(installed(&stage.machine, APP).unwrap() == new, "the new version was taken back");
}

#[tokio::test]
#[ignore = "`cargo xtask cross windows update` builds what it needs"]
async fn an_update_that_hangs_is_taken_back() {
    let stage = Stage::set("3").await;
    let (hangs, _) = stage.offer("bundle-hangs");
    stage.is_told_of(&hangs).await;
    stage.logged("it did not serve within 3 seconds").await;
    stage.is_as_before().await;
}
