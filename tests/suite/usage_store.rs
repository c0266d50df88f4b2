//! Usage queries over HTTP, with existing usage data in the data directory.

use std::path::Path;

use e2e::harness::{Proxy, Setup};
use e2e::sse;
use proxy_core::usage::{Config, UsageEvent, UsageStore};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

/// 2026-03-29 in Berlin, whose clock is put forward at 01:00 UTC.
const SPRING: i64 = 1_774_738_800;

fn store(dir: &Path) -> UsageStore {
    let config = Config {
        database: dir.join("proxy.db"),
        journal: dir.join("usage-journal"),
        token_log: None,
        retention_days: 0,
    };
    UsageStore::open(config, Vec::new()).unwrap()
}

/// A data directory with an event in each quarter of an hour of a day in spring.
fn seeded() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    for quarter in 0..23 * 4 {
        store.sink().record(UsageEvent {
            ts_ms: (SPRING + quarter * 900) * 1000 + 7,
            route: "/v1/responses".into(),
            method: "POST".into(),
            key: if quarter % 2 == 0 { "default" } else { "=ci" }.into(),
            user_agent: "curl/8.5.0".into(),
            requested_model: "codex-5".into(),
            effective_model: "gpt-5.2".into(),
            status: if quarter == 0 { 499 } else { 200 },
            input_tokens: 100,
            cached_tokens: 40,
            output_tokens: 7,
            ..UsageEvent::default()
        });
    }
    store.close();
    dir
}

async fn start(dir: &Path, environment: &[(&str, &str)]) -> Proxy {
    let setup = Setup::fake(&json!({})).env("PROXY_DATA_DIR", dir.to_str().unwrap());
    environment.iter().fold(setup, |setup, (name, value)| setup.env(name, value)).start().await
}

async fn get(proxy: &Proxy, path: &str) -> (u16, Value) {
    let (status, body) = sse::json(proxy.request(Method::GET, path)).await;
    (status.into(), body)
}

#[tokio::test]
async fn sums_and_events_are_told_to_holders_of_the_key() {
    let dir = seeded();
    let proxy = start(dir.path(), &[]).await;
    for path in ["/v1/usage", "/v1/usage/raw", "/usage", "/usage/raw"] {
        let answer = proxy.bare(Method::GET, &proxy.root_url(path)).send().await.unwrap();
        assert_eq!(answer.status(), 401, "{path}");
        let answer =
            proxy.bare(Method::HEAD, &proxy.root_url(path)).bearer_auth(&proxy.key).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }

    let (status, day) =
        get(&proxy, "/usage?start=2026-03-29&end=2026-03-30&tz=Europe/Berlin&group=hour").await;
    assert_eq!(status, 200, "{day}");
    assert_eq!(
        (&day["object"], &day["start"], &day["tz"]),
        (&json!("usage"), &json!(SPRING), &json!("Europe/Berlin"))
    );
    assert_eq!((&day["totals"]["requests"], &day["totals"]["cancelled"]), (&json!(92), &json!(1)));
    assert_eq!(&day["totals"]["total_tokens"], &json!(92 * 107));
    let hours = day["data"].as_array().unwrap();
    assert_eq!(hours.len(), 23);
    assert_eq!(hours[2]["bucket"], "2026-03-29T03:00:00+02:00");
    assert!(hours.iter().all(|hour| hour["requests"] == 4), "{day}");

    let (_, keys) = get(&proxy, &format!("/usage?start={SPRING}&end={}000&group=key", SPRING + 900)).await;
    assert_eq!(keys["data"].as_array().unwrap().len(), 1, "{keys}");
    assert_eq!((&keys["data"][0]["bucket"], &keys["data"][0]["start"]), (&json!("default"), &Value::Null));

    let (_, raw) = get(&proxy, "/usage/raw?limit=2").await;
    assert_eq!(
        (&raw["first_id"], &raw["last_id"], &raw["has_more"]),
        (&json!(91), &json!(92), &json!(false))
    );
    for name in [
        "ts",
        "route",
        "method",
        "requested_model",
        "effective_model",
        "stream",
        "prompt_tokens_est",
        "completion_tokens_est",
        "total_tokens_est",
        "duration_ms",
        "status",
        "user_agent",
        "client",
    ] {
        assert!(!raw["data"][0][name].is_null(), "{name}: {raw}");
    }
    let (_, raw) = get(&proxy, "/usage/raw?limit=2&after=0").await;
    assert_eq!((&raw["first_id"], &raw["has_more"]), (&json!(1), &json!(true)));
    proxy.stop().await;
}

#[tokio::test]
async fn a_bad_question_names_its_parameter() {
    let dir = tempfile::tempdir().unwrap();
    let proxy = start(dir.path(), &[]).await;
    for (path, param) in [
        ("/usage?start=soon", "start"),
        ("/usage?end=2026-02-30", "end"),
        ("/usage?start=2026-01-02&end=2026-01-01", "end"),
        ("/usage?group=minute", "group"),
        ("/usage?tz=Mars/Olympus", "tz"),
        ("/usage?start=0&group=hour", "group"),
        ("/usage/raw?limit=0", "limit"),
        ("/usage/raw?limit=1001", "limit"),
        ("/usage/raw?limit=x", "limit"),
        ("/usage/raw?after=-1", "after"),
    ] {
        let (status, body) = get(&proxy, path).await;
        assert_eq!((status, body["error"]["param"].as_str()), (400, Some(param)), "{path} {body}");
        assert_eq!(body["error"]["code"], "invalid_value", "{body}");
    }
    let (status, body) = get(&proxy, "/usage").await;
    assert_eq!(
        (status, body["data"].as_array().unwrap().len(), &body["totals"]["requests"]),
        (200, 7, &json!(0))
    );
    proxy.stop().await;
}

