//! The switch with which a person pauses all requests.

use std::sync::Arc;

use tokio::sync::watch;

/// A switch that the control API sets and exchanges read. It is off at the start. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Pause(Arc<watch::Sender<bool>>);

impl Pause {
    /// Whether requests are refused.
    pub fn is_on(&self) -> bool {
        *self.0.borrow()
    }

    /// Refuses requests from now on, or accepts them again. Returns whether this was a change.
    pub fn set(&self, on: bool) -> bool {
        self.0.send_replace(on) != on
    }

    /// A watch on changes.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }
}
