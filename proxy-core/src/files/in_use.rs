//! A file that takes another's place. Windows refuses that while somebody reads the other, and readers are quick: it is
//! tried again for a while.

use std::io;
#[cfg(windows)]
use std::time::{Duration, Instant};

/// How long readers are waited for, and how often they are looked after.
#[cfg(windows)]
const PATIENCE: Duration = Duration::from_secs(2);
#[cfg(windows)]
const BETWEEN: Duration = Duration::from_millis(5);

/// Puts `from` in the place of `to`, in one step.
///
/// # Errors
/// When that cannot be done; both are then as they were.
pub fn rename(from: &std::path::Path, to: &std::path::Path) -> io::Result<()> {
    patiently((), |()| std::fs::rename(from, to).map_err(|error| (error, ())))
}

/// Does what a reader may be in the way of, with what an attempt that fails gives back.
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

/// Nobody is in the way elsewhere.
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
                    // On Windows one that is being replaced may refuse its readers, too.
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
