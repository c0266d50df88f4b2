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

use serde_json::Value;

use super::error::RequestError;
use super::{Context, Prepared, Surface};

/// Chat Completions.
#[derive(Debug, Clone, Copy)]
pub struct Chat;

impl Surface for Chat {
    const NAME: &'static str = "chat";

    type Encoder = ChatEncoder;

    fn parse(body: &Value, context: &Context<'_>) -> Result<Prepared<ChatEncoder>, RequestError> {
        request::parse(body, context)
    }
}
