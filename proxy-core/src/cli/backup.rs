//! The command `codex-proxy backup`.

use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use tempfile::NamedTempFile;

use super::Context;
use super::failure::Failure;
use super::output::{Output, clean};
use super::tree::BackupArgs;
use super::units::bytes;
use crate::backup::{self, BackupError, Gathered, Made, Passphrase, Places};
use crate::config::{ProcessEnvironment, Strings as _};
use crate::process::{self, ProcessError, Program};

/// The variable with the GPG key for which backups are encrypted. The name is kept for older installations.
const GPG_KEY: &str = "CODEX_BACKUP_GPG_KEY";
/// The time limit for gpg. It processes the whole file, and may wait for a smart card.
const GPG_LIMIT: Duration = Duration::from_secs(600);
const GPG_SAYS: usize = 64 * 1024;

/// How the file is protected.
enum Seal {
    Open,
    Passphrase(Passphrase),
    Gpg(String),
}

impl Seal {
    fn ending(&self) -> &'static str {
        match self {
            Self::Open => "",
            Self::Passphrase(_) => ".age",
            Self::Gpg(_) => ".gpg",
        }
    }

    fn name(&self) -> Option<&'static str> {
        match self {
            Self::Open => None,
            Self::Passphrase(_) => Some("age"),
            Self::Gpg(_) => Some("gpg"),
        }
    }
}

pub(super) async fn run(args: &BackupArgs, context: &Context, output: &mut Output) -> Result<(), Failure> {
    let places = context.config.backup(&context.dirs);
    let folder = context.dirs.current.join(args.to.as_deref().unwrap_or(Path::new("")));
    if args.mount_check {
        check_mount(&folder, &places)?;
    }
    let seal = seal(args, context)?;
    let is_encrypted = seal.name().is_some();
    let from = places.clone();
    let gathered = aside(move || backup::gather(&from, is_encrypted)).await?;
    let (manifest, tag) = (gathered.manifest.clone(), gathered.tag.clone());
    let draft = match &seal {
        Seal::Open => written(gathered, None, &folder).await?,
        Seal::Passphrase(passphrase) => written(gathered, Some(passphrase.clone()), &folder).await?,
        Seal::Gpg(key) => encrypted(gathered, key, &places, &folder, context).await?,
    };
    let made = backup::keep(draft, &folder, &tag, seal.ending())?;
    let keep = usize::try_from(args.keep).unwrap_or(usize::MAX);
    let pruned = if args.prune { backup::prune(&folder, &tag, keep, &made.file)? } else { Vec::new() };
    if args.json.json {
        output.json(&json!({
            "file": made.file,
            "bytes": made.bytes,
            "sha256": made.sha256,
            "encrypted": seal.name(),
            "files": manifest.files.iter().map(|file| &file.path).collect::<Vec<_>>(),
            "left_out": manifest.left_out,
            "pruned": pruned,
        }))?;
    } else {
        told(&made, manifest.files.len(), &manifest.left_out, &pruned, output)?;
    }
    if !is_encrypted {
        output.note(
            "warning: it holds API keys and the sign-in as they are: whoever can read it can use your account. Keep it where \
             nobody else can, or make one with --passphrase-file.",
        )?;
    }
    Ok(())
}

fn told(
    made: &Made,
    files: usize,
    left_out: &[String],
    pruned: &[PathBuf],
    output: &mut Output,
) -> Result<(), Failure> {
    output.line(&clean(&made.file.display().to_string()))?;
    output.note(&format!("{files} files, {}, read again and whole.", bytes(made.bytes)))?;
    for what in left_out {
        output.note(&format!("Left out: {}", clean(what)))?;
    }
    for path in pruned {
        output.note(&format!("Removed the older {}", clean(&path.display().to_string())))?;
    }
    Ok(())
}

fn check_mount(folder: &Path, places: &Places) -> Result<(), Failure> {
    let next = "Mount the disk for backups, or leave --mount-check away.";
    match backup::has_a_file_system_of_its_own(folder, &places.data_dir) {
        Ok(Some(true)) => Ok(()),
        Ok(Some(false)) => Err(Failure::with_next(
            format!(
                "{} is on the file system of the system or of the data directory, so nothing is mounted there; no backup \
                 was made",
                folder.display()
            ),
            next,
        )),
        Ok(None) => Err(Failure::with_next("this system does not tell what is mounted", next)),
        Err(error) => Err(super::client::cannot(&format!("look at {}", folder.display()), &error)),
    }
}

