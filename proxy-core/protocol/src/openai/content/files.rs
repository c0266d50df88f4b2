//! Files in a message: text files become text under their name.

use base64::Engine;

use super::{BASE64, DataUrl, Result};
use crate::openai::read::{Object, excerpt};
use crate::turn::Part;

/// Reads a file part's members.
///
/// The bytes decide whether it is text. The media type is not reliable: browsers and systems guess it from the
/// name's ending, and take TypeScript for video and CSV for a spreadsheet.
///
/// # Errors
/// Names the member that is malformed, or says why the model cannot get the file.
pub(super) fn read(object: &Object<'_>) -> Result<Part> {
    for key in ["file_id", "file_url"] {
        if let (Some(node), None) = (object.opt(key), object.opt("file_data")) {
            return Err(node.unsupported(format!(
                "'{key}' is not available here. Send a text file's content in 'file_data'."
            )));
        }
    }
    let name = match object.opt("filename") {
        Some(node) => node.string()?.to_owned(),
        None => "file".to_owned(),
    };
    let data = object.req("file_data")?;
    let text = data.string()?;
    let (media_type, bytes) = if text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("data:")) {
        let parsed = DataUrl::parse(text).map_err(|why| data.invalid(why))?;
        (parsed.media_type, parsed.bytes)
    } else {
        let bytes =
            BASE64.decode(text).map_err(|error| data.invalid(format!("its Base64 is broken ({error})")))?;
        (String::new(), bytes)
    };
    match decode(bytes) {
        Ok(content) => Ok(Part::Text(format!("{name}\n\n{content}"))),
        Err(NoText::OtherEncoding) => Err(data.invalid(format!(
            "the file '{}' is not UTF-8 text; save it as UTF-8 and send it again",
            excerpt(&name)
        ))),
        Err(NoText::Binary) => Err(data.unsupported(format!(
            "The file '{}' ({}) cannot be given to the model: only text files can. Convert it to text, or send \
             its pages as images.",
            excerpt(&name),
            if media_type.is_empty() { "unknown type" } else { &media_type }
        ))),
    }
}

/// Why bytes are not readable text.
#[derive(Debug, PartialEq, Eq)]
enum NoText {
    /// Text in an encoding that the bytes do not show.
    OtherEncoding,
    /// The bytes are not text.
    Binary,
}

/// UTF-8, or UTF-16 that begins with its byte-order mark.
fn decode(bytes: Vec<u8>) -> std::result::Result<String, NoText> {
    let utf16 = |order: fn([u8; 2]) -> u16| {
        let (units, rest) = bytes[2..].as_chunks();
        let text = String::from_utf16(&units.iter().copied().map(order).collect::<Vec<_>>());
        text.ok().filter(|_| rest.is_empty()).ok_or(NoText::Binary)
    };
    match bytes.as_slice() {
        [0xff, 0xfe, ..] => return utf16(u16::from_le_bytes),
        [0xfe, 0xff, ..] => return utf16(u16::from_be_bytes),
        // Such a file may hold only ASCII and is still not text.
        [b'%', b'P', b'D', b'F', b'-', ..] => return Err(NoText::Binary),
        _ => {}
    }
    if bytes.contains(&0) {
        return Err(NoText::Binary);
    }
    String::from_utf8(bytes).map_err(|error| {
        let no_text = |byte: &u8| byte.is_ascii_control() && !byte.is_ascii_whitespace() && *byte != 0x1b;
        if error.as_bytes().iter().any(no_text) { NoText::Binary } else { NoText::OtherEncoding }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_known_by_its_bytes() {
        let long = "a\u{e9}\u{1f600}\n".repeat(1000);
        for text in ["", "hello\n", "\u{feff}a;b\r\n", "\u{1b}[1mlog\u{1b}[0m", "{\\rtf1 x}", "<svg/>", &long]
        {
            assert_eq!(decode(text.into()).as_deref(), Ok(text));
            let units: Vec<u16> = std::iter::once(0xfeff).chain(text.encode_utf16()).collect();
            let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
            let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
            for bytes in [little, big] {
                assert_eq!(decode(bytes).as_deref(), Ok(text));
            }
        }
    }

    #[test]
    fn what_is_no_text_is_known_by_its_bytes_too() {
        for (bytes, reason) in [
            (b"%PDF-1.7\n1 0 obj".as_slice(), NoText::Binary),
            (b"PK\x03\x04\x14\x00\x06", NoText::Binary),
            (b"\x89PNG\r\n\x1a\n", NoText::Binary),
            (b"GIF89a\x01\x00", NoText::Binary),
            (b"\xff\xfea", NoText::Binary),
            (b"\xff\xfe\x3d\xd8", NoText::Binary),
            (b"stra\xdfe;1\r\n", NoText::OtherEncoding),
            (b"\x80\x80", NoText::OtherEncoding),
        ] {
            assert_eq!(decode(bytes.to_vec()), Err(reason), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn a_text_is_itself_in_every_encoding_that_is_read(text in "[^\\x00]{0,30}") {
            prop_assume!(!text.starts_with("%PDF-"));
            prop_assert_eq!(decode(text.clone().into_bytes()).ok(), Some(text.clone()));
            for (mark, order) in [([0xff, 0xfe], u16::to_le_bytes as fn(u16) -> [u8; 2]), ([0xfe, 0xff], u16::to_be_bytes)] {
                let units = text.encode_utf16().flat_map(order);
                let bytes: Vec<u8> = mark.into_iter().chain(units).collect();
                prop_assert_eq!(decode(bytes).ok(), Some(text.clone()));
            }
        }

        #[test]
        fn any_bytes_are_a_text_or_none(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let whole = decode(bytes.clone()).is_ok();
            prop_assert!(!whole || !bytes.contains(&0) || bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]));
        }
    }
}
