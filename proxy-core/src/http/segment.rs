//! One segment of a path, as a handler reads it.

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;

use super::error::Error;

/// The one variable segment of the path, decoded. A segment that is not text matches no route.
pub(super) struct Segment(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(text)) => Ok(Self(text)),
            Err(_) => Err(Error::UnknownRoute(parts.uri.path().to_owned())),
        }
    }
}
