//! Requests that are right, and what is done to them.

use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

/// A request that was right, and its mutations in order.
#[derive(Clone, Debug)]
pub(super) struct Request {
    base: usize,
    mutations: Vec<Mutation>,
}

/// Numbers are taken modulo what there is to choose from, so that smaller ones are simpler.
#[derive(Clone, Debug)]
enum Mutation {
    Json(OfJson),
    Text(OfText),
    Head(OfHead),
}

#[derive(Clone, Debug)]
enum OfJson {
    /// Puts an odd value in the place of the one with this number.
    Replace(u16, u8),
    Remove(u16),
    /// Repeats an element of an array.
    Repeat(u16, u16),
    /// Nests a value in this number of arrays or objects.
    Wrap(u16, u16, bool),
    /// Adds a member with a known name, or a value to an array.
    Add(u16, u8, u8),
    /// Swaps two values.
    Swap(u16, u16),
}

#[derive(Clone, Debug)]
enum OfText {
    /// Ends the body early.
    Cut(u16),
    Flip(u16, u8),
    Insert(u16, Vec<u8>),
}

#[derive(Clone, Debug)]
enum OfHead {
    Method(u8),
    Header(u8, u8),
    NoHeader(u8),
    ManyHeaders(u8),
    Path(u8, u16),
    Query(u8, u8),
}

pub(super) fn any() -> impl Strategy<Value = Request> {
    let of_json = prop_oneof![
        8 => (proptest::num::u16::ANY, proptest::num::u8::ANY).prop_map(|(at, value)| OfJson::Replace(at, value)),
        3 => proptest::num::u16::ANY.prop_map(OfJson::Remove),
        1 => (proptest::num::u16::ANY, 0_u16..300).prop_map(|(at, times)| OfJson::Repeat(at, times)),
        1 => (proptest::num::u16::ANY, 0_u16..300, proptest::bool::ANY)
            .prop_map(|(at, deep, object)| OfJson::Wrap(at, deep, object)),
        5 => (proptest::num::u16::ANY, proptest::num::u8::ANY, proptest::num::u8::ANY)
            .prop_map(|(at, name, value)| OfJson::Add(at, name, value)),
        3 => (proptest::num::u16::ANY, proptest::num::u16::ANY).prop_map(|(one, other)| OfJson::Swap(one, other)),
    ];
    let of_text = prop_oneof![
        1 => proptest::num::u16::ANY.prop_map(OfText::Cut),
        2 => (proptest::num::u16::ANY, proptest::num::u8::ANY).prop_map(|(at, bit)| OfText::Flip(at, bit)),
        1 => (proptest::num::u16::ANY, vec(proptest::num::u8::ANY, 1..9)).prop_map(|(at, bytes)| OfText::Insert(at, bytes)),
    ];
    let of_head = prop_oneof![
        1 => proptest::num::u8::ANY.prop_map(OfHead::Method),
        4 => (proptest::num::u8::ANY, proptest::num::u8::ANY).prop_map(|(name, value)| OfHead::Header(name, value)),
        1 => proptest::num::u8::ANY.prop_map(OfHead::NoHeader),
        1 => proptest::num::u8::ANY.prop_map(OfHead::ManyHeaders),
        2 => (proptest::num::u8::ANY, proptest::num::u16::ANY).prop_map(|(piece, at)| OfHead::Path(piece, at)),
        2 => (proptest::num::u8::ANY, proptest::num::u8::ANY).prop_map(|(name, value)| OfHead::Query(name, value)),
    ];
    let mutation = prop_oneof![
        6 => of_json.prop_map(Mutation::Json),
        1 => of_text.prop_map(Mutation::Text),
        1 => of_head.prop_map(Mutation::Head),
    ];
    (0..BASES.len(), vec(mutation, 0..6)).prop_map(|(base, mutations)| Request { base, mutations })
}

/// Whom a request is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    Client,
    Control,
}

type Base = (For, &'static str, &'static str, Value);

