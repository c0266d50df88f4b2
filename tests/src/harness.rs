//! Starts the built proxy for one test and stops it again.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::codex_bin::{codex_path, profile_dir};
use crate::codex_home::{codex_home, codex_home_with_sign_in, signed_in_home};
use crate::fake_openai::FakeOpenAi;
use crate::fake_openai::issuer::{Issuer, Person};
use crate::sse::{self, SseReader};

const PATIENCE: Duration = Duration::from_secs(60);

/// The settings of a test's proxy.
#[derive(Debug)]
pub struct Setup {
    codex: PathBuf,
    home: TempDir,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    wait_for_ready: bool,
    private_home: bool,
    program: Option<PathBuf>,
}

impl Setup {
    /// A proxy with a real Codex of this version that uses `upstream`, signed in if the upstream has accounts.
    pub fn real(version: &str, upstream: &FakeOpenAi) -> Self {
        if upstream.issuer().is_some() {
            return Self::signed_in(version, upstream);
        }
        let setup = Self::over(codex_path(version));
        codex_home(setup.home.path(), version, &upstream.base_url(), 0);
        setup
    }

    /// A proxy with a real Codex of this version that is signed in to `upstream`.
    pub fn signed_in(version: &str, upstream: &FakeOpenAi) -> Self {
        Self::signed_in_as(version, upstream, &Person::default())
    }

    /// The same with the tokens of this person.
    pub fn signed_in_as(version: &str, upstream: &FakeOpenAi, person: &Person) -> Self {
        let issuer = upstream.issuer().expect("the upstream was started with accounts");
        let setup = Self::over(codex_path(version));
        signed_in_home(setup.home.path(), &upstream.base_url(), &issuer.accounts_url(), person);
        setup
            .env("CODEX_APP_SERVER_LOGIN_ISSUER", &issuer.url())
            .env("CODEX_REFRESH_TOKEN_URL_OVERRIDE", &format!("{}/oauth/token", issuer.url()))
            .env("CODEX_REVOKE_TOKEN_URL_OVERRIDE", &format!("{}/oauth/revoke", issuer.url()))
            // Requests to other hosts go to the issuer, which records them.
            .env("HTTPS_PROXY", &issuer.url())
            .env("NO_PROXY", "127.0.0.1,localhost")
    }

    /// A proxy with the newest real Codex. Its upstream needs a sign-in from `issuer`.
    pub fn with_sign_in(upstream: &FakeOpenAi, issuer: &Issuer) -> Self {
        let setup = Self::over(codex_path(crate::codex_bin::NEWEST));
        codex_home_with_sign_in(setup.home.path(), &upstream.base_url(), &issuer.accounts_url());
        setup.env("CODEX_APP_SERVER_LOGIN_ISSUER", &issuer.url())
    }

    /// A proxy with the fake Codex and this scenario (see [`crate::fake_codex::scenario`]).
    pub fn fake(scenario: &Value) -> Self {
        let setup = Self::over(fake_codex_path());
        fs::write(setup.home.path().join("fake-codex.json"), scenario.to_string())
            .expect("a writable test folder");
        setup
    }

    /// A proxy with any program in place of Codex.
    pub fn over(codex: PathBuf) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder can be made");
        Self {
            codex,
            home,
            environment: Vec::new(),
            arguments: Vec::new(),
            wait_for_ready: true,
            private_home: false,
            program: None,
        }
    }

    /// Codex's home, unless the proxy keeps one of its own.
    pub fn codex_home(&self) -> &Path {
        self.home.path()
    }

    /// Sets an environment variable of the proxy.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds an argument to the proxy's command line.
    pub fn arg(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Lets the proxy keep a Codex home of its own.
    pub fn private_home(mut self) -> Self {
        self.private_home = true;
        self
    }

    /// Does not wait for `/readyz`, for tests with a worker that never becomes ready.
    pub fn unready(mut self) -> Self {
        self.wait_for_ready = false;
        self
    }

    /// Starts this program instead. It must start the proxy.
    pub fn program(mut self, program: PathBuf) -> Self {
        self.program = Some(program);
        self
    }

    /// Starts the proxy and waits until it is ready.
    pub async fn start(self) -> Proxy {
        let wait = self.wait_for_ready;
        self.spawn().listening().await.ready(wait).await
    }

    /// Starts the program and waits for nothing.
    pub fn spawn(self) -> Proxy {
        let data = tempfile::tempdir().expect("a temporary folder can be made");
        let chosen = self.environment.iter().find(|(name, key)| name == "PROXY_API_KEY" && !key.is_empty());
        let key = chosen.map_or_else(|| format!("test-{:032x}", rand_u128()), |(_, key)| key.clone());
        let program = self.program.clone().unwrap_or_else(proxy_path);
        let environment = self.variables(data.path(), &key);
        let mut command = Command::new(&program);
        command.args(&self.arguments).env_clear().envs(environment.clone());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {}: {e}; build it first", program.display()));
        let log = Log::default();
        log.follow(child.stdout.take().expect("stdout is piped"));
        log.follow(child.stderr.take().expect("stderr is piped"));
        let (base_url, client) = (String::new(), sse::client());
        Proxy { child, base_url, key, log, client, home: self.home, data, environment }
    }

    fn variables(&self, data: &Path, key: &str) -> Vec<(OsString, OsString)> {
        let inherited = ["PATH", "HOME", "SystemRoot", "TMPDIR", "TEMP"];
        let inherited = inherited.into_iter().filter_map(|name| Some((name.into(), env::var_os(name)?)));
        let mut variables: Vec<(OsString, OsString)> = inherited.collect();
        let mut set = |name: &str, value: &OsStr| variables.push((name.into(), value.to_owned()));
        set("PORT", "0".as_ref());
        set("PROXY_HOST", "127.0.0.1".as_ref());
        set("PROXY_API_KEY", key.as_ref());
        set("PROXY_DATA_DIR", data.as_os_str());
        // Tests must not use the settings and the keychain of the developer.
        if self.program.is_none() {
            set("XDG_CONFIG_HOME", data.join("config").as_os_str());
        }
        set("PROXY_KEYCHAIN", "off".as_ref());
        // Any port: tests must not meet on the usual one.
        set("PROXY_LOGIN_PORT", "0".as_ref());
        set("CODEX_BIN", self.codex.as_os_str());
        if !self.private_home {
            set("CODEX_HOME", self.home.path().as_os_str());
        }
        for (name, value) in &self.environment {
            set(name, value.as_ref());
        }
        variables
    }
}

