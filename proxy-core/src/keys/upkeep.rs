//! The work in the background: recording when keys were used, and trying the keychain again.

use std::sync::PoisonError;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::index::SecretIn;
use super::keychain::{Keychain, KeychainError, Patience};
use super::verifier::LastUse;
use super::{KeyInfo, KeyRing};
use crate::secret::KeyId;

/// Time between two rounds.
const ROUND: Duration = Duration::from_secs(60);
/// Time between two rounds while the keychain has pending work that fails.
const RETRY: Duration = Duration::from_secs(15);

impl KeyRing {
    /// Maintains the keys until `ending`: at once, and then at intervals.
    pub async fn look_after(self, ending: CancellationToken) {
        while !ending.is_cancelled() {
            let ring = self.clone();
            let pause = spawn_blocking(move || ring.round()).await.unwrap_or_else(|error| {
                tracing::error!(%error, "looking after the API keys failed; this is a bug");
                ROUND
            });
            // The end of the pause and the end of the proxy are handled in the same way here.
            drop(timeout(pause, ending.cancelled()).await);
        }
        let last = spawn_blocking(move || self.note_uses());
        if let Err(error) = last.await {
            tracing::error!(%error, "noting when the API keys were last used failed; this is a bug");
        }
    }

    /// One round. Returns the time until the next.
    pub(super) fn round(&self) -> Duration {
        self.note_uses();
        // If a user is changing keys at this moment, the next round does the work.
        let Some(mut writer) = self.free_writer() else { return RETRY };
        for secret in writer.index().leftovers {
            if writer.remove_leftover(&secret).is_err() {
                // The error has been recorded, and the next text would fail for the same reason.
                return RETRY;
            }
        }
        let Some(keychain) = self.wanted_keychain() else { return ROUND };
        for entry in writer.in_place(SecretIn::File) {
            match writer.move_to_keychain(keychain, &entry, Patience::Background) {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return RETRY,
                Err(error) => {
                    tracing::warn!(name = entry.name, %error, "cannot move an API key to the keychain");
                }
            }
        }
        ROUND
    }

    /// Records when keys were last used, if any were.
    pub(super) fn note_uses(&self) {
        let Some(mut writer) = self.free_writer() else { return };
        let snapshot = self.snapshot();
        let is_news = |(id, used): (&KeyId, &LastUse)| {
            let entry = snapshot.index.keys.iter().find(|entry| entry.id == *id);
            entry.is_some_and(|entry| entry.last_used_at != used.get())
        };
        if !snapshot.uses.iter().any(is_news) {
            return;
        }
        if let Err(error) = writer.edit(|_| {}) {
            tracing::warn!(%error, "cannot note when the API keys were last used");
        }
    }

    /// The keychain, if secrets are to be stored there.
    pub(super) fn wanted_keychain(&self) -> Option<&dyn Keychain> {
        self.0.keychain.as_deref().filter(|_| !self.snapshot().index.prefer_file)
    }

    /// Records the keychain's last result, and logs it if it has changed.
    pub(super) fn note(&self, trouble: Option<&KeychainError>) {
        let mut noted = self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.as_ref() == trouble {
            return;
        }
        match trouble {
            Some(error) => tracing::warn!("{error}; it is tried again now and then"),
            None => tracing::info!("the keychain answers"),
        }
        *noted = trouble.cloned();
    }

    pub(super) fn store(&self) -> SecretIn {
        let is_well = self.trouble().is_none();
        if is_well && self.wanted_keychain().is_some() { SecretIn::Keychain } else { SecretIn::File }
    }

    /// The notes for the user.
    pub(super) fn warning(&self, keys: &[KeyInfo]) -> Option<String> {
        let index = self.snapshot().index.clone();
        let reason =
            || self.trouble().map_or_else(|| "it is turned off".to_owned(), |error| error.to_string());
        let mut warnings = Vec::new();
        let in_file = keys.iter().filter(|key| key.secret_in == SecretIn::File).count();
        if let (1.., Some(_), Some(trouble)) = (in_file, self.wanted_keychain(), self.trouble()) {
            warnings.push(format!(
                "{in_file} of the API keys lie in the file {}, which only this user can read, because {trouble}. They \
                 are moved to the keychain as soon as it can be used; PROXY_KEYCHAIN=off ends the attempts.",
                self.0.secrets.path().display()
            ));
        }
        if !index.leftovers.is_empty() {
            warnings.push(format!(
                "The keychain may still hold {} texts of keys that are no longer accepted: {}.",
                index.leftovers.len(),
                reason()
            ));
        }
        if keys.iter().any(|key| key.overridden) {
            warnings.push("The key `default` is not accepted, because PROXY_API_KEY is set.".to_owned());
        }
        if !keys.iter().any(|key| key.enabled && !key.overridden) {
            warnings.push(
                "No API key is accepted, so every request is refused: `codex-proxy keys create NAME` makes one."
                    .to_owned(),
            );
        }
        (!warnings.is_empty()).then(|| warnings.join(" "))
    }

    fn trouble(&self) -> Option<KeychainError> {
        self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
