//! The model gets exactly what the client sent, on both upstreams and with both recent versions of Codex.

use e2e::codex_bin::{NEWEST, PREVIOUS};
use e2e::fake_openai::{FakeOpenAi, Recorded, Script, UPSTREAMS, Upstream};
use e2e::harness::{Proxy, Setup};
use e2e::sse;
use reqwest::Method;
use serde_json::{Value, json};

use crate::surface::{BOTH, Surface};

const VERSIONS: [&str; 2] = [NEWEST, PREVIOUS];

const PNG: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

async fn world(kind: Upstream, version: &str) -> (FakeOpenAi, Proxy) {
    let upstream = FakeOpenAi::of(kind).await;
    upstream.fall_back_to(Script::text("ok"));
    let proxy = Setup::real(version, &upstream).start().await;
    (upstream, proxy)
}

/// The texts of a request to the model, without its tools.
fn said(request: &Recorded) -> Vec<Value> {
    let mut items = request.input_without_ids();
    items.retain(|item| item["type"] != "additional_tools");
    items
}

fn tools(request: &Recorded) -> Vec<Value> {
    request.offered().into_iter().map(|offered| offered.tool.clone()).collect()
}

fn user(text: &str) -> Value {
    json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]})
}

/// Fields of a request that the model does not see, and fields that the client sets.
const PROTOCOL: &[&str] = &[
    "client_metadata",
    "include",
    "input",
    "instructions",
    "model",
    "parallel_tool_calls",
    "prompt_cache_key",
    "reasoning",
    "service_tier",
    "store",
    "stream",
    "stream_options",
    "text",
    "tool_choice",
    "tools",
];

#[tokio::test]
async fn no_model_gets_a_byte_that_the_client_did_not_send() {
    for (kind, version) in UPSTREAMS.into_iter().flat_map(|kind| VERSIONS.map(|version| (kind, version))) {
        let (upstream, proxy) = world(kind, version).await;
        let (status, listed) = sse::json(proxy.request(Method::GET, "/models")).await;
        assert_eq!(status, 200);
        let ids = listed["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap());
        let models: Vec<_> = ids.filter(|id| id.starts_with("gpt-") && !id.ends_with("-fast")).collect();
        assert!(models.len() > 20, "{models:?}");
        let schema = json!({
            "type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"],
            "additionalProperties": false,
        });
        let function = json!({
            "type": "function", "name": "f", "description": "d", "strict": false,
            "parameters": {"type": "object", "properties": {"n": {"enum": [1, 2], "minimum": 0}}},
        });
        for model in models {
            let plain = json!({"model": model, "input": "only this"});
            let full = json!({
                "model": model,
                "instructions": "be brief",
                "input": [{"role": "user", "content": [
                    {"type": "input_text", "text": "look"}, {"type": "input_image", "image_url": PNG},
                ]}],
                "tools": [function],
                "reasoning": {"summary": "auto"},
                "text": {"format": {"type": "json_schema", "name": "n", "schema": schema, "strict": true}},
            });
            for (ask, words, offered) in [
                (&plain, vec![user("only this")], vec![]),
                (
                    &full,
                    vec![
                        json!({"type": "message", "role": "developer",
                               "content": [{"type": "input_text", "text": "be brief"}]}),
                        user("look"),
                    ],
                    vec![function.clone()],
                ),
            ] {
                proxy.post_ok("/responses", ask).await;
                let request = upstream.requests().pop().unwrap();
                let mut sent = said(&request);
                if let Some(parts) = sent.last_mut().and_then(|item| item["content"].as_array_mut()) {
                    let images = parts.len();
                    parts.retain(|part| part["type"] != "input_image" || part["image_url"] != PNG);
                    assert_eq!(images - parts.len(), ask.to_string().matches(PNG).count(), "{model}");
                }
                assert_eq!(sent, words, "{kind:?} {version} {model}");
                assert_eq!(tools(&request), offered, "{kind:?} {version} {model}");
                assert_eq!(request.body["instructions"].as_str().unwrap_or_default(), "", "{model}");
                let members = request.body.as_object().unwrap().keys();
                let foreign: Vec<_> = members.filter(|member| !PROTOCOL.contains(&member.as_str())).collect();
                assert_eq!(foreign, [""; 0], "{kind:?} {version} {model}");
                let format = &request.body["text"]["format"];
                assert_eq!(format.get("schema"), ask["text"]["format"].get("schema"), "{model}");
            }
        }
        let named = |request: &Recorded| format!("{} {}", request.method, request.path);
        let mut others: Vec<_> = upstream.other_requests().iter().map(named).collect();
        others.extend(
            upstream.issuer().iter().flat_map(|issuer| issuer.requests()).map(|request| named(&request)),
        );
        others.retain(|other| !EXPECTED.contains(&other.split('?').next().unwrap_or_default()));
        assert_eq!(others, [""; 0], "{kind:?} {version}: connections that are not on the list");
    }
}

