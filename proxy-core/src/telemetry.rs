//! The logs, the Prometheus metrics and the OTLP traces of the proxy.
//!
//! Everything that is logged passes [`crate::secret::redact`] and then waits in a bounded queue, so that no
//! request waits for a disk or a pipe. If one place in the code logs too much, its lines are left out and
//! counted ([`flood`]).

mod fields;
mod file;
mod flood;
mod logs;
pub mod metrics;
mod panics;
mod queue;
pub mod request;
pub mod trace;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt, reload};

pub use file::Limits;
pub use logs::{FilterError, Logs};
pub use metrics::Metrics;

use fields::{FileFields, TerminalFields};
use file::LogFile;
use flood::{Flood, Limited};
use queue::{Queue, Target};

/// The target of a panic's report, which no filter removes.
const PANIC: &str = "panic";

/// The maximum time that the end of the process waits for the last log lines, for each output.
const LAST_LINES: Duration = Duration::from_secs(2);

type Logging = Box<dyn Layer<Registry> + Send + Sync>;

/// What the operator decides about logging and tracing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The events that are logged, in the syntax of `RUST_LOG`.
    pub filter: String,
    /// The format of the log file, and of standard error unless it is a terminal.
    pub format: Format,
    /// The log file; `None` for no file.
    pub file: Option<FileConfig>,
    /// The export of traces; `None` for no export.
    pub otel: Option<trace::Config>,
}

/// What the operator decides about the log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileConfig {
    /// The directory of the files. It is created so that only this user can open it.
    pub dir: PathBuf,
    /// The size and the number of the files.
    pub limits: Limits,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Text for people.
    Text,
    /// One JSON object for each line.
    Json,
}

impl Format {
    /// Every format.
    pub const ALL: &[Self] = &[Self::Text, Self::Json];

