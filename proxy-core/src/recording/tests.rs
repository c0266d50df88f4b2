use std::net::Ipv4Addr;

use tempfile::TempDir;

use super::*;
use crate::request_log::{self, Captured, RefusalReason};
use crate::secret::AdmittedKey;
use crate::telemetry::metrics::{Exposition, Snapshot};
use crate::threads::ThreadSource;
use crate::usage::{self, UsageStore};
use protocol::turn::{Finish, Model, ToolKind, TurnEvent};

/// A recorder with a store in a directory of its own.
struct Scene {
    recorder: Recorder,
    log: RequestLog,
    store: UsageStore,
    metrics: Metrics,
    _dir: TempDir,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = usage::Config {
            database: dir.path().join("proxy.db"),
            journal: dir.path().join("journal"),
            token_log: None,
            retention_days: 0,
        };
        let store = UsageStore::open(config, Vec::new()).unwrap();
        let log = RequestLog::new(request_log::Config { kept: 10 });
        let metrics = Metrics::on();
        let recorder = Recorder::new(store.sink(), log.clone()).with_metrics(metrics.clone());
        Self { recorder, log, store, metrics, _dir: dir }
    }

    fn entry(&self) -> RequestEntry {
        self.log.get("req_1").unwrap().0
    }

    fn texts(&self) -> Option<Captured> {
        self.log.get("req_1").and_then(|(_, texts)| texts)
    }

    fn events(&self) -> Vec<UsageEvent> {
        self.store.page(10, None).unwrap().events
    }

    fn metrics(&self) -> String {
        self.metrics.render(Snapshot::default(), Exposition::accepted("")).unwrap()
    }
}

fn arrival() -> Arrival {
    Arrival {
        route: "/v1/chat/completions".to_owned(),
        method: "POST".to_owned(),
        surface: "chat",
        id: "req_1".to_owned(),
        key: Some(AdmittedKey::named("default")),
        user_agent: "curl/8.5.0".to_owned(),
        address: Some(Ipv4Addr::LOCALHOST.into()),
        about: None,
    }
}

fn reading() -> Reading {
    Reading {
        requested_model: "gpt-5".to_owned(),
        effective_model: "gpt-5.2".to_owned(),
        effort: Some("high"),
        service_tier: None,
        stream: true,
    }
}

/// A turn of `recording` on worker 1.
fn turn(recording: &Recording) -> TurnRecording {
    let model = Model {
        id: "gpt-5.2".into(),
        display_name: "Test".into(),
        description: String::new(),
        efforts: Vec::new(),
        default_effort: None,
        images: true,
        hidden: false,
        is_default: true,
        service_tiers: None,
        context_window: None,
    };
    recording.turn(
        1,
        &Turn::new("gpt-5.2"),
        &Catalogue { models: vec![model] },
        true,
        ThreadSource::Fresh,
        Span::none(),
    )
}

fn usage(input: u64, output: u64) -> Usage {
    Usage { input, output, ..Usage::default() }
}

fn text() -> TurnEvent {
    TurnEvent::TextDelta { id: "m".into(), text: "x".into() }
}

#[test]
fn a_request_is_listed_while_it_runs() {
    let scene = Scene::new();
    let mut changes = scene.log.watch();
    let recording = scene.recorder.begin(arrival());
    let running = changes.try_recv().unwrap();
    assert_eq!((running.state, running.status, running.duration_ms), (RequestState::Running, None, None));
    assert_eq!((running.client.as_str(), running.address), ("curl", Some(Ipv4Addr::LOCALHOST.into())));
    assert_eq!(scene.store.today().requests, 0, "it is counted when it is over");
    recording.finish(200, None);
    assert_eq!(changes.try_recv().unwrap().state, RequestState::Done);
}

