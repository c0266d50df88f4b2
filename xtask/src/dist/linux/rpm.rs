//! The package for Fedora, openSUSE and related systems, made by `rpmbuild`.
//!
//! `rpmbuild` finds the needed libraries in the programs. The package names libraries, not packages, because package names
//! differ between these distributions.

use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::layout::{self, Family};
use super::tree::Tree;
use super::{About, DESCRIPTION, MAINTAINER, NAME, Programs, REVISION, SUMMARY, texts};
use crate::shell::{Cmd, quoted};
use crate::workspace::Workspace;

/// It is loaded when the tray's icon is shown, so nothing in the program names it.
const LOADED_LATER: &str = "libayatana-appindicator3.so.1()(64bit)";

/// Settings for the same bytes in each build, and for unchanged files.
const DEFINES: [&str; 8] = [
    "use_source_date_epoch_as_buildtime 1",
    "clamp_mtime_to_source_date_epoch 1",
    "source_date_epoch_from_changelog 0",
    "_buildhost localhost",
    "_build_id_links none",
    "debug_package %{nil}",
    "__os_install_post %{nil}",
    "__spec_install_post %{nil}",
];

pub(super) fn pack(
    workspace: &Workspace,
    programs: &Programs,
    about: &About,
    folder: &Path,
) -> Result<PathBuf> {
    let tree = layout::application(workspace, programs, about, Family::Fedora)?;
    let (root, top) = (programs.work.join("rpm"), programs.work.join("rpmbuild"));
    tree.write(&root, about.time())?;
    fs::create_dir_all(&top)?;
    let file = top.join(format!("{NAME}.spec"));
    fs::write(&file, spec(workspace, about, &tree, &root)?)?;
    let mut cmd = about.dated(Cmd::new("rpmbuild")).args(["-bb", "--quiet", "--target", ARCH]);
    for define in DEFINES {
        cmd = cmd.arg("--define").arg(define);
    }
    let payload = if about.debug { "w1.zstdio" } else { "w19.zstdio" };
    cmd.arg("--define")
        .arg(format!("_binary_payload {payload}"))
        .arg("--define")
        .arg(format!("_topdir {}", top.display()))
        .arg(&file)
        .run()?;
    fs::create_dir_all(folder)?;
    let name = format!("{NAME}-{}-{REVISION}.{ARCH}.rpm", about.version);
    let package = folder.join(&name);
    fs::rename(top.join("RPMS").join(ARCH).join(&name), &package).context("rpmbuild has made no package")?;
    Ok(package)
}

fn spec(workspace: &Workspace, about: &About, tree: &Tree, root: &Path) -> Result<String> {
    let files: Vec<String> = tree.paths().map(|(path, mode)| line(path, mode)).collect();
    Ok(format!(
        "Name: {NAME}\n\
         Version: {version}\n\
         Release: {REVISION}\n\
         Summary: {SUMMARY}\n\
         License: MIT\n\
         Group: Development/Tools/Other\n\
         Packager: {MAINTAINER}\n\
         Requires: {LOADED_LATER}\n\
         Recommends: ca-certificates\n\
         Recommends: xdg-utils\n\n\
         %description\n{description}\n\
         %install\ncp -a {root}/. %{{buildroot}}/\n\n\
         %post\nif [ \"$1\" -gt 1 ]; then\n{renew}fi\n\n\
         %preun\nif [ \"$1\" -eq 0 ]; then\n{stop}fi\n\n\
         %files\n{files}\n\n\
         %changelog\n* {date} {MAINTAINER} - {version}-{REVISION}\n- CHANGELOG.md says what is new.\n",
        version = about.version,
        description = texts::wrapped(DESCRIPTION),
        root = quoted(&root.to_string_lossy()),
        renew = layout::script(workspace, "renew\n")?,
        stop = layout::script(workspace, "stop /usr/bin/codex-proxy-app\nstop /usr/bin/codex-proxy\n")?,
        files = files.join("\n"),
        date = about.date("+%a %b %d %Y")?,
    ))
}

/// The line for a file in the file list.
fn line(path: &str, mode: u32) -> String {
    let kind = match path {
        path if path.starts_with("/usr/share/licenses/") => "%license ",
        path if path.starts_with("/usr/share/doc/") || path.starts_with("/usr/share/man/") => "%doc ",
        _ => "",
    };
    format!("%attr({mode:04o},root,root) {kind}{path}")
}
