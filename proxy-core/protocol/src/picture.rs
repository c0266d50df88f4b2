//! Reads the header of an image file: its format and its size in pixels.
//!
//! A file of a few bytes can claim a size of gigabytes, and Codex allocates that memory before it reads on. The
//! proxy reads the header with the library that Codex decodes with, so that both get the same result.

use std::io::Cursor;

use image::codecs::{gif::GifDecoder, jpeg::JpegDecoder, png::PngDecoder, webp::WebPDecoder};
use image::{ImageDecoder as _, Limits};

/// The most pixels of an image: a photograph of any phone's ordinary camera fits. To scale an image of this size
/// for the model, Codex takes some 600 MB.
pub const MAX_PIXELS: u64 = 8192 * 8192;

/// Codex passes on images of at most this many pixels as they are. It re-encodes larger ones, to at most
/// [`REMADE_PIXELS`].
pub const KEPT_PIXELS: u64 = 2048 * 2048;

/// The most pixels of an image that Codex re-encodes, for the model with the largest limit.
const REMADE_PIXELS: u64 = 3200 * 3200;

/// An image format that Codex accepts.
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

    /// The format whose signature a file of at least 12 bytes begins with.
    pub fn of(head: &[u8]) -> Option<Self> {
        match head {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::Webp),
            _ => None,
        }
    }
}

/// An image that Codex accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picture {
    /// Its format.
    pub image_type: ImageType,
    /// Its width, in pixels.
    pub width: u32,
    /// Its height, in pixels.
    pub height: u32,
}

impl Picture {
    /// Its width times its height.
    pub fn pixels(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// The most bytes, in Base64, that Codex may produce from the image: JPEG stays JPEG; in other formats each
    /// pixel takes up to four bytes, even if the file is much smaller.
    pub fn remade(self) -> u64 {
        if self.pixels() <= KEPT_PIXELS {
            return 0;
        }
        let pixels = self.pixels().min(REMADE_PIXELS);
        match self.image_type {
            ImageType::Jpeg => pixels * 3 / 2,
            ImageType::Png | ImageType::Gif | ImageType::Webp => pixels * 16 / 3,
        }
    }
}

/// Why Codex cannot use a file. The text follows the words "the image".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The beginning is of no format that Codex accepts.
    #[error("is not a PNG, JPEG, GIF or WebP file")]
    Unknown,
    /// The file ends, or is damaged, before its size can be read.
    #[error("is damaged: its width and height cannot be read")]
    Damaged,
    /// The image has more pixels than [`MAX_PIXELS`].
    #[error(
        "has {width} x {height} pixels, and at most {MAX_PIXELS} (such as 8192 x 8192) are taken: send a smaller one"
    )]
    TooLarge {
        /// The image's width, in pixels.
        width: u32,
        /// The image's height, in pixels.
        height: u32,
    },
}

/// Reads the header of an image file.
///
/// # Errors
/// Says why Codex cannot use the file.
pub fn inspect(file: &[u8]) -> Result<Picture, Unfit> {
    let image_type = ImageType::of(file).ok_or(Unfit::Unknown)?;
    let (width, height) = size(file, image_type).map_err(|_| Unfit::Damaged)?;
    let picture = Picture { image_type, width, height };
    match picture.pixels() {
        0..=MAX_PIXELS => Ok(picture),
        _ => Err(Unfit::TooLarge { width, height }),
    }
}

