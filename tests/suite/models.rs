//! Model lists, health, and base URLs that users paste.

use e2e::codex_bin::{FLOOR, NEWEST};
use e2e::fake_openai::FakeOpenAi;
use e2e::harness::Setup;
use e2e::sse;
use reqwest::Method;
use serde_json::json;

use crate::surface::{BOTH, Surface};

#[tokio::test]
async fn the_list_has_the_aliases_and_the_live_catalogue_with_efforts() {
    let upstream = FakeOpenAi::start().await;
    for (version, live) in
        [(NEWEST, ["gpt-6.1-sol", "gpt-6.1-sol-high"]), (FLOOR, ["gpt-5.2", "gpt-5.2-high"])]
    {
        let proxy = Setup::real(version, &upstream).start().await;
        let (status, list) = sse::json(proxy.request(Method::GET, "/models")).await;
        assert_eq!((status.as_u16(), &list["object"]), (200, &json!("list")));
        let models = list["data"].as_array().unwrap();
        let mut ids: Vec<_> = models.iter().map(|model| model["id"].as_str().unwrap()).collect();
        assert_eq!(ids[0], "codex-5", "the aliases come first");
        for id in live.into_iter().chain(["codex-5-low", "gpt-5.2-codex-XH"]) {
            assert!(ids.contains(&id), "{id} is missing in {ids:?}");
        }
        for model in models {
            assert_eq!(model["object"], "model");
            assert!(model["created"].is_u64() && model["owned_by"].is_string(), "{model}");
            let path = format!("/models/{}", model["id"].as_str().unwrap());
            let (status, one) = sse::json(proxy.request(Method::GET, &path)).await;
            assert_eq!((status.as_u16(), &one), (200, model));
        }
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), models.len(), "an id is listed twice");
    }
}

#[tokio::test]
async fn development_has_its_own_aliases() {
    let proxy = Setup::fake(&json!({})).env("PROXY_ENV", "dev").start().await;
    let (_, list) = sse::json(proxy.request(Method::GET, "/models")).await;
    assert_eq!(list["data"][0]["id"], "codev-5");
}

#[tokio::test]
async fn an_alias_says_which_model_it_became() {
    let upstream = FakeOpenAi::start().await;
    upstream.fall_back_to(e2e::fake_openai::Script::text("ok"));
    let proxy = Setup::real(NEWEST, &upstream).start().await;
    for (model, effort) in [("codex-5-high", "high"), ("codev-5.1-L", "low"), ("gpt-5.2-codex-xh", "xhigh")] {
        let mut ask = Surface::Responses.ask("hi");
        ask["model"] = json!(model);
        let response = proxy.post("/responses", &ask).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let effective = response.headers()["x-proxy-effective-model"].to_str().unwrap().to_owned();
        let request = upstream.requests().pop().unwrap();
        assert_eq!(request.body["model"], effective.as_str(), "{model}");
        assert_eq!(request.body["reasoning"]["effort"], effort, "{model}");
    }
}

