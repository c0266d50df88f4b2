//! An AppDir, the content of an AppImage; and the AppImage itself, if a runtime for it is given.
//!
//! It uses the WebKitGTK of the system that it runs on. <https://docs.appimage.org/reference/appdir.html>

use std::env::consts::ARCH;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::layout::{self, Family};
use super::{About, NAME, Programs};
use crate::shell::Cmd;
use crate::workspace::Workspace;

const APP_RUN: &str = "\
#!/bin/sh
exec \"$(dirname \"$(readlink -f \"$0\")\")/usr/bin/codex-proxy-app\" \"$@\"
";

/// Prepares the AppDir in `folder`. Returns its path.
pub(super) fn lay_out(
    workspace: &Workspace,
    programs: &Programs,
    about: &About,
    folder: &Path,
) -> Result<PathBuf> {
    let mut tree = layout::application(workspace, programs, about, Family::AppImage)?;
    tree.script("/AppRun", APP_RUN);
    let own = workspace.root.join("installers").join("linux");
    tree.file("/codex-proxy-app.desktop", &own.join("codex-proxy-app.desktop"));
    let icon = workspace.root.join("icons").join("app").join("128x128@2x.png");
    for name in ["/codex-proxy-app.png", "/.DirIcon"] {
        tree.file(name, &icon);
    }
    let root = folder.join(format!("{NAME}.AppDir"));
    tree.write(&root, about.time())?;
    Ok(root)
}

/// Makes the AppImage from `root` with `runtime`, the program that mounts the data behind it and starts the application.
pub(super) fn pack(root: &Path, runtime: &Path, about: &About) -> Result<PathBuf> {
    let image = root.with_file_name(format!("{NAME}-{}-{ARCH}.AppImage", about.version));
    let packed = image.with_extension("squashfs");
    about
        .dated(Cmd::new("mksquashfs"))
        .args([root, &packed])
        // The one compression that every runtime can read.
        .args(["-comp", "gzip", "-all-root", "-noappend", "-no-progress", "-quiet"])
        .run()?;
    fs::copy(runtime, &image).with_context(|| format!("cannot read the runtime {}", runtime.display()))?;
    let mut whole = OpenOptions::new().append(true).open(&image)?;
    io::copy(&mut File::open(&packed)?, &mut whole)?;
    fs::remove_file(packed)?;
    Cmd::new("chmod").arg("0755").arg(&image).run()?;
    Ok(image)
}
