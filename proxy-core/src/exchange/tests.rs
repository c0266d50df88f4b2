mod count;
pub(crate) mod fake;
mod state;

use std::num::NonZeroU32;

use serde_json::json;
use tokio::time::timeout;

use super::*;
use crate::recording::Arrival;
use crate::request_log::RequestState;
use crate::secret::AdmittedKey;
use crate::throttle::{self, Rate};
use fake::{Options, Scene, begun, said};
use protocol::openai::chat::Chat;
use protocol::openai::error::RequestErrorKind;
use protocol::turn::TurnEvent;

/// Longer than anything here takes. The clock is paused, so this costs no real time.
const LONG: Duration = Duration::from_secs(3600);

fn hi() -> Value {
    json!({"model": "gpt-test", "messages": [{"role": "user", "content": "hi"}]})
}

/// `hi` as a stream.
fn streamed() -> Value {
    with(&[("stream", json!(true))])
}

fn with(members: &[(&str, Value)]) -> Value {
    let mut body = hi();
    for (name, value) in members {
        body[*name] = value.clone();
    }
    body
}

/// The failure of a refused turn.
fn failure(refusal: Refusal) -> TurnError {
    match refusal {
        Refusal::Turn(error) => error,
        Refusal::Throttled(_)
        | Refusal::Paused
        | Refusal::TooManyStreams(_)
        | Refusal::Store(_)
        | Refusal::Request(_) => panic!("{refusal:?}"),
    }
}

/// The text of each choice in these frames.
fn texts(frames: &[Frame]) -> Vec<(u64, String)> {
    let chunks = frames.iter().map(|frame| serde_json::from_str::<Value>(&frame.json).unwrap());
    let text = |chunk: Value| {
        let choice = &chunk["choices"][0];
        let text = choice["delta"]["content"].as_str().filter(|text| !text.is_empty())?;
        Some((choice["index"].as_u64()?, text.to_owned()))
    };
    chunks.filter_map(text).collect()
}

/// The rest of a stream: all its frames, and how it ended.
async fn drain<E: openai::Encoder>(stream: &mut FrameStream<E>) -> (Vec<Frame>, End) {
    let mut frames = Vec::new();
    loop {
        let batch = timeout(LONG, stream.next()).await.unwrap().unwrap();
        frames.extend(batch.frames);
        if let Some(end) = batch.end {
            assert_eq!(stream.next().await, None, "nothing comes after the end");
            return (frames, end);
        }
    }
}

/// A request that must not be read.
struct Unreadable;

impl Incoming for Unreadable {
    type Error = Refusal;

    async fn read(self, _: &Arc<Share>, _: &Recording) -> Result<Received, Refusal> {
        panic!("it is read")
    }
}

