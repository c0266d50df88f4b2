//! Output that does not belong to a protocol: a banner, a stray print, or another program.

use std::fmt::Display;

use super::{Step, Unfit};

/// The number of consecutive lines that is too many for a banner.
const MOST_LINES: u32 = 1000;

/// The number of bytes that is too many for a banner.
const MOST_BYTES: usize = 16 << 20;

/// Counts the output since the last message.
#[derive(Debug, Default)]
pub(super) struct Noise {
    lines: u32,
    bytes: usize,
}

impl Noise {
    /// Counts a line of `bytes` bytes that is not a message, for this reason.
    pub(super) fn heard(&mut self, reason: impl Display, bytes: usize, out: &mut Vec<Step>) {
        tracing::warn!(%reason, bytes, "codex printed a line that is no message");
        self.lines += 1;
        self.bytes += bytes;
        if self.lines >= MOST_LINES || self.bytes >= MOST_BYTES {
            out.push(Step::Unfit(Unfit::Noise { lines: self.lines, bytes: self.bytes }));
        }
    }

    /// A message has come: the count starts again at zero.
    pub(super) fn is_over(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_noise_without_a_message_in_it_is_too_much() {
        let (mut noise, mut out) = (Noise::default(), Vec::new());
        for _ in 0..3 {
            for _ in 1..MOST_LINES {
                noise.heard("no", 1, &mut out);
            }
            noise.is_over();
        }
        assert_eq!(out, []);
        for _ in 0..MOST_LINES {
            noise.heard("no", 1, &mut out);
        }
        let [Step::Unfit(reason)] = out.as_slice() else { panic!("{out:?}") };
        let reason = reason.to_string();
        assert!(reason.contains("1000 lines") && reason.contains("CODEX_BIN"), "{reason}");
        out.clear();
        Noise::default().heard("no", MOST_BYTES, &mut out);
        assert!(matches!(out.as_slice(), [Step::Unfit(_)]));
    }
}
