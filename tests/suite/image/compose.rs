//! The compose files: checked against the Compose specification, as an engine reads them, and with the stated properties.

use std::collections::BTreeMap;
use std::process::Command;

use e2e::codex_bin::workspace_dir;
use e2e::sdk::Runtime;
use serde_json::{Value, json};

use super::run;

/// What `tests/sdk/python/compose.py` prints.
fn read(arguments: &[&str]) -> Value {
    let mut python = Command::new(Runtime::Servers.interpreter(&Runtime::Servers.install()));
    python.arg(workspace_dir().join("tests/sdk/python/compose.py")).args(arguments);
    python.current_dir(workspace_dir().join("installers/docker"));
    for (name, value) in [
        ("PROXY_API_KEY", "k"),
        ("DOMAIN", "codex.example.com"),
        ("GRAFANA_ADMIN_PASSWORD", "p"),
        ("PYTHONUTF8", "1"),
    ] {
        python.env(name, value);
    }
    serde_json::from_str(&run(&mut python)).unwrap()
}

const FILES: [&[&str]; 4] = [
    &["compose.yml"],
    &["compose.local.yml"],
    &["compose.dev.yml"],
    &["compose.local.yml", "../observe/compose.observe.yml"],
];

#[test]
fn every_service_is_closed_in_and_reachable_from_this_machine_only() {
    for files in FILES {
        let read = read(files);
        for (name, service) in read["services"].as_object().unwrap() {
            assert_eq!(service["read_only"], true, "{files:?} {name}");
            assert_eq!(service["cap_drop"], json!(["ALL"]), "{files:?} {name}");
            assert_eq!(service["security_opt"], json!(["no-new-privileges:true"]), "{files:?} {name}");
            assert_eq!(service["restart"], "unless-stopped", "{files:?} {name}");
            assert!(service["mem_limit"].is_string(), "{files:?} {name}");
            for port in service["ports"].as_array().into_iter().flatten() {
                assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{files:?} {name}: {port}");
            }
            if !name.starts_with("app") {
                continue;
            }
            assert_eq!((&service["init"], &service["user"]), (&json!(true), &json!("65532:65532")));
            assert_eq!(service["stop_grace_period"], "30s");
            assert!(service["pids_limit"].is_u64() && service["cpus"].is_f64());
            let mounted: Vec<_> = service["volumes"].as_array().unwrap().iter().collect();
            for place in ["/app/.codex-api", "/app/data"] {
                assert!(
                    mounted.iter().any(|volume| volume.as_str().unwrap().ends_with(place)),
                    "{files:?} {place}"
                );
            }
            assert!(service["tmpfs"][0].as_str().unwrap().starts_with("/tmp:"));
        }
    }
}

/// The drain time and the workers' shutdown time together must be shorter.
#[test]
fn the_settings_are_some_that_there_are() {
    let settings = proxy_core::config::table::ALL;
    let known: Vec<&str> = settings
        .iter()
        .flat_map(|entry| std::iter::once(entry.meta().env).chain(entry.meta().also.iter().copied()))
        .collect();
    for files in FILES {
        for (name, service) in read(files)["services"].as_object().unwrap() {
            for variable in
                service["environment"].as_object().into_iter().flatten().map(|(variable, _)| variable)
            {
                assert!(
                    known.contains(&variable.as_str()) || !name.starts_with("app"),
                    "{files:?}: {variable}"
                );
            }
        }
    }
    let dev = &read(&["compose.dev.yml"])["services"]["app-dev"];
    assert_eq!(dev["ports"], json!(["127.0.0.1:18010:11435", "127.0.0.1:18081:11435"]));
    assert_eq!(dev["environment"]["PROXY_ENV"], "dev");
}

/// Checks that the labels and the file give Traefik the same configuration, so that tests of one hold for the other.
#[test]
fn the_labels_say_what_the_file_says() {
    let compose = read(&["compose.yml"]);
    let labels = compose["services"]["app"]["labels"].as_object().unwrap();
    let mut said: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in labels {
        if let Some(rest) = name.strip_prefix("traefik.http.") {
            said.insert(rest.to_ascii_lowercase(), value.as_str().unwrap().to_owned());
        }
    }
    let file = read(&["--yaml", "../traefik/dynamic/codex-proxy.yml"]);
    let mut written = BTreeMap::new();
    flatten(&file["http"], String::new(), &mut written);
    // Only the compose file has the address of the proxy.
    written.retain(|name, _| !name.starts_with("serverstransports.") && !name.ends_with(".serverstransport"));
    assert_eq!(
        written.remove("services.codex-api.loadbalancer.servers").as_deref(),
        Some("http://127.0.0.1:18080")
    );
    assert_eq!(said.remove("services.codex-api.loadbalancer.server.port").as_deref(), Some("11435"));
    assert_eq!(said, written);
}

/// As names with dots between, the way of labels.
fn flatten(value: &Value, name: String, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) if map.is_empty() => drop(into.insert(name, "true".to_owned())),
        Value::Object(map) if map.len() == 1 && map.contains_key("url") => {
            into.insert(name, map["url"].as_str().unwrap().to_owned());
        }
        Value::Object(map) => {
            for (key, value) in map {
                let key = key.to_ascii_lowercase();
                flatten(value, if name.is_empty() { key } else { format!("{name}.{key}") }, into);
            }
        }
        Value::Array(list) if list.iter().any(Value::is_object) => flatten(&list[0], name, into),
        Value::Array(list) => {
            let words: Vec<&str> = list.iter().map(|word| word.as_str().unwrap()).collect();
            into.insert(name, words.join(","));
        }
        Value::String(text) => drop(into.insert(name, text.clone())),
        Value::Null | Value::Bool(_) | Value::Number(_) => drop(into.insert(name, value.to_string())),
    }
}
