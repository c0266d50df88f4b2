use super::*;
use protocol::codex::notice::{Private, RateLimits, RateWindow, Unreadable};

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
        outcome: error.map_or(Ok(()), |error| Err(LoginFailure::of(error))),
    })
}

fn unreadable(reason: &str) -> Notice {
    Notice::Unreadable(Unreadable::Refused(reason.into()))
}

fn tell(state: &mut State, session: u64, notice: Notice) -> Option<Effect> {
    state.told(Told { session: SessionId(session), notice }, SessionId(2), 100)
}

fn told(state: &State) -> String {
    state.problem.as_ref().unwrap().to_string()
}

fn begun(id: &str) -> Login {
    Login::browser(id.into(), SessionId(1), Private(URL.into()), 100).unwrap()
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
    assert_eq!(tell(&mut state, 1, completed(Some("a"), None)), Some(Effect::Confirm(SessionId(1))));
    assert_eq!((state.phase(), state.open_login(None, 100)), (Phase::SigningIn, None));
    assert_eq!(tell(&mut state, 2, details(None)), None, "another session cannot know");
    assert_eq!(tell(&mut state, 1, details(Some("a@b.example"))), Some(Effect::SignedIn));
    assert_eq!((state.phase(), &state.problem, &state.login), (Phase::SignedIn, &None, &None));
    assert_eq!(state.unconfirmed(SessionId(1)), None);
}

/// Begins a sign-in, and ends it in this way. Returns the resulting action.
fn ended_from_outside(state: &mut State, how: Ended) -> Option<Effect> {
    state.login = Some(begun("a"));
    match how {
        Ended::Cancelled { .. } => {
            tell(state, 1, completed(Some("a"), Some("Login server error: Login cancelled")))
        }
        Ended::NobodySignedIn => {
            assert_eq!(tell(state, 1, completed(Some("a"), None)), Some(Effect::Confirm(SessionId(1))));
            assert_eq!(tell(state, 1, details(None)), None, "what it has done may take a moment to show");
            assert_eq!(state.phase(), Phase::SigningIn);
            state.unconfirmed(SessionId(1))
        }
    }
}

#[test]
fn a_sign_in_that_is_ended_from_outside_is_begun_again_a_few_times() {
    for how in [Ended::Cancelled { port: 1455 }, Ended::NobodySignedIn] {
        let mut state = signed_out();
        for renewals in 1..=MOST_RENEWALS {
            assert_eq!(ended_from_outside(&mut state, how), Some(Effect::Recover(how)));
            assert_eq!((state.phase(), &state.login), (Phase::SigningIn, &None));
            state.begun(begun("b"));
            state.renewed(renewals);
            assert!(told(&state).contains("sign-in page again"), "{state:?}");
        }
        assert_eq!(ended_from_outside(&mut state, how), None);
        assert_eq!(state.phase(), Phase::SignedOut);
        assert!(told(&state).contains("--device-code"), "{state:?}");
        state.begun(begun("c"));
        assert_eq!(ended_from_outside(&mut state, how), Some(Effect::Recover(how)), "a person began it");
        state.stopped();
        assert_eq!(state.phase(), Phase::SignedOut);
    }
}

#[test]
fn who_was_signed_in_before_stays_so_when_nobody_has_signed_in_anew() {
    let mut state = State::default();
    tell(&mut state, 1, details(Some("a@b.example")));
    state.begun(begun("a"));
    tell(&mut state, 1, completed(Some("a"), None));
    assert_eq!(state.phase(), Phase::SignedIn);
    assert_eq!(state.unconfirmed(SessionId(1)), Some(Effect::Recover(Ended::NobodySignedIn)));
    assert_eq!(state.phase(), Phase::SignedIn);
    state.begun(begun("b"));
    state.renewed(1);
    tell(&mut state, 1, details(Some("a@b.example")));
    assert!(state.problem.is_some(), "a worker that starts says nothing of the sign-in under way");
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
    tell(&mut state, 1, completed(Some("b"), Some("Login server error: Sign-in failed: The user said no")));
    assert_eq!(state.phase(), Phase::SignedOut);
    let problem = told(&state);
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
    assert!(told(&state).contains("10 minutes"), "{state:?}");
    state.begun(begun("b"));
    state.session_ended(SessionId(1));
    assert_eq!(state.login, None);
}

#[test]
fn an_account_that_cannot_be_read_is_asked_for_again() {
    let mut state = signed_out();
    state.replaced(SessionId(2));
    assert_eq!(state.phase(), Phase::SigningIn);
    assert_eq!(tell(&mut state, 1, unreadable("no")), None, "an old session");
    assert_eq!(tell(&mut state, 3, unreadable("offline")), Some(Effect::AskAgain));
    assert_eq!(state.phase(), Phase::Unknown);
    assert!(told(&state).contains("offline"), "{state:?}");
    tell(&mut state, 3, details(Some("a@b.example")));
    assert_eq!((state.phase(), &state.problem), (Phase::SignedIn, &None));
    tell(&mut state, 3, unreadable("offline"));
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
    assert_eq!(state.phase(), Phase::SigningIn);
    tell(&mut state, 1, details(Some("a@b.example")));
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
