//! The last stage: the tail controls decide which text is sent, held or never sent.

use std::collections::HashSet;
use std::mem;
use std::time::Instant;

use super::{StopMode, TailControls};
use crate::turn::{ItemId, TurnEvent};

const OPENING_TAG: &[u8] = b"<use_tool>";
const CLOSING_TAG: &[u8] = b"</use_tool>";

/// The gate that every event of an item passes.
///
/// Once a block has been seen and later text may have to be hidden, all later text waits in order: another block
/// releases it, the answer's end drops it.
#[derive(Debug)]
pub(super) struct Gate {
    controls: TailControls,
    blocks: usize,
    holding: bool,
    held: Vec<TurnEvent>,
    /// When a burst of blocks is over.
    window_end: Option<Instant>,
    /// Whether the messages so far, read as one text, end within a line.
    within_line: bool,
    /// Characters that have been sent.
    chars: u64,
}

impl Gate {
    pub(super) fn new(controls: TailControls) -> Self {
        Self {
            controls,
            blocks: 0,
            holding: false,
            held: Vec::new(),
            window_end: None,
            within_line: false,
            chars: 0,
        }
    }

    /// When the answer ends if no further block begins.
    pub(super) fn window_end(&self) -> Option<Instant> {
        self.window_end
    }

    /// Characters of text and arguments that have been sent.
    pub(super) fn chars(&self) -> u64 {
        self.chars
    }

    /// Sends one event of an item, or holds it.
    pub(super) fn emit(&mut self, event: TurnEvent, out: &mut Vec<TurnEvent>) {
        if let TurnEvent::TextDelta { text, .. } = &event
            && let Some(last) = text.as_bytes().last()
        {
            self.within_line = *last != b'\n';
        }
        if self.holding {
            self.held.push(event);
        } else {
            self.release(event, out);
        }
    }

    /// Sends text of the message `id`. Returns whether a block in it ends the answer.
    pub(super) fn text(
        &mut self,
        scan: &mut BlockScan,
        id: &ItemId,
        mut text: String,
        now: Instant,
        out: &mut Vec<TurnEvent>,
    ) -> bool {
        if self.is_active() {
            while let Some(end) = scan.next_end(&text) {
                let rest = text.split_off(end);
                self.emit(TurnEvent::TextDelta { id: id.clone(), text }, out);
                if self.block_done(now, out) {
                    return true;
                }
                if rest.is_empty() {
                    return false;
                }
                text = rest;
            }
        }
        self.emit(TurnEvent::TextDelta { id: id.clone(), text }, out);
        false
    }

    /// Sends a whole block as the message `id`, on a line of its own. Returns whether it ends the answer.
    pub(super) fn block(
        &mut self,
        id: ItemId,
        block: String,
        now: Instant,
        out: &mut Vec<TurnEvent>,
    ) -> bool {
        let text = if self.within_line { format!("\n{block}") } else { block };
        self.emit(TurnEvent::MessageStarted { id: id.clone() }, out);
        self.emit(TurnEvent::TextDelta { id: id.clone(), text }, out);
        // The message is closed before the block counts, so that it cannot be left open by the cut.
        self.emit(TurnEvent::MessageDone { id, phase: None }, out);
        self.is_active() && self.block_done(now, out)
    }

