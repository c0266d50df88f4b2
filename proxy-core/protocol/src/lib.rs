//! The protocols of Codex Proxy. This crate needs no executor, clock, file or connection.
//!
//! [`openai`] reads a request of OpenAI's Responses or Chat Completions API into a [`turn::Turn`]; [`codex`]
//! translates it for `codex app-server`, as lines in and steps out; [`openai`] renders the [`turn::TurnEvent`]s
//! that come back. The two use only [`turn`] in common.

pub mod codex;
pub mod openai;
pub mod picture;
pub mod turn;
