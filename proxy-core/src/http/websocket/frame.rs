//! The frames of a WebSocket: requests as they come, events and errors as they are sent.

#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod fuzz;

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::lanes::Lane;
use super::steering::{self, Note, Settings};
use crate::budget::Share;
use crate::exchange::{Incoming, Received, Transcript};
use crate::http::error::Error;
use crate::http::turns;
use crate::recording::Recording;
use protocol::openai::error::{ErrorBody, RequestError, RequestErrorKind};
use protocol::openai::frame::Frame;
use protocol::turn::OutputMode;

/// The type of a frame with a request.
const CREATE: &str = "response.create";

/// The type of a frame that adds to a running response.
const STEER: &str = "response.steer";

/// A request for a response, or a frame that steers one. Only what decides on its lane has been read.
#[derive(Debug)]
pub(super) struct Create {
    pub(super) lane: Lane,
    /// Whether it steers a running response.
    pub(super) steers: bool,
    /// The response that it continues.
    pub(super) previous: Option<String>,
}

/// The members that decide on the lane of a request.
#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "type")]
    kind: Option<Value>,
    stream_id: Option<Value>,
    previous_response_id: Option<Value>,
}

impl Create {
    /// Reads a text frame.
    ///
    /// # Errors
    /// If it is no request for a response; with the lane to which the error belongs.
    pub(super) fn read(text: &[u8]) -> Result<Self, (Lane, Box<Error>)> {
        let envelope: Envelope = serde_json::from_slice(text).map_err(|error| {
            let message = format!("A frame has to be a JSON object: {error}.");
            let error = RequestError { kind: RequestErrorKind::InvalidJson, message, param: None };
            (Lane::default(), Box::new(Error::from(error)))
        })?;
        let lane = Lane::named(envelope.stream_id.as_ref());
        let lane = lane.map_err(|error| (Lane::default(), Box::new(Error::Socket(error))))?;
        let steers = match check_kind(envelope.kind.as_ref()) {
            Ok(steers) => steers,
            Err(error) => return Err((lane, Box::new(error.into()))),
        };
        let previous = match envelope.previous_response_id {
            Some(Value::String(id)) => Some(id),
            // Refused with the rest of the body, if it is wrong.
            None | Some(_) => None,
        };
        Ok(Self { lane, steers, previous })
    }
}

/// Whether a frame of this type steers.
fn check_kind(kind: Option<&Value>) -> Result<bool, RequestError> {
    match kind {
        Some(Value::String(kind)) if kind == CREATE => Ok(false),
        Some(Value::String(kind)) if kind == STEER => Ok(true),
        Some(Value::String(kind)) => {
            let kind: String = kind.chars().take(100).collect();
            let message = format!("The frame type '{kind}' is not known. Send `{CREATE}`.");
            Err(RequestError::new(RequestErrorKind::InvalidValue, "type", message))
        }
        None => {
            let message = format!("A frame needs a `type`. Send `{CREATE}`.");
            Err(RequestError::new(RequestErrorKind::MissingParameter, "type", message))
        }
        Some(_) => {
            let message = format!("The `type` of a frame is a text. Send `{CREATE}`.");
            Err(RequestError::new(RequestErrorKind::InvalidType, "type", message))
        }
    }
}

/// The body of a request, in the frame in which it came.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) text: Bytes,
    pub(super) output_mode: Option<OutputMode>,
    pub(super) recalled: Option<Arc<Transcript>>,
    /// Gets the settings of the request, which a continuation may inherit.
    pub(super) settings: Settings,
    /// The memory of the text while it waits.
    pub(super) held: Share,
}

impl Incoming for Body {
    type Error = Error;

    async fn read(self, share: &Arc<Share>, recording: &Recording) -> Result<Received, Error> {
        drop(self.held);
        share.take(self.text.len())?;
        recording.body(&self.text);
        let (mut body, replaced) = turns::parse(&HeaderMap::new(), self.text)?;
        let warm_up = prepare(&mut body)?;
        if let Some(members) = body.as_object() {
            self.settings.get_or_init(|| steering::settings(members));
        }
        Ok(Received {
            body,
            replaced,
            output_mode: self.output_mode,
            recalled: self.recalled,
            remembers: true,
            warm_up,
        })
    }
}

