//! The images of a request: fetched, and passed on to Codex only as fast as it can decode them.

use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::Refusal;
use crate::budget::Share;
use crate::image_fetch::{FetchError, ImageFetcher};
use crate::telemetry::Metrics;
use protocol::openai::error::{RequestError, RequestErrorKind};
use protocol::openai::{Prepared, content};
use protocol::picture::MAX_PIXELS;
use protocol::turn::{MAX_REQUEST_BYTES, Turn};

/// The number of pixels in one permit.
const GRAIN: u64 = 1024;

/// The permits for images that Codex may decode at the same time. It uses 10 to 20 bytes for each pixel of the
/// image that it works on for a request.
static DECODING: Semaphore = Semaphore::const_new((MAX_PIXELS * 3 / 2 / GRAIN) as usize);

/// The memory share and permits that a request holds until Codex has received the whole request.
pub(super) struct Held {
    _share: Arc<Share>,
    _decoding: Option<SemaphorePermit<'static>>,
}

impl Held {
    /// Waits until Codex may get the images of `turn`.
    pub(super) async fn new(share: Arc<Share>, turn: &Turn) -> Self {
        let largest = turn.images().map(|image| image.load.pixels()).max().unwrap_or(0);
        let permits = u32::try_from(largest.min(MAX_PIXELS).div_ceil(GRAIN)).unwrap_or(u32::MAX);
        // The semaphore is never closed; an error here would only mean that the images are not limited.
        let decoding = if permits == 0 { None } else { DECODING.acquire_many(permits).await.ok() };
        Self { _share: share, _decoding: decoding }
    }
}

/// Fetches the images that the client gives by URL, with the safety checks: Codex accepts no such URLs.
pub(super) async fn fetch<E>(
    images: &ImageFetcher,
    metrics: &Metrics,
    prepared: &mut Prepared<E>,
    share: &Share,
) -> Result<(), Refusal> {
    let batch = images.batch(MAX_REQUEST_BYTES, share);
    let Prepared { turn, image_params: params, .. } = prepared;
    let remote =
        turn.images_mut().zip(&*params).filter(|(image, _)| !starts_with_ignoring_case(&image.url, "data:"));
    let fetches = remote.map(|(image, param)| {
        let batch = &batch;
        async move {
            let fetched = batch.fetch(&image.url).await;
            metrics.image_fetch(fetched.is_ok());
            let fetched = fetched.map_err(|error| refusal(&error, param))?;
            image.load = content::images::load(fetched.picture());
            image.url = fetched.into_url();
            Ok::<_, Refusal>(())
        }
    });
    futures_util::future::try_join_all(fetches).await?;
    Ok(())
}

fn refusal(error: &FetchError, param: &str) -> Refusal {
    if let FetchError::Busy(exhausted) = error {
        return (*exhausted).into();
    }
    let message = format!("The image in '{param}': {error}");
    RequestError::new(RequestErrorKind::InvalidImage, param, message).into()
}

fn starts_with_ignoring_case(text: &str, start: &str) -> bool {
    text.get(..start.len()).is_some_and(|found| found.eq_ignore_ascii_case(start))
}
