//! The answers of the HTTP library itself to requests that it cannot read. They have only a status; this module
//! replaces them with errors in the form of the API.

use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, StatusCode};
use memchr::memmem;

use super::super::error::Error;
use super::super::guard::SHIELD;

/// Longer than any head that the library writes by itself, in bytes.
const LONGEST: usize = 256;

/// The bytes to write instead of `written`, if `written` ends with an answer of the library itself.
///
/// Every answer of the proxy has more headers, so it is never replaced.
pub(super) fn in_place_of(written: &[u8]) -> Option<Vec<u8>> {
    if !written.ends_with(b"\r\n\r\n") {
        return None;
    }
    let from = written.len().saturating_sub(LONGEST);
    let start = from + memmem::rfind(&written[from..], b"HTTP/1.")?;
    let status = status_of(std::str::from_utf8(&written[start..]).ok()?)?;
    let mut instead = written[..start].to_vec();
    instead.extend_from_slice(&answer(status));
    Some(instead)
}

/// The status of a head that the library itself has written.
fn status_of(head: &str) -> Option<StatusCode> {
    let mut lines = head.trim_end().split("\r\n");
    let status = StatusCode::from_bytes(lines.next()?.get(9..12)?.as_bytes()).ok()?;
    let bare = [CONTENT_LENGTH.as_str(), CONNECTION.as_str(), "date"];
    let is_bare = lines.clone().all(|line| {
        line.split_once(':').is_some_and(|(name, _)| bare.contains(&name.to_ascii_lowercase().as_str()))
    });
    let is_empty = lines.any(|line| line.eq_ignore_ascii_case("content-length: 0"));
    let of_a_request_that_cannot_be_read = matches!(
        status,
        StatusCode::BAD_REQUEST | StatusCode::URI_TOO_LONG | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    );
    (is_bare && is_empty && of_a_request_that_cannot_be_read).then_some(status)
}

/// The complete error response.
fn answer(status: StatusCode) -> Vec<u8> {
    let body = Error::Unreadable(status).bytes();
    let id = format!("req_{}", uuid::Uuid::new_v4().simple());
    let length = body.len().to_string();
    let own: [(HeaderName, &str); 5] = [
        (CONTENT_TYPE, "application/json"),
        (CONTENT_LENGTH, &length),
        (CONNECTION, "close"),
        (http::header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-request-id"), &id),
    ];
    tracing::debug!(%status, request_id = id, "a request could not be read");
    let reason = status.canonical_reason().unwrap_or_default();
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16());
    for (name, value) in own.into_iter().chain(SHIELD) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let mut answer = head.into_bytes();
    answer.extend_from_slice(&body);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BARE: &str =
        "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n";

    #[test]
    fn a_bare_refusal_gets_a_body_and_keeps_what_goes_before_it() {
        for before in ["", "{\"a\": 1}", "0\r\n\r\n"] {
            let instead = in_place_of(format!("{before}{BARE}").as_bytes()).unwrap();
            let text = String::from_utf8(instead).unwrap();
            let rest = text.strip_prefix(before).unwrap();
            let (head, body) = rest.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
            assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
            assert!(body.contains("malformed_request"), "{body}");
        }
    }

    #[test]
    fn nothing_else_is_touched() {
        let ours = BARE.replace("\r\n\r\n", "\r\nx-request-id: req_1\r\n\r\n");
        let other = BARE.replace("400 Bad Request", "204 No Content");
        let with_body = BARE.replace("content-length: 0", "content-length: 2");
        let followed = format!("{BARE}x");
        for text in [&ours, &other, &with_body, &followed, "", "0\r\n\r\n", "data: HTTP/1.1 400 x\r\n\r\n"] {
            assert!(in_place_of(text.as_bytes()).is_none(), "{text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_goes_before_a_bare_refusal_stays(before in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut written = before.clone();
            written.extend_from_slice(BARE.as_bytes());
            let instead = in_place_of(&written).unwrap();
            prop_assert!(instead.starts_with(&before));
            let mut nothing = before;
            nothing.extend_from_slice(b"\r\n\r\n");
            prop_assert!(in_place_of(&nothing).is_none());
        }
    }
}
