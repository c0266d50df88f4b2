//! Makes a streamed answer and a whole one comparable.

use serde_json::{Map, Value, json};

/// The chunks of a chat put together to the object that they stream.
pub(super) fn folded(chunks: &[Value]) -> Value {
    let mut whole = chunks.first().expect("a stream has chunks").clone();
    whole["object"] = json!("chat.completion");
    whole["usage"] = chunks.last().expect("a stream has chunks")["usage"].clone();
    let mut choices: Vec<Value> = Vec::new();
    for choice in chunks.iter().flat_map(|chunk| chunk["choices"].as_array().expect("choices")) {
        let index = choice["index"].as_u64().and_then(|n| usize::try_from(n).ok()).expect("an index");
        while choices.len() <= index {
            choices.push(json!({"index": choices.len(), "message": {}, "finish_reason": null}));
        }
        let known = &mut choices[index];
        append(&mut known["message"], &choice["delta"]);
        if !choice["finish_reason"].is_null() {
            assert!(known["finish_reason"].is_null(), "a choice ends twice: {choice}");
            known["finish_reason"] = choice["finish_reason"].clone();
        }
    }
    whole["choices"] = json!(choices);
    whole
}

/// The whole answer without the parts that chunks cannot contain: they have no annotations, and the first one is
/// sent with empty content before it is known that only calls will follow.
pub(super) fn as_streamed(whole: &Value) -> Value {
    let mut whole = whole.clone();
    for choice in whole["choices"].as_array_mut().expect("choices") {
        let message = choice["message"].as_object_mut().expect("a message");
        assert_eq!(message.remove("annotations"), Some(json!([])));
        if message["content"].is_null() {
            message["content"] = json!("");
        }
    }
    whole
}

/// Adds a delta to a message: strings are appended, except for the fixed words; calls are matched by their
/// index.
fn append(message: &mut Value, delta: &Value) {
    for (name, value) in delta.as_object().expect("a delta is an object") {
        match (&mut message[name], value) {
            (Value::String(known), Value::String(more))
                if !["role", "id", "type", "name"].contains(&&**name) =>
            {
                known.push_str(more);
            }
            (known @ Value::Null, Value::Array(calls)) if name == "tool_calls" => {
                *known = json!([]);
                append_calls(known, calls);
            }
            (known @ Value::Array(_), Value::Array(calls)) if name == "tool_calls" => {
                append_calls(known, calls);
            }
            (known @ Value::Object(_), Value::Object(_)) => append(known, value),
            (known, more) => *known = more.clone(),
        }
    }
}

fn append_calls(known: &mut Value, deltas: &[Value]) {
    for delta in deltas {
        let index = delta["index"].as_u64().and_then(|n| usize::try_from(n).ok()).expect("an index");
        let known = known.as_array_mut().expect("a list");
        assert!(index <= known.len(), "calls come in order: {delta}");
        let mut delta = delta.clone();
        delta.as_object_mut().expect("an object").remove("index");
        match known.get_mut(index) {
            Some(call) => append(call, &delta),
            None => known.push(delta),
        }
    }
}

/// The value without what differs from answer to answer: ids of our own making and times. A member that is
/// null or absent is the same.
pub(super) fn timeless(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .filter(|(_, member)| !member.is_null())
            .map(|(name, member)| {
                let own_id = name == "id" && !member.as_str().is_some_and(|id| id.starts_with("call_"));
                let differs = own_id || ["created_at", "completed_at", "created"].contains(&&**name);
                (name.clone(), if differs { json!("(differs)") } else { timeless(member) })
            })
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(elements) => elements.iter().map(timeless).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}
