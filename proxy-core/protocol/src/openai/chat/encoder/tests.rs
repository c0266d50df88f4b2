use serde_json::{Value, json};

use super::*;
use crate::openai::chat::testing::{config, parse};
use crate::openai::frame::transcript;
use crate::turn::{Finish, TurnError, TurnErrorKind};

type Golden = (&'static str, &'static str);

/// The stream and the object that a turn's events make.
macro_rules! golden {
    ($name:literal) => {
        (include_str!(concat!("golden/", $name, ".sse")), include_str!(concat!("golden/", $name, ".json")))
    };
}

/// Compares the frames and the object that `events` make with the golden ones. In every case, the assembled stream
/// must have the same content as the object.
fn check(request: &Value, events: &[(usize, TurnEvent)], (stream, object): Golden) {
    let (encoder, outputs, text) = encode(request, events);
    assert_eq!(text, stream);
    let folded = encoder.object(&outputs);
    assert_eq!(format!("{folded:#}\n"), object);
    for (choice, put_together) in folded["choices"].as_array().unwrap().iter().zip(collect(&text)) {
        assert_eq!(choice["message"]["content"].as_str().unwrap_or_default(), put_together.content);
        let reasoning = choice["message"]["reasoning_content"].as_str().unwrap_or_default();
        assert_eq!(reasoning, put_together.reasoning);
        assert_eq!(choice["finish_reason"], put_together.finish_reason);
        let called = &choice["message"]["tool_calls"];
        let called = if called.is_null() { json!([]) } else { called.clone() };
        assert_eq!(called, Value::from(put_together.calls));
    }
}

/// Encodes and folds the events of each choice as the answer to a request with these members.
fn encode(request: &Value, events: &[(usize, TurnEvent)]) -> (ChatEncoder, Vec<TurnOutput>, String) {
    let mut body = json!({"model": "gpt-Test", "messages": [{"role": "user", "content": "hi"}]});
    for (key, value) in request.as_object().unwrap() {
        body[key] = value.clone();
    }
    let prepared = parse(&body, &config()).unwrap();
    let mut encoder = prepared.encoder;
    let mut outputs = vec![TurnOutput::default(); prepared.choices];
    let mut frames = Frames::default();
    encoder.open(&mut frames);
    for (choice, event) in events {
        encoder.push(*choice, event, &mut frames);
        outputs[*choice].push(event);
    }
    encoder.finish(&mut frames);
    (encoder, outputs, transcript(&mut frames))
}

#[derive(Default)]
struct Collected {
    content: String,
    reasoning: String,
    finish_reason: Value,
    calls: Vec<Value>,
}

/// Assembles a stream as clients do: texts appended, calls opened by `index` and their arguments appended.
fn collect(stream: &str) -> Vec<Collected> {
    let mut choices: Vec<Collected> = Vec::new();
    for frame in stream.split("\n\n").filter_map(|frame| frame.strip_prefix("data: {")) {
        let chunk: Value = serde_json::from_str(&format!("{{{frame}")).unwrap();
        for choice in chunk["choices"].as_array().unwrap() {
            let index = choice["index"].as_u64().unwrap() as usize;
            choices.resize_with(choices.len().max(index + 1), Collected::default);
            let state = &mut choices[index];
            let delta = &choice["delta"];
            state.content += delta["content"].as_str().unwrap_or_default();
            state.reasoning += delta["reasoning_content"].as_str().unwrap_or_default();
            if !choice["finish_reason"].is_null() {
                state.finish_reason = choice["finish_reason"].clone();
            }
            for call in delta["tool_calls"].as_array().into_iter().flatten() {
                let index = call["index"].as_u64().unwrap() as usize;
                if index == state.calls.len() {
                    let mut call = call.clone();
                    call.as_object_mut().unwrap().remove("index");
                    state.calls.push(call);
                } else {
                    let more = call["function"]["arguments"].as_str().unwrap();
                    let arguments = &mut state.calls[index]["function"]["arguments"];
                    *arguments = format!("{}{more}", arguments.as_str().unwrap()).into();
                }
            }
        }
    }
    choices
}

