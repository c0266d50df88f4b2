//! The Windows programs, under Wine on a separate screen. `cargo xtask cross windows start` builds them and sets
//! `E2E_WINDOWS_BIN_DIR` and `WINEPREFIX` to their folders.
//!
//! There is no web view there, so no window opens; the tray's icon is drawn but its menu does not open.

mod installers;
mod updates;

use std::env;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::desktop::{Screen, picture_file};
use e2e::harness::{Proxy, Setup};
use e2e::patience::until;
use e2e::sse;
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

const WINE: &str = "/usr/lib/wine/wine64";
const WINE_SERVER: &str = "/usr/lib/wine/wineserver";
const ANSWER: &str = "Hello from Windows";
const KEY: &str = "a-key-for-the-tests-under-wine";

/// A Windows with a program of ours; all of it ends with it.
struct Windows {
    prefix: PathBuf,
    program: Proxy,
    root: String,
    data: PathBuf,
    _scratch: TempDir,
    /// Codex's home, whose path marks its process.
    marks: String,
    screen: Screen,
}

/// What the fake Codex does.
fn scenarios() -> Value {
    let slow = json!([
        {"step": "text", "deltas": ["Hello "], "open": true},
        {"step": "pause", "ms": 1500},
        {"step": "text", "deltas": ["from Windows"]},
    ]);
    json!({"scenarios": {"default": [{"step": "text", "deltas": [ANSWER]}], "slow": slow}})
}

/// How Windows names a file of ours.
fn windows_path(path: &Path) -> String {
    format!("Z:{}", path.display()).replace('/', "\\")
}

/// Where `cargo xtask cross` has put the programs, and the installers below them.
fn programs() -> PathBuf {
    env::var_os("E2E_WINDOWS_BIN_DIR").expect("`cargo xtask cross` says where").into()
}

/// The Windows that `cargo xtask cross` has made.
fn usual_prefix() -> PathBuf {
    env::var_os("WINEPREFIX").expect("`cargo xtask cross` says where").into()
}

impl Windows {
    async fn start(program: &str, arguments: &[&str]) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let data = scratch.path().to_owned();
        let setting = ("PROXY_DATA_DIR", windows_path(&data));
        let program = windows_path(&programs().join(program));
        Self::on(usual_prefix(), scratch, data, &[setting], &program, arguments).await
    }

    /// A program on the Windows in `prefix`, whose data is in `data`.
    async fn on(
        prefix: PathBuf,
        scratch: TempDir,
        data: PathBuf,
        settings: &[(&str, String)],
        program: &str,
        arguments: &[&str],
    ) -> Self {
        let screen = Screen::start(&[]).await;
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let setup = Setup::fake(&scenarios()).program(WINE.into());
        let marks = windows_path(setup.codex_home());
        let usual = [
            ("WINEPREFIX", prefix.display().to_string()),
            ("WINEDEBUG", "-all".to_owned()),
            ("WINEDLLOVERRIDES", "mscoree,mshtml=".to_owned()),
            ("DISPLAY", screen.display().to_owned()),
            ("PORT", port.to_string()),
            ("PROXY_API_KEY", KEY.to_owned()),
            ("CODEX_HOME", marks.clone()),
            ("CODEX_BIN", windows_path(&programs().join("fake-codex.exe"))),
        ];
        let setup = usual.iter().chain(settings).fold(setup, |setup, (name, value)| setup.env(name, value));
        // In a desktop of its own a Windows has a tray.
        let setup = setup.arg("explorer").arg("/desktop=test,1024x768");
        let setup = setup.arg(program);
        let setup = arguments.iter().fold(setup, |setup, argument| setup.arg(argument));
        let root = format!("http://127.0.0.1:{port}");
        Self { prefix, program: setup.spawn(), root, data, _scratch: scratch, marks, screen }
    }

    async fn ready(&self) {
        let url = format!("{}/readyz", self.root);
        until(&format!("the proxy\n{}", self.program.log_text()), async || {
            let answer = self.program.bare(Method::GET, &url).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    async fn ask(&self) -> String {
        self.ask_for("Hello?").await
    }

    async fn ask_for(&self, prompt: &str) -> String {
        let url = format!("{}/v1/chat/completions", self.root);
        let body = json!({"model": "codex-5", "messages": [{"role": "user", "content": prompt}]});
        let request = self.program.bare(Method::POST, &url).bearer_auth(KEY);
        let request = request.header("content-type", "application/json").body(body.to_string());
        let (status, answer) = sse::json(request).await;
        assert_eq!(status, 200, "{answer}");
        answer["choices"][0]["message"]["content"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    async fn status(&self) -> Value {
        self.control("/status").await
    }

    async fn control(&self, path: &str) -> Value {
        let token = fs::read_to_string(self.data.join("control-token")).unwrap();
        let url = format!("{}/control{path}", self.root);
        sse::json(self.program.bare(Method::GET, &url).bearer_auth(token.trim())).await.1
    }

    /// Whether a process of this name runs that works for this proxy.
    fn runs(&self, name: &str) -> bool {
        let entries = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        entries.into_iter().any(|process| {
            let read = |file: &str| {
                String::from_utf8_lossy(&fs::read(process.join(file)).unwrap_or_default()).into_owned()
            };
            read("cmdline").contains(name) && read("environ").contains(&self.marks)
        })
    }

    /// Runs a program of Windows' own.
    fn run(&self, arguments: &[&str]) {
        let mut command = Command::new(WINE);
        command.args(arguments).env("WINEPREFIX", &self.prefix).env("WINEDEBUG", "-all");
        let output = command.env("DISPLAY", self.screen.display()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

impl Drop for Windows {
    fn drop(&mut self) {
        let ended = Command::new(WINE_SERVER).arg("--kill").env("WINEPREFIX", &self.prefix).status();
        assert!(ended.is_ok() || std::thread::panicking(), "Wine was not ended: {ended:?}");
    }
}

/// A program that serves, and leaves no Codex when it is killed.
async fn serves(program: &str, arguments: &[&str]) {
    let windows = Windows::start(program, arguments).await;
    windows.ready().await;
    assert_eq!(windows.ask().await, ANSWER);
    let status = windows.status().await;
    assert_eq!((&status["ready"], &status["workers"][0]["state"]), (&json!(true), &json!("ready")));
    windows.screen.picture(&picture_file(&format!("wine-{program}")));
    assert!(windows.runs("fake-codex.exe") && windows.runs(program));
    windows.run(&["taskkill", "/f", "/im", program]);
    until("the end of its Codex", async || (!windows.runs("fake-codex.exe")).then_some(())).await;
}

#[tokio::test]
#[ignore = "`cargo xtask cross windows start` builds what it needs"]
async fn the_application_serves_and_leaves_nothing_when_it_is_killed() {
    serves("codex-proxy-app.exe", &["--hidden"]).await;
}

#[tokio::test]
#[ignore = "`cargo xtask cross windows start` builds what it needs"]
async fn so_does_the_command_line() {
    serves("codex-proxy.exe", &[]).await;
}
