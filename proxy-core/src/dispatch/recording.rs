//! What becomes of one request: one usage event, and one entry in the request log.
//!
//! A [`Recording`] is shared by the request's handler, its turns, and the worker's sessions for as long as Codex
//! works on them. The event is written when the handler says how the request ended, before the client hears of
//! it. A handler that is dropped without a word has lost its client: the event is then written when the last holder
//! goes, so that it has what the vendor counted after all.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::heap;
use crate::request_log::{Capture, Refusal, RequestEntry, RequestLog, RequestState};
use crate::secret::redact::{redact, redact_within};
use crate::secret::{AdmittedKey, KeyId};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::Tokens;
use crate::usage::event::{CANCELLED, UsageEvent};
use crate::usage::{UsageSink, client};
use crate::worker::Observer;
use protocol::turn::{TurnEvent, Usage};

/// Characters of a client's names that are kept.
const MAX_NAME: usize = 200;

/// Makes recordings. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recorder {
    sink: UsageSink,
    log: RequestLog,
    metrics: Metrics,
}

/// What is known of a request when it comes.
#[derive(Debug, Clone, Default)]
pub struct Arrival {
    /// The path of the route.
    pub route: String,
    /// The HTTP method.
    pub method: String,
    /// `responses` or `chat`.
    pub surface: &'static str,
    /// The request's id.
    pub id: String,
    /// The key that it was let in under; none if it was not let in.
    pub key: Option<AdmittedKey>,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// Where it came from.
    pub address: Option<IpAddr>,
}

/// What is known of a request when it has been read.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// The model as the client wrote it.
    pub requested_model: String,
    /// The model that is asked.
    pub effective_model: String,
    /// The effort that is asked for.
    pub effort: Option<&'static str>,
    /// The service tier that is asked for; `None` for the account's default.
    pub service_tier: Option<&'static str>,
    /// Whether the answer is streamed.
    pub stream: bool,
}

/// The recording of one request. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recording(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    recorder: Recorder,
    began: Instant,
    capture: Option<Capture>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    event: UsageEvent,
    /// In the request log alone: what is kept on disk does not say where somebody was.
    address: Option<IpAddr>,
    turns: Vec<Tally>,
    /// The model in metrics: one of the catalogue, or "other".
    counted_as: String,
    finished: bool,
}

/// The tokens of one turn.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    counted: Option<Usage>,
    estimated: Option<Usage>,
}

impl Recorder {
    /// Writes events to `sink` and entries to `log`.
    pub fn new(sink: UsageSink, log: RequestLog) -> Self {
        Self { sink, log, metrics: Metrics::default() }
    }

    /// The same recorder, which counts tokens too.
    #[must_use]
    pub fn with_metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// Tokens that the key has used today, and until when today lasts.
    pub fn today(&self, key: &KeyId) -> (u64, Duration) {
        (self.sink.tokens_today(key), self.sink.day_left())
    }

    /// Puts what was counted before this start into the log; `events` are the newest, oldest first.
    pub fn recall(&self, events: &[UsageEvent]) {
        let entries =
            events.iter().map(|event| entry_of(event, state_of(event.status, event.error_code.as_deref())));
        self.log.recall(entries.collect());
    }

    /// A request has come that is not let in. It is in the log, but not counted: nothing of it has been read.
    pub fn refuse(&self, arrival: Arrival, refusal: Refusal, status: u16, error_code: Option<&str>) {
        let address = arrival.address;
        let event = UsageEvent { status, error_code: error_code.map(str::to_owned), ..event_of(arrival) };
        let entry = RequestEntry { address, ..entry_of(&event, RequestState::Failed) };
        self.log.refuse(RequestEntry { refusal: Some(refusal), ..entry });
    }

    /// A request has come.
    pub fn begin(&self, arrival: Arrival) -> Recording {
        let capture =
            self.log.captures(arrival.key.as_ref().map(|key| key.name.as_str())).then(Capture::default);
        let address = arrival.address;
        let state = State { event: event_of(arrival), address, ..State::default() };
        let inner =
            Inner { recorder: self.clone(), began: Instant::now(), capture, state: Mutex::new(state) };
        let recording = Recording(Arc::new(inner));
        recording.0.log(RequestState::Running);
        recording
    }
}

