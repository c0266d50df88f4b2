//! One turn: executes its steps in small moves, so that turns can interleave.

use std::collections::HashMap;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::items::{Message, OpenCall, counts, no_rate_limits, raw_item};
use super::output::{Output, now_ms};
use super::scenario::{Call, Step, Tokens, codex_home};

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// More can be done at once.
    Ran,
    /// Wait for the next event.
    Blocked,
    /// Wait until this time.
    Sleeps(Instant),
    /// Waits for this many turns at their barrier.
    AtBarrier(usize),
    /// The process must end with this code.
    Exit(i32),
    /// The process must hang.
    Freeze,
    /// The turn is over.
    Ended,
}

/// A running turn.
pub(super) struct Turn {
    pub(super) thread_id: String,
    pub(super) id: String,
    steps: Rc<Vec<Step>>,
    at: usize,
    /// The progress within the step `at`.
    within: usize,
    raw_events: bool,
    user_text: String,
    item_count: usize,
    message: Option<Message>,
    last_message: Option<Value>,
    open_calls: Vec<OpenCall>,
    usage: Tokens,
    total: Tokens,
    started: Instant,
    wake: Option<Instant>,
    passed_barrier: bool,
}

impl Turn {
    pub(super) fn new(
        thread_id: &str,
        id: String,
        steps: Rc<Vec<Step>>,
        user_text: &str,
        raw_events: bool,
    ) -> Self {
        let input = u64::try_from(user_text.len() / 4 + 1).unwrap_or(1);
        Self {
            thread_id: thread_id.to_owned(),
            id,
            steps,
            at: 0,
            within: 0,
            raw_events,
            user_text: user_text.to_owned(),
            item_count: 0,
            message: None,
            last_message: None,
            open_calls: Vec::new(),
            usage: Tokens { input, output: 1, ..Tokens::default() },
            total: Tokens::default(),
            started: Instant::now(),
            wake: None,
            passed_barrier: false,
        }
    }

    /// Continues a turn that waits at its barrier.
    pub(super) fn pass_barrier(&mut self) {
        self.passed_barrier = true;
    }

    /// Makes one small move. `requests` maps the ids of server requests to their threads.
    pub(super) fn advance<W: Write>(
        &mut self,
        out: &mut Output<W>,
        requests: &mut HashMap<u64, String>,
    ) -> io::Result<Move> {
        let steps = self.steps.clone();
        let Some(step) = steps.get(self.at) else {
            self.end_response(out)?;
            self.end_usage(out)?;
            self.complete(out, "completed")?;
            return Ok(Move::Ended);
        };
        match step {
            Step::Text { deltas, open } => {
                let delta = deltas.get(self.within);
                if *open && delta.is_none() {
                    self.next();
                    return Ok(Move::Ran);
                }
                let delta = delta.map(|text| match text.contains("{{") {
                    true => text.replace("{{user}}", &self.user_text),
                    false => text.clone(),
                });
                self.text_move(out, delta.as_deref())?;
            }
            Step::Flood { count, text } => {
                self.text_move(out, (self.within < *count).then_some(text.as_str()))?;
            }
            Step::BigLine { bytes } => {
                let text = (self.within == 0).then(|| "x".repeat(*bytes));
                self.text_move(out, text.as_deref())?;
            }
            Step::Reasoning { parts, encrypted } => {
                self.reasoning(out, parts, encrypted.as_deref())?;
                self.next();
            }
            Step::Calls { calls, late } => return self.calls_move(out, requests, calls, *late),
            Step::WebSearch { query } => {
                self.web_search(out, query)?;
                self.next();
            }
            Step::Usage(tokens) => {
                self.usage = *tokens;
                self.next();
            }
            Step::Error { message, info, details, will_retry } => {
                let error = json!({
                    "message": message, "codexErrorInfo": info, "additionalDetails": details,
                    "misalignment": null,
                });
                let params = json!({
                    "error": error, "willRetry": will_retry,
                    "threadId": self.thread_id, "turnId": self.id,
                });
                if !will_retry {
                    self.status(out, "systemError")?;
                    out.notify("error", &params)?;
                    self.completed(out, "failed", &error)?;
                    return Ok(Move::Ended);
                }
                out.notify("error", &params)?;
                self.next();
            }
            Step::Exit { code } => return Ok(Move::Exit(*code)),
            Step::Freeze => return Ok(Move::Freeze),
            Step::Hang => return Ok(Move::Blocked),
            Step::Barrier { turns } => {
                if !self.passed_barrier {
                    return Ok(Move::AtBarrier(*turns));
                }
                self.passed_barrier = false;
                self.next();
            }
            Step::File { name } if codex_home().is_some_and(|home| home.join(name).exists()) => self.next(),
            Step::File { .. } => return Ok(Move::Sleeps(Instant::now() + Duration::from_millis(20))),
            Step::Pause { ms } => {
                let wake = *self.wake.get_or_insert_with(|| Instant::now() + Duration::from_millis(*ms));
                if Instant::now() < wake {
                    return Ok(Move::Sleeps(wake));
                }
                self.wake = None;
                self.next();
            }
            Step::Garbage { line } => {
                out.line(line)?;
                self.next();
            }
            Step::Notify { method, params } => {
                let mut params = params.clone();
                params["threadId"] = json!(self.thread_id);
                params["turnId"] = json!(self.id);
                out.notify(method, &params)?;
                self.next();
            }
            Step::Split { size } => {
                out.split(*size)?;
                self.next();
            }
            Step::StderrFlood { bytes } => {
                super::stderr_flood(*bytes)?;
                self.next();
            }
        }
        Ok(Move::Ran)
    }

