//! The Windows packages: installed, used, replaced by the next version during a request, and removed.
//!
//! Both installers contain the programs of the other tests: as this version, and as the next version with only another number.

use std::fs;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use e2e::patience::{PATIENCE, until};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::{ANSWER, WINE, WINE_SERVER, Windows, programs, usual_prefix, windows_path};

const VERSION: &str = env!("CARGO_PKG_VERSION");
const FOLDER: &str = r"C:\users\{user}\AppData\Local\Programs\codex-proxy";
pub(super) const APPS: &str = r"Software\Microsoft\Windows\CurrentVersion\Uninstall";
const OWN: &str = r"HKCU\Software\Codex Proxy";
const RUN: &str = r"HKCU\Software\Microsoft\Windows\CurrentVersion\Run";

/// A separate Windows for a test, without earlier installations.
pub(super) struct Machine {
    prefix: TempDir,
    pub(super) user: String,
}

/// The output and the exit code of a Windows program.
struct Said {
    code: Option<i32>,
    text: String,
}

impl Machine {
    /// A Windows of Wine's default version, which is older than we need.
    fn old() -> Self {
        let usual = usual_prefix();
        let prefix = tempfile::tempdir_in(usual.parent().unwrap()).unwrap();
        // No test writes to the files of Windows itself. The registry is a separate copy.
        let copied = Command::new("cp").arg("-al").arg(usual.join(".")).arg(prefix.path()).status().unwrap();
        assert!(copied.success(), "{copied}");
        for registry in ["system.reg", "user.reg", "userdef.reg"] {
            let file = prefix.path().join(registry);
            fs::remove_file(&file).unwrap();
            fs::copy(usual.join(registry), file).unwrap();
        }
        let users = fs::read_dir(prefix.path().join("drive_c/users")).unwrap().flatten();
        let names = users.map(|entry| entry.file_name().into_string().unwrap());
        let user = names.into_iter().find(|name| name != "Public").expect("somebody uses it");
        Self { prefix, user }
    }

    pub(super) async fn new() -> Self {
        let machine = Self::old();
        machine.is_windows_10().await;
        machine
    }

    async fn is_windows_10(&self) {
        self.done(None, &["reg", "add", r"HKCU\Software\Wine", "/v", "Version", "/d", "win10", "/f"]).await;
    }

    /// Gives it a curl, and an address of Microsoft's to fetch WebView2 from.
    fn has_a_way_to_microsoft(&self) {
        let stand_in = programs().join("stand-in-for-webview2.exe");
        fs::copy(stand_in, self.file(r"C:\windows\system32\curl.exe")).unwrap();
    }

    pub(super) fn installed(&self) -> String {
        FOLDER.replace("{user}", &self.user)
    }

