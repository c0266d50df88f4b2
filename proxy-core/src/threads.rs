//! Which thread a request continues: the threads that have ended a turn and are kept for the next one, those whose turn
//! waits for the outputs of its calls, and those that were started ahead.
//!
//! A thread fits a request of the same key and spec whose transcript begins with everything that the thread has. It is
//! taken out when it is given to a request, so that no two run on it. What is kept is bounded in number and in time; the
//! one that was used least recently goes first.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use protocol::turn::lineage::{History, Lineage};
use protocol::turn::{Item, ToolKind};

/// How long a turn waits for the outputs of its calls, at most.
const PARKED: Duration = Duration::from_secs(15 * 60);

/// Limits of what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Threads at once; 0 keeps none.
    pub threads: usize,
    /// How long a thread waits for its next turn.
    pub idle: Duration,
    /// Threads at once, of those, that are started ahead.
    pub warm: usize,
}

/// The threads that wait for their next turn. `H` holds one, and closes it when dropped.
#[derive(Debug)]
pub struct Threads<H> {
    limits: Limits,
    /// The one that was used last comes last.
    kept: VecDeque<Kept<H>>,
}

/// Whose a thread is, and of what kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// The id of the API key.
    pub owner: String,
    /// The hash of its spec.
    pub spec: u64,
}

/// A thread that waits.
#[derive(Debug)]
pub struct Kept<H> {
    /// Whose it is, and of what kind.
    pub kind: Kind,
    /// What it has; nothing if it was started ahead.
    pub lineage: Lineage,
    /// The ids of the calls whose outputs its turn waits for.
    pub calls: Vec<String>,
    /// When it began to wait.
    pub since: Instant,
    /// The thread.
    pub handle: H,
}

/// How a turn got its thread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThreadSource {
    /// It is a new one.
    #[default]
    Fresh,
    /// It was started ahead.
    Warm,
    /// It has run earlier turns of the same chat.
    Reused,
    /// Its turn has waited for the outputs that the request brings.
    Parked,
}

impl ThreadSource {
    /// Every source.
    pub const ALL: &[Self] = &[Self::Fresh, Self::Warm, Self::Reused, Self::Parked];

    /// The name in headers, metrics and usage.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Warm => "warm",
            Self::Reused => "reused",
            Self::Parked => "parked",
        }
    }

    /// The source with this name; an unknown name is a fresh thread.
    pub fn of(name: &str) -> Self {
        Self::ALL.iter().copied().find(|source| source.as_str() == name).unwrap_or_default()
    }
}

/// A thread for a request.
#[derive(Debug, PartialEq, Eq)]
pub struct Found<H> {
    /// The thread.
    pub handle: H,
    /// What it has.
    pub lineage: Lineage,
    /// How many items of the request it has: the rest is new to it.
    pub known: usize,
    /// What kind of wait has ended.
    pub source: ThreadSource,
}

impl<H> Kept<H> {
    fn source(&self) -> ThreadSource {
        if !self.calls.is_empty() {
            ThreadSource::Parked
        } else if self.lineage.is_empty() {
            ThreadSource::Warm
        } else {
            ThreadSource::Reused
        }
    }

    /// Whether the thread can go on with these items.
    fn takes(&self, new: &[Item]) -> bool {
        match self.source() {
            ThreadSource::Parked => answers(&self.calls, new),
            ThreadSource::Warm => true,
            ThreadSource::Fresh | ThreadSource::Reused => !new.is_empty(),
        }
    }

    fn ends_at(&self, limits: &Limits) -> Instant {
        self.since + if self.calls.is_empty() { limits.idle } else { limits.idle.min(PARKED) }
    }
}

/// Whether the items are the outputs of exactly these calls, in their order, and Codex can be given them as they are.
fn answers(calls: &[String], items: &[Item]) -> bool {
    calls.len() == items.len()
        && calls.iter().zip(items).all(|(call, item)| match item {
            Item::ToolOutput { kind: ToolKind::Function, call_id, output } => {
                call == call_id && output.can_answer()
            }
            Item::ToolOutput { kind: ToolKind::Custom, .. }
            | Item::Message { .. }
            | Item::Reasoning { .. }
            | Item::ToolCall { .. }
            | Item::Raw(_) => false,
        })
}

impl<H> Threads<H> {
    /// None yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, kept: VecDeque::new() }
    }

    /// Keeps a thread. Returns those that have to go for it.
    #[must_use = "dropping a handle closes its thread"]
    pub fn keep(&mut self, thread: Kept<H>) -> Vec<H> {
        let is_warm = |kept: &Kept<H>| kept.source() == ThreadSource::Warm;
        let over = usize::from(is_warm(&thread))
            * (self.kept.iter().filter(|kept| is_warm(kept)).count() + 1).saturating_sub(self.limits.warm);
        self.kept.push_back(thread);
        let mut gone = Vec::new();
        for _ in 0..over {
            let first = self.kept.iter().position(is_warm).and_then(|at| self.kept.remove(at));
            gone.extend(first.map(|kept| kept.handle));
        }
        let over = self.kept.len().saturating_sub(self.limits.threads);
        gone.extend(self.kept.drain(..over).map(|kept| kept.handle));
        gone
    }

    /// Whether a thread of this kind was started ahead.
    pub fn is_warm(&self, kind: &Kind) -> bool {
        self.kept.iter().any(|kept| kept.kind == *kind && kept.source() == ThreadSource::Warm)
    }

    /// Takes the thread that has most of the transcript, of those that are `alive`. `items` is what `history` is of.
    pub fn take(
        &mut self,
        kind: &Kind,
        history: &mut History<'_>,
        items: &[Item],
        alive: impl Fn(&H) -> bool,
    ) -> Option<Found<H>> {
        let mut best: Option<(usize, usize)> = None;
        // From the newest: of two that have the same, it is the one that its upstream remembers better.
        for (at, kept) in self.kept.iter().enumerate().rev() {
            if kept.kind != *kind || !alive(&kept.handle) {
                continue;
            }
            let Some(known) = history.continues(&kept.lineage) else { continue };
            if kept.takes(&items[known..]) && best.is_none_or(|(_, most)| known > most) {
                best = Some((at, known));
            }
        }
        let (at, known) = best?;
        let kept = self.kept.remove(at)?;
        let source = kept.source();
        Some(Found { handle: kept.handle, lineage: kept.lineage, known, source })
    }

    /// Takes those out that have waited too long, and those that are to `go`.
    #[must_use = "dropping a handle closes its thread"]
    pub fn sweep(&mut self, now: Instant, go: impl Fn(&Kind, &H) -> bool) -> Vec<H> {
        let limits = self.limits;
        let (gone, kept) = std::mem::take(&mut self.kept)
            .into_iter()
            .partition::<VecDeque<_>, _>(|kept| now >= kept.ends_at(&limits) || go(&kept.kind, &kept.handle));
        self.kept = kept;
        gone.into_iter().map(|kept| kept.handle).collect()
    }

    /// When the first of them will have waited too long.
    pub fn next_sweep(&self) -> Option<Instant> {
        self.kept.iter().map(|kept| kept.ends_at(&self.limits)).min()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

#[cfg(test)]
mod tests;
