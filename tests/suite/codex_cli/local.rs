//! Installing a Codex from a file on this machine, without a registry.

use std::fs;
use std::path::Path;

use e2e::codex_bin::{NEWEST, codex_path};
use e2e::fake_npm::{Piece, archive, binary_name};
use e2e::harness::proxy_path;
use proxy_core::codex_install::{CodexError, Phase, Source};
use serde_json::json;

use super::running::{bare, codex_until, control, is_over};
use super::{Machine, names, version_in_use};

const SCRIPT: &[u8] = b"#!/bin/sh\necho codex-cli 0.150.0\n";

fn release() -> String {
    format!("codex-{}-unknown-linux-musl", std::env::consts::ARCH)
}

#[tokio::test]
async fn a_package_a_release_and_a_program_are_taken() {
    let machine = Machine::new().await;
    machine.registry.set(|scene| scene.status = Some(500));
    let codex = machine.codex();
    let file = |name: &str, bytes: &[u8]| {
        let path = machine.root.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let package = file("package.tgz", &archive(&[Piece::file(&binary_name(), SCRIPT)]));
    let job = codex.install_file(&package).await.unwrap();
    assert_eq!((job.phase, job.version.as_deref()), (Phase::Done, Some("0.150.0")));
    let status = codex.status().await;
    assert_eq!((status.source, status.problem), (Some(Source::Managed), None));

    let newer = b"#!/bin/sh\necho codex-cli 0.151.0\n";
    let pieces = [Piece::file("README.md", b"a text"), Piece::file(&release(), newer)];
    codex.install_file(&file("codex.tar.gz", &archive(&pieces))).await.unwrap();
    assert_eq!(version_in_use(&codex).await.as_deref(), Some("0.151.0"));

    codex.install_file(&codex_path(NEWEST)).await.unwrap();
    let status = codex.status().await;
    assert_eq!(status.version.as_deref(), Some(NEWEST));
    assert!(status.path.unwrap().starts_with(machine.dir()), "it is a copy");
    assert_eq!(status.managed.previous.as_deref(), Some("0.151.0"));
    codex.rollback().await.unwrap();
    assert_eq!(version_in_use(&codex).await.as_deref(), Some("0.151.0"));
    assert_eq!(machine.registry.asked().len(), 0, "no registry is needed");
}

#[tokio::test]
async fn what_is_no_codex_or_does_not_run_changes_nothing() {
    let machine = Machine::new().await;
    let codex = machine.codex();
    let good = machine.root.path().join("good.tgz");
    fs::write(&good, archive(&[Piece::file(&binary_name(), SCRIPT)])).unwrap();
    codex.install_file(&good).await.unwrap();
    let bad = machine.root.path().join("bad");
    let takes = async |bytes: &[u8]| {
        fs::write(&bad, bytes).unwrap();
        let error = codex.install_file(&bad).await.unwrap_err();
        assert_eq!(version_in_use(&codex).await.as_deref(), Some("0.150.0"), "{error}");
        assert_eq!(names(&machine.dir().join("staging")), [""; 0], "{error}");
        error
    };
    assert!(matches!(takes(b"a text").await, CodexError::NotCodex(_)));
    assert!(matches!(takes(b"").await, CodexError::NotCodex(_)));
    assert!(matches!(takes(b"\x1f\x8b no gzip").await, CodexError::Corrupt(_)));
    let pack = |name: &str, body: &[u8]| archive(&[Piece::file(name, body)]);
    assert!(matches!(takes(&pack("other", b"x")).await, CodexError::NoBinary { .. }));
    assert!(matches!(takes(&pack("package/../evil", b"x")).await, CodexError::UnsafeEntry { .. }));
    let other = pack(&binary_name(), b"#!/bin/sh\necho another-program 1.2.3\n");
    assert!(matches!(takes(&other).await, CodexError::NotCodex(_)));
    let old = pack(&binary_name(), b"#!/bin/sh\necho codex-cli 0.40.0\n");
    assert!(matches!(takes(&old).await, CodexError::TooOld(_)));
    let broken = pack(&release(), b"#!/bin/sh\nexit 3\n");
    assert!(matches!(takes(&broken).await, CodexError::DoesNotRun(_)));
    let missing = codex.install_file(Path::new("/nowhere/codex")).await.unwrap_err();
    assert!(matches!(missing, CodexError::Unreadable { .. }), "{missing}");
}

#[tokio::test]
async fn the_running_proxy_takes_one_and_uses_it() {
    let data = tempfile::tempdir().unwrap();
    let proxy = bare(data.path(), "http://127.0.0.1:1/").start().await;
    let install = async |body| control(&proxy, http::Method::POST, "/codex/install", &body).await;
    assert_eq!(install(json!({"file": "codex"})).await.0, 400, "not a whole path");
    assert_eq!(install(json!({"file": "/x", "version": "0.150.0"})).await.0, 400);
    let (status, _) = install(json!({"file": codex_path(NEWEST)})).await;
    assert_eq!(status, 202);
    let codex = codex_until(&proxy, is_over).await;
    assert_eq!((&codex["job"]["phase"], &codex["version"]), (&json!("done"), &json!(NEWEST)), "{codex:#}");
}

#[test]
fn asking_for_a_version_leaves_no_trace_in_a_home() {
    let (home, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut command = std::process::Command::new(proxy_path());
    command.args(["codex", "status"]).env_clear().env("PATH", "/usr/bin:/bin");
    command.env("HOME", home.path()).env("PROXY_DATA_DIR", data.path()).env("PROXY_KEYCHAIN", "off");
    let output = command.env("CODEX_BIN", codex_path(NEWEST)).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains(NEWEST), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(names(home.path()), [""; 0]);
}
