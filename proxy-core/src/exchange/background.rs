//! Answers that nobody waits for: each runs until it ends, is cancelled, or the proxy ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::batch::{Batch, End};
use crate::secret::KeyId;
use protocol::openai::frame::Frame;

/// The time for which the events of a response that has ended can be read as they came.
const REMEMBERED: Duration = Duration::from_secs(600);

/// The most responses whose events are remembered after their end.
const MOST_REMEMBERED: usize = 32;

/// The background responses that run, and those that have ended lately. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Background(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    runs: Mutex<HashMap<String, Arc<Run>>>,
    tasks: TaskTracker,
    ending: CancellationToken,
}

/// One background response.
#[derive(Debug)]
pub(super) struct Run {
    owner: KeyId,
    events: Mutex<Vec<Frame>>,
    progress: watch::Sender<Progress>,
    /// Cancelled by the client.
    pub(super) cancelled: CancellationToken,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Progress {
    events: usize,
    /// The model has been asked.
    has_begun: bool,
    is_over: bool,
}

/// Follows a run from one of its events on.
#[derive(Debug)]
pub(super) struct Follower {
    run: Arc<Run>,
    changes: watch::Receiver<Progress>,
    next: usize,
    is_over: bool,
}

/// What ended a run before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// The client has cancelled the response.
    Cancelled,
    /// The proxy is ending.
    Ending,
}

impl Background {
    /// Adds a run of a response.
    pub(super) fn begin(&self, id: &str, owner: &KeyId) -> Arc<Run> {
        let run = Arc::new(Run {
            owner: owner.clone(),
            events: Mutex::default(),
            progress: watch::Sender::default(),
            cancelled: CancellationToken::new(),
        });
        self.runs().insert(id.to_owned(), run.clone());
        run
    }

    /// The run of this response of this key.
    pub(super) fn run(&self, owner: &KeyId, id: &str) -> Option<Arc<Run>> {
        self.runs().get(id).filter(|run| run.owner == *owner).cloned()
    }

    /// Runs `work` to its end, then forgets the events of the response after some time.
    pub(super) fn spawn(&self, id: String, run: Arc<Run>, work: impl Future<Output = ()> + Send + 'static) {
        let shared = self.0.clone();
        self.0.tasks.spawn(async move {
            work.await;
            run.progress.send_modify(|progress| progress.is_over = true);
            let over = shared.lock().values().filter(|run| run.is_over()).count();
            if over > MOST_REMEMBERED || shared.ending.is_cancelled() {
                shared.lock().remove(&id);
                return;
            }
            tokio::spawn(async move {
                timeout(REMEMBERED, shared.ending.cancelled()).await.ok();
                shared.lock().remove(&id);
            });
        });
    }

    /// Waits until a run has to end before its time.
    pub(super) async fn cut(&self, run: &Run) -> Cut {
        tokio::select! {
            biased;
            () = run.cancelled.cancelled() => Cut::Cancelled,
            () = self.0.ending.cancelled() => Cut::Ending,
        }
    }

