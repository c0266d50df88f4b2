//! Why no worker takes turns, as a text for people: the last failure, or what the next start waits for.

use std::path::PathBuf;
use std::time::Duration;

use super::WorkerFacts;
use super::reason::DownReason;

/// From this duration on, a start is reported together with what it waits for.
pub(super) const USUAL: Duration = Duration::from_secs(5);

/// A start that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Starting {
    /// The Codex that is being started.
    pub bin: PathBuf,
    /// Its next step.
    pub next: Next,
    /// Whether it takes longer than usual.
    pub is_slow: bool,
}

/// The next step of a Codex that is being started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Print its version.
    Version,
    /// Print its model catalogue.
    Models,
    /// Complete its handshake.
    Handshake,
}

/// Why no worker takes turns, as a sentence for who has asked for something else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// One has ended, or did not get ready.
    #[error("The Codex worker is not running: {}.", .0.to_string().trim_end_matches('.'))]
    Down(DownReason),
    /// One takes longer than usual to start.
    #[error("The Codex worker is still starting: {}.", in_words(.0).trim_end_matches('.'))]
    Slow(Starting),
    /// They are just starting.
    #[error("The Codex worker is still starting. Try again in a moment.")]
    JustStarting,
}

/// Why no worker takes turns, unless they are just starting: the last words of one that is down, or what one waits for.
pub fn reason(workers: &[WorkerFacts]) -> Option<String> {
    match why_down(workers) {
        Unavailable::Down(reason) => Some(reason.to_string()),
        Unavailable::Slow(start) => Some(in_words(&start)),
        Unavailable::JustStarting => None,
    }
}

/// The same as a sentence for who has asked for something else.
pub fn why_down(workers: &[WorkerFacts]) -> Unavailable {
    let down = workers.iter().find_map(|worker| worker.last_exit.clone());
    let slow = || workers.iter().find_map(|worker| worker.starting.clone().filter(|start| start.is_slow));
    match down {
        Some((_, reason)) => Unavailable::Down(reason),
        None => slow().map_or(Unavailable::JustStarting, Unavailable::Slow),
    }
}

fn in_words(Starting { bin, next, .. }: &Starting) -> String {
    let bin = bin.display();
    let waits = match next {
        Next::Version => format!("'{bin}' was asked for its version (`--version`)"),
        Next::Models => format!("'{bin}' was asked for its models (`debug models`)"),
        Next::Handshake => format!("'{bin}' was started (`app-server`)"),
    };
    format!(
        "{waits} and has not answered yet. It may hang, or be something else: run it in a terminal, and check that \
         CODEX_BIN names the Codex CLI itself; `codex-proxy codex install` gets one."
    )
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::worker::reason::EndReason;

    fn worker(next: Option<(Next, bool)>, last_exit: Option<EndReason>) -> WorkerFacts {
        let starting = next.map(|(next, is_slow)| Starting { bin: "/c".into(), next, is_slow });
        let last_exit = last_exit.map(|reason| (SystemTime::now(), DownReason::Ended(reason)));
        WorkerFacts { starting, last_exit, ..WorkerFacts::new(0) }
    }

    #[test]
    fn a_start_is_told_of_once_it_takes_long() {
        let quick = worker(Some((Next::Version, false)), None);
        assert_eq!(
            why_down(std::slice::from_ref(&quick)).to_string(),
            "The Codex worker is still starting. Try again in a moment."
        );
        for (next, word) in
            [(Next::Version, "--version"), (Next::Models, "debug models"), (Next::Handshake, "app-server")]
        {
            let sentence = why_down(&[quick.clone(), worker(Some((next, true)), None)]).to_string();
            for word in [word, "'/c'", "still starting: ", "has not answered", "CODEX_BIN", "codex install"] {
                assert!(sentence.contains(word), "{word}: {sentence}");
            }
        }
    }

    #[test]
    fn the_last_end_goes_before_what_is_waited_for_and_ends_once() {
        let down = worker(Some((Next::Handshake, true)), Some(EndReason::Unwritable("Do this.".to_owned())));
        assert_eq!(
            why_down(&[down]).to_string(),
            "The Codex worker is not running: Codex could not be written to: Do this."
        );
    }
}
