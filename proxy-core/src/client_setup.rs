//! Adds the proxy to the settings of other programs: shows the change, makes it and undoes it.
//!
//! An entry contains the address and the model. It never contains a key: each program has its own place for
//! keys. Everything else in the file stays as the person wrote it, including comments.

mod codex_cli;
mod continue_dev;
mod json;
mod record;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs, io};

use self::record::{Change, Record};
use crate::files;

/// The model in the settings of the clients.
const MODEL: &str = "codex-5";
/// The name of the model for people.
const MODEL_NAME: &str = "Codex 5";
/// The name of the entry for programs, and for people.
const ENTRY: &str = "codex-proxy";
const ENTRY_NAME: &str = "Codex Proxy";
/// The environment variable from which entries read the key.
const KEY_VARIABLE: &str = "CODEX_PROXY_KEY";

/// The suffix of a backup copy.
const COPY: &str = ".before-codex-proxy";

/// The places of the settings of other programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The person's home directory.
    pub home: Option<PathBuf>,
    /// `~/.config`, or the directory that replaces it.
    pub config: Option<PathBuf>,
    /// The roaming settings directory on Windows.
    pub roaming: Option<PathBuf>,
    /// The file that records the changes.
    pub record: PathBuf,
}

/// A program whose settings can be changed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    CodexCli,
    Continue,
    Zed,
    Opencode,
}

/// The state of one program's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The id of the program.
    pub id: &'static str,
    /// The settings file, whether it exists or not.
    pub file: PathBuf,
    /// Whether the file exists.
    pub exists: bool,
    /// Whether the settings use this proxy.
    pub configured: bool,
    /// Whether there is a change of the proxy that can be undone.
    pub can_undo: bool,
}

/// Why settings were not changed.
#[derive(Debug, thiserror::Error)]
pub enum ClientsError {
    /// The program is unknown, or this user has no place for its settings.
    #[error("The proxy cannot change the settings of a client {0}.")]
    Unknown(String),
    /// The file does not have the expected form, so it is not changed.
    #[error("{}: {reason}", file.display())]
    Unfit {
        /// The settings file.
        file: PathBuf,
        /// The reason, and what to do.
        reason: Unfit,
    },
    /// There is no change that could be undone.
    #[error("The proxy has not changed {}, so there is nothing to undo.", .0.display())]
    Unchanged(PathBuf),
    /// A file cannot be read or written.
    #[error("{} cannot be used: {cause}.", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// The error from the system.
        cause: io::Error,
    },
}

/// Why a file is not changed, and what to do; to be read after the name of the file. It quotes nothing from the
/// file, which may contain a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The file is not in the format of this program's settings: `TOML`, `YAML` or `JSON with comments`.
    #[error("{}", not_understood(.0, "its syntax is wrong"))]
    Syntax(&'static str),
    /// In the settings of Codex CLI, the providers are not a table.
    #[error("{}", not_understood("Codex's settings", "model_providers is not a table"))]
    Providers,
    /// In settings in JSON, this key, or the whole file, is not an object.
    #[error("{}", not_understood("such settings", &format!("{} is not an object", .0)))]
    NoObject(&'static str),
    /// The settings of Continue are not a mapping, or consist of several documents.
    #[error("{}", not_understood("Continue's settings", "it is not a list of settings"))]
    NoSettings,
    /// In the settings of Continue, the list of models has a form to which no line can be added.
    #[error("{}", not_understood("Continue's settings", "its list of models is not written line by line"))]
    Models,
    /// Continue has a file in its old format, which would be ignored if a new one existed.
    #[error(
        "it is not there, but a config.json in Continue's old format is, which Continue would no longer read if it were; \
         make the entry there by hand, or change to config.yaml first"
    )]
    OldFormat,
}

fn not_understood(format: &str, why: &str) -> String {
    format!("it is not valid {format} ({why}), so the proxy did not change it; make the entry by hand")
}