    /// Where a file of Windows' drive C is.
    pub(super) fn file(&self, path: &str) -> PathBuf {
        let inside = path.trim_start_matches(r"C:\").replace('\\', "/");
        self.prefix.path().join("drive_c").join(inside)
    }

    pub(super) fn local(&self, path: &str) -> PathBuf {
        self.file(&format!(r"C:\users\{}\AppData\Local\{path}", self.user))
    }

    fn menu_entry(&self) -> PathBuf {
        let menu = r"AppData\Roaming\Microsoft\Windows\Start Menu\Programs\Codex Proxy.lnk";
        self.file(&format!(r"C:\users\{}\{menu}", self.user))
    }

    /// Runs a program of Windows to its end, with the environment of what is installed if that runs.
    async fn run(&self, windows: Option<&Windows>, arguments: &[&str]) -> Said {
        let mut command = match windows {
            Some(windows) => windows.program.beside(Path::new(WINE), arguments),
            None => {
                let mut command = tokio::process::Command::new(WINE);
                command.args(arguments).env("WINEPREFIX", self.prefix.path()).env("WINEDEBUG", "-all");
                command.env("WINEDLLOVERRIDES", "mscoree,mshtml=");
                command
            }
        };
        // The programs that it starts may keep running, and would keep a pipe open.
        let mut said = tempfile::tempfile().unwrap();
        command.stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(Stdio::null());
        let status = tokio::time::timeout(PATIENCE, command.status()).await;
        let status = status.unwrap_or_else(|_| panic!("{arguments:?} does not end")).unwrap();
        let mut bytes = Vec::new();
        said.rewind().unwrap();
        said.read_to_end(&mut bytes).unwrap();
        Said { code: status.code(), text: String::from_utf8_lossy(&bytes).into_owned() }
    }

    pub(super) async fn done(&self, windows: Option<&Windows>, arguments: &[&str]) -> String {
        let said = self.run(windows, arguments).await;
        assert_eq!(said.code, Some(0), "{arguments:?}: {}", said.text);
        said.text
    }

    /// A value of the registry.
    async fn value(&self, key: &str, name: &str) -> Option<String> {
        let said = self.run(None, &["reg", "query", key, "/v", name]).await;
        let line = said.text.lines().find(|line| line.trim_start().starts_with(name))?;
        let (_, value) = line.split_once("REG_")?;
        Some(value.split_once("    ")?.1.trim_end().to_owned())
    }

    /// A PATH that is longer than an installer's texts may be, with a variable in it.
    async fn have_long_path(&self) -> String {
        let long = format!(r"%USERPROFILE%\bin;{}C:\tools", r"C:\a folder\of nobody;".repeat(120));
        let add = ["reg", "add", r"HKCU\Environment", "/v", "PATH", "/t", "REG_EXPAND_SZ", "/d", &long, "/f"];
        self.done(None, &add).await;
        long
    }

    /// Starts what is installed, with its data where it usually is.
    async fn start(&self, program: &str, arguments: &[&str]) -> Windows {
        self.start_with(program, arguments, &[]).await
    }

    pub(super) async fn start_with(
        &self,
        program: &str,
        arguments: &[&str],
        more: &[(&str, &str)],
    ) -> Windows {
        let mut settings = vec![("PROXY_DATA_DIR", String::new())];
        settings.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let (prefix, scratch) = (self.prefix.path().to_owned(), tempfile::tempdir().unwrap());
        let program = format!(r"{}\{program}", self.installed());
        let data = self.local(r"codex-proxy\data");
        let windows = Windows::on(prefix, scratch, data, &settings, &program, arguments).await;
        windows.ready().await;
        windows
    }

    pub(super) async fn is_installed_as(&self, apps: &str, version: &str) {
        for file in ["codex-proxy-app.exe", "codex-proxy.exe", "WebView2Loader.dll", "LICENSE.txt"] {
            assert!(self.file(&format!(r"{}\{file}", self.installed())).is_file(), "{file} is missing");
        }
        assert!(self.menu_entry().is_file());
        assert_eq!(self.value(apps, "DisplayName").await.as_deref(), Some("Codex Proxy"));
        assert_eq!(self.value(apps, "DisplayVersion").await.as_deref(), Some(version));
        assert_eq!(self.value(apps, "Publisher").await.as_deref(), Some("The Codex Proxy project"));
    }

    /// Checks that the fake signing tool got these programs and their package.
    fn is_signed(&self, programs: &[&str], package: &str) {
        let record = fs::read_to_string(super::programs().join("signed.txt")).unwrap();
        let installed = programs.iter().map(|name| self.file(&format!(r"{}\{name}", self.installed())));
        let package = PathBuf::from(package.trim_start_matches("Z:").replace('\\', "/"));
        for file in installed.chain([package]) {
            let sum = Sha256::digest(fs::read(&file).unwrap());
            let sum: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(record.contains(&sum), "{} is not signed as it is:\n{record}", file.display());
        }
    }

    /// Waits for the end of the uninstaller, and checks that only the user's data is left.
    async fn is_removed(&self, key: &str, path: &str) {
        for place in [self.file(&self.installed()), self.menu_entry(), self.local("io.github.codex-proxy")] {
            let end = format!("the end of {}", place.display());
            until(&end, async || (!place.exists()).then_some(())).await;
        }
        for (key, name) in [(key, "DisplayName"), (OWN, "InstallDir"), (RUN, "Codex Proxy")] {
            let end = format!("the end of {name} in {key}");
            until(&end, async || self.value(key, name).await.is_none().then_some(())).await;
        }
        // Wine's installer forgets a semicolon of its own.
        let now = self.value(r"HKCU\Environment", "PATH").await.unwrap();
        assert_eq!(now.trim_end_matches(';'), path);
    }

    /// What the application itself writes: its entry for starting at login, and the window's cache.
    async fn have_traces(&self) {
        self.done(None, &["reg", "add", RUN, "/v", "Codex Proxy", "/d", "codex-proxy-app.exe", "/f"]).await;
        fs::create_dir_all(self.local(r"io.github.codex-proxy\EBWebView")).unwrap();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let ended = Command::new(WINE_SERVER).arg("--kill").env("WINEPREFIX", self.prefix.path()).status();
        assert!(ended.is_ok() || std::thread::panicking(), "Wine was not ended: {ended:?}");
    }
}

/// The installer of this version, or of the next one.
pub(super) fn installer(bundle: &str, ending: &str) -> (String, String) {
    let folder = programs().join(bundle);
    let files = fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.path());
    let file = files.into_iter().find(|path| path.to_string_lossy().ends_with(ending)).unwrap();
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    (windows_path(&file), name.split('_').nth(1).unwrap().to_owned())
}

