use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;
use crate::openai::Continued;
use crate::openai::error::RequestError;
use crate::openai::read::Node;
use crate::openai::responses::input;
use crate::openai::responses::params::Ignored;
use crate::openai::responses::tools::Tools;

/// The items of a history, as a request gets them.
fn given(items: &[HistoryItem]) -> Result<Vec<Item>, RequestError> {
    let body = Value::Object(Map::new());
    let object = Node::root(&body).object()?;
    let mut ignored = Ignored::new(true);
    let mut tools = Tools::read(&object, &mut ignored)?;
    let continued = Continued { items, param: "conversation" };
    input::read(&object, Some(continued), &mut Vec::new(), &mut tools, &mut ignored)
}

fn part() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => "[a-z\\\\\"\u{e9}\n]{0,6}".prop_map(|text| json!({"type": "input_text", "text": text})),
        4 => "[a-z]{0,3}".prop_map(|text| {
            json!({"type": "output_text", "text": text, "annotations": [{"a": 1.5}], "logprobs": []})
        }),
        2 => Just(json!({"type": "refusal", "refusal": "no"})),
        1 => Just(json!({"type": "input_image", "image_url": "https://example.com/a.png", "detail": "low"})),
        1 => Just(json!({"type": "output_text", "text": null})),
        1 => Just(json!({"type": "reasoning_text", "text": "x"})),
        1 => Just(json!("text")),
    ]
}

fn content() -> impl Strategy<Value = Value> {
    prop_oneof![
        "[a-z]{0,3}".prop_map(Value::from),
        prop::collection::vec(part(), 0..3).prop_map(Value::from),
        Just(Value::Null),
        Just(json!(7)),
    ]
}

/// A member that may be missing.
fn maybe(name: &'static str, values: Vec<Value>) -> impl Strategy<Value = Option<(String, Value)>> {
    prop::option::weighted(0.8, prop::sample::select(values))
        .prop_map(move |value| Some((name.to_owned(), value?)))
}

fn item() -> impl Strategy<Value = Value> {
    let kinds = [
        "message",
        "message",
        "function_call",
        "function_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
        "reasoning",
        "compaction",
        "web_search_call",
        "mcp_call",
        "item_reference",
        "unheard_of",
    ];
    let of = |texts: &[&str]| {
        let mut values: Vec<Value> = texts.iter().map(|text| json!(text)).collect();
        values.extend([Value::Null, json!(1)]);
        values
    };
    let members = (
        (
            maybe("type", of(&kinds)),
            maybe("id", of(&["x_1", "x_1", "x_1"])),
            maybe("role", of(&["user", "assistant", "user", "assistant", "system", "developer", "nobody"])),
            maybe("phase", of(&["commentary", "final_answer", "later"])),
            maybe("call_id", of(&["c", "c", "c", ""])),
            maybe("namespace", of(&["n"])),
        ),
        (
            maybe("name", of(&["f", "f", "f", ""])),
            maybe("arguments", of(&["{}", " ", "{\"a\":1}"])),
            maybe("input", of(&["text", ""])),
            maybe("output", vec![json!("done"), json!([{"type": "input_text", "text": "done"}]), json!(1)]),
            maybe(
                "summary",
                vec![
                    json!([{"type": "summary_text", "text": "s"}]),
                    json!([{"type": "other", "text": "s"}]),
                    json!([]),
                    json!("s"),
                ],
            ),
            maybe("encrypted_content", of(&["sealed", ""])),
        ),
        (maybe("status", of(&["completed"])), prop::option::of(content())),
    );
    members.prop_map(|((a, b, c, d, e, f), (g, h, i, j, k, l), (m, content))| {
        let content = content.map(|content| ("content".to_owned(), content));
        [a, b, c, d, e, f, g, h, i, j, k, l, m, content].into_iter().flatten().collect::<Map<_, _>>().into()
    })
}

proptest! {
    /// Whatever way an item is read, the model gets the same of it, and its id is the same.
    #[test]
    fn a_usual_item_is_read_like_any_other(value in item()) {
        let read = HistoryItem::parse(&value.to_string()).unwrap();
        prop_assert_eq!(&read, &HistoryItem::of(&value));
        let other = HistoryItem::Other(value);
        prop_assert_eq!(read.id(), other.id());
        prop_assert_eq!(read.is_instruction(), other.is_instruction());
        prop_assert_eq!(read.is_compaction(), other.is_compaction());
        prop_assert_eq!(given(&[read]), given(&[other]));
    }
}

#[test]
fn what_most_chains_have_is_usual() {
    let usual = [
        json!({"type": "message", "id": "msg_1", "status": "completed", "role": "user",
               "content": [{"type": "input_text", "text": "hi"}]}),
        json!({"type": "message", "id": "msg_2", "status": "completed", "role": "assistant", "phase": "final_answer",
               "content": [{"type": "output_text", "text": "ho", "annotations": [], "logprobs": []}]}),
        json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "sealed",
               "content": [{"type": "reasoning_text", "text": "x"}]}),
        json!({"type": "reasoning", "id": "rs_2", "summary": []}),
        json!({"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}),
        json!({"type": "function_call_output", "id": "fco_1", "call_id": "c", "output": "1"}),
    ];
    for item in usual {
        assert!(matches!(HistoryItem::of(&item), HistoryItem::Usual { id: Some(_), .. }), "{item}");
    }
    assert!(HistoryItem::parse("{").is_err());
}

#[test]
fn an_error_in_what_is_continued_names_the_parameter_that_was_sent() {
    let wrong = HistoryItem::of(&json!({"type": "message", "role": "nobody", "content": "x"}));
    let error = given(&[wrong]).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("conversation"));
    let error = error.message;
    assert!(error.contains("'conversation'") && !error.contains("role"), "{error}");
    // What has no effect was reported when it was sent, also where it would be refused.
    let fine = [
        HistoryItem::of(&json!({"type": "mcp_call", "id": "x"})),
        HistoryItem::of(&json!({"role": "user", "content": "x"})),
    ];
    assert_eq!(given(&fine).unwrap().len(), 1);
}

#[test]
fn a_chain_goes_on_from_its_last_compaction() {
    let message = |role: &str, text: &str| json!({"type": "message", "role": role, "content": text});
    let compaction = |sealed: &str| json!({"type": "compaction", "encrypted_content": sealed});
    let call = json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"});
    let items = [
        message("developer", "d"),
        message("user", "1"),
        message("assistant", "2"),
        compaction("a"),
        call.clone(),
        message("user", "3"),
        compaction("b"),
        message("assistant", "4"),
        call,
    ];
    let left = [true, true, false, false, false, true, true, true, true];
    let items: Vec<_> = items.iter().map(HistoryItem::of).collect();
    assert_eq!(left_by_compaction(&items).unwrap(), left);
    assert_eq!(left_by_compaction(&items[..3]), None);
}