/// Valid requests: the fuzzer's bodies of both APIs, and requests to the control API that do not end the proxy
/// or its workers and do not remove its keys.
static BASES: LazyLock<Vec<Base>> = LazyLock::new(|| {
    let mut bases = Vec::new();
    for (path, corpus) in [("/v1/responses", "responses_request"), ("/v1/chat/completions", "chat_request")] {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/");
        let files = std::fs::read_dir(format!("{dir}{corpus}")).unwrap();
        let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
        files.sort_unstable();
        for file in files {
            let mut body: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
            if body["model"] == "gpt-test" {
                body["model"] = json!("codex-5");
            }
            // Twice, as these are what matters most.
            bases.extend(vec![(For::Client, "POST", path, body); 2]);
        }
    }
    let get = |to, path| (to, "GET", path, Value::Null);
    bases.extend([
        get(For::Client, "/v1/models"),
        get(For::Client, "/v1/models/codex-5"),
        get(For::Client, "/v1/usage?group=day&tz=UTC"),
        get(For::Client, "/usage/raw?limit=10&after=0"),
        get(For::Client, "/verify"),
        get(For::Client, "/healthz"),
        get(For::Control, "/control/status"),
        get(For::Control, "/control/keys"),
        get(For::Control, "/control/usage?start=0&end=1&group=key"),
        get(For::Control, "/control/usage/export?format=csv&start=0&end=1"),
        get(For::Control, "/control/requests"),
        get(For::Control, "/control/settings"),
        get(For::Control, "/control/models"),
        get(For::Control, "/control/limits"),
        get(For::Control, "/control/limits/history"),
        get(For::Control, "/control/clients"),
        (For::Control, "POST", "/control/try", json!({"model": "codex-5", "input": "hi"})),
        (For::Control, "POST", "/control/logs/level", json!({"level": "error"})),
        (
            For::Control,
            "PATCH",
            "/control/settings",
            json!({"strict_params": true, "cors_allowed_origins": ["https://a"], "timeout_ms": 5000}),
        ),
        (For::Control, "POST", "/control/keys/migrate", json!({"to": "file"})),
        (For::Control, "PATCH", "/control/keys/no-such", json!({"name": "other", "enabled": false})),
    ]);
    bases
});

const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"];

const NAMES: &[&str] = &[
    "content-type",
    "content-encoding",
    "accept",
    "accept-encoding",
    "origin",
    "host",
    "authorization",
    "user-agent",
    "x-proxy-output-mode",
    "x-request-id",
    "traceparent",
    "cookie",
    "range",
    "if-none-match",
    "x-forwarded-for",
    "access-control-request-method",
    "access-control-request-headers",
    "access-control-request-private-network",
    "openai-organization",
    "x-stainless-retry-count",
    "sec-fetch-site",
    "te",
    "via",
];

static VALUES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let texts = [
        "",
        "x",
        "*",
        "null",
        "gzip",
        "application/json; charset=utf-16",
        "text/plain",
        "multipart/form-data; boundary=x",
        "Bearer",
        "Bearer x y",
        "Basic Og==",
        "http://evil.example",
        "app://obsidian.md",
        "127.0.0.1:1",
        "localhost",
        "[::1",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "obsidian-xml",
        "GET",
        "18446744073709551616",
        "\t\t",
    ];
    let mut values: Vec<Vec<u8>> = texts.map(|text| text.as_bytes().to_vec()).to_vec();
    values.extend([b"\xff\xfe".to_vec(), "h\u{e9}llo \u{1f600}".as_bytes().to_vec(), vec![b'a'; 9000]]);
    values
});

static ODD: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let mut odd = vec![
        Value::Null,
        json!(true),
        json!(false),
        json!(0),
        json!(-1),
        json!(1),
        json!(0.5),
        json!(1e300),
        json!(u64::MAX),
        json!(i64::MIN),
        json!([]),
        json!({}),
        json!([[]]),
        json!([null]),
        json!({"": null}),
        json!({"type": "text", "text": "x"}),
        json!({"$ref": "#"}),
        json!({"type": ["object", "array"], "items": {"$ref": "#/items"}}),
        json!({"allOf": [{"$ref": "#/anyOf/0"}], "anyOf": [{"$ref": "#/allOf/0"}]}),
        json!({"type": "string", "pattern": "(a+)+$"}),
        json!({"enum": []}),
        json!("x".repeat(20_000)),
        json!("\u{0}"),
        json!("\u{1b}[31m\u{202e}"),
        json!("h\u{e9}\u{1f600}\u{10ffff}"),
        json!("data:image/png;base64,AAAA"),
        json!("data:,"),
        json!("http://127.0.0.1:1/x.png"),
        json!("file:///etc/passwd"),
        json!("18446744073709551616"),
        json!("../../x"),
        json!("usage last 7d"),
        json!("0.0.0.0"),
    ];
    odd.extend(WORDS.iter().map(|word| json!(word)));
    odd
});

