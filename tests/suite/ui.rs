//! The window at `/ui/` and the control API for it.

mod clients;
mod page;
mod settings;

use e2e::codex_bin::NEWEST;
use e2e::fake_openai::{Ending, FakeOpenAi, Gate, Script};
use e2e::harness::{Proxy, Setup};
use e2e::sse::{self, SseReader};
use reqwest::{Method, Response};
use serde_json::{Value, json};

async fn get(proxy: &Proxy, path: &str, headers: &[(&str, &str)]) -> Response {
    let request = proxy.bare(Method::GET, &proxy.root_url(path));
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).unwrap_or_else(|| panic!("there is no {name}")).to_str().unwrap()
}

/// The names of the files that the page loads.
fn assets(page: &str) -> Vec<String> {
    let names = page.split(['"', '\'']).filter_map(|part| part.strip_prefix("./"));
    names.map(|name| format!("/ui/{name}")).collect()
}

#[tokio::test]
async fn the_window_is_served_with_its_policy_and_known_again() {
    let proxy = Setup::fake(&json!({})).start().await;
    let page = get(&proxy, "/ui/", &[]).await;
    let policy = header(&page, "content-security-policy").to_owned();
    for rule in ["default-src 'self'", "script-src 'self'", "object-src 'none'", "frame-ancestors 'none'"] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(
        (header(&page, "x-frame-options"), header(&page, "x-content-type-options")),
        ("DENY", "nosniff")
    );
    assert_eq!(header(&page, "referrer-policy"), "no-referrer");
    if page.status() == 404 {
        // A program without the window explains how to get it.
        assert_eq!(header(&page, "content-type"), "text/plain; charset=utf-8");
        assert!(page.text().await.unwrap().contains("npm run build"));
        return;
    }
    assert_eq!((page.status().as_u16(), header(&page, "content-type")), (200, "text/html; charset=utf-8"));
    assert_eq!(header(&page, "cache-control"), "no-cache");
    let tag = header(&page, "etag").to_owned();
    let page = page.text().await.unwrap();
    for known in [tag.clone(), format!("\"x\", W/{tag}"), "*".to_owned()] {
        let again = get(&proxy, "/ui/", &[("if-none-match", &known)]).await;
        assert_eq!((again.status().as_u16(), header(&again, "etag")), (304, tag.as_str()));
        assert_eq!(again.text().await.unwrap(), "");
    }
    assert_eq!(get(&proxy, "/ui/", &[("if-none-match", "\"other\"")]).await.status(), 200);
    let assets = assets(&page);
    assert!(assets.iter().any(|name| name.ends_with(".js")), "{page}");
    for name in assets {
        let asset = get(&proxy, &name, &[]).await;
        assert_eq!(asset.status(), 200, "{name}");
        assert_eq!(header(&asset, "cache-control"), "public, max-age=31536000, immutable", "{name}");
        assert_eq!(header(&asset, "content-security-policy"), policy, "{name}");
        assert_ne!(header(&asset, "content-type"), "application/octet-stream", "{name}");
    }
    let head = proxy.bare(Method::HEAD, &proxy.root_url("/ui/")).send().await.unwrap();
    assert_eq!((head.status().as_u16(), header(&head, "etag")), (200, tag.as_str()));
}

#[tokio::test]
async fn nothing_but_the_windows_files_is_there() {
    let proxy = Setup::fake(&json!({})).start().await;
    let (status, root) = {
        let root = get(&proxy, "/ui", &[]).await;
        (root.status().as_u16(), header(&root, "location").to_owned())
    };
    assert_eq!((status, root.as_str()), (308, "/ui/"));
    for path in [
        "/ui/nothing.js",
        "/ui/assets",
        "/ui/assets/",
        "/ui//etc/passwd",
        "/ui/..%2f..%2fCargo.toml",
        "/ui/%2e%2e/%2e%2e/Cargo.toml",
        "/ui/..%5c..%5cCargo.toml",
        "/ui/index.html%00",
        "/ui/assets/..%2findex.html",
    ] {
        let answer = get(&proxy, path, &[]).await;
        assert_eq!(answer.status(), 404, "{path}");
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(body["error"]["code"], "unknown_url", "{path}");
    }
    let post = proxy.bare(Method::POST, &proxy.root_url("/ui/")).send().await.unwrap();
    assert_eq!((post.status().as_u16(), header(&post, "allow")), (405, "GET, HEAD"));
}

