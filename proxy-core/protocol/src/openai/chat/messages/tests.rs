use serde_json::{Value, json};

use super::*;
use crate::openai::chat::testing::{check_error, node};

fn check(messages: &Value, expected: &[Item]) {
    let transcript = read(&node(messages, "messages"), true).unwrap();
    assert_eq!(transcript.items, expected, "{messages}");
    assert_eq!(transcript.instructions, None);
}

fn refuse(messages: &Value, param: &str, words: &str) {
    check_error(&read(&node(messages, "messages"), true).unwrap_err(), param, words);
}

fn message(role: Role, texts: &[&str]) -> Item {
    let content = texts.iter().map(|text| Part::Text((*text).into())).collect();
    Item::Message { role, content, phase: None }
}

fn call(id: &str, name: &str) -> Item {
    let (call_id, name, input) = (id.into(), name.into(), "{}".into());
    Item::ToolCall { kind: ToolKind::Function, call_id, namespace: None, name, input }
}

fn output(id: &str, text: &str) -> Item {
    Item::ToolOutput { kind: ToolKind::Function, call_id: id.into(), output: ToolOutput::Text(text.into()) }
}

fn tool_call(id: &str, name: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": "{}"}})
}

const PIXEL: &str = content::images::PIXEL;

#[test]
fn every_role_has_its_place() {
    check(
        &json!([
            {"role": "system", "content": "S", "name": "boss"},
            {"role": "developer", "content": [{"type": "text", "text": "D"}]},
            {"role": "user", "content": "U", "name": "ann"},
            {"role": "assistant", "content": "A", "reasoning_content": "hm", "tool_calls": null, "audio": null},
            {"role": "assistant", "content": null, "refusal": "No."},
            {"role": "assistant", "content": [{"type": "text", "text": "x"}, {"type": "refusal", "refusal": "y"}]},
            {"role": "assistant", "content": ""},
            {"role": "assistant", "tool_calls": []},
        ]),
        &[
            message(Role::Developer, &["S"]),
            message(Role::Developer, &["D"]),
            message(Role::User, &["U"]),
            message(Role::Assistant, &["A"]),
            message(Role::Assistant, &["No."]),
            message(Role::Assistant, &["x", "y"]),
            message(Role::Assistant, &[""]),
            message(Role::Assistant, &[]),
        ],
    );
}

#[test]
fn calls_follow_the_text_and_are_answered_in_any_order() {
    let calls = [tool_call("a", "f"), tool_call("b", "g")];
    check(
        &json!([
            {"role": "assistant", "content": "I look.", "tool_calls": calls},
            {"role": "tool", "tool_call_id": "b", "content": "2"},
            {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "1"}]},
            {"role": "assistant", "content": "", "tool_calls": [tool_call("a", "f")]},
            {"role": "tool", "tool_call_id": "a", "content": "3"},
        ]),
        &[
            message(Role::Assistant, &["I look."]),
            call("a", "f"),
            call("b", "g"),
            output("b", "2"),
            Item::ToolOutput {
                kind: ToolKind::Function,
                call_id: "a".into(),
                output: ToolOutput::Parts(vec![Part::Text("1".into())]),
            },
            call("a", "f"),
            output("a", "3"),
        ],
    );
}

