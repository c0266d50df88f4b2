//! Translates Codex's errors into turn errors.

use std::time::Duration;

use serde_json::Value;

use super::wire::Failure;
use crate::codex::jsonrpc::RpcError;
use crate::turn::{Finish, TurnError, TurnErrorKind};

/// How the upstream cut an answer short, if Codex reports this as a failure.
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
        (TurnErrorKind::Upstream, Some(401)) => TurnErrorKind::LoginRequired,
        (TurnErrorKind::Upstream, Some(402 | 403 | 451)) => TurnErrorKind::Forbidden,
        (TurnErrorKind::Upstream, Some(429)) => TurnErrorKind::RateLimited,
        (TurnErrorKind::Upstream, Some(503 | 529)) => TurnErrorKind::Overloaded,
        (TurnErrorKind::Upstream, Some(status)) if is_final(status) => TurnErrorKind::BadRequest,
        (TurnErrorKind::Upstream, None) => kind_of_words(&failure.message),
        (kind, _) => kind,
    };
    let refusal = Refusal::read(&failure.message).filter(|_| kind == TurnErrorKind::Upstream);
    let kind = if refusal.is_some() { TurnErrorKind::BadRequest } else { kind };
    let said = match &refusal {
        Some(refusal) => refusal.message.clone(),
        None if failure.message.is_empty() => "Codex gave no reason.".to_owned(),
        None => words(&failure.message, status),
    };
    let said = said.as_str();
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
        error = error.detail(of_page(details, status).unwrap_or_else(|| details.clone()));
    }
    error
}

/// The error of a turn that Codex is about to retry without a chance: the upstream will refuse each retry.
pub(super) fn futile(failure: &Failure) -> Option<TurnError> {
    let (_, status) = kind_of(failure.codex_error_info.as_ref());
    let details = failure.additional_details.as_deref()?;
    // An upstream that refuses a WebSocket may accept the same request over HTTP, which Codex tries after some
    // retries.
    if !status.is_some_and(is_final) || details.contains("url: ws") {
        return None;
    }
    let told = Failure {
        message: details.to_owned(),
        codex_error_info: failure.codex_error_info.clone(),
        additional_details: None,
    };
    Some(of_turn(&told))
}

/// Whether an HTTP status means that the same request will fail again. A 401 does not: Codex renews its token.
fn is_final(status: u64) -> bool {
    matches!(status, 400..=499) && !matches!(status, 401 | 408 | 409 | 425 | 426 | 429)
}

/// Codex has no error code for these refusals.
fn kind_of_words(message: &str) -> TurnErrorKind {
    let lower = message.to_ascii_lowercase();
    if lower.contains("usage polic") {
        TurnErrorKind::ContentFiltered
    } else if lower.starts_with("invalid prompt") {
        TurnErrorKind::BadRequest
    } else {
        TurnErrorKind::Upstream
    }
}

/// The upstream's message in "unexpected status 403 Forbidden: MESSAGE, url: …, request id: …".
fn words(message: &str, status: Option<u64>) -> String {
    if let Some(sentence) = of_page(message, status) {
        return sentence;
    }
    let said = message.strip_prefix("unexpected status ").and_then(|rest| rest.split_once(": "));
    let said = said.map_or(message, |(_, rest)| rest.split_once(", url: ").map_or(rest, |(words, _)| words));
    // The HTTP library prints this for a status without a standard name.
    said.replace(" <unknown status code>", "")
}

