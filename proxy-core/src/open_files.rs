//! The limit of open files of the process, including sockets and pipes, and the advice if it is reached.

use std::io;

/// More than any use needs. Some systems allow a thousand million, and some programs first close every possible
/// file number, which would take minutes.
#[cfg(unix)]
const MOST: u64 = 1 << 20;

/// The real maximum on macOS, even if the system reports a higher one (`OPEN_MAX`).
#[cfg(target_os = "macos")]
const MOST_OF_MACOS: u64 = 10_240;

/// Raises the limit of open files, also for child processes, to the maximum that the system allows. The default
/// limit is low for the sake of old programs.
pub fn allow_all() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        // `None` means that there is no limit.
        let Some(current) = current else { return };
        let wanted = maximum.unwrap_or(MOST).min(MOST);
        #[cfg(target_os = "macos")]
        let wanted = wanted.min(MOST_OF_MACOS);
        if wanted <= current {
            return;
        }
        match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }) {
            Ok(()) => tracing::debug!(from = current, to = wanted, "raised the limit of open files"),
            Err(error) => tracing::debug!(%error, current, "the limit of open files could not be raised"),
        }
    }
}

/// What happened and what to do, if the cause of the error is the limit of open files.
pub fn remedy(error: &io::Error) -> Option<&'static str> {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let number = error.raw_os_error()?;
        if number == Errno::MFILE.raw_os_error() {
            return Some(
                "too many files and connections are open in this program. Close some clients, or allow it more: \
                 `ulimit -Hn`, or LimitNOFILE= in a systemd unit",
            );
        }
        (number == Errno::NFILE.raw_os_error()).then_some(
            "too many files are open on this system. Close some programs, or raise the system's limit \
             (`sysctl fs.file-max`)",
        )
    }
    #[cfg(windows)]
    {
        /// The Windows error `WSAEMFILE`.
        const TOO_MANY_SOCKETS: i32 = 10_024;
        (error.raw_os_error() == Some(TOO_MANY_SOCKETS))
            .then_some("too many connections are open in this program. Close some clients")
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn only_too_many_open_files_have_this_remedy() {
        let of = |errno: rustix::io::Errno| remedy(&io::Error::from(errno));
        assert!(of(rustix::io::Errno::MFILE).unwrap().contains("LimitNOFILE"));
        assert!(of(rustix::io::Errno::NFILE).unwrap().contains("this system"));
        assert_eq!(of(rustix::io::Errno::ACCESS), None);
        assert_eq!(remedy(&io::Error::other("no number")), None);
    }

    #[test]
    fn as_many_files_may_be_open_as_the_system_lets() {
        use rustix::process::{Resource, getrlimit};
        allow_all();
        let limit = getrlimit(Resource::Nofile);
        let most = limit.maximum.unwrap_or(MOST).min(if cfg!(target_os = "macos") { 10_240 } else { MOST });
        assert!(limit.current.is_none_or(|current| current >= most), "{limit:?}");
    }
}