/// What else Codex may ask for: which accounts there are, what is left of the plan and of its resets, settings of the
/// account's, and which models there are.
const EXPECTED: &[&str] = &[
    "GET /backend-api/wham/accounts/check",
    "GET /backend-api/wham/rate-limit-reset-credits",
    "GET /backend-api/wham/settings/user",
    "GET /backend-api/wham/usage",
    "GET /v1/models",
];

/// A function with a schema of at least `bytes` bytes. All its descriptions are different.
fn large_function(bytes: usize) -> Value {
    let mut properties = serde_json::Map::new();
    let mut size = 0;
    while size < bytes {
        let name = format!("p{}", properties.len());
        let property = json!({
            "type": ["integer", "null"], "minimum": 0, "maximum": 9, "default": 3, "examples": [1, 2],
            "description": format!("What {name} is for: {}", "x".repeat(200)),
        });
        size += property.to_string().len();
        properties.insert(name, property);
    }
    json!({
        "type": "function", "name": "large", "description": "d", "strict": false,
        "parameters": {"type": "object", "properties": properties, "additionalProperties": {"pattern": "^a"}},
    })
}

fn function(name: &str) -> Value {
    json!({
        "type": "function", "name": name, "description": format!("is {name}"), "strict": true,
        "parameters": {
            "type": "object", "properties": {"n": {"enum": [1, 2]}, "any": true, "s": {"pattern": "^a", "format": "date"}},
            "required": ["n"], "additionalProperties": false,
        },
    })
}

#[tokio::test]
async fn tools_arrive_as_they_were_sent_and_their_calls_come_back_by_their_own_names() {
    let longest = "n".repeat(128);
    let names = ["exec_command", "shell_command", "mcp", "mcp__a__b", "apply_patch", &longest];
    for (kind, version) in UPSTREAMS.into_iter().flat_map(|kind| VERSIONS.map(|version| (kind, version))) {
        let (upstream, proxy) = world(kind, version).await;
        let mut wanted = vec![large_function(60_000)];
        wanted.extend(names.map(function));
        for surface in BOTH {
            let mut ask = surface.ask("repeat");
            ask["tools"] = match surface {
                Surface::Responses => json!(wanted),
                Surface::Chat => wanted.iter().map(nested).collect(),
            };
            surface.answer(&proxy, &ask).await;
            let mut arrived = tools(&upstream.requests().pop().unwrap());
            // Codex keeps these names for itself.
            for tool in &mut arrived {
                if let Some(own) = tool["name"].as_str().and_then(|name| name.strip_prefix("client_mcp")) {
                    tool["name"] = json!(format!("mcp{own}"));
                }
            }
            assert_eq!(arrived, wanted, "{kind:?} {version} {surface:?}");

            for name in names {
                let travels =
                    if name.starts_with("mcp") { format!("client_{name}") } else { name.to_owned() };
                let marker = format!("call {surface:?} {}", &name[..name.len().min(20)]);
                upstream.on_marker(&marker, [Script::new().function_call("c1", &travels, "{\"n\":1}", 3)]);
                let mut ask = surface.ask(&marker);
                ask["tools"] = match surface {
                    Surface::Responses => json!([function(name)]),
                    Surface::Chat => json!([nested(&function(name))]),
                };
                let answer = surface.answer(&proxy, &ask).await;
                let calls = surface.calls(&answer);
                assert_eq!((calls[0].name.as_str(), calls[0].arguments.as_str()), (name, "{\"n\":1}"));

                // Its output, with the call before it, under the name that the model knows.
                let follow_up = surface.follow_up(&ask, &calls, &["the output"]);
                surface.answer(&proxy, &follow_up).await;
                let request = upstream.requests().pop().unwrap();
                let said = said(&request);
                assert_eq!(said[1]["name"], travels.as_str(), "{said:?}");
                assert_eq!(said[1]["namespace"], "client", "{said:?}");
                assert_eq!(said[2]["output"], "the output", "{said:?}");
            }
        }
        assert_eq!(upstream.unscripted(), [""; 0], "{kind:?} {version}: the model was asked once more");
    }
}

