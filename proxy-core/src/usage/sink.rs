//! The entry of events: the journal, the queue to the writer, and the sums of the day.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::event::UsageEvent;
use super::journal::Journal;
use super::known_keys::KnownKey;
use super::today::Today;
use super::totals::Totals;
use crate::secret::KeyId;

/// Records events. Cheap to clone.
#[derive(Debug, Clone)]
pub struct UsageSink {
    inlet: Arc<Inlet>,
}

impl UsageSink {
    pub(super) fn new(inlet: Arc<Inlet>) -> Self {
        Self { inlet }
    }

    /// Records an event and returns its number. It takes some microseconds and does not wait for a disk; from
    /// then on a kill of the process does not lose the event.
    ///
    /// Recording never fails for the caller: if the disk is full, a warning is logged and the event stays in
    /// memory until it can be written.
    pub fn record(&self, event: UsageEvent) -> u64 {
        self.inlet.record(event)
    }

    /// The tokens that this key has used since the local day began.
    pub fn tokens_today(&self, key: &KeyId) -> u64 {
        self.inlet.today(|today| today.tokens(key))
    }

    /// The time until the end of the local day.
    pub fn day_left(&self) -> Duration {
        let end_ms = self.inlet.today(|today| today.range().1);
        let left = end_ms.saturating_sub(Timestamp::now().as_millisecond());
        Duration::from_millis(left.try_into().unwrap_or_default())
    }

    /// The sums of all requests since the local day began.
    pub fn today(&self) -> Totals {
        self.inlet.today(|today| today.sums()).into()
    }
}

/// The maximum number of events in the queue. Further events are read from the journal later.
pub(super) const QUEUE: usize = 10_000;

/// The state that the recording side and the writer share.
#[derive(Debug)]
pub(super) struct Inlet {
    state: Mutex<State>,
    /// Signals the writer that there is work.
    work: Condvar,
    /// Signals waiting threads that the writer has made progress.
    progress: Condvar,
}

/// The state behind the lock.
#[derive(Debug)]
pub(super) struct State {
    /// The open journal file; `None` while none can be created.
    pub(super) journal: Option<Journal>,
    /// Events that are recorded, but not taken by the writer yet.
    pub(super) queue: VecDeque<Queued>,
    /// The journal has events that are not in the queue.
    pub(super) behind: bool,
    /// Every event up to this number is in the database.
    pub(super) committed: u64,
    /// The store is being closed.
    pub(super) closing: bool,
    /// The writer has ended.
    pub(super) ended: bool,
    /// A reader found the database damaged.
    pub(super) suspect: bool,
    /// The damage since the store was opened, and where it is kept; for people.
    pub(super) damaged: Damaged,
    /// The clock has changed to another day. The database may have events of that day.
    pub(super) reseed: bool,
    /// Why the database cannot be used; `None` while it can.
    pub(super) problem: Option<String>,
    pub(super) today: Today,
    /// The existing keys.
    pub(super) keys: Arc<[KnownKey]>,
    /// The names of the keys are not in the database yet.
    pub(super) keys_changed: bool,
    next_id: u64,
    journal_failed: bool,
    lost: u64,
    line: Vec<u8>,
}

/// Messages about damage, for people.
#[derive(Debug, Clone, Default)]
pub(super) struct Damaged {
    pub(super) database: Option<String>,
    pub(super) journal: Option<String>,
}

/// An event on its way to the database.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) event: UsageEvent,
    /// Whether the event is in the journal too.
    pub(super) journaled: bool,
}

impl Inlet {
    /// Creates the shared state. The next event gets number `next_id`.
    pub(super) fn new(journal: Option<Journal>, next_id: u64, today: Today, keys: Vec<KnownKey>) -> Self {
        let state = State {
            journal,
            queue: VecDeque::new(),
            behind: false,
            committed: next_id.saturating_sub(1),
            closing: false,
            ended: false,
            suspect: false,
            damaged: Damaged::default(),
            reseed: false,
            problem: None,
            today,
            keys: keys.into(),
            keys_changed: false,
            next_id,
            journal_failed: false,
            lost: 0,
            line: Vec::new(),
        };
        Self { state: Mutex::new(state), work: Condvar::new(), progress: Condvar::new() }
    }

