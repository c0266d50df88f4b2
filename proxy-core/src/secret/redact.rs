//! Masks secrets as the last step before any text reaches a log.
//!
//! No code should pass a secret to a log at all. This is for the cases that slip through: a child's stderr that
//! quotes a request, an error that quotes a URL, a value that a user put in the wrong place.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock, PoisonError, RwLock, Weak};

use percent_encoding::percent_decode_str;
use regex::{Captures, Regex};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};

/// The replacement for a secret.
const MASK: &str = "[redacted]";

/// The keys of this process, which no pattern would find. They are wiped with the last [`super::ApiKey`] of their
/// text.
static KEYS: RwLock<Vec<Weak<SecretString>>> = RwLock::new(Vec::new());

/// `text` with every secret masked. Text without one is returned as it is.
pub fn redact(text: &str) -> Cow<'_, str> {
    let known = without_known_keys(text);
    match &known {
        Cow::Borrowed(_) => PATTERN.replace_all(text, mask),
        Cow::Owned(masked) => Cow::Owned(PATTERN.replace_all(masked, mask).into_owned()),
    }
}

/// The first `most` characters of `text`, with every secret masked before the cut. For texts that others chose,
/// which are stored and shown only in this form.
pub fn redact_within(text: &str, most: usize) -> String {
    let masked = redact(text);
    match masked.char_indices().nth(most) {
        Some((end, _)) => format!("{}\u{2026}", &masked[..end]),
        None => masked.into_owned(),
    }
}

/// The path of a URL with every secret masked, even one that is percent-encoded. A path without one is returned as
/// it is.
pub fn redact_path(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return redact(path);
    }
    let decoded = percent_decoded(path);
    match redact(&decoded) {
        Cow::Owned(masked) => Cow::Owned(masked),
        Cow::Borrowed(_) => redact(path),
    }
}

/// The percent-decoded text; bytes that are not UTF-8 are replaced.
pub fn percent_decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Masks `key` from now on, wherever it occurs.
pub(super) fn register(key: &Arc<SecretString>) {
    if is_found_by_its_form(key.expose_secret()) {
        return;
    }
    let mut keys = KEYS.write().unwrap_or_else(PoisonError::into_inner);
    keys.retain(|known| known.strong_count() > 0);
    keys.push(Arc::downgrade(key));
}

fn is_found_by_its_form(key: &str) -> bool {
    PATTERN.captures(key).is_some_and(|found| found.name("key").is_some_and(|found| found.as_str() == key))
}

fn without_known_keys(text: &str) -> Cow<'_, str> {
    let keys = KEYS.read().unwrap_or_else(PoisonError::into_inner);
    let mut masked = Cow::Borrowed(text);
    for key in keys.iter().filter_map(Weak::upgrade) {
        let plain = key.expose_secret();
        if masked.contains(plain) {
            masked = Cow::Owned(masked.replace(plain, MASK));
        }
        // A log writes these two characters escaped, and JSON in a log escapes them twice.
        if plain.contains(['"', '\\']) {
            let escape = |text: &str| Zeroizing::new(text.replace('\\', "\\\\").replace('"', "\\\""));
            let once = escape(plain);
            for escaped in [escape(&once), once] {
                if masked.contains(escaped.as_str()) {
                    masked = Cow::Owned(masked.replace(escaped.as_str(), MASK));
                }
            }
        }
    }
    masked
}

#[expect(clippy::expect_used, reason = "the pattern is a constant, and every test of this file compiles it")]
static PATTERN: LazyLock<Regex> = LazyLock::new(|| Regex::new(PATTERN_TEXT).expect("a valid pattern"));

