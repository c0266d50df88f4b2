//! Shows notices on a separate thread, because the desktop's notice service may be slow.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use notify_rust::{Notification, NotificationHandle};
use tokio::sync::mpsc as events;

use super::send;
use crate::controller::Event;
use crate::notices::{Button, Notice};

/// The maximum number of waiting notices. Further ones are dropped.
const WAITING: usize = 16;

/// The maximum number of notices that wait for a click on their button. Each has a thread that sleeps; the next
/// notices have no button.
const WITH_BUTTON: usize = 4;

/// The sender of notices.
pub(super) struct Messenger(SyncSender<Message>);

enum Message {
    Show(Notice),
    /// Confirms that all earlier messages were shown.
    Done(SyncSender<()>),
}

impl Messenger {
    pub(super) fn start(events: events::Sender<Event>) -> io::Result<Self> {
        let (sender, receiver) = mpsc::sync_channel(WAITING);
        thread::Builder::new().name("notices".to_owned()).spawn(move || show_all(&receiver, &events))?;
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

fn show_all(messages: &Receiver<Message>, events: &events::Sender<Event>) {
    let waiting = Arc::new(AtomicUsize::new(0));
    for message in messages {
        let Notice { title, body, button, .. } = match message {
            Message::Show(notice) => notice,
            Message::Done(done) => {
                if done.send(()).is_err() {
                    tracing::debug!("nobody waits for the last notices any more");
                }
                continue;
            }
        };
        let mut notification = Notification::new();
        notification.appname("Codex Proxy").icon("codex-proxy-app").summary(&title).body(&markup(&body));
        let button = button.filter(|_| HAS_BUTTONS && waiting.load(Ordering::Relaxed) < WITH_BUTTON);
        if let Some(button) = button {
            notification.action(button.action().id(), &button.label());
        }
        match (notification.show(), button) {
            (Ok(handle), Some(button)) => wait_for_click(handle, button, events.clone(), waiting.clone()),
            (Ok(_), None) => {}
            (Err(error), _) => tracing::info!(title, %error, "a notice cannot be shown"),
        }
    }
}

/// On macOS, only an application with a bundle of its own gets to know of clicks.
const HAS_BUTTONS: bool = cfg!(not(target_os = "macos"));

#[cfg(not(target_os = "macos"))]
fn wait_for_click(
    handle: NotificationHandle,
    button: Button,
    events: events::Sender<Event>,
    waiting: Arc<AtomicUsize>,
) {
    waiting.fetch_add(1, Ordering::Relaxed);
    let counted = waiting.clone();
    let wait = move || {
        handle.wait_for_action(|clicked| {
            if clicked == button.action().id() {
                send(&events, Event::Clicked(button.action()));
            }
        });
        waiting.fetch_sub(1, Ordering::Relaxed);
    };
    if let Err(error) = thread::Builder::new().name("notice".to_owned()).spawn(wait) {
        counted.fetch_sub(1, Ordering::Relaxed);
        tracing::debug!(%error, "the button of a notice does nothing");
    }
}

#[cfg(target_os = "macos")]
fn wait_for_click(_: NotificationHandle, _: Button, _: events::Sender<Event>, _: Arc<AtomicUsize>) {}

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
