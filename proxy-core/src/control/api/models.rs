//! `/control/models`.

use serde::{Deserialize, Serialize};

/// The answer of `GET /control/models`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct ModelList {
    /// The id that stands for the default model.
    pub default: Option<String>,
    /// The models, in the order of Codex's catalogue.
    pub models: Vec<Model>,
}

/// One model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct Model {
    /// Its id.
    pub id: String,
    /// The other ids that lead to it.
    pub aliases: Vec<String>,
    /// The model that is asked.
    pub target: Option<String>,
    /// The reasoning efforts that it has.
    pub efforts: Vec<String>,
    /// The effort that it has unless another is asked for.
    pub default_effort: Option<String>,
    /// What it is, in the vendor's words.
    pub description: Option<String>,
    /// Whether Codex hides it from people.
    pub hidden: bool,
    /// What it reads: `text`, `image`.
    pub input_modalities: Vec<String>,
    /// Whether it can be given function tools.
    pub supports_tools: bool,
}
