//! The arguments of `backup` and `restore`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::Json;

#[derive(Debug, Args)]
#[command(after_help = BACKUP_HELP)]
pub(in crate::cli) struct BackupArgs {
    /// The folder for the file; without it, the one this is called in
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(in crate::cli) to: Option<PathBuf>,
    /// Encrypts it with the passphrase in the first line of this file (the form is that of age)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "gpg_key")]
    pub(in crate::cli) passphrase_file: Option<PathBuf>,
    /// Encrypts it for this key, with gpg; without it, for the key in CODEX_BACKUP_GPG_KEY, if that is set
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) gpg_key: Option<String>,
    /// Removes older backups of the same data directory from the folder, once the new one is checked
    #[arg(long)]
    pub(in crate::cli) prune: bool,
    /// How many backups are kept then, the new one among them
    #[arg(long, value_name = "COUNT", requires = "prune", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::cli) keep: u32,
    /// Makes none unless the folder is on a file system of its own, such as a mounted disk
    #[arg(long)]
    pub(in crate::cli) mount_check: bool,
    #[command(flatten)]
    pub(in crate::cli) json: Json,
}

const BACKUP_HELP: &str = "It holds the list of keys and their texts, the usage database, the settings, and from Codex's home \
                           the sign-in, its settings and its instructions; no cache, log, session or copy of Codex. Keys \
                           that the system's keychain keeps come along only if it is encrypted. A file with its SHA-256 \
                           is put beside it.";

#[derive(Debug, Args)]
pub(in crate::cli) struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(in crate::cli) file: PathBuf,
    /// The passphrase of one that was encrypted with it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(in crate::cli) passphrase_file: Option<PathBuf>,
    /// Only checks it and says what would be put where
    #[arg(long, conflicts_with = "force")]
    pub(in crate::cli) dry_run: bool,
    /// Puts it in the place of what is there, which is kept in a directory beside it
    #[arg(long)]
    pub(in crate::cli) force: bool,
    #[command(flatten)]
    pub(in crate::cli) json: Json,
}
