//! The parts of a message beside its text: citations and refusals.

use e2e::codex_bin::NEWEST;
use e2e::fake_openai::{FakeOpenAi, Script, UPSTREAMS, Upstream};
use e2e::harness::Setup;
use serde_json::{Value, json};

use crate::surface::{BOTH, Surface};

fn citation(start: u64, end: u64) -> Value {
    json!({
        "type": "url_citation", "start_index": start, "end_index": end, "url": "https://example.com/a", "title": "A",
    })
}

/// Citations in Chat's format, with positions in one text.
fn chat(citations: &[(u64, u64)]) -> Value {
    let place = |(start, end): &(u64, u64)| {
        let mut inner = citation(*start, *end);
        inner.as_object_mut().unwrap().remove("type");
        json!({"type": "url_citation", "url_citation": inner})
    };
    citations.iter().map(place).collect()
}

/// A request that may search the web.
fn ask(surface: Surface) -> Value {
    let mut ask = surface.ask("cite");
    match surface {
        Surface::Responses => ask["tools"] = json!([{"type": "web_search"}]),
        Surface::Chat => ask["web_search_options"] = json!({}),
    }
    ask
}

#[tokio::test]
async fn citations_reach_the_client_where_they_belong() {
    let upstream = FakeOpenAi::start().await;
    let proxy = Setup::real(NEWEST, &upstream).start().await;
    let script = || {
        Script::new()
            .web_search_call("q")
            .cited("Zürich.", &json!([citation(0, 6)]))
            .cited("\u{1b}[1mBern\u{1b}[0m, see", &json!([citation(4, 8), citation(14, 17)]))
    };
    for surface in BOTH {
        upstream.push(script());
        let answer = surface.answer(&proxy, &ask(surface)).await;
        upstream.push(script());
        let events = surface.events(&proxy, &ask(surface)).await;
        match surface {
            Surface::Responses => {
                let annotations: Vec<_> = answer["output"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(|item| item["type"] == "message")
                    .map(|item| item["content"][0]["annotations"].clone())
                    .collect();
                let expected = [json!([citation(0, 6)]), json!([citation(0, 4), citation(6, 9)])];
                assert_eq!(annotations, expected);
                let added: Vec<_> = events
                    .iter()
                    .filter(|event| event["type"] == "response.output_text.annotation.added")
                    .map(|event| (event["annotation_index"].as_u64().unwrap(), event["annotation"].clone()))
                    .collect();
                assert_eq!(added, [(0, citation(0, 6)), (0, citation(0, 4)), (1, citation(6, 9))]);
            }
            Surface::Chat => {
                let expected = chat(&[(0, 6), (9, 13), (15, 18)]);
                let message = &answer["choices"][0]["message"];
                assert_eq!(message["content"], "Zürich.\n\nBern, see");
                assert_eq!(message["annotations"], expected);
                let added: Value = events
                    .iter()
                    .filter_map(|event| event["choices"][0]["delta"]["annotations"].as_array())
                    .flatten()
                    .cloned()
                    .collect();
                assert_eq!(added, expected);
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_that_codex_leaves_out_is_still_one() {
    for kind in UPSTREAMS {
        refused(kind).await;
    }
}

async fn refused(kind: Upstream) {
    let upstream = FakeOpenAi::of(kind).await;
    upstream.fall_back_to(Script::new().refusal("I will not."));
    let proxy = Setup::real(NEWEST, &upstream).start().await;
    for surface in BOTH {
        let answer = surface.answer(&proxy, &surface.ask("x")).await;
        let events = surface.events(&proxy, &surface.ask("x")).await;
        let (said, streamed) = match surface {
            Surface::Responses => (
                answer["output"][0]["content"][0]["refusal"].clone(),
                e2e::sse::joined(&events, "response.refusal.delta", "delta"),
            ),
            Surface::Chat => (
                answer["choices"][0]["message"]["refusal"].clone(),
                events.iter().filter_map(|event| event["choices"][0]["delta"]["refusal"].as_str()).collect(),
            ),
        };
        assert!(said.as_str().unwrap().contains("declined"), "{answer}");
        assert_eq!(said, streamed);
        assert_eq!(surface.text(&answer), "");
    }
}

#[tokio::test]
async fn a_filtered_answer_is_incomplete_and_asked_for_once() {
    for kind in UPSTREAMS {
        filtered(kind).await;
    }
}

async fn filtered(kind: Upstream) {
    let upstream = FakeOpenAi::of(kind).await;
    upstream.fall_back_to(Script::new().message(&["Half"]).incomplete("content_filter"));
    let proxy = Setup::real(NEWEST, &upstream).start().await;
    for surface in BOTH {
        let answer = surface.answer(&proxy, &surface.ask("x")).await;
        assert_eq!(surface.text(&answer), "Half");
        match surface {
            Surface::Responses => {
                assert_eq!(answer["status"], "incomplete");
                assert_eq!(answer["incomplete_details"], json!({"reason": "content_filter"}));
            }
            Surface::Chat => assert_eq!(answer["choices"][0]["finish_reason"], "content_filter"),
        }
    }
    // Over a WebSocket, Codex has already sent the second request when it reports the filter.
    let most = match kind {
        Upstream::Plain => 2,
        Upstream::SignedIn => 4,
    };
    assert!((2..=most).contains(&upstream.requests().len()));
}