const WORDS: &[&str] = &[
    "additional_tools",
    "anyOf",
    "arguments",
    "assistant",
    "auto",
    "background",
    "call_id",
    "content",
    "custom",
    "custom_tool_call",
    "detail",
    "developer",
    "encrypted_content",
    "enum",
    "file_data",
    "function",
    "function_call",
    "function_call_output",
    "grammar",
    "id",
    "image_url",
    "input",
    "input_file",
    "input_image",
    "input_text",
    "instructions",
    "item_reference",
    "json_object",
    "json_schema",
    "max_output_tokens",
    "message",
    "messages",
    "metadata",
    "model",
    "n",
    "name",
    "namespace",
    "none",
    "output",
    "parameters",
    "phase",
    "properties",
    "reasoning",
    "reasoning_effort",
    "required",
    "response_format",
    "role",
    "schema",
    "stop",
    "stream",
    "strict",
    "summary",
    "system",
    "temperature",
    "text",
    "tool",
    "tool_call_id",
    "tool_calls",
    "tool_choice",
    "tools",
    "type",
    "user",
    "verbosity",
    "web_search",
];

const PIECES: &[&str] = &[
    "/",
    "//",
    "/x",
    "/..",
    "/.",
    "/%2e%2e",
    "%00",
    "%zz",
    "%",
    "%ff",
    "?",
    "#",
    ";a=b",
    "/v1",
    "/v1/v1",
    "\\",
    "*",
    "@",
    ":80",
    "/responses",
];

const QUERIES: &[&str] =
    &["start", "end", "group", "tz", "limit", "after", "format", "capture", "", "&", "=", "%", "token"];

impl Request {
    /// The request as it is sent.
    pub(super) fn bytes(&self, port: u16, key: &str, token: &str) -> Vec<u8> {
        let (to, method, path, body) = &BASES[self.base];
        let bearer = if *to == For::Client { key } else { token };
        let mut draft = Draft {
            method,
            path: (*path).to_owned(),
            headers: vec![
                ("host", format!("127.0.0.1:{port}").into_bytes()),
                ("authorization", format!("Bearer {bearer}").into_bytes()),
                ("content-type", b"application/json".to_vec()),
                ("user-agent", b"mutations".to_vec()),
            ],
        };
        let mut body = body.clone();
        for mutation in &self.mutations {
            if let Mutation::Json(mutation) = mutation {
                change(&mut body, mutation);
            }
        }
        let mut text = if body.is_null() { Vec::new() } else { serde_json::to_vec(&body).unwrap() };
        for mutation in &self.mutations {
            match mutation {
                Mutation::Json(_) => {}
                Mutation::Text(mutation) => garble(&mut text, mutation),
                Mutation::Head(mutation) => draft.change(mutation),
            }
        }
        draft.bytes(&text)
    }
}

