//! The app-server's requests, and the loop that gives each running turn its next step.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::process;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::items::raw_item;
use super::output::{Output, now_ms};
use super::scenario::{Scenario, Verb, codex_home};
use super::thread::{Thread, model_list, settings};
use super::turn::{Move, Turn};

/// The state of one app-server process.
pub(super) struct Server<W: Write> {
    scenario: Scenario,
    run: usize,
    out: Output<W>,
    recording: Option<File>,
    times: Option<File>,
    initialized: bool,
    originator: String,
    threads: HashMap<String, Thread>,
    /// The turns, in the order of their start, in which they make their moves.
    turns: BTreeMap<u64, Turn>,
    requests: HashMap<u64, String>,
    held: VecDeque<Value>,
    /// How many requests of a method were refused as too many.
    refused: HashMap<String, usize>,
    serial: u64,
}

/// The result of handling a request.
enum Reply {
    Result(Value),
    Error(String),
    /// The answer was already written.
    Written,
}

impl<W: Write> Server<W> {
    pub(super) fn new(scenario: Scenario, run: usize, sink: W) -> Self {
        Self {
            scenario,
            run,
            out: Output::new(sink),
            recording: None,
            times: None,
            initialized: false,
            originator: String::new(),
            threads: HashMap::new(),
            turns: BTreeMap::new(),
            requests: HashMap::new(),
            held: VecDeque::new(),
            refused: HashMap::new(),
            serial: 0,
        }
    }

