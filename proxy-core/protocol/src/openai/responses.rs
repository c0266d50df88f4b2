//! The Responses API: `POST /v1/responses`.
//!
//! <https://platform.openai.com/docs/api-reference/responses>; its events:
//! <https://platform.openai.com/docs/api-reference/responses-streaming>.

mod compact;
mod encoder;
mod history;
mod input;
mod object;
mod params;
mod replay;
mod request;
mod state;
mod tools;

pub use compact::{Compaction, CompactionEncoder, window};
pub use encoder::ResponsesEncoder;
pub use history::{HistoryItem, left_by_compaction, stored_item, weight};
pub use replay::replay;
pub use request::previous_not_found;
pub use state::{check_items, metadata, own_items, referenced, resource, unseal};

use serde_json::Value;

use super::error::RequestError;
use super::state::State;
use super::{Context, Prepared, Surface};

/// The Responses API.
#[derive(Debug)]
pub struct Responses;

impl Surface for Responses {
    const NAME: &'static str = "responses";
    const CONTINUES: bool = true;

    type Encoder = ResponsesEncoder;

    fn parse(body: &Value, context: &Context<'_>) -> Result<Prepared<ResponsesEncoder>, RequestError> {
        request::parse(body, context)
    }

    fn state(body: &Value) -> Result<State, RequestError> {
        state::read(body)
    }

    fn own(mut body: Value, id: &str) -> Vec<Value> {
        let own = own_items(&mut body).into_iter().enumerate();
        own.map(|(index, item)| resource(item, &format!("{id}{index:04x}"))).collect()
    }
}
