//! Downloads an archive to a file: continues where an earlier try stopped, and checks the whole file.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{CONTENT_RANGE, ETAG, HeaderMap};
use reqwest::{Response, StatusCode};
use sha2::{Digest as _, Sha512};
use tokio::io::AsyncWriteExt as _;
use tokio_util::sync::CancellationToken;

use super::client::{Client, Unanswered, check, host, is_passing, offline};
use super::error::CodexError;
use super::metadata::Archive;

/// The size limit of an archive, in bytes.
const MAX_BYTES: u64 = 2 << 30;
/// The number of consecutive tries without a single byte after which the download fails.
const FRUITLESS: u32 = 5;
/// The first pause before another try; it doubles each time.
const PAUSE: Duration = Duration::from_millis(250);

/// An archive that is being downloaded.
pub(super) struct Download<'a> {
    pub(super) client: &'a Client,
    pub(super) archive: &'a Archive,
    /// The file that it is written to.
    pub(super) file: PathBuf,
    pub(super) cancel: &'a CancellationToken,
    /// Called with the bytes so far and the bytes of the whole.
    pub(super) progress: &'a (dyn Fn(u64, Option<u64>) + Send + Sync),
}

/// How one try ended.
enum Tried {
    Done,
    /// The file was unusable, and has been emptied.
    StartAgain,
    Cut(CodexError),
}

impl Download<'_> {
    /// Downloads the missing part of the file. Returns whether a part of it was already there.
    pub(super) async fn run(&self) -> Result<bool, CodexError> {
        let (resumed, mut fruitless) = (self.size() > 0, 0);
        loop {
            let before = self.size();
            let error = match self.attempt(before).await {
                Ok(Tried::Done) => return Ok(resumed),
                Ok(Tried::StartAgain) => None,
                Ok(Tried::Cut(error)) => Some(error),
                Err(error) => return Err(self.make_room(error)),
            };
            fruitless = if self.size() > before { 0 } else { fruitless + 1 };
            if let Some(error) = error {
                if fruitless >= FRUITLESS {
                    return Err(error);
                }
                tracing::warn!(%error, bytes = self.size(), "the download was interrupted; it continues");
                self.unless_cancelled(tokio::time::sleep(PAUSE * 2_u32.pow(fruitless))).await?;
            } else if fruitless >= FRUITLESS {
                let status = StatusCode::RANGE_NOT_SATISFIABLE.as_u16();
                let what = self.archive.what.clone();
                return Err(CodexError::Refused { host: host(&self.archive.url), status, what });
            }
        }
    }

    async fn attempt(&self, have: u64) -> Result<Tried, CodexError> {
        let tag = fs::read_to_string(self.tag_file()).ok();
        let response =
            match self.unless_cancelled(self.client.download(&self.archive.url, have, tag.as_deref())).await?
            {
                Ok(response) => response,
                // No bytes at all have come yet: an offline user gets the error at once.
                Err(Unanswered::Unreachable(error)) if have == 0 => return Err(error),
                Err(Unanswered::Unreachable(error) | Unanswered::Cut(error)) => return Ok(Tried::Cut(error)),
            };
        let status = response.status();
        if status == StatusCode::RANGE_NOT_SATISFIABLE {
            let whole = content_range(response.headers()).is_some_and(|(_, whole)| whole == Some(have));
            return if whole { Ok(Tried::Done) } else { self.empty().map(|()| Tried::StartAgain) };
        }
        let checked = check(response, &self.archive.what);
        if is_passing(status) {
            return checked.map(|_| Tried::StartAgain).or_else(|error| Ok(Tried::Cut(error)));
        }
        let response = checked?;
        let start = match (status, content_range(response.headers())) {
            (StatusCode::PARTIAL_CONTENT, Some((Some(start), _))) if start == have => have,
            (StatusCode::PARTIAL_CONTENT, _) => return self.empty().map(|()| Tried::StartAgain),
            _ => 0,
        };
        self.receive(response, start).await
    }

    async fn receive(&self, mut response: Response, start: u64) -> Result<Tried, CodexError> {
        let io = |source| CodexError::Io { path: self.file.clone(), source };
        let total = response.content_length().map(|rest| start + rest);
        if total.is_some_and(|total| total > MAX_BYTES) {
            return Err(too_large());
        }
        if start == 0 {
            self.empty()?;
            if let Some(tag) = strong_tag(response.headers()) {
                fs::write(self.tag_file(), tag).map_err(CodexError::io(&self.tag_file()))?;
            }
        }
        let file = fs::OpenOptions::new().append(true).create(true).open(&self.file).map_err(io)?;
        let mut file = tokio::fs::File::from_std(file);
        let mut have = start;
        (self.progress)(have, total);
        let cut = loop {
            match self.unless_cancelled(response.chunk()).await {
                Err(cancelled) => break Some(cancelled),
                Ok(Ok(Some(piece))) => {
                    have += piece.len() as u64;
                    if have > MAX_BYTES {
                        return Err(too_large());
                    }
                    file.write_all(&piece).await.map_err(io)?;
                    (self.progress)(have, total);
                }
                Ok(Ok(None)) => break None,
                Ok(Err(error)) => break Some(offline(&self.archive.url, &error)),
            }
        };
        // The received bytes are kept for the next try in every case.
        file.flush().await.map_err(io)?;
        file.sync_all().await.map_err(io)?;
        match cut {
            None => Ok(Tried::Done),
            Some(CodexError::Cancelled) => Err(CodexError::Cancelled),
            Some(error) => Ok(Tried::Cut(error)),
        }
    }

    async fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> Result<T, CodexError> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(CodexError::Cancelled),
            result = work => Ok(result),
        }
    }

    fn size(&self) -> u64 {
        fs::metadata(&self.file).map_or(0, |file| file.len())
    }

    /// The file with the server's tag for these bytes.
    fn tag_file(&self) -> PathBuf {
        self.file.with_extension("etag")
    }

    fn empty(&self) -> Result<(), CodexError> {
        super::store::remove(&self.tag_file());
        File::create(&self.file).map(drop).map_err(CodexError::io(&self.file))
    }

    /// Removes a partial archive, because it would only fill a disk that is already full.
    fn make_room(&self, error: CodexError) -> CodexError {
        if matches!(error, CodexError::Io { .. } | CodexError::TooLarge { .. }) {
            super::store::remove(&self.file);
            super::store::remove(&self.tag_file());
        }
        error
    }
}

