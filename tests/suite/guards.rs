//! Keys, hosts, origins and preflights.

use e2e::harness::{Proxy, Setup};
use e2e::sse;
use reqwest::{Method, Response};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::surface::{BOTH, Surface, error_code};

async fn fake() -> Proxy {
    Setup::fake(&json!({})).start().await
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
}

#[tokio::test]
async fn a_wrong_key_is_refused_before_the_body_is_read() {
    let proxy = fake().await;
    let wrong = format!("Bearer {}x", proxy.key);
    let prefix = format!("Bearer {}", &proxy.key[..proxy.key.len() - 1]);
    for authorization in
        [None, Some("Bearer "), Some("Bearer wrong"), Some(&wrong), Some(&prefix), Some("Basic eDp5")]
    {
        for surface in BOTH {
            let url = format!("{}{}", proxy.base_url, surface.path());
            // The body is not JSON. If the proxy read it before the check, it would answer 400.
            let mut request = proxy.bare(Method::POST, &url).body("{no json");
            if let Some(value) = authorization {
                request = request.header("authorization", value);
            }
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), 401, "{authorization:?}");
            assert_eq!(header(&response, "www-authenticate"), "Bearer realm=api");
            assert_ne!(header(&response, "x-request-id"), "");
            let text = response.text().await.unwrap();
            assert!(!text.contains(&proxy.key), "the answer gives the key away");
            assert_eq!(error_code(&serde_json::from_str(&text).unwrap()), "invalid_api_key");
        }
    }
    assert!(!proxy.log_text().contains(&proxy.key), "the log gives the key away");
}

#[tokio::test]
async fn a_refused_client_gets_its_answer_without_sending_the_body() {
    let proxy = fake().await;
    let mut socket = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    let head = format!(
        "POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: 1000000\r\n\r\n",
        proxy.port()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");
}

#[tokio::test]
async fn the_scheme_of_the_key_is_case_insensitive() {
    let proxy = fake().await;
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let url = format!("{}/responses", proxy.base_url);
        let request = proxy.bare(Method::POST, &url).header("content-type", "application/json");
        let request = request.header("authorization", format!("{scheme} {}", proxy.key));
        let response = request.body(Surface::Responses.ask("hi").to_string()).send().await.unwrap();
        assert_eq!(response.status(), 200, "{scheme}");
    }
}

#[tokio::test]
async fn verify_answers_as_a_forward_auth_wants_it() {
    let proxy = fake().await;
    let url = proxy.root_url("/verify");
    let good = proxy.bare(Method::GET, &url).bearer_auth(&proxy.key).send().await.unwrap();
    assert_eq!(good.status(), 200);
    let bad = proxy.bare(Method::GET, &url).send().await.unwrap();
    assert_eq!((bad.status().as_u16(), header(&bad, "www-authenticate")), (401, "Bearer realm=api"));
}

#[tokio::test]
async fn foreign_hosts_are_refused_and_loopback_names_are_not() {
    let proxy = fake().await;
    let port = proxy.port();
    let other = if port == 1 { 2 } else { port - 1 };
    let cases = [
        (format!("127.0.0.1:{port}"), true),
        (format!("localhost:{port}"), true),
        (format!("LOCALHOST:{port}"), true),
        (format!("[::1]:{port}"), true),
        ("evil.example".to_owned(), false),
        (format!("evil.example:{port}"), false),
        (format!("127.0.0.1.evil.example:{port}"), false),
        (format!("localhost.evil.example:{port}"), false),
        (format!("localhost:{other}"), false),
        ("localhost".to_owned(), false),
        (format!("user@localhost:{port}"), false),
        (format!("0.0.0.0:{port}"), false),
        (String::new(), false),
    ];
    for (host, allowed) in cases {
        for method in ["GET", "OPTIONS"] {
            let (status, body) = raw(&proxy, method, "/v1/models", &[("Host", &host)]).await;
            assert_eq!(status != 403 && status != 400, allowed, "{method} {host:?}: {status} {body}");
            if status == 403 {
                assert_eq!(error_code(&serde_json::from_str(&body).unwrap()), "forbidden_host");
            }
        }
    }
}

