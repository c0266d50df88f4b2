//! The long list: the promises of the API, checked on a deployment with a real model.

use std::collections::HashSet;

use futures_util::FutureExt as _;
use http::Method;
use serde_json::{Value, json};

use super::client::{Answer, Target, send};
use super::smoke::{CALL, HELLO, chat_body, chat_tool, responses_body, with};
use super::stream::{Events, output_text};
use super::{Check, LOOK, Problem, cut, ensure, text_of};

/// The checks after the short list.
pub const LIVE: &[Check] = &[
    Check { name: "model_ids", keyed: false, ask: |target| model_ids(target).boxed() },
    Check { name: "effort", keyed: true, ask: |target| effort(target).boxed() },
    Check { name: "tool_round_trip_chat", keyed: true, ask: |target| chat_round_trip(target).boxed() },
    Check {
        name: "tool_round_trip_responses",
        keyed: true,
        ask: |target| responses_round_trip(target).boxed(),
    },
    Check { name: "tool_call_stream", keyed: true, ask: |target| tool_stream(target).boxed() },
    Check { name: "image", keyed: true, ask: |target| image(target).boxed() },
    Check { name: "json_schema", keyed: true, ask: |target| schema(target).boxed() },
    Check { name: "error_of_a_body_that_is_no_json", keyed: true, ask: |target| no_json(target).boxed() },
    Check { name: "error_of_a_wrong_type", keyed: true, ask: |target| wrong_type(target).boxed() },
    Check { name: "error_of_an_unknown_model", keyed: true, ask: |target| unknown_model(target).boxed() },
    Check { name: "error_of_an_unknown_path", keyed: false, ask: |target| unknown_path(target).boxed() },
    Check { name: "input_tokens", keyed: true, ask: |target| input_tokens(target).boxed() },
    Check { name: "usage", keyed: true, ask: |target| usage(target).boxed() },
    Check { name: "both_base_addresses", keyed: false, ask: |target| both_bases(target).boxed() },
];

async fn model_ids(target: &Target) -> Result<String, Problem> {
    let body = send(target.keyed(Method::GET, "/v1/models")).await?.good()?;
    let mut seen = HashSet::new();
    for model in body["data"].as_array().into_iter().flatten() {
        let id = text_of(&model["id"], "a model's `id`")?;
        ensure(model["object"] == "model", || format!("the object of `{}` is not a model", cut(&id)), LOOK)?;
        ensure(seen.insert(id.clone()), || format!("the ID `{}` is there twice", cut(&id)), LOOK)?;
    }
    let id = target.model().await?;
    let one = send(target.keyed(Method::GET, &format!("/v1/models/{id}"))).await?.good()?;
    ensure(one["id"] == id, || format!("asked for `{id}`, but the answer describes {}", one["id"]), LOOK)?;
    Ok(format!("{} ids", seen.len()))
}

async fn effort(target: &Target) -> Result<String, Problem> {
    let body = with(responses_body(target, HELLO).await?, json!({"reasoning": {"effort": "low"}}));
    let answer = target.post("/v1/responses", &body).await?.good()?;
    let told = text_of(&answer["reasoning"]["effort"], "the `reasoning.effort` of the answer")?;
    Ok(format!("asked for low, but the answer says {told}"))
}

async fn chat_round_trip(target: &Target) -> Result<String, Problem> {
    let first =
        with(chat_body(target, CALL).await?, json!({"tools": [chat_tool()], "tool_choice": "required"}));
    let answer = target.post("/v1/chat/completions", &first).await?.good()?;
    let message = answer["choices"][0]["message"].clone();
    let call = text_of(&message["tool_calls"][0]["id"], "the id of a call")?;
    let reason = &answer["choices"][0]["finish_reason"];
    ensure(reason == "tool_calls", || format!("the finish_reason is {reason}, not tool_calls"), LOOK)?;
    let output = json!({"role": "tool", "tool_call_id": call, "content": "{\"name\":\"Ada\"}"});
    let history = json!([first["messages"][0], message, output]);
    let second = with(chat_body(target, "").await?, json!({"messages": history, "tools": [chat_tool()]}));
    let answer = target.post("/v1/chat/completions", &second).await?.good()?;
    Ok(cut(&text_of(&answer["choices"][0]["message"]["content"], "the answer after the tool's output")?))
}

fn responses_tool() -> Value {
    with(chat_tool()["function"].clone(), json!({"type": "function", "strict": false}))
}

async fn responses_round_trip(target: &Target) -> Result<String, Problem> {
    let tools = json!({"tools": [responses_tool()]});
    let first = with(responses_body(target, CALL).await?, tools.clone());
    let answer = target.post("/v1/responses", &first).await?.good()?;
    let items = answer["output"].as_array().cloned().unwrap_or_default();
    let call = items.iter().find(|item| item["type"] == "function_call").cloned().unwrap_or_default();
    let id = text_of(&call["call_id"], "the `call_id` of a call")?;
    let mut history = vec![json!({"role": "user", "content": CALL})];
    history.extend(items);
    history.push(json!({"type": "function_call_output", "call_id": id, "output": "{\"name\":\"Ada\"}"}));
    let second = with(with(responses_body(target, "").await?, json!({"input": history})), tools);
    let answer = target.post("/v1/responses", &second).await?.good()?;
    Ok(cut(&text_of(&Value::from(output_text(&answer)), "the answer after the tool's output")?))
}

