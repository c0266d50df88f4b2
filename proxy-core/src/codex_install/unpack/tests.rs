use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tar::{Builder, Header};

use super::*;

const PLATFORM: Platform = Platform { package: "linux-x64", triple: "x86_64-unknown-linux-musl" };
const CODEX: &str = "package/vendor/x86_64-unknown-linux-musl/bin/codex";

type Archive = Builder<GzEncoder<Vec<u8>>>;

fn archive(fill: impl FnOnce(&mut Archive)) -> Vec<u8> {
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    fill(&mut builder);
    builder.into_inner().unwrap().finish().unwrap()
}

/// An entry with any name.
fn raw(builder: &mut Archive, name: &str, kind: EntryType, link: &str, body: &[u8]) {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o6777);
    header.set_size(body.len() as u64);
    header.set_cksum();
    builder.append(&header, body).unwrap();
}

fn file(builder: &mut Archive, name: &str, body: &[u8]) {
    raw(builder, name, EntryType::Regular, "", body);
}

fn unpacked(bytes: &[u8]) -> (tempfile::TempDir, Result<String, CodexError>) {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("a.tgz");
    fs::write(&source, bytes).unwrap();
    let result = unpack(&source, &dir.path().join("out"), PLATFORM, &CancellationToken::new());
    (dir, result)
}

fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.symlink_metadata().unwrap().is_dir() {
                dirs.push(path);
            } else {
                found.push(path.strip_prefix(dir).unwrap().to_str().unwrap().replace('\\', "/"));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn only_this_system_is_unpacked_with_permissions_of_our_own() {
    let bytes = archive(|builder| {
        raw(builder, "package/", EntryType::Directory, "", b"");
        raw(builder, "pax_global_header", EntryType::XGlobalHeader, "", b"20 comment=some text\n");
        file(builder, "package/package.json", b"{}");
        file(builder, "package/vendor/aarch64-apple-darwin/bin/codex", b"mac");
        file(builder, CODEX, b"linux");
        file(builder, "package/vendor/x86_64-unknown-linux-musl/codex-path/rg", b"rg");
    });
    let (dir, result) = unpacked(&bytes);
    assert_eq!(result.unwrap(), "vendor/x86_64-unknown-linux-musl/bin/codex");
    let out = dir.path().join("out");
    let expected =
        ["bin/codex", "codex-path/rg"].map(|file| format!("vendor/x86_64-unknown-linux-musl/{file}"));
    assert_eq!(files(&out), expected);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(out.join(&expected[0])).unwrap().permissions().mode();
        assert_eq!(mode & 0o7022, 0, "no set-user-id and no writing for others: {mode:o}");
        assert_eq!(mode & 0o700, 0o700);
    }
}

#[test]
fn the_older_layout_is_unpacked() {
    let bytes =
        archive(|builder| file(builder, "package/vendor/x86_64-unknown-linux-musl/codex/codex", b"old"));
    assert_eq!(unpacked(&bytes).1.unwrap(), "vendor/x86_64-unknown-linux-musl/codex/codex");
}

#[test]
fn a_package_for_other_systems_is_refused() {
    let bytes = archive(|builder| file(builder, "package/vendor/aarch64-apple-darwin/bin/codex", b"mac"));
    assert!(matches!(unpacked(&bytes).1, Err(CodexError::NoBinary { .. })));
}

