use super::*;

pub(super) fn entry(id: &str) -> RequestEntry {
    RequestEntry {
        id: id.to_owned(),
        at: 1,
        method: "POST".to_owned(),
        route: "/v1/responses".to_owned(),
        surface: "responses".to_owned(),
        key: Some("default".to_owned()),
        client: "curl".to_owned(),
        user_agent: "curl/8".to_owned(),
        address: None,
        status: None,
        error_code: None,
        requested_model: None,
        effective_model: None,
        effort: None,
        service_tier: None,
        stream: false,
        request_bytes: 0,
        response_bytes: 0,
        ttft_ms: None,
        duration_ms: None,
        input_tokens: 0,
        cached_tokens: 0,
        output_tokens: 0,
        estimated: false,
        tool_calls: 0,
        worker: None,
        thread: None,
        state: RequestState::Running,
        has_capture: false,
        refusal: None,
    }
}

fn ids(entries: &[RequestEntry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.id.as_str()).collect()
}

#[test]
fn the_newest_are_kept_and_pages_go_backwards() {
    let log = RequestLog::new(Config { kept: 3 });
    for id in ["a", "b", "c", "d"] {
        log.put(entry(id));
    }
    assert_eq!(ids(&log.list(10, None)), ["d", "c", "b"]);
    assert_eq!(ids(&log.list(1, None)), ["d"]);
    assert_eq!(ids(&log.list(10, Some("c"))), ["b"]);
    assert_eq!(ids(&log.list(10, Some("a"))), [""; 0], "it is gone");
    assert!(log.get("a").is_none() && log.get("b").is_some());
}

#[test]
fn an_entry_is_replaced_in_its_place_and_watchers_hear_of_it() {
    let log = RequestLog::new(Config { kept: 3 });
    let mut watch = log.watch();
    log.put(entry("a"));
    log.put(entry("b"));
    let done = RequestEntry { status: Some(200), state: RequestState::Done, ..entry("a") };
    log.put(done.clone());
    assert_eq!(ids(&log.list(10, None)), ["b", "a"]);
    assert_eq!(log.get("a"), Some((done.clone(), None)));
    let heard: Vec<_> = std::iter::from_fn(|| watch.try_recv().ok()).collect();
    assert_eq!(heard, [entry("a"), entry("b"), done]);
}

#[test]
fn a_log_of_nothing_keeps_nothing() {
    let log = RequestLog::new(Config { kept: 0 });
    log.put(entry("a"));
    log.keep("a", Captured::default());
    assert_eq!(log.list(10, None), []);
}

#[test]
fn texts_are_captured_for_the_key_and_the_time_that_was_asked_for() {
    let log = RequestLog::new(Config { kept: 3 });
    assert!(!log.captures(Some("default")), "never unasked");
    let state = log.capture(Some("obsidian".to_owned()), Duration::from_secs(60));
    assert!(state.active && state.key.as_deref() == Some("obsidian") && state.until.is_some());
    assert!(log.captures(Some("obsidian")));
    assert!(!log.captures(Some("default")) && !log.captures(None));
    log.capture(None, Duration::from_secs(60));
    assert!(log.captures(Some("default")) && log.captures(None));
    assert!(!log.stop_capture().active);
    assert!(!log.captures(None));
    log.capture(None, Duration::ZERO);
    assert!(!log.captures(None) && !log.capture_state().active, "its time is over");
}

#[test]
fn the_oldest_texts_are_forgotten_when_there_are_too_many() {
    let log = RequestLog::new(Config { kept: 100 });
    let text = "x".repeat(1 << 20);
    for number in 0..40 {
        let id = number.to_string();
        log.put(entry(&id));
        log.keep(&id, Captured { request_body: Some(text.clone()), ..Captured::default() });
    }
    let with: Vec<_> = log.list(100, None).into_iter().filter(|entry| entry.has_capture).collect();
    assert_eq!(with.len(), 32);
    assert_eq!(with.first().map(|entry| entry.id.as_str()), Some("39"));
    assert!(log.get("0").is_some_and(|(entry, texts)| !entry.has_capture && texts.is_none()));
}

#[test]
fn what_was_before_the_start_stands_before_what_came_since() {
    let log = RequestLog::new(Config { kept: 3 });
    log.put(entry("new"));
    log.recall(["a", "b", "c"].map(entry).to_vec());
    assert_eq!(ids(&log.list(10, None)), ["new", "c", "b"]);
}
