use tempfile::TempDir;

use super::*;

fn refusal(data_dir: &Path) -> String {
    InstanceLock::take(data_dir).unwrap_err().to_string()
}

#[test]
fn a_second_taker_is_told_who_has_it() {
    let dir = TempDir::new().unwrap();
    let data_dir = dir.path().join("deep/data");
    let mut lock = InstanceLock::take(&data_dir).unwrap();
    let (directory, pid) = (data_dir.display(), std::process::id());
    let message = refusal(&data_dir);
    assert!(message.starts_with(&format!("another Codex Proxy (process {pid}, since ")), "{message}");
    lock.announce(&"127.0.0.1:11435".parse().unwrap()).unwrap();
    let message = refusal(&data_dir);
    let since = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(lock.holder.started));
    assert_eq!(
        message,
        format!(
            "another Codex Proxy (process {pid}, listening on 127.0.0.1:11435, since {since}) uses the data \
             directory '{directory}'. Stop it, or choose another directory with PROXY_DATA_DIR."
        )
    );
    drop(lock);
    InstanceLock::take(&data_dir).unwrap();
}

#[test]
fn of_many_takers_at_once_one_gets_it() {
    let dir = TempDir::new().unwrap();
    let start = std::sync::Barrier::new(8);
    let take = || {
        start.wait();
        InstanceLock::take(dir.path())
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let takers: Vec<_> = (0..8).map(|_| scope.spawn(take)).collect();
        takers.into_iter().map(|taker| taker.join().unwrap()).collect()
    });
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for error in results.iter().filter_map(|result| result.as_ref().err()) {
        assert!(matches!(error, InstanceError::Held { .. }), "{error}");
    }
}

#[test]
fn files_of_a_proxy_that_was_killed_are_no_obstacle() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join(LOCK), "anything").unwrap();
    fs::write(dir.path().join(HOLDER), r#"{"pid":1,"started":1,"address":"127.0.0.1:1"}"#).unwrap();
    fs::write(dir.path().join("lock.json.tmp"), "{").unwrap();
    let lock = InstanceLock::take(dir.path()).unwrap();
    assert_eq!(holder(dir.path()), Some(lock.holder.clone()));
    assert_eq!(lock.holder.pid, std::process::id());
    drop(lock);
    assert!(!dir.path().join(HOLDER).exists());
}

#[test]
fn another_process_that_holds_the_lock_is_named_by_its_file() {
    let dir = TempDir::new().unwrap();
    let other = private_file().open(dir.path().join(LOCK)).unwrap();
    other.try_lock().unwrap();
    assert!(refusal(dir.path()).starts_with("another Codex Proxy uses the data directory '"));
    let file = dir.path().join(HOLDER);
    for broken in ["", "{", "{\"pid\":1234", "[1]"] {
        fs::write(&file, broken).unwrap();
        assert!(refusal(dir.path()).starts_with("another Codex Proxy uses the data directory '"));
    }
    fs::write(&file, r#"{"pid":1234,"started":784111777,"address":"[::1]:80"}"#).unwrap();
    let message = refusal(dir.path());
    let expected = "(process 1234, listening on [::1]:80, since Sun, 06 Nov 1994 08:49:37 GMT) uses";
    assert!(message.contains(expected), "{message}");
    fs::write(&file, format!(r#"{{"pid":1234,"started":{},"address":null}}"#, u64::MAX)).unwrap();
    assert!(refusal(dir.path()).contains("(process 1234) uses"));
    drop(other);
    InstanceLock::take(dir.path()).unwrap();
}

#[test]
fn what_is_no_directory_is_refused_with_advice() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    for data_dir in [file.clone(), file.join("below")] {
        let message = refusal(&data_dir);
        assert!(message.contains("it is not a directory") && message.contains("PROXY_DATA_DIR"), "{message}");
    }
    let blocked = dir.path().join("blocked");
    fs::create_dir_all(blocked.join(LOCK)).unwrap();
    let message = refusal(&blocked);
    assert!(message.contains("Move that directory away"), "{message}");
}

#[test]
fn every_reason_has_its_advice() {
    let cases = [
        (ErrorKind::ReadOnlyFilesystem, "read-only"),
        (ErrorKind::PermissionDenied, "Change its owner"),
        (ErrorKind::StorageFull, "Free some space"),
        (ErrorKind::QuotaExceeded, "Free some space"),
        (ErrorKind::Other, "the system refused"),
    ];
    for (kind, part) in cases {
        let message = unusable(Path::new("/data"), &kind.into());
        assert!(message.starts_with("the data directory '/data' cannot be used: "), "{message}");
        assert!(message.contains(part) && message.ends_with("PROXY_DATA_DIR."), "{message}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_place_where_nothing_can_be_made_is_refused_with_advice() {
    let message = refusal(Path::new("/proc/codex-proxy"));
    assert!(message.starts_with("the data directory '/proc/codex-proxy' cannot be used: "), "{message}");
}

#[cfg(unix)]
#[test]
fn a_new_directory_is_private() {
    use std::os::unix::fs::PermissionsExt as _;

    let dir = TempDir::new().unwrap();
    let data_dir = dir.path().join("data");
    let lock = InstanceLock::take(&data_dir).unwrap();
    assert_eq!(fs::metadata(&data_dir).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(lock.file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[cfg(unix)]
#[test]
#[expect(clippy::disallowed_methods, reason = "a child of the test's own, which knows nothing of the lock")]
fn a_child_does_not_keep_the_lock() {
    let dir = TempDir::new().unwrap();
    let lock = InstanceLock::take(dir.path()).unwrap();
    let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    drop(lock);
    let taken = InstanceLock::take(dir.path());
    child.kill().unwrap();
    child.wait().unwrap();
    taken.unwrap();
}

#[test]
fn only_who_holds_the_lock_is_running() {
    let dir = TempDir::new().unwrap();
    assert_eq!(running(dir.path()).unwrap(), None);
    assert_eq!(running(&dir.path().join("missing")).unwrap(), None);
    let mut lock = InstanceLock::take(dir.path()).unwrap();
    let address = "127.0.0.1:11435".parse().unwrap();
    lock.announce(&address).unwrap();
    let found = running(dir.path()).unwrap().unwrap();
    assert_eq!((found.pid, found.address), (std::process::id(), Some(address)));
    // The state that a killed proxy leaves.
    let left = fs::read(dir.path().join(HOLDER)).unwrap();
    drop(lock);
    fs::write(dir.path().join(HOLDER), left).unwrap();
    assert_eq!(running(dir.path()).unwrap(), None);
    // The query must have released the lock.
    InstanceLock::take(dir.path()).unwrap();
}
