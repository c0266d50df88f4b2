//! A release channel on this machine, with packages that are signed with Tauri's own tool.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};
use tauri::App;
use tauri::test::{MockRuntime, mock_builder, mock_context, noop_assets};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::*;

/// The first bytes of a Linux program; the updater accepts nothing else.
const PROGRAM: &[u8] =
    b"\x7fELF\x02\x01\x01 a newer version of what has to be longer than the header of a program";

/// The key of a release channel.
struct Key {
    dir: TempDir,
}

impl Key {
    fn make() -> Self {
        let dir = tempfile::tempdir().unwrap();
        signer(&["generate", "--ci", "--password", "", "--write-keys"], &dir.path().join("key"));
        Self { dir }
    }

    fn public(&self) -> String {
        fs::read_to_string(self.dir.path().join("key.pub")).unwrap().trim().to_owned()
    }

    /// Signs `package` for a version as `cargo xtask dist` does, or without a version.
    fn sign(&self, package: &[u8], version: Option<&str>) -> String {
        let file = self.dir.path().join("package");
        fs::write(&file, package).unwrap();
        let key = self.dir.path().join("key").display().to_string();
        let mut arguments = vec!["sign", "--password", "", "--private-key-path", &key];
        arguments.extend(version.into_iter().flat_map(|version| ["--app-version", version]));
        signer(&arguments, &file);
        fs::read_to_string(self.dir.path().join("package.sig")).unwrap()
    }
}

fn signer(arguments: &[&str], file: &Path) {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ui/node_modules/.bin/tauri");
    #[expect(clippy::disallowed_methods, reason = "the tool that signs releases")]
    let done = Command::new(tool).arg("signer").args(arguments).arg(file).output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A channel with one release, and an application that uses it.
struct Channel {
    app: App<MockRuntime>,
    /// The installed program.
    program: PathBuf,
    dir: TempDir,
}

impl Channel {
    /// `announced` is the channel's description of `package`.
    async fn open(key: &Key, package: &'static [u8], announced: &Value) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let root = format!("http://{}", listener.local_addr().unwrap());
        let mut release = announced.clone();
        release["url"] = json!(format!("{root}/package"));
        let release = release.to_string();
        let routes = Router::new()
            .route("/latest.json", get(move || async move { release }))
            .route("/package", get(move || async move { package }));
        tokio::spawn(axum::serve(listener, routes).into_future());

        let mut context = mock_context(noop_assets());
        let channel = json!({
            "endpoints": [format!("{root}/latest.json")], "pubkey": key.public(), "requireSignedVersion": true,
        });
        context.config_mut().plugins.0.insert(PLUGIN.to_owned(), channel);
        let app = mock_builder().plugin(plugin()).build(context).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("program");
        fs::write(&program, "this version").unwrap();
        Self { app, program, dir }
    }

    async fn find(&self) -> Result<Option<String>> {
        Ok(find(self.app.handle()).await?.map(|newer| newer.version))
    }

    async fn install(&self) -> std::result::Result<Ending, String> {
        let place = Place { program: self.program.clone(), kept: Some(self.kept()) };
        install(self.app.handle(), place, true).await
    }

    fn kept(&self) -> PathBuf {
        self.dir.path().join("update")
    }

    fn installed(&self) -> Vec<u8> {
        fs::read(&self.program).unwrap()
    }
}

fn release(version: &str, signature: &str) -> Value {
    json!({"version": version, "notes": "", "signature": signature})
}

#[test]
fn a_build_has_a_channel_when_it_is_given_one() {
    let mut context = mock_context::<MockRuntime, _>(noop_assets());
    assert!(!has_channel(context.config()));
    context.config_mut().plugins.0.insert(PLUGIN.to_owned(), json!({}));
    assert!(has_channel(context.config()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_signed_is_found_and_installed() {
    let key = Key::make();
    let signature = key.sign(PROGRAM, Some("9.0.0"));
    let channel = Channel::open(&key, PROGRAM, &release("9.0.0", &signature)).await;
    assert_eq!(channel.find().await.unwrap().as_deref(), Some("9.0.0"));
    assert_eq!(channel.install().await, Ok(Ending::Update));
    assert_eq!(channel.installed(), PROGRAM);
    // The previous program is kept, and the update is on trial.
    assert_eq!(fs::read(channel.kept().join("program")).unwrap(), b"this version");
    let plan: Value = serde_json::from_slice(&fs::read(channel.kept().join("trial.json")).unwrap()).unwrap();
    assert_eq!([&plan["from"], &plan["to"]], [&json!(env!("CARGO_PKG_VERSION")), &json!("9.0.0")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_for_this_version_nothing_is_installed() {
    let key = Key::make();
    let signature = key.sign(PROGRAM, Some("9.0.0"));
    let channel = Channel::open(&key, PROGRAM, &release("9.0.0", &signature)).await;
    fs::write(channel.kept(), "in the way").unwrap();
    let reason = channel.install().await.unwrap_err();
    assert!(reason.contains("cannot be kept"), "{reason}");
    assert_eq!(channel.installed(), b"this version");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_newer_is_no_update() {
    let key = Key::make();
    let signature = key.sign(PROGRAM, Some("0.0.1"));
    let channel = Channel::open(&key, PROGRAM, &release("0.0.1", &signature)).await;
    assert_eq!(channel.find().await.unwrap(), None);
    channel.install().await.unwrap_err();
    assert_eq!(channel.installed(), b"this version");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_is_installed() {
    let (key, stranger) = (Key::make(), Key::make());
    let tampered: &'static [u8] = [&PROGRAM[..PROGRAM.len() - 1], b"M"].concat().leak();
    let whole = key.sign(PROGRAM, Some("9.0.0"));
    let mut broken = whole.clone();
    broken.replace_range(120..124, "AAAA");
    let not_signed =
        "what was fetched is not what the makers of Codex Proxy have signed, so it is not installed";
    let another = "what was announced as version 9.0.0 is signed as 8.0.0, so it is not installed";
    let none = "what was fetched is signed for no version, so it is not installed";
    for (what, package, signature, told) in [
        ("a package that was changed", tampered, whole.clone(), not_signed),
        ("a package that is cut", &PROGRAM[..PROGRAM.len() - 1], whole, not_signed),
        ("somebody else's signature", PROGRAM, stranger.sign(PROGRAM, Some("9.0.0")), not_signed),
        ("an older version that is called newer", PROGRAM, key.sign(PROGRAM, Some("8.0.0")), another),
        ("a signature for no version", PROGRAM, key.sign(PROGRAM, None), none),
        ("a signature that was changed", PROGRAM, broken, not_signed),
        ("no signature", PROGRAM, String::new(), not_signed),
    ] {
        let channel = Channel::open(&key, package, &release("9.0.0", &signature)).await;
        assert_eq!(channel.find().await.unwrap().as_deref(), Some("9.0.0"), "{what} is found");
        let error = channel.install().await.unwrap_err();
        assert_eq!(channel.installed(), b"this version", "{what}: {error}");
        assert_eq!(error, told, "{what}");
        assert!(!channel.kept().exists(), "nothing is on trial: {what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_makes_no_sense_or_does_not_answer_is_an_error() {
    let key = Key::make();
    let channel = Channel::open(&key, PROGRAM, &json!({"version": "soon"})).await;
    channel.find().await.unwrap_err();
    channel.install().await.unwrap_err();
    assert_eq!(channel.installed(), b"this version");
}
