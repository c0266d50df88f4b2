//! Finds stop texts in a text that comes in pieces.

use std::mem;

/// The texts that end an answer, prepared for the search.
#[derive(Debug, Default)]
pub(super) struct StopTexts(Vec<StopText>);

/// One stop text with its Knuth-Morris-Pratt table: the length of the longest proper prefix of the text that is
/// also a suffix of its first `n + 1` bytes.
#[derive(Debug)]
struct StopText {
    bytes: Vec<u8>,
    borders: Vec<usize>,
}

impl StopTexts {
    /// Empty texts are left out: they would end every answer before it began.
    pub(super) fn new(texts: &[String]) -> Self {
        Self(texts.iter().filter(|text| !text.is_empty()).map(|text| StopText::new(text)).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl StopText {
    fn new(text: &str) -> Self {
        let mut stop = Self { bytes: text.as_bytes().to_vec(), borders: vec![0] };
        let mut matched = 0;
        for &byte in &text.as_bytes()[1..] {
            matched = stop.advance(matched, byte);
            stop.borders.push(matched);
        }
        stop
    }

    /// The number of matching bytes when `byte` comes after `matched` matching ones; `matched` is not all of them.
    fn advance(&self, mut matched: usize, byte: u8) -> usize {
        while matched > 0 && self.bytes[matched] != byte {
            matched = self.borders[matched - 1];
        }
        matched + usize::from(self.bytes[matched] == byte)
    }
}

/// How far one message's text matches the stop texts.
#[derive(Debug, Default)]
pub(super) struct StopScan {
    /// Matching bytes at the end of the text, per stop text.
    matched: Vec<usize>,
    /// The end of the text that may turn out to begin a stop text.
    held: String,
}

impl StopScan {
    /// Adds `text`. Returns what may be shown, and whether a stop text has been reached.
    ///
    /// The stop text that is complete first ends the answer, as it would have ended the model's generation; of two
    /// that are complete at once, the longer is removed.
    pub(super) fn push(&mut self, stops: &StopTexts, mut text: String) -> (String, bool) {
        self.matched.resize(stops.0.len(), 0);
        if let Some((end, length)) = self.find(stops, &text) {
            let mut shown = mem::take(&mut self.held);
            let start = shown.len() + end - length;
            shown.push_str(&text);
            shown.truncate(start);
            return (shown, true);
        }
        let keep = self.matched.iter().copied().max().unwrap_or(0);
        if !self.held.is_empty() {
            text.insert_str(0, &self.held);
        }
        self.held.clear();
        let shown = text.len() - keep;
        self.held.push_str(&text[shown..]);
        text.truncate(shown);
        (text, false)
    }

    /// The held text when no more text comes.
    pub(super) fn flush(&mut self) -> String {
        self.matched.fill(0);
        mem::take(&mut self.held)
    }

    /// The end of the first complete stop text in `text`, and its length.
    fn find(&mut self, stops: &StopTexts, text: &str) -> Option<(usize, usize)> {
        for (at, byte) in text.bytes().enumerate() {
            let mut complete = None;
            for (stop, matched) in stops.0.iter().zip(&mut self.matched) {
                *matched = stop.advance(*matched, byte);
                if *matched == stop.bytes.len() {
                    complete = complete.max(Some(stop.bytes.len()));
                }
            }
            if let Some(length) = complete {
                return Some((at + 1, length));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks for `stops` in `text`, split at every place and into characters.
    fn check(stops: &[&str], text: &str, expected: &str, stopped: bool) {
        let texts = StopTexts::new(&stops.iter().map(|stop| String::from(*stop)).collect::<Vec<_>>());
        let run = |pieces: &[&str]| {
            let mut scan = StopScan::default();
            let mut shown = String::new();
            for piece in pieces {
                let (more, found) = scan.push(&texts, (*piece).into());
                shown.push_str(&more);
                if found {
                    return (shown, true);
                }
            }
            shown.push_str(&scan.flush());
            (shown, false)
        };
        let expected = (String::from(expected), stopped);
        let chars: Vec<String> = text.chars().map(String::from).collect();
        let chars: Vec<&str> = chars.iter().map(String::as_str).collect();
        assert_eq!(run(&chars), expected, "{stops:?} in {text:?} by characters");
        for (at, _) in text.char_indices() {
            let pieces = [&text[..at], &text[at..]];
            assert_eq!(run(&pieces), expected, "{stops:?} in {text:?} split at {at}");
        }
    }

    #[test]
    fn the_text_before_the_stop_is_shown() {
        for (stops, text, expected, stopped) in [
            (&["END"][..], "one END two", "one ", true),
            (&["END"], "one EN two EN", "one EN two EN", false),
            (&["END"], "ENEND", "EN", true),
            (&["aab"], "aaab", "a", true),
            (&["abab!"], "ababab!", "ab", true),
            (&["\n\n"], "a\nb\n\n\nc", "a\nb", true),
            (&["b", "abc"], "xabc", "xa", true),
            (&["abcd", "bc"], "abcd", "a", true),
            (&["bc", "abc"], "xabc", "x", true),
            (&["abc", "bc"], "xabc", "x", true),
            (&["abc", "bc"], "xabbc", "xab", true),
            (&["", "z"], "abc", "abc", false),
            (&["\u{e9}\u{1f600}"], "\u{e9}\u{e9}\u{1f600}!", "\u{e9}", true),
            (&["\u{1f601}"], "\u{1f600}\u{1f602}", "\u{1f600}\u{1f602}", false),
            (&["END"], "END", "", true),
        ] {
            check(stops, text, expected, stopped);
        }
    }

    #[test]
    fn only_a_possible_match_is_held() {
        let stops = StopTexts::new(&["</s>".into()]);
        let mut scan = StopScan::default();
        assert_eq!(scan.push(&stops, "a < b </".into()), ("a < b ".into(), false));
        assert_eq!(scan.push(&stops, "t".into()), ("</t".into(), false));
        assert_eq!(scan.flush(), "");
    }
}
