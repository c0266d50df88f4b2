//! What Codex's errors mean.

use std::time::Duration;

use serde_json::Value;

use super::wire::Failure;
use crate::codex::jsonrpc::{OVERLOADED, RpcError};
use crate::turn::{Finish, TurnError, TurnErrorKind};

/// How the upstream cut an answer short, if that is what Codex calls a failure.
pub(super) fn cut(failure: &Failure) -> Option<Finish> {
    const REASON: &str = "Incomplete response returned, reason: ";
    let details = failure.additional_details.as_deref().unwrap_or_default();
    let reason = [failure.message.as_str(), details].iter().find_map(|said| said.split_once(REASON))?.1;
    match reason.trim() {
        "max_output_tokens" => Some(Finish::Length),
        "content_filter" => Some(Finish::ContentFilter),
        _ => None,
    }
}

/// The error of a turn that Codex ended as failed.
pub(super) fn of_turn(failure: &Failure) -> TurnError {
    let (kind, status) = kind_of(failure.codex_error_info.as_ref());
    let kind = match (kind, status) {
        (TurnErrorKind::Upstream, Some(400 | 413 | 422)) => TurnErrorKind::BadRequest,
        (TurnErrorKind::Upstream, Some(401)) => TurnErrorKind::LoginRequired,
        (TurnErrorKind::Upstream, Some(429)) => TurnErrorKind::RateLimited,
        (TurnErrorKind::Upstream, Some(503 | 529)) => TurnErrorKind::Overloaded,
        (kind, _) => kind,
    };
    let refusal = Refusal::read(&failure.message).filter(|_| kind == TurnErrorKind::Upstream);
    let kind = if refusal.is_some() { TurnErrorKind::BadRequest } else { kind };
    let said = match &refusal {
        Some(refusal) => refusal.message.as_str(),
        None if failure.message.is_empty() => "Codex gave no reason.",
        None => failure.message.as_str(),
    };
    let mut error = TurnError::new(kind, message(kind, said));
    error.param = refusal.as_ref().and_then(|refusal| refusal.param.clone());
    let told =
        || delay_in(said).or_else(|| delay_in(failure.additional_details.as_deref().unwrap_or_default()));
    if matches!(kind, TurnErrorKind::RateLimited | TurnErrorKind::Overloaded) {
        error.retry_after = Some(told().unwrap_or(Duration::from_secs(5)));
    } else if kind == TurnErrorKind::UsageLimitReached {
        error.retry_after = told();
    }
    if let Some(details) = &failure.additional_details {
        error = error.detail(details.clone());
    }
    error
}

/// A request that is more than one line to Codex may be.
pub(super) fn too_large(bytes: usize, most: usize) -> TurnError {
    let message = format!(
        "This request is too large for Codex: it comes to {bytes} bytes, of at most {most}. Shorten the conversation, or \
         send fewer or smaller images."
    );
    TurnError::new(TurnErrorKind::BadRequest, message)
}

/// A request whose images Codex makes larger than a line may be.
pub(super) fn too_large_for_codex(bytes: usize) -> TurnError {
    let message = format!(
        "This request is too large for Codex: as Codex hands it to the model, one message of it has {bytes} bytes. Send \
         fewer or smaller images, best as PNG or JPEG of at most 2048 x 2048 pixels: Codex makes others anew."
    );
    TurnError::new(TurnErrorKind::BadRequest, message)
}

/// An answer of which one piece is longer than a line may be.
pub(super) fn too_long_answer(bytes: usize) -> TurnError {
    let message = format!(
        "Codex told a piece of the answer in {bytes} bytes at once, which is too long. Ask for less."
    );
    TurnError::new(TurnErrorKind::Upstream, message)
}

/// Whether Codex has ended a turn because the thread has cost what it may.
pub(super) fn is_budget(failure: &Failure) -> bool {
    failure.codex_error_info.as_ref().and_then(Value::as_str) == Some("sessionBudgetExceeded")
}

