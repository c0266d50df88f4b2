//! Runs real client programs against the proxy. Each has its own home directory, with the settings that the proxy writes
//! there. Afterwards no process of it may remain.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::harness::{Proxy, Setup};
use crate::patience::until;
use crate::processes;
use crate::sse;

const PATIENCE: Duration = Duration::from_secs(50);

/// This environment variable marks the processes of a client.
const MARK: &str = "E2E_BROUGHT_CLIENT";

/// An address where nothing listens.
const NOBODY: &str = "http://127.0.0.1:9";

/// The variable from which the clients' settings read the key.
pub const KEY_VARIABLE: &str = "CODEX_PROXY_KEY";

/// A user's home directory and a working folder.
#[derive(Debug)]
pub struct Person {
    home: TempDir,
    work: TempDir,
}

impl Default for Person {
    fn default() -> Self {
        let folder = || tempfile::tempdir().expect("a temporary folder can be made");
        Self { home: folder(), work: folder() }
    }
}

impl Person {
    /// The home directory.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The folder that clients work in.
    pub fn work(&self) -> &Path {
        self.work.path()
    }

    /// A proxy of this user.
    pub fn owns(&self, setup: Setup) -> Setup {
        let text = |path: &Path| path.to_str().expect("temporary folders have plain names").to_owned();
        setup
            .env("HOME", &text(self.home()))
            .env("XDG_CONFIG_HOME", &text(&self.home().join(".config")))
            .env("XDG_DATA_HOME", &text(&self.home().join(".local/share")))
    }

    /// Lets the proxy write its entry into this client's settings. Returns the settings file.
    pub async fn set_up(&self, proxy: &Proxy, client: &str) -> PathBuf {
        let request = proxy.control(Method::POST, &format!("/clients/{client}/apply")).body("{}");
        let (status, answer) = sse::json(request).await;
        assert_eq!(status, 200, "{client}: {answer}");
        let list = proxy.control_ok("/clients", None).await;
        let standing = list.as_array().and_then(|all| all.iter().find(|standing| standing["id"] == client));
        let standing = standing.expect("a client that can be set up is listed");
        assert_eq!(standing["configured"], json!(true), "{standing}");
        let file = Path::new(standing["config_file"].as_str().expect("a client has a file"));
        assert!(file.starts_with(self.home()), "{} is another's", file.display());
        file.to_owned()
    }

    /// Runs a client until it ends, and waits until none of its processes remain.
    ///
    /// # Panics
    /// If it does not end, fails, or leaves processes behind.
    pub async fn runs(&self, program: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Printed {
        let mark = format!("{MARK}={}", self.home().display());
        let left = Left { mark: mark.clone() };
        let mut command = tokio::process::Command::new(program);
        command.args(arguments).current_dir(self.work()).env_clear();
        command.envs(env::var_os("PATH").map(|path| ("PATH", path)));
        command.env("HOME", self.home()).env("XDG_CONFIG_HOME", self.home().join(".config"));
        // The client can connect to this machine only.
        command.env("HTTPS_PROXY", NOBODY).env("HTTP_PROXY", NOBODY).env("NO_PROXY", "127.0.0.1,localhost");
        command.env(MARK, self.home()).envs(variables.iter().copied());
        command.stdin(Stdio::null()).kill_on_drop(true);
        let Ok(ended) = tokio::time::timeout(PATIENCE, command.output()).await else {
            panic!("{} still runs after {PATIENCE:?}", program.display());
        };
        let ended = ended.unwrap_or_else(|e| panic!("{} cannot be started: {e}", program.display()));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let printed = Printed { out: text(&ended.stdout), err: text(&ended.stderr) };
        assert!(ended.status.success(), "{}: {}\n{printed:#?}", program.display(), ended.status);
        until("the end of all that a client has started", async || left.pids().is_empty().then_some(()))
            .await;
        printed
    }
}

/// The output of a client.
#[derive(Debug)]
pub struct Printed {
    /// On its standard output.
    pub out: String,
    /// On its standard error.
    pub err: String,
}

/// The processes of a client. They end with the test, even if the test fails.
struct Left {
    mark: String,
}

impl Left {
    fn pids(&self) -> Vec<u32> {
        processes::with_variable(&self.mark)
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        for pid in self.pids() {
            processes::signal_if_there(pid, Signal::KILL);
        }
    }
}
