//! What holds of every stream, whatever its bytes are.

use super::Reader;

/// Reads the bytes whole, and in pieces whose lengths the bytes say themselves: the events are the same.
///
/// # Panics
/// When they are not, or when more is held than came.
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
