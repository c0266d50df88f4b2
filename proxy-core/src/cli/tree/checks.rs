//! The arguments of `smoke`, `live-test` and `config`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::Json;

#[derive(Debug, Args)]
pub(in crate::cli) struct SmokeArgs {
    /// The address of the proxy itself, or of the reverse proxy on its machine, for example https://127.0.0.1; without
    /// any address, the command checks the running proxy
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub(in crate::cli) origin: Option<String>,
    /// The address that clients use
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub(in crate::cli) edge: Option<String>,
    /// The host name for the origin, if its address is only an IP address
    #[arg(long, value_name = "NAME", requires = "origin")]
    pub(in crate::cli) server_name: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) who: Who,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct LiveTestArgs {
    /// The address that clients use; the default is the running proxy
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub(in crate::cli) url: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) who: Who,
}

/// The key and the model for the requests.
#[derive(Debug, Args)]
pub(in crate::cli) struct Who {
    /// The file with the API key; the default is PROXY_API_KEY or KEY, then the key `default` of the running proxy
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(in crate::cli) key_file: Option<PathBuf>,
    /// The model for the requests; the default is the first model of the list
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) model: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) json: Json,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ConfigArgs {
    #[command(subcommand)]
    pub(in crate::cli) verb: Option<ConfigVerb>,
    #[command(flatten)]
    pub(in crate::cli) json: Json,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ConfigVerb {
    /// Copies config.toml and AGENTS.md from one Codex home to another, for example from development to production, but
    /// no sign-in and no secret
    Sync(SyncArgs),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SyncArgs {
    /// The Codex home to copy from
    #[arg(long, value_name = "HOME", value_hint = ValueHint::DirPath)]
    pub(in crate::cli) from: PathBuf,
    /// The Codex home to copy to
    #[arg(long, value_name = "HOME", value_hint = ValueHint::DirPath)]
    pub(in crate::cli) to: PathBuf,
    /// Overwrites files that differ; keeps the old files beside them, with the time in their names
    #[arg(long)]
    pub(in crate::cli) force: bool,
    /// Only shows the differences
    #[arg(long, conflicts_with = "force")]
    pub(in crate::cli) dry_run: bool,
}