/// A function in Chat's format.
fn nested(tool: &Value) -> Value {
    let mut function = tool.clone();
    function.as_object_mut().unwrap().shift_remove("type");
    json!({"type": "function", "function": function})
}

#[tokio::test]
async fn namespaces_and_custom_tools_work_without_a_second_question() {
    let grammar = json!({"type": "grammar", "syntax": "lark", "definition": "start: /.+/s"});
    let custom = json!({"type": "custom", "name": "apply_patch", "description": "d", "format": grammar});
    let group = |name: &str| json!({"type": "namespace", "name": name, "description": "about", "tools": [function("look_up"), custom]});
    for (kind, version) in UPSTREAMS.into_iter().flat_map(|kind| VERSIONS.map(|version| (kind, version))) {
        let (upstream, proxy) = world(kind, version).await;
        let travels_as_text = version == NEWEST;
        let input = if travels_as_text { "*** Begin" } else { "{\"input\":\"*** Begin\"}" };
        let script = |call: &str| match travels_as_text {
            true => Script::new().custom_tool_call(call, "apply_patch", input, 4),
            false => Script::new().function_call(call, "apply_patch", input, 4),
        };
        let asked = upstream.requests().len();
        upstream.on_marker("as text", [script("c1"), script("c2")]);
        let ask = json!({"model": "gpt-6.1-sol", "input": "as text", "tools": [custom]});
        let answer = proxy.post_ok("/responses", &ask).await;
        let call = answer["output"][0].clone();
        assert_eq!((&call["type"], &call["input"]), (&json!("custom_tool_call"), &json!("*** Begin")));
        let arrived = tools(&upstream.requests()[asked]);
        if travels_as_text {
            assert_eq!(arrived, std::slice::from_ref(&custom));
        } else {
            let description = arrived[0]["description"].as_str().unwrap();
            assert!(description.starts_with("d\n") && description.contains("start: /.+/s"), "{arrived:?}");
        }
        let events = Surface::Responses.events(&proxy, &ask).await;
        let of = |kind: &str, member: &str| -> String {
            let events = events.iter().filter(|event| event["type"] == kind);
            events.map(|event| event[member].as_str().unwrap_or_default()).collect()
        };
        assert_eq!(of("response.custom_tool_call_input.delta", "delta"), "*** Begin");
        assert_eq!(of("response.custom_tool_call_input.done", "input"), "*** Begin");

        upstream.on_marker("in chat", [script("c3")]);
        let chat = json!({
            "model": "gpt-6.1-sol", "messages": [{"role": "user", "content": "in chat"}],
            "tools": [{"type": "custom", "custom": {
                "name": "apply_patch", "description": "d",
                "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /.+/s"}},
            }}],
        });
        let answer = proxy.post_ok("/chat/completions", &chat).await;
        let made = &answer["choices"][0]["message"]["tool_calls"][0];
        let expected =
            json!({"id": "c3", "type": "custom", "custom": {"name": "apply_patch", "input": "*** Begin"}});
        assert_eq!(made, &expected);
        let follow_up = json!({
            "model": "gpt-6.1-sol", "tools": chat["tools"],
            "messages": [
                {"role": "user", "content": "go on"}, answer["choices"][0]["message"],
                {"role": "tool", "tool_call_id": "c3", "content": "done"},
            ],
        });
        let answer = proxy.post_ok("/chat/completions", &follow_up).await;
        assert_eq!(answer["choices"][0]["message"]["content"], "ok");
        assert_eq!(answer["choices"][0]["finish_reason"], "stop");
        let replayed = said(&upstream.requests().pop().unwrap());
        assert_eq!(
            (&replayed[1]["type"], &replayed[1]["input"]),
            (&json!("custom_tool_call"), &json!("*** Begin"))
        );
        assert_eq!(
            (&replayed[2]["type"], &replayed[2]["output"]),
            (&json!("custom_tool_call_output"), &json!("done"))
        );

        for name in ["crm", "functions", "mcp__github"] {
            let marker = format!("in {name}");
            upstream.on_marker(&marker, [Script::new().function_call("c4", "look_up", "{\"n\":2}", 64)]);
            let item = json!({"type": "additional_tools", "role": "developer", "tools": [group(name)]});
            let ask = json!({"model": "gpt-6.1-sol", "input": [item, {"role": "user", "content": marker}]});
            let answer = proxy.post_ok("/responses", &ask).await;
            let call = &answer["output"][0];
            assert_eq!((&call["name"], &call["namespace"]), (&json!("look_up"), &json!(name)), "{version}");
            let request = upstream.requests().pop().unwrap();
            assert_eq!(tools(&request)[0], function("look_up"), "{version}");
        }
        assert_eq!(upstream.unscripted(), [""; 0], "{kind:?} {version}");
        assert_eq!(upstream.requests().len() - asked, 7, "{kind:?} {version}: each request is one question");
    }
}