/// Whether the upstream takes no tools as an item of the transcript, or none in namespaces.
pub(super) fn refuses_tool_items(failure: &Failure) -> bool {
    let error = of_turn(failure);
    let names = |text: &str| text.contains("additional_tools") || text.contains("namespace");
    error.kind == TurnErrorKind::BadRequest && names(&failure.message)
}

/// An upstream's own words: Codex passes on the body of a 400 as it is.
struct Refusal {
    message: String,
    param: Option<String>,
}

impl Refusal {
    fn read(message: &str) -> Option<Self> {
        let body: Value = serde_json::from_str(message).ok()?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        if let Some(detail) = text(&body["detail"]) {
            return Some(Self { message: detail, param: None });
        }
        Some(Self { message: text(&body["error"]["message"])?, param: text(&body["error"]["param"]) })
    }
}

/// The error of a request that Codex refused.
pub(super) fn of_call(method: &str, error: &RpcError) -> TurnError {
    let kind = match error.code {
        OVERLOADED => TurnErrorKind::Overloaded,
        -32603 => TurnErrorKind::Internal,
        _ => TurnErrorKind::BadRequest,
    };
    let refused = TurnError::new(kind, format!("Codex refused the request: {}", error.message))
        .detail(format!("{method} answered {}", error.code));
    if kind == TurnErrorKind::Overloaded { refused.retry_after(Duration::from_secs(1)) } else { refused }
}

/// `codexErrorInfo` is a name, or an object with one member that may tell the upstream's status.
fn kind_of(info: Option<&Value>) -> (TurnErrorKind, Option<u64>) {
    let (name, status) = match info {
        Some(Value::String(name)) => (name.as_str(), None),
        Some(Value::Object(members)) => match members.iter().next() {
            Some((name, inner)) => (name.as_str(), inner.get("httpStatusCode").and_then(Value::as_u64)),
            None => ("", None),
        },
        _ => ("", None),
    };
    let kind = match name {
        "contextWindowExceeded" => TurnErrorKind::ContextLengthExceeded,
        "usageLimitExceeded" | "sessionBudgetExceeded" => TurnErrorKind::UsageLimitReached,
        "rateLimitExceeded" => TurnErrorKind::RateLimited,
        "serverOverloaded" | "flexUnavailable" | "policyCapacityUnavailable" => TurnErrorKind::Overloaded,
        "modelNotFound" => TurnErrorKind::ModelNotFound,
        "unauthorized" => TurnErrorKind::LoginRequired,
        "badRequest" => TurnErrorKind::BadRequest,
        "cyberPolicy" | "misalignmentPolicyViolation" | "inferenceHookDenied" => {
            TurnErrorKind::ContentFiltered
        }
        _ => TurnErrorKind::Upstream,
    };
    (kind, status)
}

fn message(kind: TurnErrorKind, said: &str) -> String {
    if kind == TurnErrorKind::ContextLengthExceeded {
        return format!("The conversation does not fit the model's context window. Shorten it. ({said})");
    }
    if kind == TurnErrorKind::LoginRequired {
        return format!("The sign-in is no longer accepted; sign in again. ({said})");
    }
    said.to_owned()
}

