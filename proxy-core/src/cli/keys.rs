//! `codex-proxy keys`. Only `create` and `show` print a key, alone on standard output.

use http::Method;
use secrecy::zeroize::Zeroizing;
use serde_json::{Value, json};

use super::Context;
use super::client::{Client, typed, value_of};
use super::failure::Failure;
use super::output::{Output, Painter, Table, Tone, clean};
use super::tree::{KeyRef, KeyStore, KeysArgs, KeysVerb};
use super::units::Now;
use super::wire::{Key, Keys};
use crate::control::keys::KeysError;
use crate::instance::InstanceLock;
use crate::keys::{Destination, KeyRing, KeyRingError};

pub(super) async fn run(args: &KeysArgs, context: &Context, output: &mut Output) -> Result<(), Failure> {
    let backend = Backend::open(context).await?;
    let json = args.json.json;
    match args.verb.as_ref().unwrap_or(&KeysVerb::List) {
        KeysVerb::List => show_list(backend.list().await?, json, output),
        KeysVerb::Create(create) => {
            let mut key = backend.create(&create.name).await?;
            let id = key["id"].as_str().unwrap_or(&create.name).to_owned();
            let secret = backend.reveal(&id).await?;
            if json {
                key["secret"] = secret["secret"].clone();
                return Ok(output.json(&key)?);
            }
            if let Some(warning) = key["warning"].as_str() {
                output.note(&format!("warning: {}", clean(warning)))?;
            }
            print_secret(&secret, output)
        }
        KeysVerb::Show(KeyRef { key }) => {
            let secret = backend.reveal(key).await?;
            if json { Ok(output.json(&secret)?) } else { print_secret(&secret, output) }
        }
        KeysVerb::Rotate(KeyRef { key }) => {
            let changed = backend.rotate(key).await?;
            let name = name_of(&changed, key);
            let hint = format!("The key {name} is a new one; print it with `codex-proxy keys show {name}`.");
            answer(&changed, json, &hint, output)
        }
        KeysVerb::Disable(KeyRef { key }) => {
            let changed = backend.update(key, None, Some(false)).await?;
            answer(
                &changed,
                json,
                &format!("The key {} is refused from now on.", name_of(&changed, key)),
                output,
            )
        }
        KeysVerb::Enable(KeyRef { key }) => {
            let changed = backend.update(key, None, Some(true)).await?;
            answer(&changed, json, &format!("The key {} is accepted again.", name_of(&changed, key)), output)
        }
        KeysVerb::Rename(rename) => {
            let changed = backend.update(&rename.key, Some(&rename.name), None).await?;
            let name = name_of(&changed, &rename.name);
            answer(&changed, json, &format!("The key {} is now called {name}.", clean(&rename.key)), output)
        }
        KeysVerb::Delete(KeyRef { key }) => {
            let warning = backend.delete(key).await?;
            let gone = json!({"deleted": key, "warning": warning});
            answer(&gone, json, &format!("The key {} is gone.", clean(key)), output)
        }
        KeysVerb::Migrate(migrate) => show_list(backend.migrate(migrate.to).await?, json, output),
    }
}

/// Whom the keys are asked of: the running proxy, or this program while none is running.
enum Backend {
    Proxy(Client),
    Here {
        ring: KeyRing,
        /// Nobody else changes the keys meanwhile.
        _lock: InstanceLock,
    },
}

impl Backend {
    async fn open(context: &Context) -> Result<Self, Failure> {
        let config = &context.config;
        match Client::find(&config.data_dir) {
            Ok(client) => Ok(Self::Proxy(client)),
            Err(Failure::NotRunning(_)) => {
                let lock = InstanceLock::take(&config.data_dir)?;
                let keys = config.keys.clone();
                Ok(Self::Here { ring: aside(move || KeyRing::open(&keys)).await?, _lock: lock })
            }
            Err(failure) => Err(failure),
        }
    }

    async fn list(&self) -> Result<Value, Failure> {
        match self {
            Self::Proxy(client) => client.get("/keys").await,
            Self::Here { ring, .. } => value_of(&ring.list()),
        }
    }

    async fn create(&self, name: &str) -> Result<Value, Failure> {
        match self {
            Self::Proxy(client) => client.call(Method::POST, "/keys", Some(&json!({"name": name}))).await,
            Self::Here { ring, .. } => {
                let (ring, name) = (ring.clone(), name.to_owned());
                value_of(&aside(move || ring.create(&name)).await?)
            }
        }
    }

    async fn reveal(&self, key: &str) -> Result<Value, Failure> {
        match self {
            Self::Proxy(client) => client.call(Method::POST, &format!("{}/reveal", path(key)), None).await,
            Self::Here { ring, .. } => {
                let (ring, key) = (ring.clone(), key.to_owned());
                Ok(json!({"secret": aside(move || ring.reveal(&key)).await?.expose()}))
            }
        }
    }

    async fn rotate(&self, key: &str) -> Result<Value, Failure> {
        match self {
            Self::Proxy(client) => client.call(Method::POST, &format!("{}/rotate", path(key)), None).await,
            Self::Here { ring, .. } => {
                let (ring, key) = (ring.clone(), key.to_owned());
                value_of(&aside(move || ring.rotate(&key)).await?)
            }
        }
    }

