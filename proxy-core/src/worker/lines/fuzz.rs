//! A child with arbitrary output, in pieces of any size.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, ReadBuf};

use super::{Line, LineReader};

/// The longest line, short enough for a longer one to be found soon.
const LONGEST: usize = 2000;

/// The first byte is the size of the pieces, the others are the output.
pub fn fuzz(bytes: &[u8]) {
    let Some((size, printed)) = bytes.split_first() else { return };
    let mut reader = LineReader::new(Pieces { left: printed, size: usize::from(*size).max(1) }, LONGEST);
    let mut expected = printed.split_inclusive(|byte| *byte == b'\n');
    loop {
        // Nothing blocks: there is always a piece, or the end.
        let Some(Ok(line)) = reader.next().now_or_never() else { unreachable!() };
        let next = expected.next().map(|line| line.strip_suffix(b"\n").unwrap_or(line));
        match line {
            Line::Text(text) => assert_eq!(next, Some(text.as_bytes())),
            Line::NotText => assert!(next.is_some_and(|next| std::str::from_utf8(next).is_err())),
            Line::TooLong(head) => {
                assert!(next.is_some_and(|next| next.len() > LONGEST && next.starts_with(head.as_bytes())));
            }
            Line::End => return assert_eq!(next, None),
        }
    }
}

struct Pieces<'a> {
    left: &'a [u8],
    size: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let (piece, left) = self.left.split_at(self.size.min(self.left.len()).min(buffer.remaining()));
        buffer.put_slice(piece);
        self.left = left;
        Poll::Ready(Ok(()))
    }
}
