//! The result of a proof.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cases::{Case, Kind};
use super::compare::{self, Comparison, PROTOCOL, Piece};
use super::connections::{self, Connection};
use super::mirror::{Asked, Recording};
use crate::codex_install::proofs::{Subject, Verdict};
use protocol::openai::error::RequestError;
use protocol::turn::TurnError;

/// The result of a proof of one Codex.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The Codex, and its switches.
    #[serde(flatten)]
    pub subject: Subject,
    /// When the proof was made, in seconds since the epoch.
    pub proved_at: u64,
    /// How long the proof took.
    pub took_ms: u64,
    /// The verdict.
    pub verdict: Verdict,
    /// The findings in a few words; empty if there are none.
    pub reasons: String,
    /// The findings, each once.
    pub findings: Vec<Finding>,
    /// The models that were used.
    pub models: u64,
    /// Bytes of the client's own transcripts that reached a model.
    pub word_bytes: u64,
    /// Bytes of the client's own tools that reached a model.
    pub tool_bytes: u64,
    /// Bytes that are not the client's.
    pub foreign_bytes: u64,
    /// The parts of the protocol around them.
    pub protocol: Vec<Part>,
    /// The connections that Codex has tried.
    pub connections: Vec<Connection>,
    /// One request in full: the client's, and the one that arrived.
    pub example: Option<Example>,
    /// Every request.
    pub cases: Vec<CaseReport>,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The kind of finding.
    pub kind: FindingKind,
    /// A description of it.
    pub what: String,
    /// Its length in bytes, in the first request with it.
    pub bytes: u64,
    /// The number of requests with it.
    pub requests: u64,
    /// The piece itself, or the error's text; long ones are cut.
    pub example: String,
}

/// The kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingKind {
    /// A piece that the client did not send.
    Added,
    /// A piece that the client sent and that did not arrive.
    Lost,
    /// A piece that arrived in another form than the client sent.
    Changed,
    /// An unknown connection.
    Connection,
    /// A request that was not answered.
    Failed,
}

/// A part of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The part's name.
    pub name: String,
    /// The part's purpose.
    pub reason: String,
    /// Bytes of it in all requests.
    pub bytes: u64,
}

/// One request in full, as an example.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// The client's request.
    pub said: Value,
    /// The arrived request.
    pub arrived: Value,
}

/// The summary of one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseReport {
    /// The model that it named.
    pub model: String,
    /// The feature that it checked.
    pub kind: Kind,
    /// Bytes of the client's own transcript.
    pub word_bytes: u64,
    /// Bytes of the client's own tools.
    pub tool_bytes: u64,
    /// Bytes that are not the client's.
    pub foreign_bytes: u64,
}

/// How a request ended.
pub(super) type Outcome = Result<(), Failed>;

/// Why a request of a proof failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// It could not become a turn.
    #[error("{}", .0.message)]
    Request(RequestError),
    /// Its turn failed.
    #[error("{}", .0.message)]
    Turn(TurnError),
    /// It took longer than this.
    #[error("there was no answer within {} s", .0.as_secs())]
    TooSlow(Duration),
}

/// The longest piece that is kept unchanged, in bytes.
const MAX_EXAMPLE: usize = 2000;

/// Makes the report from the record of these requests.
pub(super) fn report(subject: Subject, asked: &[(Case, Outcome)], recording: &Recording) -> Report {
    let mut findings = Findings::default();
    let mut total = Comparison::default();
    let mut cases = Vec::new();
    let mut claimed = vec![false; recording.asked.len()];
    let mut example = None;
    for (case, outcome) in asked {
        let arrived = of_case(case, &recording.asked, &mut claimed);
        let whole = arrived.iter().rev().find(|asked| !asked.is_warm_up);
        let mut seen = CaseReport {
            model: case.model().to_owned(),
            kind: case.kind,
            word_bytes: 0,
            tool_bytes: 0,
            foreign_bytes: 0,
        };
        for one in &arrived {
            let comparison = compare::compare(&case.sent(), &one.body);
            findings.add(FindingKind::Added, &comparison.foreign);
            if whole.is_some_and(|whole| std::ptr::eq(*whole, *one)) {
                findings.add(FindingKind::Lost, &comparison.lost);
                findings.add(FindingKind::Changed, &comparison.changed);
                (seen.word_bytes, seen.tool_bytes) = (comparison.words, comparison.tools);
            }
            seen.foreign_bytes += comparison.foreign.iter().map(Piece::bytes).sum::<u64>();
            for (name, bytes) in comparison.protocol {
                *total.protocol.entry(name).or_default() += bytes;
            }
        }
        match (outcome, whole) {
            (Err(reason), _) => findings.failed(case, &reason.to_string()),
            (Ok(()), None) => findings.failed(case, "it did not reach the model"),
            (Ok(()), Some(whole)) if case.kind == Kind::Tools && example.is_none() => {
                example = Some(Example { said: case.body.clone(), arrived: whole.body.clone() });
            }
            (Ok(()), Some(_)) => {}
        }
        cases.push(seen);
    }
    let stray = recording.asked.iter().zip(&claimed).filter(|(_, claimed)| !**claimed);
    let stray: Vec<_> = stray
        .map(|(asked, _)| Piece { what: "a request that nobody made".into(), json: asked.body.to_string() })
        .collect();
    findings.add(FindingKind::Added, &stray);
    let connections = connections::explain(&recording.reached);
    findings.connections(&connections);
    let sum = |of: fn(&CaseReport) -> u64| cases.iter().map(of).sum::<u64>();
    let mut models: Vec<_> = cases.iter().map(|case| case.model.as_str()).collect();
    models.dedup();
    Report {
        subject,
        proved_at: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        took_ms: 0,
        verdict: findings.verdict(),
        reasons: findings.reasons(),
        findings: findings.list,
        models: models.len() as u64,
        word_bytes: sum(|case| case.word_bytes),
        tool_bytes: sum(|case| case.tool_bytes),
        foreign_bytes: sum(|case| case.foreign_bytes) + stray.iter().map(Piece::bytes).sum::<u64>(),
        protocol: parts(&total.protocol),
        connections,
        example,
        cases,
    }
}

