//! An archive with arbitrary content.

use std::fs;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio_util::sync::CancellationToken;

use super::super::platform::Platform;
use super::unpack;

/// The first byte decides whether the others are an archive as it is downloaded (`z`) or one that has still to be
/// compressed.
pub fn fuzz(bytes: &[u8]) {
    let Some((form, body)) = bytes.split_first() else { return };
    let archive = if *form == b'z' { Ok(body.to_vec()) } else { compressed(body) };
    let (Ok(archive), Ok(dir)) = (archive, scratch()) else { return };
    let (source, target) = (dir.path().join("a.tgz"), dir.path().join("out"));
    if fs::write(&source, archive).is_err() {
        return;
    }
    let platform = Platform { package: "linux-x64", triple: "x86_64-unknown-linux-musl" };
    let unpacked = unpack(&source, &target, platform, &CancellationToken::new());
    if let Ok(binary) = unpacked {
        assert!(target.join(binary).symlink_metadata().is_ok_and(|found| found.is_file()));
    }
    let beside = |dir: &std::path::Path| fs::read_dir(dir).map_or(0, Iterator::count);
    assert_eq!(beside(dir.path()), 2, "nothing is written elsewhere");
    assert!(beside(&target) <= 1, "nothing but `vendor` is written");
}

/// A directory for one run, in memory where the system supports it.
///
/// # Errors
/// When it cannot be created.
pub fn scratch() -> std::io::Result<tempfile::TempDir> {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }
}

fn compressed(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}
