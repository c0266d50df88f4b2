//! A part of a path that a handler reads.

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;

use super::error::Error;

/// The one part of the path that the route leaves open, decoded. What is no text is the path of nothing.
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
