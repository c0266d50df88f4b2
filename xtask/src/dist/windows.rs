//! The setup program by NSIS, and the `.msi` by wixl. `installers/README.md` says what is in them.

mod msi;
mod sign;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};

use self::sign::SignCommand;
use super::{Channel, Options, RELEASED, Target};
use crate::cross;
use crate::registry;
use crate::setup;
use crate::shell::{Cmd, env};
use crate::window;
use crate::workspace::Workspace;

const APP: &str = "codex-proxy-app.exe";
const COMMAND: &str = "codex-proxy.exe";
/// Microsoft's library. A program from Microsoft's own tools contains it.
const LOADER: &str = "WebView2Loader.dll";

/// Builds and packs. Returns the packages.
pub(super) fn dist(workspace: &Workspace, options: &Options) -> Result<Vec<PathBuf>> {
    setup::for_dist(Target::Windows)?;
    window::build(workspace)?;
    window::packages(workspace)?;
    let programs = build(workspace, options)?;
    let packing = Packing {
        programs: &programs,
        version: env!("CARGO_PKG_VERSION"),
        for_tests: options.debug,
        sign: SignCommand::of_environment()?,
        to: programs.join("bundle"),
        stand_in: None,
    };
    packing.pack(workspace)
}

/// Versions whose application does not start: the folder of the setup program, the version, and the options of the C
/// compiler for the program that takes the application's place.
const FAILING: [(&str, &str, &[&str]); 2] =
    [("bundle-ends", "9.0.0", &[]), ("bundle-hangs", "9.0.1", &["-DHANGS"])];

/// Packs existing debug programs for Windows: twice as this version, to check that both packages are equal, once as
/// the next version, with a replacement for the signing tool, and twice as a version that does not start.
pub(crate) fn pack_for_tests(workspace: &Workspace, programs: &Path) -> Result<()> {
    let pack = |to: &str, version, sign| {
        let to = programs.join(to);
        Packing { programs, version, for_tests: true, sign, to, stand_in: None }.pack(workspace)
    };
    let packages = pack("bundle", env!("CARGO_PKG_VERSION"), None)?;
    let again = pack("bundle-again", env!("CARGO_PKG_VERSION"), None)?;
    for (package, again) in packages.iter().zip(&again) {
        if fs::read(package)? != fs::read(again)? {
            bail!("packed twice, {} and {} are not the same", package.display(), again.display());
        }
    }
    fs::remove_dir_all(programs.join("bundle-again"))?;
    let stand_in = workspace.root.join("xtask/cross/stand-in-for-signing");
    let record = programs.join("signed.txt");
    fs::write(&record, "")?;
    pack("bundle-next", &next(env!("CARGO_PKG_VERSION"))?, Some(SignCommand::of(&stand_in, &record)))?;
    for (to, version, options) in FAILING {
        let stand_in = programs.join(format!("{to}.exe"));
        cross::stand_in(workspace, "stand-in-for-an-update.c", options, &stand_in)?;
        let (to, stand_in) = (programs.join(to), Some(&*stand_in));
        let packing = Packing { programs, version, for_tests: true, sign: None, to, stand_in };
        packing.clear()?;
        packing.nsis(workspace)?;
    }
    Ok(())
}

fn build(workspace: &Workspace, options: &Options) -> Result<PathBuf> {
    // What Tauri's build script merges into tauri.conf.json.
    let config = options.channel.as_ref().map(Channel::config);
    let mut environment: Vec<_> =
        config.map(|config| ("TAURI_CONFIG", config.to_string())).into_iter().collect();
    if options.debug {
        return build_with(workspace, &cross::DEBUG_PROGRAMS, &environment);
    }
    environment.push((registry::VARIABLE, registry::address()?));
    let [command, app] = RELEASED.map(|program| [&["--release"], program].concat());
    build_with(workspace, &command, &environment)?;
    build_with(workspace, &app, &environment)
}

/// Runs `cargo build` with these arguments and environment variables. Returns the folder with the programs.
fn build_with(workspace: &Workspace, arguments: &[&str], environment: &[(&str, String)]) -> Result<PathBuf> {
    if !cfg!(windows) {
        return cross::build_windows(workspace, arguments, environment);
    }
    let cmd = Cmd::cargo().dir(&workspace.root).args(["build", "--locked"]).args(arguments);
    environment.iter().fold(cmd, |cmd, (name, value)| cmd.env(name, value)).run()?;
    Ok(workspace.target.join(if arguments.contains(&"--release") { "release" } else { "debug" }))
}

