mod ids;
mod keychain;

use std::collections::BTreeMap;
use std::fs;
use std::sync::Barrier;
use std::time::Duration;

use super::*;

/// A keychain with prepared answers.
#[derive(Clone, Default)]
struct FakeKeychain(Arc<Mutex<FakeState>>);

#[derive(Default)]
struct FakeState {
    secrets: BTreeMap<String, String>,
    trouble: Option<KeychainError>,
    /// Whether the user unlocks it when asked.
    person_helps: bool,
    asked: usize,
}

impl FakeKeychain {
    fn fails(&self, trouble: Option<KeychainError>) {
        self.0.lock().unwrap().trouble = trouble;
    }

    fn secrets(&self) -> Vec<String> {
        self.0.lock().unwrap().secrets.values().cloned().collect()
    }

    fn asked(&self) -> usize {
        self.0.lock().unwrap().asked
    }

    fn with<T>(
        &self,
        patience: Patience,
        work: impl FnOnce(&mut FakeState) -> Result<T, KeychainError>,
    ) -> Result<T, KeychainError> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.asked += 1;
        let unlocked = state.person_helps && patience == Patience::Person;
        match state.trouble.clone() {
            Some(trouble) if !(unlocked && trouble == KeychainError::Locked) => Err(trouble),
            Some(_) | None => work(&mut state),
        }
    }
}

impl Keychain for FakeKeychain {
    fn put(&self, account: &str, secret: &ApiKey, patience: Patience) -> Result<(), KeychainError> {
        self.with(patience, |state| {
            state.secrets.insert(account.to_owned(), secret.expose().to_owned());
            Ok(())
        })
    }

    fn get(&self, account: &str, patience: Patience) -> Result<ApiKey, KeychainError> {
        self.with(patience, |state| {
            let text = state.secrets.get(account).ok_or(KeychainError::Missing)?;
            ApiKey::parse(text).map_err(|_| KeychainError::Mangled)
        })
    }

    fn remove(&self, account: &str, patience: Patience) -> Result<(), KeychainError> {
        self.with(patience, |state| {
            state.secrets.remove(account);
            Ok(())
        })
    }
}

struct Scene {
    directory: tempfile::TempDir,
    keychain: FakeKeychain,
    api_key: Option<ApiKey>,
    exposed: bool,
}

impl Scene {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            keychain: FakeKeychain::default(),
            api_key: None,
            exposed: false,
        }
    }

    fn try_open(&self, with_keychain: bool) -> Result<KeyRing, KeyRingError> {
        let config = Config {
            api_key: self.api_key.clone(),
            data_dir: self.directory.path().to_owned(),
            keychain: KeychainMode::Off,
            exposed: self.exposed,
        };
        let keychain: Option<Box<dyn Keychain>> =
            if with_keychain { Some(Box::new(self.keychain.clone())) } else { None };
        start::open(&config, keychain)
    }

    fn open(&self) -> KeyRing {
        self.try_open(true).unwrap()
    }

    fn open_without_keychain(&self) -> KeyRing {
        self.try_open(false).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The content of all files in the data directory, as one text.
    fn on_disk(&self) -> String {
        fs::read_dir(self.directory.path())
            .unwrap()
            .map(|entry| String::from_utf8(fs::read(entry.unwrap().path()).unwrap()).unwrap())
            .collect()
    }
}

fn text(ring: &KeyRing, name: &str) -> String {
    ring.reveal(name).unwrap().expose().to_owned()
}

fn passes(ring: &KeyRing, key: &str) -> Option<String> {
    ring.pass(key.as_bytes()).map(|key| key.name.as_str().to_owned())
}

fn only(list: &KeyList) -> &KeyInfo {
    assert_eq!(list.keys.len(), 1, "{list:?}");
    &list.keys[0]
}

fn locked() -> KeychainError {
    KeychainError::Locked
}

#[test]
fn the_first_start_puts_a_key_into_the_keychain_and_only_there() {
    let scene = Scene::new();
    let ring = scene.open();
    let list = ring.list();
    let key = only(&list);
    assert_eq!((&*key.name, key.enabled, key.secret_in), ("default", true, SecretIn::Keychain));
    assert_eq!((list.store, &list.warning), (SecretIn::Keychain, &None));
    let key = text(&ring, "default");
    assert_eq!(scene.keychain.secrets(), [&*key]);
    assert!(!scene.on_disk().contains(&key));
    assert_eq!(passes(&ring, &key).as_deref(), Some("default"));

    let asked = scene.keychain.asked();
    let again = scene.open();
    assert_eq!(passes(&again, &key).as_deref(), Some("default"));
    assert_eq!(again.list().keys.len(), 1);
    assert_eq!(scene.keychain.asked(), asked, "neither a later start nor a request needs the keychain");
}

