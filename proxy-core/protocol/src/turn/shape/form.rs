//! JSON in the form that the client requested: taken out of code fences, or mapped back from a fitted schema.

use std::mem;

use serde::de::IgnoredAny;

use crate::turn::AnswerForm;
use crate::turn::schema::Mapping;

const FENCE: &str = "```";

/// The treatment of one message's text.
#[derive(Debug, Default)]
pub(super) struct Form {
    state: State,
    /// The text so far, as far as it is needed.
    text: String,
    changed: bool,
    unmet: bool,
}

#[derive(Debug, Default)]
enum State {
    /// The text passes unchanged.
    #[default]
    Free,
    /// JSON is requested, and the text so far does not show yet whether it begins with a fence.
    Undecided,
    /// The text passes, because it is JSON or does not begin with a fence.
    Open,
    /// The text begins with a fence and waits for its end.
    Fenced,
    /// An instance of a fitted schema; it waits for its end.
    Fitted(Mapping),
}

impl Form {
    pub(super) fn new(form: &AnswerForm) -> Self {
        let state = match form {
            AnswerForm::Free => State::Free,
            AnswerForm::Json => State::Undecided,
            AnswerForm::Mapped(mapping) => State::Fitted(mapping.clone()),
        };
        Self { state, ..Self::default() }
    }

    /// Adds `text`. Returns the text that may be sent.
    pub(super) fn push(&mut self, text: String) -> Option<String> {
        if let State::Free = self.state {
            return Some(text);
        }
        self.text.push_str(&text);
        match self.state {
            State::Free | State::Open => Some(text),
            State::Fenced | State::Fitted(_) => None,
            State::Undecided => {
                let start = self.text.trim_start();
                if FENCE.starts_with(start) {
                    return None;
                }
                if start.starts_with(FENCE) {
                    self.state = State::Fenced;
                    return None;
                }
                self.state = State::Open;
                Some(self.text.clone())
            }
        }
    }

    /// The text is complete. Returns the text that had to wait for that.
    pub(super) fn finish(&mut self) -> Option<String> {
        let text = mem::take(&mut self.text);
        let state = mem::take(&mut self.state);
        if text.is_empty() {
            return None;
        }
        let better = match &state {
            State::Free => return None,
            State::Open => {
                self.unmet = !is_json(&text);
                return None;
            }
            State::Undecided | State::Fenced => unfenced(&text).map(str::to_owned),
            State::Fitted(mapping) => mapping.restore(&text),
        };
        self.changed = better.is_some();
        self.unmet = !self.changed;
        Some(better.unwrap_or(text))
    }

    /// Whether the sent text differs from the received text.
    pub(super) fn has_changed(&self) -> bool {
        self.changed
    }

    /// Whether the complete text is not the requested JSON.
    pub(super) fn is_unmet(&self) -> bool {
        self.unmet
    }

    /// Characters that wait.
    pub(super) fn held_chars(&self) -> u64 {
        match self.state {
            State::Free | State::Open => 0,
            State::Undecided | State::Fenced | State::Fitted(_) => self.text.chars().count() as u64,
        }
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// The JSON in a text that is one code fence and nothing else.
fn unfenced(text: &str) -> Option<&str> {
    let inside = text.trim().strip_prefix(FENCE)?.strip_suffix(FENCE)?;
    let language = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+');
    let json = inside.trim_start_matches(language).trim();
    is_json(json).then_some(json)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::turn::schema::fit;

    /// The sent text, by pushes and at the end, and whether it is the requested JSON.
    fn check(form: &AnswerForm, pieces: &[&str], passed: &[Option<&str>], rest: Option<&str>, unmet: bool) {
        let mut state = Form::new(form);
        let went: Vec<_> = pieces.iter().map(|piece| state.push((*piece).into())).collect();
        let held = state.held_chars();
        assert_eq!(went.iter().map(Option::as_deref).collect::<Vec<_>>(), passed, "{pieces:?}");
        let finished = state.finish();
        assert_eq!(finished.as_deref(), rest, "{pieces:?}");
        assert_eq!(held > 0, rest.is_some(), "{pieces:?}");
        assert_eq!(state.is_unmet(), unmet, "{pieces:?}");
        let all: String = went.into_iter().flatten().chain(finished).collect();
        assert_eq!(state.has_changed(), all != pieces.concat(), "{pieces:?}");
        assert_eq!((state.finish(), state.held_chars()), (None, 0), "once");
    }

    #[test]
    fn json_is_let_through_as_soon_as_it_is_seen_to_be_some() {
        let form = AnswerForm::Json;
        check(
            &form,
            &[" ", "\n{", "\"a\": 1", "}\n"],
            &[None, Some(" \n{"), Some("\"a\": 1"), Some("}\n")],
            None,
            false,
        );
        check(&form, &["[1", "]"], &[Some("[1"), Some("]")], None, false);
        check(
            &form,
            &["Here: ", "```json\n{}\n```"],
            &[Some("Here: "), Some("```json\n{}\n```")],
            None,
            true,
        );
        check(&form, &["{\"a\":", "1"], &[Some("{\"a\":"), Some("1")], None, true);
        check(&form, &["`{}`"], &[Some("`{}`")], None, true);
        check(&form, &[], &[], None, false);
        check(&form, &[" "], &[None], Some(" "), true);
    }

    #[test]
    fn a_fence_around_json_goes() {
        let form = AnswerForm::Json;
        for text in [
            "```json\n{\"a\": [1]}\n```",
            "\n```\n{\"a\": [1]}```  \n",
            "```JSON {\"a\": [1]}\r\n```",
            "```{\"a\": [1]}```",
        ] {
            check(&form, &[text], &[None], Some("{\"a\": [1]}"), false);
            let chars: Vec<String> = text.chars().map(String::from).collect();
            let chars: Vec<&str> = chars.iter().map(String::as_str).collect();
            check(&form, &chars, &vec![None; chars.len()], Some("{\"a\": [1]}"), false);
        }
        for text in
            ["```json\n{\"a\":", "```json\n{} and more\n```", "```\n{}\n``` Done.", "```", "``", "```5```"]
        {
            check(&form, &[text], &[None], Some(text), true);
        }
    }

    #[test]
    fn an_instance_waits_until_it_is_whole_and_is_mapped_back() {
        let fitted = fit(&json!({"type": "object", "properties": {"a": {"type": "string"}}})).unwrap();
        let form = AnswerForm::Mapped(fitted.mapping.unwrap());
        check(&form, &["{\"a\"", ": null}"], &[None, None], Some("{}"), false);
        check(&form, &["{\"a\"", ": nul"], &[None, None], Some("{\"a\": nul"), true);
        check(&form, &["I will not."], &[None], Some("I will not."), true);
        check(&AnswerForm::Free, &["```", "", "{}"], &[Some("```"), Some(""), Some("{}")], None, false);
    }
}
