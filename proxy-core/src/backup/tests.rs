//! The format of the archive, and the archives that are refused.

mod properties;
mod responses;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tar::{EntryType, Header};
use tempfile::TempDir;

use super::*;
use crate::keys::{KeyRing, KeychainMode};

/// A data directory, settings and a home directory, with content in each.
struct World {
    root: TempDir,
    places: Places,
}

impl World {
    fn empty() -> Self {
        let root = tempfile::tempdir().unwrap();
        let data_dir = root.path().join("data");
        let places = Places {
            settings: Some(root.path().join("settings/mine.toml")),
            application: Some(root.path().join("settings/app.json")),
            codex_home: root.path().join("home"),
            usage: usage::Config {
                database: data_dir.join("proxy.db"),
                journal: data_dir.join("usage-journal"),
                token_log: None,
                retention_days: 0,
            },
            keys: keys::Config {
                api_key: None,
                data_dir: data_dir.clone(),
                keychain: KeychainMode::Off,
                exposed: false,
            },
            data_dir,
        };
        Self { root, places }
    }

    fn used() -> Self {
        let world = Self::empty();
        KeyRing::open(&world.places.keys).unwrap();
        drop(usage::UsageStore::open(world.places.usage.clone(), Vec::new()).unwrap());
        let home = &world.places.codex_home;
        fs::create_dir_all(home.join("prompts/deep")).unwrap();
        fs::create_dir_all(home.join("sessions")).unwrap();
        fs::create_dir_all(world.root.path().join("settings")).unwrap();
        for (file, text) in [
            ("home/auth.json", r#"{"tokens":"canary"}"#),
            ("home/AGENTS.md", "be kind"),
            ("home/prompts/deep/a.md", "a prompt"),
            ("home/sessions/s.jsonl", "not the user's to keep"),
            ("home/history.jsonl", "nor this"),
            ("settings/mine.toml", "port = 1\n"),
            ("data/control-token", "made anew"),
        ] {
            fs::write(world.root.path().join(file), text).unwrap();
        }
        world
    }

    fn backup(&self, passphrase: Option<&Passphrase>) -> PathBuf {
        let gathered = gather(&self.places, passphrase.is_some()).unwrap();
        let folder = self.root.path().join("backups");
        let mut draft = draft(&folder).unwrap();
        make(&gathered, passphrase, draft.as_file_mut()).unwrap();
        keep(draft, &folder, &gathered.tag, "").unwrap().file
    }

    /// Every file and its content, except the locks.
    fn files(&self) -> Vec<(String, Vec<u8>)> {
        fn look(directory: &Path, root: &Path, found: &mut Vec<(String, Vec<u8>)>) {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                let (path, name) = (entry.path(), entry.file_name());
                if path.is_dir() {
                    look(&path, root, found);
                } else if !name.to_string_lossy().starts_with("lock") {
                    let name = path.strip_prefix(root).unwrap().display().to_string();
                    found.push((name, fs::read(&path).unwrap()));
                }
            }
        }
        let mut found = Vec::new();
        look(self.root.path(), self.root.path(), &mut found);
        found.sort();
        found
    }
}

fn passphrase(text: &str) -> Passphrase {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), format!("{text}\nignored\n")).unwrap();
    Passphrase::read(file.path()).unwrap()
}

#[test]
fn all_that_is_the_users_goes_in_and_comes_back_elsewhere() {
    let (from, to) = (World::used(), World::empty());
    let file = from.backup(None);
    let manifest = check(&file, None).unwrap();
    let names: Vec<&str> = manifest.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(
        names,
        [
            "data/keys.json",
            "data/key-secrets",
            "data/proxy.db",
            "settings/config.toml",
            "codex-home/auth.json",
            "codex-home/AGENTS.md",
            "codex-home/prompts/deep/a.md",
        ]
    );
    let restored = restore(&file, None, &to.places, false).unwrap();
    assert_eq!((restored.files.len(), restored.aside.len()), (7, 0));
    for name in [
        "data/keys.json",
        "data/key-secrets",
        "home/auth.json",
        "home/prompts/deep/a.md",
        "settings/mine.toml",
    ] {
        let read = |world: &World| fs::read(world.root.path().join(name)).unwrap();
        assert_eq!(read(&from), read(&to), "{name}");
    }
    assert_eq!(to.files().len(), 7, "nothing else is left: {:?}", to.files());
    #[cfg(unix)]
    for (path, wanted) in
        [("data", 0o700), ("data/keys.json", 0o600), ("home/auth.json", 0o600), ("home", 0o700)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(to.root.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, wanted, "{path}");
    }
}

