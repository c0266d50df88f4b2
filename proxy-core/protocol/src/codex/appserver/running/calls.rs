//! Calls of tools, as the model makes them and as Codex requests their outputs.

use serde::de::IgnoredAny;
use serde_json::Value;

use super::super::tools::Called;
use super::super::wire;
use super::{Outcome, Running};
use crate::codex::{Step, TurnKey};
use crate::turn::{ToolKind, TurnEvent};

/// How a model calls functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Habit {
    /// It writes JSON even where a function takes nothing.
    Sound,
    /// It has called functions in a way that Codex answers by itself: with arguments that are not JSON, or by a name that
    /// the client did not give.
    Unsound,
}

impl Running {
    /// Requests from Codex that wait for a tool's output.
    pub(in super::super) fn open_requests(&self) -> impl Iterator<Item = &Value> {
        self.requests.iter().map(|(_, id)| id)
    }

    /// Codex requests a function call. The call itself usually came before, as a raw item.
    pub(in super::super) fn tool_asked(
        &mut self,
        key: TurnKey,
        id: Value,
        call: wire::ToolCall,
        out: &mut Vec<Step>,
    ) -> Outcome {
        self.requests.push((call.call_id.clone(), id));
        let item_id = format!("fc_{}", call.call_id);
        let name = (call.namespace.as_deref(), call.tool.as_str());
        self.call(key, Some(item_id), call.call_id, name, call.arguments.to_string(), out);
        self.park(key, out)
    }

    /// Only calls of the client's tools go to the client; Codex answers calls of all other tools itself.
    pub(super) fn call(
        &mut self,
        key: TurnKey,
        id: Option<String>,
        call_id: String,
        (namespace, name): (Option<&str>, &str),
        input: String,
        out: &mut Vec<Step>,
    ) {
        if self.calls.contains(&call_id) {
            return;
        }
        let called = self.tools.called(namespace, name, input);
        let Some(Called { kind, namespace, name, input, is_held, takes_nothing }) = called else {
            self.called_unknown = true;
            return self.called_unsoundly();
        };
        if !is_held || serde_json::from_str::<IgnoredAny>(&input).is_err() {
            self.called_unsoundly();
        } else if takes_nothing {
            self.habit.get_or_insert(Habit::Sound);
        }
        self.calls.push(call_id.clone());
        // Some models call a function without parameters with an empty text, which clients cannot read as JSON.
        let (prefix, input) = match kind {
            ToolKind::Function if input.trim().is_empty() => ("fc", "{}".to_owned()),
            ToolKind::Function => ("fc", input),
            ToolKind::Custom => ("ctc", input),
        };
        // A free-text tool may have travelled as a function: the item has the kind that the client declared.
        let id =
            id.filter(|id| id.starts_with(prefix)).unwrap_or_else(|| format!("{prefix}_{call_id}")).into();
        self.emit(key, TurnEvent::ToolCall { id, kind, call_id, namespace, name, input }, out);
    }

    /// The model has made a call that Codex answers by itself, instead of asking the proxy for its output.
    fn called_unsoundly(&mut self) {
        self.keeps.spoil();
        self.habit = Some(Habit::Unsound);
    }
}
