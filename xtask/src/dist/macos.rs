//! The packages for macOS: a disk image with the application for both processor types, and a tarball of the command line
//! alone. On other systems, only the part of the bundle that needs no Mac.

mod bundle;
mod rules;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use plist::Dictionary;
use serde_json::{Value, json};

use super::names::Asset;
use super::{Channel, Options, RELEASED, product, tauri};
use crate::registry;
use crate::setup;
use crate::shell::{Cmd, env};
use crate::window;
use crate::workspace::Workspace;

pub(crate) use bundle::MINIMUM_SYSTEM;

/// The processors, as Rust names them.
const TARGETS: [&str; 2] = ["aarch64-apple-darwin", "x86_64-apple-darwin"];
/// Both of them in one program, as Tauri names it.
const UNIVERSAL: &str = "universal-apple-darwin";

/// The variables that Tauri reads for signing and notarisation.
const CREDENTIALS: [&str; 9] = [
    "APPLE_CERTIFICATE",
    "APPLE_CERTIFICATE_PASSWORD",
    "APPLE_SIGNING_IDENTITY",
    "APPLE_ID",
    "APPLE_PASSWORD",
    "APPLE_TEAM_ID",
    "APPLE_API_ISSUER",
    "APPLE_API_KEY",
    "APPLE_API_KEY_PATH",
];
/// The identity for ad-hoc signing, if there is no other. Apple's processors do not start unsigned programs.
const AD_HOC: &str = "-";

/// On macOS, builds and packs, and returns the packages. On other systems, makes only the part that needs no Mac.
pub(super) fn dist(workspace: &Workspace, options: &Options) -> Result<Vec<PathBuf>> {
    if cfg!(target_os = "macos") {
        return pack(workspace, options);
    }
    let app = bundle::metadata(&workspace.root, &workspace.target.join("macos"))?;
    println!("made {} without its programs, which only a Mac can build and sign", app.display());
    Ok(Vec::new())
}

/// Whether a bundle follows Apple's rules and ours.
pub(crate) fn check_info(file: &Path) -> Result<()> {
    let info: Dictionary =
        plist::from_file(file).with_context(|| format!("{} is no property list", file.display()))?;
    let complaints = rules::complaints(&info);
    if !complaints.is_empty() {
        bail!("{}:\n  {}", file.display(), complaints.join("\n  "));
    }
    Ok(())
}

fn pack(workspace: &Workspace, options: &Options) -> Result<Vec<PathBuf>> {
    setup::for_macos()?;
    window::build(workspace)?;
    window::packages(workspace)?;
    let profile = if options.debug { "debug" } else { "release" };
    let folder = workspace.target.join(UNIVERSAL).join(profile);
    let channel = options.channel.as_ref().map(Channel::config);
    programs(workspace, options, channel.as_ref(), &folder)?;
    bundle(workspace, options, channel, &folder)?;

    let bundles = folder.join("bundle");
    let app = bundles.join("macos").join(format!("{}.app", product::NAME));
    check_info(&app.join("Contents/Info.plist"))?;
    Cmd::new("codesign").args(["--verify", "--deep", "--strict", "--verbose=2"]).arg(&app).run()?;

    let version = env!("CARGO_PKG_VERSION");
    let updater = bundles.join(Asset::AppTarball.name(version));
    archive(&updater, &bundles.join("macos"), &format!("{}.app", product::NAME))?;
    let image = only(&bundles.join("dmg"), "dmg")?;
    Ok(vec![image, updater, command_line(workspace, &app, &bundles)?])
}

/// Builds the two programs for both processors and puts them together below `folder`.
fn programs(workspace: &Workspace, options: &Options, channel: Option<&Value>, folder: &Path) -> Result<()> {
    for (target, program) in TARGETS.iter().flat_map(|target| RELEASED.map(|program| (target, program))) {
        let mut cmd = Cmd::cargo()
            .env(registry::VARIABLE, registry::address()?)
            .dir(&workspace.root)
            .args(["build", "--locked", "--target", target])
            .args(program)
            .env("MACOSX_DEPLOYMENT_TARGET", MINIMUM_SYSTEM);
        if !options.debug {
            cmd = cmd.arg("--release");
        }
        if let Some(channel) = channel {
            // What Tauri's build script merges into tauri.conf.json.
            cmd = cmd.env("TAURI_CONFIG", channel.to_string());
        }
        cmd.run()?;
    }
    fs::create_dir_all(folder)?;
    let profile = folder.file_name().context("the folder has no name")?;
    for program in [product::COMMAND, product::APP] {
        let halves = TARGETS.map(|target| workspace.target.join(target).join(profile).join(program));
        Cmd::new("lipo").arg("-create").arg("-output").arg(folder.join(program)).args(halves).run()?;
    }
    Ok(())
}

