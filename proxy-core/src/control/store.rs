//! The stored responses of all keys in the control API.

use tokio::sync::mpsc;

use super::ControlHandle;
use super::api::{Store, StoreRemoval, StoreState};
use crate::response_store::{self, StoreError};

/// The maximum number of entries of an export that wait for a slow reader.
const ENTRIES: usize = 16;

impl ControlHandle {
    /// What is stored.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn store(&self) -> Result<Store, StoreError> {
        let (state, reason) = match self.0.responses.state() {
            response_store::StoreState::On => (StoreState::On, None),
            response_store::StoreState::Off => (StoreState::Off, None),
            response_store::StoreState::Broken(reason) => (StoreState::Broken, Some(reason)),
        };
        if state == StoreState::Broken {
            return Ok(Store { state, reason, ..Store::default() });
        }
        let response_store::Stats { responses, conversations, chats, bytes, oldest, newest } =
            self.0.responses.stats().await?;
        Ok(Store { state, reason, responses, conversations, chats, bytes, oldest, newest })
    }

    /// Removes what is stored for too long, or too much of it.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub async fn prune_store(&self) -> Result<StoreRemoval, StoreError> {
        Ok(StoreRemoval { removed: self.0.responses.prune().await? })
    }

    /// Removes everything that is stored.
    ///
    /// # Errors
    /// If a file cannot be removed.
    pub async fn clear_store(&self) -> Result<StoreRemoval, StoreError> {
        Ok(StoreRemoval { removed: self.0.responses.clear().await? })
    }

    /// Everything that is stored, one JSON object a line. For a slow reader, only a few entries are read in advance.
    pub fn export_store(&self) -> mpsc::Receiver<Result<Vec<u8>, StoreError>> {
        let (sender, receiver) = mpsc::channel(ENTRIES);
        let store = self.0.responses.clone();
        tokio::spawn(async move {
            let lines = sender.clone();
            let exported = store.export_while(move |entry| {
                // The reader may have gone.
                lines.blocking_send(Ok(format!("{entry}\n").into_bytes())).is_ok()
            });
            if let Err(error) = exported.await {
                // So may it here.
                drop(sender.send(Err(error)).await);
            }
        });
        receiver
    }
}
