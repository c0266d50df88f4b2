//! One child process from its start to its end: the actor between the child's pipes and the protocol's driver.

mod handle;
mod records;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod turns;

pub use handle::{CallError, Handle, KeptThread, TurnStream};

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::hold::Holds;
use super::lines::{LONGEST_MESSAGE, Line, LineReader};
use super::notices::Voice;
use super::pipes::{LastWords, log_complaints, write_lines};
use super::reason::{EndReason, StopReason};
use crate::process::{Pipes, Process};
use handle::{Command, Shared};
use protocol::codex::jsonrpc::RpcError;
use protocol::codex::{self, Account, CallKey, Driver, Handshake, Step, ThreadId, TurnKey};
use records::{Found, Records};
use turns::Turns;

/// How long the output of a child is still read after it has ended, or when it is about to end.
const LAST_MOMENTS: Duration = Duration::from_secs(1);

/// The most lines that wait to be written; a child that reads none of so many is stuck.
const MAX_UNWRITTEN: usize = 4096;

/// How a session ended.
#[derive(Debug)]
pub struct Ended {
    /// The reason.
    pub reason: EndReason,
    /// A record of the conversation that Codex wrote without being asked.
    pub record: Option<PathBuf>,
}

/// How many turns a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Any number, many at once.
    ManyTurns,
    /// One; after it, the process gets only a short time to end.
    OneTurn,
}

/// The pause before requests are sent again that the process had no room for.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a process for one turn may stay after the turn is over.
const ONE_TURN_GRACE: Duration = Duration::from_secs(2);

/// The parts of a session.
#[derive(Debug)]
pub struct Parts {
    /// The worker's number, from 0.
    pub worker: usize,
    /// The sender of account notices.
    pub voice: Voice,
    /// The child.
    pub process: Process,
    /// The child's pipes.
    pub pipes: Pipes,
    /// How many turns it is for.
    pub lifetime: Lifetime,
    /// How long the child may take to end after its input is closed, and again after the request to end.
    pub grace: Duration,
}

impl Parts {
    /// Runs a session to its end. `start` makes the driver. The handle is sent through `ready` once the handshake
    /// is done; `stop` ends the session: the child's stdin is closed and the child gets its grace period.
    pub async fn run(
        self,
        start: impl FnOnce(&mut Vec<Step>) -> Driver,
        ready: oneshot::Sender<Handle>,
        stop: impl Future<Output = StopReason>,
    ) -> Ended {
        let Self { worker, voice, mut process, pipes, lifetime, grace } = self;
        let (lines, unwritten) = mpsc::channel(MAX_UNWRITTEN);
        let (commands, mut inbox) = mpsc::unbounded_channel();
        let mut steps = Vec::new();
        let driver = start(&mut steps);
        let mut actor = Actor {
            driver,
            lines,
            worker,
            voice,
            turns: Turns::new(),
            calls: HashMap::new(),
            warming: HashMap::new(),
            next_call: 0,
            account: watch::Sender::new(None),
            ready: Some((ready, commands)),
            record: None,
            records: Records::default(),
            lifetime,
            over_at: None,
            go_on_at: None,
            worn: Arc::default(),
            heard: Arc::default(),
            failed: None,
        };
        actor.perform(&mut steps);
        let reason = actor.work(pipes, unwritten, &mut inbox, &mut process, stop).await;
        // A command that is being sent at this moment would stay in a channel that is merely dropped, and its
        // owner would wait forever, because its own handle keeps the channel alive. Receiving to the end avoids
        // this.
        inbox.close();
        while inbox.recv().await.is_some() {}
        let record = actor.record.take();
        let records = std::mem::take(&mut actor.records);
        drop(actor);
        let is_waited_for = reason != EndReason::Stopped(StopReason::Unresponsive);
        process.end(if is_waited_for { grace } else { Duration::ZERO }).await;
        // The process is the one that writes them.
        drop(records);
        Ended { reason, record }
    }
}

