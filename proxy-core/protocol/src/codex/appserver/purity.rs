//! What the driver does so that prompts are the client's own: it refuses a Codex that does not know the switches, and
//! has tools travel another way where the upstream takes none as an item.

use serde_json::value::RawValue;

use super::{AppServer, wire};
use crate::codex::{Step, TurnKey, isolation};
use crate::turn::Turn;

impl AppServer {
    /// An upstream that has answered with tools given as an item need not be doubted again.
    pub(super) fn exact_tools_taken(&mut self, key: TurnKey) {
        if let Some(running) = self.turns.get(&key).filter(|running| running.answered_with_exact_tools()) {
            self.exact.insert(running.turn.model.clone());
        }
    }

    /// Begins a turn again whose upstream takes no tools as an item; so does every later one of the model's.
    pub(super) fn begin_again(&mut self, key: TurnKey, out: &mut Vec<Step>) {
        self.leave_thread(key, out);
        let Some(running) = self.turns.remove(&key) else { return };
        let turn = Turn { tools: running.tools.into_inner(), ..running.turn };
        tracing::info!(
            model = turn.model,
            "the upstream takes no tools as an item; they are sent the plain way"
        );
        self.plain.insert(turn.model.clone());
        self.exact.remove(&turn.model);
        self.start(key, turn, out);
        if let Some(running) = self.turns.get_mut(&key) {
            running.announced = true;
        }
    }

    /// Settings that Codex does not know are switches that do nothing: its prompts would not be pure.
    pub(super) fn warned(&mut self, params: &RawValue, out: &mut Vec<Step>) {
        let Ok(warning) = serde_json::from_str::<wire::Warning>(params.get()) else { return };
        let Some(unknown) = isolation::unknown_switches(&warning.message) else { return };
        if !self.capabilities.as_ref().is_none_or(|capabilities| capabilities.inject_items) {
            return;
        }
        let version = self.capabilities.as_ref().map_or("", |capabilities| &capabilities.version);
        let reason = format!(
            "Codex {version} does not know these settings, without which it may add to prompts: {unknown}. \
             Use the version that `codex-proxy codex install` installs."
        );
        let thread = warning.thread_id.and_then(|thread| self.threads.get(&thread).copied());
        match thread.and_then(|key| Some((key, self.turns.get_mut(&key)?))) {
            Some((key, running)) => {
                running.refuse(key, reason, out);
                self.request_interrupt(key, out);
            }
            None => out.push(Step::Unfit(reason)),
        }
    }
}
