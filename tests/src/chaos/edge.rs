//! Streams through a real reverse proxy for a long time. No stream may break or be delayed.

use std::fmt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::client::Request;
use super::system::{Door, Instance, Place, Signal, send};
use super::{DRAIN, STUCK};
use crate::edge::{Edge, Kind, NAME};
use crate::harness::fake_codex_path;
use crate::sse::Frame;

/// One of this many clients has a model that thinks longer than the usual timeouts of reverse proxies.
const SILENT: usize = 4;
const THINKS: Duration = Duration::from_secs(65);
/// The interval between two pieces of text from the model.
const BETWEEN: Duration = Duration::from_millis(100);
const PIECES: usize = 30;
/// The default interval of keepalive comments.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// The extra time that a busy machine may add to a gap.
const SLACK: Duration = Duration::from_secs(10);

/// The result.
#[derive(Clone, Copy, Debug)]
pub struct Soak {
    edge: Kind,
    clients: usize,
    time: Duration,
    streams: usize,
    /// The streams in which the model thought for a long time.
    silent: usize,
    bytes: usize,
    /// The longest gaps without data, while the model wrote and while it thought.
    gaps: (Duration, Duration),
    /// Resident memory of the proxy at the start and at the end, in KiB.
    resident: (u64, u64),
}

/// Runs this many clients for this long, through a reverse proxy with the project's own settings.
///
/// # Errors
/// The first stream that was refused, cut, wrong or delayed.
pub async fn soak(edge: Kind, clients: usize, time: Duration) -> Result<Soak, String> {
    let settings =
        [("PROXY_ALLOWED_HOSTS", NAME.to_owned()), ("PROXY_TRUSTED_PROXIES", "127.0.0.1".to_owned())];
    let place = Place::new(&settings);
    place.scenario(&scenario());
    let proxy = Instance::start(&place, &fake_codex_path()).await?;
    let port =
        proxy.door().base_url.trim_end_matches("/v1").rsplit(':').next().and_then(|port| port.parse().ok());
    let before = Edge::start(edge, port.ok_or("the proxy names no port")?).await;
    let door = Door { base_url: before.url("/v1"), key: proxy.door().key };
    let (resident, end) = (proxy.resident()?, Instant::now() + time);
    let mut asking = JoinSet::new();
    for number in 0..clients {
        asking.spawn(ask_until(end, number, door.clone(), before.client()));
    }
    let mut soak = Soak {
        edge,
        clients,
        time,
        streams: 0,
        silent: 0,
        bytes: 0,
        gaps: (Duration::ZERO, Duration::ZERO),
        resident: (resident, 0),
    };
    while let Some(ended) = asking.join_next().await {
        let streams = ended.map_err(|error| format!("a client ended badly: {error}"))?;
        for stream in streams.map_err(|reason| format!("{reason}\n{}", before.log()))? {
            soak.streams += 1;
            soak.bytes += stream.bytes;
            soak.silent += usize::from(stream.silent);
            let gap = if stream.silent { &mut soak.gaps.1 } else { &mut soak.gaps.0 };
            *gap = (*gap).max(stream.gap);
        }
    }
    soak.resident.1 = proxy.resident()?;
    send(proxy.pid(), Signal::Term);
    let status = proxy.exit(DRAIN).await?;
    if status.success() { Ok(soak) } else { Err(format!("the proxy ended with {status}")) }
}

fn pieces() -> Vec<String> {
    (0..PIECES).map(|number| format!(" {number} é 🦀\n")).collect()
}

fn scenario() -> Value {
    let mut speaks = vec![json!({"step": "text", "deltas": ["{{user}}"], "open": true})];
    let mut thinks = speaks.clone();
    thinks.push(json!({"step": "pause", "ms": u64::try_from(THINKS.as_millis()).unwrap_or(u64::MAX)}));
    for (number, piece) in pieces().iter().enumerate() {
        let text = json!({"step": "text", "deltas": [piece], "open": number + 1 < PIECES});
        speaks.extend([json!({"step": "pause", "ms": 100}), text.clone()]);
        thinks.push(text);
    }
    json!({"scenarios": {"default": speaks, "silent": thinks}})
}

