//! The packages for Linux: a `.deb`, an `.rpm`, and a tarball of the command line for any Linux.
//!
//! This code prepares a tree of files, and the distributions' own tools make the packages from it. Tauri's bundler is not
//! used: its files are different in each build, and it cannot put completions, manuals, icons and licences in the places
//! that each family of distributions uses.

mod appdir;
mod deb;
mod layout;
mod musl;
mod rpm;
mod tarball;
mod texts;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use self::layout::Family;
use super::{Channel, Options, RELEASED, Target};
use crate::registry;
use crate::setup;
use crate::shell::{Cmd, env};
use crate::window;
use crate::workspace::Workspace;

/// The facts in every package.
struct About {
    /// The version of the workspace.
    version: &'static str,
    /// The time of the packed commit, in seconds since 1970. No file is newer, so the same commit gives the same
    /// package: <https://reproducible-builds.org/specs/source-date-epoch/>.
    epoch: u64,
    /// Whether packing fast matters more than packing small.
    debug: bool,
}

/// The programs to pack, without debug symbols.
struct Programs {
    proxy: PathBuf,
    app: PathBuf,
    /// The folder in which the package is prepared.
    work: PathBuf,
}

const NAME: &str = "codex-proxy";
const MAINTAINER: &str = "The Codex Proxy project <codex-proxy@users.noreply.github.com>";
const SUMMARY: &str = "OpenAI's APIs on this machine, through Codex";
const DESCRIPTION: &str = "\
Codex Proxy serves the OpenAI API on your own machine, through the Codex CLI and your ChatGPT account. Any client of the \
Responses API or the Chat Completions API can use the models of your ChatGPT plan.

This package contains the application with its tray icon and window, the command line, and a user service that is off \
until you enable it.";
/// How often this version has been packed.
const REVISION: &str = "1";
/// How large the command line of a release may be, in bytes. It has 17.9 million.
const LARGEST_PROGRAM: u64 = 18_500_000;
/// And its package for Debian, with the application.
const LARGEST_PACKAGE: u64 = 14_000_000;

/// Builds and packs. Returns the packages.
pub(super) fn dist(workspace: &Workspace, options: &Options) -> Result<Vec<PathBuf>> {
    setup::for_dist(Target::Linux)?;
    if !options.no_build {
        window::build(workspace)?;
        let channel = options.channel.as_ref().map(Channel::config);
        build(workspace, options, channel.as_ref())?;
    }
    let about = About { version: env!("CARGO_PKG_VERSION"), epoch: epoch(workspace)?, debug: options.debug };
    let profile = if options.debug { "debug" } else { "release" };
    let bundles = options.into.clone().unwrap_or_else(|| workspace.target.join(profile).join("bundle"));
    if options.into.is_none() && bundles.exists() {
        fs::remove_dir_all(&bundles).context("what was packed before cannot be removed")?;
    }
    let programs = Programs::prepare(workspace, options, bundles.join("work"))?;
    if !options.debug {
        small(&programs.proxy, LARGEST_PROGRAM)?;
    }
    let deb = deb::pack(workspace, &programs, &about, &bundles.join("deb"))?;
    if !options.debug {
        small(&deb, LARGEST_PACKAGE)?;
    }
    let mut packages = vec![deb, rpm::pack(workspace, &programs, &about, &bundles.join("rpm"))?];
    let app_dir = appdir::lay_out(workspace, &programs, &about, &bundles.join("appimage"))?;
    if let Some(runtime) = &options.appimage_runtime {
        setup::for_appimage()?;
        packages.push(appdir::pack(&app_dir, runtime, &about)?);
    }
    if options.tarball {
        let proxy = musl::build(workspace, options.debug)?;
        packages.push(tarball::pack(workspace, &proxy, &programs, &about, &bundles.join("tar"))?);
    }
    fs::remove_dir_all(&programs.work)?;
    Ok(packages)
}

fn build(workspace: &Workspace, options: &Options, channel: Option<&Value>) -> Result<()> {
    let cargo = || -> Result<Cmd> {
        let cmd = Cmd::cargo().dir(&workspace.root).args(["build", "--locked"]);
        let cmd = cmd.env(registry::VARIABLE, registry::address()?);
        // What Tauri's build script merges into tauri.conf.json.
        Ok(match channel {
            Some(channel) => cmd.env("TAURI_CONFIG", channel.to_string()),
            None => cmd,
        })
    };
    if options.debug {
        // The same build as for the tests, so that nothing is built twice.
        return cargo()?.args(["--workspace", "--bins", "--tests"]).run();
    }
    for program in RELEASED {
        let flags = remapped(workspace)?.join(BETWEEN_FLAGS);
        cargo()?.arg("--release").args(program).env(RUSTFLAGS, flags).run()?;
    }
    Ok(())
}