#[test]
fn the_older_form_of_calls_gets_ids() {
    check(
        &json!([
            {"role": "user", "content": "U"},
            {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "1"},
            {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": null},
        ]),
        &[
            message(Role::User, &["U"]),
            call("call_function_1", "f"),
            output("call_function_1", "1"),
            call("call_function_3", "f"),
            output("call_function_3", ""),
        ],
    );
}

#[test]
fn images_are_listed_with_their_parameters() {
    let image = json!({"type": "image_url", "image_url": {"url": PIXEL}});
    let messages = json!([
        {"role": "user", "content": [{"type": "text", "text": "U"}, image]},
        {"role": "assistant", "tool_calls": [tool_call("a", "f")]},
        {"role": "tool", "tool_call_id": "a", "content": [image]},
    ]);
    let transcript = read(&node(&messages, "messages"), true).unwrap();
    assert_eq!(
        transcript.images,
        ["messages[0].content[1].image_url.url", "messages[2].content[0].image_url.url"]
    );
    for role in ["system", "developer", "assistant"] {
        refuse(
            &json!([{"role": role, "content": [image]}]),
            "messages[0].content[0].image_url.url",
            "only user and tool messages",
        );
    }
}

#[test]
fn instructions_can_leave_the_transcript() {
    let read = |messages: Value| read(&node(&messages, "messages"), false).unwrap();
    let transcript = read(json!([
        {"role": "system", "content": "One"},
        {"role": "user", "content": "U"},
        {"role": "developer", "content": [{"type": "text", "text": "Two"}, {"type": "text", "text": ""}]},
    ]));
    assert_eq!(transcript.instructions.as_deref(), Some("One\n\nTwo"));
    assert_eq!(transcript.items, [message(Role::User, &["U"])]);

    let alone = read(json!([{"role": "system", "content": "One"}]));
    assert_eq!(alone.instructions, None);
    assert_eq!(alone.items, [message(Role::Developer, &["One"])]);
    assert_eq!(read(json!([{"role": "user", "content": "U"}])).instructions, None);
}

#[test]
fn bad_messages_are_named() {
    let say = |message: Value| json!([message]);
    for (messages, param, words) in [
        (json!("hi"), "messages", "an array"),
        (json!([]), "messages", "at least one message"),
        (json!([5]), "messages[0]", "an object"),
        (say(json!({"content": "x"})), "messages[0].role", "Missing"),
        (say(json!({"role": 1, "content": "x"})), "messages[0].role", "a string"),
        (say(json!({"role": "robot", "content": "x"})), "messages[0].role", "'system', 'developer', 'user'"),
        (say(json!({"role": "user"})), "messages[0].content", "Missing"),
        (say(json!({"role": "user", "content": null})), "messages[0].content", "null"),
        (say(json!({"role": "system", "content": 5})), "messages[0].content", "an integer"),
        (say(json!({"role": "user", "content": [{}]})), "messages[0].content[0].type", "Missing"),
        (say(json!({"role": "assistant", "content": {}})), "messages[0].content", "an object"),
        (say(json!({"role": "assistant", "refusal": 1})), "messages[0].refusal", "a string"),
        (say(json!({"role": "assistant", "audio": {"id": "x"}})), "messages[0].audio", "Send their text"),
        (say(json!({"role": "assistant", "tool_calls": {}})), "messages[0].tool_calls", "an array"),
        (
            say(json!({"role": "assistant", "function_call": {"name": "f"}})),
            "messages[0].function_call.arguments",
            "Missing",
        ),
    ] {
        refuse(&messages, param, words);
    }
}

#[test]
fn bad_calls_are_named() {
    let function = json!({"name": "f", "arguments": "{}"});
    for (call, param, words) in [
        (json!(1), "", "an object"),
        (json!({"function": function}), ".id", "Missing"),
        (json!({"id": "", "function": function}), ".id", "empty"),
        (json!({"id": "a", "type": "custom", "custom": {}}), ".custom.name", "Missing"),
        (json!({"id": "a", "type": "x", "function": function}), ".type", "'x' is no type of call"),
        (json!({"id": "a"}), ".function", "Missing"),
        (json!({"id": "a", "function": {"arguments": ""}}), ".function.name", "Missing"),
        (json!({"id": "a", "function": {"name": "a b", "arguments": ""}}), ".function.name", "is no name"),
        (json!({"id": "a", "function": {"name": "f", "arguments": {}}}), ".function.arguments", "a string"),
    ] {
        let messages = json!([{"role": "assistant", "tool_calls": [call]}]);
        refuse(&messages, &format!("messages[0].tool_calls[0]{param}"), words);
    }
    let twice = json!([{"role": "assistant", "tool_calls": [tool_call("a", "f"), tool_call("a", "g")]}]);
    refuse(&twice, "messages[0].tool_calls[1].id", "two calls have the id 'a'");
}

#[test]
fn calls_and_answers_have_to_match() {
    let call = json!({"role": "assistant", "tool_calls": [tool_call("a", "f"), tool_call("b", "f")]});
    let answer = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "x"});
    let user = json!({"role": "user", "content": "x"});
    let old_call = json!({"role": "assistant", "function_call": {"name": "f", "arguments": ""}});
    let old_answer = |name: &str| json!({"role": "function", "name": name, "content": "x"});
    let many: Vec<_> = (0..12).map(|index| tool_call(&format!("c{index}"), "f")).collect();
    let preceding = "must be a response to a preceding message with";
    for (messages, param, words) in [
        (json!([answer("a")]), "messages[0].tool_call_id", preceding),
        (json!([call, answer("c")]), "messages[1].tool_call_id", "none there has the id 'c'"),
        (json!([call, answer("a"), answer("a")]), "messages[2].tool_call_id", "answered already"),
        (json!([call, answer("a"), answer("b"), user, answer("a")]), "messages[4].tool_call_id", preceding),
        (json!([user, call, answer("b"), user]), "messages[1].tool_calls", "response messages: a"),
        (json!([call]), "messages[0].tool_calls", "response messages: a, b"),
        (
            json!([{"role": "assistant", "tool_calls": many}, user]),
            "messages[0].tool_calls",
            "c8, c9 and 2 more",
        ),
        (json!([{"role": "tool", "content": "x"}]), "messages[0].tool_call_id", "Missing"),
        (json!([call, {"role": "tool", "tool_call_id": "a"}]), "messages[1].content", "Missing"),
        (
            json!([call, {"role": "tool", "tool_call_id": "a", "content": 1}]),
            "messages[1].content",
            "an integer",
        ),
        (json!([old_answer("f")]), "messages[0].name", preceding),
        (json!([old_call, old_answer("g")]), "messages[1].name", "is of 'f', but this answers 'g'"),
        (json!([old_call, user]), "messages[0].function_call", "'f' has no answer"),
        (json!([old_call, {"role": "function", "content": "x"}]), "messages[1].name", "Missing"),
        (
            json!([old_call, {"role": "function", "name": "f", "content": []}]),
            "messages[1].content",
            "a string",
        ),
    ] {
        refuse(&messages, param, words);
    }
}
