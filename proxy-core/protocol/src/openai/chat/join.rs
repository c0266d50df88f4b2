//! Joins several texts into the one text that a chat message has room for.

/// Puts a blank line between texts that come one after the other, in pieces or whole.
///
/// A turn can have several messages (a comment before a tool call, then the answer), but a choice has one
/// `content`. Without a separator, the last word of one would touch the first of the next, and Markdown would
/// break where a heading or list begins; a blank line keeps them apart as paragraphs. An empty text adds nothing,
/// so that no answer begins or ends with blank lines that the model did not write.
#[derive(Debug)]
pub(super) struct Joiner<K> {
    current: Option<K>,
}

impl<K> Default for Joiner<K> {
    fn default() -> Self {
        Self { current: None }
    }
}

impl<K: PartialEq> Joiner<K> {
    /// The separator before `piece`, the next piece of the text called `key`.
    pub(super) fn before(&mut self, key: K, piece: &str) -> Option<&'static str> {
        if piece.is_empty() || self.current.as_ref() == Some(&key) {
            return None;
        }
        self.current.replace(key).map(|_| "\n\n")
    }
}

/// Joins whole texts by the same rule.
pub(super) fn join<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut joiner = Joiner::default();
    let mut joined = String::new();
    for (key, text) in texts.into_iter().enumerate() {
        joined.push_str(joiner.before(key, text).unwrap_or_default());
        joined.push_str(text);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_texts_that_say_something_are_kept_apart() {
        assert_eq!(join(["", "a", "", "b\n", "c", ""]), "a\n\nb\n\n\nc");
        assert_eq!(join([""; 3]), "");
        let mut joiner = Joiner::default();
        let pieces = [(1, "a"), (1, "b"), (2, ""), (1, "c"), (2, "d"), (3, "")];
        let before = pieces.map(|(key, piece)| joiner.before(key, piece));
        assert_eq!(before, [None, None, None, None, Some("\n\n"), None]);
    }
}