fn said(id: &str, texts: &[&str]) -> Vec<TurnEvent> {
    let mut events = vec![TurnEvent::MessageStarted { id: id.into() }];
    events.extend(texts.iter().map(|text| TurnEvent::TextDelta { id: id.into(), text: (*text).into() }));
    events.push(TurnEvent::MessageDone { id: id.into(), phase: None });
    events
}

fn thought(id: &str, parts: &[(usize, &str)]) -> Vec<TurnEvent> {
    let mut events = vec![TurnEvent::ReasoningStarted { id: id.into() }];
    events.extend(parts.iter().map(|(index, text)| TurnEvent::SummaryDelta {
        id: id.into(),
        index: *index,
        text: (*text).into(),
    }));
    events.push(TurnEvent::ReasoningDone { id: id.into(), encrypted_content: Some("sealed".into()) });
    events
}

fn called(id: &str, name: &str, arguments: &str) -> TurnEvent {
    TurnEvent::ToolCall {
        id: format!("fc_{id}").into(),
        kind: ToolKind::Function,
        call_id: id.into(),
        namespace: None,
        name: name.into(),
        input: arguments.into(),
    }
}

fn used(input: u64, output: u64) -> TurnEvent {
    let usage = Usage { input, cached: 3, cache_write: 2, output, reasoning: 1, estimated: false };
    TurnEvent::Usage(usage)
}

fn ended(finish: Finish) -> Vec<TurnEvent> {
    vec![used(10, 5), TurnEvent::Finished(finish)]
}

fn one(events: impl IntoIterator<Item = Vec<TurnEvent>>) -> Vec<(usize, TurnEvent)> {
    [TurnEvent::Started].into_iter().chain(events.into_iter().flatten()).map(|event| (0, event)).collect()
}

#[test]
fn text_is_sent_as_it_comes() {
    let events = one([vec![used(1, 1)], said("m", &["Hé", "llo\n\"", "", "<think>"]), ended(Finish::Stop)]);
    check(&json!({}), &events, golden!("text"));
}

#[test]
fn several_messages_are_kept_apart_by_a_blank_line() {
    let search = vec![
        TurnEvent::WebSearchStarted { id: "ws".into() },
        TurnEvent::WebSearchDone { id: "ws".into(), action: json!({"type": "search"}) },
        TurnEvent::Retrying { message: "lost".into() },
    ];
    let events = one([
        said("a", &["One", "."]),
        search,
        said("b", &[]),
        said("c", &["", "Two"]),
        ended(Finish::Length),
    ]);
    check(&json!({"stream_options": {"include_usage": true}}), &events, golden!("messages"));
}

#[test]
fn reasoning_has_its_own_member() {
    let raw = vec![
        TurnEvent::ReasoningStarted { id: "r2".into() },
        TurnEvent::ReasoningTextDelta { id: "r2".into(), index: 0, text: "raw".into() },
        TurnEvent::ReasoningDone { id: "r2".into(), encrypted_content: None },
    ];
    let events = one([
        thought("r1", &[(0, "Let "), (0, "me"), (1, "Then")]),
        thought("r0", &[]),
        raw,
        said("m", &["Yes"]),
        ended(Finish::Stop),
    ]);
    check(&json!({}), &events, golden!("reasoning"));
}

