//! Keeps one worker running: starts it, checks it, replaces it, restarts it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{oneshot, watch};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::task::TaskTracker;

use super::admission_queue::Generation;
use super::launch::{Launch, Launcher, never_ready};
use super::legacy::Legacy;
use super::lifecycle::{Action, Input, Lifecycle};
use super::memory::group_resident_bytes;
use super::orphans::SharedPidFile;
use super::reason::{DownReason, EndReason, NotReady, StartError, StopReason};
use super::session::{Ended, Handle, Lifetime, Parts};
use super::shared::{Runner, Shared};
use super::starting::{Next, Starting, USUAL};
use crate::codex_install::Found;
use protocol::codex::calls::{ReadAccount, ReadAccountParams};
use protocol::codex::{AppServer, Capabilities, Driver};

/// How often the memory of a worker without turns is read.
const MEMORY_WHEN_IDLE: Duration = Duration::from_secs(60);

/// One worker's supervisor.
pub(super) struct Supervisor {
    id: usize,
    shared: Arc<Shared>,
    life: Lifecycle,
    launcher: Arc<dyn Launcher>,
    tasks: TaskTracker,
}

/// A process that has been started.
struct Launched {
    pid: Option<u32>,
    started: Instant,
    sign_in: Option<SystemTime>,
    handle: oneshot::Receiver<Handle>,
    stop: watch::Sender<Option<StopReason>>,
    ended: JoinHandle<Ended>,
    pid_file: SharedPidFile,
    /// Keeps the binary from being removed.
    codex: Found,
}

/// A process that takes turns.
struct Serving {
    launched: Launched,
    handle: Handle,
    generation: Generation,
    /// The number of turns that the worker had ended before.
    turns_before: u64,
    memory: Option<MemoryReading>,
}

/// The memory of a worker when it was read last.
struct MemoryReading {
    at: Instant,
    /// How many turns it had ended by then.
    turns_done: u64,
    resident_bytes: Option<u64>,
}

impl Supervisor {
    pub(super) fn new(
        id: usize,
        shared: Arc<Shared>,
        launcher: Arc<dyn Launcher>,
        tasks: TaskTracker,
    ) -> Self {
        Self { id, shared, life: Lifecycle::default(), launcher, tasks }
    }

    /// Works until the proxy shuts down.
    pub(super) async fn run(mut self) {
        loop {
            let began = Instant::now();
            let outcome = if self.shared.config.use_app_server {
                match self.start().await {
                    Ok(serving) => self.serve(serving).await,
                    Err(error) => DownReason::NotStarted(error),
                }
            } else {
                self.offer_legacy().await
            };
            if self.shared.shutdown().is_cancelled() {
                return;
            }
            let ended = (SystemTime::now(), outcome);
            // Before the state says that nothing is to be waited for: requests are refused with this reason.
            self.shared.note(self.id, |worker| worker.last_exit = Some(ended.clone()));
            let Action::Pause(pause) = self.on(Input::Ended(began.elapsed())) else { continue };
            tracing::warn!(
                worker = self.id,
                reason = %ended.1,
                retry_ms = pause.as_millis(),
                "a codex worker is down"
            );
            self.shared.note(self.id, |worker| {
                worker.pid = None;
                worker.version = None;
                worker.started = None;
                worker.resident_bytes = None;
                worker.starting = None;
                worker.next_try = Some(SystemTime::now() + pause);
            });
            tokio::select! {
                () = sleep(pause) => {}
                () = self.shared.restart_asked(self.id) => {}
                () = self.shared.shutdown().cancelled() => return,
            }
            self.on(Input::PauseOver);
            self.shared.note(self.id, |worker| {
                worker.restarts += 1;
                worker.next_try = None;
            });
        }
    }