/// The requests that belong to a case: those that contain its text, and those that prepared their threads.
fn of_case<'a>(case: &Case, asked: &'a [Asked], claimed: &mut [bool]) -> Vec<&'a Asked> {
    let holds = |asked: &Asked| asked.body["input"].to_string().contains(&case.marker);
    let thread = |asked: &Asked| asked.body["prompt_cache_key"].as_str().map(str::to_owned);
    let threads: Vec<_> = asked.iter().filter(|asked| holds(asked)).filter_map(thread).collect();
    let belongs = |asked: &Asked| {
        holds(asked) || (asked.is_warm_up && thread(asked).is_some_and(|thread| threads.contains(&thread)))
    };
    let mut found = Vec::new();
    for (one, claimed) in asked.iter().zip(claimed) {
        if belongs(one) {
            *claimed = true;
            found.push(one);
        }
    }
    found
}

fn parts(bytes: &BTreeMap<&'static str, u64>) -> Vec<Part> {
    let used = PROTOCOL.iter().filter_map(|(name, reason)| Some((name, reason, *bytes.get(name)?)));
    used.map(|(name, reason, bytes)| Part { name: (*name).to_owned(), reason: (*reason).to_owned(), bytes })
        .collect()
}

#[derive(Debug, Default)]
struct Findings {
    list: Vec<Finding>,
}

impl Findings {
    /// Adds the pieces of one request.
    fn add(&mut self, kind: FindingKind, pieces: &[Piece]) {
        for piece in pieces {
            self.note(kind, &piece.what, piece.bytes(), &piece.json);
        }
    }

    fn failed(&mut self, case: &Case, reason: &str) {
        let what = format!("a request ({:?}) to {}", case.kind, case.model()).to_lowercase();
        self.note(FindingKind::Failed, &what, 0, reason);
    }

    fn connections(&mut self, connections: &[Connection]) {
        for connection in connections.iter().filter(|connection| connection.reason.is_none()) {
            let what = format!("{} {}", connection.method, connection.target);
            self.note(FindingKind::Connection, &what, connection.bytes, "");
        }
    }

    fn note(&mut self, kind: FindingKind, what: &str, bytes: u64, example: &str) {
        if let Some(known) = self.list.iter_mut().find(|known| known.kind == kind && known.what == what) {
            known.requests += 1;
            return;
        }
        let mut end = example.len().min(MAX_EXAMPLE);
        while !example.is_char_boundary(end) {
            end -= 1;
        }
        let example = example.get(..end).unwrap_or_default().to_owned();
        self.list.push(Finding { kind, what: what.to_owned(), bytes, requests: 1, example });
        self.list.sort_by_key(|finding| finding.kind);
    }

    fn reasons(&self) -> String {
        const SHOWN: usize = 3;
        let mut words: Vec<_> = self.list.iter().take(SHOWN).map(Finding::words).collect();
        if self.list.len() > SHOWN {
            words.push(format!("and {} more", self.list.len() - SHOWN));
        }
        words.join("; ")
    }

    fn verdict(&self) -> Verdict {
        if self.list.is_empty() {
            Verdict::Pure
        } else if self.list.iter().all(|finding| finding.kind == FindingKind::Failed) {
            Verdict::Unproved
        } else {
            Verdict::Impure
        }
    }
}

impl Finding {
    /// The finding as a part of a sentence: its description and size.
    pub fn words(&self) -> String {
        let Self { what, bytes, .. } = self;
        match self.kind {
            FindingKind::Added => format!("it adds {what} ({bytes} bytes)"),
            FindingKind::Lost => format!("it leaves out {what}"),
            FindingKind::Changed => format!("it changes {what}"),
            FindingKind::Connection => format!("it reaches for {what}"),
            FindingKind::Failed => format!("{what} failed: {}", self.example),
        }
    }
}

#[cfg(test)]
mod tests;
