//! One child from its start to its end: the actor between the child's pipes and the protocol's driver.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::kept::Keeper;
use super::lines::{LONGEST_MESSAGE, Line, LineReader, TOO_LONG};
use super::notices::{SessionId, Voice};
use super::pipes::{LastWords, log_complaints, write_lines};
use super::place::Place;
use super::process::{Pipes, Process};
use super::stream::{self, Flow, Receiver, Sender};
use crate::codex::jsonrpc::RpcError;
use crate::codex::{self, Account, CallKey, Capabilities, Driver, Handshake, Step, TurnKey};
use crate::turn::{Catalogue, Turn, TurnError, TurnErrorKind, TurnEvent};

/// How long a child that has ended, or is about to, is listened to.
const LAST_MOMENTS: Duration = Duration::from_secs(1);

/// Lines that may wait to be written; a child that reads none for so long is stuck.
const MAX_UNWRITTEN: usize = 4096;

/// What an owner asks of a session.
#[derive(Debug)]
enum Command {
    Start(TurnKey, Box<Turn>, Sender, Place),
    Interrupt(TurnKey),
    Call(String, Value, oneshot::Sender<Result<Value, RpcError>>),
}

/// A session that has done its handshake. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    id: SessionId,
    /// Unbounded, but holds no more than two entries a turn; turns are limited by the pool.
    commands: mpsc::UnboundedSender<Command>,
    worker: usize,
    capabilities: Capabilities,
    catalogue: Arc<Catalogue>,
    account: watch::Receiver<Option<Account>>,
    next_key: AtomicU64,
    heard: Arc<AtomicU64>,
    keeper: Keeper,
}

/// How a session ended.
#[derive(Debug)]
pub struct Ended {
    /// Why, for the log and for people.
    pub reason: String,
    /// Whether the process was refused, and `reason` says all that a person needs.
    pub unfit: bool,
    /// A record of the conversation that Codex wrote unasked.
    pub record: Option<PathBuf>,
}

impl Handle {
    /// Which session this is.
    pub fn id(&self) -> SessionId {
        self.shared.id
    }

    /// What this Codex can do.
    pub fn capabilities(&self) -> &Capabilities {
        &self.shared.capabilities
    }

    /// The models this Codex offers.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.shared.catalogue.clone()
    }

    /// Which worker this is, from 0.
    pub fn worker(&self) -> usize {
        self.shared.worker
    }

    /// Whether the session has ended.
    pub fn is_closed(&self) -> bool {
        self.shared.commands.is_closed()
    }

    /// Lines the child has printed so far: a sign of life.
    pub fn lines_heard(&self) -> u64 {
        self.shared.heard.load(Ordering::Relaxed)
    }

    /// Waits until the session has ended.
    pub async fn closed(&self) {
        self.shared.commands.closed().await;
    }

    /// Who keeps the process besides its turns.
    pub fn keeper(&self) -> &Keeper {
        &self.shared.keeper
    }

    /// Who is signed in, once Codex has said so.
    pub async fn account(&self) -> Option<Account> {
        let mut account = self.shared.account.clone();
        let known = account.wait_for(Option::is_some).await;
        known.ok().and_then(|account| *account)
    }

    /// Waits until Codex knows that nobody is signed in, or has ended.
    pub async fn signed_out(&self) {
        let mut account = self.shared.account.clone();
        // An error says that the session has ended.
        let _ = account.wait_for(|account| *account == Some(Account::SignedOut)).await;
    }

    /// Starts a turn on `place`.
    ///
    /// # Errors
    /// When this Codex cannot run such a turn, or the session has ended.
    pub fn start(&self, turn: Turn, place: Place) -> Result<TurnStream, TurnError> {
        codex::check(&turn, self.capabilities())?;
        let key = TurnKey(self.shared.next_key.fetch_add(1, Ordering::Relaxed));
        let (sender, receiver) = stream::channel();
        let command = Command::Start(key, Box::new(turn), sender, place);
        if self.shared.commands.send(command).is_err() {
            return Err(lost());
        }
        Ok(TurnStream { key, receiver, session: self.clone(), ended: false })
    }

    /// Makes a plain call.
    ///
    /// # Errors
    /// Codex's refusal, or that the session has ended.
    pub async fn call(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        let (reply, answer) = oneshot::channel();
        let gone = || RpcError { code: -32000, message: "the Codex worker has ended".into() };
        let command = Command::Call(method.to_owned(), params, reply);
        self.shared.commands.send(command).map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

fn lost() -> TurnError {
    TurnError::new(TurnErrorKind::WorkerExited, "The Codex worker has just ended. Try again.")
        .retry_after(Duration::from_secs(1))
}

/// A turn's events. Dropping it before the end interrupts the turn.
#[derive(Debug)]
pub struct TurnStream {
    key: TurnKey,
    receiver: Receiver,
    session: Handle,
    ended: bool,
}

impl TurnStream {
    /// The next event; `None` after the terminal one.
    pub async fn next(&mut self) -> Option<TurnEvent> {
        let event = self.receiver.recv().await;
        self.ended = event.as_ref().is_none_or(TurnEvent::is_terminal);
        event
    }
}

impl Drop for TurnStream {
    fn drop(&mut self) {
        if !self.ended {
            // A session that has ended has no turn to interrupt.
            let _ = self.session.shared.commands.send(Command::Interrupt(self.key));
        }
    }
}

/// How many turns a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Any number, many at once.
    ManyTurns,
    /// One; once it is over, the process has little time to go.
    OneTurn,
}

