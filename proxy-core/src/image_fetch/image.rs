//! Detects images and converts them to data URLs.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

use super::FetchError;
use crate::budget::Share;
use protocol::picture::{self, ImageType, Picture, Unfit};

/// An image as a `data:` URL.
#[derive(Clone, PartialEq, Eq)]
pub struct DataUrl {
    picture: Picture,
    url: Arc<str>,
}

impl DataUrl {
    fn of(file: &[u8], picture: Picture) -> Self {
        let start = format!("data:{};base64,", picture.image_type.media_type());
        let mut url = String::with_capacity(start.len() + file.len().div_ceil(3) * 4);
        url.push_str(&start);
        STANDARD.encode_string(file, &mut url);
        Self { picture, url: url.into() }
    }

    /// The image's format.
    pub fn image_type(&self) -> ImageType {
        self.picture.image_type
    }

    /// The format and the content of the image.
    pub fn picture(&self) -> Picture {
        self.picture
    }

    /// The URL, such as `data:image/png;base64,iVBORw0...`.
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// The URL, such as `data:image/png;base64,iVBORw0...`.
    pub fn into_url(self) -> Arc<str> {
        self.url
    }
}

impl fmt::Debug for DataUrl {
    /// The image is the client's data, so it must not be in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataUrl({}, {} characters)", self.image_type().media_type(), self.url.len())
    }
}

/// Refuses an answer whose headers show that its body is not a plain image.
pub(super) fn check_headers(headers: &HeaderMap) -> Result<(), FetchError> {
    for value in headers.get_all(CONTENT_TYPE) {
        let value = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        let essence = value.split(';').next().unwrap_or_default().trim();
        let image = essence.starts_with("image/") && !essence.starts_with("image/svg");
        // Storage services send these if they do not know the type.
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

/// The limits for the size of an image.
#[derive(Clone, Copy)]
pub(super) struct Allowance<'a> {
    /// The limit of this image in bytes.
    pub image: usize,
    /// The bytes of Base64 that are left for all images of the request, of `request` in total.
    pub left: &'a AtomicUsize,
    pub request: usize,
    /// The request's share of the memory for all requests.
    pub share: &'a Share,
}

impl Allowance<'_> {
    /// Counts the Base64 length of `bytes` more bytes.
    fn take(&self, bytes: usize) -> Result<(), FetchError> {
        let encoded = bytes.div_ceil(3) * 4;
        let less = |left: usize| left.checked_sub(encoded);
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .map_err(|_| FetchError::TooLargeTogether { limit: self.request })?;
        self.share.take(encoded)?;
        Ok(())
    }
}

/// Collects a body, and stops as soon as it is not an image or is too large.
pub(super) struct Collector<'a> {
    allowance: Allowance<'a>,
    file: Vec<u8>,
}

/// The length of the longest signature in bytes. Every image is longer.
const HEAD_BYTES: usize = 12;

impl<'a> Collector<'a> {
    /// A collector for a body. `announced` is its `Content-Length`, if it has one.
    pub(super) fn new(allowance: Allowance<'a>, announced: Option<u64>) -> Result<Self, FetchError> {
        let limit = allowance.image;
        let announced = announced.map_or(Ok(0), usize::try_from).unwrap_or(usize::MAX);
        if announced > limit {
            return Err(FetchError::TooLarge { limit });
        }
        Ok(Self { allowance, file: Vec::with_capacity(announced) })
    }

