//! Checks the packages for this system: unpacks or installs each one, starts its command line and sends a request.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::dist::macos;
use crate::dist::names::{ASSETS, Asset};
use crate::dist::product;
use crate::run::LISTENING;
use crate::shell::{Cmd, env};

/// How long a proxy may take to listen.
const PATIENCE: Duration = Duration::from_secs(120);

/// The systems that packages are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum System {
    Linux,
    Windows,
    Macos,
}

/// Returns the names of the packages that were started.
pub(super) fn verify(folder: &Path, version: &str, install: bool) -> Result<Vec<String>> {
    let here = if cfg!(windows) {
        System::Windows
    } else if cfg!(target_os = "macos") {
        System::Macos
    } else {
        System::Linux
    };
    let mut started = Vec::new();
    for asset in ASSETS.into_iter().filter(|asset| system(*asset) == here) {
        let name = asset.name(version);
        let package = folder.join(&name);
        if !package.is_file() {
            continue;
        }
        let work = tempfile::tempdir().context("cannot create a temporary folder")?;
        let unpacked =
            unpack(asset, &package, work.path()).with_context(|| format!("{name} cannot be unpacked"))?;
        if let Some(program) = unpacked {
            start(&program, version).with_context(|| format!("{name} does not start"))?;
            started.push(name.clone());
        }
        if install && let Some(installed) = Installed::new(asset, &package)? {
            start(&installed.program, version)
                .with_context(|| format!("{name}, installed, does not start"))?;
            installed.remove().with_context(|| format!("{name} cannot be removed again"))?;
            started.push(format!("{name}, installed"));
        }
    }
    if started.is_empty() {
        bail!("there is nothing for this system");
    }
    Ok(started)
}

fn system(asset: Asset) -> System {
    match asset {
        Asset::Deb | Asset::Rpm | Asset::AppImage | Asset::LinuxTarball => System::Linux,
        Asset::Setup | Asset::Msi => System::Windows,
        Asset::Dmg | Asset::AppTarball | Asset::MacosTarball => System::Macos,
    }
}

/// Unpacks a package and returns the command line in it. A setup program cannot be unpacked without being run.
fn unpack(asset: Asset, package: &Path, into: &Path) -> Result<Option<PathBuf>> {
    let in_app = |folder: &Path| {
        let contents = folder.join(format!("{}.app", product::NAME)).join("Contents");
        macos::check_info(&contents.join("Info.plist"))?;
        Cmd::new("codesign")
            .args(["--verify", "--deep", "--strict"])
            .arg(folder.join(format!("{}.app", product::NAME)))
            .run()?;
        anyhow::Ok(contents.join("MacOS").join(product::COMMAND))
    };
    let untar = || Cmd::new("tar").arg("-xzf").arg(package).arg("-C").arg(into).run();
    let program = match asset {
        Asset::Deb => {
            Cmd::new("dpkg-deb").arg("--extract").arg(package).arg(into).run()?;
            into.join("usr/bin").join(product::COMMAND)
        }
        Asset::Rpm => {
            let script = "set -e; rpm2cpio \"$1\" >package.cpio; cpio --extract --make-directories --quiet <package.cpio";
            Cmd::new("sh").args(["-c", script, "sh"]).arg(package).dir(into).run()?;
            into.join("usr/bin").join(product::COMMAND)
        }
        Asset::AppImage => {
            let image = into.join("image");
            fs::copy(package, &image)?;
            executable(&image)?;
            Cmd::new(&image).arg("--appimage-extract").dir(into).capture()?;
            into.join("squashfs-root/usr/bin").join(product::COMMAND)
        }
        Asset::LinuxTarball | Asset::MacosTarball => {
            untar()?;
            let name = package.file_name().unwrap_or_default().to_string_lossy();
            into.join(name.trim_end_matches(".tar.gz")).join("bin").join(product::COMMAND)
        }
        Asset::AppTarball => {
            untar()?;
            in_app(into)?
        }
        Asset::Dmg => {
            let mounted = into.join("mounted");
            fs::create_dir_all(&mounted)?;
            Cmd::new("hdiutil")
                .args(["attach", "-nobrowse", "-readonly", "-mountpoint"])
                .arg(&mounted)
                .arg(package)
                .run()?;
            let copied = Cmd::new("ditto").arg(&mounted).arg(into.join("copied")).run();
            Cmd::new("hdiutil").arg("detach").arg(&mounted).run()?;
            copied?;
            let app = into.join("copied").join(format!("{}.app", product::NAME));
            let accepted = Cmd::new("spctl").args(["--assess", "--type", "execute"]).arg(&app).succeeds();
            println!(
                "Gatekeeper {} the application",
                if accepted { "accepts" } else { "does not know who made" }
            );
            in_app(&into.join("copied"))?
        }
        Asset::Msi => {
            let to = into.join("unpacked");
            Cmd::new("msiexec")
                .arg("/a")
                .arg(package)
                .arg("/qn")
                .arg(format!("TARGETDIR={}", to.display()))
                .run()?;
            find(&to, &format!("{}.exe", product::COMMAND))?.context("the command line is not in it")?
        }
        Asset::Setup => return Ok(None),
    };
    Ok(Some(program))
}

