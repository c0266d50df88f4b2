//! The Chat Completions surface: `POST /v1/chat/completions`.
//!
//! <https://platform.openai.com/docs/api-reference/chat>; its chunks:
//! <https://platform.openai.com/docs/api-reference/chat-streaming>.

mod encoder;
mod join;
mod messages;
mod object;
mod params;
mod request;
#[cfg(test)]
mod testing;
mod tools;

pub use encoder::ChatEncoder;

use serde_json::{Value, json};

use super::error::RequestError;
use super::read::Node;
use super::state::State;
use super::{Context, Prepared, Surface};

/// Chat Completions.
#[derive(Debug, Clone, Copy)]
pub struct Chat;

impl Surface for Chat {
    const NAME: &'static str = "chat";
    const CONTINUES: bool = false;

    type Encoder = ChatEncoder;

    fn parse(body: &Value, context: &Context<'_>) -> Result<Prepared<ChatEncoder>, RequestError> {
        request::parse(body, context)
    }

    /// Nothing is stored that the client has not asked for.
    fn state(body: &Value) -> Result<State, RequestError> {
        let store = match Node::root(body).object()?.opt("store") {
            Some(store) => store.boolean()?,
            None => false,
        };
        Ok(State { store, ..State::default() })
    }

    fn own(mut body: Value, id: &str) -> Vec<Value> {
        let Value::Array(messages) = body["messages"].take() else { return Vec::new() };
        messages
            .into_iter()
            .enumerate()
            .map(|(index, mut message)| {
                if message.is_object() {
                    message["id"] = json!(format!("chatcmpl-{id}-{index}"));
                }
                message
            })
            .collect()
    }
}
