//! Restores a backup: checks everything, writes it beside its target, then switches it in by renames.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tempfile::TempDir;

use super::error::BackupError;
use super::manifest::{Manifest, Part};
use super::private::{make_folder, private_file, private_folder, sha256};
use super::seal::{self, Passphrase};
use super::{Places, archive, shelf};
use crate::instance::InstanceLock;
use crate::{files, keys, response_store, usage};

/// The prefix of the directory for the previous files; the time follows.
pub(crate) const ASIDE: &str = "before-restore-";

/// The effect of a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The files that it writes.
    pub files: Vec<PathBuf>,
    /// The existing files that it replaces, or that belong to these.
    pub occupied: Vec<PathBuf>,
}

/// The result of a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The files that were written.
    pub files: Vec<PathBuf>,
    /// The directories with the previous files.
    pub aside: Vec<PathBuf>,
}

/// Reads a backup to its end, and checks it against its manifest and the checksum file beside it. Writes
/// nothing.
///
/// # Errors
/// If it is not complete, or cannot be opened.
pub fn check(file: &Path, passphrase: Option<&Passphrase>) -> Result<Manifest, BackupError> {
    if let Some(told) = shelf::told_sum(file) {
        let sum = File::open(file).and_then(|mut file| sha256(&mut file));
        if sum.map_err(BackupError::file("read", file))? != told {
            return Err(BackupError::broken("its SHA-256 is not the one in the file beside it"));
        }
    }
    let (content, length) = seal::open(file, passphrase)?;
    archive::read(content, length, |_| Ok(None))
}

/// The changes that a restore would make.
pub fn plan(manifest: &Manifest, places: &Places) -> Planned {
    let roots = roots(manifest, places);
    let files = roots.iter().flat_map(|root| root.files.iter().map(|goes| root.target(&goes.to))).collect();
    let occupied =
        roots.iter().flat_map(|root| root.occupied().into_iter().map(|path| root.target(&path))).collect();
    Planned { files, occupied }
}

/// Restores a backup. With `force`, existing files are moved to a directory beside them; files that are not in
/// the backup stay.
///
/// # Errors
/// If a proxy is running, the backup is not complete, or files exist already. If the switch itself fails, it is
/// undone.
pub fn restore(
    file: &Path,
    passphrase: Option<&Passphrase>,
    places: &Places,
    force: bool,
) -> Result<Restored, BackupError> {
    let manifest = check(file, passphrase)?;
    let _lock = InstanceLock::take(&places.data_dir)?;
    let planned = plan(&manifest, places);
    if !force && !planned.occupied.is_empty() {
        return Err(BackupError::Occupied(planned.occupied));
    }
    let mut roots = roots(&manifest, places);
    for root in &mut roots {
        root.staged = Some(private_folder(&root.directory)?);
    }
    let (content, length) = seal::open(file, passphrase)?;
    let unpacked = archive::read(content, length, |entry| {
        let (part, path) = entry.place()?;
        let is_in = |root: &&Root| root.part == part && root.files.iter().any(|goes| goes.archived == path);
        let root = roots.iter().find(is_in);
        let staged = root.and_then(|root| Some(root.staged.as_ref()?.path().join(&path)));
        let staged = staged.ok_or_else(|| BackupError::broken("the file changed while it was read"))?;
        make_folder(staged.parent().unwrap_or(&staged))?;
        private_file(&staged).map(Some)
    })?;
    if unpacked != manifest {
        return Err(BackupError::broken("the file changed while it was read"));
    }
    for root in roots.iter().filter(|root| root.part == Part::Data) {
        look_at(root, places)?;
    }
    switch(&roots)?;
    let mut aside: Vec<PathBuf> =
        roots.iter().map(|root| root.aside.clone()).filter(|aside| aside.exists()).collect();
    // Both settings files may have been in one directory.
    aside.dedup();
    Ok(Restored { files: planned.files, aside })
}

/// Checks that this version can use the unpacked data.
fn look_at(root: &Root, places: &Places) -> Result<(), BackupError> {
    let Some(staged) = &root.staged else { return Ok(()) };
    keys::check_files(staged.path())?;
    response_store::inspect(staged.path())?;
    let config = usage::Config {
        database: staged.path().join("proxy.db"),
        journal: staged.path().join("usage-journal"),
        ..places.usage.clone()
    };
    match usage::inspect(&config).problem {
        Some(problem) => Err(problem.into()),
        None => Ok(()),
    }
}

/// A target directory of the restore.
#[derive(Debug)]
struct Root {
    part: Part,
    directory: PathBuf,
    files: Vec<Goes>,
    aside: PathBuf,
    /// The unpacked files, on the same file system.
    staged: Option<TempDir>,
}