#[test]
fn a_request_is_counted_when_it_is_finished_while_others_hold_it() {
    let scene = Scene::new();
    let recording = scene.recorder.begin(arrival());
    recording.body(b"12345");
    recording.model("gpt-5");
    recording.read(reading());
    let mut turn = turn(&recording);
    turn.see(&text());
    turn.see(&TurnEvent::ToolCall {
        id: "f".into(),
        kind: ToolKind::Function,
        call_id: "c".into(),
        namespace: None,
        name: "f".into(),
        input: "{}".into(),
    });
    turn.tokens().counted(usage(10, 3));
    turn.tokens().counted(usage(20, 5));
    recording.answered(b"123");
    recording.finish(200, None);
    assert_eq!(scene.store.today().requests, 1, "before the last frame goes out");

    turn.tokens().counted(usage(900, 900));
    recording.answered(b"late");
    recording.finish(500, Some("internal_error"));
    drop((turn, recording));
    let events = scene.events();
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((event.status, event.error_code.as_deref()), (200, None), "the first word counts");
    assert_eq!((event.input_tokens, event.output_tokens, event.estimated), (20, 5, false));
    assert_eq!((event.request_bytes, event.response_bytes, event.tool_calls), (5, 3, 1));
    assert_eq!((event.worker, event.stream, event.ttft_ms.is_some()), (Some(1), true, true));
    assert_eq!((event.requested_model.as_str(), event.effective_model.as_str()), ("gpt-5", "gpt-5.2"));
    assert_eq!((event.effort.as_deref(), event.key.as_str()), (Some("high"), "default"));
}

#[test]
fn a_handler_that_is_dropped_has_lost_its_client_and_late_tokens_count() {
    let scene = Scene::new();
    let recording = scene.recorder.begin(arrival());
    recording.read(reading());
    let turn = turn(&recording);
    turn.estimate(usage(7, 1));
    let session = turn.tokens();
    drop((turn, recording));
    assert_eq!(scene.store.today().requests, 0, "Codex still works on it");
    session.counted(usage(30, 2));
    drop(session);
    let events = scene.events();
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((event.status, event.error_code.as_deref()), (499, Some("client_closed_request")));
    assert_eq!((event.input_tokens, event.output_tokens, event.estimated), (30, 2, false));
    assert_eq!(scene.entry().state, RequestState::Cancelled);
}

#[test]
fn an_estimate_counts_where_the_vendor_says_nothing() {
    let scene = Scene::new();
    let recording = scene.recorder.begin(arrival());
    let (counted, mut estimated) = (turn(&recording), turn(&recording));
    counted.tokens().counted(usage(10, 1));
    counted.estimate(usage(1000, 1000));
    estimated.see(&TurnEvent::Usage(Usage { estimated: true, ..usage(5, 2) }));
    recording.finish(502, Some("upstream_error"));
    let entry = scene.entry();
    assert_eq!((entry.input_tokens, entry.output_tokens, entry.estimated), (15, 3, true));
    assert_eq!((entry.state, entry.status), (RequestState::Failed, Some(502)));
}

#[test]
fn a_count_is_compared_with_what_the_vendor_reports() {
    let scene = Scene::new();
    let recording = scene.recorder.begin(arrival());
    recording.expect(11);
    turn(&recording).tokens().counted(usage(10, 4));
    recording.finish(200, None);
    let estimated = scene.recorder.begin(arrival());
    estimated.expect(11);
    turn(&estimated).estimate(usage(10, 4));
    estimated.finish(200, None);
    let text = scene.metrics();
    assert!(text.contains("codex_proxy_token_count_error_ratio_sum 0.1\n"), "{text}");
    assert!(
        text.contains("codex_proxy_token_count_error_ratio_count 1\n"),
        "an estimate proves nothing: {text}"
    );
}

