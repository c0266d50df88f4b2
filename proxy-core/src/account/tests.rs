//! The account as an actor: sessions without processes send what Codex would, and time is paused.

mod limits;
mod sign_in;
mod taken_over;

use std::borrow::Borrow;
use std::path::Path;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::join;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::clock::Clock;
use super::{Account, AccountError, Config, Limits, Method, Phase, Problem, State};
use crate::worker::session::testing::{self, FakeSession};
use crate::worker::{CodexHome, WorkerPool};
use protocol::codex::calls::{self, ReadAccount};
use protocol::codex::notice::{LoginCompleted, LoginFailure, RateLimits, RateWindow, Unreadable};
use protocol::codex::{self, Notice};

/// Monday 23 November 2026, 10:45 in UTC.
const NOW: u64 = 1_795_430_700;

/// Longer than anything that the account waits for.
const LONG: Duration = Duration::from_secs(3600);

struct Scene {
    home: TempDir,
    pool: WorkerPool,
    account: Account,
    shutdown: CancellationToken,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Scene {
    fn set() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let home = tempfile::tempdir().unwrap();
        let pool = testing::pool(home.path());
        let mut config = Config {
            home: CodexHome::Private(home.path().to_owned()),
            startup_timeout: testing::STARTUP_TIMEOUT,
            import_from: None,
            begin_on_request: false,
        };
        change(&mut config);
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let clock = Clock::Paused(NOW, Instant::now());
        let account = Account::start_by(clock, pool.clone(), config, &tasks, shutdown.clone());
        Self { home, pool, account, shutdown }
    }

    /// A scene with a session that reports that no account is signed in.
    async fn signed_out() -> (Self, FakeSession) {
        let scene = Self::set();
        let session = scene.session(0);
        session.tell(nobody());
        scene.until(|state| state.phase() == Phase::SignedOut).await;
        (scene, session)
    }

    /// A scene with a session through which an account is signed in, with its limits read.
    async fn signed_in() -> (Self, FakeSession) {
        let scene = Self::set();
        let mut session = scene.session(0);
        session.tell(person("a@b.example"));
        answer(&mut session, "account/rateLimits/read", limits(10)).await;
        scene.until(|state| state.limits.is_some()).await;
        (scene, session)
    }

    fn session(&self, worker: usize) -> FakeSession {
        FakeSession::start(&self.pool, worker)
    }

    /// Waits until the account satisfies the condition.
    async fn until(&self, condition: impl FnMut(&State) -> bool) -> State {
        let mut state = self.account.watch();
        let met = timeout(LONG, state.wait_for(condition)).await.ok().map(|state| state.unwrap().clone());
        met.unwrap_or_else(|| panic!("it never came to that: {:?}", self.account.state()))
    }

    /// Begins a sign-in through `session`.
    async fn begin(&self, session: &mut FakeSession, id: &str) {
        let (login, ()) =
            join!(self.account.log_in(Method::Browser), answer(session, "account/login/start", browser(id)),);
        assert_eq!(login.unwrap().id, id);
    }

    fn file(&self) -> std::path::PathBuf {
        self.home.path().join("auth.json")
    }

    /// The workers with a requested replacement since the last call.
    fn replaced(&self) -> [bool; 2] {
        [0, 1].map(|worker| self.pool.is_restart_asked(worker))
    }
}

/// Answers the next call, which must be this one.
async fn answer(session: &mut FakeSession, method: &str, answer: impl Borrow<Value>) {
    let asked = session.asked().await;
    assert_eq!(asked.method, method);
    asked.answer(answer.borrow());
}

fn browser(id: &str) -> Value {
    browser_on(id, 1455)
}

fn browser_on(id: &str, port: u16) -> Value {
    let page = format!(
        "https://auth.example/?state=s&redirect_uri=http%3A%2F%2Flocalhost%3A{port}%2Fauth%2Fcallback"
    );
    json!({"type": "chatgpt", "loginId": id, "authUrl": page})
}

fn account(email: Option<&str>) -> Value {
    let account = email.map(|email| json!({"type": "chatgpt", "email": email, "planType": "plus"}));
    json!({"account": account, "requiresOpenaiAuth": true})
}

fn details(email: Option<&str>) -> Notice {
    Notice::Details(calls::read::<ReadAccount>(&account(email).to_string()).unwrap())
}

fn person(email: &str) -> Notice {
    details(Some(email))
}

fn nobody() -> Notice {
    details(None)
}

fn completed(id: &str) -> Notice {
    Notice::LoginCompleted(LoginCompleted { login_id: Some(id.into()), outcome: Ok(()) })
}

fn failed(id: &str, failure: LoginFailure) -> Notice {
    Notice::LoginCompleted(LoginCompleted { login_id: Some(id.into()), outcome: Err(failure) })
}

fn limits(used: u32) -> Value {
    let window = json!({"usedPercent": used, "windowDurationMins": 300, "resetsAt": NOW + 600});
    json!({"ordinaryUsageAllowed": used < 100, "rateLimits": {"limitId": "codex", "primary": window}})
}

fn used(limits: Option<&Limits>) -> Option<u32> {
    Some(limits?.primary?.used_percent)
}

/// Writes a sign-in with this write time.
fn write_sign_in(file: &Path, written: SystemTime) {
    std::fs::write(file, r#"{"OPENAI_API_KEY":"sk-1"}"#).unwrap();
    std::fs::File::options().write(true).open(file).unwrap().set_modified(written).unwrap();
}
