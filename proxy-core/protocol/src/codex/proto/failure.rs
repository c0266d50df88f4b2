//! Translates Codex's errors: this protocol has texts for them and no codes.

use std::time::Duration;

use serde_json::Value;

use crate::codex::appserver::failure::delay_in;
use crate::turn::{TurnError, TurnErrorKind};

/// The error for this text of Codex.
pub(super) fn of_words(words: &str) -> TurnError {
    let kind = kind_of(words);
    let said = upstreams_own(words).unwrap_or_else(|| words.to_owned());
    let message = if kind == TurnErrorKind::LoginRequired {
        format!(
            "Codex is not signed in, or its sign-in is no longer accepted. Run `codex login` in its CODEX_HOME, \
             then try again. ({said})"
        )
    } else if kind == TurnErrorKind::ContextLengthExceeded {
        format!("The conversation does not fit the model's context window. Shorten it. ({said})")
    } else if said.is_empty() {
        "Codex could not finish the turn and gave no reason.".to_owned()
    } else {
        said
    };
    let mut error = TurnError::new(kind, message).detail(words);
    if matches!(kind, TurnErrorKind::RateLimited | TurnErrorKind::Overloaded) {
        error.retry_after = Some(delay_in(words).unwrap_or(Duration::from_secs(5)));
    } else if kind == TurnErrorKind::UsageLimitReached {
        error.retry_after = delay_in(words);
    }
    error
}

/// The error behind a retry, if trying again cannot help: this Codex retries for any reason.
pub(super) fn of_futile_retry(words: &str) -> Option<TurnError> {
    let reason = words.strip_prefix("stream error: ").unwrap_or(words);
    let reason = reason.rfind("; retrying ").map_or(reason, |end| &reason[..end]);
    let refused = status_in(reason).is_some_and(|status| (400..500).contains(&status));
    let futile = refused || kind_of(reason) == TurnErrorKind::ContextLengthExceeded;
    futile.then(|| of_words(reason))
}

fn kind_of(words: &str) -> TurnErrorKind {
    let lower = words.to_ascii_lowercase();
    let says = |text: &str| lower.contains(text);
    if says("context_length_exceeded") || says("context window") {
        return TurnErrorKind::ContextLengthExceeded;
    }
    if says("model_not_found") {
        return TurnErrorKind::ModelNotFound;
    }
    if says("usage limit") || says("to use codex with your chatgpt plan") {
        return TurnErrorKind::UsageLimitReached;
    }
    match status_in(&lower) {
        Some(401) => TurnErrorKind::LoginRequired,
        Some(429) => TurnErrorKind::RateLimited,
        Some(400 | 413 | 422) => TurnErrorKind::BadRequest,
        Some(503 | 529) => TurnErrorKind::Overloaded,
        Some(_) => TurnErrorKind::Upstream,
        None if says("rate limit") => TurnErrorKind::RateLimited,
        None if says("high demand") => TurnErrorKind::Overloaded,
        None => TurnErrorKind::Upstream,
    }
}

/// "unexpected status 400 Bad Request: …", "exceeded retry limit, last status: 429 Too Many Requests".
fn status_in(words: &str) -> Option<u16> {
    let rest = words
        .strip_prefix("unexpected status ")
        .or_else(|| words.strip_prefix("exceeded retry limit, last status: "))?;
    rest.get(..3)?.parse().ok()
}

/// The message in the error body that the upstream answered with.
fn upstreams_own(words: &str) -> Option<String> {
    let body: Value = serde_json::from_str(&words[words.find('{')?..]).ok()?;
    let message = [&body["error"]["message"], &body["detail"]].into_iter().find_map(Value::as_str)?;
    (!message.is_empty()).then(|| message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_have_their_kind() {
        use TurnErrorKind::*;
        let cases = [
            ("stream disconnected before completion: Rate limit reached, try again in 20s", RateLimited),
            ("unexpected status 400 Bad Request: {\"error\": {\"message\": \"no\"}}", BadRequest),
            ("exceeded retry limit, last status: 401 Unauthorized", LoginRequired),
            ("unexpected status 404 Not Found: {\"error\": {\"code\": \"model_not_found\"}}", ModelNotFound),
            ("unexpected status 404 Not Found: no such page", Upstream),
            ("exceeded retry limit, last status: 429 Too Many Requests", RateLimited),
            (
                "You've hit your usage limit. Upgrade to Pro (https://openai.com/chatgpt/pricing) or try again in 1 hour.",
                UsageLimitReached,
            ),
            (
                "To use Codex with your ChatGPT plan, upgrade to Plus: https://openai.com/chatgpt/pricing.",
                UsageLimitReached,
            ),
            ("We're currently experiencing high demand, which may cause temporary errors.", Overloaded),
            ("exceeded retry limit, last status: 503 Service Unavailable", Overloaded),
            (
                "stream disconnected before completion: Your input exceeds the context window of this model.",
                ContextLengthExceeded,
            ),
            ("stream disconnected before completion: stream closed before response.completed", Upstream),
            ("", Upstream),
        ];
        for (words, kind) in cases {
            let error = of_words(words);
            assert_eq!(error.kind, kind, "{words}");
            assert!(!error.message.is_empty());
        }
        assert_eq!(of_words(cases[0].0).retry_after, Some(Duration::from_secs(20)));
        assert_eq!(of_words(cases[1].0).message, "no");
        assert_eq!(of_words(cases[6].0).retry_after, Some(Duration::from_secs(3600)));
    }

    #[test]
    fn only_a_refusal_makes_a_retry_futile() {
        let cases = [
            (
                "stream error: unexpected status 400 Bad Request: {}; retrying 1/5 in 211ms…",
                Some(TurnErrorKind::BadRequest),
            ),
            (
                "stream error: exceeded retry limit, last status: 429 Too Many Requests; retrying 1/5 in 210ms…",
                Some(TurnErrorKind::RateLimited),
            ),
            (
                "stream error: exceeded retry limit, last status: 503 Service Unavailable; retrying 1/5 in 201ms…",
                None,
            ),
            (
                "stream error: stream disconnected before completion: Rate limit reached, try again in 20s; retrying 1/5 in 213ms…",
                None,
            ),
        ];
        for (words, kind) in cases {
            assert_eq!(of_futile_retry(words).map(|error| error.kind), kind, "{words}");
        }
    }
}
