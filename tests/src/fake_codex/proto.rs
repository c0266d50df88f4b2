//! The legacy protocol: `codex proto` of 0.42.0, with one conversation per process, from the same scenarios.

use std::io::{self, Write};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::output::Output;
use super::scenario::{Scenario, Step, Tokens, codex_home};

const CONTEXT_WINDOW: u64 = 272_000;

/// Why the serving loop ends.
enum End {
    /// The process must end with this code.
    Exit(i32),
    /// The turn must end like an interrupted one.
    Interrupted,
    /// The turn is over after an error.
    Failed,
    Io(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The state of one `codex proto` process.
pub(super) struct Proto<'a, W: Write> {
    scenario: Scenario,
    session: String,
    model: String,
    lines: &'a Receiver<String>,
    out: Output<W>,
    recording: Option<std::fs::File>,
    /// The ID of the submission that started the turn.
    turn: String,
    last_message: Option<String>,
    usage: Tokens,
    last: Tokens,
    total: Tokens,
    shut_down: bool,
}

impl<'a, W: Write> Proto<'a, W> {
    pub(super) fn new(
        scenario: Scenario,
        run: usize,
        model: &str,
        lines: &'a Receiver<String>,
        sink: W,
    ) -> Self {
        Self {
            scenario,
            session: format!("01a20000-0000-7000-8000-{run:012x}"),
            model: model.to_owned(),
            lines,
            out: Output::new(sink),
            recording: None,
            turn: String::new(),
            last_message: None,
            usage: Tokens::default(),
            last: Tokens::default(),
            total: Tokens::default(),
            shut_down: false,
        }
    }

    /// Serves until it has been shut down and its input has ended, or a scenario ends the process. Returns the
    /// exit code.
    pub(super) fn serve(mut self) -> io::Result<i32> {
        let home = codex_home().unwrap_or_default();
        if self.scenario.record {
            let path = home.join("fake-codex.received.jsonl");
            self.recording = Some(std::fs::OpenOptions::new().create(true).append(true).open(path)?);
        }
        let record = home.join("sessions").join(format!("rollout-{}.jsonl", self.session));
        if let Some(folder) = record.parent() {
            std::fs::create_dir_all(folder)?;
            std::fs::write(&record, "")?;
        }
        let configured = json!({
            "type": "session_configured", "session_id": self.session, "model": self.model,
            "history_log_id": 0, "history_entry_count": 0, "rollout_path": record,
        });
        self.event("", &configured)?;
        self.out.flush()?;
        while let Ok(line) = self.lines.recv() {
            match self.receive(&line) {
                Ok(()) => {}
                Err(End::Exit(code)) => {
                    self.out.flush()?;
                    return Ok(code);
                }
                // Outside of a turn, there is nothing to interrupt.
                Err(End::Interrupted | End::Failed) => {}
                Err(End::Io(error)) => return Err(error),
            }
            self.out.flush()?;
        }
        if !self.shut_down {
            // The real one does not end when only its input ends.
            super::freeze_for_good();
        }
        Ok(0)
    }

    /// Reads one submission. Like the real Codex, it ignores invalid ones.
    fn receive(&mut self, line: &str) -> Result<(), End> {
        if let Some(recording) = &mut self.recording {
            writeln!(recording, "{line}")?;
        }
        let Ok(submission) = serde_json::from_str::<Value>(line) else { return Ok(()) };
        let op = &submission["op"];
        let id = submission["id"].as_str().unwrap_or_default().to_owned();
        match op["type"].as_str() {
            Some("user_input" | "user_turn") if self.turn.is_empty() && !self.shut_down => {
                self.run_turn(id, op)
            }
            Some("interrupt") => Err(End::Interrupted),
            Some("shutdown") => {
                self.shut_down = true;
                self.interrupted_first(&id)
            }
            _ => Ok(()),
        }
    }

    /// If a turn runs, it is aborted before the shutdown is reported.
    fn interrupted_first(&mut self, id: &str) -> Result<(), End> {
        if !self.turn.is_empty() {
            self.aborted()?;
        }
        self.event(id, &json!({"type": "shutdown_complete"}))?;
        if self.turn.is_empty() { Ok(()) } else { Err(End::Failed) }
    }

