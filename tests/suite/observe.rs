//! Prometheus itself, with the project's own configuration: it reads the metrics with the key, accepts the alert rules, and
//! answers every query of the dashboard.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use e2e::codex_bin::workspace_dir;
use e2e::edge::server;
use e2e::harness::{Proxy, Setup};
use e2e::patience::until;
use e2e::sdk::Runtime;
use e2e::sse;
use serde_json::{Value, json};

use crate::metrics::{scrape, series, use_it};

fn observe(name: &str) -> PathBuf {
    workspace_dir().join("installers/observe").join(name)
}

fn dashboard() -> Value {
    let file = workspace_dir().join("installers/grafana/codex-proxy.json");
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

/// The queries of the dashboard with values in place of its variables.
fn queries() -> Vec<String> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let written = targets.map(|target| target["expr"].as_str().unwrap());
    written.map(|query| query.replace("$__rate_interval", "1m").replace("$job", "codex-proxy")).collect()
}

fn yaml(path: &str) -> Value {
    let mut python = Command::new(Runtime::Servers.interpreter(&Runtime::Servers.install()));
    python
        .arg(workspace_dir().join("tests/sdk/python/compose.py"))
        .arg("--yaml")
        .arg(workspace_dir().join(path));
    let output = python.output().unwrap();
    assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn rules() -> Vec<Value> {
    let file = yaml("installers/observe/codex-proxy.rules.yml");
    file["groups"][0]["rules"].as_array().unwrap().clone()
}

#[test]
fn the_alerts_fire_when_they_should() {
    for arguments in
        [["check", "rules", "codex-proxy.rules.yml"], ["test", "rules", "codex-proxy.rules.test.yml"]]
    {
        let mut promtool = Command::new(server("promtool"));
        let ended = promtool.args(arguments).current_dir(observe("")).output().unwrap();
        let said =
            String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success() && said.contains("SUCCESS"), "{said}");
    }
    let tested = fs::read_to_string(observe("codex-proxy.rules.test.yml")).unwrap();
    for rule in rules() {
        let name = rule["alert"].as_str().unwrap();
        assert!(tested.contains(&format!("alertname: {name}\n")), "{name} is not tested");
    }
}

#[tokio::test]
async fn the_alerts_watch_only_series_that_exist() {
    let proxy = measured("").await;
    use_it(&proxy).await;
    let read = scrape(&proxy).await["prometheus"].take();
    let families: BTreeSet<String> = read["types"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, kind)| format!("{name}{}", if kind == "counter" { "_total" } else { "" }))
        .collect();
    let watched: BTreeSet<String> =
        rules().iter().flat_map(|rule| series(rule["expr"].as_str().unwrap())).collect();
    assert!(watched.len() > 6, "{watched:?}");
    assert!(watched.is_subset(&families), "{watched:?} of {families:?}");
}

async fn measured(trusted: &str) -> Proxy {
    let setup = Setup::fake(&json!({"scenarios": {"default": [{"step": "text", "deltas": ["Hello"]}]}}));
    setup.env("PROXY_ENABLE_METRICS", "true").env("PROXY_TRUSTED_PROXIES", trusted).start().await
}

#[tokio::test]
async fn prometheus_scrapes_with_the_key_and_answers_the_dashboard() {
    let proxy = measured("127.0.0.1").await;
    use_it(&proxy).await;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    fs::write(at("key"), &proxy.key).unwrap();
    let mut config = fs::read_to_string(observe("prometheus.yml")).unwrap();
    for (from, to) in [
        ("15s", "1s".to_owned()),
        ("/etc/prometheus/codex-proxy.rules.yml", observe("codex-proxy.rules.yml").display().to_string()),
        ("/run/secrets/codex-proxy-key", at("key")),
        ("app:11435", format!("127.0.0.1:{}", proxy.port())),
    ] {
        assert!(config.contains(from), "{from}");
        config = config.replace(from, &to);
    }
    fs::write(at("prometheus.yml"), config).unwrap();
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let mut command = tokio::process::Command::new(server("prometheus"));
    command
        .arg(format!("--config.file={}", at("prometheus.yml")))
        .arg(format!("--storage.tsdb.path={}", at("data")))
        .arg(format!("--web.listen-address={address}"))
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(at("log")).unwrap())
        .kill_on_drop(true);
    let _prometheus = command.spawn().unwrap();
    let client = sse::client();
    let ask = async |path: &str, query: &[(&str, &str)]| {
        let url = url::Url::parse_with_params(&format!("http://{address}/api/v1/{path}"), query).unwrap();
        let answer = client.get(url).send().await.ok()?;
        serde_json::from_str::<Value>(&answer.text().await.ok()?).ok()
    };
    until("Prometheus to have asked the proxy twice", async || {
        let answer = ask("query", &[("query", r#"count_over_time(up{job="codex-proxy"}[1m]) >= 2"#)]).await?;
        (!answer["data"]["result"].as_array()?.is_empty()).then_some(())
    })
    .await;
    let targets = ask("targets", &[]).await.unwrap();
    assert_eq!(targets["data"]["activeTargets"][0]["health"], "up", "{targets}");

    let loaded = ask("rules", &[]).await.unwrap();
    let loaded = loaded["data"]["groups"][0]["rules"].as_array().unwrap().clone();
    assert_eq!(loaded.len(), rules().len());
    for rule in &loaded {
        assert!(rule["lastError"].is_null(), "{rule}");
        assert_eq!(rule["state"], "inactive", "{rule}");
    }
    let mut with_data = 0;
    for query in queries() {
        let answer = ask("query", &[("query", &query)]).await.unwrap();
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        with_data += usize::from(!answer["data"]["result"].as_array().unwrap().is_empty());
    }
    assert!(with_data > queries().len() / 2, "{with_data} of {} queries have data", queries().len());
}

/// What makes Grafana ready without a click names what is there.
#[test]
fn grafana_is_given_the_data_source_and_the_dashboard() {
    let source = yaml("installers/observe/grafana/datasource.yml");
    assert_eq!(source["datasources"][0]["url"], "http://prometheus:9090");
    let interval = yaml("installers/observe/prometheus.yml")["global"]["scrape_interval"].take();
    assert_eq!(source["datasources"][0]["jsonData"]["timeInterval"], interval);
    let provider = yaml("installers/observe/grafana/dashboards.yml");
    let folder = provider["providers"][0]["options"]["path"].as_str().unwrap();
    let compose = yaml("installers/observe/compose.observe.yml");
    let mounted = compose["services"]["grafana"]["volumes"].as_array().unwrap();
    for (from, to) in [
        ("grafana/codex-proxy.json", format!("{folder}/codex-proxy.json")),
        (
            "observe/grafana/datasource.yml",
            "/etc/grafana/provisioning/datasources/codex-proxy.yml".to_owned(),
        ),
        ("observe/grafana/dashboards.yml", "/etc/grafana/provisioning/dashboards/codex-proxy.yml".to_owned()),
    ] {
        assert!(mounted.contains(&json!(format!("../{from}:{to}:ro"))), "{from}: {mounted:?}");
        assert!(workspace_dir().join("installers").join(from).is_file(), "{from}");
    }
    let variable = &dashboard()["templating"]["list"][0];
    assert_eq!((&variable["type"], &variable["query"]), (&json!("datasource"), &json!("prometheus")));
}
