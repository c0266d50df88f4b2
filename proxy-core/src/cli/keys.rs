//! The command `codex-proxy keys`. Only `create` and `show` print a key, and they print nothing else on standard
//! output.

use http::Method;
use secrecy::zeroize::Zeroizing;
use serde::Serialize;

use super::Context;
use super::client::{Answer, Client};
use super::failure::Failure;
use super::output::{Output, Painter, Table, Tone, clean};
use super::tree::{KeyRef, KeyStore, KeysArgs, KeysVerb};
use super::units::Now;
use crate::control::api::{
    ChangedKey, CreateKey, DeletedKey, Key, KeyDestination, KeyList, MigrateKeys, RevealedKey, UpdateKey,
};
use crate::control::keys::KeysError;
use crate::instance::InstanceLock;
use crate::keys::{KeyRing, KeyRingError};

pub(super) async fn run(args: &KeysArgs, context: &Context, output: &mut Output) -> Result<(), Failure> {
    let backend = Backend::open(context).await?;
    let json = args.json.json;
    match args.verb.as_ref().unwrap_or(&KeysVerb::List) {
        KeysVerb::List => show_list(backend.list().await?, json, output),
        KeysVerb::Create(create) => {
            let changed = backend.create(&create.name).await?;
            let revealed = backend.reveal(&changed.key.id).await?;
            if json {
                return Ok(output.json(&Made { changed: &changed, revealed: &revealed })?);
            }
            warn(changed.warning.as_deref(), output)?;
            print_secret(&revealed, output)
        }
        KeysVerb::Show(KeyRef { key }) => {
            let revealed = backend.reveal(key).await?;
            if json { Ok(output.json(&revealed)?) } else { print_secret(&revealed, output) }
        }
        KeysVerb::Rotate(KeyRef { key }) => {
            let changed = backend.rotate(key).await?;
            let name = clean(&changed.key.name);
            let hint = format!("The key {name} is a new one; print it with `codex-proxy keys show {name}`.");
            answer(&changed, changed.warning.as_deref(), json, &hint, output)
        }
        KeysVerb::Disable(KeyRef { key }) => {
            let changed = backend.update(key, UpdateKey { name: None, enabled: Some(false) }).await?;
            let sentence = format!("The key {} is refused from now on.", clean(&changed.key.name));
            answer(&changed, changed.warning.as_deref(), json, &sentence, output)
        }
        KeysVerb::Enable(KeyRef { key }) => {
            let changed = backend.update(key, UpdateKey { name: None, enabled: Some(true) }).await?;
            let sentence = format!("The key {} is accepted again.", clean(&changed.key.name));
            answer(&changed, changed.warning.as_deref(), json, &sentence, output)
        }
        KeysVerb::Rename(rename) => {
            let change = UpdateKey { name: Some(rename.name.clone()), enabled: None };
            let changed = backend.update(&rename.key, change).await?;
            let (old, new) = (clean(&rename.key), clean(&changed.key.name));
            let sentence = format!("The key {old} is now called {new}.");
            answer(&changed, changed.warning.as_deref(), json, &sentence, output)
        }
        KeysVerb::Delete(KeyRef { key }) => {
            let warning = backend.delete(key).await?;
            let gone = Gone { deleted: key, warning: warning.as_deref() };
            answer(&gone, gone.warning, json, &format!("The key {} is gone.", clean(key)), output)
        }
        KeysVerb::Migrate(migrate) => show_list(backend.migrate(migrate.to).await?, json, output),
    }
}

/// The JSON of a new key for `--json`.
#[derive(Serialize)]
struct Made<'a> {
    #[serde(flatten)]
    changed: &'a ChangedKey,
    #[serde(flatten)]
    revealed: &'a RevealedKey,
}

/// The JSON of a removed key for `--json`.
#[derive(Serialize)]
struct Gone<'a> {
    deleted: &'a str,
    warning: Option<&'a str>,
}

