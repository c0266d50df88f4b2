//! The message for a client when no account is signed in. Pure.

use super::login::Kind;
use super::state::State;
use protocol::turn::{Remedy, SignIn, TurnError};

/// The beginning of every refusal without a sign-in.
pub(super) const SIGNED_OUT: &str = "Codex is not signed in.";

/// Adds where and how to sign in to a refusal without a sign-in.
pub(super) fn sign_in(mut error: TurnError, state: &State, now: u64) -> TurnError {
    let login = state.open_login(None, now);
    let page = state.listener.url.as_deref().filter(|_| state.listener.problem.is_none());
    let mut told = SignIn {
        auth_url: login.and_then(|login| login.auth_url()).or(page).map(str::to_owned),
        login_id: login.map(|login| login.id.clone()),
        ..SignIn::default()
    };
    let way = match (login.map(|login| &login.kind), page, told.auth_url.as_deref()) {
        (Some(Kind::DeviceCode { verification_url, user_code }), _, _) => {
            told.verification_url = Some(verification_url.clone());
            told.user_code = Some(user_code.0.clone());
            format!("Open {verification_url} in any browser and enter the code {}", user_code.0)
        }
        (_, Some(page), _) | (_, None, Some(page)) => {
            format!("Open {page} in a browser on this computer and sign in")
        }
        (_, None, None) => {
            "Sign in with `codex-proxy login`, or with `codex-proxy login --device-code` where there is no browser"
                .to_owned()
        }
    };
    let problems = state.problems();
    let first = if error.message.starts_with(SIGNED_OUT) { SIGNED_OUT } else { error.message.as_str() };
    let mut message = format!("{first} {way}, then try again.");
    if !problems.is_empty() {
        message.push_str(&format!(" ({})", problems.join(" ")));
    }
    error.message = message;
    error.remedy(Remedy::SignIn(told))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Listener;
    use crate::account::login::Login;
    use crate::worker::SessionId;
    use protocol::codex::notice::Private;
    use protocol::turn::TurnErrorKind;

    const AUTH: &str = "https://auth.example/?state=s";

    fn told(state: &State) -> (String, SignIn) {
        let error = TurnError::new(TurnErrorKind::LoginRequired, "Codex is not signed in. Old advice.");
        let error = sign_in(error, state, 1);
        let Some(Remedy::SignIn(sign_in)) = error.remedy.map(|remedy| *remedy) else { panic!() };
        (error.message, sign_in)
    }

    fn page() -> Listener {
        Listener { url: Some("http://127.0.0.1:1435/".into()), problem: None }
    }

    fn browser() -> Option<Login> {
        Login::browser("l".into(), SessionId(1), Private(AUTH.into()), 0)
    }

    #[test]
    fn the_page_is_named_and_the_address_behind_it_too() {
        let (message, sign_in) = told(&State { listener: page(), login: browser(), ..State::default() });
        let expected = "Codex is not signed in. Open http://127.0.0.1:1435/ in a browser on this computer and sign in, \
                        then try again.";
        assert_eq!(message, expected);
        assert_eq!((sign_in.auth_url.as_deref(), sign_in.login_id.as_deref()), (Some(AUTH), Some("l")));
    }

    #[test]
    fn without_a_sign_in_under_way_the_page_is_all_there_is() {
        let (_, sign_in) = told(&State { listener: page(), ..State::default() });
        assert_eq!((sign_in.auth_url.as_deref(), sign_in.login_id), (Some("http://127.0.0.1:1435/"), None));
    }

    #[test]
    fn a_page_that_cannot_be_reached_is_not_named() {
        let problem = Some("Port 1435 is taken.".to_owned());
        let listener = Listener { problem, ..page() };
        let (message, sign_in) =
            told(&State { listener: listener.clone(), login: browser(), ..State::default() });
        assert!(message.contains(AUTH) && message.contains("Port 1435 is taken."), "{message}");
        assert_eq!(sign_in.auth_url.as_deref(), Some(AUTH));
        let (message, sign_in) = told(&State { listener, ..State::default() });
        assert!(message.contains("--device-code") && sign_in.auth_url.is_none(), "{message}");
    }

    #[test]
    fn a_device_code_is_told_with_its_page() {
        let login = Login::device_code(
            "l".into(),
            SessionId(1),
            "https://d.example".into(),
            Private("AB-12".into()),
            0,
        );
        let (message, sign_in) = told(&State { listener: page(), login: Some(login), ..State::default() });
        assert!(message.contains("https://d.example") && message.contains("AB-12"), "{message}");
        assert_eq!(sign_in.user_code.as_deref(), Some("AB-12"));
    }

    #[test]
    fn the_upstreams_refusal_is_kept() {
        let error = TurnError::new(TurnErrorKind::LoginRequired, "The sign-in is no longer accepted. (why)");
        let message = sign_in(error, &State { listener: page(), ..State::default() }, 1).message;
        assert!(
            message.starts_with("The sign-in is no longer accepted. (why) Open http://127.0.0.1:1435/"),
            "{message}"
        );
    }
}
