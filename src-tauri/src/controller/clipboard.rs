//! Puts text on the clipboard, and removes keys from it again.

use std::sync::Arc;

use http::StatusCode;
use proxy_core::control::ControlHandle;
use proxy_core::http::in_process::Refusal;
use proxy_core::secret::ApiKey;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::{Duration, Instant, timeout_at};

use super::{Controller, PATIENCE, Reply, Text, failed};
use crate::notices::Notice;
use crate::shell::Shell;
use crate::words;

/// A key on the clipboard that will be removed.
#[derive(Debug)]
pub(super) struct Lent {
    key: ApiKey,
    /// When it is removed.
    pub(super) due: Instant,
}

impl<S: Shell> Controller<S> {
    /// Puts text on the clipboard. A failure is sent to `reply`.
    pub(super) fn copy(&mut self, text: Text, reply: Option<Reply>) {
        let (shell, control) = (self.shell.clone(), self.control());
        let seconds = self.preferences.chosen().clipboard_seconds;
        self.copying.spawn(async move {
            let plain = if let Text::Plain(text) = &text { Some(text.clone()) } else { None };
            let copied = match text {
                Text::Key(id) => copy_key(shell.clone(), control, id).await.map(Some),
                Text::Plain(text) => copy_text(shell.clone(), text).await.map(|()| None),
            };
            let key = copied.as_ref().ok().cloned().flatten();
            match (reply, copied) {
                // The receiver may have been dropped.
                (Some(reply), copied) => drop(reply.send(copied.map(drop))),
                (None, Err(refusal)) => {
                    shell.notify(Notice::answer(words::t("nothing_copied"), refusal.error.message));
                }
                (None, Ok(_)) => shell.notify(was_copied(plain, seconds)),
            }
            key
        });
    }

    /// Takes the end of a copy.
    pub(super) fn on_copied(&mut self, copied: Result<Option<ApiKey>, JoinError>) {
        match copied {
            Ok(Some(key)) => self.lend_key(key),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "a copy to the clipboard failed"),
        }
    }

    /// Waits for the copies under way, so that no key is copied after the last removal.
    pub(super) async fn finish_copying(&mut self) {
        let end = Instant::now() + PATIENCE;
        while let Ok(Some(copied)) = timeout_at(end, self.copying.join_next()).await {
            self.on_copied(copied);
        }
        self.copying.abort_all();
    }

    /// Records that a key is on the clipboard and has to be removed later.
    pub(super) fn lend_key(&mut self, key: ApiKey) {
        let seconds = self.preferences.chosen().clipboard_seconds;
        let due = Instant::now() + Duration::from_secs(seconds.into());
        self.lent = (seconds > 0).then_some(Lent { key, due });
    }

    /// Removes the key from the clipboard, if it is still there. The caller need not wait for the returned task.
    pub(super) fn forget_key(&mut self) -> Option<JoinHandle<()>> {
        let Lent { key, .. } = self.lent.take()?;
        let shell = self.shell.clone();
        Some(spawn_blocking(move || shell.forget_secret(&key)))
    }
}

/// The answer to a copy from the menu, which shows nothing by itself. It never holds a key.
fn was_copied(plain: Option<String>, seconds: u32) -> Notice {
    match plain {
        Some(address) => Notice::answer(words::t("base_url_copied"), address),
        None if seconds == 0 => Notice::answer(words::t("key_copied"), words::t("key_stays")),
        None => Notice::answer(words::t("key_copied"), words::counted("key_goes", u64::from(seconds), &[])),
    }
}

async fn copy_key<S: Shell>(
    shell: Arc<S>,
    control: Option<ControlHandle>,
    id: Option<String>,
) -> Result<ApiKey, Refusal> {
    let control = control.ok_or_else(|| failed("The proxy does not run, so there is no key.".to_owned()))?;
    let usable = || {
        let keys = control.list_keys().keys;
        keys.into_iter().find(|key| key.enabled && !key.overridden).map(|key| key.id)
    };
    let id = id.or_else(usable).ok_or_else(|| {
        failed("There is no key that clients may use. Make one under Keys in the window.".to_owned())
    })?;
    let key = control
        .reveal_key(id)
        .await
        .map_err(|error| Refusal::new(StatusCode::CONFLICT, "key_not_given", error.message))?;
    let copied = key.clone();
    on_a_thread(move || shell.copy_secret(&copied)).await?;
    Ok(key)
}

async fn copy_text<S: Shell>(shell: Arc<S>, text: String) -> Result<(), Refusal> {
    on_a_thread(move || shell.copy_text(&text)).await
}

async fn on_a_thread(copy: impl FnOnce() -> Result<(), String> + Send + 'static) -> Result<(), Refusal> {
    let copied = spawn_blocking(copy).await.map_err(|error| failed(error.to_string()))?;
    copied.map_err(|reason| failed(format!("The clipboard cannot be used: {reason}.")))
}
