//! Runs the proxy as the only task of a process, and handles the signals that end it.

use std::io;

use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::open_files;
use crate::proxy::{Proxy, ProxyError};
use crate::telemetry::{self, InitError};

/// Why the proxy could not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Logging could not be started.
    #[error(transparent)]
    Telemetry(#[from] InitError),
    /// The runtime cannot be started.
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
    /// Signals cannot be listened for.
    #[error("cannot listen for the system's signals")]
    Signals(#[source] io::Error),
    /// The proxy could not start or had to stop.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
}

/// Runs the proxy until the system or the user ends it.
///
/// # Errors
/// If it cannot start or has to stop.
pub fn serve(config: Config) -> Result<(), ServeError> {
    leave_no_core();
    let telemetry = telemetry::init(&config.telemetry)?;
    open_files::allow_all();
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(ServeError::Runtime)?;
    runtime.block_on(async {
        let shutdown = CancellationToken::new();
        cancel_on_signal(shutdown.clone(), HangUp::Unheard).map_err(ServeError::Signals)?;
        let proxy = Proxy::start(config, telemetry.logs().clone()).await?;
        Ok(proxy.wait(shutdown).await?)
    })
}

/// Turns core dumps off, because they would contain every secret. They can be turned on with `prlimit`.
pub fn leave_no_core() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { maximum, .. } = getrlimit(Resource::Core);
        // To lower a limit is always allowed.
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum });
    }
}

/// The effect of closing the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HangUp {
    /// The default action of the system, which `nohup` can change.
    Unheard,
    /// The program ends.
    Ends,
}

/// Listens for signals that end the process, from now on, so that none is missed while the proxy starts.
///
/// # Errors
/// If the system refuses it.
#[cfg(unix)]
pub fn cancel_on_signal(shutdown: CancellationToken, hang_up: HangUp) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hung_up = match hang_up {
        HangUp::Unheard => None,
        HangUp::Ends => Some(signal(SignalKind::hangup())?),
    };
    tokio::spawn(async move {
        let hung_up = async {
            match &mut hung_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            _ = hung_up => "SIGHUP",
        };
        tracing::info!(signal = name, "shutting down");
        shutdown.cancel();
    });
    Ok(())
}

/// Listens for the system's requests to end, from now on, so that none is missed while the proxy starts.
///
/// # Errors
/// If the system refuses it.
#[cfg(windows)]
pub fn cancel_on_signal(shutdown: CancellationToken, _: HangUp) -> io::Result<()> {
    use tokio::signal::windows;
    let mut ctrl_c = windows::ctrl_c()?;
    let mut ctrl_break = windows::ctrl_break()?;
    let mut close = windows::ctrl_close()?;
    let mut system = windows::ctrl_shutdown()?;
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = ctrl_c.recv() => "Ctrl-C",
            _ = ctrl_break.recv() => "Ctrl-Break",
            _ = close.recv() => "close",
            _ = system.recv() => "shutdown",
        };
        tracing::info!(signal = name, "shutting down");
        shutdown.cancel();
    });
    Ok(())
}
