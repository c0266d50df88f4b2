//! The content of a message, its parts put together.

use serde_json::Value;

use super::wire::RawPart;

/// Stands for a message of which Codex only reports the beginning: it leaves out a message that holds a refusal.
const WORDLESS_REFUSAL: &str =
    "The model most likely declined to answer. Codex does not pass on the words of a refusal.";

/// The content of one message.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) text: String,
    pub(super) annotations: Vec<Value>,
    pub(super) refusal: String,
}

impl Said {
    /// A message that has only text.
    pub(super) fn text(text: String) -> Self {
        Self { text, ..Self::default() }
    }

    /// A message that has begun and has no content here.
    pub(super) fn refused() -> Self {
        Self { refusal: WORDLESS_REFUSAL.to_owned(), ..Self::default() }
    }
}

impl From<Vec<RawPart>> for Said {
    /// The places of citations are counted from the beginning of their part.
    fn from(parts: Vec<RawPart>) -> Self {
        let mut said = Self::default();
        for part in parts {
            let before = said.text.chars().count() as u64;
            for mut annotation in part.annotations.unwrap_or_default() {
                for key in ["start_index", "end_index"] {
                    if let Some(place) = annotation.get_mut(key)
                        && let Some(index) = place.as_u64()
                    {
                        *place = (before + index).into();
                    }
                }
                said.annotations.push(annotation);
            }
            said.text.push_str(&part.text);
            said.refusal.push_str(part.refusal.as_deref().unwrap_or_default());
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_are_put_together_and_places_moved() {
        let citation =
            |start: u64| json!({"type": "url_citation", "start_index": start, "end_index": start + 1});
        let parts = json!([
            {"type": "output_text", "text": "h\u{e9}", "annotations": [citation(0)]},
            {"type": "refusal", "refusal": "No."},
            {"type": "output_text", "text": "x", "annotations": [citation(0), {"type": "file_path", "index": 3}]},
            {"type": "output_text", "text": "y", "annotations": null},
            {"type": "something_new"},
        ]);
        let said = Said::from(serde_json::from_value::<Vec<RawPart>>(parts).unwrap());
        assert_eq!((said.text.as_str(), said.refusal.as_str()), ("h\u{e9}xy", "No."));
        assert_eq!(said.annotations, [citation(0), citation(2), json!({"type": "file_path", "index": 3})]);
    }
}
