//! Model lists, health, and the paths that people paste.

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
    ] {
        let (status, body) = sse::json(proxy.bare(Method::GET, &proxy.root_url(path))).await;
        assert_eq!(status, 200, "{path} {body}");
        let head = proxy.bare(Method::HEAD, &proxy.root_url(path)).send().await.unwrap();
        assert_eq!((head.status().as_u16(), head.text().await.unwrap().as_str()), (200, ""), "HEAD {path}");
    }
    for surface in BOTH {
        for prefix in ["", "/v1", "/", "/v1/", "//v1", "/v1/v1", "/v1/v1/v1//"] {
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