/// The options of the packing.
struct Packing<'a> {
    /// The folder with the programs.
    programs: &'a Path,
    version: &'a str,
    /// Whether to pack fast instead of small.
    for_tests: bool,
    sign: Option<SignCommand>,
    /// The folder for the packages. Its old content is deleted.
    to: PathBuf,
    /// A program that is packed in place of the application.
    stand_in: Option<&'a Path>,
}

impl Packing<'_> {
    fn clear(&self) -> Result<()> {
        if self.to.exists() {
            fs::remove_dir_all(&self.to).context("what was packed before cannot be removed")?;
        }
        fs::create_dir_all(&self.to)?;
        Ok(())
    }

    fn pack(&self, workspace: &Workspace) -> Result<Vec<PathBuf>> {
        self.clear()?;
        let mut packages = vec![self.nsis(workspace)?];
        if cfg!(windows) {
            println!("skipped: the MSI, which is made on Linux, by wixl");
        } else if self.version.contains('-') {
            println!("skipped: the MSI, whose version cannot be one before a release");
        } else {
            packages.push(self.msi(workspace)?);
        }
        for package in packages.iter().filter(|_| self.sign.is_some()) {
            self.sign(package)?;
        }
        Ok(packages)
    }

    fn nsis(&self, workspace: &Workspace) -> Result<PathBuf> {
        let files = self.stage(workspace, Installer::Nsis)?;
        let setup = self.to.join(format!("Codex-Proxy_{}_x64-setup.exe", self.version));
        let define = |name: &str, value: &str| format!("-D{name}={value}");
        let path = |path: &Path| path.display().to_string();
        let mut cmd = Cmd::new("makensis")
            .args(["-V2", "-WX", "-INPUTCHARSET", "UTF8"])
            .arg(define("VERSION", self.version))
            .arg(define("NUMBERS", &format!("{}.0", numbers(self.version)?.map(|n| n.to_string()).join("."))))
            .arg(define("FILES", &path(&files)))
            .arg(define("ICON", &path(&icon(workspace))))
            .arg(define("OUT", &path(&setup)));
        if self.for_tests {
            cmd = cmd.arg("-DSTORED");
        }
        if let Some(sign) = &self.sign {
            cmd = cmd.arg(define("SIGN", &sign.line()));
        }
        cmd.arg(workspace.root.join("installers/windows/codex-proxy.nsi")).run()?;
        Ok(setup)
    }

    fn msi(&self, workspace: &Workspace) -> Result<PathBuf> {
        let files = self.stage(workspace, Installer::Msi)?;
        let package = self.to.join(format!("Codex-Proxy_{}_x64.msi", self.version));
        msi::make(workspace, &files, numbers(self.version)?, &package)?;
        Ok(package)
    }

    /// Copies and signs all files to install, into a separate folder for this installer.
    fn stage(&self, workspace: &Workspace, installer: Installer) -> Result<PathBuf> {
        let files = self.to.join(installer.name());
        fs::create_dir_all(&files)?;
        let made_at = made_at(workspace)?;
        for program in [APP, COMMAND] {
            let file = files.join(program);
            fs::copy(self.programs.join(program), &file)
                .with_context(|| format!("{program} is not built"))?;
            if self.for_tests && !cfg!(windows) {
                // It would write the present time into the file.
                let strip =
                    Cmd::new("x86_64-w64-mingw32-strip").env("SOURCE_DATE_EPOCH", made_at.to_string());
                strip.arg(&file).run()?;
            }
        }
        match self.stand_in {
            Some(stand_in) => {
                fs::copy(stand_in, files.join(APP))?;
            }
            None => {
                mark(&files.join(APP), installer)?;
                if self.for_tests {
                    rehearse(&files.join(APP), self.version)?;
                }
            }
        }
        for program in [APP, COMMAND].iter().filter(|_| self.sign.is_some()) {
            self.sign(&files.join(program))?;
        }
        let loader = self.programs.join(LOADER);
        if loader.exists() {
            fs::copy(loader, files.join(LOADER))?;
        }
        fs::copy(workspace.root.join("LICENSE"), files.join("LICENSE.txt"))?;
        fs::copy(icon(workspace), files.join("icon.ico"))?;
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(made_at);
        for file in fs::read_dir(&files)? {
            File::options().write(true).open(file?.path())?.set_modified(time)?;
        }
        Ok(files)
    }

    fn sign(&self, file: &Path) -> Result<()> {
        match &self.sign {
            Some(sign) => sign.run(file),
            None => Ok(()),
        }
    }
}

