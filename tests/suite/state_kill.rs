//! A proxy that is killed at random points, with clients in flight: what a client has seen the end of is kept, and
//! nothing is left half done.
//!
//! `CODEX_PROXY_TEST_KILLS` says how often it is killed (15 times by default), `CODEX_PROXY_TEST_KILL_SEED` repeats a run.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use e2e::harness::{Proxy, Setup};
use e2e::processes;
use e2e::random::Random;
use e2e::socket::Socket;
use e2e::sse::Frame;
use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder, Response};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::surface::{MODEL, Surface};

const CLIENTS: usize = 8;
/// The latest point of a kill, in what all clients together have received.
const MOST_RECEIVED: u64 = 220;
/// The length at which a client begins a new chain.
const LONGEST: usize = 12;
/// The number of kills after which everything that was ever seen is looked at, and not only the latest of it.
const THOROUGH: u64 = 20;

/// A response of a chain, as its client knows it.
#[derive(Clone)]
struct Link {
    id: String,
    asked: String,
    said: String,
    is_deleted: bool,
}

/// What the clients know of the responses.
#[derive(Default)]
struct Known {
    /// The text of each response whose end a client has seen.
    ended: BTreeMap<String, String>,
    /// Responses of which a client has seen only the beginning, and whether they run in the background.
    begun: BTreeMap<String, bool>,
    /// Responses that a client has asked to delete.
    perhaps_deleted: BTreeSet<String>,
    /// Of these, those of which it knows.
    deleted: BTreeSet<String>,
    /// Those of which clients have learned since the last look.
    news: Vec<String>,
}

struct World {
    data: TempDir,
    known: RefCell<Known>,
    /// What all clients have received since the last start.
    received: watch::Sender<u64>,
}

/// The ways in which a client asks.
#[derive(Clone, Copy)]
enum Way {
    Whole,
    Streamed,
    Background,
    BackgroundStreamed,
}

const WAYS: [Way; 4] = [Way::Whole, Way::Streamed, Way::Background, Way::BackgroundStreamed];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[tokio::test]
async fn what_clients_have_seen_the_end_of_survives_kills_at_random_points() {
    let kills = number("CODEX_PROXY_TEST_KILLS").unwrap_or(15);
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let seed = number("CODEX_PROXY_TEST_KILL_SEED").unwrap_or_else(now);
    println!("to repeat this run: CODEX_PROXY_TEST_KILL_SEED={seed}");
    let mut random = Random::new(seed);
    let world = World {
        data: tempfile::tempdir().unwrap(),
        known: RefCell::default(),
        received: watch::Sender::new(0),
    };
    let mut chains: Vec<Vec<Link>> = vec![Vec::new(); CLIENTS];
    let (mut cut, mut continued) = (0, 0);
    for kill in 0..kills {
        let mut proxy = world.start().await;
        for chain in chains.iter_mut().filter(|chain| !chain.is_empty()) {
            world.go_on(&proxy, chain, kill).await;
            continued += 1;
        }
        world.received.send_replace(0);
        let seeds: Vec<u64> = (0..CLIENTS).map(|_| random.below(u64::MAX)).collect();
        let clients = chains.drain(..).zip(seeds).enumerate().map(|(number, (chain, seed))| {
            world.client(&proxy, format!("{kill}.{number}"), number % 4 == 3, chain, Random::new(seed))
        });
        let clients = join_all(clients.collect::<Vec<_>>());
        let point = 1 + random.below(MOST_RECEIVED);
        let pid = u64::from(proxy.pid().unwrap().as_raw_nonzero().get().unsigned_abs());
        let strike = async {
            world.received.subscribe().wait_for(|received| *received >= point).await.unwrap();
            processes::signal(pid, Signal::KILL);
        };
        (chains, ()) = tokio::join!(clients, strike);
        proxy.exit().await;
        drop(proxy);

        let proxy = world.start().await;
        let is_thorough = kill % THOROUGH == THOROUGH - 1 || kill == kills - 1;
        cut += world.check(&proxy, is_thorough).await;
        proxy.stop().await;
    }
    let known = world.known.borrow();
    println!(
        "{kills} kills; {} responses whose end a client has seen, {} of them deleted; {cut} were cut off; {continued} \
         chains were continued",
        known.ended.len() + known.deleted.len(),
        known.deleted.len(),
    );
    assert!(known.ended.len() as u64 > kills, "the clients were busy");
}

impl World {
    async fn start(&self) -> Proxy {
        let answer = json!({"step": "text", "deltas": ["to ", "{{user}}", "."]});
        let scenario = json!({
            "record": true,
            "scenarios": {"default": [answer], "slow": [{"step": "pause", "ms": 30}, answer]},
        });
        let data = self.data.path().to_str().unwrap();
        let setup = Setup::fake(&scenario).env("PROXY_DATA_DIR", data);
        setup.env("PROXY_API_KEY", "test-key-that-stays-the-same").start().await
    }

    /// Something was received.
    fn tick(&self) {
        self.received.send_modify(|received| *received += 1);
    }