#[test]
fn what_is_in_the_way_is_kept_aside_and_only_with_force() {
    let world = World::used();
    let file = world.backup(None);
    fs::write(world.places.codex_home.join("auth.json"), "newer").unwrap();
    fs::write(world.places.data_dir.join("proxy.db-wal"), "").unwrap();
    let before = world.files();
    let error = restore(&file, None, &world.places, false).unwrap_err();
    assert!(matches!(error, BackupError::Occupied(_)), "{error}");
    assert_eq!(world.files(), before);

    let restored = restore(&file, None, &world.places, true).unwrap();
    assert_eq!(restored.aside.len(), 3, "{restored:?}");
    let text = fs::read_to_string(world.places.codex_home.join("auth.json")).unwrap();
    assert!(text.contains("canary"), "{text}");
    let kept = restored.aside.iter().find(|aside| aside.starts_with(&world.places.codex_home)).unwrap();
    assert_eq!(fs::read_to_string(kept.join("auth.json")).unwrap(), "newer");
    assert!(!world.places.data_dir.join("proxy.db-wal").exists(), "it belongs to the database before");
    assert!(world.places.codex_home.join("history.jsonl").exists(), "what no backup speaks of stays");
}

#[test]
fn a_switch_that_fails_is_taken_back() {
    let world = World::used();
    let file = world.backup(None);
    // The last file cannot be written: a file has the name of its directory. All other files are switched by
    // then.
    fs::remove_dir_all(world.places.codex_home.join("prompts")).unwrap();
    fs::write(world.places.codex_home.join("prompts"), "no directory").unwrap();
    fs::write(world.places.codex_home.join("auth.json"), "newer").unwrap();
    let before = world.files();
    let error = restore(&file, None, &world.places, true).unwrap_err();
    assert!(matches!(&error, BackupError::TakenBack { left, .. } if left.is_empty()), "{error}");
    assert!(error.to_string().contains("everything is as it was"), "{error}");
    assert_eq!(world.files(), before);
}

#[test]
fn a_sealed_one_opens_with_its_passphrase_only() {
    let (from, to) = (World::used(), World::empty());
    let right = passphrase("a long passphrase");
    let file = from.backup(Some(&right));
    assert_eq!(kind_of(&file).unwrap(), Kind::Age);
    assert!(!fs::read(&file).unwrap().windows(6).any(|six| six == b"canary"));
    let before = to.files();
    assert!(matches!(restore(&file, None, &to.places, false), Err(BackupError::NeedsPassphrase)));
    let wrong = passphrase("another passphrase");
    assert!(matches!(restore(&file, Some(&wrong), &to.places, false), Err(BackupError::WrongPassphrase)));
    assert_eq!(to.files(), before);
    restore(&file, Some(&right), &to.places, false).unwrap();
    assert!(to.places.codex_home.join("auth.json").exists());
    assert!(!format!("{right:?}").contains("long"));

    let short = tempfile::NamedTempFile::new().unwrap();
    fs::write(short.path(), "short\n").unwrap();
    assert!(matches!(Passphrase::read(short.path()), Err(BackupError::NoPassphrase { .. })));
}

#[test]
fn nothing_is_no_backup() {
    let world = World::empty();
    assert!(matches!(gather(&world.places, false), Err(BackupError::Nothing(_))));
    assert_eq!(world.files(), []);
}

