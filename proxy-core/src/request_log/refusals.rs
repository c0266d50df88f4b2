//! Refused requests. Any program on this machine can make any number of them, so only a few are kept, and
//! similar ones within a short time are counted as one.

use serde::{Deserialize, Serialize};

use super::{RequestEntry, RequestLog, Ring};

/// The time in milliseconds after the first within which similar requests of a program count as one.
const TOGETHER_MS: u64 = 10_000;

/// The maximum number of refused requests in the log, so that they do not displace others.
const KEPT: usize = 30;

/// The maximum number of new entries within [`TOGETHER_MS`]; further requests are counted with the newest one.
const AT_ONCE: usize = 10;

/// Why a request was not let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Refusal {
    /// What was wrong.
    pub reason: RefusalReason,
    /// The host or the origin that is not allowed.
    pub named: Option<String>,
    /// How many requests like it came, this one included.
    pub count: u32,
}

/// What was wrong with a request that was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum RefusalReason {
    /// It showed no key.
    NoKey,
    /// It showed a key that is none of the proxy's, or that is disabled.
    WrongKey,
    /// It came for a host name that is not this proxy's.
    Host,
    /// A web page made it that may not.
    Origin,
    /// It asked for an address that is not there: a base URL may be wrong.
    UnknownRoute,
}

impl RequestLog {
    /// Adds a refused request. `entry` contains the reason.
    pub fn refuse(&self, entry: RequestEntry) {
        {
            let mut ring = self.lock();
            if ring.counts_with_another(&entry) {
                return;
            }
            ring.forget_a_refusal();
        }
        self.put(entry);
    }
}

impl Ring {
    /// Counts `entry` with an earlier similar request. Returns false if there is none.
    fn counts_with_another(&mut self, entry: &RequestEntry) -> bool {
        let recent = |known: &RequestEntry| known.at.abs_diff(entry.at) < TOGETHER_MS;
        let reason = |known: &RequestEntry| known.refusal.as_ref().map(|refusal| refusal.reason);
        let alike = |known: &RequestEntry| {
            known.user_agent == entry.user_agent
                && known.route == entry.route
                && reason(known) == reason(entry)
        };
        let mut newest_first =
            self.entries.iter_mut().rev().map(|(known, _)| known).filter(|known| known.refusal.is_some());
        let mut crowd: Vec<&mut RequestEntry> = newest_first.by_ref().filter(|known| recent(known)).collect();
        let is_crowded = crowd.len() >= AT_ONCE;
        let place = crowd.iter().position(|known| alike(known)).or(is_crowded.then_some(0));
        let Some(refusal) = place.and_then(|at| crowd[at].refusal.as_mut()) else { return false };
        refusal.count = refusal.count.saturating_add(1);
        true
    }

    /// Removes the oldest refused request if the maximum is reached.
    fn forget_a_refusal(&mut self) {
        let mut refused = self.entries.iter().enumerate().filter(|(_, (entry, _))| entry.refusal.is_some());
        let (oldest, count) = (refused.next(), refused.count() + 1);
        if let Some((at, _)) = oldest
            && count >= KEPT
        {
            self.entries.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::entry;
    use super::*;
    use crate::request_log::Config;

    fn refused(id: &str, at: u64, user_agent: &str) -> RequestEntry {
        let refusal = Some(Refusal { reason: RefusalReason::WrongKey, named: None, count: 1 });
        RequestEntry { at, user_agent: user_agent.to_owned(), refusal, ..entry(id) }
    }

    fn counts(log: &RequestLog) -> Vec<(String, u32)> {
        let refusals = log.list(1000, None).into_iter();
        refusals.filter_map(|entry| Some((entry.id, entry.refusal?.count))).collect()
    }

    #[test]
    fn a_client_that_tries_again_and_again_is_listed_once_in_ten_seconds() {
        let log = RequestLog::new(Config { kept: 500 });
        for at in 0..200 {
            log.refuse(refused(&format!("z{at}"), 100 * at, "zed"));
        }
        assert_eq!(counts(&log), [("z100".to_owned(), 100), ("z0".to_owned(), 100)]);
    }

    #[test]
    fn made_up_names_neither_fill_the_log_nor_push_others_out() {
        let log = RequestLog::new(Config { kept: 100 });
        log.put(entry("answered"));
        for n in 0..10_000 {
            log.refuse(refused(&format!("r{n}"), n, &format!("agent {n}")));
        }
        let told = counts(&log);
        assert_eq!(told.iter().map(|(_, count)| count).sum::<u32>(), 10_000);
        assert_eq!(told.len(), AT_ONCE);
        for n in 0..1000 {
            log.refuse(refused(&format!("s{n}"), 20_000 + n * TOGETHER_MS, "zed"));
        }
        assert_eq!(counts(&log).len(), KEPT);
        assert!(log.get("answered").is_some());
    }
}
