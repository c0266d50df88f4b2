//! The program `codex-proxy`: runs the proxy, or executes another command of [`cli`].

use std::io;
use std::process::ExitCode;

use proxy_core::cli::{self, Ask, Output};
use proxy_core::{Config, headless};

fn main() -> ExitCode {
    let mut output = Output::of_process(cli::no_colour());
    match cli::read(std::env::args_os(), &mut output) {
        Ok(Ask::Serve(config)) => finish(serve(*config), &mut output),
        Ok(Ask::Errand(errand)) => errand.run(&mut output),
        Err(code) => code,
    }
}

/// Runs the proxy until the system or the user ends it.
fn serve(config: Config) -> anyhow::Result<ExitCode> {
    headless::serve(config)?;
    Ok(ExitCode::SUCCESS)
}

fn finish(result: anyhow::Result<ExitCode>, output: &mut Output) -> ExitCode {
    match result {
        Ok(code) => code,
        // The program that reads our output may close it at any time, as `head` does.
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
