use std::sync::Barrier;

use super::*;

fn config(directory: &Path) -> Config {
    Config { api_key: None, file: directory.join("data").join("api-key") }
}

fn names(directory: &Path) -> Vec<String> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_configured_key_goes_before_the_file_and_makes_none() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.api_key = Some(ApiKey::parse("my-own-key").unwrap());
    let loaded = load(&config).unwrap();
    assert_eq!((loaded.key.expose(), loaded.origin), ("my-own-key", KeyOrigin::Configured));
    assert!(!config.file.exists());
}

#[test]
fn the_first_start_makes_a_key_and_the_next_one_finds_it() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let first = load(&config).unwrap();
    assert_eq!(first.origin, KeyOrigin::NewFile(config.file.clone()));
    let second = load(&config).unwrap();
    assert_eq!(second.origin, KeyOrigin::File(config.file.clone()));
    assert_eq!(first.key.expose(), second.key.expose());
    assert_eq!(names(config.file.parent().unwrap()), ["api-key"], "no temporary file is left");
}

#[test]
fn starts_at_once_end_with_one_key() {
    for _ in 0..20 {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path());
        let barrier = Barrier::new(8);
        let loaded: Vec<LoadedKey> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        load(&config).unwrap()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let first = loaded[0].key.expose();
        assert!(loaded.iter().all(|other| other.key.expose() == first));
        let makers = loaded.iter().filter(|one| matches!(one.origin, KeyOrigin::NewFile(_))).count();
        assert_eq!(makers, 1);
        assert_eq!(fs::read_to_string(&config.file).unwrap(), format!("{first}\n"));
        assert_eq!(names(config.file.parent().unwrap()), ["api-key"]);
    }
}

#[test]
fn an_operators_own_file_is_read() {
    for content in ["my-own-key", "my-own-key\n", "my-own-key\r\n"] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("api-key");
        fs::write(&file, content).unwrap();
        assert_eq!(load(&Config { api_key: None, file }).unwrap().key.expose(), "my-own-key", "{content:?}");
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
        let message = load(&Config { api_key: None, file: file.clone() }).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
        assert!(message.contains("delete it to have a new"), "{message}");
        assert!(!message.contains("two words"), "{message}");
        assert_eq!(fs::read(&file).unwrap(), *content);
    }
}

#[test]
fn a_directory_in_the_files_place_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let error = load(&Config { api_key: None, file: directory.path().to_owned() }).unwrap_err();
    assert!(matches!(error, KeyError::Read { .. }), "{error}");
}

#[test]
fn a_place_that_cannot_be_made_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let blocker = directory.path().join("blocker");
    fs::write(&blocker, "a file, not a directory").unwrap();
    let error = load(&Config { api_key: None, file: blocker.join("api-key") }).unwrap_err();
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
        let config = config(directory.path());
        load(&config).unwrap();
        assert_eq!(mode(&config.file), 0o600);
        assert_eq!(mode(config.file.parent().unwrap()), 0o700);
    }

    #[test]
    fn a_file_that_others_can_read_is_tightened() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("api-key");
        for loose in [0o644, 0o640, 0o604, 0o666] {
            fs::write(&file, "my-own-key\n").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(loose)).unwrap();
            load(&Config { api_key: None, file: file.clone() }).unwrap();
            assert_eq!(mode(&file), 0o600, "{loose:o}");
        }
    }
}