    /// Locks the state. After a panic of another holder it is still valid: every change is complete in itself.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, mut event: UsageEvent) -> u64 {
        event.normalise();
        let mut state = self.lock();
        let id = state.next_id;
        event.id = id;
        state.next_id += 1;
        let journaled = state.append(&event);
        state.roll_day();
        state.today.add(&event);
        if state.queue.len() < QUEUE {
            state.queue.push_back(Queued { event, journaled });
        } else if journaled {
            state.behind = true;
        } else {
            state.lose(1);
        }
        drop(state);
        self.work.notify_one();
        id
    }

    fn today<T>(&self, read: impl FnOnce(&Today) -> T) -> T {
        let mut state = self.lock();
        state.roll_day();
        read(&state.today)
    }

    /// Waits until there is work for the writer, or until `deadline`.
    pub(super) fn wait_for_work(&self, deadline: Instant) -> MutexGuard<'_, State> {
        let wait = deadline.saturating_duration_since(Instant::now());
        let idle = |state: &mut State| {
            state.queue.is_empty()
                && !state.behind
                && !state.closing
                && !state.suspect
                && !state.reseed
                && !state.keys_changed
        };
        match self.work.wait_timeout_while(self.lock(), wait, idle) {
            Ok((state, _)) => state,
            Err(poisoned) => poisoned.into_inner().0,
        }
    }

    /// Changes the state and wakes the threads that wait for a change.
    pub(super) fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.progress.notify_all();
        self.work.notify_one();
        result
    }

    /// Waits up to `most` until everything recorded so far is in the database. Returns whether it is.
    pub(super) fn wait_for_commit(&self, most: Duration) -> bool {
        let state = self.lock();
        let target = state.next_id.saturating_sub(1);
        let waiting = |state: &mut State| state.committed < target && !state.ended;
        match self.progress.wait_timeout_while(state, most, waiting) {
            Ok((state, _)) => state.committed >= target,
            Err(_) => false,
        }
    }

    /// Waits until the writer has a problem.
    #[cfg(test)]
    pub(super) fn wait_for_problem(&self) {
        drop(self.progress.wait_while(self.lock(), |state| state.problem.is_none()));
    }

    /// Waits until the writer has ended.
    pub(super) fn wait_for_end(&self) {
        let waiting = |state: &mut State| !state.ended;
        // A poisoned lock means that the writer has ended too.
        drop(self.progress.wait_while(self.lock(), waiting));
    }
}

impl State {
    /// The number of the newest event.
    pub(super) fn last_id(&self) -> u64 {
        self.next_id.saturating_sub(1)
    }

    /// Continues the numbers after this one.
    pub(super) fn continue_after(&mut self, id: u64) {
        self.next_id = self.next_id.max(id + 1);
    }

    /// Counts events that are lost permanently.
    pub(super) fn lose(&mut self, events: u64) {
        if self.lost == 0 {
            tracing::error!(
                "usage events are lost: they can be written neither to the journal nor to the database; free disk \
                 space and check the permissions of the data directory"
            );
        }
        self.lost += events;
    }

    /// The number of events that are lost permanently.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether the last event could not be written to the journal.
    pub(super) fn journal_failed(&self) -> bool {
        self.journal_failed
    }

    fn append(&mut self, event: &UsageEvent) -> bool {
        self.line.clear();
        let written = serde_json::to_writer(&mut self.line, event).map_err(io::Error::from).and_then(|()| {
            self.line.push(b'\n');
            let journal = self.journal.as_mut().ok_or_else(|| io::Error::other("it could not be made"))?;
            journal.append(&self.line)
        });
        match written {
            Ok(()) => {
                if self.journal_failed {
                    tracing::info!("usage events are written to their journal again");
                }
                self.journal_failed = false;
                true
            }
            Err(error) => {
                if !self.journal_failed {
                    tracing::warn!(
                        %error,
                        "the journal of usage events cannot be written; until it can, a crash loses events that are \
                         not in the database yet. Free disk space and check the data directory's permissions"
                    );
                }
                self.journal_failed = true;
                false
            }
        }
    }

    /// Begins a new day if the clock has changed to one.
    fn roll_day(&mut self) {
        let now = Timestamp::now();
        if !self.today.covers(now) {
            self.today = Today::at(now, self.today.tz().clone());
            self.reseed = true;
        }
    }
}
