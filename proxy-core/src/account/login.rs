//! The present sign-in, and the one callback that it waits for. Pure: time is an argument.

use subtle::ConstantTimeEq as _;
use url::Url;

use crate::worker::SessionId;
use protocol::codex::notice::Private;

/// The seconds after which Codex gives up a browser's sign-in.
const BROWSER_SECONDS: u64 = 10 * 60;

/// The seconds after which the vendor gives up a device code.
const DEVICE_CODE_SECONDS: u64 = 15 * 60;

/// The method of a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// In a browser on this machine.
    Browser,
    /// In a browser on any machine, with a device code.
    DeviceCode,
}

impl Method {
    /// The method's name in the control API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::DeviceCode => "device_code",
        }
    }
}

/// A sign-in that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Codex's id of it.
    pub id: String,
    /// The session that waits for its end.
    pub session: SessionId,
    /// The page and code for the user.
    pub kind: Kind,
    /// When it was begun, in seconds since the epoch.
    pub started_at: u64,
    /// When it expires, in seconds since the epoch.
    pub expires_at: u64,
    /// Whether its callback has come.
    used: bool,
}

/// The page and code for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A page to open on this machine.
    Browser {
        /// The page.
        auth_url: Private,
        /// The `state` that the callback has to contain.
        state: Private,
        /// The address where Codex waits for the callback.
        port: Option<u16>,
    },
    /// A page to open on any machine, and a code for it.
    DeviceCode {
        /// The page.
        verification_url: String,
        /// The code.
        user_code: Private,
    },
}

/// Why a callback is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallbackRefusal {
    /// There is no sign-in that it could belong to.
    #[error("No sign-in is waiting. The link may be old, or the sign-in was cancelled or took too long.")]
    NoLogin,
    /// The callback does not belong to this sign-in.
    #[error("This answer belongs to another sign-in than the one that is waiting.")]
    WrongState,
    /// The callback has already come.
    #[error("This link has been used already.")]
    Used,
}

impl Login {
    /// A browser's sign-in that Codex has begun; `None` if the page's address does not have the expected form.
    pub fn browser(id: String, session: SessionId, auth_url: Private, now: u64) -> Option<Self> {
        let url = Url::parse(&auth_url.0).ok().filter(|url| matches!(url.scheme(), "https" | "http"))?;
        let find =
            |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        let state = find("state").filter(|state| !state.is_empty())?;
        let port = find("redirect_uri").and_then(|redirect| loopback_port(&redirect));
        let kind = Kind::Browser { auth_url, state: Private(state), port };
        Some(Self::new(id, session, kind, now, BROWSER_SECONDS))
    }

    /// A sign-in with a device code.
    pub fn device_code(
        id: String,
        session: SessionId,
        verification_url: String,
        user_code: Private,
        now: u64,
    ) -> Self {
        let kind = Kind::DeviceCode { verification_url, user_code };
        Self::new(id, session, kind, now, DEVICE_CODE_SECONDS)
    }

    fn new(id: String, session: SessionId, kind: Kind, now: u64, seconds: u64) -> Self {
        Self { id, session, kind, started_at: now, expires_at: now + seconds, used: false }
    }

    /// The method of this sign-in.
    pub fn method(&self) -> Method {
        match self.kind {
            Kind::Browser { .. } => Method::Browser,
            Kind::DeviceCode { .. } => Method::DeviceCode,
        }
    }

    /// The page for a browser on this machine.
    pub fn auth_url(&self) -> Option<&str> {
        match &self.kind {
            Kind::Browser { auth_url, .. } => Some(&auth_url.0),
            Kind::DeviceCode { .. } => None,
        }
    }

    /// The address where Codex waits for the browser.
    pub fn port(&self) -> Option<u16> {
        match self.kind {
            Kind::Browser { port, .. } => port,
            Kind::DeviceCode { .. } => None,
        }
    }

    /// Ends the sign-in, with success or not: nothing can complete it any more.
    pub(super) fn close(&mut self) {
        self.used = true;
    }

    /// Whether it can still be completed.
    pub fn is_open(&self, now: u64) -> bool {
        now < self.expires_at && !self.used
    }

    /// Accepts the one callback: its query must contain the state. Returns the address where Codex waits for it.
    ///
    /// # Errors
    /// Why the callback is not accepted.
    pub fn take_callback(&mut self, query: &str, now: u64) -> Result<u16, CallbackRefusal> {
        let Kind::Browser { state, port: Some(port), .. } = &self.kind else {
            return Err(CallbackRefusal::NoLogin);
        };
        if now >= self.expires_at {
            return Err(CallbackRefusal::NoLogin);
        }
        let mut brought = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "state");
        let (first, second) = (brought.next(), brought.next());
        let matches = first.is_some_and(|(_, brought)| brought.as_bytes().ct_eq(state.0.as_bytes()).into());
        if !matches || second.is_some() {
            return Err(CallbackRefusal::WrongState);
        }
        if std::mem::replace(&mut self.used, true) {
            return Err(CallbackRefusal::Used);
        }
        Ok(*port)
    }
}

