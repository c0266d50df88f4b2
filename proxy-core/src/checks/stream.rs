//! Parses streams of server-sent events and checks their order.

use serde_json::Value;

use super::client::Answer;
use super::{LOOK, Problem, cut, ensure};
use crate::event_stream::{Reader, ServerEvent};

const BUFFERED: &str =
    "Something between changes the stream: turn buffering and compression off there for `text/event-stream`.";

/// The events of a stream.
#[derive(Debug)]
pub(super) struct Events {
    /// The name, if there is one, and the data of each event.
    pub(super) all: Vec<(Option<String>, Value)>,
}

impl Events {
    /// Parses an answer, which has to be a stream that ends with `[DONE]`.
    pub(super) fn read(answer: &Answer) -> Result<Self, Problem> {
        if answer.status != 200 {
            return Err(answer.refused());
        }
        let kind = answer.header("content-type");
        ensure(
            kind.starts_with("text/event-stream"),
            || format!("the answer to `stream: true` has the type `{kind}`: {}", cut(&answer.text)),
            LOOK,
        )?;
        let (mut all, mut is_done) = (Vec::new(), false);
        let mut reader = Reader::default();
        let mut events = reader.read(answer.text.as_bytes());
        // A last event without its blank line is read too.
        events.extend(reader.read(b"\n\n"));
        for ServerEvent { event: name, data } in events {
            if data.is_empty() {
                continue;
            }
            ensure(!is_done, || format!("there is data after `[DONE]`: {}", cut(&data)), LOOK)?;
            if data == "[DONE]" {
                is_done = true;
                continue;
            }
            let value: Value = serde_json::from_str(&data).map_err(|error| {
                Problem::new(format!("an event is not JSON ({error}): {}", cut(&data)), BUFFERED)
            })?;
            all.push(((!name.is_empty()).then_some(name), value));
        }
        ensure(
            is_done,
            || format!("the stream ends without `[DONE]`, after {} events", all.len()),
            BUFFERED,
        )?;
        Ok(Self { all })
    }

    /// Checks a stream of Chat Completions: the role, the text or calls, the finish reason, the usage. Returns
    /// the text.
    pub(super) fn chat(&self) -> Result<String, Problem> {
        let first = self.all.first().map(|(_, value)| value).unwrap_or(&Value::Null);
        let role = &first["choices"][0]["delta"]["role"];
        ensure(
            role == "assistant",
            || format!("the first chunk does not set the role: {}", cut(&first.to_string())),
            LOOK,
        )?;
        let (mut text, mut finish, mut usage) = (String::new(), None, None);
        for (_, chunk) in &self.all {
            ensure(
                chunk.get("error").is_none(),
                || format!("the stream contains an error: {}", cut(&chunk.to_string())),
                LOOK,
            )?;
            let same = chunk["id"] == first["id"] && chunk["created"] == first["created"];
            ensure(same, || "the chunks have different ids or times".to_owned(), LOOK)?;
            if let Some(delta) = chunk["choices"][0]["delta"]["content"].as_str() {
                ensure(finish.is_none(), || "there is text after the finish_reason".to_owned(), LOOK)?;
                text.push_str(delta);
            }
            if let Some(reason) = chunk["choices"][0]["finish_reason"].as_str() {
                finish = Some(reason.to_owned());
            }
            if chunk["usage"]["total_tokens"].is_u64() {
                usage = Some(chunk["usage"]["total_tokens"].clone());
            }
        }
        ensure(finish.is_some(), || "no chunk has a finish_reason".to_owned(), LOOK)?;
        ensure(usage.is_some(), || "no chunk has the usage".to_owned(), LOOK)?;
        Ok(text)
    }

    /// Checks a stream of the Responses API. Returns the text, which has to be equal to that of the final
    /// object.
    pub(super) fn responses(&self) -> Result<String, Problem> {
        let mut text = String::new();
        for (number, (name, event)) in self.all.iter().enumerate() {
            let kind = event["type"].as_str().unwrap_or_default();
            ensure(name.as_deref() == Some(kind), || format!("the event `{kind}` is named {name:?}"), LOOK)?;
            let place = event["sequence_number"].as_u64();
            ensure(
                place == Some(number as u64),
                || format!("event {number} (`{kind}`) has the sequence_number {place:?}"),
                LOOK,
            )?;
            ensure(!["error", "response.failed"].contains(&kind), || cut(&event.to_string()), LOOK)?;
            if kind == "response.output_text.delta" {
                text.push_str(event["delta"].as_str().unwrap_or_default());
            }
        }
        let kind = |at: usize| self.all.get(at).and_then(|(name, _)| name.as_deref()).unwrap_or("nothing");
        for (at, wanted) in [(0, "response.created"), (1, "response.in_progress")] {
            ensure(kind(at) == wanted, || format!("event {at} is `{}`, not `{wanted}`", kind(at)), LOOK)?;
        }
        let last = self.all.last().map(|(_, event)| event).unwrap_or(&Value::Null);
        let ended = last["type"].as_str().unwrap_or_default();
        ensure(
            ended == "response.completed",
            || format!("the last event is `{ended}`, not `response.completed`"),
            LOOK,
        )?;
        let whole = output_text(&last["response"]);
        ensure(
            whole == text,
            || "the deltas do not add up to the text of the final object".to_owned(),
            BUFFERED,
        )?;
        Ok(text)
    }
}

