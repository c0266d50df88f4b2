//! Who may reach the proxy: checks the `Host`, checks the `Origin` of the calling page, and adds the CORS
//! headers.
//!
//! A page on the web can make a browser send requests to the proxy; its `Origin` shows that. If the name of a
//! page was made to point at this machine (DNS rebinding), the `Host` shows it. For requests that have no
//! origin, such as those for an image or a script, `Sec-Fetch-Site` shows it, which no page can set.

use std::net::IpAddr;

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, ORIGIN, VARY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use super::error::Error;
use super::origins::split_port;
use super::{Cors, Origins, ui};
use crate::secret::redact::redact;

const REQUEST_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// Headers that decide on a request or on how it is read. If one is present twice, two programs on the way may
/// use different ones. (The HTTP library refuses lengths that contradict each other.)
const ONCE: [HeaderName; 8] = [
    HOST,
    ORIGIN,
    HeaderName::from_static("sec-fetch-site"),
    AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    CONTENT_TYPE,
    HeaderName::from_static("idempotency-key"),
];

/// Headers that keep other sites from framing an answer, from loading it as a part of their page, and from using
/// it as another type. They have no effect on pages that may call: these read the answer by CORS.
pub(super) const SHIELD: [(HeaderName, &str); 4] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Names of the response headers that pages may read.
const EXPOSED: &str = "x-request-id, x-proxy-ignored-params, x-proxy-unmet-params, x-proxy-effective-model, x-proxy-effective-effort, retry-after, \
     x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, \
     x-ratelimit-primary-used-percent, x-ratelimit-primary-window-minutes, x-ratelimit-primary-reset-at, \
     x-ratelimit-secondary-used-percent, x-ratelimit-secondary-window-minutes, x-ratelimit-secondary-reset-at";

/// Checks hosts and origins.
#[derive(Debug, Clone)]
pub struct Guard {
    port: u16,
    allowed_hosts: Vec<String>,
    cors: Cors,
}

impl Guard {
    /// A guard for a proxy on `port`.
    pub fn new(port: u16, allowed_hosts: Vec<String>, cors: Cors) -> Self {
        Self { port, allowed_hosts, cors }
    }

    /// Refuses a request that was not meant for this proxy, or that a page of another site sends.
    pub fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Error> {
        if let Some(name) = ONCE.iter().find(|name| headers.get_all(*name).iter().nth(1).is_some()) {
            return Err(Error::Repeated(name.clone()));
        }
        let host = headers.get(HOST).map(whole).unwrap_or_default();
        if !self.is_ours(host) {
            return Err(Error::ForbiddenHost(headers.get(HOST).map(told).unwrap_or_default()));
        }
        if let Some(authority) = uri.authority().filter(|authority| !self.is_ours(authority.as_str())) {
            return Err(Error::ForbiddenHost(redact(authority.as_str()).into_owned()));
        }
        match headers.get(ORIGIN) {
            Some(origin) if self.may_call(origin) || is_same_origin(whole(origin), host) => Ok(()),
            Some(origin) => Err(Error::ForbiddenOrigin(told(origin))),
            None if self.may_come(method, uri, headers) => Ok(()),
            None => Err(Error::CrossSite),
        }
    }

    /// Refuses a request for which a trusted reverse proxy reports a host name that is not allowed.
    pub(super) fn check_forwarded(&self, hosts: &[HeaderValue]) -> Result<(), Error> {
        match hosts.iter().find(|host| !self.is_ours(whole(host))) {
            Some(host) => Err(Error::ForbiddenHost(told(host))),
            None => Ok(()),
        }
    }

    /// Whether a request without an origin comes from a program, from our own page, or from a person who opens
    /// the window.
    fn may_come(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
        let says = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
        if self.cors.origins == Origins::Any
            || matches!(says("sec-fetch-site"), None | Some(b"none" | b"same-origin"))
        {
            return true;
        }
        // A link to the window may be followed: its files hold no secret, and no page can frame or read them.
        matches!(*method, Method::GET | Method::HEAD)
            && ui::has(uri.path())
            && says("sec-fetch-mode") == Some(b"navigate")
            && says("sec-fetch-dest") == Some(b"document")
    }

