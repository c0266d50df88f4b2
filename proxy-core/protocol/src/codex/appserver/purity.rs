//! How the driver keeps prompts pure: it refuses a Codex that does not know the switches, and sends tools in
//! another way where the upstream accepts none as an item.

use serde_json::value::RawValue;

use super::running::Habit;
use super::thread::Thread;
use super::{AppServer, wire};
use crate::codex::{Step, TurnKey, Unfit, isolation};

impl AppServer {
    /// Records what a turn has shown of its model: that its upstream takes tools as an item, so that this is not checked
    /// again, and how it calls functions.
    pub(super) fn learn(&mut self, key: TurnKey) {
        let Some(running) = self.turns.get(&key) else { return };
        let Some(thread) = running.thread.as_ref().and_then(|thread| self.threads.get(thread)) else {
            return;
        };
        let learned = self.learned.entry(thread.spec.model.clone()).or_default();
        if running.answered_with_exact_tools() {
            learned.takes_items = Some(true);
        }
        if learned.habit != Some(Habit::Unsound) {
            learned.habit = running.habit.or(learned.habit);
        }
    }

    /// Starts a turn again because its upstream accepts no tools as an item. Later turns of the same model start
    /// in this way at once.
    pub(super) fn begin_again(&mut self, key: TurnKey, out: &mut Vec<Step>) {
        let prompt = self.turns.get_mut(&key).and_then(|running| running.prompt.take());
        let thread = self.leave_thread(key, out);
        let (Some(prompt), Some(Thread { spec, .. })) = (prompt, thread) else {
            return self.release(key, out);
        };
        tracing::info!(
            model = spec.model,
            "the upstream takes no tools as an item; they are sent the plain way"
        );
        self.learned.entry(spec.model.clone()).or_default().takes_items = Some(false);
        self.start_thread(key, spec, prompt, out);
        if let Some(running) = self.turns.get_mut(&key) {
            running.announced = true;
        }
    }

    /// Settings that Codex does not know are switches without effect: its prompts would not be pure.
    pub(super) fn warned(&mut self, params: &RawValue, out: &mut Vec<Step>) {
        let Ok(warning) = serde_json::from_str::<wire::Warning>(params.get()) else { return };
        let Some(unknown) = isolation::unknown_switches(&warning.message) else { return };
        if !self.capabilities.as_ref().is_none_or(|capabilities| capabilities.inject_items) {
            return;
        }
        let version = self.capabilities.as_ref().map_or("", |capabilities| &capabilities.version).to_owned();
        let unfit = Unfit::UnknownSwitches { version, names: unknown };
        let thread = warning.thread_id.and_then(|thread| self.turn_on(&thread));
        match thread.and_then(|key| Some((key, self.turns.get_mut(&key)?))) {
            Some((key, running)) => {
                running.refuse(key, unfit.to_string(), out);
                self.request_interrupt(key, out);
            }
            None => out.push(Step::Unfit(unfit)),
        }
    }
}
