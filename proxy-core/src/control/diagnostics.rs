//! Collects everything that helps to find a fault, in one object that can be shared: it contains neither
//! personal data nor a secret.

use std::path::Path;

use serde_json::{Value, json};

use super::{ControlHandle, epoch};
use crate::secret::redact::redact;

/// The number of log lines and of requests that are included, the latest ones.
const LOG_LINES: usize = 500;
const REQUESTS: usize = 50;

impl ControlHandle {
    /// The diagnostics. It reads files, so it blocks.
    pub fn diagnostics(&self) -> Value {
        let status = self.status();
        let names = [&status.account.email, &status.account.workspace];
        let person: Vec<String> = names.into_iter().flatten().map(|name| name.0.clone()).collect();
        let keys = self.list_keys();
        let log = self.log_tail(LOG_LINES);
        let mut told = json!({
            "made_at": epoch(std::time::SystemTime::now()).as_secs(),
            "version": status.version,
            "system": {
                "os": std::env::consts::OS,
                "arch": std::env::consts::ARCH,
                "name": system_name(),
            },
            "status": status,
            "settings": self.settings(),
            "keys": {"store": keys.store, "warning": keys.warning, "count": keys.keys.len()},
            "requests": self.requests(REQUESTS, None).requests,
            "log": {
                "filter": self.log_level().filter,
                "dropped": self.log_lines_dropped(),
                "lines": log.as_ref().map(|log| log.lines.as_slice()).unwrap_or_default(),
                "problem": log.as_ref().err().map(ToString::to_string),
            },
        });
        // The account, also during a sign-in, is personal data.
        for private in ["email", "workspace", "login"] {
            told["status"]["account"][private] = Value::Null;
        }
        // Names of keys may contain names of people and customers.
        for request in told["requests"].as_array_mut().into_iter().flatten() {
            request["key"] = Value::Null;
        }
        for line in told["log"]["lines"].as_array_mut().into_iter().flatten() {
            if let Value::String(line) = line {
                for key in &keys.keys {
                    *line = without_key_name(line, &key.name);
                }
            }
        }
        clean(&mut told, &person, self.0.clients.home());
        told
    }
}

/// Masks secrets and personal data in all strings, and the path of the home directory.
fn clean(value: &mut Value, person: &[String], home: Option<&Path>) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => {
            let mut cleaned = redact(text).into_owned();
            for private in person.iter().filter(|private| private.len() > 3) {
                cleaned = cleaned.replace(private.as_str(), "[redacted]");
            }
            if let Some(home) = home.and_then(Path::to_str).filter(|home| home.len() > 1) {
                cleaned = cleaned.replace(home, "~");
            }
            *text = cleaned;
        }
        Value::Array(values) => values.iter_mut().for_each(|value| clean(value, person, home)),
        Value::Object(pairs) => pairs.values_mut().for_each(|value| clean(value, person, home)),
    }
}

/// Removes the name of a key from a log line.
fn without_key_name(line: &str, name: &str) -> String {
    let shapes = [("key=", ""), ("\"", "\""), ("/keys/", "")];
    shapes.into_iter().fold(line.to_owned(), |line, (before, behind)| {
        line.replace(&format!("{before}{name}{behind}"), &format!("{before}[name]{behind}"))
    })
}

/// The name and version of the system, from its release file.
fn system_name() -> Option<String> {
    let text = std::fs::read_to_string("/etc/os-release").ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(name.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keys_name_is_masked_where_the_log_has_it_and_nowhere_else() {
        let line = "made an API key name=\"ci\" request{key=ci route=/control/keys/ci/reveal}: circled in ci";
        let masked = "made an API key name=\"[name]\" request{key=[name] route=/control/keys/[name]/reveal}: circled in ci";
        assert_eq!(without_key_name(line, "ci"), masked);
    }

    #[test]
    fn names_addresses_and_secrets_are_masked_wherever_they_stand() {
        let mut told = json!({
            "a": ["Bearer canary-canary", {"b": "/home/robin/.config/x of robin@example.com in Acme Inc"}],
            "n": 1,
        });
        clean(&mut told, &["Acme Inc".to_owned()], Some(Path::new("/home/robin")));
        assert_eq!(
            told,
            json!({"a": ["Bearer [redacted]", {"b": "~/.config/x of [redacted] in [redacted]"}], "n": 1})
        );
    }
}
