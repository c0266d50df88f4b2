//! Whether requests are refused for now because a person wants it so.

use std::sync::Arc;

use tokio::sync::watch;

/// A switch that the control API turns and exchanges look at. It is off at the start. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Pause(Arc<watch::Sender<bool>>);

impl Pause {
    /// Whether requests are refused.
    pub fn is_on(&self) -> bool {
        *self.0.borrow()
    }

    /// Refuses requests from now on, or takes them again. Returns whether that is a change.
    pub fn set(&self, on: bool) -> bool {
        self.0.send_replace(on) != on
    }

    /// Tells of changes.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }
}