/// The cargo variable whose flags may contain spaces, and the separator between the flags.
const RUSTFLAGS: &str = "CARGO_ENCODED_RUSTFLAGS";
const BETWEEN_FLAGS: &str = "\u{1f}";

/// Makes the compiler write neutral names in place of the folders of the build machine. Those of the libraries are short:
/// each panic in a program has such a name.
fn remapped(workspace: &Workspace) -> Result<Vec<String>> {
    let home = env("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env("HOME").map(|home| Path::new(&home).join(".cargo")));
    let home = home.context("neither CARGO_HOME nor HOME is set")?;
    let mut folders = vec![(workspace.root.clone(), "/codex-proxy"), (home.clone(), "/cargo")];
    let registries = home.join("registry").join("src");
    if registries.is_dir() {
        for registry in fs::read_dir(registries)? {
            folders.push((registry?.path(), "/crates"));
        }
    }
    let given = env("RUSTFLAGS").unwrap_or_default();
    let mut flags: Vec<String> = given.to_string_lossy().split_whitespace().map(str::to_owned).collect();
    // The last one that fits is taken.
    flags.extend(folders.iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())));
    Ok(flags)
}

/// Refuses a file with more than `most` bytes. Every user downloads and stores it, so its growth must be
/// noticed.
fn small(file: &Path, most: u64) -> Result<()> {
    let size = fs::metadata(file).with_context(|| format!("cannot look at {}", file.display()))?.len();
    let name = file.file_name().unwrap_or_default().display();
    println!("{name}: {size} bytes of at most {most}");
    if size > most {
        bail!(
            "{name} is {} bytes too large. CARGO_PROFILE_RELEASE_STRIP=none keeps the names by which \
             `nm --print-size --size-sort --demangle` tells what of it is large",
            size - most
        );
    }
    Ok(())
}

/// `SOURCE_DATE_EPOCH`, else the time of the commit.
fn epoch(workspace: &Workspace) -> Result<u64> {
    let text = match env("SOURCE_DATE_EPOCH") {
        Some(given) => given.to_string_lossy().into_owned(),
        None => Cmd::new("git")
            .args(["log", "-1", "--format=%ct"])
            .dir(&workspace.root)
            .capture()
            .context("outside of a git checkout, set SOURCE_DATE_EPOCH to the time of this version")?,
    };
    text.trim().parse().context("SOURCE_DATE_EPOCH is no number of seconds")
}

impl About {
    fn time(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.epoch)
    }

    /// The date or time, in a format of `date`.
    fn date(&self, format: &str) -> Result<String> {
        let date = Cmd::new("date").args(["--utc", "--date"]).arg(format!("@{}", self.epoch)).arg(format);
        Ok(date.env("LC_ALL", "C").capture()?.trim().to_owned())
    }

    /// A command for a tool of the distribution.
    fn dated(&self, cmd: Cmd) -> Cmd {
        cmd.env("SOURCE_DATE_EPOCH", self.epoch.to_string()).env("LC_ALL", "C")
    }
}

impl Programs {
    fn prepare(workspace: &Workspace, options: &Options, work: PathBuf) -> Result<Self> {
        fs::create_dir_all(&work)?;
        let stripped = |name: &str| {
            let to = work.join(name);
            let built = workspace.binary(name, !options.debug);
            Cmd::new("strip").arg("--strip-all").arg("-o").arg(&to).arg(&built).run()?;
            anyhow::Ok(to)
        };
        Ok(Self { proxy: stripped("codex-proxy")?, app: stripped("codex-proxy-app")?, work })
    }

    /// The application with a mark for the kind of package, because its updater installs a package of the same kind.
    fn app_in(&self, family: Family) -> Result<PathBuf> {
        const UNKNOWN: &[u8] = b"__TAURI_BUNDLE_TYPE_VAR_UNK";
        let kind: &[u8; 3] = match family {
            Family::Debian => b"DEB",
            Family::Fedora => b"RPM",
            Family::AppImage => b"APP",
        };
        let mut bytes = fs::read(&self.app)?;
        let found = bytes.windows(UNKNOWN.len()).position(|window| window == UNKNOWN);
        let Some(at) = found else { bail!("Tauri has another way now to note the kind of a package") };
        bytes[at + UNKNOWN.len() - kind.len()..at + UNKNOWN.len()].copy_from_slice(kind);
        let file = self.work.join(format!("codex-proxy-app.{}", String::from_utf8_lossy(kind)));
        fs::write(&file, bytes)?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_too_many_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, "12345").unwrap();
        small(file.path(), 5).unwrap();
        let refused = small(file.path(), 4).unwrap_err().to_string();
        assert!(refused.contains("1 bytes too large"), "{refused}");
        assert!(small(&file.path().join("nothing"), 5).is_err());
    }
}