    fn begun(&self, id: &str, is_background: bool) {
        self.known.borrow_mut().begun.insert(id.to_owned(), is_background);
    }

    /// The client has seen the end of a response. Returns its text.
    fn ended(&self, response: &Value, asked: &str) -> (String, String) {
        let id = response["id"].as_str().unwrap().to_owned();
        assert_eq!((&response["status"], &response["store"]), (&json!("completed"), &json!(true)));
        let said = Surface::Responses.text(response);
        assert_eq!(said, format!("to {asked}."));
        let mut known = self.known.borrow_mut();
        known.begun.remove(&id);
        known.news.push(id.clone());
        known.ended.insert(id.clone(), said.clone());
        (id, said)
    }

    /// Asks one request after the other until the proxy is gone. Returns the chain as it is then.
    async fn client(
        &self,
        proxy: &Proxy,
        name: String,
        is_socket: bool,
        mut chain: Vec<Link>,
        mut random: Random,
    ) -> Vec<Link> {
        let mut socket = None;
        if is_socket {
            socket = Socket::open_if_there(proxy).await;
            if socket.is_none() {
                return chain;
            }
        }
        for count in 0_u64.. {
            match random.below(12) {
                // A branch.
                0 => {
                    let at = random.below(chain.len() as u64 + 1) as usize;
                    if at == 0 || !chain[at - 1].is_deleted {
                        chain.truncate(at);
                    }
                }
                1 if chain.len() > 1 => {
                    let at = random.below(chain.len() as u64 - 1) as usize;
                    if !chain[at].is_deleted && self.delete(proxy, &mut chain[at]).await.is_none() {
                        return chain;
                    }
                }
                _ if chain.len() >= LONGEST => chain.clear(),
                _ => {}
            }
            let marker = ["", " [[scenario:slow]]"][random.below(2) as usize];
            let asked = format!("{name}.{count}{marker}");
            let body = ask(&asked, &chain);
            let ended = match &mut socket {
                Some(socket) => self.socket(socket, &body).await,
                None => {
                    let way = WAYS[random.below(WAYS.len() as u64) as usize];
                    self.request(proxy, body, way).await
                }
            };
            let Some(response) = ended else { return chain };
            let (id, said) = self.ended(&response, &asked);
            chain.push(Link { id, asked, said, is_deleted: false });
            self.tick();
        }
        chain
    }

    /// The response to a request, when its client has seen its end.
    async fn request(&self, proxy: &Proxy, mut body: Value, way: Way) -> Option<Value> {
        match way {
            Way::Whole => answer(proxy.post("/responses", &body)).await,
            Way::Streamed => {
                body["stream"] = json!(true);
                self.stream(proxy.post("/responses", &body), false).await
            }
            Way::Background => {
                body["background"] = json!(true);
                let queued = answer(proxy.post("/responses", &body)).await?;
                self.tick();
                let id = queued["id"].as_str().unwrap();
                self.begun(id, true);
                loop {
                    let now = answer(proxy.request(Method::GET, &format!("/responses/{id}"))).await?;
                    if !is_running(&now) {
                        return Some(now);
                    }
                }
            }
            Way::BackgroundStreamed => {
                body["stream"] = json!(true);
                body["background"] = json!(true);
                self.stream(proxy.post("/responses", &body), true).await
            }
        }
    }

    /// Reads a stream up to the response in its last event.
    async fn stream(&self, request: RequestBuilder, is_background: bool) -> Option<Value> {
        let mut response = sent(request).await?;
        let mut received = Vec::new();
        loop {
            received.extend(response.chunk().await.ok()??);
            while let Some(end) = received.windows(2).position(|pair| pair == b"\n\n") {
                let frame: Vec<u8> = received.drain(..end + 2).collect();
                let frame = Frame::parse(&frame[..end]).unwrap();
                self.tick();
                if frame.data.is_none() || frame.is_done() {
                    continue;
                }
                if let Some(response) = self.event(frame.json(), is_background) {
                    return Some(response);
                }
            }
        }
    }

    async fn socket(&self, socket: &mut Socket, body: &Value) -> Option<Value> {
        socket.create_if_there(body).await?;
        loop {
            let event = socket.next_if_there().await?;
            self.tick();
            if let Some(response) = self.event(event, false) {
                return Some(response);
            }
        }
    }

    /// The response in an event, if it is the last one.
    fn event(&self, mut event: Value, is_background: bool) -> Option<Value> {
        match event["type"].as_str() {
            Some("response.created") => {
                self.begun(event["response"]["id"].as_str().unwrap_or_default(), is_background);
                None
            }
            Some("response.completed") => Some(event["response"].take()),
            Some("error" | "response.failed" | "response.incomplete") | None => panic!("{event}"),
            Some(_) => None,
        }
    }

