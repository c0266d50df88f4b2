//! The arguments of `store`.

use clap::{Args, Subcommand};

use super::Json;

#[derive(Debug, Args)]
pub(in crate::cli) struct StoreArgs {
    #[command(subcommand)]
    pub(in crate::cli) verb: Option<StoreVerb>,
    #[command(flatten)]
    pub(in crate::cli) json: Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub(in crate::cli) enum StoreVerb {
    /// Shows how many there are, and how much space they take (the default)
    Stats,
    /// Prints everything, with prompts and answers, one JSON object a line
    Export,
    /// Removes what is older or more than the settings allow now
    Prune,
    /// Removes everything
    Clear,
}