    /// Serves until the input ends or a scenario ends the process, and returns the exit code.
    pub(super) fn serve(mut self, lines: &Receiver<String>) -> io::Result<i32> {
        if self.scenario.record
            && let Some(home) = codex_home()
        {
            let path = home.join("fake-codex.received.jsonl");
            self.recording = Some(OpenOptions::new().create(true).append(true).open(path)?);
        }
        if self.scenario.times
            && let Some(home) = codex_home()
        {
            let path = home.join("fake-codex.times");
            self.times = Some(OpenOptions::new().create(true).append(true).open(path)?);
        }
        loop {
            loop {
                match lines.try_recv() {
                    Ok(line) => {
                        if let Some(code) = self.receive(&line)? {
                            return self.end(code);
                        }
                    }
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return self.end(0),
                }
            }
            let wake = match self.round()? {
                Round::Ran => continue,
                Round::Idle(wake) => wake,
                Round::Exit(code) => return self.end(code),
            };
            self.out.flush()?;
            let received = match wake {
                None => lines.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => lines.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            match received {
                Ok(line) => {
                    if let Some(code) = self.receive(&line)? {
                        return self.end(code);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.end(0),
            }
        }
    }

    fn end(mut self, code: i32) -> io::Result<i32> {
        self.out.flush()?;
        Ok(code)
    }

    /// Makes one move of each running turn.
    fn round(&mut self) -> io::Result<Round> {
        let mut ran = false;
        let mut wake: Option<Instant> = None;
        let mut ended = Vec::new();
        let mut at_barrier = Vec::new();
        let mut wanted = usize::MAX;
        for (serial, turn) in &mut self.turns {
            match turn.advance(&mut self.out, &mut self.requests)? {
                Move::Ran => ran = true,
                Move::Blocked => {}
                Move::Sleeps(until) => wake = Some(wake.map_or(until, |w| w.min(until))),
                Move::AtBarrier(turns) => {
                    at_barrier.push(*serial);
                    wanted = wanted.min(turns);
                }
                Move::Exit(code) => return Ok(Round::Exit(code)),
                Move::Freeze => {
                    self.out.flush()?;
                    super::freeze();
                }
                Move::Ended => ended.push(*serial),
            }
        }
        if at_barrier.len() >= wanted {
            ran = true;
            for serial in at_barrier {
                if let Some(turn) = self.turns.get_mut(&serial) {
                    turn.pass_barrier();
                }
            }
        }
        if !ended.is_empty() {
            ran = true;
            self.turns.retain(|serial, _| !ended.contains(serial));
            self.release_held()?;
        }
        if self.out.is_large() {
            self.out.flush()?;
        }
        Ok(if ran { Round::Ran } else { Round::Idle(wake) })
    }

    /// Takes one line; a code ends the process.
    fn receive(&mut self, line: &str) -> io::Result<Option<i32>> {
        let came = self.times.is_some().then(SystemTime::now);
        if let Some(recording) = &mut self.recording {
            writeln!(recording, "{line}")?;
        }
        let Ok(message) = serde_json::from_str::<Value>(line) else { return Ok(None) };
        let Some(method) = message["method"].as_str() else {
            self.tool_answer(&message)?;
            return Ok(None);
        };
        if let (Some(times), Some(came)) = (&mut self.times, came) {
            let since = came.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
            // One write, so that a reader sees whole lines.
            times.write_all(format!("{since} {method}\n").as_bytes())?;
        }
        let Some(id) = message.get("id") else { return Ok(None) };
        let mut late = false;
        match self.scenario.fault(method, self.run).cloned() {
            None => {}
            Some(Verb::Exit { code }) => return Ok(Some(code)),
            Some(Verb::Hang) => return Ok(None),
            Some(Verb::Freeze) => {
                self.out.flush()?;
                super::freeze();
            }
            Some(Verb::Error { code, message }) => {
                let error = json!({"error": {"code": code, "message": message}, "id": id});
                self.out.message(&error)?;
                return Ok(None);
            }
            Some(Verb::Busy { times }) => {
                let refused = self.refused.entry(method.to_owned()).or_default();
                if *refused < times {
                    *refused += 1;
                    let error = json!({"code": -32001, "message": "Server overloaded; retry later."});
                    self.out.message(&json!({"error": error, "id": id}))?;
                    return Ok(None);
                }
            }
            Some(Verb::Garbage { line }) => self.out.line(&line)?,
            Some(Verb::StderrFlood { bytes }) => super::stderr_flood(bytes)?,
            Some(Verb::Late) => late = true,
        }
        self.request(method, id, &message["params"], late)?;
        if !late {
            self.release_held()?;
        }
        Ok(None)
    }

    fn request(&mut self, method: &str, id: &Value, params: &Value, late: bool) -> io::Result<()> {
        let reply = if method == "initialize" {
            self.initialize(params)
        } else if !self.initialized {
            Reply::Error("Not initialized".to_owned())
        } else {
            match method {
                "account/read" => Reply::Result(self.scenario.account.clone()),
                "account/rateLimits/read" => self.rate_limits(),
                "account/login/start" => self.login_start(params),
                "account/login/cancel" => Reply::Result(json!({"status": "canceled"})),
                "account/logout" => Reply::Result(json!({})),
                "model/list" => Reply::Result(model_list()),
                "thread/start" => return self.thread_start(id, params, late),
                "thread/inject_items" => return self.inject(id, params, late),
                "turn/start" => return self.turn_start(id, params, late),
                "turn/interrupt" => self.interrupt(id, params)?,
                "thread/unsubscribe" => self.unsubscribe(params),
                other => Reply::Error(format!(
                    "Invalid request: unknown variant `{other}`, expected one of `initialize`, \
                     `thread/start`, `thread/unsubscribe`, `thread/inject_items`, `turn/start`, \
                     `turn/interrupt`, `model/list`, `account/read`, `account/rateLimits/read`, \
                     `account/login/start`, `account/login/cancel`, `account/logout`"
                )),
            }
        };
        let first = method == "initialize" && matches!(reply, Reply::Result(_));
        self.reply(id, reply, late)?;
        if first {
            let params = json!({
                "status": "disabled", "serverName": "fake",
                "installationId": "00000000-0000-4000-8000-000000000000", "environmentId": null,
            });
            self.out.notify("remoteControl/status/changed", &params)?;
        }
        Ok(())
    }

    fn reply(&mut self, id: &Value, reply: Reply, late: bool) -> io::Result<()> {
        let message = match reply {
            Reply::Written => return Ok(()),
            Reply::Result(result) => json!({"id": id, "result": result}),
            Reply::Error(message) => json!({"error": {"code": -32600, "message": message}, "id": id}),
        };
        if late {
            self.held.push_back(message);
            return Ok(());
        }
        self.out.message(&message)
    }

    fn release_held(&mut self) -> io::Result<()> {
        while let Some(message) = self.held.pop_front() {
            self.out.message(&message)?;
        }
        Ok(())
    }

    fn initialize(&mut self, params: &Value) -> Reply {
        if self.initialized {
            return Reply::Error("Already initialized".to_owned());
        }
        let client = &params["clientInfo"];
        let (Some(name), Some(version)) = (client["name"].as_str(), client["version"].as_str()) else {
            return Reply::Error("Invalid request: missing field `clientInfo`".to_owned());
        };
        self.initialized = true;
        name.clone_into(&mut self.originator);
        let methods = params["capabilities"]["optOutNotificationMethods"].as_array();
        let methods = methods.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        self.out.opt_out(methods);
        Reply::Result(json!({
            "userAgent": format!(
                "{name}/{} (Debian 12.0.0; x86_64) xterm ({name}; {version})", self.scenario.version
            ),
            "codexHome": codex_home(), "platformFamily": std::env::consts::FAMILY,
            "platformOs": std::env::consts::OS,
        }))
    }

    fn rate_limits(&self) -> Reply {
        if self.scenario.rate_limits.is_null() {
            return Reply::Error("codex account authentication required to read rate limits".to_owned());
        }
        Reply::Result(self.scenario.rate_limits.clone())
    }

    fn login_start(&mut self, params: &Value) -> Reply {
        let id = self.uuid();
        match params["type"].as_str() {
            Some("chatgpt") => Reply::Result(json!({
                "type": "chatgpt", "loginId": id,
                "authUrl": "https://auth.example/oauth/authorize?response_type=code&redirect_uri=http%3A%2F%2Flocalhost%3A1455%2Fauth%2Fcallback&state=fake-state",
            })),
            Some("chatgptDeviceCode") => Reply::Result(json!({
                "type": "chatgptDeviceCode", "loginId": id,
                "verificationUrl": "https://auth.example/codex/device", "userCode": "FAKE-CODE1",
            })),
            other => Reply::Error(format!("Invalid request: unknown variant `{}`", other.unwrap_or(""))),
        }
    }

    fn thread_start(&mut self, id: &Value, params: &Value, late: bool) -> io::Result<()> {
        let model = params["model"].as_str().unwrap_or("gpt-6.1-sol").to_owned();
        let thread_id = self.uuid();
        let now = now_ms() / 1000;
        let cwd = params["cwd"].as_str().map_or_else(
            || std::env::current_dir().map(|d| d.display().to_string()).unwrap_or_default(),
            str::to_owned,
        );
        let thread = json!({
            "id": thread_id, "environments": [], "extra": null, "sessionId": thread_id,
            "forkedFromId": null, "attachedToThreadId": null, "parentThreadId": null, "preview": "",
            "ephemeral": params["ephemeral"].as_bool().unwrap_or(false), "section": null,
            "sectionEnteredAt": null, "projectId": null, "historyMode": "paginated",
            "modelProvider": "mock", "model": model, "reasoningEffort": null, "createdAt": now,
            "updatedAt": now, "recencyAt": now, "status": {"type": "idle"}, "path": null, "cwd": cwd,
            "cliVersion": self.scenario.version, "originator": self.originator, "source": "vscode",
            "canAcceptDirectInput": true, "threadSource": null, "agentNickname": null,
            "agentRole": null, "gitInfo": null, "name": null, "daybreakEnabled": null, "turns": [],
        });
        let result = json!({
            "thread": thread, "model": model, "modelProvider": "mock", "serviceTier": null,
            "disabledPluginIds": [], "cwd": cwd, "runtimeWorkspaceRoots": [], "instructionSources": [],
            "approvalPolicy": params.get("approvalPolicy").cloned().unwrap_or_else(|| json!("never")),
            "approvalsReviewer": "user", "sandbox": {"type": "readOnly", "networkAccess": false},
            "activePermissionProfile": null, "reasoningEffort": null,
            "multiAgentMode": "explicitRequestOnly",
        });
        self.threads.insert(
            thread_id,
            Thread {
                model,
                tools: params["dynamicTools"].as_array().cloned().unwrap_or_default(),
                raw_events: params["experimentalRawEvents"].as_bool().unwrap_or(false),
                user_text: String::new(),
                outputs: Vec::new(),
            },
        );
        self.reply(id, Reply::Result(result), late)?;
        self.out.notify("thread/started", &json!({"thread": thread}))
    }

    fn inject(&mut self, id: &Value, params: &Value, late: bool) -> io::Result<()> {
        let thread_id = params["threadId"].as_str().unwrap_or_default();
        let Some(thread) = self.threads.get_mut(thread_id) else {
            return self.reply(id, no_thread(thread_id), late);
        };
        let items = params["items"].as_array().cloned().unwrap_or_default();
        for item in &items {
            thread.take(item);
        }
        let raw = thread.raw_events;
        let tools = thread.additional_tools();
        self.reply(id, Reply::Result(json!({})), late)?;
        if !raw {
            return Ok(());
        }
        for mut item in tools.into_iter().chain(items) {
            let kind = if item["type"] == "additional_tools" { "at" } else { "msg" };
            let item_id = format!("{kind}_{}", self.uuid());
            if let Some(fields) = item.as_object_mut().filter(|fields| !fields.contains_key("id")) {
                fields.shift_insert(1.min(fields.len()), "id".to_owned(), json!(item_id));
            }
            let params = raw_item(thread_id, "auto-compact-0", item);
            self.out.notify("rawResponseItem/completed", &params)?;
        }
        Ok(())
    }

    fn turn_start(&mut self, id: &Value, params: &Value, late: bool) -> io::Result<()> {
        let thread_id = params["threadId"].as_str().unwrap_or_default().to_owned();
        let Some(thread) = self.threads.get_mut(&thread_id) else {
            return self.reply(id, no_thread(&thread_id), late);
        };
        let input: Vec<_> = params["input"].as_array().cloned().unwrap_or_default();
        let typed: Vec<_> = input.iter().filter_map(|part| part["text"].as_str()).collect();
        if !input.is_empty() {
            thread.user_text = typed.join("\n");
            thread.outputs.clear();
        }
        let steps = thread.steps(&self.scenario, &params["outputSchema"]);
        let (user_text, raw, model) = (thread.user_text.clone(), thread.raw_events, thread.model.clone());
        let turn_id = self.uuid();
        let turn = |started: Option<u64>| {
            json!({
                "id": turn_id, "rootTurnId": turn_id, "items": [], "itemsView": "notLoaded",
                "status": "inProgress", "error": null, "startedAt": started, "completedAt": null,
                "durationMs": null,
            })
        };
        self.reply(id, Reply::Result(json!({"turn": turn(None)})), late)?;
        let (effort, summary) = (&params["effort"], &params["summary"]);
        self.out.notify("thread/settings/updated", &settings(&thread_id, &model, effort, summary))?;
        let active = json!({"threadId": thread_id, "status": {"type": "active", "activeFlags": []}});
        self.out.notify("thread/status/changed", &active)?;
        let started = json!({"threadId": thread_id, "turn": turn(Some(now_ms() / 1000))});
        self.out.notify("turn/started", &started)?;
        if !input.is_empty() {
            self.user_message(&thread_id, &turn_id, &input, &user_text, raw)?;
        }
        self.serial += 1;
        self.turns.insert(self.serial, Turn::new(&thread_id, turn_id, steps, &user_text, raw));
        Ok(())
    }

    fn user_message(
        &mut self,
        thread_id: &str,
        turn_id: &str,
        input: &[Value],
        text: &str,
        raw: bool,
    ) -> io::Result<()> {
        let id = self.uuid();
        let now = now_ms();
        if raw {
            let item = json!({
                "type": "message", "id": format!("msg_{id}"), "role": "user",
                "content": [{"type": "input_text", "text": text}],
            });
            self.out.notify("rawResponseItem/completed", &raw_item(thread_id, turn_id, item))?;
        }
        let item = json!({
            "type": "userMessage", "id": id, "clientId": null, "content": input,
            "startedAtMs": now, "completedAtMs": now,
        });
        let params = json!({"item": item, "threadId": thread_id, "turnId": turn_id, "startedAtMs": now});
        self.out.notify("item/started", &params)?;
        let params = json!({
            "item": item, "threadId": thread_id, "turnId": turn_id, "contentTokenCount": null,
            "completedAtMs": now,
        });
        self.out.notify("item/completed", &params)
    }

    fn interrupt(&mut self, id: &Value, params: &Value) -> io::Result<Reply> {
        let thread_id = params["threadId"].as_str().unwrap_or_default();
        if !self.threads.contains_key(thread_id) {
            return Ok(no_thread(thread_id));
        }
        let running = self.turns.iter().find(|(_, turn)| turn.thread_id == thread_id);
        let Some(serial) = running.map(|(serial, _)| *serial) else {
            return Ok(Reply::Error("no active turn to interrupt".to_owned()));
        };
        if let Some(mut turn) = self.turns.remove(&serial) {
            turn.interrupt(&mut self.out)?;
            self.out.message(&json!({"id": id, "result": {}}))?;
            turn.complete(&mut self.out, "interrupted")?;
        }
        Ok(Reply::Written)
    }

    fn unsubscribe(&mut self, params: &Value) -> Reply {
        let thread_id = params["threadId"].as_str().unwrap_or_default();
        let known = self.threads.remove(thread_id).is_some();
        self.turns.retain(|_, turn| turn.thread_id != thread_id);
        Reply::Result(json!({"status": if known { "unsubscribed" } else { "notLoaded" }}))
    }

    fn tool_answer(&mut self, message: &Value) -> io::Result<()> {
        let Some(request_id) = message["id"].as_u64() else { return Ok(()) };
        let Some(thread_id) = self.requests.remove(&request_id) else { return Ok(()) };
        for turn in self.turns.values_mut().filter(|turn| turn.thread_id == thread_id) {
            turn.answer(&mut self.out, request_id, &message["result"])?;
        }
        if let Some(thread) = self.threads.get_mut(&thread_id) {
            thread.outputs.push(message["result"]["contentItems"][0]["text"].to_string());
        }
        Ok(())
    }

    /// A unique id in the form of those that Codex makes.
    fn uuid(&mut self) -> String {
        self.serial += 1;
        let pid = process::id();
        format!("01a2{:04x}-{:04x}-7000-8000-{:012x}", pid >> 16, pid & 0xffff, self.serial)
    }
}

enum Round {
    Ran,
    Idle(Option<Instant>),
    Exit(i32),
}

fn no_thread(thread_id: &str) -> Reply {
    Reply::Error(format!("thread not found: {thread_id}"))
}
