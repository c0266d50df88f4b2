//! The command line of the built binary, with a proxy and without one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use clap::Command as Tree;
use e2e::harness::{Setup, fake_codex_path, proxy_path};
use e2e::patience::PATIENCE;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

/// The output of a command and its exit code.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The built binary on a data directory, with no settings but these.
pub(crate) fn command(data: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(proxy_path());
    command.args(arguments).env_clear();
    for name in ["PATH", "SystemRoot", "TMPDIR", "TEMP"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command
        .env("HOME", data)
        .env("PROXY_DATA_DIR", data)
        .env("CODEX_BIN", fake_codex_path())
        .env("PORT", "0");
    command.envs(environment.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs it to its end.
pub(crate) async fn run(
    data: &Path,
    arguments: &[&str],
    environment: &[(&str, &str)],
    input: &str,
) -> Outcome {
    let child = command(data, arguments, environment).spawn().unwrap();
    outcome(child, input).await
}

/// Waits for the end of a command.
pub(crate) async fn outcome(mut child: Child, input: &str) -> Outcome {
    let mut stdin = child.stdin.take().unwrap();
    // A command that does not read its input may have ended.
    drop(stdin.write_all(input.as_bytes()).await);
    drop(stdin);
    let ended = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    let output = ended.expect("the command ends").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Outcome { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

fn nothing() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn findings(shown: &Outcome) -> Vec<Value> {
    let parsed = serde_json::from_str(&shown.out);
    let found: Vec<Value> = parsed.unwrap_or_else(|error| panic!("{error}: {shown:?}"));
    for finding in &found {
        let fields: Vec<&str> = finding.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(fields, ["check", "status", "detail", "advice"]);
        let bad = ["warn", "fail"].contains(&finding["status"].as_str().unwrap());
        assert_eq!(bad, finding["advice"].is_string(), "{finding}");
    }
    found
}

fn verdict<'a>(findings: &'a [Value], check: &str) -> &'a str {
    let found = findings.iter().find(|finding| finding["check"] == check);
    found.unwrap_or_else(|| panic!("no check {check}"))["status"].as_str().unwrap()
}

#[tokio::test]
async fn without_a_proxy_commands_say_so() {
    let data = nothing();
    for line in [
        "status",
        "status --watch",
        "login",
        "login --cancel",
        "logout",
        "workers",
        "workers restart",
        "usage",
        "quit",
    ] {
        let arguments: Vec<&str> = line.split(' ').collect();
        let shown = run(data.path(), &arguments, &[], "").await;
        assert_eq!((shown.code, shown.out.as_str()), (69, ""), "{line}: {shown:?}");
        assert!(shown.err.contains("codex-proxy run"), "{line}: {shown:?}");
    }
    // Asking leaves nothing behind.
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn wrong_usage_and_wrong_settings_are_64() {
    let data = nothing();
    for line in ["bogus", "keys bogus", "status extra", "--port", "usage --group week", "keys create"] {
        let arguments: Vec<&str> = line.split(' ').collect();
        let shown = run(data.path(), &arguments, &[], "").await;
        assert_eq!((shown.code, shown.out.as_str()), (64, ""), "{line}: {shown:?}");
    }
    let shown = run(data.path(), &["status"], &[("PORT", "many")], "").await;
    assert_eq!((shown.code, shown.out.as_str()), (64, ""), "{shown:?}");
    assert!(shown.err.contains("PORT"), "{shown:?}");
    for line in ["--help", "-V", "keys --help", "help codex", "config --help"] {
        let arguments: Vec<&str> = line.split(' ').collect();
        let shown = run(data.path(), &arguments, &[], "").await;
        assert_eq!((shown.code, shown.err.as_str()), (0, ""), "{line}");
        assert!(!shown.out.is_empty(), "{line}");
    }
}

#[tokio::test]
async fn a_running_proxy_is_shown_and_steered() {
    let proxy = Setup::fake(&json!({})).start().await;
    let data = proxy.data_dir();
    let shown = run(data, &["status"], &[], "").await;
    assert_eq!((shown.code, shown.err.as_str()), (0, ""), "{shown:?}");
    assert!(shown.out.contains("ready") && shown.out.contains(&proxy.base_url), "{shown:?}");
    assert!(!shown.out.contains('\u{1b}'), "there is colour in a pipe: {shown:?}");
    let shown = run(data, &["status", "--json"], &[], "").await;
    let status: Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(status["ready"], true);
    let shown = run(data, &["workers", "--json"], &[], "").await;
    let workers: Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(workers[0]["id"], 0);
    let before = proxy.fake_codex_pids().len();
    let shown = run(data, &["workers", "restart", "0"], &[], "").await;
    assert_eq!(shown.code, 0, "{shown:?}");
    let mut poll = tokio::time::interval(Duration::from_millis(20));
    let replaced = async {
        while proxy.fake_codex_pids().len() == before {
            poll.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, replaced).await.expect("the worker is replaced");
    let shown = run(data, &["workers", "restart", "7"], &[], "").await;
    assert_eq!(shown.code, 1, "{shown:?}");
    proxy.stop().await;
}

#[tokio::test]
async fn a_proxy_on_every_address_is_found() {
    let setup = Setup::fake(&json!({})).env("PROXY_HOST", "0.0.0.0").unready();
    let proxy = setup.start().await;
    let shown = run(proxy.data_dir(), &["status"], &[], "").await;
    assert_eq!(shown.code, 0, "{shown:?}");
    proxy.stop().await;
}

#[tokio::test]
async fn who_stops_reading_is_no_error() {
    let data = nothing();
    for line in ["config --help", "config", "doctor", "completions bash", "man"] {
        let arguments: Vec<&str> = line.split(' ').collect();
        let mut child = command(data.path(), &arguments, &[]).spawn().unwrap();
        drop(child.stdout.take());
        let shown = outcome(child, "").await;
        assert_eq!((shown.code, shown.err.as_str()), (0, ""), "{line}");
    }
}

#[tokio::test]
async fn the_doctor_finds_nothing_wrong_with_a_running_proxy() {
    let proxy = Setup::fake(&json!({})).start().await;
    let environment = [("PROXY_API_KEY", proxy.key.as_str())];
    let shown = run(proxy.data_dir(), &["doctor", "--json"], &environment, "").await;
    let found = findings(&shown);
    for check in [
        "configuration",
        "data_directory",
        "disk_space",
        "port",
        "proxy",
        "ready",
        "models",
        "key",
        "cors",
        "clock",
    ] {
        assert_eq!(verdict(&found, check), "ok", "{check}: {}", shown.out);
    }
    assert!(!shown.out.contains(&proxy.key));
    let shown = run(proxy.data_dir(), &["doctor"], &[("PROXY_API_KEY", "not-the-key-of-it")], "").await;
    assert_eq!(shown.code, 1, "{shown:?}");
    assert!(shown.out.contains("FAIL  key: "), "{shown:?}");
    proxy.stop().await;
}

#[tokio::test]
async fn the_doctor_names_who_has_the_port() {
    let data = nothing();
    let stranger = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = stranger.local_addr().unwrap().port().to_string();
    let shown = run(data.path(), &["doctor", "--json"], &[("PORT", &port)], "").await;
    assert_eq!(shown.code, 1, "{shown:?}");
    let found = findings(&shown);
    assert_eq!(verdict(&found, "port"), "fail");
    assert_eq!(verdict(&found, "proxy"), "warn");
    #[cfg(target_os = "linux")]
    assert!(shown.out.contains(&format!("(process {})", std::process::id())), "{}", shown.out);
    drop(stranger);
    let shown = run(data.path(), &["doctor", "--json"], &[("PORT", &port)], "").await;
    assert_eq!(verdict(&findings(&shown), "port"), "ok");
}

#[tokio::test]
async fn the_doctor_goes_on_where_settings_are_wrong() {
    let data = nothing();
    let shown = run(data.path(), &["doctor", "--json"], &[("PROXY_TIMEOUT_MS", "soon")], "").await;
    assert_eq!(shown.code, 1, "{shown:?}");
    let found = findings(&shown);
    assert_eq!(verdict(&found, "configuration"), "fail");
    assert_eq!(verdict(&found, "data_directory"), "ok");
}

#[tokio::test]
async fn the_doctor_finds_a_data_directory_that_cannot_be_used() {
    let data = nothing();
    let file = data.path().join("file");
    fs::write(&file, "").unwrap();
    for dir in [file.clone(), file.join("below")] {
        let shown = run(&dir, &["doctor", "--json"], &[("HOME", "/")], "").await;
        assert_eq!(shown.code, 1, "{shown:?}");
        assert_eq!(verdict(&findings(&shown), "data_directory"), "fail", "{}", dir.display());
    }
}

#[cfg(unix)]
#[tokio::test]
async fn the_doctor_finds_a_secret_that_others_can_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let data = nothing();
    fs::set_permissions(data.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let token = data.path().join("control-token");
    fs::write(&token, "x").unwrap();
    for (mode, expected) in [(0o644, "fail"), (0o600, "ok")] {
        fs::set_permissions(&token, fs::Permissions::from_mode(mode)).unwrap();
        let shown = run(data.path(), &["doctor", "--json"], &[], "").await;
        assert_eq!(verdict(&findings(&shown), "permissions"), expected, "{mode:o}");
    }
}

#[tokio::test]
async fn the_doctor_tells_of_a_codex_that_is_not_there() {
    let setup = Setup::over(PathBuf::from("/nowhere/codex")).unready();
    let proxy = setup.start().await;
    proxy.wait_for_log("codex").await;
    let shown = run(proxy.data_dir(), &["doctor", "--json"], &[("CODEX_BIN", "/nowhere/codex")], "").await;
    assert_eq!(shown.code, 1, "{shown:?}");
    assert_eq!(verdict(&findings(&shown), "ready"), "fail");
    proxy.stop().await;
}

#[tokio::test]
async fn completions_are_sound_scripts() {
    let data = nothing();
    let checks: [(&str, &[&str]); 3] =
        [("bash", &["bash", "-n"]), ("zsh", &["zsh", "-n"]), ("fish", &["fish", "-n"])];
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let shown = run(data.path(), &["completions", shell], &[], "").await;
        assert_eq!((shown.code, shown.err.as_str()), (0, ""), "{shell}");
        for word in ["codex-proxy", "rollback", "device-code", "migrate"] {
            assert!(shown.out.contains(word), "{shell} knows no {word}");
        }
        let Some((_, [checker, flag])) = checks.iter().find(|(name, _)| *name == shell) else { continue };
        let script = data.path().join("script");
        fs::write(&script, &shown.out).unwrap();
        // Only bash is everywhere.
        if *checker != "bash" && !on_path(checker) {
            continue;
        }
        let checked = Command::new(checker).arg(flag).arg(&script).output().await.unwrap();
        assert!(checked.status.success(), "{shell}: {}", String::from_utf8_lossy(&checked.stderr));
    }
}

#[tokio::test]
async fn every_command_has_a_manual_page() {
    let data = nothing();
    let dir = data.path().join("man1");
    let shown = run(data.path(), &["man", "--dir", dir.to_str().unwrap()], &[], "").await;
    assert_eq!(shown.code, 0, "{shown:?}");
    let mut expected = Vec::new();
    names(&proxy_core::cli::command(), "codex-proxy", &mut expected);
    for name in expected {
        let page =
            fs::read_to_string(dir.join(format!("{name}.1"))).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(page.contains(".SH SYNOPSIS"), "{name}");
    }
    if on_path("groff") {
        for page in fs::read_dir(&dir).unwrap() {
            let path = page.unwrap().path();
            let made = Command::new("groff")
                .args(["-man", "-Tutf8", "-ww", "-z"])
                .arg(&path)
                .output()
                .await
                .unwrap();
            let said = String::from_utf8_lossy(&made.stderr).into_owned();
            assert!(made.status.success() && said.is_empty(), "{}: {said}", path.display());
        }
    }
    let one = run(data.path(), &["man"], &[], "").await;
    assert!(one.out.contains("codex\\-proxy"), "{}", one.out);
}

fn names(command: &Tree, path: &str, found: &mut Vec<String>) {
    found.push(path.to_owned());
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        names(inner, &format!("{path}-{}", inner.get_name()), found);
    }
}

#[test]
fn the_documentation_names_only_commands_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut seen = 0;
    let mut files: Vec<_> =
        ["README.md", "CHANGELOG.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"]
            .map(Into::into)
            .into();
    for folder in ["docs/src", "docs/src/reference"] {
        let pages = fs::read_dir(root.join(folder)).unwrap().map(|page| page.unwrap().path());
        files.extend(pages.filter(|page| page.is_file()));
    }
    for file in files {
        let text = fs::read_to_string(root.join(&file)).unwrap();
        let mut is_fenced = false;
        for line in text.lines() {
            let quoted = line.split('`').skip(1).step_by(2);
            is_fenced ^= line.starts_with("```");
            let block = line.strip_prefix("    ").or(is_fenced.then_some(line));
            let shell = quoted
                .chain(block)
                .flat_map(|code| code.split(['(', ')', '|', '#', ';', '>']))
                .map(str::trim);
            for code in shell.filter(|code| code.starts_with("codex-proxy ")) {
                seen += 1;
                let words = code.split_whitespace().map(|word| word.trim_matches('"'));
                if let Err(error) = proxy_core::cli::command().try_get_matches_from(words) {
                    // One that is only named may do without what it needs to be run.
                    use clap::error::ErrorKind::{DisplayHelp, DisplayVersion, MissingRequiredArgument};
                    assert!(
                        [DisplayHelp, DisplayVersion, MissingRequiredArgument].contains(&error.kind()),
                        "{}: `{code}`: {error}",
                        file.display()
                    );
                }
            }
        }
    }
    assert!(seen > 60, "only {seen} commands are documented");
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

#[tokio::test]
async fn the_proxys_own_output_is_not_mixed_with_commands() {
    let data = nothing();
    let mut child = command(data.path(), &["--port", "0"], &[]).spawn().unwrap();
    let mut first = [0_u8; 20];
    child.stdout.as_mut().unwrap().read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"listening on http://");
    child.kill().await.unwrap();
}