struct Actor {
    driver: Driver,
    /// The sender of lines for the child.
    lines: mpsc::Sender<codex::Line>,
    worker: usize,
    voice: Voice,
    turns: Turns,
    calls: HashMap<CallKey, oneshot::Sender<Result<String, RpcError>>>,
    /// Where threads go that are started ahead.
    warming: HashMap<CallKey, oneshot::Sender<ThreadId>>,
    next_call: u64,
    account: watch::Sender<Option<Account>>,
    ready: Option<(oneshot::Sender<Handle>, mpsc::UnboundedSender<Command>)>,
    record: Option<PathBuf>,
    /// The transcripts that Codex writes because it compacts them.
    records: Records,
    lifetime: Lifetime,
    /// When a process for one turn has to end after it.
    over_at: Option<Instant>,
    /// When requests are sent again that the process had no room for.
    go_on_at: Option<Instant>,
    /// Notified when the process is to be replaced.
    worn: Arc<Notify>,
    /// Lines the child has printed.
    heard: Arc<AtomicU64>,
    /// Why the session ends, once an event has decided it.
    failed: Option<EndReason>,
}

/// Everything that can happen to a session.
enum Event<'a> {
    Line(std::io::Result<Line<'a>>),
    Command(Command),
    Exited(std::io::Result<std::process::ExitStatus>),
    Stop(StopReason),
    /// A turn that is over for its owner has not been ended in time.
    Stuck,
    GoOn,
    /// The compact form of a turn's transcript was read.
    Read(TurnKey, Found),
    WriteFailed(std::io::Error),
}

