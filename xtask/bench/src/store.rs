//! Stored responses: what storing costs a request, how long one takes to read among many, and how long it takes until
//! Codex has what a request continues that is at the end of a long chain.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use http::StatusCode;
use proxy_core::response_store::{Config, ResponseStore, Saved, Status};
use proxy_core::secret::KeyId;
use serde_json::{Value, json};

use crate::Options;
use crate::client::Client;
use crate::os;
use crate::proxy::{Place, Proxy};
use crate::report::{Report, Times, millis};

const SECTION: &str = "stored responses, on the fake Codex";
/// The number of first requests that are not counted.
const WARM_UP: usize = 20;
/// One request in the time of another is too short for the clock of the processor time.
const REQUESTS: usize = 5;
const READ: usize = 2000;
const CHAIN: usize = 500;
const CONTINUED: usize = 100;

pub(crate) async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    write_cost(options, report).await?;
    let dir = tempfile::tempdir()?;
    let place = Place::below(dir.path());
    fs::create_dir_all(&place.codex_home)?;
    fs::write(place.codex_home.join("fake-codex.json"), json!({"times": true}).to_string())?;
    let template = template(options, &place).await?;
    let ids = fill(options, &place, &template, report).await?;

    let proxy = Proxy::start(&options.proxy, &options.fake_codex, &place).await?;
    report.value(SECTION, "start until /readyz says 200", "ms", millis(proxy.until_ready));
    let mut client = proxy.connect().await?;
    read(&mut client, &ids, report).await?;
    go_on(&mut client, &ids, &place.codex_home, report).await?;
    proxy.stop().await
}

/// Two proxies, one of which stores, get the same requests in turns.
async fn write_cost(options: &Options, report: &mut Report) -> Result<()> {
    let dirs = [tempfile::tempdir()?, tempfile::tempdir()?];
    let mut sides = Vec::new();
    for (dir, store) in dirs.iter().zip(["on", "off"]) {
        let (place, settings) = (Place::below(dir.path()), [("PROXY_STORE", store)]);
        let proxy = Proxy::start_with(&options.proxy, &options.fake_codex, &place, &settings).await?;
        let client = proxy.connect().await?;
        sides.push((proxy, client, Times::default()));
    }
    for (_, client, _) in &mut sides {
        for _ in 0..WARM_UP {
            client.respond().await?;
        }
    }
    let requests = options.requests * REQUESTS;
    let mut cpu = Vec::new();
    for (proxy, ..) in &sides {
        cpu.push(os::cpu_time(proxy.pid)?);
    }
    for _ in 0..requests {
        for (_, client, times) in &mut sides {
            times.push(client.respond().await?.total);
        }
        sides.reverse();
    }
    if requests % 2 == 1 {
        sides.reverse();
    }
    for ((proxy, _, times), (cpu, name)) in sides.iter().zip(cpu.iter().zip(["on", "off"])) {
        let cpu = millis(os::cpu_time(proxy.pid)? - *cpu) / requests as f64;
        report.times(SECTION, format!("a streamed request, PROXY_STORE={name}"), times);
        report.value(SECTION, format!("CPU of the proxy, a request, PROXY_STORE={name}"), "ms", cpu);
    }
    if let [(_, _, on), (_, _, off)] = sides.as_slice() {
        report.added(SECTION, "added to a request by storing", on, off);
    }
    for (proxy, ..) in sides {
        proxy.stop().await?;
    }
    Ok(())
}

/// A response as the proxy stores it, and the key that it belongs to.
struct Template {
    owner: KeyId,
    object: Value,
    input: Value,
}

async fn template(options: &Options, place: &Place) -> Result<Template> {
    let proxy = Proxy::start(&options.proxy, &options.fake_codex, place).await?;
    let mut client = proxy.connect().await?;
    let asked = "What is the height of the tower? ".repeat(8);
    client.post("/v1/responses", &json!({"model": "codex-5", "input": asked})).await?;
    proxy.stop().await?;
    let store = open(place);
    let found = Arc::new(Mutex::new(None));
    let last = found.clone();
    let keep = move |entry| *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(entry);
    store.export(keep).await?;
    store.close().await;
    let entry = found.lock().unwrap_or_else(PoisonError::into_inner).take();
    let mut entry = entry.context("the proxy has stored nothing")?;
    let owner = KeyId::parse(entry["key_id"].as_str().unwrap_or_default());
    let owner = owner.context("what is stored has no key")?;
    Ok(Template { owner, object: entry["response"].take(), input: entry["input"][0].take() })
}

