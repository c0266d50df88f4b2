use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::recording::{Arrival, Recorder};
use crate::request_log::{self, RequestLog};
use crate::usage::{self, UsageStore};
use crate::worker::testing::{Bench, Codex, soon, turn};
use protocol::turn::{Finish, Item, Part, Role};

/// A dispatcher over a worker that the test plays.
struct Scene {
    bench: Bench,
    codex: Codex,
    dispatcher: Dispatcher,
    recorder: Recorder,
    _store: UsageStore,
    _dir: TempDir,
}

impl Scene {
    async fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut bench = Bench::start(|_| {});
        let codex = bench.ready().await;
        let mut config = Config {
            timeout: Duration::from_secs(90),
            idle_timeout: Duration::from_secs(15),
            stream_idle_timeout: Duration::from_secs(300),
            legacy_idle_timeout: None,
            kill_on_disconnect: false,
            threads: Limits { threads: 4, idle: Duration::from_secs(60), warm: 0 },
            tail: TailControls::default(),
        };
        change(&mut config);
        let dir = TempDir::new().unwrap();
        let store = UsageStore::open(
            usage::Config {
                database: dir.path().join("proxy.db"),
                journal: dir.path().join("usage-journal"),
                token_log: None,
                retention_days: 0,
            },
            Vec::new(),
        );
        let store = store.unwrap();
        let recorder = Recorder::new(store.sink(), RequestLog::new(request_log::Config { kept: 10 }));
        let dispatcher = Dispatcher::new(bench.pool.clone(), config);
        Self { bench, codex, dispatcher, recorder, _store: store, _dir: dir }
    }

    /// A turn that has been sent to Codex.
    async fn asked(&mut self, streamed: bool) -> TurnEvents {
        let admission = soon("a place", self.dispatcher.place()).await.unwrap();
        let recording = self.recorder.begin(Arrival::default());
        admission.start(turn(), streamed, &recording).await.unwrap()
    }

    /// A turn that Codex has started, on thread `t`.
    async fn running(&mut self, streamed: bool) -> TurnEvents {
        let mut events = self.asked(streamed).await;
        self.codex.begin("t").await;
        assert_eq!(next(&mut events).await, TurnEvent::Started);
        events
    }
}

async fn next(events: &mut TurnEvents) -> TurnEvent {
    soon("an event", events.next()).await.expect("the turn has not ended")
}

/// Reads the rest of a turn that comes to its end.
async fn finish(events: &mut TurnEvents) {
    loop {
        let event = next(events).await;
        if event == TurnEvent::Finished(Finish::Stop) {
            break;
        }
        assert!(!event.is_terminal(), "{event:?}");
    }
    assert_eq!(events.next().await, None, "nothing follows the end");
}

