//! Connections that break, are refused, or forget.

use e2e::codex_bin::{NEWEST, RECENT};
use e2e::fake_openai::{FakeOpenAi, Gate, Script};
use e2e::harness::Setup;
use serde_json::{Value, json};

use super::{all_say, everywhere, streamed, whole};
use crate::surface::{BOTH, Surface};

fn refusal(status: u16) -> Option<(u16, Value)> {
    Some((status, json!({"error": {"message": "no upgrade"}})))
}

#[tokio::test]
async fn a_response_that_upstream_has_forgotten_is_asked_for_again() {
    for version in RECENT {
        let upstream = FakeOpenAi::signed_in().await;
        upstream.fall_back_to(Script::text("whole"));
        let proxy = Setup::signed_in(version, &upstream).start().await;
        for surface in BOTH {
            upstream.forget_next();
            let seen = whole(&proxy, surface, "hi").await;
            assert_eq!((seen.status, seen.text.as_str()), (200, "whole"), "{version}: {seen:#?}");
        }
        assert_eq!(upstream.refused().len(), 2, "{version}");
    }
}

#[tokio::test]
async fn an_answer_whose_connection_breaks_is_asked_for_again() {
    for version in RECENT {
        let upstream = FakeOpenAi::signed_in().await;
        let proxy = Setup::signed_in(version, &upstream).start().await;
        for surface in BOTH {
            upstream.push(Script::new().unfinished_message(&["part"]).disconnect());
            upstream.push(Script::text("whole"));
            let seen = whole(&proxy, surface, "hi").await;
            assert_eq!((seen.status, seen.text.as_str()), (200, "whole"), "{version}: {seen:#?}");

            let gate = Gate::new();
            upstream.push(Script::new().unfinished_message(&["part"]).gate(&gate));
            upstream.push(Script::text("whole"));
            let mut stream = proxy.stream(surface.path(), &surface.ask("hi")).await;
            let mut events = Vec::new();
            while surface.streamed_text(&events) != "part" {
                events.push(stream.next_data().await.expect("the stream goes on").json());
            }
            upstream.break_off();
            events.extend(stream.events().await);
            // Text that was already sent stays. It is important that the complete answer comes last.
            assert!(surface.streamed_text(&events).ends_with("whole"), "{version}: {events:#?}");
            assert!(events.iter().all(|event| event["error"].is_null()), "{version}: {events:#?}");
            let requests = upstream.requests();
            let [first, second] = &requests[requests.len() - 2..] else { panic!("{requests:#?}") };
            assert_ne!(first.connection, second.connection);
            assert_eq!(
                second.input_without_ids(),
                first.input_without_ids(),
                "nothing of the part is said again"
            );
        }
    }
}

#[tokio::test]
async fn an_upstream_that_never_gets_to_an_end_is_an_error() {
    let upstream = FakeOpenAi::signed_in().await;
    upstream.fall_back_to(Script::new().unfinished_message(&["part"]).disconnect());
    let proxy = Setup::signed_in(NEWEST, &upstream).start().await;
    let (chat, responses) =
        tokio::join!(whole(&proxy, Surface::Chat, "hi"), streamed(&proxy, Surface::Responses, "hi"));
    assert_eq!((chat.status, &chat.error["code"]), (502, &json!("upstream_error")), "{chat:#?}");
    assert_eq!(responses.error["code"], "upstream_error", "{responses:#?}");
    // Codex gives the WebSocket up after some attempts, and tries HTTP as often.
    let over_http = upstream.requests().iter().filter(|request| request.connection.is_none()).count();
    assert_eq!(over_http * 2, upstream.requests().len());
}

#[tokio::test]
async fn without_upgrades_everything_goes_over_http() {
    for version in RECENT {
        let upstream = FakeOpenAi::signed_in().await;
        upstream.refuse_upgrades(refusal(426));
        upstream.fall_back_to(Script::text("over HTTP"));
        let proxy = Setup::signed_in(version, &upstream).start().await;
        all_say(&everywhere(&proxy, "hi").await, "over HTTP");
        for surface in BOTH {
            upstream.push(Script::new().function_call("call_a", "look", r#"{"a":"b"}"#, 3));
            let ask = surface.ask_with_tool("look", "look", &json!({"type": "object", "properties": {}}));
            let calls = surface.calls(&surface.answer(&proxy, &ask).await);
            assert_eq!((calls.len(), calls[0].arguments.as_str()), (1, r#"{"a":"b"}"#), "{version}");
            upstream.push(Script::text("seen"));
            let answer = surface.answer(&proxy, &surface.follow_up(&ask, &calls, &["sunny"])).await;
            assert_eq!(surface.text(&answer), "seen");
            assert_eq!(upstream.requests().pop().unwrap().last_output(), Some("sunny"));
        }
        assert!(upstream.requests().iter().all(|request| request.connection.is_none()));
        assert_eq!(upstream.connections().ever, 0);
    }
}

#[tokio::test]
async fn an_upgrade_that_fails_for_another_reason_is_tried_some_times_before_http() {
    let upstream = FakeOpenAi::signed_in().await;
    upstream.refuse_upgrades(refusal(503));
    upstream.fall_back_to(Script::text("over HTTP"));
    let proxy = Setup::signed_in(NEWEST, &upstream).start().await;
    let (chat, responses) =
        tokio::join!(whole(&proxy, Surface::Chat, "hi"), streamed(&proxy, Surface::Responses, "hi"));
    all_say(&[chat, responses], "over HTTP");
    assert!(upstream.refused().len() > 2);
}