fn open(place: &Place) -> ResponseStore {
    ResponseStore::open(Config { enabled: true, max_age: None, max_bytes: None }, &place.data_dir)
}

/// Stores many responses, the last ones as one chain. Returns their ids.
async fn fill(
    options: &Options,
    place: &Place,
    template: &Template,
    report: &mut Report,
) -> Result<Vec<String>> {
    let store = open(place);
    let count = options.stored.max(CHAIN);
    let mut ids = Vec::with_capacity(count);
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let (begin, random) = (Instant::now(), RandomState::new());
    for number in 0..count {
        let id = format!("resp_{:016x}{number:016x}", random.hash_one(number));
        let parent = (number > count - CHAIN).then(|| ids.last().cloned()).flatten();
        store.save(saved(template, &id, parent, now)).await?;
        ids.push(id);
    }
    let each = begin.elapsed() / u32::try_from(count)?;
    report.value(SECTION, "responses", "", count as f64);
    report.value(SECTION, "to store one, without a request", "ms", millis(each));
    report.value(SECTION, "their size", "MiB", store.stats().await?.bytes as f64 / f64::from(1 << 20));
    store.close().await;
    Ok(ids)
}

fn saved(template: &Template, id: &str, parent: Option<String>, now: u64) -> Saved {
    let (mut object, mut input) = (template.object.clone(), template.input.clone());
    object["id"] = json!(id);
    object["created_at"] = json!(now);
    input["id"] = json!(format!("in_{id}"));
    for (number, item) in object["output"].as_array_mut().into_iter().flatten().enumerate() {
        item["id"] = json!(format!("out{number}_{id}"));
    }
    Saved {
        id: id.to_owned(),
        owner: template.owner.clone(),
        created_at: now,
        status: Status::Completed,
        background: false,
        stream: false,
        parent,
        conversation: None,
        object,
        input: vec![input],
    }
}

async fn read(client: &mut Client, ids: &[String], report: &mut Report) -> Result<()> {
    let (mut times, random) = (Times::default(), RandomState::new());
    for number in 0..READ {
        let id = &ids[random.hash_one(number) as usize % ids.len()];
        let begin = Instant::now();
        let status = client.status(&format!("/v1/responses/{id}")).await?;
        times.push(begin.elapsed());
        if status != StatusCode::OK {
            bail!("{id} was answered with {status}");
        }
    }
    report.times(SECTION, "GET /v1/responses/{id}, a random one", &times);
    Ok(())
}

/// Continues a chain, again and again from the same response, so that no thread of Codex has it already; then each from
/// the one before, so that one has.
async fn go_on(client: &mut Client, ids: &[String], home: &Path, report: &mut Report) -> Result<()> {
    let last = ids.last().context("nothing is stored")?;
    for is_warm in [false, true] {
        let (mut times, mut previous) = (Times::default(), json!(last));
        for number in 0..CONTINUED {
            let input = format!("Branch {number}, {is_warm}.");
            let body = json!({"model": "codex-5", "input": input, "previous_response_id": previous});
            let begin = SystemTime::now().duration_since(UNIX_EPOCH)?;
            let answer = client.post("/v1/responses", &body).await?;
            if is_warm {
                previous = answer["id"].clone();
            }
            // The first one has no thread that it could go on with.
            if !is_warm || number > 0 {
                times.push(started(home)?.saturating_sub(begin));
            }
        }
        let how = if is_warm { "on its thread" } else { "on a new thread" };
        report.times(SECTION, format!("a chain of {CHAIN} goes on {how}: until Codex has its turn"), &times);
    }
    Ok(())
}

/// When Codex got its last turn, since 1970.
fn started(home: &Path) -> Result<Duration> {
    let path = home.join("fake-codex.times");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let last = text.lines().rev().find_map(|line| line.strip_suffix(" turn/start"));
    let nanos = last.and_then(|nanos| nanos.parse().ok()).context("Codex got no turn")?;
    Ok(Duration::from_nanos(nanos))
}