    /// Adds the headers that let a page read the response.
    pub fn add_cors(&self, request: &HeaderMap, response: &mut HeaderMap) {
        response.entry(VARY).or_insert(HeaderValue::from_static("origin"));
        let Some(origin) = request.get(ORIGIN).filter(|origin| self.cors.enabled && self.may_call(origin))
        else {
            return;
        };
        response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        response.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }

    /// Adds the answer to a preflight. All headers that it names are allowed; the key decides on the request.
    pub fn add_preflight(&self, request: &HeaderMap, response: &mut HeaderMap) {
        response.insert(
            VARY,
            HeaderValue::from_static(
                "origin, access-control-request-method, access-control-request-headers, access-control-request-private-network",
            ),
        );
        if !self.cors.enabled
            || !request.contains_key(ORIGIN)
            || !request.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        {
            return;
        }
        response.insert(
            ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("GET, HEAD, POST, DELETE, OPTIONS"),
        );
        response.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        if let Some(headers) = request.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            response.insert(ACCESS_CONTROL_ALLOW_HEADERS, headers.clone());
        }
        if request.get(REQUEST_PRIVATE_NETWORK).is_some_and(|asked| asked == "true") {
            response.insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
        }
    }

    fn is_ours(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        if host.is_empty() {
            return false;
        }
        let (name, port) = split_port(&host);
        if self.allowed_hosts.iter().any(|allowed| *allowed == host || *allowed == name) {
            return true;
        }
        let ours = match port {
            Some(port) => port.parse() == Ok(self.port),
            None => self.port == 80,
        };
        ours && is_loopback(name)
    }

    fn may_call(&self, origin: &HeaderValue) -> bool {
        self.cors.origins.have(whole(origin))
    }
}

/// The value that is checked. A value that is not text becomes one that is never allowed.
fn whole(value: &HeaderValue) -> &str {
    std::str::from_utf8(value.as_bytes()).unwrap_or("\u{fffd}")
}

/// The value as an error message shows it.
fn told(value: &HeaderValue) -> String {
    // Before it is shortened: half a key would not be recognized.
    redact(&String::from_utf8_lossy(value.as_bytes())).chars().take(200).collect()
}

/// Whether a `Host` header holds a loopback name of this machine, with or without a port.
pub(super) fn is_loopback_host(host: &str) -> bool {
    is_loopback(split_port(&host.to_ascii_lowercase()).0)
}

