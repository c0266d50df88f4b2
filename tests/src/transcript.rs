//! Golden SSE transcripts: the frames that a client receives, with ids and times replaced.
//!
//! `UPDATE_TRANSCRIPTS=1` rewrites them; a changed transcript is reviewed like code.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::{Value, json};

use crate::sse::Frame;

/// Compares the frames with `tests/transcripts/NAME.sse`.
///
/// # Panics
/// If they differ, with both texts from the first different line on.
pub fn check(name: &str, frames: &[Frame]) {
    let path = folder().join(format!("{name}.sse"));
    let seen = render(frames);
    if env::var_os("UPDATE_TRANSCRIPTS").is_some_and(|value| value == "1") {
        fs::create_dir_all(folder()).expect("the transcripts' folder can be made");
        fs::write(&path, seen).expect("the transcript can be written");
        return;
    }
    let golden = fs::read_to_string(&path)
        .unwrap_or_else(|e| panic!("{}: {e}; run with UPDATE_TRANSCRIPTS=1 to write it", path.display()));
    let golden = golden.replace("\r\n", "\n");
    let same = golden.lines().zip(seen.lines()).take_while(|(g, s)| g == s).count();
    let rest = |text: &str| text.lines().skip(same).take(6).collect::<Vec<_>>().join("\n");
    assert!(
        golden == seen,
        "{} differs from line {} on.\nexpected:\n{}\nseen:\n{}\n(UPDATE_TRANSCRIPTS=1 rewrites it)",
        path.display(),
        same + 1,
        rest(&golden),
        rest(&seen),
    );
}

/// The frames as text: without comments, ids numbered in the order of their first appearance, times 0.
pub fn render(frames: &[Frame]) -> String {
    let mut ids = Ids::default();
    let mut text = String::new();
    for frame in frames {
        let Some(data) = &frame.data else { continue };
        if let Some(event) = &frame.event {
            text += &format!("event: {event}\n");
        }
        let data = match serde_json::from_str::<Value>(data) {
            Ok(mut value) => {
                ids.blank(&mut value);
                value.to_string()
            }
            Err(_) => data.clone(),
        };
        text += &format!("data: {data}\n\n");
    }
    text
}

#[derive(Default)]
struct Ids {
    names: HashMap<String, String>,
}

impl Ids {
    fn blank(&mut self, value: &mut Value) {
        if let Value::Object(fields) = value {
            for (key, field) in fields {
                match key.as_str() {
                    "id" | "item_id" | "response_id" | "previous_response_id" => {
                        if let Some(id) = field.as_str() {
                            *field = json!(self.name(id));
                        }
                    }
                    "created" | "created_at" | "completed_at" if field.is_number() => *field = json!(0),
                    _ => self.blank(field),
                }
            }
        } else if let Value::Array(items) = value {
            items.iter_mut().for_each(|item| self.blank(item));
        }
    }

    fn name(&mut self, id: &str) -> String {
        let count = self.names.len() + 1;
        let kind = id.split(['_', '-']).next().unwrap_or_default();
        self.names.entry(id.to_owned()).or_insert_with(|| format!("{kind}_{count}")).clone()
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_keep_their_identity_and_times_go() {
        let frames: Vec<_> = [
            &br#"data: {"id":"resp_9f","created_at":5,"item":{"id":"msg_77","call_id":"call_a"}}"#[..],
            b": keepalive",
            br#"data: {"item_id":"msg_77","response_id":"resp_9f"}"#,
            b"data: [DONE]",
        ]
        .iter()
        .map(|bytes| Frame::parse(bytes).unwrap())
        .collect();
        assert_eq!(
            render(&frames),
            "data: {\"id\":\"resp_1\",\"created_at\":0,\"item\":{\"id\":\"msg_2\",\"call_id\":\"call_a\"}}\n\n\
             data: {\"item_id\":\"msg_2\",\"response_id\":\"resp_1\"}\n\ndata: [DONE]\n\n"
        );
    }
}
