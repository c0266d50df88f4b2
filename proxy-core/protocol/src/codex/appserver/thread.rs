//! A thread of Codex from its start to its end: its parameters, and the turn that runs on it.

use serde_json::json;
use serde_json::value::RawValue;

use super::bounds::MAX_LINE;
use super::running::{Asked, Habit, Keeps, Prompt, Running};
use super::tools::{Road, Tools};
use super::wire::ThreadId;
use super::{AppServer, Learned, Purpose, encode, failure, read, wire};
use crate::codex::jsonrpc::{self, RpcError};
use crate::codex::{CallKey, Capabilities, Line, Step, TurnKey};
use crate::turn::{Task, ThreadSpec, Tool, ToolKind, Turn, TurnError, TurnErrorKind, TurnEvent};

/// A thread of Codex.
#[derive(Debug)]
pub(super) struct Thread {
    pub spec: ThreadSpec,
    /// How its tools reach the model.
    road: Road,
    /// Whether Codex writes it to disk.
    is_written: bool,
    /// The line that started it ahead, until its first turn.
    opening: Option<Line>,
    state: State,
}

/// What a thread is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It was started ahead, and has no transcript and no tools yet.
    Warm,
    /// It has a transcript, and waits for its next turn.
    Idle,
    /// A turn runs on it.
    Running(TurnKey),
    /// Its turn waits for the outputs of its calls. The key is that of the last request.
    Parked(TurnKey),
}

impl AppServer {
    /// The turn that this thread runs, or that waits on it.
    pub(super) fn turn_on(&self, thread: &str) -> Option<TurnKey> {
        match self.threads.get(thread)?.state {
            State::Warm | State::Idle => None,
            State::Running(key) | State::Parked(key) => Some(key),
        }
    }

    /// Starts a thread for a turn.
    pub(super) fn start_thread(
        &mut self,
        key: TurnKey,
        spec: ThreadSpec,
        mut prompt: Prompt,
        out: &mut Vec<Step>,
    ) {
        let Some(capabilities) = &self.capabilities else { return };
        let (road, tools) = self.tools(&spec, capabilities);
        let history =
            (!capabilities.inject_items).then(|| encode::history(&std::mem::take(&mut prompt.items)));
        let (method, mut params) = encode::thread(&spec, &tools, &self.settings, capabilities, history);
        let is_written = prompt.task == Task::Compact;
        let keeps = if is_written { Keeps::No } else { keeps(capabilities, &tools) };
        if is_written {
            params["ephemeral"] = json!(false);
        }
        self.turns.insert(key, Running::new(prompt, tools, keeps));
        let thread = Box::new(Thread { spec, road, is_written, opening: None, state: State::Running(key) });
        self.send(key, method, &params, Purpose::Thread(key, thread, method), out);
    }

    /// Starts a thread ahead of its first turn.
    pub fn warm(&mut self, key: CallKey, spec: ThreadSpec, out: &mut Vec<Step>) {
        let Some(capabilities) = self.capabilities.as_ref().filter(|known| keeps_threads(known)) else {
            return out.push(Step::Warmed(key, None));
        };
        let (road, tools) = self.tools(&spec, capabilities);
        let (method, params) = encode::thread(&spec, &tools, &self.settings, capabilities, None);
        let thread = Box::new(Thread { spec, road, is_written: false, opening: None, state: State::Warm });
        self.requests.make(method, &params, Purpose::Warm(key, thread), out);
    }

    /// Codex has answered the `thread/start` of a thread without a turn.
    pub(super) fn warmed(
        &mut self,
        key: CallKey,
        mut thread: Thread,
        line: Line,
        result: Result<&RawValue, RpcError>,
        out: &mut Vec<Step>,
    ) {
        thread.opening = Some(line);
        let id = read::<wire::ThreadResponse>(result)
            .inspect_err(|error| tracing::debug!(%error, "codex did not start a thread ahead"))
            .map(|response| ThreadId(response.thread.id))
            .ok();
        self.threads.extend(id.clone().map(|id| (id, thread)));
        out.push(Step::Warmed(key, id));
    }

