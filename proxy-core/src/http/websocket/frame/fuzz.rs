//! A fuzz target: text frames of any bytes.

use serde_json::Value;

use super::{Create, prepare};

/// Reads a frame as a connection does. It never panics; what is taken is an object that asks for a stream, in a lane
/// whose name needs no escapes.
pub fn fuzz(bytes: &[u8]) {
    let Ok(create) = Create::read(bytes) else { return };
    if let Some(name) = create.lane.name() {
        assert!((1..=256).contains(&name.len()));
        assert_eq!(serde_json::to_string(name).ok(), Some(format!("\"{name}\"")));
    }
    let Ok(mut body) = serde_json::from_slice::<Value>(bytes) else { return };
    if prepare(&mut body).is_ok() {
        assert_eq!(body["stream"], true);
        assert!(["type", "stream_id", "generate"].iter().all(|member| body.get(member).is_none()));
    }
}
