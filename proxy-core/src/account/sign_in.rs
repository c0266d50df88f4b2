//! Signing in, with each method, and signing out.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::error::{AccountError, NoWorker, SignInError, Unsupported};
use super::login::{CallbackRefusal, Login, Method};
use super::problem::Problem;
use super::state::{Ended, Phase, State};
use super::{Account, BRIEFLY, PATIENCE, import, messages, relay};
use crate::secret::ApiKey;
use crate::worker::hold::Hold;
use crate::worker::{CallError, CodexHome, Handle, SessionId, Which};
use protocol::codex::calls::{
    CancelLogin, KeyLogin, LogInWithKey, LogOut, LoginName, LoginStarted, LoginWay, StartLogin,
};
use protocol::codex::notice::{LoginFailure, Private};
use protocol::turn::TurnError;

/// How long the result of a sign-in may take to show. Codex's own notices come sooner.
const CONFIRMED: Duration = Duration::from_secs(1);

/// The pause between two checks of a port that another program may be about to take, and their number: a program
/// that signs in to Codex tries five times a second.
const LOOKS: (Duration, u32) = (Duration::from_millis(100), 12);

/// The port where Codex waits for the browser, if it is free.
const CODEX_PORT: u16 = 1455;

/// How long an action of Codex may take to show in its reports.
const SETTLE: Duration = Duration::from_secs(10);

/// The seconds after a failed attempt during which requests begin no sign-in.
const PAUSE: u64 = 30;

/// The session that waits for the end of a sign-in. The browser's callback goes to its process, even if the worker
/// has another process by then.
#[derive(Debug)]
pub(super) struct Waiting {
    /// The id of the sign-in.
    id: String,
    session: Handle,
    /// The write time of the earlier sign-in.
    written: Option<SystemTime>,
    _kept: Hold,
}

impl Account {
    /// Begins a sign-in. While one with this method is under way, every caller gets that one.
    ///
    /// # Errors
    /// Why Codex has not begun it.
    pub async fn log_in(&self, method: Method) -> Result<Login, AccountError> {
        let account = self.clone();
        // The caller may have gone before Codex has answered. The sign-in is then used for the next caller.
        let begun = self.spawn(async move { account.begin(method).await }).await;
        begun.ok().flatten().unwrap_or(Err(AccountError::Slow))
    }

    /// Signs in with an API key of the vendor's platform.
    ///
    /// # Errors
    /// Why Codex has not accepted it.
    pub async fn log_in_with_key(&self, key: &ApiKey) -> Result<(), AccountError> {
        let _held = self.shared.changing.lock().await;
        self.end_login().await;
        let params = || KeyLogin { api_key: Private(key.expose().to_owned()) };
        self.ask_any::<LogInWithKey>(params).await.map_err(AccountError::of_sign_in)?;
        self.settled(|state| state.phase() == Phase::SignedIn).await;
        Ok(())
    }

    /// Ends the present sign-in, if there is one.
    pub async fn cancel(&self) {
        let _held = self.shared.changing.lock().await;
        self.end_login().await;
        self.change(|state| state.problem = None);
    }

    /// Signs out, on every worker.
    ///
    /// # Errors
    /// Why Codex has not done so.
    pub async fn log_out(&self) -> Result<(), AccountError> {
        let _held = self.shared.changing.lock().await;
        self.end_login().await;
        let mut is_done = false;
        while !is_done {
            self.shared.pool.session(PATIENCE).await?;
            let sessions = self.shared.pool.sessions();
            let goodbyes = sessions.iter().map(|session| async move {
                match self.ask::<LogOut>(session, ()).await {
                    Ok(_) => {}
                    // If the worker is just being replaced, the next one gets the call.
                    Err(_) if session.is_closed() => return Ok(false),
                    Err(error) => return Err(error),
                }
                // A request that comes at this moment would still find the old sign-in.
                let _ = timeout(SETTLE, session.signed_out()).await;
                Ok::<_, AccountError>(true)
            });
            for goodbye in join_all(goodbyes).await {
                is_done |= goodbye?;
            }
        }
        let latest = self.shared.pool.latest_session();
        self.change(|state| {
            state.signed_out(latest);
            state.problem = None;
        });
        tracing::info!("signed out");
        // Processes that are starting now may have read the removed sign-in.
        self.shared.pool.replace(Which::Unready);
        Ok(())
    }

    /// Imports the sign-in in an `auth.json`, as a copy.
    ///
    /// # Errors
    /// When the file has a problem, or the proxy has no Codex home of its own.
    pub async fn import(&self, from: Option<PathBuf>) -> Result<(), AccountError> {
        let _held = self.shared.changing.lock().await;
        let to = match &self.shared.config.home {
            home @ CodexHome::Private(_) => home.sign_in_file(),
            CodexHome::Given(_) => return Err(AccountError::GivenHome),
        };
        let from = from.or_else(|| self.shared.config.import_from.clone()).ok_or(AccountError::NoDefault)?;
        self.end_login().await;
        let latest = self.shared.pool.latest_session();
        let copied = tokio::task::spawn_blocking(move || import::copy(&from, to)).await;
        copied.map_err(|error| SignInError::NotCopied(error.to_string()))??;
        tracing::info!("a sign-in was taken over; the workers are started again");
        self.change(|state| state.replaced(latest));
        self.shared.pool.replace(Which::All);
        let limit = self.shared.config.startup_timeout + SETTLE;
        let mut state = self.watch();
        let known = state.wait_for(|state| state.phase() != Phase::SigningIn);
        if timeout(limit, known).await.is_err() {
            return Err(NoWorker::NotStarted.into());
        }
        Ok(())
    }

