//! The events for the window, the browser and the command line.

use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::{Interval, interval};

use super::api::Event;
use super::{Changes, ControlHandle};
use crate::request_log::RequestEntry;

/// The state is sent after this time even if nothing has changed, because uptimes and queues change all the
/// time.
const REFRESH: Duration = Duration::from_secs(15);

/// A stream of events: the state at once and after each change; requests when they arrive and when they end.
#[derive(Debug)]
pub struct Events {
    control: ControlHandle,
    is_new: bool,
    state: Changes,
    requests: broadcast::Receiver<RequestEntry>,
    refresh: Interval,
}

impl ControlHandle {
    /// A stream of the events from now on.
    pub fn events(&self) -> Events {
        let mut refresh = interval(REFRESH);
        refresh.reset();
        let (state, requests) = (self.watch(), self.0.requests.watch());
        Events { control: self.clone(), is_new: true, state, requests, refresh }
    }
}

impl Events {
    /// The next event: the state at once, then each event; `None` when the proxy accepts no more requests.
    ///
    /// A reader that is too slow misses some requests; the request list contains all of them.
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
