//! A gateway that answers with a web page: the page must not appear in a message or a stream.

use e2e::codex_bin::NEWEST;
use e2e::fake_openai::{FakeOpenAi, Script, UPSTREAMS, Upstream};
use e2e::harness::Setup;
use e2e::sse;
use serde_json::{Value, json};

use crate::surface::{BOTH, Surface};

const CHALLENGE: &str = "<!DOCTYPE html>\n<html lang=\"en-US\"><head><title>Just a moment...</title><meta http-equiv=\"refresh\" \
                         content=\"360\"></head><body class=\"no-js\"><script>window._cf_chl_opt={cvId:'3'}</script></body></html>";
const NGINX: &str = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n\
                     <hr><center>nginx</center>\r\n</body>\r\n</html>\r\n";
const UNKNOWN: &str =
    "\u{feff}<!-- Copyright --><head><title>| 520: Web server is returning an unknown error</title></head>";

#[tokio::test]
async fn a_gateways_page_is_told_as_a_sentence() {
    let huge = format!("<?xml version=\"1.0\"?><html><body>{}</body></html>", "<p>busy</p>".repeat(30_000));
    let cases = [(403, CHALLENGE), (502, NGINX), (503, huge.as_str()), (520, UNKNOWN)];
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = Setup::real(NEWEST, &upstream).env("PROXY_LOG", "debug").start().await;
        for (status, page) in cases {
            upstream.fall_back_to(Script::http_error(status, json!(page), &[("cf-ray", "1-FRA")]));
            upstream.refuse_upgrades(Some((status, json!(page))));
            for surface in BOTH {
                // A signed-in Codex tries again for half a minute if the status allows it.
                let patient = kind == Upstream::SignedIn && status != 403;
                if patient && (status, surface) != (502, Surface::Responses) {
                    continue;
                }
                let events = surface.events(&proxy, &surface.ask("hi")).await;
                is_clean(kind, status, streamed(surface, &events));
                assert!(!json!(events).to_string().contains("title>"), "{events:?}");
                if patient {
                    continue;
                }
                let (got, body) = sse::json(proxy.post(surface.path(), &surface.ask("hi"))).await;
                let expected = match status {
                    403 => 403,
                    503 => 503,
                    _ => 502,
                };
                assert_eq!(got, expected, "{kind:?} {status}: {body:.3000}");
                is_clean(kind, status, body["error"]["message"].as_str().unwrap());
            }
        }
        for line in proxy.log_text().lines() {
            assert!(!line.contains("<title") && !line.contains("<p>busy"), "{line:.1000}");
        }
    }
}

fn streamed(surface: Surface, events: &[Value]) -> &str {
    let error = match surface {
        Surface::Responses => &events.iter().find(|event| event["type"] == "error").unwrap()["message"],
        Surface::Chat => &events.last().unwrap()["error"]["message"],
    };
    error.as_str().unwrap()
}

fn is_clean(kind: Upstream, status: u16, message: &str) {
    assert!(message.contains(&status.to_string()), "{kind:?} {status}: {message:.2000}");
    // After retries, Codex reports only the status.
    let told = message.contains("with a web page") || message.contains("exceeded retry limit");
    assert!(told, "{kind:?} {status}: {message:.2000}");
    assert!(!message.contains(['<', '>']) && message.len() < 400, "{kind:?} {status}: {message:.2000}");
}