/// Makes and signs the bundle and the disk image with Tauri. Apple notarises the bundle if there are credentials.
fn bundle(workspace: &Workspace, options: &Options, channel: Option<Value>, folder: &Path) -> Result<()> {
    let bundles = folder.join("bundle");
    if bundles.exists() {
        fs::remove_dir_all(&bundles).context("what was packed before cannot be removed")?;
    }
    // Tauri includes more programs if their names end with the target. It signs them and puts them beside the first.
    let command = folder.join("dist").join(product::COMMAND);
    fs::create_dir_all(folder.join("dist"))?;
    fs::copy(
        folder.join(product::COMMAND),
        command.with_file_name(format!("{}-{UNIVERSAL}", product::COMMAND)),
    )?;
    let mut config = json!({"bundle": {"externalBin": [command]}});
    if env("APPLE_SIGNING_IDENTITY").is_none() && env("APPLE_CERTIFICATE").is_none() {
        config["bundle"]["macOS"] = json!({"signingIdentity": AD_HOC});
    }
    let mut cmd = tauri(workspace)
        .args(["bundle", "--ci", "--target", UNIVERSAL, "--bundles", "app,dmg", "--config"])
        .arg(config.to_string())
        .env("CARGO_TARGET_DIR", &workspace.target);
    if let Some(channel) = channel {
        cmd = cmd.arg("--config").arg(channel.to_string());
    }
    if options.debug {
        cmd = cmd.arg("--debug");
    }
    for name in CREDENTIALS.into_iter().filter(|name| env(name).is_none()) {
        // A workflow sets a variable to an empty text if a secret is missing. Tauri would treat this as a wrong credential.
        cmd = cmd.env_remove(name);
    }
    cmd.run()
}

/// Packs the signed command line from the bundle. The archive has one folder. Its content is for `/usr/local`.
fn command_line(workspace: &Workspace, app: &Path, bundles: &Path) -> Result<PathBuf> {
    let archive_file = bundles.join(Asset::MacosTarball.name(env!("CARGO_PKG_VERSION")));
    let file_name = archive_file.file_name().unwrap_or_default().to_string_lossy();
    let name = file_name.trim_end_matches(".tar.gz");
    let root = bundles.join("tar").join(name);
    let (bin, man) = (root.join("bin"), root.join("share/man/man1"));
    fs::create_dir_all(&bin)?;
    fs::create_dir_all(&man)?;
    let program = bin.join(product::COMMAND);
    fs::copy(app.join("Contents/MacOS").join(product::COMMAND), &program)?;
    Cmd::new(&program).args(["man", "--dir"]).arg(&man).run()?;
    for (shell, folder, file) in [
        ("bash", "bash-completion/completions", "codex-proxy"),
        ("fish", "fish/vendor_completions.d", "codex-proxy.fish"),
        ("zsh", "zsh/site-functions", "_codex-proxy"),
    ] {
        let folder = root.join("share").join(folder);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(file), Cmd::new(&program).args(["completions", shell]).capture()?)?;
    }
    let documents = root.join("share/doc/codex-proxy");
    fs::create_dir_all(&documents)?;
    for file in ["LICENSE", "README.md", "CHANGELOG.md"] {
        fs::copy(workspace.root.join(file), documents.join(file))?;
    }
    archive(&archive_file, &bundles.join("tar"), name)?;
    Ok(archive_file)
}

/// Packs `folder/name` without extended attributes of this file system.
fn archive(file: &Path, folder: &Path, name: &str) -> Result<()> {
    Cmd::new("tar").env("COPYFILE_DISABLE", "1").arg("-czf").arg(file).arg("-C").arg(folder).arg(name).run()
}

/// The only file of a kind in a folder.
fn only(folder: &Path, kind: &str) -> Result<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("nothing was made in {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == kind) {
            found.push(path);
        }
    }
    match found.as_slice() {
        [one] => Ok(one.clone()),
        _ => bail!("{} has {} files of the kind {kind}, and not one", folder.display(), found.len()),
    }
}