async fn tool_stream(target: &Target) -> Result<String, Problem> {
    let more = json!({"tools": [chat_tool()], "tool_choice": "required", "stream": true});
    let events = Events::read(
        &target.post("/v1/chat/completions", &with(chat_body(target, CALL).await?, more)).await?,
    )?;
    events.chat()?;
    let deltas = events.all.iter().filter_map(|(_, chunk)| chunk["choices"][0]["delta"]["tool_calls"].get(0));
    let arguments: String = deltas.filter_map(|delta| delta["function"]["arguments"].as_str()).collect();
    let is_json = serde_json::from_str::<Value>(&arguments).is_ok();
    ensure(is_json, || format!("the streamed arguments are not JSON: {}", cut(&arguments)), LOOK)?;
    Ok(format!("lookup_user({})", cut(&arguments)))
}

/// A red square of 8 x 8 pixels.
const SQUARE: &str = "data:image/png;base64,\
    iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR42mP4z8CAFTEMLQkAKP8/wc53yE8AAAAASUVORK5CYII=";

async fn image(target: &Target) -> Result<String, Problem> {
    let content = json!([{"type": "input_text", "text": "Say what colour this picture has, in one word."},
                         {"type": "input_image", "image_url": SQUARE}]);
    let body =
        with(responses_body(target, "").await?, json!({"input": [{"role": "user", "content": content}]}));
    let answer = target.post("/v1/responses", &body).await?.good()?;
    Ok(cut(&text_of(&Value::from(output_text(&answer)), "the text")?))
}

async fn schema(target: &Target) -> Result<String, Problem> {
    let schema = json!({"type": "object", "properties": {"greeting": {"type": "string"}}, "required": ["greeting"],
                        "additionalProperties": false});
    let format = json!({"type": "json_schema", "name": "greeting", "schema": schema, "strict": true});
    let body = with(responses_body(target, "Greet the world.").await?, json!({"text": {"format": format}}));
    let answer = target.post("/v1/responses", &body).await?.good()?;
    let text = output_text(&answer);
    let read: Value = serde_json::from_str(&text)
        .map_err(|error| Problem::new(format!("the answer is not JSON ({error}): {}", cut(&text)), LOOK))?;
    Ok(cut(&text_of(&read["greeting"], "`greeting` in the answer")?))
}

/// Counts requests, sends them, and says how far the counts are from what is reported.
async fn input_tokens(target: &Target) -> Result<String, Problem> {
    let hello = responses_body(target, HELLO).await?;
    let picture = json!([{"role": "user", "content": [{"type": "input_image", "image_url": SQUARE}]}]);
    let mut found = Vec::new();
    for (name, more) in [
        ("text", json!({})),
        ("instructions", json!({"instructions": "Answer in English, and in one sentence."})),
        ("tool", json!({"tools": [responses_tool()]})),
        ("image", json!({"input": picture})),
    ] {
        let body = with(hello.clone(), more);
        let answer = target.post("/v1/responses/input_tokens", &body).await?.good()?;
        let counted = answer["input_tokens"].as_u64().filter(|count| *count > 0);
        let wrong = || Problem::new(format!("`input_tokens` is {}", answer["input_tokens"]), LOOK);
        let counted = counted.ok_or_else(wrong)?;
        let answer = target.post("/v1/responses", &body).await?.good()?;
        found.push(format!("{name} {counted} counted, {} reported", answer["usage"]["input_tokens"]));
    }
    Ok(found.join("; "))
}

/// Checks that an error is complete.
fn is_error(answer: &Answer, status: u16, code: Option<&str>) -> Result<String, Problem> {
    let found = answer.status.as_u16();
    ensure(found == status, || format!("the status is {found}, not {status}: {}", cut(&answer.text)), LOOK)?;
    let body = answer.json()?;
    let error = &body["error"];
    text_of(&error["message"], "`error.message`")?;
    text_of(&error["type"], "`error.type`")?;
    for member in ["param", "code"] {
        ensure(error.get(member).is_some(), || format!("`error.{member}` is missing"), LOOK)?;
    }
    let told = error["code"].as_str();
    ensure(code.is_none() || told == code, || format!("`error.code` is {told:?}, not {code:?}"), LOOK)?;
    Ok(format!("{status} {}", told.unwrap_or("without a code")))
}

async fn no_json(target: &Target) -> Result<String, Problem> {
    let request = target.keyed(Method::POST, "/v1/responses").header("content-type", "application/json");
    is_error(&send(request.body("{")).await?, 400, None)
}

async fn wrong_type(target: &Target) -> Result<String, Problem> {
    let body = with(chat_body(target, HELLO).await?, json!({"messages": "no list"}));
    is_error(&target.post("/v1/chat/completions", &body).await?, 400, None)
}

async fn unknown_model(target: &Target) -> Result<String, Problem> {
    let body = with(responses_body(target, HELLO).await?, json!({"model": "no-such-model-anywhere"}));
    is_error(&target.post("/v1/responses", &body).await?, 404, Some("model_not_found"))
}

async fn unknown_path(target: &Target) -> Result<String, Problem> {
    is_error(&send(target.keyed(Method::GET, "/v1/no-such-path")).await?, 404, None)
}

async fn usage(target: &Target) -> Result<String, Problem> {
    let body = send(target.keyed(Method::GET, "/v1/usage")).await?.good()?;
    let requests = &body["totals"]["requests"];
    ensure(
        requests.as_u64().is_some_and(|count| count > 0),
        || format!("no request was counted: {requests}"),
        LOOK,
    )?;
    Ok(format!("{requests} requests counted"))
}

async fn both_bases(target: &Target) -> Result<String, Problem> {
    let with_v1 = send(target.keyed(Method::GET, "/v1/models")).await?.good()?;
    let without = send(target.keyed(Method::GET, "/models")).await?.good()?;
    let next = "Clients that are given the address without /v1 need the paths without it too: let what stands before the proxy \
                pass all paths on.";
    ensure(with_v1 == without, || "/models and /v1/models differ".to_owned(), next)?;
    Ok("with /v1 and without".to_owned())
}
