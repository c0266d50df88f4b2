//! One child from its start to its end: the actor between the child's pipes and the protocol's driver.

mod handle;
#[cfg(test)]
pub(crate) mod testing;

pub use handle::{CallError, Handle, TurnStream};

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::active_turn::ActiveTurn;
use super::hold::Holds;
use super::lines::{LONGEST_MESSAGE, Line, LineReader, TOO_LONG};
use super::notices::Voice;
use super::pipes::{LastWords, log_complaints, write_lines};
use super::process::{Pipes, Process};
use super::stream::Sender;
use handle::{Command, Shared};
use protocol::codex::jsonrpc::RpcError;
use protocol::codex::{self, Account, CallKey, Driver, Handshake, Step, TurnKey};
use protocol::turn::TurnEvent;

/// How long a child that has ended, or is about to, is listened to.
const LAST_MOMENTS: Duration = Duration::from_secs(1);

/// Lines that may wait to be written; a child that reads none for so long is stuck.
const MAX_UNWRITTEN: usize = 4096;

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

/// Why a process is ended, or replaced, that leaves a turn unended.
const STUCK_REASON: &str = "it did not end a turn that was given up";

/// How long a process is left alone that has no room for what it is asked.
const PAUSE: Duration = Duration::from_millis(100);

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
    mut process: Process,
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
        active: HashMap::new(),
        calls: HashMap::new(),
        next_call: 0,
        account: watch::Sender::new(None),
        ready: Some((ready, commands)),
        record: None,
        lifetime,
        over_at: None,
        leaving: VecDeque::new(),
        last_released: Instant::now(),
        go_on_at: None,
        worn: Arc::default(),
        heard: Arc::default(),
        fatal: None,
        unfit: false,
    };
    actor.perform(&mut steps);
    let reason = actor.work(pipes, unwritten, &mut inbox, &mut process, stop).await;
    // A command that was being sent just now would stay in a channel that is merely dropped, and its owner would
    // wait for ever: its own handle keeps the channel alive. Receiving to the end waits for it.
    inbox.close();
    while inbox.recv().await.is_some() {}
    let (record, unfit) = (actor.record.take(), actor.unfit);
    drop(actor);
    let grace = if reason == UNRESPONSIVE { Duration::ZERO } else { grace };
    process.end(grace).await;
    Ended { reason, unfit, record }
}

struct Actor {
    driver: Driver,
    /// Where lines for the child go; `None` once it is not to be written to any more.
    lines: Option<mpsc::Sender<codex::Line>>,
    worker: usize,
    voice: Voice,
    turns: HashMap<TurnKey, Sender>,
    active: HashMap<TurnKey, ActiveTurn>,
    calls: HashMap<CallKey, oneshot::Sender<Result<String, RpcError>>>,
    next_call: u64,
    account: watch::Sender<Option<Account>>,
    ready: Option<(oneshot::Sender<Handle>, mpsc::UnboundedSender<Command>)>,
    record: Option<PathBuf>,
    lifetime: Lifetime,
    /// When a process that is for one turn has had its time after it.
    over_at: Option<Instant>,
    /// Turns that are over for their clients, oldest first; some have been ended since.
    leaving: VecDeque<(TurnKey, Instant)>,
    /// When a turn was last ended, or the process given up for one that was not.
    last_released: Instant,
    /// When requests that the process had no room for are sent again.
    go_on_at: Option<Instant>,
    /// Told when the process is to be replaced.
    worn: Arc<Notify>,
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
    /// A turn that is over for its client has not been ended in time.
    Stuck,
    GoOn,
    WriteFailed(std::io::Error),
}

impl Actor {
    /// Works until the session is over. Returns why.
    async fn work(
        &mut self,
        pipes: Pipes,
        unwritten: mpsc::Receiver<codex::Line>,
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
                () = at(self.stuck_at()) => Event::Stuck,
                () = at(self.go_on_at) => Event::GoOn,
                () = at(self.over_at) => Event::Stop("it did not end after its turn"),
                Some(command) = inbox.recv() => Event::Command(command),
                line = reader.next() => Event::Line(line),
                status = process.wait() => Event::Exited(status),
            };
            match event {
                Event::Stop(reason) => return reason.to_owned(),
                Event::Stuck if self.turns.is_empty() => return STUCK_REASON.to_owned(),
                // The others go on: a new process takes over, and this one stays until they are done.
                Event::Stuck => {
                    tracing::warn!(worker = self.worker, reason = STUCK_REASON, "codex is to be replaced");
                    self.last_released = Instant::now();
                    self.worn.notify_one();
                }
                Event::GoOn => {
                    self.go_on_at = None;
                    self.driver.go_on(&mut steps);
                }
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
                Event::Line(Ok(Line::TooLong(head))) => {
                    // Of a line that is nobody's for sure, somebody's turn would wait for ever.
                    if !self.driver.receive_too_long(head, LONGEST_MESSAGE, &mut steps) {
                        return TOO_LONG.to_owned();
                    }
                }
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
            Command::Start(key, turn, sender, active) => {
                self.turns.insert(key, sender);
                self.active.insert(key, active);
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
                self.driver.call(key, method, &params, steps);
            }
        }
    }

    fn perform(&mut self, steps: &mut Vec<Step>) {
        let mut stopped = Vec::new();
        for step in steps.drain(..) {
            match step {
                Step::Send(line) => self.write(line),
                Step::SendFor(key, line) => {
                    if let Some(active) = self.active.get(&key) {
                        active.sent(&line);
                    }
                    self.write(line);
                }
                Step::Emit(key, event) => {
                    if let (TurnEvent::Usage(usage), Some(active)) = (&event, self.active.get(&key)) {
                        active.used(*usage);
                    }
                    if let (TurnEvent::Started, Some(active)) = (&event, self.active.get_mut(&key)) {
                        active.started();
                    }
                    let terminal = event.is_terminal();
                    let flow = self.turns.get(&key).map(|sender| sender.send(event));
                    if terminal {
                        self.turns.remove(&key);
                        self.turn_over(key);
                    } else if flow == Some(ControlFlow::Break(())) {
                        stopped.push(key);
                    }
                }
                Step::Released(key) => {
                    self.turns.remove(&key);
                    self.active.remove(&key);
                    self.last_released = Instant::now();
                }
                Step::Pause => self.go_on_at = Some(Instant::now() + PAUSE),
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
        while self.leaving.front().is_some_and(|(key, _)| !self.active.contains_key(key)) {
            self.leaving.pop_front();
        }
        let (_, since) = self.leaving.front()?;
        Some(self.last_released.max(*since) + STUCK)
    }

    fn write(&mut self, line: codex::Line) {
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
            worn: self.worn.clone(),
            keeper: Holds::default(),
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