/// A running proxy; it is killed when dropped.
#[derive(Debug)]
pub struct Proxy {
    child: Child,
    /// `http://127.0.0.1:PORT/v1`.
    pub base_url: String,
    /// The API key that it accepts.
    pub key: String,
    log: Log,
    client: Client,
    home: TempDir,
    data: TempDir,
    environment: Vec<(OsString, OsString)>,
}

impl Proxy {
    /// A program with the same environment.
    pub fn beside(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(self.environment.clone());
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// A request to a path under `/v1`, with the key.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, &format!("{}{path}", self.base_url)).bearer_auth(&self.key)
    }

    /// A request to any URL of the proxy, without the key.
    pub fn bare(&self, method: Method, url: &str) -> RequestBuilder {
        self.client.request(method, url)
    }

    /// The URL of a path outside `/v1`.
    pub fn root_url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url.trim_end_matches("/v1"))
    }

    /// Posts JSON to a path under `/v1`.
    pub fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.request(Method::POST, path).header("content-type", "application/json").body(body.to_string())
    }

    /// Posts JSON and returns the body of a 200.
    pub async fn post_ok(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = sse::json(self.post(path, body)).await;
        assert_eq!(status, 200, "{answer}\n{}", self.log_text());
        answer
    }

    /// Posts JSON with `stream: true` and returns the reader of the stream.
    pub async fn stream(&self, path: &str, body: &Value) -> SseReader {
        let mut body = body.clone();
        body["stream"] = true.into();
        SseReader::new(self.post(path, &body).send().await.expect("the proxy answers")).await
    }

    /// A request to a path under `/control`, with the control API's token.
    pub fn control(&self, method: Method, path: &str) -> RequestBuilder {
        let token = fs::read_to_string(self.data.path().join("control-token")).expect("a token was made");
        self.bare(method, &self.root_url(&format!("/control{path}"))).bearer_auth(token.trim())
    }

    /// The answer of the control API to a GET or, with a body, a POST; it has to be a 200.
    pub async fn control_ok(&self, path: &str, body: Option<&Value>) -> Value {
        let request = match body {
            None => self.control(Method::GET, path),
            Some(body) => self.control(Method::POST, path).body(body.to_string()),
        };
        let (status, answer) = sse::json(request).await;
        assert_eq!(status, 200, "{path}: {answer}\n{}", self.log_text());
        answer
    }

    /// Waits until the account in the control API matches.
    pub async fn wait_for_account(&self, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let mut poll = tokio::time::interval(Duration::from_millis(30));
        let waiting = async {
            loop {
                poll.tick().await;
                let account = self.control_ok("/account", None).await;
                if condition(&account) {
                    return account;
                }
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(account) => account,
            Err(_) => panic!(
                "waited {PATIENCE:?} in vain for {what}; the account is {}\n{}",
                self.control_ok("/account", None).await,
                self.log_text()
            ),
        }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        let port = self.base_url.trim_end_matches("/v1").rsplit(':').next();
        port.and_then(|port| port.parse().ok()).expect("the base URL names a port")
    }

    /// Codex's home.
    pub fn codex_home(&self) -> &Path {
        self.home.path()
    }

    /// The proxy's own data.
    pub fn data_dir(&self) -> &Path {
        self.data.path()
    }

    /// Its output so far.
    pub fn log_text(&self) -> String {
        self.log.lines.borrow().join("\n")
    }

    /// Waits until it has printed a line that contains `text`.
    pub async fn wait_for_log(&self, text: &str) -> String {
        self.log.wait_for(text).await
    }

    /// The process ids of the fake Codex app-servers that have started, oldest first.
    pub fn fake_codex_pids(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.home.path().join("fake-codex.pids")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Stops it like [`Self::stop`], and returns the directories of Codex and of the proxy too.
    #[cfg(unix)]
    pub async fn stop_and_keep(mut self) -> (String, [TempDir; 2]) {
        self.end().await;
        (self.log_text(), [self.home, self.data])
    }

    /// Sends SIGTERM and asserts that the proxy then exits with 0. Returns what it had printed by then.
    #[cfg(unix)]
    pub async fn stop(mut self) -> String {
        self.end().await;
        self.log_text()
    }

    #[cfg(unix)]
    async fn end(&mut self) {
        let pid = self.pid().expect("the proxy runs");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it can be signalled");
        let status = self.exit().await;
        assert!(status.success(), "after SIGTERM the proxy ended with {status}\n{}", self.log_text());
    }

    /// Stops the proxy, where there are no signals, by killing it.
    #[cfg(not(unix))]
    pub async fn stop(mut self) -> String {
        self.child.kill().await.expect("it can be killed");
        self.log_text()
    }

    /// Kills it.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("it can be killed");
    }

    /// Waits for its end.
    pub async fn exit(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let ended = ended.unwrap_or_else(|_| panic!("the proxy still runs\n{}", self.log_text()));
        ended.expect("it can be waited for")
    }

    /// Its process id.
    #[cfg(unix)]
    pub fn pid(&self) -> Option<rustix::process::Pid> {
        rustix::process::Pid::from_raw(i32::try_from(self.child.id()?).ok()?)
    }

    /// Waits until it prints its address.
    pub async fn listening(mut self) -> Self {
        let line = tokio::select! {
            line = self.log.wait_for("listening on http://") => line,
            status = self.child.wait() => {
                panic!("the proxy ended with {status:?} before it listened\n{}", self.log.text());
            }
        };
        let start = line.find("http://").expect("just seen");
        let end = line[start..].find(char::is_whitespace).map_or(line.len(), |length| start + length);
        line[start..end].clone_into(&mut self.base_url);
        assert!(self.base_url.ends_with("/v1"), "the line {line:?} names no base URL");
        self
    }

    /// Waits until it is ready, if `wait`.
    pub async fn ready(self, wait: bool) -> Self {
        if wait && tokio::time::timeout(PATIENCE, self.answers_ready()).await.is_err() {
            panic!("the proxy was not ready within {PATIENCE:?}\n{}", self.log_text());
        }
        self
    }

    async fn answers_ready(&self) {
        let url = self.root_url("/readyz");
        let mut poll = tokio::time::interval(Duration::from_millis(20));
        loop {
            poll.tick().await;
            let answer = self.bare(Method::GET, &url).send().await;
            if answer.is_ok_and(|answer| answer.status() == 200) {
                return;
            }
        }
    }
}