fn is_loopback(name: &str) -> bool {
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    name == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether `origin` is the proxy's own page. `host` is already checked.
fn is_same_origin(origin: &str, host: &str) -> bool {
    let (origin, host) = (origin.to_ascii_lowercase(), host.to_ascii_lowercase());
    is_loopback(split_port(&host).0) && origin.strip_prefix("http://") == Some(&host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Pattern;

    fn guard(allowed_hosts: &[&str], origins: Origins) -> Guard {
        let allowed = allowed_hosts.iter().map(|host| (*host).to_owned()).collect();
        Guard::new(11435, allowed, Cors { enabled: true, origins })
    }

    fn listed(origins: &[&str]) -> Origins {
        Origins::List(origins.iter().map(|origin| Pattern::parse(origin).unwrap()).collect())
    }

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn only_loopback_names_with_our_port_and_listed_hosts_are_ours() {
        let guard = guard(&["codex.example", "proxy.lan:8080"], Origins::Default);
        let cases = [
            ("127.0.0.1:11435", true),
            ("127.9.9.9:11435", true),
            ("localhost:11435", true),
            ("LocalHost:11435", true),
            ("[::1]:11435", true),
            ("codex.example", true),
            ("codex.example:443", true),
            ("proxy.lan:8080", true),
            ("proxy.lan", false),
            ("127.0.0.1", false),
            ("127.0.0.1:80", false),
            ("localhost:011435x", false),
            ("evil.example:11435", false),
            ("localhost.evil.example:11435", false),
            ("127.0.0.1.evil.example:11435", false),
            ("0.0.0.0:11435", false),
            ("192.168.1.2:11435", false),
            ("", false),
        ];
        for (host, expected) in cases {
            let result = guard.check(&Method::GET, &Uri::from_static("/"), &headers(&[(HOST, host)]));
            assert_eq!(result.is_ok(), expected, "{host}");
        }
        assert!(
            guard.check(&Method::GET, &Uri::from_static("/"), &HeaderMap::new()).is_err(),
            "no host at all"
        );
        let absolute = Uri::from_static("http://evil.example/v1/models");
        assert!(guard.check(&Method::GET, &absolute, &headers(&[(HOST, "127.0.0.1:11435")])).is_err());
    }

    #[test]
    fn foreign_origins_are_refused() {
        let guard = guard(&[], Origins::Default);
        let cases = [
            ("app://obsidian.md", true),
            ("capacitor://localhost", true),
            ("http://localhost", true),
            ("http://localhost:5173", true),
            ("https://localhost", true),
            ("http://127.0.0.1:8080", true),
            ("tauri://localhost", true),
            ("http://tauri.localhost", true),
            ("null", false),
            ("", false),
            ("https://evil.example", false),
            ("http://localhost.evil.example", false),
            ("http://localhost:80@evil.example", false),
            ("http://localhost:99999", false),
            ("https://localhost:8443", false),
            ("http://127.0.0.1.evil.example", false),
            ("http://[::1]", false),
            ("app://obsidian.md.evil", false),
        ];
        for (origin, expected) in cases {
            let request = headers(&[(HOST, "127.0.0.1:11435"), (ORIGIN, origin)]);
            assert_eq!(
                guard.check(&Method::GET, &Uri::from_static("/"), &request).is_ok(),
                expected,
                "{origin}"
            );
        }
    }

    #[test]
    fn the_proxys_own_page_may_call_whatever_is_listed() {
        let guard = guard(&["codex.example"], listed(&["https://a.example"]));
        let cases = [
            ("127.0.0.1:11435", "http://127.0.0.1:11435", true),
            ("[::1]:11435", "http://[::1]:11435", true),
            ("localhost:11435", "http://LOCALHOST:11435", true),
            ("localhost:11435", "http://localhost:8080", false),
            ("localhost:11435", "http://127.0.0.1:11435", false),
            ("localhost:11435", "https://localhost:11435", false),
            ("codex.example", "http://codex.example", false),
        ];
        for (host, origin, expected) in cases {
            let request = headers(&[(HOST, host), (ORIGIN, origin)]);
            assert_eq!(
                guard.check(&Method::GET, &Uri::from_static("/"), &request).is_ok(),
                expected,
                "{host} {origin}"
            );
        }
    }

    #[test]
    fn without_an_origin_only_what_no_foreign_page_asks_comes_in() {
        let site = HeaderName::from_static("sec-fetch-site");
        let (mode, dest) =
            (HeaderName::from_static("sec-fetch-mode"), HeaderName::from_static("sec-fetch-dest"));
        let check = |guard: &Guard, method, path, site_says, mode_says, dest_says| {
            let pairs = [
                (HOST, "127.0.0.1:11435"),
                (site.clone(), site_says),
                (mode.clone(), mode_says),
                (dest.clone(), dest_says),
            ];
            guard.check(&method, &Uri::from_static(path), &headers(&pairs)).is_ok()
        };
        let (own, any) = (guard(&[], Origins::Default), guard(&[], Origins::Any));
        for (path, says, mode, dest, expected) in [
            ("/v1/models", "none", "navigate", "document", true),
            ("/v1/models", "none", "no-cors", "empty", true),
            ("/v1/models", "same-origin", "cors", "empty", true),
            ("/v1/models", "same-site", "no-cors", "image", false),
            ("/v1/models", "cross-site", "no-cors", "script", false),
            ("/v1/models", "cross-site", "navigate", "document", false),
            ("/v1/models", "", "no-cors", "empty", false),
            ("/v1/models", "Same-Origin", "no-cors", "empty", false),
            ("/ui/", "cross-site", "navigate", "document", true),
            ("/ui", "same-site", "navigate", "document", true),
            ("/ui/", "cross-site", "navigate", "iframe", false),
            ("/ui/assets/index.js", "cross-site", "no-cors", "script", false),
            ("/uix", "cross-site", "navigate", "document", false),
        ] {
            assert_eq!(
                check(&own, Method::GET, path, says, mode, dest),
                expected,
                "{path} {says} {mode} {dest}"
            );
            assert!(check(&any, Method::GET, path, says, mode, dest), "{path} {says} {mode} {dest}");
        }
        assert!(!check(&own, Method::POST, "/ui/", "cross-site", "navigate", "document"));
        let allowed = [(HOST, "127.0.0.1:11435"), (ORIGIN, "app://obsidian.md"), (site, "cross-site")];
        assert!(own.check(&Method::GET, &Uri::from_static("/v1/models"), &headers(&allowed)).is_ok());
    }

    #[test]
    fn what_decides_is_given_once() {
        let guard = guard(&[], Origins::Any);
        for name in ONCE {
            let mut twice = headers(&[(HOST, "127.0.0.1:11435")]);
            for value in ["1", "2"] {
                twice.append(name.clone(), HeaderValue::from_static(value));
            }
            let refused = guard.check(&Method::GET, &Uri::from_static("/"), &twice).unwrap_err();
            assert!(matches!(&refused, Error::Repeated(named) if *named == name), "{name}: {refused:?}");
        }
    }

    #[test]
    fn a_list_replaces_the_default_and_any_is_any() {
        let request = |origin| headers(&[(HOST, "127.0.0.1:11435"), (ORIGIN, origin)]);
        let listed = guard(&[], listed(&["https://a.example"]));
        assert!(listed.check(&Method::GET, &Uri::from_static("/"), &request("https://a.example")).is_ok());
        assert!(listed.check(&Method::GET, &Uri::from_static("/"), &request("app://obsidian.md")).is_err());
        let any = guard(&[], Origins::Any);
        assert!(any.check(&Method::GET, &Uri::from_static("/"), &request("https://b.example")).is_ok());
    }

    #[test]
    fn what_is_cut_or_masked_to_be_told_is_judged_whole() {
        let guard = guard(&[], listed(&["https://*.example.org", "vscode-webview://*"]));
        let check = |host: &str, origin: &str| {
            guard
                .check(&Method::GET, &Uri::from_static("/"), &headers(&[(HOST, host), (ORIGIN, origin)]))
                .is_ok()
        };
        let (host, cut) = ("127.0.0.1:11435", "a".repeat(200 - "https://.example.org".len()));
        assert!(check(host, &format!("https://{cut}.example.org")));
        assert!(!check(host, &format!("https://{cut}.example.org.evil.example")));
        assert!(check(host, "vscode-webview://sk-0123456789abcdef"), "a random name may look like a key");
        let padded = format!("127.0.0.1:{}11435", "0".repeat(200 - host.len()));
        assert!(!check(&format!("{padded}.evil.example"), "https://a.example.org"));
    }

    #[test]
    fn a_preflight_echoes_what_was_asked() {
        let guard = guard(&[], Origins::Default);
        let request = headers(&[
            (ORIGIN, "app://obsidian.md"),
            (ACCESS_CONTROL_REQUEST_METHOD, "POST"),
            (ACCESS_CONTROL_REQUEST_HEADERS, "authorization, x-stainless-os"),
            (REQUEST_PRIVATE_NETWORK, "true"),
        ]);
        let mut response = HeaderMap::new();
        guard.add_cors(&request, &mut response);
        guard.add_preflight(&request, &mut response);
        assert_eq!(response[ACCESS_CONTROL_ALLOW_ORIGIN], "app://obsidian.md");
        assert_eq!(response[ACCESS_CONTROL_ALLOW_HEADERS], "authorization, x-stainless-os");
        assert_eq!(response[ALLOW_PRIVATE_NETWORK], "true");
        let mut response = HeaderMap::new();
        guard.add_cors(&headers(&[(ORIGIN, "https://evil.example")]), &mut response);
        assert!(!response.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
    }

    mod properties {
        use std::net::SocketAddr;

        use proptest::prelude::*;

        use super::*;

        /// What somebody might put around a name so that it passes for another: no digit that changes nothing.
        const NOISE: &str = "|[a-z1-9.@:/?#\\\\-]{1,6}";

        fn loopback() -> impl Strategy<Value = String> {
            let address = any::<[u8; 3]>().prop_map(|[b, c, d]| format!("127.{b}.{c}.{d}"));
            prop_oneof![
                Just("localhost".to_owned()),
                Just("LocalHost".to_owned()),
                Just("[::1]".to_owned()),
                address
            ]
        }

        fn is_let_in(guard: &Guard, host: &str, origin: Option<&str>) -> bool {
            let mut request = headers(&[(HOST, host)]);
            request.extend(origin.map(|origin| (ORIGIN, HeaderValue::from_str(origin).unwrap())));
            guard.check(&Method::POST, &Uri::from_static("/"), &request).is_ok()
        }

        proptest! {
            #![proptest_config(ProptestConfig::with_cases(128))]

            #[test]
            fn a_host_is_loopback_with_our_port_or_listed_or_refused(
                name in loopback(),
                (before, between, after) in (NOISE, NOISE, NOISE),
                port in prop_oneof![3 => Just(11435), 1 => any::<u16>()],
            ) {
                let guard = guard(&["codex.example"], Origins::Default);
                prop_assert!(is_let_in(&guard, &format!("{name}:11435"), None), "{}", name);
                prop_assert!(is_let_in(&guard, &format!("codex.example:{port}"), None), "{}", port);
                let host = format!("{before}{name}{between}:{port}{after}");
                // The standard library reads an address with a port by itself.
                let is_ours = host.eq_ignore_ascii_case("localhost:11435")
                    || host.parse::<SocketAddr>().is_ok_and(|to| to.ip().is_loopback() && to.port() == 11435);
                prop_assert_eq!(is_let_in(&guard, &host, None), is_ours, "{}", host);
                let listed = format!("{before}codex.example{between}:{port}{after}");
                // It is listed without a port, so whatever follows a colon is one.
                let is_listed = before.is_empty() && (between.is_empty() || between.starts_with(':'));
                prop_assert_eq!(is_let_in(&guard, &listed, None), is_listed, "{}", listed);
            }

            #[test]
            fn no_host_is_too_strange(host in any::<String>(), port in any::<u16>()) {
                let guard = Guard::new(port, Vec::new(), Cors { enabled: true, origins: Origins::Any });
                let Ok(value) = HeaderValue::from_str(&host) else { return Ok(()) };
                let request = HeaderMap::from_iter([(HOST, value)]);
                let is_ours = guard.check(&Method::GET, &Uri::from_static("/"), &request).is_ok();
                prop_assert!(!is_ours || is_loopback_host(&host), "{}", host);
            }

            #[test]
            fn an_origin_is_listed_whole_or_refused(
                (before, between, after) in (NOISE, NOISE, NOISE),
                port in any::<u16>(),
            ) {
                let own = guard(&[], Origins::Default);
                let listed = guard(&[], listed(&["https://notes.example:8443"]));
                let host = "localhost:11435";
                let ours = format!("http://localhost:{port}");
                prop_assert!(is_let_in(&own, host, Some(&ours)), "{}", ours);
                prop_assert_eq!(is_let_in(&listed, host, Some(&ours)), port == 11435, "only its own page");
                prop_assert!(is_let_in(&listed, host, Some("https://notes.example:8443")));
                let origin = format!("https://{before}notes.example{between}:8443{after}");
                let is_whole = [&before, &between, &after].iter().all(|noise| noise.is_empty());
                prop_assert_eq!(is_let_in(&listed, host, Some(&origin)), is_whole, "{}", origin);
                prop_assert!(!is_let_in(&own, host, Some(&origin)), "{}", origin);
                let page = format!("http://{before}localhost{between}");
                let is_default = before.is_empty()
                    && (between.is_empty() || between.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok()));
                prop_assert_eq!(is_let_in(&own, host, Some(&page)), is_default, "{}", page);
            }
        }
    }
}
