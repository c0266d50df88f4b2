use std::fmt::Write as _;

use super::*;

/// Replaces every value of a request, one at a time, by values of every type: none may panic, and every error
/// names a parameter within the request.
#[test]
fn no_value_of_any_type_panics() {
    let full = json!({
        "model": "gpt-6-sol", "instructions": "x", "stop": ["a"], "metadata": {"a": "b"}, "include": [],
        "input": [
            {"role": "user", "content": [{"type": "input_image", "image_url": PNG, "detail": "low"}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "x"}]},
            {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "s"}],
             "encrypted_content": "e"},
            {"type": "custom_tool_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "x"}]},
            {"type": "web_search_call", "id": "w", "status": "completed", "action": {"type": "search"}},
        ],
        "tools": [function("f"), {"type": "web_search", "filters": {"allowed_domains": []}}],
        "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": true}},
        "reasoning": {"effort": "low", "summary": "auto"}, "stream_options": {"include_obfuscation": false},
    });
    let mut pointers = Vec::new();
    collect(&full, &mut String::new(), &mut pointers);
    assert!(pointers.len() > 60, "{}", pointers.len());
    let odd = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1.5),
        json!(""),
        json!("\u{0}"),
        json!([]),
        json!([[]]),
        json!({}),
        json!({"type": "x"}),
    ];
    let mut refused = 0;
    for pointer in &pointers {
        for value in &odd {
            let mut body = full.clone();
            *body.pointer_mut(pointer).unwrap() = value.clone();
            if let Err(error) = parse_with(&body, &config()) {
                refused += 1;
                let param = error.param.unwrap_or_default();
                let top = pointer.split('/').nth(1).unwrap_or_default();
                assert!(
                    pointer.is_empty() || param.starts_with(top) || param.starts_with("tool_choice"),
                    "{pointer} {value}: {param}"
                );
            }
        }
    }
    assert!(refused > pointers.len() * 4, "{refused} of {}", pointers.len() * odd.len());
}

fn collect(value: &Value, pointer: &mut String, pointers: &mut Vec<String>) {
    pointers.push(pointer.clone());
    let length = pointer.len();
    let mut descend = |key: String, value: &Value| {
        write!(pointer, "/{key}").unwrap();
        collect(value, pointer, pointers);
        pointer.truncate(length);
    };
    match value {
        Value::Array(elements) => {
            elements.iter().enumerate().for_each(|(index, value)| descend(index.to_string(), value));
        }
        Value::Object(members) => members.iter().for_each(|(key, value)| descend(key.clone(), value)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
