//! Keeps one worker alive: starts it, watches it, replaces it, starts it again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::{Mutex, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::task::TaskTracker;

use super::admission_queue::Generation;
use super::legacy::Legacy;
use super::lifecycle::{Action, Input, Lifecycle};
use super::memory::group_resident_bytes;
use super::noted::Noted;
use super::pool::{Backend, Shared};
use super::session::{self, Ended, Handle};
use super::starting::{Next, Starting, USUAL};
use super::{catalogue, home, process};
use crate::codex_install::Found;
use crate::codex_install::proofs::Barred;
use protocol::codex::calls::{ReadAccount, ReadAccountParams};
use protocol::codex::{AppServer, Capabilities, Driver, appserver, isolation};

/// One worker's supervisor.
pub(super) struct Supervisor {
    id: usize,
    shared: Arc<Shared>,
    life: Lifecycle,
    /// Held while the files that all workers share are written.
    preparing: Arc<Mutex<()>>,
    tasks: TaskTracker,
}

/// A process that has been started.
struct Launched {
    pid: Option<u32>,
    started: Instant,
    sign_in: Option<SystemTime>,
    handle: oneshot::Receiver<Handle>,
    stop: watch::Sender<Option<&'static str>>,
    ended: JoinHandle<Ended>,
    record: Noted,
    /// Keeps the binary from being removed.
    codex: Found,
}

/// A process that takes turns.
struct Serving {
    launched: Launched,
    handle: Handle,
    generation: Generation,
    /// Turns the worker had ended before.
    turns_before: u64,
}

const SHUTDOWN: &str = "the proxy is shutting down";

/// Why a process is ended that does not get ready.
const TOO_SLOW: &str = "it did not finish its handshake in time";

impl Supervisor {
    pub(super) fn new(id: usize, shared: Arc<Shared>, preparing: Arc<Mutex<()>>, tasks: TaskTracker) -> Self {
        Self { id, shared, life: Lifecycle::default(), preparing, tasks }
    }

