//! Codex Proxy's core: OpenAI's Responses and Chat Completions APIs over a supervised `codex app-server`.
//!
//! The path of a request, which is also the reading order: [`http`] receives a request and checks its key;
//! [`protocol::openai`] parses it into a [`protocol::turn::Turn`] for an [`exchange`]; [`dispatch`] gives the
//! turn to a worker's session ([`worker`]); [`protocol::codex`] implements the worker's protocol; the resulting
//! [`protocol::turn::TurnEvent`]s are rendered by [`protocol::openai`] and written by [`http`]. [`proxy`]
//! creates all parts.

pub mod account;
pub mod backup;
pub mod budget;
pub mod checks;
pub mod cli;
pub mod client_family;
pub mod client_setup;
pub mod codex_install;
pub mod config;
pub mod control;
pub mod dispatch;
pub mod event_stream;
pub mod exchange;
pub mod files;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod headless;
pub mod heap;
pub mod http;
pub mod image_fetch;
pub mod instance;
pub mod keys;
pub mod limit_history;
pub mod open_files;
pub mod paths;
pub mod pause;
pub mod process;
pub mod prove;
pub mod proxy;
pub mod recording;
#[cfg(test)]
mod reference;
pub mod removal;
pub mod request_log;
pub mod response_store;
pub mod secret;
pub mod telemetry;
pub mod threads;
pub mod throttle;
pub mod tls;
pub mod token_count;
pub mod usage;
pub mod worker;

pub use config::Config;
pub use proxy::{Proxy, ProxyError};