    /// Adds the next bytes of the body.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<(), FetchError> {
        let limit = self.allowance.image;
        if chunk.len() > limit - self.file.len() {
            return Err(FetchError::TooLarge { limit });
        }
        self.allowance.take(chunk.len())?;
        let known = self.file.len() >= HEAD_BYTES;
        self.file.extend_from_slice(chunk);
        if !known && self.file.len() >= HEAD_BYTES && ImageType::of(&self.file).is_none() {
            return Err(not_an_image("it does not begin like one of them".to_owned()));
        }
        Ok(())
    }

    /// The complete image, after the end of the body.
    pub(super) fn finish(self) -> Result<DataUrl, FetchError> {
        let Self { file, .. } = self;
        if file.len() < HEAD_BYTES {
            return Err(not_an_image(format!("it is {} bytes long", file.len())));
        }
        match picture::inspect(&file) {
            Ok(picture) => Ok(DataUrl::of(&file, picture)),
            Err(unfit @ Unfit::TooLarge { .. }) => Err(FetchError::TooManyPixels(unfit)),
            Err(unfit @ (Unfit::Damaged | Unfit::Unknown)) => Err(not_an_image(format!("it {unfit}"))),
        }
    }
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

    use crate::budget::Budget;
    use crate::image_fetch::tests::PNG;

    /// Collects one image of a request whose images may have `request` bytes, of `total` bytes for all requests.
    fn collect_within(
        chunks: &[&[u8]],
        limit: usize,
        announced: Option<u64>,
        request: usize,
        total: usize,
    ) -> Result<DataUrl, FetchError> {
        let share = Budget::new(total).share();
        let left = AtomicUsize::new(request);
        let allowance = Allowance { image: limit, left: &left, request, share: &share };
        let mut collector = Collector::new(allowance, announced)?;
        for chunk in chunks {
            collector.push(chunk)?;
        }
        collector.finish()
    }

    fn collect(chunks: &[&[u8]], limit: usize) -> Result<DataUrl, FetchError> {
        collect_within(chunks, limit, None, 1000, 1000)
    }

    #[test]
    fn the_url_does_not_depend_on_how_the_body_is_cut() {
        let expected = format!("data:image/png;base64,{}", STANDARD.encode(PNG));
        for size in 1..=PNG.len() {
            let chunks: Vec<_> = PNG.chunks(size).collect();
            let url = collect(&chunks, PNG.len()).unwrap();
            assert_eq!((url.as_str(), url.picture().pixels()), (expected.as_str(), 1), "by {size}");
        }
    }

    #[test]
    fn what_begins_like_no_image_is_refused_at_once() {
        for head in [
            &b"RIFF\x10\0\0\0WAVEfmt "[..],
            b"GIF88a\x01\0\x01\0\0\0",
            b"\x89PNG\n\x1a\n\0\0\0\0\0",
            b"\xff\xd8\xfe\xe0\0\x10JFIF\0\x01",
            b"<svg xmlns=\"http://",
            b"<?xml version=\"1",
            b"<!doctype html>",
            b"\x1f\x8b\x08\0\0\0\0\0\0\0\0\0",
            b"BM\0\0\0\0\0\0\0\0\0\0",
            b"\0\0\0 ftypavif",
        ] {
            let share = Budget::new(1000).share();
            let left = AtomicUsize::new(1000);
            let allowance = Allowance { image: 100, left: &left, request: 1000, share: &share };
            let pushed = Collector::new(allowance, None).unwrap().push(head);
            assert!(matches!(pushed, Err(FetchError::NotAnImage { .. })), "{head:?}");
        }
    }

    #[test]
    fn images_are_bounded_each_in_a_request_and_in_all() {
        let encoded = PNG.len().div_ceil(3) * 4;
        assert!(collect_within(&[PNG], 100, None, encoded, encoded).is_ok());
        let request = collect_within(&[PNG], 100, None, encoded - 1, encoded);
        assert!(matches!(request, Err(FetchError::TooLargeTogether { limit }) if limit == encoded - 1));
        assert!(matches!(collect_within(&[PNG], 100, None, encoded, encoded - 1), Err(FetchError::Busy(_))));
    }

    #[test]
    fn a_huge_picture_is_refused_by_its_header() {
        let gif = b"GIF89a\xff\xff\xff\xff\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02L\x01\0;";
        let error = collect(&[gif], 100).unwrap_err();
        assert!(matches!(error, FetchError::TooManyPixels(_)), "{error:?}");
        assert!(error.to_string().contains("65535 x 65535"), "{error}");
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
        assert!(collect_within(&[PNG], 100, Some(100), 1000, 1000).is_ok());
        for announced in [101, u64::MAX] {
            let result = collect_within(&[PNG], 100, Some(announced), 1000, 1000);
            assert!(matches!(result, Err(FetchError::TooLarge { limit: 100 })));
        }
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
