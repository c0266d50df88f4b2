//! Strips ANSI escapes from a text that comes in pieces.

use std::mem;

const ESC: char = '\u{1b}';
const BEL: char = '\u{7}';

/// The number of characters after which an unfinished sequence counts as text.
const SEQUENCE_MAX: usize = 4096;

/// Strips the escape sequences of ECMA-48 and changes nothing else.
///
/// A sequence is stripped once it is complete. One that breaks off (a character that cannot belong to it, another
/// escape within a string, the end of the text, more than 4096 characters) was not an escape and is returned
/// unchanged.
#[derive(Debug, Default)]
pub(super) struct Ansi {
    state: State,
    /// The sequence so far, without the escape character that [`State::StringEscape`] stands for.
    held: String,
    held_chars: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    Escape,
    Intermediate,
    Csi,
    /// OSC, which BEL ends too.
    Osc,
    /// DCS, SOS, PM or APC.
    String,
    /// An escape within a string: its end, if a backslash follows.
    StringEscape,
}

impl Ansi {
    /// The text without escapes; `None` if nothing of it is left for now.
    pub(super) fn strip(&mut self, text: String) -> Option<String> {
        if self.state == State::Ground && !text.contains(ESC) {
            return Some(text);
        }
        let mut kept = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(next) = rest.chars().next() {
            if self.state == State::Ground {
                let escape = rest.find(ESC).unwrap_or(rest.len());
                kept.push_str(&rest[..escape]);
                rest = &rest[escape..];
                if let Some(after) = rest.strip_prefix(ESC) {
                    self.hold(ESC, State::Escape, &mut kept);
                    rest = after;
                }
            } else if self.step(next, &mut kept) {
                rest = &rest[next.len_utf8()..];
            }
        }
        (!kept.is_empty()).then_some(kept)
    }

    /// A whole text without escapes.
    pub(super) fn stripped(text: String) -> String {
        let mut ansi = Self::default();
        let mut kept = ansi.strip(text).unwrap_or_default();
        kept.push_str(&ansi.flush());
        kept
    }

    /// The new position of the character at `index` of `text`, after the escapes before it are stripped.
    pub(super) fn place_without(text: &str, index: usize) -> usize {
        let end = text.char_indices().nth(index).map_or(text.len(), |(at, _)| at);
        Self::default().strip(text[..end].to_owned()).map_or(0, |kept| kept.chars().count())
    }

    /// The held text of a sequence that will not be completed.
    pub(super) fn flush(&mut self) -> String {
        if self.state == State::StringEscape {
            self.held.push(ESC);
        }
        self.reset();
        mem::take(&mut self.held)
    }

    /// Takes one character of a sequence. Returns whether the character belonged to it.
    fn step(&mut self, next: char, kept: &mut String) -> bool {
        match (self.state, next) {
            (State::Escape, '[') => self.hold(next, State::Csi, kept),
            (State::Escape, ']') => self.hold(next, State::Osc, kept),
            (State::Escape, 'P' | 'X' | '^' | '_') => self.hold(next, State::String, kept),
            (State::Escape | State::Intermediate, ' '..='/') => self.hold(next, State::Intermediate, kept),
            (State::Csi, ' '..='?') => self.hold(next, State::Csi, kept),
            (State::Escape | State::Intermediate, '0'..='~')
            | (State::Csi, '@'..='~')
            | (State::Osc, BEL)
            | (State::StringEscape, '\\') => {
                self.held.clear();
                self.reset();
            }
            (State::Osc | State::String, ESC) => self.state = State::StringEscape,
            (State::Osc | State::String, _) => self.hold(next, self.state, kept),
            (State::StringEscape, _) => {
                kept.push_str(&self.held);
                self.held.clear();
                self.held_chars = 0;
                self.hold(ESC, State::Escape, kept);
                return false;
            }
            (State::Ground | State::Escape | State::Intermediate | State::Csi, _) => {
                self.give_back(kept);
                return false;
            }
        }
        true
    }

    fn hold(&mut self, next: char, state: State, kept: &mut String) {
        self.held.push(next);
        self.held_chars += 1;
        self.state = state;
        if self.held_chars > SEQUENCE_MAX {
            self.give_back(kept);
        }
    }

    fn give_back(&mut self, kept: &mut String) {
        kept.push_str(&self.held);
        self.held.clear();
        self.reset();
    }

