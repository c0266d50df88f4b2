//! The tokens of an image, by its size: the model sees squares of 32 pixels, and each costs 1.2 tokens.
//!
//! <https://platform.openai.com/docs/guides/images-vision>, and what users of the models have measured.

use protocol::turn::Image;

/// The side of a square, in pixels.
const SIDE: f64 = 32.0;

/// The most squares of an image for a model: larger ones are made smaller. Codex shows images as they are to the
/// models that can see them so, which are those since GPT-5.4.
fn most(model: &str) -> f64 {
    let version = model.strip_prefix("gpt-").unwrap_or_default().split('-').next().unwrap_or_default();
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    match (major.parse::<u32>(), minor.parse::<u32>()) {
        (Ok(major), Ok(minor)) if (major, minor) >= (5, 4) => 10_000.0,
        _ => 1536.0,
    }
}

/// The tokens of an image whose size is known; none for another.
pub(super) fn tokens(model: &str, image: &Image) -> u64 {
    let (width, height) = (f64::from(image.load.width), f64::from(image.load.height));
    if width == 0.0 || height == 0.0 {
        return 0;
    }
    let most = most(model);
    let mut squares = (width / SIDE).ceil() * (height / SIDE).ceil();
    if squares > most {
        let shrink = (SIDE * SIDE * most / (width * height)).sqrt();
        let (wide, high) = (width * shrink / SIDE, height * shrink / SIDE);
        // Once more, so that one side is a whole number of squares.
        let fit = (wide.floor().max(1.0) / wide).min(high.floor().max(1.0) / high);
        squares = ((wide * fit).ceil() * (high * fit).ceil()).min(most);
    }
    (squares * 1.2).ceil() as u64
}
