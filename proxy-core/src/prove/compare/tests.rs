use serde_json::json;

use super::*;

fn said(text: &str) -> Value {
    json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]})
}

fn tool(name: &str) -> Value {
    json!({"type": "function", "name": name, "parameters": {"type": "object", "minProperties": 1}})
}

fn sent() -> Sent {
    let (items, tools) = (vec![said("hi")], vec![tool("mine")]);
    Sent { model: "m".into(), items, tools, ..Sent::default() }
}

fn metadata(mut item: Value) -> Value {
    item["id"] = json!("msg_1");
    item["internal_chat_message_metadata_passthrough"] = json!({"turn_id": "t"});
    item
}

/// A request without a fault.
fn pure() -> Value {
    json!({
        "type": "response.create", "model": "m", "instructions": "", "tool_choice": "auto",
        "parallel_tool_calls": false, "reasoning": {"effort": "low", "summary": "auto"}, "store": false,
        "stream": true, "include": ["reasoning.encrypted_content"], "prompt_cache_key": "t-1",
        "client_metadata": {"x-codex-installation-id": "1"},
        "input": [
            {"type": "additional_tools", "role": "developer", "tools": [
                {"type": "namespace", "name": "client", "description": "", "tools": [tool("mine")]},
            ]},
            metadata(said("hi")),
        ],
    })
}

/// The descriptions of foreign, lost and changed pieces in a request that `change` has made from the pure one.
fn findings(change: impl FnOnce(&mut Value)) -> (Vec<String>, Vec<String>, Vec<String>) {
    let mut arrived = pure();
    change(&mut arrived);
    let comparison = compare(&sent(), &arrived);
    let words = |pieces: Vec<Piece>| pieces.into_iter().map(|piece| piece.what).collect();
    (words(comparison.foreign), words(comparison.lost), words(comparison.changed))
}

fn foreign(change: impl FnOnce(&mut Value)) -> Vec<String> {
    let (foreign, lost, changed) = findings(change);
    assert!(lost.is_empty() && changed.is_empty(), "{lost:?} {changed:?}");
    foreign
}

/// Changes a request.
type Change = Box<dyn FnOnce(&mut Value)>;

fn push(list: &mut Value, value: Value) {
    list.as_array_mut().unwrap().push(value);
}

#[test]
fn nothing_is_foreign_in_what_the_client_said() {
    let comparison = compare(&sent(), &pure());
    assert_eq!((comparison.foreign, comparison.lost, comparison.changed), (vec![], vec![], vec![]));
    assert_eq!(comparison.words, said("hi").to_string().len() as u64);
    assert_eq!(comparison.tools, tool("mine").to_string().len() as u64);
    assert!(comparison.protocol["item metadata"] > 0 && comparison.protocol["tool wrapper"] > 0);
}

#[test]
fn tools_may_travel_beside_the_input() {
    assert_eq!(
        foreign(|request| {
            request["input"].as_array_mut().unwrap().remove(0);
            request["tools"] = json!([tool("mine")]);
        }),
        [""; 0]
    );
}

