//! Starts the proxy, any number of times.

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

/// Reads the settings again, or returns their problems; with the base directories.
type Load = Box<dyn Fn() -> Result<(Config, Dirs), String> + Send + Sync>;

/// The maximum number of ports that are tried to find a free one.
const MOST_PORTS: usize = 200;

/// Why the proxy is not running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The reason in a sentence.
    pub(crate) sentence: String,
    /// Whether another program uses its port.
    pub(crate) is_port_taken: bool,
}

impl From<String> for Failure {
    fn from(sentence: String) -> Self {
        Self { sentence, is_port_taken: false }
    }
}

/// Starts the proxy, any number of times.
pub(crate) struct Engine {
    load: Load,
    /// The log of the process; the inner `None` means that the settings have not been read yet.
    telemetry: Option<Mutex<Option<Telemetry>>>,
}

/// A running proxy.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    /// The handle that reads and changes the state of the proxy.
    pub(crate) control: ControlHandle,
    /// The control API for the window.
    pub(crate) api: ControlApi,
    /// The path of the configuration file.
    pub(crate) config_file: Option<PathBuf>,
    /// The directory of the log files.
    pub(crate) log_dir: PathBuf,
}

impl Engine {
    /// The proxy of this user, with the same settings as `codex-proxy`.
    pub(crate) fn of_process() -> Self {
        let load = || {
            let dirs = Dirs::of_platform()
                .map_err(|error| format!("the working directory cannot be found: {error}"))?;
            let config = Config::load(&Flags::new(), &ProcessEnvironment, &dirs);
            Ok((config.map_err(|problems| problems.to_string())?, dirs))
        };
        Self { load: Box::new(load), telemetry: Some(Mutex::default()) }
    }

    /// A proxy with these settings, in a process without a log.
    #[cfg(test)]
    pub(crate) fn without_log(load: Load) -> Self {
        Self { load, telemetry: None }
    }

    /// The data directory of the proxy, if the settings can be read.
    pub(crate) fn data_dir(&self) -> Option<PathBuf> {
        (self.load)().ok().map(|(config, _)| config.data_dir)
    }

    /// Starts the log, if the settings are valid. If they are not, the start of the proxy reports it.
    pub(crate) fn begin_log(&self) {
        if let Ok((config, _)) = (self.load)() {
            // The start of the proxy reports the same error.
            drop(self.logs(&config));
        }
    }

    /// Starts the proxy, or returns the reason why it cannot run.
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

    /// The places of everything that the proxy and the application have stored on this machine.
    pub(crate) fn removal(&self) -> Result<removal::Config, String> {
        let (config, dirs) = (self.load)()?;
        Ok(config.removal(&dirs))
    }

    /// Changes the setting to the next free port above the current one. The proxy must not be running.
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

/// The configuration file, whether it exists or not.
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