/// Reads and changes other programs' settings. Everything here blocks. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Clients(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    record: Mutex<Record>,
}

impl Clients {
    /// Creates the book of settings for these places.
    pub fn new(config: Config) -> Self {
        let record = Mutex::new(Record::new(config.record.clone()));
        Self(Arc::new(Inner { config, record }))
    }

    /// The person's home directory.
    pub fn home(&self) -> Option<&Path> {
        self.0.config.home.as_deref()
    }

    /// The state of every program, for a proxy at `base`.
    pub fn list(&self, base: &str) -> Vec<Standing> {
        let record = self.0.record.lock().unwrap_or_else(PoisonError::into_inner);
        let standing = |client: Client| {
            let file = client.file(&self.0.config)?;
            let text = files::read(&file).ok().flatten();
            Some(Standing {
                id: client.id(),
                exists: file.exists(),
                configured: text.is_some_and(|text| client.leads_to(&text, base)),
                can_undo: record.of(client.id(), &file).is_some(),
                file,
            })
        };
        Client::ALL.into_iter().filter_map(standing).collect()
    }

    /// The changes as a diff.
    ///
    /// # Errors
    /// If the file cannot be read, or does not have the expected form.
    pub fn preview(&self, id: &str, base: &str) -> Result<String, ClientsError> {
        let (client, file) = self.find(id)?;
        let old = read(&file)?;
        let new = client.entered(&file, old.as_deref(), base)?;
        let name = file.display().to_string();
        Ok(files::difference([&name, &name], old.as_deref().unwrap_or_default(), &new))
    }

    /// Adds the proxy to the settings of the program. Returns the path of the backup copy, if there was a file.
    ///
    /// # Errors
    /// If the file cannot be read or written, or does not have the expected form.
    pub fn apply(&self, id: &str, base: &str) -> Result<Option<PathBuf>, ClientsError> {
        let (client, file) = self.find(id)?;
        let mut record = self.0.record.lock().unwrap_or_else(PoisonError::into_inner);
        let old = read(&file)?;
        let new = client.entered(&file, old.as_deref(), base)?;
        let before = record.of(client.id(), &file);
        let backup = match (&before, &old) {
            (Some(change), _) => change.backup.clone(),
            (None, Some(_)) => Some(files::copy_beside(&file, COPY).map_err(at(&file))?),
            (None, None) => None,
        };
        // If another program has changed the file in between, it does not have its state from before the first
        // change.
        let is_ours = before.is_none_or(|change| old.as_deref().is_some_and(|old| change.wrote(old)));
        let change = Change::new(&file, backup.clone(), is_ours.then_some(new.as_str()));
        // The record is written first: a change that is not recorded could not be undone.
        record.note(client.id(), Some(change)).map_err(at(&self.0.config.record))?;
        files::replace(&file, new, files::Target::Settings).map_err(at(&file))?;
        Ok(backup)
    }

    /// Undoes the change: the file gets its old content or, if it was changed again since, only the entry is
    /// removed.
    ///
    /// # Errors
    /// If there was no change, or the file cannot be read or written.
    pub fn undo(&self, id: &str) -> Result<(), ClientsError> {
        let (client, file) = self.find(id)?;
        let mut record = self.0.record.lock().unwrap_or_else(PoisonError::into_inner);
        let change = record.of(client.id(), &file).ok_or_else(|| ClientsError::Unchanged(file.clone()))?;
        let before = match &change.backup {
            Some(backup) => read(backup)?,
            None => None,
        };
        match (read(&file)?, before) {
            (None, _) => {}
            (Some(now), None) if change.wrote(&now) && change.backup.is_none() => {
                fs::remove_file(&file).map_err(at(&file))?;
            }
            (Some(now), Some(before)) if change.wrote(&now) => {
                files::replace(&file, before, files::Target::Settings).map_err(at(&file))?;
                if let Some(copy) = &change.backup {
                    fs::remove_file(copy).map_err(at(copy))?;
                }
            }
            (Some(now), before) => {
                let without = client.removed(&file, &now, before.as_deref())?;
                files::replace(&file, without, files::Target::Settings).map_err(at(&file))?;
            }
        }
        record.note(client.id(), None).map_err(at(&self.0.config.record))
    }

