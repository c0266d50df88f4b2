//! Why a Codex could not be found or installed, as sentences that say what to do.

use std::io;
use std::path::{Path, PathBuf};

use super::NotFit;
use super::versions::FLOOR;

/// Why a Codex could not be installed, updated or rolled back.
#[derive(Debug, thiserror::Error)]
pub enum CodexError {
    /// Another job is running in this program.
    #[error("Codex is already being installed. Wait until this is done, or cancel it.")]
    Busy,
    /// Another program has the lock.
    #[error("another program is installing Codex into '{}'. Wait until it is done.", .dir.display())]
    Locked {
        /// The directory of the managed copies.
        dir: PathBuf,
    },
    /// The job was cancelled.
    #[error("it was cancelled. The downloaded part is kept, and the next try continues from there.")]
    Cancelled,
    /// The requested version is not a version number.
    #[error("'{0}' is not a version of Codex. Give a version such as 0.169.0.")]
    NotAVersion(String),
    /// The requested version is too old.
    #[error(
        "Codex {0} is too old: version {FLOOR} is the first whose app-server can be driven. Codex 0.44 and older can \
         be used with PROXY_USE_APP_SERVER=false and CODEX_BIN."
    )]
    TooOld(String),
    /// There is no Codex for this system.
    #[error(
        "there is no Codex for {os} on {arch}; if you have built one yourself, set CODEX_BIN to its path."
    )]
    NoPlatform {
        /// The operating system.
        os: &'static str,
        /// The processor, as Rust calls it.
        arch: &'static str,
    },
    /// The requested version is not in the registry.
    #[error("the npm registry at {registry} has no Codex {version}{}.", offer(.newest.as_deref()))]
    NoSuchVersion {
        /// The registry's address.
        registry: String,
        /// The version.
        version: String,
        /// The newest version in the registry.
        newest: Option<String>,
    },
    /// No registry is configured.
    #[error(
        "the address of the npm registry is not set. Set PROXY_NPM_REGISTRY (or `registry=` in ~/.npmrc), or use a Codex \
         file on this machine: `codex-proxy codex install --file PATH`."
    )]
    NoRegistry,
    /// The registry's address cannot be used.
    #[error(
        "the npm registry's address from {from} cannot be used: {why}. Set PROXY_NPM_REGISTRY to another."
    )]
    BadRegistry {
        /// The source of the address.
        from: String,
        /// The problem with it.
        why: String,
    },
    /// The registry cannot be reached.
    #[error(
        "{host} cannot be reached ({reason}). If this machine needs an HTTP proxy, set HTTPS_PROXY. If a certificate is \
         refused, set SSL_CERT_FILE to the certificate of your own authority. To use another npm registry, set \
         PROXY_NPM_REGISTRY. To use a Codex file on this machine, run `codex-proxy codex install --file PATH`."
    )]
    Offline {
        /// The host of the registry.
        host: String,
        /// The error.
        reason: String,
    },
    /// The registry refused the request.
    #[error("{host} answered {status} for {what}{}.", refusal(*.status))]
    Refused {
        /// The host of the registry.
        host: String,
        /// The HTTP status.
        status: u16,
        /// The requested thing.
        what: String,
    },
    /// The registry's answer is invalid.
    #[error(
        "the npm registry's description of {what} cannot be used: {why}. Check that PROXY_NPM_REGISTRY is an npm registry."
    )]
    BadMetadata {
        /// The package.
        what: String,
        /// The problem with the answer.
        why: String,
    },
    /// The file is not the one that the registry described.
    #[error(
        "the download does not match the npm registry's checksum: the sha512 of {what} is {got}, not {wanted}. \
         Nothing was installed. Try again. If it happens again, something on the way from the registry changes files."
    )]
    WrongHash {
        /// The package.
        what: String,
        /// The digest in the registry's description.
        wanted: String,
        /// The digest of the file.
        got: String,
    },
    /// The archive contains an entry that no npm package contains.
    #[error("the package was refused, and nothing was installed: its entry '{entry}' {why}.")]
    UnsafeEntry {
        /// The entry's path.
        entry: String,
        /// The problem with it.
        why: &'static str,
    },
    /// The download or its unpacked content is too large.
    #[error("the package was refused: {what} is larger than {limit} bytes.")]
    TooLarge {
        /// The name of the thing that is too large.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The archive cannot be read.
    #[error("the package cannot be unpacked: {0}. Try again.")]
    Corrupt(io::Error),
    /// The archive has no binary for this system.
    #[error("the package contains no Codex for {triple}.")]
    NoBinary {
        /// The system.
        triple: &'static str,
    },
    /// The file from the user cannot be read.
    #[error("'{}' cannot be read: {source}. Give the file of a Codex CLI.", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file from the user is not a Codex.
    #[error(
        "'{}' is not a Codex CLI. Give the program `codex`, or one of its downloads: npm's package (.tgz) or the .tar.gz of \
         a release. Unpack other archives first. To use your own script that starts Codex, set CODEX_BIN to it.", .0.display()
    )]
    NotCodex(PathBuf),
    /// The new binary does not run, or is another version.
    #[error("the new Codex does not work here, so it is not used: {0}")]
    DoesNotRun(String),
    /// There is no proof that the new binary leaves prompts unchanged.
    #[error(
        "Codex {version} is not used: {why}. The proxy keeps using the previous Codex. `codex-proxy codex install` \
         installs the tested one."
    )]
    Unfit {
        /// Its version.
        version: String,
        /// Why it is not fit.
        why: NotFit,
    },
    /// There is no previous version.
    #[error(
        "there is no previous version of Codex. `codex-proxy codex install VERSION` installs another version."
    )]
    NoPrevious,
    /// Files cannot be written.
    #[error("{}", unwritable(.path, .source))]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A part of the program failed.
    #[error("the installation stopped unexpectedly: {0}")]
    Internal(String),
}

impl CodexError {
    /// The error of a user's file that cannot be read.
    pub(super) fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        |source| Self::Unreadable { path, source }
    }

    /// An error of the file system at `path`.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        |source| Self::Io { path, source }
    }
}

fn offer(newest: Option<&str>) -> String {
    newest.map(|newest| format!("; the newest is {newest}")).unwrap_or_default()
}

fn refusal(status: u16) -> &'static str {
    match status {
        401 | 403 => {
            "; put a valid `_authToken` for it into ~/.npmrc, or name another registry with PROXY_NPM_REGISTRY"
        }
        404 => "; is PROXY_NPM_REGISTRY an npm registry that has it?",
        407 => "; the HTTP proxy needs a user name and a password. Put them into HTTPS_PROXY",
        _ => "; try again later",
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "few of the system's many reasons have a remedy of their own"
)]
fn unwritable(path: &Path, source: &io::Error) -> String {
    let remedy = match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "There is too little space: Codex needs about 700 MB while it is installed. Free some, or"
        }
        io::ErrorKind::PermissionDenied => "Make it writable for this user, or",
        io::ErrorKind::ReadOnlyFilesystem => "Mount it for writing, or",
        _ => "Check it, or",
    };
    format!(
        "'{}' cannot be written: {source}. {remedy} choose another data directory with PROXY_DATA_DIR.",
        path.display()
    )
}
