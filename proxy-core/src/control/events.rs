//! What happens, as the window, the browser and the command line follow it.

use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::{Interval, interval};

use super::api::Event;
use super::{Changes, ControlHandle};
use crate::request_log::RequestEntry;

/// How often the state is told even if nothing has changed: uptimes and queues move on.
const REFRESH: Duration = Duration::from_secs(15);

/// The state now, and again whenever it changes; requests when they come and when they are over.
#[derive(Debug)]
pub struct Events {
    control: ControlHandle,
    is_new: bool,
    state: Changes,
    requests: broadcast::Receiver<RequestEntry>,
    refresh: Interval,
}

impl ControlHandle {
    /// What happens from now on.
    pub fn events(&self) -> Events {
        let mut refresh = interval(REFRESH);
        refresh.reset();
        let (state, requests) = (self.watch(), self.0.requests.watch());
        Events { control: self.clone(), is_new: true, state, requests, refresh }
    }
}

impl Events {
    /// The next event: the state at once, then what happens; `None` when the proxy takes no more requests.
    ///
    /// A reader that is too slow misses some requests; the list has them all.
    pub async fn next(&mut self) -> Option<Event> {
        if std::mem::take(&mut self.is_new) {
            return Some(self.status());
        }
        loop {
            tokio::select! {
                changed = self.state.changed() => changed.then_some(())?,
                _ = self.refresh.tick() => {}
                () = self.control.closing() => return None,
                request = self.requests.recv() => match request {
                    Ok(request) => return Some(Event::Request(Box::new(request))),
                    Err(broadcast::error::RecvError::Lagged(_)) => continue,
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
            self.state.mark_seen();
            return Some(self.status());
        }
    }

    fn status(&self) -> Event {
        Event::Status(Box::new(self.control.status()))
    }
}