impl Actor {
    /// Works until the session is over. Returns the reason.
    async fn work(
        &mut self,
        pipes: Pipes,
        unwritten: mpsc::Receiver<codex::Line>,
        inbox: &mut mpsc::UnboundedReceiver<Command>,
        process: &mut Process,
        stop: impl Future<Output = StopReason>,
    ) -> EndReason {
        let mut reader = LineReader::new(pipes.stdout, LONGEST_MESSAGE);
        let last_words = LastWords::default();
        // A separate task, so that much output on stderr does not delay the protocol.
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
                () = at(self.turns.stuck_at()) => Event::Stuck,
                () = at(self.go_on_at) => Event::GoOn,
                () = at(self.over_at) => Event::Stop(StopReason::TurnOver),
                Some(command) = inbox.recv() => Event::Command(command),
                Some((key, found)) = self.records.next() => Event::Read(key, found),
                line = reader.next() => Event::Line(line),
                status = process.wait() => Event::Exited(status),
            };
            match event {
                Event::Stop(reason) => return EndReason::Stopped(reason),
                Event::Stuck if !self.turns.any_attached() => return EndReason::Stuck,
                // The other turns continue: a new process takes over, and this one stays until they are done.
                Event::Stuck => {
                    tracing::warn!(worker = self.worker, reason = %EndReason::Stuck, "codex is to be replaced");
                    self.turns.forgive();
                    self.worn.notify_one();
                }
                Event::GoOn => {
                    self.go_on_at = None;
                    self.driver.go_on(&mut steps);
                }
                Event::Read(key, found) => self.driver.was_read(key, found, &mut steps),
                Event::WriteFailed(error) => {
                    let Ok(status) = timeout(LAST_MOMENTS, process.wait()).await else {
                        return EndReason::Unwritable(error.to_string());
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
                    // The line's turn cannot be found, so that turn would wait for it forever.
                    if !self.driver.receive_too_long(head, LONGEST_MESSAGE, &mut steps) {
                        return EndReason::TooLong;
                    }
                }
                Event::Line(Ok(Line::NotText)) => self.driver.heard_no_text(&mut steps),
                Event::Line(Ok(Line::End)) => {
                    let Ok(status) = timeout(LAST_MOMENTS, process.wait()).await else {
                        return EndReason::OutputClosed;
                    };
                    return exit_reason(status, complaints, &last_words).await;
                }
                Event::Line(Err(error)) => return EndReason::Unreadable(error.to_string()),
                Event::Command(command) => self.command(command, &mut steps),
            }
            self.perform(&mut steps);
            if let Some(reason) = self.failed.take() {
                return reason;
            }
        }
    }

    fn command(&mut self, command: Command, steps: &mut Vec<Step>) {
        match command {
            Command::Start(key, turn, attached) => {
                self.turns.begin(key, attached);
                self.driver.start(key, *turn, steps);
            }
            Command::Extend(key, thread, turn, attached) => {
                self.turns.begin(key, attached);
                self.driver.extend(key, &thread, *turn, steps);
            }
            Command::Leave(thread) => self.driver.leave(&thread, steps),
            Command::Warm(spec, reply) => {
                let key = CallKey(self.next_call);
                self.next_call += 1;
                self.warming.insert(key, reply);
                self.driver.warm(key, *spec, steps);
            }
            Command::Interrupt(key) => {
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
        let (mut stopped, mut left) = (Vec::new(), Vec::new());
        for step in steps.drain(..) {
            match step {
                Step::Send(line) => self.write(line),
                Step::WasSentFor(key, line) => self.turns.sent(key, &line),
                Step::SendFor(key, line) => {
                    self.turns.sent(key, &line);
                    self.write(line);
                }
                Step::Emit(key, event) => {
                    let terminal = event.is_terminal();
                    let flow = self.turns.tell(key, event);
                    if terminal {
                        self.turn_over(key);
                    } else if flow.is_break() {
                        stopped.push(key);
                    }
                }
                Step::Kept(key, kept) => {
                    if let Err(kept) = self.turns.keep(key, kept) {
                        left.push(kept.thread);
                    }
                }
                Step::Warmed(key, thread) => {
                    let reply = self.warming.remove(&key);
                    if let (Some(reply), Some(thread)) = (reply, thread)
                        && let Err(thread) = reply.send(thread)
                    {
                        left.push(thread);
                    }
                }
                Step::Writes(key, file) => self.records.add(key, file),
                Step::Read(key) => self.records.read(key),
                Step::Deleted(key) => self.records.deleted(key),
                Step::Released(key) => self.turns.end(key),
                Step::Pause => self.go_on_at = Some(Instant::now() + PAUSE),
                Step::Ready(handshake) => self.give_out(handshake),
                Step::Account(account) => {
                    self.account.send_replace(Some(account));
                }
                Step::Notice(notice) => self.voice.tell(notice),
                Step::Answer(key, answer) => {
                    if let Some(reply) = self.calls.remove(&key) {
                        // An error means that the caller no longer waits for the answer.
                        let _ = reply.send(answer);
                    }
                }
                Step::Fatal(fatal) => self.failed = Some(EndReason::Fatal(fatal)),
                Step::Unfit(unfit) => self.failed = Some(EndReason::Unfit(unfit)),
            }
        }
        for key in stopped {
            self.driver.interrupt(key, steps);
            self.turn_over(key);
        }
        for thread in left {
            self.driver.leave(&thread, steps);
        }
        if !steps.is_empty() {
            self.perform(steps);
        }
    }

    /// A turn is over for its owner; the process still has to end it.
    fn turn_over(&mut self, key: TurnKey) {
        self.turns.leave(key);
        if self.lifetime == Lifetime::OneTurn && self.over_at.is_none() {
            self.over_at = Some(Instant::now() + ONE_TURN_GRACE);
        }
    }

    fn write(&mut self, line: codex::Line) {
        if self.lines.try_send(line).is_err() {
            self.failed = Some(EndReason::InputFull);
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
            holds: Holds::default(),
        };
        if ready.send(Handle { shared: Arc::new(shared) }).is_err() {
            self.failed = Some(EndReason::Unclaimed);
        }
    }
}

/// How a child ended, and the end of its stderr.
async fn exit_reason(
    status: std::io::Result<std::process::ExitStatus>,
    complaints: AbortOnDropHandle<()>,
    last_words: &LastWords,
) -> EndReason {
    // A grandchild may hold the pipe open; the text so far is enough then.
    let _ = timeout(LAST_MOMENTS, complaints).await;
    match status {
        Ok(status) => EndReason::Exited { status, last_words: last_words.text() },
        Err(error) => EndReason::Unwaitable(error.to_string()),
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