/// Makes the frame the body of a streamed request. Returns whether it is a warm-up.
fn prepare(body: &mut Value) -> Result<bool, RequestError> {
    let Value::Object(members) = body else {
        let message = "A frame has to be a JSON object.".to_owned();
        return Err(RequestError { kind: RequestErrorKind::InvalidJson, message, param: None });
    };
    members.remove("type");
    members.remove("stream_id");
    if members.get("background") == Some(&Value::Bool(true)) {
        let message = "A response in the background has no WebSocket. Send it to `POST /v1/responses`.";
        return Err(RequestError::new(RequestErrorKind::Unsupported, "background", message));
    }
    let warm_up = match members.remove("generate") {
        None | Some(Value::Null | Value::Bool(true)) => false,
        Some(Value::Bool(false)) => true,
        Some(Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => {
            let message = "`generate` is a boolean.";
            return Err(RequestError::new(RequestErrorKind::InvalidType, "generate", message));
        }
    };
    members.insert("stream".to_owned(), true.into());
    Ok(warm_up)
}

/// An event as a text frame.
pub(super) fn event(frame: Frame, lane: &Lane) -> String {
    let Frame { mut json, .. } = frame;
    if let Some(name) = lane.name()
        && json.ends_with('}')
    {
        json.truncate(json.len() - 1);
        json.push_str(",\"stream_id\":\"");
        json.push_str(name);
        json.push_str("\"}");
    }
    json
}

/// A note about steering as a text frame, with its number.
pub(super) fn note(note: Note, number: u64, lane: &Lane) -> String {
    let Note { kind, mut body } = note;
    body["type"] = kind.into();
    body["sequence_number"] = number.into();
    event(Frame { event: None, json: body.to_string() }, lane)
}

/// An error as a text frame.
pub(super) fn error(error: &Error, lane: &Lane) -> String {
    #[derive(Serialize)]
    struct Refused<'a> {
        #[serde(rename = "type")]
        kind: &'static str,
        status: u16,
        error: ErrorBody,
        #[serde(skip_serializing_if = "Option::is_none")]
        stream_id: Option<&'a str>,
    }
    let refused = Refused {
        kind: "error",
        status: error.status().as_u16(),
        error: error.told(),
        stream_id: lane.name(),
    };
    // These types always serialise.
    serde_json::to_string(&refused).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::budget::Budget;

    fn code(text: &str) -> (Lane, Option<&'static str>) {
        let (lane, error) = Create::read(text.as_bytes()).unwrap_err();
        (lane, error.code())
    }

    #[test]
    fn only_requests_are_taken() {
        let read =
            Create::read(br#"{"type":"response.create","stream_id":"a.b_C-1","previous_response_id":"r"}"#);
        let read = read.unwrap();
        assert_eq!((read.lane.name(), read.previous.as_deref()), (Some("a.b_C-1"), Some("r")));
        assert_eq!(
            Create::read(br#"{"type":"response.create","stream_id":null}"#).unwrap().lane,
            Lane::default()
        );

        assert!(!read.steers && Create::read(br#"{"type":"response.steer"}"#).unwrap().steers);

        let lane = Lane::named(Some(&json!("x"))).unwrap();
        for (text, code_of) in [
            ("", "invalid_json"),
            ("nothing", "invalid_json"),
            ("\"response.create\"", "invalid_json"),
            (r#"{"type":"response.create""#, "invalid_json"),
            ("{}", "missing_required_parameter"),
            (r#"{"type":null}"#, "missing_required_parameter"),
            (r#"{"type":7}"#, "invalid_type"),
            (r#"{"type":"response.cancel"}"#, "invalid_value"),
            (r#"{"type":"response.create","stream_id":""}"#, "invalid_stream_id"),
            (r#"{"type":"response.create","stream_id":"a b"}"#, "invalid_stream_id"),
            (r#"{"type":"response.create","stream_id":7}"#, "invalid_stream_id"),
        ] {
            assert_eq!(code(text), (Lane::default(), Some(code_of)), "{text}");
        }
        assert_eq!(code(r#"{"type":"x","stream_id":"x"}"#), (lane, Some("invalid_value")));
        let long = |length| json!({"type": "response.create", "stream_id": "x".repeat(length)}).to_string();
        assert!(Create::read(long(256).as_bytes()).is_ok());
        assert_eq!(code(&long(257)).1, Some("invalid_stream_id"));
    }

    #[test]
    fn a_frame_becomes_a_streamed_body() {
        let mut body = json!({"type": "response.create", "stream_id": "x", "model": "m", "input": "hi", "generate": true});
        assert_eq!(prepare(&mut body), Ok(false));
        assert_eq!(body, json!({"model": "m", "input": "hi", "stream": true}));
        assert_eq!(prepare(&mut json!({"generate": false, "stream": false})), Ok(true));
        let kind = |mut body: Value| prepare(&mut body).unwrap_err().kind;
        assert_eq!(kind(json!({"generate": "no"})), RequestErrorKind::InvalidType);
        assert_eq!(kind(json!({"background": true})), RequestErrorKind::Unsupported);
        assert_eq!(kind(json!([{"type": "response.create"}])), RequestErrorKind::InvalidJson);
        assert_eq!(prepare(&mut json!({"background": false})), Ok(false));
    }

    #[test]
    fn an_error_has_a_status_and_its_lane() {
        let lane = Lane::named(Some(&json!("x"))).unwrap();
        let text = error(&Error::Paused, &lane);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&value["type"], &value["status"]), (&json!("error"), &json!(503)));
        assert_eq!((&value["error"]["code"], &value["stream_id"]), (&json!("proxy_paused"), &json!("x")));
        let value: Value = serde_json::from_str(&error(&Error::Paused, &Lane::default())).unwrap();
        assert_eq!(value.get("stream_id"), None);
    }

    #[test]
    fn what_waits_holds_memory_until_it_is_read() {
        let budget = Budget::new(10);
        let held = budget.share();
        held.take(10).unwrap();
        assert!(budget.share().take(1).is_err());
        let settings = Settings::default();
        drop(Body { text: Bytes::new(), output_mode: None, recalled: None, settings, held });
        assert!(budget.share().take(10).is_ok());
    }

    proptest! {
        #[test]
        fn an_event_of_a_lane_names_it(name in "[A-Za-z0-9_.-]{1,256}", text in any::<String>()) {
            let json = json!({"type": "response.output_text.delta", "delta": text}).to_string();
            let frame = Frame { event: None, json };
            let plain: Value = serde_json::from_str(&event(frame.clone(), &Lane::default())).unwrap();
            prop_assert_eq!(&plain["delta"], &json!(text));
            prop_assert_eq!(plain.get("stream_id"), None);
            let lane = Lane::named(Some(&json!(name))).unwrap();
            let named: Value = serde_json::from_str(&event(frame, &lane)).unwrap();
            prop_assert_eq!((&named["delta"], &named["stream_id"]), (&json!(text), &json!(name)));
        }

        #[test]
        fn no_text_breaks_the_reader(text in "\\PC*") {
            let _ = Create::read(text.as_bytes());
        }
    }
}