/// The port of a redirect to this machine.
fn loopback_port(redirect: &str) -> Option<u16> {
    let url = Url::parse(redirect).ok().filter(|url| url.scheme() == "http")?;
    matches!(url.host_str()?, "127.0.0.1" | "localhost" | "[::1]").then(|| url.port_or_known_default())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const URL: &str = "https://auth.example/authorize?state=s%2B1&redirect_uri=http%3A%2F%2F127.0.0.1%3A1457%2Fauth%2Fcallback";

    fn login() -> Login {
        Login::browser("l".into(), SessionId(1), Private(URL.into()), 1000).unwrap()
    }

    #[test]
    fn a_callback_counts_once_and_only_with_the_state() {
        let mut login = login();
        for query in
            ["", "code=x", "state=s", "state=s%2B1x", "state=", "state=s%2B1&state=s%2B1", "STATE=s%2B1"]
        {
            assert_eq!(login.take_callback(query, 1001), Err(CallbackRefusal::WrongState), "{query}");
        }
        assert!(login.is_open(1001));
        assert_eq!(login.take_callback("code=x&state=s%2B1", 1002), Ok(1457));
        assert!(!login.is_open(1002));
        assert_eq!(login.take_callback("code=x&state=s%2B1", 1003), Err(CallbackRefusal::Used));
        assert_eq!(login.take_callback("code=x&state=wrong", 1003), Err(CallbackRefusal::WrongState));
    }

    #[test]
    fn an_old_sign_in_takes_no_callback() {
        let mut login = login();
        assert!(login.is_open(1599) && !login.is_open(1600));
        assert_eq!(login.take_callback("state=s%2B1", 1600), Err(CallbackRefusal::NoLogin));
        let mut code =
            Login::device_code("l".into(), SessionId(1), "https://a.example".into(), Private("AB".into()), 0);
        assert_eq!(code.take_callback("state=s", 1), Err(CallbackRefusal::NoLogin));
        assert!(code.is_open(899) && !code.is_open(900));
    }

    #[test]
    fn only_pages_and_redirects_that_make_sense_are_taken() {
        let begun = |url: &str| Login::browser("l".into(), SessionId(1), Private(url.into()), 0);
        for url in
            ["", "javascript:alert(1)?state=s", "https://a.example/?code=1", "https://a.example/?state="]
        {
            assert_eq!(begun(url), None, "{url}");
        }
        let cases = [
            ("http://localhost:1455/auth/callback", Some(1455)),
            ("http://127.0.0.1/auth/callback", Some(80)),
            ("http://evil.example:1455/", None),
            ("https://127.0.0.1:1455/", None),
            ("nonsense", None),
        ];
        for (redirect, port) in cases {
            assert_eq!(loopback_port(redirect), port, "{redirect}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

        #[test]
        fn the_state_comes_back_whatever_it_is(state in ".{1,24}", port in 1_u16.., code in ".{0,12}") {
            let redirect = format!("http://localhost:{port}/auth/callback");
            let query = |pairs: &[(&str, &str)]| {
                url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
            };
            let page = query(&[("client_id", "app"), ("state", &state), ("redirect_uri", &redirect)]);
            let page = format!("https://auth.example/authorize?{page}");
            let mut login = Login::browser("l".into(), SessionId(1), Private(page), 0).unwrap();
            let other = query(&[("state", &format!("{state}x"))]);
            prop_assert_eq!(login.take_callback(&other, 1), Err(CallbackRefusal::WrongState));
            let callback = query(&[("code", &code), ("state", &state)]);
            prop_assert_eq!(login.take_callback(&callback, 1), Ok(port));
            prop_assert_eq!(login.take_callback(&callback, 1), Err(CallbackRefusal::Used));
        }

        #[test]
        fn no_page_and_no_callback_is_too_strange(page in ".{0,40}", query in ".{0,40}", redirect in ".{0,40}") {
            let begun = |url: String| Login::browser("l".into(), SessionId(1), Private(url), 0);
            begun(page);
            loopback_port(&redirect);
            let mut login = login();
            prop_assert_eq!(login.take_callback(&query, 1001), Err(CallbackRefusal::WrongState));
            prop_assert!(login.is_open(1001));
        }
    }

    #[test]
    fn the_log_does_not_hold_what_signs_in() {
        let text = format!("{:?}", login());
        assert!(!text.contains("s%2B1") && !text.contains("s+1"), "{text}");
    }
}
