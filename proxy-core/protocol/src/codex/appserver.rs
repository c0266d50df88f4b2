//! `codex app-server`, protocol v2: many turns at once over one connection.
//!
//! A turn runs on a thread of its own: `thread/start`, the whole transcript by `thread/inject_items`, `turn/start`
//! with no input of its own. Versions without `inject_items` get the transcript by `thread/resume`, with the last
//! user message as the turn's input.
//!
//! <https://github.com/openai/codex/blob/main/codex-rs/app-server/README.md>.

mod bounds;
mod compacting;
mod encode;
pub(super) mod failure;
mod open;
mod purity;
mod requests;
mod running;
mod said;
mod thread;
mod tools;
mod wire;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::calls::{self, Call as _, ReadAccount, ReadAccountParams};
use super::jsonrpc::{self, Incoming, RpcError};
use super::noise::Noise;
use super::notice::{self, Notice, Unreadable};
use super::{Account, CallKey, Capabilities, Fatal, Handshake, Line, Step, TurnKey, Unfit};
use crate::turn::{Catalogue, Item, Model, Part, Role, Turn, TurnError, TurnErrorKind, TurnEvent};
use requests::Requests;
use running::{Habit, Prompt, Running, Stage};
use thread::Thread;
pub use wire::ThreadId;

/// The driver's settings: facts about the environment in which Codex runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Codex's working directory.
    pub workdir: PathBuf,
    /// The sandbox, by Codex's name of it.
    pub sandbox: &'static str,
    /// Why Codex runs without a catalogue derived by the proxy, if it does.
    pub no_catalogue: Option<String>,
    /// The catalogue for threads with web search.
    pub search_catalogue: Option<PathBuf>,
    /// The context window in tokens (prompt and answer together), by the model's id.
    pub windows: BTreeMap<String, u64>,
    /// Whether the effort is given with the turn instead of with the thread. A proof uses this way, because it is
    /// the one in which Codex could add a message about a changed effort to the prompt.
    pub effort_with_turn: bool,
    /// This proxy's version.
    pub client_version: &'static str,
}

/// The protocol's state machine.
#[derive(Debug)]
pub struct AppServer {
    settings: Settings,
    requests: Requests,
    pub(super) noise: Noise,
    capabilities: Option<Capabilities>,
    models: Vec<Model>,
    /// Whether turns can run, by the latest account notice.
    account: Option<Account>,
    ready: bool,
    /// Every thread that Codex has named and that has not been unsubscribed.
    threads: HashMap<ThreadId, Thread>,
    turns: HashMap<TurnKey, Running>,
    /// What turns have shown of their models.
    learned: HashMap<String, Learned>,
}

/// What turns have shown of a model.
#[derive(Debug, Clone, Copy, Default)]
struct Learned {
    /// Whether its upstream accepts tools as an item.
    takes_items: Option<bool>,
    /// How it calls functions.
    habit: Option<Habit>,
}

/// The purpose of a request that the proxy sent.
#[derive(Debug)]
enum Purpose {
    Initialize,
    Models,
    Account,
    /// A thread: the answer contains its id. With the method that starts it.
    Thread(TurnKey, Box<Thread>, &'static str),
    /// A thread that is started ahead of its first turn.
    Warm(CallKey, Box<Thread>),
    Inject(TurnKey),
    Start(TurnKey),
    Compact(TurnKey),
    /// The thread of a turn that was written to disk.
    Delete(TurnKey),
    /// The answer changes nothing: interrupts and unsubscribes.
    Farewell,
    Call(CallKey),
}

impl Purpose {
    /// The turn that the request belongs to.
    fn turn(&self) -> Option<TurnKey> {
        match self {
            Self::Thread(key, ..) | Self::Inject(key) | Self::Start(key) | Self::Compact(key) => Some(*key),
            Self::Initialize
            | Self::Models
            | Self::Account
            | Self::Warm(..)
            | Self::Delete(_)
            | Self::Farewell
            | Self::Call(_) => None,
        }
    }
}

/// Notifications without information that the proxy needs. Newer versions are asked not to send them.
const UNWANTED: &[&str] = &[
    "app/list/updated",
    "deprecationNotice",
    "hook/completed",
    "hook/started",
    "item/autoApprovalReview/completed",
    "item/autoApprovalReview/started",
    "item/commandExecution/outputDelta",
    "item/fileChange/outputDelta",
    "item/mcpToolCall/progress",
    "item/plan/delta",
    "item/reasoning/summaryPartAdded",
    "mcpServer/startupStatus/updated",
    "model/safetyBuffering/updated",
    "model/verification",
    "remoteControl/status/changed",
    "serverRequest/resolved",
    "skills/changed",
    "thread/closed",
    "thread/environment/connected",
    "thread/settings/updated",
    "thread/started",
    "thread/status/changed",
    "turn/diff/updated",
    "turn/moderationMetadata",
    "turn/plan/updated",
];

impl AppServer {
    /// A driver of a child that has just been started; `out` begins the handshake.
    pub fn new(settings: Settings, out: &mut Vec<Step>) -> Self {
        let mut driver = Self {
            settings,
            requests: Requests::default(),
            noise: Noise::default(),
            capabilities: None,
            models: Vec::new(),
            account: None,
            ready: false,
            threads: HashMap::new(),
            turns: HashMap::new(),
            learned: HashMap::new(),
        };
        let params = json!({
            "clientInfo": {
                "name": "codex-proxy",
                "title": "Codex Proxy",
                "version": driver.settings.client_version,
            },
            "capabilities": {
                "experimentalApi": true,
                "requestAttestation": false,
                "optOutNotificationMethods": UNWANTED,
            },
        });
        driver.requests.make("initialize", &params, Purpose::Initialize, out);
        driver
    }

