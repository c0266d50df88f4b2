//! The queue for places on the workers: first come, first served, least-loaded worker first.
//!
//! Pure except for the handles in it: it never waits and reads no clock.

use std::collections::VecDeque;

/// Identifies a worker that takes turns, and distinguishes it from the one that it replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Generation(pub u64);

/// Limits of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most turns at the same time on one worker.
    pub per_worker: usize,
    /// The most turns that one worker may be starting at the same time: Codex starts them one after the other.
    pub starting: usize,
    /// The most turns at the same time in all.
    pub total: usize,
    /// The most requests that wait.
    pub waiting: usize,
}

/// The places of all workers, and the queue for them. `H` is the handle of a worker, `W` is a waiter.
#[derive(Debug)]
pub struct AdmissionQueue<H, W> {
    limits: Limits,
    open: Vec<Open<H>>,
    waiting: VecDeque<W>,
    taken: usize,
    next: u64,
}

#[derive(Debug)]
struct Open<H> {
    generation: Generation,
    handle: H,
    taken: usize,
    /// The taken places with a turn that has not started yet.
    starting: usize,
    /// The worker gets no new turns; the entry is kept to count its present ones.
    closed: bool,
}

impl<H: Clone, W> AdmissionQueue<H, W> {
    /// A queue without workers.
    pub fn new(limits: Limits) -> Self {
        Self { limits, open: Vec::new(), waiting: VecDeque::new(), taken: 0, next: 0 }
    }

    /// A worker takes turns from now on.
    pub fn open(&mut self, handle: H) -> Generation {
        let generation = Generation(self.next);
        self.next += 1;
        self.open.push(Open { generation, handle, taken: 0, starting: 0, closed: false });
        generation
    }

    /// A worker takes no more turns.
    pub fn close(&mut self, generation: Generation) {
        if let Some(worker) = self.open.iter_mut().find(|worker| worker.generation == generation) {
            worker.closed = true;
        }
        self.open.retain(|worker| !worker.closed || worker.taken > 0);
    }

    /// Closes workers that have ended by themselves.
    pub fn sweep(&mut self, gone: impl Fn(&H) -> bool) {
        for worker in &mut self.open {
            worker.closed |= gone(&worker.handle);
        }
        self.open.retain(|worker| !worker.closed || worker.taken > 0);
    }

    /// Takes a place now, if there is one and no request has waited longer.
    pub fn take(&mut self) -> Option<(Generation, H)> {
        if self.waiting.is_empty() { self.place() } else { None }
    }

    /// Takes a place on a worker that `is_wanted`, if there is one now and nobody has waited longer.
    pub fn take_on(&mut self, is_wanted: impl Fn(&H) -> bool) -> Option<(Generation, H)> {
        if self.waiting.is_empty() { self.place_on(is_wanted) } else { None }
    }

    /// Joins the queue. A request that only waits for other turns to start does not count as waiting: it has a
    /// free place.
    ///
    /// # Errors
    /// Gives the waiter back when the queue is full.
    pub fn join(&mut self, waiter: W) -> Result<(), W> {
        if self.waiting.len() >= self.limits.waiting.saturating_add(self.free()) {
            return Err(waiter);
        }
        self.waiting.push_back(waiter);
        Ok(())
    }

    /// Gives a place to the request that has waited longest.
    pub fn admit_next(&mut self) -> Option<(W, Generation, H)> {
        if self.waiting.is_empty() {
            return None;
        }
        let (generation, handle) = self.place()?;
        let waiter = self.waiting.pop_front()?;
        Some((waiter, generation, handle))
    }

    /// A turn has started, or will not start: the next one may start.
    pub fn started(&mut self, generation: Generation) {
        if let Some(worker) = self.open.iter_mut().find(|worker| worker.generation == generation) {
            worker.starting = worker.starting.saturating_sub(1);
        }
    }

    /// A place is free again. Its turn has started or will not start.
    pub fn give_back(&mut self, generation: Generation) {
        self.taken = self.taken.saturating_sub(1);
        if let Some(worker) = self.open.iter_mut().find(|worker| worker.generation == generation) {
            worker.taken = worker.taken.saturating_sub(1);
        }
        self.open.retain(|worker| !worker.closed || worker.taken > 0);
    }

    /// Removes waiters that have stopped waiting.
    pub fn forget(&mut self, gone: impl Fn(&W) -> bool) {
        self.waiting.retain(|waiter| !gone(waiter));
    }

    /// The number of waiting requests.
    pub fn queue_depth(&self) -> usize {
        self.waiting.len()
    }

    /// Turns on one worker.
    pub fn taken(&self, generation: Generation) -> usize {
        self.open.iter().find(|worker| worker.generation == generation).map_or(0, |worker| worker.taken)
    }

