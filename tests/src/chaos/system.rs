//! The proxy as a process, and what `/proc` shows about it and about remaining processes.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::STUCK;
use crate::harness::proxy_path;
use crate::sse;

const KEY: &str = "a-key-of-the-chaos-test-0123456789";
const LOG_TAIL: usize = 40;

/// How a process is made to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Kill,
    Term,
    Int,
    Segv,
    /// Nothing follows it: the process hangs.
    Stop,
}

/// Sends a signal to a process that may be gone already.
pub(super) fn send(pid: u32, signal: Signal) {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
    let signal = match signal {
        Signal::Kill => rustix::process::Signal::KILL,
        Signal::Term => rustix::process::Signal::TERM,
        Signal::Int => rustix::process::Signal::INT,
        Signal::Segv => rustix::process::Signal::SEGV,
        Signal::Stop => rustix::process::Signal::STOP,
    };
    // A process that has just ended needs no signal.
    let _ = kill_process(pid, signal);
}

/// The directories that one proxy after the other uses.
#[derive(Debug)]
pub(super) struct Place {
    root: TempDir,
    settings: Vec<(&'static str, String)>,
}

impl Place {
    pub(super) fn new(settings: &[(&'static str, String)]) -> Self {
        let root = tempfile::Builder::new().prefix("codex-proxy-chaos-").tempdir();
        let place = Self { root: root.expect("a temporary folder can be made"), settings: settings.to_vec() };
        fs::create_dir_all(place.home()).expect("a writable temporary folder");
        place
    }

    pub(super) fn root(&self) -> &Path {
        self.root.path()
    }

    /// Codex's home.
    pub(super) fn home(&self) -> PathBuf {
        self.root().join("codex-home")
    }

    /// Sets the scenario of the fake Codex.
    pub(super) fn scenario(&self, scenario: &Value) {
        fs::write(self.home().join("fake-codex.json"), scenario.to_string())
            .expect("a writable temporary folder");
    }

    /// The last lines of the log of all proxies here.
    pub(super) fn log_tail(&self) -> String {
        let text =
            fs::read_to_string(self.root().join("proxy.log")).unwrap_or_else(|error| error.to_string());
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n")
    }
}

/// How clients reach a proxy.
#[derive(Clone, Debug)]
pub(super) struct Door {
    pub(super) base_url: String,
    pub(super) key: &'static str,
}

/// A proxy that is ready; it is killed when dropped.
#[derive(Debug)]
pub(super) struct Instance {
    child: Child,
    pid: u32,
    door: Door,
    /// From its start until `/readyz` said 200.
    pub(super) ready_after: Duration,
    probes: AtomicU64,
}

impl Instance {
    pub(super) async fn start(place: &Place, codex: &Path) -> Result<Self, String> {
        let mut command = Command::new(proxy_path());
        command.env_clear();
        for name in ["PATH", "HOME", "TMPDIR"] {
            command.envs(env::var_os(name).map(|value| (name, value)));
        }
        let log = File::options().create(true).append(true).open(place.root().join("proxy.log"));
        command
            .env("PORT", "0")
            .env("PROXY_HOST", "127.0.0.1")
            .env("PROXY_API_KEY", KEY)
            .env("PROXY_DATA_DIR", place.root().join("data"))
            .env("CODEX_HOME", place.home())
            .env("CODEX_BIN", codex)
            .envs(place.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.expect("a writable temporary folder"))
            .kill_on_drop(true);
        let began = Instant::now();
        let mut child = command.spawn().map_err(|error| format!("the proxy cannot be started: {error}"))?;
        let pid = child.id().expect("it has not been waited for");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let listening = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(address) = line.strip_prefix("listening on ") {
                    return Some(address.to_owned());
                }
            }
            None
        };
        let base_url = tokio::time::timeout(STUCK, listening).await.ok().flatten();
        let base_url = base_url.ok_or("the proxy ended or hung before it listened")?;
        // The pipe stays open, so that the proxy's writes do not fail.
        tokio::spawn(async move { while lines.next_line().await.is_ok_and(|line| line.is_some()) {} });
        let door = Door { base_url, key: KEY };
        let mut proxy = Self { child, pid, door, ready_after: Duration::ZERO, probes: AtomicU64::new(0) };
        let ready = proxy.until(STUCK, "/readyz", |status, _| status == 200).await;
        ready.map_err(|report| format!("the proxy did not get ready: {report}"))?;
        proxy.ready_after = began.elapsed();
        Ok(proxy)
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn door(&self) -> Door {
        self.door.clone()
    }

    /// A number for each probe, so that all prompts differ.
    pub(super) fn next_probe(&self) -> String {
        format!("{}/{}", self.pid, self.probes.fetch_add(1, Ordering::Relaxed))
    }

    /// Waits until every worker is ready.
    pub(super) async fn whole(&self, limit: Duration) -> Result<(), String> {
        let all_ready = |_: u16, report: &Value| {
            let workers = report["worker_supervisor"]["workers"].as_array();
            workers.is_some_and(|workers| workers.iter().all(|worker| worker["state"] == "ready"))
        };
        let ready = self.until(limit, "/healthz", all_ready).await;
        ready.map_err(|report| format!("a worker has not come back within {limit:?}: {report}"))
    }

    /// Resident memory in KiB.
    pub(super) fn resident(&self) -> Result<u64, String> {
        memory(self.pid, "VmRSS:").ok_or_else(|| "the proxy has no memory".to_owned())
    }

    /// Waits for its end.
    pub(super) async fn exit(mut self, limit: Duration) -> Result<ExitStatus, String> {
        let ended = tokio::time::timeout(limit, self.child.wait()).await;
        let ended = ended.map_err(|_| format!("the proxy still runs {limit:?} after it was to end"))?;
        ended.map_err(|error| format!("the proxy cannot be waited for: {error}"))
    }

    async fn until(
        &self,
        limit: Duration,
        path: &str,
        met: impl Fn(u16, &Value) -> bool,
    ) -> Result<(), String> {
        let http = sse::client();
        let url = format!("{}{path}", self.door.base_url.trim_end_matches("/v1"));
        let mut last = String::new();
        let polling = async {
            let mut poll = tokio::time::interval(Duration::from_millis(5));
            loop {
                poll.tick().await;
                let Ok(answer) = http.get(&url).send().await else { continue };
                let status = answer.status().as_u16();
                last = answer.text().await.unwrap_or_default();
                if met(status, &serde_json::from_str(&last).unwrap_or_default()) {
                    return;
                }
            }
        };
        let met = tokio::time::timeout(limit, polling).await;
        met.map_err(|_| last)
    }
}

/// Whether a condition becomes true in time.
pub(super) async fn within(limit: Duration, condition: impl Fn() -> bool) -> bool {
    let mut poll = tokio::time::interval(Duration::from_millis(5));
    let polling = async {
        while !condition() {
            poll.tick().await;
        }
    };
    tokio::time::timeout(limit, polling).await.is_ok()
}

/// Whether a process runs or is stopped. A zombie counts as ended.
pub(super) fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != "Z" && state != "X")
}

