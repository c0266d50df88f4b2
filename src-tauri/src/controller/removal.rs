//! Removes all data of the user at the end of the application.

use proxy_core::http::in_process::Refusal;
use proxy_core::removal::{self, Found, RemovalError};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::{Duration, sleep};

use super::{Controller, failed};
use crate::notices::Notice;
use crate::shell::{Ending, Shell};
use crate::words;

/// The number of attempts. The processes of the web view have ended by then, but may lock their files for a
/// moment.
const TRIES: u32 = 12;
const BETWEEN: Duration = Duration::from_millis(250);

impl<S: Shell> Controller<S> {
    /// Sends the list of the data that would be removed.
    pub(super) fn tell_data(&self, reply: oneshot::Sender<Result<Found, Refusal>>) {
        let config = self.engine.removal().map_err(failed);
        // Reading directories and the list of keys may take some time. The receiver may have been dropped.
        spawn_blocking(move || drop(reply.send(config.map(|config| removal::find(&config)))));
    }

    pub(super) fn remove_data_and_quit(&mut self) {
        (self.remove_data, self.ending) = (true, Ending::Quit);
        self.quit.cancel();
    }

    /// Removes all data. The proxy must have ended.
    pub(super) async fn remove_data(&self) {
        if self.shell.starts_at_login() == Some(true)
            && let Err(reason) = self.shell.set_starts_at_login(false)
        {
            tracing::warn!(reason, "the application still starts at login");
        }
        let outcome = match self.engine.removal() {
            Ok(config) => {
                let mut outcome = removed(config.clone()).await;
                for _ in 1..TRIES {
                    let Err(RemovalError::Left(_)) = &outcome else { break };
                    sleep(BETWEEN).await;
                    outcome = removed(config.clone()).await;
                }
                outcome.map_err(|error| error.to_string())
            }
            Err(reason) => Err(reason),
        };
        let notice = match outcome {
            Ok(_) => Notice::answer(words::t("removed"), words::t("removed_body")),
            Err(reason) => {
                tracing::error!(reason, "the data was not removed");
                Notice::answer(
                    words::t("not_removed"),
                    words::with("not_removed_body", &[("reason", &reason)]),
                )
            }
        };
        self.shell.notify(notice);
    }
}

async fn removed(config: removal::Config) -> Result<Found, RemovalError> {
    match spawn_blocking(move || removal::remove(&config, true)).await {
        Ok(outcome) => outcome,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
