use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::openai::frame::transcript;
use crate::openai::responses::Responses;
use crate::openai::{Config, Context, Environment, Surface};
use crate::turn::{Catalogue, Effort, ItemId, Model, OutputMode, TurnErrorKind, Usage};

/// Members of the response object that at least one of the two specifications requires.
const RESPONSE_MEMBERS: &[&str] = &[
    "id",
    "object",
    "created_at",
    "completed_at",
    "status",
    "incomplete_details",
    "model",
    "previous_response_id",
    "instructions",
    "output",
    "error",
    "tools",
    "tool_choice",
    "truncation",
    "parallel_tool_calls",
    "text",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "top_logprobs",
    "temperature",
    "reasoning",
    "usage",
    "max_output_tokens",
    "max_tool_calls",
    "store",
    "background",
    "service_tier",
    "metadata",
    "safety_identifier",
    "prompt_cache_key",
];

/// Members that each event has beside `type` and `sequence_number`.
const EVENT_MEMBERS: &[(&str, &[&str])] = &[
    ("response.created", &["response"]),
    ("response.in_progress", &["response"]),
    ("response.completed", &["response"]),
    ("response.incomplete", &["response"]),
    ("response.failed", &["response", "error"]),
    ("error", &["code", "message", "param", "error"]),
    ("response.output_item.added", &["output_index", "item"]),
    ("response.output_item.done", &["output_index", "item"]),
    ("response.content_part.added", &["item_id", "output_index", "content_index", "part"]),
    ("response.content_part.done", &["item_id", "output_index", "content_index", "part"]),
    ("response.output_text.delta", &["item_id", "output_index", "content_index", "delta", "logprobs"]),
    (
        "response.output_text.annotation.added",
        &["item_id", "output_index", "content_index", "annotation_index", "annotation"],
    ),
    ("response.refusal.delta", &["item_id", "output_index", "content_index", "delta"]),
    ("response.refusal.done", &["item_id", "output_index", "content_index", "refusal"]),
    ("response.output_text.done", &["item_id", "output_index", "content_index", "text", "logprobs"]),
    ("response.reasoning_summary_part.added", &["item_id", "output_index", "summary_index", "part"]),
    ("response.reasoning_summary_part.done", &["item_id", "output_index", "summary_index", "part"]),
    ("response.reasoning_summary_text.delta", &["item_id", "output_index", "summary_index", "delta"]),
    ("response.reasoning_summary_text.done", &["item_id", "output_index", "summary_index", "text"]),
    ("response.reasoning_text.delta", &["item_id", "output_index", "content_index", "delta"]),
    ("response.reasoning_text.done", &["item_id", "output_index", "content_index", "text"]),
    ("response.function_call_arguments.delta", &["item_id", "output_index", "delta"]),
    ("response.function_call_arguments.done", &["item_id", "output_index", "name", "arguments"]),
    ("response.web_search_call.in_progress", &["item_id", "output_index"]),
    ("response.web_search_call.searching", &["item_id", "output_index"]),
    ("response.web_search_call.completed", &["item_id", "output_index"]),
];

fn id(text: &str) -> ItemId {
    text.into()
}

fn encoder(body: &Value) -> ResponsesEncoder {
    let config = Config {
        environment: Environment::Prod,
        default_model: "gpt-5.2".into(),
        ignore_client_system_prompt: true,
        strict_params: false,
        model_fallback: true,
        max_prompt_tokens: 0,
        responses_default_max_tokens: 0,
        chat_output_mode: OutputMode::OpenaiJson,
        responses_output_mode: OutputMode::OpenaiJson,
    };
    let catalogue = Catalogue {
        models: vec![Model {
            id: "gpt-6-sol".into(),
            display_name: "Sol".into(),
            description: String::new(),
            efforts: vec![Effort::Low, Effort::Medium, Effort::High],
            default_effort: None,
            images: true,
            hidden: false,
            is_default: true,
            service_tiers: Some(vec!["priority".into()]),
            context_window: None,
        }],
    };
    let context = Context {
        config: &config,
        catalogue: &catalogue,
        output_mode: None,
        id: "0123456789abcdef",
        now: 1_790_000_000,
        continued: None,
        stores: true,
    };
    let mut encoder = Responses::parse(body, &context).unwrap().encoder;
    encoder.clock = || 1_790_000_007;
    encoder
}

