//! Codex Proxy's core: OpenAI's Responses and Chat Completions APIs over a supervised `codex app-server`.
//!
//! The request path, which is also the reading order: `http` takes a request and checks who asks; `openai`
//! reads it into a [`turn::Turn`]; `dispatch` gives the turn to a worker's session; `codex` speaks the
//! worker's protocol; the [`turn::TurnEvent`]s that come back are rendered by `openai` and written by `http`.

pub mod codex;
pub mod openai;
pub mod turn;
pub mod worker;