/// How long a process may leave a turn unended that is over for its client, if it ends no other turn either.
const STUCK: Duration = Duration::from_secs(10);

/// Why a session ends whose process gives no sign of life: it is not waited for.
pub const UNRESPONSIVE: &str = "it no longer answered (WORKER_PING_TIMEOUT_MS)";

/// How long a process that is for one turn may stay once the turn is over.
const ONE_TURN_GRACE: Duration = Duration::from_secs(2);

/// Runs a session to its end. The handle is given out through `ready` once the handshake is done; `stop` ends
/// the session: its stdin is closed and the process is given `grace` to go.
#[expect(clippy::too_many_arguments, reason = "everything a session is made of, in one place")]
pub async fn run(
    worker: usize,
    voice: Voice,
    process: Process,
    pipes: Pipes,
    start: impl FnOnce(&mut Vec<Step>) -> Driver,
    ready: oneshot::Sender<Handle>,
    stop: impl Future<Output = &'static str>,
    lifetime: Lifetime,
    grace: Duration,
) -> Ended {
    let (lines, unwritten) = mpsc::channel(MAX_UNWRITTEN);
    let (commands, mut inbox) = mpsc::unbounded_channel();
    let mut steps = Vec::new();
    let driver = start(&mut steps);
    let mut actor = Actor {
        driver,
        lines: Some(lines),
        worker,
        voice,
        turns: HashMap::new(),
        places: HashMap::new(),
        calls: HashMap::new(),
        next_call: 0,
        account: watch::Sender::new(None),
        ready: Some((ready, commands)),
        record: None,
        lifetime,
        over_at: None,
        leaving: VecDeque::new(),
        last_released: Instant::now(),
        heard: Arc::default(),
        fatal: None,
        unfit: false,
    };
    actor.perform(&mut steps);
    let mut process = process;
    let reason = actor.work(pipes, unwritten, &mut inbox, &mut process, stop).await;
    // A command that was being sent just now would stay in a channel that is merely dropped, and its owner would
    // wait for ever: its own handle keeps the channel alive. Receiving to the end waits for it.
    inbox.close();
    while inbox.recv().await.is_some() {}
    let record = actor.record.take();
    let unfit = actor.unfit;
    drop(actor);
    let grace = if reason == UNRESPONSIVE { Duration::ZERO } else { grace };
    process.end(grace).await;
    Ended { reason, unfit, record }
}

