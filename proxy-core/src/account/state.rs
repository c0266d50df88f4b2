//! The state of the account, and how notices change it. Pure: time is an argument.

use super::limits::Limits;
use super::login::{CallbackRefusal, Login, Method};
use super::problem::Problem;
use crate::worker::{SessionId, Told};
use protocol::codex::notice::{Details, LoginCompleted, LoginFailure, Notice, Who};

/// The state of the account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Whether an account is signed in, once Codex has reported it.
    pub details: Option<Details>,
    /// The present sign-in.
    pub login: Option<Login>,
    /// Why the last sign-in failed.
    pub problem: Option<Problem>,
    /// The limits of the plan.
    pub limits: Option<Limits>,
    /// The page where the user signs in.
    pub listener: Listener,
    /// The upstream has refused the present sign-in.
    pub(super) rejected: bool,
    /// A sign-in was imported, and Codex has not reported its account yet.
    pub(super) finishing: bool,
    /// A sign-in has ended, and its session has not reported yet whether an account is signed in.
    pub(super) confirming: Option<SessionId>,
    /// A sign-in was ended from outside, and the proxy is handling it.
    pub(super) recovering: bool,
    /// The number of consecutive restarts of sign-ins that were ended from outside.
    pub(super) renewals: u32,
    /// Each session knows the sign-in that it was started with and those made through it. After a change, only the
    /// reports of its own session and of later ones count.
    pub(super) via: Option<SessionId>,
    pub(super) after: SessionId,
}

/// The page where the user signs in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listener {
    /// The address, if the page is enabled.
    pub url: Option<String>,
    /// Why it cannot be reached.
    pub problem: Option<String>,
}

/// Whether turns can run, as one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Codex has not reported it yet.
    Unknown,
    /// The model provider needs no sign-in.
    NotNeeded,
    /// No account is signed in.
    SignedOut,
    /// A sign-in is under way.
    SigningIn,
    /// An account is signed in.
    SignedIn,
}

/// The action that follows from a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// A sign-in has succeeded: the workers must be restarted, because Codex reads a sign-in only at its start.
    SignedIn,
    /// A sign-in has ended. Codex must be asked whether an account is signed in now.
    Confirm(SessionId),
    /// A sign-in was ended from outside.
    Recover(Ended),
    /// The limits must be read.
    ReadLimits,
    /// Codex must be asked again, later.
    AskAgain,
}

/// How a sign-in was ended without the user: Codex's pages for this answer any web page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Through the page on which another program that needs the port ends it.
    Cancelled {
        /// The port.
        port: u16,
    },
    /// Through the page that reports success.
    NobodySignedIn,
}

/// The most restarts after the first sign-in.
const MOST_RENEWALS: u32 = 2;

impl State {
    /// Whether turns can run.
    pub fn phase(&self) -> Phase {
        match &self.details {
            Some(Details { account: Some(_), .. }) if !self.rejected => Phase::SignedIn,
            Some(Details { account: None, needed: false }) => Phase::NotNeeded,
            Some(_) | None if self.is_signing_in() => Phase::SigningIn,
            Some(_) => Phase::SignedOut,
            None => Phase::Unknown,
        }
    }

    /// The problem that is shown to people: with the sign-in page, or with the last sign-in.
    pub fn problems(&self) -> Vec<String> {
        self.listener.problem.iter().cloned().chain(self.problem.as_ref().map(ToString::to_string)).collect()
    }

    fn is_signing_in(&self) -> bool {
        self.login.is_some() || self.finishing || self.confirming.is_some() || self.recovering
    }

    /// The sign-in that a caller gets who requests one.
    pub fn open_login(&self, method: Option<Method>, now: u64) -> Option<&Login> {
        let login = self.login.as_ref().filter(|login| login.is_open(now))?;
        method.is_none_or(|method| method == login.method()).then_some(login)
    }

    /// Handles a notice. `latest` is the session that was started last.
    pub fn told(&mut self, told: Told, latest: SessionId, now: u64) -> Option<Effect> {
        match told.notice {
            Notice::LoginCompleted(completed) => self.completed(&completed, told.session),
            Notice::Details(details)
                if self.confirming == Some(told.session)
                    && (details.account.is_some() || !details.needed) =>
            {
                self.login = None;
                self.confirming = None;
                self.renewals = 0;
                self.limits = None;
                self.changed(Some(told.session), latest);
                self.introduced(details, now);
                Some(Effect::SignedIn)
            }
            Notice::Details(_) | Notice::Unreadable(_) | Notice::RateLimits(_)
                if !self.believes(told.session) =>
            {
                None
            }
            Notice::Details(details) => self.introduced(details, now),
            Notice::Unreadable(reason) => self.unreadable(told.session, reason.to_string()),
            Notice::RateLimits(limits) => {
                // The limits come with the answers to turns.
                self.rejected = false;
                Limits::merge(&mut self.limits, &limits, now);
                None
            }
        }
    }

    /// A session could not find out the account; the reason is Codex's message.
    pub fn unreadable(&mut self, session: SessionId, reason: String) -> Option<Effect> {
        if !self.believes(session) {
            return None;
        }
        self.finishing = false;
        if self.phase() == Phase::Unknown {
            self.problem = Some(Problem::Unreadable(reason));
        }
        Some(Effect::AskAgain)
    }

