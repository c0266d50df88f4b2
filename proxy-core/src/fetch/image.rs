//! Telling an image from anything else, and turning it into a data URL as it arrives.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

use super::FetchError;

/// An image format that Codex takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageType {
    /// `image/png`
    Png,
    /// `image/jpeg`
    Jpeg,
    /// `image/gif`
    Gif,
    /// `image/webp`
    Webp,
}

impl ImageType {
    /// The media type, such as `image/png`.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
        }
    }

    /// The format whose signature `head` begins with.
    fn of(head: &[u8]) -> Option<Self> {
        match head {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::Webp),
            _ => None,
        }
    }
}

/// An image as a `data:` URL.
#[derive(Clone, PartialEq, Eq)]
pub struct DataUrl {
    image_type: ImageType,
    url: String,
}

impl DataUrl {
    /// The image's format.
    pub fn image_type(&self) -> ImageType {
        self.image_type
    }

    /// The URL, such as `data:image/png;base64,iVBORw0...`.
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// The URL, such as `data:image/png;base64,iVBORw0...`.
    pub fn into_string(self) -> String {
        self.url
    }
}

impl fmt::Debug for DataUrl {
    /// The picture is the client's, so it stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataUrl({}, {} characters)", self.image_type.media_type(), self.url.len())
    }
}

/// Refuses an answer whose headers say that its body is no plain image.
pub(super) fn check_headers(headers: &HeaderMap) -> Result<(), FetchError> {
    for value in headers.get_all(CONTENT_TYPE) {
        let value = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        let essence = value.split(';').next().unwrap_or_default().trim();
        let image = essence.starts_with("image/") && !essence.starts_with("image/svg");
        // Storage services send these when nobody told them the type.
        let unknown = matches!(essence, "" | "application/octet-stream" | "binary/octet-stream");
        if !image && !unknown {
            return Err(not_an_image(format!("its Content-Type is {:?}", shortened(essence))));
        }
    }
    for value in headers.get_all(CONTENT_ENCODING) {
        let value = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        if !matches!(value.trim(), "" | "identity") {
            return Err(not_an_image(format!("its Content-Encoding is {:?}", shortened(&value))));
        }
    }
    Ok(())
}

/// Collects a body into a data URL and stops at the first sign that it is none or too large. It never holds
/// more than the URL itself.
pub(super) struct Collector {
    limit: usize,
    taken: usize,
    state: State,
}

enum State {
    /// Too few bytes to know the format.
    Head(Vec<u8>),
    /// Base64 takes three bytes at a time, so up to two wait for the next chunk.
    Body { url: DataUrl, rest: Vec<u8> },
}

/// The length of the longest signature, and a whole number of base64 groups. No image is this short.
const HEAD_BYTES: usize = 12;

impl Collector {
    /// For a body of at most `limit` bytes; `announced` is its `Content-Length` if it has one.
    pub(super) fn new(limit: usize, announced: Option<u64>) -> Result<Self, FetchError> {
        if announced.is_some_and(|length| usize::try_from(length).map_or(true, |length| length > limit)) {
            return Err(FetchError::TooLarge { limit });
        }
        Ok(Self { limit, taken: 0, state: State::Head(Vec::with_capacity(HEAD_BYTES)) })
    }

    /// Takes the next bytes of the body.
    pub(super) fn push(&mut self, mut chunk: &[u8]) -> Result<(), FetchError> {
        if chunk.len() > self.limit - self.taken {
            return Err(FetchError::TooLarge { limit: self.limit });
        }
        self.taken += chunk.len();
        if let State::Head(head) = &mut self.state {
            fill(head, &mut chunk, HEAD_BYTES);
            if head.len() < HEAD_BYTES {
                return Ok(());
            }
            let image_type = ImageType::of(head)
                .ok_or_else(|| not_an_image("it does not begin like one of them".to_owned()))?;
            let mut url = format!("data:{};base64,", image_type.media_type());
            STANDARD.encode_string(head, &mut url);
            self.state = State::Body { url: DataUrl { image_type, url }, rest: Vec::with_capacity(3) };
        }
        if let State::Body { url, rest } = &mut self.state {
            if !rest.is_empty() {
                fill(rest, &mut chunk, 3);
                if rest.len() < 3 {
                    return Ok(());
                }
                STANDARD.encode_string(&rest, &mut url.url);
                rest.clear();
            }
            let (whole, left) = chunk.split_at(chunk.len() - chunk.len() % 3);
            STANDARD.encode_string(whole, &mut url.url);
            rest.extend_from_slice(left);
        }
        Ok(())
    }

    /// The image, once the body has ended.
    pub(super) fn finish(self) -> Result<DataUrl, FetchError> {
        match self.state {
            State::Body { mut url, rest } => {
                STANDARD.encode_string(rest, &mut url.url);
                Ok(url)
            }
            State::Head(head) => Err(not_an_image(format!("it is {} bytes long", head.len()))),
        }
    }
}

/// Moves bytes from the front of `chunk` to `buffer` until that holds `size`.
fn fill(buffer: &mut Vec<u8>, chunk: &mut &[u8], size: usize) {
    let (more, left) = chunk.split_at(chunk.len().min(size - buffer.len()));
    buffer.extend_from_slice(more);
    *chunk = left;
}

