//! One job, from its request to the switch of copies.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::client::Client;
use super::download::{Download, verify};
use super::error::CodexError;
use super::job::{Action, Phase, Running};
use super::metadata::{self, Archive};
use super::platform::Platform;
use super::store::{Entry, Lock, Pointer, Store, remove};
use super::version::{self, Printed};
use super::versions::PINNED;
use super::{Config, Fitness};
use super::{local, registry, unpack};

/// The work to do, once the version is known.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Plan {
    /// Put this copy, which exists, into use.
    Use(Entry),
    /// Download this version.
    Fetch(String),
}

/// The requested Codex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// This version, or the one that the action stands for.
    Version(Option<String>),
    /// The one that this file is or contains.
    File(PathBuf),
}

/// Performs `action`. Returns the version that is then in use, and whether it was put into use just now.
pub(super) async fn run(
    config: &Config,
    running: &Running,
    action: Action,
    wanted: &Wanted,
    fitness: Option<&dyn Fitness>,
) -> Result<(String, bool), CodexError> {
    let asked = match wanted {
        Wanted::Version(version) => version.as_deref().map(metadata::wanted).transpose()?,
        Wanted::File(_) => None,
    };
    let store = Store::new(config.dir.clone());
    let lock = Arc::new(store.lock()?);
    let pointer = store.pointer();
    let work = Work { config, running, store, lock, fitness };
    if let Wanted::File(file) = wanted {
        return work.take(&pointer, file).await;
    }
    match action {
        Action::Rollback => {
            let previous = pointer.previous.clone().ok_or(CodexError::NoPrevious)?;
            running.about(&previous.version);
            work.store.clean(None);
            work.use_copy(&pointer, previous).await
        }
        Action::Install => {
            let version = asked.unwrap_or_else(|| PINNED.to_owned());
            work.provide(&pointer, &version, None).await
        }
        Action::Update => match asked {
            Some(version) => work.provide(&pointer, &version, None).await,
            None => {
                let registry = work.ask_registry().await?;
                let newest = registry.1.newest()?;
                work.provide(&pointer, &newest, Some(registry)).await
            }
        },
    }
}

/// The copy to use, if there is one of this version and it is complete.
fn plan(pointer: &Pointer, version: &str, is_there: impl Fn(&Entry) -> bool) -> Plan {
    let copies = [&pointer.current, &pointer.previous].into_iter().flatten();
    let mut whole = copies.filter(|entry| entry.version == version && is_there(entry));
    whole.next().cloned().map_or_else(|| Plan::Fetch(version.to_owned()), Plan::Use)
}

/// The copy to keep as the previous one, once `next` is in use.
fn predecessor(pointer: &Pointer, next: &Entry) -> Option<Entry> {
    match &pointer.current {
        // A new copy of the same version replaces a damaged one.
        Some(current) if current.version == next.version => pointer.previous.clone(),
        current => current.clone(),
    }
}

type Registry = (Client, metadata::Packument);

struct Work<'a> {
    config: &'a Config,
    running: &'a Running,
    store: Store,
    /// Held until the last thread that works on files has ended.
    lock: Arc<Lock>,
    fitness: Option<&'a dyn Fitness>,
}

