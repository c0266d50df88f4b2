//! The arguments of `backup` and `restore`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::Json;

#[derive(Debug, Args)]
#[command(after_help = BACKUP_HELP)]
pub(in crate::cli) struct BackupArgs {
    /// The folder for the backup; the default is the current folder
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(in crate::cli) to: Option<PathBuf>,
    /// Encrypts the backup with the passphrase in the first line of this file (in the format of age)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "gpg_key")]
    pub(in crate::cli) passphrase_file: Option<PathBuf>,
    /// Encrypts the backup for this gpg key; the default is the key in CODEX_BACKUP_GPG_KEY, if it is set
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) gpg_key: Option<String>,
    /// Deletes older backups of the same data directory from the folder, after the new one is checked
    #[arg(long)]
    pub(in crate::cli) prune: bool,
    /// How many backups to keep then, including the new one
    #[arg(long, value_name = "COUNT", requires = "prune", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::cli) keep: u32,
    /// Makes a backup only if the folder is on its own file system, such as a mounted disk
    #[arg(long)]
    pub(in crate::cli) mount_check: bool,
    #[command(flatten)]
    pub(in crate::cli) json: Json,
}

const BACKUP_HELP: &str = "The backup contains the list of keys, the keys themselves, the usage database and the settings. From \
                           Codex's home it contains the sign-in, the settings and the instructions. It contains no \
                           caches, logs, sessions or copies of Codex. Keys in the system's keychain, and stored \
                           responses, are included only if the backup is encrypted. The command writes a second \
                           file with the SHA-256 beside it.";

#[derive(Debug, Args)]
pub(in crate::cli) struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(in crate::cli) file: PathBuf,
    /// The file with the passphrase, if the backup is encrypted with one
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(in crate::cli) passphrase_file: Option<PathBuf>,
    /// Only checks the backup and lists what would be restored, and where
    #[arg(long, conflicts_with = "force")]
    pub(in crate::cli) dry_run: bool,
    /// Replaces your present data, and keeps it in a directory beside the restored data
    #[arg(long)]
    pub(in crate::cli) force: bool,
    #[command(flatten)]
    pub(in crate::cli) json: Json,
}