#[tokio::test]
async fn only_the_proxys_own_page_gets_through_to_the_control_api() {
    // No other page is allowed, so a request that gets through comes from the proxy's own page.
    let setup = Setup::fake(&json!({})).env("PROXY_CORS_ALLOWED_ORIGINS", "https://notes.example");
    let proxy = setup.start().await;
    let own = format!("http://127.0.0.1:{}", proxy.port());
    let control = |origin: &str| proxy.control(Method::GET, "/status").header("origin", origin).send();
    let answer = control(&own).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("access-control-allow-origin"), "the page needs no leave");
    for foreign in [
        "http://127.0.0.1:1",
        "http://localhost",
        "http://evil.example",
        "null",
        &format!("https://127.0.0.1:{}", proxy.port()),
    ] {
        let answer = control(foreign).await.unwrap();
        let status = answer.status();
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!((status.as_u16(), &body["error"]["code"]), (403, &json!("forbidden_origin")), "{foreign}");
    }
    for route in ["/models", "/settings", "/clients", "/diagnostics"] {
        let answer =
            proxy.bare(Method::GET, &proxy.root_url(&format!("/control{route}"))).send().await.unwrap();
        assert_eq!(answer.status(), 401, "{route} needs the token");
    }
}

#[tokio::test]
async fn the_models_have_their_aliases_efforts_and_abilities() {
    let upstream = FakeOpenAi::start().await;
    let proxy = Setup::real(NEWEST, &upstream).start().await;
    let list = proxy.control_ok("/models", None).await;
    assert_eq!(list["default"], "codex-5");
    let models = list["models"].as_array().unwrap();
    let (_, served) = sse::json(proxy.request(Method::GET, "/models")).await;
    let served: Vec<&str> =
        served["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    let mut aliases = Vec::new();
    for model in models {
        let id = model["id"].as_str().unwrap();
        assert!(model["hidden"] == true || served.contains(&id), "{model}");
        let efforts = model["efforts"].as_array().unwrap();
        assert!(efforts.contains(&model["default_effort"]), "{model}");
        assert_eq!((&model["supports_tools"], &model["input_modalities"][0]), (&json!(true), &json!("text")));
        aliases.extend(model["aliases"].as_array().unwrap().iter().map(|alias| alias.as_str().unwrap()));
    }
    let listed: Vec<&str> = served.iter().copied().filter(|id| id.starts_with("codex-5")).collect();
    for alias in &listed {
        assert_eq!(aliases.iter().filter(|known| known == &alias).count(), 1, "{alias} of {aliases:?}");
    }
    assert!(listed.len() > 3, "{served:?}");
}

#[tokio::test]
async fn the_address_itself_says_what_it_is_and_leads_to_the_window() {
    let proxy = Setup::fake(&json!({})).start().await;
    let page = get(&proxy, "/", &[]).await;
    assert_eq!((page.status().as_u16(), header(&page, "content-type")), (200, "text/html; charset=utf-8"));
    let text = page.text().await.unwrap();
    assert!(text.contains("This is Codex Proxy") && text.contains(r#"<a href="/ui/">"#), "{text}");
    assert!(text.contains(&format!("<code>{}</code>", proxy.base_url)), "{text}");
    let other = proxy.bare(Method::POST, &proxy.root_url("/")).send().await.unwrap();
    assert_eq!(other.status(), 405);
}

fn question(proxy: &Proxy, body: &Value) -> reqwest::RequestBuilder {
    proxy.control(Method::POST, "/try").header("content-type", "application/json").body(body.to_string())
}

#[tokio::test]
async fn a_prompt_can_be_tried_without_a_key_and_is_counted() {
    let upstream = FakeOpenAi::start().await;
    let proxy = Setup::real(NEWEST, &upstream).start().await;
    upstream.push(Script::new().message(&["Hello", " there"]));
    let ask = json!({"model": "codex-5-high", "input": "Say hello."});
    let stream = SseReader::new(question(&proxy, &ask).send().await.unwrap()).await;
    let events = stream.events().await;
    let types: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!((types[0], types[types.len() - 1]), ("response.created", "response.completed"));
    assert_eq!(sse::joined(&events, "response.output_text.delta", "delta"), "Hello there");
    assert_eq!(upstream.requests()[0].last_user_text(), "Say hello.");
    assert_eq!(upstream.requests()[0].body["reasoning"]["effort"], "high");

    let requests = proxy.control_ok("/requests", None).await;
    let entry = &requests["requests"][0];
    assert_eq!(
        (&entry["route"], &entry["key"], &entry["surface"], &entry["state"]),
        (&json!("/control/try"), &json!("window"), &json!("responses"), &json!("done"))
    );
    let usage = proxy.control_ok("/usage?group=key", None).await;
    assert_eq!((&usage["data"][0]["bucket"], &usage["data"][0]["requests"]), (&json!("window"), &json!(1)));
}

#[tokio::test]
async fn a_conversation_with_an_image_can_be_tried_and_nothing_of_it_is_stored() {
    let upstream = FakeOpenAi::start().await;
    let proxy = Setup::real(NEWEST, &upstream).start().await;
    upstream.push(Script::new().message(&["It is grey."]));
    // The image makes the question larger than what the other routes of the control API take.
    let image = crate::large_images::image(400_000);
    let ask = json!({"model": "codex-5", "input": [
        {"role": "user", "content": "I send a picture."},
        {"role": "assistant", "content": "Send it."},
        {"role": "user", "content": [
            {"type": "input_text", "text": "Which colour?"}, {"type": "input_image", "image_url": image},
        ]},
    ]});
    let events = SseReader::new(question(&proxy, &ask).send().await.unwrap()).await.events().await;
    let last = &events[events.len() - 1];
    assert_eq!((&last["type"], &last["response"]["store"]), (&json!("response.completed"), &json!(false)));
    let arrived = &upstream.requests()[0];
    assert_eq!(arrived.last_user_text(), "Which colour?");
    let input = json!(arrived.input()).to_string();
    assert!(input.contains("I send a picture.") && input.contains("Send it."), "{input:.2000}");
    assert!(input.contains(&image), "the image has changed on its way");
    assert_eq!(proxy.control_ok("/store", None).await["responses"], 0);
}

#[tokio::test]
async fn a_prompt_that_nobody_waits_for_any_more_is_interrupted() {
    let upstream = FakeOpenAi::start().await;
    let proxy = Setup::real(NEWEST, &upstream).start().await;
    upstream.push(Script::new().message_held("One", &Gate::new(), " two"));
    let ask = json!({"model": "codex-5", "input": "Count."});
    let response = question(&proxy, &ask).send().await.unwrap();
    assert_eq!(response.status(), 200);
    upstream.wait_for_requests(1).await;
    drop(response);
    assert_eq!(upstream.wait_for_ending(0).await, Ending::ClosedEarly);
}

#[tokio::test]
async fn a_prompt_that_is_wrong_is_told_so() {
    let proxy = Setup::fake(&json!({})).start().await;
    for (ask, status, param) in [
        (json!({"model": "codex-5", "input": "  "}), 400, json!("input")),
        (json!({"model": "codex-5", "input": []}), 400, json!("input")),
        (json!({"model": "codex-5", "input": 7}), 400, Value::Null),
        (json!({"model": "llama-3", "input": "x"}), 404, json!("model")),
        (json!({"model": "codex-5"}), 400, Value::Null),
        (json!({"model": "codex-5", "input": "x", "tools": []}), 400, Value::Null),
    ] {
        let (got, body) = sse::json(question(&proxy, &ask)).await;
        assert_eq!((got.as_u16(), &body["error"]["param"]), (status, &param), "{ask}: {body}");
    }
    let unauthorized = proxy.bare(Method::POST, &proxy.root_url("/control/try")).bearer_auth(&proxy.key);
    assert_eq!(unauthorized.send().await.unwrap().status(), 401, "a key is no control token");
}