    /// Begins a turn, on a thread of its own.
    pub fn start(&mut self, key: TurnKey, mut turn: Turn, out: &mut Vec<Step>) {
        let Some(capabilities) = &self.capabilities else {
            let error = TurnError::new(TurnErrorKind::WorkerNotReady, "The Codex worker is still starting.");
            out.push(Step::Emit(key, TurnEvent::Failed(error)));
            out.push(Step::Released(key));
            return;
        };
        let input = if capabilities.inject_items { Vec::new() } else { take_input(&mut turn.items) };
        let Turn { task, spec, items, output_schema, .. } = turn;
        self.start_thread(key, spec, Prompt { task, items, input, output_schema }, out);
    }

    /// Ends a turn from the proxy's side.
    pub fn interrupt(&mut self, key: TurnKey, out: &mut Vec<Step>) {
        if let Some(running) = self.turns.get_mut(&key) {
            running.give_up();
            self.request_interrupt(key, out);
        }
    }

    /// Makes a plain call.
    pub fn call(&mut self, key: CallKey, method: &str, params: &Value, out: &mut Vec<Step>) {
        self.requests.make(method, params, Purpose::Call(key), out);
    }

    /// Continues after a [`Step::Pause`].
    pub fn go_on(&mut self, out: &mut Vec<Step>) {
        self.requests.go_on(out);
    }

    /// Handles a line. A line that is not a message of the protocol (a banner, a stray print) is ignored.
    pub fn receive(&mut self, line: &str, out: &mut Vec<Step>) {
        let message = match jsonrpc::parse(line) {
            Ok(message) => message,
            Err(reason) => return self.noise.heard(reason, line.len(), out),
        };
        self.noise.is_over();
        match message {
            Incoming::Notification(method, params) => self.notified(&method, params, out),
            Incoming::Response(id, result) => {
                if let Some((purpose, line)) = self.requests.answered(id, &result, out) {
                    self.answered(purpose, line, result, out);
                }
            }
            Incoming::Request(id, method, params) => self.asked(&id, &method, params, out),
        }
    }

    fn answered(
        &mut self,
        purpose: Purpose,
        line: Line,
        result: Result<&RawValue, RpcError>,
        out: &mut Vec<Step>,
    ) {
        match purpose {
            Purpose::Initialize => self.initialized(result, out),
            Purpose::Models => self.models_listed(result, out),
            Purpose::Account => self.account_read(result, out),
            Purpose::Thread(key, thread, method) => self.thread_started(key, *thread, method, result, out),
            Purpose::Warm(key, thread) => self.warmed(key, *thread, line, result, out),
            Purpose::Inject(key) => self.injected(key, result, out),
            Purpose::Start(key) => self.turn_started(key, result, out),
            Purpose::Compact(key) => {
                if let Err(error) = result {
                    self.fail(key, failure::of_call("thread/compact/start", &error), out);
                }
            }
            Purpose::Delete(key) => {
                if let Err(error) = result {
                    tracing::debug!(%error, "codex did not delete a thread");
                }
                out.push(Step::Deleted(key));
            }
            Purpose::Farewell => {
                if let Err(error) = result {
                    tracing::debug!(%error, "codex refused a goodbye");
                }
            }
            Purpose::Call(key) => {
                out.push(Step::Answer(key, result.map(|answer| answer.get().to_owned())));
            }
        }
    }

