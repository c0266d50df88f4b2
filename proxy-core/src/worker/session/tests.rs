use std::sync::Mutex;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::*;
use crate::worker::active_turn::{ActiveTurn, Observer, Place};
use crate::worker::notices::Notices;
use crate::worker::testing::{Codex, Signal, exit_status, next, process, rest, settings, soon, turn};
use protocol::codex::calls::Call;
use protocol::codex::{AppServer, Fatal};
use protocol::turn::{Finish, TurnError, TurnErrorKind, TurnEvent, Usage};

/// A call without a caller.
struct X;

impl Call for X {
    const METHOD: &'static str = "x";
    type Params = Value;
    type Response = Value;
}

/// A session, and its Codex.
struct Bench {
    codex: Codex,
    stop: oneshot::Sender<StopReason>,
    ended: JoinHandle<Ended>,
}

impl Bench {
    fn start(lifetime: Lifetime) -> (Self, oneshot::Receiver<Handle>) {
        let (process, pipes, codex) = process();
        let voice = Notices::default().voice();
        let grace = Duration::from_secs(5);
        let session = Parts { worker: 0, voice, process, pipes, lifetime, grace };
        let (ready, handle) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let stopped = async move {
            match stopped.await {
                Ok(reason) => reason,
                Err(_) => std::future::pending().await,
            }
        };
        let driver = |out: &mut Vec<Step>| Driver::AppServer(AppServer::new(settings(), out));
        let ended = tokio::spawn(session.run(driver, ready, stopped));
        (Self { codex, stop, ended }, handle)
    }

    async fn ready() -> (Self, Handle) {
        Self::ready_for(Lifetime::ManyTurns).await
    }

    async fn ready_for(lifetime: Lifetime) -> (Self, Handle) {
        let (mut bench, handle) = Self::start(lifetime);
        bench.codex.shake_hands().await;
        let handle = soon("the handle", handle).await.unwrap();
        (bench, handle)
    }

    /// A turn that has started on this thread.
    async fn running(&mut self, handle: &Handle, thread: &str) -> (TurnStream, watch::Receiver<Taken>) {
        let (active, place) = place(None);
        let mut stream = handle.start(turn(), active).unwrap();
        self.codex.begin(thread).await;
        assert_eq!(next(&mut stream).await, TurnEvent::Started);
        (stream, place)
    }
}

async fn end(ended: JoinHandle<Ended>) -> EndReason {
    soon("the end of the session", ended).await.unwrap().reason
}

/// The end of a turn's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Starting,
    Started,
    Free,
}

#[derive(Debug)]
struct TestPlace(watch::Sender<Taken>);

impl Place for TestPlace {
    fn started(&mut self) {
        self.0.send_replace(Taken::Started);
    }
}

impl Drop for TestPlace {
    fn drop(&mut self) {
        self.0.send_replace(Taken::Free);
    }
}

fn place(observer: Option<Arc<dyn Observer>>) -> (ActiveTurn, watch::Receiver<Taken>) {
    let (sender, receiver) = watch::channel(Taken::Starting);
    (ActiveTurn::new(TestPlace(sender), observer), receiver)
}

async fn is_free(place: &mut watch::Receiver<Taken>) {
    soon("the turn's place", place.wait_for(|taken| *taken == Taken::Free)).await.unwrap();
}

#[derive(Debug, Default)]
struct Seen {
    usage: Mutex<Vec<Usage>>,
    lines: Mutex<Vec<String>>,
}

impl Observer for Seen {
    fn used(&self, usage: Usage) {
        self.usage.lock().unwrap().push(usage);
    }

    fn wants_lines(&self) -> bool {
        true
    }

    fn sent(&self, line: &str) {
        self.lines.lock().unwrap().push(line.to_owned());
    }
}

fn failed(events: &[TurnEvent]) -> &TurnError {
    let [.., TurnEvent::Failed(error)] = events else { panic!("it did not fail: {events:?}") };
    error
}

#[tokio::test(start_paused = true)]
async fn a_handshake_says_what_codex_can_do_and_whose_it_is() {
    let (_bench, handle) = Bench::ready().await;
    assert_eq!(handle.capabilities().version, "0.169.0");
    assert_eq!(handle.account().await, Some(Account::Usable));
    assert!(!handle.is_closed() && handle.lines_heard() > 0);
}

