//! The container image: its content, and that it runs as compose runs it. A real builder makes the last stage. The test
//! provides the results of the first two stages, because it cannot download base images. Containers need root.

mod compose;
mod container;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::codex_bin::{NEWEST, target_dir, workspace_dir};
use e2e::sdk::Runtime;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Runs a command to its end, which has to be a good one. Returns what it has printed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}\n{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn docker(name: &str) -> PathBuf {
    workspace_dir().join("installers/docker").join(name)
}

/// A builder with a store of its own.
struct Builder {
    store: TempDir,
}

impl Builder {
    fn new() -> Self {
        Self { store: tempfile::tempdir().unwrap() }
    }

    fn command(&self) -> Command {
        let mut buildah = Command::new("buildah");
        let at = |name: &str| self.store.path().join(name);
        buildah.args(["--storage-driver", "vfs", "--root"]).arg(at("root")).arg("--runroot").arg(at("run"));
        buildah
    }

    /// Builds an image of this name.
    fn build(&self, name: &str, dockerfile: &str, context: &Path, stages: &[(&str, &Path)]) {
        let file = self.store.path().join("Dockerfile");
        fs::write(&file, dockerfile).unwrap();
        let mut build = self.command();
        build.args([
            "bud",
            "--quiet",
            "--isolation",
            "chroot",
            "--format",
            "docker",
            "--tag",
            name,
            "--file",
        ]);
        build.arg(&file);
        for (stage, folder) in stages {
            build.arg("--build-context").arg(format!("{stage}={}", folder.display()));
        }
        run(build.arg(context));
    }

    /// The root directory of a container of an image.
    fn root(&self, name: &str) -> PathBuf {
        let container = run(self.command().args(["from", "--quiet", name]));
        PathBuf::from(run(self.command().args(["mount", container.trim()])).trim())
    }

    fn config(&self, name: &str) -> Value {
        let text = run(self.command().args(["inspect", "--type", "image", name]));
        serde_json::from_str::<Value>(&text).unwrap()["Docker"]["config"].take()
    }
}

/// The lines of one stage of the Dockerfile.
fn stage(name: &str) -> String {
    let text = fs::read_to_string(docker("Dockerfile")).unwrap();
    let lines = text
        .lines()
        .skip_while(|line| !(line.starts_with("FROM ") && line.ends_with(&format!(" AS {name}"))));
    let stage: Vec<_> =
        lines.enumerate().take_while(|(number, line)| *number == 0 || !line.starts_with("FROM ")).collect();
    assert!(!stage.is_empty(), "there is no stage {name}");
    stage.into_iter().map(|(_, line)| format!("{line}\n")).collect()
}

#[test]
fn the_linter_has_nothing_to_say() {
    let mut linter = Command::new(Runtime::Servers.script("hadolint"));
    let said = run(linter.arg(docker("Dockerfile")));
    assert_eq!(said, "");
}

/// npm refuses packages whose checksums differ from the lock file.
#[test]
fn codex_is_the_tested_one_and_has_its_sums() {
    let read = |path: &Path| serde_json::from_str::<Value>(&fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(read(&docker("package.json"))["dependencies"], json!({"@openai/codex": NEWEST}));
    let locked = read(&docker("package-lock.json"))["packages"].take();
    // What npm has found in its registry when it installed the one that the tests run.
    let installed = target_dir().join("codex").join(NEWEST).join("node_modules/.package-lock.json");
    let installed = read(&installed)["packages"].take();
    for name in ["node_modules/@openai/codex", "node_modules/@openai/codex-linux-x64"] {
        assert_eq!(locked[name]["version"].as_str().unwrap().split("-linux").next(), Some(NEWEST), "{name}");
        assert!(locked[name]["integrity"].as_str().unwrap().starts_with("sha512-"), "{name}");
        assert_eq!(locked[name]["integrity"], installed[name]["integrity"], "{name}");
    }
    assert!(locked["node_modules/@openai/codex-linux-arm64"]["integrity"].is_string());
}

#[test]
fn no_secret_and_nothing_that_is_built_goes_to_the_build() {
    let context = tempfile::tempdir().unwrap();
    let put = |name: &str| {
        let path = context.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "secret").unwrap();
    };
    let wanted = [
        ".cargo/config.toml",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "icons/app/icon.ico",
        "installers/docker/.npmrc",
        "installers/docker/group",
        "installers/docker/package-lock.json",
        "installers/docker/package.json",
        "installers/docker/passwd",
        "installers/linux/codex-proxy.service",
        "proxy-core/src/lib.rs",
        "src-tauri/Cargo.toml",
        "tests/Cargo.toml",
        "tests/suite/main.rs",
        "ui/.npmrc",
        "ui/package-lock.json",
        "ui/package.json",
        "ui/src/main.ts",
        "xtask/src/dist.rs",
        "xtask/src/dist/linux/deb.rs",
    ];
    let unwanted = [
        ".env",
        ".env.dev",
        ".git/config",
        ".codev/auth.json",
        ".codex-api/auth.json",
        "auth.json",
        "installers/docker/.env",
        "installers/docker/compose.yml",
        "proxy-core/tls.pem",
        "src-tauri/signing.key",
        "target/debug/codex-proxy",
        "proxy-core/target/x",
        "tests/.codex-api/auth.json",
        "tests/sdk/said.json",
        "ui/.env.local",
        "ui/dist/index.html",
        "ui/node_modules/x/index.js",
        "README.md",
    ];
    wanted.iter().chain(&unwanted).for_each(|name| put(name));
    fs::copy(workspace_dir().join(".dockerignore"), context.path().join(".dockerignore")).unwrap();
    let builder = Builder::new();
    builder.build("context", "FROM scratch\nCOPY . /\n", context.path(), &[]);
    let root = builder.root("context");
    let listed = run(Command::new("find").arg(&root).args(["-type", "f", "-printf", "%P\n"]));
    assert_eq!(listed.lines().collect::<BTreeSet<_>>(), BTreeSet::from(wanted));
    // And all that the Dockerfile takes from there is there.
    for line in fs::read_to_string(docker("Dockerfile")).unwrap().lines() {
        let Some(rest) = line.strip_prefix("COPY ").filter(|rest| !rest.starts_with("--from")) else {
            continue;
        };
        let mut words: Vec<_> = rest.split_whitespace().collect();
        words.pop();
        for word in words.into_iter().filter(|word| *word != ".") {
            assert!(root.join(word).exists() && workspace_dir().join(word).exists(), "{word}");
        }
    }
    for file in included() {
        assert!(
            wanted.contains(&file.as_str()),
            "the sources include {file}, which .dockerignore leaves out"
        );
    }
}

/// The files outside of their own package that the sources of what the image has include.
fn included() -> Vec<String> {
    let mut grep = Command::new("grep");
    grep.args(["-roE", r#"include_(str|bytes)!\("[^"]*""#, "proxy-core/src", "tests/src"]);
    let found = run(grep.current_dir(workspace_dir()));
    let mut files = Vec::new();
    for line in found.lines() {
        let (source, call) = line.split_once(':').unwrap();
        let named = call.split('"').nth(1).unwrap();
        let path = Path::new(source).with_file_name(named);
        let mut parts: Vec<&str> = Vec::new();
        for part in path.to_str().unwrap().split('/') {
            if part == ".." {
                parts.pop();
            } else {
                parts.push(part);
            }
        }
        if parts[0] != source.split('/').next().unwrap() {
            files.push(parts.join("/"));
        }
    }
    assert!(!files.is_empty(), "{found}");
    files
}