#[test]
fn what_the_client_did_not_say_is_foreign() {
    let image_gen =
        json!({"type": "namespace", "name": "image_gen", "description": "", "tools": [tool("imagegen")]});
    let cases: Vec<(Change, &str)> = vec![
        (Box::new(|r| push(&mut r["input"], said("and this"))), "a user message"),
        (
            Box::new(|r| {
                push(&mut r["input"], json!({"type": "message", "role": "developer", "content": []}));
            }),
            "a developer message",
        ),
        (
            Box::new(|r| push(&mut r["input"], json!({"type": "configuration_update", "reasoning": {}}))),
            "an item `configuration_update`",
        ),
        (Box::new(|r| r["instructions"] = json!("You are Codex")), "instructions"),
        (Box::new(|r| r["tools"] = json!([tool("shell")])), "a tool `shell`"),
        (Box::new(|r| r["tools"] = json!([{"type": "web_search"}])), "a tool `web_search`"),
        (Box::new(move |r| r["tools"] = json!([image_gen])), "a tool `imagegen` of `image_gen`"),
        (
            Box::new(|r| r["input"][0]["tools"][0]["description"] = json!("Tools.")),
            "the `description` of a namespace of tools",
        ),
        (Box::new(|r| r["input"][0]["note"] = json!("x")), "`note` beside the tools"),
        (Box::new(|r| r["surprise"] = json!(1)), "the member `surprise` of the request"),
        (Box::new(|r| r["model"] = json!("other")), "the member `model` of the request"),
        (Box::new(|r| r["text"] = json!({"verbosity": "low", "x": 1})), "the member `text` of the request"),
        (
            Box::new(|r| r["include"] = json!(["web_search_call.results"])),
            "the member `include` of the request",
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(foreign(change), [expected]);
    }
}

#[test]
fn a_message_with_one_more_word_is_foreign_and_the_clients_own_is_lost() {
    for change in [
        |request: &mut Value| request["input"][1]["content"][0]["text"] = json!("hi!"),
        |request: &mut Value| request["input"][1]["note"] = json!("x"),
        |request: &mut Value| {
            push(&mut request["input"][1]["content"], json!({"type": "input_text", "text": "x"}));
        },
    ] {
        let (foreign, lost, _) = findings(change);
        assert_eq!((foreign, lost), (vec!["a user message".to_owned()], vec!["a user message".to_owned()]));
    }
}

#[test]
fn what_does_not_arrive_is_lost_and_what_arrives_otherwise_is_changed() {
    let (_, lost, _) = findings(|request| request["input"] = json!([]));
    assert_eq!(lost, ["a user message", "a tool `mine`"]);
    let (foreign, lost, changed) = findings(|request| {
        request["input"][0]["tools"][0]["tools"][0]["parameters"] = json!({"type": "object"});
    });
    assert_eq!((foreign.len(), lost.len(), changed), (0, 0, vec!["a tool `mine`".to_owned()]));
    let asked = Sent { effort: Some("high".into()), schema: Some(json!({"type": "object"})), ..sent() };
    let comparison = compare(&asked, &pure());
    assert_eq!(comparison.lost.len(), 2, "{:?}", comparison.lost);
    let mut arrived = pure();
    arrived["reasoning"]["effort"] = json!("high");
    arrived["text"] = json!({"format": {
        "type": "json_schema", "name": "codex_output_schema", "strict": true, "schema": {"type": "object"},
    }});
    let comparison = compare(&asked, &arrived);
    assert_eq!((comparison.lost, comparison.foreign), (vec![], vec![]));
}

#[test]
fn order_counts_and_so_does_number() {
    let two = Sent { items: vec![said("a"), said("b")], model: "m".into(), ..Sent::default() };
    let request = |items: Value| json!({"model": "m", "input": items});
    let comparison = compare(&two, &request(json!([said("b"), said("a")])));
    assert_eq!((comparison.foreign.len(), comparison.lost.len()), (1, 1));
    let comparison = compare(&two, &request(json!([said("a"), said("a"), said("b")])));
    assert_eq!((comparison.foreign.len(), comparison.lost.len()), (1, 0));
}

#[test]
fn a_request_of_another_shape_is_foreign_as_a_whole() {
    assert_eq!(compare(&sent(), &json!("text")).foreign.len(), 1);
    let unreadable = compare(&Sent::default(), &json!({"unreadable": "zstd"}));
    assert_eq!(unreadable.foreign[0].what, "the member `unreadable` of the request");
}

#[test]
fn the_detail_of_a_picture_is_codexs_and_the_picture_is_not() {
    let picture = |url: &str, detail: Option<&str>| {
        let mut part = json!({"type": "input_image", "image_url": url});
        if let Some(detail) = detail {
            part["detail"] = json!(detail);
        }
        json!({"type": "message", "role": "user", "content": [part]})
    };
    let sent = Sent { items: vec![picture("data:a", Some("low"))], model: "m".into(), ..Sent::default() };
    for (arrived, foreign) in [
        (picture("data:a", None), 0),
        (picture("data:a", Some("original")), 0),
        (picture("data:b", Some("low")), 1),
    ] {
        let comparison = compare(&sent, &json!({"model": "m", "input": [arrived]}));
        assert_eq!((comparison.foreign.len(), comparison.lost.len()), (foreign, foreign));
    }
}