    fn initialized(&mut self, result: Result<&RawValue, RpcError>, out: &mut Vec<Step>) {
        let response: wire::InitializeResponse = match read(result) {
            Ok(response) => response,
            Err(error) => {
                out.push(Step::Fatal(Fatal::Handshake(error)));
                return;
            }
        };
        let capabilities = Capabilities::of(&response.user_agent);
        if let Some(reason) = self.settings.no_catalogue.as_ref().filter(|_| capabilities.inject_items) {
            let (version, reason) = (capabilities.version, reason.clone());
            out.push(Step::Unfit(Unfit::NoCatalogue { version, reason }));
            return;
        }
        self.capabilities = Some(capabilities);
        out.push(Step::Send(jsonrpc::notification("initialized").into()));
        self.read_account(out);
        self.list_models(None, out);
    }

    fn list_models(&mut self, cursor: Option<&str>, out: &mut Vec<Step>) {
        let params = match cursor {
            Some(cursor) => json!({"limit": 100, "includeHidden": true, "cursor": cursor}),
            None => json!({"limit": 100, "includeHidden": true}),
        };
        self.requests.make("model/list", &params, Purpose::Models, out);
    }

    /// A catalogue that cannot be read does not stop the service: ids then pass unchecked.
    fn models_listed(&mut self, result: Result<&RawValue, RpcError>, out: &mut Vec<Step>) {
        match read::<wire::ModelListResponse>(result) {
            Ok(page) => {
                let full = page.data.is_empty();
                self.models.extend(page.data.into_iter().map(Model::from));
                if let Some(cursor) = page.next_cursor.filter(|_| !full) {
                    self.list_models(Some(&cursor), out);
                    return;
                }
            }
            Err(error) => tracing::warn!(%error, "codex did not list its models"),
        }
        let Some(capabilities) = self.capabilities.clone().filter(|_| !self.ready) else { return };
        self.ready = true;
        let mut catalogue = Catalogue { models: std::mem::take(&mut self.models) };
        for model in &mut catalogue.models {
            model.context_window = self.settings.windows.get(&model.id).copied();
        }
        out.push(Step::Ready(Handshake { capabilities, catalogue, record: None }));
    }

    fn read_account(&mut self, out: &mut Vec<Step>) {
        self.requests.make(ReadAccount::METHOD, &ReadAccountParams::default(), Purpose::Account, out);
    }

    /// A Codex that does not report its account still gets turns: it refuses them itself if they cannot run.
    fn account_read(&mut self, result: Result<&RawValue, RpcError>, out: &mut Vec<Step>) {
        let details = match result {
            Ok(answer) => calls::read::<ReadAccount>(answer.get()).map_err(Unreadable::Shape),
            Err(error) => Err(Unreadable::Refused(error.message)),
        };
        let (account, notice) = match details {
            Ok(details) => {
                let account = if details.usable() { Account::Usable } else { Account::SignedOut };
                (account, Notice::Details(details))
            }
            Err(reason) => (self.account.unwrap_or(Account::Usable), Notice::Unreadable(reason)),
        };
        self.account = Some(account);
        out.extend([Step::Account(account), Step::Notice(notice)]);
    }

    fn turn_started(&mut self, key: TurnKey, result: Result<&RawValue, RpcError>, out: &mut Vec<Step>) {
        let Some(running) = self.turns.get_mut(&key) else { return };
        match read::<wire::TurnResponse>(result) {
            Ok(response) => {
                running.began(response.turn.id, key, out);
                self.request_interrupt(key, out);
            }
            Err(error) => self.fail(key, failure::of_call("turn/start", &error), out),
        }
    }

