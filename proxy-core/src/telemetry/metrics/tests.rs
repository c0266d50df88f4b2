use super::*;

fn text(metrics: &Metrics, exposition: Exposition) -> String {
    metrics.render(Snapshot::default(), exposition).unwrap()
}

fn has(text: &str, line: &str) {
    assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
}

#[test]
fn a_handle_that_is_off_counts_nothing_and_shows_nothing() {
    let metrics = Metrics::default();
    drop(metrics.request("GET"));
    let mut turn = metrics.turn(true);
    turn.first_byte();
    metrics.tokens(Tokens::Input, "gpt-5.2", 1);
    drop(turn);
    assert_eq!(metrics.render(Snapshot::default(), Exposition::Prometheus), None);
}

#[test]
fn requests_are_counted_by_route_method_and_class() {
    let metrics = Metrics::on();
    let mut one = metrics.request("POST");
    let other = metrics.request("BREW");
    has(&text(&metrics, Exposition::Prometheus), "codex_proxy_http_requests_in_flight 2");
    one.answered(Some("/v1/responses"), 503);
    drop((one, other));
    let text = text(&metrics, Exposition::Prometheus);
    has(&text, r#"codex_proxy_http_requests_total{route="/v1/responses",method="POST",status="5xx"} 1"#);
    has(&text, r#"codex_proxy_http_requests_total{route="unmatched",method="OTHER",status="cancelled"} 1"#);
    has(&text, "codex_proxy_http_requests_in_flight 0");
    let count = r#"codex_proxy_http_request_duration_seconds_count{route="/v1/responses",method="POST"} 1"#;
    has(&text, count);
}

#[test]
fn a_turn_is_streamed_or_not_and_ends_for_a_reason() {
    let metrics = Metrics::on();
    let mut streamed = metrics.turn(true);
    streamed.first_byte();
    streamed.first_byte();
    metrics.tokens(Tokens::Output, "gpt-5.2", 7);
    streamed.ended("stop");
    drop(streamed);
    drop(metrics.turn(false));
    let text = text(&metrics, Exposition::Prometheus);
    has(&text, "codex_stream_ttfb_ms_count 1");
    has(&text, "codex_stream_duration_ms_count 1");
    has(&text, r#"codex_stream_end_total{reason="stop"} 1"#);
    has(&text, r#"codex_proxy_turns_total{reason="client_gone"} 1"#);
    has(&text, r#"codex_proxy_tokens_total{kind="output",model="gpt-5.2"} 7"#);
    has(&text, "codex_proxy_turns_running 0");
}

#[test]
fn the_error_of_a_count_is_a_share_of_the_true_number() {
    let metrics = Metrics::on();
    metrics.token_count(100, 100);
    metrics.token_count(99, 100);
    metrics.token_count(7, 0);
    let text = text(&metrics, Exposition::Prometheus);
    has(&text, r#"codex_proxy_token_count_error_ratio_bucket{le="0.0"} 1"#);
    has(&text, r#"codex_proxy_token_count_error_ratio_bucket{le="0.01"} 2"#);
    has(&text, "codex_proxy_token_count_error_ratio_count 3");
}

#[test]
fn what_is_asked_for_is_shown() {
    let metrics = Metrics::on();
    let snapshot = Snapshot {
        workers: vec![WorkerSample {
            id: 3,
            state: "backing_off",
            ready: false,
            codex_version: Some("0.169.0".to_owned()),
            uptime_seconds: None,
            restarts: 4,
            turns_running: 0,
            turns_done: 9,
            resident_bytes: Some(1024),
        }],
        queue_depth: 5,
        signed_in: Some(false),
        limits: vec![LimitSample { window: "primary", used_percent: 12.5, resets_at: Some(1_800_000_000) }],
        usage_store_lag_seconds: Some(0.25),
        log_lines_dropped: 2,
    };
    let text = metrics.render(snapshot, Exposition::OpenMetrics).unwrap();
    for line in [
        r#"codex_worker_ready{worker="3"} 0.0"#,
        r#"codex_worker_state{worker="3",state="backing_off"} 1.0"#,
        r#"codex_worker_codex_info{worker="3",version="0.169.0"} 1.0"#,
        r#"codex_worker_restarts_total{worker="3"} 4"#,
        r#"codex_worker_turns_total{worker="3"} 9"#,
        r#"codex_worker_resident_memory_bytes{worker="3"} 1024.0"#,
        "codex_proxy_queue_depth 5.0",
        "codex_proxy_signed_in 0.0",
        r#"codex_proxy_limit_used_percent{window="primary"} 12.5"#,
        r#"codex_proxy_limit_resets_at_seconds{window="primary"} 1800000000.0"#,
        "codex_proxy_usage_store_lag_seconds 0.25",
        "codex_proxy_log_lines_dropped_total 2",
        "# TYPE codex_worker_restarts counter",
        "# EOF",
    ] {
        has(&text, line);
    }
    assert!(!text.contains("codex_worker_uptime_seconds{"), "what is not known is not shown\n{text}");
}

#[test]
fn the_older_format_calls_counters_by_their_samples_name() {
    let metrics = Metrics::on();
    drop(metrics.turn(true));
    let text = text(&metrics, Exposition::Prometheus);
    has(&text, "# TYPE codex_stream_end_total counter");
    has(&text, "# HELP codex_stream_end_total Ended streamed turns, by reason.");
    has(&text, "# TYPE codex_stream_ttfb_ms histogram");
    assert!(!text.contains("# EOF") && !text.contains("# UNIT"), "{text}");
}

#[test]
fn the_format_is_the_one_that_is_asked_for() {
    let prometheus =
        "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
    assert_eq!(Exposition::accepted(prometheus), Exposition::OpenMetrics);
    for accept in ["", "*/*", "text/plain", "text/html"] {
        assert_eq!(Exposition::accepted(accept), Exposition::Prometheus, "{accept}");
    }
}

/// `cargo test --release -p proxy-core what_a_request_and_a_turn_cost -- --nocapture` prints the figures.
#[test]
fn what_a_request_and_a_turn_cost_when_off_is_next_to_nothing() {
    const ROUNDS: u32 = 20_000;
    let time = |metrics: &Metrics| {
        let started = std::time::Instant::now();
        for _ in 0..ROUNDS {
            let mut request = metrics.request("POST");
            let mut turn = metrics.turn(true);
            turn.first_byte();
            turn.ended("stop");
            request.answered(Some("/v1/responses"), 200);
        }
        started.elapsed() / ROUNDS
    };
    let (off, on) = (time(&Metrics::default()), time(&Metrics::on()));
    println!("a request with a turn: {off:?} off, {on:?} on");
    assert!(off < Duration::from_micros(20), "{off:?}");
    assert!(on < Duration::from_micros(200), "{on:?}");
}
