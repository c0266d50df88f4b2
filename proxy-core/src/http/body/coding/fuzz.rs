//! A fuzz target: packed bodies of any bytes.

use std::cell::Cell;

use bytes::Bytes;

use super::{CHUNK, Coding, unpack};

/// The maximum size of a body here, in bytes.
const LIMIT: usize = 1 << 20;

/// Unpacks what follows the first byte, which selects the encoding. It never panics and never exceeds the limit.
pub fn fuzz(bytes: &[u8]) {
    let Some((which, packed)) = bytes.split_first() else { return };
    let codings: &[Coding] = match which % 5 {
        0 => &[Coding::Zstd],
        1 => &[Coding::Brotli],
        2 => &[Coding::Gzip],
        3 => &[Coding::Deflate],
        _ => &[Coding::Deflate, Coding::Gzip],
    };
    let taken = Cell::new(0);
    let unpacked = unpack(codings, Bytes::copy_from_slice(packed), LIMIT, |bytes| {
        taken.set(taken.get() + bytes);
        assert!(bytes <= CHUNK, "it is taken piece by piece");
        Ok(())
    });
    assert!(taken.get() <= LIMIT * codings.len(), "{}", taken.get());
    if let Ok(text) = unpacked {
        assert!(text.len() <= LIMIT);
    }
}
