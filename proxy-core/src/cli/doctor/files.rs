//! Checks of the data directory: it is writable, only this user can read its secrets, and the disk has space.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Finding, Ground};
#[cfg(unix)]
use crate::cli::units::bytes;

pub(super) fn look(ground: &Ground) -> Vec<Finding> {
    let dir = &ground.config.data_dir;
    vec![writable(dir), permissions(ground), space(dir), other_homes(ground)]
}

fn writable(dir: &Path) -> Finding {
    const CHECK: &str = "data_directory";
    let shown = dir.display();
    let advice = "Change its owner or its permissions, or choose another directory with PROXY_DATA_DIR.";
    match fs::metadata(dir) {
        Ok(metadata) if !metadata.is_dir() => Finding::fail(
            CHECK,
            format!("{shown} is not a directory"),
            "Move that file away, or set PROXY_DATA_DIR.",
        ),
        Ok(_) => match probe(dir) {
            Ok(()) => Finding::ok(CHECK, format!("{shown} can be written")),
            Err(error) => Finding::fail(CHECK, format!("{shown} cannot be written: {error}"), advice),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => match parent_of(dir) {
            Some(parent) if may_write(&parent) => {
                Finding::ok(CHECK, format!("{shown} is not there yet; the first start makes it"))
            }
            Some(parent) => Finding::fail(
                CHECK,
                format!("{shown} is not there, and cannot be made: {} is not writable", parent.display()),
                advice,
            ),
            None => Finding::fail(CHECK, format!("{shown} is not there, nor is anything above it"), advice),
        },
        Err(error) => Finding::fail(CHECK, format!("{shown} cannot be looked at: {error}"), advice),
    }
}

/// Writes a file and removes it again: permissions alone do not show full disks and read-only mounts.
fn probe(dir: &Path) -> io::Result<()> {
    let number = getrandom::u64().map_err(io::Error::other)?;
    let file = dir.join(format!(".doctor.{number:016x}.tmp"));
    let written = fs::write(&file, b"codex-proxy doctor was here\n");
    let removed = fs::remove_file(&file);
    written.and(removed)
}

/// The nearest parent directory that exists.
fn parent_of(dir: &Path) -> Option<PathBuf> {
    dir.ancestors().skip(1).find(|parent| parent.is_dir()).map(Path::to_owned)
}

#[cfg(unix)]
fn may_write(dir: &Path) -> bool {
    rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_ok()
}

#[cfg(not(unix))]
fn may_write(dir: &Path) -> bool {
    fs::metadata(dir).is_ok_and(|metadata| !metadata.permissions().readonly())
}

#[cfg(unix)]
fn permissions(ground: &Ground) -> Finding {
    use std::os::unix::fs::PermissionsExt as _;
    const CHECK: &str = "permissions";
    let dir = &ground.config.data_dir;
    let mode = |path: &Path| fs::symlink_metadata(path).ok().map(|found| found.permissions().mode() & 0o777);
    let Some(own) = mode(dir) else { return Finding::skipped(CHECK, "there is no data directory yet") };
    let open = secrets(ground).into_iter().filter_map(|file| {
        let mode = mode(&file).filter(|mode| mode & 0o077 != 0)?;
        Some((file, mode))
    });
    let open: Vec<(PathBuf, u32)> = open.collect();
    if !open.is_empty() {
        let list = |show: &dyn Fn(&(PathBuf, u32)) -> String| open.iter().map(show).collect::<Vec<_>>();
        return Finding::fail(
            CHECK,
            format!(
                "other users may read {}",
                list(&|(file, mode)| format!("{} ({mode:o})", file.display())).join(", ")
            ),
            format!("chmod 600 {}", list(&|(file, _)| format!("'{}'", file.display())).join(" ")),
        );
    }
    if own & 0o077 != 0 {
        return Finding::warn(
            CHECK,
            format!("other users may look into {} ({own:o}), though not read its secrets", dir.display()),
            format!("chmod 700 '{}'", dir.display()),
        );
    }
    Finding::ok(CHECK, "only this user can read the data directory and the secrets in it")
}

#[cfg(not(unix))]
fn permissions(_ground: &Ground) -> Finding {
    Finding::skipped(
        "permissions",
        "on this system they are those of the user's profile, which are not looked at",
    )
}

/// The files that contain a secret, whether they exist or not.
#[cfg(unix)]
fn secrets(ground: &Ground) -> Vec<PathBuf> {
    let dir = &ground.config.data_dir;
    let mut files: Vec<PathBuf> =
        ["api-key", "key-secrets", "keys.json", "control-token"].iter().map(|name| dir.join(name)).collect();
    files.push(super::account::codex_home(ground).join("auth.json"));
    files.extend(ground.config.file_with_secrets());
    files
}

#[cfg(unix)]
fn space(dir: &Path) -> Finding {
    const CHECK: &str = "disk_space";
    const LITTLE: u64 = 1 << 30;
    const TOO_LITTLE: u64 = 100 << 20;
    let there = if dir.is_dir() { Some(dir.to_owned()) } else { parent_of(dir) };
    let Some(Ok(found)) = there.map(rustix::fs::statvfs) else {
        return Finding::skipped(CHECK, "the system does not say how much is free");
    };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let detail = format!("{} are free", bytes(free));
    let advice = "Free some space: Codex takes about 500 MiB, its sessions and the log grow.";
    match free {
        free if free < TOO_LITTLE => Finding::fail(CHECK, detail, advice),
        free if free < LITTLE => Finding::warn(CHECK, detail, advice),
        _ => Finding::ok(CHECK, detail),
    }
}

#[cfg(not(unix))]
fn space(_dir: &Path) -> Finding {
    Finding::skipped("disk_space", "it is not looked at on this system")
}

/// Other sign-ins of Codex on this machine, which the proxy does not use.
fn other_homes(ground: &Ground) -> Finding {
    const CHECK: &str = "other_codex_homes";
    let used = super::account::codex_home(ground);
    let other = ground.dirs.home.as_ref().map(|home| home.join(".codex"));
    match other {
        Some(other) if other == used => Finding::warn(
            CHECK,
            format!("the proxy uses your own Codex home {}", other.display()),
            "Unset CODEX_HOME to give the proxy a home of its own; two programs that refresh one sign-in can end it.",
        ),
        Some(other) if other.join("auth.json").exists() => Finding::ok(
            CHECK,
            format!(
                "{} has a sign-in of its own, which is not used; `codex-proxy login --import` would copy it",
                other.display()
            ),
        ),
        Some(_) | None => Finding::ok(CHECK, "there is no other sign-in of Codex's"),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_directory_is_probed_and_left_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(writable(dir.path()).status, Verdict::Ok);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert_eq!(writable(&dir.path().join("deep/er")).status, Verdict::Ok);
        assert!(!dir.path().join("deep").exists());
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(writable(&file).status, Verdict::Fail);
        assert_eq!(writable(&file.join("below")).status, Verdict::Fail);
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_found() {
        // The superuser can write almost everywhere, but not here.
        let shut = Path::new("/proc/1");
        assert_eq!(writable(shut).status, Verdict::Fail);
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o500)).unwrap();
        if rustix::process::geteuid().is_root() {
            return;
        }
        assert_eq!(writable(dir.path()).status, Verdict::Fail);
    }
}