    /// Waits until all runs are over, at most for this time; then ends the rest.
    pub async fn end(&self, patience: Duration) {
        self.0.tasks.close();
        if timeout(patience, self.0.tasks.wait()).await.is_err() {
            tracing::warn!("some background responses were still running and were ended");
        }
        self.0.ending.cancel();
        self.0.tasks.wait().await;
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<String, Arc<Run>>> {
        self.0.lock()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Run>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Run {
    /// Adds events.
    pub(super) fn push(&self, frames: Vec<Frame>) {
        let events = {
            let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
            events.extend(frames);
            events.len()
        };
        self.progress.send_modify(|progress| progress.events = events);
    }

    /// The model has been asked.
    pub(super) fn begin(&self) {
        self.progress.send_modify(|progress| progress.has_begun = true);
    }

    /// Whether the model has been asked.
    pub(super) fn has_begun(&self) -> bool {
        self.progress.borrow().has_begun
    }

    /// Whether the response has ended and is stored.
    pub(super) fn is_over(&self) -> bool {
        self.progress.borrow().is_over
    }

    /// Waits until the response has ended and is stored.
    pub(super) async fn over(&self) {
        // The sender is in `self`, so that it cannot be gone.
        self.progress.subscribe().wait_for(|progress| progress.is_over).await.ok();
    }

    /// Follows the events after the first `skipped`.
    pub(super) fn follow(self: &Arc<Self>, skipped: usize) -> Follower {
        Follower { changes: self.progress.subscribe(), run: self.clone(), next: skipped, is_over: false }
    }
}

impl Follower {
    /// The next events; `None` after the batch with the end. Dropping the future loses no event.
    pub(super) async fn next(&mut self) -> Option<Batch> {
        if self.is_over {
            return None;
        }
        let next = self.next;
        let progress = *self.changes.wait_for(|now| now.is_over || now.events > next).await.ok()?;
        let frames = {
            let events = self.run.events.lock().unwrap_or_else(PoisonError::into_inner);
            events.get(next..progress.events).unwrap_or_default().to_vec()
        };
        self.next = self.next.max(progress.events);
        self.is_over = progress.is_over;
        Some(Batch { frames, end: self.is_over.then_some(End::Complete) })
    }
}

/// The object of a response that was ended before its time.
pub(super) fn cut_object(mut object: Value, cut: Cut) -> Value {
    for item in object["output"].as_array_mut().into_iter().flatten() {
        if item["status"] == "in_progress" {
            item["status"] = json!("incomplete");
        }
    }
    match cut {
        Cut::Cancelled => object["status"] = json!("cancelled"),
        Cut::Ending => {
            object["status"] = json!("failed");
            object["error"] = json!({
                "code": "server_error",
                "message": "The proxy ended before the response did. Send the request again.",
            });
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(number: usize) -> Frame {
        Frame { event: Some("x"), json: number.to_string() }
    }

    #[tokio::test(start_paused = true)]
    async fn every_follower_gets_each_event_once_from_where_it_begins() {
        let background = Background::default();
        let owner = KeyId::parse("key_1").unwrap();
        let run = background.begin("resp_1", &owner);
        run.push((0..3).map(frame).collect());
        let mut late = run.follow(2);
        let mut early = run.follow(0);
        assert_eq!(early.next().await.unwrap().frames.len(), 3);
        assert_eq!(late.next().await.unwrap().frames, [frame(2)]);
        let (pushing, waiting) = (run.clone(), tokio::spawn(async move { early.next().await }));
        tokio::task::yield_now().await;
        pushing.push(vec![frame(3)]);
        assert_eq!(waiting.await.unwrap().unwrap().frames, [frame(3)]);
        assert!(background.run(&KeyId::parse("key_2").unwrap(), "resp_1").is_none(), "of another key");
        background.spawn("resp_1".to_owned(), run.clone(), async {});
        run.over().await;
        let last = late.next().await.unwrap();
        assert_eq!((last.frames, last.end), (vec![frame(3)], Some(End::Complete)));
        assert!(late.next().await.is_none());
        tokio::time::sleep(REMEMBERED * 2).await;
        assert!(background.run(&owner, "resp_1").is_none(), "it is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_proxy_ends_what_still_runs() {
        let background = Background::default();
        let run = background.begin("resp_1", &KeyId::parse("key_1").unwrap());
        let (inside, shared) = (run.clone(), background.clone());
        background.spawn("resp_1".to_owned(), run.clone(), async move {
            assert_eq!(shared.cut(&inside).await, Cut::Ending);
        });
        background.end(Duration::from_secs(10)).await;
        assert!(run.is_over());
    }

    #[test]
    fn what_was_cut_says_so() {
        let item = json!({"type": "message", "status": "in_progress"});
        let object = json!({"status": "in_progress", "output": [item]});
        let cancelled = cut_object(object.clone(), Cut::Cancelled);
        assert_eq!(
            (&cancelled["status"], &cancelled["output"][0]["status"]),
            (&json!("cancelled"), &json!("incomplete"))
        );
        assert_eq!(cut_object(object, Cut::Ending)["error"]["code"], "server_error");
    }
}