    async fn update(&self, key: &str, name: Option<&str>, enabled: Option<bool>) -> Result<Value, Failure> {
        match self {
            Self::Proxy(client) => {
                let changes = [("name", name.map(Value::from)), ("enabled", enabled.map(Value::from))];
                let changes = changes.into_iter().filter_map(|(what, to)| Some((what.to_owned(), to?)));
                client.call(Method::PATCH, &path(key), Some(&changes.collect())).await
            }
            Self::Here { ring, .. } => {
                let (ring, key, name) = (ring.clone(), key.to_owned(), name.map(str::to_owned));
                value_of(&aside(move || ring.update(&key, name.as_deref(), enabled)).await?)
            }
        }
    }

    /// Returns what is left to be done, in a sentence.
    async fn delete(&self, key: &str) -> Result<Option<String>, Failure> {
        match self {
            Self::Proxy(client) => {
                let answer = client.call(Method::DELETE, &path(key), None).await?;
                Ok(answer["warning"].as_str().map(str::to_owned))
            }
            Self::Here { ring, .. } => {
                let (ring, key) = (ring.clone(), key.to_owned());
                aside(move || ring.delete(&key)).await
            }
        }
    }

    async fn migrate(&self, to: KeyStore) -> Result<Value, Failure> {
        match self {
            Self::Proxy(client) => {
                client.call(Method::POST, "/keys/migrate", Some(&json!({"to": to.as_str()}))).await
            }
            Self::Here { ring, .. } => {
                let ring = ring.clone();
                let to = match to {
                    KeyStore::Keychain => Destination::Keychain,
                    KeyStore::File => Destination::File,
                };
                value_of(&aside(move || ring.migrate(to)).await?)
            }
        }
    }
}

/// Does something that may wait for the keychain, which wants a thread of its own.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KeyRingError> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|error| Failure::new(format!("the keys cannot be handled: {error}")))??)
}

impl From<KeyRingError> for Failure {
    fn from(error: KeyRingError) -> Self {
        Self::new(KeysError::from(error).message)
    }
}

/// The path of a key, whose name may hold anything.
fn path(key: &str) -> String {
    let mut path = "/keys/".to_owned();
    for byte in key.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => path.push(char::from(byte)),
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path
}

fn name_of(key: &Value, asked: &str) -> String {
    clean(key["name"].as_str().unwrap_or(asked))
}

fn print_secret(answer: &Value, output: &mut Output) -> Result<(), Failure> {
    let secret = answer["secret"].as_str().ok_or_else(|| Failure::new("the proxy's answer holds no key"))?;
    let line = Zeroizing::new(format!("{secret}\n"));
    Ok(output.text(&line)?)
}

fn answer(value: &Value, json: bool, sentence: &str, output: &mut Output) -> Result<(), Failure> {
    if json {
        return Ok(output.json(value)?);
    }
    if let Some(warning) = value["warning"].as_str() {
        output.note(&format!("warning: {}", clean(warning)))?;
    }
    Ok(output.line(sentence)?)
}

fn show_list(list: Value, json: bool, output: &mut Output) -> Result<(), Failure> {
    if json {
        return Ok(output.json(&list)?);
    }
    let keys: Keys = typed(list)?;
    if let Some(warning) = &keys.warning {
        output.note(&format!("warning: {}", clean(warning)))?;
    }
    Ok(output.text(&render(&keys, &Now::here(), output.paint()))?)
}

fn render(keys: &Keys, now: &Now, paint: Painter) -> String {
    if keys.keys.is_empty() {
        return "There is no key. Make one with `codex-proxy keys create NAME`.\n".to_owned();
    }
    let mut table = Table::new(&["NAME", "ID", "STATE", "CREATED", "LAST USED", "KEPT IN"]);
    for Key { id, name, enabled, overridden, created_at, last_used_at, secret_in } in &keys.keys {
        let state = match (enabled, overridden) {
            (true, false) => "enabled",
            (true, true) => "overridden",
            (false, _) => "disabled",
        };
        let created = created_at.map_or_else(String::new, |at| now.date(at));
        let used = last_used_at.map_or_else(|| "never".to_owned(), |at| now.ago(at));
        table.row([name.clone(), id.clone(), state.to_owned(), created, used, secret_in.clone()]);
        table.tone(2, if state == "enabled" { Tone::Good } else { Tone::Warning });
    }
    table.render(paint)
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn names_are_escaped_in_paths() {
        assert_eq!(path("default"), "/keys/default");
        assert_eq!(path("../x y/ü?#."), "/keys/%2E%2E%2Fx%20y%2F%C3%BC%3F%23%2E");
    }

    #[test]
    fn a_list_of_keys() {
        let keys: Keys = typed(json!({"store": "keychain", "warning": null, "keys": [
            {"id": "k_1", "name": "default", "enabled": true, "created_at": 1_783_900_000, "last_used_at": 1_783_936_000, "secret_in": "keychain"},
            {"id": "k_2", "name": "obsidian", "enabled": false, "created_at": 1_783_900_000, "last_used_at": null, "secret_in": "file"},
        ]}))
        .unwrap();
        let now = Now { time: jiff::Timestamp::from_second(1_783_936_600).unwrap(), zone: TimeZone::UTC };
        let expected = "\
NAME      ID   STATE     CREATED     LAST USED   KEPT IN
default   k_1  enabled   2026-07-12  10 min ago  keychain
obsidian  k_2  disabled  2026-07-12  never       file
";
        assert_eq!(render(&keys, &now, Painter::PLAIN), expected);
        assert!(render(&Keys::default(), &now, Painter::PLAIN).contains("keys create"));
    }
}
