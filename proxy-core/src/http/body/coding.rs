//! `Content-Encoding` of requests (RFC 9110, section 8.4): unpacks a body within the size limit of the body.
//!
//! Each step of a chain is unpacked on its own, and its result may have as many bytes as the body may have. The
//! decoders keep a window of at most some megabytes.

#[cfg(any(test, feature = "fuzzing"))]
mod fuzz;

use std::io::Read;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use bytes::Bytes;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

#[cfg(any(test, feature = "fuzzing"))]
pub use fuzz::fuzz;

use crate::http::error::Error;
use crate::secret::redact::redact;

/// The maximum number of steps in a chain.
const MOST: usize = 3;

/// Bytes that are unpacked at a time.
const CHUNK: usize = 64 * 1024;

/// The largest window of zstd over HTTP, in bytes (RFC 9659).
const ZSTD_WINDOW: u64 = 8 << 20;

/// The format in which a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Zstd,
    Brotli,
    Gzip,
    Deflate,
}

/// The encodings of a body in the order in which they were applied.
///
/// # Errors
/// For an encoding that is not known, or for too many encodings.
pub(super) fn named(headers: &HeaderMap) -> Result<Vec<Coding>, Error> {
    let mut codings = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        // In lower case, a key would not be recognized.
        let value = redact(&String::from_utf8_lossy(value.as_bytes())).to_ascii_lowercase();
        for name in value.split(',').map(str::trim) {
            codings.push(match name {
                "" | "identity" => continue,
                "zstd" => Coding::Zstd,
                "br" => Coding::Brotli,
                "gzip" | "x-gzip" => Coding::Gzip,
                "deflate" => Coding::Deflate,
                _ => {
                    return Err(Error::UnsupportedCoding(format!(
                        "The Content-Encoding '{name}' is not supported"
                    )));
                }
            });
        }
    }
    if codings.len() > MOST {
        let message = format!("The Content-Encoding has {} steps, of at most {MOST}", codings.len());
        return Err(Error::UnsupportedCoding(message));
    }
    Ok(codings)
}

/// Unpacks `packed`. The result of each step may have `limit` bytes. `take` is called before more bytes are kept
/// in memory.
///
/// # Errors
/// If the body is too large, or is not in the format that its encoding names.
pub(super) fn unpack(
    codings: &[Coding],
    packed: Bytes,
    limit: usize,
    take: impl Fn(usize) -> Result<(), Error>,
) -> Result<Bytes, Error> {
    codings.iter().rev().try_fold(packed, |packed, coding| {
        let mut unpacked = Unpacked { bytes: Vec::new(), limit, take: &take };
        coding.unpack(&packed, &mut unpacked)?;
        Ok(unpacked.bytes.into())
    })
}

/// What has been unpacked so far.
struct Unpacked<'a> {
    bytes: Vec<u8>,
    limit: usize,
    take: &'a dyn Fn(usize) -> Result<(), Error>,
}

impl Unpacked<'_> {
    fn push(&mut self, chunk: &[u8]) -> Result<(), Error> {
        if chunk.len() > self.limit - self.bytes.len() {
            return Err(Error::UnpackedTooLarge(self.limit));
        }
        (self.take)(chunk.len())?;
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }
}

impl Coding {
    fn unpack(self, packed: &[u8], unpacked: &mut Unpacked<'_>) -> Result<(), Error> {
        let rest = match self {
            Self::Zstd => return zstd(packed, unpacked),
            Self::Brotli => return brotli(packed, unpacked),
            Self::Gzip => self.copy(MultiGzDecoder::new(packed), unpacked)?.into_inner(),
            Self::Deflate if has_zlib_header(packed) => {
                self.copy(ZlibDecoder::new(packed), unpacked)?.into_inner()
            }
            Self::Deflate => self.copy(DeflateDecoder::new(packed), unpacked)?.into_inner(),
        };
        if rest.is_empty() { Ok(()) } else { Err(self.broken()) }
    }

    fn copy<R: Read>(self, mut from: R, unpacked: &mut Unpacked<'_>) -> Result<R, Error> {
        let mut chunk = vec![0; CHUNK];
        loop {
            match from.read(&mut chunk).map_err(|_| self.broken())? {
                0 => return Ok(from),
                read => unpacked.push(&chunk[..read])?,
            }
        }
    }