    /// The name of the format in the settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// Why logging could not be started.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The filter is not in the syntax of `RUST_LOG`.
    #[error(
        "`{filter}` is not a log filter; PROXY_LOG can be, for example, `info` or `info,proxy_core=debug`"
    )]
    Filter {
        /// The filter as it was given.
        filter: String,
        /// The error in the filter.
        source: ParseError,
    },
    /// The process logs already.
    #[error("logging is set up already in this process")]
    AlreadySet(#[source] TryInitError),
    /// A thread could not be started.
    #[error("cannot start the thread that writes the log")]
    Thread(#[source] io::Error),
}

/// The running logging. When this is dropped, the remaining lines are written.
#[derive(Debug)]
pub struct Telemetry {
    logs: Logs,
    flood: Flood,
    exporter: Option<trace::Exporter>,
}

impl Telemetry {
    /// The running log.
    pub fn logs(&self) -> &Logs {
        &self.logs
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(exporter) = self.exporter.take() {
            exporter.end();
        }
        self.flood.tell();
        self.logs.flush(LAST_LINES);
    }
}

/// Whether `filter` is in the syntax of `RUST_LOG`.
pub fn is_valid_filter(filter: &str) -> bool {
    filter_of(filter).is_ok()
}

/// Starts logging: to standard error, with colour only if it is a terminal, and to the file.
///
/// If a file or an exporter cannot be started, this is logged, and the rest works without it.
///
/// # Errors
/// If the filter is not valid, or the process logs already.
pub fn init(config: &Config) -> Result<Telemetry, InitError> {
    let filter = filter_of(&config.filter)
        .map_err(|source| InitError::Filter { filter: config.filter.clone(), source })?;
    let (filter, reload) = reload::Layer::new(filter);
    let mut complaints = Vec::new();

    let errors = Queue::start("log-stderr", StandardError).map_err(InitError::Thread)?;
    let terminal = io::stderr().is_terminal();
    let format = if terminal { Format::Text } else { config.format };
    let mut queues = vec![errors.clone()];
    let mut layers = vec![match format {
        Format::Text => text(errors, TerminalFields::default(), terminal),
        Format::Json => json(errors),
    }];
    let mut path = None;
    if let Some(FileConfig { dir, limits }) = &config.file {
        match LogFile::open(dir, limits.clone(), config.format == Format::Json) {
            Ok(file) => {
                let queue = Queue::start("log-file", file).map_err(InitError::Thread)?;
                queues.push(queue.clone());
                layers.push(match config.format {
                    Format::Text => text(queue, FileFields::default(), false),
                    Format::Json => json(queue),
                });
                path = Some(dir.join(file::NAME));
            }
            Err(error) => complaints.push(format!(
                "no log file is written: {} cannot be used ({error}); choose another directory with PROXY_LOG_DIR",
                dir.display()
            )),
        }
    }
    let flood = Flood::start().map_err(InitError::Thread)?;
    let mut all: Vec<Logging> = vec![Box::new(Limited::new(layers, flood.clone()).with_filter(filter))];
    let mut exporter = None;
    match config.otel.as_ref().map(trace::layer) {
        Some(Ok((layer, started))) => {
            all.push(layer);
            exporter = Some(started);
        }
        Some(Err(error)) => complaints.push(format!("no traces are sent: {error}")),
        None => {}
    }
    tracing_subscriber::registry().with(all).try_init().map_err(InitError::AlreadySet)?;

    let logs = Logs::new(config.filter.clone(), reload, path, queues);
    panics::log(logs.clone());
    for complaint in complaints {
        tracing::warn!("{complaint}");
    }
    if exporter.is_some() {
        trace::switch_on();
    }
    Ok(Telemetry { logs, flood, exporter })
}

/// The filter with two fixed rules: panics are always logged, and spans for traces never are.
fn filter_of(text: &str) -> Result<EnvFilter, ParseError> {
    let filter = EnvFilter::try_new(text)?;
    let always = [format!("{PANIC}=error"), format!("{}=off", trace::TARGET)];
    always.iter().try_fold(filter, |filter, directive| Ok(filter.add_directive(directive.parse()?)))
}

fn text<F>(queue: Queue, fields: F, colour: bool) -> Logging
where
    F: for<'a> FormatFields<'a> + Send + Sync + 'static,
{
    Box::new(fmt::layer().with_writer(move || queue.clone()).fmt_fields(fields).with_ansi(colour))
}

fn json(queue: Queue) -> Logging {
    let layer = fmt::layer().with_writer(move || queue.clone());
    Box::new(layer.json().flatten_event(true).with_current_span(false))
}

/// Standard error. It may be a pipe that no program reads, so a separate thread writes to it.
struct StandardError;

impl Target for StandardError {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        io::stderr().write_all(lines)
    }

    fn note_dropped(&mut self, count: u64) -> io::Result<()> {
        writeln!(io::stderr(), "codex-proxy: {count} log lines were dropped: they came too fast")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_checked() {
        for good in ["info", "INFO", "off", "info,proxy_core=debug", "proxy_core::http=trace"] {
            assert!(is_valid_filter(good), "{good}");
        }
        for bad in ["proxy_core=loud", "info,=x=", "proxy_core=debug=trace"] {
            assert!(!is_valid_filter(bad), "{bad}");
        }
    }

    #[test]
    fn a_second_set_up_is_an_error_and_no_panic() {
        let config = Config { filter: "off".to_owned(), format: Format::Text, file: None, otel: None };
        // Another test of this process may have started logging first.
        let first = init(&config);
        assert!(matches!(first, Ok(_) | Err(InitError::AlreadySet(_))));
        assert!(matches!(init(&config), Err(InitError::AlreadySet(_))));
        let bad = Config { filter: "proxy_core=loud".to_owned(), ..config };
        assert!(matches!(init(&bad), Err(InitError::Filter { .. })));
    }

    #[test]
    fn without_a_log_there_is_nothing_to_change() {
        let logs = Logs::default();
        assert_eq!(logs.filter(), "off");
        assert!(matches!(logs.set_filter("info"), Err(FilterError::NoLog)));
        assert_eq!(logs.tail(5).unwrap(), [""; 0]);
    }

    mod properties {
        use proptest::prelude::*;

        use super::*;

        const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

        fn directives() -> impl Strategy<Value = Vec<String>> {
            let target = prop_oneof![
                Just(PANIC.to_owned()),
                Just(trace::TARGET.to_owned()),
                "[a-z_]{1,8}(::[a-z_]{1,8}){0,2}",
            ];
            let directive = (prop::option::of(target), prop::sample::select(&LEVELS[..]));
            let directive = directive.prop_map(|(target, level)| match target {
                Some(target) => format!("{target}={level}"),
                None => level.to_owned(),
            });
            prop::collection::vec(directive, 1..5)
        }

        proptest! {
            #![proptest_config(ProptestConfig::with_cases(64))]

            #[test]
            fn no_filter_silences_panics_or_brings_traces_into_the_log(directives in directives()) {
                let filter = filter_of(&directives.join(",")).unwrap().to_string();
                let about = |target: &str| -> Vec<&str> {
                    filter.split(',').filter(|one| one.split('=').next() == Some(target)).collect()
                };
                prop_assert_eq!(about(PANIC), ["panic=error"], "{}", filter);
                prop_assert_eq!(about(trace::TARGET), ["proxy_core::trace=off"], "{}", filter);
                prop_assert!(is_valid_filter(&filter), "{}", filter);
            }

            #[test]
            fn a_level_that_there_is_not_is_refused(
                directives in directives(),
                at in any::<prop::sample::Index>(),
                level in "[a-z]{1,9}",
            ) {
                prop_assume!(!LEVELS.contains(&level.as_str()));
                let mut directives = directives;
                directives.insert(at.index(directives.len() + 1), format!("proxy_core={level}"));
                prop_assert!(!is_valid_filter(&directives.join(",")), "{:?}", directives);
            }

            #[test]
            fn no_text_is_too_strange_for_a_filter(
                text in prop_oneof![any::<String>(), "[a-z:=,.\\[\\]{}\" *0-9]{0,40}"]
            ) {
                if let Ok(filter) = filter_of(&text) {
                    let filter = filter.to_string();
                    prop_assert!(filter.split(',').any(|one| one == "panic=error"), "{}: {}", text, filter);
                }
            }
        }
    }
}