fn seal(args: &BackupArgs, context: &Context) -> Result<Seal, Failure> {
    if let Some(file) = &args.passphrase_file {
        return Ok(Seal::Passphrase(Passphrase::read(&context.dirs.current.join(file))?));
    }
    let named = || ProcessEnvironment.get(GPG_KEY)?.into_string().ok();
    let key = args.gpg_key.clone().or_else(named).filter(|key| !key.is_empty());
    Ok(key.map_or(Seal::Open, Seal::Gpg))
}

/// Writes an archive into the folder and reads it again as a check.
async fn written(
    gathered: Gathered,
    passphrase: Option<Passphrase>,
    folder: &Path,
) -> Result<NamedTempFile, Failure> {
    let folder = folder.to_owned();
    aside(move || {
        let mut draft = backup::draft(&folder)?;
        backup::make(&gathered, passphrase.as_ref(), draft.as_file_mut())?;
        let read = backup::check(draft.path(), passphrase.as_ref())?;
        if read == gathered.manifest {
            Ok(draft)
        } else {
            Err(BackupError::Broken("it was changed".to_owned()))
        }
    })
    .await
}

/// The same, encrypted by gpg. The check reads the data before encryption, because only the owner of the key can
/// read the result.
async fn encrypted(
    gathered: Gathered,
    key: &str,
    places: &Places,
    folder: &Path,
    context: &Context,
) -> Result<NamedTempFile, Failure> {
    let plain_in = backup::private_folder(&places.data_dir)?;
    let plain = written(gathered, None, plain_in.path()).await?;
    let mut draft = backup::draft(folder)?;
    let (from, to) = (plain.path().display().to_string(), draft.path().display().to_string());
    gpg(&["--recipient", key, "--output", &to, "--encrypt", &from], context).await?;
    let length = draft.seek(std::io::SeekFrom::End(0)).and_then(|length| draft.flush().map(|()| length));
    match length {
        Ok(0) => Err(Failure::new("gpg has written nothing; no backup was made")),
        Ok(_) => Ok(draft),
        Err(error) => Err(super::client::cannot("read what gpg has written", &error)),
    }
}

/// Runs gpg in batch mode.
pub(super) async fn gpg(arguments: &[&str], context: &Context) -> Result<(), Failure> {
    let always = ["--batch", "--yes", "--quiet"];
    let program = Program {
        bin: PathBuf::from("gpg"),
        arguments: always.iter().chain(arguments).map(|&argument| argument.to_owned()).collect(),
        workdir: context.dirs.current.clone(),
        env: Vec::new(),
        hidden_env: context.config.worker.hidden_env.clone(),
    };
    match process::output(&program, GPG_LIMIT, GPG_SAYS).await {
        Ok(_) => Ok(()),
        Err(ProcessError::Start { source, .. }) => Err(Failure::with_next(
            format!("gpg cannot be started: {source}"),
            "Install GnuPG, or use --passphrase-file, which needs no other program.",
        )),
        Err(ProcessError::Failed { stderr, .. }) => Err(Failure::with_next(
            format!("gpg refused: {}", stderr.trim().replace('\n', "; ")),
            "See that `gpg --list-keys` shows the key, and that you trust it (`gpg --edit-key ID trust`).",
        )),
        Err(error @ (ProcessError::Timeout { .. } | ProcessError::TooMuch { .. })) => {
            Err(Failure::new(error.to_string()))
        }
    }
}

/// Runs work that may take long on a blocking thread.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|error| Failure::new(format!("it failed: {error}")))??)
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        match &error {
            BackupError::NeedsPassphrase | BackupError::NoPassphrase { .. } => Self::Usage(error.to_string()),
            BackupError::Occupied(_) => Self::with_next(
                format!("{error}. Nothing was changed"),
                "--force puts the backup in its place and keeps what is there in a directory beside it; --dry-run only says \
                 what goes where.",
            ),
            BackupError::Instance(_) => {
                Self::with_next(error.to_string(), "`codex-proxy quit` ends it. Nothing was changed.")
            }
            BackupError::File { .. }
            | BackupError::Store(_)
            | BackupError::Responses(_)
            | BackupError::Keys(_)
            | BackupError::Nothing(_)
            | BackupError::TooLong { .. }
            | BackupError::Broken(_)
            | BackupError::Newer { .. }
            | BackupError::WrongPassphrase
            | BackupError::TakenBack { .. } => Self::new(error.to_string()),
        }
    }
}
