//! `POST /v1/responses/input_tokens`: the same counts as the tokenizer's, without a turn.

use e2e::codex_bin::NEWEST;
use e2e::fake_openai::{FakeOpenAi, Script, Upstream, Usage};
use e2e::harness::{Proxy, Setup};
use e2e::spec::{self, Spec};
use reqwest::Method;
use serde_json::{Value, json};

const MODEL: &str = "gpt-5.5";

const PIXEL: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

async fn world() -> (FakeOpenAi, Proxy) {
    let upstream = FakeOpenAi::of(Upstream::SignedIn).await;
    upstream.fall_back_to(Script::text("Hi!").usage(Usage {
        input: 8,
        cached: 0,
        cache_write: 0,
        ..Usage::default()
    }));
    let setup =
        Setup::real(NEWEST, &upstream).env("PROXY_WARM_THREADS", "0").env("PROXY_ENABLE_METRICS", "true");
    (upstream, setup.start().await)
}

fn ask(members: &Value) -> Value {
    let mut body = json!({"model": MODEL, "input": "hello"});
    for (name, value) in members.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body
}

async fn count(proxy: &Proxy, members: &Value) -> u64 {
    let answer = proxy.post_ok("/responses/input_tokens", &ask(members)).await;
    if spec::available() {
        assert_eq!(spec::validate(Spec::OpenAi, "TokenCountsResource", &answer), Vec::<String>::new());
    }
    answer["input_tokens"].as_u64().unwrap_or_else(|| panic!("{answer}"))
}

#[tokio::test]
async fn everything_that_the_model_would_get_is_counted_and_no_model_is_asked() {
    let (upstream, proxy) = world().await;
    assert_eq!(count(&proxy, &json!({})).await, 7);
    assert_eq!(count(&proxy, &json!({"instructions": "Be brief."})).await, 7 + 4 + 3);
    let image = json!([{"role": "user", "content": [
        {"type": "input_text", "text": "hello"},
        {"type": "input_image", "image_url": PIXEL},
    ]}]);
    assert_eq!(count(&proxy, &json!({"input": image})).await, 7 + 2);
    // `# Tools\n\n## functions\n\nnamespace functions {\n\n// Tells.\ntype place = () => any;\n\n} // namespace functions`
    let tool = json!({"type": "function", "name": "place", "description": "Tells.", "parameters": null});
    let with_tool = count(&proxy, &json!({"tools": [tool]})).await;
    assert!((7 + 4 + 20..7 + 4 + 40).contains(&with_tool), "{with_tool}");
    let long = "word ".repeat(200_000);
    assert_eq!(count(&proxy, &json!({"input": long})).await, 6 + 200_001);
    assert_eq!(upstream.requests().len(), 0);

    let listed = proxy.control_ok("/requests", None).await;
    let entry = &listed["requests"][0];
    assert_eq!(
        (&entry["route"], &entry["status"], &entry["input_tokens"]),
        (&json!("/v1/responses/input_tokens"), &json!(200), &json!(0)),
        "{listed}"
    );
}

#[tokio::test]
async fn what_a_request_continues_is_counted_too() {
    let (upstream, proxy) = world().await;
    let first = proxy.post_ok("/responses", &ask(&json!({}))).await;
    // `hello`, the answer `Hi!`, `hello`.
    let continued = json!({"previous_response_id": first["id"]});
    assert_eq!(count(&proxy, &continued).await, 7 + 8 + 5);
    assert_eq!(count(&proxy, &json!({"previous_response_id": first["id"], "input": null})).await, 7 + 8);

    let item = json!({"type": "message", "role": "user", "content": "hello"});
    let conversation = proxy.post_ok("/conversations", &json!({"items": [item]})).await;
    let in_conversation = json!({"conversation": conversation["id"]});
    assert_eq!(count(&proxy, &in_conversation).await, 7 + 5);
    assert_eq!(count(&proxy, &in_conversation).await, 7 + 5, "nothing is added to it");

    let unknown = ask(&json!({"previous_response_id": "resp_none"}));
    let refused = proxy.post("/responses/input_tokens", &unknown).send().await.unwrap();
    assert_eq!(refused.status(), 400);
    let refused: Value = serde_json::from_str(&refused.text().await.unwrap()).unwrap();
    assert_eq!(refused["error"]["code"], "previous_response_not_found");
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn the_request_that_follows_shows_the_error_of_its_count() {
    let (_upstream, proxy) = world().await;
    assert_eq!(count(&proxy, &json!({})).await, 7);
    proxy.post_ok("/responses", &ask(&json!({}))).await;
    proxy.post_ok("/responses", &ask(&json!({"input": "not counted before"}))).await;
    let metrics =
        proxy.bare(Method::GET, &proxy.root_url("/metrics")).send().await.unwrap().text().await.unwrap();
    // One of eight.
    assert!(metrics.contains("codex_proxy_token_count_error_ratio_sum 0.125\n"), "{metrics}");
    assert!(metrics.contains("codex_proxy_token_count_error_ratio_count 1\n"), "{metrics}");
}
