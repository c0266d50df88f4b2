//! Unmodified SDKs as clients: they get what the model says, and the model gets what they send.
//!
//! The scripts are in `tests/sdk`. `said.json` there has the upstream's answers, which the scripts expect.

use e2e::codex_bin::NEWEST;
use e2e::fake_openai::{Ending, FakeOpenAi, Gate, Recorded, Script, UPSTREAMS, Upstream, Usage};
use e2e::harness::Setup;
use e2e::sdk::{self, Runtime};
use serde_json::{Value, json};

/// How often a script may ask for the same; what is left over does no harm.
const TIMES: usize = 16;

#[tokio::test]
async fn the_last_node_sdk_for_node_20_on_responses() {
    node("openai-6", "responses.mjs", Upstream::Plain).await;
}

#[tokio::test]
async fn the_last_node_sdk_for_node_20_on_chat() {
    node("openai-6", "chat.mjs", Upstream::Plain).await;
}

#[tokio::test]
async fn the_newest_node_sdk_on_responses() {
    for kind in UPSTREAMS {
        node("openai", "responses.mjs", kind).await;
    }
}

#[tokio::test]
async fn the_newest_node_sdk_on_chat() {
    for kind in UPSTREAMS {
        node("openai", "chat.mjs", kind).await;
    }
}

#[tokio::test]
async fn langchain_on_both_surfaces() {
    let upstream = run(Runtime::Node, "langchain.mjs", Upstream::Plain, &[]).await;
    instructions_arrived(&upstream);
    tools_arrived(&upstream, 4, Arguments::WrittenAnew);
    schemas_arrived(&upstream);
    images_arrived(&upstream);
}

#[tokio::test]
async fn vercels_ai_sdk_on_both_surfaces() {
    for kind in UPSTREAMS {
        let upstream = run(Runtime::Node, "aisdk.mjs", kind, &[]).await;
        instructions_arrived(&upstream);
        tools_arrived(&upstream, 6, Arguments::WrittenAnew);
        schemas_arrived(&upstream);
        images_arrived(&upstream);
        aborts_arrived(&upstream, 3).await;
    }
}

#[tokio::test]
async fn openais_agents_for_node_on_both_surfaces() {
    let upstream = run(Runtime::Node, "agents.mjs", Upstream::Plain, &[]).await;
    instructions_arrived(&upstream);
    tools_arrived(&upstream, 4, Arguments::Unchanged);
    schemas_arrived(&upstream);
    images_arrived(&upstream);
}

#[tokio::test]
async fn the_python_sdk_on_both_surfaces() {
    let upstream = run(Runtime::Python, "client.py", Upstream::Plain, &[]).await;
    instructions_arrived(&upstream);
    tools_arrived(&upstream, 6, Arguments::Unchanged);
    schemas_arrived(&upstream);
    images_arrived(&upstream);
    reasoning_arrived(&upstream);
    aborts_arrived(&upstream, 2).await;
}

#[tokio::test]
async fn openais_agents_for_python_on_both_surfaces() {
    framework("agents_sdk.py", 4, Arguments::Unchanged).await;
}

#[tokio::test]
async fn pydantic_ai_on_both_surfaces() {
    framework("pydantic_agent.py", 4, Arguments::WrittenAnew).await;
}

#[tokio::test]
async fn langchain_for_python_on_both_surfaces() {
    framework("langchain_chat.py", 4, Arguments::WrittenAnew).await;
}

async fn framework(script: &str, loops: usize, arguments: Arguments) {
    let upstream = run(Runtime::PythonFrameworks, script, Upstream::Plain, &[]).await;
    instructions_arrived(&upstream);
    tools_arrived(&upstream, loops, arguments);
    schemas_arrived(&upstream);
    images_arrived(&upstream);
}

async fn node(package: &str, script: &str, kind: Upstream) {
    let upstream = run(Runtime::Node, script, kind, &[("OPENAI_PACKAGE", package)]).await;
    instructions_arrived(&upstream);
    tools_arrived(&upstream, 2, Arguments::Unchanged);
    schemas_arrived(&upstream);
    images_arrived(&upstream);
    if script == "responses.mjs" {
        reasoning_arrived(&upstream);
    }
    aborts_arrived(&upstream, 1).await;
}

