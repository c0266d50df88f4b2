//! Whether a transcript continues what a thread has, told by hashes: nothing of either's texts is kept.
//!
//! A client sends back what the model said, and not to the byte: reasoning and searches may be missing from its copy,
//! white space at the ends of a message may differ, ids of items differ, the arguments of a call may have been written
//! anew. All of that still continues the thread, which has what the model said itself. What a client has sent has to be
//! the same.

use std::hash::{BuildHasher as _, Hasher as _};

use foldhash::quality::FixedState;
use serde_json::Value;

use super::{Item, OutputItem, Part, Role, ThreadSpec, ToolKind, ToolOutput};

/// What a thread has, item by item. It takes 32 bytes for an item, however long that is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lineage(Vec<Mark>);

/// One item of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// The client sent it.
    Given(Hash),
    /// The model said it, and a client has to have it.
    Said(Hash),
    /// The model called a tool.
    Called { call: Hash, written: Hash, meant: Hash },
    /// The model said it, and a client need not have it.
    Aside(Hash),
}

type Hash = u64;

/// A transcript that is compared with threads. What is computed for one is there for the next.
#[derive(Debug)]
pub struct History<'a> {
    items: &'a [Item],
    hashes: Vec<Hashes>,
    seed: u64,
}

/// What was computed of one item; 0 where that was not needed yet.
#[derive(Debug, Clone, Copy, Default)]
struct Hashes {
    /// Of all that the client sent.
    given: Hash,
    /// Of what a client sends back of what the model said.
    said: Hash,
    /// Of a call's arguments as they are written.
    written: Hash,
}

/// The value in `place`, computed the first time.
fn once(place: &mut Hash, compute: impl FnOnce() -> Hash) -> Hash {
    if *place == 0 {
        *place = compute();
    }
    *place
}

/// Makes [`Lineage`]s and [`History`]s that can be compared. Its seed keeps others from making two texts of one hash.
#[derive(Debug, Clone, Copy)]
pub struct Hasher {
    seed: u64,
}

impl Hasher {
    /// A hasher; `seed` is to be random.
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// What tells a thread of this kind from others. Equal specs have equal hashes.
    pub fn spec(&self, spec: &ThreadSpec) -> u64 {
        let ThreadSpec {
            model,
            base_instructions,
            tools,
            web_search,
            effort,
            summary,
            verbosity,
            service_tier,
        } = spec;
        let mut hash = Growing::new(self.seed, Of::Spec);
        hash.add(model);
        hash.add_any(base_instructions.as_deref());
        for setting in [
            effort.map(|effort| effort.as_str()),
            summary.map(|summary| summary.as_str()),
            verbosity.map(|verbosity| verbosity.as_str()),
            service_tier.map(|tier| tier.as_str()),
            web_search.then_some("web search"),
        ] {
            hash.add_any(setting);
        }
        for tool in tools {
            hash.0 ^= 1 << tool.kind as u32;
            hash.add_any(tool.namespace_name());
            hash.add_any(tool.namespace.as_deref().map(|namespace| namespace.description.as_str()));
            hash.add(&tool.name);
            hash.add_value(&tool.definition);
        }
        hash.0
    }

    /// A transcript.
    pub fn history<'a>(&self, items: &'a [Item]) -> History<'a> {
        History { items, hashes: vec![Hashes::default(); items.len()], seed: self.seed }
    }

    /// Adds what a client has sent to what its thread has.
    pub fn give(&self, lineage: &mut Lineage, items: &[Item]) {
        lineage.0.extend(items.iter().map(|item| Mark::Given(given(self.seed, item))));
    }

    /// Adds what the model has said. Returns whether a client can be relied on to send it back: not a refusal, and
    /// nothing that was cut short.
    #[must_use]
    pub fn say(&self, lineage: &mut Lineage, items: &[OutputItem]) -> bool {
        let mut whole = true;
        for item in items {
            let mark = match item {
                OutputItem::Message { text, refusal, done, .. } => {
                    whole &= *done && refusal.is_empty();
                    let text = text.trim();
                    // No client keeps an empty message.
                    let hash = said(self.seed, [text]);
                    if text.is_empty() { Mark::Aside(hash) } else { Mark::Said(hash) }
                }
                OutputItem::Reasoning { encrypted_content, done, .. } => {
                    whole &= *done;
                    Mark::Aside(sealed(self.seed, encrypted_content.as_deref().unwrap_or_default()))
                }
                OutputItem::ToolCall { kind, call_id, namespace, name, input, .. } => Mark::Called {
                    call: call(self.seed, *kind, call_id, namespace.as_deref(), name),
                    written: text(self.seed, input),
                    meant: meant(self.seed, *kind, input),
                },
                // It is the answer's only for the client: the thread has it in its transcript.
                OutputItem::Compaction { .. } => continue,
                OutputItem::WebSearch { action, .. } => {
                    whole &= action.is_some();
                    Mark::Aside(search(self.seed, action.as_ref().unwrap_or(&Value::Null)))
                }
            };
            lineage.0.push(mark);
        }
        whole
    }
}

