//! Places in an answer where it waits for the test.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// A place in a script where the answer stops until the test opens it.
#[derive(Clone, Debug)]
pub struct Gate {
    open: Arc<watch::Sender<bool>>,
    reached: Arc<watch::Sender<usize>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self { open: Arc::new(watch::channel(false).0), reached: Arc::new(watch::channel(0).0) }
    }

    /// Lets every answer through that waits here now or later.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Returns when `count` answers have come to this gate.
    pub async fn reached(&self, count: usize) {
        let mut seen = self.reached.subscribe();
        tokio::time::timeout(Duration::from_secs(60), seen.wait_for(|n| *n >= count))
            .await
            .unwrap_or_else(|_| panic!("no {count} upstream answers came to the gate within 60 s"))
            .expect("the gate holds its own sender");
    }

    pub(super) async fn pass(&self) {
        self.reached.send_modify(|n| *n += 1);
        // `self` owns the sender, so waiting cannot fail.
        drop(self.open.subscribe().wait_for(|open| *open).await);
    }
}
