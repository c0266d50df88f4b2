//! Counts the running streamed answers, and limits them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The running streams.
#[derive(Debug, Clone)]
pub struct Streams {
    open: Arc<AtomicUsize>,
    /// The most at the same time; 0 for any number.
    limit: usize,
    /// Whether answers report the count, for tests.
    told: bool,
}

/// The place of one stream in the count; dropping it frees the place.
#[derive(Debug)]
pub(super) struct StreamPermit(Arc<AtomicUsize>);

/// The count before a stream began, or was refused, and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    before: usize,
    after: usize,
    limit: usize,
    told: bool,
}

impl Streams {
    /// A count of zero.
    pub fn new(limit: usize, told: bool) -> Self {
        Self { open: Arc::default(), limit, told }
    }

    /// The present count.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Takes a place for one more stream. The error is the count, if it has reached the limit.
    pub(super) fn begin(&self) -> Result<(StreamPermit, Count), Count> {
        let one_more = |open: usize| (self.limit == 0 || open < self.limit).then_some(open + 1);
        let count = |before, after| Count { before, after, limit: self.limit, told: self.told };
        match self.open.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more) {
            Ok(before) => Ok((StreamPermit(self.open.clone()), count(before, before + 1))),
            Err(open) => Err(count(open, open)),
        }
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Count {
    /// The count before, the count after, and the limit, if there is one and clients are to get these numbers.
    pub fn told(self) -> Option<[usize; 3]> {
        (self.told && self.limit > 0).then_some([self.before, self.after, self.limit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_back_and_no_more_are_given_than_there_are() {
        let streams = Streams::new(2, true);
        let (one, first) = streams.begin().unwrap();
        let (_two, second) = streams.begin().unwrap();
        let full = streams.begin().unwrap_err();
        assert_eq!((first.before, first.after), (0, 1));
        assert_eq!((second.before, second.after), (1, 2));
        assert_eq!((full.before, full.after, full.limit), (2, 2, 2));
        assert_eq!(full.told(), Some([2, 2, 2]));
        assert_eq!(Streams::new(1, false).begin().unwrap().1.told(), None, "clients are not to know");
        drop(one);
        assert_eq!(streams.open(), 1);
        assert!(streams.begin().is_ok());
    }

    #[test]
    fn without_a_limit_all_are_counted_and_none_is_refused() {
        let streams = Streams::new(0, true);
        let places: Vec<_> = (0..100).map(|_| streams.begin().unwrap()).collect();
        assert_eq!(streams.open(), 100);
        assert_eq!(places[99].1.told(), None);
    }
}