#[test]
fn anything_but_plain_entries_below_the_package_refuses_the_archive() {
    let outside = "package/vendor/x86_64-unknown-linux-musl";
    let cases: &[(&str, EntryType, &str, &str)] = &[
        ("package/../../evil", EntryType::Regular, "", "leads out"),
        ("package/vendor/../evil", EntryType::Regular, "", "leads out"),
        ("../package/evil", EntryType::Regular, "", "not below"),
        ("/etc/evil", EntryType::Regular, "", "absolute"),
        ("/package/evil", EntryType::Regular, "", "absolute"),
        ("evil", EntryType::Regular, "", "not below"),
        ("packages/evil", EntryType::Regular, "", "not below"),
        ("package\\..\\evil", EntryType::Regular, "", "not below"),
        ("package/..\\evil", EntryType::Regular, "", "not allowed on every system"),
        ("package/C:evil", EntryType::Regular, "", "not allowed on every system"),
        ("package/evil. ", EntryType::Regular, "", "not allowed on every system"),
        ("package/a\nb", EntryType::Regular, "", "not allowed on every system"),
        ("package/link", EntryType::Symlink, "/etc", "is a link"),
        ("package/link", EntryType::Symlink, "inside", "is a link"),
        ("package/link", EntryType::Link, CODEX, "is a link"),
        ("package/null", EntryType::Char, "", "neither"),
        ("package/disk", EntryType::Block, "", "neither"),
        ("package/pipe", EntryType::Fifo, "", "neither"),
        ("package/sparse", EntryType::GNUSparse, "", ""),
        (CODEX, EntryType::Regular, "", "twice"),
        (outside, EntryType::Symlink, "/tmp", "is a link"),
    ];
    for (name, kind, link, why) in cases {
        let bytes = archive(|builder| {
            file(builder, CODEX, b"good");
            raw(builder, name, *kind, link, b"");
        });
        let (dir, result) = unpacked(&bytes);
        let message = result.expect_err(name).to_string();
        assert!(message.contains(why), "{name:?}: {message}");
        let outside: Vec<_> = files(dir.path()).into_iter().filter(|file| file.contains("evil")).collect();
        assert_eq!(outside, [""; 0], "{name:?}");
    }
}

#[test]
fn an_archive_that_is_too_large_is_refused_before_it_is_written() {
    let huge = archive(|builder| {
        let mut header = Header::new_gnu();
        header.set_path(CODEX).unwrap();
        header.set_size(MAX_BYTES + 1);
        header.set_cksum();
        builder.get_mut().write_all(header.as_bytes()).unwrap();
    });
    assert!(matches!(unpacked(&huge).1, Err(CodexError::TooLarge { .. })));

    let many = archive(|builder| {
        for number in 0..=MAX_ENTRIES {
            file(builder, &format!("package/{number}"), b"");
        }
    });
    assert!(matches!(unpacked(&many).1, Err(CodexError::TooLarge { .. })));
}

#[test]
fn long_names_cannot_fill_the_memory() {
    let bytes = archive(|builder| {
        let name = vec![b'a'; usize::try_from(2 * MAX_BETWEEN).unwrap()];
        raw(builder, "././@LongLink", EntryType::GNULongName, "", &name);
        file(builder, CODEX, b"good");
    });
    let message = unpacked(&bytes).1.unwrap_err().to_string();
    assert!(message.contains("too many entries that are not files"), "{message}");
}

#[test]
fn what_is_cut_or_no_archive_is_corrupt() {
    let body: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    let whole = archive(|builder| file(builder, CODEX, &body));
    for bytes in [&whole[..whole.len() / 2], &b"<html>no</html>"[..]] {
        assert!(matches!(unpacked(bytes).1, Err(CodexError::Corrupt(_))));
    }
}

#[test]
fn a_cancelled_run_stops() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("a.tgz");
    fs::write(&source, archive(|builder| file(builder, CODEX, b"good"))).unwrap();
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    let result = unpack(&source, &dir.path().join("out"), PLATFORM, &cancelled);
    assert!(matches!(result, Err(CodexError::Cancelled)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_name_leads_out_of_the_folder(names in prop::collection::vec(
        "(package/)?(vendor/x86_64-unknown-linux-musl/)?(([.]{1,2}|/|[a-z]{1,4}|bin/codex|[ C:\\\\])/?){0,4}",
        1..5,
    ), kind in prop::sample::select(vec![EntryType::Regular, EntryType::Symlink, EntryType::Link, EntryType::Directory])) {
        let bytes = archive(|builder| {
            file(builder, CODEX, b"codex");
            for name in names.iter().filter(|name| name.len() < 100) {
                raw(builder, name, kind, "../../../x", b"");
            }
        });
        let (dir, result) = unpacked(&bytes);
        let found = files(dir.path());
        let inside = |name: &String| name == "a.tgz" || name.starts_with("out/vendor/x86_64-unknown-linux-musl/");
        prop_assert!(found.iter().all(inside), "{:?}", found);
        if let Ok(binary) = result {
            prop_assert!(dir.path().join("out").join(binary).is_file());
        }
    }

    #[test]
    fn an_archive_that_was_cut_is_refused(cut in any::<prop::sample::Index>(), body in prop::collection::vec(any::<u8>(), 0..3000)) {
        let bytes = archive(|builder| file(builder, CODEX, &body));
        let (_dir, result) = unpacked(&bytes[..cut.index(bytes.len())]);
        prop_assert!(result.is_err());
    }
}
