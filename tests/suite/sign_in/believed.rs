//! Any web page can open Codex's own sign-in pages. So the proxy reports a sign-in only when the account confirms it.

use serde_json::{Value, json};

use super::{Stage, codex_port, parameter};

impl Stage {
    /// Opens one of Codex's own pages as another site in the browser would.
    async fn open_as_another_site(&self, login: &Value, page: &str) {
        let url = format!("http://127.0.0.1:{}{page}", codex_port(login));
        let request = self.proxy.bare(reqwest::Method::GET, &url);
        let answer =
            request.header("host", "evil.example").header("origin", "http://evil.example").send().await;
        assert_eq!(answer.unwrap().status(), 200, "Codex answers {page}");
    }

    /// The sign-in that was begun in the place of this one, and the account then.
    async fn renewed(&self, login: &Value) -> (Value, Value) {
        let is_renewed = |account: &Value| {
            account["login"]["id"].is_string()
                && account["login"]["id"] != login["id"]
                && account["problem"].is_string()
        };
        let account = self.proxy.wait_for_account("another sign-in", is_renewed).await;
        (account["login"].clone(), account)
    }
}

#[tokio::test]
async fn a_page_that_ends_a_sign_in_signs_nobody_in_and_the_sign_in_goes_on() {
    for page in ["/success", "/success?id_token=x", "/cancel"] {
        let stage = Stage::set().await;
        let login = stage.login("browser").await;
        stage.open_as_another_site(&login, page).await;
        let (renewed, account) = stage.renewed(&login).await;
        assert_eq!((&account["state"], &account["email"]), (&json!("signing_in"), &Value::Null), "{account}");
        assert!(account["problem"].as_str().unwrap().contains("from outside"), "{account}");
        let log = stage.proxy.log_text();
        assert!(!log.contains("somebody has signed in"), "{page}: {log}");
        assert!(log.contains("ended from outside"), "{page}: {log}");
        let health = stage.get_owned(stage.proxy.root_url("/healthz")).await.text().await.unwrap();
        let health: Value = serde_json::from_str(&health).unwrap();
        assert_eq!(health["worker_supervisor"]["restarts"], 0, "{page}: a worker was replaced for nothing");
        let refusal = stage.is_refused().await;
        assert_eq!(refusal["login_id"], renewed["id"], "{page}");

        stage.come_back(&renewed).await;
        assert_eq!(stage.signed_in().await["problem"], Value::Null);
        stage.is_served().await;
        stage.end().await;
    }
}

#[tokio::test]
async fn a_page_that_keeps_ending_sign_ins_is_told_of_and_a_code_is_the_way() {
    let stage = Stage::set().await;
    let mut login = stage.login("browser").await;
    for page in ["/success", "/cancel"] {
        stage.open_as_another_site(&login, page).await;
        (login, _) = stage.renewed(&login).await;
    }
    stage.open_as_another_site(&login, "/success").await;
    let over = |account: &Value| account["state"] == "signed_out" && account["problem"].is_string();
    let account = stage.proxy.wait_for_account("the end", over).await;
    assert!(account["problem"].as_str().unwrap().contains("--device-code"), "{account}");
    stage.login("device_code").await;
    stage.issuer.approve_device();
    stage.signed_in().await;
    stage.is_served().await;
    stage.end().await;
}

#[tokio::test]
async fn who_is_signed_in_stays_so_and_may_go_on_changing_the_account() {
    let stage = Stage::set().await;
    stage.sign_in().await;
    stage.is_served().await;
    let before = stage.proxy.log_text().matches("somebody has signed in").count();
    let login = stage.login("browser").await;
    stage.open_as_another_site(&login, "/success").await;
    let (renewed, account) = stage.renewed(&login).await;
    assert_eq!(account["state"], "signed_in", "{account}");
    assert_eq!(stage.proxy.log_text().matches("somebody has signed in").count(), before);
    let callback = stage.consent(&renewed).await;
    assert!(!parameter(&callback, "state").is_empty());
    stage.come_back(&renewed).await;
    stage.proxy.wait_for_account("the end of it", |account| account["login"].is_null()).await;
    stage.is_served().await;
    stage.end().await;
}