/// One alternative for each form of secret. Terminal colour codes may stand between a name and its value.
const PATTERN_TEXT: &str = r#"(?x)
    (?P<jwt> eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)* )

  | (?P<before> ^ | [^A-Za-z0-9] | \\[nrt] | \[[0-9;]*m )
    (?P<key> (?:cp|sk|rk|pk|sess)-[A-Za-z0-9_-]{8,} | rt_[A-Za-z0-9._-]{16,} )

  | (?P<scheme> (?i:bearer)\s+ ) (?P<shown> [^\s"'\\,;<>$\[\x1b]+ )

  | (?P<name> (?i: [a-z0-9_-]*token | authorization | (?:set-)?cookie | x?-?api[_-]?key | client[_-]?secret
                 | code[_-]?verifier | device[_-]?auth[_-]?id | password | passwd | secret )
      \\*["']? (?:\x1b\[[0-9;]*m)* \s* (?: [:=] | %3[aAdD] ) (?:\x1b\[[0-9;]*m)* \s* (?:Some\()? )
    (?: (?P<open> \\*["'] ) (?P<quoted> [^"'\\]* )
      | (?P<bare> (?:(?i:bearer|basic|token)\s+)? [^\s"'\\&,;}\])\x1b]+ ) )

  | (?P<param> (?: [?&] | %3[fF] | %26 | \\u0026 ) (?i: code | state | key | sig | signature ) (?: = | %3[dD] ) )
    [^&\s"'\\<>\#%]+

  | (?P<loose> \b(?: code | state ) \\*["']? (?:\x1b\[[0-9;]*m)* \s* [:=] (?:\x1b\[[0-9;]*m)* \s* \\*["']? )
    (?P<maybe> [A-Za-z0-9._~-]{12,} )

  | (?P<at> :// ) [^/\s@"'\\]+ @

  | (?P<email> [\w.%+-]+ (?: @ | %40 ) [\w-]+ (?: \.[\w-]+ )* \.\p{L}{2,} )
"#;

/// The replacement for one match.
fn mask(found: &Captures<'_>) -> String {
    let group = |name| found.name(name).map_or("", |part| part.as_str());
    let whole = || group_whole(found).to_owned();
    if found.name("jwt").is_some() {
        return MASK.to_owned();
    }
    if let Some(email) = found.name("email") {
        return if is_file_name(email.as_str()) { whole() } else { MASK.to_owned() };
    }
    if found.name("key").is_some() {
        return format!("{}{MASK}", group("before"));
    }
    if let Some(shown) = found.name("shown") {
        // `WWW-Authenticate: Bearer realm=api` requests a token and does not contain one.
        let asks = shown.as_str().starts_with("realm=");
        return if asks { whole() } else { format!("{}{MASK}", group("scheme")) };
    }
    if found.name("name").is_some() {
        return if is_no_secret(found) {
            whole()
        } else {
            format!("{}{}{MASK}", group("name"), group("open"))
        };
    }
    if let Some(maybe) = found.name("maybe") {
        return if looks_random(maybe.as_str()) { format!("{}{MASK}", group("loose")) } else { whole() };
    }
    if found.name("at").is_some() {
        return format!("://{MASK}@");
    }
    format!("{}{MASK}", group("param"))
}

fn group_whole<'a>(found: &Captures<'a>) -> &'a str {
    found.get(0).map_or("", |part| part.as_str())
}

/// Whether a value beside a secret's name is not a secret: a number, a word for no value, or an already masked
/// text.
fn is_no_secret(found: &Captures<'_>) -> bool {
    let value = found.name("quoted").or(found.name("bare")).map_or("", |part| part.as_str());
    let words = ["", "null", "none", "true", "false", "set", "unset", "None", "***"];
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
    words.contains(&value) || is_number || value.starts_with("[redacted")
}

/// Whether a text in the form of an address is a picture's name, such as `photo@2x.png`.
fn is_file_name(email: &str) -> bool {
    let scale = email.rsplit_once('@').and_then(|(_, rest)| rest.split_once("x."));
    let kinds = ["png", "jpg", "jpeg", "gif", "webp", "avif", "svg"];
    scale.is_some_and(|(number, kind)| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) && kinds.contains(&kind)
    })
}

/// Whether a text is not one of the proxy's own words: its codes and states are words without digits.
fn looks_random(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit()) && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests;