/// A file of the archive and its target in the directory.
#[derive(Debug, Clone)]
struct Goes {
    archived: PathBuf,
    to: PathBuf,
}

fn roots(manifest: &Manifest, places: &Places) -> Vec<Root> {
    let stamp = Timestamp::now().strftime("%Y%m%d-%H%M%S");
    let as_it_is = |path: PathBuf| Goes { archived: path.clone(), to: path };
    let root = |part, directory: &Path, files: Vec<Goes>| {
        let mut number = 1;
        let aside = loop {
            let more = if number == 1 { String::new() } else { format!("-{number}") };
            let aside = directory.join(format!("{ASIDE}{stamp}{more}"));
            if aside.symlink_metadata().is_err() {
                break aside;
            }
            number += 1;
        };
        (!files.is_empty()).then(|| Root {
            part,
            directory: directory.to_owned(),
            files,
            aside,
            staged: None,
        })
    };
    let mut roots = Vec::new();
    roots.extend(root(Part::Data, &places.data_dir, manifest.of(Part::Data).map(as_it_is).collect()));
    // The configuration file may have any name and any directory.
    for (name, file) in [("config.toml", &places.settings), ("app.json", &places.application)] {
        let Some(file) = file else { continue };
        let is_in = manifest.of(Part::Settings).any(|path| path == Path::new(name));
        let (Some(directory), Some(to), true) = (file.parent(), file.file_name(), is_in) else { continue };
        let goes = Goes { archived: PathBuf::from(name), to: PathBuf::from(to) };
        roots.extend(root(Part::Settings, directory, vec![goes]));
    }
    roots.extend(root(
        Part::CodexHome,
        &places.codex_home,
        manifest.of(Part::CodexHome).map(as_it_is).collect(),
    ));
    roots
}

impl Root {
    fn target(&self, path: &Path) -> PathBuf {
        self.directory.join(path)
    }

    /// The existing files to move aside: in the data directory everything that belongs together, elsewhere only
    /// the files that are replaced. Stored responses stay if the backup has none.
    fn occupied(&self) -> Vec<PathBuf> {
        let mut there: Vec<PathBuf> = match self.part {
            Part::Data => {
                let responses = response_store::FILE;
                let has_responses = self.files.iter().any(|goes| goes.to == Path::new(responses));
                let kept = |name: &&str| has_responses || **name != *responses;
                let names = self.part.files().iter().chain(self.part.directories()).copied().filter(kept);
                let databases = ["proxy.db"].into_iter().chain(has_responses.then_some(responses));
                let beside =
                    databases.flat_map(|name| ["-wal", "-shm", "-journal"].map(|end| format!("{name}{end}")));
                names.map(PathBuf::from).chain(beside.map(PathBuf::from)).collect()
            }
            Part::Settings | Part::CodexHome => self.files.iter().map(|goes| goes.to.clone()).collect(),
        };
        there.retain(|path| self.target(path).symlink_metadata().is_ok());
        there
    }
}

/// Moves the existing files aside and the new files in. If one step fails, all earlier steps are undone.
fn switch(roots: &[Root]) -> Result<(), BackupError> {
    let mut done: Vec<(PathBuf, PathBuf)> = Vec::new();
    let switched = roots.iter().try_for_each(|root| {
        let Some(staged) = &root.staged else { return Ok(()) };
        for path in root.occupied() {
            step(&root.target(&path), &root.aside.join(&path), &mut done)?;
        }
        for Goes { archived, to } in &root.files {
            step(&staged.path().join(archived), &root.target(to), &mut done)?;
        }
        files::sync_dir(&root.directory).map_err(BackupError::file("write", &root.directory))
    });
    let Err(error) = switched else { return Ok(()) };
    let mut left = Vec::new();
    for (from, to) in done.into_iter().rev() {
        if let Err(error) = fs::rename(&to, &from) {
            left.push(format!("{} is now {} ({error})", from.display(), to.display()));
        }
    }
    for root in roots {
        // It is empty now, unless an error was reported.
        drop(fs::remove_dir(&root.aside));
    }
    Err(BackupError::TakenBack { what: error.to_string(), left })
}

fn step(from: &Path, to: &Path, done: &mut Vec<(PathBuf, PathBuf)>) -> Result<(), BackupError> {
    make_folder(to.parent().unwrap_or(to))?;
    fs::rename(from, to).map_err(BackupError::file("put a restored file in the place of", to))?;
    done.push((from.to_owned(), to.to_owned()));
    Ok(())
}
