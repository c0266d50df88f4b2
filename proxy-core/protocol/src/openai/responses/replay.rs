//! The stream of a response that has ended, made from its object.

use serde_json::Value;

use super::encoder::ResponsesEncoder;
use crate::openai::Encoder as _;
use crate::openai::frame::{Frame, Frames};
use crate::turn::{Finish, ItemId, ToolKind, TurnError, TurnErrorKind, TurnEvent};

/// The events of the response with this `object`. Each text is one delta: how it came is not kept.
pub fn replay(object: &Value) -> Vec<Frame> {
    let mut encoder = ResponsesEncoder::replaying(object.clone());
    let mut frames = Frames::default();
    encoder.open(&mut frames);
    for item in object["output"].as_array().into_iter().flatten() {
        for event in events(item) {
            encoder.push(0, &event, &mut frames);
        }
    }
    encoder.push(0, &end(object), &mut frames);
    frames.take()
}

fn end(object: &Value) -> TurnEvent {
    let reason = object["incomplete_details"]["reason"].as_str();
    match (object["status"].as_str(), reason) {
        (Some("incomplete"), Some("content_filter")) => TurnEvent::Finished(Finish::ContentFilter),
        (Some("incomplete"), Some("steered")) => TurnEvent::Finished(Finish::Steered),
        (Some("incomplete"), _) => TurnEvent::Finished(Finish::Length),
        (Some("failed" | "cancelled"), _) => {
            let message = object["error"]["message"].as_str().unwrap_or("The response was cancelled.");
            TurnEvent::Failed(TurnError::new(TurnErrorKind::Upstream, message))
        }
        _ => TurnEvent::Finished(Finish::Stop),
    }
}

/// The events of one output item.
fn events(item: &Value) -> Vec<TurnEvent> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let id: ItemId = item["id"].as_str().unwrap_or_default().into();
    match item["type"].as_str() {
        Some("message") => {
            let mut events = vec![TurnEvent::MessageStarted { id: id.clone() }];
            for part in list(&item["content"]) {
                if part["type"] == "refusal" {
                    events.push(TurnEvent::RefusalDelta { id: id.clone(), text: text(&part["refusal"]) });
                    continue;
                }
                events.push(TurnEvent::TextDelta { id: id.clone(), text: text(&part["text"]) });
                let annotations = list(&part["annotations"]).into_iter();
                events.extend(
                    annotations.map(|annotation| TurnEvent::Annotation { id: id.clone(), annotation }),
                );
            }
            if item["status"] == "completed" {
                let phase = item["phase"].as_str().map(str::to_owned);
                events.push(TurnEvent::MessageDone { id, phase });
            }
            events
        }
        Some("reasoning") => {
            let mut events = vec![TurnEvent::ReasoningStarted { id: id.clone() }];
            for (index, part) in list(&item["summary"]).iter().enumerate() {
                events.push(TurnEvent::SummaryDelta { id: id.clone(), index, text: text(&part["text"]) });
            }
            for (index, part) in list(&item["content"]).iter().enumerate() {
                let text = text(&part["text"]);
                events.push(TurnEvent::ReasoningTextDelta { id: id.clone(), index, text });
            }
            let encrypted_content = item["encrypted_content"].as_str().map(str::to_owned);
            events.push(TurnEvent::ReasoningDone { id, encrypted_content });
            events
        }
        Some(kind @ ("function_call" | "custom_tool_call")) => {
            let (kind, input) = match kind {
                "function_call" => (ToolKind::Function, text(&item["arguments"])),
                _ => (ToolKind::Custom, text(&item["input"])),
            };
            vec![TurnEvent::ToolCall {
                id,
                kind,
                call_id: text(&item["call_id"]),
                namespace: item["namespace"].as_str().map(str::to_owned),
                name: text(&item["name"]),
                input,
            }]
        }
        Some("web_search_call") => {
            let action = item["action"].clone();
            vec![TurnEvent::WebSearchStarted { id: id.clone() }, TurnEvent::WebSearchDone { id, action }]
        }
        Some("compaction") => {
            vec![TurnEvent::Compaction { id, encrypted_content: text(&item["encrypted_content"]) }]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_replay_has_the_items_and_the_end_of_the_response() {
        let part = json!({"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []});
        let message = json!({
            "id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [part],
        });
        let call = json!({
            "id": "fc_1", "type": "function_call", "status": "completed", "call_id": "c", "name": "f",
            "arguments": "{}",
        });
        let object = json!({
            "id": "resp_1", "object": "response", "status": "completed", "background": true, "completed_at": 9,
            "output": [message, call], "usage": {"total_tokens": 3},
        });
        let frames = replay(&object);
        let events: Vec<Value> =
            frames.iter().map(|frame| serde_json::from_str(&frame.json).unwrap()).collect();
        let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
        assert_eq!(kinds[..3], ["response.created", "response.queued", "response.in_progress"]);
        assert_eq!(events[0]["response"]["status"], "queued");
        assert_eq!(events[2]["response"]["status"], "in_progress");
        assert_eq!(events[2]["response"]["usage"], Value::Null);
        let last = events.last().unwrap();
        assert_eq!(last["type"], "response.completed");
        assert_eq!(last["response"], object);
        let done: Vec<_> = events
            .iter()
            .filter(|event| event["type"] == "response.output_item.done")
            .map(|event| event["item"].clone())
            .collect();
        assert_eq!(done, [message, call]);
        let numbers: Vec<_> = events.iter().map(|event| event["sequence_number"].as_u64().unwrap()).collect();
        assert!(numbers.iter().copied().eq(0..numbers.len() as u64));
    }

    #[test]
    fn a_response_that_was_cut_or_has_failed_is_replayed_with_its_end() {
        let cut = json!({
            "id": "resp_1", "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"},
            "output": [],
        });
        assert_eq!(replay(&cut).last().unwrap().event, Some("response.incomplete"));
        let failed = json!({
            "id": "resp_1", "status": "failed", "error": {"code": "server_error", "message": "It broke."},
            "output": [],
        });
        let frames = replay(&failed);
        let last: Value = serde_json::from_str(&frames.last().unwrap().json).unwrap();
        assert_eq!(last["type"], "response.failed");
        assert_eq!(last["response"], failed);
        assert_eq!(last["error"]["message"], "It broke.");
    }
}
