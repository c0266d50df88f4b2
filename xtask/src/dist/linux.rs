//! `.deb` and `.rpm`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{Channel, Options, Target, tauri};
use crate::registry;
use crate::setup;
use crate::shell::Cmd;
use crate::window;
use crate::workspace::Workspace;

/// Builds and packs. Returns the packages.
pub(super) fn dist(workspace: &Workspace, options: &Options) -> Result<Vec<PathBuf>> {
    setup::for_dist(Target::Linux)?;
    window::build(workspace)?;
    window::packages(workspace)?;
    let channel = options.channel.as_ref().map(Channel::config);
    build(workspace, options, channel.as_ref())?;
    pack(workspace, options, channel)
}

fn build(workspace: &Workspace, options: &Options, channel: Option<&Value>) -> Result<()> {
    let mut cmd = Cmd::cargo().dir(&workspace.root).args(["build", "--locked"]);
    cmd = cmd.env(registry::VARIABLE, registry::address()?);
    if options.debug {
        // Just as the suite is built, so that nothing is built twice.
        cmd = cmd.args(["--workspace", "--bins", "--tests"]);
    } else {
        cmd = cmd.args(Options::release_arguments());
    }
    if let Some(channel) = channel {
        // What Tauri's build script merges into tauri.conf.json.
        cmd = cmd.env("TAURI_CONFIG", channel.to_string());
    }
    cmd.run()
}

/// Lets Tauri pack what has been built. Returns the packages.
fn pack(workspace: &Workspace, options: &Options, channel: Option<Value>) -> Result<Vec<PathBuf>> {
    let profile = workspace.target.join(if options.debug { "debug" } else { "release" });
    let proxy = workspace.binary("codex-proxy", !options.debug);
    let extra = profile.join("dist");
    let files = linux_files(&proxy, &extra)?;
    let config = json!({"bundle": {"linux": {"deb": {"files": files}, "rpm": {"files": files}}}});
    let bundles = profile.join("bundle");
    if bundles.exists() {
        fs::remove_dir_all(&bundles).context("what was packed before cannot be removed")?;
    }
    let mut cmd = tauri(workspace).arg("bundle").args(["--ci", "--config"]).arg(config.to_string());
    if let Some(channel) = channel {
        cmd = cmd.arg("--config").arg(channel.to_string());
    }
    if options.debug {
        cmd = cmd.arg("--debug");
    }
    // Tauri names a variable of cargo's, which it would otherwise guess from the folder.
    cmd.env("CARGO_TARGET_DIR", &workspace.target).run()?;
    let mut packages = Vec::new();
    for kind in fs::read_dir(&bundles).context("nothing was packed")? {
        for package in fs::read_dir(kind?.path())? {
            let package = package?.path();
            let is_package = package.extension().is_some_and(|kind| kind == "deb" || kind == "rpm");
            packages.extend(is_package.then_some(package));
        }
    }
    packages.sort();
    if packages.is_empty() {
        bail!("no package was made in {}", bundles.display());
    }
    Ok(packages)
}

/// What the Linux packages hold besides the application: the command line, its manual and completions.
fn linux_files(proxy: &Path, extra: &Path) -> Result<Value> {
    let manuals = extra.join("man");
    fs::create_dir_all(&manuals)?;
    Cmd::new(proxy).args(["man", "--dir"]).arg(&manuals).run()?;
    let mut files = serde_json::Map::new();
    let mut put = |at: String, file: &Path| files.insert(at, json!(file));
    put("/usr/bin/codex-proxy".to_owned(), proxy);
    for page in fs::read_dir(&manuals)? {
        let page = page?;
        put(format!("/usr/share/man/man1/{}", page.file_name().to_string_lossy()), &page.path());
    }
    for (shell, at) in [
        ("bash", "/usr/share/bash-completion/completions/codex-proxy"),
        ("fish", "/usr/share/fish/vendor_completions.d/codex-proxy.fish"),
        ("zsh", "/usr/share/zsh/vendor-completions/_codex-proxy"),
    ] {
        let file = extra.join(format!("completion.{shell}"));
        fs::write(&file, Cmd::new(proxy).args(["completions", shell]).capture()?)?;
        put(at.to_owned(), &file);
    }
    Ok(Value::Object(files))
}
