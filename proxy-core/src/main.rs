//! `codex-proxy`: runs the proxy, or carries out another command of [`cli`].

use std::io;
use std::process::ExitCode;

use anyhow::Context as _;
use proxy_core::cli::{self, Ask, Output};
use proxy_core::{Config, telemetry};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let mut output = Output::of_process(cli::no_colour());
    match cli::read(std::env::args_os(), &mut output) {
        Ok(Ask::Serve(config)) => finish(serve(*config), &mut output),
        Ok(Ask::Errand(errand)) => errand.run(&mut output),
        Err(code) => code,
    }
}

/// Runs the proxy until the system or the user asks it to end. This is the one place that starts it.
fn serve(config: Config) -> anyhow::Result<ExitCode> {
    #[cfg(unix)]
    leave_no_core();
    let telemetry = telemetry::init(&config.telemetry)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let shutdown = CancellationToken::new();
        cancel_on_signal(shutdown.clone())?;
        let proxy = proxy_core::Proxy::start(config, telemetry.logs().clone()).await?;
        proxy.wait(shutdown).await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// A dump of the memory would hold every secret. It can still be asked for, with `prlimit`.
#[cfg(unix)]
fn leave_no_core() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Core);
    // Less than what is allowed is always allowed.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum });
}

/// Listens for the system's requests to end from now on, so that none is missed while the proxy starts.
#[cfg(unix)]
fn cancel_on_signal(shutdown: CancellationToken) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).context("cannot listen for signals");
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "shutting down");
        shutdown.cancel();
    });
    Ok(())
}

/// Listens for the system's requests to end from now on, so that none is missed while the proxy starts.
#[cfg(windows)]
fn cancel_on_signal(shutdown: CancellationToken) -> anyhow::Result<()> {
    use tokio::signal::windows;
    let mut ctrl_c = windows::ctrl_c().context("cannot listen for Ctrl-C")?;
    let mut ctrl_break = windows::ctrl_break().context("cannot listen for Ctrl-Break")?;
    let mut close = windows::ctrl_close().context("cannot listen for the console's end")?;
    let mut system = windows::ctrl_shutdown().context("cannot listen for the system's end")?;
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

fn finish(result: anyhow::Result<ExitCode>, output: &mut Output) -> ExitCode {
    match result {
        Ok(code) => code,
        // Whoever reads our output may stop reading at any time, as `head` does.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output.complain(&format!("{error:#}"), None);
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
