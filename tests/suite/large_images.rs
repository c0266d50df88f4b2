//! Images of 20 MiB, OpenAI's limit, and their cost.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use e2e::codex_bin::NEWEST;
use e2e::fake_openai::{FakeOpenAi, Script, UPSTREAMS};
use e2e::harness::{Proxy, Setup};
use e2e::sse;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::surface::{BOTH, MODEL, Surface, error_code};

const MIB: usize = 1 << 20;

/// The data URL of a valid PNG of this many bytes and one pixel: the rest is in an ignored chunk.
pub(crate) fn image(bytes: usize) -> String {
    const PIXEL: &str =
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    let mut file = STANDARD.decode(PIXEL).unwrap();
    let end = file.split_off(file.len() - 12);
    let padding = vec![0x5a; bytes - file.len() - end.len() - 12];
    let mut crc = flate2::Crc::new();
    file.extend(u32::try_from(padding.len()).unwrap().to_be_bytes());
    for part in [&b"paDd"[..], &padding] {
        crc.update(part);
        file.extend(part);
    }
    file.extend(crc.sum().to_be_bytes());
    file.extend(end);
    assert_eq!(file.len(), bytes);
    format!("data:image/png;base64,{}", STANDARD.encode(file))
}

fn ask(surface: Surface, urls: &[&str]) -> Value {
    let parts = urls.iter().map(|url| match surface {
        Surface::Responses => json!({"type": "input_image", "image_url": url}),
        Surface::Chat => json!({"type": "image_url", "image_url": {"url": url}}),
    });
    let message = json!([{"role": "user", "content": parts.collect::<Vec<_>>()}]);
    match surface {
        Surface::Responses => json!({"model": MODEL, "input": message}),
        Surface::Chat => json!({"model": MODEL, "messages": message}),
    }
}

async fn send(proxy: &Proxy, surface: Surface, body: Bytes) -> (u16, Value) {
    let request = proxy.request(Method::POST, surface.path()).header("content-type", "application/json");
    let (status, answer) = sse::json(request.body(body)).await;
    (status.as_u16(), answer)
}

#[tokio::test]
async fn an_image_of_20_mib_reaches_the_model() {
    let url = image(20 * MIB);
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        upstream.fall_back_to(Script::text("large"));
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        for surface in BOTH {
            let (status, answer) = send(&proxy, surface, ask(surface, &[&url]).to_string().into()).await;
            assert_eq!(status, 200, "{answer:.2000}\n{}", proxy.log_text());
            let items = upstream.requests().pop().unwrap().input_without_ids();
            let content = items.last().unwrap()["content"].as_array().unwrap();
            assert!(content[0]["image_url"] == url.as_str(), "{surface:?}: it arrives to the byte");
        }
    }
}

#[tokio::test]
async fn more_than_codex_takes_in_a_line_is_told_in_figures() {
    let proxy = Setup::fake(&json!({})).start().await;
    let (large, small) = (image(20 * MIB), image(9 * MIB));
    for (surface, urls) in [(Surface::Responses, &[&*large, &large][..]), (Surface::Chat, &[&*small; 5])] {
        let (status, answer) = send(&proxy, surface, ask(surface, urls).to_string().into()).await;
        assert_eq!((status, error_code(&answer).as_str()), (413, "request_too_large"), "{answer:.2000}");
        let message = answer["error"]["message"].as_str().unwrap();
        let told = format!("of them in {} images (in Base64), but at most 50000000 are taken", urls.len());
        assert!(message.contains(&told), "{message}");
    }
    for surface in BOTH {
        let (status, answer) = send(&proxy, surface, ask(surface, &[&*large; 3]).to_string().into()).await;
        assert_eq!((status, error_code(&answer).as_str()), (413, "request_too_large"), "{answer:.2000}");
        assert!(
            answer["error"]["message"].as_str().unwrap().contains("larger than 67108864 bytes"),
            "{answer}"
        );
    }
    assert_eq!(proxy.fake_codex_pids().len(), 1, "{}", proxy.log_text());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn large_images_cost_what_they_have_a_few_times_over() {
    let proxy = Setup::fake(&json!({})).env("PROXY_IDLE_TIMEOUT_MS", "600000").start().await;
    let before = crate::costs::peak(&proxy);
    let (status, answer) =
        send(&proxy, Surface::Responses, ask(Surface::Responses, &[&image(20 * MIB)]).to_string().into())
            .await;
    assert_eq!(status, 200, "{answer}");
    let one = crate::costs::peak(&proxy) - before;
    // One copy more would be 27 MiB.
    assert!(one < 136, "one of 20 MiB took {one} MiB");
    let body = Bytes::from(ask(Surface::Responses, &[&image(9 * MIB)]).to_string());
    let answers = join_all((0..12).map(|_| send(&proxy, Surface::Responses, body.clone()))).await;
    for (status, answer) in &answers {
        assert_eq!(*status, 200, "{answer}");
    }
    let many = crate::costs::peak(&proxy) - before;
    // Of each, its 12 MiB of text are held until the answer is stored.
    assert!(many < 750, "twelve of 9 MiB took {many} MiB");
}
