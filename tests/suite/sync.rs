//! `codex-proxy config sync`: settings from one Codex home to another, and nothing else.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::cli::{Outcome, run};

async fn sync(root: &Path, more: &[&str]) -> Outcome {
    let [from, to] = ["dev", "prod"].map(|home| root.join(home).display().to_string());
    let arguments = [&["config", "sync", "--from", &from, "--to", &to], more].concat();
    run(&root.join("data"), &arguments, &[], "").await
}

#[tokio::test]
async fn settings_and_instructions_go_over_and_the_sign_in_stays() {
    let root = tempfile::tempdir().unwrap();
    let (dev, prod) = (root.path().join("dev"), root.path().join("prod"));
    fs::create_dir_all(&dev).unwrap();
    let empty = sync(root.path(), &[]).await;
    assert_eq!(empty.code, 1, "{empty:?}");
    fs::write(dev.join("config.toml"), "model = \"a\"\n").unwrap();
    fs::write(dev.join("AGENTS.md"), "be kind\n").unwrap();
    fs::write(dev.join("auth.json"), "{}").unwrap();
    let dry = sync(root.path(), &["--dry-run"]).await;
    assert_eq!(dry.code, 0, "{dry:?}");
    assert!(dry.out.contains("+model = \"a\""), "{dry:?}");
    assert!(!prod.exists());
    let first = sync(root.path(), &["--json"]).await;
    let told: Value = serde_json::from_str(&first.out).unwrap();
    assert_eq!(
        told["files"],
        json!([{"file": "config.toml", "status": "copied"},
                                     {"file": "AGENTS.md", "status": "copied"}])
    );
    assert!(!prod.join("auth.json").exists());
    let again = sync(root.path(), &[]).await;
    assert!(again.code == 0 && again.err.contains("the same already"), "{again:?}");

    fs::write(prod.join("config.toml"), "model = \"b\"\n").unwrap();
    let differs = sync(root.path(), &[]).await;
    assert_eq!(differs.code, 1, "{differs:?}");
    assert!(differs.err.contains("--force"), "{differs:?}");
    assert_eq!(fs::read_to_string(prod.join("config.toml")).unwrap(), "model = \"b\"\n");
    let shown = sync(root.path(), &["--dry-run"]).await;
    assert!(shown.out.contains("-model = \"b\"\n+model = \"a\""), "{shown:?}");
    let forced: Value = serde_json::from_str(&sync(root.path(), &["--force", "--json"]).await.out).unwrap();
    assert_eq!(fs::read_to_string(prod.join("config.toml")).unwrap(), "model = \"a\"\n");
    let kept = forced["files"][0]["before"].as_str().unwrap();
    assert_eq!(fs::read_to_string(kept).unwrap(), "model = \"b\"\n");
}

#[tokio::test]
async fn a_secret_stays_where_it_is() {
    let root = tempfile::tempdir().unwrap();
    let dev = root.path().join("dev");
    fs::create_dir_all(&dev).unwrap();
    let secret = "sk-canary-0123456789abcdefghij0123456789";
    fs::write(
        dev.join("config.toml"),
        format!("model = \"a\"\n[p]\nexperimental_bearer_token = \"{secret}\"\n"),
    )
    .unwrap();
    for more in [&["--force"][..], &["--dry-run"], &[]] {
        let refused = sync(root.path(), more).await;
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.err.contains("line 3") && !refused.err.contains(secret), "{refused:?}");
        assert!(!refused.out.contains(secret), "{refused:?}");
    }
    assert!(!root.path().join("prod").exists());
    let dev = dev.display().to_string();
    let same =
        run(&root.path().join("data"), &["config", "sync", "--from", &dev, "--to", &dev], &[], "").await;
    assert!(same.code == 64 && same.err.contains("the same directory"), "{same:?}");
}