impl Work<'_> {
    async fn ask_registry(&self) -> Result<Registry, CodexError> {
        self.running
            .unless_cancelled(async {
                let client = Client::new(registry::resolve(self.config).await?).await?;
                let packument = client.packument().await?;
                Ok((client, packument))
            })
            .await
    }

    async fn provide(
        &self,
        pointer: &Pointer,
        version: &str,
        registry: Option<Registry>,
    ) -> Result<(String, bool), CodexError> {
        self.running.about(version);
        match plan(pointer, version, |entry| self.store.binary(entry).is_some()) {
            Plan::Use(entry) => match self.use_copy(pointer, entry).await {
                Err(error @ CodexError::DoesNotRun(_)) => {
                    tracing::warn!(%error, version, "the copy is damaged; downloading another one");
                    self.fetch(pointer, version, registry).await
                }
                result => result,
            },
            Plan::Fetch(version) => self.fetch(pointer, &version, registry).await,
        }
    }

    /// Puts an existing copy into use, if it works.
    async fn use_copy(&self, pointer: &Pointer, entry: Entry) -> Result<(String, bool), CodexError> {
        let missing =
            || CodexError::DoesNotRun(format!("the files of version {} are missing", entry.version));
        let binary = self.store.binary(&entry).ok_or_else(missing)?;
        self.check(&binary, &entry.version).await?;
        let version = entry.version.clone();
        if pointer.current.as_ref() == Some(&entry) {
            return Ok((version, false));
        }
        self.switch(pointer, entry).await?;
        Ok((version, true))
    }

    async fn fetch(
        &self,
        pointer: &Pointer,
        version: &str,
        registry: Option<Registry>,
    ) -> Result<(String, bool), CodexError> {
        let platform = Platform::this()?;
        let (client, packument) = match registry {
            Some(registry) => registry,
            None => self.ask_registry().await?,
        };
        let archive = self.running.unless_cancelled(client.archive(&packument, version, platform)).await?;
        let name = file_name(version, platform, &archive);
        self.store.clean(Some(&name));
        let file = self.store.download(&name);
        self.download(&client, &archive, &file).await?;
        let (staged, binary) = self.unpack(&file, version, platform).await?;
        self.check(&staged.join(&binary), version).await?;
        let (store, owned) = (self.store.clone(), version.to_owned());
        let dir = self.blocking(move || store.adopt(&staged, &owned)).await?;
        self.switch(pointer, Entry { version: version.to_owned(), dir, binary }).await?;
        Ok((version.to_owned(), true))
    }

    /// Makes a copy of the Codex that `file` is or contains, and puts it into use if it works.
    async fn take(&self, pointer: &Pointer, file: &Path) -> Result<(String, bool), CodexError> {
        let platform = Platform::this()?;
        self.store.clean(None);
        self.running.enter(Phase::Unpacking);
        let staged = self.store.staging("file");
        let (source, target, cancel) = (file.to_owned(), staged.clone(), self.running.cancellation().clone());
        let result = async {
            let binary = self.blocking(move || local::take(&source, &target, platform, &cancel)).await?;
            let version = self.version_of(file, &staged.join(&binary)).await?;
            self.running.about(&version);
            self.check(&staged.join(&binary), &version).await?;
            let (store, adopted, owned) = (self.store.clone(), staged.clone(), version.clone());
            let dir = self.blocking(move || store.adopt(&adopted, &owned)).await?;
            self.switch(pointer, Entry { version: version.clone(), dir, binary }).await?;
            Ok((version, true))
        };
        let result = result.await;
        if result.is_err() {
            remove(&staged);
        }
        result
    }

    /// The version of the Codex at `binary`, which was made from `file`.
    async fn version_of(&self, file: &Path, binary: &Path) -> Result<String, CodexError> {
        self.running.enter(Phase::Checking);
        let asked = async { Ok(version::ask(&self.config.hidden_env, binary, TRIAL_TIME).await) };
        match self.running.unless_cancelled(asked).await? {
            Ok(printed) if printed.text.starts_with("codex") => metadata::wanted(printed.number()),
            Ok(_) => Err(CodexError::NotCodex(file.to_owned())),
            Err(error) => Err(CodexError::DoesNotRun(version::why(&error))),
        }
    }

    /// Downloads and checks the archive. An existing download that is damaged is downloaded again.
    async fn download(&self, client: &Client, archive: &Archive, file: &Path) -> Result<(), CodexError> {
        let progress = |bytes, total| self.running.progress(bytes, total);
        loop {
            self.running.enter(Phase::Downloading);
            let (target, cancel) = (file.to_owned(), self.running.cancellation());
            let resumed =
                Download { client, archive, file: target, cancel, progress: &progress }.run().await?;
            self.running.enter(Phase::Verifying);
            let (path, expected) = (file.to_owned(), archive.clone());
            let cancel = self.running.cancellation().clone();
            match self.blocking(move || verify(&path, &expected, &cancel)).await {
                Err(error @ CodexError::WrongHash { .. }) => {
                    remove(file);
                    remove(&file.with_extension("etag"));
                    if !resumed {
                        return Err(error);
                    }
                    tracing::warn!(%error, "the resumed download is damaged; downloading all of it again");
                }
                result => return result,
            }
        }
    }

    async fn unpack(
        &self,
        file: &Path,
        version: &str,
        platform: Platform,
    ) -> Result<(PathBuf, String), CodexError> {
        self.running.enter(Phase::Unpacking);
        let staged = self.store.staging(version);
        let (source, target) = (file.to_owned(), staged.clone());
        let cancel = self.running.cancellation().clone();
        let unpacked = self.blocking(move || unpack::unpack(&source, &target, platform, &cancel)).await;
        if unpacked.is_err() {
            remove(&staged);
        }
        unpacked.map(|binary| (staged, binary))
    }

    /// Runs the binary once: it must have the expected version, and add nothing to prompts.
    async fn check(&self, binary: &Path, wanted: &str) -> Result<(), CodexError> {
        self.running.enter(Phase::Checking);
        let asked = async { Ok(version::ask(&self.config.hidden_env, binary, TRIAL_TIME).await) };
        let wrong = match self.running.unless_cancelled(asked).await? {
            Ok(Printed { text, .. }) if text.split_whitespace().last() == Some(wanted) => {
                return self.prove(binary, wanted).await;
            }
            Ok(Printed { text, .. }) => format!("its version is `{}` instead of {wanted}", text.trim()),
            Err(error) => version::why(&error),
        };
        Err(CodexError::DoesNotRun(wrong))
    }

    async fn prove(&self, binary: &Path, version: &str) -> Result<(), CodexError> {
        let Some(fitness) = self.fitness else { return Ok(()) };
        self.running.enter(Phase::Proving);
        let unfit = |why| CodexError::Unfit { version: version.to_owned(), why };
        self.running.unless_cancelled(async { fitness.check(binary, version).await.map_err(unfit) }).await
    }

    async fn switch(&self, pointer: &Pointer, entry: Entry) -> Result<(), CodexError> {
        self.running.enter(Phase::Switching);
        let (store, previous) = (self.store.clone(), predecessor(pointer, &entry));
        tracing::info!(version = entry.version, "switching to this Codex");
        self.blocking(move || {
            store.point_to(entry, previous)?;
            store.clean(None);
            store.prune();
            Ok(())
        })
        .await
    }

    /// Works on files outside of the runtime, with the lock held until the end even if the caller no longer waits.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, CodexError> + Send + 'static,
    ) -> Result<T, CodexError> {
        let lock = self.lock.clone();
        let work = move || {
            let result = work();
            drop(lock);
            result
        };
        tokio::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|error| Err(CodexError::Internal(error.to_string())))
    }
}

