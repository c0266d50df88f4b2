//! The Secret Service over D-Bus: GNOME's keyring, KDE's wallet and similar services.
//!
//! The store's library unlocks everything that is locked, with a prompt for the user. So it is only called after a
//! check of what is locked.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use keyring_core::Entry;
use keyring_core::api::CredentialStoreApi as _;
use zbus::blocking::connection::Builder;
use zbus::blocking::{Connection, Proxy};
use zbus::zvariant::{DynamicType, ObjectPath, OwnedObjectPath, OwnedValue};
use zbus_secret_service_keyring_store::Store;

use super::{KeychainError, Patience, SERVICE, told};

const BUS_NAME: &str = "org.freedesktop.secrets";
const ROOT: &str = "/org/freedesktop/secrets";
const SECRET_SERVICE: &str = "org.freedesktop.Secret.Service";
const COLLECTION: &str = "org.freedesktop.Secret.Collection";
const PROMPT: &str = "org.freedesktop.Secret.Prompt";
/// The path that stands for "none".
const NONE: &str = "/";

/// The label of a secret in the window of the user's keychain.
const LABEL: &str = "Codex Proxy API key";

/// The entry of `account`, after a check that the collection for it is unlocked.
pub(super) fn for_writing(
    account: &str,
    patience: Patience,
    limit: Duration,
) -> Result<Entry, KeychainError> {
    let bus = Bus::connect(limit)?;
    bus.open_default(patience)?;
    bus.open_items(account, patience)?;
    entry(account)
}

/// The entry of `account`, after a check that it exists and is unlocked.
pub(super) fn for_reading(
    account: &str,
    patience: Patience,
    limit: Duration,
) -> Result<Entry, KeychainError> {
    let bus = Bus::connect(limit)?;
    // A locked wallet may not even list its content.
    let opened = bus.open_default(patience);
    let found = bus.open_items(account, patience)?;
    if !found {
        opened?;
        return Err(KeychainError::Missing);
    }
    entry(account)
}

/// A store for one call, because the service may have been started, stopped or replaced since the last one.
fn entry(account: &str) -> Result<Entry, KeychainError> {
    let store = Store::new().map_err(|error| told(&error))?;
    let label = HashMap::from([("label", LABEL)]);
    store.build(SERVICE, account, Some(&label)).map_err(|error| told(&error))
}

/// A connection with a time limit for every answer.
struct Bus {
    connection: Connection,
    limit: Duration,
}

impl Bus {
    fn connect(limit: Duration) -> Result<Self, KeychainError> {
        // A little less than the limit of the whole call, so that the thread ends within that limit.
        let limit = limit.mul_f32(0.9);
        let connection = Builder::session().map(|builder| builder.method_timeout(limit));
        let connection = connection.and_then(Builder::build);
        let connection =
            connection.map_err(|error| KeychainError::Absent(format!("no session bus: {error}")))?;
        Ok(Self { connection, limit })
    }

    /// Checks that the default collection exists and is not locked.
    fn open_default(&self, patience: Patience) -> Result<(), KeychainError> {
        let collection: OwnedObjectPath = self.ask(ROOT, SECRET_SERVICE, "ReadAlias", &("default",))?;
        if collection.as_str() == NONE {
            let reason = "it has no default collection yet; a keychain application can make one";
            return Err(KeychainError::Absent(reason.to_owned()));
        }
        let locked: OwnedValue =
            self.ask(collection.as_str(), "org.freedesktop.DBus.Properties", "Get", &(COLLECTION, "Locked"))?;
        let locked = bool::try_from(locked).map_err(|error| KeychainError::Refused(error.to_string()))?;
        if locked { self.unlock(&[collection], patience) } else { Ok(()) }
    }

    /// Checks that the entry of `account` is not locked. Returns whether there is one.
    fn open_items(&self, account: &str, patience: Patience) -> Result<bool, KeychainError> {
        let attributes = HashMap::from([("service", SERVICE), ("username", account)]);
        let (open, locked): (Vec<OwnedObjectPath>, Vec<OwnedObjectPath>) =
            self.ask(ROOT, SECRET_SERVICE, "SearchItems", &(attributes,))?;
        if !locked.is_empty() {
            self.unlock(&locked, patience)?;
        }
        Ok(!open.is_empty() || !locked.is_empty())
    }

    fn unlock(&self, paths: &[OwnedObjectPath], patience: Patience) -> Result<(), KeychainError> {
        match patience {
            Patience::Background => return Err(KeychainError::Locked),
            Patience::Person => {}
        }
        let (_, prompt): (Vec<OwnedObjectPath>, OwnedObjectPath) =
            self.ask(ROOT, SECRET_SERVICE, "Unlock", &(paths,))?;
        if prompt.as_str() == NONE {
            return Ok(());
        }
        let failed = |error: zbus::Error| self.told(&error);
        let proxy = Proxy::new(&self.connection, BUS_NAME, prompt, PROMPT).map_err(failed)?;
        // The subscription comes before the request, so that a quick answer is not missed.
        let mut completed = proxy.receive_signal("Completed").map_err(failed)?;
        proxy.call_method("Prompt", &("",)).map_err(failed)?;
        let answer = completed.next().ok_or(KeychainError::Locked)?;
        let (dismissed, _): (bool, OwnedValue) =
            answer.body().deserialize().map_err(|error| KeychainError::Refused(error.to_string()))?;
        if dismissed { Err(KeychainError::Locked) } else { Ok(()) }
    }

    fn ask<A, T>(&self, path: &str, interface: &str, method: &str, arguments: &A) -> Result<T, KeychainError>
    where
        A: serde::Serialize + DynamicType,
        T: serde::de::DeserializeOwned + zbus::zvariant::Type,
    {
        let path = ObjectPath::try_from(path).map_err(|error| KeychainError::Refused(error.to_string()))?;
        let answer = self.connection.call_method(Some(BUS_NAME), path, Some(interface), method, arguments);
        let answer = answer.map_err(|error| self.told(&error))?;
        answer.body().deserialize().map_err(|error| KeychainError::Refused(error.to_string()))
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "most of what a bus may say is a refusal")]
    fn told(&self, error: &zbus::Error) -> KeychainError {
        const NOBODY: [&str; 4] = [
            "org.freedesktop.DBus.Error.ServiceUnknown",
            "org.freedesktop.DBus.Error.NameHasNoOwner",
            "org.freedesktop.DBus.Error.Spawn.ServiceNotFound",
            "org.freedesktop.DBus.Error.Disconnected",
        ];
        match error {
            zbus::Error::InputOutput(cause) if cause.kind() == io::ErrorKind::TimedOut => {
                KeychainError::Silent(self.limit)
            }
            zbus::Error::MethodError(name, _, _) if NOBODY.contains(&name.as_str()) => {
                KeychainError::Absent("no Secret Service on the session bus".to_owned())
            }
            zbus::Error::MethodError(name, text, _) => {
                let text = text.as_deref().unwrap_or_default();
                KeychainError::Refused(format!("{name}: {text}"))
            }
            other => KeychainError::Refused(other.to_string()),
        }
    }
}
