//! Every route of the proxy, with every kind of wrong request that contains a secret.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::patience::PATIENCE;
use regex::Regex;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::marks::Canaries;
use super::world::World;
use crate::surface::{BOTH, MODEL, Surface};

/// A route, its methods, and the body that it takes.
struct Route {
    url: String,
    method: Method,
    /// The body of a good request; null for none.
    body: Value,
    /// Whether its answer intentionally repeats the client's text.
    repeats: bool,
    /// The secrets that its answer may show.
    shows: &'static [&'static str],
}

/// Every route, from the source, so that a new one is not forgotten.
fn declared() -> BTreeSet<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("proxy-core/src");
    let route = Regex::new(r#"\.route\(\s*"([^"]+)""#).unwrap();
    let mut found = BTreeSet::new();
    let mut files = vec![root.join("http.rs")];
    let mut dirs = vec![root.join("http")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { &mut dirs } else { &mut files }.push(path);
        }
    }
    for file in files {
        let name = file.strip_prefix(&root).unwrap().display().to_string();
        let text = fs::read_to_string(&file).unwrap();
        found.extend(route.captures_iter(&text).map(|found| (name.clone(), found[1].to_owned())));
    }
    found
}

/// The path prefix of the routes in a file.
fn address(file: &str, path: &str, world: &World, page: &str) -> String {
    match file {
        "http.rs" if ["/healthz", "/readyz", "/livez", "/metrics"].contains(&path) => {
            world.proxy.root_url(path)
        }
        "http.rs" => format!("{}{path}", world.proxy.base_url),
        "http/ui.rs" => world.proxy.root_url(path),
        "http/test_routes.rs" => world.proxy.root_url(&format!("/__test{path}")),
        "http/login.rs" => format!("{}{path}", page.trim_end_matches('/')),
        file if file.starts_with("http/control") => world.proxy.root_url(&format!("/control{path}")),
        file => panic!("{file} has routes; say here under which address"),
    }
}

/// The correct requests of a route: method, body and the secrets that the answer may show.
fn good(file: &str, path: &str) -> Vec<(Method, Value)> {
    let none = Value::Null;
    let (get, post, delete) = (Method::GET, Method::POST, Method::DELETE);
    match (file, path) {
        ("http/login.rs", "/start") => vec![(post, none)],
        ("http.rs", "/responses") => vec![(post, Surface::Responses.ask("hi")), (Method::HEAD, none)],
        ("http.rs", "/chat/completions") => {
            vec![(post, Surface::Chat.ask("hi")), (get, none.clone()), (Method::HEAD, none)]
        }
        ("http.rs", "/responses/input_tokens") => vec![(post, Surface::Responses.ask("hi"))],
        ("http.rs", "/responses/{id}") => vec![(get, none.clone()), (delete, none)],
        ("http.rs", "/responses/{id}/cancel") => vec![(post, none)],
        ("http.rs", "/conversations") => {
            let item = json!({"type": "message", "role": "user", "content": "hi"});
            vec![(post, json!({"items": [item], "metadata": {"a": "b"}}))]
        }
        ("http.rs", "/conversations/{id}" | "/chat/completions/{id}") => {
            vec![(get, none.clone()), (post, json!({"metadata": {"a": "b"}})), (delete, none)]
        }
        ("http.rs", "/conversations/{id}/items") => {
            vec![(get, none), (post, json!({"items": [{"role": "user", "content": "hi"}]}))]
        }
        ("http.rs", "/conversations/{id}/items/{item}") => vec![(get, none.clone()), (delete, none)],
        ("http.rs", "/verify") => vec![(get, none.clone()), (post, none)],
        ("http/test_routes.rs", "/conc/release" | "/tool-buffer-metrics/reset") => vec![(post, none)],
        ("http/test_routes.rs", _) => vec![(get, none)],
        ("http.rs" | "http/login.rs" | "http/ui.rs", _) => vec![(get, none)],
        (_, "/workers/restart" | "/workers/{id}/restart") => vec![(post, none)],
        // It would end the proxy that all other requests need.
        (_, "/shutdown") => Vec::new(),
        (_, "/account/login") => {
            vec![(post, json!({"method": "api_key", "api_key": "sk-none-0123456789"})), (delete, none)]
        }
        (_, "/account/logout") => vec![(post, json!({}))],
        (_, "/account/import") => vec![(post, json!({"path": "/nowhere/auth.json"}))],
        (_, "/codex/install" | "/codex/update") => vec![(post, json!({"version": "0.169.0"}))],
        (_, "/codex/rollback") => vec![(post, none)],
        (_, "/codex/job") => vec![(delete, none)],
        (_, "/prove" | "/pause" | "/resume" | "/store/prune" | "/store/clear") => vec![(post, none)],
        (_, "/keys") => vec![(get, none), (post, json!({"name": "one more"}))],
        (_, "/keys/migrate") => vec![(post, json!({"to": "keychain"}))],
        (_, "/keys/{key}") => {
            vec![(Method::PATCH, json!({"name": "renamed", "enabled": true})), (delete, none)]
        }
        (_, "/keys/{key}/reveal" | "/keys/{key}/rotate") => vec![(post, none)],
        (_, "/clients/{id}/preview" | "/clients/{id}/apply") => vec![(post, json!({"key_id": "client"}))],
        (_, "/clients/{id}/undo") => vec![(post, none)],
        (_, "/settings") => vec![(get, none), (Method::PATCH, json!({"protect_models": false}))],
        (_, "/try") => vec![(post, json!({"model": MODEL, "input": "hi"}))],
        (_, "/capture") => vec![(post, json!({"key": "client", "seconds": 60})), (delete, none)],
        // Another address of this machine.
        (_, "/share") => vec![(get, none.clone()), (post, json!({"address": "127.0.0.2"})), (delete, none)],
        (_, "/logs/level") => vec![(get, none), (Method::PUT, json!({"filter": "trace"}))],
        (
            _,
            "/status" | "/events" | "/codex" | "/account" | "/account/usage" | "/limits" | "/limits/history"
            | "/requests" | "/requests/{id}" | "/usage" | "/usage/raw" | "/usage/export" | "/logs"
            | "/clients" | "/diagnostics" | "/models" | "/proofs" | "/store" | "/store/export",
        ) => vec![(get, none)],
        _ => panic!("{path} of {file} is new: say what a good request of it is"),
    }
}

