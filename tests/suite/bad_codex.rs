//! Programs that are not Codex, or a broken Codex: they print without end, hang or are too old. The memory and the log stay
//! small, and every message says which of these happened and what to do.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use e2e::codex_bin::{RECENT, codex_path};
use e2e::fake_openai::{FakeOpenAi, Script, Upstream};
use e2e::harness::{Proxy, Setup, fake_codex_path};
use e2e::patience::until;
use e2e::sse;
use serde_json::Value;
use tempfile::TempDir;

use crate::surface::{BOTH, error_code};

/// The largest allowed resident memory, in KiB, at any time. An idle proxy has about 45 MiB in a debug build.
const MEMORY: u64 = 128 * 1024;

/// The largest allowed log, in bytes.
const LOG: u64 = 200 * 1024;

/// A script in place of Codex. `$codex` in it is the fake Codex.
fn program(script: &str) -> (TempDir, Setup) {
    program_over(&fake_codex_path(), script)
}

fn program_over(codex: &Path, script: &str) -> (TempDir, Setup) {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), codex, script);
    (dir, Setup::over(path))
}

fn write(dir: &Path, codex: &Path, script: &str) -> std::path::PathBuf {
    let path = dir.join("codex");
    fs::write(&path, format!("#!/bin/sh\ncodex='{}'\n{script}\n", codex.display())).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn status_of(proxy: &Proxy) -> String {
    let pid = proxy.pid().unwrap().as_raw_nonzero();
    fs::read_to_string(format!("/proc/{pid}/status")).unwrap()
}

fn assert_small(proxy: &Proxy, what: &str) {
    let status = status_of(proxy);
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = line.trim().trim_end_matches("kB").trim().parse().unwrap();
    assert!(peak < MEMORY, "{what}: the proxy had {peak} KiB at a time");
    let logs = fs::read_dir(proxy.data_dir().join("logs")).unwrap();
    let bytes: u64 = logs.map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes < LOG, "{what}: {bytes} bytes were logged");
}

async fn json_of(proxy: &Proxy, path: &str) -> Value {
    sse::json(proxy.bare(http::Method::GET, &proxy.root_url(path))).await.1
}

