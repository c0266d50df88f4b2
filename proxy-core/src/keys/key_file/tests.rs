use std::fs;
use std::sync::Barrier;

use super::*;

fn key_file(directory: &Path) -> PathBuf {
    directory.join("data").join("api-key")
}

fn names(directory: &Path) -> Vec<String> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn the_first_start_makes_a_key_and_the_next_one_finds_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = key_file(directory.path());
    let first = load_or_make(&file).unwrap();
    assert!(first.is_new);
    let second = load_or_make(&file).unwrap();
    assert!(!second.is_new);
    assert_eq!(first.key.expose(), second.key.expose());
    assert_eq!(names(file.parent().unwrap()), ["api-key"], "no temporary file is left");
}

#[test]
fn starts_at_once_end_with_one_key() {
    for _ in 0..20 {
        let directory = tempfile::tempdir().unwrap();
        let file = key_file(directory.path());
        let barrier = Barrier::new(8);
        let loaded: Vec<LoadedKey> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        load_or_make(&file).unwrap()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let first = loaded[0].key.expose();
        assert!(loaded.iter().all(|other| other.key.expose() == first));
        let makers = loaded.iter().filter(|one| one.is_new).count();
        assert_eq!(makers, 1);
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("{first}\n"));
        assert_eq!(names(file.parent().unwrap()), ["api-key"]);
    }
}

#[test]
fn an_operators_own_file_is_read() {
    for content in ["my-own-key", "my-own-key\n", "my-own-key\r\n"] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("api-key");
        fs::write(&file, content).unwrap();
        assert_eq!(load_or_make(&file).unwrap().key.expose(), "my-own-key", "{content:?}");
    }
}

#[test]
fn broken_files_are_errors_that_say_what_to_do_and_are_left_alone() {
    let long = "x".repeat(2000);
    let cases: &[(&[u8], &str)] = &[
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"short", "at least 8 characters, and this one has 5"),
        (b"two words here", "no spaces"),
        (b"\xff\xfe\xff\xfe\xff\xfe\xff\xfe", "not ASCII text"),
        (long.as_bytes(), "longer than any key"),
    ];
    for (content, expected) in cases {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("api-key");
        fs::write(&file, content).unwrap();
        let message = load_or_make(&file).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
        assert!(message.contains("delete it to have a new"), "{message}");
        assert!(!message.contains("two words"), "{message}");
        assert_eq!(fs::read(&file).unwrap(), *content);
    }
}

#[test]
fn a_directory_in_the_files_place_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let error = load_or_make(directory.path()).unwrap_err();
    assert!(matches!(error, KeyError::Read { .. }), "{error}");
}

#[test]
fn a_place_that_cannot_be_made_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let blocker = directory.path().join("blocker");
    fs::write(&blocker, "a file, not a directory").unwrap();
    let error = load_or_make(&blocker.join("api-key")).unwrap_err();
    assert!(matches!(error, KeyError::Read { .. } | KeyError::Write { .. }), "{error}");
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_made_is_only_for_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let file = key_file(directory.path());
        load_or_make(&file).unwrap();
        assert_eq!(mode(&file), 0o600);
        assert_eq!(mode(file.parent().unwrap()), 0o700);
    }

    #[test]
    fn a_file_that_others_can_read_is_tightened() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("api-key");
        for loose in [0o644, 0o640, 0o604, 0o666] {
            fs::write(&file, "my-own-key\n").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(loose)).unwrap();
            load_or_make(&file).unwrap();
            assert_eq!(mode(&file), 0o600, "{loose:o}");
        }
    }
}
