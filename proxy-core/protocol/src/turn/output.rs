//! Accumulates a turn's events into its output. This is the only place that does it.

use serde_json::Value;

use super::{Finish, ItemId, ToolKind, TurnError, TurnEvent, Usage};

/// The output of a turn so far: the sum of its events.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TurnOutput {
    /// The output items, in the order they began.
    pub items: Vec<OutputItem>,
    /// The shorter form of the transcript, if that was asked for.
    pub compacted: Option<Vec<Value>>,
    /// Tokens used.
    pub usage: Option<Usage>,
    /// How the turn ended, once it did.
    pub end: Option<Result<Finish, TurnError>>,
}

/// One item of the answer.
#[derive(Debug, Clone, PartialEq)]
pub enum OutputItem {
    /// A message.
    Message {
        /// The item.
        id: ItemId,
        /// Its text.
        text: String,
        /// The citations in it.
        annotations: Vec<Value>,
        /// The model's refusal, in place of an answer.
        refusal: String,
        /// `commentary` or `final_answer`, where the model marked it.
        phase: Option<String>,
        /// Whether it is complete.
        done: bool,
    },
    /// Reasoning.
    Reasoning {
        /// The item.
        id: ItemId,
        /// The summary, part by part.
        summary: Vec<String>,
        /// The raw reasoning, part by part (only models that show it).
        text: Vec<String>,
        /// The sealed reasoning.
        encrypted_content: Option<String>,
        /// Whether it is complete.
        done: bool,
    },
    /// A call of a tool.
    ToolCall {
        /// The item.
        id: ItemId,
        /// The kind of the tool.
        kind: ToolKind,
        /// Connects the call with its output.
        call_id: String,
        /// The namespace that the client put the tool into.
        namespace: Option<String>,
        /// The tool's name.
        name: String,
        /// The model's input for the tool: JSON arguments or free text, by the kind.
        input: String,
    },
    /// A web search by the vendor's own tool.
    WebSearch {
        /// The item.
        id: ItemId,
        /// The action; `None` while the search runs.
        action: Option<Value>,
    },
    /// What came before was compacted.
    Compaction {
        /// The item.
        id: ItemId,
        /// The compact form, sealed by the vendor.
        encrypted_content: String,
    },
}

impl OutputItem {
    /// The item's id.
    pub fn id(&self) -> &ItemId {
        match self {
            Self::Message { id, .. }
            | Self::Reasoning { id, .. }
            | Self::ToolCall { id, .. }
            | Self::WebSearch { id, .. }
            | Self::Compaction { id, .. } => id,
        }
    }
}

impl TurnOutput {
    /// Adds one event. Returns the index of the item it was about, if it was about one.
    pub fn push(&mut self, event: &TurnEvent) -> Option<usize> {
        match event {
            TurnEvent::MessageStarted { id } => Some(self.start(OutputItem::Message {
                id: id.clone(),
                text: String::new(),
                annotations: Vec::new(),
                refusal: String::new(),
                phase: None,
                done: false,
            })),
            TurnEvent::ReasoningStarted { id } => Some(self.start(OutputItem::Reasoning {
                id: id.clone(),
                summary: Vec::new(),
                text: Vec::new(),
                encrypted_content: None,
                done: false,
            })),
            TurnEvent::ToolCall { id, kind, call_id, namespace, name, input } => {
                Some(self.start(OutputItem::ToolCall {
                    id: id.clone(),
                    kind: *kind,
                    call_id: call_id.clone(),
                    namespace: namespace.clone(),
                    name: name.clone(),
                    input: input.clone(),
                }))
            }
            TurnEvent::WebSearchStarted { id } => {
                Some(self.start(OutputItem::WebSearch { id: id.clone(), action: None }))
            }
            TurnEvent::Compaction { id, encrypted_content } => Some(self.start(OutputItem::Compaction {
                id: id.clone(),
                encrypted_content: encrypted_content.clone(),
            })),
            TurnEvent::TextDelta { id, text: delta } => {
                let index = self.index_of(id)?;
                if let OutputItem::Message { text, .. } = &mut self.items[index] {
                    text.push_str(delta);
                }
                Some(index)
            }
            TurnEvent::Annotation { id, annotation } => {
                let index = self.index_of(id)?;
                if let OutputItem::Message { annotations, .. } = &mut self.items[index] {
                    annotations.push(annotation.clone());
                }
                Some(index)
            }
            TurnEvent::RefusalDelta { id, text: delta } => {
                let index = self.index_of(id)?;
                if let OutputItem::Message { refusal, .. } = &mut self.items[index] {
                    refusal.push_str(delta);
                }
                Some(index)
            }
            TurnEvent::MessageDone { id, phase: said } => {
                let index = self.index_of(id)?;
                if let OutputItem::Message { phase, done, .. } = &mut self.items[index] {
                    phase.clone_from(said);
                    *done = true;
                }
                Some(index)
            }
            TurnEvent::SummaryDelta { id, index: part, text: delta } => {
                let index = self.index_of(id)?;
                if let OutputItem::Reasoning { summary, .. } = &mut self.items[index] {
                    push_part(summary, *part, delta);
                }
                Some(index)
            }
            TurnEvent::ReasoningTextDelta { id, index: part, text: delta } => {
                let index = self.index_of(id)?;
                if let OutputItem::Reasoning { text, .. } = &mut self.items[index] {
                    push_part(text, *part, delta);
                }
                Some(index)
            }
            TurnEvent::ReasoningDone { id, encrypted_content: sealed } => {
                let index = self.index_of(id)?;
                if let OutputItem::Reasoning { encrypted_content, done, .. } = &mut self.items[index] {
                    encrypted_content.clone_from(sealed);
                    *done = true;
                }
                Some(index)
            }
            TurnEvent::WebSearchDone { id, action: did } => {
                let index = self.index_of(id)?;
                if let OutputItem::WebSearch { action, .. } = &mut self.items[index] {
                    *action = Some(did.clone());
                }
                Some(index)
            }
            TurnEvent::Compacted { items } => {
                self.compacted = Some(items.clone());
                None
            }
            TurnEvent::Usage(usage) => {
                self.usage = Some(*usage);
                None
            }
            TurnEvent::Finished(finish) => {
                self.end = Some(Ok(*finish));
                None
            }
            TurnEvent::Failed(error) => {
                self.end = Some(Err(error.clone()));
                None
            }
            TurnEvent::Started | TurnEvent::Retrying { .. } | TurnEvent::Withdrawn { .. } => None,
        }
    }

