//! Starts and stops the measured proxy.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use http::StatusCode;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;
use tokio::time::{sleep, timeout};

use crate::client::Client;
use crate::os;

/// The maximum time for the proxy to become ready, or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// The key of the proxy, which runs only for one measurement.
const KEY: &str = "key-of-the-benchmark";

/// A proxy that is ready; it is killed when dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) pid: u32,
    /// The time from its start until `/readyz` returned 200.
    pub(crate) until_ready: Duration,
    child: Child,
}

/// The directories of a proxy.
pub(crate) struct Place {
    pub(crate) data_dir: PathBuf,
    pub(crate) codex_home: PathBuf,
}

impl Place {
    pub(crate) fn below(dir: &Path) -> Self {
        Self { data_dir: dir.join("data"), codex_home: dir.join("codex-home") }
    }
}

impl Proxy {
    /// Starts the proxy with only the necessary settings, so that the results are like those of users. Without a
    /// keychain, because only a first start waits for it.
    pub(crate) async fn start(program: &Path, codex: &Path, place: &Place) -> Result<Self> {
        Self::start_with(program, codex, place, &[]).await
    }

    /// Starts the proxy with these settings as well.
    pub(crate) async fn start_with(
        program: &Path,
        codex: &Path,
        place: &Place,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        fs::create_dir_all(&place.data_dir)?;
        let log = place.data_dir.with_extension("log");
        let mut command = os::command(program);
        command
            .env("CODEX_BIN", codex)
            .env("CODEX_HOME", &place.codex_home)
            .env("PROXY_DATA_DIR", &place.data_dir)
            .env("PORT", "0")
            .env("PROXY_API_KEY", KEY)
            .env("PROXY_KEYCHAIN", "off")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?);
        let begin = Instant::now();
        let child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        match timeout(PATIENCE, ready(child, begin)).await {
            Ok(Ok(proxy)) => Ok(proxy),
            Ok(Err(error)) => Err(error.context(format!("the proxy's log ends with:\n{}", os::tail(&log)))),
            Err(_) => {
                bail!("the proxy was not ready within {PATIENCE:?}; its log ends with:\n{}", os::tail(&log))
            }
        }
    }

    /// A new connection to it.
    pub(crate) async fn connect(&self) -> Result<Client> {
        Client::connect(self.address, KEY).await
    }

    /// Ends the proxy normally.
    pub(crate) async fn stop(mut self) -> Result<()> {
        os::terminate(self.pid)?;
        let status =
            timeout(PATIENCE, self.child.wait()).await.context("the proxy did not end on SIGTERM")??;
        if !status.success() {
            bail!("the proxy ended with {status}");
        }
        Ok(())
    }
}

async fn ready(mut child: Child, begin: Instant) -> Result<Proxy> {
    let pid = child.id().context("the proxy has no process id")?;
    let stdout = child.stdout.take().context("the proxy's standard output is not piped")?;
    let mut lines = BufReader::new(stdout).lines();
    let address = loop {
        let line = lines.next_line().await?.context("the proxy ended")?;
        if let Some((_, url)) = line.split_once("listening on http://") {
            let address = url.trim().trim_end_matches("/v1");
            break address
                .parse::<SocketAddr>()
                .with_context(|| format!("the proxy listens on `{address}`"))?;
        }
    };
    let mut client = Client::connect(address, "").await?;
    while client.status("/readyz").await? != StatusCode::OK {
        sleep(Duration::from_millis(1)).await;
    }
    let until_ready = begin.elapsed();
    // The pipe stays open, so that the proxy's writes do not fail.
    tokio::spawn(async move { while lines.next_line().await.is_ok_and(|line| line.is_some()) {} });
    Ok(Proxy { address, pid, until_ready, child })
}
