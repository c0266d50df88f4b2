//! The protocols of Codex Proxy, and nothing that needs an executor, a clock, a file or a connection.
//!
//! [`openai`] reads a request of OpenAI's Responses or Chat Completions API into a [`turn::Turn`]; [`codex`] has a
//! `codex app-server` carry it out, as lines in and steps out; the [`turn::TurnEvent`]s that come back are rendered
//! by [`openai`]. The two never meet but in [`turn`].

pub mod codex;
pub mod openai;
pub mod picture;
pub mod turn;
