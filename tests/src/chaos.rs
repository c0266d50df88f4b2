//! Kills a worker or the proxy itself, again and again, at every point of a stream.
//!
//! Eight clients keep both surfaces busy with streams and whole answers. In each round one process gets a
//! signal when one of the clients has read a certain number of frames. A seed decides all of this. Then the round checks
//! that every client got a correct answer or an error, that no process remains, and that the proxy serves requests again
//! in time.

mod client;
pub mod edge;
pub mod load;
mod stage;
mod system;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::codex_bin::{NEWEST, codex_path};
use crate::codex_home::codex_home;
use crate::fake_openai::FakeOpenAi;
use crate::harness::fake_codex_path;
use crate::random::Random;
use client::{Answers, Client};
use stage::{Stage, Strike, Target};
use system::{Instance, Place, Signal};

/// The longest time for any step before a round counts as stuck.
const STUCK: Duration = Duration::from_secs(30);
/// Longest wait for the exit of a proxy that was asked to end: it lets running answers finish.
const DRAIN: Duration = Duration::from_secs(15);
/// The interval of the workers' health checks.
const LOOK: Duration = Duration::from_millis(100);
/// How long a worker has to end by itself.
const GRACE: Duration = Duration::from_millis(100);
const CLIENTS: usize = 8;
/// The latest point of a strike, in frames.
const MOST_FRAMES: u64 = 45;

/// The options of the chaos test.
#[derive(Clone, Debug)]
pub struct Options {
    /// The number of processes to kill.
    pub rounds: usize,
    /// Decides which process is killed, how, and when.
    pub seed: u64,
    /// No round starts after this time.
    pub limit: Option<Duration>,
    /// With the real Codex instead of the fake one.
    pub real: bool,
    /// The longest time without service after a kill, for a start, and for a process to remain. A worker counts as stuck
    /// after half of this time.
    pub in_time: Duration,
}

/// The result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How often the proxy was killed.
    pub proxy_deaths: usize,
    /// How often a worker was killed.
    pub worker_deaths: usize,
    /// Complete answers.
    pub answers: u64,
    /// Error answers.
    pub errors: u64,
    /// Connections that ended with the proxy.
    pub cuts: u64,
    /// The slowest start until `/readyz` said 200.
    pub slowest_start: Duration,
    /// The longest wait for the first answer after a worker was killed.
    pub slowest_recovery: Duration,
    /// Resident memory of the last proxy early and late in its life, in KiB.
    pub resident: (u64, u64),
}

/// Runs the rounds.
///
/// # Errors
/// The first broken rule, with the seed, the round and the end of the proxy's log.
pub async fn run(options: &Options) -> Result<Summary, String> {
    let place = Place::new(&settings(options.in_time));
    let upstream = FakeOpenAi::start().await;
    let (codex, answers) = if options.real {
        codex_home(&place.home(), NEWEST, &upstream.base_url(), 0);
        (codex_path(NEWEST), Answers::Upstream(Arc::new(upstream)))
    } else {
        place.scenario(&client::scenario());
        (fake_codex_path(), Answers::Echo)
    };
    let mut show = Show {
        random: Random::new(options.seed),
        in_time: options.in_time,
        stage: Arc::new(Stage::default()),
        summary: Summary::default(),
        codex,
        proxy: None,
        place,
        answers,
    };
    let mut round = 0;
    let result = show.rounds(options, &mut round).await;
    result.map_err(|reason| {
        let log = show.place.log_tail();
        format!("chaos: seed {}, round {round}: {reason}\n--- the proxy's log ends so:\n{log}", options.seed)
    })?;
    Ok(show.summary)
}

fn settings(in_time: Duration) -> Vec<(&'static str, String)> {
    vec![
        ("PROXY_WORKER_COUNT", "2".to_owned()),
        ("WORKER_PING_INTERVAL_MS", LOOK.as_millis().to_string()),
        ("WORKER_PING_TIMEOUT_MS", (in_time / 2).as_millis().to_string()),
        ("WORKER_SHUTDOWN_GRACE_MS", GRACE.as_millis().to_string()),
    ]
}

/// A running series of rounds.
struct Show {
    in_time: Duration,
    place: Place,
    codex: PathBuf,
    answers: Answers,
    stage: Arc<Stage>,
    random: Random,
    proxy: Option<Instance>,
    summary: Summary,
}