/// Width and height. Each decoder by its own name: behind the library's trait object all that decodes pixels would be part
/// of the program.
fn size(file: &[u8], image_type: ImageType) -> image::ImageResult<(u32, u32)> {
    let file = Cursor::new(file);
    Ok(match image_type {
        ImageType::Png => PngDecoder::with_limits(file, Limits::default())?.dimensions(),
        ImageType::Jpeg => JpegDecoder::new(file)?.dimensions(),
        ImageType::Gif => GifDecoder::new(file)?.dimensions(),
        ImageType::Webp => WebPDecoder::new(file)?.dimensions(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut chunk = b"IHDR".to_vec();
        chunk.extend(width.to_be_bytes());
        chunk.extend(height.to_be_bytes());
        chunk.extend([8, 2, 0, 0, 0]);
        let mut file = b"\x89PNG\r\n\x1a\n\0\0\0\r".to_vec();
        file.extend(&chunk);
        let mut crc = flate2::Crc::new();
        crc.update(&chunk);
        file.extend(crc.sum().to_be_bytes());
        // An empty IDAT: the reader does not need its content for the size.
        file.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e");
        file
    }

    fn gif(width: u16, height: u16) -> Vec<u8> {
        let mut file = b"GIF89a".to_vec();
        file.extend(width.to_le_bytes());
        file.extend(height.to_le_bytes());
        file.extend(b"\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02L\x01\0;");
        file
    }

    /// A JPEG of one grey pixel with this size in its header, and `before` in front of the frame header.
    fn jpeg(width: u16, height: u16, before: &[u8]) -> Vec<u8> {
        let mut file = b"\xff\xd8\xff\xdb\0C\0".to_vec();
        file.extend([1; 64]);
        file.extend(before);
        file.extend(b"\xff\xc0\0\x0b\x08");
        file.extend(height.to_be_bytes());
        file.extend(width.to_be_bytes());
        file.extend(b"\x01\x01\x11\0\xff\xc4\0\x14\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        file.extend(b"\xff\xda\0\x08\x01\x01\0\0?\0\x7f\xff\xd9");
        file
    }

    fn webp(width: u32, height: u32) -> Vec<u8> {
        let mut file = b"RIFF\x16\0\0\0WEBPVP8L\x0a\0\0\0\x2f".to_vec();
        file.extend(((width - 1) | ((height - 1) << 14)).to_le_bytes());
        file.extend([0; 5]);
        file
    }

    #[test]
    fn every_format_says_how_large_it_is() {
        for (file, image_type) in [
            (png(30, 20), ImageType::Png),
            (gif(30, 20), ImageType::Gif),
            (jpeg(30, 20, b""), ImageType::Jpeg),
            (webp(30, 20), ImageType::Webp),
        ] {
            assert_eq!(inspect(&file), Ok(Picture { image_type, width: 30, height: 20 }), "{image_type:?}");
        }
    }

    #[test]
    fn what_codex_makes_of_a_large_image_is_bounded() {
        let remade = |image_type, width, height| Picture { image_type, width, height }.remade();
        assert_eq!(remade(ImageType::Png, 2048, 2048), 0);
        assert_eq!(remade(ImageType::Png, 2, 2_097_153), 22_369_632);
        assert_eq!(remade(ImageType::Gif, 8192, 8192), 54_613_333);
        assert_eq!(remade(ImageType::Jpeg, 8192, 8192), 15_360_000);
    }

    #[test]
    fn files_that_claim_to_be_huge_are_refused_by_their_header() {
        assert_eq!(inspect(&png(8192, 8192)).map(Picture::pixels), Ok(MAX_PIXELS));
        for (file, width, height) in [
            (png(8192, 8193), 8192, 8193),
            (png(20_000, 20_000), 20_000, 20_000),
            (png(1, u32::MAX >> 1), 1, u32::MAX >> 1),
            (gif(65_535, 65_535), 65_535, 65_535),
            (jpeg(60_000, 60_000, b""), 60_000, 60_000),
            // Fill bytes before a marker are skipped.
            (jpeg(16_000, 16_000, b"\xff\xff\xff"), 16_000, 16_000),
            (webp(16_000, 16_000), 16_000, 16_000),
        ] {
            let unfit = inspect(&file).unwrap_err();
            assert_eq!(unfit, Unfit::TooLarge { width, height });
            assert!(unfit.to_string().contains(&format!("{width} x {height}")), "{unfit}");
        }
    }

    #[test]
    fn what_says_nothing_of_its_size_is_refused() {
        for file in [&b""[..], b"BM\0\0\0\0\0\0\0\0\0\0", b"II*\0\x08\0\0\0\0\0\0\0", b"<svg/>"] {
            assert_eq!(inspect(file), Err(Unfit::Unknown));
        }
        for file in [&png(3, 3)[..20], &jpeg(3, 3, b"")[..40], &gif(3, 3)[..8], &webp(3, 3)[..18]] {
            assert_eq!(inspect(file), Err(Unfit::Damaged), "{file:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn a_header_says_what_it_was_made_of(width in 1..0x4000_u16, height in 1..0x4000_u16, rest in prop::collection::vec(any::<u8>(), 0..40)) {
            let (wide, high) = (u32::from(width), u32::from(height));
            let pixels = u64::from(width) * u64::from(height);
            for (mut file, image_type) in [
                (png(wide, high), ImageType::Png),
                (gif(width, height), ImageType::Gif),
                (jpeg(width, height, b""), ImageType::Jpeg),
                (webp(wide, high), ImageType::Webp),
            ] {
                file.extend_from_slice(&rest);
                let expected = match pixels {
                    0..=MAX_PIXELS => Ok(Picture { image_type, width: wide, height: high }),
                    _ => Err(Unfit::TooLarge { width: wide, height: high }),
                };
                prop_assert_eq!(inspect(&file), expected, "{:?}", image_type);
            }
        }

        #[test]
        fn no_file_is_too_strange(
            head in prop::sample::select(vec![
                &b""[..],
                b"\x89PNG\r\n\x1a\n",
                b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
                b"GIF89a",
                b"\xff\xd8\xff",
                b"\xff\xd8\xff\xc0",
                b"RIFF\x16\0\0\0WEBPVP8L",
                b"RIFF\x16\0\0\0WEBPVP8X",
                b"RIFF\x16\0\0\0WEBPVP8 ",
            ]),
            rest in prop::collection::vec(any::<u8>(), 0..120),
        ) {
            let file = [head, &rest].concat();
            if let Ok(picture) = inspect(&file) {
                prop_assert!(picture.pixels() <= MAX_PIXELS && Some(picture.image_type) == ImageType::of(&file));
            }
        }
    }
}
