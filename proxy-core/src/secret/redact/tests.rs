use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::secret::ApiKey;

const JWT: &str =
    "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJlbWFpbCI6ImFAYi5jIiwic3ViIjoiMSJ9.c2lnbmF0dXJlLXNpZ25hdHVyZQ";
const OURS: &str = "cp-0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";

#[test]
fn secrets_of_every_form_are_masked() {
    let cases = [
        (format!("token is {JWT} here"), "token is [redacted] here".to_owned()),
        (format!("cut {}", &JWT[..40]), "cut [redacted]".to_owned()),
        (format!("{OURS} {OURS}"), "[redacted] [redacted]".to_owned()),
        (format!("a\\n{OURS}"), "a\\n[redacted]".to_owned()),
        (format!("\u{1b}[0m{OURS}"), "\u{1b}[0m[redacted]".to_owned()),
        ("got sk-proj-abcdefgh_12-34.".to_owned(), "got [redacted].".to_owned()),
        ("Authorization: Bearer abc.def".to_owned(), "Authorization: [redacted]".to_owned()),
        ("authorization: Basic dXNlcjpwYXNz".to_owned(), "authorization: [redacted]".to_owned()),
        ("said bearer s3cret, then".to_owned(), "said bearer [redacted], then".to_owned()),
        (r#"{"access_token":"a.b-c","x":1}"#.to_owned(), r#"{"access_token":"[redacted]","x":1}"#.to_owned()),
        (
            r#""{\"refresh_token\": \"ab/c+d==\", \"y\": 2}""#.to_owned(),
            r#""{\"refresh_token\": \"[redacted]\", \"y\": 2}""#.to_owned(),
        ),
        (r#"id_token: Some("opaque")"#.to_owned(), r#"id_token: Some("[redacted]")"#.to_owned()),
        ("refresh_token=abc&x=1".to_owned(), "refresh_token=[redacted]&x=1".to_owned()),
        ("\u{1b}[3mapi_key\u{1b}[0m\u{1b}[2m=\u{1b}[0mabcdef".to_owned(), {
            "\u{1b}[3mapi_key\u{1b}[0m\u{1b}[2m=\u{1b}[0m[redacted]".to_owned()
        }),
        (
            "GET /auth/callback?code=ac_x&state=short HTTP".to_owned(),
            "GET /auth/callback?code=[redacted]&state=[redacted] HTTP".to_owned(),
        ),
        ("u=http%3A%2F%2Fh%3Fcode%3Dabc%26state%3Dxyz".to_owned(), {
            "u=http%3A%2F%2Fh%3Fcode%3D[redacted]%26state%3D[redacted]".to_owned()
        }),
        (r#"{"code":"ac_8d7f6g5h4j3k2l"}"#.to_owned(), r#"{"code":"[redacted]"}"#.to_owned()),
        ("state=Zm9vYmFyYmF6MTIz".to_owned(), "state=[redacted]".to_owned()),
        ("see https://me:pw@host/x".to_owned(), "see https://[redacted]@host/x".to_owned()),
        ("for jane.doe+x@mail.example.org!".to_owned(), "for [redacted]!".to_owned()),
        ("jörg@exämple.de, jane%40example.com".to_owned(), "[redacted], [redacted]".to_owned()),
        ("to 2x@2x.png.example, 1@22x.info".to_owned(), "to [redacted], [redacted]".to_owned()),
        ("code_verifier=abcd".to_owned(), "code_verifier=[redacted]".to_owned()),
    ];
    for (text, expected) in cases {
        assert_eq!(redact(&text), expected);
        assert_eq!(redact(&expected), expected, "what is masked stays as it is");
    }
}

#[test]
fn ordinary_lines_stay_as_they_are() {
    for text in [
        "",
        "INFO listening address=127.0.0.1:11435",
        "worker state=ready codex=0.169.0 restarts=0",
        r#"{"error":{"message":"no","code":"invalid_request_error","type":"x"}}"#,
        "usage=Usage { input: 5, cached: 0, total_tokens: 12 } input_tokens=5 max_token: 7",
        "WWW-Authenticate: Bearer realm=api",
        "the file /data/api-key holds the key; PROXY_API_KEY is set",
        "a task-force-of-experts on risk-management-and-more",
        "npm install @openai/codex@0.169.0",
        "cannot download https://example.com/a/photo@2x.png",
        "api_key: ApiKey(***) access_token=null id_token: None",
        "request_id=req_0123456789abcdef0123456789abcdef path=/v1/responses",
    ] {
        let masked = redact(text);
        let same = masked == text || text.contains("ApiKey(***)");
        assert!(same, "{text} became {masked}");
    }
}

#[test]
fn a_line_without_secrets_is_not_copied() {
    assert!(matches!(redact("INFO proxy_core: nothing to see"), Cow::Borrowed(_)));
}

#[test]
fn keys_of_any_form_are_masked_while_they_are_in_use() {
    let odd = r#"an!odd"key\of=mine"#;
    assert_eq!(redact(odd), odd);
    let key = ApiKey::parse(odd).unwrap();
    let once = serde_json::to_string(odd).unwrap();
    let twice = serde_json::to_string(&once).unwrap();
    assert_eq!(redact(&format!("<{odd}>")), "<[redacted]>");
    assert_eq!(redact(&once), "\"[redacted]\"");
    assert_eq!(redact(&twice), "\"\\\"[redacted]\\\"\"");
    let clone = key.clone();
    drop(key);
    assert_eq!(redact(odd), "[redacted]");
    drop(clone);
    assert_eq!(redact(odd), odd);
}

#[test]
fn a_long_line_takes_time_in_proportion_to_its_length() {
    let time = |length: usize| {
        let text = "a.b-c%d_".repeat(length / 8);
        let started = Instant::now();
        assert!(matches!(redact(&text), Cow::Borrowed(_)));
        started.elapsed()
    };
    // The fastest of several runs: other load on the machine only makes a run slower.
    let quickest = |length| (0..15).map(|_| time(length)).min().unwrap_or_default();
    let (short, long) = (quickest(64 * 1024), quickest(1024 * 1024));
    // Sixteen times the text; a quadratic search would take 256 times as long.
    assert!(long < short * 100, "{short:?} then {long:?}");
}

#[test]
fn a_path_is_masked_as_it_is_meant() {
    let key = ApiKey::parse("path/key+with=characters%41").unwrap();
    for (path, expected) in [
        ("/v1/models", "/v1/models"),
        ("/v1/models/a%20b", "/v1/models/a%20b"),
        ("/v1/%zz%4", "/v1/%zz%4"),
        ("/v1/cp-0123456789abcdef", "/v1/[redacted]"),
        ("/v1/cp%2D0123456789abcdef/x", "/v1/[redacted]/x"),
        ("/v1/path%2fkey%2Bwith%3Dcharacters%2541", "/v1/[redacted]"),
        ("/v1/path/key+with=characters%41", "/v1/[redacted]"),
        ("/v1/me%40example.com", "/v1/[redacted]"),
    ] {
        assert_eq!(redact_path(path), expected, "{path}");
    }
    drop(key);
}

#[test]
fn what_is_cut_has_been_masked() {
    let key = format!("sk-{}", "a1B2".repeat(12));
    let text = format!("{} {key}", "x".repeat(20));
    assert_eq!(redact_within(&text, 25), format!("{} [red\u{2026}", "x".repeat(20)));
    assert_eq!(redact_within("\u{e9}\u{e9}", 2), "\u{e9}\u{e9}");
    assert_eq!(redact_within("\u{e9}\u{e9}", 1), "\u{e9}\u{2026}");
}

proptest! {
    #[test]
    fn a_key_is_masked_whatever_is_around_it(before in "\\PC{0,40}", after in "\\PC{0,40}") {
        let text = format!("{before} {OURS} {after}");
        let masked = redact(&text);
        prop_assert!(!masked.contains(OURS), "{}", masked);
        prop_assert!(redact_within(&text, 20).chars().count() <= 21);
        let path = format!("/{}", text.replace(' ', "%20"));
        prop_assert!(!redact_path(&path).contains(OURS));
    }

    #[test]
    fn what_is_masked_stays_as_it_is(text in "(\\PC{0,30}|Bearer [a-z0-9]{0,12}|[a-z_]{0,8}token=[a-zA-Z0-9]{0,12}|sk-[a-z0-9]{0,20}){0,4}") {
        let masked = redact(&text).into_owned();
        prop_assert_eq!(redact(&masked).into_owned(), masked);
    }
}
