//! `/control/store`.

use serde::{Deserialize, Serialize};

words! {
    /// Whether responses are stored.
    StoreState {
        /// They are.
        On = "on",
        /// The operator does not want it.
        Off = "off",
        /// The database cannot be used.
        Broken = "broken",
    }
}

/// The answer of `GET /control/store`: the stored responses, conversations and chat completions of all keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct Store {
    /// Whether responses are stored.
    pub state: StoreState,
    /// Why the database cannot be used.
    pub reason: Option<String>,
    /// The number of responses.
    pub responses: u64,
    /// The number of conversations.
    pub conversations: u64,
    /// The number of chat completions.
    pub chats: u64,
    /// The bytes of the files.
    pub bytes: u64,
    /// When the oldest of them was created.
    pub oldest: Option<u64>,
    /// When the newest of them was created.
    pub newest: Option<u64>,
}

/// The answer of `POST /control/store/prune` and `POST /control/store/clear`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(default)]
pub struct StoreRemoval {
    /// How many responses, conversations and chat completions were removed.
    pub removed: u64,
}
