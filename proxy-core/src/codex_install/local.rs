//! A Codex that is already on this machine: a file that the user names, and the usual places of installers.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::environment::Environment;
use super::error::CodexError;
use super::platform::Platform;
use super::unpack;
use crate::files;

/// The first bytes of a program, on every system that Codex supports.
const PROGRAMS: [&[u8]; 6] = [
    b"\x7fELF",
    b"MZ",
    &[0xcf, 0xfa, 0xed, 0xfe],
    &[0xce, 0xfa, 0xed, 0xfe],
    &[0xca, 0xfe, 0xba, 0xbe],
    &[0xca, 0xfe, 0xba, 0xbf],
];

/// The first bytes of a gzip file.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// Puts the Codex that `file` is or contains into the new directory `target`. Returns the binary's path from
/// there.
///
/// The file may be a program, npm's script that starts one, npm's package or the archive of a release.
pub(super) fn take(
    file: &Path,
    target: &Path,
    platform: Platform,
    cancel: &CancellationToken,
) -> Result<String, CodexError> {
    let file = fs::canonicalize(file).map_err(CodexError::unreadable(file))?;
    let begins = beginning(&file).map_err(CodexError::unreadable(&file))?;
    if begins.starts_with(GZIP) {
        return unpack::unpack_any(&file, target, platform, cancel);
    }
    let program = native(&file, platform).ok_or_else(|| CodexError::NotCodex(file.clone()))?;
    let binary = format!("bin/codex{}", std::env::consts::EXE_SUFFIX);
    let copy = target.join(&binary);
    let copied = (|| {
        fs::create_dir_all(target.join("bin"))?;
        // The original may be read-only, so the copy gets permissions of its own.
        let mut to = File::create(&copy)?;
        std::io::copy(&mut File::open(&program)?, &mut to)?;
        to.sync_all()?;
        files::sync_dir(&target.join("bin"))?;
        files::sync_dir(target)
    })();
    copied.map_err(CodexError::io(&copy))?;
    unpack::make_executable(&copy)?;
    Ok(binary)
}

/// The Codex programs in the usual places of installers, each once.
pub(super) fn found(environment: &Environment, home: Option<&Path>) -> Vec<PathBuf> {
    let Ok(platform) = Platform::this() else { return Vec::new() };
    let mut found: Vec<PathBuf> = Vec::new();
    for place in places(environment, home) {
        let program = fs::canonicalize(&place).ok().and_then(|file| native(&file, platform));
        if let Some(program) = program.filter(|program| !found.contains(program)) {
            found.push(program);
        }
    }
    found
}

/// The places where npm and similar tools, Homebrew, the editors' extensions and the desktop application keep
/// Codex.
fn places(environment: &Environment, home: Option<&Path>) -> Vec<PathBuf> {
    let program = format!("codex{}", std::env::consts::EXE_SUFFIX);
    let mut places: Vec<PathBuf> = Vec::new();
    if cfg!(windows) {
        let folder = |name: &str| environment.get(name).map(PathBuf::from);
        places.extend(folder("APPDATA").map(|dir| dir.join("npm/node_modules/@openai/codex/bin/codex.js")));
        places.extend(folder("LOCALAPPDATA").map(|dir| dir.join("Programs/codex").join(&program)));
        places.extend(folder("LOCALAPPDATA").map(|dir| dir.join("Microsoft/WinGet/Links").join(&program)));
    } else {
        let folders = ["/usr/local/bin", "/opt/homebrew/bin", "/home/linuxbrew/.linuxbrew/bin", "/usr/bin"];
        places.extend(folders.map(|dir| Path::new(dir).join(&program)));
        places.push("/Applications/Codex.app/Contents/Resources/codex".into());
    }
    let Some(home) = home else { return places };
    let folders = [".local/bin", ".npm-global/bin", ".volta/bin", ".bun/bin", ".cargo/bin", "scoop/shims"];
    places.extend(folders.map(|dir| home.join(dir).join(&program)));
    for node in entries(&home.join(".nvm/versions/node")) {
        places.push(node.join("bin").join(&program));
    }
    for editor in [".vscode", ".vscode-insiders", ".cursor", ".windsurf"] {
        let extensions = entries(&home.join(editor).join("extensions")).into_iter();
        let codex = extensions.filter(|dir| name(dir).starts_with("openai.chatgpt-"));
        places.extend(codex.flat_map(|dir| entries(&dir.join("bin"))).map(|dir| dir.join(&program)));
    }
    places
}

/// The program itself: `file`, or the program that `file` starts, if it is a script of npm's package.
fn native(file: &Path, platform: Platform) -> Option<PathBuf> {
    let begins = beginning(file).ok()?;
    if PROGRAMS.iter().any(|magic| begins.starts_with(magic)) {
        return Some(file.to_owned());
    }
    if !begins.starts_with(b"#!") {
        return None;
    }
    let package = format!("codex-{}", platform.package);
    // The script is in `bin` of the package; the program in the same package, or in one of its own beside or
    // below it.
    let roots = file.ancestors().skip(1).take(3).flat_map(|dir| {
        [dir.to_owned(), dir.join("node_modules/@openai").join(&package), dir.join(&package)]
    });
    let mut programs = roots.flat_map(|root| platform.binaries().map(|binary| root.join(binary)));
    programs.find(|program| program.is_file())
}

fn beginning(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(4).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    entries
}

fn name(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn taken(file: &Path) -> Result<String, CodexError> {
        let target = tempfile::tempdir().map_err(CodexError::io(file))?;
        take(file, &target.path().join("new"), Platform::this()?, &CancellationToken::new())
    }

    #[test]
    fn a_program_and_the_script_that_starts_it_are_the_same_codex() {
        let root = tempfile::tempdir().unwrap();
        let platform = Platform::this().unwrap();
        let modules = root.path().join("lib/node_modules/@openai");
        let script = modules.join("codex/bin/codex.js");
        write(&script, b"#!/usr/bin/env node\n");
        assert!(matches!(taken(&script), Err(CodexError::NotCodex(_))), "its program is missing");
        let own = modules.join("codex/node_modules/@openai").join(format!("codex-{}", platform.package));
        let program = own.join(&platform.binaries()[0]);
        write(&program, b"\x7fELF...");
        assert_eq!(native(&script, platform), Some(program));
        assert!(taken(&script).unwrap().starts_with("bin/codex"));
    }

    #[test]
    fn what_is_no_program_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("codex");
        write(&file, b"PK\x03\x04");
        assert!(matches!(taken(&file), Err(CodexError::NotCodex(_))));
        assert!(matches!(taken(root.path()), Err(CodexError::Unreadable { .. } | CodexError::NotCodex(_))));
        assert!(matches!(taken(&root.path().join("none")), Err(CodexError::Unreadable { .. })));
    }

    #[test]
    fn what_installers_left_is_found_once() {
        let home = tempfile::tempdir().unwrap();
        let program = format!("codex{}", std::env::consts::EXE_SUFFIX);
        let own = home.path().join(".vscode/extensions/openai.chatgpt-1.2.3/bin/linux-x86_64").join(&program);
        write(&own, b"\x7fELF");
        write(&home.path().join(".local/bin").join(&program), b"a text");
        write(&home.path().join(".vscode/extensions/another-1.0/bin/x").join(&program), b"\x7fELF");
        let found = found(&Environment::default(), Some(home.path()));
        let own = fs::canonicalize(own).unwrap();
        assert_eq!(
            found
                .iter()
                .filter(|path| path.starts_with(fs::canonicalize(home.path()).unwrap()))
                .collect::<Vec<_>>(),
            [&own]
        );
    }
}
