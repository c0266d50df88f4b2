//! A fake Codex, for faults that a real one does not show on demand, for demos and for benchmarks.
//!
//! It prints the same as Codex 0.169.0, and in the mode `proto` the same as 0.42.0, field by field. The tests compare them.
//! A [`scenario::Scenario`] sets its behaviour. Without one it answers with a friendly text, calls the tools that the user
//! text names as `[[call:NAME {"json":"arguments"}]]`, and follows `outputSchema`.

mod items;
mod output;
mod proto;
mod sample;
pub mod scenario;
mod server;
mod thread;
mod turn;

use std::fs::OpenOptions;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::{env, fs, process};

use anyhow::{Context, bail};

use scenario::{Scenario, Verb};

const CATALOGUE: &str = include_str!("fake_codex/catalogue.json");

/// The entry point of the binary `fake-codex`.
pub fn main() -> ExitCode {
    match run(env::args().skip(1)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("fake-codex: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Ids of the fake's own requests, which count up from 0 over the whole process like Codex's.
fn next_request_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Set when the main thread does nothing more. Then the end of the input must end the process.
static FROZEN: AtomicBool = AtomicBool::new(false);

/// Does nothing until killed, or until the input ends.
fn freeze() -> ! {
    FROZEN.store(true, Ordering::Relaxed);
    loop {
        std::thread::park();
    }
}

/// Does nothing until killed.
fn freeze_for_good() -> ! {
    loop {
        std::thread::park();
    }
}

/// Writes noise to stderr.
fn stderr_flood(bytes: usize) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    let line = [b"WARN fake_codex: noise on stderr ".repeat(3), b"\n".to_vec()].concat();
    for _ in 0..bytes.div_ceil(line.len()) {
        stderr.write_all(&line)?;
    }
    Ok(())
}

fn run(arguments: impl Iterator<Item = String>) -> anyhow::Result<ExitCode> {
    let arguments: Vec<_> = arguments.collect();
    let model = model(&arguments);
    let words = words(arguments.into_iter());
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let scenario = Scenario::load()?;
    match words.as_slice() {
        ["--version" | "-V"] => {
            if let Some(code) = start_fault(&scenario, "--version", 1)? {
                return Ok(code);
            }
            writeln!(io::stdout(), "codex-cli {}", scenario.version)?;
        }
        ["debug", "models", rest @ ..] if rest.iter().all(|word| *word == "--bundled") => {
            if let Some(code) = start_fault(&scenario, "debug models", 1)? {
                return Ok(code);
            }
            io::stdout().write_all(CATALOGUE.as_bytes())?;
        }
        ["app-server"] => return speak(scenario, None),
        ["proto"] => return speak(scenario, Some(&model)),
        other => {
            bail!("unknown arguments {other:?}; try `app-server`, `proto`, `debug models` or `--version`")
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The arguments without `-c key=value` and the like, which change nothing here.
fn words(mut arguments: impl Iterator<Item = String>) -> Vec<String> {
    let mut words = Vec::new();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-c" | "--config" | "--enable" | "--disable" | "--listen" => drop(arguments.next()),
            flag if flag.starts_with("--config=") || flag.starts_with("--listen=") => {}
            _ => words.push(argument),
        }
    }
    words
}

/// The model that `-c model="…"` sets.
fn model(arguments: &[String]) -> String {
    let mut set = arguments.iter().filter_map(|argument| argument.strip_prefix("model="));
    set.next_back().map_or_else(|| "gpt-5-codex".to_owned(), |model| model.trim_matches('"').to_owned())
}

/// Speaks the app-server's protocol or, with the model of its one conversation, the legacy one.
fn speak(scenario: Scenario, legacy_model: Option<&str>) -> anyhow::Result<ExitCode> {
    let run = count_run().context("cannot count this run in CODEX_HOME")?;
    let _sigterm_ignored = scenario.ignore_sigterm.then(ignore_sigterm).transpose()?;
    let (sender, lines) = mpsc::channel();
    let ignore_close = scenario.ignore_stdin_close;
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
        if ignore_close {
            freeze();
        }
        if FROZEN.load(Ordering::Relaxed) {
            process::exit(0);
        }
    });
    if let Some(code) = start_fault(&scenario, "start", run)? {
        return Ok(code);
    }
    let sink = io::stdout().lock();
    let code = match legacy_model {
        Some(model) => proto::Proto::new(scenario, run, model, &lines, sink).serve()?,
        None => server::Server::new(scenario, run, sink).serve(&lines)?,
    };
    Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Applies a fault in a place without a request.
fn start_fault(scenario: &Scenario, at: &str, run: usize) -> anyhow::Result<Option<ExitCode>> {
    match scenario.fault(at, run) {
        None => {}
        Some(Verb::Exit { code }) => return Ok(Some(ExitCode::from(u8::try_from(*code)?))),
        Some(Verb::Hang | Verb::Freeze) => freeze(),
        Some(Verb::Garbage { line }) => writeln!(io::stdout(), "{line}")?,
        Some(Verb::StderrFlood { bytes }) => stderr_flood(*bytes)?,
        Some(verb @ (Verb::Error { .. } | Verb::Busy { .. } | Verb::Late)) => {
            bail!("{verb:?} makes no sense at {at:?}")
        }
    }
    Ok(None)
}

/// Notes the process id in `$CODEX_HOME/fake-codex.pids` and returns how many app-servers have started there.
fn count_run() -> io::Result<usize> {
    let Some(home) = scenario::codex_home() else { return Ok(1) };
    fs::create_dir_all(&home)?;
    let path = home.join("fake-codex.pids");
    let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
    let own = process::id().to_string();
    // One write to a file opened for appending keeps concurrent starts apart.
    file.write_all(format!("{own}\n").as_bytes())?;
    let text = fs::read_to_string(&path)?;
    Ok(text.lines().take_while(|line| *line != own).count() + 1)
}

/// Ignores SIGTERM as long as the returned value lives.
#[cfg(unix)]
fn ignore_sigterm() -> io::Result<impl Sized> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = {
        let _inside = runtime.enter();
        signal(SignalKind::terminate())?
    };
    Ok((runtime, listener))
}

#[cfg(not(unix))]
fn ignore_sigterm() -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_are_skipped() {
        let line = "-c a=b app-server --config c=d --listen stdio:// --config=e=f";
        assert_eq!(words(line.split(' ').map(str::to_owned)), ["app-server"]);
    }
}
