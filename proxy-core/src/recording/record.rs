//! What is known of one request.

use crate::secret::AdmittedKey;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::secret::redact::redact_within;
use crate::telemetry::request::About;
use protocol::turn::Usage;

/// Characters of a client's names that are kept.
const MAX_NAME: usize = 200;

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
    /// Where it came from. Only the request log has it: what is kept on disk does not say where a client was.
    pub address: Option<IpAddr>,
    /// The span of the request, in which log lines and traces name the model.
    pub about: Option<About>,
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

/// What is known of a request by now. Names of the client's are masked and short.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// When it came, in milliseconds since the epoch.
    pub(super) ts_ms: i64,
    pub(super) arrival: Arrival,
    pub(super) reading: Reading,
    pub(super) request_bytes: u64,
    pub(super) response_bytes: u64,
    /// From the request to the first piece of the answer.
    pub(super) first_piece: Option<Duration>,
    pub(super) tool_calls: u64,
    /// The worker of its last turn.
    pub(super) worker: Option<usize>,
    pub(super) turns: Vec<Tally>,
    /// The model in metrics: one of the catalogue, or "other".
    pub(super) counted_as: String,
    /// `None` while it runs.
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
    /// From the request to its end.
    pub(super) took: Duration,
}

impl Record {
    /// A request that comes now.
    pub(super) fn new(mut arrival: Arrival) -> Self {
        arrival.user_agent = redact_within(&arrival.user_agent, MAX_NAME);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).ok();
        let ts_ms = since.and_then(|since| since.as_millis().try_into().ok()).unwrap_or_default();
        Self { ts_ms, arrival, ..Self::default() }
    }

    /// The model was named.
    pub(super) fn name(&mut self, requested: &str) {
        self.reading.requested_model = redact_within(requested, MAX_NAME);
    }

    /// The request has been read.
    pub(super) fn understand(&mut self, mut reading: Reading) {
        // It is let go of here: a worker may hold this record for longer than the request lasts, and its span is not to
        // last longer.
        if let Some(about) = self.arrival.about.take() {
            about.model(&reading.effective_model);
        }
        for name in [&mut reading.requested_model, &mut reading.effective_model] {
            *name = redact_within(name, MAX_NAME);
        }
        self.reading = reading;
    }

    /// A turn begins, whose tokens count as those of `model`. Returns its number.
    pub(super) fn begin_turn(&mut self, worker: usize, model: &str) -> usize {
        self.worker = Some(worker);
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
