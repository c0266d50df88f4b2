//! The lanes of one connection: which request runs, which waits, and which response each lane remembers. Nothing
//! here reads or writes.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;

use serde_json::Value;

use crate::budget::{Budget, Share};
use crate::exchange::Transcript;
use crate::http::error::SocketError;

/// The most requests of a connection that run or wait.
pub(super) const MOST_IN_FLIGHT: usize = 16;

/// The most named lanes of a connection.
pub(super) const MOST_NAMED: usize = 32;

/// The most bytes in the name of a lane.
const MOST_NAME: usize = 256;

/// The most bytes that a connection remembers.
pub(super) const MOST_REMEMBERED: usize = 32 << 20;

/// A lane of a connection: requests of one lane run one after the other. The default one has no name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Lane(Option<Arc<str>>);

impl Lane {
    /// The lane with the name that a request gives in `stream_id`.
    ///
    /// # Errors
    /// If it is no name of a lane.
    pub(super) fn named(stream_id: Option<&Value>) -> Result<Self, SocketError> {
        let fit = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        match stream_id {
            None | Some(Value::Null) => Ok(Self::default()),
            Some(Value::String(name)) if (1..=MOST_NAME).contains(&name.len()) && name.bytes().all(fit) => {
                Ok(Self(Some(name.as_str().into())))
            }
            Some(_) => Err(SocketError::InvalidStreamId),
        }
    }

