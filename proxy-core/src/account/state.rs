//! What is known about the account, and how news change it. Pure: time is an argument.

use std::borrow::Cow;

use super::limits::Limits;
use super::login::{CallbackRefusal, Login, Method};
use crate::secret::redact::redact;
use crate::worker::notice::{Details, LoginCompleted, Notice, Who};
use crate::worker::{SessionId, Told};

/// What is known about the account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Who is signed in, once Codex has said so.
    pub details: Option<Details>,
    /// The sign-in that is under way.
    pub login: Option<Login>,
    /// Why the last sign-in failed, for people.
    pub problem: Option<String>,
    /// What is left of the plan.
    pub limits: Option<Limits>,
    /// The page where a person signs in.
    pub listener: Listener,
    /// The upstream has refused the sign-in there is.
    pub(super) rejected: bool,
    /// A sign-in has succeeded, and Codex has yet to say whose.
    pub(super) finishing: bool,
    /// Each session knows the sign-in it was started with and those made through it. After a change, only the one
    /// through which it was made and later ones are believed.
    pub(super) via: Option<SessionId>,
    pub(super) after: SessionId,
}

/// The page where a person signs in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listener {
    /// Its address, if there is to be one.
    pub url: Option<String>,
    /// Why it cannot be reached.
    pub problem: Option<String>,
}

/// Whether turns can run, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Codex has not said so yet.
    Unknown,
    /// The model provider needs no sign-in.
    NotNeeded,
    /// Nobody is signed in.
    SignedOut,
    /// Somebody is signing in.
    SigningIn,
    /// Somebody is signed in.
    SignedIn,
}

/// What news ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Somebody has signed in: the workers are to be started again, as Codex reads a sign-in only at its start.
    SignedIn,
    /// The limits are to be read.
    ReadLimits,
    /// Codex is to be asked again, later.
    AskAgain,
}

impl State {
    /// Whether turns can run.
    pub fn phase(&self) -> Phase {
        match &self.details {
            Some(Details { account: Some(_), .. }) if !self.rejected => Phase::SignedIn,
            Some(Details { account: None, needed: false }) => Phase::NotNeeded,
            Some(_) | None if self.login.is_some() || self.finishing => Phase::SigningIn,
            Some(_) => Phase::SignedOut,
            None => Phase::Unknown,
        }
    }

    /// The sign-in that somebody who asks for one is given.
    pub fn open_login(&self, method: Option<Method>, now: u64) -> Option<&Login> {
        let login = self.login.as_ref().filter(|login| login.is_open(now))?;
        method.is_none_or(|method| method == login.method()).then_some(login)
    }

    /// Takes news. `latest` is the session that was started last.
    pub fn told(&mut self, told: Told, latest: SessionId, now: u64) -> Option<Effect> {
        match told.notice {
            Notice::LoginCompleted(completed) => self.completed(&completed, told.session, latest),
            Notice::Details(_) | Notice::Unreadable(_) | Notice::RateLimits(_)
                if !self.believes(told.session) =>
            {
                None
            }
            Notice::Details(details) => self.introduced(details, now),
            Notice::Unreadable(reason) => {
                self.finishing = false;
                if self.phase() == Phase::Unknown {
                    let reason = redact(reason.trim_end_matches('.'));
                    self.problem = Some(format!(
                        "Codex could not find out who is signed in: {reason}. Is the vendor reachable? Requests are \
                         tried all the same."
                    ));
                }
                Some(Effect::AskAgain)
            }
            Notice::RateLimits(limits) => {
                // They come with the answers to turns.
                self.rejected = false;
                Limits::merge(&mut self.limits, &limits, now);
                None
            }
        }
    }

    /// The upstream has refused the sign-in there is: Codex shows it on, but it serves no turn.
    pub fn refused(&mut self) {
        self.rejected = self.details.as_ref().is_some_and(|details| details.account.is_some());
    }

    /// Everybody has been signed out through this proxy.
    pub fn signed_out(&mut self, latest: SessionId) {
        self.changed(None, latest);
        self.details = Some(Details { account: None, needed: true });
        self.limits = None;
        self.finishing = false;
    }