    /// The tools of such a thread, and how they reach the model. Codex has to ask the model only once where it would
    /// answer calls by itself: those of free text, and those without JSON. Such a thread serves one turn. Some models
    /// write nothing for a function that takes nothing; each is trusted once it has written `{}`.
    fn tools(&self, spec: &ThreadSpec, capabilities: &Capabilities) -> (Road, Tools) {
        let Learned { takes_items, habit } = self.learned.get(&spec.model).copied().unwrap_or_default();
        let any = |is_so: fn(&Tool) -> bool| spec.tools.iter().any(|tool| is_so(tool));
        let is_answered_by_codex = any(|tool| tool.kind == ToolKind::Custom)
            || match habit {
                Some(Habit::Sound) => false,
                Some(Habit::Unsound) => true,
                None => any(Tool::takes_nothing),
            };
        let once = capabilities.one_response && (is_answered_by_codex || !keeps_threads(capabilities));
        let road = match capabilities.exact_tools && takes_items != Some(false) {
            true => Road::Exact { once },
            false => Road::Plain,
        };
        (road, Tools::new(&spec.tools, road))
    }

    /// Starts a turn on a thread that was kept.
    pub fn extend(&mut self, key: TurnKey, id: &ThreadId, turn: Turn, out: &mut Vec<Step>) {
        let Some(thread) = self.threads.get_mut(id) else {
            return refuse(key, "The thread of this chat is gone. Try again.", out);
        };
        match thread.state {
            State::Parked(parked) => {
                thread.state = State::Running(key);
                let Some(running) = self.turns.remove(&parked) else {
                    return refuse(key, "The turn of this chat is gone. Try again.", out);
                };
                let (running, requests) = running.resumed();
                self.turns.insert(key, running);
                out.push(Step::Emit(key, TurnEvent::Started));
                for ((_, request), item) in requests.iter().zip(&turn.items) {
                    let result = encode::tool_result(item);
                    out.push(Step::SendFor(key, jsonrpc::result(request, &result).into()));
                }
            }
            State::Warm | State::Idle => {
                let is_new = thread.state == State::Warm;
                out.extend(thread.opening.take().map(|line| Step::WasSentFor(key, line)));
                thread.state = State::Running(key);
                let Turn { task, items, output_schema, .. } = turn;
                let prompt = Prompt { task, items, input: Vec::new(), output_schema };
                let tools = Tools::new(&thread.spec.tools, thread.road);
                let keeps = self.capabilities.as_ref().map_or(Keeps::No, |known| keeps(known, &tools));
                let mut running = Running::new(prompt, tools, keeps);
                running.thread = Some(id.clone());
                self.turns.insert(key, running);
                self.inject(key, is_new, out);
            }
            State::Running(_) => refuse(key, "The thread of this chat is busy. Try again.", out),
        }
    }

    /// Closes a thread that was kept.
    pub fn leave(&mut self, id: &ThreadId, out: &mut Vec<Step>) {
        let Some(thread) = self.threads.get(id) else { return };
        match thread.state {
            State::Warm | State::Idle => {
                self.threads.remove(id);
                self.unsubscribe(id, out);
            }
            // An answer to the calls would make Codex ask the model again.
            State::Parked(key) => {
                if let Some(running) = self.turns.get_mut(&key) {
                    running.give_up();
                }
                self.request_interrupt(key, out);
            }
            State::Running(_) => {}
        }
    }

    /// Keeps the thread of a turn that has ended well.
    pub(super) fn keep(&mut self, key: TurnKey, out: &mut Vec<Step>) {
        let id = self.turns.remove(&key).and_then(|running| running.thread);
        if let Some(thread) = id.and_then(|id| self.threads.get_mut(&id)) {
            thread.state = State::Idle;
        }
        out.push(Step::Released(key));
    }

    /// Lets a turn wait for the outputs of its calls, without a place.
    pub(super) fn park(&mut self, key: TurnKey, out: &mut Vec<Step>) {
        let id = self.turns.get(&key).and_then(|running| running.thread.as_ref());
        if let Some(thread) = id.and_then(|id| self.threads.get_mut(id)) {
            thread.state = State::Parked(key);
        }
        out.push(Step::Released(key));
    }

