//! How many tokens a turn is for the model, before it is sent.
//!
//! The text is counted with the tokenizer of the models (`tokenizer`), and what the vendor puts around it by the format that
//! OpenAI has published for gpt-oss, `harmony` (`prompt.rs`, `tools.rs`): its newer models count like that. The size of an
//! image follows from its pixels (`pictures.rs`). What nobody can count is estimated: reasoning that only the vendor
//! can read.

mod lately;
mod pictures;
mod prompt;
mod tools;

#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokenizer::{LoadError, Tokenizer};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

use lately::Lately;
use prompt::Piece;
use protocol::turn::Turn;

/// How many turns are counted at a time: it is work for a processor, which the other requests need too.
const AT_A_TIME: usize = 2;

/// How long the tokenizer stays in memory after its last use.
const KEPT: Duration = Duration::from_secs(5 * 60);

/// Counts the tokens of turns. Cheap to clone. It takes no memory until it is used.
#[derive(Debug, Clone)]
pub struct TokenCounter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    places: Arc<Semaphore>,
    kept: Mutex<Kept>,
    lately: Mutex<Lately>,
}

/// The tokenizer while it is in memory.
struct Kept {
    tokenizer: Option<Arc<Tokenizer>>,
    used: Instant,
    /// Whether a task waits to let it go.
    is_watched: bool,
}

/// Why a turn cannot be counted.
#[derive(Debug, thiserror::Error)]
pub enum CountError {
    /// The program itself is damaged.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The work was given up: the proxy ends.
    #[error("the tokens were not counted to their end")]
    Interrupted,
}

/// Whether the result is still wanted. Dropping it says no.
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Default for TokenCounter {
    fn default() -> Self {
        let kept = Kept { tokenizer: None, used: Instant::now(), is_watched: false };
        Self(Arc::new(Shared {
            places: Arc::new(Semaphore::new(AT_A_TIME)),
            kept: Mutex::new(kept),
            lately: Mutex::default(),
        }))
    }
}

impl TokenCounter {
    /// The tokens of everything that the model is given for a turn. Dropping the future gives the work up.
    ///
    /// # Errors
    /// If the program is damaged, or ends.
    pub async fn count(&self, turn: &Turn) -> Result<u64, CountError> {
        let place = self.0.places.clone().acquire_owned().await.map_err(|_| CountError::Interrupted)?;
        self.keep();
        let is_wanted = Arc::new(AtomicBool::new(true));
        let _wanted = Wanted(is_wanted.clone());
        // The copy is of texts only: images are shared.
        let (shared, turn) = (self.0.clone(), turn.clone());
        let work = tokio::task::spawn_blocking(move || {
            let counted = shared.count(&turn, &is_wanted);
            // Given back when the work has ended, not when its result is no longer wanted.
            drop(place);
            counted
        });
        let counted = work.await.map_err(|_| CountError::Interrupted)?;
        self.keep();
        counted
    }

    /// What was counted for the same turn in the last minutes.
    pub fn expected(&self, turn: &Turn) -> Option<u64> {
        let mut lately = self.0.lately();
        if lately.is_empty() {
            return None;
        }
        let mut mark = lately.mark();
        drop(lately);
        let _ = prompt::read(turn, &mut |piece| {
            mark.add(&piece);
            ControlFlow::Continue(())
        });
        self.0.lately().get(&mark)
    }

    /// Keeps the tokenizer for a while from now on.
    fn keep(&self) {
        let mut kept = self.0.kept();
        kept.used = Instant::now();
        if std::mem::replace(&mut kept.is_watched, true) {
            return;
        }
        let (shared, mut until) = (Arc::downgrade(&self.0), kept.used + KEPT);
        tokio::spawn(async move {
            loop {
                sleep_until(until).await;
                let Some(shared) = shared.upgrade() else { return };
                let mut kept = shared.kept();
                until = kept.used + KEPT;
                if until <= Instant::now() {
                    kept.tokenizer = None;
                    kept.is_watched = false;
                    return;
                }
            }
        });
    }
}

impl Shared {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lately(&self) -> MutexGuard<'_, Lately> {
        self.lately.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tokenizer(&self) -> Result<Arc<Tokenizer>, LoadError> {
        let mut kept = self.kept();
        if let Some(tokenizer) = &kept.tokenizer {
            return Ok(tokenizer.clone());
        }
        let tokenizer = Arc::new(Tokenizer::load()?);
        kept.tokenizer = Some(tokenizer.clone());
        Ok(tokenizer)
    }

    fn count(&self, turn: &Turn, is_wanted: &AtomicBool) -> Result<u64, CountError> {
        let tokenizer = self.tokenizer()?;
        let mut mark = self.lately().mark();
        let mut sum = 0;
        let read = prompt::read(turn, &mut |piece| {
            mark.add(&piece);
            match piece {
                Piece::Tokens(count) => sum += count,
                Piece::Text(text) => {
                    for count in tokenizer.counts(text) {
                        if !is_wanted.load(Ordering::Relaxed) {
                            return ControlFlow::Break(());
                        }
                        sum += count;
                    }
                }
            }
            ControlFlow::Continue(())
        });
        if read.is_break() {
            return Err(CountError::Interrupted);
        }
        self.lately().put(&mark, sum);
        Ok(sum)
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("loaded", &self.tokenizer.is_some()).finish_non_exhaustive()
    }
}