#[tokio::test]
async fn it_can_be_open_to_all_and_the_control_api_exports_it() {
    let dir = seeded();
    let proxy = start(dir.path(), &[("PROXY_USAGE_ALLOW_UNAUTH", "true")]).await;
    for path in ["/v1/usage", "/usage/raw"] {
        let answer = proxy.bare(Method::GET, &proxy.root_url(path)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
    let token = std::fs::read_to_string(dir.path().join("control-token")).unwrap();
    let control = |path: &str| proxy.bare(Method::GET, &proxy.root_url(path)).bearer_auth(token.trim());
    let keyless = proxy.bare(Method::GET, &proxy.root_url("/control/usage/export")).send().await.unwrap();
    assert_eq!(keyless.status(), 401);
    let range = "start=2026-03-28T23:00:00Z&end=2026-03-30";
    let csv = control(&format!("/control/usage/export?{range}")).send().await.unwrap();
    assert_eq!(csv.headers()["content-disposition"], "attachment; filename=\"usage.csv\"");
    let csv = csv.text().await.unwrap();
    assert_eq!(csv.split_terminator("\r\n").count(), 93);
    assert!(csv.contains(",'=ci,") && !csv.contains(",=ci,"), "{csv}");
    let (_, json) = sse::json(control(&format!("/control/usage/export?format=json&{range}"))).await;
    assert_eq!(json["data"].as_array().unwrap().len(), 92);
    let (_, sums) = sse::json(control(&format!("/control/usage?group=model&{range}"))).await;
    assert_eq!(sums["data"][0]["bucket"], "gpt-5.2");
    let (status, error) = sse::json(control("/control/usage/export?format=xls")).await;
    assert_eq!((u16::from(status), &error["error"]["param"]), (400, &json!("format")));
    let (_, status) = sse::json(control("/control/status")).await;
    assert_eq!((&status["today"]["requests"], &status["warnings"]), (&json!(0), &json!([])));
    proxy.stop().await;
    let store = store(dir.path());
    assert_eq!(store.page(1000, None).unwrap().events.len(), 92);
}

#[tokio::test]
async fn a_database_of_a_later_version_stops_the_start_with_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    store(dir.path()).close();
    // The number of the schema is at byte 60 of an SQLite file.
    let file = dir.path().join("proxy.db");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[60..64].copy_from_slice(&1234_u32.to_be_bytes());
    std::fs::write(&file, &bytes).unwrap();
    let output = tokio::process::Command::new(e2e::harness::proxy_path())
        .env("PROXY_DATA_DIR", dir.path())
        .env("PORT", "0")
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("newer Codex Proxy") && said.contains("1234"), "{said}");
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
}

async fn warnings(proxy: &Proxy, dir: &Path) -> String {
    let token = std::fs::read_to_string(dir.join("control-token")).unwrap();
    let status = proxy.bare(Method::GET, &proxy.root_url("/control/status")).bearer_auth(token.trim());
    sse::json(status).await.1["warnings"].to_string()
}

/// A database that is damaged while in use, one that is damaged at the start, and a damaged line of the journal.
#[tokio::test]
async fn damage_is_said_and_nothing_that_was_recorded_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("proxy.db");
    let body = json!({"model": "codex-5", "input": "Hello."});
    let ask = async |proxy: &Proxy, times: usize| {
        for _ in 0..times {
            proxy.post_ok("/responses", &body).await;
        }
    };
    let requests = async |proxy: &Proxy| get(proxy, "/usage").await.1["totals"]["requests"].clone();
    let noise = |length: usize| {
        use std::io::Write as _;
        let mut file = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
        file.write_all(&vec![0xa5; length]).unwrap();
    };

    let proxy = start(dir.path(), &[]).await;
    ask(&proxy, 5).await;
    assert_eq!(requests(&proxy).await, 5);
    noise(std::fs::metadata(&file).unwrap().len() as usize);
    ask(&proxy, 4).await;
    proxy.stop().await;

    let proxy = start(dir.path(), &[]).await;
    assert_eq!(requests(&proxy).await, 9);
    let log = proxy.log_text();
    let warnings = warnings(&proxy, dir.path()).await;
    assert!(warnings.contains("proxy.db.corrupt-") && log.contains("proxy.db.corrupt-"), "{warnings} {log}");
    let doctor = crate::cli::run(dir.path(), &["doctor", "--json"], &[], "").await;
    let findings: Value = serde_json::from_str(&doctor.out).unwrap();
    let finding = |check: &str| {
        findings.as_array().unwrap().iter().find(|finding| finding["check"] == check).unwrap().clone()
    };
    assert_eq!(finding("usage_database")["status"], "ok", "{findings}");
    assert_eq!(finding("usage_damage")["status"], "warn", "{findings}");
    assert!(finding("usage_damage")["detail"].to_string().contains("proxy.db.corrupt-"), "{findings}");
    proxy.stop().await;

    noise(100);
    let doctor = crate::cli::run(dir.path(), &["doctor", "--json"], &[], "").await;
    assert!(doctor.out.contains("not a database"), "{}", doctor.out);
    let line = r#"{"id":18446744073709551615,"ts_ms":1000,"status":200}"#;
    std::fs::write(dir.path().join("usage-journal/00000099.jsonl"), format!("{line}\n")).unwrap();
    let proxy = start(dir.path(), &[]).await;
    ask(&proxy, 2).await;
    assert_eq!(requests(&proxy).await, 11);
    let warnings = self::warnings(&proxy, dir.path()).await;
    assert!(warnings.contains("proxy.db.corrupt-") && warnings.contains("00000099.damaged"), "{warnings}");
    proxy.stop().await;
}
