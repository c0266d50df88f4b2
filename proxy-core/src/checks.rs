//! Checks of a deployed proxy from outside, as a client meets it: a list of named questions, each with a precise answer to
//! what is wrong.

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

/// A question about a deployment.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// Its name, for people and programs.
    pub name: &'static str,
    /// Whether it needs a key.
    pub keyed: bool,
    /// Asks it.
    ask: for<'a> fn(&'a Target) -> BoxFuture<'a, Result<String, Problem>>,
}

/// What is wrong, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    what: String,
    next: &'static str,
}

/// What a check has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was asked: `origin` or `edge`, or the address.
    pub place: String,
    /// The name of the check, such as `model_ids`.
    pub check: &'static str,
    /// How it went.
    pub status: Verdict,
    /// What was seen, or what is wrong.
    pub detail: String,
    /// What to do.
    pub advice: Option<String>,
    /// How long it took.
    pub ms: u64,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should.
    Ok,
    /// Not as it should.
    Failed,
    /// It was not made.
    Skipped,
}

/// The longest that one check may take: a model may think.
const LIMIT: Duration = Duration::from_secs(180);

impl Check {
    /// Makes it.
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

/// What to do where nothing better is known.
const LOOK: &str =
    "Look at the proxy's log (`codex-proxy logs`), and at the log of the reverse proxy, if there is one.";

impl Problem {
    fn new(what: impl Into<String>, next: &'static str) -> Self {
        Self { what: what.into(), next }
    }
}

/// That something is as it should be.
fn ensure(condition: bool, what: impl FnOnce() -> String, next: &'static str) -> Result<(), Problem> {
    if condition { Ok(()) } else { Err(Problem::new(what(), next)) }
}

/// A part of an answer, for a message. What may be a secret is masked before it is cut.
fn cut(text: &str) -> String {
    redact_within(text, 200).escape_debug().to_string()
}

/// A value that has to be a text with something in it.
fn text_of(value: &Value, what: &str) -> Result<String, Problem> {
    let text = value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    text.ok_or_else(|| Problem::new(format!("{what} is missing or empty: {}", cut(&value.to_string())), LOOK))
}
