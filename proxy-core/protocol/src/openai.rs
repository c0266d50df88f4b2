//! OpenAI's wire types and their pure translation: a request becomes a [`Turn`], events become frames.
//!
//! Two surfaces, [`responses`] and [`chat`], each a [`Surface`]; neither is translated by way of the other.
//!
//! The wire formats are those of OpenAI's reference, <https://platform.openai.com/docs/api-reference>, and of the
//! Open Responses specification, <https://www.openresponses.org>.

mod cache;
pub mod chat;
pub mod content;
pub mod error;
pub mod frame;
pub mod json_schema;
pub mod models;
pub mod read;
pub mod responses;
pub mod state;
pub mod surrogates;
pub mod tools;

use serde_json::Value;

use crate::turn::{Catalogue, OutputMode, Turn, TurnEvent, TurnOutput};
use error::RequestError;
use frame::Frames;
use responses::HistoryItem;
use state::State;

/// Settings of the translation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The set of aliases that `/v1/models` lists.
    pub environment: Environment,
    /// The model that the aliases mean.
    pub default_model: String,
    /// Whether `instructions` and `system` messages stay in the transcript rather than become base instructions.
    pub ignore_client_system_prompt: bool,
    /// Whether a parameter that cannot be honoured is refused rather than ignored.
    pub strict_params: bool,
    /// Whether an unknown `gpt-*` id stands for the default model.
    pub model_fallback: bool,
    /// The most estimated tokens of a prompt; 0 for no cap.
    pub max_prompt_tokens: u64,
    /// Output cap of `/v1/responses`, in estimated tokens, when the request has none; 0 for no cap.
    pub responses_default_max_tokens: u64,
    /// How function calls are rendered on `/v1/chat/completions`.
    pub chat_output_mode: OutputMode,
    /// How function calls are rendered on `/v1/responses`.
    pub responses_output_mode: OutputMode,
}

/// Which set of model aliases is advertised; both are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// `codex-5…`
    Prod,
    /// `codev-5…`
    Dev,
}

impl Environment {
    /// Every environment.
    pub const ALL: &[Self] = &[Self::Prod, Self::Dev];

    /// The name used in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prod => "prod",
            Self::Dev => "dev",
        }
    }
}

/// The context in which a request is read.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Settings.
    pub config: &'a Config,
    /// The catalogue of models.
    pub catalogue: &'a Catalogue,
    /// The client's own choice of output mode (`x-proxy-output-mode`).
    pub output_mode: Option<OutputMode>,
    /// A fresh random id, without prefix.
    pub id: &'a str,
    /// Seconds since the epoch.
    pub now: u64,
    /// What the request continues.
    pub continued: Option<Continued<'a>>,
    /// Whether answers are stored here.
    pub stores: bool,
}

/// What a request continues.
#[derive(Debug, Clone, Copy)]
pub struct Continued<'a> {
    /// The items before those of the request itself, oldest first.
    pub items: &'a [HistoryItem],
    /// The parameter that has named them.
    pub param: &'static str,
}

/// One of the two APIs.
pub trait Surface: 'static {
    /// The API's name in records.
    const NAME: &'static str;

    /// Whether its requests can continue stored ones.
    const CONTINUES: bool;

    /// Renders the answer.
    type Encoder: Encoder;

    /// Reads a request body.
    ///
    /// # Errors
    /// Names the first parameter that is wrong, and what it should be.
    fn parse(body: &Value, context: &Context<'_>) -> Result<Prepared<Self::Encoder>, RequestError>;

    /// Reads what a request says about stored state.
    ///
    /// # Errors
    /// Names the first parameter that is wrong, and what it should be.
    fn state(body: &Value) -> Result<State, RequestError>;

    /// Takes what is stored of a request out of it, as it is listed later.
    fn own(body: Value, id: &str) -> Vec<Value>;
}

/// A request that has been read.
#[derive(Debug)]
pub struct Prepared<E> {
    /// The turn to run.
    pub turn: Turn,
    /// The number of choices, each a turn of its own.
    pub choices: usize,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// Renders the answer.
    pub encoder: E,
    /// The tokens of the transcript from which on it is compacted first, if the client wants that.
    pub compact_at: Option<u64>,
    /// The parameter of each image in the transcript, in the order of [`Turn::images`].
    pub image_params: Vec<String>,
    /// Notes for the client about how its request was understood.
    pub notes: Notes,
}

/// Notes for the client about how its request was understood; they go into response headers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// Parameters that were accepted but have no effect.
    pub ignored_params: Vec<String>,
    /// The parameter that requests JSON, if the model may not follow it.
    pub format_param: Option<&'static str>,
    /// The effort used instead of the requested one.
    pub effective_effort: Option<crate::turn::Effort>,
}

/// Renders one answer, as frames while it streams and as one object at the end.
///
/// Choices are numbered from 0; the Responses API has only choice 0.
pub trait Encoder: Send + 'static {
    /// The frames that open the stream, before the model has sent anything.
    fn open(&mut self, frames: &mut Frames);

    /// The frames for one event of one choice. A terminal event closes what the choice has open.
    fn push(&mut self, choice: usize, event: &TurnEvent, frames: &mut Frames);

    /// The frames of an event that the transport adds, with its number among the others. Only the Responses API has
    /// such events.
    fn aside(&mut self, _kind: &'static str, _body: Value, _frames: &mut Frames) {}

    /// The last frames of the stream, after the terminal event of every choice, if there are any.
    fn finish(&mut self, frames: &mut Frames);

    /// The answer as one object, from the folded events of every choice.
    fn object(&self, outputs: &[TurnOutput]) -> Value;

    /// The answer as it is stored: like [`Self::object`], with everything that a continuation needs.
    fn stored(&self, outputs: &[TurnOutput]) -> Value {
        self.object(outputs)
    }

    /// The object of an answer that waits to be run in the background, on an API that has such answers.
    fn queued(&self) -> Option<Value> {
        None
    }
}