    fn notified(&mut self, method: &str, params: &RawValue, out: &mut Vec<Step>) {
        out.extend(notice::of(method, params.get()).map(Step::Notice));
        match method {
            "account/updated" | "account/login/completed" => return self.read_account(out),
            "configWarning" | "warning" => return self.warned(params, out),
            _ if !running::is_of_a_turn(method) => return,
            _ => {}
        }
        let Ok(scope) = serde_json::from_str::<wire::Scope<'_>>(params.get()) else { return };
        let Some(key) = self.turn_on(&scope.thread_id) else { return };
        let Some(running) = self.turns.get_mut(&key) else { return };
        let raw_completed = self.capabilities.as_ref().is_some_and(|capabilities| capabilities.raw_completed);
        let raw_items = self.capabilities.as_ref().is_some_and(|capabilities| capabilities.raw_items);
        let outcome =
            running.notified(key, method, scope.turn_id.as_deref(), params, raw_items, raw_completed, out);
        self.come_to(key, outcome, out);
    }

    /// Does what a message about a turn means for it.
    fn come_to(&mut self, key: TurnKey, outcome: running::Outcome, out: &mut Vec<Step>) {
        if outcome != running::Outcome::Goes {
            self.learn(key);
        }
        match outcome {
            running::Outcome::Goes => {}
            running::Outcome::Interrupt => self.request_interrupt(key, out),
            running::Outcome::Ended => self.release(key, out),
            running::Outcome::Kept => self.keep(key, out),
            running::Outcome::Parked => self.park(key, out),
            running::Outcome::Compacted => out.push(Step::Read(key)),
            running::Outcome::NoExactTools => self.begin_again(key, out),
        }
    }

    /// Every request from Codex gets an answer: tool calls when their turn ends, all others at once with a
    /// refusal.
    fn asked(&mut self, id: &Value, method: &str, params: &RawValue, out: &mut Vec<Step>) {
        let refusal = match method {
            "item/tool/call" => {
                let call = serde_json::from_str::<wire::ToolCall>(params.get()).ok();
                let owner = call.and_then(|call| {
                    let key = self.turn_on(&call.thread_id)?;
                    Some((key, call))
                });
                match owner.and_then(|(key, call)| Some((key, self.turns.get_mut(&key)?, call))) {
                    Some((key, running, call)) => {
                        let outcome = running.tool_asked(key, id.clone(), call, out);
                        return self.come_to(key, outcome, out);
                    }
                    None => json!({"contentItems": [], "success": false}),
                }
            }
            "item/commandExecution/requestApproval" | "item/fileChange/requestApproval" => {
                json!({"decision": "decline"})
            }
            "applyPatchApproval" | "execCommandApproval" => json!({"decision": "denied"}),
            "mcpServer/elicitation/request" => json!({"action": "decline", "content": null}),
            _ => {
                tracing::debug!(method, "codex asked for something this proxy does not offer");
                let message = format!("codex-proxy does not offer {method}");
                out.push(Step::Send(jsonrpc::error(id, -32601, &message).into()));
                return;
            }
        };
        out.push(Step::Send(jsonrpc::result(id, &refusal).into()));
    }

    /// Sends Codex an interrupt for a running turn that is over for its owner.
    fn request_interrupt(&mut self, key: TurnKey, out: &mut Vec<Step>) {
        let Some(running) = self.turns.get_mut(&key).filter(|running| running.stage == Stage::Over) else {
            return;
        };
        running.stage = Stage::Interrupted;
        let params = json!({"threadId": running.thread, "turnId": running.turn_id});
        self.requests.make("turn/interrupt", &params, Purpose::Farewell, out);
    }

    fn fail(&mut self, key: TurnKey, error: TurnError, out: &mut Vec<Step>) {
        if let Some(running) = self.turns.get_mut(&key) {
            running.fail(key, error, out);
        }
        self.release(key, out);
    }

    /// Codex has ended the turn: unsubscribes its thread and answers its open requests.
    fn release(&mut self, key: TurnKey, out: &mut Vec<Step>) {
        self.leave_thread(key, out);
        if self.turns.remove(&key).is_some() {
            out.push(Step::Released(key));
        }
    }
}

/// The last user message's content becomes the turn's input. A transcript with another end gets an empty input:
/// versions that need one would otherwise end the turn without a request to the model.
fn take_input(items: &mut Vec<Item>) -> Vec<Part> {
    match items.pop() {
        Some(Item::Message { role: Role::User, content, .. }) if !content.is_empty() => content,
        last => {
            items.extend(last);
            vec![Part::Text(String::new())]
        }
    }
}

fn read<T: DeserializeOwned>(result: Result<&RawValue, RpcError>) -> Result<T, RpcError> {
    serde_json::from_str(result?.get()).map_err(|error| RpcError { code: -32603, message: error.to_string() })
}

#[cfg(test)]
mod tests;