    fn find(&self, id: &str) -> Result<(Client, PathBuf), ClientsError> {
        let client = Client::ALL.into_iter().find(|client| client.id() == id);
        let found = client.and_then(|client| Some((client, client.file(&self.0.config)?)));
        found.ok_or_else(|| ClientsError::Unknown(id.to_owned()))
    }
}

impl Client {
    const ALL: [Self; 4] = [Self::CodexCli, Self::Continue, Self::Zed, Self::Opencode];

    fn id(self) -> &'static str {
        match self {
            Self::CodexCli => "codex-cli",
            Self::Continue => "continue",
            Self::Zed => "zed",
            Self::Opencode => "opencode",
        }
    }

    fn file(self, config: &Config) -> Option<PathBuf> {
        let (home, dotted) = (config.home.as_deref(), config.config.as_deref());
        match self {
            Self::CodexCli => Some(home?.join(".codex").join("config.toml")),
            Self::Continue => Some(home?.join(".continue").join("config.yaml")),
            Self::Zed => match &config.roaming {
                Some(roaming) if cfg!(windows) => Some(roaming.join("Zed").join("settings.json")),
                Some(_) | None => Some(dotted?.join("zed").join("settings.json")),
            },
            Self::Opencode => {
                let directory = dotted?.join("opencode");
                let with_comments = directory.join("opencode.jsonc");
                Some(if with_comments.exists() { with_comments } else { directory.join("opencode.json") })
            }
        }
    }

    fn leads_to(self, text: &str, base: &str) -> bool {
        match self {
            Self::CodexCli => codex_cli::leads_to(text, base),
            Self::Continue => continue_dev::leads_to(text, base),
            Self::Zed => json::ZED.leads_to(text, base),
            Self::Opencode => json::OPENCODE.leads_to(text, base),
        }
    }

    /// The text of the file with the proxy added.
    fn entered(self, file: &Path, text: Option<&str>, base: &str) -> Result<String, ClientsError> {
        let entered = match self {
            Self::CodexCli => codex_cli::enter(text.unwrap_or_default(), base),
            Self::Continue => match text {
                None if file.with_file_name("config.json").exists() => Err(Unfit::OldFormat),
                None | Some(_) => continue_dev::enter(text.unwrap_or_default(), base),
            },
            Self::Zed => json::ZED.enter(text.unwrap_or_default(), base),
            Self::Opencode => json::OPENCODE.enter(text.unwrap_or_default(), base),
        };
        entered.map_err(unfit(file))
    }

    /// The text of the file without the proxy; values that it had replaced are restored from `before`.
    fn removed(self, file: &Path, text: &str, before: Option<&str>) -> Result<String, ClientsError> {
        let removed = match self {
            Self::CodexCli => codex_cli::remove(text, before.unwrap_or_default()),
            Self::Continue => continue_dev::remove(text),
            Self::Zed => json::ZED.remove(text),
            Self::Opencode => json::OPENCODE.remove(text),
        };
        removed.map_err(unfit(file))
    }
}

fn unfit(file: &Path) -> impl FnOnce(Unfit) -> ClientsError {
    move |reason| ClientsError::Unfit { file: file.to_owned(), reason }
}

fn at(file: &Path) -> impl FnOnce(io::Error) -> ClientsError {
    move |cause| ClientsError::File { file: file.to_owned(), cause }
}

fn read(file: &Path) -> Result<Option<String>, ClientsError> {
    files::read(file).map_err(at(file))
}

#[cfg(test)]
mod tests;
