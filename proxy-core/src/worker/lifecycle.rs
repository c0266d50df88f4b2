//! A worker's lifecycle as a pure state machine: events in, actions out. Time is an argument.

use std::time::Duration;

/// The state of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The process is starting, up to its handshake.
    Starting,
    /// The worker takes turns.
    Ready,
    /// The worker finishes its present turns, and takes no new ones.
    Draining,
    /// The worker is down; the next start comes by itself.
    BackingOff,
    /// Several starts have failed before the worker was ever ready; further ones follow at long intervals.
    Failed,
}

impl State {
    /// The name in health reports.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::BackingOff => "backing_off",
            Self::Failed => "failed",
        }
    }
}

/// An event of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// The process completed its handshake.
    HandshakeDone,
    /// The worker has to finish its turns and be replaced.
    DrainAsked,
    /// The process ended, or could not be started, after this long.
    Ended(Duration),
    /// The process was replaced as planned.
    Replaced,
    /// The pause before the next start is over.
    PauseOver,
}

/// The action that follows from an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// No action.
    Wait,
    /// Start a process.
    Start,
    /// Wait this long, then start a process.
    Pause(Duration),
}

/// The first and the longest pause before a process is started again.
pub const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(30));

/// The age from which the end of a process is followed by a quick restart.
pub const STEADY: Duration = Duration::from_secs(30);

/// The number of consecutive failures, none of them after a handshake, from which the worker counts as failing.
const HOPELESS: u32 = 5;

/// The most failures that count for the pause after a process that completed its handshake.
const QUICK: u32 = 3;

/// The lifecycle of one worker.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    state: State,
    /// Consecutive ends that came soon after a start.
    failures: u32,
    /// Whether any process since the last steady one was ever ready.
    was_ready: bool,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self { state: State::Starting, failures: 0, was_ready: false }
    }
}

impl Lifecycle {
    /// The worker's state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Whether a process of this worker has been ready lately. If so, requests wait for the next one.
    pub fn was_ready(&self) -> bool {
        self.was_ready
    }

    /// Consecutive ends that came soon after a start; 0 once a process is ready.
    pub fn failures(&self) -> u32 {
        if self.state == State::Ready { 0 } else { self.failures }
    }

    /// Handles an event. `jitter` is a random number from 0 to 1, so that proxies that failed at the same time do
    /// not restart at the same time.
    pub fn on(&mut self, input: Input, jitter: f64) -> Action {
        match input {
            Input::HandshakeDone => {
                self.state = State::Ready;
                self.was_ready = true;
                Action::Wait
            }
            Input::DrainAsked => {
                if self.state == State::Ready {
                    self.state = State::Draining;
                }
                Action::Wait
            }
            Input::Replaced => {
                self.state = State::Ready;
                self.failures = 0;
                Action::Wait
            }
            Input::PauseOver => {
                self.state = State::Starting;
                Action::Start
            }
            Input::Ended(lived) => {
                if lived >= STEADY {
                    self.failures = 0;
                } else if self.state == State::Starting {
                    self.was_ready = false;
                } else {
                    // The worker has completed a handshake before, so the next process will probably be ready
                    // soon.
                    self.failures = self.failures.min(QUICK);
                }
                let pause = pause(self.failures, jitter);
                self.failures = self.failures.saturating_add(1);
                let hopeless = self.failures >= HOPELESS && !self.was_ready;
                self.state = if hopeless { State::Failed } else { State::BackingOff };
                Action::Pause(pause)
            }
        }
    }
}

/// The pause doubles with each failure up to the longest one, plus up to a fifth of it.
fn pause(failures: u32, jitter: f64) -> Duration {
    let doubled = PAUSES.0.saturating_mul(2u32.saturating_pow(failures.min(20)));
    let pause = doubled.min(PAUSES.1);
    pause + pause.mul_f64(jitter.clamp(0.0, 1.0) / 5.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(10);

    fn pauses(inputs: &[Input]) -> (Vec<u128>, State) {
        let mut life = Lifecycle::default();
        let mut pauses = Vec::new();
        for input in inputs {
            if let Action::Pause(pause) = life.on(*input, 0.0) {
                pauses.push(pause.as_millis());
            }
        }
        (pauses, life.state)
    }

    #[test]
    fn pauses_double_and_never_end() {
        let mut life = Lifecycle::default();
        let mut seen = Vec::new();
        for _ in 0..40 {
            let Action::Pause(pause) = life.on(Input::Ended(SOON), 0.0) else {
                panic!("a try always follows")
            };
            seen.push(pause.as_millis());
            assert_eq!(life.on(Input::PauseOver, 0.0), Action::Start);
        }
        assert_eq!(seen[..4], [50, 100, 200, 400]);
        assert!(seen[15..].iter().all(|pause| *pause == 30_000));
    }

    #[test]
    fn a_steady_life_is_forgiven() {
        let inputs = [
            Input::Ended(SOON),
            Input::PauseOver,
            Input::Ended(SOON),
            Input::PauseOver,
            Input::HandshakeDone,
            Input::Ended(STEADY),
        ];
        assert_eq!(pauses(&inputs), (vec![50, 100, 50], State::BackingOff));
    }

    #[test]
    fn one_that_never_gets_ready_has_failed_and_one_that_crashes_backs_off() {
        let never: Vec<_> = (0..5).flat_map(|_| [Input::Ended(SOON), Input::PauseOver]).take(9).collect();
        assert_eq!(pauses(&never).1, State::Failed);
        let crashing: Vec<_> = (0..6)
            .flat_map(|_| [Input::HandshakeDone, Input::Ended(SOON), Input::PauseOver])
            .take(17)
            .collect();
        assert_eq!(pauses(&crashing), (vec![50, 100, 200, 400, 400, 400], State::BackingOff));
    }

    #[test]
    fn draining_takes_a_ready_worker_only() {
        let mut life = Lifecycle::default();
        life.on(Input::DrainAsked, 0.0);
        assert_eq!(*life.state(), State::Starting);
        life.on(Input::HandshakeDone, 0.0);
        life.on(Input::DrainAsked, 0.0);
        assert_eq!(*life.state(), State::Draining);
        life.on(Input::Replaced, 0.0);
        assert_eq!(*life.state(), State::Ready);
    }

    #[test]
    fn jitter_adds_up_to_a_fifth() {
        assert_eq!(pause(0, 1.0), Duration::from_millis(60));
        assert_eq!(pause(0, 0.0), Duration::from_millis(50));
        assert_eq!(pause(0, f64::NAN.max(7.0)), Duration::from_millis(60));
    }
}