#[tokio::test]
async fn foreign_origins_are_refused_everywhere() {
    let proxy = fake().await;
    let port = proxy.port();
    let own = format!("http://127.0.0.1:{port}");
    for (origin, allowed) in [
        ("app://obsidian.md", true),
        ("capacitor://localhost", true),
        ("http://localhost", true),
        ("http://localhost:3000", true),
        ("https://localhost", true),
        (own.as_str(), true),
        ("tauri://localhost", true),
        ("http://tauri.localhost", true),
        ("null", false),
        ("https://evil.example", false),
        ("http://localhost.evil.example", false),
        ("http://localhost@evil.example", false),
        ("app://obsidian.md.evil.example", false),
        ("app://evil", false),
        ("file://", false),
    ] {
        for method in [Method::GET, Method::OPTIONS] {
            let request = proxy.request(method.clone(), "/models").header("origin", origin);
            let response = request.header("access-control-request-method", "POST").send().await.unwrap();
            let status = response.status().as_u16();
            assert_eq!(status != 403, allowed, "{method} {origin}: {status}");
            if allowed {
                assert_eq!(header(&response, "access-control-allow-origin"), origin);
                assert!(header(&response, "vary").to_ascii_lowercase().contains("origin"));
            } else {
                assert_eq!(header(&response, "access-control-allow-origin"), "");
                let body = serde_json::from_str(&response.text().await.unwrap()).unwrap();
                assert_eq!(error_code(&body), "forbidden_origin");
            }
        }
    }
}

