//! Errors behind the proxy are visible to the client.

use e2e::codex_bin::NEWEST;
use e2e::fake_openai::{FakeOpenAi, Script};
use e2e::harness::{Proxy, Setup};
use e2e::sse;
use serde_json::{Value, json};

use crate::surface::{BOTH, Surface, error_code};

/// Asserts that a stream which had begun ends in a visible error, and returns its code.
fn stream_error(surface: Surface, events: &[Value]) -> String {
    match surface {
        Surface::Responses => {
            let error = events.iter().find(|event| event["type"] == "error").expect("an error event");
            for field in ["code", "message", "param", "sequence_number", "error"] {
                assert!(error.get(field).is_some(), "{field} is missing in {error}");
            }
            let last = events.last().unwrap();
            assert_eq!(last["type"], "response.failed", "{events:#?}");
            assert_eq!(last["response"]["status"], "failed");
            assert_eq!(last["error"]["message"], last["response"]["error"]["message"]);
            error["code"].as_str().unwrap_or_default().to_owned()
        }
        Surface::Chat => error_code(events.last().unwrap()),
    }
}

async fn still_works(proxy: &Proxy, surface: Surface) {
    let answer = surface.answer(proxy, &surface.ask("hi")).await;
    assert!(surface.text(&answer).starts_with("Hello"), "{answer}");
}