/// The message that replaces a gateway's HTML page. `status` is the upstream's, if Codex reported it.
fn of_page(said: &str, status: Option<u64>) -> Option<String> {
    const STARTS: [&str; 6] = ["<!doctype", "<html", "<head", "<body", "<?xml", "<!--"];
    let rest = said.strip_prefix("unexpected status ");
    let (told, body) = rest.and_then(|rest| rest.split_once(": ")).unwrap_or(("", said));
    let body = body.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}').to_ascii_lowercase();
    // The upstream's own errors are JSON, and may contain HTML in a text.
    let is_page = STARTS.iter().any(|start| body.starts_with(start))
        || (!body.starts_with('{') && ["<!doctype html", "<html"].iter().any(|start| body.contains(start)));
    if !is_page {
        return None;
    }
    let status = told.split(' ').next().and_then(|number| number.parse().ok()).or(status);
    let with = status.map(|status| format!(" {status} with")).unwrap_or_else(|| " with".to_owned());
    let why = if status.is_some_and(|status| status >= 500) {
        "A gateway on the way or before the service is out of order; try again in a moment."
    } else {
        "A firewall, a VPN or a proxy on the way may refuse this network; open chatgpt.com in a browser on this machine to \
         see."
    };
    Some(format!("The upstream answered{with} a web page instead of an error. {why}"))
}

/// The error of a request that is larger than a line to Codex may be.
pub(super) fn too_large(bytes: usize, most: usize) -> TurnError {
    let message = format!(
        "This request is too large for Codex: it comes to {bytes} bytes, of at most {most}. Shorten the conversation, or \
         send fewer or smaller images."
    );
    TurnError::new(TurnErrorKind::BadRequest, message)
}

/// The error of a request with images that Codex would make larger than a line may be.
pub(super) fn too_large_for_codex(longest: usize) -> TurnError {
    let message = format!(
        "This request is too large for Codex: as Codex hands it to the model, one message of it has more than {longest} bytes. Send \
         fewer or smaller images, best as PNG or JPEG of at most 2048 x 2048 pixels: Codex makes others anew."
    );
    TurnError::new(TurnErrorKind::BadRequest, message)
}

/// The error of an answer with one piece that is longer than a line may be.
pub(super) fn too_long_answer(longest: usize) -> TurnError {
    let message = format!(
        "Codex told a piece of the answer in more than {longest} bytes at once, which is too long. Ask for less."
    );
    TurnError::new(TurnErrorKind::Upstream, message)
}

/// Whether Codex has ended a turn because the thread has used its token budget.
pub(super) fn is_budget(failure: &Failure) -> bool {
    failure.codex_error_info.as_ref().and_then(Value::as_str) == Some("sessionBudgetExceeded")
}

/// Whether the upstream accepts no tools as an item of the transcript, or none in namespaces.
pub(super) fn refuses_tool_items(failure: &Failure) -> bool {
    let error = of_turn(failure);
    let names = |text: &str| text.contains("additional_tools") || text.contains("namespace");
    error.kind == TurnErrorKind::BadRequest && names(&failure.message)
}

/// The upstream's own message: Codex passes on the body of a 400 as it is.
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
    // Codex calls this an invalid request, but no client names a file: a file of this machine is missing or not
    // readable.
    if error.message.contains("(os error ") {
        let message = format!(
            "Codex cannot use a file or directory of this machine: {}. If the proxy's data directory was moved or \
             deleted, restart the proxy, which makes what it needs; else see that this user may read and write there.",
            error.message
        );
        return TurnError::new(TurnErrorKind::Internal, message)
            .detail(format!("{method} answered {}", error.code));
    }
    let kind = match error.code {
        -32603 => TurnErrorKind::Internal,
        _ => TurnErrorKind::BadRequest,
    };
    let said = of_page(&error.message, None).unwrap_or_else(|| error.message.clone());
    TurnError::new(kind, format!("Codex refused the request: {said}"))
        .detail(format!("{method} answered {}", error.code))
}

/// `codexErrorInfo` is a name, or an object with one member that may hold the upstream's status.
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

