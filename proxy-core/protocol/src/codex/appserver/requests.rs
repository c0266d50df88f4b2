//! Requests of the proxy that Codex has not answered, and those that are not sent yet.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use super::Purpose;
use crate::codex::jsonrpc::{self, RpcError};
use crate::codex::{Line, Step};

/// The most unanswered requests at Codex at one time. Its queue holds 128, and it refuses the next request with
/// [`jsonrpc::OVERLOADED`] (seen with 0.169.0 and 0.171.0).
const AT_ONCE: usize = 64;

#[derive(Debug)]
pub(super) struct Requests {
    next: u64,
    unanswered: BTreeMap<u64, Asked>,
    /// Requests that are not sent yet, or that Codex has refused for now.
    held: VecDeque<u64>,
    /// Whether Codex has refused a request and has not answered another one since.
    refused: bool,
}

#[derive(Debug)]
struct Asked {
    purpose: Purpose,
    line: Line,
}

impl Default for Requests {
    fn default() -> Self {
        Self { next: 1, unanswered: BTreeMap::new(), held: VecDeque::new(), refused: false }
    }
}

impl Requests {
    /// Makes a request; it is sent when Codex has room for it.
    pub(super) fn make(
        &mut self,
        method: &str,
        params: &impl Serialize,
        purpose: Purpose,
        out: &mut Vec<Step>,
    ) {
        // No line is longer than `usize::MAX`.
        let _ = self.make_within(usize::MAX, method, params, purpose, out);
    }

    /// The same for a request of at most `most` bytes.
    ///
    /// # Errors
    /// The number of bytes, if the request is longer. The request is then not made.
    pub(super) fn make_within(
        &mut self,
        most: usize,
        method: &str,
        params: &impl Serialize,
        purpose: Purpose,
        out: &mut Vec<Step>,
    ) -> Result<(), usize> {
        let id = self.next;
        let line = jsonrpc::request(id, method, params);
        if line.len() > most {
            return Err(line.len());
        }
        self.next += 1;
        self.unanswered.insert(id, Asked { purpose, line: line.into() });
        self.held.push_back(id);
        self.send(out);
        Ok(())
    }

    /// The answered request, and its purpose. A request that Codex refused for lack of room is not answered: it is sent
    /// again.
    pub(super) fn answered<T>(
        &mut self,
        id: u64,
        result: &Result<T, RpcError>,
        out: &mut Vec<Step>,
    ) -> Option<(Purpose, Line)> {
        if !self.unanswered.contains_key(&id) || self.held.contains(&id) {
            tracing::debug!(id, "codex answered a request that was not waiting");
            return None;
        }
        if result.as_ref().is_err_and(|error| error.code == jsonrpc::OVERLOADED) {
            self.refused = true;
            self.held.push_front(id);
            if self.held.len() == self.unanswered.len() {
                out.push(Step::Pause);
            }
            return None;
        }
        let asked = self.unanswered.remove(&id);
        self.go_on(out);
        asked.map(|asked| (asked.purpose, asked.line))
    }

    /// Sends held requests as long as there is room.
    pub(super) fn go_on(&mut self, out: &mut Vec<Step>) {
        self.refused = false;
        self.send(out);
    }

    fn send(&mut self, out: &mut Vec<Step>) {
        while !self.refused && self.unanswered.len() - self.held.len() < AT_ONCE {
            let Some(id) = self.held.pop_front() else { return };
            let Some(Asked { purpose, line }) = self.unanswered.get(&id) else { continue };
            out.push(match purpose.turn() {
                Some(key) => Step::SendFor(key, line.clone()),
                None => Step::Send(line.clone()),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    struct Bench {
        requests: Requests,
        out: Vec<Step>,
    }

    impl Bench {
        fn new(requests: usize) -> Self {
            let mut bench = Self { requests: Requests::default(), out: Vec::new() };
            for _ in 0..requests {
                bench.requests.make("m", &json!({}), Purpose::Farewell, &mut bench.out);
            }
            bench
        }

        fn answer(&mut self, id: u64) -> Option<Purpose> {
            self.requests.answered(id, &Ok(()), &mut self.out).map(|(purpose, _)| purpose)
        }

        fn refuse(&mut self, id: u64) {
            let full =
                RpcError { code: jsonrpc::OVERLOADED, message: "Server overloaded; retry later.".into() };
            assert!(self.requests.answered::<()>(id, &Err(full), &mut self.out).is_none());
        }

        /// The ids of the requests sent since the last call; 0 stands for a pause.
        fn sent(&mut self) -> Vec<u64> {
            let id = |step: Step| {
                let Step::Send(line) = step else { return u64::from(step != Step::Pause) };
                serde_json::from_str::<Value>(&line).unwrap()["id"].as_u64().unwrap()
            };
            self.out.drain(..).map(id).collect()
        }
    }

    #[test]
    fn a_request_is_answered_once() {
        let mut bench = Bench::new(1);
        assert_eq!(bench.sent(), [1]);
        assert!(matches!(bench.answer(1), Some(Purpose::Farewell)));
        assert!(bench.answer(1).is_none());
        assert!(bench.answer(7).is_none());
    }

    #[test]
    fn one_that_is_too_long_is_not_made() {
        let mut bench = Bench::new(0);
        let mut make = |most| {
            let (requests, out) = (&mut bench.requests, &mut bench.out);
            requests.make_within(most, "m", &json!({"x": 1}), Purpose::Farewell, out)
        };
        assert_eq!((make(37), make(38)), (Err(38), Ok(())));
        assert_eq!(bench.sent(), [1]);
    }

    #[test]
    fn codex_is_given_no_more_than_it_has_room_for_in_order() {
        let mut bench = Bench::new(AT_ONCE + 2);
        assert_eq!(bench.sent(), (1..=AT_ONCE as u64).collect::<Vec<_>>());
        bench.answer(5);
        bench.answer(9);
        assert_eq!(bench.sent(), [AT_ONCE as u64 + 1, AT_ONCE as u64 + 2]);
    }

    #[test]
    fn one_that_was_refused_comes_again_after_another_answer() {
        let mut bench = Bench::new(3);
        bench.sent();
        bench.refuse(2);
        assert_eq!(bench.sent(), [0; 0]);
        bench.answer(1);
        assert_eq!(bench.sent(), [2]);
        assert!(bench.answer(2).is_some());
    }

    #[test]
    fn when_all_were_refused_there_is_a_pause() {
        let mut bench = Bench::new(2);
        bench.sent();
        bench.refuse(1);
        bench.refuse(2);
        assert_eq!(bench.sent(), [0]);
        bench.requests.go_on(&mut bench.out);
        let mut again = bench.sent();
        again.sort_unstable();
        assert_eq!(again, [1, 2]);
    }

    #[test]
    fn one_that_is_held_is_not_answered() {
        let mut bench = Bench::new(1);
        bench.refuse(1);
        assert!(bench.answer(1).is_none());
        bench.requests.go_on(&mut bench.out);
        assert!(bench.answer(1).is_some());
    }
}