    /// Offers places on the legacy Codex, which starts one process for each turn. Returns why there are none.
    async fn offer_legacy(&mut self) -> DownReason {
        let ended = self.shared.shutdown().child_token();
        let legacy =
            match Legacy::prepare(&self.shared.config, self.id, self.tasks.clone(), ended.clone()).await {
                Ok(legacy) => legacy,
                Err(error) => return error.into(),
            };
        let Capabilities { version, dynamic_tools, .. } = legacy.capabilities().clone();
        tracing::info!(worker = self.id, version, "the legacy codex is ready");
        self.on(Input::HandshakeDone);
        self.shared.note(self.id, |worker| {
            worker.version = Some(version);
            worker.takes_tools = dynamic_tools;
            worker.started = Some(SystemTime::now());
        });
        let generation = self.shared.open(Runner::Legacy(Arc::new(legacy)));
        tokio::select! {
            () = self.shared.shutdown().cancelled() => {}
            () = self.shared.restart_asked(self.id) => {}
        }
        self.shared.close(generation);
        DownReason::RestartAsked
    }

    /// Starts a process and waits for its handshake.
    async fn start(&mut self) -> Result<Serving, StartError> {
        let began = Instant::now();
        let serving = {
            let mut work = std::pin::pin!(async {
                let launched = self.launch().await?;
                let (pid, sign_in) = (launched.pid, launched.sign_in);
                self.shared.note(self.id, |worker| {
                    worker.pid = pid;
                    worker.sign_in = sign_in;
                    worker.started = Some(SystemTime::now());
                });
                self.handshake(launched).await
            });
            match timeout(USUAL, &mut work).await {
                Ok(done) => done?,
                Err(_) => {
                    self.shared.note(self.id, |worker| {
                        if let Some(starting) = &mut worker.starting {
                            starting.is_slow = true;
                        }
                    });
                    work.await?
                }
            }
        };
        self.on(Input::HandshakeDone);
        self.introduce(&serving, began);
        Ok(serving)
    }

    /// Records the next step of a process that is being started.
    fn awaits(&self, bin: &Path, next: Next) {
        self.shared.note(self.id, |worker| {
            let is_slow = worker.starting.as_ref().is_some_and(|starting| starting.is_slow);
            worker.starting = Some(Starting { bin: bin.to_owned(), next, is_slow });
        });
    }

