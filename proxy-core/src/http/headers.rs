//! Response headers with information beside the answer.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::account::Limits as PlanLimits;
use crate::exchange::{Count, Limits, Notes};
use crate::secret::redact::redact;
use crate::throttle::Allowed;

const IGNORED_PARAMS: HeaderName = HeaderName::from_static("x-proxy-ignored-params");
const UNMET_PARAMS: HeaderName = HeaderName::from_static("x-proxy-unmet-params");
const REPLACED_CHARACTERS: HeaderName = HeaderName::from_static("x-proxy-replaced-characters");
const EFFECTIVE_MODEL: HeaderName = HeaderName::from_static("x-proxy-effective-model");
const EFFECTIVE_EFFORT: HeaderName = HeaderName::from_static("x-proxy-effective-effort");
const STORE: HeaderName = HeaderName::from_static("x-proxy-store");
const THREAD: HeaderName = HeaderName::from_static("x-proxy-thread");
const LIMIT_REQUESTS: HeaderName = HeaderName::from_static("x-ratelimit-limit-requests");
const REMAINING_REQUESTS: HeaderName = HeaderName::from_static("x-ratelimit-remaining-requests");
const RESET_REQUESTS: HeaderName = HeaderName::from_static("x-ratelimit-reset-requests");

/// The number of open streams before and after this one was counted, and the maximum.
const STREAMS: [HeaderName; 3] = [
    HeaderName::from_static("x-conc-before"),
    HeaderName::from_static("x-conc-after"),
    HeaderName::from_static("x-conc-limit"),
];

/// For the short and the long time window: the used part, the length, and when it is reset.
const PLAN: [[HeaderName; 3]; 2] = [
    [
        HeaderName::from_static("x-ratelimit-primary-used-percent"),
        HeaderName::from_static("x-ratelimit-primary-window-minutes"),
        HeaderName::from_static("x-ratelimit-primary-reset-at"),
    ],
    [
        HeaderName::from_static("x-ratelimit-secondary-used-percent"),
        HeaderName::from_static("x-ratelimit-secondary-window-minutes"),
        HeaderName::from_static("x-ratelimit-secondary-reset-at"),
    ],
];

/// The headers that say how the request was understood.
pub(super) fn notes(notes: &Notes) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut note = |name, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    };
    if let Some(param) = notes.unmet_param {
        note(UNMET_PARAMS, param);
    }
    note(EFFECTIVE_MODEL, &notes.effective_model);
    if let Some(thread) = notes.thread {
        note(THREAD, thread.as_str());
    }
    if notes.not_stored {
        note(STORE, "failed");
    }
    if !notes.ignored_params.is_empty() {
        note(IGNORED_PARAMS, &list(&notes.ignored_params));
    }
    if let Some(effort) = notes.effective_effort {
        note(EFFECTIVE_EFFORT, effort.as_str());
    }
    if notes.replaced_characters > 0 {
        headers.insert(REPLACED_CHARACTERS, HeaderValue::from(notes.replaced_characters));
    }
    headers
}

/// The headers with the limits that the client has left.
pub(super) fn limits(limits: &Limits) -> HeaderMap {
    let mut headers = limits.streams.map(streams).unwrap_or_default();
    headers.extend(limits.rate.map(rate).unwrap_or_default());
    headers
}

/// The headers with the rest of the plan.
pub(super) fn plan(limits: &PlanLimits) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for ([used, minutes, resets], window) in PLAN.into_iter().zip([limits.primary, limits.secondary]) {
        let Some(window) = window else { continue };
        headers.insert(used, HeaderValue::from(window.used_percent));
        headers.extend(window.window_minutes.map(|window| (minutes, HeaderValue::from(window))));
        headers.extend(window.resets_at.map(|time| (resets, HeaderValue::from(time))));
    }
    headers
}

/// The headers with the number of open streams, if they are enabled.
pub(in crate::http) fn streams(count: Count) -> HeaderMap {
    let told = count.told().into_iter().flatten();
    STREAMS.into_iter().zip(told.map(HeaderValue::from)).collect()
}

/// The limits that the key has left, in OpenAI's headers.
fn rate(allowed: Allowed) -> HeaderMap {
    let reset = format!("{}ms", allowed.reset.as_millis());
    let mut headers = HeaderMap::new();
    headers.insert(LIMIT_REQUESTS, HeaderValue::from(allowed.limit));
    headers.insert(REMAINING_REQUESTS, HeaderValue::from(allowed.remaining));
    if let Ok(reset) = HeaderValue::from_str(&reset) {
        headers.insert(RESET_REQUESTS, reset);
    }
    headers
}

/// A list of names that the client chose, shortened so that it fits into a header.
fn list(names: &[String]) -> String {
    const MOST: usize = 50;
    let fit = |c: char| c.is_ascii_alphanumeric() || "_-.[]".contains(c);
    let mut list: Vec<String> = names
        .iter()
        .take(MOST)
        // A key that a client has put in the place of a name is its own, but logs have headers too.
        .map(|name| redact(name).chars().map(|c| if fit(c) { c } else { '?' }).collect())
        .collect();
    if names.len() > MOST {
        list.push("...".to_owned());
    }
    list.join(", ")
}
