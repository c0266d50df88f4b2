//! Finds secrets in bytes, in any encoding.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use regex::bytes::{Regex, RegexBuilder};
use serde_json::json;

/// Parts of a secret that are shorter than this are not searched for.
const SHORT: usize = 24;

/// Names and texts.
type Secrets = Vec<(String, String)>;

/// Secrets with their names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Canaries {
    secrets: Secrets,
}

impl Canaries {
    pub(crate) fn add(&mut self, name: &str, text: &str) {
        assert!(text.len() >= 8, "{name} would be found everywhere");
        if !self.secrets.iter().any(|(_, known)| known == text) {
            self.secrets.push((name.to_owned(), text.to_owned()));
        }
    }

    /// All except the names that start with one of these.
    pub(crate) fn except(&self, names: &[&str]) -> Self {
        let kept = |(name, _): &&(String, String)| !names.iter().any(|out| name.starts_with(out));
        Self { secrets: self.secrets.iter().filter(kept).cloned().collect() }
    }

    /// Only those that are not in `text` in any form.
    pub(crate) fn not_in(&self, text: &str) -> Self {
        let kept = |secret: &&(String, String)| {
            let alone = Self { secrets: vec![(*secret).clone()] };
            alone.finder().find("", text.as_bytes()).is_empty()
        };
        Self { secrets: self.secrets.iter().filter(kept).cloned().collect() }
    }

    /// The search automaton for all of them. Building one is slow, so they are kept.
    pub(crate) fn finder(&self) -> Arc<Finder> {
        static MADE: Mutex<BTreeMap<Secrets, Arc<Finder>>> = Mutex::new(BTreeMap::new());
        let mut made = MADE.lock().unwrap();
        made.entry(self.secrets.clone()).or_insert_with(|| Arc::new(self.new_finder())).clone()
    }

    fn new_finder(&self) -> Finder {
        let mut names = HashMap::new();
        for (name, secret) in &self.secrets {
            for (part, text) in parts(secret) {
                for (form, bytes) in forms(text) {
                    names.entry(bytes).or_insert_with(|| format!("{name}{part}, {form}"));
                }
            }
        }
        let mut all: Vec<&str> = names.keys().map(String::as_str).collect();
        all.sort_by_key(|form| std::cmp::Reverse(form.len()));
        let pattern = all.iter().map(|form| regex::escape(form)).collect::<Vec<_>>().join("|");
        let pattern = if pattern.is_empty() { "[^\\s\\S]".to_owned() } else { pattern };
        let regex = RegexBuilder::new(&pattern).unicode(false).size_limit(1 << 28).build().unwrap();
        Finder { regex, names }
    }
}

/// Half of a secret is secret too: it remains if the secret was cut or masked only in part.
fn parts(secret: &str) -> Vec<(&'static str, &str)> {
    let mut parts = vec![("", secret)];
    if secret.len() >= 2 * SHORT && secret.is_ascii() {
        let (first, second) = secret.split_at(secret.len() / 2);
        parts.extend([(" (first half)", first), (" (second half)", second)]);
    }
    parts
}

/// A text, and its encoded forms.
fn forms(text: &str) -> Vec<(&'static str, String)> {
    let json = |text: &str| json!(text).to_string().trim_matches('"').to_owned();
    let encoded = |hex: fn(&mut String, u8)| {
        text.bytes().fold(String::new(), |mut out, byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                out.push(byte.into());
            } else {
                hex(&mut out, byte);
            }
            out
        })
    };
    let joined = |bytes: &[u8], separator: &str| {
        bytes.iter().map(ToString::to_string).collect::<Vec<_>>().join(separator)
    };
    let mut forms = vec![
        ("as it is", text.to_owned()),
        ("in JSON", json(text)),
        ("in JSON in JSON", json(&json(text))),
        ("as Rust's Debug", text.escape_debug().to_string()),
        ("percent-encoded", encoded(|out, byte| write!(out, "%{byte:02X}").unwrap())),
        ("percent-encoded in lower case", encoded(|out, byte| write!(out, "%{byte:02x}").unwrap())),
        ("as a form", url::form_urlencoded::byte_serialize(text.as_bytes()).collect()),
        ("in hex", text.bytes().fold(String::new(), |out, byte| format!("{out}{byte:02x}"))),
        ("as a list of bytes", joined(text.as_bytes(), ", ")),
        ("as a short list of bytes", joined(text.as_bytes(), ",")),
    ];
    for shift in 0..3 {
        let mut shifted = vec![0; shift];
        shifted.extend_from_slice(text.as_bytes());
        // Characters that hold bits of what stands around it are not its own.
        let own = (shift * 8).div_ceil(6)..shifted.len() * 8 / 6;
        forms.push(("in base64", STANDARD_NO_PAD.encode(&shifted)[own.clone()].to_owned()));
        forms.push(("in base64 for URLs", URL_SAFE_NO_PAD.encode(&shifted)[own].to_owned()));
    }
    forms
}

/// Searches for all secrets at once.
pub(crate) struct Finder {
    regex: Regex,
    names: HashMap<String, String>,
}

impl Finder {
    /// The secrets in `bytes`, one line each.
    pub(crate) fn find(&self, place: &str, bytes: &[u8]) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        for hit in self.regex.find_iter(bytes) {
            let form = std::str::from_utf8(hit.as_bytes()).unwrap();
            if !seen.insert(form) {
                continue;
            }
            let around = &bytes[hit.start().saturating_sub(200)..bytes.len().min(hit.end() + 60)];
            let around = String::from_utf8_lossy(around).escape_debug().to_string();
            found.push(format!("{place} has {}: …{around}…", self.names[form]));
        }
        found
    }
}

#[test]
fn a_planted_canary_is_found_in_every_form() {
    let mut canaries = Canaries::default();
    let secret = "cp-c4nary\"quoted\\+/=and-rather-long-so-that-halves-count";
    canaries.add("the key", secret);
    let finder = canaries.finder();
    let basic = |text: &str| STANDARD_NO_PAD.encode(text);
    let half = &secret[..secret.len() / 2];
    for planted in [
        secret.to_owned(),
        json!({"a": secret}).to_string(),
        json!({"a": json!({"b": secret}).to_string()}).to_string(),
        format!("{secret:?}"),
        format!("{:?}", secret.as_bytes()),
        format!("?key={}", url::form_urlencoded::byte_serialize(secret.as_bytes()).collect::<String>()),
        basic(secret),
        basic(&format!("x:{secret}")),
        basic(&format!("me:{secret}:you")),
        half.to_owned(),
        secret[half.len()..].to_owned(),
    ] {
        for around in [["", ""], ["before ", " after"], ["\u{0}\u{ff}", "\n"]] {
            let bytes = [around[0].as_bytes(), planted.as_bytes(), around[1].as_bytes()].concat();
            assert_eq!(finder.find("it", &bytes).len(), 1, "{planted}");
        }
    }
    assert_eq!(finder.find("it", b"cp-another, and [redacted]"), [""; 0]);
    assert_eq!(canaries.except(&["the"]).finder().find("it", secret.as_bytes()), [""; 0]);
}
