use proptest::prelude::*;
use serde_json::json;

use super::*;

const HASHER: Hasher = Hasher { seed: 7 };

fn message(role: Role, text: &str) -> Item {
    Item::Message { role, content: vec![Part::Text(text.to_owned())], phase: None }
}

fn answer(text: &str) -> OutputItem {
    OutputItem::Message {
        id: "msg_1".into(),
        text: text.to_owned(),
        annotations: Vec::new(),
        refusal: String::new(),
        phase: None,
        done: true,
    }
}

fn reasoning(sealed: &str) -> OutputItem {
    OutputItem::Reasoning {
        id: "rs_1".into(),
        summary: Vec::new(),
        text: Vec::new(),
        encrypted_content: Some(sealed.to_owned()),
        done: true,
    }
}

fn called(id: &str, input: &str) -> OutputItem {
    OutputItem::ToolCall {
        id: "fc_1".into(),
        kind: ToolKind::Function,
        call_id: id.to_owned(),
        namespace: None,
        name: "look".to_owned(),
        input: input.to_owned(),
    }
}

fn call_back(id: &str, input: &str) -> Item {
    Item::ToolCall {
        kind: ToolKind::Function,
        call_id: id.to_owned(),
        namespace: None,
        name: "look".to_owned(),
        input: input.to_owned(),
    }
}

fn thread(given: &[Item], said: &[OutputItem]) -> Lineage {
    let mut lineage = Lineage::default();
    HASHER.give(&mut lineage, given);
    assert!(HASHER.say(&mut lineage, said));
    lineage
}

fn continues(items: &[Item], thread: &Lineage) -> Option<usize> {
    HASHER.history(items).continues(thread)
}

