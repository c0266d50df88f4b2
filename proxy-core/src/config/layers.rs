//! Finds the value of each setting: defaults < file < environment < flags.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::problem::{Hint, Problem, Problems, similar};
use super::setting::{Base, Entry, Kind, Meta, Preset, Setting, Shape};
use super::table::{self, ALL};
use crate::paths::Dirs;

/// The environment variables that the configuration needs.
pub trait Strings {
    /// The value of `name`, if it is set.
    fn get(&self, name: &str) -> Option<OsString>;

    /// The names of all variables whose names are text.
    fn names(&self) -> Vec<String>;
}

/// The environment of this process.
#[derive(Debug, Clone, Copy)]
pub struct ProcessEnvironment;

#[expect(clippy::disallowed_methods, reason = "this is the one reader of the environment")]
impl Strings for ProcessEnvironment {
    fn get(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }

    fn names(&self) -> Vec<String> {
        std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect()
    }
}

impl Strings for BTreeMap<String, OsString> {
    fn get(&self, name: &str) -> Option<OsString> {
        BTreeMap::get(self, name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}

/// The values of the command line flags, by the name of the flag without the dashes.
pub type Flags = BTreeMap<String, OsString>;

/// The source of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// It is not set, so the default is used.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// An environment variable.
    Environment(&'static str),
    /// A command line flag.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}

/// The text of every setting and its source.
pub(super) struct Values {
    found: BTreeMap<&'static str, Found>,
    dirs: Dirs,
}

struct Found {
    text: String,
    source: Source,
}

impl Values {
    /// Reads all layers and collects their problems.
    pub(super) fn gather(flags: &Flags, env: &dyn Strings, dirs: &Dirs) -> (Self, Vec<Problem>) {
        Self::gather_with(flags, env, dirs, None)
    }

    /// The same with `draft` as the text of the file.
    pub(super) fn gather_with(
        flags: &Flags,
        env: &dyn Strings,
        dirs: &Dirs,
        draft: Option<&str>,
    ) -> (Self, Vec<Problem>) {
        let mut problems = Vec::new();
        let mut values = Self { found: BTreeMap::new(), dirs: dirs.clone() };
        let mut layers = Layers { flags, env, file: None };

        values.settle(&table::CONFIG_FILE, &layers, &mut problems);
        match values.open_file(draft) {
            Ok(file) => layers.file = file,
            Err(problem) => problems.push(problem),
        }
        if let Some(file) = &layers.file {
            problems.extend(file.unknown_keys());
        }

        values.settle(&table::DATA_DIR, &layers, &mut problems);
        let settled = [table::CONFIG_FILE.meta.env, table::DATA_DIR.meta.env];
        for entry in ALL.iter().filter(|entry| !settled.contains(&entry.meta().env)) {
            values.settle(*entry, &layers, &mut problems);
        }
        (values, problems)
    }

    /// The value in force. It fails only if [`Values::gather`] has reported a problem with it.
    pub(super) fn get<K: Kind>(&self, setting: &Setting<K>) -> Result<K::Value, Problem> {
        let name = setting.meta.env;
        let refused = |value: &str| refusal(setting, name.to_owned(), value);
        let found = self.found.get(name).ok_or_else(|| refused(""))?;
        K::parse(&found.text, &self.base(&found.source)).ok_or_else(|| refused(&found.text))
    }

    /// The value of a setting as shown to people, and its source.
    pub(super) fn show(&self, entry: &dyn Entry) -> Option<(serde_json::Value, &Source)> {
        let found = self.found.get(entry.meta().env)?;
        Some((entry.show(&found.text, &self.base(&found.source))?, &found.source))
    }

    /// The source of a setting.
    pub(super) fn source<K>(&self, setting: &Setting<K>) -> &Source {
        self.source_of(setting.meta.env)
    }

    /// The source of the setting with this name.
    pub(super) fn source_of(&self, name: &str) -> &Source {
        self.found.get(name).map_or(&Source::Default, |found| &found.source)
    }

    /// Relative paths in a file start at the directory of the file, all others at the working directory.
    fn base<'a>(&'a self, source: &'a Source) -> Base<'a> {
        let dir = match source {
            Source::File(file) => file.parent().unwrap_or(&self.dirs.current),
            Source::Default | Source::Environment(_) | Source::Flag(_) => &self.dirs.current,
        };
        Base { dir, home: self.dirs.home.as_deref() }
    }

    /// Finds and checks the text of one setting.
    fn settle(&mut self, entry: &dyn Entry, layers: &Layers<'_>, problems: &mut Vec<Problem>) {
        let found = layers.look_up(entry).and_then(|found| match found {
            Some(found) => Ok(found),
            None => self.preset(entry.meta()),
        });
        match found {
            Ok(found) if entry.show(&found.text, &self.base(&found.source)).is_some() => {
                self.found.insert(entry.meta().env, found);
            }
            Ok(found) => {
                let name = layers.name(entry.meta(), &found.source);
                problems.push(refusal(entry, name, &found.text));
            }
            // Without a data directory, each setting inside it would repeat the same problem.
            Err(problem) if problems.contains(&problem) => {}
            Err(problem) => problems.push(problem),
        }
    }

    fn preset(&self, meta: &Meta) -> Result<Found, Problem> {
        let path = match meta.preset {
            Preset::Text(text) => return Ok(Found { text: text.to_owned(), source: Source::Default }),
            Preset::DataDir => self.dirs.data.clone().ok_or(Problem::NoDataDir)?,
            Preset::InDataDir(name) => self.get(&table::DATA_DIR).map_err(|_| Problem::NoDataDir)?.join(name),
        };
        let text = path.into_os_string().into_string().map_err(|path| Problem::PathNotUtf8(path.into()))?;
        Ok(Found { text, source: Source::Default })
    }

    /// The path of the configuration file, whether it exists or not; `None` if the platform has no place for it.
    pub(super) fn file(&self) -> Option<PathBuf> {
        // If the name of the file was refused, there is no file to open, and the problem is reported already.
        let named = self.get(&table::CONFIG_FILE).ok()?;
        named.or_else(|| self.dirs.config.as_ref().map(|dir| dir.join("config.toml")))
    }

    /// The default of a setting, as shown to people.
    pub(super) fn default_of(&self, entry: &dyn Entry) -> Option<serde_json::Value> {
        let preset = self.preset(entry.meta()).ok()?;
        entry.show(&preset.text, &self.base(&preset.source))
    }

    /// How `text` would be shown as a value in `file`; `None` if it is not allowed there.
    pub(super) fn show_in(&self, file: &Path, entry: &dyn Entry, text: &str) -> Option<serde_json::Value> {
        entry.show(text, &self.base(&Source::File(file.to_owned())))
    }

    /// A hash of the text of each setting: it detects changes without keeping secrets in memory.
    pub(super) fn fingerprints(&self) -> BTreeMap<&'static str, [u8; 32]> {
        self.found.iter().map(|(name, found)| (*name, Sha256::digest(&found.text).into())).collect()
    }

    /// Opens the named file, which must exist, or else the file of the platform, which may be missing.
    fn open_file(&self, draft: Option<&str>) -> Result<Option<ConfigFile>, Problem> {
        let Some(path) = self.file() else { return Ok(None) };
        if let Some(draft) = draft {
            return ConfigFile::parse(path, draft).map(Some);
        }
        let named = self.get(&table::CONFIG_FILE).ok().flatten();
        match std::fs::read_to_string(&path) {
            Ok(text) => ConfigFile::parse(path, &text).map(Some),
            Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Problem::Unreadable { file: path, reason: error.to_string() }),
        }
    }
}

fn refusal(entry: &dyn Entry, name: String, value: &str) -> Problem {
    let allowed = entry.allowed();
    if entry.meta().secret {
        Problem::SecretValue { name, allowed }
    } else {
        Problem::Value { name, value: value.to_owned(), allowed }
    }
}

struct Layers<'a> {
    flags: &'a Flags,
    env: &'a dyn Strings,
    file: Option<ConfigFile>,
}