    /// The sign-in was put into Codex's home: only sessions that are started from now on know it.
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
    }

    /// A sign-in could not be begun, or cannot be completed.
    pub fn failed(&mut self, problem: String) {
        self.login = None;
        // The vendor's words may repeat what it was shown.
        let masked = match redact(&problem) {
            Cow::Owned(masked) => Some(masked),
            Cow::Borrowed(_) => None,
        };
        self.problem = Some(masked.unwrap_or(problem));
    }

    /// The session that waited for a sign-in has ended.
    pub fn session_ended(&mut self, session: SessionId) {
        if self.login.as_ref().is_some_and(|login| login.session == session) {
            self.failed(
                "The Codex that waited for the sign-in has ended. Start the sign-in again.".to_owned(),
            );
        }
    }

    /// Gives up a sign-in that has taken too long.
    pub fn expire(&mut self, now: u64) {
        if let Some(login) = self.login.as_ref().filter(|login| now >= login.expires_at) {
            let minutes = (login.expires_at - login.started_at) / 60;
            self.failed(format!("The sign-in was not completed within {minutes} minutes. Start it again."));
        }
    }

    /// Takes a callback for the sign-in that waits for it. The answer is its name, and where Codex waits.
    ///
    /// # Errors
    /// Why it is not passed on.
    pub fn take_callback(&mut self, query: &str, now: u64) -> Result<(String, u16), CallbackRefusal> {
        let login = self.login.as_mut().ok_or(CallbackRefusal::NoLogin)?;
        let port = login.take_callback(query, now)?;
        Ok((login.id.clone(), port))
    }

    fn completed(
        &mut self,
        completed: &LoginCompleted,
        session: SessionId,
        latest: SessionId,
    ) -> Option<Effect> {
        let ours = match &completed.login_id {
            Some(id) => self.login.as_ref().is_some_and(|login| login.id == *id),
            None => completed.success,
        };
        if completed.success {
            if ours {
                self.login = None;
            }
            self.problem = None;
            self.changed(Some(session), latest);
            self.finishing = true;
            self.limits = None;
            return Some(Effect::SignedIn);
        }
        if ours {
            self.failed(in_words(completed.error.as_deref().unwrap_or_default()));
        }
        None
    }

    fn introduced(&mut self, details: Details, now: u64) -> Option<Effect> {
        self.finishing = false;
        if self.details.as_ref().map(|known| &known.account) != Some(&details.account) {
            self.limits = None;
            self.rejected = false;
        }
        let has_limits = matches!(details.account, Some(Who::ChatGpt { .. }));
        if details.account.is_some() {
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

/// What Codex says about a failed sign-in, and the way on.
pub fn in_words(error: &str) -> String {
    let said = error.strip_prefix("Login server error: ").unwrap_or(error).trim();
    if said == "Login cancelled" {
        return "The sign-in was ended by another program that signs in to Codex, such as `codex login`. Start it \
                again when that one is done."
            .to_owned();
    }
    if said == "Login was not completed" {
        return "The sign-in was cancelled. Start it again.".to_owned();
    }
    if said.contains("is already in use") {
        return "The ports 1455 and 1457, on which Codex waits for the browser, are taken by other programs. Close \
                them, or sign in with a code instead: `codex-proxy login --device-code`."
            .to_owned();
    }
    if let Some(reason) = said.strip_prefix("Sign-in failed: ") {
        return format!("The sign-in was refused: {}. Start it again.", reason.trim_end_matches('.'));
    }
    match said.trim_end_matches('.') {
        "" => "The sign-in failed, and Codex gave no reason. Start it again.".to_owned(),
        said => format!("The sign-in failed: {said}. Start it again."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::notice::{Private, RateLimits, RateWindow};

    const URL: &str =
        "https://auth.example/?state=s&redirect_uri=http%3A%2F%2F127.0.0.1%3A1455%2Fauth%2Fcallback";

    fn details(email: Option<&str>) -> Notice {
        let account = email.map(|email| Who::ChatGpt {
            email: Some(Private(email.into())),
            plan: Some("plus".into()),
            workspace: None,
        });
        Notice::Details(Details { account, needed: true })
    }

    fn completed(id: Option<&str>, error: Option<&str>) -> Notice {
        Notice::LoginCompleted(LoginCompleted {
            login_id: id.map(str::to_owned),
            success: error.is_none(),
            error: error.map(str::to_owned),
        })
    }

    fn tell(state: &mut State, session: u64, notice: Notice) -> Option<Effect> {
        state.told(Told { session: SessionId(session), notice }, SessionId(2), 100)
    }

    fn begun(id: &str) -> Login {
        Login::browser(id.into(), SessionId(1), URL.into(), 100).unwrap()
    }

    fn signed_out() -> State {
        let mut state = State::default();
        assert_eq!(tell(&mut state, 1, details(None)), None);
        state
    }

    #[test]
    fn a_sign_in_goes_from_out_to_in() {
        let mut state = State::default();
        assert_eq!(state.phase(), Phase::Unknown);
        state = signed_out();
        assert_eq!(state.phase(), Phase::SignedOut);
        state.begun(begun("a"));
        assert_eq!(state.phase(), Phase::SigningIn);
        assert_eq!(tell(&mut state, 1, completed(Some("a"), None)), Some(Effect::SignedIn));
        assert_eq!((state.phase(), &state.login), (Phase::SigningIn, &None));
        assert_eq!(tell(&mut state, 1, details(Some("a@b.example"))), Some(Effect::ReadLimits));
        assert_eq!((state.phase(), state.problem), (Phase::SignedIn, None));
    }

    #[test]
    fn a_worker_that_missed_the_sign_in_is_not_believed() {
        let mut state = signed_out();
        state.begun(begun("a"));
        tell(&mut state, 1, completed(Some("a"), None));
        tell(&mut state, 1, details(Some("a@b.example")));
        tell(&mut state, 2, details(None));
        assert_eq!(state.phase(), Phase::SignedIn);
        tell(&mut state, 3, details(None));
        assert_eq!(state.phase(), Phase::SignedOut);
    }

    #[test]
    fn after_a_sign_out_only_new_sessions_are_believed() {
        let mut state = State::default();
        tell(&mut state, 1, details(Some("a@b.example")));
        state.signed_out(SessionId(2));
        tell(&mut state, 2, details(Some("a@b.example")));
        assert_eq!(state.phase(), Phase::SignedOut);
        tell(&mut state, 3, details(Some("c@d.example")));
        assert_eq!(state.phase(), Phase::SignedIn);
    }

    #[test]
    fn failures_of_this_sign_in_are_told_and_those_of_others_left_out() {
        let mut state = signed_out();
        state.begun(begun("b"));
        tell(&mut state, 1, completed(Some("a"), Some("Login server error: Login cancelled")));
        assert_eq!(state.phase(), Phase::SigningIn);
        tell(
            &mut state,
            1,
            completed(Some("b"), Some("Login server error: Sign-in failed: The user said no")),
        );
        assert_eq!(state.phase(), Phase::SignedOut);
        let problem = state.problem.clone().unwrap();
        assert_eq!(problem, "The sign-in was refused: The user said no. Start it again.");
        state.begun(begun("c"));
        assert_eq!(state.problem, None);
    }

    #[test]
    fn a_sign_in_ends_with_its_session_and_its_time() {
        let mut state = signed_out();
        state.begun(begun("a"));
        state.session_ended(SessionId(9));
        state.expire(699);
        assert!(state.open_login(Some(Method::Browser), 699).is_some());
        assert!(state.open_login(Some(Method::DeviceCode), 699).is_none());
        state.expire(700);
        assert_eq!(state.phase(), Phase::SignedOut);
        assert!(state.problem.as_ref().unwrap().contains("10 minutes"), "{state:?}");
        state.begun(begun("b"));
        state.session_ended(SessionId(1));
        assert_eq!(state.login, None);
    }

    #[test]
    fn an_account_that_cannot_be_read_is_asked_for_again() {
        let mut state = signed_out();
        state.replaced(SessionId(2));
        assert_eq!(state.phase(), Phase::SigningIn);
        assert_eq!(tell(&mut state, 1, Notice::Unreadable("no".into())), None, "an old session");
        assert_eq!(tell(&mut state, 3, Notice::Unreadable("offline".into())), Some(Effect::AskAgain));
        assert_eq!(state.phase(), Phase::Unknown);
        assert!(state.problem.as_ref().unwrap().contains("offline"), "{state:?}");
        tell(&mut state, 3, details(Some("a@b.example")));
        assert_eq!((state.phase(), &state.problem), (Phase::SignedIn, &None));
        tell(&mut state, 3, Notice::Unreadable("offline".into()));
        assert_eq!((state.phase(), &state.problem), (Phase::SignedIn, &None), "what was known stays");
    }

    #[test]
    fn limits_are_of_one_account() {
        let news = || {
            let primary = RateWindow { used_percent: 9, window_duration_mins: None, resets_at: None };
            Notice::RateLimits(RateLimits { primary: Some(primary), ..RateLimits::default() })
        };
        let mut state = State::default();
        tell(&mut state, 1, details(Some("a@b.example")));
        tell(&mut state, 1, news());
        assert!(state.limits.is_some());
        tell(&mut state, 1, details(Some("a@b.example")));
        assert!(state.limits.is_some(), "the same account");
        tell(&mut state, 1, details(Some("c@d.example")));
        assert_eq!(state.limits, None);
        tell(&mut state, 1, news());
        state.signed_out(SessionId(2));
        tell(&mut state, 2, news());
        assert_eq!(state.limits, None);
    }

    #[test]
    fn a_refused_sign_in_is_none_until_turns_run_again() {
        let mut state = State::default();
        tell(&mut state, 1, details(Some("a@b.example")));
        state.refused();
        assert_eq!(state.phase(), Phase::SignedOut);
        tell(&mut state, 1, details(Some("a@b.example")));
        assert_eq!(state.phase(), Phase::SignedOut);
        tell(&mut state, 1, Notice::RateLimits(RateLimits::default()));
        assert_eq!(state.phase(), Phase::SignedIn);
        state.refused();
        tell(&mut state, 1, completed(None, None));
        assert_eq!(state.phase(), Phase::SignedIn);
    }

    #[test]
    fn no_sign_in_takes_no_callback() {
        let mut state = signed_out();
        assert_eq!(state.take_callback("state=s", 100), Err(CallbackRefusal::NoLogin));
        state.begun(begun("a"));
        assert_eq!(state.take_callback("state=x", 100), Err(CallbackRefusal::WrongState));
        assert_eq!(state.take_callback("state=s", 100), Ok(("a".into(), 1455)));
    }

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
            assert!(in_words(error).contains(expected), "{error}: {}", in_words(error));
        }
    }
}