#[test]
fn one_that_is_cut_or_changed_anywhere_is_refused_and_nothing_is_touched() {
    let (from, to) = (World::used(), World::empty());
    for sealed in [None, Some(passphrase("a long passphrase"))] {
        let file = from.backup(sealed.as_ref());
        let whole = fs::read(&file).unwrap();
        // Without the checksum file, which would show the damage at once.
        let copy = from.root.path().join("copy");
        let every = |step: usize| (0..whole.len()).step_by(step).chain([whole.len() - 1]);
        // To open an encrypted archive takes a second each time.
        let step = if sealed.is_some() { whole.len() / 2 } else { whole.len() / 60 };
        for at in every(step) {
            fs::write(&copy, &whole[..at]).unwrap();
            let error = restore(&copy, sealed.as_ref(), &to.places, false).unwrap_err();
            assert!(matches!(error, BackupError::Broken(_)), "cut at {at}: {error}");
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            fs::write(&copy, &changed).unwrap();
            // Some bits of gzip have no meaning: in its header, and the last ones before its checksum.
            let means_the_same = || sealed.is_none() && unpacked(&changed) == unpacked(&whole);
            let said = restore(&copy, sealed.as_ref(), &World::empty().places, false);
            assert!(said.is_err() || means_the_same(), "changed at {at}");
        }
        fs::write(&copy, [whole.as_slice(), b"more"].concat()).unwrap();
        assert!(check(&copy, sealed.as_ref()).is_err());
        assert_eq!(to.files(), []);
    }
    let file = from.backup(None);
    let mut beside = file.as_os_str().to_owned();
    beside.push(".sha256");
    fs::write(&beside, format!("{}  x\n", "0".repeat(64))).unwrap();
    let error = check(&file, None).unwrap_err().to_string();
    assert!(error.contains("SHA-256"), "{error}");
}

