use std::time::Duration;

use serde_json::json;

use crate::worker::State;
use crate::worker::reason::{DownReason, EndReason, NotReady, StartError, StopReason};
use crate::worker::testing::{Bench, Codex, Signal, exit_status, next, rest, soon, turn};
use protocol::turn::{Finish, TurnErrorKind, TurnEvent};
use tokio::time::{Instant, sleep};

/// A worker with a health check each minute.
fn looked_at() -> Bench {
    Bench::start(|config| {
        (config.look_interval, config.ping_timeout) = (Duration::from_secs(60), Duration::from_secs(15));
    })
}

/// Answers a health check of the worker.
async fn answer_look(codex: &mut Codex) {
    codex.answer("account/read", json!({"account": null, "requiresOpenaiAuth": false})).await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_has_started_says_what_it_is() {
    let mut bench = Bench::start(|_| {});
    assert_eq!(bench.worker().state, State::Starting);
    let _codex = bench.ready().await;
    let facts = bench.until("its version is known", |worker| worker.version.is_some()).await;
    assert_eq!(facts.version.as_deref(), Some("0.169.0"));
    assert!(facts.takes_tools && facts.was_ready && facts.got_ready.is_some());
    assert_eq!((facts.restarts, facts.failures, facts.last_exit, facts.starting), (0, 0, None, None));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_ends_is_started_again_after_longer_and_longer_pauses() {
    let mut bench = Bench::start(|_| {});
    let mut pauses = Vec::new();
    for restarts in 0..4 {
        let mut codex = bench.started().await;
        codex.complain("boom").await;
        codex.exit(3);
        let ended = Instant::now();
        let is_down = |worker: &crate::worker::WorkerFacts| {
            worker.restarts == restarts && worker.state != State::Starting
        };
        let facts = bench.until("it is down", is_down).await;
        let ended_with = EndReason::Exited { status: exit_status(3), last_words: "boom".to_owned() };
        let Some((_, DownReason::NotStarted(StartError::NeverReady { what, .. }))) = &facts.last_exit else {
            panic!("{facts:?}")
        };
        assert_eq!(*what, NotReady::Ended(ended_with));
        assert!(facts.next_try.is_some());
        bench.until("the next try", |worker| worker.restarts == restarts + 1).await;
        pauses.push(ended.elapsed());
    }
    for (pause, least) in pauses.iter().zip([50, 100, 200, 400].map(Duration::from_millis)) {
        assert!((least..least.mul_f64(1.3)).contains(pause), "{pauses:?}");
    }
    let mut codex = bench.started().await;
    codex.shake_hands().await;
    let facts = bench.until("it is ready", |worker| worker.state == State::Ready).await;
    assert_eq!((facts.restarts, facts.failures), (4, 0));
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_is_asked_for_ends_the_pause() {
    let refusals = (0..20).map(|_| StartError::Spawn("no".to_owned()));
    let bench = Bench::start_refusing(refusals, |_| {});
    let facts = bench.until("a long pause", |worker| worker.failures == 9).await;
    bench.pool.restart();
    let asked = Instant::now();
    bench.until("the next try", |worker| worker.restarts > facts.restarts).await;
    assert!(asked.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_says_nothing_is_given_up_and_the_reason_says_what_to_look_at() {
    let mut bench = Bench::start(|_| {});
    let mut codex = bench.started().await;
    let slow =
        |worker: &crate::worker::WorkerFacts| worker.starting.as_ref().is_some_and(|start| start.is_slow);
    let began = Instant::now();
    bench.until("it takes longer than usual", slow).await;
    assert_eq!(began.elapsed().as_secs(), 5);
    codex.input_ended().await;
    codex.exit(0);
    let facts = bench.until("it is down", |worker| worker.last_exit.is_some()).await;
    let sentence = facts.last_exit.unwrap().1.to_string();
    let start = "Codex was started and did not finish its handshake within 30 s (WORKER_STARTUP_TIMEOUT_MS). It has \
                 never been ready: check that '/codex' (CODEX_BIN) is the Codex CLI and not too old, 0.77.0 or newer";
    assert!(sentence.starts_with(start), "{sentence}");
}

#[tokio::test(start_paused = true)]
async fn a_replacement_takes_the_new_turns_while_the_old_process_ends_its_own() {
    let mut bench = Bench::start(|_| {});
    let mut old = bench.ready().await;
    let mut stream = bench.turn(&mut old, "a").await;
    bench.pool.restart();
    let mut new = bench.started().await;
    bench.until("the old one is drained", |worker| worker.state == State::Draining).await;
    let mut early = bench.turn(&mut old, "b").await;
    new.shake_hands().await;
    bench.until("the new one is ready", |worker| worker.restarts == 1).await;
    let _late = bench.turn(&mut new, "c").await;
    for thread in ["a", "b"] {
        old.text(thread, "x").await;
        old.complete(thread).await;
    }
    for stream in [&mut stream, &mut early] {
        assert_eq!(rest(stream).await.last(), Some(&TurnEvent::Finished(Finish::Stop)));
    }
    old.input_ended().await;
    assert_eq!(old.signal(), Signal::Nothing);
    let facts = bench.worker();
    assert_eq!((facts.state, facts.last_exit), (State::Ready, None));
}

#[tokio::test(start_paused = true)]
async fn a_replacement_that_does_not_get_ready_changes_nothing() {
    let mut bench = Bench::start(|_| {});
    let mut old = bench.ready().await;
    let mut stream = bench.turn(&mut old, "a").await;
    bench.pool.restart();
    bench.started().await.exit(1);
    bench.until("the old one is used on", |worker| worker.state == State::Ready).await;
    // And a process that prints nothing.
    bench.pool.restart();
    let mut silent = bench.started().await;
    silent.input_ended().await;
    silent.exit(0);
    bench.until("the old one is used on", |worker| worker.state == State::Ready).await;
    let facts = bench.worker();
    assert_eq!((facts.restarts, facts.failures, facts.last_exit, facts.starting), (0, 0, None, None));
    let _another = bench.turn(&mut old, "b").await;
    old.text("a", "x").await;
    assert_eq!(next(&mut stream).await, TurnEvent::MessageStarted { id: "m".into() });
}

#[tokio::test(start_paused = true)]
async fn an_old_process_that_ends_while_it_is_replaced_is_followed_by_the_new_one() {
    let mut bench = Bench::start(|_| {});
    let old = bench.ready().await;
    bench.pool.restart();
    let mut new = bench.started().await;
    bench.until("the old one is drained", |worker| worker.state == State::Draining).await;
    old.exit(1);
    new.shake_hands().await;
    bench.until("the new one is ready", |worker| worker.state == State::Ready).await;
    let _stream = bench.turn(&mut new, "t").await;
}

#[tokio::test(start_paused = true)]
async fn a_replaced_process_has_until_the_deadline_for_its_turns() {
    let mut bench = Bench::start(|_| {});
    let mut old = bench.ready().await;
    let mut stream = bench.turn(&mut old, "a").await;
    bench.pool.restart();
    let _new = bench.ready().await;
    let replaced = Instant::now();
    old.input_ended().await;
    assert_eq!(replaced.elapsed().as_secs(), 300);
    let events = rest(&mut stream).await;
    assert!(matches!(&events[..], [TurnEvent::Failed(error)] if error.kind == TurnErrorKind::WorkerExited));
}

#[tokio::test(start_paused = true)]
async fn a_replaced_process_stays_while_it_is_held() {
    let mut bench = Bench::start(|_| {});
    let mut old = bench.ready().await;
    let hold = bench.pool.session(Duration::from_secs(1)).await.unwrap().holds().keep();
    bench.pool.restart();
    let _new = bench.ready().await;
    sleep(Duration::from_secs(3600)).await;
    old.complain("still here").await;
    assert!(!old.is_asked("nothing").await);
    drop(hold);
    old.input_ended().await;
}

#[tokio::test(start_paused = true)]
async fn a_process_that_leaves_a_turn_unended_is_replaced_beside_its_other_turns() {
    let mut bench = Bench::start(|_| {});
    let mut old = bench.ready().await;
    let stuck = bench.turn(&mut old, "a").await;
    let mut other = bench.turn(&mut old, "b").await;
    drop(stuck);
    let mut new = bench.ready().await;
    let _next = bench.turn(&mut new, "c").await;
    old.complete("b").await;
    assert_eq!(rest(&mut other).await, [TurnEvent::Finished(Finish::Stop)]);
    old.input_ended().await;
}

#[tokio::test(start_paused = true)]
async fn a_process_that_does_not_answer_a_look_is_killed_and_followed_by_another() {
    let mut bench = looked_at();
    let mut codex = bench.ready().await;
    // The first health check comes at once.
    answer_look(&mut codex).await;
    let mut stream = bench.turn(&mut codex, "t").await;
    codex.asked("account/read").await;
    codex.killed().await;
    let events = rest(&mut stream).await;
    assert!(matches!(&events[..], [TurnEvent::Failed(error)] if error.kind == TurnErrorKind::WorkerExited));
    let facts = bench.until("it is down", |worker| worker.last_exit.is_some()).await;
    let reason = facts.last_exit.unwrap().1;
    assert_eq!(reason, DownReason::Ended(EndReason::Stopped(StopReason::Unresponsive)));
    assert_eq!(reason.to_string(), "Codex no longer answered (WORKER_PING_TIMEOUT_MS)");
    let _next = bench.ready().await;
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_busy_with_a_turn_lives() {
    let mut bench = looked_at();
    let mut codex = bench.ready().await;
    answer_look(&mut codex).await;
    let mut stream = bench.turn(&mut codex, "t").await;
    codex.asked("account/read").await;
    codex.text("t", "x").await;
    sleep(Duration::from_secs(30)).await;
    codex.complete("t").await;
    assert_eq!(rest(&mut stream).await.last(), Some(&TurnEvent::Finished(Finish::Stop)));
    assert_eq!(codex.signal(), Signal::Nothing);
}

#[tokio::test(start_paused = true)]
async fn a_worker_is_replaced_after_so_many_turns() {
    let mut bench = Bench::start(|config| {
        (config.look_interval, config.max_turns) = (Duration::from_secs(60), 2);
    });
    let mut codex = bench.ready().await;
    answer_look(&mut codex).await;
    for thread in ["a", "b"] {
        let mut stream = bench.turn(&mut codex, thread).await;
        codex.complete(thread).await;
        rest(&mut stream).await;
    }
    let mut next = bench.started().await;
    next.shake_hands().await;
    codex.input_ended().await;
    codex.exit(0);
    answer_look(&mut next).await;
    sleep(Duration::from_secs(50)).await;
    assert!(!bench.is_started().await, "the new process has ended no turn");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_every_process_and_every_task() {
    let mut bench = Bench::start(|config| config.count = 2);
    let ready = bench.ready().await;
    let on_its_way = bench.started().await;
    bench.pool.restart_one(0);
    let replacing = bench.started().await;
    let ends = [ready, on_its_way, replacing].map(|mut codex| {
        tokio::spawn(async move {
            codex.input_ended().await;
            codex.exit(0);
        })
    });
    let asked = Instant::now();
    bench.shut_down().await;
    assert!(asked.elapsed() < Duration::from_secs(1), "none of them had to be waited for");
    for end in ends {
        soon("the end of a process", end).await.unwrap();
    }
    assert_eq!(bench.pool.acquire().await.unwrap_err().message, "Codex Proxy is shutting down.");
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_running_at_a_shutdown_is_told() {
    let mut bench = Bench::start(|_| {});
    let mut codex = bench.ready().await;
    let mut stream = bench.turn(&mut codex, "t").await;
    let waiting = bench.lease().await.start(turn(), None).await.unwrap();
    let ends = tokio::spawn(async move {
        codex.input_ended().await;
        codex.exit(0);
    });
    bench.shut_down().await;
    assert!(matches!(rest(&mut stream).await[..], [TurnEvent::Failed(_)]));
    drop(waiting);
    ends.await.unwrap();
}
