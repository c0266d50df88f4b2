//! Unusual inputs from clients, and the expected results.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::codex_bin::NEWEST;
use e2e::fake_openai::{FakeOpenAi, Script, UPSTREAMS};
use e2e::harness::{Proxy, Setup};
use e2e::sse;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::surface::{BOTH, Call, MODEL, Surface, error_code};

fn with_file(surface: Surface, name: &str, data: &str) -> Value {
    let mut ask = surface.ask("");
    match surface {
        Surface::Responses => {
            let file = json!({"type": "input_file", "filename": name, "file_data": data});
            ask["input"] =
                json!([{"role": "user", "content": [file, {"type": "input_text", "text": "read"}]}]);
        }
        Surface::Chat => {
            let file = json!({"type": "file", "file": {"filename": name, "file_data": data}});
            ask["messages"][0]["content"] = json!([file, {"type": "text", "text": "read"}]);
        }
    }
    ask
}

/// The header that names what had no effect.
async fn ignored(proxy: &Proxy, surface: Surface, ask: &Value) -> (StatusCode, String) {
    let answer = proxy.post(surface.path(), ask).send().await.unwrap();
    let named = answer.headers().get("x-proxy-ignored-params");
    (answer.status(), named.map(|named| named.to_str().unwrap().to_owned()).unwrap_or_default())
}

#[tokio::test]
async fn files_are_judged_by_their_bytes() {
    let utf16: Vec<u8> = "\u{feff}Grüße".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let good: [(&str, &str, &[u8], &str); 7] = [
        ("a.ts", "video/mp2t", b"let a = 1;\n", "let a = 1;\n"),
        ("a.csv", "application/vnd.ms-excel", b"a;b\r\n1;2", "a;b\r\n1;2"),
        ("Dockerfile", "application/octet-stream", b"FROM scratch", "FROM scratch"),
        ("a.geojson", "application/geo+json", b"{}", "{}"),
        ("a.excalidraw", "image/png", "é\u{1f600}".as_bytes(), "é\u{1f600}"),
        ("no-ending", "", b"x", "x"),
        ("saved-by-notepad.txt", "text/plain", &utf16, "Grüße"),
    ];
    let bad: [(&str, &str, &[u8], &str); 4] = [
        ("a.pdf", "text/plain", b"%PDF-1.4\n%%EOF", "only text files"),
        ("a.txt", "text/plain", b"PK\x03\x04\x14\x00", "only text files"),
        ("a.md", "text/markdown", b"\x89PNG\r\n\x1a\n\x00", "only text files"),
        ("a.csv", "text/csv", b"stra\xdfe", "save it as UTF-8"),
    ];
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        upstream.fall_back_to(Script::text("ok"));
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        for surface in BOTH {
            for (name, media_type, bytes, text) in good {
                let data = format!("data:{media_type};base64,{}", STANDARD.encode(bytes));
                surface.answer(&proxy, &with_file(surface, name, &data)).await;
                let input = upstream.requests().pop().unwrap().input_without_ids();
                let expected = json!({"type": "input_text", "text": format!("{name}\n\n{text}")});
                assert_eq!(input.last().unwrap()["content"][0], expected, "{surface:?}");
            }
            for (name, media_type, bytes, words) in bad {
                let data = format!("data:{media_type};base64,{}", STANDARD.encode(bytes));
                let (status, body) =
                    sse::json(proxy.post(surface.path(), &with_file(surface, name, &data))).await;
                let message = body["error"]["message"].as_str().unwrap_or_default();
                assert!(status == 400 && message.contains(words) && message.contains(name), "{name}: {body}");
            }
        }
    }
}

#[tokio::test]
async fn a_call_without_arguments_has_an_empty_object() {
    let call = Call { id: "call_n".to_owned(), name: "now".to_owned(), arguments: "{}".to_owned() };
    let written = Call { arguments: String::new(), ..call.clone() };
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        for surface in BOTH {
            let ask = surface.ask_with_tool("now?", "now", &json!({"type": "object", "properties": {}}));
            for empty in ["", " "] {
                upstream.push(Script::new().function_call("call_n", "now", empty, 1));
                assert_eq!(surface.calls(&surface.answer(&proxy, &ask).await), std::slice::from_ref(&call));
                upstream.push(Script::new().function_call("call_n", "now", empty, 1));
                assert_eq!(
                    surface.streamed_calls(&surface.events(&proxy, &ask).await),
                    std::slice::from_ref(&call)
                );
            }
            upstream.push(Script::text("noon"));
            let follow_up = surface.follow_up(&ask, std::slice::from_ref(&written), &["12:00"]);
            assert_eq!(surface.text(&surface.answer(&proxy, &follow_up).await), "noon");
            let input = upstream.requests().pop().unwrap().input_without_ids();
            let replayed = input.iter().find(|item| item["type"] == "function_call").unwrap();
            assert_eq!(replayed["arguments"], "{}");
        }
        assert_eq!(upstream.unscripted(), [""; 0]);
    }
}