    /// Accepts the callback of the browser's sign-in, forwards it and waits for the result.
    ///
    /// # Errors
    /// Why it is not forwarded.
    pub async fn callback(&self, query: String) -> Result<(), CallbackRefusal> {
        let mut taken = Err(CallbackRefusal::NoLogin);
        self.change(|state| taken = state.take_callback(&query, self.now()));
        let (id, port) = taken?;
        let account = self.clone();
        // A code is valid once: a browser that disconnects must not leave the exchange half done.
        let delivery = self.spawn(async move { account.deliver(&id, port, &query).await });
        // The end of the proxy also ends the sign-in.
        let _ = delivery.await;
        Ok(())
    }

    /// The refusal of a turn without a sign-in. It names the present sign-in. If there is none and no other
    /// program signs in to Codex on this machine, one is begun.
    pub async fn login_required(&self, error: TurnError) -> TurnError {
        let wanted = {
            let state = self.shared.state.borrow();
            self.shared.config.begin_on_request
                && state.phase() == Phase::SignedOut
                && state.open_login(None, self.now()).is_none()
        };
        if wanted && self.now() >= self.shared.not_before.load(Ordering::Relaxed) {
            let account = self.clone();
            let begun = self.spawn(async move {
                // Codex would end the sign-in of another program that it finds on the port.
                if !somebody_waits(CODEX_PORT).await
                    && let Err(error) = account.begin(Method::Browser).await
                {
                    account.shared.not_before.store(account.now() + PAUSE, Ordering::Relaxed);
                    tracing::debug!(%error, "a request could not begin a sign-in");
                }
            });
            // A sign-in that takes longer to begin is named only in later refusals.
            let _ = timeout(BRIEFLY, begun).await;
        }
        messages::sign_in(error, &self.shared.state.borrow(), self.now())
    }

    async fn begin(&self, method: Method) -> Result<Login, AccountError> {
        let _held = self.shared.changing.lock().await;
        self.begin_held(method).await
    }

    async fn begin_held(&self, method: Method) -> Result<Login, AccountError> {
        let (open, is_there) = {
            let state = self.shared.state.borrow();
            (state.open_login(Some(method), self.now()).cloned(), state.login.is_some())
        };
        if let Some(login) = open {
            return Ok(login);
        }
        if is_there {
            self.end_login().await;
        }
        let written = self.shared.config.home.sign_in();
        let (session, kept, begun) = loop {
            let session = self.shared.pool.session(PATIENCE).await?;
            let kept = session.holds().keep();
            let begun = self.ask_for_login(&session, method).await;
            // If the worker was just being replaced, the next one gets the call.
            if begun.is_ok() || !session.is_closed() {
                break (session, kept, begun);
            }
        };
        match begun {
            Ok(login) => {
                self.keep(login.clone(), Waiting { id: login.id.clone(), session, written, _kept: kept });
                Ok(login)
            }
            Err(error) => {
                tracing::warn!(%error, method = method.as_str(), "a sign-in could not be begun");
                self.change(|state| state.failed(Problem::NotBegun(error.to_string())));
                Err(error)
            }
        }
    }

    /// Checks whether an account is signed in, after this session has reported it. The report alone is no proof,
    /// because any web page can open Codex's last page.
    pub(super) fn confirm(&self, session: SessionId) {
        let account = self.clone();
        self.spawn(async move {
            let mut state = account.watch();
            let known = state.wait_for(|state| state.confirming != Some(session));
            if timeout(CONFIRMED, known).await.is_ok() {
                return;
            }
            let waiting = account.waiting().as_ref().map(|waiting| waiting.session.clone());
            let mut sessions = account.shared.pool.sessions().into_iter().chain(waiting);
            let Some(handle) = sessions.find(|handle| handle.id() == session) else { return };
            let said = account.read_account(&handle).await;
            // If the session cannot report the account now, another call follows later.
            let is_known = said.is_ok();
            account.take_said(&handle, said);
            if is_known {
                account.follow(|state| state.unconfirmed(session));
            }
        });
    }

    /// Whether the sign-in on disk is still the one from before this session's sign-in.
    pub(super) fn is_as_before(&self, session: SessionId) -> bool {
        let waiting = self.waiting();
        let written = waiting.as_ref().filter(|waiting| waiting.session.id() == session);
        let written = written.and_then(|waiting| waiting.written);
        written.is_some() && written == self.shared.config.home.sign_in()
    }