    /// Serves turns until the process ends. Returns why it ended.
    async fn serve(&mut self, mut serving: Serving) -> DownReason {
        let mut look = interval(self.shared.config.look_interval);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                ended = &mut serving.launched.ended => {
                    self.shared.close(serving.generation);
                    return DownReason::Ended(reason_of(ended));
                }
                () = self.shared.shutdown().cancelled() => {
                    self.end(serving, StopReason::Shutdown).await;
                    return DownReason::NotStarted(StartError::Shutdown);
                }
                () = self.shared.restart_asked(self.id) => serving = self.replace(serving).await,
                () = serving.handle.worn() => serving = self.replace(serving).await,
                _ = look.tick() => self.look_at(&mut serving),
            }
        }
    }

    /// Starts a new process beside the old one and changes over when it is ready. If it does not get ready,
    /// nothing changes.
    async fn replace(&mut self, old: Serving) -> Serving {
        let began = Instant::now();
        self.on(Input::DrainAsked);
        let new = match self.launch().await {
            Ok(launched) => self.handshake(launched).await,
            Err(reason) => Err(reason),
        };
        self.on(Input::Replaced);
        self.shared.note(self.id, |worker| worker.starting = None);
        let new = match new {
            Ok(new) => new,
            Err(reason) => {
                tracing::error!(
                    worker = self.id,
                    %reason,
                    "a codex worker could not be replaced; the old one stays"
                );
                return old;
            }
        };
        self.shared.close(old.generation);
        self.introduce(&new, began);
        self.shared.note(self.id, |worker| worker.restarts += 1);
        tracing::info!(worker = self.id, "a codex worker was replaced");
        self.tasks.spawn(drain(self.shared.clone(), old));
        new
    }

    async fn launch(&self) -> Result<Launched, StartError> {
        let progress = |bin: &Path, next| self.awaits(bin, next);
        let Launch { process, pipes, settings, codex } = self.launcher.launch(&progress).await?;
        let pid = process.id();
        tracing::debug!(worker = self.id, pid, "codex started");
        let sign_in = self.shared.config.home.sign_in();
        let (ready, handle) = oneshot::channel();
        let (stop, asked) = watch::channel(None);
        let session = Parts {
            worker: self.id,
            voice: self.shared.notices.voice(),
            process,
            pipes,
            lifetime: Lifetime::ManyTurns,
            grace: self.shared.config.shutdown_grace,
        };
        let driver = |out: &mut Vec<_>| Driver::AppServer(AppServer::new(settings, out));
        let life = session.run(driver, ready, stop_asked(asked));
        let pid_file = SharedPidFile::write(&self.shared.pid_files, pid);
        let written = pid_file.clone();
        let ended = self.tasks.spawn(async move {
            let ended = life.await;
            written.remove();
            ended
        });
        Ok(Launched { pid, started: Instant::now(), sign_in, handle, stop, ended, pid_file, codex })
    }

    async fn handshake(&self, mut launched: Launched) -> Result<Serving, StartError> {
        let limit = self.shared.config.startup_timeout;
        let never_ready = |what| Err(never_ready(&self.shared.config, &launched.codex.path, what));
        let stop = tokio::select! {
            handle = &mut launched.handle => match handle {
                Ok(handle) => {
                    launched.pid_file.refresh();
                    let generation = self.shared.open(Runner::Session(handle.clone()));
                    let turns_before = self.shared.turns_done(self.id);
                    return Ok(Serving { launched, handle, generation, turns_before, memory: None });
                }
                // The session is over and reports the reason itself.
                Err(_) => return match unfit_or(reason_of(launched.ended.await)) {
                    Ok(reason) => never_ready(NotReady::Ended(reason)),
                    Err(unfit) => Err(unfit),
                },
            },
            () = sleep(limit) => StopReason::TooSlow,
            () = self.shared.shutdown().cancelled() => StopReason::Shutdown,
        };
        launched.stop.send_replace(Some(stop));
        let reason = unfit_or(reason_of(launched.ended.await))?;
        if reason == EndReason::Stopped(StopReason::TooSlow) {
            return never_ready(NotReady::TooSlow(limit));
        }
        Err(StartError::Stopped(reason))
    }

    /// Records which process takes turns now.
    fn introduce(&self, serving: &Serving, began: Instant) {
        let Capabilities { version, dynamic_tools, .. } = serving.handle.capabilities().clone();
        tracing::info!(
            worker = self.id,
            version,
            models = serving.handle.catalogue().models.len(),
            "the codex worker is ready"
        );
        let (pid, sign_in) = (serving.launched.pid, serving.launched.sign_in);
        self.shared.note(self.id, |worker| {
            worker.pid = pid;
            worker.sign_in = sign_in;
            worker.version = Some(version);
            worker.takes_tools = dynamic_tools;
            worker.started = Some(SystemTime::now());
            worker.got_ready = Some((SystemTime::now(), began.elapsed()));
            worker.resident_bytes = None;
            worker.starting = None;
        });
    }

    /// A health check of a serving process: whether it answers, and whether its age, turns or memory require a
    /// replacement.
    fn look_at(&self, serving: &mut Serving) {
        let config = &self.shared.config;
        let done = self.shared.turns_done(self.id).saturating_sub(serving.turns_before);
        let resident = self.memory_of(serving, done);
        let over = |limit: u64, value: u64| limit > 0 && value >= limit;
        let aged = config.max_age.is_some_and(|limit| serving.launched.started.elapsed() >= limit);
        if aged
            || over(config.max_turns, done)
            || over(config.max_resident_bytes, resident.unwrap_or_default())
        {
            tracing::info!(worker = self.id, "a codex worker is due for replacement");
            self.shared.ask_restart(self.id);
        }
        let (handle, stop, limit) =
            (serving.handle.clone(), serving.launched.stop.clone(), config.ping_timeout);
        self.tasks.spawn(async move {
            let heard = handle.lines_heard();
            let ping = handle.call::<ReadAccount>(ReadAccountParams::default());
            let silent = timeout(limit, ping).await.is_err() && handle.lines_heard() == heard;
            if silent && !handle.is_closed() {
                stop.send_replace(Some(StopReason::Unresponsive));
            }
        });
    }

    /// The resident memory of the process and its children, in bytes. Without turns it is read rarely, because that
    /// takes a look at every process of the machine.
    fn memory_of(&self, serving: &mut Serving, turns_done: u64) -> Option<u64> {
        let is_idle = self.shared.taken(serving.generation) == 0;
        if let Some(last) = &serving.memory
            && is_idle
            && last.turns_done == turns_done
            && last.at.elapsed() < MEMORY_WHEN_IDLE
        {
            return last.resident_bytes;
        }
        let resident_bytes = serving.launched.pid.and_then(group_resident_bytes);
        self.shared.note(self.id, |worker| worker.resident_bytes = resident_bytes);
        serving.memory = Some(MemoryReading { at: Instant::now(), turns_done, resident_bytes });
        resident_bytes
    }

    async fn end(&self, serving: Serving, reason: StopReason) {
        self.shared.close(serving.generation);
        serving.launched.stop.send_replace(Some(reason));
        if let Err(error) = serving.launched.ended.await {
            tracing::error!(%error, worker = self.id, "a session did not end well");
        }
    }

    fn on(&mut self, input: Input) -> Action {
        let action = self.life.on(input, jitter());
        let (state, was_ready) = (self.life.state().clone(), self.life.was_ready());
        let failures = self.life.failures();
        self.shared.note(self.id, |worker| {
            worker.state = state;
            worker.was_ready = was_ready;
            worker.failures = failures;
        });
        action
    }
}

