//! The temporary home of a Codex that is being proved: below the data directory, for this user only, with a
//! sign-in that no service accepts. It is removed afterwards.

use std::ffi::OsString;
use std::io::{Error, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::mirror::ACCOUNT;
use crate::files;
use protocol::codex::auth_file::{self, Nobody};

/// The home; removed when it is dropped.
#[derive(Debug)]
pub(super) struct Home {
    root: TempDir,
}

/// The directory of such homes, below the data directory.
const PLACE: &str = "proof";

impl Home {
    /// Creates a home below `data_dir` for a Codex that is to reach only `mirror`. Removes the remains of an
    /// interrupted proof.
    pub(super) fn make(data_dir: &Path) -> Result<Self, Error> {
        let place = data_dir.join(PLACE);
        for left in std::fs::read_dir(&place).into_iter().flatten().flatten() {
            if let Err(error) = std::fs::remove_dir_all(left.path()) {
                tracing::warn!(%error, path = %left.path().display(), "what a proof has left could not be removed");
            }
        }
        files::create_private_dir(&place)?;
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
        let root = builder.prefix("home-").tempdir_in(&place)?;
        for dir in ["codex", "work", "cache"] {
            files::create_private_dir(&root.path().join(dir))?;
        }
        Ok(Self { root })
    }

    /// Writes the sign-in of no real account, and the configuration with the mirror's addresses.
    pub(super) fn point_to(&self, mirror: SocketAddr) -> Result<(), Error> {
        let settings = format!(
            "openai_base_url = \"http://{mirror}/v1\"\n\
             chatgpt_base_url = \"http://{mirror}/backend-api/\"\n\
             cli_auth_credentials_store = \"file\"\n"
        );
        write_private(&self.codex().join("config.toml"), settings.as_bytes())?;
        write_private(&self.codex().join(auth_file::NAME), sign_in().as_bytes())
    }

    /// The value of `CODEX_HOME`.
    pub(super) fn codex(&self) -> PathBuf {
        self.root.path().join("codex")
    }

    /// Codex's working directory.
    pub(super) fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    /// The directory of derived catalogues.
    pub(super) fn cache(&self) -> PathBuf {
        self.root.path().join("cache")
    }
}

/// Environment variables that would lead Codex past the mirror, or give it a sign-in.
pub(super) const HIDDEN: &[&str] = &[
    "ALL_PROXY",
    "CODEX_ACCESS_TOKEN",
    "CODEX_API_KEY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// Environment variables that direct all of Codex's requests to other hosts to the mirror.
pub(super) fn environment(mirror: SocketAddr) -> Vec<(&'static str, OsString)> {
    let here = OsString::from(format!("http://{mirror}"));
    vec![
        ("HTTPS_PROXY", here.clone()),
        ("HTTP_PROXY", here.clone()),
        ("ALL_PROXY", here.clone()),
        ("NO_PROXY", "127.0.0.1".into()),
        ("CODEX_APP_SERVER_LOGIN_ISSUER", here),
        ("CODEX_REFRESH_TOKEN_URL_OVERRIDE", format!("http://{mirror}/oauth/token").into()),
    ]
}

/// A sign-in of no real account, valid for five days.
fn sign_in() -> String {
    let now = jiff::Timestamp::now();
    let nobody = Nobody { email: "proof@codex-proxy.invalid", user: "user-of-a-proof", account: ACCOUNT };
    auth_file::unsigned(&nobody, now.as_second() + 5 * 24 * 60 * 60, &now.to_string())
}

fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    files::private().write(true).create_new(true).open(path)?.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_home_is_private_and_leaves_nothing() {
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(data.path().join(PLACE).join("home-left/codex")).unwrap();
        let home = Home::make(data.path()).unwrap();
        home.point_to("127.0.0.1:9".parse().unwrap()).unwrap();
        assert_eq!(std::fs::read_dir(data.path().join(PLACE)).unwrap().count(), 1, "what was left is gone");
        let auth = std::fs::read_to_string(home.codex().join("auth.json")).unwrap();
        let auth: Value = serde_json::from_str(&auth).unwrap();
        assert_eq!(auth["tokens"]["account_id"], ACCOUNT);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(home.root.path()), 0o700);
            assert_eq!(mode(&home.codex().join("auth.json")), 0o600);
        }
        drop(home);
        assert_eq!(std::fs::read_dir(data.path().join(PLACE)).unwrap().count(), 0);
    }

    #[test]
    fn nothing_leads_past_the_mirror() {
        let set = environment("127.0.0.1:9".parse().unwrap());
        assert!(set.iter().all(|(name, _)| HIDDEN.contains(name) || name.starts_with("CODEX_")));
    }
}
