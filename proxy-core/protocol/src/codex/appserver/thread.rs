//! A thread of Codex from its start to its end: its parameters, and the turn that runs on it.

use serde_json::json;
use serde_json::value::RawValue;

use super::bounds::MAX_LINE;
use super::running::{Asked, Prompt, Running};
use super::tools::{Road, Tools};
use super::wire::ThreadId;
use super::{AppServer, Purpose, encode, failure, read, wire};
use crate::codex::jsonrpc::{self, RpcError};
use crate::codex::{Step, TurnKey};
use crate::turn::{ThreadSpec, TurnError, TurnErrorKind};

/// A thread of Codex.
#[derive(Debug)]
pub(super) struct Thread {
    pub spec: ThreadSpec,
    /// The turn that runs on it.
    pub turn: TurnKey,
}

impl AppServer {
    /// Starts a thread for a turn.
    pub(super) fn start_thread(
        &mut self,
        key: TurnKey,
        spec: ThreadSpec,
        mut prompt: Prompt,
        out: &mut Vec<Step>,
    ) {
        let Some(capabilities) = &self.capabilities else { return };
        let road = match capabilities.exact_tools && !self.plain.contains(&spec.model) {
            true => Road::Exact { once: capabilities.one_response },
            false => Road::Plain,
        };
        let tools = Tools::new(&spec.tools, road);
        let history =
            (!capabilities.inject_items).then(|| encode::history(&std::mem::take(&mut prompt.items)));
        let (method, params) = encode::thread(&spec, &tools, &self.settings, capabilities, history);
        self.turns.insert(key, Running::new(prompt, tools));
        let thread = Box::new(Thread { spec, turn: key });
        self.send(key, method, &params, Purpose::Thread(thread, method), out);
    }

    /// Codex has answered `thread/start` or `thread/resume`.
    pub(super) fn thread_started(
        &mut self,
        thread: Thread,
        method: &'static str,
        result: Result<&RawValue, RpcError>,
        out: &mut Vec<Step>,
    ) {
        let key = thread.turn;
        let Some(running) = self.turns.get_mut(&key) else { return };
        let id = match read::<wire::ThreadResponse>(result) {
            Ok(response) => ThreadId(response.thread.id),
            Err(error) => return self.fail(key, failure::of_call(method, &error), out),
        };
        running.thread = Some(id.clone());
        self.threads.insert(id.clone(), thread);
        if running.is_over() {
            return self.release(key, out);
        }
        let items = match &running.prompt {
            Some(prompt) if !prompt.items.is_empty() || running.tools.is_exact() => {
                encode::items(&prompt.items, &running.tools)
            }
            Some(_) | None => return self.begin(key, out),
        };
        let injection = encode::Injection { thread_id: &id, items };
        let made =
            self.requests.make_within(MAX_LINE, "thread/inject_items", &injection, Purpose::Inject(key), out);
        running.stage.go_on(Asked::Injection);
        if let Err(bytes) = made {
            self.fail(key, failure::too_large(bytes, MAX_LINE), out);
        }
    }

    /// Codex has answered `thread/inject_items`.
    pub(super) fn injected(
        &mut self,
        key: TurnKey,
        result: Result<&RawValue, RpcError>,
        out: &mut Vec<Step>,
    ) {
        let Some(running) = self.turns.get_mut(&key) else { return };
        if let Err(error) = result {
            return self.fail(key, failure::of_call("thread/inject_items", &error), out);
        }
        if running.is_over() {
            return self.release(key, out);
        }
        self.begin(key, out);
    }

    /// The thread has the transcript: the turn on it can start.
    fn begin(&mut self, key: TurnKey, out: &mut Vec<Step>) {
        let Some(running) = self.turns.get_mut(&key) else { return };
        let found = running.thread.as_ref().and_then(|id| self.threads.get_key_value(id));
        let (Some((id, thread)), Some(prompt)) = (found, &running.prompt) else {
            let lost = TurnError::new(
                TurnErrorKind::Internal,
                "The turn has lost its thread; this is a bug. Try again.",
            );
            return self.fail(key, lost, out);
        };
        let of_thread = self.capabilities.as_ref().is_some_and(|capabilities| capabilities.inject_items);
        let mut params = encode::start(id, &thread.spec, prompt, of_thread);
        if let Some(effort) = thread.spec.effort.filter(|_| self.settings.effort_with_turn) {
            params["effort"] = json!(effort.as_str());
        }
        if !running.tools.is_exact() || self.exact.contains(&thread.spec.model) {
            // The content may be megabytes, and this turn cannot have to start again.
            running.prompt = None;
        }
        running.stage.go_on(Asked::Turn);
        self.send(key, "turn/start", &params, Purpose::Start(key), out);
    }

    /// Unsubscribes the turn's thread, and answers Codex's open requests on it. Returns the thread.
    pub(super) fn leave_thread(&mut self, key: TurnKey, out: &mut Vec<Step>) -> Option<Thread> {
        let running = self.turns.get_mut(&key)?;
        for id in running.open_requests() {
            let nothing = json!({"contentItems": [], "success": false});
            out.push(Step::Send(jsonrpc::result(id, &nothing).into()));
        }
        let id = running.thread.take()?;
        let thread = self.threads.remove(&id);
        let unsubscribe = self.capabilities.as_ref().is_none_or(|capabilities| capabilities.unsubscribe);
        let method = if unsubscribe { "thread/unsubscribe" } else { "thread/archive" };
        self.requests.make(method, &json!({"threadId": id}), Purpose::Farewell, out);
        thread
    }
}
