//! `auth.json`, in which Codex keeps a sign-in (the same form from 0.42.0 to 0.171.0): tokens of a ChatGPT
//! account, or an API key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// The file's name in Codex's home.
pub const NAME: &str = "auth.json";

/// Why a file holds no sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoSignIn {
    /// The content is not such a file.
    #[error("it is not JSON")]
    NotJson,
    /// The file has nothing to sign in with.
    #[error("it has neither tokens nor an API key")]
    Empty,
}

/// Checks whether the file with this content holds a sign-in.
///
/// # Errors
/// What the file lacks. The error holds nothing of the content.
pub fn check(content: &[u8]) -> Result<(), NoSignIn> {
    let content: Value = serde_json::from_slice(content).map_err(|_| NoSignIn::NotJson)?;
    let has = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    let tokens = &content["tokens"];
    if has(&content["OPENAI_API_KEY"]) || (has(&tokens["access_token"]) && has(&tokens["id_token"])) {
        return Ok(());
    }
    Err(NoSignIn::Empty)
}

/// The account of a sign-in for tests, which the vendor would not accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nobody<'a> {
    /// The account's email address.
    pub email: &'a str,
    /// The user's id at the vendor.
    pub user: &'a str,
    /// The account's id at the vendor.
    pub account: &'a str,
}

/// The file that Codex writes after a sign-in, with unsigned tokens. They end at `expires`, in seconds since the
/// epoch; `renewed` is when they were last renewed, in RFC 3339.
pub fn unsigned(nobody: &Nobody<'_>, expires: i64, renewed: &str) -> String {
    let claims = json!({
        "email": nobody.email,
        "exp": expires,
        "https://api.openai.com/auth": {
            "chatgpt_plan_type": "plus",
            "chatgpt_user_id": nobody.user,
            "user_id": nobody.user,
            "chatgpt_account_id": nobody.account,
        },
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let token = format!("{}.{}.none", part(&json!({"alg": "none", "typ": "JWT"})), part(&claims));
    let content = json!({
        "auth_mode": "chatgpt",
        "OPENAI_API_KEY": null,
        "tokens": {
            "id_token": token,
            "access_token": token,
            "refresh_token": "none",
            "account_id": nobody.account,
        },
        "last_refresh": renewed,
    });
    content.to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_sign_in_is_tokens_or_a_key() {
        let cases = [
            (r#"{"OPENAI_API_KEY":"sk-1","tokens":null}"#, Ok(())),
            (r#"{"auth_mode":"chatgpt","tokens":{"id_token":"a","access_token":"b"},"new":1}"#, Ok(())),
            ("", Err(NoSignIn::NotJson)),
            ("secret", Err(NoSignIn::NotJson)),
            ("null", Err(NoSignIn::Empty)),
            ("[1]", Err(NoSignIn::Empty)),
            (r#"{"OPENAI_API_KEY":""}"#, Err(NoSignIn::Empty)),
            (r#"{"OPENAI_API_KEY":1}"#, Err(NoSignIn::Empty)),
            (r#"{"tokens":{"access_token":"b"}}"#, Err(NoSignIn::Empty)),
            (r#"{"tokens":"a b"}"#, Err(NoSignIn::Empty)),
        ];
        for (content, expected) in cases {
            assert_eq!(check(content.as_bytes()), expected, "{content}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

        #[test]
        fn no_content_is_too_strange_to_be_checked(content in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Err(error) = check(&content) {
                prop_assert!(error.to_string().starts_with("it "));
            }
        }

        #[test]
        fn a_key_is_a_sign_in_unless_it_is_empty(key in ".{0,20}", other in ".{0,20}") {
            let content = json!({"OPENAI_API_KEY": key, "other": other}).to_string();
            prop_assert_eq!(check(content.as_bytes()).is_ok(), !key.is_empty());
        }

        #[test]
        fn one_that_is_worth_nothing_is_taken_for_a_sign_in(
            email in ".{0,20}",
            user in ".{0,20}",
            account in ".{0,20}",
            expires: i64,
        ) {
            let nobody = Nobody { email: &email, user: &user, account: &account };
            let content = unsigned(&nobody, expires, "2026-01-01T00:00:00Z");
            prop_assert_eq!(check(content.as_bytes()), Ok(()));
            let read: Value = serde_json::from_str(&content).unwrap();
            let token = read["tokens"]["id_token"].as_str().unwrap();
            let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
            let claims: Value = serde_json::from_slice(&claims).unwrap();
            prop_assert_eq!(claims["email"].as_str(), Some(email.as_str()));
            prop_assert_eq!(claims["exp"].as_i64(), Some(expires));
        }
    }
}
