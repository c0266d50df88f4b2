//! Example states of the proxy for tests.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use proxy_core::Config;
use proxy_core::config::Flags;
use proxy_core::control::api::{
    Account, AccountMethod, AccountState, BackendMode, CodexSource, CodexStatus, LimitWindow, Limits,
    Managed, Private, SandboxMode, Status, Worker, WorkerState,
};
use proxy_core::paths::Dirs;
use proxy_core::usage::Totals;

use crate::engine::Engine;

/// 2026-03-04 12:00:00 UTC, a Wednesday.
pub(crate) const NOON: u64 = 1_772_625_600;

/// A proxy with one worker, ready for `person@example.org`.
pub(crate) fn ready() -> Status {
    Status {
        proof: None,
        version: "1.2.3".into(),
        ready: true,
        reason: None,
        paused: false,
        backend_mode: BackendMode::AppServer,
        sandbox_mode: SandboxMode::ReadOnly,
        uptime_seconds: 60,
        queue_depth: 0,
        workers: vec![worker(WorkerState::Ready)],
        codex: CodexStatus {
            source: Some(CodexSource::Managed),
            path: Some("/opt/codex".into()),
            version: Some("0.169.0".into()),
            supported: true,
            problem: None,
            note: None,
            pinned: "0.169.0".into(),
            managed: Managed { current: Some("0.169.0".into()), previous: None },
            elsewhere: vec![],
            job: None,
        },
        address: "http://127.0.0.1:11435/v1".into(),
        account: account(AccountState::SignedIn),
        limits: Some(limits(42, 12, true)),
        limited: false,
        today: Totals::default(),
        warnings: vec![],
    }
}

/// A worker with this state.
pub(crate) fn worker(state: WorkerState) -> Worker {
    Worker {
        id: 0,
        state,
        pid: Some(1234),
        codex_version: Some("0.169.0".into()),
        uptime_seconds: Some(60),
        restarts: 0,
        consecutive_failures: 0,
        last_ready_at: Some(1),
        startup_ms: Some(500),
        last_exit: None,
        last_exit_at: None,
        retry_in_seconds: None,
        retry_in_ms: None,
        turns_running: 0,
        turns_done: 0,
        resident_bytes: None,
    }
}

/// An account with this state.
pub(crate) fn account(state: AccountState) -> Account {
    let is_in = state == AccountState::SignedIn;
    Account {
        state,
        method: is_in.then_some(AccountMethod::ChatGpt),
        email: is_in.then(|| Private("person@example.org".into())),
        plan: is_in.then(|| "plus".into()),
        workspace: None,
        login: None,
        sign_in_url: Some("http://127.0.0.1:1435/".into()),
        problem: None,
    }
}

/// Limits with these used percentages: of five hours that end at 14:30, and of a week that ends on Saturday.
pub(crate) fn limits(short: u32, long: u32, allowed: bool) -> Limits {
    let window = |used_percent, minutes, resets_at| LimitWindow {
        used_percent,
        window_minutes: Some(minutes),
        resets_at: Some(resets_at),
    };
    Limits {
        plan: Some("plus".into()),
        ordinary_usage_allowed: Some(allowed),
        reached: None,
        primary: Some(window(short, 300, NOON + 9_000)),
        secondary: Some(window(long, 10_080, NOON + 3 * 86_400)),
        credits: None,
        read_at: NOON,
    }
}

/// A ready proxy with these limits.
pub(crate) fn limited(limits: Limits, limited: bool) -> Status {
    Status { limits: Some(limits), limited, ..ready() }
}

/// A proxy that has no Codex.
pub(crate) fn without_codex() -> Status {
    let mut status = down("there is no Codex CLI on this machine. Run `codex-proxy codex install`.");
    status.codex.path = None;
    status.codex.problem = Some("there is no Codex CLI on this machine. Install it.".into());
    status.account = account(AccountState::Unknown);
    status
}

/// A proxy whose only worker has failed permanently.
pub(crate) fn down(reason: &str) -> Status {
    let mut status = ready();
    status.ready = false;
    status.reason = Some(reason.to_owned());
    status.workers = vec![Worker { last_exit: Some(reason.to_owned()), ..worker(WorkerState::Failed) }];
    status
}

/// A separate proxy in a directory, without Codex, on `port`.
pub(crate) fn engine(dir: &Path, port: u16) -> Engine {
    let dirs = Dirs {
        config: Some(dir.join("config")),
        data: Some(dir.join("data")),
        home: Some(dir.to_owned()),
        current: dir.to_owned(),
    };
    let settings = [
        ("PORT", port.to_string()),
        ("PROXY_LOGIN_LISTENER", "off".to_owned()),
        ("PROXY_KEYCHAIN", "off".to_owned()),
    ];
    let environment: BTreeMap<String, OsString> =
        settings.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    Engine::without_log(Box::new(move || {
        let config = Config::load(&Flags::new(), &environment, &dirs);
        Ok((config.map_err(|problems| problems.to_string())?, dirs.clone()))
    }))
}
