use serde_json::{Value, json};

use super::*;
use protocol::turn::{Image, ImageLoad, Item, Namespace, Part, Role, Tool, ToolKind, ToolOutput};

fn turn(items: Vec<Item>) -> Turn {
    let mut turn = Turn::new("gpt-5.5");
    turn.items = items;
    turn
}

fn message(role: Role, text: &str) -> Item {
    Item::Message { role, content: vec![Part::Text(text.to_owned())], phase: None }
}

fn user(text: &str) -> Item {
    message(Role::User, text)
}

/// The texts of a prompt, with `_` for other tokens.
fn prompt(turn: &Turn) -> Vec<String> {
    let mut pieces = Vec::new();
    let _ = prompt::read(turn, &mut |piece| {
        pieces.push(match piece {
            Piece::Tokens(count) => format!("_{count}"),
            Piece::Text(text) => text.to_owned(),
        });
        ControlFlow::Continue(())
    });
    pieces
}

async fn count(items: Vec<Item>) -> u64 {
    TokenCounter::default().count(&turn(items)).await.unwrap()
}

/// What gpt-5 reports: 7 for "hello", and 11 for the example of OpenAI's reference.
#[tokio::test]
async fn a_message_has_the_tokens_that_the_vendor_reports() {
    assert_eq!(count(vec![user("hello")]).await, 7);
    assert_eq!(count(vec![user("Tell me a joke.")]).await, 11);
    let chat = vec![user("hello"), message(Role::Assistant, "Hi!"), user("hello")];
    assert_eq!(count(chat).await, 7 + (6 + 2) + 5);
    assert_eq!(count(vec![message(Role::Developer, "Be brief."), user("hello")]).await, 7 + 4 + 3);
}

/// The messages of OpenAI's cookbook, "How to count tokens with tiktoken": 124 tokens for GPT-4o, which has one more before the
/// answer. Four of them have a name, which costs a token more than its text.
#[tokio::test]
async fn the_cookbook_has_its_published_tokens() {
    let developer = |text| message(Role::Developer, text);
    let messages = vec![
        developer(
            "You are a helpful, pattern-following assistant that translates corporate jargon into plain English.",
        ),
        developer("New synergies will help drive top-line growth."),
        developer("Things working well together will increase revenue."),
        developer(
            "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage.",
        ),
        developer("Let's talk later when we're less busy about how to do better."),
        user("This late pivot means we don't have time to boil the ocean for the client deliverable."),
    ];
    let tokenizer = Tokenizer::load().unwrap();
    let names = 4 + 2 * tokenizer.count("example_user") + 2 * tokenizer.count("example_assistant");
    assert_eq!(count(messages).await + names, 124 - 1);
}

#[test]
fn calls_and_their_outputs_are_messages_between_the_model_and_its_tools() {
    let call = |kind, namespace: Option<&str>, name: &str, input: &str| Item::ToolCall {
        kind,
        call_id: name.to_owned(),
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
        input: input.to_owned(),
    };
    let output = |call_id: &str, text: &str| Item::ToolOutput {
        kind: ToolKind::Function,
        call_id: call_id.to_owned(),
        output: ToolOutput::Text(text.to_owned()),
    };
    let turn = turn(vec![
        call(ToolKind::Function, None, "weather", "{}"),
        call(ToolKind::Custom, Some("mail"), "send", "hi"),
        output("weather", "rain"),
        output("send", "sent"),
    ]);
    assert_eq!(
        prompt(&turn),
        [
            "_3",
            "assistant",
            "_1",
            "commentary",
            " to=functions.weather",
            " ",
            "_1",
            "json",
            "{}", //
            "_3",
            "assistant",
            "_1",
            "commentary",
            " to=mail.send",
            "hi", //
            "_3",
            "functions.weather",
            " to=assistant",
            "_1",
            "commentary",
            "rain", //
            "_3",
            "mail.send",
            " to=assistant",
            "_1",
            "commentary",
            "sent", //
            "_1",
            "assistant",
        ]
    );
}

