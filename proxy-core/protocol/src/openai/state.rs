//! The state behind a request: what it continues, and what is stored of it.
//!
//! <https://platform.openai.com/docs/guides/conversation-state>

/// What a request says about stored state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The response that it continues (`previous_response_id`).
    pub previous: Option<String>,
    /// The conversation that it continues and adds to (`conversation`).
    pub conversation: Option<String>,
    /// Whether it runs without a client that waits for it (`background`).
    pub background: bool,
    /// Whether it asks for its answer to be stored (`store`, with the default of its API).
    pub store: bool,
}

impl State {
    /// Whether the request continues something.
    pub fn continues(&self) -> bool {
        self.previous.is_some() || self.conversation.is_some()
    }
}