#[test]
fn without_a_keychain_the_key_lies_in_one_file_and_the_list_says_why() {
    for trouble in
        [locked(), KeychainError::Absent("no bus".to_owned()), KeychainError::Silent(Duration::from_secs(3))]
    {
        let scene = Scene::new();
        scene.keychain.fails(Some(trouble.clone()));
        let ring = scene.open();
        let list = ring.list();
        assert_eq!((list.store, only(&list).secret_in), (SecretIn::File, SecretIn::File));
        let warning = list.warning.unwrap();
        assert!(warning.contains(&trouble.to_string()) && warning.contains("key-secrets"), "{warning}");
        let key = text(&ring, "default");
        assert!(fs::read_to_string(scene.path("key-secrets")).unwrap().contains(&key));
        assert!(!fs::read_to_string(scene.path("keys.json")).unwrap().contains(&key));
    }
}

#[test]
fn a_keychain_that_is_turned_off_is_no_cause_for_a_warning() {
    let scene = Scene::new();
    let ring = scene.open_without_keychain();
    assert_eq!((ring.list().store, ring.list().warning), (SecretIn::File, None));
    assert!(matches!(ring.migrate(Destination::Keychain), Err(KeyRingError::KeychainOff)));
}

#[test]
fn a_keychain_that_comes_later_gets_what_is_in_the_file() {
    let scene = Scene::new();
    scene.keychain.fails(Some(locked()));
    let ring = scene.open();
    ring.create("phone").unwrap();
    let (default, phone) = (text(&ring, "default"), text(&ring, "phone"));
    ring.round();
    assert!(ring.list().keys.iter().all(|key| key.secret_in == SecretIn::File));

    scene.keychain.fails(None);
    ring.round();
    let list = ring.list();
    assert!(list.keys.iter().all(|key| key.secret_in == SecretIn::Keychain), "{list:?}");
    assert_eq!((list.store, list.warning), (SecretIn::Keychain, None));
    assert!(!scene.path("key-secrets").exists());
    assert!(!scene.on_disk().contains(&default) && !scene.on_disk().contains(&phone));
    assert_eq!((text(&ring, "default"), text(&ring, "phone")), (default.clone(), phone));
    assert_eq!(passes(&scene.open(), &default).as_deref(), Some("default"));
}

#[test]
fn the_key_file_of_an_earlier_version_becomes_the_default_key() {
    for (with_keychain, place) in [(true, SecretIn::Keychain), (false, SecretIn::File)] {
        let scene = Scene::new();
        fs::write(scene.path("api-key"), "my-own-key\n").unwrap();
        let ring = scene.try_open(with_keychain).unwrap();
        let list = ring.list();
        assert_eq!((&*only(&list).name, only(&list).secret_in), ("default", place));
        assert_eq!(text(&ring, "default"), "my-own-key");
        assert_eq!(passes(&ring, "my-own-key").as_deref(), Some("default"));
        assert!(!scene.path("api-key").exists());
    }
}

#[test]
fn a_key_file_that_was_taken_over_already_is_only_deleted() {
    let scene = Scene::new();
    fs::write(scene.path("api-key"), "my-own-key\n").unwrap();
    scene.open();
    fs::write(scene.path("api-key"), "my-own-key\n").unwrap();
    assert_eq!(scene.open().list().keys.len(), 1);
    assert!(!scene.path("api-key").exists());

    fs::write(scene.path("api-key"), "another-key\n").unwrap();
    let ring = scene.open();
    assert_eq!(passes(&ring, "my-own-key").as_deref(), Some("default"), "nothing is lost");
    assert_eq!(passes(&ring, "another-key").as_deref(), Some("api-key"));
}

#[test]
fn a_key_that_everybody_knows_lets_no_other_machine_in() {
    let mut scene = Scene::new();
    fs::write(scene.path("api-key"), "codex-local-secret\n").unwrap();
    scene.open();
    scene.exposed = true;
    let error = scene.try_open(true).unwrap_err().to_string();
    assert!(error.contains("the key `default`") && error.contains("keys rotate default"), "{error}");
    scene.exposed = false;
    scene.open().rotate("default").unwrap();
    scene.exposed = true;
    scene.open();
}

