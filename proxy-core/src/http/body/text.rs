//! The character encoding of a body: only UTF-8 is accepted, as JSON requires.

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::http::error::Error;
use crate::secret::redact::redact;
use protocol::openai::error::{RequestError, RequestErrorKind};
use protocol::openai::read::excerpt;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The body without its byte-order mark.
///
/// # Errors
/// If it is not UTF-8. The error names the charset of the `Content-Type`, but the charset is not used: JSON has
/// no other charset (RFC 8259, section 11), and clients name one by habit.
pub(in crate::http) fn utf8(headers: &HeaderMap, mut body: Bytes) -> Result<Bytes, Error> {
    if body.starts_with(BYTE_ORDER_MARK) {
        body.advance(BYTE_ORDER_MARK.len());
    }
    let message = if let Some(wide) = wide(&body) {
        format!(
            "The request body is {wide}, but JSON has to be UTF-8. Send it as UTF-8; in PowerShell with \
             `-Body ([Text.Encoding]::UTF8.GetBytes($body))`."
        )
    } else if let Err(at) = std::str::from_utf8(&body) {
        let at = at.valid_up_to();
        match charset(headers) {
            Some(charset) => format!(
                "The request body is in the charset '{charset}' by its Content-Type, and not valid UTF-8 (byte {at}). \
                 Send it as UTF-8."
            ),
            None => format!("The request body is not valid UTF-8 (byte {at}). Send it as UTF-8."),
        }
    } else {
        return Ok(body);
    };
    Err(Error::Request(RequestError { kind: RequestErrorKind::InvalidJson, message, param: None }))
}

/// Finds UTF-16 and UTF-32 by their byte-order mark, or by the zeros around the first character of a JSON text.
fn wide(body: &[u8]) -> Option<&'static str> {
    const STARTS: &[u8] = b"{[ \t\r\n";
    let first = body.get(..4).or_else(|| body.get(..2))?;
    match first {
        [0xff, 0xfe, 0, 0] | [0, 0, 0xfe, 0xff] => Some("UTF-32"),
        [start, 0, 0, 0] | [0, 0, 0, start] if STARTS.contains(start) => Some("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16"),
        [start, 0, ..] | [0, start, ..] if STARTS.contains(start) => Some("UTF-16"),
        _ => None,
    }
}

/// A charset of the `Content-Type` that is not UTF-8.
fn charset(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?;
    // In lower case, a key would not be recognized.
    let value = redact(&String::from_utf8_lossy(value.as_bytes())).to_ascii_lowercase();
    let named =
        value.split(';').skip(1).find_map(|part| part.trim().strip_prefix("charset=").map(str::to_owned))?;
    let named = named.trim_matches('"');
    (!matches!(named, "" | "utf-8" | "utf8")).then(|| excerpt(named))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn read(kind: &'static str, body: &[u8]) -> Result<Bytes, String> {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
        utf8(&headers, Bytes::copy_from_slice(body)).map_err(|error| {
            let Error::Request(error) = error else { panic!("{error:?}") };
            error.message
        })
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_text() {
        for (body, text) in [
            (&b"\xef\xbb\xbf{}"[..], &b"{}"[..]),
            (b"{}", b"{}"),
            (b"\xef\xbb\xbf", b""),
            (b"", b""),
            (b"\xef\xbb\xbf\xef\xbb\xbf{}", b"\xef\xbb\xbf{}"),
        ] {
            assert_eq!(read("application/json", body).unwrap(), text);
        }
    }

    #[test]
    fn wide_characters_are_told_with_the_way_out() {
        let wide = |text: &str, big: bool| -> Vec<u8> {
            let pair = |unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() };
            text.encode_utf16().flat_map(pair).collect()
        };
        let wider = |text: &str, big: bool| -> Vec<u8> {
            let four = |c: char| if big { u32::from(c).to_be_bytes() } else { u32::from(c).to_le_bytes() };
            text.chars().flat_map(four).collect()
        };
        for text in ["\u{feff}{\"a\":1}", "{\"a\":1}", "\n[]", "\u{feff}"] {
            for (body, name) in [
                (wide(text, false), "UTF-16"),
                (wide(text, true), "UTF-16"),
                (wider(text, false), "UTF-32"),
                (wider(text, true), "UTF-32"),
            ] {
                let told = read("application/json", &body).unwrap_err();
                assert!(
                    told.starts_with(&format!("The request body is {name}, but JSON has to be UTF-8. ")),
                    "{told}"
                );
                assert!(told.contains("GetBytes($body)"), "{told}");
            }
        }
    }

    #[test]
    fn a_charset_is_told_where_it_is_true_and_not_believed_where_it_is_not() {
        for kind in
            ["application/json; charset=ISO-8859-1", "application/json;charset=utf-16", "application/json"]
        {
            assert_eq!(read(kind, "{\"a\":\"ü\"}".as_bytes()).unwrap(), "{\"a\":\"ü\"}");
        }
        for (kind, told) in [
            (
                "application/json; charset=ISO-8859-1",
                "in the charset 'iso-8859-1' by its Content-Type, and not valid UTF-8 (byte 6)",
            ),
            ("application/json; x=1; charset=\"windows-1252\"", "in the charset 'windows-1252' by"),
            (
                "application/json; charset=\"UTF-8\"",
                "The request body is not valid UTF-8 (byte 6). Send it as UTF-8.",
            ),
            ("application/json", "The request body is not valid UTF-8 (byte 6). Send it as UTF-8."),
        ] {
            let error = read(kind, b"{\"a\":\"\xfc\"}").unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_text_stays_as_it_is_and_what_is_not_is_refused(bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            any::<String>().prop_map(String::into_bytes),
        ]) {
            let bare = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
            match read("application/json; charset=x", &bytes) {
                Ok(text) => prop_assert!(text == bare && std::str::from_utf8(bare).is_ok()),
                Err(_) => prop_assert!(std::str::from_utf8(bare).is_err() || wide(bare).is_some()),
            }
        }

        #[test]
        fn no_content_type_is_too_strange(kind in prop::collection::vec(0x20..=0xff_u8, 0..60)) {
            let kind = HeaderValue::from_bytes(&kind).unwrap_or(HeaderValue::from_static(";charset=\""));
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind)]);
            prop_assert!(charset(&headers).is_none_or(|name| !name.is_empty() && name.chars().count() <= 101));
        }
    }
}