/// Runs `events` through the encoder and compares the whole transcript with `golden/NAME.sse`.
///
/// `UPDATE_GOLDENS=1 cargo test` writes the files instead.
fn check(name: &str, body: &Value, events: &[TurnEvent]) -> Vec<Value> {
    let mut encoder = encoder(body);
    let mut frames = Frames::default();
    let mut folded = TurnOutput::default();
    encoder.open(&mut frames);
    for event in events {
        if folded.end.is_none() {
            folded.push(event);
        }
        encoder.push(0, event, &mut frames);
    }
    encoder.finish(&mut frames);
    let transcript = transcript(&mut frames);

    let events = parse(&transcript);
    check_events(name, &events);
    let last = events.last().unwrap();
    assert_eq!(last["response"], encoder.object(std::slice::from_ref(&folded)), "{name}: the object differs");
    let mut fresh = self::encoder(body);
    fresh.clock = encoder.clock;
    assert_eq!(last["response"], fresh.object(&[folded]), "{name}: the object without a stream differs");

    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src/openai/responses/encoder/golden"))
        .join(format!("{name}.sse"));
    if option_env!("UPDATE_GOLDENS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &transcript).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap().replace("\r\n", "\n");
    for (number, (got, expected)) in transcript.lines().zip(golden.lines()).enumerate() {
        assert_eq!(got, expected, "{name}.sse:{}", number + 1);
    }
    assert_eq!(transcript, golden, "{name}");
    events
}

fn parse(transcript: &str) -> Vec<Value> {
    let mut frames: Vec<_> = transcript.split_terminator("\n\n").collect();
    assert_eq!(frames.pop(), Some("data: [DONE]"));
    frames
        .iter()
        .map(|frame| {
            let (event, data) = frame.split_once('\n').unwrap();
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(event.strip_prefix("event: "), data["type"].as_str());
            data
        })
        .collect()
}

fn check_events(name: &str, events: &[Value]) {
    for (number, event) in events.iter().enumerate() {
        let kind = event["type"].as_str().unwrap();
        assert_eq!(event["sequence_number"], json!(number), "{name}");
        let (_, members) = EVENT_MEMBERS.iter().find(|(known, _)| *known == kind).unwrap();
        let mut expected: Vec<_> = members.iter().copied().chain(["type", "sequence_number"]).collect();
        let mut got: Vec<_> = event.as_object().unwrap().keys().map(String::as_str).collect();
        expected.sort_unstable();
        got.sort_unstable();
        assert_eq!(got, expected, "{name}: {kind}");
        if let Some(response) = event.get("response") {
            for member in RESPONSE_MEMBERS {
                assert!(response.get(member).is_some(), "{name}: {kind} lacks '{member}'");
            }
        }
    }
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds[..2], ["response.created", "response.in_progress"], "{name}");
    let response = &events.last().unwrap()["response"];
    let done: Vec<_> = events.iter().filter(|event| event["type"] == "response.output_item.done").collect();
    assert_eq!(response["output"].as_array().unwrap().len(), done.len(), "{name}");
    for event in done {
        let index = usize::try_from(event["output_index"].as_u64().unwrap()).unwrap();
        assert_eq!(event["item"], response["output"][index], "{name}: item {index}");
    }
}

fn plain() -> Value {
    json!({"model": "codex-5", "input": "hi"})
}

const USAGE: TurnEvent = TurnEvent::Usage(Usage {
    input: 30,
    cached: 10,
    cache_write: 2,
    output: 12,
    reasoning: 5,
    estimated: false,
});

#[test]
fn a_message_in_pieces() {
    let events = check(
        "message",
        &json!({"model": "codex-5-high", "input": "hi", "instructions": "Be brief.", "user": "u"}),
        &[
            TurnEvent::Started,
            TurnEvent::Retrying { message: "reconnecting".into() },
            TurnEvent::MessageStarted { id: id("msg_1") },
            TurnEvent::TextDelta { id: id("msg_1"), text: "h\u{e9}\n".into() },
            TurnEvent::TextDelta { id: id("msg_1"), text: String::new() },
            TurnEvent::TextDelta { id: id("msg_1"), text: "\"llo\" \u{1f600}".into() },
            TurnEvent::MessageDone { id: id("msg_1"), phase: Some("final_answer".into()) },
            USAGE,
            TurnEvent::Finished(Finish::Stop),
        ],
    );
    let text: String = events
        .iter()
        .filter(|event| event["type"] == "response.output_text.delta")
        .map(|event| event["delta"].as_str().unwrap())
        .collect();
    assert_eq!(text, "h\u{e9}\n\"llo\" \u{1f600}");
}

