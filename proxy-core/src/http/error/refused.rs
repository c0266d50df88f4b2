//! Requests that were refused before a handler, for the request log.

use super::Error;
use crate::request_log::{Refusal, RefusalReason};

/// Attached to the response to a refused request, and read by the edge.
#[derive(Debug, Clone)]
pub(in crate::http) struct Refused {
    pub(in crate::http) refusal: Refusal,
    pub(in crate::http) code: Option<&'static str>,
}

impl Error {
    /// The entry of the request log for a refused request.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        let (reason, named) = match self {
            Self::Unauthorized { is_shown: false } => (RefusalReason::NoKey, None),
            Self::Unauthorized { is_shown: true } => (RefusalReason::WrongKey, None),
            Self::ForbiddenHost(host) => (RefusalReason::Host, Some(host)),
            Self::ForbiddenOrigin(origin) => (RefusalReason::Origin, Some(origin)),
            Self::CrossSite => (RefusalReason::Origin, None),
            Self::UnknownRoute(_) => (RefusalReason::UnknownRoute, None),
            Self::Request(_)
            | Self::Turn(_)
            | Self::Account(_)
            | Self::ControlDenied
            | Self::Paused
            | Self::Throttled(_)
            | Self::TooManyStreams(_)
            | Self::Keys(_)
            | Self::Repeated(_)
            | Self::Unreadable(_)
            | Self::MethodNotAllowed(_)
            | Self::BodyTooLarge(_)
            | Self::BodyIncomplete
            | Self::UnpackedTooLarge(_)
            | Self::BrokenCoding(_)
            | Self::UnsupportedCoding(_)
            | Self::UnsupportedMediaType(_)
            | Self::Socket(_)
            | Self::Conflict(_)
            | Self::File(_)
            | Self::UsageUnavailable
            | Self::StoreUnavailable(_)
            | Self::Internal => return None,
        };
        Some(Refusal { reason, named: named.cloned(), count: 1 })
    }
}