    /// Its name, which needs no escapes in JSON.
    pub(super) fn name(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

/// The requests `R` of a connection, by their lanes.
#[derive(Debug)]
pub(super) struct Lanes<R> {
    lanes: HashMap<Lane, State<R>>,
    in_flight: usize,
    /// The memory for transcripts of all connections.
    memory: Budget,
    /// The bytes of all transcripts here, and the most of them.
    remembered: usize,
    most: usize,
    /// The number of transcripts ever remembered: the lowest of a lane is the oldest.
    count: u64,
}

/// A lane that runs a request or remembers a response.
#[derive(Debug)]
struct State<R> {
    running: Option<Running>,
    waiting: VecDeque<Request<R>>,
    remembered: Option<Remembered>,
}

#[derive(Debug)]
struct Request<R> {
    /// The response that it continues.
    previous: Option<String>,
    request: R,
}

#[derive(Debug)]
struct Running {
    previous: Option<String>,
}

#[derive(Debug)]
struct Remembered {
    transcript: Arc<Transcript>,
    bytes: usize,
    number: u64,
    _share: Share,
}

/// A request to be run now.
#[derive(Debug, PartialEq)]
pub(super) struct Start<R> {
    pub(super) lane: Lane,
    pub(super) request: R,
    /// The response that it continues.
    pub(super) previous: Option<String>,
    /// What it continues, if a lane remembers it. It stays what it is, whatever the lane does from now on.
    pub(super) recalled: Option<Arc<Transcript>>,
}

/// How a request has ended.
#[derive(Debug, PartialEq)]
pub(super) enum Outcome {
    /// With a response that can be continued.
    Said(Transcript),
    /// With a response that cannot be continued, or without one.
    Failed,
}

impl<R> Default for State<R> {
    fn default() -> Self {
        Self { running: None, waiting: VecDeque::new(), remembered: None }
    }
}

impl<R> State<R> {
    fn is_empty(&self) -> bool {
        self.running.is_none() && self.waiting.is_empty() && self.remembered.is_none()
    }
}

impl<R> Lanes<R> {
    /// No lanes. What they will remember is taken from `memory`, and is at most this number of bytes.
    pub(super) fn new(memory: Budget, most: usize) -> Self {
        Self { lanes: HashMap::new(), in_flight: 0, memory, remembered: 0, most, count: 0 }
    }

    /// Whether this lane runs a request or remembers a response.
    pub(super) fn has(&self, lane: &Lane) -> bool {
        self.lanes.contains_key(lane)
    }

    /// Whether there is room for one more request in this lane.
    ///
    /// # Errors
    /// If there are too many requests or lanes.
    pub(super) fn admit(&self, lane: &Lane) -> Result<(), SocketError> {
        if self.in_flight >= MOST_IN_FLIGHT {
            return Err(SocketError::TooManyRequests);
        }
        if lane.0.is_some() && !self.lanes.contains_key(lane) {
            let named = self.lanes.keys().filter(|lane| lane.0.is_some()).count();
            if named >= MOST_NAMED {
                return Err(SocketError::TooManyLanes);
            }
        }
        Ok(())
    }

    /// Adds a request for which there is room, and which continues the response `previous`. Returns it if it runs
    /// now; otherwise it waits for the requests before it in its lane.
    pub(super) fn push(&mut self, lane: &Lane, previous: Option<String>, request: R) -> Option<Start<R>> {
        self.in_flight += 1;
        let state = self.lanes.entry(lane.clone()).or_default();
        state.waiting.push_back(Request { previous, request });
        self.next(lane)
    }

    /// Adds a request that runs before those that wait in its lane, when the running one has ended.
    pub(super) fn push_next(&mut self, lane: &Lane, previous: Option<String>, request: R) {
        self.in_flight += 1;
        let state = self.lanes.entry(lane.clone()).or_default();
        state.waiting.push_front(Request { previous, request });
    }

    /// The response that the next request of a lane continues.
    pub(super) fn next_continues(&self, lane: &Lane) -> Option<&str> {
        self.lanes.get(lane)?.waiting.front()?.previous.as_deref()
    }

    /// The running request of a lane has ended. Returns the next one of this lane.
    pub(super) fn ended(&mut self, lane: &Lane, outcome: Outcome) -> Option<Start<R>> {
        let state = self.lanes.get_mut(lane)?;
        let running = state.running.take()?;
        self.in_flight -= 1;
        match outcome {
            Outcome::Said(transcript) => self.remember(lane, transcript),
            // A continuation that has failed may have shown that what it continues is of no use.
            Outcome::Failed => {
                let known = state.remembered.as_ref().map(|known| known.transcript.response.as_str());
                if known.is_some() && known == running.previous.as_deref() {
                    self.forget(lane);
                }
            }
        }
        let next = self.next(lane);
        if self.lanes.get(lane).is_some_and(State::is_empty) {
            self.lanes.remove(lane);
        }
        next
    }

    /// Takes out all requests that wait.
    pub(super) fn take_waiting(&mut self) -> Vec<(Lane, R)> {
        let mut taken = Vec::new();
        for (lane, state) in &mut self.lanes {
            taken.extend(state.waiting.drain(..).map(|waiting| (lane.clone(), waiting.request)));
        }
        self.in_flight -= taken.len();
        taken
    }

    /// Starts the next request of a lane in which none runs.
    pub(super) fn next(&mut self, lane: &Lane) -> Option<Start<R>> {
        let state = self.lanes.get_mut(lane).filter(|state| state.running.is_none())?;
        let Request { previous, request } = state.waiting.pop_front()?;
        state.running = Some(Running { previous: previous.clone() });
        let recalled = previous.as_ref().and_then(|id| self.recall(id));
        Some(Start { lane: lane.clone(), request, previous, recalled })
    }

    /// The transcript of a response, if it is the latest one of a lane.
    fn recall(&self, id: &str) -> Option<Arc<Transcript>> {
        let mut known = self.lanes.values().filter_map(|state| state.remembered.as_ref());
        known.find(|known| known.transcript.response == id).map(|known| known.transcript.clone())
    }

    /// Remembers the latest response of a lane, in place of older ones of other lanes if there is no room. A
    /// response that is too large for that is forgotten: the client then sends the whole conversation again.
    fn remember(&mut self, lane: &Lane, transcript: Transcript) {
        self.forget(lane);
        let bytes = size(&transcript.items);
        if bytes > self.most {
            return;
        }
        let share = self.memory.share();
        while self.remembered + bytes > self.most || share.take(bytes).is_err() {
            let kept = |(lane, state): (&Lane, &State<R>)| {
                state.remembered.as_ref().map(|known| (known.number, lane.clone()))
            };
            let Some((_, oldest)) = self.lanes.iter().filter_map(kept).min_by_key(|(number, _)| *number)
            else {
                return;
            };
            self.forget(&oldest);
            if self.lanes.get(&oldest).is_some_and(State::is_empty) && oldest != *lane {
                self.lanes.remove(&oldest);
            }
        }
        let Some(state) = self.lanes.get_mut(lane) else { return };
        self.remembered += bytes;
        self.count += 1;
        let transcript = Arc::new(transcript);
        state.remembered = Some(Remembered { transcript, bytes, number: self.count, _share: share });
    }

    fn forget(&mut self, lane: &Lane) {
        if let Some(known) = self.lanes.get_mut(lane).and_then(|state| state.remembered.take()) {
            self.remembered -= known.bytes;
        }
    }
}

/// The bytes of the items as JSON.
pub(super) fn size(items: &[Value]) -> usize {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // What cannot be written is not remembered.
    serde_json::to_writer(&mut count, items).map_or(usize::MAX, |()| count.0)
}

#[cfg(test)]
mod tests;
