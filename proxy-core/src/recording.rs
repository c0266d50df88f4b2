//! The recording of one request: one record, and its views in the usage store, the request log, the metrics and
//! traces.
//!
//! A [`Recording`] is shared by the request's handler, its turns, and the worker's sessions for as long as Codex
//! works on them. The usage event is written when the handler reports how the request ended, before the client
//! gets the end of the answer. A handler that is dropped earlier has lost its client: the event is then written
//! when the last holder is dropped, so that it includes the tokens that the vendor still counts.

mod capture;
mod record;
#[cfg(test)]
mod tests;
mod turn;
mod views;

pub use capture::Capture;
pub use record::{Arrival, Reading};
pub use turn::{TurnRecording, TurnTokens};

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::Span;

use crate::heap;
use crate::request_log::{Refusal, RequestEntry, RequestLog, RequestState};
use crate::secret::KeyId;
use crate::secret::redact::redact;
use crate::telemetry::Metrics;
use crate::threads::ThreadSource;
use crate::usage::UsageSink;
use crate::usage::event::{CANCELLED, UsageEvent};
use protocol::turn::{Catalogue, Turn, Usage};
use record::{End, Record};

/// Makes recordings. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recorder {
    sink: UsageSink,
    log: RequestLog,
    metrics: Metrics,
}

/// The recording of one request. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recording(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    recorder: Recorder,
    began: Instant,
    capture: Option<Capture>,
    record: Mutex<Record>,
}

impl Recorder {
    /// A recorder that sends events to `sink`, and entries to `log`.
    pub fn new(sink: UsageSink, log: RequestLog) -> Self {
        Self { sink, log, metrics: Metrics::default() }
    }

    /// The same recorder, with metrics of turns and tokens.
    #[must_use]
    pub fn with_metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// Tokens that the key has used today, and when today ends.
    pub fn today(&self, key: &KeyId) -> (u64, Duration) {
        (self.sink.tokens_today(key), self.sink.day_left())
    }

    /// Puts the events from before this start into the log; `events` are the newest, oldest first.
    pub fn recall(&self, events: &[UsageEvent]) {
        let entry = |event| views::entry(event, views::state_of(event));
        self.log.recall(events.iter().map(entry).collect());
    }

    /// Records a request without a valid key. It is in the log, but not counted: nothing of it has been read.
    pub fn refuse(&self, arrival: Arrival, refusal: Refusal, status: u16, error_code: Option<&str>) {
        let mut record = Record::new(arrival);
        record.end = Some(End::new(status, error_code, Duration::ZERO));
        let event = record.usage_event();
        let entry = views::entry(&event, RequestState::Failed);
        self.log.refuse(RequestEntry { address: record.arrival.address, refusal: Some(refusal), ..entry });
    }

    /// Begins the recording of a request that has arrived.
    pub fn begin(&self, arrival: Arrival) -> Recording {
        let capture =
            self.log.captures(arrival.key.as_ref().map(|key| key.name.as_str())).then(Capture::default);
        let record = Record::new(arrival);
        let running = record.usage_event();
        let inner =
            Inner { recorder: self.clone(), began: Instant::now(), capture, record: Mutex::new(record) };
        inner.log(&running, RequestState::Running);
        Recording(Arc::new(inner))
    }
}

impl Recording {
    /// The capture of the request's texts, while capturing is on.
    pub fn capture(&self) -> Option<&Capture> {
        self.0.capture.as_ref()
    }

    /// The request's body has arrived.
    pub fn body(&self, bytes: &[u8]) {
        self.0.lock().request_bytes = bytes.len() as u64;
        if let Some(capture) = &self.0.capture {
            capture.request(bytes);
        }
    }

    /// The request has named a model, which may not exist.
    pub fn model(&self, requested: &str) {
        self.0.lock().name(requested);
    }

    /// The request has been understood.
    pub fn read(&self, reading: Reading) {
        let running = {
            let mut record = self.0.lock();
            record.understand(reading);
            record.usage_event()
        };
        // From now on the list of requests has its model.
        self.0.log(&running, RequestState::Running);
    }

    /// More of the response's body is being sent.
    pub fn answered(&self, bytes: &[u8]) {
        self.0.lock().response_bytes += bytes.len() as u64;
        if let Some(capture) = &self.0.capture {
            capture.response(bytes);
        }
    }

    /// The request is over; only the first call counts. Once it returns, the event is safe even if the process is
    /// killed.
    pub fn finish(&self, status: u16, error_code: Option<&str>) {
        self.0.finish(status, error_code);
    }

    /// The tokens of the prompt were counted before.
    pub fn expect(&self, tokens: u64) {
        self.0.lock().expected_input = Some(tokens);
    }

    /// A turn of the request is about to start on a worker. `dispatch` is the span of the wait for it.
    pub fn turn(
        &self,
        worker: usize,
        turn: &Turn,
        catalogue: &Catalogue,
        streamed: bool,
        source: ThreadSource,
        dispatch: Span,
    ) -> TurnRecording {
        // The client's name of a model is arbitrary text.
        let model = catalogue.get(&turn.spec.model).map_or("other", |model| model.id.as_str());
        let number = self.0.lock().begin_turn(worker, model, source);
        let tokens = TurnTokens::new(self.clone(), number);
        TurnRecording::start(&self.0.recorder.metrics, tokens, model, streamed, source, dispatch)
    }

    /// The vendor has counted the tokens of a turn.
    fn counted(&self, turn: usize, usage: Usage) {
        if let Some(tally) = self.0.lock().turns.get_mut(turn) {
            tally.counted = Some(usage);
        }
    }

    /// The estimated usage of a turn; it counts if the vendor reports none.
    fn estimated(&self, turn: usize, usage: Usage) {
        if let Some(tally) = self.0.lock().turns.get_mut(turn) {
            tally.estimated = Some(usage);
        }
    }

    /// The client gets a piece of the answer.
    fn piece(&self) {
        let mut record = self.0.lock();
        if record.first_piece.is_none() {
            record.first_piece = Some(self.0.began.elapsed());
        }
    }

    /// The client gets a call of a tool.
    fn tool_call(&self) {
        self.0.lock().tool_calls += 1;
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self, status: u16, error_code: Option<&str>) {
        let event = {
            let mut record = self.lock();
            if record.end.is_some() {
                return;
            }
            record.end = Some(End::new(status, error_code, self.began.elapsed()));
            let event = record.usage_event();
            record.count(&event, &self.recorder.metrics);
            event
        };
        let state = views::state_of(&event);
        self.recorder.sink.record(event.clone());
        self.log(&event, state);
    }

    /// Puts the present state of the record into the request log.
    fn log(&self, event: &UsageEvent, state: RequestState) {
        let captured = self.capture.as_ref().filter(|_| state != RequestState::Running);
        let address = self.lock().arrival.address;
        let has_capture = captured.is_some();
        self.recorder.log.put(RequestEntry { address, has_capture, ..views::entry(event, state) });
        if let Some(capture) = captured {
            self.recorder.log.keep(&event.request_id, capture.texts(|text| redact(text).into_owned()));
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.finish(CANCELLED, Some("client_closed_request"));
        // No turn works on it any more, so no further tokens can come.
        if self.lock().request_bytes > heap::LARGE {
            heap::freed();
        }
    }
}
