//! What is done in the background: noting when keys were used, and trying the keychain again.

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
/// Time between two rounds while the keychain has something to do and does not do it.
const RETRY: Duration = Duration::from_secs(15);

impl KeyRing {
    /// Looks after the keys until `ending`: at once, and then again and again.
    pub async fn look_after(self, ending: CancellationToken) {
        while !ending.is_cancelled() {
            let ring = self.clone();
            let pause = spawn_blocking(move || ring.round()).await.unwrap_or_else(|error| {
                tracing::error!(%error, "looking after the API keys failed; this is a bug");
                ROUND
            });
            // The end of the pause and the end of all are the same here.
            drop(timeout(pause, ending.cancelled()).await);
        }
        let last = spawn_blocking(move || self.note_uses());
        if let Err(error) = last.await {
            tracing::error!(%error, "noting when the API keys were last used failed; this is a bug");
        }
    }

    /// One round; the answer is the time until the next.
    pub(super) fn round(&self) -> Duration {
        self.note_uses();
        // Where a person changes keys just now, the next round will do.
        let Some(mut writer) = self.free_writer() else { return RETRY };
        for secret in writer.index().leftovers {
            if writer.remove_leftover(&secret).is_err() {
                // What is wrong has been noted, and the next would have the same to say.
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

    /// Writes down when keys were last used, if any were.
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

    /// The keychain, if secrets are to go there.
    pub(super) fn wanted_keychain(&self) -> Option<&dyn Keychain> {
        self.0.keychain.as_deref().filter(|_| !self.snapshot().index.prefer_file)
    }

    /// Notes what the keychain said last, and logs it where that is news.
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

    /// What a person should know.
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
