//! Finds the real Codex binaries that the suite runs against.

use std::env;
use std::path::{Path, PathBuf};

#[path = "../../proxy-core/src/codex_install/versions.rs"]
mod versions;

pub use versions::{FLOOR, LEGACY, PINNED as NEWEST, PREVIOUS};

/// The versions that people use today, for tests that must pass on each of them.
pub const RECENT: [&str; 2] = [NEWEST, PREVIOUS];

/// The binary of a Codex version: from `E2E_CODEX_0_169`, `E2E_CODEX_0_77` or the like, else from where
/// `cargo xtask setup` installs it.
pub fn codex_path(version: &str) -> PathBuf {
    let mut numbers = version.split('.');
    let variable =
        format!("E2E_CODEX_{}_{}", numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    if let Some(path) = env::var_os(&variable).map(PathBuf::from) {
        assert!(path.is_file(), "{variable} names {}, which is no file: correct or unset it", path.display());
        return path;
    }
    let installed = target_dir().join("codex").join(version);
    in_npm_prefix(&installed).unwrap_or_else(|| {
        panic!("Codex {version} is not in {}: run `cargo xtask setup`", installed.display())
    })
}

/// The folder cargo builds into, seen from the running test executable (`<target>/<profile>/deps/suite-…`).
pub fn target_dir() -> PathBuf {
    let profile = profile_dir();
    profile.parent().unwrap_or(&profile).to_owned()
}

/// The folder that holds the workspace's built binaries.
pub fn profile_dir() -> PathBuf {
    let executable = env::current_exe().expect("the running test has a path");
    let folder = executable.parent().expect("an executable lies in a folder");
    if folder.ends_with("deps") || folder.ends_with("examples") {
        folder.parent().expect("deps lies in the profile's folder").to_owned()
    } else {
        folder.to_owned()
    }
}

/// The folder of the workspace's sources.
pub fn workspace_dir() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}

/// Looks for the binary in both layouts that the npm packages have had.
fn in_npm_prefix(prefix: &Path) -> Option<PathBuf> {
    let (platform, triple) = platform()?;
    let modules = prefix.join("node_modules").join("@openai");
    let binary = format!("codex{}", env::consts::EXE_SUFFIX);
    let candidates = [
        modules.join(format!("codex-{platform}")).join("vendor").join(triple).join("bin").join(&binary),
        modules.join("codex").join("vendor").join(triple).join("codex").join(&binary),
    ];
    candidates.into_iter().find(|path| path.is_file())
}

fn platform() -> Option<(&'static str, &'static str)> {
    match (env::consts::OS, env::consts::ARCH) {
        ("linux", "x86_64") => Some(("linux-x64", "x86_64-unknown-linux-musl")),
        ("linux", "aarch64") => Some(("linux-arm64", "aarch64-unknown-linux-musl")),
        ("macos", "x86_64") => Some(("darwin-x64", "x86_64-apple-darwin")),
        ("macos", "aarch64") => Some(("darwin-arm64", "aarch64-apple-darwin")),
        ("windows", "x86_64") => Some(("win32-x64", "x86_64-pc-windows-msvc")),
        ("windows", "aarch64") => Some(("win32-arm64", "aarch64-pc-windows-msvc")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_npm_layouts_are_found() {
        let (platform, triple) = platform().expect("the suite runs on a supported platform");
        let binary = format!("codex{}", env::consts::EXE_SUFFIX);
        for folder in
            [format!("codex-{platform}/vendor/{triple}/bin"), format!("codex/vendor/{triple}/codex")]
        {
            let prefix = tempfile::tempdir().unwrap();
            assert_eq!(in_npm_prefix(prefix.path()), None);
            let folder = prefix.path().join("node_modules/@openai").join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(&binary), "").unwrap();
            assert_eq!(in_npm_prefix(prefix.path()), Some(folder.join(&binary)));
        }
    }
}