    /// Works until the proxy shuts down.
    pub(super) async fn run(mut self) {
        loop {
            let began = Instant::now();
            let outcome = if self.shared.config.use_app_server {
                match self.start().await {
                    Ok(serving) => self.serve(serving).await,
                    Err(reason) => reason,
                }
            } else {
                self.offer_legacy().await
            };
            if self.shared.shutdown().is_cancelled() {
                return;
            }
            let Action::Pause(pause) = self.on(Input::Ended(began.elapsed())) else { continue };
            tracing::warn!(
                worker = self.id,
                reason = outcome,
                retry_ms = pause.as_millis(),
                "a codex worker is down"
            );
            self.shared.note(self.id, |worker| {
                worker.pid = None;
                worker.version = None;
                worker.started = None;
                worker.resident_bytes = None;
                worker.starting = None;
                worker.last_exit = Some((SystemTime::now(), outcome));
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

    /// Offers places on the legacy Codex, whose processes are started turn by turn. Returns why there are none.
    async fn offer_legacy(&mut self) -> String {
        let ended = self.shared.shutdown().child_token();
        let legacy =
            match Legacy::prepare(&self.shared.config, self.id, self.tasks.clone(), ended.clone()).await {
                Ok(legacy) => legacy,
                Err(reason) => return reason,
            };
        let Capabilities { version, dynamic_tools, .. } = legacy.capabilities().clone();
        tracing::info!(worker = self.id, version, "the legacy codex is ready");
        self.on(Input::HandshakeDone);
        self.shared.note(self.id, |worker| {
            worker.version = Some(version);
            worker.takes_tools = dynamic_tools;
            worker.started = Some(SystemTime::now());
        });
        let generation = self.shared.open(Backend::Legacy(Arc::new(legacy)));
        tokio::select! {
            () = self.shared.shutdown().cancelled() => {}
            () = self.shared.restart_asked(self.id) => {}
        }
        self.shared.close(generation);
        "a restart was asked for".to_owned()
    }

    /// Starts a process and waits for its handshake.
    async fn start(&mut self) -> Result<Serving, String> {
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

    /// Says what a process that is being started has to do next.
    fn awaits(&self, bin: &Path, next: Next) {
        self.shared.note(self.id, |worker| {
            let is_slow = worker.starting.as_ref().is_some_and(|starting| starting.is_slow);
            worker.starting = Some(Starting { bin: bin.to_owned(), next, is_slow });
        });
    }

    /// Serves turns until the process ends. Returns why it did.
    async fn serve(&mut self, mut serving: Serving) -> String {
        let mut look = interval(self.shared.config.look_interval);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                ended = &mut serving.launched.ended => {
                    self.shared.close(serving.generation);
                    return stopped(ended.ok());
                }
                () = self.shared.shutdown().cancelled() => {
                    self.end(serving, SHUTDOWN).await;
                    return SHUTDOWN.to_owned();
                }
                () = self.shared.restart_asked(self.id) => serving = self.replace(serving).await,
                () = serving.handle.worn() => serving = self.replace(serving).await,
                _ = look.tick() => self.look_at(&serving),
            }
        }
    }

    /// Starts a new process beside the old one and changes over when it is ready. One that does not get ready
    /// changes nothing.
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
                    reason,
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

    async fn launch(&self) -> Result<Launched, String> {
        let config = &self.shared.config;
        let codex = config.codex.find().map_err(|error| error.to_string())?;
        self.awaits(&codex.path, Next::Version);
        config.proof_gate.admit(&codex, &config.hidden_env).await.map_err(|barred| match barred {
            Barred::Ended(reason) => self.never_ready(&codex.path, &reason),
            Barred::Unfit(reason) => reason,
        })?;
        self.awaits(&codex.path, Next::Models);
        let catalogues = {
            let _held = self.preparing.lock().await;
            home::prepare(config).map_err(|error| error.to_string())?;
            tokio::select! {
                catalogues = catalogue::prepare(config, &codex.path) => {
                    catalogues.map_err(|error| error.to_string())?
                }
                () = self.shared.shutdown().cancelled() => return Err(SHUTDOWN.to_owned()),
            }
        };
        self.awaits(&codex.path, Next::Handshake);
        let plain = catalogues.as_ref().ok().map(|derived| derived.plain.as_path());
        let arguments = isolation::arguments(plain, config.provider.as_deref(), config.sandbox.as_str());
        let program = home::program(config, &codex.path, arguments);
        let (process, pipes) = process::start(&program).map_err(|error| error.to_string())?;
        let pid = process.id();
        tracing::debug!(worker = self.id, pid, "codex started");
        let (no_catalogue, search_catalogue, windows) = match catalogues {
            Ok(derived) => (None, Some(derived.search), derived.windows),
            Err(reason) => (Some(reason.to_string()), None, BTreeMap::new()),
        };
        let settings = appserver::Settings {
            workdir: config.workdir.clone(),
            sandbox: config.sandbox.as_str(),
            no_catalogue,
            search_catalogue,
            windows,
            effort_with_turn: config.effort_with_turn,
            client_version: env!("CARGO_PKG_VERSION"),
        };
        let sign_in = config.home.sign_in();
        let (ready, handle) = oneshot::channel();
        let (stop, asked) = watch::channel(None);
        let life = session::run(
            self.id,
            self.shared.notices.voice(),
            process,
            pipes,
            |out| Driver::AppServer(AppServer::new(settings, out)),
            ready,
            stop_asked(asked),
            session::Lifetime::ManyTurns,
            config.shutdown_grace,
        );
        let record = Noted::new(&self.shared.records, pid);
        let noted = record.clone();
        let ended = self.tasks.spawn(async move {
            let ended = life.await;
            noted.forget();
            ended
        });
        Ok(Launched { pid, started: Instant::now(), sign_in, handle, stop, ended, record, codex })
    }

    async fn handshake(&self, mut launched: Launched) -> Result<Serving, String> {
        let limit = self.shared.config.startup_timeout;
        let reason = tokio::select! {
            handle = &mut launched.handle => match handle {
                Ok(handle) => {
                    launched.record.refresh();
                    let generation = self.shared.open(Backend::Session(handle.clone()));
                    let turns_before = self.shared.turns_done(self.id);
                    return Ok(Serving { launched, handle, generation, turns_before });
                }
                // The session is over and says why itself.
                Err(_) => {
                    let ended = launched.ended.await.ok();
                    return Err(match ended {
                        Some(Ended { reason, unfit: true, .. }) => reason,
                        ended => self.never_ready(&launched.codex.path, &stopped(ended)),
                    });
                }
            },
            () = sleep(limit) => TOO_SLOW,
            () = self.shared.shutdown().cancelled() => SHUTDOWN,
        };
        launched.stop.send_replace(Some(reason));
        match launched.ended.await.ok() {
            Some(Ended { reason, .. }) if reason == TOO_SLOW => {
                let said = format!(
                    "Codex was started and did not finish its handshake within {} s (WORKER_STARTUP_TIMEOUT_MS)",
                    limit.as_secs_f32()
                );
                Err(self.never_ready(&launched.codex.path, &said))
            }
            ended => Err(stopped(ended)),
        }
    }

    /// What to look at when a process does not get to the end of its handshake.
    fn never_ready(&self, bin: &Path, reason: &str) -> String {
        let config = &self.shared.config;
        format!(
            "{reason}. It has never been ready: check that '{}' (CODEX_BIN) is the Codex CLI and not too old, 0.77.0 or \
             newer (`codex-proxy codex install` gets one), and that '{}' (CODEX_HOME) is writable.",
            bin.display(),
            config.home.path().display()
        )
    }

    /// Says who takes turns now.
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

    /// A look at a serving process: does it answer, and has it lived, worked or grown enough to be replaced?
    fn look_at(&self, serving: &Serving) {
        let config = &self.shared.config;
        let resident = serving.launched.pid.and_then(group_resident_bytes);
        let done = self.shared.turns_done(self.id).saturating_sub(serving.turns_before);
        self.shared.note(self.id, |worker| worker.resident_bytes = resident);
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
                stop.send_replace(Some(session::UNRESPONSIVE));
            }
        });
    }

