//! Every connection that Codex may make, with its purpose. Any other is a finding.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::mirror::Reached;

/// A connection that Codex has tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// `GET`, `POST`, …; `CONNECT` for another host.
    pub method: String,
    /// The path at the service, or another host.
    pub target: String,
    /// The number of times.
    pub times: u64,
    /// Bytes that were sent, without those of requests to the model on a WebSocket.
    pub bytes: u64,
    /// Its purpose; `None` if it is not a known connection.
    pub reason: Option<String>,
}

/// A known connection.
struct Known {
    method: &'static str,
    target: &'static str,
    reason: &'static str,
}

const KNOWN: &[Known] = &[
    Known {
        method: "GET",
        target: "/v1/responses",
        reason: "your requests and their answers, as a WebSocket",
    },
    Known {
        method: "POST",
        target: "/v1/responses",
        reason: "your requests and their answers, where a WebSocket cannot be had",
    },
    Known {
        method: "GET",
        target: "/backend-api/wham/accounts/check",
        reason: "which workspace of the account is used",
    },
    Known { method: "GET", target: "/backend-api/wham/usage", reason: "what is left of the plan's limits" },
    Known {
        method: "GET",
        target: "/backend-api/wham/settings/user",
        reason: "the settings that the account's owner has made for Codex; this cannot be switched off",
    },
    Known { method: "POST", target: "/oauth/token", reason: "a new token, where the old one has run out" },
    Known { method: "GET", target: "/v1/models", reason: "which models the account offers" },
];

/// The tried connections, each once, the known ones first.
pub(super) fn explain(reached: &[Reached]) -> Vec<Connection> {
    let mut counted: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
    for one in reached {
        let (times, bytes) = counted.entry((&one.method, &one.target)).or_default();
        *times += 1;
        *bytes += one.bytes;
    }
    let place = |method: &str, target: &str| {
        KNOWN.iter().position(|known| known.method == method && known.target == target)
    };
    let mut connections: Vec<_> = counted
        .into_iter()
        .map(|((method, target), (times, bytes))| {
            let known = place(method, target);
            let reason = known.and_then(|place| KNOWN.get(place)).map(|known| known.reason.to_owned());
            (
                known.unwrap_or(KNOWN.len()),
                Connection { method: method.to_owned(), target: target.to_owned(), times, bytes, reason },
            )
        })
        .collect();
    connections.sort_by_key(|(place, _)| *place);
    connections.into_iter().map(|(_, connection)| connection).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(method: &str, target: &str, bytes: u64) -> Reached {
        Reached { method: method.to_owned(), target: target.to_owned(), bytes }
    }

    #[test]
    fn known_ones_have_a_reason_and_others_have_none() {
        let connections = explain(&[
            reached("POST", "/backend-api/codex/analytics-events/events", 100),
            reached("GET", "/v1/responses", 0),
            reached("POST", "/backend-api/codex/analytics-events/events", 50),
            reached("CONNECT", "api.github.com:443", 0),
            reached("POST", "/backend-api/wham/settings/user", 0),
        ]);
        let seen: Vec<_> = connections
            .iter()
            .map(|one| (one.target.as_str(), one.times, one.bytes, one.reason.is_some()))
            .collect();
        assert_eq!(
            seen,
            [
                ("/v1/responses", 1, 0, true),
                ("api.github.com:443", 1, 0, false),
                ("/backend-api/codex/analytics-events/events", 2, 150, false),
                ("/backend-api/wham/settings/user", 1, 0, false),
            ]
        );
    }
}
