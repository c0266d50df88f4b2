//! A client that sends requests, reads the answers strictly and reports them.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use super::STUCK;
use super::stage::{Moment, Outcome, Stage};
use super::system::{Door, Instance};
use crate::fake_openai::{FakeOpenAi, Script};
use crate::sse::{self, Frame};

/// Where answers come from.
#[derive(Clone, Debug)]
pub(super) enum Answers {
    /// The fake Codex, which follows a script.
    Echo,
    /// The real Codex, which uses this upstream.
    Upstream(Arc<FakeOpenAi>),
}

const PIECES: [&str; 10] =
    [" one", " zwei é", " 🦀", " \"quoted\"", " data: x", " [DONE]", " 七", " 8\n", " 9", " end."];

/// The fake Codex's part: an answer in pieces that takes some tens of milliseconds.
pub(super) fn scenario() -> Value {
    let mut steps = vec![json!({"step": "text", "deltas": ["#", "{{user}}"], "open": true})];
    for (number, piece) in PIECES.iter().enumerate() {
        steps.push(json!({"step": "pause", "ms": 2 + number % 3}));
        steps.push(json!({"step": "text", "deltas": [piece], "open": number + 1 < PIECES.len()}));
    }
    json!({"scenarios": {"default": steps}})
}

/// The same answer, but a turn takes 0.1 s, so that many clients wait only for free places.
pub(super) fn slow_scenario() -> Value {
    let deltas: Vec<&str> = ["#", "{{user}}"].into_iter().chain(PIECES).collect();
    json!({"scenarios": {"default": [
        {"step": "text", "deltas": deltas[..2], "open": true}, {"step": "pause", "ms": 100},
        {"step": "text", "deltas": deltas[2..]},
    ]}})
}

impl Answers {
    /// Prepares the answer to `ask`, and returns the expected text.
    pub(super) fn expect(&self, ask: &str) -> String {
        let pieces: Vec<&str> = ["#", ask].into_iter().chain(PIECES).collect();
        if let Self::Upstream(upstream) = self {
            upstream.on_marker(ask, [Script::new().chunk_sizes(&[97, 13]).message(&pieces)]);
        }
        pieces.concat()
    }
}

/// One of the clients that send requests all the time.
#[derive(Debug)]
pub(super) struct Client {
    number: usize,
    stage: Arc<Stage>,
    answers: Answers,
    http: reqwest::Client,
}

impl Client {
    pub(super) fn new(number: usize, stage: Arc<Stage>, answers: Answers) -> Self {
        Self { number, stage, answers, http: sse::client() }
    }

    /// Sends requests until it has to stop.
    pub(super) async fn work(self) {
        let mut count = 0;
        while let Some(door) = self.stage.door().await {
            count += 1;
            let since = self.stage.now();
            let ask = format!("<client {} request {count}>", self.number);
            let expected = self.answers.expect(&ask);
            let chat = self.number.is_multiple_of(2);
            let streamed = !(self.number / 2 + count).is_multiple_of(3);
            let request = Request { door: &door, chat, ask: &ask, expected: &expected };
            let on_frame = |_: &str| self.stage.frame(self.number);
            let answered = tokio::time::timeout(STUCK, async {
                if streamed {
                    request.stream(&self.http, &self.stage, on_frame).await
                } else {
                    request.whole(&self.http).await
                }
            });
            let judged = match answered.await {
                Err(_) => Err(format!("neither answer nor error within {STUCK:?}")),
                Ok(outcome) => outcome.and_then(|outcome| self.stage.judge(since, outcome)),
            };
            if let Err(reason) = judged {
                let kind = if streamed { "streamed" } else { "whole" };
                let surface = if chat { "chat" } else { "responses" };
                self.stage.fail(format!("{ask} ({surface}, {kind}): {reason}"));
                return;
            }
        }
    }
}

/// Sends a request again until there is an answer.
pub(super) async fn probe(proxy: &Instance, answers: &Answers, limit: Duration) -> Result<(), String> {
    let http = sse::client();
    let door = proxy.door();
    let mut last = String::new();
    let asking = async {
        for count in 0.. {
            let ask = format!("<probe {} {count}>", proxy.next_probe());
            let expected = answers.expect(&ask);
            let request = Request { door: &door, chat: true, ask: &ask, expected: &expected };
            match request.whole(&http).await? {
                Outcome::Complete => return Ok(()),
                Outcome::Told(error) => last = error,
                Outcome::Cut { reason, .. } => return Err(reason),
            }
        }
        Ok(())
    };
    let answered = tokio::time::timeout(limit, asking).await;
    answered.unwrap_or_else(|_| Err(format!("last told: {last:?}")))
}

/// One request.
pub(super) struct Request<'a> {
    pub(super) door: &'a Door,
    pub(super) chat: bool,
    pub(super) ask: &'a str,
    pub(super) expected: &'a str,
}

