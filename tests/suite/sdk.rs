//! The official SDKs and LangChain against the proxy, over the real Codex.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use e2e::codex_bin::{NEWEST, target_dir};
use e2e::fake_openai::{FakeOpenAi, Script};
use e2e::harness::{Proxy, Setup};
use serde_json::Value;

/// More than any script asks for.
const ROUNDS: usize = 40;

async fn upstream() -> FakeOpenAi {
    let upstream = FakeOpenAi::start().await;
    let text = Script::new().reasoning(&[&["**Pl", "an**"]], Some("ENC")).message(&["Hé", "llo ", "🦀"]);
    upstream.on_marker("[[text]]", vec![text; ROUNDS]);
    let calls = Script::new()
        .reasoning(&[&["**Plan**"]], Some("ENC"))
        .function_call("call_a", "get_weather", r#"{"city":"Paris"}"#, 4)
        .function_call("call_b", "get_weather", r#"{"city":"Rome"}"#, 4);
    upstream.on_marker("[[tools]]", vec![calls; ROUNDS]);
    upstream.on_marker("sunny", vec![Script::text("done"); ROUNDS]);
    let json = Script::new().message(&["{\"city\":\"Zür", "ich\",\"population\":400000}"]);
    upstream.on_marker("[[json]]", vec![json; ROUNDS]);
    upstream.on_marker("[[image]]", vec![Script::text("a pixel"); ROUNDS]);
    upstream
}

#[tokio::test]
async fn node_responses() {
    node("responses.mjs").await;
}

#[tokio::test]
async fn node_chat() {
    node("chat.mjs").await;
}

#[tokio::test]
async fn node_langchain() {
    node("langchain.mjs").await;
}

#[tokio::test]
async fn python() {
    let folder = prepare("python", &["requirements.txt"], |folder| {
        let venv = folder.join("venv");
        let python = if cfg!(windows) { "python" } else { "python3" };
        done(Command::new(python).args(["-m", "venv"]).arg(&venv));
        let install = ["-m", "pip", "install", "--quiet", "--requirement"];
        done(Command::new(venv_python(folder)).args(install).arg(folder.join("requirements.txt")));
    });
    run(&venv_python(&folder), &folder.join("client.py")).await;
}

async fn node(script: &str) {
    let folder = prepare("node", &["package.json", "package-lock.json", ".npmrc"], |folder| {
        let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
        done(Command::new(npm).args(["ci", "--no-audit", "--no-fund"]).current_dir(folder));
    });
    run(Path::new("node"), &folder.join(script)).await;
}

/// Runs a script against a proxy and asserts that all of its checks passed.
async fn run(program: &Path, script: &Path) {
    let upstream = upstream().await;
    let proxy = Setup::real(NEWEST, &upstream).start().await;
    let command = command(program, script, &proxy);
    let output = tokio::task::spawn_blocking(move || output(command)).await.unwrap();
    let said = format!(
        "{}\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        proxy.log_text()
    );
    assert!(output.status.success(), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {said}"));
    assert_eq!(report["failed"], Value::Array(Vec::new()), "{said}");
    assert!(report["passed"].as_array().is_some_and(|passed| passed.len() > 7), "{said}");
    assert_eq!(upstream.unscripted(), [""; 0]);
    proxy.stop().await;
}

fn command(program: &Path, script: &Path, proxy: &Proxy) -> Command {
    let mut command = Command::new(program);
    command.arg(script).env("BASE_URL", &proxy.base_url).env("API_KEY", &proxy.key);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        command.env_remove(name);
    }
    command
}

/// Copies `tests/sdk/NAME` below the target folder and installs what it needs there, once for each state of
/// the files that `keys` names; tests in other processes wait meanwhile.
fn prepare(name: &str, keys: &[&str], install: impl FnOnce(&Path)) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk").join(name);
    let folder = target_dir().join("sdk").join(name);
    fs::create_dir_all(&folder).unwrap();
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    for entry in fs::read_dir(&source).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
        }
    }
    let state: String = keys.iter().map(|key| fs::read_to_string(source.join(key)).unwrap()).collect();
    let stamp = folder.join("installed");
    if fs::read_to_string(&stamp).unwrap_or_default() != state {
        install(&folder);
        fs::write(&stamp, state).unwrap();
    }
    folder
}

fn venv_python(folder: &Path) -> PathBuf {
    let inside = if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" };
    folder.join("venv").join(inside)
}

fn done(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn output(mut command: Command) -> Output {
    command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"))
}
