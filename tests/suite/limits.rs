//! Where the proxy ends, repeats or rewrites an answer: stop texts, output limits, `n`, output modes.

use e2e::codex_bin::NEWEST;
use e2e::fake_openai::{Ending, FakeOpenAi, Gate, Script, UPSTREAMS};
use e2e::harness::Setup;
use serde_json::{Value, json};

use crate::surface::{BOTH, Surface};

/// Why an answer ended, in each surface's own words.
fn finish(surface: Surface, answer: &Value) -> String {
    match surface {
        Surface::Responses => match answer["incomplete_details"]["reason"].as_str() {
            Some(reason) => format!("{}: {reason}", answer["status"].as_str().unwrap()),
            None => answer["status"].as_str().unwrap().to_owned(),
        },
        Surface::Chat => answer["choices"][0]["finish_reason"].as_str().unwrap().to_owned(),
    }
}

#[tokio::test]
async fn a_stop_text_ends_the_answer_and_the_turn() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        for (index, surface) in BOTH.into_iter().enumerate() {
            // The upstream never gets past its gate: only an interrupt can end this.
            upstream.push(Script::new().message(&["one ", "two three"]).gate(&Gate::new()));
            let mut ask = surface.ask("count");
            ask["stop"] = json!(["one two", "e tw"]);
            let answer = surface.answer(&proxy, &ask).await;
            assert_eq!(surface.text(&answer), "on", "{answer}");
            assert_eq!(finish(surface, &answer), if surface == Surface::Chat { "stop" } else { "completed" });
            assert_eq!(upstream.wait_for_ending(index).await, Ending::ClosedEarly);
            assert!(answer["usage"]["total_tokens"].as_u64().unwrap() > 0, "an estimate stands in: {answer}");
        }
    }
}

#[tokio::test]
async fn an_output_limit_cuts_the_answer() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        upstream.fall_back_to(Script::new().message(&["12345678", "9abcdefg", "more"]));
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        for surface in BOTH {
            let mut ask = surface.ask("count");
            let limit = if surface == Surface::Chat { "max_completion_tokens" } else { "max_output_tokens" };
            ask[limit] = json!(3);
            let answer = surface.answer(&proxy, &ask).await;
            // About four characters a token.
            assert_eq!(surface.text(&answer), "123456789abc");
            let expected = if surface == Surface::Chat { "length" } else { "incomplete: max_output_tokens" };
            assert_eq!(finish(surface, &answer), expected);
            let events = surface.events(&proxy, &ask).await;
            assert_eq!(surface.streamed_text(&events), "123456789abc");
        }
        let mut ask = Surface::Responses.ask("count");
        ask["max_output_tokens"] = json!(3);
        let answer = Surface::Responses.answer(&proxy, &ask).await;
        let message = answer["output"].as_array().unwrap().last().unwrap().clone();
        assert_eq!(message["status"], "incomplete");
    }
}

#[tokio::test]
async fn several_choices_are_several_turns() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        for text in ["first", "second", "third"] {
            upstream.push(Script::text(text));
        }
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        let mut ask = Surface::Chat.ask("hi");
        ask["n"] = json!(3);
        let answer = proxy.post_ok("/chat/completions", &ask).await;
        let choices = answer["choices"].as_array().unwrap();
        assert_eq!(
            choices.iter().map(|choice| choice["index"].as_u64().unwrap()).collect::<Vec<_>>(),
            [0, 1, 2]
        );
        let mut texts: Vec<_> =
            choices.iter().map(|choice| choice["message"]["content"].as_str().unwrap().to_owned()).collect();
        texts.sort();
        assert_eq!(texts, ["first", "second", "third"]);
        assert_eq!(upstream.requests().len(), 3);

        upstream.fall_back_to(Script::text("same"));
        let events = Surface::Chat.events(&proxy, &ask).await;
        let ends: Vec<_> = events
            .iter()
            .flat_map(|event| event["choices"].as_array().unwrap())
            .filter(|choice| choice["finish_reason"] == "stop")
            .map(|choice| choice["index"].as_u64().unwrap())
            .collect();
        assert_eq!(ends.len(), 3, "{ends:?}");
        let mut distinct = ends;
        distinct.sort_unstable();
        assert_eq!(distinct, [0, 1, 2]);
    }
}

#[tokio::test]
async fn calls_become_use_tool_blocks_on_request() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        upstream.fall_back_to(Script::new().message(&["Let me look."]).function_call(
            "call_a",
            "localSearch",
            r#"{"query":"piano","salientTerms":["piano"]}"#,
            64,
        ));
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        let parameters = json!({"type": "object", "properties": {"query": {"type": "string"}}});
        for surface in BOTH {
            let ask = surface.ask_with_tool("find", "localSearch", &parameters);
            let response = proxy
                .post(surface.path(), &ask)
                .header("x-proxy-output-mode", "obsidian-xml")
                .send()
                .await
                .unwrap();
            let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
            let text = surface.text(&answer);
            let block = "<use_tool>\n<name>localSearch</name>\n<query>piano</query>\n<salientTerms>[\"piano\"]</salientTerms>\n</use_tool>";
            assert!(text.starts_with("Let me look.") && text.trim_end().ends_with(block), "{text}");
            assert_eq!(surface.calls(&answer).len(), 0);
            assert_eq!(
                surface.calls(&surface.answer(&proxy, &ask).await).len(),
                1,
                "only where it was asked for"
            );
        }
    }
}

#[tokio::test]
async fn one_call_is_kept_where_parallel_calls_are_refused() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let call = |script: Script, id: &str| script.function_call(id, "f", "{}", 64);
        upstream.fall_back_to(call(call(Script::new(), "call_a"), "call_b"));
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        for surface in BOTH {
            let mut ask = surface.ask_with_tool("go", "f", &json!({"type": "object"}));
            ask["parallel_tool_calls"] = json!(false);
            let answer = surface.answer(&proxy, &ask).await;
            assert_eq!(surface.calls(&answer).len(), 1, "{answer}");
            ask["parallel_tool_calls"] = json!(true);
            assert_eq!(surface.calls(&surface.answer(&proxy, &ask).await).len(), 2);
        }
    }
}