impl Lineage {
    /// How many items the thread has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the thread has nothing yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl History<'_> {
    /// If this transcript begins with everything that the thread has: how many of its items that is.
    pub fn continues(&mut self, thread: &Lineage) -> Option<usize> {
        let mut at = 0;
        for mark in &thread.0 {
            let fits = at < self.items.len() && self.fits(at, *mark);
            match (fits, mark) {
                (true, _) => at += 1,
                (false, Mark::Aside(_)) => {}
                (false, Mark::Given(_) | Mark::Said(_) | Mark::Called { .. }) => return None,
            }
        }
        Some(at)
    }

    fn fits(&mut self, at: usize, mark: Mark) -> bool {
        let (item, hashes, seed) = (&self.items[at], &mut self.hashes[at], self.seed);
        match mark {
            Mark::Given(hash) => once(&mut hashes.given, || given(seed, item)) == hash,
            Mark::Said(hash) | Mark::Aside(hash) => once(&mut hashes.said, || said_back(seed, item)) == hash,
            Mark::Called { call, written, meant: meaning } => {
                let Item::ToolCall { kind, input, .. } = item else { return false };
                once(&mut hashes.said, || said_back(seed, item)) == call
                    && (once(&mut hashes.written, || text(seed, input)) == written
                        || meant(seed, *kind, input) == meaning)
            }
        }
    }
}

/// What kind of item a hash is of, so that no two kinds have one hash.
#[derive(Clone, Copy)]
enum Of {
    Message,
    Reasoning,
    Call,
    Compaction,
    Output,
    Raw,
    SaidMessage,
    Search,
    Text,
    Meaning,
    Spec,
}

/// A hash that grows by texts, each told apart from the next.
#[derive(Clone, Copy)]
struct Growing(Hash);

impl Growing {
    fn new(seed: u64, of: Of) -> Self {
        Self(seed ^ (of as Hash) << 32)
    }

    fn add(&mut self, text: &str) {
        let mut hasher = FixedState::with_seed(self.0).build_hasher();
        hasher.write(text.as_bytes());
        self.0 = hasher.finish();
    }

    /// A text that may be missing, which is cheaper than an empty one.
    fn add_any(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.add(text),
            None => self.0 = self.0.rotate_left(1),
        }
    }

    /// What follows is another thing than the text that could stand there.
    fn mark(&mut self) {
        self.0 = !self.0;
    }

    /// A value as it is written, members in their order.
    fn add_value(&mut self, value: &Value) {
        self.add_json(value, false);
    }

    /// A value whatever order its members have.
    fn add_meaning(&mut self, value: &Value) {
        self.add_json(value, true);
    }

    fn add_json(&mut self, value: &Value, sorted: bool) {
        match value {
            Value::Null => self.add("null"),
            Value::Bool(true) => self.add("true"),
            Value::Bool(false) => self.add("false"),
            Value::Number(number) => {
                self.mark();
                self.add(&number.to_string());
            }
            Value::String(text) => {
                self.add("string");
                self.add(text);
            }
            Value::Array(values) => {
                self.add("[");
                values.iter().for_each(|value| self.add_json(value, sorted));
                self.add("]");
            }
            Value::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                if sorted {
                    members.sort_unstable_by_key(|(name, _)| *name);
                }
                self.add("{");
                for (name, value) in members {
                    self.add(name);
                    self.add_json(value, sorted);
                }
                self.add("}");
            }
        }
    }

    fn add_part(&mut self, part: &Part) {
        match part {
            Part::Text(text) => self.add(text),
            Part::Image(image) => {
                self.mark();
                self.add(&image.url);
                self.add_any(image.detail.as_deref());
            }
        }
    }
}

