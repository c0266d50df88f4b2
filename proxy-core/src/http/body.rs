//! Request bodies: read within bounds, or given up.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::error::Error;
use crate::budget::{Exhausted, Share};

/// A body that takes longer to arrive is given up.
const READ_TIME: Duration = Duration::from_secs(60);

/// Reads a whole body of at most `limit` bytes.
pub(super) async fn read(body: Body, limit: usize) -> Result<Bytes, Error> {
    read_with(body, limit, |_| Ok(())).await
}

/// Reads the whole body of a request whose `share` holds it.
pub(super) async fn read_for(share: &Share, body: Body, limit: usize) -> Result<Bytes, Error> {
    read_with(body, limit, |bytes| share.take(bytes)).await
}

async fn read_with(
    mut body: Body,
    limit: usize,
    take: impl Fn(usize) -> Result<(), Exhausted>,
) -> Result<Bytes, Error> {
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
            take(data.len())?;
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

/// Gives up what is left of a body: the server reads and forgets it, while the refusal goes out.
fn discard(body: Body) {
    drop(body);
}
