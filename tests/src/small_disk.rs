//! A proxy whose data are on a file system of a few megabytes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Proxy, proxy_path};

/// A program that starts the proxy with a file system of this size at `root`/mount, in a mount namespace of its own;
/// `None` where this machine has none for its users.
pub fn program(root: &Path, megabytes: u32) -> Option<PathBuf> {
    let mount = root.join("mount");
    fs::create_dir(&mount).expect("a writable test folder");
    let small = format!("mount -t tmpfs -o size={megabytes}m tmpfs '{}'", mount.display());
    let unshare = ["unshare -m", "unshare -rm"].into_iter().find(|unshare| {
        let tried = Command::new("sh").args(["-c", &format!("{unshare} sh -c \"{small}\"")]).output();
        tried.is_ok_and(|tried| tried.status.success())
    })?;
    let proxy = proxy_path();
    let text =
        format!("exec {unshare} sh -c \"{small} && exec '{}' \\\"\\$@\\\"\" sh \"$@\"", proxy.display());
    Some(script(root, &text))
}

/// Writes a shell script that starts the proxy.
pub fn script(root: &Path, text: &str) -> PathBuf {
    let script = root.join("codex-proxy");
    fs::write(&script, format!("#!/bin/sh\n{text}\n")).expect("a writable test folder");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it is ours");
    script
}

/// Where others see a path that only the proxy sees.
pub fn seen(proxy: &Proxy, path: &Path) -> PathBuf {
    let pid = proxy.pid().expect("the proxy runs").as_raw_nonzero();
    PathBuf::from(format!("/proc/{pid}/root{}", path.display()))
}