    /// Takes the answer to one of this turn's tool calls.
    pub(super) fn answer<W: Write>(
        &mut self,
        out: &mut Output<W>,
        request_id: u64,
        result: &Value,
    ) -> io::Result<()> {
        let found = self.open_calls.iter().position(|call| call.request_id == request_id);
        let Some(index) = found else { return Ok(()) };
        let parts = result["contentItems"].as_array().cloned().unwrap_or_default();
        let text: Vec<_> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
        let success = result["success"].as_bool().unwrap_or(false);
        self.open_calls[index].output = Some(text.join("\n"));
        let item = self.open_calls[index].item(Some((&json!(parts), success)));
        self.item_completed(out, &item)
    }

    /// Ends the turn at the request of the client, except for the answer to that request.
    pub(super) fn interrupt<W: Write>(&mut self, out: &mut Output<W>) -> io::Result<()> {
        // An incomplete message has no completion, and the turn then has no note about the interruption.
        let cut_short = self.message.take().is_some();
        for call in std::mem::take(&mut self.open_calls) {
            if call.output.is_none() {
                self.item_completed(out, &call.item(Some((&json!([]), false))))?;
            }
            let text = "dynamic tool call was cancelled before receiving a response";
            self.raw(out, call.output_item(call.output.as_deref().unwrap_or(text)))?;
        }
        out.notify("account/rateLimits/updated", &json!({"rateLimits": no_rate_limits()}))?;
        if cut_short {
            return Ok(());
        }
        let text = "<turn_aborted>\nThe user interrupted the previous turn on purpose. Any running unified exec processes may still be running in the background. If any tools/commands were aborted, they may have partially executed.\n</turn_aborted>";
        let content = json!([{"type": "input_text", "text": text}]);
        self.raw(
            out,
            json!({"type": "message", "id": format!("msg_{}", self.id), "role": "user", "content": content}),
        )
    }

    /// The end of a turn that has not failed.
    pub(super) fn complete<W: Write>(&self, out: &mut Output<W>, status: &str) -> io::Result<()> {
        self.status(out, "idle")?;
        self.completed(out, status, &Value::Null)
    }

    fn status<W: Write>(&self, out: &mut Output<W>, kind: &str) -> io::Result<()> {
        let params = json!({"threadId": self.thread_id, "status": {"type": kind}});
        out.notify("thread/status/changed", &params)
    }

    fn completed<W: Write>(&self, out: &mut Output<W>, status: &str, error: &Value) -> io::Result<()> {
        let items: Vec<_> = self.last_message.iter().filter(|_| status == "completed").collect();
        let view = if items.is_empty() { "notLoaded" } else { "summary" };
        let now = now_ms() / 1000;
        let duration = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let turn = json!({
            "id": self.id, "rootTurnId": self.id, "items": items, "itemsView": view, "status": status,
            "error": error, "startedAt": now - duration / 1000, "completedAt": now, "durationMs": duration,
        });
        out.notify("turn/completed", &json!({"threadId": self.thread_id, "turn": turn}))
    }

