//! Random conversations of two clients: with threads that are kept, the model sees the same as with a new thread for each
//! request, and never anything of the other key.

use proptest::prelude::*;
use protocol::turn::Image;

use super::*;

/// What happens next. Numbers choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    /// A client starts a chat, with one of two specs.
    Begin { owner: bool, spec: bool },
    /// A chat goes on with a message; a picture may be in it.
    Say { chat: usize, picture: bool },
    /// A client edits one of its items, and sends the chat again.
    Edit { chat: usize, item: usize },
    /// A client takes the last answer back, and sends the chat again.
    Regenerate { chat: usize },
    /// A second client goes on with a copy of the chat, under the key of the first or another.
    Copy { chat: usize, same_owner: bool },
    /// A request whose answer the client does not get.
    Lose { chat: usize },
    /// Every thread is closed, as when a worker is lost.
    Drop,
}

/// How the model answers.
#[derive(Debug, Clone)]
struct Reply {
    reasons: bool,
    calls: usize,
    text: String,
    /// Whether the client keeps the reasoning.
    keeps_reasoning: bool,
    /// Whether the client sends the outputs of all calls, and nothing else.
    is_exact: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let chat = 0..8usize;
    prop_oneof![
        2 => (any::<bool>(), any::<bool>()).prop_map(|(owner, spec)| Step::Begin { owner, spec }),
        6 => (chat.clone(), prop::bool::weighted(0.1)).prop_map(|(chat, picture)| Step::Say { chat, picture }),
        1 => (chat.clone(), 0..9usize).prop_map(|(chat, item)| Step::Edit { chat, item }),
        1 => chat.clone().prop_map(|chat| Step::Regenerate { chat }),
        1 => (chat.clone(), any::<bool>()).prop_map(|(chat, same_owner)| Step::Copy { chat, same_owner }),
        1 => chat.prop_map(|chat| Step::Lose { chat }),
        1 => Just(Step::Drop),
    ]
}

fn reply() -> impl Strategy<Value = Reply> {
    // Few texts, so that chats often look alike.
    let text = prop::sample::select(vec!["", "ok", " ok\n", "no"]).prop_map(str::to_owned);
    let weighted = prop::bool::weighted;
    (any::<bool>(), 0..3usize, text, any::<bool>(), weighted(0.8)).prop_map(
        |(reasons, calls, text, keeps_reasoning, is_exact)| Reply {
            reasons,
            calls,
            text,
            keeps_reasoning,
            is_exact,
        },
    )
}

#[derive(Debug, Clone)]
struct Chat {
    owner: bool,
    spec: bool,
    /// The client's copy.
    items: Vec<Item>,
}

/// What a thread of Codex has, item by item, and whose they are.
#[derive(Debug)]
struct Thread {
    owner: bool,
    content: Vec<Item>,
}

struct World {
    threads: Threads<Thread>,
    chats: Vec<Chat>,
    /// Makes ids and pictures unlike any others.
    next: usize,
    taken: usize,
}

/// What the model sees: reasoning that a client may leave out is left out, and so are the ends of texts.
fn seen(items: &[Item]) -> Vec<Item> {
    let is_kept = |item: &&Item| !matches!(item, Item::Reasoning { .. });
    let plain = |item: &Item| match item {
        Item::Message { role: Role::Assistant, content, phase } => {
            let trimmed = |part: &Part| match part {
                Part::Text(text) => Part::Text(text.trim().to_owned()),
                Part::Image(_) => part.clone(),
            };
            let content = content.iter().map(trimmed).collect();
            Item::Message { role: Role::Assistant, content, phase: phase.clone() }
        }
        Item::Message { .. }
        | Item::Reasoning { .. }
        | Item::ToolCall { .. }
        | Item::ToolOutput { .. }
        | Item::Raw(_) => item.clone(),
    };
    let is_empty = |item: &Item| {
        matches!(item, Item::Message { role: Role::Assistant, content, .. }
            if matches!(content.as_slice(), [Part::Text(text)] if text.is_empty()))
    };
    items.iter().filter(is_kept).map(plain).filter(|item| !is_empty(item)).collect()
}

impl World {
    fn kind(chat: &Chat) -> Kind {
        kind(if chat.owner { "one" } else { "two" }, u64::from(chat.spec))
    }

