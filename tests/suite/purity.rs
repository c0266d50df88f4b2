//! Nothing but the client's own words and tools reaches the model.

use e2e::codex_bin::{FLOOR, NEWEST, PREVIOUS};
use e2e::fake_openai::{FakeOpenAi, Recorded, Script, UPSTREAMS, Upstream};
use e2e::harness::{Proxy, Setup};
use e2e::sse;
use reqwest::Method;
use serde_json::{Value, json};

use crate::surface::{BOTH, Surface};

/// The ids of the catalogue's models without effort suffixes, as Codex itself knows them.
async fn catalogue(proxy: &Proxy) -> Vec<String> {
    let (status, models) = sse::json(proxy.request(Method::GET, "/models")).await;
    assert_eq!(status, 200);
    let ids: Vec<String> =
        models["data"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap().to_owned()).collect();
    assert!(ids.len() > 10, "{ids:?}");
    ids
}

/// The tools of a request, from wherever they travel.
fn tools(request: &Recorded) -> Vec<Value> {
    let direct = request.body["tools"].as_array().into_iter().flatten();
    let items = request.body["input"].as_array().into_iter().flatten();
    let carried = items
        .filter(|item| item["type"] == "additional_tools")
        .flat_map(|item| item["tools"].as_array().into_iter().flatten());
    direct
        .chain(carried)
        .flat_map(|tool| match tool["type"].as_str() {
            Some("namespace") => tool["tools"].as_array().cloned().unwrap_or_default(),
            _ => vec![tool.clone()],
        })
        .collect()
}

fn messages(request: &Recorded) -> Vec<Value> {
    let mut items = request.input_without_ids();
    items.retain(|item| item["type"] != "additional_tools");
    items
}

#[tokio::test]
async fn every_model_gets_only_what_the_client_sent() {
    every_model(Upstream::Plain, NEWEST, &BOTH).await;
}

#[tokio::test]
async fn every_model_gets_only_what_the_client_sent_with_a_sign_in() {
    every_model(Upstream::SignedIn, NEWEST, &BOTH).await;
}

#[tokio::test]
async fn every_model_gets_only_what_the_client_sent_from_the_codex_before() {
    every_model(Upstream::SignedIn, PREVIOUS, &[Surface::Responses]).await;
}

async fn every_model(kind: Upstream, version: &str, surfaces: &[Surface]) {
    let upstream = FakeOpenAi::of(kind).await;
    upstream.fall_back_to(Script::text("ok"));
    let proxy = Setup::real(version, &upstream).start().await;
    let mut models = catalogue(&proxy).await;
    models.extend(["gpt-zzz-unknown", "codex-auto-review", "gpt-daybreak-red-latest"].map(String::from));
    let parameters = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    for model in models {
        for &surface in surfaces {
            let mut plain = surface.ask("only this");
            plain["model"] = json!(model);
            surface.answer(&proxy, &plain).await;
            let request = upstream.requests().pop().unwrap();
            let said = json!({
                "type": "message", "role": "user", "content": [{"type": "input_text", "text": "only this"}],
            });
            assert_eq!(messages(&request), [said], "{surface:?} {model}");
            assert_eq!(tools(&request), [Value::Null; 0], "{surface:?} {model}");
            let instructions = request.body["instructions"].as_str().unwrap_or_default();
            assert_eq!(instructions, "", "{surface:?} {model}");

            let mut ask = surface.ask_with_tool("only this", "my_tool", &parameters);
            ask["model"] = json!(model);
            surface.answer(&proxy, &ask).await;
            let request = upstream.requests().pop().unwrap();
            let names: Vec<_> = tools(&request).iter().map(|tool| tool["name"].clone()).collect();
            assert_eq!(names, ["my_tool"], "{surface:?} {model}");
            assert_eq!(tools(&request)[0]["parameters"]["properties"], parameters["properties"]);
            assert_eq!(messages(&request).len(), 1, "{surface:?} {model}");
        }
    }
}

#[tokio::test]
async fn requests_do_not_see_each_other() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        upstream.fall_back_to(Script::text("an answer"));
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        for surface in BOTH {
            for text in ["first secret", "second"] {
                surface.answer(&proxy, &surface.ask(text)).await;
            }
        }
        for request in upstream.requests().iter().filter(|request| request.last_user_text() == "second") {
            let body = request.body.to_string();
            assert!(!body.contains("first secret") && !body.contains("an answer"), "{body}");
        }
    }
}

#[tokio::test]
async fn system_messages_stay_in_place_by_default_and_become_base_instructions_on_request() {
    let settings = [("true", ["hi", "be kind"]), ("false", ["be kind", "hi"])];
    for (kind, (setting, expected)) in UPSTREAMS.into_iter().flat_map(|kind| settings.map(|one| (kind, one)))
    {
        let upstream = FakeOpenAi::of(kind).await;
        upstream.fall_back_to(Script::text("ok"));
        let setup = Setup::real(NEWEST, &upstream).env("PROXY_IGNORE_CLIENT_SYSTEM_PROMPT", setting);
        let proxy = setup.start().await;
        let mut ask = Surface::Responses.ask("hi");
        ask["input"] = json!([{"role": "user", "content": "hi"}, {"role": "system", "content": "be kind"}]);
        // For models in the short form, this Codex sends the base instructions twice.
        ask["model"] = json!("gpt-5.5");
        proxy.post_ok("/responses", &ask).await;
        let request = upstream.requests().pop().unwrap();
        // This Codex sends base instructions as a developer item before all others.
        let sent: Vec<_> = messages(&request)
            .iter()
            .map(|item| item["content"][0]["text"].as_str().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(sent, expected, "{setting}: {:#}", request.body);
    }
}

/// What the oldest supported Codex always adds.
const FLOOR_TOOLS: &[&str] =
    &["list_mcp_resources", "list_mcp_resource_templates", "read_mcp_resource", "update_plan", "apply_patch"];

#[tokio::test]
async fn the_floor_codex_adds_its_own_tools_and_nothing_else() {
    let upstream = FakeOpenAi::start().await;
    upstream.fall_back_to(Script::text("ok"));
    let proxy = Setup::real(FLOOR, &upstream).start().await;
    for model in catalogue(&proxy).await {
        for surface in BOTH {
            let mut ask = surface.ask("only this");
            ask["model"] = json!(model);
            surface.answer(&proxy, &ask).await;
            let request = upstream.requests().pop().unwrap();
            let said = json!({
                "type": "message", "role": "user", "content": [{"type": "input_text", "text": "only this"}],
            });
            assert_eq!(messages(&request), [said], "{surface:?} {model}");
            assert_eq!(request.body["instructions"], "", "{surface:?} {model}");
            let foreign: Vec<_> = tools(&request)
                .into_iter()
                .filter(|tool| !FLOOR_TOOLS.contains(&tool["name"].as_str().unwrap_or_default()))
                .collect();
            assert_eq!(foreign, [Value::Null; 0], "{surface:?} {model}");
        }
    }
}