    fn next(&mut self) {
        self.at += 1;
        self.within = 0;
    }

    /// Starts the message, writes one delta, or (without a delta) ends the message.
    fn text_move<W: Write>(&mut self, out: &mut Output<W>, delta: Option<&str>) -> io::Result<()> {
        if self.message.is_none() {
            let id = self.item_id("msg");
            let prefix = format!(
                r#"{{"method":"item/agentMessage/delta","params":{{"threadId":"{}","turnId":"{}","itemId":"{id}","delta":"#,
                self.thread_id, self.id
            );
            let message = Message { id, prefix, text: String::new(), started_ms: now_ms() };
            self.item_started(out, &message.item(None), message.started_ms)?;
            self.message = Some(message);
        }
        if let (Some(delta), Some(message)) = (delta, &mut self.message) {
            message.text.push_str(delta);
            out.delta(&message.prefix, delta)?;
            self.within += 1;
            self.usage.output += 1;
        } else {
            self.end_message(out)?;
            self.next();
        }
        Ok(())
    }

    fn end_message<W: Write>(&mut self, out: &mut Output<W>) -> io::Result<()> {
        let Some(message) = self.message.take() else { return Ok(()) };
        let item = message.item(Some(now_ms()));
        self.item_completed(out, &item)?;
        self.last_message = Some(item);
        let content = json!([{"type": "output_text", "text": message.text, "annotations": []}]);
        self.raw(
            out,
            json!({
                "type": "message", "status": "completed", "id": message.id, "role": "assistant",
                "content": content,
            }),
        )
    }

    fn reasoning<W: Write>(
        &mut self,
        out: &mut Output<W>,
        parts: &[Vec<String>],
        encrypted: Option<&str>,
    ) -> io::Result<()> {
        let id = self.item_id("rs");
        let started = now_ms();
        let item = |summary: &[String], ended: Option<u64>| {
            json!({
                "type": "reasoning", "id": id, "summary": summary, "content": [],
                "startedAtMs": started, "completedAtMs": ended,
            })
        };
        self.item_started(out, &item(&[], None), started)?;
        for (index, deltas) in parts.iter().enumerate() {
            let place = json!({
                "threadId": self.thread_id, "turnId": self.id, "itemId": id, "summaryIndex": index,
            });
            out.notify("item/reasoning/summaryPartAdded", &place)?;
            for delta in deltas {
                let params = json!({
                    "threadId": self.thread_id, "turnId": self.id, "itemId": id, "delta": delta,
                    "summaryIndex": index,
                });
                out.notify("item/reasoning/summaryTextDelta", &params)?;
            }
        }
        self.usage.reasoning += 1;
        self.usage.output += 1;
        let summary: Vec<String> = parts.iter().map(|deltas| deltas.concat()).collect();
        self.item_completed(out, &item(&summary, Some(now_ms())))?;
        let summary: Vec<_> =
            summary.iter().map(|text| json!({"type": "summary_text", "text": text})).collect();
        self.raw(
            out,
            json!({
                "type": "reasoning", "id": id, "summary": summary, "content": null,
                "encrypted_content": encrypted,
            }),
        )
    }

    fn web_search<W: Write>(&mut self, out: &mut Output<W>, query: &str) -> io::Result<()> {
        let id = self.item_id("ws");
        let started = now_ms();
        let item = |query: &str, action: Value, ended: Option<u64>| {
            json!({
                "type": "webSearch", "id": id, "query": query, "action": action, "results": null,
                "startedAtMs": started, "completedAtMs": ended,
            })
        };
        self.item_started(out, &item("", json!({"type": "other"}), None), started)?;
        let action = json!({"type": "search", "query": query, "queries": null});
        self.item_completed(out, &item(query, action, Some(now_ms())))?;
        self.raw(
            out,
            json!({
                "type": "web_search_call", "status": "completed", "id": id,
                "action": {"type": "search", "query": query},
            }),
        )
    }

