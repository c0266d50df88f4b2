//! Images and files in the input.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::codex_bin::NEWEST;
use e2e::fake_openai::{FakeOpenAi, Gate, Script, UPSTREAMS};
use e2e::harness::{Proxy, Setup};
use e2e::sse::{self, SseReader};
use flate2::Compression;
use flate2::write::ZlibEncoder;
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

/// A PNG of this size whose pixels are `pixels`, compressed or not.
fn png(width: u32, height: u32, pixels: &[u8]) -> String {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8], data: &[u8]| {
        file.extend(u32::try_from(data.len()).unwrap().to_be_bytes());
        let mut crc = flate2::Crc::new();
        for part in [kind, data] {
            crc.update(part);
            file.extend(part);
        }
        file.extend(crc.sum().to_be_bytes());
    };
    let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
    chunk(b"IHDR", &[&size[..], &[8, 2, 0, 0, 0]].concat());
    chunk(b"IDAT", pixels);
    chunk(b"IEND", b"");
    format!("data:image/png;base64,{}", STANDARD.encode(file))
}

/// A small file with a large picture that Codex re-encodes to a large file: noise that moves one pixel in each line.
fn noise(side: usize) -> String {
    let mut state = 1_u32;
    let line: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
    .take(side * 3)
    .collect();
    let mut pixels = ZlibEncoder::new(Vec::new(), Compression::default());
    for y in 0..side {
        pixels.write_all(&[0]).unwrap();
        pixels.write_all(&line[y * 3..]).unwrap();
        pixels.write_all(&line[..y * 3]).unwrap();
    }
    let side = u32::try_from(side).unwrap();
    png(side, side, &pixels.finish().unwrap())
}

fn with_images(urls: &[String]) -> Value {
    let images = urls.iter().map(|url| json!({"type": "input_image", "image_url": url}));
    json!({"model": MODEL, "input": [{"role": "user", "content": images.collect::<Vec<_>>()}]})
}

/// The streams of clients that have had a part of their answers; the rest comes when the gate is opened.
async fn half_told(upstream: &FakeOpenAi, proxy: &Proxy, gate: &Gate) -> Vec<SseReader> {
    let mut streams = Vec::new();
    for _ in 0..10 {
        upstream.push(Script::new().message_held("one ", gate, "two"));
        let mut stream = proxy.stream("/responses", &Surface::Responses.ask("count")).await;
        stream.until("response.output_text.delta").await;
        streams.push(stream);
    }
    streams
}

async fn assert_goes_on(streams: Vec<SseReader>, proxy: &Proxy) {
    for stream in streams {
        let last = stream.events().await.pop().unwrap();
        assert_eq!(last["type"], "response.completed", "{last}\n{}", proxy.log_text());
    }
}

async fn refused(proxy: &Proxy, surface: Surface, ask: &Value, status: u16, code: &str) -> String {
    let (got, body) = sse::json(proxy.post(surface.path(), ask)).await;
    assert_eq!((got.as_u16(), error_code(&body).as_str()), (status, code), "{body}\n{}", proxy.log_text());
    body["error"]["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_request_that_is_too_much_fails_alone() {
    // Six images that make a line of 79 MB.
    let images = vec![png(1, 1, &vec![7; 9_900_000]); 6];
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = Setup::real(NEWEST, &upstream).env("PROXY_MAX_BODY_BYTES", "134217728").start().await;
        let gate = Gate::new();
        let streams = half_told(&upstream, &proxy, &gate).await;
        let message =
            refused(&proxy, Surface::Responses, &with_images(&images), 413, "request_too_large").await;
        assert!(message.contains("in 6 images") && message.contains("at most 50000000"), "{message}");
        gate.open();
        assert_goes_on(streams, &proxy).await;
    }
}

#[tokio::test]
async fn images_of_which_codex_makes_too_much_fail_alone() {
    let images = vec![noise(4096), noise(4097)];
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = Setup::real(NEWEST, &upstream)
            // Codex sends nothing while it works on the images.
            .env("PROXY_IDLE_TIMEOUT_MS", "600000")
            .env("PROXY_TIMEOUT_MS", "600000")
            .start()
            .await;
        let gate = Gate::new();
        let streams = half_told(&upstream, &proxy, &gate).await;
        let message =
            refused(&proxy, Surface::Responses, &with_images(&images), 400, "invalid_request").await;
        assert!(message.contains("too large for Codex"), "{message}");
        gate.open();
        assert_goes_on(streams, &proxy).await;
        let many: Vec<_> = images.iter().cycle().take(16).cloned().collect();
        let message =
            refused(&proxy, Surface::Responses, &with_images(&many), 413, "request_too_large").await;
        assert!(message.contains("16 images of this request have more than"), "{message}");
    }
}

#[tokio::test]
async fn text_that_is_too_much_fails_alone() {
    let proxy = Setup::fake(&json!({})).env("PROXY_MAX_BODY_BYTES", "134217728").start().await;
    let large = "x".repeat(70_000_000);
    for surface in BOTH {
        refused(&proxy, surface, &surface.ask(&large), 400, "context_length_exceeded").await;
    }
    // What is sealed has no known number of tokens.
    let sealed = json!({"model": MODEL, "input": [
        {"type": "reasoning", "summary": [], "encrypted_content": large}, {"role": "user", "content": "hi"},
    ]});
    let message = refused(&proxy, Surface::Responses, &sealed, 413, "request_too_large").await;
    assert!(message.contains("70000002 bytes for the model, but at most 50000000"), "{message}");
    Surface::Responses.answer(&proxy, &Surface::Responses.ask("hi")).await;
    assert_eq!(proxy.fake_codex_pids().len(), 1, "{}", proxy.log_text());
}

/// A GIF of 35 bytes whose header states this many pixels per side: Codex would need 20 GB for it.
const HUGE_GIF: &str = "data:image/gif;base64,R0lGODlh/////4AAAAAAAP///ywAAAAAAQABAAACAkwBADs=";

#[tokio::test]
async fn a_picture_of_too_many_pixels_is_refused_by_its_header() {
    let proxy = Setup::fake(&json!({})).start().await;
    let huge = png(20_000, 20_000, b"");
    for (url, size) in [(huge.as_str(), "20000 x 20000"), (HUGE_GIF, "65535 x 65535")] {
        let asks = BOTH.map(|surface| (surface, with_image(surface, url)));
        let call = json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"});
        let output = json!({"type": "function_call_output", "call_id": "c", "output": [
            {"type": "input_image", "image_url": url},
        ]});
        let in_output = json!({"model": MODEL, "input": [{"role": "user", "content": "go"}, call, output]});
        let calls = json!([{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
        let in_tool_message = json!({"model": MODEL, "messages": [
            {"role": "user", "content": "go"},
            {"role": "assistant", "tool_calls": calls},
            {"role": "tool", "tool_call_id": "c", "content": [{"type": "image_url", "image_url": {"url": url}}]},
        ]});
        let in_outputs = [(Surface::Responses, in_output), (Surface::Chat, in_tool_message)];
        for (surface, ask) in asks.into_iter().chain(in_outputs) {
            let message = refused(&proxy, surface, &ask, 400, "invalid_image_url").await;
            assert!(message.contains(size) && message.contains("at most 67108864"), "{message}");
        }
    }
}
