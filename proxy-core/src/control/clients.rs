//! The settings of other programs, which the proxy can be added to.

use super::ControlHandle;
use super::api::{Applied, ClientConfig, Preview};
use crate::client_setup::ClientsError;
use crate::secret::redact::redact;

/// All of these methods read or write files, so they block.
impl ControlHandle {
    /// Every program whose settings can be changed here.
    pub fn client_configs(&self) -> Vec<ClientConfig> {
        let standings = self.0.clients.list(&self.0.about.address).into_iter();
        let shown = standings.map(|standing| ClientConfig {
            id: standing.id.to_owned(),
            config_file: standing.file.display().to_string(),
            exists: standing.exists,
            configured: standing.configured,
            can_undo: standing.can_undo,
        });
        shown.collect()
    }

    /// The changes that [`Self::apply_client`] would make.
    ///
    /// # Errors
    /// If the file cannot be read, or does not have the expected form.
    pub fn preview_client(&self, id: &str) -> Result<Preview, ClientsError> {
        let diff = self.0.clients.preview(id, &self.0.about.address)?;
        Ok(Preview { diff: redact(&diff).into_owned() })
    }

    /// Adds the proxy to the settings of the program.
    ///
    /// # Errors
    /// If the file cannot be read or written, or does not have the expected form.
    pub fn apply_client(&self, id: &str) -> Result<Applied, ClientsError> {
        let backup = self.0.clients.apply(id, &self.0.about.address)?;
        tracing::info!(client = id, "the proxy was entered into a client's settings");
        Ok(Applied { backup: backup.map(|file| file.display().to_string()) })
    }

    /// Undoes the last change.
    ///
    /// # Errors
    /// If there was no change, or the file cannot be read or written.
    pub fn undo_client(&self, id: &str) -> Result<(), ClientsError> {
        self.0.clients.undo(id)?;
        tracing::info!(client = id, "the proxy was taken out of a client's settings");
        Ok(())
    }
}