impl Show {
    async fn rounds(&mut self, options: &Options, round: &mut usize) -> Result<(), String> {
        self.start().await?;
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let client = Client::new(number, self.stage.clone(), self.answers.clone());
            clients.spawn(client.work());
        }
        let began = Instant::now();
        // The last fifth is one life of the proxy, in which its memory must not grow.
        let last_life = options.rounds - options.rounds / 5;
        let mut resident = Vec::new();
        while *round < options.rounds && options.limit.is_none_or(|limit| began.elapsed() < limit) {
            let signal = self.signal(*round >= last_life);
            self.strike(signal).await?;
            if *round >= last_life {
                resident.push(self.proxy().resident()?);
            }
            *round += 1;
        }
        self.stage.stop();
        while let Some(ended) = clients.join_next().await {
            ended.map_err(|error| format!("a client ended badly: {error}"))?;
        }
        self.stage.check()?;
        self.end(Signal::Term).await?;
        self.remember(&resident)
    }

    /// Which process gets which signal.
    fn signal(&mut self, workers_only: bool) -> (Target, Signal) {
        let choice = if workers_only { self.random.below(6) } else { self.random.below(10) };
        let worker = Target::Worker(self.random.below(8) as usize);
        match choice {
            0 | 1 => (worker, Signal::Kill),
            2 | 3 => (worker, Signal::Term),
            4 => (worker, Signal::Segv),
            5 => (worker, Signal::Stop),
            6 | 7 => (Target::Proxy, Signal::Kill),
            8 => (Target::Proxy, Signal::Term),
            _ => (Target::Proxy, Signal::Int),
        }
    }

    /// Kills one process and checks everything that must hold after it.
    async fn strike(&mut self, (target, signal): (Target, Signal)) -> Result<(), String> {
        let client = self.random.below(CLIENTS as u64) as usize;
        let frames = 1 + self.random.below(MOST_FRAMES);
        let fired = self.stage.arm(Strike { target, signal, client, frames, proxy: self.proxy().pid() });
        let pid = tokio::time::timeout(STUCK, fired).await;
        self.stage.check()?;
        let pid = pid.map_err(|_| format!("client {client} never came to frame {frames}"))?;
        let pid = pid.map_err(|_| "the strike was forgotten".to_owned())??;
        match target {
            Target::Worker(_) => {
                self.summary.worker_deaths += 1;
                self.worker_died(pid, signal).await?;
            }
            Target::Proxy => {
                self.summary.proxy_deaths += 1;
                self.end(signal).await?;
                self.start().await?;
            }
        }
        self.stage.calm();
        self.stage.check()
    }

    /// Checks that the next request works in time, and that the process and its children are gone.
    async fn worker_died(&mut self, pid: u32, signal: Signal) -> Result<(), String> {
        let struck = Instant::now();
        let proxy = self.proxy();
        let in_time = self.in_time;
        client::probe(proxy, &self.answers, in_time).await.map_err(|reason| {
            format!("no answer within {in_time:?} of the end of worker {pid} by {signal:?}: {reason}")
        })?;
        let recovered = struck.elapsed();
        let noticed = LOOK + in_time / 2 + 2 * GRACE;
        let limit = if signal == Signal::Stop { noticed + in_time } else { in_time };
        let gone = || {
            if signal == Signal::Segv {
                // Rust's runtime treats the first one as a possible stack overflow and continues.
                system::send(pid, Signal::Segv);
            }
            !system::is_alive(pid) && system::zombies_below(proxy.pid()).is_empty()
        };
        if !system::within(limit, gone).await {
            let zombies = system::zombies_below(proxy.pid());
            return Err(format!(
                "{:?} after {signal:?}, worker {pid} is alive: {}; zombies: {zombies:?}",
                limit,
                system::is_alive(pid)
            ));
        }
        proxy.whole(in_time + limit).await?;
        self.summary.slowest_recovery = self.summary.slowest_recovery.max(recovered);
        Ok(())
    }

    async fn start(&mut self) -> Result<(), String> {
        let proxy = Instance::start(&self.place, &self.codex).await?;
        if proxy.ready_after > self.in_time {
            return Err(format!("the proxy was ready only {:?} after its start", proxy.ready_after));
        }
        self.summary.slowest_start = self.summary.slowest_start.max(proxy.ready_after);
        self.stage.open(proxy.door());
        self.proxy = Some(proxy);
        Ok(())
    }

    /// After the proxy was killed or asked to end: checks that it ends well and leaves no processes.
    async fn end(&mut self, signal: Signal) -> Result<(), String> {
        let Some(proxy) = self.proxy.take() else { return Ok(()) };
        self.stage.close();
        if signal == Signal::Term {
            // No effect if the strike has already sent it. At the end of the test no strike has.
            system::send(proxy.pid(), signal);
        }
        let status = proxy.exit(DRAIN).await?;
        if signal != Signal::Kill && !status.success() {
            return Err(format!("the proxy ended with {status} after {signal:?}"));
        }
        let root = self.place.root().to_owned();
        if !system::within(self.in_time, || system::processes_of(&root).is_empty()).await {
            let left = system::processes_of(&root);
            let after = self.in_time;
            return Err(format!("{after:?} after the proxy's end by {signal:?} there are left {left:?}"));
        }
        Ok(())
    }

    fn remember(&mut self, resident: &[u64]) -> Result<(), String> {
        (self.summary.answers, self.summary.errors, self.summary.cuts) = self.stage.counts();
        if resident.len() < 10 {
            return Ok(());
        }
        let fifth = resident.len() / 5;
        let early = median(&resident[fifth..2 * fifth]);
        let late = median(&resident[resident.len() - fifth..]);
        self.summary.resident = (early, late);
        if late > early + early / 5 {
            return Err(format!("the proxy grew from {early} KiB to {late} KiB while its workers died"));
        }
        Ok(())
    }

    fn proxy(&self) -> &Instance {
        self.proxy.as_ref().expect("a proxy runs in each round")
    }
}

fn median(values: &[u64]) -> u64 {
    let mut values = values.to_vec();
    values.sort_unstable();
    values[values.len() / 2]
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} deaths of the proxy and {} of workers: {} answers, {} errors told, {} connections cut; slowest \
             start {} ms, slowest first answer after a worker's death {} ms; RSS {} to {} KiB",
            self.proxy_deaths,
            self.worker_deaths,
            self.answers,
            self.errors,
            self.cuts,
            self.slowest_start.as_millis(),
            self.slowest_recovery.as_millis(),
            self.resident.0,
            self.resident.1,
        )
    }
}