#[test]
fn turns_and_tokens_are_in_the_metrics() {
    let scene = Scene::new();
    let recording = scene.recorder.begin(arrival());
    let mut turn = turn(&recording);
    turn.tokens().counted(usage(10, 4));
    turn.see(&TurnEvent::Finished(Finish::Stop));
    drop(turn);
    recording.finish(200, None);
    let metrics = scene.metrics();
    for line in [
        r#"codex_proxy_tokens_total{kind="input",model="gpt-5.2"} 10"#,
        r#"codex_proxy_tokens_total{kind="output",model="gpt-5.2"} 4"#,
        r#"codex_proxy_turns_total{reason="stop"} 1"#,
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
}

#[test]
fn a_request_without_a_turn_has_no_tokens_in_the_metrics() {
    let scene = Scene::new();
    scene.recorder.begin(arrival()).finish(400, Some("invalid_json"));
    assert!(!scene.metrics().contains("codex_proxy_tokens_total{"));
    assert_eq!(scene.entry().error_code.as_deref(), Some("invalid_json"));
}

#[test]
fn a_request_that_is_not_let_in_is_listed_and_not_counted() {
    let scene = Scene::new();
    let refusal = Refusal { reason: RefusalReason::WrongKey, named: None, count: 1 };
    scene.recorder.refuse(arrival(), refusal.clone(), 401, Some("invalid_api_key"));
    let entry = scene.entry();
    assert_eq!((entry.state, entry.status, entry.duration_ms), (RequestState::Failed, Some(401), Some(0)));
    assert_eq!((entry.refusal, entry.address), (Some(refusal), arrival().address));
    assert_eq!((scene.store.today().requests, scene.events().len()), (0, 0));
}

#[test]
fn texts_are_kept_of_requests_that_came_while_they_were_captured() {
    let scene = Scene::new();
    let before = scene.recorder.begin(arrival());
    assert!(before.capture().is_none());
    drop(before);
    scene.log.capture(Some("default".to_owned()), Duration::from_secs(60));
    let recording = scene.recorder.begin(arrival());
    let key = format!("sk-{}", "a1B2c3D4".repeat(4));
    recording.body(format!("{{\"key\":\"{key}\"}}").as_bytes());
    let turn = turn(&recording);
    assert!(turn.tokens().captures_lines());
    turn.tokens().line("{\"method\":\"turn/start\"}");
    recording.answered(b"data: 1\n\n");
    assert!(!scene.entry().has_capture && scene.texts().is_none(), "they are put in the log at the end");
    recording.finish(200, None);
    assert!(scene.entry().has_capture);
    let texts = scene.texts().unwrap();
    assert_eq!(texts.sent_to_codex, ["{\"method\":\"turn/start\"}"]);
    assert_eq!(texts.response_body.as_deref(), Some("data: 1\n\n"));
    assert!(!texts.request_body.unwrap().contains(&key), "a key is masked");
}

#[test]
fn names_that_a_client_chose_are_masked_and_short() {
    let scene = Scene::new();
    let key = format!("sk-{}", "a1B2c3D4".repeat(4));
    let recording = scene.recorder.begin(Arrival { user_agent: format!("curl/{key}"), ..arrival() });
    recording.model(&format!("{key}{}", "m".repeat(500)));
    recording.finish(404, Some("model_not_found"));
    let entry = scene.entry();
    assert!(!entry.user_agent.contains(&key), "{}", entry.user_agent);
    let model = entry.requested_model.unwrap();
    assert!(!model.contains(&key) && model.chars().count() <= 201, "{model}");
}

#[test]
fn after_a_restart_a_request_looks_as_before() {
    let scene = Scene::new();
    let recording = scene.recorder.begin(arrival());
    recording.read(reading());
    recording.finish(200, None);
    let log = RequestLog::new(request_log::Config { kept: 10 });
    Recorder::new(scene.store.sink(), log.clone()).recall(&scene.events());
    let recalled = log.get("req_1").unwrap().0;
    assert_eq!(recalled, RequestEntry { address: None, ..scene.entry() });
}
