//! Starts the proxy, as often as it takes.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use proxy_core::config::{Flags, ProcessEnvironment, Source};
use proxy_core::control::ControlHandle;
use proxy_core::control::settings::SettingsBook as _;
use proxy_core::http::in_process::ControlApi;
use proxy_core::paths::Dirs;
use proxy_core::removal;
use proxy_core::telemetry::{self, Logs, Telemetry};
use proxy_core::{Config, Proxy, ProxyError};
use serde_json::{Map, Value};

/// Reads the settings anew, or says what is wrong with them; with the places they start from.
type Load = Box<dyn Fn() -> Result<(Config, Dirs), String> + Send + Sync>;

/// Ports that are tried before it is given up to find a free one.
const MOST_PORTS: usize = 200;

/// Why the proxy does not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// In a sentence.
    pub(crate) sentence: String,
    /// Whether another program has its port.
    pub(crate) is_port_taken: bool,
}

impl From<String> for Failure {
    fn from(sentence: String) -> Self {
        Self { sentence, is_port_taken: false }
    }
}

/// Starts the proxy, as often as it takes.
pub(crate) struct Engine {
    load: Load,
    /// The process has one log; `None` until settings have said how it is kept.
    telemetry: Option<Mutex<Option<Telemetry>>>,
}

/// A proxy that runs.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    /// Sees and steers it.
    pub(crate) control: ControlHandle,
    /// The same for the window.
    pub(crate) api: ControlApi,
    /// Where its settings are read from.
    pub(crate) config_file: Option<PathBuf>,
    /// Where its log files are.
    pub(crate) log_dir: PathBuf,
}

impl Engine {
    /// The proxy of this user, with the settings that `codex-proxy` has too.
    pub(crate) fn of_process() -> Self {
        let load = || {
            let dirs = Dirs::of_platform()
                .map_err(|error| format!("the working directory cannot be found: {error}"))?;
            let config = Config::load(&Flags::new(), &ProcessEnvironment, &dirs);
            Ok((config.map_err(|problems| problems.to_string())?, dirs))
        };
        Self { load: Box::new(load), telemetry: Some(Mutex::default()) }
    }

    /// A proxy with these settings, in a process that keeps no log.
    #[cfg(test)]
    pub(crate) fn without_log(load: Load) -> Self {
        Self { load, telemetry: None }
    }

    /// Where the proxy keeps its data, if the settings can be read.
    pub(crate) fn data_dir(&self) -> Option<PathBuf> {
        (self.load)().ok().map(|(config, _)| config.data_dir)
    }

    /// Logs from now on, if the settings say how. If they do not, starting it will say why.
    pub(crate) fn begin_log(&self) {
        if let Ok((config, _)) = (self.load)() {
            // Starting it fails for the same reason.
            drop(self.logs(&config));
        }
    }

    /// Starts it, or says in a sentence why it cannot run.
    pub(crate) async fn start(&self) -> Result<(Proxy, Running), Failure> {
        let (config, dirs) = (self.load)()?;
        let logs = self.logs(&config)?;
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        let (config_file, log_dir) = (config_file(&config, dirs), log_dir(&config));
        let proxy = Proxy::start(config, logs)
            .await
            .map_err(|error| Failure { sentence: error.to_string(), is_port_taken: is_port_taken(&error) })?;
        let running =
            Running { control: proxy.control().clone(), api: proxy.control_api(), config_file, log_dir };
        Ok((proxy, running))
    }

    /// Where everything is that the proxy and the application have put on this machine.
    pub(crate) fn removal(&self) -> Result<removal::Config, String> {
        let (config, dirs) = (self.load)()?;
        Ok(config.removal(&dirs))
    }

    /// Changes the setting to the next free port above the one that is set. The proxy must not run.
    pub(crate) fn use_another_port(&self) -> Result<u16, String> {
        let (config, _) = (self.load)()?;
        let (host, wanted) = (config.http.host, config.http.port);
        let is_free = |port: &u16| TcpListener::bind((host, *port)).is_ok();
        let port = (wanted.saturating_add(1)..=u16::MAX).take(MOST_PORTS).find(is_free);
        let port = port.ok_or("No free port was found. Choose one with the setting PORT.")?;
        let change = Map::from_iter([("port".to_owned(), port.into())]);
        config.live_settings.change(&change).map_err(|error| error.to_string())?;
        Ok(port)
    }

    fn logs(&self, config: &Config) -> Result<Logs, String> {
        let Some(telemetry) = &self.telemetry else { return Ok(Logs::default()) };
        let mut telemetry = telemetry.lock().unwrap_or_else(PoisonError::into_inner);
        match &*telemetry {
            Some(telemetry) => Ok(telemetry.logs().clone()),
            None => {
                let begun = telemetry::init(&config.telemetry).map_err(|error| error.to_string())?;
                Ok(telemetry.insert(begun).logs().clone())
            }
        }
    }
}

fn is_port_taken(error: &ProxyError) -> bool {
    matches!(error, ProxyError::Bind { cause, .. } if cause.kind() == ErrorKind::AddrInUse)
}

/// The file that is read, or would be if there were one.
fn config_file(config: &Config, dirs: Dirs) -> Option<PathBuf> {
    let read = config.effective.rows.iter().find_map(|row| match &row.source {
        Source::File(file) => Some(file.clone()),
        Source::Default | Source::Environment(_) | Source::Flag(_) => None,
    });
    let set = || shown_path(config, "PROXY_CONFIG");
    read.or_else(set).or_else(|| Some(dirs.config?.join("config.toml")))
}

fn log_dir(config: &Config) -> PathBuf {
    shown_path(config, "PROXY_LOG_DIR").unwrap_or_else(|| config.data_dir.clone())
}

fn shown_path(config: &Config, name: &str) -> Option<PathBuf> {
    let row = config.effective.rows.iter().find(|row| row.name == name)?;
    match &row.value {
        Value::String(path) if !path.is_empty() => Some(path.into()),
        Value::String(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::Array(_)
        | Value::Object(_) => None,
    }
}
