//! Request bodies: reads them within limits, unpacks them and checks that they are text.

mod coding;
mod text;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::error::Error;
use crate::budget::Share;

#[cfg(any(test, feature = "fuzzing"))]
pub use coding::fuzz;
pub(super) use text::utf8;

/// The maximum time in which a body has to arrive.
const READ_TIME: Duration = Duration::from_secs(60);

/// How many bodies are unpacked at a time. Each of them may need some megabytes for its window, and one
/// processor.
static UNPACKING: Semaphore = Semaphore::const_new(4);

/// A body, and the headers that say how to read it.
pub(super) struct Sent {
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
}

impl<S: Send + Sync> FromRequest<S> for Sent {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        let (parts, body) = request.into_parts();
        Ok(Self { headers: parts.headers, body })
    }
}

/// Reads a whole body of at most `limit` bytes, packed or not, of which `share` holds what there is of it.
///
/// # Errors
/// For an encoding that is not known, before anything is read.
pub(super) async fn read(sent: Sent, limit: usize, share: Option<&Arc<Share>>) -> Result<Bytes, Error> {
    let codings = match coding::named(&sent.headers) {
        Ok(codings) => codings,
        Err(error) => {
            discard(sent.body);
            return Err(error);
        }
    };
    let packed = collect(sent.body, limit, share).await?;
    if codings.is_empty() || packed.is_empty() {
        return Ok(packed);
    }
    // The semaphore is never closed; an error here would only mean that nothing limits the unpacking.
    let place = UNPACKING.acquire().await.ok();
    let share = share.cloned();
    let unpacking = move || {
        // The permit is held as long as the work lasts, even if the request has been dropped.
        let _place = place;
        let share = share;
        coding::unpack(&codings, packed, limit, |bytes| {
            Ok(share.as_ref().map_or(Ok(()), |share| share.take(bytes))?)
        })
    };
    tokio::task::spawn_blocking(unpacking).await.map_err(|error| {
        tracing::error!(%error, "a body could not be unpacked; this is a bug");
        Error::Internal
    })?
}

async fn collect(mut body: Body, limit: usize, share: Option<&Arc<Share>>) -> Result<Bytes, Error> {
    let told = body.size_hint().lower();
    if told > limit as u64 {
        discard(body);
        return Err(Error::BodyTooLarge(limit));
    }
    let mut whole = BytesMut::with_capacity(usize::try_from(told).unwrap_or_default());
    let reading = async {
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Error::BodyIncomplete)?.into_data() else { continue };
            if whole.len() + data.len() > limit {
                return Err(Error::BodyTooLarge(limit));
            }
            share.map_or(Ok(()), |share| share.take(data.len()))?;
            whole.extend_from_slice(&data);
        }
        Ok(())
    };
    match timeout(READ_TIME, reading).await {
        Ok(Ok(())) => Ok(whole.freeze()),
        Ok(Err(error)) => {
            discard(body);
            Err(error)
        }
        Err(_) => Err(Error::BodyIncomplete),
    }
}

/// Drops the rest of a body. The server reads and discards it while the error goes out.
fn discard(body: Body) {
    drop(body);
}
