//! Codex Proxy's core: OpenAI's Responses and Chat Completions APIs over a supervised `codex app-server`.
//!
//! The request path, which is also the reading order: [`http`] takes a request and checks who asks; [`openai`]
//! reads it into a [`turn::Turn`]; [`dispatch`] gives the turn to a worker's session ([`worker`]); [`codex`]
//! speaks the worker's protocol; the [`turn::TurnEvent`]s that come back are rendered by [`openai`] and written
//! by [`http`]. [`proxy`] puts it all together.

pub mod account;
pub mod backup;
pub mod budget;
pub mod checks;
pub mod cli;
pub mod clients;
pub mod codex_cli;
pub mod config;
pub mod control;
pub mod dirs;
pub mod dispatch;
pub mod fetch;
pub mod files;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod headless;
pub mod heap;
pub mod http;
pub mod instance;
pub mod keys;
pub mod open_files;
pub mod process;
pub mod prove;
pub mod proxy;
#[cfg(test)]
mod reference;
pub mod removal;
pub mod requests;
pub mod secret;
pub mod store;
pub mod telemetry;
pub mod throttle;
pub mod tls;
pub mod worker;

pub use config::Config;
pub use proxy::{Proxy, ProxyError};
