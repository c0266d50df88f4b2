use protocol::turn::lineage::Hasher;
use protocol::turn::{OutputItem, Part, Role, ToolOutput};

use super::*;

mod conversations;

const HASHER: Hasher = Hasher::new(1);

fn said(role: Role, text: &str) -> Item {
    Item::Message { role, content: vec![Part::Text(text.to_owned())], phase: None }
}

/// A chat: a question, its answer, a question, …
fn chat(texts: &str) -> Vec<Item> {
    let roles = [Role::User, Role::Assistant].into_iter().cycle();
    texts.split_whitespace().zip(roles).map(|(text, role)| said(role, text)).collect()
}

fn lineage(texts: &str) -> Lineage {
    let mut lineage = Lineage::default();
    for item in chat(texts) {
        let Item::Message { role, content, .. } = &item else { panic!() };
        match (role, content.as_slice()) {
            (Role::Assistant, [Part::Text(text)]) => {
                let answer = OutputItem::Message {
                    id: "msg".into(),
                    text: text.clone(),
                    annotations: Vec::new(),
                    refusal: String::new(),
                    phase: None,
                    done: true,
                };
                assert!(HASHER.say(&mut lineage, &[answer]));
            }
            _ => HASHER.give(&mut lineage, &[item]),
        }
    }
    lineage
}

fn kind(owner: &str, spec: u64) -> Kind {
    Kind { owner: owner.to_owned(), spec }
}

struct Scene {
    threads: Threads<&'static str>,
    start: Instant,
}

impl Scene {
    fn new(threads: usize) -> Self {
        let limits = Limits { threads, idle: Duration::from_secs(60), warm: 1 };
        Self { threads: Threads::new(limits), start: Instant::now() }
    }

    fn at(&self, seconds: u64) -> Instant {
        self.start + Duration::from_secs(seconds)
    }