/// What a gzip file holds; `None` if it is damaged.
fn unpacked(packed: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// An archive of these entries: a name, a type, a declared length, and the content.
fn archive_of(entries: &[(&str, EntryType, u64, &[u8])]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    for (name, kind, length, content) in entries {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(*length);
        header.set_mode(0o600);
        header.set_entry_type(*kind);
        if *kind == EntryType::Symlink {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        packed.write_all(header.as_bytes()).unwrap();
        packed.write_all(content).unwrap();
        packed.write_all(&vec![0; (512 - content.len() % 512) % 512]).unwrap();
    }
    packed.write_all(&[0; 1024]).unwrap();
    packed.finish().unwrap()
}

fn manifest(format: u32, files: &[(&str, u64, &str)]) -> Vec<u8> {
    let files: Vec<Value> = files
        .iter()
        .map(|(path, bytes, sha256)| json!({"path": path, "bytes": bytes, "sha256": sha256}))
        .collect();
    let all = json!({"format": format, "product": "9.9.9", "created": "x", "files": files, "left_out": []});
    all.to_string().into_bytes()
}

#[test]
fn what_would_lead_elsewhere_is_refused_and_nothing_is_touched() {
    const SUM: &str = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
    let to = World::empty();
    let file = to.root.path().join("archive");
    let refused = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        let error = restore(&file, None, &to.places, true).unwrap_err();
        fs::remove_file(&file).unwrap();
        assert_eq!(to.files(), [], "{error}");
        error.to_string()
    };
    let plain = EntryType::Regular;
    let one = |named: &str, entry: &str, kind: EntryType, length: u64, content: &[u8]| {
        let manifest = manifest(1, &[(named, content.len() as u64, SUM)]);
        let first = ("manifest.json", plain, manifest.len() as u64, manifest.as_slice());
        archive_of(&[first, (entry, kind, length, content)])
    };
    let good = "codex-home/auth.json";
    // A valid archive, so that the others are refused only for their faults.
    fs::write(&file, one(good, good, plain, 3, b"foo")).unwrap();
    check(&file, None).unwrap();

    for name in [
        "codex-home/../../x",
        "../x",
        "/etc/passwd",
        "data/../keys.json",
        "codex-home/prompts/../../x",
        "codex-home/prompts/..",
        "codex-home/prompts/.hidden",
        "codex-home/prompts//x",
        "codex-home/prompts/a\\..\\b",
        "codex-home/prompts/c:x",
        "codex-home/sessions/x",
        "codex-home/prompts/a/b/c/d/e/f/g/h/i",
        "data/control-token",
        "data/lock",
        "data",
        "elsewhere/x",
        "",
    ] {
        let said = refused(&one(name, name, plain, 3, b"foo"));
        assert!(
            said.contains("which does not belong to a backup") && said.contains("Nothing was changed"),
            "{name}: {said}"
        );
    }
    for kind in [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
        EntryType::Directory,
        EntryType::GNUSparse,
        EntryType::GNULongName,
        EntryType::XHeader,
    ] {
        let said = refused(&one(good, good, kind, 3, b"foo"));
        assert!(said.contains("in the place of"), "{kind:?}: {said}");
    }
    assert!(refused(&one(good, "codex-home/AGENTS.md", plain, 3, b"foo")).contains("in the place of"));
    assert!(refused(&one(good, good, plain, 4, b"foo")).contains("the wrong length"));
    assert!(refused(&one(good, good, plain, 3, b"fox")).contains("damaged or was changed"));
    assert!(refused(&one(good, good, plain, 1 << 40, b"foo")).contains("the wrong length"));

    let said = refused(&{
        let manifest = manifest(2, &[]);
        archive_of(&[("manifest.json", plain, manifest.len() as u64, &manifest)])
    });
    assert!(said.contains("format 2") && said.contains("9.9.9"), "{said}");
    let twice =
        manifest(1, &[(good, 3, SUM), ("codex-home/prompts/a", 3, SUM), ("codex-home/prompts/A", 3, SUM)]);
    assert!(refused(&archive_of(&[("manifest.json", plain, twice.len() as u64, &twice)])).contains("twice"));
    let missing = manifest(1, &[(good, 3, SUM)]);
    assert!(
        refused(&archive_of(&[("manifest.json", plain, missing.len() as u64, &missing)]))
            .contains("is missing")
    );
    let extra = archive_of(&[
        ("manifest.json", plain, missing.len() as u64, &missing),
        (good, plain, 3, b"foo"),
        ("x", plain, 3, b"foo"),
    ]);
    assert!(refused(&extra).contains("more than its manifest"));
    assert!(refused(b"").contains("does not start like a backup"));
    assert!(refused(b"PK\x03\x04").contains("does not start like a backup"));
    assert!(refused(&archive_of(&[])).contains("it is empty"));
}

#[test]
fn what_would_unpack_without_end_is_refused_before_it_does() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let (plain, good) = (EntryType::Regular, "data/proxy.db");
    let size: u64 = 4 << 30;
    let bomb = |told: u64| {
        let manifest = manifest(1, &[(good, told, &"0".repeat(64))]);
        let first = ("manifest.json", plain, manifest.len() as u64, manifest.as_slice());
        archive_of(&[first, (good, plain, size, &[0; 1 << 20])])
    };
    fs::write(file.path(), bomb(size)).unwrap();
    let error = check(file.path(), None).unwrap_err().to_string();
    assert!(error.contains("would unpack to"), "{error}");
    fs::write(file.path(), bomb(3)).unwrap();
    assert!(check(file.path(), None).unwrap_err().to_string().contains("the wrong length"));
    // A manifest of zeros without end, and zeros after the end.
    let zeros = archive_of(&[("manifest.json", plain, 1 << 40, &[0; 1 << 20])]);
    fs::write(file.path(), zeros).unwrap();
    assert!(check(file.path(), None).unwrap_err().to_string().contains("too long"));
    let mut good = Vec::new();
    let world = World::used();
    File::open(world.backup(None)).unwrap().read_to_end(&mut good).unwrap();
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(good.as_slice()).read_to_end(&mut unpacked).unwrap();
    unpacked.resize(unpacked.len() + (8 << 20), 0);
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(&unpacked).unwrap();
    fs::write(file.path(), packed.finish().unwrap()).unwrap();
    assert!(check(file.path(), None).unwrap_err().to_string().contains("after its last file"));
}

#[test]
fn a_database_of_a_later_version_is_not_put_in_place() {
    let (from, to) = (World::used(), World::empty());
    let connection = rusqlite::Connection::open(&from.places.usage.database).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let file = from.backup(None);
    let error = restore(&file, None, &to.places, false).unwrap_err().to_string();
    assert!(error.contains("newer Codex Proxy"), "{error}");
    assert_eq!(to.files(), []);
}
