//! A fuzz target: properties of every stream.

use super::Reader;

/// Parses the bytes at once, and in chunks with lengths from the bytes themselves: the events must be equal.
///
/// # Panics
///
/// If they differ, or if the parser holds more bytes than it got.
pub fn fuzz(bytes: &[u8]) {
    let mut whole = Reader::default();
    let expected = whole.read(bytes);
    assert!(whole.held() <= bytes.len().saturating_mul(3), "what is replaced takes at most three bytes");
    let (mut pieces, mut found, mut rest) = (Reader::default(), Vec::new(), bytes);
    while let Some(length) = rest.first() {
        let (piece, after) = rest.split_at(usize::from(length % 7).min(rest.len() - 1) + 1);
        found.extend(pieces.read(piece));
        found.extend(pieces.read(&[]));
        rest = after;
    }
    assert_eq!(found, expected);
    for event in expected {
        assert!(!event.event.contains(['\r', '\n']) && !event.data.contains('\r'), "{event:?}");
    }
}
