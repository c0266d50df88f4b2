//! The places of the files in the packages.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::tree::Tree;
use super::{About, Programs, REVISION, texts};
use super::{MAINTAINER, NAME};
use crate::shell::Cmd;
use crate::workspace::Workspace;

/// The family of distributions whose rules a package follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Debian,
    /// Fedora, and openSUSE with it.
    Fedora,
    AppImage,
}

/// The application's ID for software centres. An underscore replaces the hyphen of the name, as these IDs require.
pub(super) const METAINFO: &str = "io.github.codex_proxy.metainfo.xml";

/// The whole content of the application's package.
pub(super) fn application(
    workspace: &Workspace,
    programs: &Programs,
    about: &About,
    family: Family,
) -> Result<Tree> {
    let mut tree = Tree::default();
    let own = workspace.root.join("installers").join("linux");
    tree.program("/usr/bin/codex-proxy", &programs.proxy);
    tree.program("/usr/bin/codex-proxy-app", &programs.app_in(family)?);
    command_line(&mut tree, "/usr", programs, family)?;
    tree.file("/usr/share/man/man1/codex-proxy-app.1.gz", &own.join("codex-proxy-app.1"));
    tree.file("/usr/lib/systemd/user/codex-proxy.service", &own.join("codex-proxy.service"));
    tree.file("/usr/share/applications/codex-proxy-app.desktop", &own.join("codex-proxy-app.desktop"));
    let metainfo = read(&own.join(METAINFO))?;
    let metainfo = metainfo.replace("@VERSION@", about.version).replace("@DATE@", &about.date("+%F")?);
    tree.text(format!("/usr/share/metainfo/{METAINFO}"), metainfo);
    for (size, file) in [
        ("32x32", "app/32x32.png"),
        ("128x128", "app/128x128.png"),
        ("256x256", "app/128x128@2x.png"),
        ("256x256@2", "app/icon.png"),
        ("scalable", "sources/app.svg"),
    ] {
        let ending = file.rsplit('.').next().unwrap_or_default();
        let at = format!("/usr/share/icons/hicolor/{size}/apps/codex-proxy-app.{ending}");
        tree.file(at, &workspace.root.join("icons").join(file));
    }
    documents(&mut tree, workspace, about, family)?;
    Ok(tree)
}

fn documents(tree: &mut Tree, workspace: &Workspace, about: &About, family: Family) -> Result<()> {
    let own = workspace.root.join("installers").join("linux");
    let (licence, changes) = (workspace.root.join("LICENSE"), workspace.root.join("CHANGELOG.md"));
    match family {
        Family::Debian => {
            let at = |name: &str| format!("/usr/share/doc/{NAME}/{name}");
            let copyright = texts::debian_copyright(&read(&own.join("copyright"))?, &read(&licence)?);
            tree.text(at("copyright"), copyright);
            tree.file(at("changelog.gz"), &changes);
            let version = format!("{}-{REVISION}", about.version);
            let date = about.date("+%a, %d %b %Y %T +0000")?;
            tree.text(at("changelog.Debian.gz"), texts::debian_changelog(NAME, &version, MAINTAINER, &date));
            tree.file(format!("/usr/share/lintian/overrides/{NAME}"), &own.join("lintian-overrides"));
        }
        Family::Fedora => {
            tree.file(format!("/usr/share/licenses/{NAME}/LICENSE"), &licence);
            tree.file(format!("/usr/share/doc/{NAME}/CHANGELOG.md"), &changes);
        }
        Family::AppImage => tree.file(format!("/usr/share/doc/{NAME}/LICENSE"), &licence),
    }
    Ok(())
}

/// The manuals and completions of the command line below `prefix`. The program itself writes them.
pub(super) fn command_line(tree: &mut Tree, prefix: &str, programs: &Programs, family: Family) -> Result<()> {
    let pages = programs.work.join("man");
    fs::create_dir_all(&pages)?;
    Cmd::new(&programs.proxy).args(["man", "--dir"]).arg(&pages).capture()?;
    for page in fs::read_dir(&pages)? {
        let page = page?;
        tree.file(format!("{prefix}/share/man/man1/{}.gz", page.file_name().to_string_lossy()), &page.path());
    }
    for (shell, folder, name) in completions(family) {
        let script = Cmd::new(&programs.proxy).args(["completions", shell]).capture()?;
        tree.text(format!("{prefix}/share/{folder}/{name}"), script);
    }
    Ok(())
}

/// The shells, with the folders for their completions in each family.
fn completions(family: Family) -> [(&'static str, &'static str, &'static str); 3] {
    let zsh = match family {
        Family::Debian => "zsh/vendor-completions",
        Family::Fedora | Family::AppImage => "zsh/site-functions",
    };
    [
        ("bash", "bash-completion/completions", "codex-proxy"),
        ("fish", "fish/vendor_completions.d", "codex-proxy.fish"),
        ("zsh", zsh, "_codex-proxy"),
    ]
}

/// The script of a package: the common part, then its own part.
pub(super) fn script(workspace: &Workspace, own: &str) -> Result<String> {
    let shared = read(&workspace.root.join("installers").join("linux").join("running.sh"))?;
    Ok(format!("{shared}\n{own}"))
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}