    /// Codex has answered `thread/start` or `thread/resume`.
    pub(super) fn thread_started(
        &mut self,
        key: TurnKey,
        thread: Thread,
        method: &'static str,
        result: Result<&RawValue, RpcError>,
        out: &mut Vec<Step>,
    ) {
        let Some(running) = self.turns.get_mut(&key) else { return };
        let started = match read::<wire::ThreadResponse>(result) {
            Ok(response) => response.thread,
            Err(error) => return self.fail(key, failure::of_call(method, &error), out),
        };
        let id = ThreadId(started.id);
        running.thread = Some(id.clone());
        let is_written = thread.is_written;
        self.threads.insert(id, thread);
        if is_written {
            let Some(path) = started.path else {
                let message = "This Codex does not say where it writes a transcript, so it cannot compact one here. \
                               Update the Codex CLI.";
                return self.fail(key, TurnError::new(TurnErrorKind::Unsupported, message), out);
            };
            out.push(Step::Writes(key, path));
        }
        let Some(running) = self.turns.get_mut(&key) else { return };
        if running.is_over() {
            return self.release(key, out);
        }
        self.inject(key, true, out);
    }

    /// Gives the turn's transcript to its thread; a thread that is new gets its tools first.
    fn inject(&mut self, key: TurnKey, is_new: bool, out: &mut Vec<Step>) {
        let Some(running) = self.turns.get_mut(&key) else { return };
        let tools = is_new.then(|| running.tools.item()).flatten();
        let injection = match (&running.prompt, &running.thread) {
            (Some(prompt), Some(thread_id)) if !prompt.items.is_empty() || tools.is_some() => {
                let items = encode::items(tools, &prompt.items, &running.tools);
                encode::Injection { thread_id, items }
            }
            _ => return self.begin(key, out),
        };
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
        if prompt.task == Task::Compact {
            let id = id.clone();
            running.prompt = None;
            running.stage.go_on(Asked::Turn);
            return self.compact(key, &id, out);
        }
        let of_thread = self.capabilities.as_ref().is_some_and(|capabilities| capabilities.inject_items);
        let mut params = encode::start(id, &thread.spec, prompt, of_thread);
        if let Some(effort) = thread.spec.effort.filter(|_| self.settings.effort_with_turn) {
            params["effort"] = json!(effort.as_str());
        }
        let learned = self.learned.get(&thread.spec.model).copied().unwrap_or_default();
        if !running.tools.is_exact() || learned.takes_items == Some(true) {
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
        if thread.as_ref().is_some_and(|thread| thread.is_written) {
            self.delete(key, &id, out);
        } else {
            self.unsubscribe(&id, out);
        }
        thread
    }

    fn unsubscribe(&mut self, id: &ThreadId, out: &mut Vec<Step>) {
        let unsubscribe = self.capabilities.as_ref().is_none_or(|capabilities| capabilities.unsubscribe);
        let method = if unsubscribe { "thread/unsubscribe" } else { "thread/archive" };
        self.requests.make(method, &json!({"threadId": id}), Purpose::Farewell, out);
    }
}

/// Whether threads of such a Codex may outlive their turns: it has to tell each item and the end of each response.
fn keeps_threads(capabilities: &Capabilities) -> bool {
    capabilities.inject_items
        && capabilities.unsubscribe
        && capabilities.raw_items
        && capabilities.raw_completed
}

fn keeps(capabilities: &Capabilities, tools: &Tools) -> Keeps {
    if keeps_threads(capabilities) && !tools.asks_once() { Keeps::Yes } else { Keeps::No }
}

/// Refuses a turn on a thread that cannot run it.
fn refuse(key: TurnKey, message: &str, out: &mut Vec<Step>) {
    let error = TurnError::new(TurnErrorKind::WorkerExited, message);
    out.extend([Step::Emit(key, TurnEvent::Failed(error)), Step::Released(key)]);
}