    /// Sends the chat. The client gets the answer unless it `is_lost`.
    fn send(&mut self, at: usize, reply: &Reply, is_lost: bool) -> Result<(), TestCaseError> {
        let chat = self.chats[at].clone();
        let kind = Self::kind(&chat);
        let items = chat.items.clone();
        let found = self.threads.take(&kind, &mut HASHER.history(&items), &items, |_| true);
        let (mut thread, mut lineage, known) = match found {
            Some(Found { handle, lineage, known, .. }) => {
                self.taken += 1;
                (handle, lineage, known)
            }
            None => (Thread { owner: chat.owner, content: Vec::new() }, Lineage::default(), 0),
        };
        prop_assert_eq!(thread.owner, chat.owner, "a thread of another key");
        thread.content.extend(items[known..].iter().cloned());
        HASHER.give(&mut lineage, &items[known..]);
        prop_assert_eq!(seen(&thread.content), seen(&items));
        if is_lost {
            return Ok(());
        }
        let mut answer = Vec::new();
        if reply.reasons {
            self.next += 1;
            answer.push(OutputItem::Reasoning {
                id: "rs".into(),
                summary: Vec::new(),
                text: Vec::new(),
                encrypted_content: Some(format!("sealed {}", self.next)),
                done: true,
            });
        }
        answer.push(OutputItem::Message {
            id: "msg".into(),
            text: reply.text.clone(),
            annotations: Vec::new(),
            refusal: String::new(),
            phase: None,
            done: true,
        });
        let mut calls = Vec::new();
        for _ in 0..reply.calls {
            self.next += 1;
            calls.push(format!("call_{}", self.next));
            answer.push(OutputItem::ToolCall {
                id: "fc".into(),
                kind: ToolKind::Function,
                call_id: format!("call_{}", self.next),
                namespace: None,
                name: "look".to_owned(),
                input: r#"{"a": 1}"#.to_owned(),
            });
        }
        let in_thread: Vec<_> = answer.iter().map(as_item).collect();
        thread.content.extend(in_thread.iter().cloned());
        let chat = &mut self.chats[at];
        for item in in_thread {
            match item {
                Item::Reasoning { .. } if !reply.keeps_reasoning => {}
                Item::Message { ref content, .. } if content == &[Part::Text(String::new())] => {}
                Item::Message { role, content, phase } => {
                    let trimmed =
                        content.iter().filter_map(Part::text).map(|text| Part::Text(text.trim().to_owned()));
                    chat.items.push(Item::Message { role, content: trimmed.collect(), phase });
                }
                item @ (Item::Reasoning { .. }
                | Item::ToolCall { .. }
                | Item::ToolOutput { .. }
                | Item::Raw(_)) => {
                    chat.items.push(item);
                }
            }
        }
        let outputs = calls.iter().map(|call| Item::ToolOutput {
            kind: ToolKind::Function,
            call_id: call.clone(),
            output: ToolOutput::Text("sunny".to_owned()),
        });
        if reply.is_exact {
            chat.items.extend(outputs);
        } else {
            // The first call stays without its output.
            chat.items.extend(outputs.skip(1));
            chat.items.push(said(Role::User, "never mind"));
        }
        if HASHER.say(&mut lineage, &answer) {
            let since = Instant::now();
            drop(self.threads.keep(Kept { kind, lineage, calls, since, handle: thread }));
        }
        Ok(())
    }

    fn take(&mut self, step: &Step, reply: &Reply) -> Result<(), TestCaseError> {
        let count = self.chats.len().max(1);
        match *step {
            Step::Begin { owner, spec } => {
                self.chats.push(Chat { owner, spec, items: vec![said(Role::User, "hi")] });
                self.send(self.chats.len() - 1, reply, false)
            }
            Step::Drop => {
                drop(self.threads.sweep(Instant::now(), |_, _| true));
                Ok(())
            }
            _ if self.chats.is_empty() => Ok(()),
            Step::Say { chat, picture } => {
                let mut item = said(Role::User, "and?");
                if let (true, Item::Message { content, .. }) = (picture, &mut item) {
                    self.next += 1;
                    let url = format!("data:image/png;base64,{}", self.next).into();
                    content.push(Part::Image(Image {
                        url,
                        detail: None,
                        load: protocol::turn::ImageLoad::default(),
                    }));
                }
                self.chats[chat % count].items.push(item);
                self.send(chat % count, reply, false)
            }
            Step::Edit { chat, item } => {
                let items = &mut self.chats[chat % count].items;
                let at = item % items.len();
                items[at] = said(Role::User, "edited");
                self.send(chat % count, reply, false)
            }
            Step::Regenerate { chat } => {
                let items = &mut self.chats[chat % count].items;
                if items.len() > 1 {
                    items.pop();
                }
                self.send(chat % count, reply, false)
            }
            Step::Copy { chat, same_owner } => {
                let mut copy = self.chats[chat % count].clone();
                copy.owner ^= !same_owner;
                copy.items.push(said(Role::User, "a copy"));
                self.chats.push(copy);
                self.send(self.chats.len() - 1, reply, false)
            }
            Step::Lose { chat } => self.send(chat % count, reply, true),
        }
    }
}

/// An item of an answer as it stands in the thread.
fn as_item(item: &OutputItem) -> Item {
    match item {
        OutputItem::Message { text, .. } => said(Role::Assistant, text),
        OutputItem::Reasoning { encrypted_content, .. } => Item::Reasoning {
            id: None,
            summary: Vec::new(),
            encrypted_content: encrypted_content.clone().unwrap_or_default(),
        },
        OutputItem::ToolCall { kind, call_id, namespace, name, input, .. } => Item::ToolCall {
            kind: *kind,
            call_id: call_id.clone(),
            namespace: namespace.clone(),
            name: name.clone(),
            input: input.clone(),
        },
        OutputItem::WebSearch { action, .. } => Item::Raw(action.clone().unwrap_or_default()),
        OutputItem::Compaction { encrypted_content, .. } => Item::Raw(encrypted_content.as_str().into()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_model_sees_the_same_with_and_without_threads_that_are_kept(
        steps in prop::collection::vec((step(), reply()), 1..24),
    ) {
        let limits = Limits { threads: 6, idle: Duration::from_secs(60), warm: 1 };
        let mut world = World { threads: Threads::new(limits), chats: Vec::new(), next: 0, taken: 0 };
        for (step, reply) in &steps {
            world.take(step, reply)?;
        }
    }
}

#[test]
fn a_plain_chat_stays_on_its_thread_in_this_world() {
    let limits = Limits { threads: 6, idle: Duration::from_secs(60), warm: 1 };
    let mut world = World { threads: Threads::new(limits), chats: Vec::new(), next: 0, taken: 0 };
    let reply =
        Reply { reasons: true, calls: 2, text: " ok\n".to_owned(), keeps_reasoning: false, is_exact: true };
    world.take(&Step::Begin { owner: true, spec: true }, &reply).unwrap();
    for _ in 0..5 {
        let quiet = Reply { calls: 0, ..reply.clone() };
        world.send(0, &quiet, false).unwrap();
        world.take(&Step::Say { chat: 0, picture: true }, &reply).unwrap();
    }
    assert_eq!(world.taken, 10);
}