async fn run(runtime: Runtime, script: &str, kind: Upstream, environment: &[(&str, &str)]) -> FakeOpenAi {
    let upstream = FakeOpenAi::of(kind).await;
    say(&upstream, kind);
    let proxy = Setup::real(NEWEST, &upstream).start().await;
    let passed = sdk::run(runtime, script, &proxy, environment).await;
    assert!(passed["passed"].as_array().is_some_and(|steps| steps.len() > 5), "{passed}");
    assert_eq!(upstream.unscripted(), [""; 0]);
    upstream
}

/// Gives the upstream an answer for each marker.
fn say(upstream: &FakeOpenAi, kind: Upstream) {
    let said = sdk::said();
    let count = |name: &str| said["usage"][name].as_u64().expect("a count");
    let usage = Usage {
        input: count("input"),
        cached: count("cached"),
        cache_write: count("cache_write"),
        output: count("output"),
        reasoning: count("reasoning"),
    };
    let always = |kind: &str, script: Script| {
        upstream.on_marker(marker(&said, kind), vec![script.usage(usage); TIMES]);
    };
    always("text", Script::new().message(&texts(&said["text"]["deltas"])).chunk_sizes(&[7, 1, 300]));
    always("json", Script::new().message(&texts(&said["json"]["deltas"])));
    always("image", Script::text(text(&said["image"]["text"])));
    always("hang", Script::new().message(&texts(&said["hang"]["deltas"])).gate(&Gate::new()));
    let fail = &said["fail"];
    // With the vendor's own upstream Codex tries again after an error that is the server's.
    let code = match kind {
        Upstream::Plain => "server_error",
        Upstream::SignedIn => "invalid_prompt",
    };
    always("fail", Script::new().message(&texts(&fail["deltas"])).failed(code, text(&fail["message"])));
    let parts: Vec<_> = said["reasoning"]["summary"].as_array().expect("parts").iter().map(texts).collect();
    let parts: Vec<_> = parts.iter().map(Vec::as_slice).collect();
    let reasoning = &said["reasoning"];
    always(
        "reasoning",
        Script::new()
            .reasoning(&parts, Some(text(&reasoning["encrypted"])))
            .message(&[text(&reasoning["text"])]),
    );
    let calls =
        said["tools"]["calls"].as_array().expect("calls").iter().fold(Script::new(), |script, call| {
            script.function_call(text(&call["id"]), text(&call["name"]), text(&call["arguments"]), 5)
        });
    let answer = Script::text(text(&said["tools"]["answer"])).usage(usage);
    let loops = std::iter::repeat_n([calls.usage(usage), answer], TIMES).flatten();
    upstream.on_marker(marker(&said, "tools"), loops);
}

/// The requests that a script has made with the marker of this kind.
fn asked(upstream: &FakeOpenAi, kind: &str) -> Vec<Recorded> {
    let said = sdk::said();
    let requests: Vec<_> = upstream
        .requests()
        .into_iter()
        .filter(|request| request.last_user_text().contains(marker(&said, kind)))
        .collect();
    assert!(!requests.is_empty(), "no request for {kind} came");
    requests
}

fn instructions_arrived(upstream: &FakeOpenAi) {
    let first = &asked(upstream, "text")[0].body["input"];
    assert_eq!(
        (&first[0]["role"], &first[0]["content"][0]["text"]),
        (&json!("developer"), &json!("be brief"))
    );
}

/// Both rounds of each loop brought the tools, the second one also the calls and their outputs in order.
fn tools_arrived(upstream: &FakeOpenAi, loops: usize, arguments: Arguments) {
    let requests = asked(upstream, "tools");
    assert_eq!(requests.len(), loops * 2);
    let said = sdk::said();
    let calls = said["tools"]["calls"].as_array().expect("calls");
    let mut follow_ups = 0;
    for request in &requests {
        let tools = offered(&request.body);
        let names: Vec<_> = tools.iter().map(|tool| text(&tool["name"])).collect();
        assert_eq!(names, ["get_weather", "get_time"], "{:#}", request.body);
        assert_eq!(tools[0]["parameters"]["required"], json!(["city", "days"]), "{tools:#?}");
        assert_eq!(tools[1]["parameters"]["properties"]["zone"]["type"], "string");
        let of_kind = |kind: &str, member: &str| -> Vec<Value> {
            let items = request.input_without_ids();
            items.iter().filter(|i| i["type"] == kind).map(|i| json!([i["call_id"], i[member]])).collect()
        };
        let outputs = of_kind("function_call_output", "output");
        if outputs.is_empty() {
            continue;
        }
        follow_ups += 1;
        let expected = |member: &str| -> Vec<Value> {
            calls.iter().map(|call| json!([call["id"], call[member]])).collect()
        };
        assert_eq!(outputs, expected("output"));
        let calls = of_kind("function_call", "arguments");
        match arguments {
            Arguments::Unchanged => assert_eq!(calls, expected("arguments")),
            Arguments::WrittenAnew => assert_eq!(parsed(&calls), parsed(&expected("arguments"))),
        }
    }
    assert_eq!(follow_ups, loops);
}

