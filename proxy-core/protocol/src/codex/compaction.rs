//! The compact form of a transcript, as Codex writes it into the file of a thread.
//!
//! Codex 0.169 and newer show what `thread/compact/start` has made nowhere else. The file has one JSON object in a
//! line; that of the compact form has the type `compacted`, and `replacement_history` has the items with which Codex
//! itself would go on: the person's messages, then either the vendor's sealed `compaction` item, or a message with a
//! summary (an upstream that is not the vendor's own).

use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
}

#[derive(Deserialize)]
struct Written {
    payload: Compacted,
}

#[derive(Deserialize)]
struct Compacted {
    replacement_history: Vec<Value>,
}

/// Whether a line of the file is a compact form.
pub fn is_compaction(line: &str) -> bool {
    line.contains("\"compacted\"")
        && serde_json::from_str::<Head<'_>>(line).is_ok_and(|head| head.kind == "compacted")
}

/// The items of a compact form, without what Codex has added to them: its ids of messages and its notes for itself.
///
/// # Errors
/// If the line has another form than the known one. The error holds nothing of the content.
pub(super) fn items(line: &str) -> Result<Vec<Value>, String> {
    let Written { payload } = serde_json::from_str(line)
        .map_err(|error| format!("its form is unknown (line {}, column {})", error.line(), error.column()))?;
    let items: Vec<Value> = payload.replacement_history.into_iter().filter_map(clean).collect();
    if items.is_empty() {
        return Err("it is empty".to_owned());
    }
    Ok(items)
}

/// The item as a client sends it; `None` for kinds that are no part of a compact form.
fn clean(mut item: Value) -> Option<Value> {
    let members = item.as_object_mut()?;
    match members.get("type")?.as_str()? {
        "message" => {
            members.retain(|name, _| matches!(name.as_str(), "type" | "role" | "content" | "phase"));
            (members.get("role")? == "user").then_some(item)
        }
        "compaction" => {
            members.retain(|name, _| matches!(name.as_str(), "type" | "id" | "encrypted_content"));
            Some(item)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(history: &Value) -> String {
        json!({"timestamp": "2026-11-29T11:32:13Z", "type": "compacted", "payload": {
            "message": "", "replacement_history": history, "window_number": 1}})
        .to_string()
    }

    #[test]
    fn a_compact_form_is_found_by_its_type_alone() {
        assert!(is_compaction(&line(&json!([]))));
        let said =
            json!({"type": "response_item", "payload": {"type": "message", "content": "\"compacted\""}});
        assert!(!is_compaction(&said.to_string()));
        assert!(!is_compaction("{\"type\":\"compacted\""), "a line that is cut");
    }

    #[test]
    fn its_items_are_without_what_codex_adds() {
        let content = json!([{"type": "input_text", "text": "one"}]);
        let note = json!({"turn_id": "auto-compact-0"});
        let history = json!([
            {"type": "message", "id": "msg_1", "role": "user", "content": content,
                "internal_chat_message_metadata_passthrough": note},
            {"type": "message", "id": "msg_2", "role": "developer", "content": content},
            {"type": "compaction", "id": "cmp_1", "encrypted_content": "sealed",
                "internal_chat_message_metadata_passthrough": note},
        ]);
        assert_eq!(
            items(&line(&history)).unwrap(),
            [
                json!({"type": "message", "role": "user", "content": content}),
                json!({"type": "compaction", "id": "cmp_1", "encrypted_content": "sealed"}),
            ]
        );
    }

    #[test]
    fn an_unknown_form_is_an_error_that_says_nothing_of_the_content() {
        for history in [json!([]), json!(null), json!([{"type": "message", "role": "developer"}])] {
            assert!(items(&line(&history)).is_err(), "{history}");
        }
        let error =
            items("{\"type\":\"compacted\",\"payload\":{\"replacement_history\":\"secret\"}}").unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }
}