/// "try again in 20s", "in 1.5 seconds", "in 300ms", "in 2 minutes".
pub(in crate::codex) fn delay_in(text: &str) -> Option<Duration> {
    let lower = text.to_ascii_lowercase();
    let rest = lower.split_once("try again in ")?.1;
    let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
    let amount: f64 = rest[..digits].parse().ok()?;
    let unit = rest[digits..].trim_start();
    let seconds = if unit.starts_with("ms") {
        amount / 1000.0
    } else if unit.starts_with('s') {
        amount
    } else if unit.starts_with("min") || unit.starts_with("m ") || unit == "m" {
        amount * 60.0
    } else if unit.starts_with('h') {
        amount * 3600.0
    } else if unit.starts_with("day") {
        amount * 86400.0
    } else {
        return None;
    };
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use TurnErrorKind::{
        BadRequest, ContentFiltered, ContextLengthExceeded, LoginRequired, ModelNotFound, Overloaded,
        RateLimited, Upstream, UsageLimitReached,
    };
    use serde_json::json;

    use super::*;

    #[test]
    fn every_code_has_its_kind() {
        let cases = [
            (json!("contextWindowExceeded"), ContextLengthExceeded),
            (json!("usageLimitExceeded"), UsageLimitReached),
            (json!("rateLimitExceeded"), RateLimited),
            (json!("serverOverloaded"), Overloaded),
            (json!("modelNotFound"), ModelNotFound),
            (json!("unauthorized"), LoginRequired),
            (json!("badRequest"), BadRequest),
            (json!("cyberPolicy"), ContentFiltered),
            (json!({"responseStreamDisconnected": {"httpStatusCode": null}}), Upstream),
            (json!({"responseTooManyFailedAttempts": {"httpStatusCode": 429}}), RateLimited),
            (json!({"httpConnectionFailed": {"httpStatusCode": 401}}), LoginRequired),
            (json!({"responseStreamConnectionFailed": {"httpStatusCode": 502}}), Upstream),
            (json!({"httpConnectionFailed": {"httpStatusCode": 400}}), BadRequest),
            (json!("something new"), Upstream),
            (json!(null), Upstream),
        ];
        for (info, expected) in cases {
            let failure = Failure {
                message: "why".into(),
                codex_error_info: Some(info.clone()),
                additional_details: None,
            };
            assert_eq!(of_turn(&failure).kind, expected, "{info}");
        }
    }

    #[test]
    fn an_answer_cut_short_is_no_failure() {
        let cases = [
            ("Incomplete response returned, reason: max_output_tokens", None, Some(Finish::Length)),
            (
                "Reconnecting... 1/5",
                Some("stream disconnected: Incomplete response returned, reason: content_filter"),
                Some(Finish::ContentFilter),
            ),
            ("Incomplete response returned, reason: something new", None, None),
            ("Reconnecting... 1/5", Some("stream closed"), None),
        ];
        for (message, details, expected) in cases {
            let failure = Failure {
                message: message.into(),
                codex_error_info: None,
                additional_details: details.map(str::to_owned),
            };
            assert_eq!(cut(&failure), expected, "{message}");
        }
    }

    #[test]
    fn an_upstreams_refusal_is_told_in_its_own_words() {
        let cases = [
            (
                r#"{"error":{"message":"bad thing","type":"invalid_request_error","param":"x"}}"#,
                (BadRequest, "bad thing", Some("x")),
            ),
            (r#"{"detail":"Unsupported model"}"#, (BadRequest, "Unsupported model", None)),
            (r#"{"else":1}"#, (Upstream, r#"{"else":1}"#, None)),
        ];
        for (message, (kind, said, param)) in cases {
            let failure = Failure {
                message: message.into(),
                codex_error_info: Some(json!("other")),
                additional_details: None,
            };
            let error = of_turn(&failure);
            assert_eq!((error.kind, error.message.as_str(), error.param.as_deref()), (kind, said, param));
        }
    }

    #[test]
    fn delays_are_read_from_the_words() {
        let cases = [
            ("Rate limit reached, try again in 20s", Some(20_000)),
            ("Please try again in 1.5 seconds.", Some(1_500)),
            ("try again in 300ms", Some(300)),
            ("Try again in 2 minutes.", Some(120_000)),
            ("try again in 3 hours", Some(10_800_000)),
            ("try again later", None),
            ("try again in .", None),
        ];
        for (text, expected) in cases {
            assert_eq!(delay_in(text), expected.map(Duration::from_millis), "{text}");
        }
    }
}