#[test]
fn what_only_the_vendor_can_read_is_estimated_by_its_length() {
    let reasoning = |length| Item::Reasoning {
        id: None,
        summary: vec!["not read".to_owned()],
        encrypted_content: "x".repeat(length),
    };
    let compaction = Item::Raw(json!({"type": "compaction", "encrypted_content": "x".repeat(4000)}));
    let search = Item::Raw(json!({"type": "web_search_call", "id": "ws_1", "action": {"type": "search"}}));
    let turn = turn(vec![reasoning(100), reasoning(4000), compaction, search]);
    assert_eq!(
        prompt(&turn),
        [
            "_3",
            "assistant",
            "_1",
            "analysis",
            "_0", //
            "_3",
            "assistant",
            "_1",
            "analysis",
            "_588", //
            "_3",
            "assistant",
            "_1",
            "commentary",
            "_588", //
            "_3",
            "assistant",
            "_1",
            "commentary",
            "{\"type\":\"search\"}", //
            "_1",
            "assistant",
        ]
    );
}

fn tool(namespace: Option<&Arc<Namespace>>, kind: ToolKind, definition: Value) -> Arc<Tool> {
    let name = definition["name"].as_str().unwrap().to_owned();
    Arc::new(Tool { kind, namespace: namespace.cloned(), name, definition })
}

/// The first three are the example of OpenAI's guide.
#[test]
fn tools_are_written_as_published() {
    let mail = Arc::new(Namespace { name: "mail".to_owned(), description: "Letters.".to_owned() });
    let function = |definition| tool(None, ToolKind::Function, definition);
    let place = json!({"type": "string", "description": "The city and state, e.g. San Francisco, CA"});
    let format = json!({"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"});
    let tools = [
        function(json!({"name": "get_location", "description": "Gets the location of the user."})),
        function(json!({
            "name": "get_current_weather",
            "description": "Gets the current weather in the provided location.",
            "parameters": {
                "type": "object",
                "properties": {"location": place, "format": format},
                "required": ["location"],
            },
        })),
        function(json!({
            "name": "get_multiple_weathers",
            "description": "Gets the current weather in the provided list of locations.",
            "parameters": {
                "type": "object",
                "properties": {
                    "locations": {
                        "type": "array",
                        "items": {"type": "string"},
                        "description": "List of city and state, e.g. [\"San Francisco, CA\", \"New York, NY\"]",
                    },
                    "format": format,
                },
                "required": ["locations"],
            },
        })),
        tool(
            Some(&mail),
            ToolKind::Custom,
            json!({
                "name": "send", "description": "Sends.", "format": {"type": "grammar", "definition": "start: /.+/"},
            }),
        ),
        tool(
            Some(&mail),
            ToolKind::Function,
            json!({
                "name": "read",
                "parameters": {
                    "type": "object",
                    "properties": {
                        "from": {"type": ["string", "null"], "title": "Sender", "default": "me", "examples": ["you"]},
                        "filter": {
                            "type": "object",
                            "properties": {"count": {"type": "integer", "nullable": true}, "any": {}},
                            "required": ["count"],
                        },
                        "order": {
                            "description": "How.",
                            "oneOf": [{"type": "boolean", "description": "Newest?"}, {"type": "array"}],
                        },
                    },
                },
            }),
        ),
    ];
    let expected = r#"# Tools

## functions

namespace functions {

// Gets the location of the user.
type get_location = () => any;

// Gets the current weather in the provided location.
type get_current_weather = (_: {
// The city and state, e.g. San Francisco, CA
location: string,
format?: "celsius" | "fahrenheit", // default: celsius
}) => any;

// Gets the current weather in the provided list of locations.
type get_multiple_weathers = (_: {
// List of city and state, e.g. ["San Francisco, CA", "New York, NY"]
locations: string[],
format?: "celsius" | "fahrenheit", // default: celsius
}) => any;

} // namespace functions

## mail

// Letters.
namespace mail {

// Sends.
// start: /.+/
type send = (FREEFORM) => any;

type read = (_: {
// Sender
//
// Examples:
// - "you"
from?: string | null, // default: "me"
filter?: {
    count: number | null,
    any?: any,
    },
// How.
order?:
 | boolean // Newest?
 | Array<any>
,
}) => any;

} // namespace mail"#;
    assert_eq!(tools::section(&tools).as_deref(), Some(expected));
    assert_eq!(tools::section(&[]), None);
    let mut turn = turn(vec![user("hello")]);
    turn.spec.tools = tools.to_vec();
    turn.spec.base_instructions = Some("Be brief.".to_owned());
    turn.output_schema = Some(json!({"type": "object"}));
    let formats = "# Response Formats\n\n## codex_output_schema\n\n{\"type\":\"object\"}";
    assert_eq!(
        prompt(&turn)[..6],
        ["_3", "developer", "Be brief.", "_3", "developer", &format!("{expected}\n\n{formats}")]
    );
}

