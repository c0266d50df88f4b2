//! Compares every error that a client can get with the page that documents them.

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::header::HOST;

use super::*;
use crate::account::{NoWorker, SignInError, Unsupported};
use crate::secret::KeyName;
use crate::throttle::Rate;
use crate::worker::CallError;

/// The source files that contain codes, and the words in them that are not codes.
const SOURCES: [&str; 3] = [
    include_str!("../error.rs"),
    include_str!("socket.rs"),
    include_str!("../../../protocol/src/openai/error.rs"),
];
const NO_CODES: &[&str] = &[
    "application/json",
    "authentication_error",
    "false",
    "input",
    "insufficient_quota",
    "invalid_prompt",
    "invalid_request_error",
    "name",
    "permission_error",
    "rate_limit_error",
    "server_error",
    "stream_id",
    "type",
];

const REQUEST: [RequestErrorKind; 12] = [
    RequestErrorKind::InvalidJson,
    RequestErrorKind::InvalidType,
    RequestErrorKind::InvalidValue,
    RequestErrorKind::MissingParameter,
    RequestErrorKind::Unsupported,
    RequestErrorKind::ModelNotFound,
    RequestErrorKind::NotFound,
    RequestErrorKind::PreviousResponseNotFound,
    RequestErrorKind::InvalidImage,
    RequestErrorKind::PromptTooLong,
    RequestErrorKind::ContextLengthExceeded,
    RequestErrorKind::TooLarge,
];
const TURN: [TurnErrorKind; 17] = [
    TurnErrorKind::LoginRequired,
    TurnErrorKind::UsageLimitReached,
    TurnErrorKind::RateLimited,
    TurnErrorKind::ContextLengthExceeded,
    TurnErrorKind::ModelNotFound,
    TurnErrorKind::Unsupported,
    TurnErrorKind::BadRequest,
    TurnErrorKind::Forbidden,
    TurnErrorKind::ContentFiltered,
    TurnErrorKind::Overloaded,
    TurnErrorKind::Upstream,
    TurnErrorKind::WorkerNotReady,
    TurnErrorKind::WorkerExited,
    TurnErrorKind::RequestTimeout,
    TurnErrorKind::IdleTimeout,
    TurnErrorKind::Cancelled,
    TurnErrorKind::Internal,
];
const ACCOUNT: [fn() -> AccountError; 7] = [
    || NoWorker::NotStarted.into(),
    || Unsupported::Usage.into(),
    || CallError::Ended.into(),
    || SignInError::Unknown.into(),
    || AccountError::Slow,
    || AccountError::NoLimits,
    || AccountError::NoDefault,
];

/// An error of each kind.
fn every() -> Vec<Error> {
    use KeysErrorKind::{Conflict, InvalidName, Keychain, Storage, Unknown};
    let text = String::new;
    let mut errors = vec![
        Error::Unauthorized { is_shown: true },
        Error::ControlDenied,
        Error::Paused,
        Error::Throttled(Throttled::Rate {
            key: KeyName::new(""),
            rate: Rate { average: NonZeroU32::MIN, burst: NonZeroU32::MIN },
            wait: Duration::ZERO,
        }),
        Error::Throttled(Throttled::Budget {
            key: KeyName::new(""),
            budget: 1,
            used: 1,
            wait: Duration::ZERO,
        }),
        Error::ForbiddenHost(text()),
        Error::ForbiddenOrigin(text()),
        Error::CrossSite,
        Error::Repeated(HOST),
        Error::UnknownRoute(text()),
        Error::MethodNotAllowed("GET"),
        Error::BodyTooLarge(1),
        Error::BodyIncomplete,
        Error::UnpackedTooLarge(1),
        Error::BrokenCoding(text()),
        Error::UnsupportedCoding(text()),
        Error::UnsupportedMediaType(text()),
        Error::Socket(SocketError::InvalidStreamId),
        Error::Socket(SocketError::TooManyRequests),
        Error::Socket(SocketError::TooManyLanes),
        Error::Socket(SocketError::TooOld),
        Error::Conflict(text()),
        Error::File(text()),
        Error::UsageUnavailable,
        Error::StoreUnavailable(Arc::new(StoreError::Unavailable(text()))),
        Error::Internal,
    ];
    let unreadable =
        [StatusCode::URI_TOO_LONG, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, StatusCode::BAD_REQUEST];
    errors.extend(unreadable.map(Error::Unreadable));
    errors.extend(
        [Unknown, InvalidName, Conflict, Keychain, Storage]
            .map(|kind| Error::Keys(KeysError { kind, message: text() })),
    );
    errors.extend(ACCOUNT.map(|make| Error::Account(make())));
    errors.extend(REQUEST.map(|kind| Error::Request(RequestError { kind, message: text(), param: None })));
    errors.extend(TURN.map(|kind| Error::Turn(TurnError::new(kind, ""))));
    errors
}

/// The rows of the tables of the page that begin with a status.
fn documented() -> Vec<(u16, String)> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/troubleshooting.md");
    let page = fs::read_to_string(page).unwrap();
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        Some((cells.next()?.parse().ok()?, cells.next()?.trim_matches('`').to_owned()))
    };
    page.lines().filter_map(row).collect()
}

#[test]
fn every_code_is_explained_with_its_status_and_no_other() {
    let rows = documented();
    let set: BTreeSet<_> = rows.iter().cloned().collect();
    assert_eq!(set.len(), rows.len(), "a code is explained twice");
    let told: BTreeSet<_> =
        every().iter().map(|error| (error.status().as_u16(), error.code().unwrap().to_owned())).collect();
    assert_eq!(told, set, "what the proxy tells, and what docs/src/troubleshooting.md explains");
}

#[test]
fn no_code_of_the_sources_is_forgotten_above() {
    let errors = every();
    let told: BTreeSet<_> = errors.iter().filter_map(Error::code).collect();
    for source in SOURCES {
        let code = source.split("#[cfg(test)]").next().unwrap();
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        let literals = lines.flat_map(|line| line.split('"').skip(1).step_by(2));
        let word = |text: &&str| {
            text.len() > 3 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        };
        for literal in literals.filter(word) {
            assert!(told.contains(literal) || NO_CODES.contains(&literal), "is {literal} a code?");
        }
    }
}