    /// A worker that takes turns, the least-loaded one.
    pub fn least_loaded(&self) -> Option<&H> {
        let workers = self.open.iter().filter(|worker| !worker.closed);
        workers.min_by_key(|worker| worker.taken).map(|worker| &worker.handle)
    }

    /// Every worker that takes turns.
    pub fn all(&self) -> impl Iterator<Item = &H> {
        self.open.iter().filter(|worker| !worker.closed).map(|worker| &worker.handle)
    }

    /// Free places, whether or not a turn can be started on them now.
    pub fn free(&self) -> usize {
        let workers = self.open.iter().filter(|worker| !worker.closed);
        let free = workers.map(|worker| self.limits.per_worker.saturating_sub(worker.taken)).sum();
        self.limits.total.saturating_sub(self.taken).min(free)
    }

    fn place(&mut self) -> Option<(Generation, H)> {
        self.place_on(|_| true)
    }

    fn place_on(&mut self, is_wanted: impl Fn(&H) -> bool) -> Option<(Generation, H)> {
        if self.taken >= self.limits.total {
            return None;
        }
        let Limits { per_worker, starting, .. } = self.limits;
        let open = self.open.iter_mut().filter(|worker| !worker.closed && is_wanted(&worker.handle));
        let free = open.filter(|worker| worker.taken < per_worker && worker.starting < starting);
        let worker = free.min_by_key(|worker| worker.taken)?;
        worker.taken += 1;
        worker.starting += 1;
        self.taken += 1;
        Some((worker.generation, worker.handle.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(per_worker: usize, total: usize, waiting: usize) -> AdmissionQueue<&'static str, u32> {
        AdmissionQueue::new(Limits { per_worker, starting: per_worker, total, waiting })
    }

    #[test]
    fn turns_start_a_few_at_a_time_and_who_waits_for_that_does_not_fill_the_queue() {
        let mut queue = AdmissionQueue::new(Limits { per_worker: 4, starting: 2, total: 10, waiting: 1 });
        let a = queue.open("a");
        assert_eq!(std::iter::from_fn(|| queue.take()).count(), 2);
        assert_eq!(queue.free(), 2);
        assert_eq!((1..=4).map(|waiter| queue.join(waiter)).filter(Result::is_ok).count(), 3);
        assert_eq!(queue.admit_next(), None, "two are starting");
        queue.started(a);
        assert_eq!(queue.admit_next().map(|(waiter, ..)| waiter), Some(1));
        assert_eq!(queue.admit_next(), None);
        queue.started(a);
        queue.give_back(a);
        assert_eq!(queue.admit_next().map(|(waiter, ..)| waiter), Some(2));
    }

    #[test]
    fn the_least_loaded_worker_gets_the_turn() {
        let mut queue = queue(2, 10, 10);
        queue.open("a");
        queue.open("b");
        let taken: Vec<_> = std::iter::from_fn(|| queue.take().map(|(_, handle)| handle)).collect();
        assert_eq!(taken, ["a", "b", "a", "b"]);
    }

    #[test]
    fn the_queue_is_fair_and_bounded() {
        let mut queue = queue(1, 10, 2);
        let a = queue.open("a");
        assert!(queue.take().is_some());
        assert_eq!(queue.join(1), Ok(()));
        assert_eq!(queue.join(2), Ok(()));
        assert_eq!(queue.join(3), Err(3));
        assert_eq!(queue.admit_next(), None);
        queue.started(a);
        queue.give_back(a);
        assert_eq!(queue.take(), None, "nobody overtakes the queue");
        assert_eq!(queue.admit_next().map(|(waiter, _, _)| waiter), Some(1));
        queue.forget(|waiter| *waiter == 2);
        assert_eq!(queue.queue_depth(), 0);
    }

    #[test]
    fn a_worker_that_has_gone_gets_no_turn() {
        let mut queue = queue(5, 10, 0);
        queue.open("gone");
        queue.open("there");
        queue.sweep(|handle| *handle == "gone");
        let taken: Vec<_> = std::iter::from_fn(|| queue.take().map(|(_, handle)| handle)).take(2).collect();
        assert_eq!(taken, ["there", "there"]);
    }

    #[test]
    fn the_total_counts_over_all_workers() {
        let mut queue = queue(5, 3, 0);
        queue.open("a");
        queue.open("b");
        assert_eq!(std::iter::from_fn(|| queue.take()).count(), 3);
    }

    #[test]
    fn a_closed_worker_keeps_its_turns_and_gets_no_new_ones() {
        let mut queue = queue(5, 10, 0);
        let old = queue.open("old");
        assert!(queue.take().is_some());
        let new = queue.open("new");
        queue.close(old);
        assert_eq!(queue.take().map(|(generation, _)| generation), Some(new));
        assert_eq!(queue.taken(old), 1);
        queue.give_back(old);
        assert_eq!(queue.taken(old), 0);
        assert_eq!(queue.least_loaded(), Some(&"new"));
    }
}
