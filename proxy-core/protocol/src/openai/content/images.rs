//! Images in a request: which are allowed, and how many and how large.

use super::DataUrl;
use crate::openai::error::{RequestError, RequestErrorKind};
use crate::openai::read::{Node, excerpt};
use crate::picture::{self, KEPT_PIXELS, Picture};
use crate::turn::{Image, ImageLoad, MAX_REQUEST_BYTES, Part, Turn};

type Result<T> = std::result::Result<T, RequestError>;

/// The most images of one request: OpenAI's own limit.
const MAX_IMAGES: usize = 500;

/// The most bytes, in Base64, that Codex may produce from the images of one request. It uses several times this
/// much memory meanwhile.
const MAX_REMADE: u64 = 700_000_000;

/// Reads an image by its URL. Its parameter is added to `images`.
pub(super) fn read(url: &Node<'_>, detail: Option<Node<'_>>, images: &mut Vec<String>) -> Result<Part> {
    let detail = match detail {
        None => None,
        Some(node) => Some(node.one_of(&[
            ("auto", "auto"),
            ("low", "low"),
            ("high", "high"),
            ("original", "original"),
        ])?),
    };
    let text = url.string()?;
    if images.len() == MAX_IMAGES {
        return Err(bad_image(url, &format!("a request may have at most {MAX_IMAGES} images")));
    }
    let scheme = text.get(..text.find(':').unwrap_or(0).min(10)).unwrap_or_default().to_ascii_lowercase();
    let load = match scheme.as_str() {
        "data" => load(of_data(text).map_err(|why| bad_image(url, &why))?),
        "http" | "https" => ImageLoad::default(),
        _ => {
            return Err(bad_image(
                url,
                &format!("'{}' is neither a data URL nor an http or https URL", excerpt(text)),
            ));
        }
    };
    images.push(url.path());
    Ok(Part::Image(Image { url: text.into(), detail: detail.map(str::to_owned), load }))
}

/// The size and cost of a picture.
pub fn load(picture: Picture) -> ImageLoad {
    ImageLoad { width: picture.width, height: picture.height, remade: picture.remade() }
}

/// The parameters that request an image detail without effect: Codex decides the detail by the model.
///
/// `images` are the parameters of the turn's images, in their order.
pub fn unheard_details<'a>(turn: &'a Turn, images: &'a [String]) -> impl Iterator<Item = String> + 'a {
    turn.images().zip(images).filter_map(|(image, param)| {
        image.detail.as_deref().filter(|detail| *detail != "auto")?;
        let stem = param.strip_suffix("image_url.url").map(|stem| format!("{stem}image_url."));
        // Others are images of what the request continues: their details were reported when they were sent.
        let stem = stem.or_else(|| param.strip_suffix("image_url").map(str::to_owned))?;
        Some(format!("{stem}detail"))
    })
}

/// Refuses a turn that is too large for one request, once its images are fetched.
///
/// # Errors
/// `TooLarge`, with the size and the limit.
pub fn check_size(turn: &Turn) -> Result<()> {
    let too_large = |message| Err(RequestError { kind: RequestErrorKind::TooLarge, message, param: None });
    let (count, large) = (turn.images().count(), turn.images().filter(|image| image.load.remade > 0).count());
    let remade: u64 = turn.images().map(|image| image.load.remade).sum();
    if remade > MAX_REMADE {
        return too_large(format!(
            "{large} images of this request have more than {KEPT_PIXELS} pixels (such as 2048 x 2048). Codex makes such \
             images anew, and may make {remade} bytes of these, of at most {MAX_REMADE}. Send smaller images, or fewer, \
             or JPEG files."
        ));
    }
    let images: usize = turn.images().map(|image| image.url.len()).sum();
    let text = turn.text_bytes();
    if images + text <= MAX_REQUEST_BYTES {
        return Ok(());
    }
    let (of_images, way_out) = match count {
        0 => (String::new(), "Send less text."),
        _ => (format!(", {images} of them in {count} images (in Base64)"), "Send fewer or smaller images."),
    };
    too_large(format!(
        "This request has {} bytes for the model{of_images}, but at most {MAX_REQUEST_BYTES} are taken. {way_out}",
        images + text
    ))
}

fn bad_image(node: &Node<'_>, why: &str) -> RequestError {
    RequestError::new(
        RequestErrorKind::InvalidImage,
        node.path(),
        format!("Invalid image in '{}': {why}.", node.path()),
    )
}

fn of_data(url: &str) -> std::result::Result<Picture, String> {
    let data = DataUrl::parse(url)?;
    if !matches!(
        data.media_type.as_str(),
        "image/png" | "image/jpeg" | "image/jpg" | "image/gif" | "image/webp"
    ) {
        return Err(format!(
            "'{}' is not a supported image type; use PNG, JPEG, GIF or WebP",
            excerpt(&data.media_type)
        ));
    }
    if data.bytes.is_empty() {
        return Err("the data URL is empty".into());
    }
    picture::inspect(&data.bytes).map_err(|unfit| format!("it {unfit}"))
}

/// A picture of one pixel.
#[cfg(test)]
pub(crate) const PIXEL: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::turn::{Item, Role};

    #[test]
    fn a_picture_that_claims_to_be_huge_is_refused_with_the_limit() {
        let huge = "data:image/gif;base64,R0lGODlh/////4AAAAAAAP///ywAAAAAAQABAAACAkwBADs=";
        let body = json!({"image_url": huge});
        let node = Node::named(&body["image_url"], "image_url");
        let error = read(&node, None, &mut Vec::new()).unwrap_err();
        assert_eq!((error.kind, error.param.as_deref()), (RequestErrorKind::InvalidImage, Some("image_url")));
        assert!(error.message.contains("65535 x 65535") && error.message.contains("67108864"), "{error}");
    }

    #[test]
    fn the_number_of_images_is_bounded() {
        let body = json!({"image_url": PIXEL});
        let node = Node::named(&body["image_url"], "image_url");
        let mut images = Vec::new();
        for _ in 0..MAX_IMAGES {
            read(&node, None, &mut images).unwrap();
        }
        let error = read(&node, None, &mut images).unwrap_err();
        assert!(error.message.contains("at most 500 images"), "{error}");
    }

    fn turn(parts: Vec<Part>) -> Turn {
        let mut turn = Turn::new("m");
        turn.items.push(Item::Message { role: Role::User, content: parts, phase: None });
        turn
    }

    #[test]
    fn what_is_too_much_for_one_request_is_told_in_figures() {
        let image = |bytes: usize, remade| {
            let load = ImageLoad { width: 1, height: 1, remade };
            Part::Image(Image { url: "x".repeat(bytes).into(), detail: None, load })
        };
        let text = |bytes: usize| Part::Text("y".repeat(bytes));
        assert_eq!(check_size(&turn(vec![image(49_999_000, 0), text(1000)])), Ok(()));
        assert_eq!(check_size(&turn(vec![image(1, MAX_REMADE)])), Ok(()));
        for (parts, words) in [
            (
                vec![image(25_000_000, 0), image(25_000_000, 0), text(1)],
                "50000001 bytes for the model, 50000000 of them in 2 images",
            ),
            (vec![text(50_000_001)], "50000001 bytes for the model, but"),
            (
                vec![image(1, MAX_REMADE), image(1, 1), image(1, 0)],
                "2 images of this request have more than 4194304 pixels",
            ),
        ] {
            let error = check_size(&turn(parts)).unwrap_err();
            assert_eq!(error.kind, RequestErrorKind::TooLarge);
            assert!(error.message.contains(words), "{error}");
        }
    }
}