/// The files that a package has installed on this machine.
struct Installed {
    program: PathBuf,
    removal: Cmd,
}

impl Installed {
    /// Installs a package that cannot just be unpacked.
    fn new(asset: Asset, package: &Path) -> Result<Option<Self>> {
        match asset {
            Asset::Deb => {
                let apt = || Cmd::new("sudo").args(["--non-interactive", "apt-get", "--yes", "--quiet"]);
                apt().args(["--no-install-recommends", "install"]).arg(package).run()?;
                let program = Path::new("/usr/bin").join(product::COMMAND);
                Ok(Some(Self { program, removal: apt().args(["remove", product::COMMAND]) }))
            }
            Asset::Setup => {
                Cmd::new(package).arg("/S").run()?;
                let data = env("LOCALAPPDATA").context("LOCALAPPDATA is not set")?;
                let folder = Path::new(&data).join("Programs").join(product::COMMAND);
                let program = folder.join(format!("{}.exe", product::COMMAND));
                Ok(Some(Self { program, removal: Cmd::new(folder.join("uninstall.exe")).arg("/S") }))
            }
            Asset::Rpm
            | Asset::AppImage
            | Asset::LinuxTarball
            | Asset::Msi
            | Asset::Dmg
            | Asset::AppTarball
            | Asset::MacosTarball => Ok(None),
        }
    }

    fn remove(self) -> Result<()> {
        self.removal.run()
    }
}

/// Checks the version of the command line. Then starts the proxy with a temporary data directory and asks `/livez`. This
/// needs no Codex.
pub(super) fn start(program: &Path, version: &str) -> Result<()> {
    let says = Cmd::new(program).arg("--version").capture()?;
    if says.trim() != format!("{} {version}", product::COMMAND) {
        bail!("it says that it is {:?}, and not {version}", says.trim());
    }
    let data = tempfile::tempdir().context("cannot create a temporary data directory")?;
    let child = Cmd::new(program)
        .env("PROXY_DATA_DIR", data.path())
        .env("PORT", "0")
        .env("PROXY_LOGIN_LISTENER", "off")
        .env("PROXY_KEYCHAIN", "off")
        .spawn_piped()?;
    let mut proxy = Running(child);
    let address = proxy.address()?;
    let answer = get(&address, "/livez")?;
    if !answer.starts_with("HTTP/1.1 200 ") {
        bail!("it answers {:?}", answer.lines().next().unwrap_or_default());
    }
    Ok(())
}

/// A process that ends when this value is dropped.
struct Running(Child);

impl Running {
    /// Waits until it prints its address. Returns host and port.
    fn address(&mut self) -> Result<String> {
        let stdout = self.0.stdout.take().context("its standard output is not piped")?;
        let (send, said) = mpsc::channel();
        std::thread::spawn(move || {
            // It keeps reading, so that the proxy can keep writing. It sends only the first address.
            for line in BufReader::new(stdout).lines().map_while(std::io::Result::ok) {
                if let Some((_, base)) = line.split_once(LISTENING) {
                    send.send(base.trim().to_owned()).ok();
                }
            }
        });
        let base = said.recv_timeout(PATIENCE).context("it never said where it listens")?;
        let host = base.strip_prefix("http://").and_then(|rest| rest.split('/').next());
        Ok(host.with_context(|| format!("it listens on {base}, which is no address"))?.to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if the process has already ended.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn get(address: &str, path: &str) -> Result<String> {
    let mut connection =
        TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
    connection.set_read_timeout(Some(PATIENCE))?;
    write!(connection, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).context("it did not answer to the end")?;
    Ok(answer)
}

/// The first file of this name at or below a folder.
fn find(folder: &Path, name: &str) -> Result<Option<PathBuf>> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            if let Some(found) = find(&path, name)? {
                return Ok(Some(found));
            }
        } else if path.file_name().is_some_and(|file| file == name) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

#[cfg(unix)]
fn executable(file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(fs::set_permissions(file, fs::Permissions::from_mode(0o755))?)
}

#[cfg(not(unix))]
fn executable(_file: &Path) -> Result<()> {
    Ok(())
}