impl Request<'_> {
    pub(super) async fn send(&self, http: &reqwest::Client, stream: bool) -> reqwest::Result<Response> {
        let (path, body) = if self.chat {
            let messages = json!([{"role": "user", "content": self.ask}]);
            ("/chat/completions", json!({"model": "gpt-6.1-sol", "messages": messages, "stream": stream}))
        } else {
            ("/responses", json!({"model": "gpt-6.1-sol", "input": self.ask, "stream": stream}))
        };
        let request = http.post(format!("{}{path}", self.door.base_url)).bearer_auth(self.door.key);
        request.header("content-type", "application/json").body(body.to_string()).send().await
    }

    /// Asks for a whole answer.
    pub(super) async fn whole(&self, http: &reqwest::Client) -> Result<Outcome, String> {
        let cut = |error: reqwest::Error| Outcome::Cut { reason: format!("{error:?}"), begun: None };
        let response = match self.send(http, false).await {
            Ok(response) => response,
            Err(error) => return Ok(cut(error)),
        };
        let status = response.status();
        let text = match response.text().await {
            Ok(text) => text,
            Err(error) => return Ok(cut(error)),
        };
        let body = serde_json::from_str(&text).map_err(|error| format!("{status}: {error} in {text:?}"))?;
        if status != StatusCode::OK {
            return told(status, &body);
        }
        let said = if self.chat {
            body["choices"][0]["message"]["content"].as_str()
        } else {
            body["output"][0]["content"][0]["text"].as_str()
        };
        if said != Some(self.expected) {
            return Err(format!("the answer is {said:?}, not {:?}", self.expected));
        }
        Ok(Outcome::Complete)
    }

    /// Asks for a stream and reads it to its end; `on_frame` gets each frame, with the text so far.
    pub(super) async fn stream(
        &self,
        http: &reqwest::Client,
        stage: &Stage,
        mut on_frame: impl FnMut(&str),
    ) -> Result<Outcome, String> {
        let response = match self.send(http, true).await {
            Ok(response) => response,
            Err(error) => return Ok(Outcome::Cut { reason: format!("{error:?}"), begun: None }),
        };
        let status = response.status();
        if status != StatusCode::OK {
            return match response.text().await {
                Ok(text) => {
                    let body = serde_json::from_str(&text)
                        .map_err(|error| format!("{status}: {error} in {text:?}"))?;
                    told(status, &body)
                }
                Err(error) => Ok(Outcome::Cut { reason: format!("{error:?}"), begun: None }),
            };
        }
        let mut reader = Reader {
            response,
            buffer: Vec::new(),
            said: String::new(),
            error: None,
            done: false,
            ended: false,
        };
        let mut begun: Option<Moment> = None;
        loop {
            match reader.next(self.chat).await? {
                Read::Frame => {
                    begun.get_or_insert_with(|| stage.now());
                    on_frame(&reader.said);
                }
                Read::Broken(reason) => {
                    return match self.expected.starts_with(&reader.said) {
                        true => Ok(Outcome::Cut { reason, begun }),
                        false => Err(format!("{:?} is no part of {:?}", reader.said, self.expected)),
                    };
                }
                Read::End => return reader.outcome(self.expected),
            }
        }
    }
}

/// Parses an OpenAI error body.
fn told(status: StatusCode, body: &Value) -> Result<Outcome, String> {
    let error = &body["error"];
    let complete = ["message", "type", "code"].iter().all(|field| error[*field].is_string());
    if !complete || error.get("param").is_none() {
        return Err(format!("{status} with a body that is no OpenAI error: {body}"));
    }
    Ok(Outcome::Told(format!("{status} {}: {}", error["code"], error["message"])))
}

struct Reader {
    response: Response,
    buffer: Vec<u8>,
    said: String,
    error: Option<String>,
    done: bool,
    /// Whether the last event of the surface was received.
    ended: bool,
}

enum Read {
    Frame,
    Broken(String),
    End,
}

impl Reader {
    async fn next(&mut self, chat: bool) -> Result<Read, String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let frame = Frame::parse(&self.buffer[..end])?;
                self.buffer.drain(..end + 2);
                if frame.data.is_none() {
                    continue;
                }
                self.take(&frame, chat)?;
                return Ok(Read::Frame);
            }
            match self.response.chunk().await {
                Ok(Some(chunk)) => self.buffer.extend_from_slice(&chunk),
                Ok(None) => return Ok(Read::End),
                Err(error) => return Ok(Read::Broken(format!("{error:?}"))),
            }
        }
    }

    fn take(&mut self, frame: &Frame, chat: bool) -> Result<(), String> {
        if self.done {
            return Err(format!("{frame:?} came after [DONE]"));
        }
        if frame.is_done() {
            self.done = true;
            return Ok(());
        }
        let data = frame.json();
        if self.error.is_some() && data["type"] != "response.failed" {
            return Err(format!("{data} came after an error"));
        }
        if let Some(error) = data.get("error").filter(|error| error.is_object()) {
            if !error["message"].is_string() || !error["code"].is_string() {
                return Err(format!("no OpenAI error: {data}"));
            }
            self.error.get_or_insert_with(|| error.to_string());
            self.ended = true;
            return Ok(());
        }
        if chat {
            let choice = &data["choices"][0];
            self.said += choice["delta"]["content"].as_str().unwrap_or_default();
            self.ended |= choice["finish_reason"] == "stop";
        } else {
            match data["type"].as_str() {
                Some("response.output_text.delta") => self.said += data["delta"].as_str().unwrap_or_default(),
                Some("error") => self.error = Some(data.to_string()),
                Some("response.completed" | "response.failed") => self.ended = true,
                _ => {}
            }
        }
        Ok(())
    }

    fn outcome(self, expected: &str) -> Result<Outcome, String> {
        if !self.buffer.is_empty() || !self.done || !self.ended {
            return Err(format!(
                "the stream ended properly, but without its last events, at {:?}",
                self.said
            ));
        }
        match self.error {
            Some(error) if expected.starts_with(&self.said) => Ok(Outcome::Told(error)),
            None if self.said == expected => Ok(Outcome::Complete),
            Some(_) | None => Err(format!("the stream says {:?}, not {expected:?}", self.said)),
        }
    }
}
