//! Runs scripts that use unmodified client SDKs (`tests/sdk`) against the proxy.
//!
//! The SDKs are installed once into the target directory, each set in a folder named by the hash of the file
//! that pins it. A lock on a file beside that folder keeps tests of other processes from installing it twice.

use std::env;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::codex_bin::target_dir;
use crate::harness::Proxy;

const PATIENCE: Duration = Duration::from_secs(50);

/// A language with its package manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// Node with the modules of `tests/sdk/node/package-lock.json`.
    Node,
    /// Python with the packages of `tests/sdk/python/requirements.txt`.
    Python,
    /// Python with the packages of `tests/sdk/python/frameworks.txt`.
    PythonFrameworks,
    /// Programs in packages of PyPI, from `tests/sdk/python/servers.txt`.
    Servers,
    /// opencode, a program that runs no scripts, from `tests/sdk/opencode/package-lock.json`.
    Opencode,
}

impl Runtime {
    fn folder(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Python | Self::PythonFrameworks | Self::Servers => "python",
            Self::Opencode => "opencode",
        }
    }

    fn pins(self) -> &'static str {
        match self {
            Self::Node | Self::Opencode => "package-lock.json",
            Self::Python => "requirements.txt",
            Self::PythonFrameworks => "frameworks.txt",
            Self::Servers => "servers.txt",
        }
    }

    /// Installs the SDKs if necessary, and returns their folder.
    pub fn install(self) -> PathBuf {
        let source = sources().join(self.folder());
        let pins =
            fs::read(source.join(self.pins())).expect("the pinned versions are part of the repository");
        let mut hasher = DefaultHasher::new();
        pins.hash(&mut hasher);
        let folder = target_dir().join("sdk").join(format!("{}-{:016x}", self.folder(), hasher.finish()));
        fs::create_dir_all(&folder).expect("the target directory is writable");
        let lock = File::create(folder.with_extension("lock")).expect("the target directory is writable");
        lock.lock().expect("a file of our own can be locked");
        let complete = folder.join("complete");
        if !complete.exists() {
            match self {
                Self::Node | Self::Opencode => install_node(&source, &folder),
                Self::Python | Self::PythonFrameworks | Self::Servers => {
                    install_python(&source.join(self.pins()), &folder);
                }
            }
            File::create(&complete).expect("the target directory is writable");
        }
        folder
    }

    /// A program that one of the Python packages contains, beside its modules.
    ///
    /// # Panics
    /// If there is none with this name.
    pub fn program(self, package: &str, name: &str) -> PathBuf {
        let libraries = self.install().join("venv").join("lib");
        let versions = fs::read_dir(&libraries).expect("a virtual environment has its libraries");
        versions
            .map(|version| {
                version.expect("a readable folder").path().join("site-packages").join(package).join(name)
            })
            .find(|program| program.is_file())
            .unwrap_or_else(|| panic!("{package} brings no {name}"))
    }

    /// A program that one of the Python packages installs beside the interpreter.
    ///
    /// # Panics
    /// If there is none with this name.
    pub fn script(self, name: &str) -> PathBuf {
        let program = self.install().join("venv").join("bin").join(name);
        assert!(program.is_file(), "{self:?} brings no {name}");
        program
    }

    /// The program that runs the scripts, or the installed program itself.
    pub fn interpreter(self, installed: &Path) -> PathBuf {
        match self {
            Self::Node => PathBuf::from("node"),
            Self::Opencode => installed.join("node_modules/opencode-linux-x64-baseline/bin/opencode"),
            Self::Python | Self::PythonFrameworks | Self::Servers if cfg!(windows) => {
                installed.join("venv").join("Scripts").join("python.exe")
            }
            Self::Python | Self::PythonFrameworks | Self::Servers => {
                installed.join("venv").join("bin").join("python")
            }
        }
    }
}

/// Runs a script of `tests/sdk` against `proxy` and returns the line of JSON that it prints.
///
/// # Panics
/// With everything that the script has printed, if it fails.
pub async fn run(runtime: Runtime, script: &str, proxy: &Proxy, environment: &[(&str, &str)]) -> Value {
    let installed = runtime.install();
    // Node searches modules beside and above the script, so the script runs in a folder inside of theirs.
    let folder = tempfile::tempdir_in(&installed).expect("the target directory is writable");
    let source = sources().join(runtime.folder());
    for file in fs::read_dir(&source).expect("the scripts are part of the repository") {
        let file = file.expect("a readable folder").path();
        if file.extension().is_some_and(|kind| kind == "mjs" || kind == "py") {
            copy_into(&file, folder.path());
        }
    }
    copy_into(&sources().join("said.json"), folder.path());
    let mut command = tokio::process::Command::new(runtime.interpreter(&installed));
    command.arg(folder.path().join(script)).current_dir(folder.path()).kill_on_drop(true);
    for (name, _) in env::vars_os() {
        let changes_clients = name.to_str().is_some_and(|name| {
            let name = name.to_ascii_lowercase();
            name.ends_with("_proxy")
                || ["openai_", "langchain_", "langsmith_", "node_", "python"]
                    .iter()
                    .any(|p| name.starts_with(p))
        });
        if changes_clients {
            command.env_remove(name);
        }
    }
    command.env("BASE_URL", &proxy.base_url).env("API_KEY", &proxy.key).env("PYTHONUTF8", "1");
    command.envs(environment.iter().copied()).stdin(Stdio::null());
    let Ok(ended) = tokio::time::timeout(PATIENCE, command.output()).await else {
        panic!("{script} still runs after {PATIENCE:?}\n{}", proxy.log_text());
    };
    let ended = ended.unwrap_or_else(|e| panic!("{runtime:?} cannot be started: {e}"));
    let printed = String::from_utf8_lossy(&ended.stdout);
    let complaints = String::from_utf8_lossy(&ended.stderr);
    assert!(
        ended.status.success(),
        "{script}: {}\n{printed}\n{complaints}\n{}",
        ended.status,
        proxy.log_text()
    );
    serde_json::from_str(&printed)
        .unwrap_or_else(|e| panic!("{script} printed no line of JSON: {e}\n{printed}"))
}

/// The upstream's answers that the scripts expect.
pub fn said() -> Value {
    let text = fs::read_to_string(sources().join("said.json")).expect("a file of the repository");
    serde_json::from_str(&text).expect("said.json is JSON")
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk")
}

fn copy_into(file: &Path, folder: &Path) {
    let name = file.file_name().expect("a file has a name");
    fs::copy(file, folder.join(name)).unwrap_or_else(|e| panic!("cannot copy {}: {e}", file.display()));
}

fn install_node(source: &Path, folder: &Path) {
    for name in ["package.json", "package-lock.json", ".npmrc"] {
        copy_into(&source.join(name), folder);
    }
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    finish(Command::new(npm).args(["ci", "--no-audit", "--no-fund"]).current_dir(folder));
}

fn install_python(pins: &Path, folder: &Path) {
    let python = if cfg!(windows) { "python" } else { "python3" };
    finish(Command::new(python).args(["-m", "venv", "--clear", "venv"]).current_dir(folder));
    let mut pip = Command::new(Runtime::Python.interpreter(folder));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    finish(pip.arg(pins).current_dir(folder));
}

fn finish(command: &mut Command) {
    let ended = command.stdin(Stdio::null()).output();
    let ended = ended.unwrap_or_else(|e| panic!("{command:?} cannot be started: {e}"));
    assert!(
        ended.status.success(),
        "{command:?}: {}\n{}{}",
        ended.status,
        String::from_utf8_lossy(&ended.stdout),
        String::from_utf8_lossy(&ended.stderr)
    );
}