fn routes(world: &World, page: &str) -> Vec<Route> {
    let mut routes = Vec::new();
    for (file, path) in declared() {
        let control = file.starts_with("http/control");
        let shows: &[&str] = match path.as_str() {
            "/status" | "/events" | "/account" if control => &["e-mail", "state"],
            "/account/login" if control => &["e-mail", "state"],
            "/keys/{key}/reveal" => &["key "],
            // Where the browser is sent.
            _ if file == "http/login.rs" => &["state"],
            _ => &[],
        };
        for (method, body) in good(&file, &path) {
            let repeats = ["/responses", "/chat/completions", "/conversations", "/logs/level", "/try"]
                .contains(&path.as_str());
            let url = address(&file, &path, world, page);
            routes.push(Route { url, method, body, repeats, shows });
        }
    }
    routes
}

pub(crate) async fn drive(world: &mut World) {
    let page = world.page().await;
    let routes = routes(world, &page);
    assert!(routes.len() > 40, "only {} routes are known", routes.len());
    let secrets = [world.api_key.clone(), world.made_key.clone(), world.person.email.clone()];
    for route in &routes {
        for secret in &secrets {
            misuse(world, route, secret).await;
        }
        rightly(world, route).await;
    }
    let token = world.issuer.tokens().last().unwrap().clone();
    for route in routes.iter().filter(|route| route.repeats) {
        misuse(world, route, &token).await;
    }
    world.control(Method::PUT, "/logs/level", Some(&json!({"filter": "trace"})), &[]).await;
    not_even_http(world).await;
    shown_at_last(world).await;
}

/// The correct request.
async fn rightly(world: &mut World, route: &Route) {
    // The last steps of the test, which end what the others need.
    if route.url.ends_with("/events") {
        let answer = request(world, route, "client", Some(&route.body)).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        return;
    }
    let request = request(world, route, "client", Some(&route.body));
    let canaries = world.canaries.except(route.shows);
    world.send(&format!("{} {}", route.method, route.url), request, &canaries).await;
}

/// A request that is allowed, to `name` where the route has a place for a name.
fn request(world: &World, route: &Route, name: &str, body: Option<&Value>) -> RequestBuilder {
    let name = if route.url.contains("/clients/") { "codex-cli" } else { name };
    let url = filled(&route.url, name);
    let mut request = bare(world, route, &url);
    request = request.bearer_auth(credentials(world, &route.url));
    if let Some(body) = body.filter(|body| !body.is_null()) {
        request = request.body(body.to_string());
    }
    request
}