/// An event that begins now.
fn event_of(arrival: Arrival) -> UsageEvent {
    let user_agent = redact_within(&arrival.user_agent, MAX_NAME);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    let key = arrival.key.map(|key| (key.name.as_str().to_owned(), key.id));
    let (key, key_id) = key.unzip();
    UsageEvent {
        ts_ms: since.and_then(|since| since.as_millis().try_into().ok()).unwrap_or_default(),
        client: client::family(&user_agent).to_owned(),
        route: arrival.route,
        method: arrival.method,
        surface: arrival.surface.to_owned(),
        request_id: arrival.id,
        key: key.unwrap_or_default(),
        key_id,
        user_agent,
        ..UsageEvent::default()
    }
}

/// How a request with this end is listed.
fn state_of(status: u16, error_code: Option<&str>) -> RequestState {
    match status {
        CANCELLED => RequestState::Cancelled,
        _ if status >= 400 || error_code.is_some() => RequestState::Failed,
        _ => RequestState::Done,
    }
}

/// What the request log says of `event`.
fn entry_of(event: &UsageEvent, state: RequestState) -> RequestEntry {
    let over = state != RequestState::Running;
    let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    RequestEntry {
        id: event.request_id.clone(),
        at: event.ts_ms.try_into().unwrap_or_default(),
        method: event.method.clone(),
        route: event.route.clone(),
        surface: event.surface.clone(),
        key: given(&event.key),
        client: event.client.clone(),
        user_agent: event.user_agent.clone(),
        address: None,
        status: over.then_some(event.status),
        error_code: event.error_code.clone(),
        requested_model: given(&event.requested_model),
        effective_model: given(&event.effective_model),
        effort: event.effort.clone(),
        service_tier: event.service_tier.clone(),
        stream: event.stream,
        request_bytes: event.request_bytes,
        response_bytes: event.response_bytes,
        ttft_ms: event.ttft_ms,
        duration_ms: over.then_some(event.duration_ms),
        input_tokens: event.input_tokens,
        cached_tokens: event.cached_tokens,
        output_tokens: event.output_tokens,
        estimated: event.estimated,
        tool_calls: event.tool_calls.try_into().unwrap_or(u32::MAX),
        worker: event.worker.and_then(|worker| worker.try_into().ok()),
        state,
        has_capture: false,
        refusal: None,
    }
}

impl Recording {
    /// Where the request's texts go, if somebody wants them.
    pub fn capture(&self) -> Option<&Capture> {
        self.0.capture.as_ref()
    }

    /// The request's body has come.
    pub fn body(&self, bytes: &[u8]) {
        self.0.lock().event.request_bytes = bytes.len() as u64;
        if let Some(capture) = &self.0.capture {
            capture.request(bytes);
        }
    }

    /// The model was named, rightly or not.
    pub fn model(&self, requested: &str) {
        self.0.lock().event.requested_model = redact_within(requested, MAX_NAME);
    }

    /// The request has been understood.
    pub fn read(&self, reading: &Reading) {
        let event = &mut self.0.lock().event;
        event.requested_model = redact_within(&reading.requested_model, MAX_NAME);
        event.effective_model = redact_within(&reading.effective_model, MAX_NAME);
        event.effort = reading.effort.map(str::to_owned);
        event.service_tier = reading.service_tier.map(str::to_owned);
        event.stream = reading.stream;
    }

    /// More of the response's body goes out.
    pub fn answered(&self, bytes: &[u8]) {
        self.0.lock().event.response_bytes += bytes.len() as u64;
        if let Some(capture) = &self.0.capture {
            capture.response(bytes);
        }
    }

    /// The request is over, and this is how; only the first word counts. From here on it is not lost any more.
    pub fn finish(&self, status: u16, error_code: Option<&str>) {
        self.0.finish(status, error_code);
    }

    /// A turn of the request is about to start on a worker; its tokens count as those of `model`.
    pub(super) fn turn(&self, worker: usize, model: &str) -> TurnRecording {
        let mut state = self.0.lock();
        state.event.worker = Some(worker as u64);
        model.clone_into(&mut state.counted_as);
        state.turns.push(Tally::default());
        TurnRecording { recording: self.clone(), turn: state.turns.len() - 1 }
    }
}

/// The part of a recording that is about one turn.
#[derive(Debug, Clone)]
pub(super) struct TurnRecording {
    recording: Recording,
    turn: usize,
}