    fn broken(self) -> Error {
        let name = match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        };
        Error::BrokenCoding(format!(
            "The request body is not valid {name}, as its Content-Encoding says, or not the whole of it. Send it whole, \
             or as it is and without Content-Encoding."
        ))
    }
}

/// `deflate` is the zlib format (RFC 9110, section 8.4.1.2), but some clients send the bare stream. No encoder
/// begins a bare stream like this.
fn has_zlib_header(packed: &[u8]) -> bool {
    matches!(packed, [method, flags, ..] if method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]) % 31 == 0)
}

fn brotli(packed: &[u8], unpacked: &mut Unpacked<'_>) -> Result<(), Error> {
    let alloc = StandardAlloc::default;
    // Windows of more than 16 MiB are no part of `br`.
    let mut state = BrotliState::new_strict(alloc(), alloc(), alloc());
    let mut chunk = vec![0; CHUNK];
    let (mut left, mut at, mut total) = (packed.len(), 0, 0);
    loop {
        let (mut room, mut written) = (chunk.len(), 0);
        let result = BrotliDecompressStream(
            &mut left,
            &mut at,
            packed,
            &mut room,
            &mut written,
            &mut chunk,
            &mut total,
            &mut state,
        );
        unpacked.push(&chunk[..written])?;
        match result {
            BrotliResult::NeedsMoreOutput => {}
            BrotliResult::ResultSuccess if left == 0 => return Ok(()),
            BrotliResult::ResultSuccess | BrotliResult::NeedsMoreInput | BrotliResult::ResultFailure => {
                return Err(Coding::Brotli.broken());
            }
        }
    }
}