#[test]
fn calls_open_with_their_name_and_then_get_their_arguments() {
    let calls = vec![called("c1", "look", r#"{"q":"a b"}"#), called("c2", "now", "")];
    let events = one([calls, ended(Finish::ToolCalls)]);
    check(&json!({}), &events, golden!("calls"));
    let events = one([said("m", &["I look."]), vec![called("c1", "look", "{}")], ended(Finish::ToolCalls)]);
    check(&json!({}), &events, golden!("text_and_call"));
}

#[test]
fn choices_have_their_own_messages_and_calls_but_one_usage() {
    let mut events: Vec<(usize, TurnEvent)> = said("m", &["A"]).into_iter().map(|event| (1, event)).collect();
    events.extend([(0, called("c1", "f", "{}")), (1, called("c2", "f", "{}"))]);
    for choice in [1, 0] {
        events.extend(ended(Finish::ToolCalls).into_iter().map(|event| (choice, event)));
    }
    check(&json!({"n": 2}), &events, golden!("choices"));
}

#[test]
fn a_turn_that_says_nothing_is_an_empty_message() {
    check(&json!({}), &one([vec![TurnEvent::Finished(Finish::Stop)]]), golden!("nothing"));
}

#[test]
fn declared_functions_are_called_in_the_older_form() {
    let calls = vec![called("c1", "f", r#"{"a":1}"#), called("c2", "f", "{}")];
    check(
        &json!({"functions": [{"name": "f"}]}),
        &one([calls, ended(Finish::ToolCalls)]),
        golden!("function_call"),
    );
}

#[test]
fn a_failure_is_said_once_and_ends_everything() {
    let mut events = one([said("m", &["Half"])]);
    events.push((
        0,
        TurnEvent::Failed(TurnError::new(TurnErrorKind::Upstream, "It broke. Try again.").detail("secret")),
    ));
    events.extend(said("n", &["late"]).into_iter().chain(ended(Finish::Stop)).map(|event| (1, event)));
    events.push((1, TurnEvent::Failed(TurnError::new(TurnErrorKind::Internal, "again"))));
    let (_, _, text) = encode(&json!({"n": 2}), &events);
    assert_eq!(text, include_str!("golden/failure.sse"));
}

#[test]
fn an_event_of_a_choice_that_is_not_there_changes_nothing() {
    let (mut encoder, _, _) = encode(&json!({}), &[]);
    let mut frames = Frames::default();
    encoder.push(1, &TurnEvent::Finished(Finish::Stop), &mut frames);
    assert!(frames.take().is_empty());
}

/// The values of one member of the stream's deltas.
fn deltas(text: &str, member: &str) -> Vec<Value> {
    text.split("\n\n")
        .filter_map(|frame| serde_json::from_str::<Value>(frame.strip_prefix("data: ")?).ok())
        .filter_map(|chunk| chunk["choices"][0]["delta"].get(member).cloned())
        .collect()
}

#[test]
fn citations_point_into_the_joined_text() {
    let cited = |id: &str, text: &str, start: u64| {
        let annotation = json!({"type": "url_citation", "url": "https://e.example", "title": "T", "start_index": start, "end_index": start + 1});
        let other = json!({"type": "file_path", "file_id": "f", "index": 0});
        let mut events = said(id, &[text]);
        let done = events.pop().unwrap();
        events.extend(
            [annotation, other].map(|annotation| TurnEvent::Annotation { id: id.into(), annotation }),
        );
        events.push(done);
        events
    };
    let events = one([cited("a", "h\u{e9}", 1), said("b", &[""]), cited("c", "xyz", 2), ended(Finish::Stop)]);
    let (encoder, outputs, text) = encode(&json!({}), &events);
    let citation = |start: u64| {
        json!({"type": "url_citation", "url_citation":
            {"start_index": start, "end_index": start + 1, "url": "https://e.example", "title": "T"}})
    };
    let message = &encoder.object(&outputs)["choices"][0]["message"];
    assert_eq!(
        (&message["content"], &message["annotations"]),
        (&json!("h\u{e9}\n\nxyz"), &json!([citation(1), citation(6)]))
    );
    assert_eq!(deltas(&text, "annotations"), [json!([citation(1)]), json!([citation(6)])]);
}

#[test]
fn a_refusal_has_its_own_member() {
    let refusal = |id: &str, text: &str| TurnEvent::RefusalDelta { id: id.into(), text: text.into() };
    let events = one([vec![
        TurnEvent::MessageStarted { id: "m".into() },
        refusal("m", "I will"),
        refusal("m", " not."),
        TurnEvent::MessageDone { id: "m".into(), phase: None },
        TurnEvent::Finished(Finish::ContentFilter),
    ]]);
    let (encoder, outputs, text) = encode(&json!({}), &events);
    let choice = &encoder.object(&outputs)["choices"][0];
    assert_eq!(choice["finish_reason"], "content_filter");
    assert_eq!(
        (&choice["message"]["content"], &choice["message"]["refusal"]),
        (&Value::Null, &json!("I will not."))
    );
    assert_eq!(deltas(&text, "refusal"), [json!("I will"), json!(" not.")]);
}