/// What changes the keys: the running proxy, or this program if none is running.
enum Backend {
    Proxy(Client),
    Here {
        ring: KeyRing,
        /// Keeps other processes from changing the keys.
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

    async fn list(&self) -> Result<Answer<KeyList>, Failure> {
        match self {
            Self::Proxy(client) => client.get("/keys").await,
            Self::Here { ring, .. } => Answer::of(&ring.list().into()),
        }
    }

    async fn create(&self, name: &str) -> Result<ChangedKey, Failure> {
        match self {
            Self::Proxy(client) => {
                client.send(Method::POST, "/keys", &CreateKey { name: name.to_owned() }).await?.read()
            }
            Self::Here { ring, .. } => {
                let (ring, name) = (ring.clone(), name.to_owned());
                Ok(aside(move || ring.create(&name)).await?.into())
            }
        }
    }

    async fn reveal(&self, key: &str) -> Result<RevealedKey, Failure> {
        match self {
            Self::Proxy(client) => client.call(Method::POST, &format!("{}/reveal", path(key))).await?.read(),
            Self::Here { ring, .. } => {
                let (ring, key) = (ring.clone(), key.to_owned());
                Ok(RevealedKey { secret: aside(move || ring.reveal(&key)).await? })
            }
        }
    }

    async fn rotate(&self, key: &str) -> Result<ChangedKey, Failure> {
        match self {
            Self::Proxy(client) => client.call(Method::POST, &format!("{}/rotate", path(key))).await?.read(),
            Self::Here { ring, .. } => {
                let (ring, key) = (ring.clone(), key.to_owned());
                Ok(aside(move || ring.rotate(&key)).await?.into())
            }
        }
    }

    async fn update(&self, key: &str, change: UpdateKey) -> Result<ChangedKey, Failure> {
        match self {
            Self::Proxy(client) => client.send(Method::PATCH, &path(key), &change).await?.read(),
            Self::Here { ring, .. } => {
                let (ring, key) = (ring.clone(), key.to_owned());
                let UpdateKey { name, enabled } = change;
                Ok(aside(move || ring.update(&key, name.as_deref(), enabled)).await?.into())
            }
        }
    }

    /// Deletes a key. Returns a sentence about what is left to do, if something is.
    async fn delete(&self, key: &str) -> Result<Option<String>, Failure> {
        match self {
            Self::Proxy(client) => {
                let left: Option<DeletedKey> = client.call(Method::DELETE, &path(key)).await?.read()?;
                Ok(left.and_then(|left| left.warning))
            }
            Self::Here { ring, .. } => {
                let (ring, key) = (ring.clone(), key.to_owned());
                aside(move || ring.delete(&key)).await
            }
        }
    }

    async fn migrate(&self, to: KeyStore) -> Result<Answer<KeyList>, Failure> {
        let to = match to {
            KeyStore::Keychain => KeyDestination::Keychain,
            KeyStore::File => KeyDestination::File,
        };
        match self {
            Self::Proxy(client) => client.send(Method::POST, "/keys/migrate", &MigrateKeys { to }).await,
            Self::Here { ring, .. } => {
                let ring = ring.clone();
                Answer::of(&aside(move || ring.migrate(to.into())).await?.into())
            }
        }
    }
}

/// Runs work that may wait for the keychain on a new thread.
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

/// The URL path of a key. Its name may contain any character, so it is encoded.
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

fn print_secret(RevealedKey { secret }: &RevealedKey, output: &mut Output) -> Result<(), Failure> {
    let line = Zeroizing::new(format!("{}\n", secret.expose()));
    Ok(output.text(&line)?)
}

fn warn(warning: Option<&str>, output: &mut Output) -> Result<(), Failure> {
    match warning {
        Some(warning) => Ok(output.note(&format!("warning: {}", clean(warning)))?),
        None => Ok(()),
    }
}

fn answer(
    value: &impl Serialize,
    warning: Option<&str>,
    json: bool,
    sentence: &str,
    output: &mut Output,
) -> Result<(), Failure> {
    if json {
        return Ok(output.json(value)?);
    }
    warn(warning, output)?;
    Ok(output.line(sentence)?)
}

fn show_list(list: Answer<KeyList>, json: bool, output: &mut Output) -> Result<(), Failure> {
    if json {
        return Ok(output.json(list.sent())?);
    }
    let keys = list.read()?;
    warn(keys.warning.as_deref(), output)?;
    Ok(output.text(&render(&keys, &Now::here(), output.paint()))?)
}

fn render(keys: &KeyList, now: &Now, paint: Painter) -> String {
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
        table.row([name.clone(), id.clone(), state.to_owned(), created, used, secret_in.as_str().to_owned()]);
        table.tone(2, if state == "enabled" { Tone::Good } else { Tone::Warning });
    }
    table.render(paint)
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn names_are_escaped_in_paths() {
        assert_eq!(path("default"), "/keys/default");
        assert_eq!(path("../x y/ü?#."), "/keys/%2E%2E%2Fx%20y%2F%C3%BC%3F%23%2E");
    }

    #[test]
    fn a_list_of_keys() {
        let keys: KeyList = from_value(json!({"store": "keychain", "warning": null, "keys": [
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
        assert!(render(&KeyList::default(), &now, Painter::PLAIN).contains("keys create"));
    }
}
