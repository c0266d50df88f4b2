//! Renames a file over another one. On Windows this fails while a program reads the other file, so it is
//! repeated for a short time.

use std::io;
#[cfg(windows)]
use std::time::{Duration, Instant};

/// The maximum time to wait for readers, and the time between two attempts.
#[cfg(windows)]
const PATIENCE: Duration = Duration::from_secs(10);
#[cfg(windows)]
const BETWEEN: Duration = Duration::from_millis(5);

/// Renames `from` to `to` atomically.
///
/// # Errors
/// If that is not possible; both files are then unchanged.
pub fn rename(from: &std::path::Path, to: &std::path::Path) -> io::Result<()> {
    patiently((), |()| std::fs::rename(from, to).map_err(|error| (error, ())))
}

/// Repeats an operation that a reader may block. A failed attempt returns its input.
#[cfg(windows)]
pub(super) fn patiently<T, W>(
    mut with: W,
    attempt: impl Fn(W) -> Result<T, (io::Error, W)>,
) -> io::Result<T> {
    let begun = Instant::now();
    loop {
        match attempt(with) {
            Ok(done) => return Ok(done),
            Err((error, back))
                if error.kind() == io::ErrorKind::PermissionDenied && begun.elapsed() < PATIENCE =>
            {
                with = back;
                std::thread::sleep(BETWEEN);
            }
            Err((error, _)) => return Err(error),
        }
    }
}

/// On other systems, readers do not block this.
#[cfg(not(windows))]
pub(super) fn patiently<T, W>(with: W, attempt: impl Fn(W) -> Result<T, (io::Error, W)>) -> io::Result<T> {
    attempt(with).map_err(|(error, _)| error)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn readers_are_not_in_the_way() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "0").unwrap();
        let barrier = Barrier::new(5);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    barrier.wait();
                    // On Windows, a file that is being replaced may refuse readers too.
                    (0..500).for_each(|_| drop(fs::read(&file)));
                });
            }
            barrier.wait();
            for number in 1..=100 {
                let new = directory.path().join("new");
                fs::write(&new, number.to_string()).unwrap();
                rename(&new, &file).unwrap();
            }
        });
        assert_eq!(fs::read_to_string(&file).unwrap(), "100");
        assert!(rename(&directory.path().join("none"), &file).is_err());
    }
}