/// How long a new binary may take to print its version: the first start may be slow where programs are scanned.
const TRIAL_TIME: Duration = Duration::from_secs(60);

/// The archive's file, named after its digest, so that an archive with another content is not continued.
fn file_name(version: &str, platform: Platform, archive: &Archive) -> String {
    let digest: String = archive.sha512[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("codex-{version}-{}-{digest}.tgz", platform.package)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(version: &str, dir: &str) -> Entry {
        Entry { version: version.into(), dir: dir.into(), binary: "codex".into() }
    }

    fn pointer(current: Option<Entry>, previous: Option<Entry>) -> Pointer {
        let mut pointer = Pointer::default();
        (pointer.current, pointer.previous) = (current, previous);
        pointer
    }

    #[test]
    fn a_copy_that_is_there_is_used_and_another_is_fetched() {
        let (one, two) = (entry("1.0.0", "1.0.0"), entry("2.0.0", "2.0.0"));
        let both = pointer(Some(two.clone()), Some(one.clone()));
        assert_eq!(plan(&both, "2.0.0", |_| true), Plan::Use(two));
        assert_eq!(plan(&both, "1.0.0", |_| true), Plan::Use(one));
        assert_eq!(plan(&both, "3.0.0", |_| true), Plan::Fetch("3.0.0".into()));
        assert_eq!(plan(&both, "2.0.0", |_| false), Plan::Fetch("2.0.0".into()));
        assert_eq!(plan(&pointer(None, None), "1.0.0", |_| true), Plan::Fetch("1.0.0".into()));
    }

    #[test]
    fn what_was_in_use_is_kept_for_the_way_back() {
        let (one, two, again) = (entry("1.0.0", "1.0.0"), entry("2.0.0", "2.0.0"), entry("2.0.0", "2.0.0.2"));
        assert_eq!(predecessor(&pointer(None, None), &one), None);
        assert_eq!(predecessor(&pointer(Some(one.clone()), None), &two), Some(one.clone()));
        let both = pointer(Some(two.clone()), Some(one.clone()));
        assert_eq!(predecessor(&both, &one), Some(two.clone()), "a rollback can be rolled back");
        assert_eq!(predecessor(&both, &again), Some(one.clone()));
        assert_eq!(predecessor(&both, &two), Some(one));
    }
}
