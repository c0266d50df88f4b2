//! The settings of the running proxy: what a restart would use, and changes of the file.

mod edit;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};
use toml_edit::DocumentMut;

use super::layers::{Flags, Source, Strings, Values};
use super::problem::Problem;
use super::setting::{Entry, Shape};
use super::table::ALL;
use super::{exposures, warnings};
use crate::control::api::{Setting, SettingKind, SettingSource, Settings};
use crate::control::settings::{SettingsBook, SettingsError};
use crate::files;
use crate::paths::Dirs;

/// Reads and changes the settings. Cheap to clone.
#[derive(Clone)]
pub struct LiveSettings(Arc<Inner>);

struct Inner {
    flags: Flags,
    env: BTreeMap<String, OsString>,
    dirs: Dirs,
    /// A hash of each setting at the start.
    started: BTreeMap<&'static str, [u8; 32]>,
    writing: Mutex<()>,
}

/// The environment contains secrets, so it is not printed.
impl fmt::Debug for LiveSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LiveSettings(..)")
    }
}

impl LiveSettings {
    /// Creates the book of settings for a proxy that was started with these values.
    pub(super) fn new(flags: &Flags, env: &dyn Strings, dirs: &Dirs, values: &Values) -> Self {
        let names = ALL
            .iter()
            .map(|entry| entry.meta())
            .flat_map(|meta| std::iter::once(meta.env).chain(meta.also.iter().copied()).map(str::to_owned));
        let env = names.filter_map(|name| env.get(&name).map(|value| (name, value))).collect();
        Self(Arc::new(Inner {
            flags: flags.clone(),
            env,
            dirs: dirs.clone(),
            started: values.fingerprints(),
            writing: Mutex::new(()),
        }))
    }

    /// The configuration file, whether it exists or not; `None` if the platform has no place for it.
    pub fn file(&self) -> Option<std::path::PathBuf> {
        self.gather(None).0.file()
    }

    fn gather(&self, draft: Option<&str>) -> (Values, Vec<Problem>) {
        Values::gather_with(&self.0.flags, &self.0.env, &self.0.dirs, draft)
    }

    fn view(&self, values: &Values) -> Settings {
        Settings {
            file: values.file().map(|file| file.display().to_string()),
            restart_needed: values.fingerprints() != self.0.started,
            warnings: warnings(values, &self.0.env).unwrap_or_default(),
            settings: ALL.iter().map(|entry| setting(values, *entry)).collect(),
        }
    }

    /// The text of the file with the changes, and whether a secret is among them.
    fn draft(&self, old: &str, changes: &Map<String, Value>) -> Result<(String, bool), SettingsError> {
        let (values, _) = self.gather(None);
        let file = values.file().unwrap_or_default();
        let mut document: DocumentMut = old.parse().map_err(|_| {
            let file = file.display();
            // The message of the parser quotes the line, which may contain a key.
            SettingsError::File(format!(
                "{file} is not valid TOML, so the proxy did not change it. Correct it by hand first."
            ))
        })?;
        let mut is_secret = false;
        for (key, value) in changes {
            let entry = ALL.iter().find(|entry| entry.meta().key == Some(key.as_str()));
            let entry = *entry.ok_or_else(|| refused(key, format!("There is no setting {key}.")))?;
            if let Some(message) = locked(&values, entry) {
                return Err(SettingsError::Locked(message));
            }
            let not_allowed = || refused(key, format!("{key} must be {}.", entry.allowed()));
            let text = text_of(value, entry.shape()).ok_or_else(not_allowed)?;
            if text.is_empty() {
                edit::remove(&mut document, key);
                continue;
            }
            let shown = values.show_in(&file, entry, &text).ok_or_else(not_allowed)?;
            edit::set(&mut document, key, edit::toml_value(entry.shape(), &text, &shown));
            is_secret |= entry.meta().secret;
        }
        Ok((document.to_string(), is_secret))
    }
}

impl SettingsBook for LiveSettings {
    fn read(&self) -> Settings {
        self.view(&self.gather(None).0)
    }

