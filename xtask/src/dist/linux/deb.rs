//! The package for Debian, Ubuntu and related systems, made by `dpkg-deb`.

use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::layout::{self, Family};
use super::tree::{Tree, below};
use super::{About, DESCRIPTION, MAINTAINER, NAME, Programs, REVISION, SUMMARY, texts};
use crate::shell::Cmd;
use crate::workspace::Workspace;

/// It is loaded when the tray's icon is shown, so nothing in the program names it.
const LOADED_LATER: &str = "libayatana-appindicator3-1";

const PRERM: &str = "\
case \"$1\" in
    remove | deconfigure)
        stop /usr/bin/codex-proxy-app
        stop /usr/bin/codex-proxy
        ;;
esac
";

const POSTINST: &str = "\
if [ \"$1\" = configure ] && [ -n \"$2\" ]; then
    renew
fi
";

pub(super) fn pack(
    workspace: &Workspace,
    programs: &Programs,
    about: &About,
    folder: &Path,
) -> Result<PathBuf> {
    let mut tree = layout::application(workspace, programs, about, Family::Debian)?;
    let root = programs.work.join("deb");
    tree.write(&root, about.time())?;
    let control = control(about, programs, size(&tree, &root)?)?;
    let sums = sums(&tree, &root)?;
    tree.text("/DEBIAN/control", control);
    tree.text("/DEBIAN/md5sums", sums);
    for (name, own) in [("prerm", PRERM), ("postinst", POSTINST)] {
        let script = format!("#!/bin/sh\nset -e\n\n{}", layout::script(workspace, own)?);
        tree.script(format!("/DEBIAN/{name}"), script);
    }
    fs::remove_dir_all(&root)?;
    tree.write(&root, about.time())?;

    fs::create_dir_all(folder)?;
    let package = folder.join(format!("{NAME}_{}-{REVISION}_{}.deb", about.version, architecture()));
    let packing: &[&str] = if about.debug { &["-Zgzip", "-z1"] } else { &["-Zxz", "-z9", "-Sextreme"] };
    about
        .dated(Cmd::new("dpkg-deb"))
        // The number of threads changes the bytes of the package.
        .env("DPKG_DEB_THREADS_MAX", "1")
        .args(packing)
        .args(["--root-owner-group", "--build"])
        .arg(&root)
        .arg(&package)
        .run()?;
    Ok(package)
}

fn control(about: &About, programs: &Programs, size: u64) -> Result<String> {
    let description = texts::debian_description(SUMMARY, DESCRIPTION);
    Ok(format!(
        "Package: {NAME}\n\
         Version: {}-{REVISION}\n\
         Architecture: {}\n\
         Maintainer: {MAINTAINER}\n\
         Installed-Size: {size}\n\
         Depends: {}, {LOADED_LATER}\n\
         Recommends: ca-certificates, xdg-utils\n\
         Section: net\n\
         Priority: optional\n\
         Description: {description}",
        about.version,
        architecture(),
        libraries(programs)?,
    ))
}

fn architecture() -> &'static str {
    match ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The packages of the programs' libraries, each with the oldest version that has all used functions.
fn libraries(programs: &Programs) -> Result<String> {
    let folder = programs.work.join("shlibdeps");
    fs::create_dir_all(folder.join("debian"))?;
    let control = format!("Source: {NAME}\n\nPackage: {NAME}\nArchitecture: any\n");
    fs::write(folder.join("debian").join("control"), control)?;
    let found =
        Cmd::new("dpkg-shlibdeps").arg("-O").args([&programs.proxy, &programs.app]).dir(&folder).capture()?;
    let found = found.lines().find_map(|line| line.strip_prefix("shlibs:Depends="));
    Ok(found.context("dpkg-shlibdeps names no packages")?.to_owned())
}

/// In KiB, from the lengths of the files. The space on a real file system may differ.
fn size(tree: &Tree, root: &Path) -> Result<u64> {
    let lengths = tree.paths().map(|(path, _)| Ok(fs::metadata(below(root, path))?.len().div_ceil(1024)));
    lengths.sum()
}

fn sums(tree: &Tree, root: &Path) -> Result<String> {
    let files = tree.paths().map(|(path, _)| path.trim_start_matches('/'));
    Cmd::new("md5sum").arg("--").args(files).dir(root).capture()
}