impl Layers<'_> {
    /// The text from the highest layer that sets `entry`.
    fn look_up(&self, entry: &dyn Entry) -> Result<Option<Found>, Problem> {
        let meta = entry.meta();
        if let Some((flag, value)) = meta.flag.and_then(|flag| Some((flag, self.flags.get(flag)?))) {
            let source = Source::Flag(flag);
            let text = self.text(entry, value.clone(), &source)?;
            if text.is_empty() {
                return Err(Problem::EmptyFlag { name: format!("--{flag}"), allowed: entry.allowed() });
            }
            return Ok(Some(Found { text, source }));
        }
        for name in std::iter::once(meta.env).chain(meta.also.iter().copied()) {
            let Some(value) = self.env.get(name) else { continue };
            let source = Source::Environment(name);
            let text = self.text(entry, value, &source)?;
            if !text.is_empty() {
                return Ok(Some(Found { text, source }));
            }
        }
        let Some((file, key)) = self.file.as_ref().zip(meta.key) else { return Ok(None) };
        let Some(value) = file.table.get(key) else { return Ok(None) };
        let source = Source::File(file.path.clone());
        match toml_text(value, entry.shape()) {
            Some(text) if text.is_empty() => Ok(None),
            Some(text) => Ok(Some(Found { text, source })),
            None => Err(refusal(entry, self.name(meta, &source), &value.to_string())),
        }
    }

    fn text(&self, entry: &dyn Entry, value: OsString, source: &Source) -> Result<String, Problem> {
        let text = value.into_string().map_err(|_| Problem::NotUtf8 {
            name: self.name(entry.meta(), source),
            allowed: entry.allowed(),
        })?;
        // A blank at the edge is never part of a value. But a key with a blank must be refused, not changed.
        Ok(if entry.meta().secret { text } else { text.trim().to_owned() })
    }

    /// How a message names the place where a value was set.
    fn name(&self, meta: &Meta, source: &Source) -> String {
        match source {
            Source::Default => meta.env.to_owned(),
            Source::File(path) => format!("`{}` in {}", meta.key.unwrap_or(meta.env), path.display()),
            Source::Environment(name) => (*name).to_owned(),
            Source::Flag(name) => format!("--{name}"),
        }
    }
}

