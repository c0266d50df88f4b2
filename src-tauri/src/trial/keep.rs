//! Keeps the previous version and restores it.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Package, Plan, TRIAL, clean, write};

/// Debian's name of the package.
#[cfg(target_os = "linux")]
const DEBIAN: &str = "codex-proxy";
/// The package as it was installed.
pub(crate) const PACKAGE: &str = "before.deb";
/// The file name of the kept program.
const PROGRAM: &str = if cfg!(windows) { "codex-proxy-app.exe" } else { "program" };
/// The files beside the program on Windows, if they exist. The program needs the first one to run.
const BESIDE: [&str; 3] = ["WebView2Loader.dll", "codex-proxy.exe", "uninstall.exe"];

/// The kept program, ready to run.
pub(super) fn program(dir: &Path) -> PathBuf {
    dir.join(PROGRAM)
}

/// The system command with this name.
#[expect(
    clippy::disallowed_methods,
    reason = "an update needs programs of the system's, and the version before"
)]
pub(super) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    command
}

/// Keeps this version for the update of `plan`, and starts the trial. It may take a second.
///
/// # Errors
/// If there is not enough space. Then no trial is started.
pub(crate) fn keep(dir: &Path, plan: &Plan) -> io::Result<()> {
    clean(dir)?;
    fs::create_dir_all(dir)?;
    copy(&plan.program, &program(dir))?;
    if let Some(folder) = plan.program.parent().filter(|_| cfg!(windows)) {
        for name in BESIDE {
            match copy(&folder.join(name), &dir.join(name)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
    }
    #[cfg(target_os = "linux")]
    if plan.package == Package::Deb
        && let Err(error) = pack(dir)
    {
        // The running program is still kept.
        tracing::warn!(%error, "the package of this version cannot be kept");
    }
    write(&dir.join(TRIAL), plan)
}

/// Call this if the update on trial was not installed.
pub(crate) fn abandon(dir: &Path) {
    if let Err(error) = clean(dir) {
        tracing::warn!(%error, "what was kept for an update cannot be removed");
    }
}

/// Restores the previous version to its place.
///
/// # Errors
/// The reason, in a sentence.
pub(super) async fn put_back(dir: &Path, plan: &Plan) -> Result<(), String> {
    match plan.package {
        Package::Deb => install_again(&dir.join(PACKAGE)).await,
        Package::Rpm => Err("its package is no longer here".to_owned()),
        Package::File => replace(&program(dir), &plan.program).map_err(|error| error.to_string()),
        Package::Nsis | Package::Msi => replace_all(dir, plan).await.map_err(|error| error.to_string()),
    }
}

/// How long the user may take to enter a password.
const PATIENCE: tokio::time::Duration = tokio::time::Duration::from_secs(120);

async fn install_again(package: &Path) -> Result<(), String> {
    if !package.is_file() {
        return Err("its package could not be kept".to_owned());
    }
    let mut asked = command("pkexec");
    asked.args(["dpkg", "--install"]).arg(package);
    let mut asked = tokio::process::Command::from(asked)
        .spawn()
        .map_err(|error| format!("the password cannot be asked for: {error}"))?;
    let status = match tokio::time::timeout(PATIENCE, asked.wait()).await {
        Ok(status) => status,
        // After the password, this process cannot end pkexec, and the system installs the package.
        Err(_) if asked.start_kill().is_ok() => return Err("nobody gave the password for it".to_owned()),
        Err(_) => asked.wait().await,
    };
    match status {
        Ok(status) if status.success() => Ok(()),
        // The exit codes of pkexec if the user closes its window or has no permission; see its manual.
        Ok(status) if matches!(status.code(), Some(126 | 127)) => {
            Err("the password for it was not given".to_owned())
        }
        Ok(status) => Err(format!("the system's installer ended with {status}")),
        Err(error) => Err(error.to_string()),
    }
}

/// The system may lock the file of a program for a moment after the program has ended.
async fn replace_all(dir: &Path, plan: &Plan) -> io::Result<()> {
    let folder = plan.program.parent().unwrap_or(Path::new(""));
    let name = plan.program.file_name().unwrap_or_default();
    let mut files = vec![(program(dir), folder.join(name))];
    files.extend(BESIDE.map(|name| (dir.join(name), folder.join(name))));
    for (kept, place) in files.into_iter().filter(|(kept, _)| kept.is_file()) {
        let mut tries = 50;
        while let Err(error) = replace(&kept, &place) {
            tries -= 1;
            if tries == 0 {
                return Err(error);
            }
            tokio::time::sleep(tokio::time::Duration::from_millis(100)).await;
        }
    }
    #[cfg(windows)]
    if plan.package == Package::Nsis {
        tell_windows(&plan.from);
    }
    Ok(())
}

/// Corrects the version in the system's list of applications.
#[cfg(windows)]
fn tell_windows(version: &str) {
    const KEY: &str = r"Software\Microsoft\Windows\CurrentVersion\Uninstall\Codex Proxy";
    let told =
        windows_registry::CURRENT_USER.create(KEY).and_then(|key| key.set_string("DisplayVersion", version));
    if let Err(error) = told {
        tracing::debug!(%error, "the list of applications has the version that was taken back");
    }
}

/// Replaces a file by another one in one step.
fn replace(file: &Path, place: &Path) -> io::Result<()> {
    let mut beside = place.as_os_str().to_owned();
    beside.push(".before");
    let beside = PathBuf::from(beside);
    copy(file, &beside)?;
    fs::rename(&beside, place).inspect_err(|_| drop(fs::remove_file(&beside)))
}

/// Copies a file so that the copy survives a power failure.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    File::options().write(true).open(to)?.sync_all()
}

/// Makes a package from the installed files, as `dpkg` lists them.
#[cfg(target_os = "linux")]
fn pack(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    let root = dir.join("root");
    let control = root.join("DEBIAN");
    let closed = |dir: &Path| fs::set_permissions(dir, fs::Permissions::from_mode(0o755));
    fs::create_dir_all(&control)?;
    closed(&control)?;
    // A system may be configured to leave out manuals and similar files.
    for path in
        said("dpkg-query", &["--listfiles", DEBIAN])?.lines().filter_map(|line| line.strip_prefix('/'))
    {
        let (from, to) = (Path::new("/").join(path), root.join(path));
        match fs::symlink_metadata(&from) {
            Ok(meta) if meta.is_dir() => {
                fs::create_dir_all(&to)?;
                closed(&to)?;
            }
            Ok(meta) if meta.is_symlink() => symlink(fs::read_link(&from)?, &to)?,
            Ok(_) => copy(&from, &to)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    for file in said("dpkg-query", &["--control-path", DEBIAN])?.lines().map(Path::new) {
        let name = file.extension().ok_or(ErrorKind::InvalidData)?;
        copy(file, &control.join(name))?;
    }
    fs::write(control.join("control"), control_of(&said("dpkg-query", &["--status", DEBIAN])?))?;
    let (root_text, package) = (root.display().to_string(), dir.join(PACKAGE).display().to_string());
    said("dpkg-deb", &["-Znone", "--root-owner-group", "--build", &root_text, &package])?;
    fs::remove_dir_all(root)
}

/// The control file of a package, from the system's records. The system adds fields about the installation, so they are
/// removed.
#[cfg(any(target_os = "linux", test))]
pub(super) fn control_of(status: &str) -> String {
    const ADDED: [&str; 3] = ["Status:", "Config-Version:", "Conffiles:"];
    let mut is_added = false;
    let kept = status.lines().filter(|line| {
        if !line.starts_with(' ') {
            is_added = ADDED.iter().any(|name| line.starts_with(name));
        }
        !is_added
    });
    kept.map(|line| format!("{line}\n")).collect()
}

/// The output of a system program.
#[cfg(target_os = "linux")]
fn said(program: &str, arguments: &[&str]) -> io::Result<String> {
    let output = command(program).args(arguments).env("LC_ALL", "C").output()?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(io::Error::other(format!("{program} {}: {text}", arguments.join(" "))));
    }
    String::from_utf8(output.stdout).map_err(io::Error::other)
}
