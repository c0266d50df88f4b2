use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;

use super::super::archive;
use super::super::manifest::{FORMAT, FileEntry, Manifest, is_plain, name_of};
use super::*;

/// An archive of prompts with these texts, and its manifest.
fn archive_of(texts: &[(String, Vec<u8>)]) -> (Vec<u8>, Manifest) {
    let world = World::empty();
    let prompts = world.places.codex_home.join("prompts");
    fs::create_dir_all(&prompts).unwrap();
    fs::write(prompts.join("always.md"), "here").unwrap();
    for (name, text) in texts {
        fs::write(prompts.join(name), text).unwrap();
    }
    let gathered = gather(&world.places, false).unwrap();
    (archive::write(&gathered, Vec::new()).unwrap(), gathered.manifest)
}

fn texts() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    prop::collection::vec(("[a-z]{1,10}[.]md", prop::collection::vec(any::<u8>(), 0..700)), 0..4)
}

fn read_back(bytes: &[u8]) -> Result<Manifest, BackupError> {
    archive::read(bytes, bytes.len() as u64, |_| Ok(None))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_archive_is_read_back_whole_or_not_at_all(texts in texts(), at in any::<Index>(), flip in 1..=255_u8) {
        let (bytes, manifest) = archive_of(&texts);
        prop_assert_eq!(&read_back(&bytes).unwrap(), &manifest);
        let at = at.index(bytes.len());
        prop_assert!(read_back(&bytes[..at]).is_err(), "cut at {} of {}", at, bytes.len());
        let mut changed = bytes.clone();
        changed[at] ^= flip;
        // A few bytes in the header of gzip have no meaning.
        if let Ok(read) = read_back(&changed) {
            prop_assert_eq!(read, manifest);
        }
        let longer = [&bytes[..], &[flip]].concat();
        prop_assert!(read_back(&longer).is_err());
    }

    #[test]
    fn no_archive_is_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(&bytes).unwrap();
        prop_assert!(read_back(&packed.finish().unwrap()).is_err());
        prop_assert!(read_back(&bytes).is_err());
    }

    #[test]
    fn a_name_that_is_taken_stays_in_its_place(name in prop_oneof![
        any::<String>(),
        "(data|settings|codex-home)(/(prompts|rules|usage-journal|keys[.]json|[.]{1,2}|[a-zA-Z .:\\\\]{0,6})){0,5}/?",
    ]) {
        let entry = FileEntry { path: name.clone(), bytes: 0, sha256: String::new() };
        match entry.place() {
            Ok((part, path)) => {
                let steps: Vec<&str> = path.iter().map(|step| step.to_str().unwrap()).collect();
                prop_assert!(path.components().all(|step| matches!(step, std::path::Component::Normal(_))));
                prop_assert!(steps.iter().skip(1).all(|step| is_plain(step)));
                prop_assert_eq!(name_of(part, &steps.join("/")), name);
            }
            Err(error) => prop_assert!(error.to_string().len() < 1500),
        }
    }

    #[test]
    fn a_manifest_holds_names_once_and_no_more_than_its_archive_can(
        names in prop::collection::vec("(codex-home/(prompts|rules)/[a-cA-C]{1,2}|data/keys.json|x/y)", 0..6),
        sizes in prop::collection::vec(any::<u32>(), 6),
        length in 0..10_000_u64,
        noise in any::<String>(),
    ) {
        let files: Vec<Value> = names
            .iter()
            .zip(&sizes)
            .map(|(name, bytes)| json!({"path": name, "bytes": bytes, "sha256": noise}))
            .collect();
        let text = json!({"format": FORMAT, "product": noise, "created": noise, "files": files, "left_out": []});
        if let Ok(manifest) = Manifest::parse(text.to_string().as_bytes(), length) {
            let mut lower: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
            lower.sort();
            lower.dedup();
            prop_assert_eq!(lower.len(), names.len());
            prop_assert!(manifest.bytes() <= length * 200 + (64 << 20));
        }
        prop_assert!(Manifest::parse(noise.as_bytes(), length).is_err());
    }
}

/// A sealed archive and its passphrase, made once: it is the passphrase that takes time.
static SEALED: LazyLock<(Vec<u8>, Passphrase)> = LazyLock::new(|| {
    let (world, right) = (World::empty(), passphrase("a long passphrase"));
    fs::create_dir_all(world.places.codex_home.join("prompts")).unwrap();
    fs::write(world.places.codex_home.join("prompts/a.md"), "here").unwrap();
    let bytes = fs::read(world.backup(Some(&right))).unwrap();
    assert_eq!(check_bytes(&bytes, Some(&right)).unwrap().files.len(), 1);
    (bytes, right)
});

fn check_bytes(bytes: &[u8], passphrase: Option<&Passphrase>) -> Result<Manifest, BackupError> {
    check(written(bytes).path(), passphrase)
}

fn written(bytes: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    file
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_sealed_archive_that_was_cut_or_changed_is_refused(at in any::<Index>(), flip in 1..=255_u8) {
        let (bytes, right) = &*SEALED;
        // The second line ends with what a guess costs. A higher cost would be paid for.
        let second_line = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).unwrap().0;
        let at = at.index(bytes.len());
        let mut changed = bytes.clone();
        changed[at] ^= flip;
        let cost = second_line - 2..second_line;
        let damaged = [Some(bytes[..at].to_vec()), (!cost.contains(&at)).then_some(changed)];
        for damaged in damaged.iter().flatten() {
            let error = check_bytes(damaged, Some(right)).unwrap_err();
            prop_assert!(
                matches!(error, BackupError::Broken(_) | BackupError::WrongPassphrase),
                "{:?} at {} of {}", error, at, bytes.len()
            );
            prop_assert!(error.to_string().contains("Nothing was changed"), "{}", error);
        }
    }

    #[test]
    fn what_is_no_archive_is_refused_for_what_it_is(
        start in prop::sample::select(vec![
            &b""[..], b"\x1f", b"\x1f\x8b", b"\x1f\x8b\x08\0\0\0\0\0\0\xff", b"age-encryption.org", b"age-encryption.org/",
            b"age-encryption.org/v1\n", b"age-encryption.org/v1\n-> scrypt ", b"-----BEGIN PGP MESSAGE-----\n",
        ]),
        rest in prop::collection::vec(any::<u8>(), 0..120),
    ) {
        let (bytes, right) = ([start, &rest].concat(), &SEALED.1);
        let (without, with) = (check_bytes(&bytes, None).unwrap_err(), check_bytes(&bytes, Some(right)).unwrap_err());
        if bytes.starts_with(b"age-encryption.org/") {
            prop_assert!(matches!(without, BackupError::NeedsPassphrase), "{:?}", without);
            prop_assert!(matches!(with, BackupError::Broken(_) | BackupError::WrongPassphrase), "{:?}", with);
        } else {
            let is_packed = bytes.starts_with(b"\x1f\x8b");
            for error in [without, with] {
                let BackupError::Broken(why) = &error else { panic!("{error:?}") };
                prop_assert_eq!(why == "it does not start like a backup", !is_packed, "{}", why);
            }
        }
    }
}