#[tokio::test]
async fn a_worker_that_dies_in_a_stream_is_seen_and_replaced() {
    let scenarios =
        json!({"die": [{"step": "text", "deltas": ["part"], "open": true}, {"step": "exit", "code": 7}]});
    let proxy = Setup::fake(&json!({"scenarios": scenarios})).start().await;
    for surface in BOTH {
        let events = surface.events(&proxy, &surface.ask("[[scenario:die]]")).await;
        assert_eq!(surface.streamed_text(&events), "part");
        assert_eq!(stream_error(surface, &events), "worker_exited");
        still_works(&proxy, surface).await;
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_worker_killed_from_outside_is_seen_and_replaced() {
    use rustix::process::{Pid, Signal, kill_process};
    let scenarios = json!({"hang": [{"step": "text", "deltas": ["part"], "open": true}, {"step": "hang"}]});
    let setup = Setup::fake(&json!({"scenarios": scenarios})).env("PROXY_WORKER_COUNT", "1");
    let proxy = setup.start().await;
    for surface in BOTH {
        let mut stream = proxy.stream(surface.path(), &surface.ask("[[scenario:hang]]")).await;
        let mut events = Vec::new();
        while surface.streamed_text(&events) != "part" {
            events.push(stream.next_data().await.expect("the stream goes on").json());
        }
        let pid = *proxy.fake_codex_pids().last().unwrap();
        kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
        events.extend(stream.events().await);
        assert_eq!(stream_error(surface, &events), "worker_exited");
        still_works(&proxy, surface).await;
    }
}

#[tokio::test]
async fn a_worker_that_dies_before_a_whole_answer_is_a_503() {
    let scenarios = json!({"die": [{"step": "exit", "code": 7}]});
    let proxy = Setup::fake(&json!({"scenarios": scenarios})).start().await;
    for surface in BOTH {
        let response = proxy.post(surface.path(), &surface.ask("[[scenario:die]]")).send().await.unwrap();
        assert_eq!(response.status(), 503);
        assert!(response.headers().contains_key("retry-after"));
        let body = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(error_code(&body), "worker_exited");
        still_works(&proxy, surface).await;
    }
}

#[tokio::test]
async fn codex_errors_have_their_statuses() {
    let cases = [
        (json!("usageLimitExceeded"), 403, "usage_limit_reached"),
        (json!("rateLimitExceeded"), 429, "rate_limit_exceeded"),
        (json!("contextWindowExceeded"), 400, "context_length_exceeded"),
        (json!("unauthorized"), 401, "login_required"),
        (json!("modelNotFound"), 404, "model_not_found"),
    ];
    for (info, status, code) in cases {
        let steps = json!([{"step": "error", "message": "it went wrong", "info": info}]);
        let proxy = Setup::fake(&steps).start().await;
        for surface in BOTH {
            let (seen, body) = sse::json(proxy.post(surface.path(), &surface.ask("hi"))).await;
            assert_eq!((seen.as_u16(), error_code(&body).as_str()), (status, code), "{info}: {body}");
        }
    }
}

#[tokio::test]
async fn a_retry_is_no_failure() {
    let steps = json!([
        {"step": "error", "message": "Reconnecting... 1/5", "willRetry": true,
         "info": {"responseStreamDisconnected": {"httpStatusCode": null}}},
        {"step": "text", "deltas": ["made it"]},
    ]);
    let proxy = Setup::fake(&steps).start().await;
    for surface in BOTH {
        let answer = surface.answer(&proxy, &surface.ask("hi")).await;
        assert_eq!(surface.text(&answer), "made it");
        let events = surface.events(&proxy, &surface.ask("hi")).await;
        assert_eq!(surface.streamed_text(&events), "made it");
    }
}

#[tokio::test]
async fn upstream_failures_are_told_through_the_real_codex() {
    let upstream = FakeOpenAi::start().await;
    let proxy = Setup::real(NEWEST, &upstream).start().await;
    let error = |kind: &str, code: Option<&str>| json!({"error": {"message": "the upstream said no", "type": kind, "code": code}});
    let refusals = [
        (400, error("invalid_request_error", None), 400, ""),
        (404, error("invalid_request_error", Some("model_not_found")), 404, "model_not_found"),
        (429, error("usage_limit_reached", None), 403, "usage_limit_reached"),
        (401, error("invalid_request_error", None), 401, "login_required"),
    ];
    for surface in BOTH {
        for (status, refusal, expected, code) in &refusals {
            upstream.push(Script::http_error(*status, refusal.clone(), &[]));
            let (seen, body) = sse::json(proxy.post(surface.path(), &surface.ask("hi"))).await;
            assert_eq!(seen, *expected, "{refusal} became {body}");
            assert!(code.is_empty() || error_code(&body) == *code, "{refusal} became {body}");
            // Codex passes the body of a 400 on as it is; the client shall read its message.
            let message = body["error"]["message"].as_str().unwrap();
            assert!(!message.contains("{\"error\""), "{message}");
        }
        upstream.push(Script::new().message(&["part"]).disconnect());
        let events = surface.events(&proxy, &surface.ask("hi")).await;
        stream_error(surface, &events);
        upstream.push(Script::new().failed("context_length_exceeded", "too long"));
        let (status, body) = sse::json(proxy.post(surface.path(), &surface.ask("hi"))).await;
        assert_eq!((status.as_u16(), error_code(&body).as_str()), (400, "context_length_exceeded"), "{body}");
    }
}

#[tokio::test]
async fn odd_output_of_a_worker_does_no_harm() {
    let steps = json!([
        {"step": "stderr_flood", "bytes": 2_000_000}, {"step": "split", "size": 7},
        {"step": "garbage", "line": "WARNING: something that is no JSON"},
        {"step": "notify", "method": "no/such/notification", "params": {"a": 1}},
        {"step": "text", "deltas": ["añ", "🦀"]},
    ]);
    let proxy = Setup::fake(&steps).start().await;
    for surface in BOTH {
        assert_eq!(surface.text(&surface.answer(&proxy, &surface.ask("hi")).await), "añ🦀");
    }
    let proxy = Setup::fake(&json!([{"step": "big_line", "bytes": 3_000_000}])).start().await;
    for surface in BOTH {
        assert_eq!(surface.text(&surface.answer(&proxy, &surface.ask("hi")).await).len(), 3_000_000);
    }
}

#[tokio::test]
async fn a_worker_that_dies_at_its_handshake_is_tried_again() {
    let faults = json!({"faults": [{"at": "initialize", "fault": "exit", "code": 1, "runs": [1]}]});
    let proxy = Setup::fake(&faults).start().await;
    assert!(proxy.fake_codex_pids().len() >= 2);
    still_works(&proxy, Surface::Chat).await;
}

#[tokio::test]
async fn without_a_sign_in_the_answer_says_how_to_sign_in() {
    let account =
        json!({"account": null, "userId": null, "requiresOpenaiAuth": true, "workspaceRouting": null});
    let proxy = Setup::fake(&json!({"account": account})).start().await;
    for surface in BOTH {
        let (status, body) = sse::json(proxy.post(surface.path(), &surface.ask("hi"))).await;
        assert_eq!((status.as_u16(), error_code(&body).as_str()), (401, "login_required"), "{body}");
        let page = proxy.control_ok("/account", None).await["sign_in_url"].as_str().unwrap().to_owned();
        assert!(body["error"]["message"].as_str().unwrap().contains(&page), "{body}");
        assert!(body["error"]["auth_url"].as_str().unwrap().starts_with("http"), "{body}");
    }
}

/// If a retry cannot help, the status says so, and the upstream gets only one request.
#[tokio::test]
async fn what_the_upstream_will_never_take_is_refused_at_once() {
    let region = json!({"error": {
        "message": "Country, region, or territory not supported", "code": "unsupported_country_region_territory",
        "type": "request_forbidden", "param": null,
    }});
    let page = json!("<!DOCTYPE html><html><title>Attention required</title>secret-of-the-gateway</html>");
    let policy = "Invalid prompt: it was flagged as potentially violating our usage policy.";
    let cases = [
        (Script::http_error(403, region, &[]), 403, "forbidden"),
        (Script::http_error(403, page, &[]), 403, "forbidden"),
        (Script::http_error(404, json!({"error": {"message": "no such path"}}), &[]), 400, "invalid_request"),
        (Script::http_error(451, json!({"error": {"message": "not here"}}), &[]), 403, "forbidden"),
        (Script::new().failed("invalid_prompt", "Invalid prompt"), 400, "invalid_request"),
        (Script::new().failed("invalid_prompt", policy), 400, "content_filter"),
    ];
    let upstream = FakeOpenAi::start().await;
    let proxy = Setup::real(NEWEST, &upstream).start().await;
    for (script, status, code) in cases {
        for surface in BOTH {
            let before = upstream.requests().len();
            upstream.push(script.clone());
            let (got, body) = sse::json(proxy.post(surface.path(), &surface.ask("hi"))).await;
            assert_eq!((got.as_u16(), error_code(&body).as_str()), (status, code), "{body}");
            assert!(!body.to_string().contains("secret-of-the-gateway"), "{body}");
            assert_eq!(upstream.requests().len(), before + 1, "{body}");
        }
    }
}
