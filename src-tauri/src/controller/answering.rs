//! What is being answered now.

use proxy_core::request_log::RequestState;
use tokio::time::{Duration, Instant};

use super::Controller;
use crate::shell::Shell;

/// The interval at which the tray is updated while requests are being answered, because it shows what they have come to.
const LIVE: Duration = Duration::from_secs(2);

/// How many of the latest requests are looked at.
const LATEST: usize = 100;

impl<S: Shell> Controller<S> {
    /// Reads which requests are being answered, newest first.
    pub(super) fn look_at_requests(&mut self) {
        let latest = self.control().map(|control| control.requests(LATEST, None).requests);
        let running = latest.into_iter().flatten().filter(|entry| entry.state == RequestState::Running);
        self.answering = running.collect();
        if !self.answering.is_empty() {
            self.redraw_at = Some(Instant::now() + LIVE);
        }
    }
}