#[test]
fn reasoning_and_parallel_calls() {
    check(
        "reasoning_and_calls",
        &json!({
            "model": "gpt-6-sol",
            "input": "weather?",
            "reasoning": {"effort": "high", "summary": "auto"},
            "include": ["reasoning.encrypted_content"],
            "tools": [{
                "type": "function",
                "name": "weather",
                "description": "The weather.",
                "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
                "strict": true,
            }],
        }),
        &[
            TurnEvent::ReasoningStarted { id: id("rs_1") },
            TurnEvent::SummaryDelta { id: id("rs_1"), index: 0, text: "First".into() },
            TurnEvent::SummaryDelta { id: id("rs_1"), index: 0, text: " thought".into() },
            TurnEvent::SummaryDelta { id: id("rs_1"), index: 1, text: "Second".into() },
            TurnEvent::ReasoningTextDelta { id: id("rs_1"), index: 0, text: "raw".into() },
            TurnEvent::ReasoningDone { id: id("rs_1"), encrypted_content: Some("sealed".into()) },
            TurnEvent::ToolCall {
                id: id("fc_1"),
                kind: ToolKind::Function,
                call_id: "call_1".into(),
                namespace: None,
                name: "weather".into(),
                input: "{\"city\":\"Paris\"}".into(),
            },
            TurnEvent::ToolCall {
                id: id("fc_2"),
                kind: ToolKind::Function,
                call_id: "call_2".into(),
                namespace: None,
                name: "weather".into(),
                input: String::new(),
            },
            USAGE,
            TurnEvent::Finished(Finish::ToolCalls),
        ],
    );
}

#[test]
fn sealed_reasoning_is_kept_back_unless_asked_for() {
    let events = check(
        "reasoning_unasked",
        &plain(),
        &[
            TurnEvent::ReasoningStarted { id: id("rs_1") },
            TurnEvent::ReasoningDone { id: id("rs_1"), encrypted_content: Some("sealed".into()) },
            TurnEvent::Finished(Finish::Stop),
        ],
    );
    assert!(!Value::from(events).to_string().contains("sealed"));
}

#[test]
fn a_web_search_before_the_answer() {
    check(
        "web_search",
        &json!({"model": "codex-5", "input": "news?", "tools": [{"type": "web_search"}]}),
        &[
            TurnEvent::WebSearchStarted { id: id("ws_1") },
            TurnEvent::WebSearchDone {
                id: id("ws_1"),
                action: json!({"type": "search", "query": "news", "queries": ["news"]}),
            },
            TurnEvent::MessageStarted { id: id("msg_1") },
            TurnEvent::TextDelta { id: id("msg_1"), text: "None.".into() },
            TurnEvent::MessageDone { id: id("msg_1"), phase: None },
            USAGE,
            TurnEvent::Finished(Finish::Stop),
        ],
    );
}

#[test]
fn the_limit_cuts_what_is_open() {
    check(
        "cut",
        &json!({"model": "codex-5", "input": "count", "max_output_tokens": 16}),
        &[
            TurnEvent::ReasoningStarted { id: id("rs_1") },
            TurnEvent::SummaryDelta { id: id("rs_1"), index: 0, text: "Counting".into() },
            TurnEvent::MessageStarted { id: id("msg_1") },
            TurnEvent::MessageDone { id: id("msg_1"), phase: Some("commentary".into()) },
            TurnEvent::MessageStarted { id: id("msg_2") },
            TurnEvent::TextDelta { id: id("msg_2"), text: "1 2 3".into() },
            USAGE,
            TurnEvent::Finished(Finish::Length),
        ],
    );
}

#[test]
fn a_stop_completes_what_is_open() {
    check(
        "stop_text",
        &json!({"model": "codex-5", "input": "count", "stop": "4"}),
        &[
            TurnEvent::MessageStarted { id: id("msg_1") },
            TurnEvent::TextDelta { id: id("msg_1"), text: "1 2 3 ".into() },
            TurnEvent::Finished(Finish::Stop),
        ],
    );
}

#[test]
fn a_failure_closes_what_is_open_and_is_said_everywhere() {
    let mut error = TurnError::new(TurnErrorKind::RateLimited, "Slow down.").detail("secret detail");
    error.param = Some("model".into());
    let events = check(
        "failed",
        &plain(),
        &[
            TurnEvent::MessageStarted { id: id("msg_1") },
            TurnEvent::TextDelta { id: id("msg_1"), text: "So".into() },
            TurnEvent::WebSearchStarted { id: id("ws_1") },
            TurnEvent::Failed(error),
            TurnEvent::TextDelta { id: id("msg_1"), text: "too late".into() },
        ],
    );
    assert!(!Value::from(events).to_string().contains("secret detail"));
}

