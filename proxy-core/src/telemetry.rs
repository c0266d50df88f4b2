//! Logging.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

/// What the operator decides about logging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Which events are logged, in the syntax of `RUST_LOG`.
    pub filter: String,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The filter is not in the syntax of `RUST_LOG`.
    #[error("`{filter}` is not a log filter; PROXY_LOG takes for example `info` or `info,proxy_core=debug`")]
    Filter {
        /// The filter as given.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The process logs already.
    #[error("logging is set up already in this process")]
    AlreadySet(#[source] TryInitError),
}

/// Whether `filter` is in the syntax of `RUST_LOG`.
pub fn is_valid_filter(filter: &str) -> bool {
    EnvFilter::try_new(filter).is_ok()
}

/// Logs to standard error from now on, in colour only if that is a terminal.
pub fn init(config: &Config) -> Result<(), InitError> {
    let filter = EnvFilter::try_new(&config.filter)
        .map_err(|source| InitError::Filter { filter: config.filter.clone(), source })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .finish()
        .try_init()
        .map_err(InitError::AlreadySet)
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
        let config = Config { filter: "off".to_owned() };
        // Another test of this process may have been first.
        let first = init(&config);
        assert!(matches!(first, Ok(()) | Err(InitError::AlreadySet(_))));
        assert!(matches!(init(&config), Err(InitError::AlreadySet(_))));
        let bad = Config { filter: "proxy_core=loud".to_owned() };
        assert!(matches!(init(&bad), Err(InitError::Filter { .. })));
    }
}