#[tokio::test]
async fn what_tools_of_elsewhere_left_in_a_transcript_is_left_out_and_named() {
    let items = [
        json!({"type": "file_search_call", "id": "fs_1", "status": "completed", "queries": ["q"], "results": null}),
        json!({"type": "code_interpreter_call", "id": "ci_1", "status": "completed", "code": "1", "container_id": "c",
               "outputs": []}),
        json!({"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "AAAA"}),
        json!({"type": "mcp_call", "id": "mcp_1", "server_label": "s", "name": "n", "arguments": "{}", "output": "o"}),
        json!({"type": "local_shell_call", "id": "ls_1", "call_id": "c", "status": "completed",
               "action": {"type": "exec", "command": ["ls"], "env": {}}}),
    ];
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        upstream.fall_back_to(Script::text("ok"));
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        for item in &items {
            let said = |role: &str, text: &str| json!({"role": role, "content": text});
            let ask = json!({"model": MODEL, "input": [said("user", "a"), item, said("assistant", "b"), said("user", "c")]});
            let (status, named) = ignored(&proxy, Surface::Responses, &ask).await;
            assert_eq!((status.as_u16(), named.as_str()), (200, "input[1]"), "{item}");
            let input = upstream.requests().pop().unwrap().input_without_ids();
            let texts: Vec<_> = input.iter().filter_map(|item| item["content"][0]["text"].as_str()).collect();
            assert!(texts.ends_with(&["a", "b", "c"]), "{input:?}");
            assert!(input.iter().all(|sent| sent["type"] != item["type"]), "{input:?}");
        }
    }
}

/// What Cursor sends when it takes a model for one that reasons, and the part of the answer that it reads.
#[tokio::test]
async fn a_body_of_the_responses_api_on_the_chat_route_is_answered_as_chat() {
    let patch =
        json!({"type": "custom", "name": "apply_patch", "description": "d", "format": {"type": "text"}});
    let read = json!({"type": "function", "name": "read_file", "description": "d", "strict": false,
        "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}});
    let ask = |input: Value| {
        json!({
            "user": "u", "model": MODEL, "input": input, "tools": [read, patch], "tool_choice": "auto",
            "stream": true, "stream_options": {"include_usage": true}, "store": false,
            "reasoning": {"effort": "medium", "summary": "auto"}, "include": ["reasoning.encrypted_content"],
            "text": {"verbosity": "medium"}, "prompt_cache_key": "k", "truncation": "disabled",
        })
    };
    let first = json!([
        {"role": "system", "content": "You are in an editor."},
        {"role": "user", "content": [{"type": "input_text", "text": "open it"}]},
    ]);
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        upstream.push(Script::new().message(&["I ", "look."]).function_call(
            "call_r",
            "read_file",
            r#"{"path":"a"}"#,
            4,
        ));
        let events = Surface::Chat.events(&proxy, &ask(first.clone())).await;
        assert!(events.iter().all(|event| event["object"] == "chat.completion.chunk"), "{events:?}");
        assert_eq!(Surface::Chat.streamed_text(&events), "I look.");
        let calls = Surface::Chat.streamed_calls(&events);
        assert_eq!((calls[0].name.as_str(), calls[0].arguments.as_str()), ("read_file", r#"{"path":"a"}"#));
        let finish = events.iter().find_map(|event| event["choices"][0]["finish_reason"].as_str());
        assert_eq!(finish, Some("tool_calls"));
        assert!(events.last().unwrap()["usage"]["total_tokens"].is_u64());

        let mut input = first.as_array().unwrap().clone();
        input.push(
            json!({"type": "function_call", "call_id": "call_r", "name": "read_file", "arguments": "{}"}),
        );
        input.push(json!({"type": "function_call_output", "call_id": "call_r", "output": "text of a"}));
        let mut whole = ask(json!(input));
        whole["stream"] = json!(false);
        whole.as_object_mut().unwrap().remove("stream_options");
        upstream.push(Script::text("done"));
        let answer = Surface::Chat.answer(&proxy, &whole).await;
        assert_eq!(
            (&answer["object"], Surface::Chat.text(&answer)),
            (&json!("chat.completion"), "done".into())
        );
        assert_eq!(upstream.requests().pop().unwrap().last_output(), Some("text of a"));

        // With neither form of a transcript it is a body of this API that lacks its own.
        let (status, body) = sse::json(proxy.post("/chat/completions", &json!({"model": MODEL}))).await;
        assert_eq!((status.as_u16(), &body["error"]["param"]), (400, &json!("messages")));
        error_code(&body);
    }
}

/// A text that was cut through an emoji, as three languages write it.
#[tokio::test]
async fn half_a_character_is_replaced_and_said_so() {
    let forms: [(&[u8], &str, u32); 5] = [
        (br"x\ud83d y", "x\u{fffd} y", 1),
        (br"\uDE00\uD83D", "\u{fffd}\u{fffd}", 2),
        (b"a\xed\xa0\xbdb", "a\u{fffd}b", 1),
        (b"\xed\xa0\xbd\xed\xb8\x80 \xed\xb8\x80", "\u{1f600} \u{fffd}", 1),
        (br"\ud83d\ude00 whole", "\u{1f600} whole", 0),
    ];
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        upstream.fall_back_to(Script::text("ok"));
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        for surface in BOTH {
            for (written, text, replaced) in forms {
                let ask = surface.ask("HERE").to_string();
                let (before, after) = ask.split_once("HERE").unwrap();
                let body = [before.as_bytes(), written, after.as_bytes()].concat();
                let request = proxy.request(reqwest::Method::POST, surface.path());
                let answer =
                    request.header("content-type", "application/json").body(body).send().await.unwrap();
                let told = answer.headers().get("x-proxy-replaced-characters").cloned();
                let told = told.map(|told| told.to_str().unwrap().to_owned());
                let expected = (replaced > 0).then(|| replaced.to_string());
                assert_eq!((answer.status().as_u16(), told), (200, expected), "{text}");
                assert_eq!(upstream.requests().pop().unwrap().last_user_text(), text);
            }
        }
        let broken =
            proxy.request(reqwest::Method::POST, "/responses").header("content-type", "application/json");
        let (status, body) = sse::json(broken.body(br#"{"input":"\ud83d"#.to_vec())).await;
        assert_eq!(status, 400, "{body}");
        error_code(&body);
    }
}