    async fn delete(&self, proxy: &Proxy, link: &mut Link) -> Option<()> {
        link.is_deleted = true;
        self.known.borrow_mut().perhaps_deleted.insert(link.id.clone());
        let gone = answer(proxy.request(Method::DELETE, &format!("/responses/{}", link.id))).await?;
        assert_eq!(gone["deleted"], true);
        self.tick();
        let mut known = self.known.borrow_mut();
        known.ended.remove(&link.id);
        known.news.push(link.id.clone());
        known.deleted.insert(link.id.clone());
        Some(())
    }

    /// Continues a chain after a restart: the model gets everything that was said in it.
    async fn go_on(&self, proxy: &Proxy, chain: &mut Vec<Link>, kill: u64) {
        let asked = format!("{} and on {kill}", chain.last().unwrap().id);
        let response = proxy.post_ok("/responses", &ask(&asked, chain)).await;
        let mut expected: Vec<&str> =
            chain.iter().flat_map(|link| [link.asked.as_str(), link.said.as_str()]).collect();
        expected.push(&asked);
        assert_eq!(given(proxy, &asked), expected);
        let (id, said) = self.ended(&response, &asked);
        chain.push(Link { id, asked, said, is_deleted: false });
    }

    /// Looks at what is stored after a restart. Returns how many responses were cut off.
    async fn check(&self, proxy: &Proxy, is_thorough: bool) -> usize {
        let names = fs::read_dir(self.data.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        assert!(!names.iter().any(|name| name.contains("corrupt")), "{names:?}");
        let token = fs::read_to_string(self.data.path().join("control-token")).unwrap();
        let control =
            |path: &str| proxy.bare(Method::GET, &proxy.root_url(path)).bearer_auth(token.trim()).send();
        let about: Value =
            serde_json::from_str(&control("/control/store").await.unwrap().text().await.unwrap()).unwrap();
        assert_eq!(about["state"], "on", "{about}");

        let mut known = self.known.take();
        let begun = std::mem::take(&mut known.begun);
        for (id, is_background) in &begun {
            let (status, now) = get(proxy, id).await;
            match status {
                200 => assert!(!is_running(&now), "{now}"),
                404 => assert!(!is_background, "{id} was queued and is lost"),
                other => panic!("{other}: {now}"),
            }
        }
        let mut looked_at = std::mem::take(&mut known.news);
        if is_thorough {
            looked_at = known.ended.keys().chain(&known.deleted).cloned().collect();
        }
        for id in &looked_at {
            let (status, now) = get(proxy, id).await;
            let Some(said) = known.ended.get(id) else {
                assert_eq!(status, 404, "{id} was deleted");
                continue;
            };
            if status == 404 && known.perhaps_deleted.contains(id) {
                continue;
            }
            assert_eq!(status, 200, "{id}, whose end a client has seen: {now}");
            assert_eq!((&now["status"], &Surface::Responses.text(&now)), (&json!("completed"), said));
        }
        if is_thorough {
            let export = control("/control/store/export").await.unwrap().text().await.unwrap();
            for line in export.lines() {
                let entry: Value = serde_json::from_str(line).unwrap();
                assert!(!is_running(&entry) && !is_running(&entry["response"]), "{entry}");
            }
        }
        self.known.replace(known);
        begun.len()
    }
}

fn ask(text: &str, chain: &[Link]) -> Value {
    json!({"model": MODEL, "input": text, "previous_response_id": chain.last().map(|link| &link.id)})
}

fn is_running(response: &Value) -> bool {
    response["status"] == "queued" || response["status"] == "in_progress"
}

/// The answer to a request, which has to be a 200, unless the proxy is gone.
async fn sent(request: RequestBuilder) -> Option<Response> {
    let response = request.send().await.ok()?;
    if response.status() == 200 {
        return Some(response);
    }
    let status = response.status();
    let text = response.text().await.ok()?;
    panic!("{status}: {text}")
}

async fn answer(request: RequestBuilder) -> Option<Value> {
    let text = sent(request).await?.text().await.ok()?;
    Some(serde_json::from_str(&text).unwrap())
}

async fn get(proxy: &Proxy, id: &str) -> (u16, Value) {
    let (status, answer) = e2e::sse::json(proxy.request(Method::GET, &format!("/responses/{id}"))).await;
    (status.as_u16(), answer)
}

/// The texts that Codex has got on the thread on which this was asked.
fn given(proxy: &Proxy, asked: &str) -> Vec<String> {
    let text = fs::read_to_string(proxy.codex_home().join("fake-codex.received.jsonl")).unwrap();
    let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let injected: Vec<&Value> = lines.iter().filter(|line| line["method"] == "thread/inject_items").collect();
    let texts = |line: &Value| -> Vec<String> {
        let items = line["params"]["items"].as_array().into_iter().flatten();
        items.filter_map(|item| item["content"][0]["text"].as_str().map(str::to_owned)).collect()
    };
    let is_it = |line: &&&Value| texts(line).iter().any(|text| text == asked);
    let thread =
        &injected.iter().find(is_it).unwrap_or_else(|| panic!("{asked} in {text}"))["params"]["threadId"];
    injected
        .iter()
        .filter(|line| line["params"]["threadId"] == *thread)
        .flat_map(|line| texts(line))
        .collect()
}