#[tokio::test(start_paused = true)]
async fn the_throttle_comes_before_the_body_is_read() {
    let rate = Rate { average: NonZeroU32::MIN, burst: NonZeroU32::MIN };
    let throttle = throttle::Config { rate: Some(rate), ..throttle::Config::default() };
    let scene = Scene::new(Options { throttle, ..Options::default() });
    scene.backend.turn(said("Hello"));
    let allowed = scene.ask(&hi()).await.unwrap().limits.rate.unwrap();
    assert_eq!((allowed.limit, allowed.remaining), (1, 0));
    let recording = scene.exchanges.recorder().begin(Arrival::default());
    let refused =
        scene.exchanges.open::<Chat, _>(Unreadable, &AdmittedKey::named("default"), &recording).await;
    assert!(matches!(refused, Err(Refusal::Throttled(_))), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_request_is_refused_as_such_while_paused_and_without_a_worker() {
    let scene = Scene::new(Options::default());
    scene.pause.set(true);
    scene.backend.script().ready = false;
    scene.backend.script().no_place = Some(TurnError::new(TurnErrorKind::WorkerNotReady, "None."));
    let refused = scene.ask(&json!({"model": "gpt-test"})).await.unwrap_err();
    let Refusal::Request(error) = refused else { panic!("{refused:?}") };
    assert_eq!(error.kind, RequestErrorKind::MissingParameter);
    assert!(matches!(scene.ask(&hi()).await, Err(Refusal::Paused)));
}

#[tokio::test(start_paused = true)]
async fn a_paused_proxy_refuses_what_it_understands_and_asks_for_no_place() {
    let scene = Scene::new(Options { streams: 1, ..Options::default() });
    scene.pause.set(true);
    assert!(matches!(scene.ask(&streamed()).await, Err(Refusal::Paused)));
    assert_eq!((scene.backend.taken(), scene.exchanges.open_streams()), (vec![], 0));
    assert_eq!(scene.entry().effective_model.as_deref(), Some("gpt-test"), "it was understood");
    scene.pause.set(false);
    scene.backend.turn(said("Hello"));
    assert!(scene.ask(&hi()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn without_a_worker_a_right_request_is_told_why_after_the_plan() {
    let scene = Scene::new(Options::default());
    scene.backend.script().ready = false;
    scene.backend.script().no_place = Some(TurnError::new(TurnErrorKind::LoginRequired, "Sign in."));
    let error = failure(scene.ask(&hi()).await.unwrap_err());
    assert_eq!((error.kind, error.message.as_str()), (TurnErrorKind::LoginRequired, "Sign in. Refused."));
    assert_eq!(scene.backend.taken(), ["place", "admit"]);
    scene.backend.script().forbidden = Some(TurnError::new(TurnErrorKind::UsageLimitReached, "Wait."));
    let error = failure(scene.ask(&hi()).await.unwrap_err());
    assert_eq!(error.kind, TurnErrorKind::UsageLimitReached);
}

#[tokio::test(start_paused = true)]
async fn a_place_that_was_waited_for_is_given_back_before_the_turn_has_its_own() {
    let scene = Scene::new(Options::default());
    scene.backend.script().ready = false;
    scene.backend.turn(said("Hello"));
    scene.ask(&hi()).await.unwrap();
    assert_eq!(scene.backend.taken(), ["place", "given back", "admit", "place", "start"]);
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_is_used_up_starts_nothing() {
    let scene = Scene::new(Options::default());
    scene.backend.script().forbidden = Some(TurnError::new(TurnErrorKind::UsageLimitReached, "Wait."));
    let error = failure(scene.ask(&streamed()).await.unwrap_err());
    assert_eq!(error.message, "Wait. Refused.");
    assert_eq!(scene.backend.taken(), ["admit"]);
    assert_eq!(scene.exchanges.open_streams(), 0, "the stream's place is given back");
}

#[tokio::test(start_paused = true)]
async fn a_question_about_usage_needs_no_worker() {
    let scene = Scene::new(Options::default());
    scene.backend.script().ready = false;
    scene.backend.script().no_place = Some(TurnError::new(TurnErrorKind::WorkerNotReady, "None."));
    let body = with(&[("messages", json!([{"role": "user", "content": "usage today"}])), ("n", json!(2))]);
    let Answer::Object(object, _) = scene.ask(&body).await.unwrap().answer else { panic!("an object") };
    for choice in 0..2 {
        let text = object["choices"][choice]["message"]["content"].as_str().unwrap();
        assert!(text.starts_with("**Usage from ") && text.contains("No requests in this time."), "{text}");
    }
    assert_eq!(scene.backend.taken(), ["place"], "only its catalogue was asked for");
}

#[tokio::test(start_paused = true)]
async fn a_stream_too_many_is_refused_until_another_has_ended() {
    let scene = Scene::new(Options { streams: 1, ..Options::default() });
    let turn = scene.backend.turn(begun("Hel"));
    let (_, mut stream) = scene.stream(&streamed()).await;
    let refused = scene.ask(&streamed()).await.unwrap_err();
    let Refusal::TooManyStreams(count) = refused else { panic!("{refused:?}") };
    assert_eq!(count.told(), Some([1, 1, 1]));
    scene.backend.turn(said("Hello"));
    assert!(scene.ask(&hi()).await.is_ok(), "an object is no stream");

    said("lo").into_iter().for_each(|event| turn.send(event).unwrap());
    drain(&mut stream).await;
    assert_eq!(scene.exchanges.open_streams(), 0, "its place is free with its last frames");
    scene.backend.turn(said("Hello"));
    let reply = scene.ask(&streamed()).await.unwrap();
    assert_eq!(reply.limits.streams.and_then(Count::told), Some([0, 1, 1]));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_exits_before_the_start_is_replaced_once() {
    let scene = Scene::new(Options::default());
    scene.backend.failing(TurnErrorKind::WorkerExited);
    scene.backend.turn(said("Hello"));
    assert!(scene.ask(&hi()).await.is_ok());
    assert_eq!(scene.backend.taken(), ["admit", "place", "start", "place", "start"]);
    scene.backend.failing(TurnErrorKind::WorkerExited);
    scene.backend.failing(TurnErrorKind::WorkerExited);
    assert_eq!(failure(scene.ask(&hi()).await.unwrap_err()).kind, TurnErrorKind::WorkerExited);
}

#[tokio::test(start_paused = true)]
async fn another_failure_of_the_start_is_told_at_once() {
    let scene = Scene::new(Options::default());
    scene.backend.failing(TurnErrorKind::Unsupported);
    let error = failure(scene.ask(&hi()).await.unwrap_err());
    assert_eq!((error.kind, error.message.as_str()), (TurnErrorKind::Unsupported, "It failed. Refused."));
    assert_eq!(scene.backend.taken(), ["admit", "place", "start"]);
}

#[tokio::test(start_paused = true)]
async fn frames_come_as_the_events_that_make_them() {
    let scene = Scene::new(Options::default());
    let turn = scene.backend.turn(vec![TurnEvent::Started]);
    let (opening, mut stream) = scene.stream(&streamed()).await;
    assert_eq!(opening.len(), 1);
    assert!(opening[0].json.contains(r#""role":"assistant""#) && opening[0].event.is_none());
    assert!(timeout(LONG, stream.next()).await.is_err(), "an event without a frame is no batch");
    turn.send(TurnEvent::TextDelta { id: "m".into(), text: "Hi".into() }).unwrap();
    let batch = stream.next().await.unwrap();
    assert_eq!((texts(&batch.frames), batch.end), (vec![(0, "Hi".to_owned())], None));
    said("!").into_iter().for_each(|event| turn.send(event).unwrap());
    let (frames, end) = drain(&mut stream).await;
    assert_eq!((texts(&frames), end), (vec![(0, "!".to_owned())], End::Complete));
    assert!(frames.last().unwrap().json.contains(r#""choices":[]"#), "the usage comes last");
}

#[tokio::test(start_paused = true)]
async fn a_failure_after_the_first_frame_is_in_the_stream() {
    let scene = Scene::new(Options::default());
    let turn = scene.backend.turn(begun("Hel"));
    let (_, mut stream) = scene.stream(&streamed()).await;
    turn.send(TurnEvent::Failed(TurnError::new(TurnErrorKind::Upstream, "It broke."))).unwrap();
    let (frames, end) = drain(&mut stream).await;
    let End::Failed(error) = end else { panic!("{end:?}") };
    assert_eq!((error.kind, error.message.as_str()), (TurnErrorKind::Upstream, "It broke. Explained."));
    let last: Value = serde_json::from_str(&frames.last().unwrap().json).unwrap();
    assert_eq!(last["error"]["message"], "It broke. Explained.");
    assert_eq!(last["error"]["code"], "upstream_error");
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_an_object_is_a_refusal() {
    let scene = Scene::new(Options::default());
    let mut events = begun("Hel");
    events.push(TurnEvent::Failed(TurnError::new(TurnErrorKind::Upstream, "It broke.")));
    scene.backend.turn(events);
    let error = failure(scene.ask(&hi()).await.unwrap_err());
    assert_eq!((error.kind, error.message.as_str()), (TurnErrorKind::Upstream, "It broke. Refused."));
    drop(scene.backend.turn(begun("no end")));
    assert_eq!(failure(scene.ask(&hi()).await.unwrap_err()).kind, TurnErrorKind::Internal);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_stops_before_its_end_has_failed() {
    let scene = Scene::new(Options::default());
    drop(scene.backend.turn(begun("Hel")));
    let (_, mut stream) = scene.stream(&streamed()).await;
    let end = loop {
        let batch = timeout(LONG, stream.next()).await.unwrap().unwrap();
        if let Some(end) = batch.end {
            assert!(batch.frames.iter().any(|frame| frame.json.contains("stopped before its end")));
            break end;
        }
    };
    assert!(matches!(&end, End::Failed(error) if error.kind == TurnErrorKind::Internal), "{end:?}");
    assert_eq!(stream.next().await.map(|batch| batch.end), None);
}

#[tokio::test(start_paused = true)]
async fn each_choice_is_a_turn_and_the_stream_ends_with_the_last() {
    let scene = Scene::new(Options::default());
    let (first, second) = (scene.backend.turn(said("a")), scene.backend.turn(begun("b")));
    let (opening, mut stream) = scene.stream(&with(&[("stream", json!(true)), ("n", json!(2))])).await;
    assert_eq!((opening.len(), scene.backend.taken().len()), (2, 5), "a place and a start for each");
    let mut heard = Vec::new();
    while let Ok(batch) = timeout(LONG, stream.next()).await {
        let batch = batch.unwrap();
        assert_eq!(batch.end, None, "the second goes on");
        heard.extend(texts(&batch.frames));
    }
    heard.sort();
    assert_eq!(heard, [(0, "a".to_owned()), (1, "b".to_owned())]);
    said("c").into_iter().for_each(|event| second.send(event).unwrap());
    let (frames, end) = drain(&mut stream).await;
    assert_eq!((texts(&frames), end), (vec![(1, "c".to_owned())], End::Complete));
    drop(first);

    scene.backend.turn(said("a"));
    scene.backend.turn(said("b"));
    let reply = scene.ask(&with(&[("n", json!(2))])).await.unwrap();
    let Answer::Object(object, _) = reply.answer else { panic!("an object") };
    assert_eq!(object["choices"][0]["message"]["content"], "a");
    assert_eq!(object["choices"][1]["message"]["content"], "b");
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_is_dropped_interrupts_its_turns() {
    let scene = Scene::new(Options { streams: 1, ..Options::default() });
    let turns = [scene.backend.turn(begun("a")), scene.backend.turn(begun("b"))];
    let (_, mut stream) = scene.stream(&with(&[("stream", json!(true)), ("n", json!(2))])).await;
    assert!(stream.next().await.is_some());
    scene.backend.taken();
    drop(stream);
    assert_eq!(scene.backend.taken(), ["interrupted", "interrupted"]);
    assert_eq!(scene.exchanges.open_streams(), 0);
    assert!(turns.iter().all(|turn| turn.is_closed()));

    let turn = scene.backend.turn(begun("a"));
    assert!(timeout(LONG, scene.ask(&hi())).await.is_err(), "it waits for the end of its turn");
    assert_eq!(scene.backend.taken(), ["admit", "place", "start", "interrupted"]);
    assert!(turn.is_closed());
    assert_eq!(scene.entry().state, RequestState::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_choice_that_cannot_start_interrupts_the_others() {
    let scene = Scene::new(Options::default());
    let first = scene.backend.turn(begun("a"));
    scene.backend.failing(TurnErrorKind::Unsupported);
    assert!(scene.ask(&with(&[("n", json!(2))])).await.is_err());
    assert_eq!(scene.backend.taken().last(), Some(&"interrupted"));
    assert!(first.is_closed());
}

#[tokio::test(start_paused = true)]
async fn memory_is_held_until_codex_has_the_turn() {
    let size = hi().to_string().len();
    let scene = Scene::new(Options { memory: streamed().to_string().len() + size / 2, ..Options::default() });
    let turn = scene.backend.turn(vec![]);
    let (_, mut stream) = scene.stream(&streamed()).await;
    let error = failure(scene.ask(&hi()).await.unwrap_err());
    assert_eq!((error.kind, error.retry_after), (TurnErrorKind::Overloaded, Some(Duration::from_secs(1))));
    turn.send(TurnEvent::Started).unwrap();
    assert!(timeout(LONG, stream.next()).await.is_err(), "it has begun");
    scene.backend.turn(said("Hello"));
    assert!(scene.ask(&hi()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn notes_say_how_the_request_was_understood() {
    let scene = Scene::new(Options::default());
    scene.backend.script().unmet = true;
    scene.backend.turn(said("no JSON"));
    let body = with(&[
        ("model", json!("gpt-other")),
        ("logit_bias", json!({})),
        ("seed", json!(7)),
        ("response_format", json!({"type": "json_object"})),
        ("reasoning_effort", json!("medium")),
        ("messages", json!([{"role": "user", "content": "Answer in JSON."}])),
    ]);
    let notes = scene.ask(&body).await.unwrap().notes;
    assert_eq!(notes.effective_model, "gpt-test");
    assert_eq!(notes.unmet_param, Some("response_format"));
    assert!(notes.ignored_params.contains(&"seed".to_owned()), "{notes:?}");
    assert_eq!(notes.effective_effort, Some(Effort::Low), "of two equally near, the lower");
    assert_eq!(notes.replaced_characters, 0);
}