fn bare(world: &World, route: &Route, url: &str) -> RequestBuilder {
    let request = world.proxy.bare(route.method.clone(), url);
    // The pages take this from their own only.
    if url.ends_with("/start") { request.header("origin", url.trim_end_matches("/start")) } else { request }
}

fn credentials<'a>(world: &'a World, url: &str) -> &'a str {
    if url.contains("/control/") { &world.control_token } else { &world.api_key }
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

fn filled(url: &str, name: &str) -> String {
    let place = Regex::new(r"\{\*?\w+\}").unwrap();
    place.replace_all(url, regex::NoExpand(&encoded(name))).into_owned()
}

async fn misuse(world: &mut World, route: &Route, secret: &str) {
    let all = world.canaries.except(route.shows);
    let mut requests: Vec<(&str, RequestBuilder)> = Vec::new();
    let harmless = "no-such-thing-as-this";
    let url = filled(&route.url, harmless);
    let mut allowed = |what, url: &str, body: &str| {
        let request =
            bare(world, route, url).bearer_auth(credentials(world, &route.url)).body(body.to_owned());
        requests.push((what, request));
    };
    let good = if route.body.is_null() { String::new() } else { route.body.to_string() };
    let value = encoded(secret);
    let query: Vec<String> = [
        "key", "api_key", "token", "limit", "before", "start", "end", "tz", "group", "format", "lines",
        "after", "refresh", "code", "state",
    ]
    .map(|name| format!("{name}={value}"))
    .to_vec();
    let ends = route.url.contains("/events");
    if !ends {
        // Once in each place, and for the others all at once.
        let single: &[String] = if secret == world.api_key { &query } else { &[] };
        for pair in single {
            allowed("with it in the query", &format!("{url}?{pair}"), &good);
        }
        allowed("with it all over the query", &format!("{url}?{}", query.join("&")), &good);
    }
    allowed("with it in the path", &format!("{url}/{value}"), &good);
    if route.url.contains('{') {
        allowed("with it as the name", &filled(&route.url, secret), &good);
    }
    if !ends {
        for body in bodies(&route.body, secret) {
            allowed("with it in the body", &url, &body);
        }
    }
    let limit = json!({"model": "x", "input": secret.repeat(100_000 / secret.len())}).to_string();
    if route.url.ends_with("/responses") {
        allowed("with it in a body that is too large", &url, &limit);
    }
    let basic = STANDARD.encode(format!("me:{secret}"));
    for (name, value) in [
        ("authorization", format!("Basic {basic}")),
        ("authorization", format!("Bearer{secret}")),
        ("authorization", secret.to_owned()),
        ("authorization", format!("Bearer {secret} {secret}")),
        ("authorization", format!("Bearer \u{ff}{secret}")),
        ("authorization", format!("Bearer {}x", secret)),
        ("x-api-key", secret.to_owned()),
        ("proxy-authorization", format!("Basic {basic}")),
        ("cookie", format!("session={secret}")),
        ("host", secret.to_owned()),
        ("origin", format!("http://{secret}")),
    ] {
        let bytes: Vec<u8> = value.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        let header = reqwest::header::HeaderValue::from_bytes(&bytes).unwrap();
        requests.push(("with it in a wrong header", bare(world, route, &url).header(name, header)));
    }
    for name in [
        "user-agent",
        "x-request-id",
        "traceparent",
        "referer",
        "x-forwarded-for",
        "accept",
        "content-type",
        "content-encoding",
        "expect",
        "openai-organization",
        "x-proxy-output-mode",
        "x-stainless-lang",
        "access-control-request-headers",
        "last-event-id",
        "range",
        "if-none-match",
    ] {
        if ends && name != "user-agent" {
            continue;
        }
        let request = bare(world, route, &url).bearer_auth(credentials(world, &route.url));
        requests.push(("with it in another header", request.header(name, secret).body(good.clone())));
    }
    for (what, request) in requests {
        let name = format!("{} {} {what}", route.method, route.url);
        let answer = tokio::time::timeout(PATIENCE, head(request)).await;
        let answer = answer.unwrap_or_else(|_| panic!("{name} is not answered"));
        // The proxy closes the connection of a client that sends too much.
        let Some((status, head, body)) = answer else {
            assert!(what.contains("wrong header") || what.contains("too large"), "{name} is cut off");
            continue;
        };
        // A successful answer may repeat what the client has sent.
        let own = status < 400 && (route.repeats || what == "with it as the name");
        let canaries = if own { all.not_in(secret) } else { all.clone() };
        let finder = canaries.finder();
        let mut found = finder.find(&format!("the head of {name} ({status})"), head.as_bytes());
        found.extend(finder.find(&format!("the answer to {name} ({status})"), &body));
        world.found(found);
    }
}