#[tokio::test]
async fn a_page_of_another_site_reads_nothing() {
    let proxy = Setup::fake(&json!({})).env("PROXY_ENABLE_METRICS", "true").start().await;
    let get = async |path: &str, headers: &[(&str, &str)]| {
        let mut request = proxy.bare(Method::GET, &proxy.root_url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    for path in ["/v1/models", "/models", "/healthz", "/readyz", "/livez", "/metrics"] {
        for (site, mode, dest) in [
            ("cross-site", "no-cors", "image"),
            ("cross-site", "no-cors", "script"),
            ("cross-site", "navigate", "document"),
            ("cross-site", "navigate", "iframe"),
            // Another port of this machine.
            ("same-site", "no-cors", "empty"),
        ] {
            let headers = [("sec-fetch-site", site), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)];
            let (status, body) = get(path, &headers).await;
            assert_eq!(status, 403, "{path} {site} {mode} {dest}: {body}");
            assert_eq!(error_code(&serde_json::from_str(&body).unwrap()), "forbidden_origin");
        }
        for site in ["none", "same-origin"] {
            let (status, body) = get(path, &[("sec-fetch-site", site)]).await;
            assert_eq!(status, 200, "{path} {site}: {body}");
        }
    }
    for origin in ["app://obsidian.md", "http://localhost:5173"] {
        let (status, body) = get("/v1/models", &[("origin", origin), ("sec-fetch-site", "cross-site")]).await;
        assert_eq!(status, 200, "{origin}: {body}");
    }
    let link =
        [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    assert_ne!(get("/ui/", &link).await.0, 403, "a person follows a link to the window");
}

#[tokio::test]
async fn no_answer_can_be_framed_or_loaded_by_another_site() {
    let proxy = Setup::fake(&json!({})).env("PROXY_LOGIN_LISTENER", "always").start().await;
    let account =
        proxy.wait_for_account("the sign-in pages", |account| account["sign_in_url"].is_string()).await;
    let pages = account["sign_in_url"].as_str().unwrap().trim_end_matches('/').to_owned();
    let own = proxy.root_url("");
    let host = ("host", "evil.example");
    let origin = ("origin", "https://evil.example");
    for (base, method, path, (name, value)) in [
        (&own, Method::GET, "/v1/models", ("x-none", "")),
        (&own, Method::GET, "/healthz", ("x-none", "")),
        (&own, Method::GET, "/nothing", ("x-none", "")),
        (&own, Method::DELETE, "/v1/models", ("x-none", "")),
        (&own, Method::OPTIONS, "/v1/responses", ("x-none", "")),
        (&own, Method::POST, "/v1/responses", ("x-none", "")),
        (&own, Method::GET, "/control/status", ("x-none", "")),
        (&own, Method::GET, "/ui", ("x-none", "")),
        (&own, Method::GET, "/ui/", ("x-none", "")),
        (&own, Method::GET, "/ui/nothing", ("x-none", "")),
        (&own, Method::GET, "/healthz", host),
        (&own, Method::GET, "/healthz", origin),
        (&pages, Method::GET, "/", ("x-none", "")),
        (&pages, Method::GET, "/nothing", ("x-none", "")),
        (&pages, Method::DELETE, "/", ("x-none", "")),
        (&pages, Method::HEAD, "/auth/callback", ("x-none", "")),
        (&pages, Method::OPTIONS, "/", ("x-none", "")),
        (&pages, Method::GET, "/", host),
    ] {
        let request = proxy.bare(method.clone(), &format!("{base}{path}")).header(name, value);
        let response = request.send().await.unwrap();
        let about = format!("{method} {path} {name}: {}", response.status());
        assert_eq!(header(&response, "x-frame-options"), "DENY", "{about}");
        assert_eq!(header(&response, "x-content-type-options"), "nosniff", "{about}");
        assert_eq!(header(&response, "cross-origin-resource-policy"), "same-origin", "{about}");
        let policy = header(&response, "content-security-policy");
        assert!(policy.contains("frame-ancestors 'none'"), "{about}: {policy}");
    }
}

#[tokio::test]
async fn what_decides_on_a_request_is_given_once() {
    let proxy = fake().await;
    let host = format!("127.0.0.1:{}", proxy.port());
    let (good, bad) = (format!("Bearer {}", proxy.key), "Bearer wrong-wrong".to_owned());
    let json = "application/json";
    for (name, one, two) in [
        ("Authorization", good.as_str(), bad.as_str()),
        ("Authorization", &bad, &good),
        ("x-api-key", "a", "b"),
        ("api-key", "a", "b"),
        ("Host", &host, "evil.example"),
        ("Origin", "app://obsidian.md", "https://evil.example"),
        ("Sec-Fetch-Site", "none", "cross-site"),
        ("Content-Type", json, "text/plain"),
        ("Idempotency-Key", "a", "b"),
        ("Content-Length", "0", "5"),
    ] {
        let mut headers = vec![(name, one), (name, two)];
        if name != "Host" {
            headers.push(("Host", &host));
        }
        if name != "Authorization" {
            headers.push(("Authorization", &good));
        }
        let (status, body) = raw(&proxy, "POST", "/v1/responses", &headers).await;
        assert_eq!(status, 400, "{name} {one} {two}: {body}");
        let code = error_code(&serde_json::from_str(&body).unwrap());
        // The HTTP library refuses lengths that contradict each other by itself.
        let expected = if two == "5" { "malformed_request" } else { "repeated_header" };
        assert_eq!(code, expected, "{name} {one} {two}: {body}");
        assert!(!body.contains(&proxy.key), "the answer gives the key away");
    }
}

#[tokio::test]
async fn a_preflight_is_answered_without_a_key() {
    let proxy = fake().await;
    for path in ["/v1/responses", "/v1/chat/completions", "/responses", "/v1/models"] {
        let asked = "authorization, content-type, x-stainless-os, dangerously-allow-browser";
        let response = proxy
            .bare(Method::OPTIONS, &proxy.root_url(path))
            .header("origin", "app://obsidian.md")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", asked)
            .header("access-control-request-private-network", "true")
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 204, "{path}");
        assert_eq!(header(&response, "access-control-allow-origin"), "app://obsidian.md");
        let allowed = header(&response, "access-control-allow-headers").to_ascii_lowercase();
        for name in asked.split(", ") {
            assert!(allowed.contains(name), "{name} is missing in {allowed:?}");
        }
        assert!(header(&response, "access-control-allow-methods").contains("POST"));
        assert_ne!(header(&response, "access-control-max-age"), "");
        assert_eq!(header(&response, "access-control-allow-private-network"), "true");
    }
}

#[tokio::test]
async fn errors_carry_cors_headers_too() {
    let proxy = fake().await;
    let url = format!("{}/responses", proxy.base_url);
    let request = proxy.bare(Method::POST, &url).header("origin", "app://obsidian.md").body("{}");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(header(&response, "access-control-allow-origin"), "app://obsidian.md");
    let exposed = header(&response, "access-control-expose-headers").to_ascii_lowercase();
    assert!(exposed.contains("x-request-id") && exposed.contains("retry-after"), "{exposed}");
}

#[tokio::test]
async fn an_own_list_of_origins_replaces_the_default() {
    let setup = Setup::fake(&json!({})).env("PROXY_CORS_ALLOWED_ORIGINS", "https://notes.example");
    let proxy = setup.start().await;
    for (origin, status) in [("https://notes.example", 200), ("app://obsidian.md", 403)] {
        let response = proxy.request(Method::GET, "/models").header("origin", origin).send().await.unwrap();
        assert_eq!(response.status(), status, "{origin}");
    }
}

#[tokio::test]
async fn a_pattern_lets_in_its_own_origins_on_every_route_and_in_preflights() {
    let patterns = "vscode-webview://*, moz-extension://*, https://*.notes.example, http://localhost:*";
    let proxy = Setup::fake(&json!({})).env("PROXY_CORS_ALLOWED_ORIGINS", patterns).start().await;
    for (origin, allowed) in [
        ("vscode-webview://1a2b3c4d-0000", true),
        ("moz-extension://0a1b2c3d-1111", true),
        ("https://a.b.notes.example", true),
        ("http://localhost:5173", true),
        ("https://notes.example", false),
        ("https://evil-notes.example", false),
        ("https://a.notes.example.evil.example", false),
        ("https://a.notes.example:8443", false),
        ("chrome-extension://0a1b2c3d", false),
        ("app://obsidian.md", false),
        ("null", false),
    ] {
        for (method, path) in [
            (Method::OPTIONS, "/v1/responses"),
            (Method::GET, "/v1/models"),
            (Method::POST, "/v1/responses"),
            (Method::POST, "/v1/chat/completions"),
            (Method::GET, "/control/events"),
        ] {
            let request = proxy.bare(method.clone(), &proxy.root_url(path)).header("origin", origin);
            let request = request.header("access-control-request-method", "POST").body("{}");
            let response = request.send().await.unwrap();
            let status = response.status().as_u16();
            assert_eq!(status != 403, allowed, "{method} {path} {origin}: {status}");
            let told = if allowed { origin } else { "" };
            assert_eq!(header(&response, "access-control-allow-origin"), told, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn models_need_the_key_only_when_told_so() {
    for (setting, status) in [("false", 200), ("true", 401)] {
        let proxy = Setup::fake(&json!({})).env("PROXY_PROTECT_MODELS", setting).start().await;
        let url = format!("{}/models", proxy.base_url);
        let (seen, _) = sse::json(proxy.bare(Method::GET, &url)).await;
        assert_eq!(seen, status, "{setting}");
        // A key is checked even if none is needed, so that the test button of a client shows the truth.
        for (shown, status) in [("Bearer wrong", 401), ("Bearer ", status), ("Basic eDp5", status)] {
            let request = proxy.bare(Method::GET, &url).header("authorization", shown);
            assert_eq!(sse::json(request).await.0, status, "{setting} {shown}");
        }
        let (seen, _) = sse::json(proxy.request(Method::GET, "/models")).await;
        assert_eq!(seen, 200, "{setting}");
    }
}

/// A request with headers that an HTTP client would not send.
async fn raw(proxy: &Proxy, method: &str, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let mut socket = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
    let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    socket.write_all(format!("{request}\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    let text = String::from_utf8(answer).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default();
    (status, body.to_owned())
}