/// The app-servers that a proxy has started.
pub(super) fn workers_below(proxy: u32) -> Vec<u32> {
    let is_worker = |pid: &u32| {
        stat(*pid).is_some_and(|(state, parent)| parent == proxy && state != "Z")
            && fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| contains(&line, b"app-server"))
    };
    processes().into_iter().filter(is_worker).collect()
}

/// The zombie children of a proxy.
pub(super) fn zombies_below(proxy: u32) -> Vec<u32> {
    let is_zombie = |pid: &u32| stat(*pid).is_some_and(|(state, parent)| parent == proxy && state == "Z");
    processes().into_iter().filter(is_zombie).collect()
}

/// Living processes whose environment or command line names `root`.
pub(super) fn processes_of(root: &Path) -> Vec<(u32, String)> {
    let name = root.as_os_str().as_encoded_bytes();
    let is_ours = |pid: &u32| {
        let of =
            |file: &str| fs::read(format!("/proc/{pid}/{file}")).is_ok_and(|bytes| contains(&bytes, name));
        is_alive(*pid) && (of("environ") || of("cmdline"))
    };
    let line = |pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        (pid, String::from_utf8_lossy(&line).replace('\0', " "))
    };
    processes().into_iter().filter(is_ours).map(line).collect()
}

/// A field of `/proc/PID/status`, in KiB.
pub(super) fn memory(pid: u32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    let mut pids: Vec<u32> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    pids
}

/// State and parent.
fn stat(pid: u32) -> Option<(String, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