/// The whole answer, or only the headers if it has no end.
async fn head(request: RequestBuilder) -> Option<(u16, String, Vec<u8>)> {
    let answer = request.send().await.ok()?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let endless = status == 200
        && headers.get("content-type").is_some_and(|kind| kind == "text/event-stream; charset=utf-8");
    let body = if endless && !headers.contains_key("x-proxy-effective-model") {
        Vec::new()
    } else {
        answer.bytes().await.unwrap().to_vec()
    };
    Some((status, format!("{headers:?}"), body))
}

/// Bodies with a secret where it does not belong.
fn bodies(good: &Value, secret: &str) -> Vec<String> {
    let mut bodies = vec![
        json!(secret).to_string(),
        secret.to_owned(),
        format!("{{\"name\": {}", json!(secret)),
        json!({ secret: 1 }).to_string(),
        json!({"api_key": secret}).to_string(),
        json!([secret]).to_string(),
    ];
    let Some(members) = good.as_object() else { return bodies };
    for name in members.keys() {
        for value in [json!(secret), json!([secret]), json!({ secret: secret })] {
            let mut body = good.clone();
            body[name] = value;
            bodies.push(body.to_string());
        }
    }
    let mut body = good.clone();
    body[secret] = json!(secret);
    bodies.push(body.to_string());
    if members.contains_key("model") {
        for name in
            ["tools", "tool_choice", "reasoning", "text", "stop", "max_output_tokens", "temperature", "n"]
        {
            body = good.clone();
            body[name] = json!(secret);
            bodies.push(body.to_string());
            body[name] = json!([{"type": secret}]);
            bodies.push(body.to_string());
        }
        let image = json!([{"role": "user", "content": [
            {"type": "input_image", "image_url": format!("http://me:{}@127.0.0.1:9/x?key={}", encoded(secret), encoded(secret))},
        ]}]);
        body = good.clone();
        body["input"] = image;
        bodies.push(body.to_string());
    }
    bodies
}

/// Bytes that are not a valid request.
async fn not_even_http(world: &mut World) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let key = world.made_key.clone();
    for bytes in [
        format!("{key}\r\n\r\n"),
        format!("GET /v1/models HTTP/1.1\r\nAuthorization Bearer {key}\r\n\r\n"),
        format!("GET /v1/{key} HTTP/9.9\r\nhost: localhost\r\n\r\n"),
        format!("POST /v1/responses HTTP/1.1\r\nhost: localhost\r\ncontent-length: {key}\r\n\r\n"),
        format!(
            "GET http://me:{key}@127.0.0.1:{}/v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n",
            world.proxy.port()
        ),
        format!("\u{16}\u{3}\u{1}{key}"),
    ] {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", world.proxy.port())).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // A reset connection has no answer.
        drop(stream.read_to_end(&mut answer).await);
        let found = world.canaries.finder().find("the answer to what is no request", &answer);
        world.found(found);
    }
}

/// The routes that show data of the earlier requests.
async fn shown_at_last(world: &mut World) {
    for (path, shown) in [
        ("/status", &["e-mail", "state"][..]),
        ("/requests?limit=1000", &[]),
        ("/keys", &[]),
        ("/usage/raw?limit=1000", &[]),
        ("/usage?group=client", &[]),
        ("/usage?group=model", &[]),
        ("/usage?group=key", &[]),
        ("/usage/export?format=csv", &[]),
        ("/usage/export?format=json", &[]),
        ("/logs?lines=10000", &[]),
    ] {
        let (status, _) = world.control(Method::GET, path, None, shown).await;
        assert_eq!(status, 200, "{path}");
    }
    let canaries: Canaries = world.canaries.clone();
    let metrics = world.proxy.bare(Method::GET, &world.proxy.root_url("/metrics"));
    world.send("GET /metrics", metrics, &canaries).await;
    for surface in BOTH {
        world
            .v1(Method::POST, surface.path(), Some(&surface.ask("How many tokens did I use today?")), &[])
            .await;
    }
}
