//! The program is killed at every moment of an installation. The old version still works, and so does the next try.

use std::fs;
use std::path::Path;

use e2e::fake_npm::FakeNpm;
use e2e::harness::Proxy;
use http::Method;
use rustix::fs::{Mode, mkfifoat};
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use super::names;
use super::running::{bare, codex_until, control, is_over};
use crate::surface::Surface;

/// Kills the proxy, so that it cannot clean up.
async fn kill(mut proxy: Proxy) {
    kill_process(proxy.pid().unwrap(), Signal::KILL).unwrap();
    proxy.exit().await;
}

async fn starts_with(data: &Path, registry: &FakeNpm, version: &str) -> Proxy {
    let proxy = bare(data, &registry.url()).start().await;
    codex_until(&proxy, |status| status["version"] == version && status["supported"] == true).await;
    Surface::Responses.answer(&proxy, &Surface::Responses.ask("hi")).await;
    proxy
}

/// Waits until a phase has started. `hold` keeps the installation in that phase.
async fn begun(proxy: &Proxy, phase: &str) {
    codex_until(proxy, |status| {
        assert_ne!(status["job"]["phase"], "failed", "{status:#}");
        status["job"]["phase"] == phase
    })
    .await;
}

fn fifo(path: &Path) {
    mkfifoat(rustix::fs::CWD, path, Mode::RUSR | Mode::WUSR).unwrap();
}

#[tokio::test]
async fn a_kill_in_any_phase_leaves_the_old_version_and_the_next_try_works() {
    let data = tempfile::tempdir().unwrap();
    let codex = data.path().join("codex");
    let gate = data.path().join("gate");
    let registry = FakeNpm::start().await;
    registry.publish_fake("0.100.0", 1000);
    let proxy = bare(data.path(), &registry.url()).start().await;
    assert_eq!(control(&proxy, Method::POST, "/codex/update", &Value::Null).await.0, 202);
    codex_until(&proxy, is_over).await;
    kill(proxy).await;

    // A binary that waits before it prints its version makes the check phase last.
    let fake = e2e::harness::fake_codex_path();
    let gated = |version: &str| {
        format!(
            "#!/bin/sh\n[ \"$*\" = --version ] && {{ [ -p '{gate}' ] && read -r _ < '{gate}'; echo codex-cli {version}; exit; }}\n\
             exec '{}' \"$@\"\n",
            fake.display(),
            gate = gate.display(),
        )
    };
    for phase in ["resolving", "downloading", "unpacking", "checking", "switching"] {
        let proxy = starts_with(data.path(), &registry, "0.100.0").await;
        match phase {
            "resolving" => registry.set(|scene| scene.hold_metadata = true),
            "downloading" => registry.set(|scene| scene.hold_after = Some(50_000)),
            _ => {}
        }
        registry.publish_fake("0.120.0", if phase == "unpacking" { 60_000_000 } else { 200_000 });
        if ["checking", "switching"].contains(&phase) {
            registry.publish_script("0.120.0", &gated("0.120.0"));
            fifo(&gate);
        }
        assert_eq!(control(&proxy, Method::POST, "/codex/update", &json!({})).await.0, 202);
        begun(&proxy, if phase == "switching" { "checking" } else { phase }).await;
        if phase == "switching" {
            // The temporary file of the new pointer cannot be opened before it is read.
            fifo(&codex.join("current.json.tmp"));
            fs::write(&gate, "").unwrap();
            begun(&proxy, phase).await;
            assert!(codex.join("versions/0.120.0").is_dir(), "all but the pointer is in place");
        }
        kill(proxy).await;
        let _ = fs::remove_file(&gate);
        let _ = fs::remove_file(codex.join("current.json.tmp"));
        registry.set(|scene| (scene.hold_metadata, scene.hold_after) = (false, None));

        let proxy = starts_with(data.path(), &registry, "0.100.0").await;
        assert_eq!(control(&proxy, Method::POST, "/codex/update", &json!({})).await.0, 202);
        let status = codex_until(&proxy, is_over).await;
        assert_eq!(status["job"]["phase"], "done", "{phase}: {status:#}");
        kill(proxy).await;

        let proxy = starts_with(data.path(), &registry, "0.120.0").await;
        for dir in ["downloads", "staging"] {
            assert_eq!(names(&codex.join(dir)), [""; 0], "{phase}: {dir}");
        }
        assert_eq!(control(&proxy, Method::POST, "/codex/rollback", &json!({})).await.0, 202);
        codex_until(&proxy, is_over).await;
        proxy.stop().await;
        // The next phase downloads version 0.120.0 again.
        let pointer: Value = serde_json::from_slice(&fs::read(codex.join("current.json")).unwrap()).unwrap();
        let only = json!({"format": 1, "current": pointer["current"], "previous": null});
        fs::write(codex.join("current.json"), only.to_string()).unwrap();
    }
}