#[test]
fn a_broken_key_file_of_an_earlier_version_is_an_error_and_stays() {
    let scene = Scene::new();
    fs::write(scene.path("api-key"), "short").unwrap();
    let error = scene.try_open(true).unwrap_err();
    assert!(matches!(error, KeyRingError::KeyFile(_)), "{error}");
    assert_eq!(fs::read_to_string(scene.path("api-key")).unwrap(), "short");
}

#[test]
fn the_operators_key_takes_the_place_of_the_default_one_only() {
    let mut scene = Scene::new();
    let ring = scene.open();
    let default = text(&ring, "default");
    ring.create("phone").unwrap();
    let phone = text(&ring, "phone");
    drop(ring);

    scene.api_key = Some(ApiKey::parse("operators-key").unwrap());
    let ring = scene.open();
    assert_eq!(passes(&ring, "operators-key").as_deref(), Some("PROXY_API_KEY"));
    assert_eq!(passes(&ring, &default), None);
    assert_eq!(passes(&ring, &phone).as_deref(), Some("phone"));
    let list = ring.list();
    let shown: Vec<_> = list.keys.iter().map(|key| (&*key.name, key.overridden, key.secret_in)).collect();
    assert_eq!(
        shown,
        [
            ("PROXY_API_KEY", false, SecretIn::Configuration),
            ("default", true, SecretIn::Keychain),
            ("phone", false, SecretIn::Keychain)
        ]
    );
    assert!(list.warning.unwrap().contains("PROXY_API_KEY is set"));
    assert!(matches!(ring.rotate("proxy_api_key"), Err(KeyRingError::Configured)));
    assert!(matches!(ring.delete("PROXY_API_KEY"), Err(KeyRingError::Configured)));
    assert_eq!(text(&ring, "PROXY_API_KEY"), "operators-key");
    drop(ring);

    scene.api_key = None;
    assert_eq!(passes(&scene.open(), &default).as_deref(), Some("default"));
}

#[test]
fn under_the_operators_key_no_default_is_made_until_it_is_gone() {
    let mut scene = Scene::new();
    scene.api_key = Some(ApiKey::parse("operators-key").unwrap());
    let ring = scene.open();
    assert_eq!(only(&ring.list()).name, "PROXY_API_KEY");
    assert!(matches!(ring.create("default"), Err(KeyRingError::DefaultOverridden)));
    ring.create("phone").unwrap();
    drop(ring);
    scene.api_key = None;
    let list = scene.open().list();
    assert_eq!(list.keys.iter().map(|key| &*key.name).collect::<Vec<_>>(), ["phone", "default"]);
}

#[test]
fn keys_are_made_renamed_disabled_rotated_and_deleted_with_effect_at_once() {
    let scene = Scene::new();
    let ring = scene.open();
    let made = ring.create("Phone").unwrap().key;
    let key = text(&ring, "phone");
    assert_eq!(passes(&ring, &key).as_deref(), Some("Phone"));

    let renamed = ring.rename(made.id.as_str(), "tablet").unwrap().key;
    assert_eq!((&renamed.id, &*renamed.name), (&made.id, "tablet"));
    assert_eq!(passes(&ring, &key).as_deref(), Some("tablet"));
    assert!(matches!(ring.reveal("phone"), Err(KeyRingError::Unknown(_))));

    assert!(!ring.set_enabled("tablet", false).unwrap().key.enabled);
    assert_eq!(passes(&ring, &key), None);
    ring.set_enabled(made.id.as_str(), true).unwrap();
    assert_eq!(passes(&ring, &key).as_deref(), Some("tablet"));

    ring.rotate("tablet").unwrap();
    let rotated = text(&ring, "tablet");
    assert_ne!(rotated, key);
    assert_eq!((passes(&ring, &key), passes(&ring, &rotated).as_deref()), (None, Some("tablet")));
    assert_eq!(scene.keychain.secrets().len(), 2, "the old text is gone from the keychain");

    assert_eq!(ring.delete("tablet").unwrap(), None);
    assert_eq!(passes(&ring, &rotated), None);
    assert_eq!(ring.delete("default").unwrap(), None);
    assert_eq!(scene.keychain.secrets(), [""; 0]);
    assert!(ring.list().warning.unwrap().contains("No API key is accepted"));
    assert_eq!(scene.open().list().keys, [], "what was deleted does not come back");
}