    async fn end(&self, serving: Serving, reason: &'static str) {
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

/// Lets a replaced process finish its turns, within a deadline, and what it is kept for.
async fn drain(shared: Arc<Shared>, old: Serving) {
    let finished = async {
        // What takes longer than that is cut off.
        let _ = timeout(shared.config.drain_timeout, turns_ended(&shared, old.generation)).await;
        old.handle.keeper().let_go().await;
    };
    tokio::select! {
        () = finished => {}
        () = shared.shutdown().cancelled() => {}
        () = old.handle.closed() => {}
    }
    old.launched.stop.send_replace(Some("it has been replaced"));
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

/// How a process ended, with Codex named once.
fn stopped(ended: Option<Ended>) -> String {
    let Some(Ended { reason, unfit, .. }) = ended else {
        return "the worker's session failed; this is a bug".to_owned();
    };
    match (reason.strip_prefix("it "), reason.strip_prefix("its ")) {
        _ if unfit => reason,
        (Some(what), _) => format!("Codex {what}"),
        (None, Some(what)) => format!("Codex's {what}"),
        (None, None) => format!("Codex stopped: {reason}"),
    }
}

async fn stop_asked(mut asked: watch::Receiver<Option<&'static str>>) -> &'static str {
    loop {
        if let Some(reason) = *asked.borrow_and_update() {
            return reason;
        }
        if asked.changed().await.is_err() {
            return SHUTDOWN;
        }
    }
}

/// A random number from 0 to 1.
fn jitter() -> f64 {
    let mut byte = [0u8; 1];
    // Without randomness there is no jitter, and nothing else is lost.
    let _ = getrandom::fill(&mut byte);
    f64::from(byte[0]) / 255.0
}
