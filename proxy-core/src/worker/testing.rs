//! A Codex that a test plays: the other ends of a process's pipes, and a pool with such processes.
//!
//! Tests run on paused time, so a wait of a day takes no real time.

use std::collections::VecDeque;
use std::path::Path;
use std::pin::Pin;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines, duplex};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::launch::{Launch, Launcher, Progress};
use super::reason::StartError;
use super::starting::Next;
use super::{CodexHome, Config, Lease, SandboxMode, State, TurnStream, WorkerFacts, WorkerPool};
use crate::codex_install::proofs::ProofGate;
use crate::codex_install::{Finder, Found, Source};
use crate::process::{Child, Pipes, Process};
use protocol::codex::appserver;
use protocol::turn::{Item, Part, Role, Turn, TurnEvent};

/// Longer than any wait: an event that has not come by then never comes.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

/// Waits for a future that must complete.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(NEVER, future).await.unwrap_or_else(|_| panic!("this never came: {what}"))
}

/// The strongest action that was applied to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Nothing,
    AskedToEnd,
    Killed,
}

#[derive(Debug)]
struct PlayedChild {
    status: watch::Sender<Option<ExitStatus>>,
    signal: watch::Sender<Signal>,
}

impl Child for PlayedChild {
    fn id(&self) -> Option<u32> {
        None
    }

    fn wait(&mut self) -> Pin<Box<dyn Future<Output = std::io::Result<ExitStatus>> + Send + '_>> {
        Box::pin(async {
            let mut status = self.status.subscribe();
            let ended = status.wait_for(Option::is_some).await.expect("this end has a sender");
            Ok(ended.expect("it was waited for"))
        })
    }

    fn ask_to_end(&self) -> std::io::Result<()> {
        self.signal.send_replace(Signal::AskedToEnd);
        Ok(())
    }

    fn start_kill(&mut self) -> std::io::Result<()> {
        self.signal.send_replace(Signal::Killed);
        self.status.send_replace(Some(exit_status(9)));
        Ok(())
    }
}

/// The status of a process that exits with this code.
#[cfg(unix)]
pub(crate) fn exit_status(code: u8) -> ExitStatus {
    std::os::unix::process::ExitStatusExt::from_raw(i32::from(code) << 8)
}

/// The status of a process that exits with this code.
#[cfg(windows)]
pub(crate) fn exit_status(code: u8) -> ExitStatus {
    std::os::windows::process::ExitStatusExt::from_raw(u32::from(code))
}

/// A process with its other side played by a test.
pub(crate) fn process() -> (Process, Pipes, Codex) {
    let (stdin, input) = duplex(64 * 1024);
    let (output, stdout) = duplex(64 * 1024);
    let (complaints, stderr) = duplex(64 * 1024);
    let (status, signal) = (watch::Sender::new(None), watch::Sender::new(Signal::Nothing));
    let codex = Codex {
        input: Some(BufReader::new(input).lines()),
        unread: VecDeque::new(),
        output: Some(output),
        complaints,
        status: status.clone(),
        signal: signal.subscribe(),
    };
    let pipes = Pipes { stdin: Box::new(stdin), stdout: Box::new(stdout), stderr: Box::new(stderr) };
    (Process::new(PlayedChild { status, signal }), pipes, codex)
}

/// The other side of a process: `codex app-server` 0.169.0, as far as tests need it.
pub(crate) struct Codex {
    input: Option<Lines<BufReader<DuplexStream>>>,
    /// Messages that were read while another was waited for.
    unread: VecDeque<Value>,
    output: Option<DuplexStream>,
    complaints: DuplexStream,
    status: watch::Sender<Option<ExitStatus>>,
    signal: watch::Receiver<Signal>,
}

impl Codex {
    async fn read(&mut self) -> Option<Value> {
        let input = self.input.as_mut().expect("the input is open");
        let line = soon("a line, or the end of the input", input.next_line()).await.unwrap()?;
        Some(serde_json::from_str(&line).unwrap())
    }

    /// Waits for a message with this method: its id and its parameters.
    pub(crate) async fn asked(&mut self, method: &str) -> (Value, Value) {
        let mut earlier = self.unread.iter().position(|message| message["method"] == method);
        loop {
            if let Some(message) = earlier.take().and_then(|place| self.unread.remove(place)) {
                return (message["id"].clone(), message["params"].clone());
            }
            let message = self.read().await.unwrap_or_else(|| panic!("the input ended before {method}"));
            if message["method"] == method {
                earlier = Some(self.unread.len());
            }
            self.unread.push_back(message);
        }
    }

    /// Whether this has been sent so far, or will be within a second.
    pub(crate) async fn is_asked(&mut self, method: &str) -> bool {
        timeout(Duration::from_secs(1), self.asked(method)).await.is_ok()
    }