    /// Restarts a sign-in that was ended from outside, unless another program that signs in to Codex ended it: the
    /// restart would end the other program's sign-in.
    pub(super) fn recover(&self, how: Ended) {
        let account = self.clone();
        self.spawn(async move {
            if let Ended::Cancelled { port } = how
                && is_taken_soon(port).await
            {
                account.change(|state| {
                    if state.recovering {
                        state.failed(Problem::Failed(LoginFailure::Cancelled));
                    }
                });
                return;
            }
            let _held = account.shared.changing.lock().await;
            let (recovering, renewals) = {
                let state = account.shared.state.borrow();
                (state.recovering, state.renewals)
            };
            if !recovering {
                return;
            }
            tracing::warn!("a sign-in was ended from outside, as by a web page; another is begun");
            // The account's state contains the failure.
            if account.begin_held(Method::Browser).await.is_ok() {
                account.change(|state| state.renewed(renewals + 1));
            }
        });
    }

    async fn ask_for_login(&self, session: &Handle, method: Method) -> Result<Login, AccountError> {
        let way = match method {
            Method::Browser => LoginWay::Chatgpt,
            Method::DeviceCode => LoginWay::ChatgptDeviceCode,
        };
        let begun = self.ask::<StartLogin>(session, way).await.map_err(|error| match (method, error) {
            (Method::DeviceCode, AccountError::Refused(CallError::Refused(refusal)))
                if StartLogin::is_unknown_way(&refusal) =>
            {
                Unsupported::DeviceCode { version: session.capabilities().version.clone() }.into()
            }
            (Method::Browser | Method::DeviceCode, error) => error.of_sign_in(),
        })?;
        match begun {
            LoginStarted::Browser { login_id, auth_url } => {
                let login = Login::browser(login_id, session.id(), auth_url, self.now());
                login.ok_or_else(|| SignInError::Unknown.into())
            }
            LoginStarted::DeviceCode { login_id, verification_url, user_code } => {
                Ok(Login::device_code(login_id, session.id(), verification_url, user_code, self.now()))
            }
        }
    }

    fn keep(&self, login: Login, waiting: Waiting) {
        tracing::info!(method = login.method().as_str(), "a sign-in has begun");
        let (id, session) = (waiting.id.clone(), waiting.session.clone());
        *self.waiting() = Some(waiting);
        self.change(|state| state.begun(login));
        let account = self.clone();
        self.spawn(async move {
            let mut state = account.watch();
            let over = state.wait_for(|state| state.login.as_ref().is_none_or(|login| login.id != id));
            tokio::select! {
                _ = over => {}
                () = session.closed() => account.change(|state| state.session_ended(session.id())),
            }
            account.waiting().take_if(|waiting| waiting.id == id);
        });
    }

    /// Ends the present sign-in: Codex then frees its port.
    async fn end_login(&self) {
        let waiting = self.waiting().take();
        let mut open = None;
        self.change(|state| {
            open = state.login.take();
            state.stopped();
        });
        let Some((login, waiting)) = open.zip(waiting) else { return };
        if login.id != waiting.id || waiting.session.is_closed() {
            return;
        }
        let name = LoginName { login_id: login.id };
        if let Err(error) = self.ask::<CancelLogin>(&waiting.session, name).await {
            tracing::warn!(%error, "codex did not end a sign-in");
        }
    }

    async fn deliver(&self, id: &str, port: u16, query: &str) {
        let is_it = |state: &State| state.login.as_ref().is_some_and(|login| login.id == id);
        if let Err(error) = relay::deliver(port, query).await {
            tracing::warn!(%error, "a sign-in's callback could not be passed on");
            self.change(|state| {
                if is_it(state) {
                    state.failed(Problem::NotDelivered(error.to_string()));
                }
            });
            return;
        }
        let settled = self.settled(|state| !is_it(state) && state.phase() != Phase::SigningIn).await;
        if !settled && is_it(&self.shared.state.borrow()) {
            self.cancel().await;
            self.change(|state| state.failed(Problem::NotCompleted));
        }
    }

    /// Waits a short time until the state satisfies the condition. Returns whether it does.
    async fn settled(&self, condition: impl FnMut(&State) -> bool) -> bool {
        let mut state = self.watch();
        let met = timeout(SETTLE, state.wait_for(condition)).await;
        matches!(met, Ok(Ok(_)))
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Option<Waiting>> {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether another program takes this port and keeps it. Codex frees the port only after it has reported the end
/// of the sign-in, on a busy machine much later: only the last check is reliable.
async fn is_taken_soon(port: u16) -> bool {
    let (pause, looks) = LOOKS;
    let mut taken = false;
    for _ in 0..looks {
        sleep(pause).await;
        taken = somebody_waits(port).await;
    }
    taken
}

/// Whether another program waits for a browser on Codex's port.
async fn somebody_waits(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let connected = timeout(Duration::from_millis(250), TcpStream::connect(address)).await;
    !matches!(connected, Ok(Err(_)))
}