    fn run_turn(&mut self, id: String, op: &Value) -> Result<(), End> {
        let items = op["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let user: Vec<_> = items.iter().filter_map(|item| item["text"].as_str()).collect();
        let user = user.join("\n");
        self.turn = id;
        self.usage =
            Tokens { input: u64::try_from(user.len() / 4 + 1).unwrap_or(1), output: 1, ..Tokens::default() };
        self.own(&json!({"type": "task_started", "model_context_window": CONTEXT_WINDOW}))?;
        self.own(&json!({"type": "token_count", "info": null, "rate_limits": no_limits()}))?;
        let played = self.play(&self.steps(&user), &user);
        match played {
            Ok(()) => {
                self.end_response()?;
                let last = self.last_message.take();
                self.own(&json!({"type": "task_complete", "last_agent_message": last}))?;
            }
            Err(End::Interrupted) => self.aborted()?,
            Err(End::Failed) => {}
            Err(other) => return Err(other),
        }
        self.turn.clear();
        Ok(())
    }

    fn aborted(&mut self) -> io::Result<()> {
        self.own(&json!({"type": "turn_aborted", "reason": "interrupted"}))
    }

    fn steps(&self, user: &str) -> Rc<Vec<Step>> {
        let marked = user.split_once("[[scenario:").and_then(|(_, rest)| rest.split_once("]]"));
        let name = marked.map_or("default", |(name, _)| name);
        self.scenario.scenarios.get(name).cloned().unwrap_or_else(|| {
            let deltas = super::thread::GREETING.split_inclusive(' ').map(str::to_owned).collect();
            Rc::new(vec![Step::Text { deltas, open: false }])
        })
    }

    fn play(&mut self, steps: &[Step], user: &str) -> Result<(), End> {
        for step in steps {
            self.out.flush()?;
            while let Ok(line) = self.lines.try_recv() {
                self.receive(&line)?;
            }
            self.step(step, user)?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Step, user: &str) -> Result<(), End> {
        match step {
            Step::Text { deltas, open } => {
                let deltas: Vec<_> = deltas.iter().map(|text| text.replace("{{user}}", user)).collect();
                self.message(deltas.iter().map(String::as_str), *open)?;
            }
            Step::Flood { count, text } => {
                self.message(std::iter::repeat_n(text.as_str(), *count), false)?;
            }
            Step::BigLine { bytes } => self.message(std::iter::once("x".repeat(*bytes).as_str()), false)?,
            Step::Reasoning { parts, .. } => self.reasoning(parts)?,
            Step::WebSearch { query } => {
                self.own(&json!({"type": "web_search_begin", "call_id": "ws_1"}))?;
                self.own(&json!({"type": "web_search_end", "call_id": "ws_1", "query": query}))?;
            }
            Step::Calls { calls, .. } => {
                for call in calls {
                    self.ask_for_approval(&call.arguments)?;
                }
                // The next response starts with the limits again.
                self.end_response()?;
                self.token_count()?;
            }
            Step::Usage(tokens) => self.usage = *tokens,
            Step::Error { message, will_retry: true, .. } => {
                self.own(&json!({"type": "stream_error", "message": message}))?;
            }
            Step::Error { message, .. } => {
                self.own(&json!({"type": "error", "message": message}))?;
                self.own(&json!({"type": "task_complete", "last_agent_message": null}))?;
                return Err(End::Failed);
            }
            Step::Exit { code } => return Err(End::Exit(*code)),
            Step::Freeze => {
                self.out.flush()?;
                super::freeze();
            }
            Step::Hang => self.wait(None)?,
            Step::Pause { ms } => self.wait(Some(Instant::now() + Duration::from_millis(*ms)))?,
            // This process has only one turn, so it cannot wait for other turns or for tests.
            Step::Barrier { .. } | Step::File { .. } => {}
            Step::Garbage { line } => self.out.line(line)?,
            Step::Notify { method, params } => {
                let mut event = params.clone();
                event["type"] = json!(method);
                self.own(&event)?;
            }
            Step::Split { size } => self.out.split(*size)?,
            Step::StderrFlood { bytes } => super::stderr_flood(*bytes)?,
        }
        Ok(())
    }

    /// Takes submissions until a time, or until the turn is interrupted.
    fn wait(&mut self, until: Option<Instant>) -> Result<(), End> {
        self.out.flush()?;
        loop {
            let line = match until {
                None => self.lines.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => self.lines.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            match line {
                Ok(line) => self.receive(&line)?,
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => super::freeze_for_good(),
            }
        }
    }

    fn message<'t>(&mut self, deltas: impl Iterator<Item = &'t str>, open: bool) -> io::Result<()> {
        let mut message = String::new();
        for delta in deltas {
            message.push_str(delta);
            self.usage.output += 1;
            self.own(&json!({"type": "agent_message_delta", "delta": delta}))?;
        }
        if open {
            return Ok(());
        }
        self.own(&json!({"type": "agent_message", "message": message}))?;
        self.last_message = Some(message);
        Ok(())
    }

    fn reasoning(&mut self, parts: &[Vec<String>]) -> io::Result<()> {
        for deltas in parts {
            self.own(&json!({"type": "agent_reasoning_section_break"}))?;
            for delta in deltas {
                self.own(&json!({"type": "agent_reasoning_delta", "delta": delta}))?;
            }
        }
        self.usage.reasoning += 1;
        self.usage.output += 1;
        for deltas in parts {
            self.own(&json!({"type": "agent_reasoning", "text": deltas.concat()}))?;
        }
        Ok(())
    }

    /// Codex's own shell requests to run a command. No command is ever run: any answer except a denial ends the
    /// process.
    fn ask_for_approval(&mut self, arguments: &Value) -> Result<(), End> {
        let mut request = json!({"type": "exec_approval_request", "call_id": "call_1"});
        for key in ["command", "cwd"] {
            request[key] = arguments[key].clone();
        }
        self.own(&request)?;
        self.out.flush()?;
        while let Ok(line) = self.lines.recv() {
            let submission = serde_json::from_str::<Value>(&line).unwrap_or_default();
            let op = &submission["op"];
            if op["type"] != "exec_approval" {
                self.receive(&line)?;
            } else if op["id"] == self.turn.as_str() && op["decision"] == "denied" {
                if let Some(recording) = &mut self.recording {
                    writeln!(recording, "{line}")?;
                }
                return Ok(());
            } else {
                return Err(End::Exit(70));
            }
        }
        super::freeze_for_good();
    }

    fn end_response(&mut self) -> io::Result<()> {
        let usage = self.usage;
        self.total.input += usage.input;
        self.total.cached += usage.cached;
        self.total.output += usage.output;
        self.total.reasoning += usage.reasoning;
        self.last = usage;
        self.token_count()?;
        self.usage = Tokens { input: usage.input, output: 1, ..Tokens::default() };
        Ok(())
    }

    fn token_count(&mut self) -> io::Result<()> {
        let info = json!({
            "total_token_usage": counts(&self.total), "last_token_usage": counts(&self.last),
            "model_context_window": CONTEXT_WINDOW,
        });
        self.own(&json!({"type": "token_count", "info": info, "rate_limits": no_limits()}))
    }

    /// Sends an event of the turn.
    fn own(&mut self, msg: &Value) -> io::Result<()> {
        let id = self.turn.clone();
        self.event(&id, msg)
    }

    fn event(&mut self, id: &str, msg: &Value) -> io::Result<()> {
        self.out.message(&json!({"id": id, "msg": msg}))?;
        if self.out.is_large() { self.out.flush() } else { Ok(()) }
    }
}

fn counts(tokens: &Tokens) -> Value {
    json!({
        "input_tokens": tokens.input, "cached_input_tokens": tokens.cached, "output_tokens": tokens.output,
        "reasoning_output_tokens": tokens.reasoning, "total_tokens": tokens.input + tokens.output,
    })
}

fn no_limits() -> Value {
    json!({"primary": null, "secondary": null})
}