/// The places of a value and of all within it.
fn places(value: &Value, here: &str, found: &mut Vec<String>) {
    found.push(here.to_owned());
    match value {
        Value::Array(values) => {
            for (at, value) in values.iter().enumerate().take(50) {
                places(value, &format!("{here}/{at}"), found);
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                places(value, &format!("{here}/{}", name.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn place(value: &Value, number: u16) -> String {
    let mut found = Vec::new();
    places(value, "", &mut found);
    found.swap_remove(usize::from(number) % found.len())
}

fn odd(number: u8) -> Value {
    ODD[usize::from(number) % ODD.len()].clone()
}

fn change(body: &mut Value, mutation: &OfJson) {
    match mutation {
        OfJson::Replace(at, value) => {
            let place = place(body, *at);
            *body.pointer_mut(&place).unwrap() = odd(*value);
        }
        OfJson::Remove(at) => {
            let place = place(body, *at);
            let Some((parent, name)) = place.rsplit_once('/') else { return };
            if let Some(Value::Object(members)) = body.pointer_mut(parent) {
                members.remove(&name.replace("~1", "/").replace("~0", "~"));
            } else if let Some(Value::Array(values)) = body.pointer_mut(parent) {
                values.remove(name.parse().unwrap());
            }
        }
        OfJson::Repeat(at, times) => {
            let place = place(body, *at);
            let Some((parent, name)) = place.rsplit_once('/') else { return };
            if let Some(Value::Array(values)) = body.pointer_mut(parent) {
                let value = values[name.parse::<usize>().unwrap()].clone();
                // What is large already does not become huge.
                if value.to_string().len() * usize::from(*times) < 200_000 {
                    values.extend(std::iter::repeat_n(value, usize::from(*times)));
                }
            }
        }
        OfJson::Wrap(at, deep, object) => {
            let place = place(body, *at);
            let value = body.pointer_mut(&place).unwrap();
            for _ in 0..=*deep {
                let inner = value.take();
                *value = if *object { json!({"items": inner}) } else { json!([inner]) };
            }
        }
        OfJson::Add(at, name, new) => {
            let place = place(body, *at);
            if let Some(Value::Object(members)) = body.pointer_mut(&place) {
                members.insert(WORDS[usize::from(*name) % WORDS.len()].to_owned(), odd(*new));
            } else if let Some(Value::Array(values)) = body.pointer_mut(&place) {
                values.insert(usize::from(*name) % (values.len() + 1), odd(*new));
            }
        }
        OfJson::Swap(one, other) => {
            let (one, other) = (place(body, *one), place(body, *other));
            // One within the other has no place to go.
            if one.starts_with(&other) || other.starts_with(&one) {
                return;
            }
            let first = body.pointer_mut(&one).unwrap().take();
            let second = std::mem::replace(body.pointer_mut(&other).unwrap(), first);
            *body.pointer_mut(&one).unwrap() = second;
        }
    }
}

fn garble(text: &mut Vec<u8>, mutation: &OfText) {
    let length = text.len();
    let at = |number: &u16| usize::from(*number) % (length + 1);
    match mutation {
        OfText::Cut(number) => text.truncate(at(number)),
        OfText::Flip(number, bit) => {
            if let Some(byte) = text.get_mut(at(number)) {
                *byte ^= 1 << (bit % 8);
            }
        }
        OfText::Insert(number, bytes) => {
            text.splice(at(number)..at(number), bytes.iter().copied());
        }
    }
}

struct Draft {
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, Vec<u8>)>,
}

impl Draft {
    fn change(&mut self, mutation: &OfHead) {
        let name = |number: &u8| NAMES[usize::from(*number) % NAMES.len()];
        match mutation {
            OfHead::Method(number) => self.method = METHODS[usize::from(*number) % METHODS.len()],
            OfHead::Header(number, value) => {
                self.headers.retain(|(known, _)| *known != name(number));
                self.headers.push((name(number), VALUES[usize::from(*value) % VALUES.len()].clone()));
            }
            OfHead::NoHeader(number) => {
                let at = usize::from(*number) % self.headers.len().max(1);
                if at < self.headers.len() {
                    self.headers.remove(at);
                }
            }
            OfHead::ManyHeaders(times) => {
                let more = (0..*times).map(|_| (name(times), b"x".to_vec()));
                self.headers.extend(more);
            }
            OfHead::Path(piece, at) => {
                let at = usize::from(*at) % self.path.len() + 1;
                // Within a character there is no place; after it there is.
                let at = (at..).find(|at| self.path.is_char_boundary(*at)).unwrap();
                self.path.insert_str(at, PIECES[usize::from(*piece) % PIECES.len()]);
            }
            OfHead::Query(query, value) => {
                let value = odd(*value).to_string().replace([' ', '\u{0}', '\n', '\r', '\t'], "+");
                let value: String = value.chars().filter(|c| !c.is_control()).take(3000).collect();
                let mark = if self.path.contains('?') { '&' } else { '?' };
                self.path
                    .push_str(&format!("{mark}{}={value}", QUERIES[usize::from(*query) % QUERIES.len()]));
            }
        }
    }

    fn bytes(&self, body: &[u8]) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.path).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(body);
        bytes
    }
}
