//! Finds the Codex to run: the configured one, else the managed copy, else the one on `PATH`.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::store::{InUse, Store};

/// Finds the Codex to run. It searches again each time, so that an installation takes effect at the next start of
/// a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finder {
    /// The configured Codex: a path, or a bare name that is looked up on `PATH`.
    pub bin: Option<PathBuf>,
    /// The directory of the managed copies.
    pub dir: PathBuf,
    /// The value of `PATH`.
    pub path: Option<OsString>,
    /// Whether the legacy protocol is used, which no managed copy supports.
    pub legacy: bool,
}

/// The source of the choice of a Codex.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The setting: `CODEX_BIN`, its flag or its key in the file.
    Setting,
    /// The proxy's own managed copy.
    Managed,
    /// The first program on `PATH`.
    Path,
}

/// A Codex that was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its binary. The start shows whether it runs.
    pub path: PathBuf,
    /// The source of the choice.
    pub source: Source,
    /// The version of a managed copy.
    pub version: Option<String>,
    /// Keeps a managed copy from being removed while this value exists.
    pub in_use: Option<Arc<InUse>>,
}

/// Why there is no Codex to run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// There is no Codex at all.
    #[error(
        "there is no Codex CLI on this machine. Run `codex-proxy codex install`, which needs no Node.js, or set \
         CODEX_BIN to the path of your own."
    )]
    Nothing,
    /// There is no Codex that supports the legacy protocol.
    #[error(
        "there is no Codex CLI on PATH for PROXY_USE_APP_SERVER=false. Set CODEX_BIN to Codex 0.44 or older, or \
         remove PROXY_USE_APP_SERVER and run `codex-proxy codex install`."
    )]
    NothingLegacy,
    /// The configured name is not on `PATH`.
    #[error(
        "the Codex binary '{0}', which CODEX_BIN names, was not found on PATH. Correct CODEX_BIN, or remove it and \
         run `codex-proxy codex install`."
    )]
    NotOnPath(String),
}

impl Finder {
    /// Searches for the Codex to run.
    ///
    /// # Errors
    /// When there is none; the error says what to do.
    pub fn find(&self) -> Result<Found, NotFound> {
        let found = |path, source| Found { path, source, version: None, in_use: None };
        if let Some(bin) = &self.bin {
            return match is_bare(bin) {
                false => Ok(found(bin.clone(), Source::Setting)),
                true => match self.on_path(bin) {
                    Some(path) => Ok(found(path, Source::Setting)),
                    None => Err(NotFound::NotOnPath(bin.display().to_string())),
                },
            };
        }
        if !self.legacy
            && let Some((entry, path, in_use)) = Store::new(self.dir.clone()).hold_current()
        {
            let in_use = Some(Arc::new(in_use));
            return Ok(Found { path, source: Source::Managed, version: Some(entry.version), in_use });
        }
        match self.on_path(Path::new("codex")) {
            Some(path) => Ok(found(path, Source::Path)),
            None if self.legacy => Err(NotFound::NothingLegacy),
            None => Err(NotFound::Nothing),
        }
    }

    fn on_path(&self, name: &Path) -> Option<PathBuf> {
        look_up(self.path.as_ref()?, name)
    }
}

fn is_bare(bin: &Path) -> bool {
    bin.components().count() < 2 && !bin.is_absolute()
}

/// The first program of this name in the directories of `path`. Relative directories are ignored: a program in the
/// working directory must not be run by accident.
pub(super) fn look_up(path: &OsString, name: &Path) -> Option<PathBuf> {
    let mut file = name.as_os_str().to_owned();
    if name.extension().is_none() {
        file.push(std::env::consts::EXE_SUFFIX);
    }
    let dirs = std::env::split_paths(path).filter(|dir| dir.is_absolute());
    dirs.map(|dir| dir.join(&file)).find(|candidate| is_program(candidate))
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::store::Entry;
    use super::*;

    struct Scene {
        root: tempfile::TempDir,
        finder: Finder,
    }

    impl Scene {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let (empty, bin) = (root.path().join("empty"), root.path().join("bin"));
            let path = std::env::join_paths([Path::new("relative"), &empty, &bin]).unwrap();
            let finder =
                Finder { bin: None, dir: root.path().join("codex"), path: Some(path), legacy: false };
            Self { root, finder }
        }

        fn program(&self, name: &str, mode: u32) -> PathBuf {
            let path = self.root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        }

        fn managed(&self) -> PathBuf {
            let path = self.program("codex/versions/1.2.3/vendor/codex", 0o755);
            self.program("codex/versions/1.2.3/in-use", 0o644);
            let entry = Entry { version: "1.2.3".into(), dir: "1.2.3".into(), binary: "vendor/codex".into() };
            Store::new(self.finder.dir.clone()).point_to(entry, None).unwrap();
            path
        }

        fn found(&self) -> (PathBuf, Source) {
            let found = self.finder.find().unwrap();
            (found.path, found.source)
        }
    }

    #[test]
    fn the_setting_comes_before_the_managed_copy_and_that_before_the_path() {
        let mut scene = Scene::new();
        assert_eq!(scene.finder.find().unwrap_err(), NotFound::Nothing);
        scene.program("bin/codex", 0o644);
        assert_eq!(scene.finder.find().unwrap_err(), NotFound::Nothing);
        let on_path = scene.program("bin/codex", 0o755);
        assert_eq!(scene.found(), (on_path.clone(), Source::Path));
        let managed = scene.managed();
        assert_eq!(scene.found(), (managed.clone(), Source::Managed));
        scene.finder.legacy = true;
        assert_eq!(scene.found(), (on_path.clone(), Source::Path));
        scene.finder.legacy = false;
        fs::remove_file(managed).unwrap();
        assert_eq!(scene.found(), (on_path.clone(), Source::Path));
        scene.finder.bin = Some("codex".into());
        assert_eq!(scene.found(), (on_path, Source::Setting));
        scene.finder.bin = Some("nowhere".into());
        assert!(scene.finder.find().unwrap_err().to_string().contains("codex-proxy codex install"));
        scene.finder.bin = Some("/opt/mine".into());
        assert_eq!(scene.found(), (PathBuf::from("/opt/mine"), Source::Setting));
    }
}