struct Actor {
    driver: Driver,
    /// Where lines for the child go; `None` once it is not to be written to any more.
    lines: Option<mpsc::Sender<String>>,
    worker: usize,
    voice: Voice,
    turns: HashMap<TurnKey, Sender>,
    places: HashMap<TurnKey, Place>,
    calls: HashMap<CallKey, oneshot::Sender<Result<Value, RpcError>>>,
    next_call: u64,
    account: watch::Sender<Option<Account>>,
    ready: Option<(oneshot::Sender<Handle>, mpsc::UnboundedSender<Command>)>,
    record: Option<PathBuf>,
    lifetime: Lifetime,
    /// When a process that is for one turn has had its time after it.
    over_at: Option<Instant>,
    /// Turns that are over for their clients, oldest first; some have been ended since.
    leaving: VecDeque<(TurnKey, Instant)>,
    last_released: Instant,
    /// Lines the child has printed.
    heard: Arc<AtomicU64>,
    fatal: Option<String>,
    unfit: bool,
}

/// Everything that can happen to a session.
enum Event<'a> {
    Line(std::io::Result<Line<'a>>),
    Command(Command),
    Exited(std::io::Result<std::process::ExitStatus>),
    Stop(&'static str),
    WriteFailed(std::io::Error),
}

impl Actor {
    /// Works until the session is over. Returns why.
    async fn work(
        &mut self,
        pipes: Pipes,
        unwritten: mpsc::Receiver<String>,
        inbox: &mut mpsc::UnboundedReceiver<Command>,
        process: &mut Process,
        stop: impl Future<Output = &'static str>,
    ) -> String {
        let mut reader = LineReader::new(pipes.stdout, LONGEST_MESSAGE);
        let last_words = LastWords::default();
        // A task of its own: however much is said there, the protocol is not kept waiting.
        let complaints =
            AbortOnDropHandle::new(tokio::spawn(log_complaints(pipes.stderr, last_words.clone())));
        let mut writer = std::pin::pin!(write_lines(pipes.stdin, unwritten));
        let mut stop = std::pin::pin!(stop);
        let mut steps = Vec::new();
        loop {
            let event = tokio::select! {
                biased;
                reason = &mut stop => Event::Stop(reason),
                Err(error) = &mut writer => Event::WriteFailed(error),
                () = at(self.stuck_at()) => Event::Stop("it did not end a turn that was given up"),
                () = at(self.over_at) => Event::Stop("it did not end after its turn"),
                Some(command) = inbox.recv() => Event::Command(command),
                line = reader.next() => Event::Line(line),
                status = process.wait() => Event::Exited(status),
            };
            match event {
                Event::Stop(reason) => return reason.to_owned(),
                Event::WriteFailed(error) => {
                    let Ok(status) = timeout(LAST_MOMENTS, process.wait()).await else {
                        return format!("it could not be written to: {error}");
                    };
                    return exit_reason(status, complaints, &last_words).await;
                }
                Event::Exited(status) => {
                    return exit_reason(status, complaints, &last_words).await;
                }
                Event::Line(Ok(Line::Text(line))) => {
                    self.heard.fetch_add(1, Ordering::Relaxed);
                    self.driver.receive(line, &mut steps);
                }
                // Whose line it was cannot be known, and its turn would wait for it for ever.
                Event::Line(Ok(Line::TooLong)) => return TOO_LONG.to_owned(),
                Event::Line(Ok(Line::NotText)) => self.driver.heard_no_text(&mut steps),
                Event::Line(Ok(Line::End)) => {
                    let Ok(status) = timeout(LAST_MOMENTS, process.wait()).await else {
                        return "it closed its output".to_owned();
                    };
                    return exit_reason(status, complaints, &last_words).await;
                }
                Event::Line(Err(error)) => return format!("it could not be read from: {error}"),
                Event::Command(command) => self.command(command, &mut steps),
            }
            self.perform(&mut steps);
            if let Some(reason) = self.fatal.take() {
                return reason;
            }
        }
    }

    fn command(&mut self, command: Command, steps: &mut Vec<Step>) {
        match command {
            Command::Start(key, turn, sender, place) => {
                self.turns.insert(key, sender);
                self.places.insert(key, place);
                self.driver.start(key, *turn, steps);
            }
            Command::Interrupt(key) => {
                self.turns.remove(&key);
                self.driver.interrupt(key, steps);
                self.turn_over(key);
            }
            Command::Call(method, params, reply) => {
                let key = CallKey(self.next_call);
                self.next_call += 1;
                self.calls.insert(key, reply);
                self.driver.call(key, &method, &params, steps);
            }
        }
    }

    fn perform(&mut self, steps: &mut Vec<Step>) {
        let mut stopped = Vec::new();
        for step in steps.drain(..) {
            match step {
                Step::Send(line) => self.write(line),
                Step::SendFor(key, line) => {
                    if let Some(place) = self.places.get(&key) {
                        place.sent(&line);
                    }
                    self.write(line);
                }
                Step::Emit(key, event) => {
                    if let (TurnEvent::Usage(usage), Some(place)) = (&event, self.places.get(&key)) {
                        place.used(*usage);
                    }
                    let terminal = event.is_terminal();
                    let flow = self.turns.get(&key).map(|sender| sender.send(event));
                    if terminal {
                        self.turns.remove(&key);
                        self.turn_over(key);
                    } else if flow == Some(Flow::Stops) {
                        stopped.push(key);
                    }
                }
                Step::Released(key) => {
                    self.turns.remove(&key);
                    self.places.remove(&key);
                    self.last_released = Instant::now();
                }
                Step::Ready(handshake) => self.give_out(handshake),
                Step::Account(account) => {
                    self.account.send_replace(Some(account));
                }
                Step::Notice(notice) => self.voice.tell(notice),
                Step::Answer(key, answer) => {
                    if let Some(reply) = self.calls.remove(&key) {
                        // Whoever asked may have stopped waiting.
                        let _ = reply.send(answer);
                    }
                }
                Step::Fatal(reason) => self.fatal = Some(reason),
                Step::Unfit(reason) => {
                    self.fatal = Some(reason);
                    self.unfit = true;
                }
            }
        }
        for key in stopped {
            self.turns.remove(&key);
            self.driver.interrupt(key, steps);
            self.turn_over(key);
        }
        if !steps.is_empty() {
            self.perform(steps);
        }
    }

    /// A turn is over for its client; the process has yet to end it.
    fn turn_over(&mut self, key: TurnKey) {
        self.leaving.push_back((key, Instant::now()));
        if self.lifetime == Lifetime::OneTurn && self.over_at.is_none() {
            self.over_at = Some(Instant::now() + ONE_TURN_GRACE);
        }
    }

    /// When the process has taken too long to end a turn.
    fn stuck_at(&mut self) -> Option<Instant> {
        while self.leaving.front().is_some_and(|(key, _)| !self.places.contains_key(key)) {
            self.leaving.pop_front();
        }
        let (_, since) = self.leaving.front()?;
        Some(self.last_released.max(*since) + STUCK)
    }

    fn write(&mut self, line: String) {
        if let Some(Err(error)) = self.lines.as_ref().map(|lines| lines.try_send(line)) {
            self.fatal = Some(match error {
                mpsc::error::TrySendError::Full(_) => "it has stopped reading its input".to_owned(),
                mpsc::error::TrySendError::Closed(_) => "its input is closed".to_owned(),
            });
        }
    }

    fn give_out(&mut self, handshake: Handshake) {
        let Some((ready, commands)) = self.ready.take() else { return };
        self.record = handshake.record;
        let shared = Shared {
            id: self.voice.session,
            commands,
            worker: self.worker,
            capabilities: handshake.capabilities,
            catalogue: Arc::new(handshake.catalogue),
            account: self.account.subscribe(),
            next_key: AtomicU64::new(1),
            heard: self.heard.clone(),
            keeper: Keeper::default(),
        };
        if ready.send(Handle { shared: Arc::new(shared) }).is_err() {
            self.fatal = Some("nobody waits for it any more".into());
        }
    }
}

/// How a child ended, and the last it had to say.
async fn exit_reason(
    status: std::io::Result<std::process::ExitStatus>,
    complaints: AbortOnDropHandle<()>,
    last_words: &LastWords,
) -> String {
    // A grandchild may hold the pipe open; what has been said so far will do then.
    let _ = timeout(LAST_MOMENTS, complaints).await;
    let last_words = last_words.text();
    match status {
        Ok(status) if last_words.is_empty() => format!("it ended with {status}"),
        Ok(status) => format!("it ended with {status}, saying: {last_words}"),
        Err(error) => format!("it could not be waited for: {error}"),
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