impl TurnRecording {
    /// The client is about to see this.
    pub(super) fn seen(&self, event: &TurnEvent) {
        let inner = &self.recording.0;
        match event {
            TurnEvent::TextDelta { .. }
            | TurnEvent::RefusalDelta { .. }
            | TurnEvent::SummaryDelta { .. }
            | TurnEvent::ReasoningTextDelta { .. } => inner.first_piece(),
            TurnEvent::ToolCall { .. } => {
                inner.first_piece();
                inner.lock().event.tool_calls += 1;
            }
            TurnEvent::Usage(usage) if usage.estimated => self.estimate(*usage),
            TurnEvent::Started
            | TurnEvent::MessageStarted { .. }
            | TurnEvent::Annotation { .. }
            | TurnEvent::MessageDone { .. }
            | TurnEvent::ReasoningStarted { .. }
            | TurnEvent::ReasoningDone { .. }
            | TurnEvent::WebSearchStarted { .. }
            | TurnEvent::WebSearchDone { .. }
            | TurnEvent::Retrying { .. }
            | TurnEvent::Withdrawn { .. }
            | TurnEvent::Usage(_)
            | TurnEvent::Finished(_)
            | TurnEvent::Failed(_) => {}
        }
    }

    /// What the turn has probably cost; it counts if the vendor says nothing.
    pub(super) fn estimate(&self, usage: Usage) {
        if let Some(tally) = self.recording.0.lock().turns.get_mut(self.turn) {
            tally.estimated = Some(usage);
        }
    }
}

impl Observer for TurnRecording {
    fn used(&self, usage: Usage) {
        if let Some(tally) = self.recording.0.lock().turns.get_mut(self.turn) {
            tally.counted = Some(usage);
        }
    }

    fn wants_lines(&self) -> bool {
        self.recording.0.capture.is_some()
    }

    fn sent(&self, line: &str) {
        if let Some(capture) = &self.recording.0.capture {
            capture.sent(line);
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn first_piece(&self) {
        let mut state = self.lock();
        if state.event.ttft_ms.is_none() {
            state.event.ttft_ms = Some(self.elapsed());
        }
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn finish(&self, status: u16, error_code: Option<&str>) {
        let event = {
            let mut state = self.lock();
            if std::mem::replace(&mut state.finished, true) {
                return;
            }
            state.add_up();
            state.event.status = status;
            state.event.error_code = error_code.map(str::to_owned);
            state.event.duration_ms = self.elapsed();
            state.count_tokens(&self.recorder.metrics);
            state.event.clone()
        };
        self.recorder.sink.record(event);
        self.log(state_of(status, error_code));
    }

    /// Notes in the request log what is known by now.
    fn log(&self, state: RequestState) {
        let mut entry = {
            let known = self.lock();
            RequestEntry { address: known.address, ..entry_of(&known.event, state) }
        };
        entry.has_capture = state != RequestState::Running && self.capture.is_some();
        let id = entry.id.clone();
        self.recorder.log.put(entry);
        if let Some(capture) = self.capture.as_ref().filter(|_| state != RequestState::Running) {
            self.recorder.log.keep(&id, capture.texts(|text| redact(text).into_owned()));
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.finish(CANCELLED, Some("client_closed_request"));
        // Nobody works on it any more, so nothing of it is left.
        if self.lock().event.request_bytes > heap::LARGE {
            heap::freed();
        }
    }
}

impl State {
    fn count_tokens(&self, metrics: &Metrics) {
        if self.turns.is_empty() {
            return;
        }
        for (kind, count) in [
            (Tokens::Input, self.event.input_tokens),
            (Tokens::Cached, self.event.cached_tokens),
            (Tokens::CacheWrite, self.event.cache_write_tokens),
            (Tokens::Output, self.event.output_tokens),
            (Tokens::Reasoning, self.event.reasoning_tokens),
        ] {
            metrics.tokens(kind, &self.counted_as, count);
        }
    }

    /// Puts the turns' tokens into the event.
    fn add_up(&mut self) {
        let event = &mut self.event;
        for tally in &self.turns {
            let Some(usage) = tally.counted.or(tally.estimated) else { continue };
            event.input_tokens += usage.input;
            event.cached_tokens += usage.cached;
            event.cache_write_tokens += usage.cache_write;
            event.output_tokens += usage.output;
            event.reasoning_tokens += usage.reasoning;
            event.estimated |= tally.counted.is_none();
        }
    }
}
