//! `POST /v1/responses/compact`: a transcript in a shorter form, made by Codex.

use std::path::Path;

use e2e::codex_bin::{NEWEST, RECENT};
use e2e::fake_openai::{FakeOpenAi, Script, Upstream};
use e2e::harness::{Proxy, Setup};
use e2e::patience::until;
use e2e::spec::{self, Spec};
use reqwest::StatusCode;
use serde_json::{Value, json};

const MODEL: &str = "gpt-5.5";

async fn world(version: &str, upstream: Upstream) -> (FakeOpenAi, Proxy) {
    let upstream = FakeOpenAi::of(upstream).await;
    let setup = Setup::real(version, &upstream).env("PROXY_WARM_THREADS", "0");
    (upstream, setup.start().await)
}

async fn post(proxy: &Proxy, path: &str, body: &Value) -> (StatusCode, Value) {
    let response = proxy.post(path, body).send().await.unwrap();
    let status = response.status();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
}

fn said(role: &str, text: &str) -> Value {
    let kind = if role == "assistant" { "output_text" } else { "input_text" };
    json!({"type": "message", "role": role, "content": [{"type": kind, "text": text}]})
}

/// The files below a directory that hold this text.
fn files_with(dir: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if std::fs::read(&path)
            .is_ok_and(|bytes| bytes.windows(text.len()).any(|part| part == text.as_bytes()))
        {
            found.push(path.display().to_string());
        }
    }
    found
}

/// Waits until Codex has deleted what it wrote.
async fn nothing_is_left(proxy: &Proxy, text: &str) {
    let home = proxy.codex_home();
    until("Codex to delete what it wrote", async || files_with(home, text).is_empty().then_some(())).await;
}

