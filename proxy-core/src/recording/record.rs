//! The facts about one request.

use crate::secret::AdmittedKey;
use crate::threads::ThreadSource;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::secret::redact::redact_within;
use crate::telemetry::request::About;
use protocol::turn::Usage;

/// The most characters that are kept of a name from the client.
const MAX_NAME: usize = 200;

/// The facts about a request when it arrives.
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
    /// The key of the request; `None` if it had no valid key.
    pub key: Option<AdmittedKey>,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// The client's address. Only the request log in memory has it: stored events do not contain where a client
    /// was.
    pub address: Option<IpAddr>,
    /// The span of the request, through which log lines and traces contain the model.
    pub about: Option<About>,
}

/// The facts about a request after it has been read.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// The model as the client wrote it.
    pub requested_model: String,
    /// The model that is used.
    pub effective_model: String,
    /// The requested effort.
    pub effort: Option<&'static str>,
    /// The requested service tier; `None` for the account's default.
    pub service_tier: Option<&'static str>,
    /// Whether the answer is streamed.
    pub stream: bool,
}

/// The present facts about a request. The client's names are masked and shortened.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// When it arrived, in milliseconds since the epoch.
    pub(super) ts_ms: i64,
    pub(super) arrival: Arrival,
    pub(super) reading: Reading,
    pub(super) request_bytes: u64,
    pub(super) response_bytes: u64,
    /// The time from the request to the first piece of the answer.
    pub(super) first_piece: Option<Duration>,
    pub(super) tool_calls: u64,
    /// The worker of its last turn.
    pub(super) worker: Option<usize>,
    /// Where the thread of the first turn comes from.
    pub(super) source: Option<ThreadSource>,
    pub(super) turns: Vec<Tally>,
    /// The tokens of the prompt as the proxy has counted them.
    pub(super) expected_input: Option<u64>,
    /// The model in metrics: one of the catalogue, or "other".
    pub(super) counted_as: String,
    /// `None` while the request runs.
    pub(super) end: Option<End>,
}

/// The tokens of one turn.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tally {
    pub(super) counted: Option<Usage>,
    pub(super) estimated: Option<Usage>,
}

/// How a request ended.
#[derive(Debug)]
pub(super) struct End {
    pub(super) status: u16,
    pub(super) error_code: Option<String>,
    /// The time from the request to its end.
    pub(super) took: Duration,
}

impl Record {
    /// The record of a request that arrives now.
    pub(super) fn new(mut arrival: Arrival) -> Self {
        arrival.user_agent = redact_within(&arrival.user_agent, MAX_NAME);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).ok();
        let ts_ms = since.and_then(|since| since.as_millis().try_into().ok()).unwrap_or_default();
        Self { ts_ms, arrival, ..Self::default() }
    }

    /// The request has named a model.
    pub(super) fn name(&mut self, requested: &str) {
        self.reading.requested_model = redact_within(requested, MAX_NAME);
    }

    /// The request has been read.
    pub(super) fn understand(&mut self, mut reading: Reading) {
        // The span is released here, because a worker may hold this record for longer than the request lasts, and
        // the span must end with the request.
        if let Some(about) = self.arrival.about.take() {
            about.model(&reading.effective_model);
        }
        for name in [&mut reading.requested_model, &mut reading.effective_model] {
            *name = redact_within(name, MAX_NAME);
        }
        self.reading = reading;
    }

    /// A turn begins. Its tokens count as those of `model`. Returns its number.
    pub(super) fn begin_turn(&mut self, worker: usize, model: &str, source: ThreadSource) -> usize {
        self.worker = Some(worker);
        self.source.get_or_insert(source);
        model.clone_into(&mut self.counted_as);
        self.turns.push(Tally::default());
        self.turns.len() - 1
    }
}

impl End {
    pub(super) fn new(status: u16, error_code: Option<&str>, took: Duration) -> Self {
        Self { status, error_code: error_code.map(str::to_owned), took }
    }
}