/// Waits until exactly this number of requests is recorded.
async fn on_record(windows: &Windows, count: usize) {
    let counted = async || {
        let page = windows.control("/usage/raw?limit=1000").await;
        page["data"].as_array().unwrap_or_else(|| panic!("{page}")).len()
    };
    until("the records", async || (counted().await >= count).then_some(())).await;
    assert_eq!(counted().await, count);
}

/// While the second answer is on its way, has `replace` put the other version there.
async fn replaced_while_it_answers(windows: &Windows, replace: impl Future<Output = ()>) {
    assert_eq!(windows.ask().await, ANSWER);
    on_record(windows, 1).await;
    let worker = async || windows.status().await["workers"][0].clone();
    let replaced = async {
        until("the answer to begin", async || (worker().await["turns_running"] == 1).then_some(())).await;
        replace.await;
    };
    let ((), answer) = tokio::join!(replaced, windows.ask_for("[[scenario:slow]]"));
    assert_eq!(answer, ANSWER, "it was not waited for");
    windows.ready().await;
    assert_eq!(worker().await["turns_done"], 0, "it is the one from before");
    assert_eq!(windows.ask().await, ANSWER);
    on_record(windows, 3).await;
}

/// Ends the application that an installer has started. Under Wine, only its proxy ends by itself while another installer
/// waits, but not the application. `installers/README.md` lists this for a check by hand on a real Windows.
async fn ended(windows: &Windows) {
    windows.run(&["taskkill", "/f", "/im", "codex-proxy-app.exe"]);
    until("its end", async || (!windows.runs("codex-proxy-app.exe")).then_some(())).await;
}

#[tokio::test]
#[ignore = "`cargo xtask cross windows start` builds what it needs"]
async fn the_setup_program_installs_replaces_and_removes_it() {
    let machine = Machine::old();
    let ((setup, version), (next, next_version)) =
        (installer("bundle", "-setup.exe"), installer("bundle-next", "-setup.exe"));
    assert_eq!(version, VERSION);
    let apps = format!(r"HKCU\{APPS}\Codex Proxy");
    let refused = machine.run(None, &[&setup, "/S"]).await;
    assert!(refused.code == Some(2) && refused.text.contains("Windows 10"), "{}", refused.text);
    machine.is_windows_10().await;
    let path = machine.have_long_path().await;

    // There is no WebView2 here and no way to download it, and the setup program says so.
    let told = machine.done(None, &[&setup, "/S"]).await;
    assert!(told.contains("is installed and works") && told.contains("codex-proxy window"), "{told}");
    machine.is_installed_as(&apps, &version).await;
    let size = machine.value(&apps, "EstimatedSize").await.unwrap();
    let kilobytes = i64::from_str_radix(size.trim_start_matches("0x"), 16).unwrap();
    assert!(kilobytes > 10_000, "{size}");
    let folder = machine.installed();
    let now = machine.value(r"HKCU\Environment", "PATH").await.unwrap();
    assert_eq!(now, format!("{path};{folder}"));

    let app = machine.start("codex-proxy-app.exe", &["--hidden"]).await;
    replaced_while_it_answers(&app, async {
        let told = machine.done(Some(&app), &[&next, "/S"]).await;
        assert!(told.contains("asked to quit"), "{told}");
    })
    .await;
    machine.is_installed_as(&apps, &next_version).await;
    machine.is_signed(&["codex-proxy-app.exe", "codex-proxy.exe", "uninstall.exe"], &next);
    assert_eq!(machine.value(r"HKCU\Environment", "PATH").await.unwrap(), now, "it is there twice");

    // An older version is installed only with an explicit option.
    let refused = machine.run(Some(&app), &[&setup, "/S"]).await;
    assert!(refused.code == Some(2) && refused.text.contains("/DOWNGRADE"), "{}", refused.text);
    assert_eq!(app.ask().await, ANSWER);
    ended(&app).await;
    machine.done(Some(&app), &[&setup, "/S", "/DOWNGRADE", "/ONPATH=0"]).await;
    machine.is_installed_as(&apps, &version).await;
    assert_eq!(machine.value(r"HKCU\Environment", "PATH").await.unwrap(), path);

    machine.have_traces().await;
    machine.done(Some(&app), &[&format!(r"{folder}\uninstall.exe"), "/S"]).await;
    machine.is_removed(&apps, &path).await;
    assert!(!app.runs("codex-proxy-app.exe") && !app.runs("fake-codex.exe"));
    assert!(machine.local(r"codex-proxy\data\control-token").is_file(), "the user's data has to stay");
}