#[tokio::test]
async fn a_transcript_is_compacted_and_the_client_goes_on_with_the_form() {
    for version in RECENT {
        let (upstream, proxy) = world(version, Upstream::SignedIn).await;
        upstream.push(Script::new().compaction("cmp_up", "sealed"));
        let input = json!([
            said("developer", "Be brief."),
            said("user", "Saffron one"),
            said("assistant", "uno"),
            {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_1", "output": "42"},
            said("user", "Saffron two"),
        ]);
        let tool =
            json!({"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}});
        let body = json!({"model": MODEL, "input": input, "instructions": "You count.", "tools": [tool]});
        let (status, form) = post(&proxy, "/responses/compact", &body).await;
        assert_eq!(status, StatusCode::OK, "{form}");
        if spec::available() {
            assert_eq!(
                spec::validate(Spec::OpenAi, "CompactResource", &form),
                Vec::<String>::new(),
                "{form}"
            );
        }
        let kinds: Vec<_> = form["output"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| {
                (
                    item["role"].as_str().or(item["type"].as_str()).unwrap(),
                    item["content"][0]["text"].as_str(),
                )
            })
            .collect();
        assert_eq!(
            kinds,
            [
                ("developer", Some("Be brief.")),
                ("user", Some("Saffron one")),
                ("user", Some("Saffron two")),
                ("compaction", None),
            ]
        );
        assert_eq!(
            form["output"][3],
            json!({"type": "compaction", "id": "cmp_up", "encrypted_content": "sealed"})
        );
        assert!(form["usage"]["input_tokens"].as_u64().unwrap() > 0, "{form}");

        // The model has seen what the client sent, and the request for a shorter form.
        let asked = upstream.requests().pop().unwrap();
        let mut sent = asked.input_without_ids();
        assert_eq!(sent.pop(), Some(json!({"type": "compaction_trigger"})));
        assert_eq!(sent[0], said("developer", "You count."));
        assert_eq!(sent.len(), 1 + input.as_array().unwrap().len(), "{sent:?}");
        assert!(asked.offered().is_empty(), "{:?}", asked.offered().len());
        nothing_is_left(&proxy, "Saffron").await;

        // Nothing of the thread is left, its connection included.
        until("its connection to end", async || (upstream.connections().open == 0).then_some(())).await;

        let mut next = form["output"].as_array().unwrap().clone();
        next.push(said("user", "three"));
        upstream.push(Script::text("tres"));
        let (status, answer) = post(&proxy, "/responses", &json!({"model": MODEL, "input": next})).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let sent = upstream.requests().pop().unwrap().input_without_ids();
        assert_eq!(sent[3]["encrypted_content"], "sealed", "{sent:?}");
        assert_eq!(sent[4]["content"][0]["text"], "three");
    }
}

#[tokio::test]
async fn a_stored_response_is_compacted_by_its_id() {
    let (upstream, proxy) = world(NEWEST, Upstream::SignedIn).await;
    upstream.push(Script::text("uno"));
    let (_, first) = post(&proxy, "/responses", &json!({"model": MODEL, "input": "one"})).await;
    upstream.push(Script::new().compaction("cmp_up", "sealed"));
    let body = json!({"model": MODEL, "previous_response_id": first["id"]});
    let (status, form) = post(&proxy, "/responses/compact", &body).await;
    assert_eq!(status, StatusCode::OK, "{form}");
    let sent = upstream.requests().pop().unwrap().input_without_ids();
    let texts: Vec<_> = sent.iter().filter_map(|item| item["content"][0]["text"].as_str()).collect();
    assert_eq!(texts, ["one", "uno"]);
    assert_eq!(form["output"][1]["encrypted_content"], "sealed", "{form}");
    // The compact form itself is not stored.
    let id = form["id"].as_str().unwrap();
    let answer = proxy.request(reqwest::Method::GET, &format!("/responses/{id}")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    let (status, error) = post(&proxy, "/responses/compact", &json!({"model": MODEL})).await;
    assert_eq!((status, &error["error"]["param"]), (StatusCode::BAD_REQUEST, &json!("input")), "{error}");
}

#[tokio::test]
async fn another_upstream_gets_a_summary_and_a_failure_leaves_nothing() {
    let (upstream, proxy) = world(NEWEST, Upstream::Plain).await;
    upstream.push(Script::text("We counted to two."));
    let input = json!([said("user", "Saffron one"), said("assistant", "uno"), said("user", "Saffron two")]);
    let body = json!({"model": MODEL, "input": input});
    let (status, form) = post(&proxy, "/responses/compact", &body).await;
    assert_eq!(status, StatusCode::OK, "{form}");
    let output = form["output"].as_array().unwrap();
    assert_eq!(output.len(), 3, "{form}");
    assert!(output[2]["content"][0]["text"].as_str().unwrap().contains("We counted to two."), "{form}");
    nothing_is_left(&proxy, "Saffron").await;

    let refusal = json!({"error": {"type": "invalid_request_error", "message": "No.", "code": "bad"}});
    upstream.push(Script::http_error(400, refusal, &[]));
    let (status, error) = post(&proxy, "/responses/compact", &body).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{error}");
    nothing_is_left(&proxy, "Saffron").await;
}

#[tokio::test]
async fn a_transcript_over_its_threshold_is_compacted_before_the_answer() {
    let (upstream, proxy) = world(NEWEST, Upstream::SignedIn).await;
    let input = json!([said("user", "one"), said("assistant", &"word ".repeat(2000)), said("user", "two")]);
    let management = json!([{"type": "compaction", "compact_threshold": 1000}]);
    for stream in [false, true] {
        upstream.push(Script::new().compaction("cmp_up", "sealed"));
        upstream.push(Script::text("tres"));
        let body =
            json!({"model": MODEL, "input": input, "context_management": management, "stream": stream});
        let answer = if stream {
            let response = proxy.post("/responses", &body).send().await.unwrap();
            let events = e2e::sse::SseReader::new(response).await.events().await;
            let added = events.iter().find(|event| event["type"] == "response.output_item.added").unwrap();
            assert_eq!(
                added["item"],
                json!({"type": "compaction", "id": "cmp_up", "encrypted_content": "sealed"})
            );
            events.last().unwrap()["response"].clone()
        } else {
            post(&proxy, "/responses", &body).await.1
        };
        assert_eq!(answer["status"], "completed", "{answer}");
        assert_eq!(answer["output"][0]["encrypted_content"], "sealed", "{answer}");
        assert_eq!(answer["output"][1]["content"][0]["text"], "tres", "{answer}");
        if spec::available() {
            assert_eq!(spec::validate(Spec::OpenAi, "Response", &answer), Vec::<String>::new(), "{answer}");
        }
        let sent = upstream.requests().pop().unwrap().input_without_ids();
        let kinds: Vec<_> =
            sent.iter().map(|item| item["role"].as_str().or(item["type"].as_str()).unwrap()).collect();
        assert_eq!(kinds, ["user", "user", "compaction"], "{sent:?}");

        // The chain goes on from there, below the threshold and on its thread.
        upstream.push(Script::text("quatro"));
        let body = json!({
            "model": MODEL, "input": "four", "previous_response_id": answer["id"], "context_management": management,
        });
        let response = proxy.post("/responses", &body).send().await.unwrap();
        assert_eq!(response.headers()["x-proxy-thread"], "reused");
        let next: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(next["output"].as_array().unwrap().len(), 1, "{next}");
        let sent = upstream.requests().pop().unwrap().input_without_ids();
        let kinds: Vec<_> =
            sent.iter().map(|item| item["role"].as_str().or(item["type"].as_str()).unwrap()).collect();
        assert_eq!(kinds, ["user", "user", "compaction", "assistant", "user"], "{sent:?}");
    }
    let wrong = json!({"model": MODEL, "input": "hi", "context_management": [{"type": "compaction", "compact_threshold": 5}]});
    let (status, error) = post(&proxy, "/responses", &wrong).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(error["error"]["param"], "context_management[0].compact_threshold", "{error}");
}
