//! The parts of a message besides its text, and an answer that the upstream cut short.

use super::*;

/// The events that result from notifications and from the turn's end after them.
fn check(notifications: &[(&str, Value)], expected: &[TurnEvent]) {
    let mut bench = Bench::running(NEW, turn());
    for (method, params) in notifications {
        bench.notify(method, params.clone());
    }
    bench.complete("completed", Value::Null);
    assert_eq!(bench.events(), expected);
    assert!(bench.released());
}

fn begun(id: &str) -> (&'static str, Value) {
    ("item/started", json!({"item": {"type": "agentMessage", "id": id, "text": ""}}))
}

#[test]
fn citations_and_refusals_come_before_the_end_of_their_message() {
    let annotation =
        json!({"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1});
    let content = json!([
        {"type": "output_text", "text": "ab", "annotations": [annotation]},
        {"type": "refusal", "refusal": "No."},
    ]);
    let item = json!({"item": {"type": "message", "id": "m", "role": "assistant", "content": content}});
    check(
        &[
            begun("m"),
            ("item/agentMessage/delta", json!({"itemId": "m", "delta": "a"})),
            ("rawResponseItem/completed", item),
        ],
        &[
            TurnEvent::MessageStarted { id: "m".into() },
            text("m", "a"),
            text("m", "b"),
            TurnEvent::Annotation { id: "m".into(), annotation },
            TurnEvent::RefusalDelta { id: "m".into(), text: "No.".into() },
            TurnEvent::MessageDone { id: "m".into(), phase: None },
            TurnEvent::Finished(Finish::Stop),
        ],
    );
}

#[test]
fn a_message_that_is_begun_and_never_told_was_a_refusal() {
    check(
        &[begun("m")],
        &[
            TurnEvent::MessageStarted { id: "m".into() },
            TurnEvent::RefusalDelta {
                id: "m".into(),
                text:
                    "The model most likely declined to answer. Codex does not pass on the words of a refusal."
                        .into(),
            },
            TurnEvent::MessageDone { id: "m".into(), phase: None },
            TurnEvent::Finished(Finish::Stop),
        ],
    );
    let lost = json!({"error": {"message": "Reconnecting... 1/5"}, "willRetry": true});
    check(
        &[begun("m"), ("error", lost)],
        &[
            TurnEvent::MessageStarted { id: "m".into() },
            TurnEvent::Retrying { message: "Reconnecting... 1/5".into() },
            TurnEvent::Withdrawn { id: "m".into() },
            TurnEvent::Finished(Finish::Stop),
        ],
    );
    // Codex does not report the first connection that it loses.
    let whole = json!({"item": {"type": "message", "id": "n", "role": "assistant",
                                "content": [{"type": "output_text", "text": "whole"}]}});
    let part = json!({"itemId": "m", "delta": "part"});
    for (said, seen) in [(None, vec![]), (Some(("item/agentMessage/delta", part)), vec![text("m", "part")])] {
        let mut lines = vec![begun("m")];
        lines.extend(said);
        lines.extend([begun("n"), ("rawResponseItem/completed", whole.clone())]);
        let mut events = vec![TurnEvent::MessageStarted { id: "m".into() }];
        events.extend(seen);
        events.extend([
            TurnEvent::MessageStarted { id: "n".into() },
            text("n", "whole"),
            TurnEvent::MessageDone { id: "n".into(), phase: None },
            TurnEvent::Withdrawn { id: "m".into() },
            TurnEvent::Finished(Finish::Stop),
        ]);
        check(&lines, &events);
    }
    let empty = json!({"item": {"type": "message", "id": "m", "role": "assistant", "content": []}});
    check(
        &[begun("m"), ("rawResponseItem/completed", empty)],
        &[
            TurnEvent::MessageStarted { id: "m".into() },
            TurnEvent::MessageDone { id: "m".into(), phase: None },
            TurnEvent::Finished(Finish::Stop),
        ],
    );
}

#[test]
fn a_filtered_answer_ends_before_it_is_asked_for_again() {
    let mut bench = Bench::running(NEW, turn());
    bench.notify("item/agentMessage/delta", json!({"itemId": "m", "delta": "a"}));
    let error = json!({
        "message": "Reconnecting... 1/5",
        "additionalDetails": "stream disconnected before completion: Incomplete response returned, reason: content_filter",
    });
    bench.notify("error", json!({"error": error, "willRetry": true}));
    assert_eq!(
        bench.events(),
        [
            TurnEvent::MessageStarted { id: "m".into() },
            text("m", "a"),
            TurnEvent::Finished(Finish::ContentFilter)
        ]
    );
    bench.sent("turn/interrupt");
    bench.complete("interrupted", Value::Null);
    assert_eq!(bench.events(), []);
    assert!(bench.released());
}

#[test]
fn a_filtered_answer_of_which_nothing_is_told_ends_where_codex_speaks_of_it() {
    let mut bench = Bench::running(NEW, turn());
    bench.notify("item/agentMessage/delta", json!({"itemId": "m", "delta": "a"}));
    let said = |role: &str, kind: &str, text: &str| json!({"item": {"type": "message", "id": role, "role": role, "content": [{"type": kind, "text": text}]}});
    bench.notify("rawResponseItem/completed", said("user", "input_text", "<content_filter_guidance>"));
    assert_eq!(bench.events(), [TurnEvent::MessageStarted { id: "m".into() }, text("m", "a")]);
    let words = "<content_filter_guidance>\nYour previous response was blocked.\n</content_filter_guidance>";
    bench.notify("rawResponseItem/completed", said("developer", "input_text", words));
    assert_eq!(bench.events(), [TurnEvent::Finished(Finish::ContentFilter)]);
    bench.sent("turn/interrupt");
    bench.notify("item/agentMessage/delta", json!({"itemId": "n", "delta": "of the second answer"}));
    bench.complete("interrupted", Value::Null);
    assert_eq!(bench.events(), []);
    assert!(bench.released());
}
