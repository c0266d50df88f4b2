//! The time, for people and the vendor.

use std::time::{SystemTime, UNIX_EPOCH};

/// The clock that the account uses.
#[derive(Debug, Clone, Copy)]
pub(super) enum Clock {
    /// The system's clock.
    System,
    /// A clock that began at this time and advances with the test's paused time.
    #[cfg(test)]
    Paused(u64, tokio::time::Instant),
}

impl Clock {
    /// Seconds since the epoch.
    pub(super) fn now(self) -> u64 {
        match self {
            Self::System => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            #[cfg(test)]
            Self::Paused(began, since) => began + since.elapsed().as_secs(),
        }
    }
}