    /// Prints this as it is.
    pub(crate) async fn print(&mut self, text: &[u8]) {
        let output = self.output.as_mut().expect("the output is open");
        output.write_all(text).await.unwrap();
    }

    pub(crate) async fn say(&mut self, message: Value) {
        self.print(format!("{message}\n").as_bytes()).await;
    }

    /// Answers the next request with this method. Returns its parameters.
    pub(crate) async fn answer(&mut self, method: &str, result: Value) -> Value {
        let (id, params) = self.asked(method).await;
        self.say(json!({"id": id, "result": result})).await;
        params
    }

    /// Does its part of the handshake, with a provider that needs no sign-in.
    pub(crate) async fn shake_hands(&mut self) {
        self.shake_hands_with(json!({"account": null, "requiresOpenaiAuth": false})).await;
    }

    /// The same, with this account state.
    pub(crate) async fn shake_hands_with(&mut self, account: Value) {
        let agent = "codex-proxy/0.169.0 (Debian 12.0.0; x86_64) xterm (codex-proxy; 1)";
        self.answer("initialize", json!({"userAgent": agent})).await;
        self.asked("initialized").await;
        self.answer("account/read", account).await;
        self.answer("model/list", json!({"data": [], "nextCursor": null})).await;
    }

    /// Handles a turn up to its start. The turn's id is the thread's id with `-turn` at its end.
    pub(crate) async fn begin(&mut self, thread: &str) {
        self.answer("thread/start", json!({"thread": {"id": thread}})).await;
        self.answer("thread/inject_items", json!({})).await;
        self.answer("turn/start", json!({"turn": {"id": format!("{thread}-turn")}})).await;
    }

    /// Sends a notification about the turn on this thread.
    pub(crate) async fn notify(&mut self, thread: &str, method: &str, mut params: Value) {
        params["threadId"] = json!(thread);
        params["turnId"] = json!(format!("{thread}-turn"));
        self.say(json!({"method": method, "params": params})).await;
    }

    /// Sends this text as the model's.
    pub(crate) async fn text(&mut self, thread: &str, text: &str) {
        self.notify(thread, "item/agentMessage/delta", json!({"itemId": "m", "delta": text})).await;
    }

    /// The turn on this thread is over.
    pub(crate) async fn complete(&mut self, thread: &str) {
        let turn = json!({"id": format!("{thread}-turn"), "status": "completed", "error": null});
        self.notify(thread, "turn/completed", json!({ "turn": turn })).await;
    }

    /// Prints on stderr.
    pub(crate) async fn complain(&mut self, text: &str) {
        self.complaints.write_all(text.as_bytes()).await.unwrap();
    }

    /// Ends, with all its pipes.
    pub(crate) fn exit(self, code: u8) {
        self.status.send_replace(Some(exit_status(code)));
    }

    pub(crate) fn close_input(&mut self) {
        self.input = None;
    }

    pub(crate) fn close_output(&mut self) {
        self.output = None;
    }

    /// Waits until nothing more can come.
    pub(crate) async fn input_ended(&mut self) {
        while let Some(message) = self.read().await {
            self.unread.push_back(message);
        }
    }

    /// The actions applied to the process so far.
    pub(crate) fn signal(&self) -> Signal {
        *self.signal.borrow()
    }

    /// Waits until the process has been killed.
    pub(crate) async fn killed(&mut self) {
        let killed = self.signal.wait_for(|signal| *signal == Signal::Killed);
        soon("the end of the process", killed).await.unwrap();
    }
}

/// Processes that a test plays.
#[derive(Debug)]
struct Played {
    started: mpsc::UnboundedSender<Codex>,
    /// Starts that fail, before the first one that does not.
    refusals: Mutex<VecDeque<StartError>>,
}

impl std::fmt::Debug for Codex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Codex").field("unread", &self.unread).finish_non_exhaustive()
    }
}

#[async_trait]
impl Launcher for Played {
    async fn launch(&self, progress: &Progress<'_>) -> Result<Launch, StartError> {
        let path = Path::new("/codex");
        progress(path, Next::Handshake);
        if let Some(error) = self.refusals.lock().unwrap().pop_front() {
            return Err(error);
        }
        let (process, pipes, codex) = process();
        self.started.send(codex).map_err(|_| StartError::Shutdown)?;
        let codex = Found { path: path.to_owned(), source: Source::Setting, version: None, in_use: None };
        Ok(Launch { process, pipes, settings: settings(), codex })
    }
}

/// The driver's settings in tests.
pub(crate) fn settings() -> appserver::Settings {
    appserver::Settings {
        workdir: "/work".into(),
        sandbox: "read-only",
        no_catalogue: None,
        search_catalogue: None,
        windows: std::collections::BTreeMap::new(),
        effort_with_turn: false,
        client_version: "0.0.0",
    }
}

