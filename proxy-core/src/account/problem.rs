//! The problem with a sign-in, for people. Pure.

use std::fmt;

use crate::secret::redact::redact;
use protocol::codex::notice::LoginFailure;

/// Why no account is signed in, or how the last sign-in failed. Its text is for people, and masked: the vendor's
/// message may repeat a part of its input.
#[derive(Clone, PartialEq, Eq)]
pub enum Problem {
    /// The sign-in was ended from outside, and a new one has begun in its place.
    Renewed,
    /// Sign-ins were ended from outside too many times in a row.
    EndedTooOften,
    /// The session that waited for the sign-in has ended.
    SessionEnded,
    /// The user has not completed it in time.
    Expired {
        /// The time limit, in minutes.
        minutes: u64,
    },
    /// The sign-in has failed.
    Failed(LoginFailure),
    /// The sign-in could not be begun, with a sentence about the reason.
    NotBegun(String),
    /// The browser's callback did not reach Codex; the reason continues a sentence.
    NotDelivered(String),
    /// The callback did not complete it.
    NotCompleted,
    /// Codex could not find out the account, with its message.
    Unreadable(String),
}

impl Problem {
    fn words(&self) -> String {
        let fixed = match self {
            Self::Renewed => {
                "The sign-in was ended from outside: a web page or a program on this computer opened the address on \
                 which Codex waits for your browser. A new one has begun: open the sign-in page again."
            }
            Self::EndedTooOften => {
                "A web page or a program on this computer keeps ending the sign-in. Close other pages and programs and \
                 start it again, or sign in with a code, which they cannot end: `codex-proxy login --device-code`."
            }
            Self::SessionEnded => "The Codex that waited for the sign-in has ended. Start the sign-in again.",
            Self::NotCompleted => "Codex did not complete the sign-in. Start it again.",
            Self::Expired { minutes } => {
                return format!("The sign-in was not completed within {minutes} minutes. Start it again.");
            }
            Self::Failed(failure) => return in_words(failure),
            Self::NotBegun(sentence) => sentence,
            Self::NotDelivered(reason) => {
                return format!("The sign-in could not be completed: {reason}. Start it again.");
            }
            Self::Unreadable(reason) => {
                let reason = reason.trim_end_matches('.');
                return format!(
                    "Codex could not find out who is signed in: {reason}. Is the vendor reachable? Requests are \
                     tried all the same."
                );
            }
        };
        fixed.to_owned()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact(&self.words()))
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A failed sign-in, and what to do next.
pub(super) fn in_words(failure: &LoginFailure) -> String {
    let fixed = match failure {
        LoginFailure::Cancelled => {
            "The sign-in was ended by another program that signs in to Codex, such as `codex login`. Start it again \
             when that one is done."
        }
        LoginFailure::NotCompleted => "The sign-in was cancelled. Start it again.",
        LoginFailure::PortsTaken => {
            "The ports 1455 and 1457, on which Codex waits for the browser, are taken by other programs. Close them, or \
             sign in with a code instead: `codex-proxy login --device-code`."
        }
        LoginFailure::Unsaid => "The sign-in failed, and Codex gave no reason. Start it again.",
        LoginFailure::Refused(reason) => {
            return format!("The sign-in was refused: {reason}. Start it again.");
        }
        LoginFailure::Other(said) => return format!("The sign-in failed: {said}. Start it again."),
    };
    fixed.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codex_words_are_made_plain() {
        let cases = [
            ("Login server error: Login cancelled", "another program"),
            ("Login server error: Login was not completed", "cancelled"),
            ("failed to start login server: Port 127.0.0.1:1457 is already in use", "--device-code"),
            (
                "Login server error: token exchange failed.",
                "The sign-in failed: token exchange failed. Start",
            ),
            ("", "no reason"),
        ];
        for (error, expected) in cases {
            let told = in_words(&LoginFailure::of(error));
            assert!(told.contains(expected), "{error}: {told}");
        }
    }

    #[test]
    fn what_the_vendor_repeats_is_masked_everywhere() {
        let secret = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789";
        let said = || format!("Bearer {secret} is no good");
        for problem in [
            Problem::Failed(LoginFailure::Other(said())),
            Problem::Failed(LoginFailure::Refused(said())),
            Problem::NotBegun(said()),
            Problem::NotDelivered(said()),
            Problem::Unreadable(said()),
        ] {
            assert!(!format!("{problem} {problem:?}").contains(secret), "{problem}");
        }
    }
}
