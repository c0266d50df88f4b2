//! A queue of lines to a slow output, so that logging never waits for a disk or a pipe.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::secret::redact::redact;

/// The maximum number of bytes in the queue. A line that does not fit is dropped and counted; the next line that
/// fits is preceded by the count.
const ROOM: usize = 4 * 1024 * 1024;

/// The output of a queue.
pub(super) trait Target: Send + 'static {
    /// Writes one or more lines.
    fn write(&mut self, lines: &[u8]) -> io::Result<()>;

    /// Writes that `count` lines were dropped before the next one.
    fn note_dropped(&mut self, count: u64) -> io::Result<()>;
}

/// The sending end of the queue. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    filled: Condvar,
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Lines that were dropped since the last written one.
    dropped: u64,
    /// Lines that were dropped in total.
    dropped_ever: u64,
    writing: bool,
}

impl Queue {
    /// Starts the thread that writes to `target`; it ends with the process.
    pub(super) fn start(name: &str, target: impl Target) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let queue = Self { shared: shared.clone() };
        std::thread::Builder::new().name(name.to_owned()).spawn(move || shared.write_out(target))?;
        Ok(queue)
    }

    /// The number of lines that were dropped because they came faster than they could be written.
    pub(super) fn dropped_ever(&self) -> u64 {
        self.shared.state().dropped_ever
    }

    /// Waits until all lines are written, for at most `limit`. Returns whether they are.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        let mut state = self.shared.state();
        while state.writing || !state.lines.is_empty() {
            let Some(left) = until.checked_duration_since(Instant::now()) else { return false };
            let waited = self.shared.emptied.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn push(&self, line: Vec<u8>) {
        let mut state = self.shared.state();
        if state.bytes + line.len() > ROOM {
            state.dropped += 1;
            state.dropped_ever += 1;
            return;
        }
        state.bytes += line.len();
        state.lines.push_back(line);
        drop(state);
        self.shared.filled.notify_one();
    }
}

/// Each write is one complete event. It is redacted here, because every line passes this place.
impl io::Write for Queue {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        self.push(redact(&text).into_owned().into_bytes());
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_out(&self, mut target: impl Target) {
        loop {
            let mut state = self.state();
            state.writing = false;
            if state.lines.is_empty() {
                self.emptied.notify_all();
            }
            while state.lines.is_empty() {
                state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let (lines, dropped) = (std::mem::take(&mut state.lines), std::mem::take(&mut state.dropped));
            state.writing = true;
            drop(state);
            for line in &lines {
                // The target reports its own errors; there is no other place to report them.
                let _ = target.write(line);
                self.state().bytes -= line.len();
            }
            if dropped > 0 {
                let _ = target.note_dropped(dropped);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::mpsc;

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    /// Writes one line for each permit.
    struct Gated {
        permits: mpsc::Receiver<()>,
        written: Arc<Mutex<Vec<String>>>,
    }

    impl Gated {
        fn keep(&self, line: String) {
            self.written.lock().unwrap().push(line);
        }
    }

    impl Target for Gated {
        fn write(&mut self, lines: &[u8]) -> io::Result<()> {
            self.permits.recv().map_err(io::Error::other)?;
            self.keep(String::from_utf8_lossy(lines).into_owned());
            Ok(())
        }

        fn note_dropped(&mut self, count: u64) -> io::Result<()> {
            self.keep(format!("dropped {count}"));
            Ok(())
        }
    }

    fn gated() -> (Queue, mpsc::Sender<()>, Arc<Mutex<Vec<String>>>) {
        let (permit, permits) = mpsc::channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let queue = Queue::start("test", Gated { permits, written: written.clone() }).unwrap();
        (queue, permit, written)
    }

    #[test]
    fn lines_are_written_redacted_and_in_order() {
        let (mut queue, permit, written) = gated();
        queue.write_all(b"one Bearer abcdef\n").unwrap();
        queue.write_all(b"two\n").unwrap();
        assert!(!queue.flush(Duration::from_millis(1)), "nothing may be written yet");
        permit.send(()).unwrap();
        permit.send(()).unwrap();
        assert!(queue.flush(SOON));
        assert_eq!(*written.lock().unwrap(), ["one Bearer [redacted]\n", "two\n"]);
    }

    #[test]
    fn a_stuck_target_costs_lines_and_no_time() {
        let (mut queue, permit, written) = gated();
        let line = vec![b'x'; 64 * 1024];
        for _ in 0..ROOM / line.len() + 3 {
            queue.write_all(&line).unwrap();
        }
        assert_eq!(queue.dropped_ever(), 3);
        // Once the sender of the permits is dropped, every write fails, and the queue becomes empty.
        drop(permit);
        assert!(queue.flush(SOON));
        assert_eq!(*written.lock().unwrap(), ["dropped 3"]);
        assert_eq!(queue.dropped_ever(), 3);
    }
}