fn zstd(mut packed: &[u8], unpacked: &mut Unpacked<'_>) -> Result<(), Error> {
    let broken = || Coding::Zstd.broken();
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(ZSTD_WINDOW);
    let mut chunk = vec![0; CHUNK];
    while !packed.is_empty() {
        match decoder.reset(&mut packed) {
            Ok(()) => {}
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length, ..
            })) => {
                packed = usize::try_from(length)
                    .ok()
                    .and_then(|length| packed.get(length..))
                    .ok_or_else(broken)?;
                continue;
            }
            Err(FrameDecoderError::WindowSizeTooBig { requested, max }) => {
                return Err(Error::BrokenCoding(format!(
                    "The request body is zstd with a window of {requested} bytes, of at most {max} (RFC 9659). Pack it at \
                     a lower level."
                )));
            }
            Err(_) => return Err(broken()),
        }
        while !decoder.is_finished() {
            decoder.decode_blocks(&mut packed, BlockDecodingStrategy::UptoBlocks(1)).map_err(|_| broken())?;
            loop {
                match decoder.read(&mut chunk).map_err(|_| broken())? {
                    0 => break,
                    read => unpacked.push(&chunk[..read])?,
                }
            }
        }
        let told = decoder.get_checksum_from_data();
        if told.is_some() && told != decoder.get_calculated_checksum() {
            return Err(broken());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use http::HeaderValue;
    use proptest::prelude::*;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    const TEXT: &[u8] = b"{\"model\":\"codex-5\",\"input\":\"pack me, pack me, pack me, pack me, pack me\"}";

    /// [`TEXT`] as `zstd -19 --check` packs it: with a checksum, which ruzstd's encoder does not write.
    const BY_ZSTD: &str = "KLUv/QRodQEAdAJ7Im1vZGVsIjoiY29kZXgtNSIsImlucHV0IjoicGFjayBtZSwgIn0BAKVTng2hcTU=";
    /// [`TEXT`] as Node.js packs it.
    const BY_BROTLI: &str = "G0gA4JwFdixmtnqLSDLq4yNUeoq07DVITVmbZBHBK50+2IAT8LJER740p2J4XAiYEye8dx5Q";

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    }

    fn raw(bytes: &[u8], level: u32) -> Vec<u8> {
        let mut packed = DeflateEncoder::new(Vec::new(), Compression::new(level));
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        compress_to_vec(bytes, CompressionLevel::Fastest)
    }

    fn decoded(fixture: &str) -> Vec<u8> {
        STANDARD.decode(fixture).unwrap()
    }

    fn read(encoding: &str, packed: &[u8], limit: usize) -> Result<Bytes, Error> {
        let value = HeaderValue::from_str(encoding).map_err(|_| Error::Internal)?;
        let codings = named(&HeaderMap::from_iter([(CONTENT_ENCODING, value)]))?;
        unpack(&codings, Bytes::copy_from_slice(packed), limit, |_| Ok(()))
    }

    /// [`TEXT`] in every form.
    fn packed() -> Vec<(&'static str, Vec<u8>)> {
        vec![
            ("zstd", zstd(TEXT)),
            ("ZSTD", decoded(BY_ZSTD)),
            ("br", decoded(BY_BROTLI)),
            ("gzip", gzip(TEXT)),
            ("X-Gzip", gzip(TEXT)),
            ("deflate", zlib(TEXT)),
            ("deflate", raw(TEXT, 6)),
            ("deflate", raw(TEXT, 0)),
        ]
    }

    #[test]
    fn every_encoding_is_unpacked() {
        for (encoding, packed) in packed() {
            assert_eq!(read(encoding, &packed, TEXT.len()).unwrap(), TEXT, "{encoding}");
        }
        for (encoding, packed) in [
            ("gzip, zstd", zstd(&gzip(TEXT))),
            ("deflate,identity, gzip", gzip(&zlib(TEXT))),
            ("zstd, gzip, gzip", gzip(&gzip(&zstd(TEXT)))),
            ("identity", TEXT.to_vec()),
            ("", TEXT.to_vec()),
        ] {
            assert_eq!(read(encoding, &packed, 500).unwrap(), TEXT, "{encoding}");
        }
        let mut two = HeaderMap::new();
        two.append(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        two.append(CONTENT_ENCODING, HeaderValue::from_static("zstd"));
        assert_eq!(named(&two).unwrap(), [Coding::Gzip, Coding::Zstd]);
    }

    #[test]
    fn frames_and_members_one_after_another_are_one_body() {
        let (front, back) = TEXT.split_at(20);
        let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
        for (encoding, packed) in [
            ("gzip", [gzip(front), gzip(back)].concat()),
            ("zstd", [zstd(front), skipped.clone(), zstd(back), skipped].concat()),
        ] {
            assert_eq!(read(encoding, &packed, 500).unwrap(), TEXT, "{encoding}");
        }
    }

    #[test]
    fn what_is_cut_or_followed_by_more_or_changed_is_refused() {
        for (encoding, packed) in packed() {
            for length in 1..packed.len() {
                let cut = read(encoding, &packed[..length], 500);
                assert!(matches!(cut, Err(Error::BrokenCoding(_))), "{encoding} {length}");
            }
            let more = read(encoding, &[packed.as_slice(), b"{}"].concat(), 500);
            assert!(matches!(more, Err(Error::BrokenCoding(_))), "{encoding}");
            let plain = read(encoding, TEXT, 500);
            assert!(plain.is_err(), "{encoding}: {plain:?}");
        }
        // A format with a checksum detects every change.
        for (encoding, packed) in [("gzip", gzip(TEXT)), ("deflate", zlib(TEXT)), ("zstd", decoded(BY_ZSTD))]
        {
            for at in 0..packed.len() {
                let mut changed = packed.clone();
                changed[at] ^= 0x10;
                if let Ok(text) = read(encoding, &changed, 500) {
                    assert_eq!(text, TEXT, "{encoding}: {at}");
                }
            }
        }
    }

    #[test]
    fn a_bomb_is_given_up_at_the_limit_whichever_step_it_is() {
        let zeros = vec![0; 1 << 20];
        for (encoding, packed) in [
            ("gzip", gzip(&zeros)),
            ("zstd", zstd(&zeros)),
            ("deflate", zlib(&zeros)),
            ("deflate", raw(&zeros, 6)),
            ("gzip, gzip", gzip(&gzip(&zeros))),
            ("gzip, zstd", zstd(&gzip(&zeros))),
            // The first step gives too many bytes, although the second would unpack them to nothing.
            ("gzip, gzip", gzip(&gzip(b"").repeat(100_000))),
        ] {
            let result = read(encoding, &packed, 100_000);
            assert!(matches!(result, Err(Error::UnpackedTooLarge(100_000))), "{encoding}: {result:?}");
        }
        assert!(read("gzip", &gzip(&zeros), zeros.len()).is_ok());
        assert!(matches!(read("br", &decoded(BY_BROTLI), TEXT.len() - 1), Err(Error::UnpackedTooLarge(_))));
    }

    #[test]
    fn what_is_unpacked_is_asked_for_before_it_is_held() {
        let packed = Bytes::from(gzip(&vec![7; 1 << 20]));
        let taken = std::cell::Cell::new(0);
        let result = unpack(&[Coding::Gzip], packed, 1 << 30, |bytes| {
            taken.set(taken.get() + bytes);
            if taken.get() > 200_000 { Err(Error::Internal) } else { Ok(()) }
        });
        assert!(matches!(result, Err(Error::Internal)));
        assert!(taken.get() <= 200_000 + CHUNK, "{}", taken.get());
    }

    #[test]
    fn a_window_of_any_size_is_not_kept() {
        // Magic number, a descriptor without a size, and a window of 2^(10 + 21) bytes.
        let error = read("zstd", &[0x28, 0xb5, 0x2f, 0xfd, 0, 21 << 3, 1, 0, 0], 500).unwrap_err();
        assert!(
            matches!(&error, Error::BrokenCoding(why) if why.contains("of at most 8388608")),
            "{error:?}"
        );
    }

    #[test]
    fn what_is_not_known_is_named() {
        for (encoding, told) in [
            ("compress", "The Content-Encoding 'compress' is not supported"),
            ("gzip, dcz", "The Content-Encoding 'dcz' is not supported"),
            ("aws-chunked", "The Content-Encoding 'aws-chunked' is not supported"),
            ("gzip, gzip, gzip, gzip", "The Content-Encoding has 4 steps, of at most 3"),
        ] {
            let error = read(encoding, b"", 1).unwrap_err();
            assert!(matches!(&error, Error::UnsupportedCoding(why) if why == told), "{error:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_was_packed_is_unpacked_to_the_byte(text in prop::collection::vec(any::<u8>(), 0..2000), cut in any::<prop::sample::Index>()) {
            let all = |_: usize| Ok(());
            let (gzip, zlib, bare) = (
                GzEncoder::new(Vec::new(), Compression::fast()),
                ZlibEncoder::new(Vec::new(), Compression::fast()),
                DeflateEncoder::new(Vec::new(), Compression::fast()),
            );
            let packed = [
                (Coding::Gzip, packed_by(gzip, &text, GzEncoder::finish)),
                (Coding::Deflate, packed_by(zlib, &text, ZlibEncoder::finish)),
                (Coding::Deflate, packed_by(bare, &text, DeflateEncoder::finish)),
            ];
            for (coding, packed) in packed {
                let unpacked = unpack(&[coding], Bytes::copy_from_slice(&packed), text.len(), all).unwrap();
                prop_assert_eq!(&unpacked[..], &text[..]);
                if let Some(less) = text.len().checked_sub(1) {
                    prop_assert!(unpack(&[coding], Bytes::copy_from_slice(&packed), less, all).is_err(), "it is too large");
                }
                let cut = cut.index(packed.len());
                // A gzip file without members is an empty body, as a file of several members is one body.
                let part = unpack(&[coding], Bytes::copy_from_slice(&packed[..cut]), text.len(), all);
                prop_assert!(part.is_err() || cut == 0, "{:?} cut at {}", coding, cut);
            }
        }

        #[test]
        fn no_body_and_no_name_of_a_coding_is_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..200), name in "[a-z, -]{0,30}") {
            fuzz(&bytes);
            let headers = HeaderMap::from_iter([(CONTENT_ENCODING, name.parse().unwrap())]);
            prop_assert!(named(&headers).is_err() || named(&headers).unwrap().len() <= MOST);
        }
    }

    fn packed_by<E: Write>(
        mut encoder: E,
        text: &[u8],
        finish: impl FnOnce(E) -> std::io::Result<Vec<u8>>,
    ) -> Vec<u8> {
        encoder.write_all(text).unwrap();
        finish(encoder).unwrap()
    }
}