struct Stream {
    silent: bool,
    bytes: usize,
    gap: Duration,
}

async fn ask_until(
    end: Instant,
    number: usize,
    door: Door,
    http: reqwest::Client,
) -> Result<Vec<Stream>, String> {
    let (silent, mut streams) = (number % SILENT == SILENT - 1, Vec::new());
    while Instant::now() < end {
        let marker = if silent { "[[scenario:silent]] " } else { "" };
        let ask = format!("{marker}<client {number} request {}>", streams.len());
        let chat = number.is_multiple_of(2) != streams.len().is_multiple_of(2);
        let stream = read(&door, &http, chat, &ask, silent).await;
        streams.push(stream.map_err(|reason| format!("{ask}: {reason}"))?);
    }
    Ok(streams)
}

/// Reads one stream as it comes, and then what it says.
async fn read(
    door: &Door,
    http: &reqwest::Client,
    chat: bool,
    ask: &str,
    silent: bool,
) -> Result<Stream, String> {
    let expected = ask.to_owned() + &pieces().concat();
    let request = Request { door, chat, ask, expected: &expected };
    let mut response = request.send(http, true).await.map_err(|error| format!("{error:?}"))?;
    if response.status() != 200 {
        return Err(format!("{}: {:?}", response.status(), response.text().await));
    }
    let (mut bytes, mut gap, mut last) = (Vec::new(), Duration::ZERO, Instant::now());
    loop {
        let chunk = tokio::time::timeout(STUCK, response.chunk()).await;
        let chunk = chunk.map_err(|_| format!("nothing came for {STUCK:?}"))?;
        gap = gap.max(last.elapsed());
        last = Instant::now();
        match chunk.map_err(|error| format!("the stream broke after {} bytes: {error:?}", bytes.len()))? {
            Some(chunk) => bytes.extend_from_slice(&chunk),
            None => break,
        }
    }
    let said = said(&bytes, chat)?;
    if said != expected {
        return Err(format!("the stream says {said:?}, not {expected:?}"));
    }
    let most = if silent { KEEPALIVE } else { BETWEEN } + SLACK;
    if gap > most {
        return Err(format!("nothing came for {gap:?}, so it was held back on the way"));
    }
    Ok(Stream { silent, bytes: bytes.len(), gap })
}

fn said(bytes: &[u8], chat: bool) -> Result<String, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let frames: Vec<&str> =
        text.strip_suffix("\n\n").ok_or("it ends within a frame")?.split("\n\n").collect();
    if frames.last() != Some(&"data: [DONE]") {
        return Err(format!("it ends with {:?}", frames.last()));
    }
    let mut said = String::new();
    for frame in &frames[..frames.len() - 1] {
        let frame = Frame::parse(frame.as_bytes())?;
        if frame.data.is_none() {
            continue;
        }
        let data = frame.json();
        let delta = if chat {
            &data["choices"][0]["delta"]["content"]
        } else if data["type"] == "response.output_text.delta" {
            &data["delta"]
        } else {
            continue;
        };
        said += delta.as_str().unwrap_or_default();
    }
    Ok(said)
}

impl fmt::Display for Soak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} clients through {} for {} s: {} streams, none broken, {} of them with {} s of silence; {} KiB; longest \
             gap {} ms while the model spoke, {} ms while it thought; RSS {} to {} KiB",
            self.clients,
            self.edge,
            self.time.as_secs(),
            self.streams,
            self.silent,
            THINKS.as_secs(),
            self.bytes / 1024,
            self.gaps.0.as_millis(),
            self.gaps.1.as_millis(),
            self.resident.0,
            self.resident.1,
        )
    }
}