#[test]
fn images_cost_their_squares_up_to_what_the_model_sees() {
    let image = |width, height| Image {
        url: "data:".into(),
        detail: None,
        load: ImageLoad { width, height, remade: 0 },
    };
    for (model, width, height, tokens) in [
        ("gpt-5.5", 1, 1, 2),
        ("gpt-5.5", 32, 32, 2),
        ("gpt-5.5", 33, 32, 3),
        ("gpt-5.5", 1024, 1024, 1229),
        ("gpt-5.5", 3200, 3200, 12_000),
        ("gpt-5.5", 8192, 8192, 12_000),
        ("gpt-5.5", 6000, 600, 4287),
        ("gpt-6-codex", 3200, 3200, 12_000),
        ("gpt-5.2-codex", 1024, 1024, 1229),
        ("gpt-5.2-codex", 8192, 8192, 1826),
        ("gpt-5", 1800, 2400, 1743),
        ("other", 8192, 1, 308),
        ("gpt-5.5", 0, 0, 0),
    ] {
        assert_eq!(pictures::tokens(model, &image(width, height)), tokens, "{model} {width} {height}");
    }
    let parts = vec![Part::Text("a".to_owned()), Part::Image(image(32, 32))];
    let turn = turn(vec![Item::Message { role: Role::User, content: parts, phase: None }]);
    assert_eq!(prompt(&turn), ["_3", "user", "a", "_2", "_1", "assistant"]);
}

#[tokio::test(start_paused = true)]
async fn the_tokenizer_is_let_go_some_minutes_after_its_last_use() {
    let counter = TokenCounter::default();
    let is_loaded = || counter.0.kept().tokenizer.is_some();
    assert!(!is_loaded(), "not before it is used");
    let hello = turn(vec![user("hello")]);
    counter.count(&hello).await.unwrap();
    tokio::time::sleep(KEPT - Duration::from_secs(1)).await;
    counter.count(&hello).await.unwrap();
    tokio::time::sleep(KEPT - Duration::from_secs(1)).await;
    assert!(is_loaded(), "it was used again");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!is_loaded());
    assert_eq!(counter.count(&hello).await.unwrap(), 7);
    tokio::time::sleep(KEPT + Duration::from_secs(1)).await;
    assert!(!is_loaded());
}

#[tokio::test]
async fn work_that_nobody_wants_ends() {
    let counter = TokenCounter::default();
    // A second of work, and nothing waits for it.
    let long = turn((0..20).map(|_| user(&"word ".repeat(200_000))).collect());
    let mut counts: Vec<_> = (0..AT_A_TIME).map(|_| Box::pin(counter.count(&long))).collect();
    for count in &mut counts {
        assert!(futures_util::poll!(count).is_pending());
    }
    assert_eq!(counter.0.places.available_permits(), 0, "as many as there may be");
    drop(counts);
    // The places come back although none was counted to its end.
    assert_eq!(counter.count(&turn(vec![user("hello")])).await.unwrap(), 7);
    assert_eq!(counter.expected(&long), None);
}

#[tokio::test(start_paused = true)]
async fn a_count_is_remembered_for_the_request_that_follows() {
    let counter = TokenCounter::default();
    let hello = turn(vec![user("hello")]);
    assert_eq!(counter.expected(&hello), None);
    counter.count(&hello).await.unwrap();
    assert_eq!(counter.expected(&hello), Some(7));
    assert_eq!(counter.expected(&turn(vec![user("hello!")])), None);
    assert_eq!(counter.expected(&turn(vec![user("hell"), user("o")])), None);
    for at in 0..64 {
        counter.count(&turn(vec![user(&at.to_string())])).await.unwrap();
    }
    assert_eq!(counter.expected(&hello), None, "the oldest is forgotten");
    counter.count(&hello).await.unwrap();
    tokio::time::sleep(Duration::from_secs(11 * 60)).await;
    assert_eq!(counter.expected(&hello), None, "and what is old");
}
