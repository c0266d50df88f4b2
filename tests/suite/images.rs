//! Images and files in the input.

use e2e::codex_bin::NEWEST;
use e2e::fake_openai::{FakeOpenAi, Script, UPSTREAMS};
use e2e::harness::Setup;
use e2e::sse;
use serde_json::{Value, json};

use crate::surface::{BOTH, MODEL, Surface, error_code};

const PIXEL: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

fn with_image(surface: Surface, url: &str) -> Value {
    match surface {
        Surface::Responses => json!({"model": MODEL, "input": [{"role": "user", "content": [
            {"type": "input_text", "text": "what is this?"},
            {"type": "input_image", "image_url": url, "detail": "high"},
        ]}]}),
        Surface::Chat => json!({"model": MODEL, "messages": [{"role": "user", "content": [
            {"type": "text", "text": "what is this?"},
            {"type": "image_url", "image_url": {"url": url, "detail": "high"}},
        ]}]}),
    }
}

#[tokio::test]
async fn a_data_url_reaches_the_model() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        for surface in BOTH {
            upstream.push(Script::text("a pixel"));
            let answer = surface.answer(&proxy, &with_image(surface, PIXEL)).await;
            assert_eq!(surface.text(&answer), "a pixel");
            let items = upstream.requests().pop().unwrap().input_without_ids();
            let content = items.last().unwrap()["content"].as_array().unwrap();
            assert_eq!(content[0]["text"], "what is this?");
            assert_eq!(
                (&content[1]["type"], &content[1]["image_url"]),
                (&json!("input_image"), &json!(PIXEL))
            );
        }
    }
}

#[tokio::test]
async fn addresses_that_must_not_be_fetched_are_refused() {
    let proxy = Setup::fake(&json!({})).start().await;
    let own = proxy.root_url("/healthz");
    for url in [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x.png",
        own.as_str(),
        "http://localhost:1/x.png",
        "http://[::1]:1/x.png",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/x.png",
        "http://0x7f.1/x.png",
        "http://2130706433/x.png",
        "http://[::ffff:127.0.0.1]/x.png",
        "data:text/html;base64,PGI+",
        "data:image/png;base64,@@@",
        "no url",
    ] {
        for surface in BOTH {
            let (status, body) = sse::json(proxy.post(surface.path(), &with_image(surface, url))).await;
            assert_eq!(status, 400, "{url}: {body}");
            error_code(&body);
        }
    }
}

#[tokio::test]
async fn a_text_file_is_inlined_under_its_name_and_a_binary_one_refused() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        upstream.fall_back_to(Script::text("ok"));
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        let ask = |name: &str, data: &str| {
            json!({"model": MODEL, "input": [{"role": "user", "content": [
                {"type": "input_file", "filename": name, "file_data": data},
                {"type": "input_text", "text": "read it"},
            ]}]})
        };
        proxy.post_ok("/responses", &ask("note.md", "data:text/markdown;base64,IyBIw6k=")).await;
        let text = upstream.requests().pop().unwrap().last_user_text();
        assert!(text.contains("note.md") && text.contains("# Hé") && text.contains("read it"), "{text}");
        let (status, body) =
            sse::json(proxy.post("/responses", &ask("a.pdf", "data:application/pdf;base64,JVBERi0xLjQ=")))
                .await;
        assert_eq!(status, 400, "{body}");
        assert!(body["error"]["message"].as_str().unwrap().contains("a.pdf"), "{body}");
    }
}