struct ConfigFile {
    path: PathBuf,
    table: toml::Table,
}

impl ConfigFile {
    fn parse(path: PathBuf, text: &str) -> Result<Self, Problem> {
        match text.parse() {
            Ok(table) => Ok(Self { path, table }),
            // The parser's own message quotes the line, which may contain the key.
            Err(error) => {
                let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
                let line = before.matches('\n').count() + 1;
                let reason = toml::de::Error::message(&error).lines().next().unwrap_or_default().to_owned();
                Err(Problem::NotToml { file: path, line, reason })
            }
        }
    }

    fn unknown_keys(&self) -> Vec<Problem> {
        let keys = || ALL.iter().filter_map(|entry| entry.meta().key);
        let unknown = self.table.keys().filter(|key| keys().all(|known| known != key.as_str()));
        unknown
            .map(|key| Problem::UnknownKey {
                file: self.path.clone(),
                key: key.clone(),
                hint: Hint(key_by_variable(key).or_else(|| similar(key, keys()))),
            })
            .collect()
    }
}

/// The key of a setting, if the file contains its environment variable instead.
fn key_by_variable(name: &str) -> Option<&'static str> {
    let entry = ALL.iter().find(|entry| entry.meta().env.eq_ignore_ascii_case(name))?;
    entry.meta().key
}

/// The text of a TOML value if it has the right type; any setting may be written as a string.
fn toml_text(value: &toml::Value, shape: Shape) -> Option<String> {
    match (shape, value) {
        (_, toml::Value::String(text)) => Some(text.clone()),
        (Shape::Boolean, toml::Value::Boolean(value)) => Some(value.to_string()),
        (Shape::Integer, toml::Value::Integer(value)) => Some(value.to_string()),
        (Shape::List, toml::Value::Array(values)) => {
            let texts = values.iter().map(|value| value.as_str().filter(|text| !text.contains(',')));
            texts.collect::<Option<Vec<_>>>().map(|texts| texts.join(","))
        }
        (Shape::Boolean | Shape::Integer | Shape::String | Shape::List, _) => None,
    }
}

/// Variables with names similar to ours that are not settings.
pub(super) fn unknown_variables(env: &dyn Strings) -> Vec<(String, Hint)> {
    let known = |name: &str| ALL.iter().any(|entry| same_variable(entry.meta().env, name));
    let names = env.names().into_iter().filter(|name| name.starts_with("PROXY_") && !known(name));
    names
        .map(|name| {
            let ours = ALL.iter().map(|entry| entry.meta().env).filter(|env| env.starts_with("PROXY_"));
            let hint = Hint(similar(&name, ours));
            (name, hint)
        })
        .collect()
}

fn same_variable(one: &str, two: &str) -> bool {
    if cfg!(windows) { one.eq_ignore_ascii_case(two) } else { one == two }
}

/// An error with the problems, if there are any.
pub(super) fn fail_if_any(problems: Vec<Problem>) -> Result<(), Problems> {
    if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
}
