//! A signed-in Codex with OpenAI's own upstream: a WebSocket for each thread, accounts, tokens.
//!
//! Other files test the common behaviour on both upstreams. This file tests what the plain upstream does not have.

mod broken;
mod limits;
mod tokens;

use std::collections::BTreeSet;

use e2e::codex_bin::RECENT;
use e2e::fake_openai::{FakeOpenAi, Script};
use e2e::harness::{Proxy, Setup};
use e2e::sse::{self, SseReader};
use serde_json::{Value, json};

use crate::surface::{BOTH, Surface};

/// What a client sees of one answer.
#[derive(Debug)]
struct Seen {
    status: u16,
    text: String,
    /// The error, of the answer or in the stream.
    error: Value,
}

async fn whole(proxy: &Proxy, surface: Surface, text: &str) -> Seen {
    let (status, body) = sse::json(proxy.post(surface.path(), &surface.ask(text))).await;
    Seen { status: status.as_u16(), text: surface.text(&body), error: body["error"].clone() }
}

async fn streamed(proxy: &Proxy, surface: Surface, text: &str) -> Seen {
    let mut ask = surface.ask(text);
    ask["stream"] = json!(true);
    let response = proxy.post(surface.path(), &ask).send().await.unwrap();
    let status = response.status().as_u16();
    if status != 200 {
        let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        return Seen { status, text: String::new(), error: body["error"].clone() };
    }
    let events = SseReader::new(response).await.events().await;
    let error = events.iter().map(|event| &event["error"]).find(|error| error.is_object());
    Seen { status, text: surface.streamed_text(&events), error: error.cloned().unwrap_or_default() }
}

/// The same question whole and streamed, on both surfaces.
async fn everywhere(proxy: &Proxy, text: &str) -> Vec<Seen> {
    let mut seen = Vec::new();
    for surface in BOTH {
        seen.push(whole(proxy, surface, text).await);
        seen.push(streamed(proxy, surface, text).await);
    }
    seen
}

fn all_say(seen: &[Seen], text: &str) {
    for one in seen {
        assert_eq!((one.status, one.text.as_str(), &one.error), (200, text, &Value::Null), "{seen:#?}");
    }
}

#[tokio::test]
async fn nothing_is_asked_or_told_that_an_answer_does_not_need() {
    for version in RECENT {
        let upstream = FakeOpenAi::signed_in().await;
        upstream.fall_back_to(Script::text("well"));
        let proxy = Setup::signed_in(version, &upstream).start().await;
        all_say(&everywhere(&proxy, "hi").await, "well");
        proxy.stop().await;
        let needed =
            ["wham/accounts/check", "wham/usage", "wham/rate-limit-reset-credits", "wham/settings/user"];
        let needed = needed.map(|path| format!("/backend-api/{path}"));
        let asked: BTreeSet<_> = upstream.issuer().unwrap().seen().into_iter().collect();
        assert!(asked.iter().all(|path| needed.contains(path)), "{version}: {asked:?}");
        for other in upstream.other_requests() {
            assert!(other.path.starts_with("/v1/models?"), "{version}: {other:#?}");
        }
    }
}

#[tokio::test]
async fn what_codex_says_about_an_item_is_when_and_of_which_kind() {
    for version in RECENT {
        let upstream = FakeOpenAi::signed_in().await;
        upstream.fall_back_to(Script::text("well"));
        let proxy = Setup::signed_in(version, &upstream).start().await;
        all_say(&everywhere(&proxy, "hi").await, "well");
        for request in upstream.requests() {
            let about = request.metadata();
            assert!(!about.is_empty(), "{version}: {:#}", request.body);
            let told: BTreeSet<_> =
                about.iter().flat_map(|about| about.as_object().unwrap().keys()).collect();
            assert!(
                told.iter()
                    .all(|key| ["turn_id", "create_time", "content_item_kinds"].contains(&key.as_str())),
                "{version}: {told:?}"
            );
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn requests_leave_no_connection_and_no_descriptor_behind() {
    use e2e::patience::until;
    use e2e::processes::descriptors;

    const REQUESTS: usize = 40;
    for version in RECENT {
        let upstream = FakeOpenAi::signed_in().await;
        upstream.fall_back_to(Script::text("well"));
        let setup = Setup::signed_in(version, &upstream)
            .env("PROXY_WORKER_COUNT", "1")
            .env("PROXY_KEPT_THREADS", "0");
        let proxy = setup.start().await;
        all_say(&everywhere(&proxy, "hi").await, "well");
        upstream.wait_for_connections("the first to end", |now| now.open == 0).await;
        let codex = proxy.control_ok("/status", None).await["workers"][0]["pid"].as_u64().unwrap();
        let before = descriptors(codex);
        for round in 0..REQUESTS / 4 {
            let asks =
                BOTH.iter().flat_map(|surface| [*surface; 2]).map(|surface| whole(&proxy, surface, "hi"));
            all_say(&futures_util::future::join_all(asks).await, "well");
            assert!(upstream.connections().ever > round, "each has a connection of its own");
        }
        upstream.wait_for_connections("all to end", |now| now.open == 0).await;
        // Some are opened when first needed and kept: to Codex's databases, and to the accounts.
        let few = before + REQUESTS / 2;
        until("the descriptors to be given back", async || (descriptors(codex) <= few).then_some(())).await;
    }
}
