//! Other programs' settings, in a home directory of the test's own.

use std::fs;
use std::path::PathBuf;

use e2e::harness::{Proxy, Setup};
use e2e::sse;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

struct Scene {
    proxy: Proxy,
    home: TempDir,
}

impl Scene {
    async fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let setup = Setup::fake(&json!({}))
            .env("HOME", home.path().to_str().unwrap())
            .env("XDG_CONFIG_HOME", home.path().join(".config").to_str().unwrap());
        Self { proxy: setup.start().await, home }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.home.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        file
    }

    async fn standing(&self, id: &str) -> Value {
        let list = self.proxy.control_ok("/clients", None).await;
        list.as_array().unwrap().iter().find(|client| client["id"] == id).unwrap().clone()
    }

    async fn ask(&self, id: &str, what: &str, body: &Value) -> (u16, Value) {
        let path = format!("/clients/{id}/{what}");
        let (status, answer) =
            sse::json(self.proxy.control(Method::POST, &path).body(body.to_string())).await;
        (status.as_u16(), answer)
    }

    async fn undo(&self, id: &str) -> u16 {
        let request = self.proxy.control(Method::POST, &format!("/clients/{id}/undo"));
        request.send().await.unwrap().status().as_u16()
    }
}

#[tokio::test]
async fn a_clients_settings_are_shown_changed_and_brought_back() {
    let scene = Scene::start().await;
    let key = scene.proxy.control_ok("/keys", Some(&json!({"name": "codex-cli"}))).await;
    let secret = scene.proxy.control_ok("/keys/codex-cli/reveal", Some(&json!({}))).await["secret"].clone();
    let before = "# mine\nmodel = \"gpt-5\"\n\n[mcp_servers.x]\nenv = { API_KEY = \"canary-canary\" }\n";
    let file = scene.write(".codex/config.toml", before);
    let standing = scene.standing("codex-cli").await;
    assert_eq!(standing["config_file"], file.to_str().unwrap());
    assert_eq!(
        (&standing["exists"], &standing["configured"], &standing["can_undo"]),
        (&json!(true), &json!(false), &json!(false))
    );

    let with = json!({"key_id": key["id"]});
    let (status, preview) = scene.ask("codex-cli", "preview", &with).await;
    let diff = preview["diff"].as_str().unwrap();
    assert_eq!(status, 200);
    assert!(
        diff.contains("-model = \"gpt-5\"\n+model = \"codex-5\"\n+model_provider = \"codex-proxy\"\n"),
        "{diff}"
    );
    assert!(diff.contains(&format!("+base_url = \"{}\"", scene.proxy.base_url)), "{diff}");
    assert!(!diff.contains("canary-canary"), "another's key is shown: {diff}");
    assert_eq!(fs::read_to_string(&file).unwrap(), before, "a preview changes nothing");

    let (status, applied) = scene.ask("codex-cli", "apply", &with).await;
    assert_eq!(status, 200, "{applied}");
    let after = fs::read_to_string(&file).unwrap();
    assert!(after.starts_with("# mine\nmodel = \"codex-5\"\n"), "{after}");
    assert!(!after.contains(secret.as_str().unwrap()), "a key is written");
    let backup = PathBuf::from(applied["backup"].as_str().unwrap());
    assert_eq!(fs::read_to_string(&backup).unwrap(), before);
    let standing = scene.standing("codex-cli").await;
    assert_eq!((&standing["configured"], &standing["can_undo"]), (&json!(true), &json!(true)));

    assert_eq!(scene.undo("codex-cli").await, 204);
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    assert_eq!(scene.undo("codex-cli").await, 409, "there is nothing left to undo");
}

#[tokio::test]
async fn every_client_with_a_file_can_be_entered_and_left() {
    let scene = Scene::start().await;
    for (id, name) in [
        ("codex-cli", ".codex/config.toml"),
        ("continue", ".continue/config.yaml"),
        ("zed", ".config/zed/settings.json"),
        ("opencode", ".config/opencode/opencode.json"),
    ] {
        let file = scene.home.path().join(name);
        assert_eq!(scene.standing(id).await["config_file"], file.to_str().unwrap());
        let (status, applied) = scene.ask(id, "apply", &json!({})).await;
        assert_eq!((status, &applied["backup"]), (200, &Value::Null), "{id}: {applied}");
        assert!(fs::read_to_string(&file).unwrap().contains(&scene.proxy.base_url), "{id}");
        assert_eq!(scene.standing(id).await["configured"], true, "{id}");
        assert_eq!(scene.undo(id).await, 204, "{id}");
        assert!(!file.exists(), "{id}");
    }
}

#[tokio::test]
async fn what_cannot_be_done_is_said_and_not_done() {
    let scene = Scene::start().await;
    let file = scene.write(".config/zed/settings.json", "{ not json");
    let (status, error) = scene.ask("zed", "apply", &json!({})).await;
    assert_eq!((status, &error["error"]["code"]), (409, &json!("conflict")), "{error}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "{ not json");
    assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
    for (id, what, body, expected) in [
        ("emacs", "preview", json!({}), 404),
        ("zed", "preview", json!({"key_id": "nobody"}), 404),
        ("zed", "apply", json!({"key": "x"}), 400),
    ] {
        assert_eq!(scene.ask(id, what, &body).await.0, expected, "{id} {what}");
    }
}
