//! Plain answers, whole and streamed, on both surfaces, over the newest and the oldest Codex.

use e2e::codex_bin::{FLOOR, NEWEST, RECENT};
use e2e::fake_openai::{FakeOpenAi, Gate, Script, UPSTREAMS, Upstream, Usage};
use e2e::harness::Setup;
use e2e::sse::shape;
use serde_json::json;

use crate::surface::{BOTH, MODEL, Surface};

const USAGE: Usage = Usage { input: 1000, cached: 900, cache_write: 50, output: 30, reasoning: 10 };

fn script() -> Script {
    Script::new()
        .reasoning(&[&["**Pl", "an**"], &["more"]], Some("ENC"))
        .message(&["Hé", "llo ", "🦀"])
        .usage(USAGE)
}

#[tokio::test]
async fn a_text_comes_whole_and_streamed_from_a_recent_codex() {
    for kind in UPSTREAMS {
        for version in RECENT {
            text_over(version, kind, MODEL).await;
        }
    }
}

#[tokio::test]
async fn a_text_comes_whole_and_streamed_from_the_floor_codex() {
    text_over(FLOOR, Upstream::Plain, "gpt-5.2").await;
}

async fn text_over(version: &str, kind: Upstream, model: &str) {
    let upstream = FakeOpenAi::of(kind).await;
    let proxy = Setup::real(version, &upstream).start().await;
    for surface in BOTH {
        let mut ask = surface.ask("hi");
        ask["model"] = json!(model);
        upstream.push(script());
        let answer = surface.answer(&proxy, &ask).await;
        assert_eq!(surface.text(&answer), "Héllo 🦀", "{answer}");
        upstream.push(script());
        let events = surface.events(&proxy, &ask).await;
        assert_eq!(surface.streamed_text(&events), "Héllo 🦀", "{events:#?}");
    }
    for request in upstream.requests() {
        assert_eq!(request.last_user_text(), "hi");
    }
    assert_eq!(upstream.unscripted(), [""; 0]);
    proxy.stop().await;
}

#[tokio::test]
async fn the_responses_answer_has_its_items_and_usage() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        upstream.push(script());
        let mut ask = Surface::Responses.ask("hi");
        ask["include"] = json!(["reasoning.encrypted_content"]);
        let answer = Surface::Responses.answer(&proxy, &ask).await;
        assert_eq!((&answer["object"], &answer["status"]), (&json!("response"), &json!("completed")));
        assert!(answer["id"].as_str().unwrap().starts_with("resp_"));
        let kinds: Vec<_> = answer["output"].as_array().unwrap().iter().map(|item| &item["type"]).collect();
        assert_eq!(kinds, ["reasoning", "message"]);
        let reasoning = &answer["output"][0];
        assert_eq!(
            reasoning["summary"],
            json!([{"type": "summary_text", "text": "**Plan**"}, {"type": "summary_text", "text": "more"}])
        );
        assert_eq!(reasoning["encrypted_content"], "ENC");
        let part = &answer["output"][1]["content"][0];
        assert_eq!((&part["annotations"], &part["logprobs"]), (&json!([]), &json!([])));
        assert_eq!(
            answer["usage"],
            json!({
                "input_tokens": 1000,
                "input_tokens_details": {"cached_tokens": 900, "cache_write_tokens": 50},
                "output_tokens": 30, "output_tokens_details": {"reasoning_tokens": 10}, "total_tokens": 1030,
            })
        );
    }
}

#[tokio::test]
async fn the_responses_stream_has_its_order_and_ends_in_the_whole_answer() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        upstream.push(script());
        let events = Surface::Responses.events(&proxy, &Surface::Responses.ask("hi")).await;
        assert_eq!(
            shape(&events),
            [
                "response.created",
                "response.in_progress",
                "response.output_item.added",
                "response.reasoning_summary_part.added",
                "response.reasoning_summary_text.delta",
                "response.reasoning_summary_text.done",
                "response.reasoning_summary_part.done",
                "response.reasoning_summary_part.added",
                "response.reasoning_summary_text.delta",
                "response.reasoning_summary_text.done",
                "response.reasoning_summary_part.done",
                "response.output_item.done",
                "response.output_item.added",
                "response.content_part.added",
                "response.output_text.delta",
                "response.output_text.done",
                "response.content_part.done",
                "response.output_item.done",
                "response.completed",
            ]
        );
        let numbers: Vec<_> = events.iter().map(|event| event["sequence_number"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
        let done: Vec<_> = events
            .iter()
            .filter(|event| event["type"] == "response.output_item.done")
            .map(|event| (event["output_index"].as_u64().unwrap(), event["item"].clone()))
            .collect();
        let response = &events.last().unwrap()["response"];
        let output: Vec<_> = (0..).zip(response["output"].as_array().unwrap().iter().cloned()).collect();
        assert_eq!(done, output);
        assert_eq!(response["id"], events[0]["response"]["id"]);
        assert_eq!(response["status"], "completed");
    }
}

