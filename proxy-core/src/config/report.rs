//! Shows the configuration: the values in force, and the reference of all settings.

use serde_json::{Value, json};

use super::layers::{Source, Values};
use super::setting::{Entry, Preset};
use super::table::ALL;

/// Every value in force and its source, without the secrets.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    /// One row for each setting.
    pub rows: Vec<Row>,
}

/// One setting in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The name of the setting, which is its environment variable.
    pub name: &'static str,
    /// The key in `config.toml`.
    pub key: Option<&'static str>,
    /// The value; for a secret only `set` or `unset`.
    pub value: Value,
    /// The source of the value.
    pub source: Source,
}

impl Effective {
    pub(super) fn of(values: &Values) -> Self {
        let row = |entry: &&'static dyn Entry| {
            let (value, source) = values.show(*entry)?;
            let meta = entry.meta();
            let value = match (meta.secret, value) {
                (true, Value::Null) => json!("unset"),
                (true, _) => json!("set"),
                (false, value) => value,
            };
            Some(Row { name: meta.env, key: meta.key, value, source: source.clone() })
        };
        Self { rows: ALL.iter().filter_map(row).collect() }
    }

    /// A table for people.
    pub fn to_text(&self) -> String {
        let cells: Vec<[String; 3]> = std::iter::once(["NAME", "VALUE", "SOURCE"].map(str::to_owned))
            .chain(self.rows.iter().map(|row| [row.name.to_owned(), row.text(), row.source.to_string()]))
            .collect();
        let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let (name_width, value_width) = (width(0), width(1));
        let line = |[name, value, source]: &[String; 3]| {
            format!("{name:name_width$}  {value:value_width$}  {source}\n")
        };
        cells.iter().map(line).collect()
    }

    /// The same as JSON for programs.
    pub fn to_json(&self) -> Value {
        self.rows.iter().map(Row::to_json).collect()
    }
}

impl Row {
    fn text(&self) -> String {
        match &self.value {
            Value::Null => "unset".to_owned(),
            Value::String(text) => text.clone(),
            Value::Array(parts) if parts.is_empty() => "none".to_owned(),
            Value::Array(parts) => parts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
            value @ (Value::Bool(_) | Value::Number(_) | Value::Object(_)) => value.to_string(),
        }
    }

    fn to_json(&self) -> Value {
        let source = match &self.source {
            Source::Default => json!({"kind": "default"}),
            Source::File(path) => json!({"kind": "file", "path": path.display().to_string()}),
            Source::Environment(name) => json!({"kind": "environment", "name": name}),
            Source::Flag(name) => json!({"kind": "flag", "name": format!("--{name}")}),
        };
        json!({"name": self.name, "key": self.key, "value": self.value, "source": source})
    }
}

/// The description of every setting, for `codex-proxy config --help`.
pub fn reference() -> String {
    let intro = "For each setting, the proxy uses the flag first, then the environment variable (an empty one counts \
                 as\nunset), then the key in config.toml, then the default. Relative paths in config.toml start from \
                 the\nfolder of that file. Other relative paths start from the working directory.\n\nSettings:\n";
    ALL.iter().fold(intro.to_owned(), |text, entry| text + "\n" + &describe(*entry))
}

fn describe(entry: &dyn Entry) -> String {
    let meta = entry.meta();
    let names: Vec<String> = std::iter::once(meta.env.to_owned())
        .chain(meta.key.map(|key| format!("file: {key}")))
        .chain(meta.flag.map(|flag| format!("flag: --{flag}")))
        .collect();
    let also = match meta.also {
        [] => String::new(),
        names => format!(" If it is not set, the proxy uses {}.", names.join(", then ")),
    };
    let secret = if meta.secret { " Secret: never shown." } else { "" };
    format!(
        "{}\n    {}{also}\n    Type: {}. Default: {}.{secret}\n",
        names.join("   "),
        meta.about,
        entry.allowed(),
        default_of(entry)
    )
}

fn default_of(entry: &dyn Entry) -> String {
    match entry.meta().preset {
        Preset::Text("") => "unset".to_owned(),
        Preset::Text(text) => text.to_owned(),
        Preset::DataDir => "the platform's directory for an application's data".to_owned(),
        Preset::InDataDir(name) => format!("{name} in the data directory"),
    }
}
