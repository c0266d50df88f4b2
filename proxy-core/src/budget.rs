//! Limits the memory that all requests may hold together.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::heap;

/// A number of bytes that requests share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Budget {
    left: Arc<Semaphore>,
}

/// The bytes that one request holds, until this is dropped.
#[derive(Debug)]
pub struct Share {
    left: Arc<Semaphore>,
    taken: Mutex<Option<OwnedSemaphorePermit>>,
}

/// The other requests hold too much.
///
/// A request never waits for bytes: two requests that each hold half of what they need would wait for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this proxy is busy with other large requests; try again in a moment")]
pub struct Exhausted;

impl Budget {
    /// A budget of this number of bytes.
    pub fn new(bytes: usize) -> Self {
        Self { left: Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))) }
    }

    /// A share without bytes, for a new request.
    pub fn share(&self) -> Share {
        Share { left: self.left.clone(), taken: Mutex::default() }
    }
}

impl Share {
    /// Takes more bytes.
    ///
    /// # Errors
    /// If not enough bytes are left; the bytes that were taken before stay taken.
    pub fn take(&self, bytes: usize) -> Result<(), Exhausted> {
        let permits = u32::try_from(bytes).map_err(|_| Exhausted)?;
        let more = self.left.clone().try_acquire_many_owned(permits).map_err(|_| Exhausted)?;
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.as_mut() {
            Some(taken) => taken.merge(more),
            None => *taken = Some(more),
        }
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let taken = self.taken.get_mut().unwrap_or_else(PoisonError::into_inner);
        if taken.as_ref().is_some_and(|taken| taken.num_permits() as u64 > heap::LARGE) {
            heap::freed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_given_back_when_its_holder_goes() {
        let budget = Budget::new(10);
        let (one, two) = (budget.share(), budget.share());
        assert_eq!((one.take(4), one.take(3), two.take(4)), (Ok(()), Ok(()), Err(Exhausted)));
        assert_eq!(two.take(3), Ok(()));
        drop(one);
        assert_eq!((two.take(8), two.take(7)), (Err(Exhausted), Ok(())));
        assert_eq!(two.take(usize::MAX), Err(Exhausted));
    }
}