#[tokio::test]
async fn the_chat_stream_has_its_order_and_ends_in_usage() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        upstream.push(script());
        let events = Surface::Chat.events(&proxy, &Surface::Chat.ask("hi")).await;
        let first = &events[0];
        assert_eq!(first["choices"][0]["delta"]["role"], "assistant");
        for event in &events {
            assert_eq!(event["object"], "chat.completion.chunk");
            assert_eq!((&event["id"], &event["created"]), (&first["id"], &first["created"]));
        }
        let [finish, usage] = &events[events.len() - 2..] else { panic!("{events:#?}") };
        assert_eq!(finish["choices"][0]["finish_reason"], "stop");
        assert_eq!(usage["choices"], json!([]));
        assert_eq!(
            (&usage["usage"]["prompt_tokens"], &usage["usage"]["total_tokens"]),
            (&json!(1000), &json!(1030))
        );
        assert_eq!(usage["usage"]["prompt_tokens_details"]["cached_tokens"], 900);
        assert_eq!(usage["usage"]["completion_tokens_details"]["reasoning_tokens"], 10);
        let reasoning: String = events
            .iter()
            .filter_map(|event| event["choices"][0]["delta"]["reasoning_content"].as_str())
            .collect();
        assert!(reasoning.starts_with("**Plan**") && reasoning.ends_with("more"), "{reasoning:?}");
    }
}

#[tokio::test]
async fn deltas_arrive_while_the_model_still_speaks() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        for surface in BOTH {
            let gate = Gate::new();
            upstream.push(Script::new().message_held("one", &gate, "two"));
            let mut stream = proxy.stream(surface.path(), &surface.ask("hi")).await;
            let mut seen = Vec::new();
            while surface.streamed_text(&seen) != "one" {
                seen.push(stream.next_data().await.expect("the stream goes on").json());
            }
            gate.open();
            seen.extend(stream.events().await);
            assert_eq!(surface.streamed_text(&seen), "onetwo", "{surface:?}");
        }
    }
}

#[tokio::test]
async fn headers_and_the_first_frame_come_before_the_model_answers() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        for surface in BOTH {
            let gate = Gate::new();
            upstream.push(Script::new().gate(&gate).message(&["late"]));
            let mut stream = proxy.stream(surface.path(), &surface.ask("hi")).await;
            assert!(stream.headers().contains_key("x-request-id"));
            stream.next_data().await.expect("a first frame");
            gate.open();
            assert_eq!(surface.streamed_text(&stream.events().await), "late");
        }
    }
}

#[tokio::test]
async fn roles_reach_the_model_in_their_places() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        let transcript = json!([
            {"role": "system", "content": "be kind"},
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "two"},
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": "three"},
        ]);
        let expected = [
            ("developer", "be kind"),
            ("user", "one"),
            ("assistant", "two"),
            ("developer", "be brief"),
            ("user", "three"),
        ];
        for surface in BOTH {
            upstream.push(Script::text("ok"));
            let field = if surface == Surface::Chat { "messages" } else { "input" };
            surface.answer(&proxy, &json!({"model": MODEL, field: transcript})).await;
            let request = upstream.requests().pop().unwrap();
            let items = request.input_without_ids();
            let seen: Vec<_> = items
                .iter()
                .map(|i| (i["role"].as_str().unwrap(), i["content"][0]["text"].as_str().unwrap()))
                .collect();
            assert_eq!(seen, expected, "{surface:?}");
        }
    }
}

#[tokio::test]
async fn effort_comes_from_the_suffix_then_the_body() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        upstream.fall_back_to(Script::text("ok"));
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        for (model, body_effort, expected) in [
            ("gpt-6.1-sol", Some("high"), "high"),
            ("gpt-6.1-sol-high", Some("low"), "high"),
            ("GPT-6.1-SOL-XHIGH", None, "xhigh"),
            ("gpt-6.1-sol", Some("minimal"), "low"),
        ] {
            for surface in BOTH {
                let mut ask = surface.ask("hi");
                ask["model"] = json!(model);
                if let Some(effort) = body_effort {
                    match surface {
                        Surface::Responses => ask["reasoning"] = json!({"effort": effort}),
                        Surface::Chat => ask["reasoning_effort"] = json!(effort),
                    }
                }
                surface.answer(&proxy, &ask).await;
                let request = upstream.requests().pop().unwrap();
                assert_eq!(
                    request.body["reasoning"]["effort"], expected,
                    "{surface:?} {model} {body_effort:?}"
                );
                assert_eq!(request.body["model"], "gpt-6.1-sol");
            }
        }
    }
}
