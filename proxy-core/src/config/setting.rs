//! One setting: its names, its default, its type and its description.

use std::marker::PhantomData;
use std::path::Path;

use serde_json::Value;

/// The type of a setting: how its text is checked, parsed and shown.
pub trait Kind {
    /// The type of the parsed value.
    type Value;

    /// The TOML type of the setting in a file; a string is always accepted too.
    const SHAPE: Shape;

    /// The allowed values, to follow "must be" in a message.
    fn allowed() -> String;

    /// Parses `text`; `None` if it is not [allowed](Self::allowed).
    fn parse(text: &str, base: &Base<'_>) -> Option<Self::Value>;

    /// The value as shown to a person or a program.
    fn show(value: &Self::Value) -> Value;
}

/// The TOML types of settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `true` or `false`.
    Boolean,
    /// A whole number without quotation marks.
    Integer,
    /// A string in quotation marks.
    String,
    /// An array of strings, or one string with commas.
    List,
}

/// The base of relative paths.
#[derive(Debug, Clone, Copy)]
pub struct Base<'a> {
    /// The directory of relative paths.
    pub dir: &'a Path,
    /// The replacement for a leading `~`.
    pub home: Option<&'a Path>,
}

/// The default of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// This text; an empty one is "unset".
    Text(&'static str),
    /// The platform's data directory.
    DataDir,
    /// This name in the data directory in force.
    InDataDir(&'static str),
}

/// One setting whose value is of type `K`.
pub struct Setting<K> {
    /// The facts that do not depend on the type.
    pub meta: Meta,
    kind: PhantomData<fn() -> K>,
}

/// The facts about a setting that do not depend on its type.
#[derive(Debug, Clone, Copy)]
pub struct Meta {
    /// The environment variable, which is also the name of the setting everywhere.
    pub env: &'static str,
    /// Other environment variables that are used if `env` is not set.
    pub also: &'static [&'static str],
    /// The key in `config.toml`; `None` if it cannot be set there.
    pub key: Option<&'static str>,
    /// The command line flag, without the dashes.
    pub flag: Option<&'static str>,
    /// The default.
    pub preset: Preset,
    /// The description, in a sentence or two.
    pub about: &'static str,
    /// Whether the value must never be shown.
    pub secret: bool,
}

/// Starts the description of a setting.
pub(super) const fn setting<K>(env: &'static str, key: &'static str, default: &'static str) -> Setting<K> {
    let meta = Meta {
        env,
        also: &[],
        key: Some(key),
        flag: None,
        preset: Preset::Text(default),
        about: "",
        secret: false,
    };
    Setting { meta, kind: PhantomData }
}

impl<K> Setting<K> {
    pub(super) const fn flag(mut self, flag: &'static str) -> Self {
        self.meta.flag = Some(flag);
        self
    }

    pub(super) const fn also(mut self, names: &'static [&'static str]) -> Self {
        self.meta.also = names;
        self
    }

    pub(super) const fn preset(mut self, preset: Preset) -> Self {
        self.meta.preset = preset;
        self
    }

    pub(super) const fn not_in_file(mut self) -> Self {
        self.meta.key = None;
        self
    }

    pub(super) const fn secret(mut self) -> Self {
        self.meta.secret = true;
        self
    }

    pub(super) const fn about(mut self, about: &'static str) -> Self {
        self.meta.about = about.trim_ascii();
        self
    }
}

/// A setting of any type, as in the table.
pub trait Entry: Sync {
    /// The facts that do not depend on the type.
    fn meta(&self) -> &Meta;

    /// [`Kind::SHAPE`].
    fn shape(&self) -> Shape;

    /// [`Kind::allowed`].
    fn allowed(&self) -> String;

    /// How `text` would be shown; `None` if it is not allowed.
    fn show(&self, text: &str, base: &Base<'_>) -> Option<Value>;
}

impl<K: Kind> Entry for Setting<K> {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn shape(&self) -> Shape {
        K::SHAPE
    }

    fn allowed(&self) -> String {
        K::allowed()
    }

    fn show(&self, text: &str, base: &Base<'_>) -> Option<Value> {
        K::parse(text, base).map(|value| K::show(&value))
    }
}