/// The delay in a message such as "try again in 20s", "in 1.5 seconds", "in 300ms", "in 2 minutes".
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
        BadRequest, ContentFiltered, ContextLengthExceeded, Forbidden, LoginRequired, ModelNotFound,
        Overloaded, RateLimited, Upstream, UsageLimitReached,
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
            (json!({"httpConnectionFailed": {"httpStatusCode": 403}}), Forbidden),
            (json!({"httpConnectionFailed": {"httpStatusCode": 451}}), Forbidden),
            (json!({"httpConnectionFailed": {"httpStatusCode": 404}}), BadRequest),
            (json!({"httpConnectionFailed": {"httpStatusCode": 408}}), Upstream),
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
    fn what_will_be_refused_again_is_not_asked_again() {
        let told = |status: u64, url: &str| {
            let words = "Country, region, or territory not supported";
            futile(&Failure {
                message: "Reconnecting... 1/5".into(),
                codex_error_info: Some(json!({"responseStreamDisconnected": {"httpStatusCode": status}})),
                additional_details: Some(format!(
                    "unexpected status {status} Forbidden: {words}, url: {url}"
                )),
            })
        };
        let refused = told(403, "https://a/v1/responses").unwrap();
        assert_eq!(
            (refused.kind, refused.message.as_str()),
            (Forbidden, "Country, region, or territory not supported")
        );
        assert_eq!(told(404, "https://a/v1/responses").unwrap().kind, BadRequest);
        assert_eq!(told(403, "wss://a/v1/responses"), None, "HTTP may be let through");
        for status in [401, 408, 409, 425, 426, 429, 500, 502, 503] {
            assert_eq!(told(status, "https://a/v1/responses"), None, "{status}");
        }
    }

    #[test]
    fn refusals_without_a_name_are_known_by_their_words() {
        let cases = [
            ("Invalid prompt", BadRequest),
            ("Invalid prompt: it was flagged as potentially violating our usage policy.", ContentFiltered),
            ("stream disconnected before completion", Upstream),
        ];
        for (message, kind) in cases {
            let failure = Failure {
                message: message.into(),
                codex_error_info: Some(json!("other")),
                additional_details: None,
            };
            assert_eq!(of_turn(&failure).kind, kind, "{message}");
        }
    }

    #[test]
    fn a_gateways_page_lands_in_no_message() {
        let told = |message: &str, status: u64| {
            let info = json!({"httpConnectionFailed": {"httpStatusCode": status}});
            let details = Some(message.to_owned());
            of_turn(&Failure {
                message: message.into(),
                codex_error_info: Some(info),
                additional_details: details,
            })
        };
        for page in [
            "<!DOCTYPE html><html>secret</html>",
            "\n<HTML><body>secret",
            "\u{feff}<!-- secret --><head>",
            "<?xml version=\"1.0\"?><p>secret",
            "error code: 1020 <html>secret",
        ] {
            for (status, name) in [(403, "Forbidden"), (502, "Bad Gateway"), (520, "<unknown status code>")] {
                let message =
                    format!("unexpected status {status} {name}: {page}, url: https://a/b, cf-ray: 1");
                for error in [told(&message, status), told(page, status)] {
                    let said = [error.message.as_str(), error.detail.as_deref().unwrap()];
                    for said in said {
                        assert!(
                            said.starts_with(&format!("The upstream answered {status} with a web page")),
                            "{said}"
                        );
                        assert!(!said.contains("secret") && !said.contains('<'), "{said}");
                    }
                    assert_eq!(error.message.contains("try again"), status >= 500, "{error}");
                }
            }
        }
        let refused =
            of_call("turn/start", &RpcError { code: -32600, message: "failed: <html>secret".into() });
        assert!(refused.message.contains("answered with a web page"), "{}", refused.message);
        let error = told(r#"{"error":{"message":"'<html>' is no schema"}}"#, 400);
        assert!(error.message.contains("'<html>' is no schema"), "{error}");
        assert_eq!(
            told("exceeded retry limit, last status: 520 <unknown status code>", 520).message,
            "exceeded retry limit, last status: 520"
        );
    }

    #[test]
    fn what_this_machine_lacks_is_no_fault_of_the_client() {
        let refused =
            |message: &str| of_call("thread/start", &RpcError { code: -32600, message: message.into() });
        let gone = refused("failed to load configuration: No such file or directory (os error 2)");
        assert_eq!(gone.kind, TurnErrorKind::Internal);
        assert!(gone.message.contains("restart the proxy"), "{}", gone.message);
        assert_eq!(refused("invalid type: string").kind, BadRequest);
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
