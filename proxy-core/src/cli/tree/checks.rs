//! The arguments of `smoke`, `live-test` and `config`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::Json;

#[derive(Debug, Args)]
pub(in crate::cli) struct SmokeArgs {
    /// The proxy itself, or the server on its machine that stands before it, such as https://127.0.0.1; without any
    /// address, the running proxy
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub(in crate::cli) origin: Option<String>,
    /// The address that clients use
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub(in crate::cli) edge: Option<String>,
    /// The name under which the origin is asked, where its address is only a number
    #[arg(long, value_name = "NAME", requires = "origin")]
    pub(in crate::cli) server_name: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) who: Who,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct LiveTestArgs {
    /// The address that clients use; without it, the running proxy
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub(in crate::cli) url: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) who: Who,
}

/// Who asks, and what.
#[derive(Debug, Args)]
pub(in crate::cli) struct Who {
    /// The file with the API key; without it PROXY_API_KEY or KEY, else the key `default` of the running proxy
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(in crate::cli) key_file: Option<PathBuf>,
    /// The model that is asked; without it, the first that is listed
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
    /// Copies config.toml and AGENTS.md of one Codex home to another, such as from development to production; no sign-in
    /// and no secret
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
    /// Overwrites files that differ; what they held is kept beside them under the time
    #[arg(long)]
    pub(in crate::cli) force: bool,
    /// Only shows what differs
    #[arg(long, conflicts_with = "force")]
    pub(in crate::cli) dry_run: bool,
}
