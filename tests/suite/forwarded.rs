//! Forwarding headers: the proxy uses them only from trusted addresses, and a request with one never counts as a program on
//! this machine.

use e2e::harness::{Proxy, Setup};
use e2e::sse;
use http::Method;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::surface::Surface;

/// What a reverse proxy or a tunnel adds.
const SIGNS: [(&str, &str); 9] = [
    ("x-forwarded-for", "127.0.0.1"),
    ("x-forwarded-for", "::1, 127.0.0.1"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "localhost"),
    ("forwarded", "for=127.0.0.1"),
    ("x-real-ip", "127.0.0.1"),
    ("cf-connecting-ip", "127.0.0.1"),
    ("true-client-ip", "127.0.0.1"),
    ("via", "1.1 edge"),
];

async fn start(trusted: &str) -> Proxy {
    let setup =
        Setup::fake(&json!({})).env("PROXY_ENABLE_METRICS", "true").env("PROXY_TRUSTED_PROXIES", trusted);
    setup.env("PROXY_ALLOWED_HOSTS", "codex.example").start().await
}

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn whoever_comes_by_way_of_another_is_nobody_on_this_machine() {
    for trusted in ["", "127.0.0.1", "10.0.0.0/8"] {
        let proxy = start(trusted).await;
        let metrics = || proxy.bare(Method::GET, &proxy.root_url("/metrics"));
        assert_eq!(status(proxy.control(Method::GET, "/status")).await, 200, "{trusted}");
        // There may be a reverse proxy that sends no header.
        assert_eq!(status(metrics()).await, if trusted == "127.0.0.1" { 401 } else { 200 }, "{trusted}");
        for (name, value) in SIGNS {
            // A name that is not ours is refused before that.
            let foreign = (trusted, name) == ("127.0.0.1", "x-forwarded-host");
            let code = if foreign { 403 } else { 401 };
            let refused = sse::json(proxy.control(Method::GET, "/status").header(name, value)).await;
            assert_eq!(refused.0, code, "{trusted} {name}");
            let told = if foreign { "forbidden_host" } else { "invalid_control_token" };
            assert_eq!(refused.1["error"]["code"], told);
            let shutdown = proxy.control(Method::POST, "/shutdown").header(name, value);
            assert_eq!(status(shutdown).await, code, "{trusted} {name}");
            assert_eq!(status(metrics().header(name, value)).await, code, "{trusted} {name}");
            let keyed = metrics().header(name, value).bearer_auth(&proxy.key);
            let expected = if foreign { 403 } else { 200 };
            assert_eq!(status(keyed).await, expected, "{trusted} {name}");
        }
        let by_public_name = proxy.control(Method::GET, "/status").header("host", "codex.example");
        assert_eq!(status(by_public_name).await, 401);
        assert_eq!(status(metrics().header("host", "codex.example")).await, 401);
    }
}

/// nginx without settings sends no forwarding header, but uses HTTP/1.0.
#[tokio::test]
async fn a_request_of_an_old_version_is_a_reverse_proxys() {
    let proxy = start("").await;
    let token = std::fs::read_to_string(proxy.data_dir().join("control-token")).unwrap();
    let host = format!("127.0.0.1:{}", proxy.port());
    for (version, expected) in [("1.1", "200"), ("1.0", "401")] {
        for path in ["/control/status", "/metrics"] {
            let shown = if path == "/metrics" {
                String::new()
            } else {
                format!("Authorization: Bearer {}\r\n", token.trim())
            };
            let mut socket = TcpStream::connect(&host).await.unwrap();
            let head =
                format!("GET {path} HTTP/{version}\r\nHost: {host}\r\n{shown}Connection: close\r\n\r\n");
            socket.write_all(head.as_bytes()).await.unwrap();
            let mut answer = String::new();
            socket.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer.get(9..12), Some(expected), "{path} by {version}: {answer}");
        }
    }
}