#[tokio::test]
async fn long_texts_and_outputs_arrive_whole_and_what_cannot_fit_is_refused_without_a_question() {
    let numbered: String = (0..125_000).map(|number| format!("{number:07} ")).collect();
    for (kind, version) in UPSTREAMS.into_iter().flat_map(|kind| VERSIONS.map(|version| (kind, version))) {
        let (upstream, proxy) = world(kind, version).await;
        for model in ["gpt-5.5", "gpt-6.1-sol"] {
            proxy.post_ok("/responses", &json!({"model": model, "input": numbered})).await;
            assert_eq!(
                said(&upstream.requests().pop().unwrap()),
                [user(&numbered)],
                "{kind:?} {version} {model}"
            );

            let ask = json!({"model": model, "input": [
                {"role": "user", "content": "go"},
                {"type": "function_call", "call_id": "c".repeat(90), "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c".repeat(90), "output": numbered},
            ]});
            proxy.post_ok("/responses", &ask).await;
            let sent = said(&upstream.requests().pop().unwrap());
            assert_eq!(sent[2]["output"], numbered.as_str(), "{kind:?} {version} {model}");
            assert_eq!(sent[1]["call_id"], sent[2]["call_id"]);
            assert_eq!(sent[1]["call_id"].as_str().unwrap().len(), 64, "as many as the upstream takes");
        }
        let before = upstream.requests().len();
        for surface in BOTH {
            let mut ask = surface.ask(&"word ".repeat(1_200_000));
            ask["model"] = json!("gpt-5.5");
            let (status, refused) = sse::json(proxy.post(surface.path(), &ask)).await;
            assert_eq!(
                (status.as_u16(), &refused["error"]["code"]),
                (400, &json!("context_length_exceeded")),
                "{refused}"
            );
            assert!(refused["error"]["message"].as_str().unwrap().contains("272000"), "{refused}");
        }
        assert_eq!(upstream.requests().len(), before, "the model was not asked");
    }
}

