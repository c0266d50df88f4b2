//! Finds the client's tools in the arrived request, in every place where tools can be.

use serde_json::Value;

use super::{Comparison, Piece, length};

/// The client's tools that have not been found yet.
pub(super) struct Tools<'a> {
    waiting: Vec<&'a Value>,
}

impl<'a> Tools<'a> {
    pub(super) fn new(sent: &'a [Value]) -> Self {
        Self { waiting: sent.iter().collect() }
    }

    /// Checks a list of tools that arrived.
    pub(super) fn take(&mut self, list: &Value, comparison: &mut Comparison) {
        for tool in list.as_array().into_iter().flatten() {
            if tool["type"] == "namespace" && !self.waiting.contains(&tool) {
                self.open(tool, comparison);
            } else {
                self.meet(tool, comparison);
            }
        }
    }

    /// A wrapper adds nothing to the prompt if it has no text.
    fn open(&mut self, wrapper: &Value, comparison: &mut Comparison) {
        let around = wrapper.as_object().into_iter().flatten().filter(|(name, _)| *name != "tools");
        for (name, value) in around {
            let bare = match name.as_str() {
                "type" => true,
                // A name alone means nothing to the model, but one with a foreign tool in it is reported below.
                "name" => value.as_str().is_some_and(|name| !name.contains(char::is_whitespace)),
                "description" => value == "",
                _ => false,
            };
            if bare {
                *comparison.protocol.entry("tool wrapper").or_default() +=
                    name.len() as u64 + 4 + length(value);
            } else {
                comparison.foreign.push(Piece::of(format!("the `{name}` of a namespace of tools"), value));
            }
        }
        let name = wrapper["name"].as_str().unwrap_or_default();
        for tool in wrapper["tools"].as_array().into_iter().flatten() {
            match self.waiting.iter().any(|sent| sent["name"] == tool["name"]) {
                true => self.meet(tool, comparison),
                false => comparison.foreign.push(Piece::of(format!("{} of `{name}`", words(tool)), tool)),
            }
        }
    }

    fn meet(&mut self, tool: &Value, comparison: &mut Comparison) {
        if let Some(place) = self.waiting.iter().position(|sent| *sent == tool) {
            comparison.tools += length(self.waiting.remove(place));
        } else if let Some(place) = self.waiting.iter().position(|sent| sent["name"] == tool["name"]) {
            self.waiting.remove(place);
            comparison.changed.push(Piece::of(words(tool), tool));
        } else {
            comparison.foreign.push(Piece::of(words(tool), tool));
        }
    }

    /// The tools that were not found did not arrive.
    pub(super) fn finish(self, comparison: &mut Comparison) {
        comparison.lost.extend(self.waiting.into_iter().map(|tool| Piece::of(words(tool), tool)));
    }
}

fn words(tool: &Value) -> String {
    match tool["name"].as_str().or(tool["type"].as_str()) {
        Some(name) => format!("a tool `{name}`"),
        None => "a tool without a name".to_owned(),
    }
}
