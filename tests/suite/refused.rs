//! The request log lists refused requests, so that the user sees what is wrong with a client. The list is still there after a
//! restart.

use e2e::harness::{Proxy, Setup};
use e2e::sse;
use http::Method;
use serde_json::{Value, json};

use crate::surface::{BOTH, Surface, error_code};

async fn listed(proxy: &Proxy) -> Vec<Value> {
    let list = proxy.control_ok("/requests?limit=100", None).await;
    list["requests"].as_array().unwrap().clone()
}

#[tokio::test]
async fn each_reason_is_listed_with_whose_it_is_and_without_the_key() {
    let proxy = Setup::fake(&json!({})).start().await;
    let wrong = "sk-not-a-key-of-this-proxy-0123456789";
    let send = async |path: &str, headers: &[(&str, &str)]| {
        let request = proxy.bare(Method::POST, &proxy.root_url(path)).body("{}");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.send().await.unwrap().status().as_u16()
    };
    let bearer = format!("Bearer {wrong}");
    let good = format!("Bearer {}", proxy.key);
    assert_eq!(send("/v1/responses", &[("user-agent", "zed/0.200")]).await, 401);
    assert_eq!(
        send("/v1/chat/completions", &[("user-agent", "zed/0.200"), ("authorization", &bearer)]).await,
        401
    );
    assert_eq!(
        send("/v1/responses", &[("origin", "https://page.example"), ("authorization", &good)]).await,
        403
    );
    assert_eq!(send("/api/chat", &[("user-agent", "ollama-python/1"), ("authorization", &good)]).await, 404);
    let models = proxy.bare(Method::GET, &proxy.root_url("/v1/models")).header("authorization", &bearer);
    assert_eq!(models.header("user-agent", "obsidian/1").send().await.unwrap().status(), 401);
    // A browser that only opens a page is not a client.
    let favicon = proxy.bare(Method::GET, &proxy.root_url("/favicon.ico")).send().await.unwrap();
    assert_eq!(favicon.status(), 404);

    let list = listed(&proxy).await;
    let told: Vec<_> = list
        .iter()
        .map(|entry| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            (text(&entry["refusal"]["reason"]), entry["status"].as_u64().unwrap(), text(&entry["route"]))
        })
        .collect();
    let expected = [
        ("wrong_key", 401, "/v1/models"),
        ("unknown_route", 404, "/api/chat"),
        ("origin", 403, "/v1/responses"),
        ("wrong_key", 401, "/v1/chat/completions"),
        ("no_key", 401, "/v1/responses"),
    ];
    assert_eq!(told, expected.map(|(reason, status, route)| (reason.to_owned(), status, route.to_owned())));
    assert_eq!(list[3]["client"], "zed");
    assert_eq!(list[2]["refusal"]["named"], "https://page.example");
    let all = json!(list).to_string();
    assert!(!all.contains(wrong) && !all.contains(&proxy.key) && !proxy.log_text().contains(wrong), "{all}");
    let usage = proxy.control_ok("/usage?group=key", None).await;
    assert_eq!(usage["totals"]["requests"], 0, "nothing of them is counted: {usage}");
}

#[tokio::test]
async fn a_client_that_goes_on_trying_is_one_line_and_pushes_nobody_out() {
    let proxy = Setup::fake(&json!({})).start().await;
    proxy.post_ok("/responses", &Surface::Responses.ask("hi")).await;
    for n in 0..300 {
        let request = proxy
            .bare(Method::POST, &proxy.root_url("/v1/responses"))
            .header("user-agent", format!("agent/{n}"));
        assert_eq!(request.body("{}").send().await.unwrap().status(), 401);
    }
    let list = listed(&proxy).await;
    let count = |entry: &Value| entry["refusal"]["count"].as_u64();
    assert_eq!(list.iter().filter_map(count).sum::<u64>(), 300);
    assert!(list.iter().filter_map(count).count() <= 30, "{}", list.len());
    assert_eq!(list.iter().filter(|entry| entry["status"] == 200).count(), 1);
}

#[tokio::test]
async fn the_list_is_there_again_after_a_start() {
    let data = tempfile::tempdir().unwrap();
    let start = async || {
        let setup =
            Setup::fake(&json!({"scenarios": {"default": [{"step": "text", "deltas": ["an answer"]}]}}));
        setup.env("PROXY_DATA_DIR", data.path().to_str().unwrap()).start().await
    };
    let proxy = start().await;
    for surface in BOTH {
        proxy.post_ok(surface.path(), &surface.ask("hi")).await;
    }
    let (status, answer) =
        sse::json(proxy.post("/responses", &json!({"model": "none such", "input": "hi"}))).await;
    assert!(status.is_client_error(), "{answer}");
    let lines = async |proxy: &Proxy| {
        let token = std::fs::read_to_string(data.path().join("control-token")).unwrap();
        let request =
            proxy.bare(Method::GET, &proxy.root_url("/control/requests?limit=100")).bearer_auth(token.trim());
        let (_, list) = sse::json(request).await;
        list["requests"].as_array().unwrap().clone()
    };
    let mut before = lines(&proxy).await;
    assert_eq!(before.len(), 3, "{before:#?}");
    for line in &mut before {
        // The path of the request is not stored.
        assert_eq!(line["address"].take(), "127.0.0.1");
    }
    proxy.stop().await;
    let proxy = start().await;
    assert_eq!(lines(&proxy).await, before);
    proxy.post_ok("/responses", &Surface::Responses.ask("again")).await;
    let after = lines(&proxy).await;
    assert_eq!(after.len(), 4);
    assert_eq!(after[1..], before[..], "what comes stands before it");
}

#[tokio::test]
async fn a_paused_proxy_refuses_with_what_to_do_and_goes_on_when_it_is_resumed() {
    let proxy = Setup::fake(&json!({})).start().await;
    assert_eq!(proxy.control_ok("/pause", Some(&json!({}))).await, json!({"paused": true}));
    let paused = proxy.control_ok("/status", None).await;
    assert_eq!((&paused["paused"], &paused["ready"]), (&json!(true), &json!(false)), "{paused}");
    for surface in BOTH {
        let answer = proxy.post(surface.path(), &surface.ask("hi")).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), answer.headers()["x-should-retry"].to_str().unwrap()),
            (503, "false")
        );
        let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(error_code(&answer), "proxy_paused");
        assert!(answer["error"]["message"].as_str().unwrap().contains("Resume"), "{answer}");
    }
    assert_eq!(
        proxy.request(Method::GET, "/models").send().await.unwrap().status(),
        200,
        "nothing else is refused"
    );
    let probe =
        async || proxy.bare(Method::GET, &proxy.root_url("/readyz")).send().await.unwrap().status().as_u16();
    assert_eq!(probe().await, 503);
    proxy.control_ok("/resume", Some(&json!({}))).await;
    assert_eq!(probe().await, 200);
    for surface in BOTH {
        proxy.post_ok(surface.path(), &surface.ask("hi")).await;
    }
}