/// The lines that the proxy prints, on either stream.
#[derive(Clone, Debug)]
struct Log {
    lines: watch::Sender<Vec<String>>,
}

impl Default for Log {
    fn default() -> Self {
        Self { lines: watch::channel(Vec::new()).0 }
    }
}

impl Log {
    fn follow(&self, source: impl AsyncRead + Unpin + Send + 'static) {
        let lines = self.lines.clone();
        tokio::spawn(async move {
            let mut source = BufReader::new(source).lines();
            while let Ok(Some(line)) = source.next_line().await {
                lines.send_modify(|all| all.push(line));
            }
        });
    }

    fn text(&self) -> String {
        self.lines.borrow().join("\n")
    }

    async fn wait_for(&self, text: &str) -> String {
        let mut lines = self.lines.subscribe();
        let found = lines.wait_for(|all| all.iter().any(|line| line.contains(text)));
        let Ok(found) = tokio::time::timeout(PATIENCE, found).await else {
            panic!("the proxy did not print {text:?} within {PATIENCE:?}\n{}", self.text());
        };
        let found = found.expect("the sender lives here");
        found.iter().find(|line| line.contains(text)).cloned().expect("just seen")
    }
}

/// The proxy's binary: `E2E_PROXY_BIN`, else the one beside the test.
pub fn proxy_path() -> PathBuf {
    built("E2E_PROXY_BIN", "codex-proxy")
}

/// The tray application's binary: `E2E_APP_BIN`, else the one beside the test.
pub fn app_path() -> PathBuf {
    built("E2E_APP_BIN", "codex-proxy-app")
}

/// The fake Codex's binary: `E2E_FAKE_CODEX_BIN`, else the one beside the test.
pub fn fake_codex_path() -> PathBuf {
    built("E2E_FAKE_CODEX_BIN", "fake-codex")
}

fn built(variable: &str, name: &str) -> PathBuf {
    let path = env::var_os(variable)
        .map_or_else(|| profile_dir().join(format!("{name}{}", env::consts::EXE_SUFFIX)), PathBuf::from);
    assert!(path.is_file(), "{} is missing: run `cargo build --workspace` first", path.display());
    path
}

fn rand_u128() -> u128 {
    use std::hash::{BuildHasher, RandomState};
    let half = || u128::from(RandomState::new().hash_one(0));
    (half() << 64) | half()
}