#[tokio::test]
#[ignore = "`cargo xtask cross windows start` builds what it needs"]
async fn the_msi_does_so_too() {
    let machine = Machine::new().await;
    let ((package, version), (next, next_version)) =
        (installer("bundle", ".msi"), installer("bundle-next", ".msi"));
    let path = machine.have_long_path().await;
    machine.done(None, &["msiexec", "/i", &package, "/qn"]).await;
    let code = |version: &str| {
        let numbers = version.split('.').map(|number| format!("{:04X}", number.parse::<u16>().unwrap()));
        format!("{{3F0D9B7C-6B3A-4E0B-9E57-{}}}", numbers.collect::<String>())
    };
    // Windows has what one user has installed below HKCU; Wine has not.
    let apps = |version: &str| format!(r"HKLM\{APPS}\{}", code(version));
    machine.is_installed_as(&apps(&version), &version).await;
    let folder = machine.installed();
    let now = machine.value(r"HKCU\Environment", "PATH").await.unwrap();
    assert_eq!(now, format!(r"{path};{folder}\"));
    // The setup program leaves alone what this has installed.
    let refused = machine.run(None, &[&installer("bundle", "-setup.exe").0, "/S"]).await;
    assert!(refused.code == Some(2) && refused.text.contains("MSI"), "{}", refused.text);

    let app = machine.start("codex-proxy-app.exe", &["--hidden"]).await;
    replaced_while_it_answers(&app, async {
        machine.done(Some(&app), &["msiexec", "/i", &next, "/qn", "AUTOLAUNCHAPP=True"]).await;
    })
    .await;
    machine.is_installed_as(&apps(&next_version), &next_version).await;
    machine.is_signed(&["codex-proxy-app.exe", "codex-proxy.exe"], &next);
    let older = machine.run(Some(&app), &["msiexec", "/i", &package, "/qn"]).await;
    assert_ne!(older.code, Some(0));
    machine.is_installed_as(&apps(&next_version), &next_version).await;

    ended(&app).await;
    machine.have_traces().await;
    machine.done(Some(&app), &["msiexec", "/x", &code(&next_version), "/qn"]).await;
    machine.is_removed(&apps(&next_version), &path).await;
    assert!(!app.runs("codex-proxy-app.exe") && !app.runs("fake-codex.exe"));
    assert!(machine.local(r"codex-proxy\data\control-token").is_file(), "the user's data has to stay");
}

/// Uses the command line of an installed version: the first answer, with its own key. Then removes the program, and the data
/// too if that is requested.
#[tokio::test]
#[ignore = "`cargo xtask cross windows start` builds what it needs"]
async fn the_command_line_is_installed_too_and_the_data_go_when_that_is_asked_for() {
    let machine = Machine::new().await;
    machine.has_a_way_to_microsoft();
    let (setup, _) = installer("bundle", "-setup.exe");
    let told = machine.done(None, &[&setup, "/S"]).await;
    assert!(told.contains("Downloading Microsoft's WebView2") && !told.contains("failed"), "{told}");
    let key = r"HKCU\Software\Microsoft\EdgeUpdate\Clients\{F3017226-FE2A-4295-8BDF-00C3A9A7E4C5}";
    assert_eq!(machine.value(key, "pv").await.as_deref(), Some("1.2.3.4"));
    let command = machine.start("codex-proxy.exe", &[]).await;
    assert_eq!(command.ask().await, ANSWER);
    let uninstaller = format!(r"{}\uninstall.exe", machine.installed());
    machine.done(Some(&command), &[&uninstaller, "/S", "/DELETEDATA"]).await;
    until("the end of the files", async || (!machine.file(&machine.installed()).exists()).then_some(()))
        .await;
    assert!(!command.runs("codex-proxy.exe"));
    let left = machine.local("codex-proxy");
    let list = || {
        let mut found = vec![left.clone()];
        let mut at = 0;
        while at < found.len() {
            let entries = fs::read_dir(&found[at]).into_iter().flatten().flatten();
            found.extend(entries.map(|entry| entry.path()).collect::<Vec<_>>());
            at += 1;
        }
        found
    };
    assert!(!left.exists(), "the data have to go: {:?}", list());
}