fn too_large() -> CodexError {
    CodexError::TooLarge { what: "it", limit: MAX_BYTES }
}

/// Checks whether the file has the promised digest.
///
/// # Errors
/// `WrongHash` if the digest is another.
pub(super) fn verify(file: &Path, archive: &Archive, cancel: &CancellationToken) -> Result<(), CodexError> {
    let mut source = File::open(file).map_err(CodexError::io(file))?;
    let (mut hash, mut buffer) = (Sha512::new(), vec![0; 1 << 16]);
    loop {
        if cancel.is_cancelled() {
            return Err(CodexError::Cancelled);
        }
        match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => hash.update(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(CodexError::Io { path: file.to_owned(), source }),
        }
    }
    let got = hash.finalize();
    if got.as_slice() == archive.sha512 {
        return Ok(());
    }
    let text = |digest: &[u8]| STANDARD.encode(digest);
    let (wanted, got) = (text(&archive.sha512), text(got.as_slice()));
    Err(CodexError::WrongHash { what: archive.what.clone(), wanted, got })
}

/// Parses `Content-Range`: `bytes 5-9/10` is `(Some(5), Some(10))`, `bytes */10` is `(None, Some(10))`.
fn content_range(headers: &HeaderMap) -> Option<(Option<u64>, Option<u64>)> {
    let (range, whole) =
        headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?.split_once('/')?;
    let start = range.split_once('-').and_then(|(start, _)| start.trim().parse().ok());
    Some((start, whole.trim().parse().ok()))
}

/// A weak tag does not promise identical bytes.
fn strong_tag(headers: &HeaderMap) -> Option<&str> {
    headers.get(ETAG)?.to_str().ok().filter(|tag| tag.starts_with('"'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_are_read() {
        let of = |text: &str| content_range(&HeaderMap::from_iter([(CONTENT_RANGE, text.parse().unwrap())]));
        assert_eq!(of("bytes 5-9/10"), Some((Some(5), Some(10))));
        assert_eq!(of("bytes 5-9/*"), Some((Some(5), None)));
        assert_eq!(of("bytes */10"), Some((None, Some(10))));
        assert_eq!(of("items 1-2/3"), None);
        assert_eq!(content_range(&HeaderMap::new()), None);
    }

    #[test]
    fn a_file_with_another_digest_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a");
        fs::write(&file, "abc").unwrap();
        let sha512 = Sha512::digest(b"abc").as_slice().try_into().unwrap();
        let mut archive = Archive { what: "x 1".into(), url: "https://r.example/".parse().unwrap(), sha512 };
        let go = CancellationToken::new();
        verify(&file, &archive, &go).unwrap();
        archive.sha512[0] ^= 1;
        let message = verify(&file, &archive, &go).unwrap_err().to_string();
        assert!(message.contains("3a81oZNherrMQXNJriBBMRLm"), "{message}");
        go.cancel();
        assert!(matches!(verify(&file, &archive, &go), Err(CodexError::Cancelled)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn ranges_that_are_written_are_read(start in any::<u32>(), length in 1..1_000_000_u64, any in "[ -~]{0,30}") {
            let (start, end) = (u64::from(start), u64::from(start) + length);
            let of = |text: &str| content_range(&HeaderMap::from_iter([(CONTENT_RANGE, text.parse().unwrap())]));
            prop_assert_eq!(of(&format!("bytes {start}-{}/{end}", end - 1)), Some((Some(start), Some(end))));
            of(&any);
            of(&format!("bytes {any}"));
        }
    }
}
