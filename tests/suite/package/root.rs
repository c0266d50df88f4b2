//! All steps of a new user on an empty system: the package, Codex from the built-in registry, the sign-in, the first answer,
//! a newer package while the application runs, and the removal.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use e2e::codex_bin::NEWEST;
use e2e::desktop::{Desktop, Webview};
use e2e::fake_openai::issuer::EMAIL;
use e2e::fake_openai::{FakeOpenAi, Script};
use e2e::harness::{Proxy, Setup};
use e2e::patience::until;
use e2e::root::Root;
use e2e::sse;
use serde_json::{Value, json};

use super::{NAME, bundle, newer, run};
use crate::surface::Surface;
use crate::tray::follow;

const APP: &str = "/usr/bin/codex-proxy-app";
const ANSWER: &str = "The first answer.";

/// The keys to press, and how often.
struct Hand<'a> {
    window: &'a Webview,
    clicks: u32,
}

impl Hand<'_> {
    async fn press(&mut self, name: &str) {
        self.clicks += 1;
        self.window.press(name).await;
    }
}

/// A proxy without a sign-in and without Codex, for a user with an account of `upstream`.
fn new_user(upstream: &FakeOpenAi) -> Setup {
    let setup = Setup::signed_in(NEWEST, upstream).unready();
    fs::remove_file(setup.codex_home().join("auth.json")).unwrap();
    // Requests to other hosts go to the issuer, except those to the registry that the package was built with.
    let registry = run(Command::new("npm").args(["config", "get", "registry"]));
    let registry = String::from_utf8(registry.stdout).unwrap();
    let host = reqwest::Url::parse(registry.trim()).unwrap().host_str().unwrap().to_owned();
    let setup = setup.env("NO_PROXY", &format!("127.0.0.1,localhost,{host}"));
    setup.env("CODEX_BIN", "").env("PROXY_API_KEY", "")
}

/// The output of the installed command line about the application.
async fn says(root: &Root, app: &Proxy, arguments: &[&str]) -> Option<String> {
    let arguments = [&["/usr/bin/codex-proxy"], arguments].concat();
    let output = app.beside(&root.entry(), &arguments).output().await.unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

/// The address once it is ready.
async fn ready(root: &Root, app: &Proxy) -> String {
    until("an application that is ready", async || {
        let status: Value = serde_json::from_str(&says(root, app, &["status", "--json"]).await?).unwrap();
        (status["ready"] == true).then(|| status["address"].as_str().unwrap().to_owned())
    })
    .await
}

async fn asked(address: &str, key: &str) -> String {
    let request = reqwest::Client::new().post(format!("{address}/responses")).bearer_auth(key);
    let request = request.header("content-type", "application/json");
    let (status, answer) = sse::json(request.body(Surface::Responses.ask("hi").to_string())).await;
    assert_eq!(status, 200, "{answer}");
    Surface::Responses.text(&answer)
}

/// The files that processes on the desktop run which are, or were, the application.
fn running(desktop: &Desktop, root: &Path) -> BTreeSet<String> {
    let app = format!("{}{APP}", root.display());
    let of = |pid: i32| fs::read_link(format!("/proc/{pid}/exe")).ok();
    let programs = desktop.processes().into_iter().filter_map(|(pid, _)| of(pid));
    programs.map(|path| path.display().to_string()).filter(|path| path.starts_with(&app)).collect()
}

#[tokio::test]
async fn from_the_package_to_the_first_answer_a_newer_one_and_the_removal() {
    let debian = match Root::debian() {
        Ok(debian) => debian,
        Err(reason) => {
            eprintln!("{reason}");
            return;
        }
    };
    let root = Root::make(&debian);
    let begun = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    let package = folder.path().join("codex-proxy.deb");
    fs::copy(bundle("deb"), &package).unwrap();
    root.install(&[package.as_os_str()]);
    println!("installed after {:.0?}", begun.elapsed());
    assert_eq!(root.named("npm"), [""; 0], "a new user has no npm");
    // What draws is part of every desktop; the driver is the test's own.
    root.install(&["libgl1-mesa-dri".as_ref(), "webkit2gtk-driver".as_ref()]);

    let upstream = FakeOpenAi::signed_in().await;
    upstream.fall_back_to(Script::text(ANSWER));
    let desktop = Desktop::start().await;
    let begun = Instant::now();
    let window = Webview::opened_in(&root, &desktop, new_user(&upstream)).await;
    let mut hand = Hand { window: &window, clicks: 0 };
    window.wait_for_text("Set up").await;
    desktop.picture("root-first");
    hand.press(&format!("Install Codex {NEWEST}")).await;
    window.wait_for_text("Sign in with the ChatGPT account").await;
    println!("Codex is there after {:.0?}", begun.elapsed());
    hand.press("Sign in with the browser").await;
    let page = desktop.wait_for_opened("the sign-in", |page| page.contains("/oauth/authorize")).await;
    follow(&window.app, &page).await;
    window.wait_for_text(EMAIL).await;
    hand.press("Ask").await;
    window.wait_for_text(ANSWER).await;
    println!("the first answer after {} clicks and {:.0?}", hand.clicks, begun.elapsed());
    assert!(hand.clicks <= 6, "{} clicks", hand.clicks);

    let app = &window.app;
    let key = says(&root, app, &["keys", "show", "default"]).await.unwrap();
    assert_eq!(asked(&ready(&root, app).await, &key).await, ANSWER);
    let before = running(&desktop, &root.path());
    assert_eq!(before.len(), 1, "{before:?}");
    root.install(&[newer(folder.path()).as_os_str()]);
    until("the new file to run", async || {
        let now = running(&desktop, &root.path());
        (now.len() == 1 && !now.iter().any(|path| path.ends_with("(deleted)"))).then_some(())
    })
    .await;
    assert_eq!(asked(&ready(&root, app).await, &key).await, ANSWER, "key and sign-in are as they were");

    let data = app.data_dir().to_owned();
    run(root.command("apt-get").args(["--yes", "--quiet", "purge", NAME]));
    assert_eq!(running(&desktop, &root.path()), BTreeSet::new(), "removing waits for the end of what runs");
    assert_eq!(root.named("codex"), [""; 0], "only what is the user's stays");
    assert!(data.join("keys.json").is_file(), "and that does: {data:?}");
    let auth: Value = serde_json::from_slice(&fs::read(app.codex_home().join("auth.json")).unwrap()).unwrap();
    assert_ne!(auth["tokens"], json!(null));
    window.ended(&desktop).await;
    desktop.end().await;
}
