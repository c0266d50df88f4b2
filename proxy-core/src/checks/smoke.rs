//! The short list: the basic functions that clients need.

use futures_util::FutureExt as _;
use http::Method;
use serde_json::{Value, json};

use super::client::{Target, send};
use super::stream::{Events, output_text};
use super::{Check, LOOK, Problem, cut, ensure, text_of};

/// Health, models, guards, both surfaces with and without streaming, and a tool call.
pub const SMOKE: &[Check] = &[
    Check { name: "health", keyed: false, ask: |target| health(target).boxed() },
    Check { name: "models", keyed: false, ask: |target| models(target).boxed() },
    Check { name: "cors_preflight", keyed: false, ask: |target| preflight(target).boxed() },
    Check { name: "no_key_is_refused", keyed: false, ask: |target| refused(target, None).boxed() },
    Check { name: "wrong_key_is_refused", keyed: false, ask: |target| refused(target, Some(WRONG)).boxed() },
    Check { name: "chat", keyed: true, ask: |target| chat(target).boxed() },
    Check { name: "chat_stream", keyed: true, ask: |target| chat_stream(target).boxed() },
    Check { name: "responses", keyed: true, ask: |target| responses(target).boxed() },
    Check { name: "responses_stream", keyed: true, ask: |target| responses_stream(target).boxed() },
    Check { name: "tool_call", keyed: true, ask: |target| tool_call(target).boxed() },
];

/// A key that is not valid.
const WRONG: &str = "wrong-key-of-a-check-0000000000";
/// The prompt for the model.
pub(super) const HELLO: &str = "Say hello in one short sentence.";
pub(super) const CALL: &str = "Call the tool `lookup_user` with the id 7, and say nothing before it.";
const OBSIDIAN: &str = "app://obsidian.md";

async fn health(target: &Target) -> Result<String, Problem> {
    let body = send(target.bare(Method::GET, "/healthz")).await?.good()?;
    let reason = body["health"]["readiness"]["reason"].as_str().unwrap_or("it gives no reason");
    let next = "See `codex-proxy status` and `codex-proxy doctor` on the proxy's machine.";
    ensure(body["ok"] == true, || format!("it is not ready: {}", cut(reason)), next)?;
    Ok(format!("ready, backend {}", body["backend_mode"].as_str().unwrap_or("unknown")))
}

async fn models(target: &Target) -> Result<String, Problem> {
    let body = send(target.keyed(Method::GET, "/v1/models")).await?.good()?;
    let models = body["data"].as_array().map_or(0, Vec::len);
    ensure(
        body["object"] == "list" && models > 0,
        || format!("this is not a list: {}", cut(&body.to_string())),
        LOOK,
    )?;
    let first = text_of(&body["data"][0]["id"], "the first model's `id`")?;
    Ok(format!("{models} models, such as {first}"))
}

async fn preflight(target: &Target) -> Result<String, Problem> {
    let asked = "authorization,content-type,x-stainless-os";
    let request = target.bare(Method::OPTIONS, "/v1/chat/completions").header("origin", OBSIDIAN);
    let request = request
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", asked);
    let answer = send(request).await?;
    let next = "Add `app://obsidian.md` to PROXY_CORS_ALLOWED_ORIGINS, and let what stands before the proxy pass OPTIONS \
                on, or answer it alike.";
    let status = answer.status.as_u16();
    ensure([200, 204].contains(&status), || format!("the status is {status}: {}", cut(&answer.text)), next)?;
    let origin = answer.header("access-control-allow-origin");
    ensure(
        [OBSIDIAN, "*"].contains(&origin),
        || format!("the origin {OBSIDIAN} is answered with `{origin}`"),
        next,
    )?;
    let allowed = answer.header("access-control-allow-headers").to_lowercase();
    let missing = asked.split(',').find(|name| !allowed.contains(name) && allowed != "*");
    ensure(
        missing.is_none(),
        || format!("the header `{}` is not allowed", missing.unwrap_or_default()),
        next,
    )?;
    let methods = answer.header("access-control-allow-methods").to_uppercase();
    ensure(
        methods.contains("POST") || methods == "*",
        || format!("POST is not allowed, only `{methods}`"),
        next,
    )?;
    Ok(format!("{OBSIDIAN} may call"))
}