#[test]
fn names_are_unfit_taken_or_unknown() {
    let scene = Scene::new();
    let ring = scene.open();
    assert!(matches!(ring.create("a/b"), Err(KeyRingError::InvalidName(_))));
    assert!(matches!(ring.create("DEFAULT"), Err(KeyRingError::NameTaken(_))));
    ring.create("phone").unwrap();
    assert!(matches!(ring.rename("phone", "Default"), Err(KeyRingError::NameTaken(_))));
    assert_eq!(ring.rename("phone", "Phone").unwrap().key.name, "Phone", "its own name, written otherwise");
    let key = text(&ring, "phone");
    let message = ring.reveal(&key).unwrap_err().to_string();
    assert!(!message.contains(&key), "a key that is given in a name's place is not repeated: {message}");
    for _ in ring.list().keys.len()..MOST_KEYS {
        ring.create(&writer::random_name().unwrap()).unwrap();
    }
    assert!(matches!(ring.create("one-more"), Err(KeyRingError::TooMany)));
}

#[test]
fn several_data_directories_share_a_keychain_without_meeting() {
    let (one, mut other) = (Scene::new(), Scene::new());
    other.keychain = one.keychain.clone();
    let (first, second) = (one.open(), other.open());
    assert_ne!(text(&first, "default"), text(&second, "default"));
    first.delete("default").unwrap();
    assert_eq!(other.keychain.secrets(), [text(&second, "default")]);
}

#[test]
fn a_list_that_is_gone_while_its_secrets_are_there_is_an_error() {
    let scene = Scene::new();
    scene.open_without_keychain();
    let secrets = fs::read(scene.path("key-secrets")).unwrap();
    fs::remove_file(scene.path("keys.json")).unwrap();
    let message = scene.try_open(false).unwrap_err().to_string();
    assert!(message.contains("keys.json") && message.contains("key-secrets"), "{message}");
    assert_eq!(fs::read(scene.path("key-secrets")).unwrap(), secrets);
}

#[test]
fn the_last_use_is_written_down_later_and_not_while_the_request_waits() {
    let scene = Scene::new();
    let ring = scene.open();
    let key = text(&ring, "default");
    let before = fs::read(scene.path("keys.json")).unwrap();
    assert!(passes(&ring, &key).is_some());
    assert!(only(&ring.list()).last_used_at.is_some());
    assert_eq!(fs::read(scene.path("keys.json")).unwrap(), before);
    ring.note_uses();
    let noted = fs::read(scene.path("keys.json")).unwrap();
    assert_ne!(noted, before);
    ring.note_uses();
    assert_eq!(only(&scene.open().list()).last_used_at, only(&ring.list()).last_used_at);
}

#[test]
fn keys_made_and_used_at_once_do_not_get_lost() {
    let scene = Scene::new();
    let ring = scene.open_without_keychain();
    let barrier = Barrier::new(8);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (ring, barrier) = (&ring, &barrier);
            scope.spawn(move || {
                barrier.wait();
                let name = format!("client {number}");
                let id = ring.create(&name).unwrap().key.id;
                assert_eq!(passes(ring, &text(ring, id.as_str())).as_deref(), Some(&*name));
                ring.rotate(id.as_str()).unwrap();
                assert_eq!(passes(ring, &text(ring, &name)).as_deref(), Some(&*name));
                ring.note_uses();
            });
        }
    });
    let again = scene.open_without_keychain();
    assert_eq!(again.list().keys.len(), 9);
    for number in 0..8 {
        let key = text(&again, &format!("client {number}"));
        assert!(passes(&again, &key).is_some());
    }
}

#[test]
fn a_disk_that_cannot_be_written_changes_nothing() {
    let scene = Scene::new();
    let ring = scene.open();
    let key = text(&ring, "default");
    fs::write(scene.path("keys.json"), "changed by hand").unwrap();
    assert!(matches!(ring.delete("default"), Err(KeyRingError::ChangedOutside(_))));
    assert!(matches!(ring.create("phone"), Err(KeyRingError::ChangedOutside(_))));
    assert_eq!(passes(&ring, &key).as_deref(), Some("default"));
    assert_eq!(ring.list().keys.len(), 1);
}

#[cfg(unix)]
#[test]
fn every_file_is_only_for_its_owner() {
    use std::os::unix::fs::PermissionsExt as _;
    let scene = Scene::new();
    scene.open_without_keychain();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for entry in fs::read_dir(scene.directory.path()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}
