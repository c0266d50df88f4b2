//! The record of one request in the usage.

use serde::{Deserialize, Deserializer, Serialize};

use crate::client_family;
use crate::secret::KeyId;
use crate::threads::ThreadSource;

/// The cost and the result of one request. It never holds a prompt, an answer, a key or an address.
///
/// The recording side leaves `id` at 0 and `client` empty: [`super::UsageSink::record`] sets both, shortens long
/// texts and removes control characters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UsageEvent {
    /// The number of the event. Each event gets a greater number, whatever the clock does; set by the sink.
    pub id: u64,
    /// The arrival of the request, in milliseconds since the epoch.
    pub ts_ms: i64,
    /// The path of the route, e.g. `/v1/responses`.
    pub route: String,
    /// The HTTP method.
    pub method: String,
    /// `responses` or `chat`.
    pub surface: String,
    /// The id of the request, as in `x-request-id`.
    pub request_id: String,
    /// The name of the API key at that time, never the key.
    pub key: String,
    /// The family of clients that `user_agent` belongs to; set by the sink (see [`client_family`]).
    pub client: String,
    /// The `User-Agent` header, at most 200 characters.
    pub user_agent: String,
    /// The model as the client wrote it.
    pub requested_model: String,
    /// The model that answered; empty if no model was chosen.
    pub effective_model: String,
    /// The reasoning effort that the request sets.
    pub effort: Option<String>,
    /// Whether the answer was streamed.
    pub stream: bool,
    /// The HTTP status, or 499 if the client disconnected before the end. A stream that failed has the status
    /// that it would have had without streaming.
    pub status: u16,
    /// The code of the error that ended the request.
    pub error_code: Option<String>,
    /// Tokens of the prompt, including cached ones.
    pub input_tokens: u64,
    /// Tokens of the prompt that were read from the upstream's cache.
    pub cached_tokens: u64,
    /// Tokens of the prompt that were written to the upstream's cache.
    pub cache_write_tokens: u64,
    /// Tokens of the answer, including reasoning.
    pub output_tokens: u64,
    /// Tokens of reasoning.
    pub reasoning_tokens: u64,
    /// Whether the tokens were estimated from the length of the text, because Codex did not report them
    /// ([`estimate_tokens`](protocol::turn::estimate_tokens)).
    pub estimated: bool,
    /// Function calls in the answer.
    pub tool_calls: u64,
    /// Milliseconds from the request to the first part of the answer.
    pub ttft_ms: Option<u64>,
    /// Milliseconds from the request to its end.
    pub duration_ms: u64,
    /// The number of the worker that ran the request.
    pub worker: Option<u64>,
    /// Where the thread of the request comes from.
    pub thread: ThreadSource,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the answer's body.
    pub response_bytes: u64,
    /// The requested service tier; `None` for the default of the account.
    pub service_tier: Option<String>,
    /// The id of the API key; `None` in events of earlier versions.
    #[serde(deserialize_with = "id_or_none")]
    pub key_id: Option<KeyId>,
}

/// An event with an invalid key id is kept, without the id.
fn id_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<KeyId>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| KeyId::parse(&text).ok()))
}

/// The status of a request whose client disconnected before the end.
pub const CANCELLED: u16 = 499;

/// The last millisecond of the year 9999.
const LAST_MS: i64 = 253_402_300_799_999;
/// The upper bound of each number. No real request reaches it, and sums of billions of events stay below 2^63.
const MOST: u64 = 4_000_000_000;
const LONGEST_NAME: usize = 100;
const LONGEST_USER_AGENT: usize = 200;

/// The range of valid numbers of events that are read from a file.
///
/// Numbers start at 1, or at the time in microseconds while the database cannot be read. A number far above both
/// is damaged. Counting on after it could overflow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ids {
    most: u64,
}

impl Ids {
    /// The range for a store whose database has numbers up to `last`.
    pub(super) fn after(last: u64) -> Self {
        const LAST_US: u64 = LAST_MS as u64 * 1000;
        /// More events than a journal can contain.
        const AHEAD: u64 = 1 << 40;
        Self { most: last.max(LAST_US).saturating_add(AHEAD).min(LAST_ID) }
    }

    /// Whether this number is valid for an event.
    pub(super) fn believes(self, id: u64) -> bool {
        (1..=self.most).contains(&id)
    }
}

/// The largest number that an event in the database may keep.
pub(super) const LAST_ID: u64 = 1 << 62;

impl UsageEvent {
    /// Tokens of the prompt and the answer together.
    pub fn total_tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }

    /// Brings every field within its bounds and sets the client family.
    pub(super) fn normalise(&mut self) {
        self.ts_ms = self.ts_ms.clamp(0, LAST_MS);
        clean(&mut self.user_agent, LONGEST_USER_AGENT);
        let names = [
            &mut self.route,
            &mut self.method,
            &mut self.surface,
            &mut self.request_id,
            &mut self.key,
            &mut self.client,
            &mut self.requested_model,
            &mut self.effective_model,
        ];
        let optional = [&mut self.effort, &mut self.error_code, &mut self.service_tier];
        for name in names.into_iter().chain(optional.into_iter().flatten()) {
            clean(name, LONGEST_NAME);
        }
        if self.client.is_empty() {
            self.client = client_family::of(&self.user_agent).to_owned();
        }
        for number in [
            &mut self.input_tokens,
            &mut self.cached_tokens,
            &mut self.cache_write_tokens,
            &mut self.output_tokens,
            &mut self.reasoning_tokens,
            &mut self.tool_calls,
            &mut self.duration_ms,
            &mut self.request_bytes,
            &mut self.response_bytes,
        ] {
            *number = (*number).min(MOST);
        }
        self.ttft_ms = self.ttft_ms.map(|time| time.min(MOST));
        self.worker = self.worker.map(|worker| worker.min(MOST));
    }
}

/// Removes control characters from `text`, and shortens it to `most` characters.
fn clean(text: &mut String, most: usize) {
    // Rust does not count bidirectional overrides and similar characters as control characters, but they do the
    // same harm in a terminal.
    let harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if text.contains(harmful) {
        text.retain(|c| !harmful(c));
    }
    if let Some((end, _)) = text.char_indices().nth(most) {
        text.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_and_dirty_header_is_cut_and_cleaned() {
        let mut event = UsageEvent {
            user_agent: format!("curl/8.5\r\n\u{1b}[31m\u{202e}{}", "é".repeat(500)),
            effective_model: "x".repeat(5000),
            input_tokens: u64::MAX,
            ts_ms: -5,
            ..UsageEvent::default()
        };
        event.normalise();
        assert_eq!(event.user_agent.chars().count(), 200);
        assert!(event.user_agent.starts_with("curl/8.5[31mé"), "{}", event.user_agent);
        assert_eq!((event.client.as_str(), event.effective_model.len()), ("curl", 100));
        assert_eq!((event.ts_ms, event.input_tokens), (0, MOST));
    }

    #[test]
    fn a_field_of_a_later_version_or_none_at_all_can_be_read() {
        let event: UsageEvent = serde_json::from_str(r#"{"id":7,"later":{"x":1}}"#).unwrap();
        assert_eq!(event, UsageEvent { id: 7, ..UsageEvent::default() });
    }
}
