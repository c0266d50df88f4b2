//! Many clients at once over WebSockets and server-sent events: every event is a valid one, in its order and its lane.
//! And what connections cost that only wait.

use std::collections::BTreeMap;
use std::fs;

use e2e::harness::{Proxy, Setup};
use e2e::socket::Socket;
use e2e::spec::{self, Spec};
use futures_util::future::{join, join_all};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

use crate::surface::Surface;

const CLIENTS: usize = 32;
const ROUNDS: usize = 2;
const LANES: [Option<&str>; 3] = [None, Some("a"), Some("b.2")];

async fn fake() -> Proxy {
    let steps = json!([
        {"step": "reasoning", "parts": [["**Thin", "king**"]], "encrypted": "ENC"},
        {"step": "text", "deltas": ["to ", "{{user}}", ", 🦀"]},
        {"step": "usage", "input": 1000, "cached": 900, "output": 30, "reasoning": 10},
    ]);
    Setup::fake(&json!({"scenarios": {"default": steps}})).start().await
}

fn ask(text: &str, previous: Option<&Value>) -> Value {
    let mut body = Surface::Responses.ask(text);
    body["reasoning"] = json!({"effort": "high", "summary": "auto"});
    body["include"] = json!(["reasoning.encrypted_content"]);
    body["previous_response_id"] = json!(previous.map(|response| &response["id"]));
    body
}

/// Checks all events of one response, which has to end with the last of them. Returns the response.
fn checked(events: &[Value], text: &str) -> Value {
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number, "{event}");
        let is_last = event["type"] == "response.completed";
        assert_eq!(is_last, number + 1 == events.len(), "{event}");
        if spec::available() {
            for spec in Spec::ALL {
                assert_eq!(spec::validate(spec, spec.stream_event(), event), [""; 0], "{event:#}");
            }
        }
    }
    let expected = format!("to {text}, 🦀");
    assert_eq!(Surface::Responses.streamed_text(events), expected);
    let response = &events.last().unwrap()["response"];
    assert_eq!(Surface::Responses.text(response), expected);
    response.clone()
}

/// All rounds of all lanes of a connection, with the lanes at the same time. Returns the events of each response.
async fn over_a_socket(proxy: &Proxy, number: usize) -> Vec<(Vec<Value>, String)> {
    let mut socket = Socket::open(proxy).await;
    let text = |lane: Option<&str>, round: usize| format!("socket {number} {lane:?} {round}");
    let mut running: BTreeMap<Option<String>, (usize, Vec<Value>)> = BTreeMap::new();
    let create = |lane: Option<&str>, round: usize, previous: Option<&Value>| {
        let mut body = ask(&text(lane, round), previous);
        body["store"] = json!(number.is_multiple_of(2));
        if let Some(lane) = lane {
            body["stream_id"] = json!(lane);
        }
        body
    };
    for lane in LANES {
        socket.create(&create(lane, 0, None)).await;
        running.insert(lane.map(str::to_owned), (0, Vec::new()));
    }
    let mut all = Vec::new();
    while !running.is_empty() {
        let mut event = socket.next().await;
        let lane = event.as_object_mut().unwrap().shift_remove("stream_id");
        let lane = lane.map(|lane| lane.as_str().unwrap().to_owned());
        let (round, events) = running.get_mut(&lane).unwrap_or_else(|| panic!("{lane:?}: {event}"));
        let is_last = event["type"] == "response.completed";
        events.push(event);
        if !is_last {
            continue;
        }
        let name = lane.as_deref();
        all.push((std::mem::take(events), text(name, *round)));
        *round += 1;
        if *round == ROUNDS {
            running.remove(&lane);
            continue;
        }
        let response = &all.last().unwrap().0.last().unwrap()["response"];
        socket.create(&create(name, *round, Some(response))).await;
    }
    all
}

async fn over_sse(proxy: &Proxy, number: usize) -> Vec<(Vec<Value>, String)> {
    let mut all: Vec<(Vec<Value>, String)> = Vec::new();
    for round in 0..ROUNDS {
        let text = format!("stream {number} {round}");
        let previous = all.last().map(|(events, _)| events.last().unwrap()["response"].clone());
        let events = Surface::Responses.events(proxy, &ask_streamed(&text, previous.as_ref())).await;
        all.push((events, text));
    }
    all
}

fn ask_streamed(text: &str, previous: Option<&Value>) -> Value {
    let mut body = ask(text, previous);
    body["stream"] = json!(true);
    body
}

#[tokio::test]
async fn every_event_of_sixty_four_clients_at_once_is_valid_and_in_its_place() {
    let proxy = fake().await;
    let sockets = join_all((0..CLIENTS).map(|number| over_a_socket(&proxy, number)));
    let streams = join_all((0..CLIENTS).map(|number| over_sse(&proxy, number)));
    let (sockets, streams) = join(sockets, streams).await;
    let mut ids = Vec::new();
    for (events, text) in sockets.iter().chain(&streams).flatten() {
        ids.push(checked(events, text)["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids.len(), CLIENTS * ROUNDS * (LANES.len() + 1));
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), CLIENTS * ROUNDS * (LANES.len() + 1), "each has an id of its own");
    proxy.stop().await;
}

/// The resident memory of a process in bytes.
fn resident(proxy: &Proxy) -> u64 {
    let pid = proxy.pid().unwrap().as_raw_nonzero();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[tokio::test]
async fn a_thousand_connections_that_wait_cost_less_than_thirty_megabytes() {
    const CONNECTIONS: usize = 1000;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let proxy = fake().await;
    // What every process needs once.
    let mut first = Socket::open(&proxy).await;
    first.create(&ask("hi", None)).await;
    first.response().await;
    let before = resident(&proxy);
    let mut sockets = Vec::new();
    while sockets.len() < CONNECTIONS {
        sockets.extend(join_all((0..50).map(|_| Socket::open(&proxy))).await);
    }
    let cost = resident(&proxy).saturating_sub(before);
    println!("{CONNECTIONS} connections: {} KiB", cost / 1024);
    assert!(cost < 30_000_000, "{cost} bytes");
    // They are all there.
    for socket in sockets.iter_mut().step_by(100) {
        socket.create(&ask("hi", None)).await;
        assert_eq!(Surface::Responses.text(&socket.response().await), "to hi, 🦀");
    }
    drop((first, sockets));
    proxy.stop().await;
}
