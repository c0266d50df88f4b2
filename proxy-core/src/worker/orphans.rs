//! Ends the workers that a killed proxy has left running: each worker has a pid file, and the next start ends the
//! workers named in the files of dead proxies.

#[cfg(unix)]
mod group;
mod shared;
#[cfg(test)]
#[cfg(unix)]
pub(super) mod testing;
#[cfg(test)]
#[cfg(unix)]
mod tests;

pub(super) use shared::SharedPidFile;

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::processes::{self, Identity};
use crate::files;

/// The directory with one pid file for each running worker.
#[derive(Debug, Clone)]
pub struct PidFiles {
    dir: PathBuf,
}

/// The pid file of one worker. Dropping it removes the file, so it must outlive the worker.
#[derive(Debug)]
pub struct PidFile {
    file: PathBuf,
    content: Content,
}

/// The content of a pid file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    /// The worker's process.
    #[serde(flatten)]
    worker: Identity,
    /// The process group that it leads.
    group: u32,
    /// The processes of its group at the last check. A worker may be a launcher that ends before its program. The
    /// group still belongs to the worker as long as one of these is in it, because the system does not reuse its
    /// number until then.
    members: Vec<Identity>,
    /// The boot that the start times belong to, where the system identifies boots.
    boot_id: Option<String>,
    /// The proxy that the worker belongs to.
    proxy: Identity,
}

impl PidFiles {
    /// The pid files in this directory, which is created when the first file is written.
    pub fn open(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Records a worker that has just been started, as the leader of a process group.
    ///
    /// # Errors
    /// When the process has ended already (`NotFound`), leads no group (`InvalidInput`), or the file cannot be
    /// written.
    pub fn write(&self, pid: u32) -> io::Result<PidFile> {
        let gone = |pid| io::Error::new(io::ErrorKind::NotFound, format!("there is no process {pid}"));
        let worker = processes::look(pid).filter(|process| !process.ended).ok_or_else(|| gone(pid))?;
        if pid <= 1 || worker.group != pid {
            let message = format!("process {pid} leads no process group of its own");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let this = std::process::id();
        let content = Content {
            worker: worker.identity,
            group: worker.group,
            members: members(worker.group)?,
            boot_id: processes::boot_id(),
            proxy: processes::look(this).ok_or_else(|| gone(this))?.identity,
        };
        // Only this user may write pid files, because they decide which processes are ended.
        files::create_private_dir(&self.dir)?;
        let file = PidFile { file: self.dir.join(format!("{pid}.json")), content };
        file.write()?;
        Ok(file)
    }

    /// Ends the orphans of earlier proxies, and removes their pid files. Returns the workers whose groups were
    /// ended. Workers of a running proxy are left alone.
    ///
    /// A process is ended only if the pid file has its start time too: a process that only has the same number as
    /// an earlier worker is not touched.
    #[cfg_attr(not(unix), expect(clippy::unused_async, reason = "job objects have ended everything already"))]
    pub async fn reap(&self) -> Vec<u32> {
        let stale = self.stale();
        #[cfg(unix)]
        let (ended, survivors) = group::end_all(stale.iter().filter_map(|record| {
            let content = &record.content;
            let same_boot = content.boot_id == processes::boot_id();
            same_boot.then(|| group::Group::new(content.group, content.known())).flatten()
        }))
        .await;
        #[cfg(not(unix))]
        let (ended, survivors) = (Vec::new(), Vec::<u32>::new());
        for record in &stale {
            // A group that could not be ended is tried again at the next start.
            if !survivors.contains(&record.content.group) {
                remove(&record.file);
            }
        }
        ended
    }

    /// The pid files of proxies that no longer run. Other files in the directory are removed.
    fn stale(&self) -> Vec<Stale> {
        let mut stale = Vec::new();
        let names = match fs::read_dir(&self.dir) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return stale,
            Err(error) => {
                tracing::warn!(directory = %self.dir.display(), %error, "cannot look for workers left behind");
                return stale;
            }
        };
        for name in names.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
            let file = self.dir.join(&name);
            if is_temporary(&name) {
                remove(&file);
            }
            let Some(pid) = pid_in(&name) else { continue };
            match read(&file, pid) {
                Ok(content) if content.proxy_is_running() => {}
                Ok(content) => stale.push(Stale { file, content }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::warn!(file = %file.display(), %error, "removing a worker's record that cannot be read");
                    remove(&file);
                }
            }
        }
        stale
    }
}

/// A pid file of a proxy that no longer runs.
struct Stale {
    file: PathBuf,
    content: Content,
}

impl PidFile {
    /// Updates the file with the present processes of the worker's group, so that it names those that the worker
    /// has started. To be called when the worker is ready.
    ///
    /// # Errors
    /// When the system does not list the processes or the file cannot be written.
    pub fn refresh(&mut self) -> io::Result<()> {
        self.content.members = members(self.content.group)?;
        self.write()
    }

    /// The file is always complete, because a proxy may be killed at any time.
    fn write(&self) -> io::Result<()> {
        files::replace(&self.file, serde_json::to_vec(&self.content)?, files::Target::Fleeting)
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // A later worker may have the same number and may have written its own record.
        let worker = self.content.worker;
        if read(&self.file, worker.pid).is_ok_and(|content| content.worker == worker) {
            remove(&self.file);
        }
    }
}

impl Content {
    fn proxy_is_running(&self) -> bool {
        self.boot_id == processes::boot_id() && processes::is_running(self.proxy)
    }

    /// The processes that prove that the group is the worker's.
    #[cfg(unix)]
    fn known(&self) -> Vec<Identity> {
        let mut known = self.members.clone();
        known.push(self.worker);
        known
    }
}

fn members(group: u32) -> io::Result<Vec<Identity>> {
    let members = processes::all()?.into_iter().filter(|process| process.group == group);
    Ok(members.map(|process| process.identity).collect())
}

/// The process id in a pid file's name.
fn pid_in(name: &str) -> Option<u32> {
    name.strip_suffix(".json")?.parse().ok()
}

/// Whether this is the temporary file of a proxy that was killed while it wrote.
fn is_temporary(name: &str) -> bool {
    name.strip_suffix(".tmp").is_some_and(|name| pid_in(name).is_some())
}

/// Reads the pid file of this process.
fn read(file: &Path, pid: u32) -> io::Result<Content> {
    /// Far more than the size of any pid file, in bytes.
    const LIMIT: u64 = 1024 * 1024;
    let mut text = Vec::new();
    File::open(file)?.take(LIMIT).read_to_end(&mut text)?;
    let content: Content = serde_json::from_slice(&text)?;
    if content.worker.pid != pid || content.group != pid || pid <= 1 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not of the process in its name"));
    }
    Ok(content)
}

fn remove(file: &Path) {
    match fs::remove_file(file) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::warn!(file = %file.display(), %error, "cannot remove a worker's record; delete it");
        }
    }
}
