//! Forms of a request's body: compressed, with a byte-order mark, in another character set.

use std::io::Write;

use e2e::codex_bin::NEWEST;
use e2e::fake_openai::{FakeOpenAi, Script, UPSTREAMS};
use e2e::harness::{Proxy, Setup};
use e2e::sse::{self, SseReader};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use reqwest::{Method, RequestBuilder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::{Value, json};

use crate::surface::{BOTH, error_code};

async fn echo() -> Proxy {
    Setup::fake(&json!([{"step": "text", "deltas": ["{{user}}"]}])).start().await
}

/// Compresses it for this `Content-Encoding`.
pub(crate) fn packed(encoding: &str, bytes: &[u8]) -> Vec<u8> {
    encoding.split(", ").fold(bytes.to_vec(), |bytes, coding| match coding {
        "zstd" => compress_to_vec(bytes.as_slice(), CompressionLevel::Fastest),
        "br" => {
            let mut out = Vec::new();
            let quick = brotli::enc::BrotliEncoderParams { quality: 5, ..Default::default() };
            brotli::BrotliCompress(&mut bytes.as_slice(), &mut out, &quick).unwrap();
            out
        }
        "gzip" | "x-gzip" => {
            written(GzEncoder::new(Vec::new(), Compression::default()), &bytes).finish().unwrap()
        }
        "deflate" => written(ZlibEncoder::new(Vec::new(), Compression::default()), &bytes).finish().unwrap(),
        other => panic!("{other} is not known"),
    })
}

fn written<W: Write>(mut to: W, bytes: &[u8]) -> W {
    to.write_all(bytes).unwrap();
    to
}

fn sent(proxy: &Proxy, path: &str, encoding: &str, body: Vec<u8>) -> RequestBuilder {
    proxy
        .request(Method::POST, path)
        .header("content-type", "application/json")
        .header("content-encoding", encoding)
        .body(body)
}

#[tokio::test]
async fn packed_requests_are_answered_on_both_surfaces_streamed_and_whole() {
    let proxy = echo().await;
    let text = "pack me ".repeat(20_000);
    for surface in BOTH {
        let ask = surface.ask(&text).to_string().into_bytes();
        let bare = written(DeflateEncoder::new(Vec::new(), Compression::default()), &ask).finish().unwrap();
        let every = ["zstd", "br", "gzip", "x-gzip", "deflate", "gzip, zstd", "br, gzip, deflate"];
        let every = every.into_iter().map(|encoding| (encoding, packed(encoding, &ask)));
        for (encoding, body) in every.chain([("deflate", bare), ("identity", ask.clone())]) {
            let (status, answer) = sse::json(sent(&proxy, surface.path(), encoding, body)).await;
            assert_eq!(status, 200, "{encoding}: {answer}");
            assert!(surface.text(&answer) == text, "{encoding}");
        }
        let mut ask = surface.ask(&text);
        ask["stream"] = true.into();
        for encoding in ["zstd", "gzip", "br"] {
            let body = packed(encoding, ask.to_string().as_bytes());
            let response = sent(&proxy, surface.path(), encoding, body).send().await.unwrap();
            let events = SseReader::new(response).await.events().await;
            assert!(surface.streamed_text(&events) == text, "{encoding}");
        }
    }
}

#[tokio::test]
async fn what_was_packed_reaches_the_model_to_the_byte() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        upstream.fall_back_to(Script::text("ok"));
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        for encoding in ["zstd", "br", "gzip"] {
            for surface in BOTH {
                let text = format!("ünïcödé 🦀\r\n\u{feff} {encoding}");
                let body = packed(encoding, surface.ask(&text).to_string().as_bytes());
                assert_eq!(sse::json(sent(&proxy, surface.path(), encoding, body)).await.0, 200);
                assert_eq!(upstream.requests().pop().unwrap().last_user_text(), text, "{surface:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_control_api_unpacks_too() {
    let proxy = echo().await;
    for (number, encoding) in ["zstd", "br", "gzip", "deflate"].into_iter().enumerate() {
        let name = format!("client-{number}");
        let made = |body: Vec<u8>| {
            proxy.control(Method::POST, "/keys").header("content-encoding", encoding).body(body)
        };
        let body = packed(encoding, json!({"name": name}).to_string().as_bytes());
        let (status, answer) = sse::json(made(body)).await;
        assert_eq!(status, 200, "{encoding}: {answer}");
        let (status, answer) = sse::json(made(packed(encoding, &vec![b' '; 100_000]))).await;
        assert_eq!((status.as_u16(), error_code(&answer).as_str()), (413, "request_too_large"), "{encoding}");
    }
    for (method, path, body) in [
        (Method::POST, "/try", json!({"model": "codex-5", "input": "hi"})),
        (Method::PUT, "/logs/level", json!({"filter": "info"})),
        (Method::PATCH, "/keys/client-0", json!({"enabled": false})),
    ] {
        let body = packed("zstd", body.to_string().as_bytes());
        let request = proxy.control(method, path).header("content-encoding", "zstd").body(body);
        let response = request.send().await.unwrap();
        let status = response.status();
        assert_eq!(status, 200, "{path}: {}", response.text().await.unwrap());
    }
    let request = proxy.control(Method::POST, "/keys").header("content-encoding", "compress").body("{}");
    assert_eq!(sse::json(request).await.0, 415);
}

#[tokio::test]
async fn what_cannot_be_unpacked_is_refused_with_what_can() {
    let proxy = Setup::fake(&json!({})).env("PROXY_MAX_BODY_BYTES", "100000").start().await;
    for surface in BOTH {
        let ask = surface.ask("hi").to_string().into_bytes();
        for encoding in ["zstd", "br", "gzip", "deflate"] {
            let whole = packed(encoding, &ask);
            for body in [whole[..whole.len() / 2].to_vec(), ask.clone(), [whole.as_slice(), b"{}"].concat()] {
                let (status, answer) = sse::json(sent(&proxy, surface.path(), encoding, body)).await;
                assert_eq!(status, 400, "{encoding}: {answer}");
                assert_eq!(error_code(&answer), "invalid_content_encoding");
                let message = format!(
                    "The request body is not valid {encoding}, as its Content-Encoding says, or not the whole of it. Send \
                     it whole, or as it is and without Content-Encoding."
                );
                assert_eq!(answer["error"]["message"], message);
            }
            let large = surface.ask(&"x".repeat(100_000)).to_string();
            let (status, answer) =
                sse::json(sent(&proxy, surface.path(), encoding, packed(encoding, large.as_bytes()))).await;
            assert_eq!((status.as_u16(), error_code(&answer).as_str()), (413, "request_too_large"));
            assert_eq!(
                answer["error"]["message"],
                "The request body has more than 100000 bytes when it is unpacked. Send less, or raise PROXY_MAX_BODY_BYTES."
            );
        }
        for encoding in ["compress", "dcz", "zstd, aws-chunked"] {
            let response = sent(&proxy, surface.path(), encoding, ask.clone()).send().await.unwrap();
            assert_eq!(response.status(), 415, "{encoding}");
            assert_eq!(response.headers()["accept-encoding"], "zstd, br, gzip, deflate");
            let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
            assert_eq!(error_code(&answer), "unsupported_content_encoding");
            let last = encoding.rsplit(", ").next().unwrap();
            assert_eq!(
                answer["error"]["message"],
                format!(
                    "The Content-Encoding '{last}' is not supported. Send the body as it is, or as one of zstd, br, gzip, deflate."
                )
            );
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_bomb_costs_no_more_than_a_body_may() {
    let proxy = Setup::fake(&json!({})).start().await;
    let zeros = vec![b' '; 150_000_000];
    let bombs =
        ["zstd", "gzip", "deflate", "gzip, gzip"].map(|encoding| (encoding, packed(encoding, &zeros)));
    drop(zeros);
    for (encoding, bomb) in bombs {
        let (status, answer) = sse::json(sent(&proxy, "/responses", encoding, bomb)).await;
        assert_eq!((status.as_u16(), error_code(&answer).as_str()), (413, "request_too_large"), "{encoding}");
    }
    let peak = crate::costs::peak(&proxy);
    assert!(peak < 200, "{peak} MiB");
}

#[tokio::test]
async fn a_byte_order_mark_is_passed_over() {
    let proxy = echo().await;
    for surface in BOTH {
        let ask = format!("\u{feff}{}", surface.ask("marked"));
        let (status, answer) = sse::json(proxy.request(Method::POST, surface.path()).body(ask.clone())).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(surface.text(&answer), "marked");
        let answer = sse::json(sent(&proxy, surface.path(), "gzip", packed("gzip", ask.as_bytes()))).await;
        assert_eq!(answer.0, 200, "{}", answer.1);
    }
    let (status, answer) =
        sse::json(proxy.control(Method::POST, "/keys").body("\u{feff}{\"name\": \"marked\"}")).await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test]
async fn other_characters_are_told_with_the_way_out() {
    let proxy = echo().await;
    for surface in BOTH {
        let ask = surface.ask("h\u{fc}").to_string();
        let wide =
            |mark: &str| format!("{mark}{ask}").encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        let wider = ask.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect::<Vec<_>>();
        let latin: Vec<u8> = ask.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        for (kind, body, told) in [
            (
                "application/json; charset=utf-16",
                wide("\u{feff}"),
                "is UTF-16, but JSON has to be UTF-8. Send it as UTF-8",
            ),
            ("application/json", wide(""), "is UTF-16, but JSON has to be UTF-8"),
            ("application/json", wider, "is UTF-32, but JSON has to be UTF-8"),
            (
                "application/json; charset=iso-8859-1",
                latin.clone(),
                "is in the charset 'iso-8859-1' by its Content-Type",
            ),
            ("application/json", latin, "is not valid UTF-8 (byte"),
        ] {
            let request = proxy.request(Method::POST, surface.path()).header("content-type", kind).body(body);
            let (status, answer) = sse::json(request).await;
            assert_eq!(
                (status.as_u16(), error_code(&answer).as_str()),
                (400, "invalid_json"),
                "{kind}: {answer}"
            );
            let message = answer["error"]["message"].as_str().unwrap();
            assert!(message.starts_with(&format!("The request body {told}")), "{message}");
        }
        let request = proxy
            .request(Method::POST, surface.path())
            .header("content-type", "application/json; charset=latin1");
        assert_eq!(sse::json(request.body(ask)).await.0, 200, "it is UTF-8, whatever it says");
    }
}