#[tokio::test(start_paused = true)]
async fn a_refused_handshake_ends_the_session_and_gives_no_handle() {
    let (mut bench, handle) = Bench::start(Lifetime::ManyTurns);
    let (id, _) = bench.codex.asked("initialize").await;
    bench.codex.say(json!({"id": id, "error": {"code": -1, "message": "no"}})).await;
    assert!(soon("an answer", handle).await.is_err());
    bench.codex.input_ended().await;
    bench.codex.exit(0);
    let refused = RpcError { code: -1, message: "no".to_owned() };
    assert_eq!(end(bench.ended).await, EndReason::Fatal(Fatal::Handshake(refused)));
}

#[tokio::test(start_paused = true)]
async fn a_turn_goes_from_its_start_to_its_end_and_gives_its_place_back() {
    let (mut bench, handle) = Bench::ready().await;
    let (active, mut place) = place(None);
    let mut stream = handle.start(turn(), active).unwrap();
    bench.codex.answer("thread/start", json!({"thread": {"id": "t"}})).await;
    bench.codex.answer("thread/inject_items", json!({})).await;
    let (id, _) = bench.codex.asked("turn/start").await;
    assert_eq!(*place.borrow(), Taken::Starting);
    bench.codex.say(json!({"id": id, "result": {"turn": {"id": "t-turn"}}})).await;
    assert_eq!(next(&mut stream).await, TurnEvent::Started);
    assert_eq!(*place.borrow(), Taken::Started);
    bench.codex.text("t", "hel").await;
    bench.codex.text("t", "lo").await;
    bench.codex.complete("t").await;
    let text = |text: &str| TurnEvent::TextDelta { id: "m".into(), text: text.into() };
    let started = TurnEvent::MessageStarted { id: "m".into() };
    let finished = TurnEvent::Finished(Finish::Stop);
    assert_eq!(rest(&mut stream).await, [started, text("hel"), text("lo"), finished]);
    is_free(&mut place).await;
    let thread = stream.kept().unwrap();
    assert_eq!(thread.calls(), Vec::<String>::new());
    drop(thread);
    assert_eq!(bench.codex.asked("thread/unsubscribe").await.1["threadId"], "t");
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_dropped_is_interrupted_and_keeps_its_place_until_codex_has_ended_it() {
    let (mut bench, handle) = Bench::ready().await;
    let (stream, mut place) = bench.running(&handle, "t").await;
    drop(stream);
    let (_, params) = bench.codex.asked("turn/interrupt").await;
    assert_eq!(params, json!({"threadId": "t", "turnId": "t-turn"}));
    assert_eq!(*place.borrow(), Taken::Started);
    bench.codex.complete("t").await;
    is_free(&mut place).await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_dropped_on_its_way_never_begins() {
    let (mut bench, handle) = Bench::ready().await;
    let (active, mut place) = place(None);
    let stream = handle.start(turn(), active).unwrap();
    let (id, _) = bench.codex.asked("thread/start").await;
    drop(stream);
    // The session handles commands in order, so it has seen the earlier one when this call is made.
    let call = tokio::spawn(async move { handle.call::<X>(json!({})).await });
    bench.codex.answer("x", json!(1)).await;
    assert_eq!(call.await.unwrap(), Ok(json!(1)));
    bench.codex.say(json!({"id": id, "result": {"thread": {"id": "t"}}})).await;
    is_free(&mut place).await;
    assert_eq!(bench.codex.asked("thread/unsubscribe").await.1["threadId"], "t");
    assert!(!bench.codex.is_asked("thread/inject_items").await);
}

#[tokio::test(start_paused = true)]
async fn what_a_turn_costs_and_sends_is_told_also_when_its_owner_has_gone() {
    let (mut bench, handle) = Bench::ready().await;
    let seen = Arc::new(Seen::default());
    let (active, mut place) = place(Some(seen.clone()));
    let mut stream = handle.start(turn(), active).unwrap();
    bench.codex.begin("t").await;
    assert_eq!(next(&mut stream).await, TurnEvent::Started);
    drop(stream);
    bench.codex.asked("turn/interrupt").await;
    let usage = json!({"usage": {"inputTokens": 7, "outputTokens": 3}});
    bench.codex.notify("t", "rawResponse/completed", usage).await;
    bench.codex.complete("t").await;
    is_free(&mut place).await;
    let usage = Usage { input: 7, output: 3, ..Usage::default() };
    assert_eq!(*seen.usage.lock().unwrap(), [usage]);
    let lines = seen.lines.lock().unwrap();
    let sent = ["thread/start", "thread/inject_items", "turn/start"];
    assert!(
        lines.len() == 3 && lines.iter().zip(sent).all(|(line, method)| line.contains(method)),
        "{lines:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_process_that_does_not_end_its_only_turn_is_given_up() {
    let (mut bench, handle) = Bench::ready().await;
    let (stream, mut place) = bench.running(&handle, "t").await;
    drop(stream);
    let dropped = Instant::now();
    bench.codex.asked("turn/interrupt").await;
    bench.codex.input_ended().await;
    assert_eq!(dropped.elapsed().as_secs(), 10);
    is_free(&mut place).await;
    bench.codex.exit(0);
    assert_eq!(end(bench.ended).await, EndReason::Stuck);
    assert!(handle.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_process_that_does_not_end_a_turn_is_to_be_replaced_while_another_goes_on() {
    let (mut bench, handle) = Bench::ready().await;
    let (stuck, _place) = bench.running(&handle, "a").await;
    let (mut other, _other) = bench.running(&handle, "b").await;
    drop(stuck);
    let dropped = Instant::now();
    soon("the word that it is to be replaced", handle.worn()).await;
    assert_eq!(dropped.elapsed().as_secs(), 10);
    bench.codex.text("b", "still here").await;
    bench.codex.complete("b").await;
    assert_eq!(rest(&mut other).await.last(), Some(&TurnEvent::Finished(Finish::Stop)));
    // Now the process has nothing left that could be lost.
    bench.codex.input_ended().await;
    bench.codex.exit(0);
    assert_eq!(end(bench.ended).await, EndReason::Stuck);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_ends_other_turns_has_longer_for_one() {
    let (mut bench, handle) = Bench::ready().await;
    let (slow, mut place) = bench.running(&handle, "a").await;
    let (other, mut free) = bench.running(&handle, "b").await;
    drop(slow);
    drop(other);
    tokio::time::sleep(Duration::from_secs(9)).await;
    bench.codex.complete("b").await;
    is_free(&mut free).await;
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert!(!handle.is_closed(), "it has ended a turn nine seconds ago");
    bench.codex.complete("a").await;
    is_free(&mut place).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!handle.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_too_long_ends_its_own_turn_and_one_of_no_turn_the_session() {
    let (mut bench, handle) = Bench::ready().await;
    let (mut long, _place) = bench.running(&handle, "a").await;
    let (mut other, _other) = bench.running(&handle, "b").await;
    let flood = vec![b'x'; LONGEST_MESSAGE + 1];
    bench.codex.print(br#"{"method":"item/agentMessage/delta","params":{"threadId":"a","delta":""#).await;
    bench.codex.print(&flood).await;
    bench.codex.print(b"\"}}\n").await;
    let error = failed(&rest(&mut long).await).clone();
    assert_ne!(error.kind, TurnErrorKind::WorkerExited);
    assert_eq!(bench.codex.asked("turn/interrupt").await.1["threadId"], "a");
    bench.codex.text("b", "x").await;
    assert_eq!(next(&mut other).await, TurnEvent::MessageStarted { id: "m".into() });
    bench.codex.print(&flood).await;
    bench.codex.input_ended().await;
    assert_eq!(failed(&rest(&mut other).await).kind, TurnErrorKind::WorkerExited);
    bench.codex.exit(0);
    assert_eq!(end(bench.ended).await, EndReason::TooLong);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_takes_no_input_is_ended() {
    let (mut bench, handle) = Bench::ready().await;
    bench.codex.close_input();
    assert!(handle.call::<X>(json!({})).await.is_err());
    bench.codex.killed().await;
    assert!(matches!(end(bench.ended).await, EndReason::Unwritable(_)));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_takes_no_input_because_it_ended_is_said_to_have_ended() {
    let (mut bench, handle) = Bench::ready().await;
    bench.codex.close_input();
    let call = tokio::spawn(async move { handle.call::<X>(json!({})).await });
    tokio::time::sleep(Duration::from_millis(10)).await;
    bench.codex.exit(4);
    assert!(call.await.unwrap().is_err());
    let ended = EndReason::Exited { status: exit_status(4), last_words: String::new() };
    assert_eq!(end(bench.ended).await, ended);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_ends_takes_its_turns_along_and_has_its_last_words_kept() {
    let (mut bench, handle) = Bench::ready().await;
    let (mut stream, mut place) = bench.running(&handle, "t").await;
    bench.codex.complain("first\nthread 'main' panicked: boom\n").await;
    bench.codex.exit(101);
    let last_words = "first / thread 'main' panicked: boom".to_owned();
    let ended = EndReason::Exited { status: exit_status(101), last_words };
    assert_eq!(end(bench.ended).await, ended);
    let error = failed(&rest(&mut stream).await).clone();
    assert_eq!((error.kind, error.retry_after), (TurnErrorKind::WorkerExited, Some(Duration::from_secs(1))));
    is_free(&mut place).await;
    let (active, mut place) = self::place(None);
    assert_eq!(handle.start(turn(), active).unwrap_err().kind, TurnErrorKind::WorkerExited);
    is_free(&mut place).await;
}

#[tokio::test(start_paused = true)]
async fn a_process_that_closes_its_output_has_a_moment_to_end() {
    let (mut bench, _handle) = Bench::ready().await;
    bench.codex.close_output();
    bench.codex.input_ended().await;
    bench.codex.exit(0);
    assert_eq!(end(bench.ended).await, EndReason::OutputClosed);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_stopped_has_its_grace_twice() {
    let (mut bench, handle) = Bench::ready().await;
    let (mut stream, _place) = bench.running(&handle, "t").await;
    bench.stop.send(StopReason::Replaced).unwrap();
    bench.codex.input_ended().await;
    assert_eq!(failed(&rest(&mut stream).await).kind, TurnErrorKind::WorkerExited);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(bench.codex.signal(), Signal::Nothing);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(bench.codex.signal(), Signal::AskedToEnd);
    bench.codex.killed().await;
    assert_eq!(end(bench.ended).await, EndReason::Stopped(StopReason::Replaced));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_ends_with_its_input_is_not_signalled() {
    let (mut bench, _handle) = Bench::ready().await;
    bench.stop.send(StopReason::Shutdown).unwrap();
    bench.codex.input_ended().await;
    let signal = bench.codex.signal();
    bench.codex.exit(0);
    assert_eq!(end(bench.ended).await, EndReason::Stopped(StopReason::Shutdown));
    assert_eq!(signal, Signal::Nothing);
}

#[tokio::test(start_paused = true)]
async fn a_process_without_a_sign_of_life_is_killed_at_once() {
    let (mut bench, _handle) = Bench::ready().await;
    let asked = Instant::now();
    bench.stop.send(StopReason::Unresponsive).unwrap();
    bench.codex.killed().await;
    assert!(asked.elapsed() < Duration::from_secs(1));
    assert_eq!(end(bench.ended).await, EndReason::Stopped(StopReason::Unresponsive));
}

#[tokio::test(start_paused = true)]
async fn a_process_for_one_turn_has_little_time_after_it() {
    let (mut bench, handle) = Bench::ready_for(Lifetime::OneTurn).await;
    let (mut stream, _place) = bench.running(&handle, "t").await;
    bench.codex.complete("t").await;
    assert_eq!(rest(&mut stream).await, [TurnEvent::Finished(Finish::Stop)]);
    let over = Instant::now();
    bench.codex.input_ended().await;
    assert_eq!(over.elapsed().as_secs(), 2);
    bench.codex.exit(0);
    assert_eq!(end(bench.ended).await, EndReason::Stopped(StopReason::TurnOver));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_codex_has_no_room_for_comes_again() {
    let (mut bench, handle) = Bench::ready().await;
    let call = tokio::spawn(async move { handle.call::<X>(json!({})).await });
    let (id, _) = bench.codex.asked("x").await;
    bench.codex.say(json!({"id": id, "error": {"code": -32001, "message": "overloaded"}})).await;
    let refused = Instant::now();
    assert_eq!(bench.codex.answer("x", json!("done")).await, json!({}));
    assert!(refused.elapsed() >= PAUSE, "it is not asked again at once: {:?}", refused.elapsed());
    assert_eq!(call.await.unwrap(), Ok(json!("done")));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_nothing_waits_for_ends() {
    let (mut bench, handle) = Bench::start(Lifetime::ManyTurns);
    drop(handle);
    bench.codex.shake_hands().await;
    bench.codex.input_ended().await;
    bench.codex.exit(0);
    assert_eq!(end(bench.ended).await, EndReason::Unclaimed);
}
