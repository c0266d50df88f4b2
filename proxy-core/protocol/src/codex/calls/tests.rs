use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::codex::notice::{RateWindow, Who};

/// A call's method and parameters, as they are sent.
fn sent<C: Call>(params: &C::Params) -> serde_json::Value {
    json!([C::METHOD, params])
}

#[test]
fn calls_are_sent_as_the_protocol_names_them() {
    let key = KeyLogin { api_key: Private("sk-1".into()) };
    let cases = [
        (
            sent::<ReadAccount>(&ReadAccountParams::default()),
            json!(["account/read", {"refreshToken": false}]),
        ),
        (sent::<StartLogin>(&LoginWay::Chatgpt), json!(["account/login/start", {"type": "chatgpt"}])),
        (
            sent::<StartLogin>(&LoginWay::ChatgptDeviceCode),
            json!(["account/login/start", {"type": "chatgptDeviceCode"}]),
        ),
        (sent::<LogInWithKey>(&key), json!(["account/login/start", {"type": "apiKey", "apiKey": "sk-1"}])),
        (
            sent::<CancelLogin>(&LoginName { login_id: "l".into() }),
            json!(["account/login/cancel", {"loginId": "l"}]),
        ),
        (sent::<LogOut>(&()), json!(["account/logout", null])),
        (sent::<ReadRateLimits>(&()), json!(["account/rateLimits/read", null])),
        (sent::<ReadUsage>(&Nothing {}), json!(["account/usage/read", {}])),
    ];
    for (sent, expected) in cases {
        assert_eq!(sent, expected);
    }
    assert!(!format!("{key:?}").contains("sk-1"));
}

#[test]
fn a_sign_in_is_read_by_what_it_brings() {
    let browser = LoginStarted::Browser { login_id: "l".into(), auth_url: Private("https://a".into()) };
    let code = LoginStarted::DeviceCode {
        login_id: "l".into(),
        verification_url: "https://d".into(),
        user_code: Private("AB".into()),
    };
    let cases = [
        (r#"{"type":"chatgpt","loginId":"l","authUrl":"https://a","new":1}"#, Some(browser.clone())),
        (
            r#"{"loginId":"l","authUrl":"https://a","verificationUrl":"https://d","userCode":"AB"}"#,
            Some(browser),
        ),
        (
            r#"{"type":"x","loginId":"l","authUrl":null,"verificationUrl":"https://d","userCode":"AB"}"#,
            Some(code),
        ),
        (r#"{"loginId":"l","verificationUrl":"https://d"}"#, None),
        (r#"{"authUrl":"https://a"}"#, None),
        ("null", None),
    ];
    for (answer, expected) in cases {
        assert_eq!(read::<StartLogin>(answer).ok(), expected, "{answer}");
    }
    for answer in ["null", "{}", r#"{"type":"apiKey"}"#, "7"] {
        assert!(read::<LogInWithKey>(answer).is_ok(), "{answer}");
    }
}

#[test]
fn limits_of_old_and_new_versions_are_read() {
    let window = RateWindow { used_percent: 13, window_duration_mins: Some(300), resets_at: Some(7) };
    for (answer, allowed) in [
        (
            r#"{"ordinaryUsageAllowed":false,"rateLimits":{"primary":{"usedPercent":13,"windowDurationMins":300,
                "resetsAt":7},"planType":"a plan of tomorrow"},"rateLimitsByLimitId":{"codex":{}}}"#,
            Some(false),
        ),
        (r#"{"rateLimits":{"primary":{"usedPercent":12.6,"windowDurationMins":300,"resetsAt":7}}}"#, None),
    ] {
        let read = read::<ReadRateLimits>(answer).unwrap();
        assert_eq!((read.ordinary_usage_allowed, read.rate_limits.primary), (allowed, Some(window)));
    }
    assert!(read::<ReadRateLimits>("{}").is_err());
}

#[test]
fn an_unknown_form_is_told_without_what_it_holds() {
    let error =
        read::<ReadAccount>(r#"{"account":null,"requiresOpenaiAuth":"secret@b.example"}"#).unwrap_err();
    assert_eq!(error.to_string(), "an unknown shape at line 1, column 55");
}

#[test]
fn a_codex_without_codes_says_so() {
    let refusal = |message: &str| RpcError { code: -32600, message: message.to_owned() };
    let old = "Invalid request: unknown variant `chatgptDeviceCode`, expected one of `apiKey`, `chatgpt`";
    assert!(StartLogin::is_unknown_way(&refusal(old)));
    assert!(!StartLogin::is_unknown_way(&refusal("Port 127.0.0.1:1455 is already in use")));
}

/// Any JSON value with little depth.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        any::<f64>().prop_map(|value| json!(value)),
        any::<i64>().prop_map(|value| json!(value)),
        ".{0,8}".prop_map(|value| json!(value)),
    ];
    let name = prop_oneof![
        "account|requiresOpenaiAuth|type|email|planType|loginId|authUrl|verificationUrl|userCode",
        "rateLimits|primary|secondary|usedPercent|resetsAt|credits|ordinaryUsageAllowed|summary",
        ".{0,4}",
    ];
    leaf.prop_recursive(3, 32, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|list| json!(list)),
            proptest::collection::btree_map(name.clone(), inner, 0..6).prop_map(|members| json!(members)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn no_answer_is_too_strange_to_be_read(answer in any_json()) {
        let answer = answer.to_string();
        // The answer is read or refused, and the error holds nothing of it.
        let refusals = [
            read::<ReadAccount>(&answer).err(),
            read::<StartLogin>(&answer).err(),
            read::<ReadRateLimits>(&answer).err(),
            read::<ReadUsage>(&answer).err(),
        ];
        for refusal in refusals.into_iter().flatten() {
            let text = refusal.to_string();
            prop_assert!(text.starts_with("an unknown shape at line "), "{}", text);
        }
        prop_assert!(read::<LogInWithKey>(&answer).is_ok());
    }

    #[test]
    fn what_is_not_known_here_changes_nothing(more in any_json(), email in "[a-z]{1,8}@[a-z]{1,8}\\.example") {
        let known = json!({"type": "chatgpt", "email": email, "planType": "plus"});
        let mut with_more = known.clone();
        with_more["aNewMember"] = more.clone();
        let plain = read::<ReadAccount>(&json!({"account": known, "requiresOpenaiAuth": true}).to_string());
        let other = json!({"account": with_more, "requiresOpenaiAuth": true, "new": more});
        prop_assert_eq!(&plain, &read::<ReadAccount>(&other.to_string()));
        let expected = Who::ChatGpt { email: Some(Private(email)), plan: Some("plus".into()), workspace: None };
        prop_assert_eq!(plain.unwrap().account, Some(expected));
    }
}