async fn addresses(proxy: &Proxy) -> Vec<Value> {
    let log = proxy.control_ok("/requests", None).await;
    log["requests"].as_array().unwrap().iter().map(|entry| entry["address"].clone()).collect()
}

#[tokio::test]
async fn the_log_tells_an_address_that_only_a_trusted_proxy_can_say() {
    let ask = Surface::Chat.ask("hi");
    for (trusted, expected) in
        [("", "127.0.0.1"), ("127.0.0.0/8", "203.0.113.5"), ("::1, 10.0.0.0/8", "127.0.0.1")]
    {
        let proxy = start(trusted).await;
        let request = || proxy.post("/chat/completions", &ask);
        assert_eq!(status(request().header("x-forwarded-for", "198.51.100.7, 203.0.113.5:4711")).await, 200);
        assert_eq!(addresses(&proxy).await, [json!(expected)], "{trusted}");
        // This shows the user which address guesses keys.
        let url = format!("{}/chat/completions", proxy.base_url);
        let guess =
            proxy.bare(Method::POST, &url).bearer_auth("wrong").header("x-forwarded-for", "203.0.113.5");
        assert_eq!(status(guess).await, 401);
        assert_eq!(addresses(&proxy).await[0], json!(expected), "{trusted}");
    }
}

#[tokio::test]
async fn the_name_that_a_trusted_proxy_was_called_by_has_to_be_ours() {
    let trusted = start("127.0.0.1").await;
    let asked = async |proxy: &Proxy, hosts: &[&str]| {
        let request = proxy.request(Method::GET, "/models");
        status(hosts.iter().fold(request, |request, host| request.header("x-forwarded-host", *host))).await
    };
    for (hosts, expected) in [
        (&["codex.example"][..], 200),
        (&["codex.example:443"], 200),
        (&["evil.example"], 403),
        (&["evil.example", "codex.example"], 403),
        (&["codex.example, evil.example"], 403),
        (&[""], 403),
    ] {
        assert_eq!(asked(&trusted, hosts).await, expected, "{hosts:?}");
    }
    let standard =
        trusted.request(Method::GET, "/models").header("forwarded", "for=203.0.113.5;host=evil.example");
    assert_eq!(status(standard).await, 403);
    assert_eq!(asked(&start("").await, &["evil.example"]).await, 200, "nobody is asked about it");
}

#[tokio::test]
async fn the_sign_in_page_is_for_browsers_on_this_machine() {
    let signed_out = json!({"account": {
        "account": null, "userId": null, "requiresOpenaiAuth": true, "workspaceRouting": null,
    }});
    let setup = Setup::fake(&signed_out).env("PROXY_TRUSTED_PROXIES", "127.0.0.1").unready();
    let proxy = setup.start().await;
    let line = proxy.wait_for_log("people sign in on this page").await;
    let start = line.find("http://").unwrap();
    let url: String = line[start..].chars().take_while(|c| !c.is_whitespace() && *c != '"').collect();
    // A browser that another site has sent begins no sign-in.
    let page = || proxy.bare(Method::GET, &url).header("sec-fetch-site", "cross-site");
    assert_eq!(status(page()).await, 200);
    for (name, value) in SIGNS {
        let response = page().header(name, value).send().await.unwrap();
        assert_eq!(response.status(), 403, "{name}");
        assert!(response.text().await.unwrap().contains("reverse proxy"), "{name}");
    }
}

#[tokio::test]
async fn a_network_of_everybody_is_not_taken() {
    for value in ["0.0.0.0/0", "::/0", "*", "codex.example"] {
        let mut proxy = Setup::fake(&json!({})).env("PROXY_TRUSTED_PROXIES", value).spawn();
        assert_eq!(proxy.exit().await.code(), Some(64), "{value}");
        assert!(proxy.wait_for_log("PROXY_TRUSTED_PROXIES").await.contains("PROXY_TRUSTED_PROXIES"));
    }
}
