//! The Responses API: `POST /v1/responses`.
//!
//! <https://platform.openai.com/docs/api-reference/responses>; its events:
//! <https://platform.openai.com/docs/api-reference/responses-streaming>.

mod encoder;
mod input;
mod object;
mod params;
mod request;
mod tools;

pub use encoder::ResponsesEncoder;

use serde_json::Value;

use super::error::RequestError;
use super::{Context, Prepared, Surface};

/// The Responses API.
#[derive(Debug)]
pub struct Responses;

impl Surface for Responses {
    const NAME: &'static str = "responses";

    type Encoder = ResponsesEncoder;

    fn parse(body: &Value, context: &Context<'_>) -> Result<Prepared<ResponsesEncoder>, RequestError> {
        request::parse(body, context)
    }
}