    /// Removes an item, from an answer that the client has not received yet: streamed text cannot be taken back.
    pub fn withdraw(&mut self, id: &ItemId) {
        self.items.retain(|item| item.id() != id);
    }

    /// The text of all messages, one after the other.
    pub fn text(&self) -> String {
        self.items
            .iter()
            .filter_map(|item| match item {
                OutputItem::Message { text, .. } => Some(text.as_str()),
                OutputItem::Reasoning { .. }
                | OutputItem::ToolCall { .. }
                | OutputItem::WebSearch { .. }
                | OutputItem::Compaction { .. } => None,
            })
            .collect()
    }

    fn start(&mut self, item: OutputItem) -> usize {
        self.items.push(item);
        self.items.len() - 1
    }

    /// The search starts at the end, because the item is nearly always the last.
    fn index_of(&self, id: &ItemId) -> Option<usize> {
        self.items.iter().rposition(|item| item.id() == id)
    }
}

fn push_part(parts: &mut Vec<String>, index: usize, delta: &str) {
    if parts.len() <= index {
        parts.resize(index + 1, String::new());
    }
    parts[index].push_str(delta);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ItemId {
        text.into()
    }

    #[test]
    fn the_fold_keeps_order_text_and_ends() {
        let mut output = TurnOutput::default();
        let events = [
            TurnEvent::Started,
            TurnEvent::ReasoningStarted { id: id("rs") },
            TurnEvent::SummaryDelta { id: id("rs"), index: 0, text: "a".into() },
            TurnEvent::SummaryDelta { id: id("rs"), index: 1, text: "b".into() },
            TurnEvent::ReasoningDone { id: id("rs"), encrypted_content: Some("x".into()) },
            TurnEvent::MessageStarted { id: id("msg") },
            TurnEvent::TextDelta { id: id("msg"), text: "h\u{e9}".into() },
            TurnEvent::TextDelta { id: id("msg"), text: "llo".into() },
            TurnEvent::MessageDone { id: id("msg"), phase: None },
            TurnEvent::Usage(Usage { input: 3, output: 2, ..Usage::default() }),
            TurnEvent::Finished(Finish::Stop),
        ];
        let touched: Vec<_> = events.iter().map(|event| output.push(event)).collect();
        assert_eq!(touched[1..9], [Some(0), Some(0), Some(0), Some(0), Some(1), Some(1), Some(1), Some(1)]);
        assert_eq!(output.text(), "h\u{e9}llo");
        assert_eq!(output.usage.map(|usage| usage.total()), Some(5));
        assert_eq!(output.end, Some(Ok(Finish::Stop)));
        let OutputItem::Reasoning { summary, encrypted_content, done, .. } = &output.items[0] else {
            panic!("the first item is reasoning")
        };
        assert_eq!(summary, &["a", "b"]);
        assert_eq!(encrypted_content.as_deref(), Some("x"));
        assert!(done);
    }

    #[test]
    fn what_is_withdrawn_leaves_no_trace() {
        let mut output = TurnOutput::default();
        for (message, text) in [("cut", "par"), ("whole", "part")] {
            output.push(&TurnEvent::MessageStarted { id: id(message) });
            output.push(&TurnEvent::TextDelta { id: id(message), text: text.into() });
        }
        output.withdraw(&id("cut"));
        assert_eq!((output.items.len(), output.text().as_str()), (1, "part"));
    }

    #[test]
    fn an_event_of_an_unknown_item_changes_nothing() {
        let mut output = TurnOutput::default();
        assert_eq!(output.push(&TurnEvent::TextDelta { id: id("nobody"), text: "x".into() }), None);
        assert_eq!(output, TurnOutput::default());
    }
}