/// A pool with processes that the test plays.
pub(crate) struct Bench {
    pub(crate) pool: WorkerPool,
    pub(crate) tasks: TaskTracker,
    pub(crate) shutdown: CancellationToken,
    started: mpsc::UnboundedReceiver<Codex>,
    _home: TempDir,
}

impl Bench {
    pub(crate) fn start(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_refusing([], change)
    }

    /// A pool with first starts that fail like this.
    pub(crate) fn start_refusing(
        refusals: impl IntoIterator<Item = StartError>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let home = TempDir::new().unwrap();
        let mut config = config(home.path());
        change(&mut config);
        let (sender, started) = mpsc::unbounded_channel();
        let refusals = Mutex::new(refusals.into_iter().collect());
        let launcher: Arc<dyn Launcher> = Arc::new(Played { started: sender, refusals });
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let pool = WorkerPool::start_with(&launcher, config, &tasks, shutdown.clone());
        Self { pool, tasks, shutdown, started, _home: home }
    }

    /// The next process, before its handshake.
    pub(crate) async fn started(&mut self) -> Codex {
        soon("a process", self.started.recv()).await.expect("the pool is there")
    }

    /// The next process, once its worker takes turns on it.
    pub(crate) async fn ready(&mut self) -> Codex {
        let mut codex = self.started().await;
        codex.shake_hands().await;
        self.until("a worker is ready", |worker| worker.state == State::Ready).await;
        codex
    }

    /// Whether a process is started within a second.
    pub(crate) async fn is_started(&mut self) -> bool {
        timeout(Duration::from_secs(1), self.started.recv()).await.is_ok()
    }

    /// Waits until the facts of some worker satisfy the condition. Returns them.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&WorkerFacts) -> bool) -> WorkerFacts {
        let mut facts = self.pool.watch();
        let found = soon(what, facts.wait_for(|workers| workers.iter().any(&is_so))).await.unwrap();
        found.iter().find(|worker| is_so(worker)).unwrap().clone()
    }

    /// The facts of the first worker.
    pub(crate) fn worker(&self) -> WorkerFacts {
        self.pool.watch().borrow()[0].clone()
    }

    pub(crate) async fn lease(&self) -> Lease {
        soon("a place", self.pool.acquire()).await.unwrap()
    }

    /// Starts a turn on `codex`, which must have the pool's next place.
    pub(crate) async fn turn(&self, codex: &mut Codex, thread: &str) -> TurnStream {
        let mut stream = self.lease().await.start(turn(), None).await.unwrap();
        codex.begin(thread).await;
        assert_eq!(next(&mut stream).await, TurnEvent::Started);
        stream
    }

    /// Shuts the proxy down, and waits until all its tasks have ended.
    pub(crate) async fn shut_down(&self) {
        self.shutdown.cancel();
        self.tasks.close();
        soon("the end of all tasks", self.tasks.wait()).await;
    }
}

fn config(home: &Path) -> Config {
    let seconds = Duration::from_secs;
    Config {
        codex: Finder { bin: Some("/codex".into()), dir: home.to_owned(), path: None, legacy: false },
        home: CodexHome::Given(home.to_owned()),
        workdir: home.to_owned(),
        cache_dir: home.join("cache"),
        records_dir: home.join("workers"),
        provider: None,
        sandbox: SandboxMode::ReadOnly,
        count: 1,
        startup_timeout: seconds(30),
        shutdown_grace: seconds(5),
        ready_wait: seconds(10),
        max_concurrency: 8,
        max_total: 64,
        queue_limit: 8,
        queue_timeout: seconds(60),
        drain_timeout: seconds(300),
        // Most tests do not need health checks. The first one comes at once.
        look_interval: 7 * NEVER,
        ping_timeout: 7 * NEVER,
        max_age: None,
        max_turns: 0,
        max_resident_bytes: 0,
        hidden_env: vec![],
        env: vec![],
        effort_with_turn: false,
        proof_gate: ProofGate::open(),
        use_app_server: true,
    }
}

/// A turn with a short question.
pub(crate) fn turn() -> Turn {
    let mut turn = Turn::new("m");
    turn.items.push(Item::Message { role: Role::User, content: vec![Part::Text("hi".into())], phase: None });
    turn
}

/// The next event, which must exist.
pub(crate) async fn next(stream: &mut TurnStream) -> TurnEvent {
    soon("an event", stream.next()).await.expect("the turn has not ended")
}

/// All remaining events of a turn.
pub(crate) async fn rest(stream: &mut TurnStream) -> Vec<TurnEvent> {
    let mut events = Vec::new();
    while let Some(event) = soon("the rest of a turn", stream.next()).await {
        events.push(event);
    }
    events
}