/// The text of a Responses object.
pub(super) fn output_text(response: &Value) -> String {
    let items = response["output"].as_array().into_iter().flatten().filter(|item| item["type"] == "message");
    let parts = items.flat_map(|item| item["content"].as_array().into_iter().flatten());
    parts.filter_map(|part| part["text"].as_str()).collect()
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;
    use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

    use super::*;

    fn read(text: &str) -> Result<Events, Problem> {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))]);
        Events::read(&Answer { status: StatusCode::OK, headers, text: text.to_owned() })
    }

    fn said(result: Result<impl std::fmt::Debug, Problem>) -> String {
        result.unwrap_err().what
    }

    const ROLE: &str =
        r#"data: {"id":"a","created":1,"choices":[{"delta":{"role":"assistant"},"finish_reason":null}]}"#;
    const TEXT: &str =
        r#"data: {"id":"a","created":1,"choices":[{"delta":{"content":"hi"},"finish_reason":null}]}"#;
    const STOP: &str = r#"data: {"id":"a","created":1,"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
    const COST: &str = r#"data: {"id":"a","created":1,"choices":[],"usage":{"total_tokens":3}}"#;

    #[test]
    fn a_chat_stream_is_in_order_or_it_is_said_what_is_not() {
        let stream =
            |lines: &[&str]| read(&lines.iter().map(|line| format!("{line}\n\n")).collect::<String>());
        let done = "data: [DONE]";
        let good = stream(&[": keepalive", ROLE, TEXT, STOP, COST, done]).unwrap();
        assert_eq!(good.chat().unwrap(), "hi");
        assert!(said(stream(&[ROLE, TEXT])).contains("without `[DONE]`"));
        assert!(said(stream(&[done, TEXT])).contains("after `[DONE]`"));
        assert!(said(stream(&["data: {\"a\":", done])).contains("not JSON"));
        for (lines, wrong) in [
            (&[TEXT, ROLE, STOP, COST, done], "does not set the role"),
            (&[ROLE, STOP, TEXT, COST, done], "after the finish_reason"),
            (&[ROLE, TEXT, TEXT, COST, done], "finish_reason"),
            (&[ROLE, TEXT, STOP, TEXT, done], "after"),
            (&[ROLE, TEXT, TEXT, STOP, done], "the usage"),
            (&[ROLE, r#"data: {"id":"b","created":1,"choices":[]}"#, STOP, COST, done], "different ids"),
            (&[ROLE, r#"data: {"error":{"message":"no"}}"#, STOP, COST, done], "an error"),
        ] {
            let told = said(stream(lines).unwrap().chat());
            assert!(told.contains(wrong), "{told}");
        }
    }

    #[test]
    fn a_responses_stream_is_in_order_or_it_is_said_what_is_not() {
        let event = |kind: &str, number: u64, more: &str| {
            format!("event: {kind}\ndata: {{\"type\":\"{kind}\",\"sequence_number\":{number}{more}}}\n\n")
        };
        let begin = event("response.created", 0, "") + &event("response.in_progress", 1, "");
        let delta = event("response.output_text.delta", 2, ",\"delta\":\"hi\"");
        let end = |text: &str| {
            let message =
                format!(r#"{{"type":"message","content":[{{"type":"output_text","text":"{text}"}}]}}"#);
            event("response.completed", 3, &format!(",\"response\":{{\"output\":[{message}]}}"))
                + "data: [DONE]\n\n"
        };
        let good = read(&(begin.clone() + &delta + &end("hi"))).unwrap();
        assert_eq!(good.responses().unwrap(), "hi");
        assert!(
            said(read(&(begin.clone() + &delta + &end("ho"))).unwrap().responses()).contains("do not add up")
        );
        assert!(said(read(&(delta + &end("hi"))).unwrap().responses()).contains("sequence_number"));
        let failed = begin + &event("response.failed", 2, "") + "data: [DONE]\n\n";
        assert!(said(read(&failed).unwrap().responses()).contains("response.failed"));
    }
}