fn given(seed: u64, item: &Item) -> Hash {
    match item {
        Item::Message { role, content, phase } => {
            let mut hash = Growing::new(seed, Of::Message);
            hash.0 ^= 1 << *role as u32;
            hash.add_any(phase.as_deref());
            content.iter().for_each(|part| hash.add_part(part));
            hash.0
        }
        Item::Reasoning { id, summary, encrypted_content } => {
            let mut hash = Growing::new(seed, Of::Reasoning);
            hash.add_any(id.as_deref());
            hash.add(encrypted_content);
            summary.iter().for_each(|part| hash.add(part));
            hash.0
        }
        Item::ToolCall { kind, call_id, namespace, name, input } => {
            let mut hash = Growing(call(seed, *kind, call_id, namespace.as_deref(), name));
            hash.add(input);
            hash.0
        }
        Item::ToolOutput { kind, call_id, output } => {
            let mut hash = Growing::new(seed, Of::Output);
            hash.0 ^= 1 << *kind as u32;
            hash.add(call_id);
            match output {
                ToolOutput::Text(text) => hash.add(text),
                ToolOutput::Parts(parts) => {
                    hash.mark();
                    parts.iter().for_each(|part| hash.add_part(part));
                }
            }
            hash.0
        }
        // It stands in the thread as Codex has made it, and comes back as the client was shown it.
        Item::Raw(value) if value["type"] == "compaction" => {
            let mut hash = Growing::new(seed, Of::Compaction);
            hash.add(value["encrypted_content"].as_str().unwrap_or_default());
            hash.0
        }
        Item::Raw(value) => {
            let mut hash = Growing::new(seed, Of::Raw);
            hash.add(&value.to_string());
            hash.0
        }
    }
}

/// What a client sends back of what the model said.
fn said_back(seed: u64, item: &Item) -> Hash {
    match item {
        Item::Message { role: Role::Assistant, content, .. } => {
            let texts =
                content.iter().map(|part| if let Part::Text(text) = part { text.as_str() } else { "" });
            match content.as_slice() {
                [Part::Text(text)] => said(seed, [text.trim()]),
                _ => said(seed, [texts.collect::<String>().trim()]),
            }
        }
        Item::Reasoning { encrypted_content, .. } => sealed(seed, encrypted_content),
        Item::ToolCall { kind, call_id, namespace, name, .. } => {
            call(seed, *kind, call_id, namespace.as_deref(), name)
        }
        Item::Raw(value) if value["type"] == "web_search_call" => search(seed, &value["action"]),
        Item::Message { .. } | Item::ToolOutput { .. } | Item::Raw(_) => 0,
    }
}

fn said<'a>(seed: u64, texts: impl IntoIterator<Item = &'a str>) -> Hash {
    let mut hash = Growing::new(seed, Of::SaidMessage);
    texts.into_iter().for_each(|text| hash.add(text));
    hash.0
}

fn sealed(seed: u64, content: &str) -> Hash {
    let mut hash = Growing::new(seed, Of::Reasoning);
    hash.add(content);
    hash.0
}

fn search(seed: u64, action: &Value) -> Hash {
    let mut hash = Growing::new(seed, Of::Search);
    hash.add_meaning(action);
    hash.0
}

fn call(seed: u64, kind: ToolKind, call_id: &str, namespace: Option<&str>, name: &str) -> Hash {
    let mut hash = Growing::new(seed, Of::Call);
    hash.0 ^= 1 << kind as u32;
    hash.add(call_id);
    hash.add_any(namespace);
    hash.add(name);
    hash.0
}

fn text(seed: u64, text: &str) -> Hash {
    let mut hash = Growing::new(seed, Of::Text);
    hash.add(text);
    hash.0
}

/// Of arguments, whatever spaces and in whatever order they are written. What is no JSON means what is written.
fn meant(seed: u64, kind: ToolKind, input: &str) -> Hash {
    match (kind, serde_json::from_str::<Value>(input)) {
        (ToolKind::Function, Ok(value)) => {
            let mut hash = Growing::new(seed, Of::Meaning);
            hash.add_meaning(&value);
            hash.0
        }
        (ToolKind::Function, Err(_)) | (ToolKind::Custom, _) => text(seed, input),
    }
}

#[cfg(test)]
mod tests;