    fn calls_move<W: Write>(
        &mut self,
        out: &mut Output<W>,
        requests: &mut HashMap<u64, String>,
        calls: &[Call],
        late: bool,
    ) -> io::Result<Move> {
        if self.within == 0 {
            self.within = 1;
            for call in calls {
                self.open_call(out, requests, call)?;
                if !late {
                    self.request_last_call(out)?;
                }
            }
            self.end_response(out)?;
            for call in self.open_calls.iter_mut().filter(|call| !call.requested) {
                call.requested = true;
                out.message(&call.request(&self.thread_id, &self.id))?;
            }
        }
        if self.open_calls.iter().any(|call| call.output.is_none()) {
            return Ok(Move::Blocked);
        }
        for call in std::mem::take(&mut self.open_calls) {
            self.raw(out, call.output_item(call.output.as_deref().unwrap_or_default()))?;
        }
        self.end_usage(out)?;
        self.next();
        Ok(Move::Ran)
    }

    fn open_call<W: Write>(
        &mut self,
        out: &mut Output<W>,
        requests: &mut HashMap<u64, String>,
        call: &Call,
    ) -> io::Result<()> {
        let call_id = call.call_id.clone().unwrap_or_else(|| self.item_id("call"));
        let request_id = super::next_request_id();
        let text = call.arguments.as_str().map_or_else(|| call.arguments.to_string(), str::to_owned);
        self.raw(
            out,
            json!({
                "type": "function_call", "status": "completed", "id": format!("fc_{call_id}"),
                "name": call.name, "arguments": text, "call_id": call_id,
            }),
        )?;
        let arguments = serde_json::from_str(&text).unwrap_or(Value::String(text));
        let open = OpenCall {
            call_id,
            tool: call.name.clone(),
            arguments,
            request_id,
            requested: false,
            output: None,
            started_ms: now_ms(),
        };
        self.item_started(out, &open.item(None), open.started_ms)?;
        requests.insert(request_id, self.thread_id.clone());
        self.open_calls.push(open);
        Ok(())
    }

    fn request_last_call<W: Write>(&mut self, out: &mut Output<W>) -> io::Result<()> {
        let Some(call) = self.open_calls.last_mut() else { return Ok(()) };
        call.requested = true;
        out.message(&call.request(&self.thread_id, &self.id))
    }

    fn end_response<W: Write>(&self, out: &mut Output<W>) -> io::Result<()> {
        let usage = &self.usage;
        let metadata = json!({
            "input_tokens": usage.input,
            "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
            "output_tokens": usage.output,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning},
            "total_tokens": usage.input + usage.output,
        });
        if !self.raw_events {
            return Ok(());
        }
        let params = json!({
            "threadId": self.thread_id, "turnId": self.id, "responseId": format!("resp_{}", self.id),
            "usage": counts(usage), "usageMetadata": {"amount": null, "metadata": metadata},
        });
        out.notify("rawResponse/completed", &params)
    }

    fn end_usage<W: Write>(&mut self, out: &mut Output<W>) -> io::Result<()> {
        let usage = self.usage;
        self.total.input += usage.input;
        self.total.cached += usage.cached;
        self.total.cache_write += usage.cache_write;
        self.total.output += usage.output;
        self.total.reasoning += usage.reasoning;
        let params = json!({
            "threadId": self.thread_id, "turnId": self.id,
            "tokenUsage": {
                "total": counts(&self.total), "last": counts(&usage), "modelContextWindow": 258_400,
            },
        });
        out.notify("thread/tokenUsage/updated", &params)?;
        self.usage = Tokens { input: usage.input, output: 1, ..Tokens::default() };
        out.notify("account/rateLimits/updated", &json!({"rateLimits": no_rate_limits()}))
    }

    fn item_id(&mut self, kind: &str) -> String {
        self.item_count += 1;
        format!("{kind}_{}_{}", self.id.replace('-', ""), self.item_count)
    }

    fn item_started<W: Write>(&self, out: &mut Output<W>, item: &Value, at: u64) -> io::Result<()> {
        let params = json!({"item": item, "threadId": self.thread_id, "turnId": self.id, "startedAtMs": at});
        out.notify("item/started", &params)
    }

    fn item_completed<W: Write>(&self, out: &mut Output<W>, item: &Value) -> io::Result<()> {
        let params = json!({
            "item": item, "threadId": self.thread_id, "turnId": self.id, "contentTokenCount": null,
            "completedAtMs": now_ms(),
        });
        out.notify("item/completed", &params)
    }

    fn raw<W: Write>(&self, out: &mut Output<W>, item: Value) -> io::Result<()> {
        if !self.raw_events {
            return Ok(());
        }
        out.notify("rawResponseItem/completed", &raw_item(&self.thread_id, &self.id, item))
    }
}