#[tokio::test]
async fn a_model_is_known_to_get_if_it_is_to_post() {
    let ids = [
        "codex-5",
        "codev-5.1-L",
        "gpt-6.1-sol",
        "GPT-6.1-SOL-high",
        "gpt-6.1-sol-fast",
        "gpt-6.1-sol-fast-low",
        "gpt-4o",
        "gpt-5-2025-08-07",
        "openai/gpt-6.1-sol",
        "openai/gpt-4o-mini",
        "codex/codex-5-high",
        "llama-3",
        "anthropic/claude",
        "o3",
        "gpt-",
    ];
    for fallback in ["true", "false"] {
        let proxy = Setup::fake(&json!({})).env("PROXY_MODEL_FALLBACK", fallback).start().await;
        for id in ids {
            let mut ask = Surface::Chat.ask("hi");
            ask["model"] = json!(id);
            let (posted, refusal) = sse::json(proxy.post("/chat/completions", &ask)).await;
            for path in [format!("/models/{id}"), format!("/models/{}", id.replace('/', "%2F"))] {
                let (status, model) = sse::json(proxy.request(Method::GET, &path)).await;
                assert_eq!(status, posted, "{path} {fallback}: {model} {refusal}");
                match status.as_u16() {
                    200 => assert_eq!(
                        (&model["object"], model["id"].as_str().unwrap().to_lowercase()),
                        (&json!("model"), id.to_lowercase())
                    ),
                    status => assert_eq!((status, &model), (404, &refusal), "{path}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn health_tells_liveness_and_readiness() {
    let proxy = Setup::fake(&json!({})).start().await;
    for path in ["/healthz", "/readyz", "/livez"] {
        let (status, body) = sse::json(proxy.bare(Method::GET, &proxy.root_url(path))).await;
        assert_eq!(status, 200, "{path} {body}");
        assert_eq!(body["ok"], true, "{path} {body}");
        let head = proxy.bare(Method::HEAD, &proxy.root_url(path)).send().await.unwrap();
        assert_eq!(head.status(), 200, "HEAD {path}");
    }
    let (_, body) = sse::json(proxy.bare(Method::GET, &proxy.root_url("/healthz"))).await;
    for field in ["sandbox_mode", "backend_mode", "health", "worker_supervisor"] {
        assert!(!body[field].is_null(), "{field} is missing in {body}");
    }
}

#[tokio::test]
async fn a_worker_that_never_answers_is_not_ready() {
    let faults = json!({"faults": [{"at": "initialize", "fault": "hang"}]});
    let proxy = Setup::fake(&faults).unready().start().await;
    let (status, body) = sse::json(proxy.bare(Method::GET, &proxy.root_url("/readyz"))).await;
    assert_eq!(status, 503, "{body}");
    let (status, _) = sse::json(proxy.bare(Method::GET, &proxy.root_url("/livez"))).await;
    assert_eq!(status, 200);
    proxy.stop().await;
}

#[tokio::test]
async fn pasted_paths_answer_too() {
    let proxy = Setup::fake(&json!({})).start().await;
    for path in [
        "/models",
        "/models/",
        "/v1/models/",
        "//models",
        "/v1//models",
        "/v1/v1/models",
        "//v1/v1//models//",
        "/openai/v1/models",
        "/v1/chat/completions/models",
        "/v1/responses/models/codex-5",
        "/v1/models?api-version=2024-10-21",
    ] {
        let (status, body) = sse::json(proxy.bare(Method::GET, &proxy.root_url(path))).await;
        assert_eq!(status, 200, "{path} {body}");
        let head = proxy.bare(Method::HEAD, &proxy.root_url(path)).send().await.unwrap();
        assert_eq!((head.status().as_u16(), head.text().await.unwrap().as_str()), (200, ""), "HEAD {path}");
    }
    for surface in BOTH {
        for prefix in [
            "",
            "/v1",
            "/",
            "/v1/",
            "//v1",
            "/v1/v1",
            "/v1/v1/v1//",
            "/openai/v1",
            "/v1/chat/completions",
            "/v1/responses/",
            "/v1/models",
            "/v1/chat/completions/v1",
        ] {
            for suffix in ["", "/"] {
                let url = proxy.root_url(&format!("{prefix}{}{suffix}", surface.path()));
                let request = proxy.bare(Method::POST, &url).bearer_auth(&proxy.key);
                let request = request.header("content-type", "application/json");
                let (status, body) = sse::json(request.body(surface.ask("hi").to_string())).await;
                assert_eq!(status, 200, "{url} {body}");
            }
        }
    }
}

#[tokio::test]
async fn a_path_that_there_is_not_is_told_what_is_right() {
    let proxy = Setup::fake(&json!({})).start().await;
    for (path, told) in [
        ("/V1/chat/completions", "Write the path in lower case."),
        (
            "/openai/deployments/gpt-5/chat/completions?api-version=2024-10-21",
            "Azure's addresses are not served",
        ),
        ("/v1/engines/gpt-5/completions", "Azure's addresses are not served"),
        ("/v1/completions", "choose Chat Completions"),
        ("/api/chat", "choose an OpenAI-compatible service"),
        ("/v1/messages", "choose an OpenAI-compatible service"),
        ("/v3/responses", "The base address in a client's settings ends in /v1"),
    ] {
        let (status, body) = sse::json(proxy.bare(Method::POST, &proxy.root_url(path)).body("{}")).await;
        assert_eq!((status.as_u16(), &body["error"]["code"]), (404, &json!("unknown_url")), "{path} {body}");
        assert!(body["error"]["message"].as_str().unwrap().contains(told), "{path} {body}");
    }
}