    fn reset(&mut self) {
        self.state = State::Ground;
        self.held_chars = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Strips `text` whole, one character at a time and split at every place.
    fn check(text: &str, expected: &str) {
        let strip = |pieces: &[&str]| {
            let mut ansi = Ansi::default();
            let mut kept: String = pieces.iter().filter_map(|piece| ansi.strip((*piece).into())).collect();
            kept.push_str(&ansi.flush());
            kept
        };
        assert_eq!(strip(&[text]), expected, "{text:?} whole");
        let chars: Vec<String> = text.chars().map(String::from).collect();
        let chars: Vec<&str> = chars.iter().map(String::as_str).collect();
        assert_eq!(strip(&chars), expected, "{text:?} by characters");
        if text.len() < 200 {
            for (at, _) in text.char_indices() {
                assert_eq!(strip(&[&text[..at], &text[at..]]), expected, "{text:?} split at {at}");
            }
        }
    }

    #[test]
    fn escapes_are_stripped() {
        for (text, expected) in [
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("a\u{1b}[38;2;1;2;3mb\u{1b}[?25lc\u{1b}[2 qd", "abcd"),
            ("\u{1b}]0;title\u{7}text", "text"),
            ("\u{1b}]8;;https://example.com\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}Pq#0\u{7}\u{1b}\\a\u{1b}Xs\u{1b}\\b\u{1b}^p\u{1b}\\c\u{1b}_a\u{1b}\\d", "abcd"),
            ("\u{1b}(B\u{1b}7a\u{1b}c\u{1b}=\u{1b}#8\u{1b}\\", "a"),
            ("\u{1b}[1m\u{1b}]2;\u{e9}\u{1f600}\u{7}\u{1b}[m", ""),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn all_else_is_kept() {
        for text in [
            "",
            "plain [31m text",
            "tab\t cr\r\n nul\0 bel\u{7} bs\u{8} del\u{7f} csi\u{9b}31m",
            "e\u{301} \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} \u{202e}\u{feff}\u{fffd}",
            "lone \u{1b}",
            "lone \u{1b}\u{1b}",
            "lone \u{1b}\n and \u{1b}\u{e9}",
            "cut \u{1b}[31",
            "cut \u{1b}(",
            "broken \u{1b}[31\u{e9} \u{1b}[3\nm",
            "never closed \u{1b}]0;title",
            "never closed \u{1b}Ptitle\u{1b}",
        ] {
            check(text, text);
        }
    }

    #[test]
    fn a_broken_sequence_does_not_hide_the_next() {
        for (text, expected) in [
            ("\u{1b}\u{1b}[31mx", "\u{1b}x"),
            ("\u{1b}[3\u{1b}[31mx", "\u{1b}[3x"),
            ("\u{1b}]0;a\u{1b}[31mb\u{7}", "\u{1b}]0;ab\u{7}"),
            ("\u{1b}]0;a\u{1b}\u{1b}[31mb", "\u{1b}]0;a\u{1b}b"),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn a_long_string_is_given_back() {
        let longest = "x".repeat(SEQUENCE_MAX - 2);
        check(&format!("\u{1b}]{longest}\u{7}after"), "after");
        check(&format!("\u{1b}]{longest}\u{1b}\\after"), "after");
        let too_long = format!("\u{1b}]{longest}x\u{7}after");
        check(&too_long, &too_long);
        check(&format!("{too_long}\u{1b}[31m."), &format!("{too_long}."));
        let parameters = format!("\u{1b}[{longest}", longest = "1".repeat(SEQUENCE_MAX));
        check(&parameters, &parameters);
    }

    #[test]
    fn places_are_found_again() {
        let text = "a\u{1b}[31m\u{e9}\u{1b}[0mb";
        for (index, expected) in [(0, 0), (1, 1), (4, 1), (6, 1), (7, 2), (11, 2), (12, 3), (99, 3)] {
            assert_eq!(Ansi::place_without(text, index), expected, "{index}");
        }
        assert_eq!(Ansi::stripped(text.into()), "a\u{e9}b");
        assert_eq!(Ansi::stripped("a\u{1b}[3".into()), "a\u{1b}[3");
    }

    #[test]
    fn text_without_escapes_is_moved() {
        let text = String::from("no escape here");
        let address = text.as_ptr();
        let kept = Ansi::default().strip(text).expect("text is left");
        assert_eq!(kept.as_ptr(), address);
    }
}
