use tempfile::TempDir;

use super::*;
use crate::keys::KeychainMode;

fn config(dir: &Path) -> Config {
    let data_dir = dir.join("share").join("codex-proxy");
    Config {
        logs: Some(dir.join("logs")),
        elsewhere: vec![dir.join("config/codex-proxy/config.toml"), dir.join("autostart/entry.desktop")],
        directories: vec![data_dir.clone(), dir.join("config/codex-proxy")],
        keys: keys::Config {
            api_key: None,
            data_dir: data_dir.clone(),
            keychain: KeychainMode::Off,
            exposed: false,
        },
        client_setup: client_setup::Config {
            home: Some(dir.to_owned()),
            config: None,
            roaming: None,
            record: data_dir.join("clients.json"),
        },
        data_dir,
    }
}

fn write(file: &Path, text: &str) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

#[test]
fn what_the_proxy_made_goes_and_what_others_made_stays() {
    let dir = TempDir::new().unwrap();
    let config = config(dir.path());
    let data = |name: &str| config.data_dir.join(name);
    for name in OWN.iter().chain(&["proxy.db-wal", "proxy.db.corrupt-1", ".tmpAbC"]) {
        write(&data(name), "12345");
    }
    for file in ["logs/codex-proxy.log", "logs/codex-proxy.log.1", "config/codex-proxy/config.toml"] {
        write(&dir.path().join(file), "1");
    }
    for file in ["logs/codex-proxy.log.txt", "logs/other.log", "autostart/other.desktop", ".codex/auth.json"]
    {
        write(&dir.path().join(file), "mine");
    }
    let found = find(&config);
    assert_eq!(found.places.len(), OWN.len() + 3 + 3, "{found:?}");
    assert_eq!(found.places.iter().map(|place| place.bytes).sum::<u64>(), (OWN.len() as u64 + 3) * 5 + 3);
    assert_eq!((found.in_keychain, found.others.len()), (None, 0), "what is no list of keys tells of none");
    assert!(matches!(remove(&config, true), Err(RemovalError::Keys(KeyRingError::BrokenIndex { .. }))));
    assert!(config.data_dir.join("proxy.db").exists());

    remove(&config, false).unwrap();
    let mut left: Vec<String> = Vec::new();
    let mut dirs = vec![dir.path().to_owned()];
    while let Some(at) = dirs.pop() {
        for path in entries(&at) {
            let name = path.strip_prefix(dir.path()).unwrap().to_string_lossy().replace('\\', "/");
            if path.is_dir() { dirs.push(path) } else { left.push(name) }
        }
    }
    left.sort();
    assert_eq!(
        left,
        [".codex/auth.json", "autostart/other.desktop", "logs/codex-proxy.log.txt", "logs/other.log"]
    );
    assert!(!config.data_dir.exists() && !dir.path().join("config/codex-proxy").exists());
    remove(&config, true).unwrap();
}

#[test]
fn a_data_directory_that_is_others_too_keeps_what_is_theirs() {
    let dir = TempDir::new().unwrap();
    let usual = config(dir.path());
    let own = dir.path().to_owned();
    let config = Config { data_dir: own.clone(), directories: vec![own], ..usual };
    write(&dir.path().join("letter.txt"), "mine");
    write(&dir.path().join("work/a"), "1");
    let found = remove(&config, true).unwrap();
    assert_eq!(found.others, [dir.path().join("letter.txt")]);
    assert_eq!(entries(dir.path()), [dir.path().join("letter.txt")]);
}

#[test]
fn nothing_goes_while_a_proxy_runs_or_the_keychain_keeps_its_part() {
    let dir = TempDir::new().unwrap();
    let config = config(dir.path());
    let lock = InstanceLock::take(&config.data_dir).unwrap();
    let index = format!(
        r#"{{"version":1,"installation":"abc","keys":[{{"id":"key_1","name":"a","created_at":1,"enabled":true,
        "secret_in":"keychain","secret":"s","sha256":"{}"}}],"leftovers":["t"]}}"#,
        "0".repeat(64)
    );
    write(&config.data_dir.join("keys.json"), &index);
    assert!(matches!(remove(&config, true), Err(RemovalError::Instance(InstanceError::Held { .. }))));
    drop(lock);
    assert_eq!(find(&config).in_keychain, Some(2));
    let error = remove(&config, true).unwrap_err();
    assert!(matches!(error, RemovalError::Keys(KeyRingError::KeychainOff)), "{error}");
    assert!(config.data_dir.join("keys.json").exists());
    remove(&config, false).unwrap();
    assert!(!config.data_dir.exists());
}

#[cfg(unix)]
#[test]
fn a_link_goes_and_not_what_it_leads_to() {
    let dir = TempDir::new().unwrap();
    let config = config(dir.path());
    let elsewhere = dir.path().join("disk");
    write(&elsewhere.join("letter.txt"), "mine");
    fs::create_dir_all(&config.data_dir).unwrap();
    std::os::unix::fs::symlink(&elsewhere, config.data_dir.join("work")).unwrap();
    remove(&config, true).unwrap();
    assert!(!config.data_dir.exists() && elsewhere.join("letter.txt").exists());
}
