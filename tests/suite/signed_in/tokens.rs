//! Tokens that are expired, refused, renewed or given back.

use std::fs;

use e2e::codex_bin::RECENT;
use e2e::fake_openai::issuer::Person;
use e2e::fake_openai::{FakeOpenAi, Gate, Script};
use e2e::harness::{Proxy, Setup};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Seen, all_say, everywhere};
use crate::surface::Surface;

/// A person with other tokens than those that the issuer gives now.
fn earlier(lifetime: i64) -> Person {
    Person { signature: "from-earlier".to_owned(), lifetime, ..Person::default() }
}

async fn signed_in_earlier(version: &str, upstream: &FakeOpenAi, lifetime: i64) -> Proxy {
    Setup::signed_in_as(version, upstream, &earlier(lifetime)).start().await
}

fn access_token(proxy: &Proxy) -> String {
    let text = fs::read_to_string(proxy.codex_home().join("auth.json")).unwrap();
    let auth: Value = serde_json::from_str(&text).unwrap();
    auth["tokens"]["access_token"].as_str().unwrap().to_owned()
}

fn renewals(upstream: &FakeOpenAi) -> usize {
    upstream.issuer().unwrap().seen().iter().filter(|path| *path == "/oauth/token").count()
}

fn all_have_to_sign_in(proxy: &Proxy, seen: &[Seen], page: &str) {
    for one in seen {
        assert_eq!(one.error["code"], "login_required", "{seen:#?}\n{}", proxy.log_text());
        if one.status != 200 {
            assert_eq!(one.status, 401, "{seen:#?}");
            assert!(one.error["message"].as_str().unwrap().contains(page), "{seen:#?}");
        }
    }
}

/// The sign-in page of this proxy.
async fn page(proxy: &Proxy) -> String {
    let account = proxy.wait_for_account("the page", |account| account["sign_in_url"].is_string()).await;
    account["sign_in_url"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_expired_token_is_renewed_before_anything_is_asked() {
    for version in RECENT {
        let upstream = FakeOpenAi::signed_in().await;
        upstream.fall_back_to(Script::text("well"));
        let proxy = signed_in_earlier(version, &upstream, -3600).await;
        all_say(&everywhere(&proxy, "hi").await, "well");
        assert_eq!(renewals(&upstream), 1, "{version}");
        let token = upstream.issuer().unwrap().tokens().pop().unwrap();
        assert_eq!(access_token(&proxy), token);
        for request in upstream.requests() {
            assert_eq!(request.headers["authorization"], format!("Bearer {token}"), "{version}");
        }
    }
}

#[tokio::test]
async fn an_expired_token_that_is_not_renewed_is_no_sign_in() {
    for version in RECENT {
        let upstream = FakeOpenAi::signed_in().await;
        upstream.issuer().unwrap().refuse_to_refresh();
        upstream.fall_back_to(Script::text("well"));
        let proxy = signed_in_earlier(version, &upstream, -3600).await;
        let seen = everywhere(&proxy, "hi").await;
        all_have_to_sign_in(&proxy, &seen, &page(&proxy).await);
        assert!(seen.iter().all(|one| one.status == 401), "{version}: {seen:#?}");
        assert_eq!(upstream.connections().ever, 0, "{version}: nothing is tried with it");
    }
}

#[tokio::test]
async fn a_refused_token_is_renewed_and_the_request_goes_on() {
    for version in RECENT {
        let upstream = FakeOpenAi::signed_in().await;
        upstream.fall_back_to(Script::text("well"));
        let proxy = signed_in_earlier(version, &upstream, 86_400).await;
        upstream.refuse_token(&access_token(&proxy));
        all_say(&everywhere(&proxy, "hi").await, "well");
        assert_eq!(renewals(&upstream), 1, "{version}");
        assert_eq!(access_token(&proxy), upstream.issuer().unwrap().tokens().pop().unwrap());
    }
}

#[tokio::test]
async fn a_401_within_a_connection_is_tried_again_on_another() {
    for version in RECENT {
        let upstream = FakeOpenAi::signed_in().await;
        let proxy = Setup::signed_in(version, &upstream).start().await;
        let error = json!({"message": "not with this token", "type": "invalid_request_error"});
        for _ in 0..4 {
            upstream.push(Script::http_error(401, json!({"error": error}), &[]));
            upstream.push(Script::text("well"));
        }
        all_say(&everywhere(&proxy, "hi").await, "well");
    }
}

#[tokio::test]
async fn a_refused_token_that_is_not_renewed_asks_for_a_sign_in() {
    for version in RECENT {
        let upstream = FakeOpenAi::signed_in().await;
        upstream.issuer().unwrap().refuse_to_refresh();
        upstream.fall_back_to(Script::text("well"));
        let proxy = signed_in_earlier(version, &upstream, 86_400).await;
        upstream.refuse_token(&access_token(&proxy));
        let seen = everywhere(&proxy, "hi").await;
        // Where any port will do, the page has none before the first has found out that it is needed.
        let (first, rest) = seen.split_first().unwrap();
        assert_eq!((first.status, &first.error["code"]), (401, &json!("login_required")), "{first:#?}");
        all_have_to_sign_in(&proxy, rest, &page(&proxy).await);
        assert_eq!(upstream.requests().len(), 0, "{version}");
    }
}

#[tokio::test]
async fn signing_out_ends_what_runs_and_the_next_has_to_sign_in() {
    for version in RECENT {
        let upstream = FakeOpenAi::signed_in().await;
        let proxy = Setup::signed_in(version, &upstream).start().await;
        let gate = Gate::new();
        upstream.push(Script::new().message_held("one", &gate, "two"));
        let surface = Surface::Responses;
        let mut stream = proxy.stream(surface.path(), &surface.ask("hi")).await;
        stream.until("response.output_text.delta").await;
        let answer = proxy.control(Method::POST, "/account/logout").send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let rest = stream.events().await;
        let last = rest.last().unwrap();
        assert_eq!(last["type"], "response.failed", "{version}: {rest:#?}");
        let seen = everywhere(&proxy, "hi").await;
        all_have_to_sign_in(&proxy, &seen, &page(&proxy).await);
        assert_eq!(upstream.requests().len(), 1, "{version}");
        assert!(upstream.issuer().unwrap().seen().contains(&"/oauth/revoke".to_owned()));
        upstream.wait_for_connections("the end of the connection", |now| now.open == 0).await;
    }
}
