//! The servers that the tests start themselves. They are unpacked from Debian's packages, not installed. So the system does
//! not start them as services, and they use no port and create no users.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::tools;
use crate::shell::Cmd;
use crate::workspace::Workspace;

const PACKAGES: [&str; 3] = ["caddy", "nginx", "prometheus"];
const PROGRAMS: [&str; 4] = ["caddy", "nginx", "prometheus", "promtool"];

/// The name of these tools in messages.
pub(super) const NAME: &str = "nginx, Caddy and Prometheus";

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("servers")
}

/// Whether each server is unpacked or on `PATH`. They are used only on Linux.
pub(super) fn are_there(workspace: &Workspace) -> bool {
    let folder = folder(workspace);
    let unpacked =
        |name: &str| ["usr/bin", "usr/sbin"].iter().any(|bin| folder.join(bin).join(name).is_file());
    !cfg!(target_os = "linux") || PROGRAMS.iter().all(|name| unpacked(name) || tools::is_on_path(name))
}

/// Unpacks them unless they are there.
pub(super) fn install(workspace: &Workspace) -> Result<()> {
    if are_there(workspace) {
        return Ok(());
    }
    if !tools::is_debian() {
        bail!("please install {NAME} by hand, with promtool, and have them on PATH: the tests start them");
    }
    println!("setup: unpacking {NAME} from Debian's packages for the tests");
    let (folder, work) = (folder(workspace), workspace.target.join("servers.new"));
    remove(&work)?;
    fs::create_dir_all(&work)?;
    super::as_root("apt-get").args(["update", "--quiet"]).run()?;
    Cmd::new("apt-get").args(["download", "--quiet"]).args(PACKAGES).dir(&work).run()?;
    for package in fs::read_dir(&work)? {
        let package = package?.path();
        Cmd::new("dpkg").arg("--extract").arg(&package).arg(work.join("root")).run()?;
    }
    remove(&folder)?;
    fs::rename(work.join("root"), &folder)?;
    remove(&work)?;
    if are_there(workspace) {
        Ok(())
    } else {
        bail!("Debian's packages {PACKAGES:?} lack one of {PROGRAMS:?}")
    }
}

fn remove(folder: &PathBuf) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}
