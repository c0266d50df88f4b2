//! The state that the clients and the killing task share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use tokio::sync::{oneshot, watch};

use super::system::{self, Door, Signal};

/// The process to kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// One of the workers, by a number that is taken modulo their count.
    Worker(usize),
    Proxy,
}

/// A kill at the moment when `client` has read `frames` more frames.
#[derive(Debug)]
pub(super) struct Strike {
    pub(super) target: Target,
    pub(super) signal: Signal,
    pub(super) client: usize,
    pub(super) frames: u64,
    pub(super) proxy: u32,
}

type Fired = oneshot::Sender<Result<u32, String>>;

/// Shared by the clients and the killing task.
#[derive(Debug)]
pub(super) struct Stage {
    /// The address of the proxy, while one runs.
    door: watch::Sender<Option<Door>>,
    stopped: watch::Sender<bool>,
    armed: Mutex<Option<(Strike, Fired)>>,
    /// Odd from a strike until everything works again.
    unrest: AtomicU64,
    /// Odd from the strike at a proxy until its successor is ready.
    absence: AtomicU64,
    /// Whether the last strike at a proxy requested a normal end.
    polite: AtomicBool,
    failure: Mutex<Option<String>>,
    answers: AtomicU64,
    errors: AtomicU64,
    cuts: AtomicU64,
}

impl Default for Stage {
    fn default() -> Self {
        Self {
            door: watch::Sender::new(None),
            stopped: watch::Sender::new(false),
            armed: Mutex::default(),
            unrest: AtomicU64::new(0),
            absence: AtomicU64::new(0),
            polite: AtomicBool::new(false),
            failure: Mutex::default(),
            answers: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
        }
    }
}

/// A moment, to detect later what has happened since.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    unrest: u64,
    absence: u64,
}

/// The result of a client's request.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The complete and correct answer.
    Complete,
    /// An error answer.
    Told(String),
    /// The connection ended; `begun` is the time when the answer started.
    Cut { reason: String, begun: Option<Moment> },
}

impl Stage {
    /// Prepares a strike. The receiver gets the process that was hit.
    pub(super) fn arm(&self, strike: Strike) -> oneshot::Receiver<Result<u32, String>> {
        let (fired, receiver) = oneshot::channel();
        *lock(&self.armed) = Some((strike, fired));
        receiver
    }

    /// A client has read a frame.
    pub(super) fn frame(&self, client: usize) {
        let mut armed = lock(&self.armed);
        let Some((strike, _)) = armed.as_mut().filter(|(strike, _)| strike.client == client) else { return };
        strike.frames -= 1;
        if strike.frames > 0 {
            return;
        }
        let Some((strike, fired)) = armed.take() else { return };
        drop(armed);
        let pid = match strike.target {
            Target::Proxy => Ok(strike.proxy),
            Target::Worker(number) => {
                let workers = system::workers_below(strike.proxy);
                let chosen = workers.get(number % workers.len().max(1)).copied();
                chosen.ok_or_else(|| "there was no worker to strike".to_owned())
            }
        };
        self.unrest.fetch_add(1, Ordering::SeqCst);
        if strike.target == Target::Proxy {
            self.polite.store(strike.signal != Signal::Kill, Ordering::SeqCst);
            self.absence.fetch_add(1, Ordering::SeqCst);
        }
        if let Ok(pid) = pid {
            system::send(pid, strike.signal);
        }
        // The receiver may be gone.
        drop(fired.send(pid));
    }

    /// Everything works again.
    pub(super) fn calm(&self) {
        self.unrest.fetch_add(1, Ordering::SeqCst);
    }

    /// A proxy is ready there.
    pub(super) fn open(&self, door: Door) {
        if self.absence.load(Ordering::SeqCst) % 2 == 1 {
            self.absence.fetch_add(1, Ordering::SeqCst);
        }
        self.door.send_replace(Some(door));
    }

    /// There is no proxy.
    pub(super) fn close(&self) {
        self.door.send_replace(None);
    }

    /// Asks the clients to finish their requests and stop.
    pub(super) fn stop(&self) {
        self.stopped.send_replace(true);
    }

    /// The address of the proxy; `None` at the end of the test.
    pub(super) async fn door(&self) -> Option<Door> {
        let (mut door, mut stopped) = (self.door.subscribe(), self.stopped.subscribe());
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => None,
            door = door.wait_for(Option::is_some) => door.ok()?.clone(),
        }
    }

    pub(super) fn now(&self) -> Moment {
        Moment { unrest: self.unrest.load(Ordering::SeqCst), absence: self.absence.load(Ordering::SeqCst) }
    }

    /// Judges what a client got for a request that it made at `since`.
    pub(super) fn judge(&self, since: Moment, outcome: Outcome) -> Result<(), String> {
        let now = self.now();
        let overlaps = |before: u64, after: u64| before % 2 == 1 || before != after;
        match outcome {
            Outcome::Complete => {
                self.answers.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Outcome::Told(error) => {
                self.errors.fetch_add(1, Ordering::Relaxed);
                if overlaps(since.unrest, now.unrest) {
                    Ok(())
                } else {
                    Err(format!("an error without a cause: {error}"))
                }
            }
            Outcome::Cut { reason, begun } => {
                self.cuts.fetch_add(1, Ordering::Relaxed);
                if !overlaps(since.absence, now.absence) {
                    return Err(format!("the connection ended although the proxy lived: {reason}"));
                }
                let had_begun = begun.is_some_and(|begun| begun.absence % 2 == 0);
                if had_begun && self.polite.load(Ordering::SeqCst) {
                    return Err(format!(
                        "an answer was cut off by a proxy that was only asked to end: {reason}"
                    ));
                }
                Ok(())
            }
        }
    }

    /// Records a broken rule. Only the first one is kept.
    pub(super) fn fail(&self, reason: String) {
        lock(&self.failure).get_or_insert(reason);
        self.stop();
    }

    pub(super) fn check(&self) -> Result<(), String> {
        lock(&self.failure).clone().map_or(Ok(()), Err)
    }

    /// The number of answers, error answers and cut connections.
    pub(super) fn counts(&self) -> (u64, u64, u64) {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (of(&self.answers), of(&self.errors), of(&self.cuts))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics while holding the lock")
}