/// What a client sends back as the arguments of a call.
#[derive(Clone, Copy)]
enum Arguments {
    /// The text that came.
    Unchanged,
    /// What it has parsed, as JSON.
    WrittenAnew,
}

fn parsed(calls: &[Value]) -> Vec<(&str, Value)> {
    let parse = |call: &Value| serde_json::from_str(text(&call[1])).expect("arguments are JSON");
    calls.iter().map(|call| (text(&call[0]), parse(call))).collect()
}

/// The function tools that a request brings: in `tools`, or in an item of the input and a namespace there,
/// as Codex does it for each model.
fn offered(body: &Value) -> Vec<Value> {
    fn functions(tools: &Value) -> Vec<Value> {
        let tools = tools.as_array().into_iter().flatten();
        let nested = |tool: &Value| match tool["type"].as_str() {
            Some("function") => vec![tool.clone()],
            _ => functions(&tool["tools"]),
        };
        tools.flat_map(nested).collect()
    }
    [functions(&body["tools"]), functions(&body["input"])].concat()
}

fn schemas_arrived(upstream: &FakeOpenAi) {
    let formats = asked(upstream, "json").into_iter().map(|request| request.body["text"]["format"].clone());
    let formats: Vec<_> = formats.filter(|format| !format.is_null()).collect();
    assert!(!formats.is_empty());
    for format in formats {
        assert_eq!((&format["type"], &format["strict"]), (&json!("json_schema"), &json!(true)), "{format}");
        assert_eq!(format["schema"]["properties"]["city"]["type"], "string", "{format}");
        assert_eq!(format["schema"]["required"], json!(["city", "people"]), "{format}");
    }
}

fn images_arrived(upstream: &FakeOpenAi) {
    let said = sdk::said();
    let with_image: Vec<_> = asked(upstream, "image")
        .iter()
        .flat_map(Recorded::input_without_ids)
        .flat_map(|item| item["content"].as_array().cloned().unwrap_or_default())
        .filter(|part| part["type"] == "input_image")
        .collect();
    assert!(!with_image.is_empty());
    for part in with_image {
        assert_eq!(part["image_url"], said["image"]["url"]);
    }
}

/// The second request of the round trip brought back the sealed reasoning in its place.
fn reasoning_arrived(upstream: &FakeOpenAi) {
    let said = sdk::said();
    let requests = asked(upstream, "reasoning");
    assert!(requests.iter().any(|request| request.body["reasoning"]["effort"] == "high"));
    let again = requests.iter().find(|request| request.last_user_text().ends_with("again"));
    let items = again.expect("the round trip's second request").input_without_ids();
    let kinds: Vec<_> =
        items.iter().map(|i| i["role"].as_str().unwrap_or_else(|| text(&i["type"]))).collect();
    assert_eq!(kinds, ["user", "reasoning", "assistant", "user"]);
    assert_eq!(items[1]["encrypted_content"], said["reasoning"]["encrypted"]);
    assert_eq!(items[1]["summary"][1]["text"], texts(&said["reasoning"]["summary"][1]).concat());
    assert_eq!(items[2]["content"][0]["text"], said["reasoning"]["text"]);
}

/// A client that hung up ended the request to the model, which would never have ended by itself.
async fn aborts_arrived(upstream: &FakeOpenAi, count: usize) {
    let said = sdk::said();
    let requests = upstream.requests();
    let held = requests
        .iter()
        .enumerate()
        .filter(|(_, request)| request.last_user_text().contains(marker(&said, "hang")));
    let held: Vec<_> = held.map(|(index, _)| index).collect();
    assert_eq!(held.len(), count);
    for index in held {
        assert_eq!(upstream.wait_for_ending(index).await, Ending::ClosedEarly);
    }
}

fn marker<'a>(said: &'a Value, kind: &str) -> &'a str {
    text(&said[kind]["marker"])
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list")).iter().map(text).collect()
}