#[tokio::test]
async fn effort_summary_and_tier_are_those_of_the_connection_that_was_opened_ahead() {
    for version in VERSIONS {
        let (upstream, proxy) = world(Upstream::SignedIn, version).await;
        let ask = json!({
            "model": "gpt-6.1-sol-fast", "input": "hi", "reasoning": {"effort": "high", "summary": "detailed"},
        });
        let answer = proxy.post_ok("/responses", &ask).await;
        assert_eq!(answer["service_tier"], "priority");
        let (warm_up, request) = (upstream.warm_ups().pop().unwrap(), upstream.requests().pop().unwrap());
        assert_eq!(warm_up.connection, request.connection);
        assert!(
            request.sent["previous_response_id"].is_string(),
            "the warm-up is gone on from: {}",
            request.sent
        );
        for body in [&warm_up.body, &request.body] {
            assert_eq!(
                (&body["reasoning"]["effort"], &body["service_tier"]),
                (&json!("high"), &json!("priority"))
            );
        }
        assert_eq!(request.body["reasoning"]["summary"], "detailed");

        let chat = Surface::Chat.ask("hi");
        for (tier, sent) in [("flex", json!("flex")), ("auto", Value::Null), ("fast", json!("priority"))] {
            let mut ask = chat.clone();
            ask["service_tier"] = json!(tier);
            let answer = proxy.post_ok("/chat/completions", &ask).await;
            assert_eq!(answer.get("service_tier").unwrap_or(&Value::Null), &sent, "{tier}");
            assert_eq!(
                upstream.requests().pop().unwrap().body.get("service_tier").unwrap_or(&Value::Null),
                &sent
            );
        }
        let mut ask = chat.clone();
        ask["service_tier"] = json!("priority");
        ask["model"] = json!("gpt-daybreak-red-latest");
        let (status, refused) = sse::json(proxy.post("/chat/completions", &ask)).await;
        assert_eq!((status.as_u16(), &refused["error"]["param"]), (400, &json!("service_tier")), "{refused}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn five_hundred_requests_leave_no_connection_behind() {
    let (upstream, proxy) = world(Upstream::SignedIn, NEWEST).await;
    let ask = Surface::Responses.ask_with_tool("hi", "f", &json!({"type": "object"}));
    let status = proxy.control_ok("/status", None).await;
    let pid = status["workers"][0]["pid"].as_u64().expect("a worker runs");
    let descriptors =
        || std::fs::read_dir(format!("/proc/{pid}/fd")).map(Iterator::count).unwrap_or_default();
    let eight = || futures_util::future::join_all((0..8).map(|_| proxy.post_ok("/responses", &ask)));
    // What Codex opens once, for as many turns at a time, is open by then.
    for _ in 0..20 {
        eight().await;
    }
    upstream.wait_for_connections("idle", |now| now.open <= 2).await;
    let before = (descriptors(), resident(pid));
    for _ in 0..45 {
        eight().await;
    }
    upstream.wait_for_connections("no more than two left open", |now| now.open <= 2).await;
    let after = (descriptors(), resident(pid));
    let report = format!("descriptors, bytes: {before:?} became {after:?}");
    println!("{report}");
    assert!(after.0 <= before.0 + 8, "{report}");
    // One connection left open costs 1 MB, so 360 would be 360 MB.
    assert!(after.1 <= before.1 + (100 << 20), "{report}");
    assert!(upstream.connections().ever >= 500);
}

/// The memory that a process holds, in bytes.
#[cfg(target_os = "linux")]
fn resident(pid: u64) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the worker lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

/// A program that runs the real Codex, except that its first `refusals` calls of `debug` fail.
#[cfg(unix)]
fn codex_without_catalogue(directory: &std::path::Path, refusals: usize) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;

    let (script, count) = (directory.join("codex"), directory.join("asked"));
    let text = format!(
        "#!/bin/sh\nif [ \"$1\" = debug ]; then\n  echo x >> '{count}'\n  [ \"$(wc -l < '{count}')\" -gt {refusals} ] || exit 1\nfi\n\
         exec '{codex}' \"$@\"\n",
        count = count.display(),
        codex = e2e::codex_bin::codex_path(NEWEST).display(),
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    script
}

#[cfg(unix)]
#[tokio::test]
async fn a_codex_that_prints_no_catalogue_runs_no_turn_until_it_does() {
    let directory = tempfile::tempdir().unwrap();
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        upstream.fall_back_to(Script::text("ok"));
        let never = codex_without_catalogue(directory.path(), usize::MAX >> 1);
        let setup = Setup::real(NEWEST, &upstream).env("CODEX_BIN", never.to_str().unwrap()).unready();
        let proxy = setup.env("WORKER_READY_TIMEOUT_MS", "200").start().await;
        proxy.wait_for_log("did not print its model catalogue").await;
        for surface in BOTH {
            let (status, refused) = sse::json(proxy.post(surface.path(), &surface.ask("hi"))).await;
            assert_eq!(
                (status.as_u16(), &refused["error"]["code"]),
                (503, &json!("worker_not_ready")),
                "{refused}"
            );
            let message = refused["error"]["message"].as_str().unwrap();
            assert!(message.contains("model catalogue"), "{message}");
        }
        assert_eq!(upstream.requests().len() + upstream.warm_ups().len(), 0);
        drop(proxy);

        std::fs::remove_file(directory.path().join("asked")).unwrap();
        // For a signed-in Codex, two catalogues are read: that of the account and its own.
        let at_first = codex_without_catalogue(directory.path(), 2);
        let setup = Setup::real(NEWEST, &upstream).env("CODEX_BIN", at_first.to_str().unwrap());
        let proxy = setup.start().await;
        proxy.post_ok("/responses", &Surface::Responses.ask("hi")).await;
        assert_eq!(said(&upstream.requests().pop().unwrap()), [user("hi")]);
        assert_eq!(tools(&upstream.requests().pop().unwrap()), [Value::Null; 0]);
        std::fs::remove_file(directory.path().join("asked")).unwrap();
    }
}