/// Waits until all these places show `says`: `/readyz`, `/healthz`, `status`, `doctor` and errors on both surfaces.
async fn everybody_is_told(proxy: &Proxy, says: &[&str]) {
    let reason =
        |health: &Value| health["health"]["readiness"]["reason"].as_str().unwrap_or_default().to_owned();
    until(&format!("{says:?} in {}", reason(&json_of(proxy, "/readyz").await)), async || {
        let told = reason(&json_of(proxy, "/readyz").await);
        says.iter().all(|word| told.contains(word)).then_some(())
    })
    .await;
    let mut places = vec![("/healthz".to_owned(), reason(&json_of(proxy, "/healthz").await))];
    for surface in BOTH {
        let (status, body) = sse::json(proxy.post(surface.path(), &surface.ask("hi"))).await;
        assert_eq!((status.as_u16(), error_code(&body).as_str()), (503, "worker_not_ready"), "{body}");
        places.push((surface.path().to_owned(), body["error"]["message"].as_str().unwrap().to_owned()));
    }
    for command in [&["status"][..], &["doctor"]] {
        let mut run = proxy.beside(&e2e::harness::proxy_path(), command);
        let output = run.output().await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        places.push((command.join(" "), text.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
    for (place, text) in &places {
        for word in says {
            assert!(text.contains(word), "{place} does not say {word:?}: {text}");
            let sentence = word.contains("did not print") || word.contains("too old:");
            assert!(!sentence || text.matches(word).count() == 1, "{place} says {word:?} twice: {text}");
        }
        assert!(!text.contains("..") || text.contains("..."), "{place}: {text}");
    }
}

#[tokio::test]
async fn a_program_that_prints_without_end_when_asked_for_its_version() {
    for script in ["exec yes", "yes & wait", "exec cat /dev/zero", "exec yes >&2"] {
        let endless_stderr = script.contains(">&2");
        let (_dir, setup) = program(script);
        let proxy = setup.unready().env("WORKER_READY_TIMEOUT_MS", "100").start().await;
        let what = if endless_stderr { "has not answered" } else { "printed more than" };
        everybody_is_told(&proxy, &[what, "version", "CODEX_BIN", "codex-proxy codex install"]).await;
        assert_small(&proxy, script);
        proxy.stop().await;
    }
}

#[tokio::test]
async fn a_codex_whose_output_is_no_protocol_is_ended_and_said_to_be_so() {
    for noise in ["yes", "yes '{\"neither\": 1}'", "cat /dev/urandom", "cat /dev/zero"] {
        let script = format!("case \"$*\" in *app-server*) exec {noise};; esac\nexec $codex \"$@\"");
        let (_dir, setup) = program(&script);
        let proxy = setup.unready().start().await;
        let what = if noise.contains("zero") { "which is too long" } else { "no messages of Codex's" };
        everybody_is_told(&proxy, &[what, "CODEX_BIN", "codex-proxy codex install"]).await;
        assert_small(&proxy, noise);
        let left_out = proxy.log_text().matches("a line that is no message").count();
        assert!(left_out <= 20, "{noise}: {left_out} lines of one kind");
        proxy.stop().await;
    }
}

#[tokio::test]
async fn complaints_without_end_leave_the_log_as_it_is() {
    let script = "case \"$*\" in *app-server*) yes 'no such thing' >&2 & ;; esac\nexec $codex \"$@\"";
    let (_dir, setup) = program(script);
    let proxy = setup.env("PROXY_LOG", "info,codex=debug").start().await;
    for surface in BOTH {
        for _ in 0..20 {
            assert!(!surface.text(&surface.answer(&proxy, &surface.ask("hi")).await).is_empty());
        }
    }
    proxy.wait_for_log("no such thing").await;
    assert_small(&proxy, "stderr");
    let log = proxy.stop().await;
    assert!(log.contains("log lines were left out"), "{log}");
}

/// If the account's catalogue never ends, the proxy uses the catalogue that is built into Codex.
#[tokio::test]
async fn a_catalogue_without_end_is_done_without_where_there_is_another() {
    for version in RECENT {
        let upstream = FakeOpenAi::of(Upstream::SignedIn).await;
        upstream.fall_back_to(Script::text("Hello"));
        let dir = tempfile::tempdir().unwrap();
        let script = "case \"$*\" in *bundled*) ;; *'debug models'*) exec yes;; esac\nexec $codex \"$@\"";
        let path = write(dir.path(), &codex_path(version), script);
        let setup = Setup::real(version, &upstream).env("CODEX_BIN", path.to_str().unwrap());
        let proxy = setup.start().await;
        for surface in BOTH {
            assert_eq!(surface.text(&surface.answer(&proxy, &surface.ask("hi")).await), "Hello", "{version}");
        }
        assert!(proxy.log_text().contains("printed more than"), "{}", proxy.log_text());
        assert_small(&proxy, version);
        proxy.stop().await;
    }
}

#[tokio::test]
async fn a_program_that_is_silent_is_said_to_be_so() {
    let silent = "exec sleep 1000";
    let handshake = "case \"$*\" in *app-server*) exec sleep 1000;; esac\nexec $codex \"$@\"";
    for (script, says) in [(silent, "--version"), (handshake, "app-server")] {
        let (_dir, setup) = program(script);
        let setup = setup.unready().env("WORKER_STARTUP_TIMEOUT_MS", "60000");
        let proxy = setup.env("WORKER_READY_TIMEOUT_MS", "100").start().await;
        everybody_is_told(&proxy, &[says, "has not answered", "CODEX_BIN"]).await;
        proxy.stop().await;
    }
}

#[tokio::test]
async fn a_program_that_stays_silent_is_ended_and_said_to_have_been_so() {
    let (_dir, setup) = program("exec sleep 1000");
    let proxy = setup.unready().start().await;
    everybody_is_told(
        &proxy,
        &["did not print its version within 15 s", "--version", "CODEX_BIN", "codex install"],
    )
    .await;
    proxy.stop().await;
    let (_dir, setup) = program("case \"$*\" in *app-server*) exec sleep 1000;; esac\nexec $codex \"$@\"");
    let proxy = setup.unready().env("WORKER_STARTUP_TIMEOUT_MS", "1000").start().await;
    everybody_is_told(&proxy, &["WORKER_STARTUP_TIMEOUT_MS", "handshake within 1 s", "CODEX_BIN"]).await;
    proxy.stop().await;
}

#[tokio::test]
async fn a_codex_that_is_too_old_is_not_even_tried() {
    let version = "[ \"$1\" = --version ] && { echo codex-cli 0.20.0; exit 0; }\n";
    for rest in ["exec sleep 1000", "exit 2"] {
        let (_dir, setup) = program(&format!("{version}{rest}"));
        let proxy = setup.unready().start().await;
        everybody_is_told(
            &proxy,
            &["Codex 0.20.0 is too old:", "0.77.0 or newer", "codex-proxy codex install"],
        )
        .await;
        proxy.stop().await;
    }
}

#[tokio::test]
async fn how_a_codex_ends_is_told_once() {
    let script = "case \"$*\" in *app-server*) echo 'no database' >&2; exit 3;; esac\nexec $codex \"$@\"";
    let (_dir, setup) = program(script);
    let proxy = setup.unready().start().await;
    everybody_is_told(&proxy, &["Codex ended with exit status: 3", "no database", "CODEX_BIN"]).await;
    for surface in BOTH {
        let (_, body) = sse::json(proxy.post(surface.path(), &surface.ask("hi"))).await;
        let message = body["error"]["message"].as_str().unwrap();
        assert_eq!(message.matches("ended").count(), 1, "{message}");
    }
    proxy.stop().await;
}