    fn keep(&mut self, handle: &'static str, owner: &str, texts: &str) -> Vec<&'static str> {
        let now = self.start;
        let (kind, lineage) = (kind(owner, 1), lineage(texts));
        self.threads.keep(Kept { kind, lineage, calls: Vec::new(), since: now, handle })
    }

    fn take(&mut self, owner: &str, texts: &str) -> Option<(&'static str, usize)> {
        let items = chat(texts);
        let found = self.threads.take(&kind(owner, 1), &mut HASHER.history(&items), &items, |_| true)?;
        Some((found.handle, found.known))
    }
}

#[test]
fn the_thread_that_has_most_is_taken_and_only_once() {
    let mut scene = Scene::new(9);
    assert!(scene.keep("short", "key", "hi hello").is_empty());
    assert!(scene.keep("long", "key", "hi hello how fine").is_empty());
    assert!(scene.keep("other", "key", "hi hey").is_empty());
    assert_eq!(scene.take("key", "hi hello how fine and"), Some(("long", 4)));
    assert_eq!(scene.take("key", "hi hello how fine and"), Some(("short", 2)));
    assert_eq!(scene.take("key", "hi hello how fine and"), None);
    assert_eq!(scene.take("key", "hi hey you"), Some(("other", 2)));
    assert!(scene.threads.is_empty());
}

#[test]
fn nobody_gets_a_thread_of_another_key_or_spec_or_one_that_is_gone() {
    let mut scene = Scene::new(9);
    assert!(scene.keep("a", "key", "hi hello").is_empty());
    assert_eq!(scene.take("another", "hi hello you"), None);
    let items = chat("hi hello you");
    let mut history = HASHER.history(&items);
    assert_eq!(scene.threads.take(&kind("key", 2), &mut history, &items, |_| true), None);
    assert_eq!(scene.threads.take(&kind("key", 1), &mut history, &items, |handle| *handle != "a"), None);
    assert_eq!(scene.take("key", "hi hello you"), Some(("a", 2)));
}

#[test]
fn those_used_least_recently_go_first_and_each_after_its_time() {
    let mut scene = Scene::new(2);
    assert!(scene.keep("a", "key", "a b").is_empty());
    assert!(scene.keep("b", "key", "c d").is_empty());
    assert_eq!(scene.keep("c", "key", "e f"), ["a"]);
    assert_eq!(scene.threads.next_sweep(), Some(scene.at(60)));
    assert!(scene.threads.sweep(scene.at(59), |_, _| false).is_empty());
    assert_eq!(scene.threads.sweep(scene.at(59), |_, handle| *handle == "b"), ["b"]);
    assert_eq!(scene.threads.sweep(scene.at(60), |_, _| false), ["c"]);
    assert_eq!((scene.threads.len(), scene.threads.next_sweep()), (0, None));
    let mut off = Scene::new(0);
    assert_eq!(off.keep("a", "key", "a b"), ["a"]);
}

/// A transcript whose last item is a call with this id, and the call's output.
fn tool_chat(outputs: &[(&str, ToolOutput)]) -> Vec<Item> {
    let call = |id: &str| Item::ToolCall {
        kind: ToolKind::Function,
        call_id: id.to_owned(),
        namespace: None,
        name: "look".to_owned(),
        input: "{}".to_owned(),
    };
    let output = |(id, output): &(&str, ToolOutput)| Item::ToolOutput {
        kind: ToolKind::Function,
        call_id: (*id).to_owned(),
        output: output.clone(),
    };
    let mut items = chat("weather?");
    items.extend(["one", "two"].map(call));
    items.extend(outputs.iter().map(output));
    items
}

#[test]
fn a_parked_turn_goes_on_with_exactly_the_outputs_of_its_calls() {
    let text = |text: &str| ToolOutput::Text(text.to_owned());
    let part = |text: &str| Part::Text(text.to_owned());
    let parked = || {
        let mut scene = Scene::new(9);
        let mut lineage = Lineage::default();
        HASHER.give(&mut lineage, &chat("weather?"));
        let call = |id: &str| OutputItem::ToolCall {
            id: "fc".into(),
            kind: ToolKind::Function,
            call_id: id.to_owned(),
            namespace: None,
            name: "look".to_owned(),
            input: "{}".to_owned(),
        };
        assert!(HASHER.say(&mut lineage, &["one", "two"].map(call)));
        let calls = ["one", "two"].map(str::to_owned).to_vec();
        let (kind, since) = (kind("key", 1), scene.start);
        assert!(scene.threads.keep(Kept { kind, lineage, calls, since, handle: "t" }).is_empty());
        scene
    };
    let taken = |items: &[Item]| {
        let mut scene = parked();
        let found = scene.threads.take(&kind("key", 1), &mut HASHER.history(items), items, |_| true);
        found.map(|found| (found.source, found.known))
    };
    let exact = tool_chat(&[("one", text("sunny")), ("two", text(""))]);
    assert_eq!(taken(&exact), Some((ThreadSource::Parked, 3)));
    let parts = ToolOutput::Parts(vec![part("a"), part("b")]);
    assert_eq!(taken(&tool_chat(&[("one", parts), ("two", text("b"))])), Some((ThreadSource::Parked, 3)));
    let more = [exact, chat("thanks")].concat();
    let single = ToolOutput::Parts(vec![part("a")]);
    for other in [
        tool_chat(&[]),
        tool_chat(&[("one", text("sunny"))]),
        tool_chat(&[("two", text("b")), ("one", text("a"))]),
        tool_chat(&[("one", text("a")), ("three", text("b"))]),
        tool_chat(&[("one", single), ("two", text("b"))]),
        more,
    ] {
        assert_eq!(taken(&other), None, "{other:?}");
    }
    let mut scene = parked();
    assert!(scene.threads.sweep(scene.at(59), |_, _| false).is_empty());
    assert_eq!(scene.threads.sweep(scene.at(60), |_, _| false), ["t"]);
}

#[test]
fn a_thread_that_was_started_ahead_takes_any_chat_of_its_kind_and_few_are_kept() {
    let mut scene = Scene::new(9);
    let warm = |handle, spec| Kept {
        kind: kind("key", spec),
        lineage: Lineage::default(),
        calls: Vec::new(),
        since: Instant::now(),
        handle,
    };
    assert!(scene.threads.keep(warm("first", 1)).is_empty());
    assert!(scene.threads.is_warm(&kind("key", 1)) && !scene.threads.is_warm(&kind("other", 1)));
    assert!(scene.keep("idle", "key", "hi hello").is_empty());
    let items = chat("good morning there");
    let found = scene.threads.take(&kind("key", 1), &mut HASHER.history(&items), &items, |_| true).unwrap();
    assert_eq!((found.handle, found.source, found.known), ("first", ThreadSource::Warm, 0));
    assert!(scene.threads.keep(warm("second", 1)).is_empty());
    assert_eq!(scene.threads.keep(warm("third", 2)), ["second"], "one is enough");
    assert_eq!(scene.take("key", "hi hello you"), Some(("idle", 2)), "the one that has most");
}
