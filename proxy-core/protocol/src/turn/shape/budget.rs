//! The output limit.

/// The characters that the answer may still have.
#[derive(Debug)]
pub(super) struct Budget {
    left: Option<u64>,
}

/// The inverse of [`estimate_tokens`](crate::turn::estimate_tokens): this many characters are one token.
const CHARS_PER_TOKEN: u64 = 4;

impl Budget {
    /// A budget of `tokens` estimated tokens; `None` for no limit.
    pub(super) fn new(tokens: Option<u64>) -> Self {
        Self { left: tokens.map(|tokens| tokens.saturating_mul(CHARS_PER_TOKEN)) }
    }

    /// Spends on `text`, cut to the remaining budget. Returns whether it had to be cut.
    pub(super) fn cut(&mut self, text: &mut String) -> bool {
        if self.take(text) {
            return false;
        }
        let room = self.left.and_then(|left| usize::try_from(left).ok());
        let end = room.and_then(|room| text.char_indices().nth(room)).map(|(end, _)| end);
        text.truncate(end.unwrap_or(text.len()));
        true
    }

    /// Spends on the whole of `text` if the budget allows it. Returns whether it did.
    pub(super) fn take(&mut self, text: &str) -> bool {
        let Some(left) = &mut self.left else { return true };
        let Some(rest) = left.checked_sub(text.chars().count() as u64) else { return false };
        *left = rest;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::estimate_tokens;

    #[test]
    fn a_text_is_cut_to_the_limit_exactly() {
        for (tokens, text, expected) in [
            (0, "a", Some("")),
            (0, "", None),
            (1, "abcd", None),
            (1, "abcde", Some("abcd")),
            (2, "\u{e9}\u{1f600}e\u{301}abcdef", Some("\u{e9}\u{1f600}e\u{301}abcd")),
            (u64::MAX, "abc", None),
        ] {
            let mut kept = String::from(text);
            let cut = Budget::new(Some(tokens)).cut(&mut kept);
            assert_eq!(cut, expected.is_some(), "{text:?} in {tokens}");
            assert_eq!(kept, expected.unwrap_or(text), "{text:?} in {tokens}");
            if cut {
                assert_eq!(estimate_tokens(kept.chars().count() as u64), tokens);
            }
        }
        assert!(!Budget::new(None).cut(&mut "x".repeat(1 << 20)));
    }
}
