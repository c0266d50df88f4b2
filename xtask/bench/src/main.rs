//! The cost of the proxy in one table: time added to a request, CPU, throughput, memory and start.
//!
//! Every number is measured from outside, with release builds on this machine's loopback. The load generator and
//! the mock upstream run in this process and share the processors with the measured programs.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark talks to the terminal")]

mod client;
mod codex;
#[cfg(target_os = "linux")]
mod desktop;
mod latency;
mod memory;
mod os;
mod proxy;
mod report;
mod start;
mod store;
mod threads;
mod throughput;
mod upstream;
mod usage;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lexopt::prelude::*;

use crate::report::Report;

const HELP: &str = "\
Usage: cargo xtask bench [OPTIONS]

Options:
  --only SECTIONS    a comma-separated list of: latency, throughput, memory, start, usage,
                     store, threads, desktop
  --requests N       requests through the proxy, and as many straight to Codex (default 200)
  --seconds N        how long each throughput run lasts (default 5)
  --streams N        how many streams are held open for the memory measurement (default 200)
  --starts N         how many starts are timed (default 10)
  --windows N        how often the window is opened and closed (default 500)
  --idle N           for how many seconds the CPU of the idle application is counted (default 60)
  --events N         how many requests the usage store has seen when it is asked (default 100000)
  --stored N         how many responses are stored when one is read (default 100000)
  --json FILE        write the numbers to FILE as well
";

/// What to measure, and on which binaries.
struct Options {
    proxy: PathBuf,
    codex: PathBuf,
    fake_codex: PathBuf,
    only: Option<Vec<String>>,
    requests: usize,
    time: Duration,
    streams: usize,
    starts: usize,
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "the desktop is measured on Linux"))]
    windows: usize,
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "the desktop is measured on Linux"))]
    idle: Duration,
    events: usize,
    stored: usize,
    json: Option<PathBuf>,
}

const SECTIONS: [&str; 8] =
    ["latency", "throughput", "memory", "start", "usage", "store", "threads", "desktop"];

#[tokio::main]
async fn main() -> Result<()> {
    let Some(options) = parse(lexopt::Parser::from_env())? else {
        print!("{HELP}");
        return Ok(());
    };
    if !cfg!(target_os = "linux") {
        bail!("the benchmark reads CPU time and memory from /proc, which only Linux has");
    }
    let mut report = Report::default();
    let load = os::load()?;
    if load > 0.5 {
        eprintln!(
            "warning: the machine was busy within the last minute (load {load}): measure again when it is quiet"
        );
    }
    report.value("the machine", "load before", "", load);
    for section in SECTIONS {
        if options.only.as_ref().is_some_and(|only| !only.iter().any(|name| name == section)) {
            continue;
        }
        eprintln!("measuring: {section}");
        match section {
            "latency" => latency::measure(&options, &mut report).await,
            "throughput" => throughput::measure(&options, &mut report).await,
            "memory" => memory::measure(&options, &mut report).await,
            "start" => start::measure(&options, &mut report).await,
            "usage" => usage::measure(&options, &mut report).await,
            "store" => store::measure(&options, &mut report).await,
            "threads" => threads::measure(&mut report),
            #[cfg(target_os = "linux")]
            _ => desktop::measure(&options, &mut report).await,
            #[cfg(not(target_os = "linux"))]
            _ => Ok(()),
        }
        .with_context(|| format!("cannot measure {section}"))?;
    }
    print!("{}", report.table());
    if let Some(path) = &options.json {
        fs::write(path, report.json()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn parse(mut parser: lexopt::Parser) -> Result<Option<Options>> {
    let (mut proxy, mut codex, mut fake_codex) = (None, None, None);
    let (mut only, mut json) = (None, None);
    let (mut requests, mut seconds, mut streams, mut starts) = (200, 5, 200, 10);
    let (mut windows, mut idle, mut events, mut stored) = (500, 60, 100_000, 100_000);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("proxy") => proxy = Some(parser.value()?.into()),
            Long("codex") => codex = Some(parser.value()?.into()),
            Long("fake-codex") => fake_codex = Some(parser.value()?.into()),
            Long("only") => only = Some(sections(&parser.value()?.string()?)?),
            Long("requests") => requests = parser.value()?.parse()?,
            Long("seconds") => seconds = parser.value()?.parse()?,
            Long("streams") => streams = parser.value()?.parse()?,
            Long("starts") => starts = parser.value()?.parse()?,
            Long("windows") => windows = parser.value()?.parse()?,
            Long("idle") => idle = parser.value()?.parse()?,
            Long("events") => events = parser.value()?.parse()?,
            Long("stored") => stored = parser.value()?.parse()?,
            Long("json") => json = Some(parser.value()?.into()),
            Short('h') | Long("help") => return Ok(None),
            Short(_) | Long(_) | Value(_) => return Err(argument.unexpected().into()),
        }
    }
    if [requests, streams, starts, windows, events, stored].contains(&0) || seconds == 0 || idle == 0 {
        bail!("every number must be at least 1");
    }
    let missing = "started without its binaries; use `cargo xtask bench`";
    Ok(Some(Options {
        proxy: proxy.context(missing)?,
        codex: codex.context(missing)?,
        fake_codex: fake_codex.context(missing)?,
        only,
        requests,
        time: Duration::from_secs(seconds),
        streams,
        starts,
        windows,
        idle: Duration::from_secs(idle),
        events,
        stored,
        json,
    }))
}

fn sections(list: &str) -> Result<Vec<String>> {
    let names: Vec<String> = list.split(',').map(str::to_owned).collect();
    if let Some(unknown) = names.iter().find(|name| !SECTIONS.contains(&name.as_str())) {
        bail!("there is no section `{unknown}`; there are {}", SECTIONS.join(", "));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_section_is_refused() {
        assert_eq!(sections("latency,start").unwrap(), ["latency", "start"]);
        assert!(sections("latency,speed").is_err());
    }
}
