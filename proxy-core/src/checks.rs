//! Checks a deployed proxy from outside, as a client sees it: a list of named checks, each with a precise
//! message about the problem.

mod client;
mod live;
mod smoke;
mod stream;

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;

use crate::secret::redact::redact_within;
pub use client::{Target, TargetError};
pub use live::LIVE;
pub use smoke::SMOKE;

/// One check of a deployment.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// The name of the check, for people and programs.
    pub name: &'static str,
    /// Whether the check needs a key.
    pub keyed: bool,
    /// Makes the check.
    ask: for<'a> fn(&'a Target) -> BoxFuture<'a, Result<String, Problem>>,
}

/// A problem, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    what: String,
    next: &'static str,
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The deployment: `origin` or `edge`, or the address.
    pub place: String,
    /// The name of the check, such as `model_ids`.
    pub check: &'static str,
    /// Whether the check passed.
    pub status: Verdict,
    /// The observation or the problem.
    pub detail: String,
    /// The next step for the person.
    pub advice: Option<String>,
    /// The duration in milliseconds.
    pub ms: u64,
}

/// Whether a check passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It passed.
    Ok,
    /// It failed.
    Failed,
    /// It was not made.
    Skipped,
}

/// The maximum duration of one check: a model may think for some time.
const LIMIT: Duration = Duration::from_secs(180);

impl Check {
    /// Makes the check.
    pub async fn run(&self, target: &Target) -> Finding {
        let began = Instant::now();
        let found = if self.keyed && !target.has_key() {
            None
        } else {
            let late = || Err(Problem::new("there was no answer within 180 seconds", LOOK));
            Some(tokio::time::timeout(LIMIT, (self.ask)(target)).await.unwrap_or_else(|_| late()))
        };
        let (status, detail, advice) = match found {
            None => (
                Verdict::Skipped,
                "there is no API key to use".to_owned(),
                Some("Give a key with --key-file.".to_owned()),
            ),
            Some(Ok(detail)) => (Verdict::Ok, detail, None),
            Some(Err(Problem { what, next })) => (Verdict::Failed, what, Some(next.to_owned())),
        };
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Finding { place: target.name.clone(), check: self.name, status, detail, advice, ms }
    }
}

/// The general advice, if there is no better one.
const LOOK: &str =
    "Look at the proxy's log (`codex-proxy logs`), and at the log of the reverse proxy, if there is one.";

impl Problem {
    fn new(what: impl Into<String>, next: &'static str) -> Self {
        Self { what: what.into(), next }
    }
}

/// Returns a problem unless the condition is true.
fn ensure(condition: bool, what: impl FnOnce() -> String, next: &'static str) -> Result<(), Problem> {
    if condition { Ok(()) } else { Err(Problem::new(what(), next)) }
}

/// A part of an answer for a message. It is redacted before it is shortened.
fn cut(text: &str) -> String {
    redact_within(text, 200).escape_debug().to_string()
}

/// The text of a value, which has to be a non-empty string.
fn text_of(value: &Value, what: &str) -> Result<String, Problem> {
    let text = value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    text.ok_or_else(|| Problem::new(format!("{what} is missing or empty: {}", cut(&value.to_string())), LOOK))
}