#[test]
fn a_failure_before_anything_was_said() {
    check(
        "failed_at_once",
        &plain(),
        &[TurnEvent::Failed(TurnError::new(TurnErrorKind::LoginRequired, "Sign in first."))],
    );
}

#[test]
fn an_answer_that_goes_on_is_in_progress() {
    let mut output = TurnOutput::default();
    output.push(&TurnEvent::MessageStarted { id: id("msg_1") });
    output.push(&TurnEvent::TextDelta { id: id("msg_1"), text: "So".into() });
    output.push(&USAGE);
    let object = encoder(&plain()).object(&[output]);
    assert_eq!(object["status"], "in_progress");
    assert_eq!(object["completed_at"], Value::Null);
    assert_eq!(object["usage"], Value::Null);
    assert_eq!(object["output"][0]["status"], "in_progress");
    assert_eq!(object["output"][0]["content"][0]["text"], "So");
}

#[test]
fn skipped_reasoning_parts_are_opened_too() {
    let mut encoder = encoder(&plain());
    let mut frames = Frames::default();
    let rs = id("rs_1");
    encoder.push(0, &TurnEvent::ReasoningStarted { id: rs.clone() }, &mut frames);
    encoder.push(0, &TurnEvent::SummaryDelta { id: rs, index: 2, text: "c".into() }, &mut frames);
    encoder.push(0, &TurnEvent::Finished(Finish::Stop), &mut frames);
    encoder.finish(&mut frames);
    let transcript = transcript(&mut frames);
    let parts: Vec<_> = parse(&transcript)
        .iter()
        .filter(|event| event["type"] == "response.reasoning_summary_part.done")
        .map(|event| (event["summary_index"].clone(), event["part"]["text"].clone()))
        .collect();
    assert_eq!(parts, [(json!(0), json!("")), (json!(1), json!("")), (json!(2), json!("c"))]);
}

#[test]
fn citations_follow_the_text_they_are_in() {
    let citation = |start: u64| json!({"type": "url_citation", "url": "https://e.example", "title": "T", "start_index": start, "end_index": start + 1});
    let events = [
        TurnEvent::Started,
        TurnEvent::MessageStarted { id: id("msg") },
        TurnEvent::TextDelta { id: id("msg"), text: "abc".into() },
        TurnEvent::Annotation { id: id("msg"), annotation: citation(0) },
        TurnEvent::Annotation { id: id("msg"), annotation: citation(2) },
        TurnEvent::MessageDone { id: id("msg"), phase: None },
        USAGE,
        TurnEvent::Finished(Finish::Stop),
    ];
    let events = check("citations", &plain(), &events);
    let part = &events.last().unwrap()["response"]["output"][0]["content"][0];
    assert_eq!(part["annotations"], json!([citation(0), citation(2)]));
}

#[test]
fn a_refusal_is_a_part_of_its_own() {
    let refusal = |text: &str| TurnEvent::RefusalDelta { id: id("msg"), text: text.into() };
    let message = |said: Vec<TurnEvent>| {
        let mut events = vec![TurnEvent::Started, TurnEvent::MessageStarted { id: id("msg") }];
        events.extend(said);
        events.extend([
            TurnEvent::MessageDone { id: id("msg"), phase: None },
            USAGE,
            TurnEvent::Finished(Finish::Stop),
        ]);
        events
    };
    let alone = check("refusal", &plain(), &message(vec![refusal("I will"), refusal(" not.")]));
    let content = &alone.last().unwrap()["response"]["output"][0]["content"];
    assert_eq!(*content, json!([{"type": "refusal", "refusal": "I will not."}]));
    let text = TurnEvent::TextDelta { id: id("msg"), text: "Hm.".into() };
    let both = check("text_and_refusal", &plain(), &message(vec![text, refusal("No.")]));
    let content = &both.last().unwrap()["response"]["output"][0]["content"];
    assert_eq!((&content[0]["text"], &content[1]["refusal"]), (&json!("Hm."), &json!("No.")));
}

#[test]
fn an_answer_that_was_filtered_is_incomplete() {
    let events = [
        TurnEvent::Started,
        TurnEvent::MessageStarted { id: id("msg") },
        TurnEvent::TextDelta { id: id("msg"), text: "Half".into() },
        USAGE,
        TurnEvent::Finished(Finish::ContentFilter),
    ];
    let events = check("filtered", &plain(), &events);
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.incomplete");
    assert_eq!(last["response"]["incomplete_details"], json!({"reason": "content_filter"}));
    assert_eq!(last["response"]["output"][0]["status"], "incomplete");
}
