use std::sync::Mutex;

use serde_json::json;
use tokio::task::JoinHandle;

use super::*;
use crate::worker::reason::{DownReason, EndReason, StartError};
use crate::worker::testing::{Bench, next, rest, soon, turn};
use crate::worker::{Lease, State};
use protocol::turn::TurnEvent;

/// Waits in the queue, and writes its number down when it has a place. Gives the place back on `hold`.
fn in_line(
    pool: &WorkerPool,
    number: u32,
    order: &Arc<Mutex<Vec<u32>>>,
) -> JoinHandle<Result<Lease, TurnError>> {
    let (pool, order) = (pool.clone(), order.clone());
    tokio::spawn(async move {
        let lease = pool.acquire().await?;
        order.lock().unwrap().push(number);
        Ok(lease)
    })
}

/// Waits until this many requests are in the queue.
async fn queued(pool: &WorkerPool, depth: usize) {
    let reached = async {
        while pool.queue_depth() != depth {
            tokio::task::yield_now().await;
        }
    };
    soon("a queue of that length", reached).await;
}

async fn refused(waiting: impl Future<Output = Result<Lease, TurnError>>) -> TurnError {
    soon("a refusal", waiting).await.expect_err("there is no place")
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_a_worker_that_is_starting() {
    let mut bench = Bench::start(|_| {});
    let waiting = in_line(&bench.pool, 1, &Arc::default());
    queued(&bench.pool, 1).await;
    let _codex = bench.ready().await;
    assert_eq!(soon("a place", waiting).await.unwrap().unwrap().worker(), 0);
    assert_eq!(bench.pool.queue_depth(), 0);
}

#[tokio::test(start_paused = true)]
async fn no_request_waits_longer_than_allowed_for_a_worker_that_does_not_come_up() {
    let bench = Bench::start(|_| {});
    let asked = Instant::now();
    let error = refused(bench.pool.acquire()).await;
    assert_eq!((error.kind, asked.elapsed().as_secs()), (TurnErrorKind::WorkerNotReady, 10));
    assert!(
        error.message.starts_with("The Codex worker is still starting: '/codex' was started"),
        "{}",
        error.message
    );
    assert_eq!(bench.pool.queue_depth(), 0);
}

#[tokio::test(start_paused = true)]
async fn places_go_to_those_who_wait_in_the_order_they_came() {
    let mut bench = Bench::start(|config| config.max_concurrency = 1);
    let _codex = bench.ready().await;
    let first = bench.lease().await;
    let order = Arc::default();
    let mut waiting = Vec::new();
    for number in 1..=4 {
        waiting.push(in_line(&bench.pool, number, &order));
        queued(&bench.pool, number as usize).await;
    }
    drop(first);
    for waiter in waiting {
        drop(soon("a place", waiter).await.unwrap().unwrap());
    }
    assert_eq!(*order.lock().unwrap(), [1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn one_who_stops_waiting_leaves_the_line() {
    let mut bench = Bench::start(|config| config.max_concurrency = 1);
    let _codex = bench.ready().await;
    let taken = bench.lease().await;
    let order = Arc::default();
    let gone = in_line(&bench.pool, 1, &order);
    queued(&bench.pool, 1).await;
    let next = in_line(&bench.pool, 2, &order);
    queued(&bench.pool, 2).await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    assert_eq!(bench.pool.queue_depth(), 1);
    drop(taken);
    assert!(soon("a place", next).await.unwrap().is_ok());
    assert_eq!(*order.lock().unwrap(), [2]);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_full_takes_no_more() {
    let mut bench = Bench::start(|config| (config.max_concurrency, config.queue_limit) = (1, 1));
    let _codex = bench.ready().await;
    let _taken = bench.lease().await;
    let _waiting = in_line(&bench.pool, 1, &Arc::default());
    queued(&bench.pool, 1).await;
    let error = refused(bench.pool.acquire()).await;
    assert_eq!((error.kind, error.retry_after), (TurnErrorKind::RateLimited, Some(Duration::from_secs(5))));
    assert_eq!(error.message, "Too many requests are waiting for Codex already. Try again later.");
}

#[tokio::test(start_paused = true)]
async fn no_request_waits_longer_than_allowed_for_a_place() {
    let mut bench = Bench::start(|config| config.max_concurrency = 1);
    let _codex = bench.ready().await;
    let _taken = bench.lease().await;
    let asked = Instant::now();
    let error = refused(bench.pool.acquire()).await;
    assert_eq!((error.kind, asked.elapsed().as_secs()), (TurnErrorKind::RateLimited, 60));
    assert_eq!(
        error.message,
        "All places on Codex have been taken for 60 s. Try again later, or ask for less at once."
    );
    assert_eq!(bench.pool.queue_depth(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_place_is_taken_until_codex_has_ended_the_turn() {
    let mut bench = Bench::start(|config| config.max_concurrency = 1);
    let mut codex = bench.ready().await;
    let stream = bench.turn(&mut codex, "t").await;
    let waiting = in_line(&bench.pool, 1, &Arc::default());
    queued(&bench.pool, 1).await;
    drop(stream);
    codex.asked("turn/interrupt").await;
    assert_eq!((bench.pool.queue_depth(), bench.worker().turns_running), (1, 1));
    codex.complete("t").await;
    let lease = soon("a place", waiting).await.unwrap().unwrap();
    let facts = bench.worker();
    assert_eq!((facts.turns_running, facts.turns_done), (1, 1));
    drop(lease);
    let facts = bench.worker();
    assert_eq!((facts.turns_running, facts.turns_done), (0, 1), "no turn was started on the last place");
}

#[tokio::test(start_paused = true)]
async fn turns_wait_while_codex_is_starting_as_many_as_it_may() {
    let mut bench = Bench::start(|config| config.max_concurrency = 100);
    let mut codex = bench.ready().await;
    let mut leases = Vec::new();
    for _ in 0..16 {
        leases.push(bench.lease().await);
    }
    let waiting = in_line(&bench.pool, 1, &Arc::default());
    queued(&bench.pool, 1).await;
    let mut stream = leases.pop().unwrap().start(turn(), None).await.unwrap();
    codex.begin("t").await;
    assert_eq!(next(&mut stream).await, TurnEvent::Started);
    assert!(soon("a place", waiting).await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_least_loaded_worker_gets_the_next_turn() {
    let mut bench = Bench::start(|config| config.count = 2);
    let _codexes = [bench.ready().await, bench.ready().await];
    let mut facts = bench.pool.watch();
    let all_ready = facts.wait_for(|workers| workers.iter().all(|worker| worker.state == State::Ready));
    drop(soon("both workers", all_ready).await.unwrap());
    let leases = [bench.lease().await, bench.lease().await, bench.lease().await, bench.lease().await];
    let mut workers = leases.each_ref().map(Lease::worker);
    workers.sort_unstable();
    assert_eq!(workers, [0, 0, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_request_outlives_the_worker_that_it_waits_for() {
    let mut bench = Bench::start(|config| config.max_concurrency = 1);
    let mut codex = bench.ready().await;
    let mut stream = bench.turn(&mut codex, "t").await;
    let waiting = in_line(&bench.pool, 1, &Arc::default());
    queued(&bench.pool, 1).await;
    codex.exit(1);
    assert!(matches!(rest(&mut stream).await[..], [TurnEvent::Failed(_)]));
    let mut codex = bench.ready().await;
    let mut stream = soon("a place", waiting).await.unwrap().unwrap().start(turn(), None).await.unwrap();
    codex.begin("t").await;
    assert_eq!(next(&mut stream).await, TurnEvent::Started);
}

#[tokio::test(start_paused = true)]
async fn workers_that_never_get_ready_are_not_waited_for() {
    let refusals = (0..10).map(|_| StartError::Spawn("'/codex' could not be started. Do this.".to_owned()));
    let bench = Bench::start_refusing(refusals, |_| {});
    bench.until("the worker is given up", |worker| worker.state == State::Failed).await;
    let error = refused(bench.pool.acquire()).await;
    assert_eq!(error.kind, TurnErrorKind::WorkerNotReady);
    let sentence = "The Codex worker is not running: '/codex' could not be started. Do this.";
    assert_eq!(error.message, sentence);
    assert!(error.retry_after.is_some_and(|wait| wait >= Duration::from_secs(1)));
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_are_told_of_a_shutdown() {
    let bench = Bench::start(|_| {});
    let waiting = in_line(&bench.pool, 1, &Arc::default());
    queued(&bench.pool, 1).await;
    bench.shutdown.cancel();
    let error = refused(async { waiting.await.unwrap() }).await;
    assert_eq!(error.message, "Codex Proxy is shutting down.");
}

#[tokio::test(start_paused = true)]
async fn a_codex_that_nobody_is_signed_in_to_takes_no_turn() {
    let mut bench = Bench::start(|_| {});
    let mut codex = bench.started().await;
    codex.shake_hands_with(json!({"account": null, "requiresOpenaiAuth": true})).await;
    assert_eq!(refused(bench.pool.acquire()).await.kind, TurnErrorKind::LoginRequired);
    assert_eq!(bench.worker().turns_running, 0, "its place is free");
}

#[tokio::test(start_paused = true)]
async fn a_session_is_asked_for_what_is_no_turn() {
    let mut bench = Bench::start(|_| {});
    let waits = Duration::from_secs(3);
    let error = soon("a refusal", bench.pool.session(waits)).await.unwrap_err();
    assert_eq!(error.to_string(), "The Codex worker is still starting. Try again in a moment.");
    let codex = bench.ready().await;
    assert!(soon("a session", bench.pool.session(waits)).await.is_ok());
    assert_eq!(bench.pool.sessions().len(), 1);
    codex.exit(0);
    let facts = bench.until("the end", |worker| worker.last_exit.is_some()).await;
    let (_, reason) = facts.last_exit.unwrap();
    let exited =
        EndReason::Exited { status: crate::worker::testing::exit_status(0), last_words: String::new() };
    assert_eq!(reason, DownReason::Ended(exited));
    assert_eq!(bench.pool.sessions().len(), 0);
}