    fn change(&self, changes: &Map<String, Value>) -> Result<Settings, SettingsError> {
        let _alone = self.0.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let (values, mut known) = self.gather(None);
        known.extend(exposures(&values));
        let Some(file) = values.file() else {
            let message = "This user has no directory for settings. Start the proxy with PROXY_CONFIG.";
            return Err(SettingsError::File(message.to_owned()));
        };
        let failed = |what: &str, error: std::io::Error| {
            SettingsError::File(format!("{} cannot be {what}: {error}.", file.display()))
        };
        let old = files::read(&file).map_err(|error| failed("read", error))?.unwrap_or_default();
        let (new, is_secret) = self.draft(&old, changes)?;
        let (values, mut problems) = self.gather(Some(&new));
        problems.extend(exposures(&values));
        // Problems from before must not prevent the correction of another setting.
        if let Some(problem) = problems.into_iter().find(|problem| !known.contains(problem)) {
            let blamed = blamed(&problem).iter().find(|key| changes.contains_key(**key));
            let key = blamed.copied().or(changes.keys().next().map(String::as_str));
            return Err(refused(key.unwrap_or_default(), format!("{problem}.")));
        }
        if new != old {
            let target = if is_secret { files::Target::Secret } else { files::Target::Settings };
            files::replace(&file, &new, target).map_err(|error| failed("written", error))?;
        }
        Ok(self.view(&values))
    }
}

/// The keys to which a problem of several settings may belong.
fn blamed(problem: &Problem) -> &'static [&'static str] {
    match problem {
        Problem::OpenToOthers(_) | Problem::WeakKey { .. } => &["host", "api_key", "published_on_loopback"],
        Problem::OpenSignIn(_) => &["login_host", "login_listener", "published_on_loopback"],
        Problem::Value { .. }
        | Problem::SecretValue { .. }
        | Problem::NotUtf8 { .. }
        | Problem::EmptyFlag { .. }
        | Problem::UnknownKey { .. }
        | Problem::Unreadable { .. }
        | Problem::NotToml { .. }
        | Problem::NoDataDir
        | Problem::PathNotUtf8(_) => &[],
    }
}

fn setting(values: &Values, entry: &dyn Entry) -> Setting {
    let meta = entry.meta();
    let source = values.source_of(meta.env);
    let hide = |value: Option<Value>| value.filter(|_| !meta.secret).unwrap_or_default();
    Setting {
        name: meta.env.to_owned(),
        key: meta.key.map(str::to_owned),
        value: hide(values.show(entry).map(|(value, _)| value)),
        set: *source != Source::Default,
        source: match source {
            Source::Default => SettingSource::Default,
            Source::File(_) => SettingSource::File,
            Source::Environment(_) => SettingSource::Environment,
            Source::Flag(_) => SettingSource::Flag,
        },
        default: hide(values.default_of(entry)),
        about: meta.about.to_owned(),
        kind: match entry.shape() {
            Shape::Boolean => SettingKind::Boolean,
            Shape::Integer => SettingKind::Integer,
            Shape::String => SettingKind::String,
            Shape::List => SettingKind::List,
        },
        allowed: entry.allowed(),
        secret: meta.secret,
    }
}

/// Why a change in the file would have no effect.
fn locked(values: &Values, entry: &dyn Entry) -> Option<String> {
    let name = entry.meta().env;
    match values.source_of(name) {
        Source::Default | Source::File(_) => None,
        Source::Environment(variable) => {
            Some(format!("The environment variable {variable} sets {name} and overrides the file."))
        }
        Source::Flag(flag) => Some(format!("The option --{flag} sets {name} and overrides the file.")),
    }
}

/// The text of a JSON value if it has the right type; any setting may be written as a string. Null and a missing
/// value are empty.
fn text_of(value: &Value, shape: Shape) -> Option<String> {
    match (shape, value) {
        (_, Value::Null) => Some(String::new()),
        (_, Value::String(text)) => Some(text.trim().to_owned()),
        (Shape::Boolean, Value::Bool(value)) => Some(value.to_string()),
        (Shape::Integer, Value::Number(number)) => Some(number.to_string()),
        (Shape::List, Value::Array(parts)) => {
            let texts = parts.iter().map(|part| part.as_str().filter(|text| !text.contains(',')));
            texts.collect::<Option<Vec<_>>>().map(|texts| texts.join(","))
        }
        (Shape::Boolean | Shape::Integer | Shape::String | Shape::List, _) => None,
    }
}

fn refused(key: &str, message: String) -> SettingsError {
    SettingsError::Invalid { key: key.to_owned(), message }
}

#[cfg(test)]
mod tests;