    /// Drops the held text, and the messages that would have no other text.
    pub(super) fn end(&mut self, out: &mut Vec<TurnEvent>) {
        self.holding = false;
        let held = mem::take(&mut self.held);
        let hidden: HashSet<ItemId> =
            held.iter()
                .filter_map(|event| {
                    if let TurnEvent::MessageStarted { id } = event { Some(id.clone()) } else { None }
                })
                .collect();
        for event in held {
            let is_tail = match &event {
                TurnEvent::TextDelta { .. }
                | TurnEvent::Annotation { .. }
                | TurnEvent::RefusalDelta { .. } => true,
                TurnEvent::MessageStarted { id } | TurnEvent::MessageDone { id, .. } => hidden.contains(id),
                TurnEvent::Started
                | TurnEvent::ReasoningStarted { .. }
                | TurnEvent::SummaryDelta { .. }
                | TurnEvent::ReasoningTextDelta { .. }
                | TurnEvent::ReasoningDone { .. }
                | TurnEvent::ToolCall { .. }
                | TurnEvent::WebSearchStarted { .. }
                | TurnEvent::WebSearchDone { .. }
                | TurnEvent::Compaction { .. }
                | TurnEvent::Compacted { .. }
                | TurnEvent::Retrying { .. }
                | TurnEvent::Withdrawn { .. }
                | TurnEvent::Usage(_)
                | TurnEvent::Finished(_)
                | TurnEvent::Failed(_) => false,
            };
            if !is_tail {
                self.release(event, out);
            }
        }
    }

    fn is_active(&self) -> bool {
        self.controls.suppress_after_tools || self.controls.stop_after_tools || self.controls.block_max > 0
    }

    /// A block is complete: the held text is not the tail. Returns whether the answer ends here.
    fn block_done(&mut self, now: Instant, out: &mut Vec<TurnEvent>) -> bool {
        for event in mem::take(&mut self.held) {
            self.release(event, out);
        }
        self.blocks += 1;
        if self.blocks == self.controls.block_max {
            return true;
        }
        self.holding = self.controls.suppress_after_tools;
        if self.controls.stop_after_tools {
            if self.controls.stop_mode == StopMode::First {
                return true;
            }
            self.holding = true;
            self.window_end = now.checked_add(self.controls.grace);
        }
        false
    }

    fn release(&mut self, event: TurnEvent, out: &mut Vec<TurnEvent>) {
        let text = match &event {
            TurnEvent::TextDelta { text, .. }
            | TurnEvent::RefusalDelta { text, .. }
            | TurnEvent::SummaryDelta { text, .. }
            | TurnEvent::ReasoningTextDelta { text, .. }
            | TurnEvent::ToolCall { input: text, .. } => text.as_str(),
            TurnEvent::Started
            | TurnEvent::MessageStarted { .. }
            | TurnEvent::Annotation { .. }
            | TurnEvent::MessageDone { .. }
            | TurnEvent::ReasoningStarted { .. }
            | TurnEvent::ReasoningDone { .. }
            | TurnEvent::WebSearchStarted { .. }
            | TurnEvent::WebSearchDone { .. }
            | TurnEvent::Compaction { .. }
            | TurnEvent::Compacted { .. }
            | TurnEvent::Retrying { .. }
            | TurnEvent::Withdrawn { .. }
            | TurnEvent::Usage(_)
            | TurnEvent::Finished(_)
            | TurnEvent::Failed(_) => "",
        };
        self.chars += text.chars().count() as u64;
        out.push(event);
    }
}

/// Finds `<use_tool>` blocks in one message's text, regardless of how it is split.
#[derive(Debug, Default)]
pub(super) struct BlockScan {
    inside: bool,
    /// How much of the next tag has been seen.
    matched: usize,
}

impl BlockScan {
    pub(super) fn is_inside(&self) -> bool {
        self.inside
    }

    /// Reads up to the end of the next complete block and returns where it is; reads all if there is none.
    fn next_end(&mut self, text: &str) -> Option<usize> {
        for (at, byte) in text.bytes().enumerate() {
            let tag = if self.inside { CLOSING_TAG } else { OPENING_TAG };
            // A tag's first byte occurs nowhere else in it, so a match that failed can start again only at this
            // byte.
            let goes_on = tag[self.matched] == byte;
            self.matched = if goes_on { self.matched + 1 } else { usize::from(tag[0] == byte) };
            if self.matched == tag.len() {
                self.matched = 0;
                self.inside = !self.inside;
                if !self.inside {
                    return Some(at + 1);
                }
            }
        }
        None
    }
}