/// The kind of installer. The application's updater uses the same kind again.
#[derive(Debug, Clone, Copy)]
enum Installer {
    Nsis,
    Msi,
}

impl Installer {
    fn name(self) -> &'static str {
        match self {
            Self::Nsis => "nsis",
            Self::Msi => "msi",
        }
    }

    /// How Tauri names it in the application (`tauri_utils::platform::bundle_type`).
    fn mark(self) -> &'static str {
        match self {
            Self::Nsis => "__TAURI_BUNDLE_TYPE_VAR_NSS",
            Self::Msi => "__TAURI_BUNDLE_TYPE_VAR_MSI",
        }
    }
}

const UNMARKED: &str = "__TAURI_BUNDLE_TYPE_VAR_UNK";

/// Writes the kind of installer into the application, like Tauri's own packing.
fn mark(app: &Path, installer: Installer) -> Result<()> {
    let mut bytes = fs::read(app)?;
    let Some(at) = memchr::memmem::find(&bytes, UNMARKED.as_bytes()) else {
        bail!("{} has no place for the kind of its installer: has Tauri changed it?", app.display());
    };
    bytes.splice(at..at + UNMARKED.len(), installer.mark().bytes());
    fs::write(app, bytes)?;
    Ok(())
}

/// Makes a debug build of the application report this version (see `src-tauri/src/rehearsal.rs`).
fn rehearse(app: &Path, version: &str) -> Result<()> {
    const VERSION: &str = "__CODEX_PROXY_APP_VERSION:";
    let mut bytes = fs::read(app)?;
    let Some(at) = memchr::memmem::find(&bytes, VERSION.as_bytes()) else {
        bail!("{} has no place for another version", app.display());
    };
    let place = bytes.get_mut(at + VERSION.len()..).and_then(|rest| rest.get_mut(..version.len()));
    place.context("the version is too long")?.copy_from_slice(version.as_bytes());
    fs::write(app, bytes)?;
    Ok(())
}

fn icon(workspace: &Workspace) -> PathBuf {
    workspace.root.join("icons/app/icon.ico")
}

/// The time in a package, in seconds since 1970. It is the time of the source, so that the same source gives the same
/// package. <https://reproducible-builds.org/specs/source-date-epoch/>
fn made_at(workspace: &Workspace) -> Result<u64> {
    let seconds = match env("SOURCE_DATE_EPOCH") {
        Some(seconds) => seconds.to_string_lossy().into_owned(),
        None => Cmd::new("git").dir(&workspace.root).args(["log", "-1", "--format=%ct"]).capture()?,
    };
    seconds.trim().parse().context("SOURCE_DATE_EPOCH is no number of seconds")
}

/// The three numbers of a version.
fn numbers(version: &str) -> Result<[u16; 3]> {
    let release = version.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<u16> = release.split('.').map(str::parse).collect::<Result<_, _>>()?;
    numbers.try_into().map_err(|_| anyhow::anyhow!("{version} is no version of three numbers"))
}

/// The version after this one.
fn next(version: &str) -> Result<String> {
    let [major, minor, patch] = numbers(version)?;
    Ok(format!("{major}.{minor}.{}", patch + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_has_three_numbers() {
        assert_eq!(numbers("0.12.3").unwrap(), [0, 12, 3]);
        assert_eq!(numbers("1.0.0-rc.1+build").unwrap(), [1, 0, 0]);
        assert_eq!(next("0.1.9").unwrap(), "0.1.10");
        assert!(numbers("1.0").is_err() && numbers("1.0.x").is_err());
    }

    #[test]
    fn an_application_is_told_its_installer_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, format!("MZ {UNMARKED} \0")).unwrap();
        mark(file.path(), Installer::Nsis).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "MZ __TAURI_BUNDLE_TYPE_VAR_NSS \0");
        assert!(mark(file.path(), Installer::Nsis).is_err());
    }
}
