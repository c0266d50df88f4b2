//! Kills workers and the proxy at random points of streams, or puts the proxy under load; see `e2e::chaos`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that is started by hand talks to the terminal"
)]

use std::process::ExitCode;

const HELP: &str = "\
Usage: cargo xtask chaos [OPTIONS]

Options:
  --rounds N         how many deaths (default 1000; 100 with --real)
  --seed S           what decides who dies of what, and when (default: a new one each time)
  --seconds-limit N  begin no round after so many seconds
  --real             over the real Codex instead of the fake one
  --load             no deaths: 64 clients on one worker, then 1,000 streams held open
  --seconds N        how long the 64 clients ask (default 600)
  --streams N        how many streams are held open (default 1000)
  --edge NAME        no deaths: streams through nginx, caddy or traefik with the settings in installers
  --minutes N        how long (default 10)
  --clients N        how many clients ask (default 8)
";

#[cfg(target_os = "linux")]
#[tokio::main]
async fn main() -> ExitCode {
    let result = match linux::parse(lexopt::Parser::from_env()) {
        Ok(Some(command)) => linux::run(command).await,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => Err(format!("{error}; --help lists the options")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("the chaos test reads /proc, which only Linux has\n\n{HELP}");
    ExitCode::FAILURE
}

#[cfg(target_os = "linux")]
mod linux {
    use std::hash::{BuildHasher, RandomState};
    use std::time::Duration;

    use e2e::chaos::{self, edge, load};
    use e2e::edge::Kind;
    use lexopt::prelude::*;

    /// The limits on a machine without other load.
    const IN_TIME: Duration = Duration::from_secs(2);

    pub(super) enum Command {
        Deaths(chaos::Options),
        Load { time: Duration, streams: usize },
        Edge { kind: Kind, time: Duration, clients: usize },
    }

    pub(super) fn parse(mut parser: lexopt::Parser) -> Result<Option<Command>, lexopt::Error> {
        let (mut rounds, mut limit, mut seconds, mut streams) = (None, None, 600, 1000);
        let (mut real, mut load) = (false, false);
        let (mut edge, mut minutes, mut clients) = (None, 10, 8);
        let mut seed = RandomState::new().hash_one(0) % 1_000_000;
        while let Some(argument) = parser.next()? {
            match argument {
                Long("rounds") => rounds = Some(parser.value()?.parse()?),
                Long("seed") => seed = parser.value()?.parse()?,
                Long("seconds-limit") => limit = Some(Duration::from_secs(parser.value()?.parse()?)),
                Long("real") => real = true,
                Long("load") => load = true,
                Long("seconds") => seconds = parser.value()?.parse()?,
                Long("streams") => streams = parser.value()?.parse()?,
                Long("edge") => edge = Some(parser.value()?.parse()?),
                Long("minutes") => minutes = parser.value()?.parse()?,
                Long("clients") => clients = parser.value()?.parse()?,
                Short('h') | Long("help") => return Ok(None),
                Short(_) | Long(_) | Value(_) => return Err(argument.unexpected()),
            }
        }
        if let Some(kind) = edge {
            return Ok(Some(Command::Edge { kind, time: Duration::from_secs(60 * minutes), clients }));
        }
        if load {
            return Ok(Some(Command::Load { time: Duration::from_secs(seconds), streams }));
        }
        let rounds = rounds.unwrap_or(if real { 100 } else { 1000 });
        Ok(Some(Command::Deaths(chaos::Options { rounds, seed, limit, real, in_time: IN_TIME })))
    }

    pub(super) async fn run(command: Command) -> Result<(), String> {
        match command {
            Command::Deaths(options) => {
                let summary = chaos::run(&options).await?;
                println!("chaos: seed {}: {summary}", options.seed);
            }
            Command::Edge { kind, time, clients } => {
                println!("edge: {}", edge::soak(kind, clients, time).await?);
            }
            Command::Load { time, streams } => {
                println!("load: {}", load::crowd(time).await?);
                println!("load: {}", load::streams(streams).await?);
            }
        }
        Ok(())
    }
}
