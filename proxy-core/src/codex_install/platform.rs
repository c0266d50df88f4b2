//! The names of this system in npm's packages.

use std::env::consts::{ARCH, OS};

use super::error::CodexError;

/// A system that Codex supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Platform {
    /// The suffix of the platform package's name.
    pub(super) package: &'static str,
    /// The folder of its binaries.
    pub(super) triple: &'static str,
}

const ALL: [(&str, &str, Platform); 6] = [
    ("linux", "x86_64", Platform { package: "linux-x64", triple: "x86_64-unknown-linux-musl" }),
    ("linux", "aarch64", Platform { package: "linux-arm64", triple: "aarch64-unknown-linux-musl" }),
    ("macos", "x86_64", Platform { package: "darwin-x64", triple: "x86_64-apple-darwin" }),
    ("macos", "aarch64", Platform { package: "darwin-arm64", triple: "aarch64-apple-darwin" }),
    ("windows", "x86_64", Platform { package: "win32-x64", triple: "x86_64-pc-windows-msvc" }),
    ("windows", "aarch64", Platform { package: "win32-arm64", triple: "aarch64-pc-windows-msvc" }),
];

impl Platform {
    /// The system that this program was built for.
    pub(super) fn this() -> Result<Self, CodexError> {
        let found = ALL.iter().find(|(os, arch, _)| (*os, *arch) == (OS, ARCH));
        found.map(|(_, _, platform)| *platform).ok_or(CodexError::NoPlatform { os: OS, arch: ARCH })
    }

    /// The places of the binary in packages, the present one first.
    pub(super) fn binaries(&self) -> [String; 2] {
        let vendor = format!("vendor/{}", self.triple);
        let suffix = if self.triple.contains("-windows-") { ".exe" } else { "" };
        [format!("{vendor}/bin/codex{suffix}"), format!("{vendor}/codex/codex{suffix}")]
    }
}

#[cfg(test)]
mod tests {
    use std::env::consts::EXE_SUFFIX;

    use super::*;

    #[test]
    fn the_system_of_this_test_is_known() {
        let platform = Platform::this().unwrap();
        assert!(platform.triple.starts_with(ARCH));
        assert!(platform.binaries()[0].ends_with(&format!("/bin/codex{EXE_SUFFIX}")));
    }
}
