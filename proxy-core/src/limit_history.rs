//! How the limits of the plan went: the readings of both windows, in the file `limits.json` of the data directory, so that
//! their charts go on after a restart.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::account::limits::{Limits, Window};
use crate::account::{Phase, State};
use crate::files::{self, Target};

/// The name of the file in the data directory.
pub const FILE: &str = "limits.json";

/// The most readings of a window: a start and an end for every percent, and as many for windows of another length.
const MOST: usize = 400;

/// Resets are told to the second or the minute: those so close together are of one window.
const SAME_RESET_SECONDS: u64 = 120;

/// The readings. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LimitHistory(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    file: PathBuf,
    readings: Mutex<Readings>,
}

/// The readings of both windows, oldest first: for each percentage the first and the last one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Readings {
    /// Of the short window.
    pub primary: Vec<Reading>,
    /// Of the long window.
    pub secondary: Vec<Reading>,
}

/// How much of a window was used at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The time, in seconds since the epoch.
    pub at: u64,
    /// The window.
    #[serde(flatten)]
    pub window: Window,
}

impl LimitHistory {
    /// The readings that are kept in the data directory. A file that cannot be read counts as none.
    pub fn read(data_dir: &Path) -> Self {
        let file = data_dir.join(FILE);
        let readings = match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(file = %file.display(), %error, "the history of the limits is damaged; it begins again");
                Readings::default()
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Readings::default(),
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "the history of the limits cannot be read; it begins again");
                Readings::default()
            }
        };
        Self(Arc::new(Shared { file, readings: Mutex::new(readings) }))
    }

    /// The readings so far.
    pub fn readings(&self) -> Readings {
        self.lock().clone()
    }

    /// Adds what the account is told, until `ending`.
    pub async fn follow(self, mut account: watch::Receiver<State>, ending: CancellationToken) {
        loop {
            let is_new = self.take(&account.borrow_and_update());
            if is_new {
                self.save().await;
            }
            tokio::select! {
                biased;
                () = ending.cancelled() => break,
                changed = account.changed() => if changed.is_err() { break },
            }
        }
        self.take(&account.borrow());
        // The last reading of a percentage moves without a write.
        self.save().await;
    }

    /// Adds what the account is told now. Returns whether there is more to keep than a later time.
    fn take(&self, state: &State) -> bool {
        let mut readings = self.lock();
        match (&state.limits, state.phase()) {
            (Some(limits), _) => readings.add(limits),
            (None, Phase::SignedOut | Phase::NotNeeded) => readings.clear(),
            (None, Phase::Unknown | Phase::SigningIn | Phase::SignedIn) => false,
        }
    }

    async fn save(&self) {
        let (shared, readings) = (self.0.clone(), self.readings());
        let file = shared.file.clone();
        let saved = tokio::task::spawn_blocking(move || shared.save(&readings)).await;
        let error = match saved {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(file = %file.display(), %error, "the history of the limits could not be saved");
    }

    fn lock(&self) -> MutexGuard<'_, Readings> {
        self.0.readings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn save(&self, readings: &Readings) -> io::Result<()> {
        if *readings != Readings::default() {
            let text = serde_json::to_string(readings).map_err(io::Error::other)?;
            return files::replace(&self.file, text, Target::Fleeting);
        }
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

impl Readings {
    /// Adds a reading. Returns whether there is more to keep than a later time.
    fn add(&mut self, limits: &Limits) -> bool {
        let at = limits.read_at;
        let primary = limits.primary.is_some_and(|window| add(&mut self.primary, Reading { at, window }));
        let secondary =
            limits.secondary.is_some_and(|window| add(&mut self.secondary, Reading { at, window }));
        primary || secondary
    }

    /// Forgets everything. Returns whether there was anything.
    fn clear(&mut self) -> bool {
        std::mem::take(self) != Self::default()
    }
}

fn add(readings: &mut Vec<Reading>, new: Reading) -> bool {
    if readings.last() == Some(&new) {
        return false;
    }
    // A clock that was set back: what is later than now is of no use.
    readings.retain(|reading| reading.at <= new.at);
    if let [.., before, last] = readings.as_mut_slice()
        && is_same(&before.window, &new.window)
        && is_same(&last.window, &new.window)
    {
        *last = new;
        return false;
    }
    let length =
        |window: &Window| Some(window.window_minutes?.saturating_mul(60).saturating_add(SAME_RESET_SECONDS));
    if let (Some(resets_at), Some(length)) = (new.window.resets_at, length(&new.window)) {
        let begin = resets_at.saturating_sub(length);
        readings.retain(|reading| reading.at >= begin);
    }
    readings.push(new);
    let over = readings.len().saturating_sub(MOST);
    readings.drain(..over);
    true
}

/// Whether two readings are of one window with the same use.
fn is_same(one: &Window, other: &Window) -> bool {
    let resets = match (one.resets_at, other.resets_at) {
        (Some(one), Some(other)) => one.abs_diff(other) <= SAME_RESET_SECONDS,
        (one, other) => one == other,
    };
    resets && one.used_percent == other.used_percent && one.window_minutes == other.window_minutes
}

#[cfg(test)]
mod tests;
