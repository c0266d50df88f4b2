//! The command line alone, with all its libraries inside, for any Linux of this processor type.

use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::layout::{self, Family};
use super::tree::Tree;
use super::{About, NAME, Programs};
use crate::shell::Cmd;
use crate::workspace::Workspace;

/// Packs `proxy`. The archive has one folder. Its content is for `/usr/local` or `~/.local`.
pub(super) fn pack(
    workspace: &Workspace,
    proxy: &Path,
    programs: &Programs,
    about: &About,
    folder: &Path,
) -> Result<PathBuf> {
    let name = format!("{NAME}-{}-{ARCH}-linux", about.version);
    let at = |path: &str| format!("/{name}/{path}");
    let mut tree = Tree::default();
    let stripped = programs.work.join("codex-proxy.static");
    Cmd::new("strip").arg("--strip-all").arg("-o").arg(&stripped).arg(proxy).run()?;
    tree.program(at("bin/codex-proxy"), &stripped);
    layout::command_line(&mut tree, at("").trim_end_matches('/'), programs, Family::Fedora)?;
    let unit = workspace.root.join("installers").join("linux").join("codex-proxy.service");
    let unit = fs::read_to_string(unit)?.replace("/usr/bin/codex-proxy", "%h/.local/bin/codex-proxy");
    tree.text(at("share/systemd/user/codex-proxy.service"), unit);
    for file in ["LICENSE", "README.md", "CHANGELOG.md"] {
        tree.file(at(&format!("share/doc/{NAME}/{file}")), &workspace.root.join(file));
    }

    let root = programs.work.join("tar");
    tree.write(&root, about.time())?;
    fs::create_dir_all(folder)?;
    let archive = folder.join(format!("{name}.tar"));
    about
        .dated(Cmd::new("tar"))
        .args(["--create", "--sort=name", "--format=ustar", "--owner=0", "--group=0", "--numeric-owner"])
        .arg(format!("--mtime=@{}", about.epoch))
        .arg("--file")
        .arg(&archive)
        .arg("--directory")
        .arg(&root)
        .arg(&name)
        .run()?;
    Cmd::new("gzip").args(["-9", "--no-name"]).arg(&archive).run()?;
    Ok(archive.with_extension("tar.gz"))
}
