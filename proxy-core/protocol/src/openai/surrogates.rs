//! Lone surrogates (halves of a character) in JSON: they remain when a text was cut in the middle of an emoji.
//!
//! JavaScript and Java count UTF-16 units, cut in the middle of a pair, and write the half as `\ud83d`; Python can
//! write one as bytes. A lone half is not a character, so such a text has no UTF-8 form. It affects one character
//! of a whole conversation, so U+FFFD replaces it, as encoders do.

/// Replaces each half by U+FFFD, which takes as many bytes in either form, and returns how many there were. A pair
/// of halves that was written as three bytes each becomes the one character that it stands for.
///
/// Meant for JSON that cannot be read as it is. All other bytes stay as they are, even if they are broken.
pub fn mend(json: &mut Vec<u8>) -> usize {
    let mut replaced = 0;
    let mut at = 0;
    let mut paired = false;
    while at < json.len() {
        match json[at..] {
            [b'\\', b'u', ..] => match escaped(json, at) {
                Some(0xD800..=0xDBFF) if matches!(escaped(json, at + 6), Some(0xDC00..=0xDFFF)) => at += 12,
                Some(0xD800..=0xDFFF) => {
                    json[at..at + 6].copy_from_slice(br"\ufffd");
                    replaced += 1;
                    at += 6;
                }
                _ => at += 2,
            },
            [b'\\', ..] => at += 2,
            [0xED, 0xA0..=0xAF, low, 0xED, 0xB0..=0xBF, _, ..] if low & 0xC0 == 0x80 => {
                paired = true;
                at += 6;
            }
            [0xED, 0xA0..=0xBF, 0x80..=0xBF, ..] => {
                json[at..at + 3].copy_from_slice("\u{fffd}".as_bytes());
                replaced += 1;
                at += 3;
            }
            _ => at += 1,
        }
    }
    if paired {
        *json = joined(json);
    }
    replaced
}

/// The half that is written as an escape at this position.
fn escaped(json: &[u8], at: usize) -> Option<u16> {
    let digits = json.get(at..at + 6)?.strip_prefix(br"\u")?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Converts pairs of halves in three bytes each into the character of four bytes that they stand for.
fn joined(json: &[u8]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(json.len());
    let mut rest = json;
    while let [first, after @ ..] = rest {
        if let [0xED, a @ 0xA0..=0xAF, b, 0xED, c @ 0xB0..=0xBF, d, after @ ..] = rest {
            let half = |high: u8, low: u8| 0xD000 | (u32::from(high & 0x3F) << 6) | u32::from(low & 0x3F);
            let code = 0x10000 + ((half(*a, *b) & 0x3FF) << 10) + (half(*c, *d) & 0x3FF);
            let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
            whole.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            rest = after;
        } else {
            whole.push(*first);
            rest = after;
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn read(json: &[u8]) -> (usize, Option<String>) {
        let mut json = json.to_vec();
        let replaced = mend(&mut json);
        (replaced, serde_json::from_slice(&json).ok().and_then(|text: Value| Some(text.as_str()?.to_owned())))
    }

    #[test]
    fn halves_are_replaced_in_every_form() {
        for (json, replaced, text) in [
            (br#""x\ud83d y""#.as_slice(), 1, "x\u{fffd} y"),
            (br#""\uDE00\uD83D""#, 2, "\u{fffd}\u{fffd}"),
            (br#""\ud83d\u0041\ud83d\n""#, 2, "\u{fffd}A\u{fffd}\n"),
            (br#""\ud83d\ud83d\ude00""#, 1, "\u{fffd}\u{1f600}"),
            (b"\"a\xed\xa0\xbdb\"", 1, "a\u{fffd}b"),
            (b"\"\xed\xb8\x80\"", 1, "\u{fffd}"),
            (b"\"\xed\xa0\xbd\xed\xb8\x80\xed\xa0\xbd\"", 1, "\u{1f600}\u{fffd}"),
        ] {
            assert_eq!(read(json), (replaced, Some(text.to_owned())), "{}", json.escape_ascii());
        }
    }

    #[test]
    fn what_is_no_half_stays_as_it_is() {
        for json in [
            br#""\\ud83d \ud83d\ude00 \u00e9""#.as_slice(),
            "\"\u{d7ff}\u{e000}\u{1f600}\"".as_bytes(),
            br#""\ud83"#,
            br#""\uzzzz""#,
            b"\xed",
            b"\\",
            b"\"\xff\xfe\"",
        ] {
            let mut mended = json.to_vec();
            assert_eq!(mend(&mut mended), 0);
            assert_eq!(mended, json);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn a_text_of_halves_becomes_what_javascript_would_make_of_it(units in prop::collection::vec(unit(), 0..12), as_bytes in any::<bool>()) {
            let mut json = b"\"".to_vec();
            for unit in &units {
                match (as_bytes, *unit) {
                    (false, unit) => json.extend(format!("\\u{unit:04x}").bytes()),
                    // Each half in three bytes, as Python writes it with `surrogatepass`.
                    (true, unit @ 0xD800..=0xDFFF) => {
                        let [high, low] = unit.to_be_bytes();
                        json.extend([0xE0 | high >> 4, 0x80 | (high & 0xF) << 2 | low >> 6, 0x80 | low & 0x3F]);
                    }
                    (true, unit) => json.extend(char::from_u32(unit.into()).unwrap().to_string().bytes()),
                }
            }
            json.push(b'"');
            let (replaced, text) = read(&json);
            let expected = String::from_utf16_lossy(&units);
            prop_assert_eq!(replaced, expected.matches('\u{fffd}').count());
            prop_assert_eq!(text, Some(expected));
        }

        #[test]
        fn what_is_mended_needs_no_more_mending(mut json in prop::collection::vec(prop_oneof![
            any::<u8>(),
            prop::sample::select(b"\\ud83dDE00\xed\xa0\xbd\xb8\x80\"".to_vec()),
        ], 0..60)) {
            let before = json.clone();
            let replaced = mend(&mut json);
            prop_assert!(replaced > 0 || before == json || before.len() > json.len());
            let mended = json.clone();
            prop_assert_eq!(mend(&mut json), 0);
            prop_assert_eq!(json, mended);
        }

        #[test]
        fn a_text_without_halves_stays(text in any::<String>()) {
            let mut json = serde_json::to_vec(&text).unwrap();
            prop_assert_eq!(mend(&mut json), 0);
            prop_assert_eq!(serde_json::from_slice::<String>(&json).unwrap(), text);
        }
    }

    /// Halves, and characters that need no escape in JSON.
    fn unit() -> impl Strategy<Value = u16> {
        prop_oneof![0xD800..=0xDFFF_u16, 0x23..=0x5B_u16, Just(0xE9), Just(0x20AC)]
    }
}
