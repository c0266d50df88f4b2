//! Shows notices on a separate thread, because the desktop's notice service may be slow.

use std::io;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use notify_rust::Notification;

use crate::notices::Notice;

/// The maximum number of waiting notices. Further ones are dropped.
const WAITING: usize = 16;

/// The sender of notices.
pub(super) struct Messenger(SyncSender<Message>);

enum Message {
    Show(Notice),
    /// Confirms that all earlier messages were shown.
    Done(SyncSender<()>),
}

impl Messenger {
    pub(super) fn start() -> io::Result<Self> {
        let (sender, receiver) = mpsc::sync_channel(WAITING);
        thread::Builder::new().name("notices".to_owned()).spawn(move || show_all(&receiver))?;
        Ok(Self(sender))
    }

    pub(super) fn send(&self, notice: Notice) {
        if self.0.try_send(Message::Show(notice)).is_err() {
            tracing::warn!("a notice is left out: those before it are not shown");
        }
    }

    /// Waits until all notices are shown, for at most `patience`.
    pub(super) fn finish(&self, patience: Duration) {
        let (done, shown) = mpsc::sync_channel(1);
        if self.0.try_send(Message::Done(done)).is_err() || shown.recv_timeout(patience).is_err() {
            tracing::info!("the last notices may not have been shown");
        }
    }
}

fn show_all(messages: &Receiver<Message>) {
    for message in messages {
        let Notice { title, body, .. } = match message {
            Message::Show(notice) => notice,
            Message::Done(done) => {
                if done.send(()).is_err() {
                    tracing::debug!("nobody waits for the last notices any more");
                }
                continue;
            }
        };
        let shown = Notification::new()
            .appname("Codex Proxy")
            .icon("codex-proxy-app")
            .summary(&title)
            .body(&markup(&body))
            .show();
        if let Err(error) = shown {
            tracing::info!(title, %error, "a notice cannot be shown");
        }
    }
}

/// Escapes the body, which is markup on Linux and similar systems.
fn markup(text: &str) -> String {
    if cfg!(any(windows, target_os = "macos")) {
        return text.to_owned();
    }
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    #[test]
    fn nothing_in_a_notice_is_markup() {
        assert_eq!(super::markup("<b>a & b</b>"), "&lt;b&gt;a &amp; b&lt;/b&gt;");
    }
}