async fn failure(events: &mut TurnEvents) -> TurnError {
    loop {
        if let TurnEvent::Failed(error) = next(events).await {
            assert_eq!(events.next().await, None, "nothing follows a failure");
            return error;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_comes_through_to_its_end() {
    let mut scene = Scene::new(|_| {}).await;
    let mut events = scene.running(true).await;
    scene.codex.text("t", "hi").await;
    scene.codex.complete("t").await;
    assert_eq!(next(&mut events).await, TurnEvent::MessageStarted { id: "m".into() });
    assert_eq!(next(&mut events).await, TurnEvent::TextDelta { id: "m".into(), text: "hi".into() });
    finish(&mut events).await;
    drop(events);
    assert!(!scene.codex.is_asked("turn/interrupt").await, "what is over is not interrupted");
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_not_streamed_has_a_deadline_however_much_is_said() {
    let mut scene = Scene::new(|_| {}).await;
    let mut events = scene.asked(false).await;
    let asked = Timer::now();
    scene.codex.begin("t").await;
    let talk = async {
        loop {
            scene.codex.text("t", "x").await;
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    };
    let error = tokio::select! {
        error = failure(&mut events) => error,
        () = talk => unreachable!(),
    };
    assert_eq!((error.kind, asked.elapsed().as_secs()), (TurnErrorKind::RequestTimeout, 90));
    assert!(error.message.contains("PROXY_TIMEOUT_MS"), "{}", error.message);
    assert_eq!(scene.codex.asked("turn/interrupt").await.1["threadId"], "t");
}

#[tokio::test(start_paused = true)]
async fn a_codex_that_leaves_a_turn_untouched_is_not_waited_for() {
    let mut scene = Scene::new(|_| {}).await;
    let mut events = scene.asked(false).await;
    let asked = Timer::now();
    let error = failure(&mut events).await;
    assert_eq!((error.kind, asked.elapsed().as_secs()), (TurnErrorKind::IdleTimeout, 15));
    // The turn's thread is unsubscribed when Codex names it.
    scene.codex.answer("thread/start", json!({"thread": {"id": "t"}})).await;
    assert_eq!(scene.codex.asked("thread/unsubscribe").await.1["threadId"], "t");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_thinks_is_not_idle_in_a_turn_that_is_not_streamed() {
    let mut scene = Scene::new(|_| {}).await;
    let mut events = scene.running(false).await;
    tokio::time::sleep(Duration::from_secs(80)).await;
    scene.codex.complete("t").await;
    finish(&mut events).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_has_no_deadline_but_does_not_stay_silent_for_ever() {
    let mut scene = Scene::new(|_| {}).await;
    let mut events = scene.running(true).await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(290)).await;
        scene.codex.text("t", "x").await;
        while !matches!(next(&mut events).await, TurnEvent::TextDelta { .. }) {}
    }
    let silent = Timer::now();
    let error = failure(&mut events).await;
    assert_eq!((error.kind, silent.elapsed().as_secs()), (TurnErrorKind::IdleTimeout, 300));
    assert_eq!(scene.codex.asked("turn/interrupt").await.1["threadId"], "t");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_ends_its_turn_alone() {
    let mut scene = Scene::new(|_| {}).await;
    let events = scene.running(true).await;
    drop(events);
    assert_eq!(scene.codex.asked("turn/interrupt").await.1["threadId"], "t");
    scene.codex.complete("t").await;
    assert!(!scene.bench.is_started().await);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_has_the_worker_replaced_where_that_is_set() {
    let mut scene = Scene::new(|config| config.kill_on_disconnect = true).await;
    let events = scene.running(true).await;
    drop(events);
    let _new = scene.bench.ready().await;
    assert_eq!(scene.codex.asked("turn/interrupt").await.1["threadId"], "t");
}

#[tokio::test(start_paused = true)]
async fn a_turn_whose_worker_ends_can_be_tried_again_in_a_moment() {
    let mut scene = Scene::new(|_| {}).await;
    let mut events = scene.running(true).await;
    scene.codex.exit(1);
    let error = failure(&mut events).await;
    assert_eq!((error.kind, error.retry_after), (TurnErrorKind::WorkerExited, Some(Duration::from_secs(1))));
}

#[tokio::test(start_paused = true)]
async fn what_an_upstream_says_of_a_retry_is_masked() {
    let mut scene = Scene::new(|_| {}).await;
    let mut events = scene.running(true).await;
    let message = format!("reconnecting: Authorization: Bearer {}", "k".repeat(40));
    let error = json!({"error": {"message": message}, "willRetry": true});
    scene.codex.notify("t", "error", error).await;
    let TurnEvent::Retrying { message } = next(&mut events).await else { panic!("it is told of a retry") };
    assert!(message.starts_with("reconnecting") && !message.contains("kkkk"), "{message}");
}

/// A turn of the key `owner` that goes through to the answer "hello", and the thread's id upstream.
async fn chat(scene: &mut Scene, owner: &str, items: Vec<Item>, is_new: bool) -> TurnEvents {
    let mut turn = turn();
    turn.items = items;
    let admission = soon("a place", scene.dispatcher.place_for(owner, &turn)).await.unwrap();
    let recording = scene.recorder.begin(Arrival::default());
    let mut events = admission.start(turn, true, &recording).await.unwrap();
    if is_new {
        scene.codex.answer("thread/start", json!({"thread": {"id": "t"}})).await;
    }
    scene.codex.answer("thread/inject_items", json!({})).await;
    scene.codex.answer("turn/start", json!({"turn": {"id": "t-turn"}})).await;
    let item = json!({"item": {"type": "message", "id": "m", "role": "assistant",
        "content": [{"type": "output_text", "text": "hello"}]}});
    scene.codex.notify("t", "rawResponseItem/completed", item).await;
    scene.codex.complete("t").await;
    finish(&mut events).await;
    events
}

fn said(role: Role, text: &str) -> Item {
    Item::Message { role, content: vec![Part::Text(text.to_owned())], phase: None }
}

fn grown() -> Vec<Item> {
    vec![said(Role::User, "hi"), said(Role::Assistant, "hello"), said(Role::User, "and?")]
}

#[tokio::test(start_paused = true)]
async fn a_chat_goes_on_with_its_thread_and_that_goes_with_its_key() {
    let mut scene = Scene::new(|_| {}).await;
    let first = chat(&mut scene, "key_1", vec![said(Role::User, "hi")], true).await;
    assert_eq!((first.source(), scene.dispatcher.waiting_threads()), (ThreadSource::Fresh, 1));
    let second = chat(&mut scene, "key_1", grown(), false).await;
    assert_eq!((second.source(), scene.dispatcher.waiting_threads()), (ThreadSource::Reused, 1));
    assert!(!scene.codex.is_asked("thread/unsubscribe").await);
    scene.dispatcher.forget_others(|owner| owner != "key_1");
    assert_eq!(scene.codex.asked("thread/unsubscribe").await.1["threadId"], "t");
    assert_eq!(scene.dispatcher.waiting_threads(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_thread_that_waits_too_long_is_closed_and_all_are_at_the_end() {
    let mut scene = Scene::new(|_| {}).await;
    let stop = CancellationToken::new();
    let sweeping = tokio::spawn(scene.dispatcher.clone().look_after_threads(stop.clone()));
    chat(&mut scene, "key_1", vec![said(Role::User, "hi")], true).await;
    assert!(!scene.codex.is_asked("thread/unsubscribe").await);
    stop.cancel();
    sweeping.await.unwrap();
    assert_eq!(scene.codex.asked("thread/unsubscribe").await.1["threadId"], "t");
}

#[tokio::test(start_paused = true)]
async fn a_thread_that_is_of_no_use_is_replaced_before_the_client_notices() {
    let mut scene = Scene::new(|_| {}).await;
    chat(&mut scene, "key_1", vec![said(Role::User, "hi")], true).await;
    let mut turn = turn();
    turn.items = grown();
    let admission = soon("a place", scene.dispatcher.place_for("key_1", &turn)).await.unwrap();
    let recording = scene.recorder.begin(Arrival::default());
    let mut events = admission.start(turn, true, &recording).await.unwrap();
    assert_eq!(events.source(), ThreadSource::Reused);
    let params = scene.codex.asked("thread/inject_items").await.1;
    assert_eq!(params["items"].as_array().map(Vec::len), Some(1));
    // The process ends; the next one gets the whole of it.
    let Scene { mut bench, codex, .. } = scene;
    codex.exit(1);
    let (answered, ()) = tokio::join!(next(&mut events), async {
        let mut next_codex = bench.ready().await;
        next_codex.answer("thread/start", json!({"thread": {"id": "t2"}})).await;
        let params = next_codex.answer("thread/inject_items", json!({})).await;
        assert_eq!(params["items"].as_array().map(Vec::len), Some(3));
        next_codex.answer("turn/start", json!({"turn": {"id": "t2-turn"}})).await;
    });
    assert_eq!(answered, TurnEvent::Started);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_lost_while_it_is_asked_is_replaced_before_the_client_notices() {
    let mut scene = Scene::new(|_| {}).await;
    chat(&mut scene, "key_1", vec![said(Role::User, "hi")], true).await;
    let mut turn = turn();
    turn.items = grown();
    let admission = soon("a place", scene.dispatcher.place_for("key_1", &turn)).await.unwrap();
    let recording = scene.recorder.begin(Arrival::default());
    let mut events = admission.start(turn, true, &recording).await.unwrap();
    scene.codex.answer("thread/inject_items", json!({})).await;
    scene.codex.answer("turn/start", json!({"turn": {"id": "t-turn"}})).await;
    assert_eq!(next(&mut events).await, TurnEvent::Started);
    let Scene { mut bench, codex, dispatcher, .. } = scene;
    codex.exit(1);
    let ((), ()) = tokio::join!(
        async {
            assert_eq!(
                next(&mut events).await,
                TurnEvent::MessageStarted { id: "m".into() },
                "it starts once"
            );
            finish(&mut events).await;
        },
        async {
            let mut codex = bench.ready().await;
            codex.begin("t2").await;
            let item = json!({"item": {"type": "message", "id": "m", "role": "assistant",
                "content": [{"type": "output_text", "text": "well"}]}});
            codex.notify("t2", "rawResponseItem/completed", item).await;
            codex.complete("t2").await;
        }
    );
    assert_eq!(dispatcher.waiting_threads(), 1, "its new thread is kept");
}

#[tokio::test(start_paused = true)]
async fn a_thread_that_codex_does_not_know_any_more_is_replaced() {
    let mut scene = Scene::new(|_| {}).await;
    chat(&mut scene, "key_1", vec![said(Role::User, "hi")], true).await;
    let mut turn = turn();
    turn.items = grown();
    let admission = soon("a place", scene.dispatcher.place_for("key_1", &turn)).await.unwrap();
    let recording = scene.recorder.begin(Arrival::default());
    let mut events = admission.start(turn, true, &recording).await.unwrap();
    let (id, _) = scene.codex.asked("thread/inject_items").await;
    let refusal = json!({"code": -32600, "message": "thread not found: t"});
    let (started, ()) = tokio::join!(next(&mut events), async {
        scene.codex.say(json!({"id": id, "error": refusal})).await;
        scene.codex.begin("t2").await;
    });
    assert_eq!(started, TurnEvent::Started);
}
