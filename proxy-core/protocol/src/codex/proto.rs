//! `codex proto`, the protocol before the app-server: one process, one conversation, one turn.
//!
//! The settings of a turn are arguments of the process (see
//! [`proto_arguments`](super::isolation::proto_arguments)). Codex reports when its session is configured, takes
//! one operation with the whole transcript as a user message ([`transcript`]) and prints events until the task is
//! complete. It does not end when its input ends: the driver first sends it a shutdown when the turn is over.

mod failure;
mod running;
mod transcript;
mod wire;

use std::path::PathBuf;

use serde_json::{Value, json};

use super::jsonrpc::RpcError;
use super::noise::Noise;
use super::{Account, CallKey, Capabilities, Fatal, Handshake, Step, TurnKey, isolation};
use crate::turn::{Catalogue, Summary, Turn, TurnError, TurnErrorKind, TurnEvent};
use running::{Outcome, Running};
use wire::{Event, Said, submission};

/// The ids of the proxy's submissions; each of Codex's events has the id of its submission.
const TURN: &str = "turn";
const INTERRUPT: &str = "interrupt";
const DENIAL: &str = "denial";
const SHUTDOWN: &str = "shutdown";

/// The driver's settings: facts about the environment in which Codex runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The output of `codex --version`; the protocol itself has no version.
    pub version: String,
    /// Codex's working directory.
    pub workdir: PathBuf,
    /// The sandbox, by Codex's name of it.
    pub sandbox: &'static str,
}

/// The protocol's state machine.
#[derive(Debug)]
pub struct Proto {
    settings: Settings,
    pub(super) noise: Noise,
    stage: Stage,
}

/// How far the process has come.
#[derive(Debug)]
enum Stage {
    Starting,
    Ready {
        session: String,
        model: String,
    },
    Busy(Running),
    /// The turn is over, or was given up; `shutdown_complete` is awaited.
    Ending(TurnKey),
    Spent,
}

impl Proto {
    /// A driver of a child that has just been started; Codex sends the first message.
    pub fn new(settings: Settings) -> Self {
        Self { settings, noise: Noise::default(), stage: Stage::Starting }
    }

    /// Begins the turn. There is only one.
    pub fn start(&mut self, key: TurnKey, turn: &Turn, out: &mut Vec<Step>) {
        let Stage::Ready { session, model } = &self.stage else {
            let message = match self.stage {
                Stage::Starting => "The Codex worker is still starting.",
                Stage::Ready { .. } | Stage::Busy(_) | Stage::Ending(_) | Stage::Spent => {
                    "This Codex worker has its one turn already. Try again."
                }
            };
            let error = TurnError::new(TurnErrorKind::WorkerNotReady, message);
            out.push(Step::Emit(key, TurnEvent::Failed(error)));
            out.push(Step::Released(key));
            return;
        };
        let op = self.operation(turn, model);
        self.stage = Stage::Busy(Running::new(key, session));
        out.push(Step::SendFor(key, submission(TURN, &op).into()));
    }

    /// Ends the turn from the proxy's side.
    pub fn interrupt(&mut self, key: TurnKey, out: &mut Vec<Step>) {
        if matches!(&self.stage, Stage::Busy(running) if running.key == key) {
            out.push(Step::Send(submission(INTERRUPT, &json!({"type": "interrupt"})).into()));
            self.shut_down(key, out);
        }
    }

    /// This protocol has no plain calls.
    pub fn call(&mut self, key: CallKey, method: &str, out: &mut Vec<Step>) {
        let message = format!("the legacy protocol (`codex proto`) has no {method}");
        out.push(Step::Answer(key, Err(RpcError { code: -32601, message })));
    }

    /// Handles a line. A line that is not a message of the protocol (a banner, a stray print) is ignored.
    pub fn receive(&mut self, line: &str, out: &mut Vec<Step>) {
        let event = match serde_json::from_str::<Event>(line) {
            Ok(event) => event,
            Err(error) => return self.noise.heard(error, line.len(), out),
        };
        self.noise.is_over();
        match (&mut self.stage, event.msg) {
            (Stage::Starting, Said::SessionConfigured { session_id, model, rollout_path }) => {
                self.configured(&session_id, model, rollout_path, out);
            }
            (Stage::Ending(key), Said::TokenCount { info: Some(info) }) => {
                out.push(Step::Emit(*key, TurnEvent::Usage(info.total_token_usage.into())));
            }
            (Stage::Ending(key), Said::ShutdownComplete) => {
                out.push(Step::Released(*key));
                out.push(Step::Fatal(Fatal::Spent));
                self.stage = Stage::Spent;
            }
            (Stage::Spent, _) => {}
            (_, Said::ShutdownComplete) => {
                out.push(Step::Fatal(Fatal::ShutDown));
            }
            (Stage::Busy(running), said) if event.id == TURN => {
                let key = running.key;
                match running.receive(said, out) {
                    Outcome::Goes => {}
                    Outcome::Deny(op) => {
                        let op = json!({"type": op, "id": event.id, "decision": "denied"});
                        out.push(Step::Send(submission(DENIAL, &op).into()));
                    }
                    Outcome::Ended => self.shut_down(key, out),
                }
            }
            (_, Said::Error { message }) => tracing::warn!(message, "codex complained"),
            (_, _) => {}
        }
    }

    fn configured(
        &mut self,
        session_id: &str,
        model: String,
        rollout_path: Option<String>,
        out: &mut Vec<Step>,
    ) {
        self.stage = Stage::Ready { session: session_id.replace('-', ""), model };
        // The protocol does not report the account; without a sign-in the turn itself fails.
        out.push(Step::Account(Account::Usable));
        out.push(Step::Ready(Handshake {
            capabilities: Capabilities::legacy(&self.settings.version),
            catalogue: Catalogue::default(),
            record: rollout_path.map(PathBuf::from),
        }));
    }

    /// The plain form is the oldest. The full one is for settings that arguments cannot express, and for a model
    /// that they could not set because a profile in Codex's configuration has priority.
    fn operation(&self, turn: &Turn, configured: &str) -> Value {
        let items = transcript::input(turn);
        if turn.output_schema.is_none() && configured == turn.spec.model {
            return json!({"type": "user_input", "items": items});
        }
        let mut op = json!({
            "type": "user_turn",
            "items": items,
            "cwd": self.settings.workdir,
            "approval_policy": "untrusted",
            "sandbox_policy": {"mode": self.settings.sandbox},
            "model": turn.spec.model,
            "summary": turn.spec.summary.unwrap_or(Summary::Auto).as_str(),
        });
        if let Some(effort) = turn.spec.effort {
            op["effort"] = json!(isolation::proto_effort(effort));
        }
        if let Some(schema) = &turn.output_schema {
            op["final_output_json_schema"] = schema.clone();
        }
        op
    }

    fn shut_down(&mut self, key: TurnKey, out: &mut Vec<Step>) {
        out.push(Step::Send(submission(SHUTDOWN, &json!({"type": "shutdown"})).into()));
        self.stage = Stage::Ending(key);
    }
}

#[cfg(test)]
mod tests;