#[test]
fn a_copy_may_lack_reasoning_differ_in_white_space_and_have_its_arguments_written_anew() {
    let asked = [message(Role::Developer, "Be brief."), message(Role::User, "hi")];
    let said = [reasoning("sealed"), answer("Hello.\n"), called("c1", r#"{"a":1,"b":[true,"x"]}"#)];
    let thread = thread(&asked, &said);
    let output = Item::ToolOutput {
        kind: ToolKind::Function,
        call_id: "c1".to_owned(),
        output: ToolOutput::Text("12".to_owned()),
    };
    let sealed = |content: &str| Item::Reasoning {
        id: Some("another".to_owned()),
        summary: vec!["thinks".to_owned()],
        encrypted_content: content.to_owned(),
    };
    let hello = message(Role::Assistant, "Hello.");
    let same = call_back("c1", "{ \"b\": [true, \"x\"],\n \"a\": 1 }");
    let request = |said: &[Item]| [&asked[..], said, std::slice::from_ref(&output)].concat();
    for (said, expected) in [
        (vec![hello.clone(), same.clone()], Some(4)),
        (vec![sealed("sealed"), hello.clone(), same.clone()], Some(5)),
        (vec![sealed("of another"), hello.clone(), same.clone()], None),
        (vec![hello.clone(), call_back("c1", r#"{"a":2,"b":[true,"x"]}"#)], None),
        (vec![hello.clone(), call_back("c2", r#"{"a":1,"b":[true,"x"]}"#)], None),
        (vec![message(Role::User, "Hello."), same.clone()], None),
        (vec![message(Role::Assistant, "Hello!"), same.clone()], None),
        (vec![same.clone(), hello.clone()], None),
        (vec![hello.clone()], None),
        (vec![], None),
    ] {
        assert_eq!(continues(&request(&said), &thread), expected, "{said:?}");
    }
    let spaced = [message(Role::Developer, "Be brief. "), asked[1].clone(), hello, same];
    assert_eq!(continues(&spaced, &thread), None, "what a client sent has to be the same");
}

#[test]
fn what_was_cut_or_refused_is_not_relied_on() {
    let mut lineage = Lineage::default();
    let OutputItem::Message { id, text, annotations, phase, .. } = answer("No.") else { panic!() };
    let refusal = OutputItem::Message {
        id: id.clone(),
        text: String::new(),
        annotations: annotations.clone(),
        refusal: "I will not.".to_owned(),
        phase: phase.clone(),
        done: true,
    };
    let cut = OutputItem::Message { id, text, annotations, refusal: String::new(), phase, done: false };
    for item in [refusal, cut, OutputItem::WebSearch { id: "ws".into(), action: None }] {
        assert!(!HASHER.say(&mut lineage, &[item]));
    }
}

#[test]
fn a_search_and_an_empty_message_may_be_missing() {
    let action = json!({"type": "search", "query": "rust"});
    let asked = [message(Role::User, "hi")];
    let search = OutputItem::WebSearch { id: "ws_1".into(), action: Some(action.clone()) };
    let thread = thread(&asked, &[search, answer(" "), answer("Found.")]);
    let raw = |action: &Value| Item::Raw(json!({"type": "web_search_call", "id": "x", "action": action}));
    let found = message(Role::Assistant, "Found.");
    let with = |said: &[Item]| [&asked[..], said].concat();
    assert_eq!(continues(&with(std::slice::from_ref(&found)), &thread), Some(2));
    assert_eq!(continues(&with(&[raw(&action), found.clone()]), &thread), Some(3));
    assert_eq!(continues(&with(&[raw(&json!({"type": "search", "query": "go"})), found]), &thread), None);
}

fn text_of() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "a", "b", "ab", " a"]).prop_map(str::to_owned)
}

fn item() -> impl Strategy<Value = Item> {
    let role = prop::sample::select(vec![Role::Developer, Role::User, Role::Assistant]);
    let parts = prop::collection::vec(text_of().prop_map(Part::Text), 0..3);
    prop_oneof![
        (role, parts).prop_map(|(role, content)| Item::Message { role, content, phase: None }),
        (text_of(), text_of()).prop_map(|(id, input)| call_back(&id, &input)),
        (text_of(), text_of()).prop_map(|(call_id, output)| Item::ToolOutput {
            kind: ToolKind::Function,
            call_id,
            output: ToolOutput::Text(output),
        }),
        text_of().prop_map(|sealed| Item::Reasoning { id: None, summary: vec![], encrypted_content: sealed }),
        text_of().prop_map(|text| Item::Raw(json!({"type": text}))),
    ]
}

proptest! {
    #[test]
    fn a_transcript_continues_exactly_what_it_begins_with(
        items in prop::collection::vec(item(), 0..6),
        others in prop::collection::vec(item(), 0..6),
        length in 0..6usize,
    ) {
        let begun = &items[..length.min(items.len())];
        prop_assert_eq!(continues(&items, &thread(begun, &[])), Some(begun.len()));
        let expected = items.starts_with(&others).then_some(others.len());
        prop_assert_eq!(continues(&items, &thread(&others, &[])), expected);
    }

    #[test]
    fn arguments_mean_the_same_however_they_are_written(text in "[a-zé\\\\\"\u{1f600} ]{0,8}", number in any::<i32>()) {
        let value = json!({"text": text, "list": [number, null, {"b": false, "a": 1.5}]});
        let compact = value.to_string();
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        let kind = ToolKind::Function;
        prop_assert_eq!(meant(1, kind, &compact), meant(1, kind, &pretty));
        prop_assert_ne!(meant(1, kind, &compact), meant(1, ToolKind::Custom, &compact));
        prop_assert_ne!(meant(1, kind, &compact), meant(2, kind, &compact));
    }
}

#[test]
fn specs_are_told_apart_by_everything_in_them() {
    use crate::turn::{Effort, ServiceTier, Summary, Tool, Verbosity};
    let tool = |name: &str, definition: Value| {
        std::sync::Arc::new(Tool {
            kind: ToolKind::Function,
            namespace: None,
            name: name.to_owned(),
            definition,
        })
    };
    let with = |change: &dyn Fn(&mut ThreadSpec)| {
        let mut spec = ThreadSpec::new("m");
        change(&mut spec);
        HASHER.spec(&spec)
    };
    let hashes = [
        with(&|_| {}),
        with(&|spec| spec.model = "n".to_owned()),
        with(&|spec| spec.base_instructions = Some(String::new())),
        with(&|spec| spec.base_instructions = Some("Be brief.".to_owned())),
        with(&|spec| spec.effort = Some(Effort::Low)),
        with(&|spec| spec.summary = Some(Summary::Auto)),
        with(&|spec| spec.verbosity = Some(Verbosity::Low)),
        with(&|spec| spec.service_tier = Some(ServiceTier::Flex)),
        with(&|spec| spec.web_search = true),
        with(&|spec| spec.tools = vec![tool("a", json!({"a": 1, "b": 2}))]),
        with(&|spec| spec.tools = vec![tool("a", json!({"b": 2, "a": 1}))]),
        with(&|spec| spec.tools = vec![tool("b", json!({"a": 1, "b": 2}))]),
        with(&|spec| spec.tools = vec![tool("a", json!({})), tool("b", json!({}))]),
    ];
    let different: std::collections::HashSet<_> = hashes.iter().collect();
    assert_eq!(different.len(), hashes.len());
    assert_eq!(with(&|_| {}), with(&|_| {}));
}