fn not_an_image(reason: String) -> FetchError {
    FetchError::NotAnImage { reason }
}

fn shortened(value: &str) -> String {
    value.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR and the rest of it";

    fn collect(chunks: &[&[u8]], limit: usize) -> Result<DataUrl, FetchError> {
        let mut collector = Collector::new(limit, None)?;
        for chunk in chunks {
            collector.push(chunk)?;
        }
        collector.finish()
    }

    #[test]
    fn the_url_does_not_depend_on_how_the_body_is_cut() {
        for length in HEAD_BYTES..=PNG.len() {
            let body = &PNG[..length];
            let expected = format!("data:image/png;base64,{}", STANDARD.encode(body));
            for size in 1..=length {
                let chunks: Vec<_> = body.chunks(size).collect();
                assert_eq!(collect(&chunks, length).unwrap().into_string(), expected, "{length} by {size}");
            }
        }
    }

    #[test]
    fn the_signature_decides_the_type() {
        for (head, image_type) in [
            (&b"\x89PNG\r\n\x1a\n\0\0\0\0"[..], Some(ImageType::Png)),
            (b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01", Some(ImageType::Jpeg)),
            (b"GIF87a\x01\0\x01\0\0\0", Some(ImageType::Gif)),
            (b"GIF89a\x01\0\x01\0\0\0", Some(ImageType::Gif)),
            (b"RIFF\x10\0\0\0WEBPVP8 ", Some(ImageType::Webp)),
            (b"RIFF\x10\0\0\0WAVEfmt ", None),
            (b"GIF88a\x01\0\x01\0\0\0", None),
            (b"\x89PNG\n\x1a\n\0\0\0\0\0", None),
            (b"\xff\xd8\xfe\xe0\0\x10JFIF\0\x01", None),
            (b"<svg xmlns=\"http://", None),
            (b"<?xml version=\"1", None),
            (b"<!doctype html>", None),
            (b"\x1f\x8b\x08\0\0\0\0\0\0\0\0\0", None),
            (b"BM\0\0\0\0\0\0\0\0\0\0", None),
            (b"\0\0\0 ftypavif", None),
        ] {
            match (collect(&[head], 100), image_type) {
                (Ok(url), Some(image_type)) => assert_eq!(url.image_type(), image_type),
                (Err(FetchError::NotAnImage { .. }), None) => {}
                (result, _) => panic!("{head:?}: {result:?}"),
            }
        }
    }

    #[test]
    fn a_body_that_ends_within_the_signature_is_no_image() {
        for length in 0..HEAD_BYTES {
            assert!(
                matches!(collect(&[&PNG[..length]], 100), Err(FetchError::NotAnImage { .. })),
                "{length}"
            );
        }
    }

    #[test]
    fn the_limit_is_the_last_size_that_passes() {
        assert!(collect(&[PNG], PNG.len()).is_ok());
        for chunks in [&[PNG][..], &[&PNG[..20], &PNG[20..]], &[PNG, PNG]] {
            let result = collect(chunks, PNG.len() - 1);
            assert!(matches!(result, Err(FetchError::TooLarge { limit }) if limit == PNG.len() - 1));
        }
        assert!(Collector::new(10, Some(10)).is_ok());
        assert!(matches!(Collector::new(10, Some(11)), Err(FetchError::TooLarge { limit: 10 })));
        assert!(matches!(Collector::new(10, Some(u64::MAX)), Err(FetchError::TooLarge { limit: 10 })));
    }

    #[test]
    fn headers_may_not_contradict() {
        for (name, value, passes) in [
            (CONTENT_TYPE, "image/png", true),
            (CONTENT_TYPE, "IMAGE/JPEG; charset=binary", true),
            (CONTENT_TYPE, "image/x-unheard-of", true),
            (CONTENT_TYPE, "application/octet-stream", true),
            (CONTENT_TYPE, "binary/octet-stream", true),
            (CONTENT_TYPE, "", true),
            (CONTENT_TYPE, "image/svg+xml", false),
            (CONTENT_TYPE, "image/SVG", false),
            (CONTENT_TYPE, "text/html; charset=utf-8", false),
            (CONTENT_TYPE, "text/plain, image/png", false),
            (CONTENT_TYPE, "application/json", false),
            (CONTENT_ENCODING, "identity", true),
            (CONTENT_ENCODING, "gzip", false),
            (CONTENT_ENCODING, "identity, br", false),
        ] {
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
            assert_eq!(check_headers(&headers).is_ok(), passes, "{value}");
        }
        assert!(check_headers(&HeaderMap::new()).is_ok());
        let mut two = HeaderMap::new();
        two.append(CONTENT_TYPE, HeaderValue::from_static("image/png"));
        two.append(CONTENT_TYPE, HeaderValue::from_static("text/html"));
        assert!(check_headers(&two).is_err());
    }

    #[test]
    fn the_picture_is_not_printed() {
        let url = collect(&[PNG], 100).unwrap();
        assert!(!format!("{url:?}").contains("iVBOR"));
    }
}