    /// The upstream has refused the present sign-in: Codex still reports it, but no turn can use it.
    pub fn refused(&mut self) {
        self.rejected = self.details.as_ref().is_some_and(|details| details.account.is_some());
    }

    /// The account has been signed out through this proxy.
    pub fn signed_out(&mut self, latest: SessionId) {
        self.changed(None, latest);
        self.details = Some(Details { account: None, needed: true });
        self.limits = None;
        self.finishing = false;
    }

    /// A sign-in was put into Codex's home: only sessions that start from now on know it.
    pub fn replaced(&mut self, latest: SessionId) {
        self.changed(None, latest);
        self.details = None;
        self.limits = None;
        self.problem = None;
        self.finishing = true;
    }

    /// A sign-in has begun.
    pub fn begun(&mut self, login: Login) {
        self.login = Some(login);
        self.problem = None;
        self.confirming = None;
        self.recovering = false;
        self.renewals = 0;
    }

    /// A sign-in has begun in place of one that was ended from outside. It is the last of so many in a row.
    pub fn renewed(&mut self, renewals: u32) {
        self.renewals = renewals;
        self.problem = Some(Problem::Renewed);
    }

    /// The sign-in that this session reported as done has not signed in an account.
    pub fn unconfirmed(&mut self, session: SessionId) -> Option<Effect> {
        self.confirming.take_if(|confirming| *confirming == session)?;
        let ours = self.login.take_if(|login| login.session == session)?;
        self.ended(ours.method(), Ended::NobodySignedIn)
    }

    /// The present sign-in is given up.
    pub fn stopped(&mut self) {
        self.confirming = None;
        self.recovering = false;
    }

    /// A browser's sign-in was ended from outside.
    fn ended(&mut self, method: Method, how: Ended) -> Option<Effect> {
        if method != Method::Browser || self.renewals >= MOST_RENEWALS {
            self.failed(Problem::EndedTooOften);
            return None;
        }
        self.login = None;
        self.recovering = true;
        Some(Effect::Recover(how))
    }

    /// A sign-in could not be begun, or cannot be completed.
    pub fn failed(&mut self, problem: Problem) {
        self.login = None;
        self.stopped();
        self.problem = Some(problem);
    }

    /// The session that waited for a sign-in has ended.
    pub fn session_ended(&mut self, session: SessionId) {
        if self.login.as_ref().is_some_and(|login| login.session == session) {
            self.failed(Problem::SessionEnded);
        }
    }

    /// Gives up a sign-in that has taken too long.
    pub fn expire(&mut self, now: u64) {
        if let Some(login) = self.login.as_ref().filter(|login| now >= login.expires_at) {
            let minutes = (login.expires_at - login.started_at) / 60;
            self.failed(Problem::Expired { minutes });
        }
    }

    /// Accepts a callback for the sign-in that waits for it. Returns the sign-in's id, and the address where Codex
    /// waits.
    ///
    /// # Errors
    /// Why it is not forwarded.
    pub fn take_callback(&mut self, query: &str, now: u64) -> Result<(String, u16), CallbackRefusal> {
        let login = self.login.as_mut().ok_or(CallbackRefusal::NoLogin)?;
        let port = login.take_callback(query, now)?;
        Ok((login.id.clone(), port))
    }

    /// Codex's report of success only means that its last page was opened, which any web page can do.
    fn completed(&mut self, completed: &LoginCompleted, session: SessionId) -> Option<Effect> {
        let id = completed.login_id.as_deref();
        let ours = self.login.as_mut().filter(|login| id == Some(login.id.as_str()));
        let failure = match &completed.outcome {
            Ok(()) => {
                if let Some(login) = ours {
                    login.close();
                }
                self.confirming = Some(session);
                return Some(Effect::Confirm(session));
            }
            Err(failure) => failure,
        };
        match (ours?.port(), failure) {
            (Some(port), LoginFailure::Cancelled) => self.ended(Method::Browser, Ended::Cancelled { port }),
            (Some(_) | None, failure) => {
                self.failed(Problem::Failed(failure.clone()));
                None
            }
        }
    }

    fn introduced(&mut self, details: Details, now: u64) -> Option<Effect> {
        self.finishing = false;
        if self.details.as_ref().map(|known| &known.account) != Some(&details.account) {
            self.limits = None;
            self.rejected = false;
        }
        let has_limits = matches!(details.account, Some(Who::ChatGpt { .. }));
        // A message about a sign-in that continues is kept with it.
        if details.account.is_some() && self.login.is_none() {
            self.problem = None;
        }
        self.details = Some(details);
        let stale = self.limits.as_ref().is_none_or(|limits| limits.is_stale(now));
        (has_limits && stale).then_some(Effect::ReadLimits)
    }

    fn believes(&self, session: SessionId) -> bool {
        session > self.after || self.via == Some(session)
    }

    fn changed(&mut self, via: Option<SessionId>, latest: SessionId) {
        self.rejected = false;
        self.via = via;
        self.after = latest;
    }
}

#[cfg(test)]
mod tests;
