//! What one setting is: its names, its default, its type and its one-sentence meaning.

use std::marker::PhantomData;
use std::path::Path;

use serde_json::Value;

/// The type of a setting: how its text is checked, read and shown.
pub trait Kind {
    /// What the text becomes.
    type Value;

    /// Which TOML type the setting has in a file; a string is always taken as well.
    const SHAPE: Shape;

    /// What is allowed, to follow "must be" in a message.
    fn allowed() -> String;

    /// Reads `text`; `None` if it is not [allowed](Self::allowed).
    fn parse(text: &str, base: &Base<'_>) -> Option<Self::Value>;

    /// The value as a person or a program is shown it.
    fn show(value: &Self::Value) -> Value;
}

/// The TOML types that settings have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `true` or `false`.
    Boolean,
    /// A whole number, without quotation marks.
    Integer,
    /// A text in quotation marks.
    String,
    /// An array of strings, or one string with commas.
    List,
}

/// What relative paths are relative to.
#[derive(Debug, Clone, Copy)]
pub struct Base<'a> {
    /// The directory they start from.
    pub dir: &'a Path,
    /// What a leading `~` stands for.
    pub home: Option<&'a Path>,
}

/// What a setting is when nobody set it.
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
    /// Its facts, apart from the type.
    pub meta: Meta,
    kind: PhantomData<fn() -> K>,
}

/// What is known of a setting without its type.
#[derive(Debug, Clone, Copy)]
pub struct Meta {
    /// Its environment variable, which is also its name everywhere.
    pub env: &'static str,
    /// Other environment variables that count where `env` is not set.
    pub also: &'static [&'static str],
    /// Its key in `config.toml`; `None` if it cannot be set there.
    pub key: Option<&'static str>,
    /// Its command line flag, without the dashes.
    pub flag: Option<&'static str>,
    /// What it is when nobody set it.
    pub preset: Preset,
    /// What it means, in a sentence or two.
    pub about: &'static str,
    /// Whether its value must never be shown.
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

/// A setting of any type, as the table lists it.
pub trait Entry: Sync {
    /// Its facts, apart from the type.
    fn meta(&self) -> &Meta;

    /// [`Kind::SHAPE`].
    fn shape(&self) -> Shape;

    /// [`Kind::allowed`].
    fn allowed(&self) -> String;

    /// What `text` would be shown as; `None` if it is not allowed.
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