async fn refused(target: &Target, key: Option<&str>) -> Result<String, Problem> {
    let mut request =
        target.bare(Method::POST, "/v1/chat/completions").header("content-type", "application/json");
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    let body = json!({"model": "codex-5", "messages": [{"role": "user", "content": HELLO}]});
    let answer = send(request.body(body.to_string())).await?;
    let next = "Anybody may use this proxy: let nobody reach it until that is mended. Is there a server before it that adds a \
                key of its own?";
    let status = answer.status.as_u16();
    ensure(status == 401, || format!("the status is {status}, not 401: {}", cut(&answer.text)), next)?;
    Ok("401".to_owned())
}

/// A body for Chat Completions.
pub(super) async fn chat_body(target: &Target, text: &str) -> Result<Value, Problem> {
    Ok(json!({"model": target.model().await?, "messages": [{"role": "user", "content": text}]}))
}

/// A body for Responses.
pub(super) async fn responses_body(target: &Target, text: &str) -> Result<Value, Problem> {
    Ok(json!({"model": target.model().await?, "input": text}))
}

pub(super) fn with(mut body: Value, more: Value) -> Value {
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    body
}

async fn chat(target: &Target) -> Result<String, Problem> {
    let answer = target.post("/v1/chat/completions", &chat_body(target, HELLO).await?).await?.good()?;
    let text = text_of(&answer["choices"][0]["message"]["content"], "the message's `content`")?;
    ensure(answer["usage"]["total_tokens"].is_u64(), || "there is no usage".to_owned(), LOOK)?;
    Ok(cut(&text))
}

async fn chat_stream(target: &Target) -> Result<String, Problem> {
    let body = with(chat_body(target, HELLO).await?, json!({"stream": true}));
    let events = Events::read(&target.post("/v1/chat/completions", &body).await?)?;
    let text = text_of(&Value::from(events.chat()?), "the streamed text")?;
    Ok(format!("{} events: {}", events.all.len(), cut(&text)))
}

async fn responses(target: &Target) -> Result<String, Problem> {
    let answer = target.post("/v1/responses", &responses_body(target, HELLO).await?).await?.good()?;
    let status = &answer["status"];
    ensure(status == "completed", || format!("its status is {status}: {}", cut(&answer.to_string())), LOOK)?;
    ensure(answer["usage"]["total_tokens"].is_u64(), || "there is no usage".to_owned(), LOOK)?;
    Ok(cut(&text_of(&Value::from(output_text(&answer)), "the text")?))
}

async fn responses_stream(target: &Target) -> Result<String, Problem> {
    let body = with(responses_body(target, HELLO).await?, json!({"stream": true}));
    let events = Events::read(&target.post("/v1/responses", &body).await?)?;
    let text = text_of(&Value::from(events.responses()?), "the streamed text")?;
    Ok(format!("{} events: {}", events.all.len(), cut(&text)))
}

/// A tool, in the form of Chat Completions.
pub(super) fn chat_tool() -> Value {
    let parameters = json!({"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"],
                            "additionalProperties": false});
    json!({"type": "function", "function": {"name": "lookup_user", "description": "Says who has an id.",
                                            "parameters": parameters}})
}

async fn tool_call(target: &Target) -> Result<String, Problem> {
    let body =
        with(chat_body(target, CALL).await?, json!({"tools": [chat_tool()], "tool_choice": "required"}));
    let answer = target.post("/v1/chat/completions", &body).await?.good()?;
    let call = &answer["choices"][0]["message"]["tool_calls"][0]["function"];
    let next = "The model has not called the tool: try again, or another model with --model. With PROXY_OUTPUT_MODE=obsidian-xml \
                calls are text.";
    ensure(
        call["name"] == "lookup_user",
        || format!("there is no call: {}", cut(&answer["choices"].to_string())),
        next,
    )?;
    let arguments = call["arguments"].as_str().unwrap_or_default();
    let is_json = serde_json::from_str::<Value>(arguments).is_ok();
    ensure(is_json, || format!("the arguments are no JSON: {}", cut(arguments)), LOOK)?;
    Ok(format!("lookup_user({})", cut(arguments)))
}
