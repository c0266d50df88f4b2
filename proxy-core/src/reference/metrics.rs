//! The page of metrics, generated from an answer of `/metrics`.

use std::collections::{BTreeMap, BTreeSet};

use crate::telemetry::metrics::{Exposition, LimitSample, Metrics, Snapshot, Tokens, WorkerSample};

const INTRO: &str = "Metrics are off by default. With `PROXY_ENABLE_METRICS=true` the proxy serves them at `/metrics`, in \
                     the format of Prometheus or OpenMetrics, as the client asks. [Operations](../operations.md#metrics) \
                     says which programs may read them and how to scrape them.\n\n\
                     On Linux there are also the usual process metrics of Prometheus clients (`process_*`).\n\n\
                     | metric | type | labels | |\n|---|---|---|---|";

pub(super) fn page() -> String {
    let text = used().render(snapshot(), Exposition::Prometheus).unwrap();
    let families = families(&text);
    let rows = families.iter().filter(|(name, _)| !name.starts_with("process_")).map(|(name, family)| {
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        format!("| `{name}` | {} | {} | {} |\n", family.kind, labels.join(", "), family.help)
    });
    super::page("Metrics", INTRO) + &rows.collect::<String>()
}

/// Metrics with one event of each kind, so that every label appears.
fn used() -> Metrics {
    let metrics = Metrics::on();
    let mut request = metrics.request("POST");
    request.answered(Some("/v1/responses"), 200);
    drop(request);
    let mut turn = metrics.turn(true);
    turn.first_byte();
    turn.ended("stop");
    drop(turn);
    metrics.tokens(Tokens::Input, "gpt-5.2", 1);
    metrics
}

fn snapshot() -> Snapshot {
    let worker = WorkerSample {
        id: 0,
        state: "ready",
        ready: true,
        codex_version: Some("0.0.0".to_owned()),
        uptime_seconds: Some(1),
        restarts: 0,
        turns_running: 0,
        turns_done: 1,
        resident_bytes: Some(1),
    };
    let limit = LimitSample { window: "primary", used_percent: 1.0, resets_at: Some(1) };
    Snapshot {
        workers: vec![worker],
        limits: vec![limit],
        usage_store_lag_seconds: Some(0.0),
        ..Snapshot::default()
    }
}

#[derive(Default)]
struct Family {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
}

fn families(text: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            families.entry(name.to_owned()).or_default().help = help.trim_end_matches('.').to_owned();
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            families.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else if let Some((name, rest)) = line.split_once('{') {
            let stem = ["_bucket", "_sum", "_count"]
                .into_iter()
                .find_map(|end| name.strip_suffix(end))
                .unwrap_or(name);
            let labels = rest.split_once('}').map_or("", |(labels, _)| labels).split(',');
            let names = labels.filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
            if let Some(family) = families.get_mut(stem) {
                family.labels.extend(names.filter(|name| name != "le"));
            }
        }
    }
    families
}