/// Waits until a replaced process has finished its turns and no hold is left on it, up to a deadline.
async fn drain(shared: Arc<Shared>, old: Serving) {
    let finished = async {
        // Turns that take longer are cut off.
        let _ = timeout(shared.config.drain_timeout, turns_ended(&shared, old.generation)).await;
        old.handle.holds().let_go().await;
    };
    tokio::select! {
        () = finished => {}
        () = shared.shutdown().cancelled() => {}
        () = old.handle.closed() => {}
    }
    old.launched.stop.send_replace(Some(StopReason::Replaced));
    if let Err(error) = old.launched.ended.await {
        tracing::error!(%error, "a replaced session did not end well");
    }
}

async fn turns_ended(shared: &Shared, generation: Generation) {
    loop {
        let released = shared.released.notified();
        if shared.taken(generation) == 0 {
            return;
        }
        released.await;
    }
}

/// The end of a session whose task has ended.
fn reason_of(ended: Result<Ended, JoinError>) -> EndReason {
    ended.map_or(EndReason::Bug, |ended| ended.reason)
}

/// A process that was refused is not started again as it is: that has an error of its own.
fn unfit_or(reason: EndReason) -> Result<EndReason, StartError> {
    if let EndReason::Unfit(unfit) = reason { Err(StartError::Unfit(unfit)) } else { Ok(reason) }
}

async fn stop_asked(mut asked: watch::Receiver<Option<StopReason>>) -> StopReason {
    loop {
        if let Some(reason) = *asked.borrow_and_update() {
            return reason;
        }
        if asked.changed().await.is_err() {
            return StopReason::Shutdown;
        }
    }
}

/// A random number from 0 to 1.
fn jitter() -> f64 {
    let mut byte = [0u8; 1];
    // Without random bytes there is no jitter; everything else still works.
    let _ = getrandom::fill(&mut byte);
    f64::from(byte[0]) / 255.0
}

#[cfg(test)]
mod tests;
