use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::Config;

/// The files of one proxy, and the values that it is started with.
struct Scene {
    root: TempDir,
    flags: Flags,
    env: BTreeMap<String, OsString>,
}

impl Scene {
    fn new(file: Option<&str>) -> Self {
        let scene = Self { root: tempfile::tempdir().unwrap(), flags: Flags::new(), env: BTreeMap::new() };
        if let Some(text) = file {
            std::fs::write(scene.file(), text).unwrap();
        }
        scene
    }

    fn file(&self) -> PathBuf {
        self.root.path().join("config.toml")
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.file()).unwrap()
    }

    fn start(&self) -> LiveSettings {
        let root = self.root.path();
        let dirs = Dirs {
            config: Some(root.to_owned()),
            data: Some(root.join("data")),
            home: Some(root.to_owned()),
            current: root.to_owned(),
        };
        Config::load(&self.flags, &self.env, &dirs).unwrap().live_settings
    }
}

fn changes(value: Value) -> Map<String, Value> {
    serde_json::from_value(value).unwrap()
}

fn named<'a>(settings: &'a Settings, name: &str) -> &'a Setting {
    settings.settings.iter().find(|setting| setting.name == name).unwrap()
}

fn leftovers(directory: &Path) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

#[test]
fn settings_say_what_they_are_and_where_they_come_from() {
    let mut scene = Scene::new(Some("port = 8080\n"));
    scene.env.insert("RUST_LOG".into(), "debug".into());
    scene.env.insert("PROXY_API_KEY".into(), "canary-canary-canary".into());
    scene.flags.insert("host".into(), "::1".into());
    let live = scene.start();
    let settings = live.read();
    let about = |name| {
        let setting = named(&settings, name);
        (setting.value.clone(), setting.set, setting.source.as_str(), setting.kind.as_str())
    };
    assert_eq!(about("PORT"), (json!(8080), true, "file", "integer"));
    assert_eq!(about("PROXY_LOG"), (json!("debug"), true, "environment", "string"));
    assert_eq!(about("PROXY_HOST"), (json!("::1"), true, "flag", "string"));
    assert_eq!(about("PROXY_ENV"), (json!("prod"), false, "default", "string"));
    assert_eq!(about("PROXY_ALLOWED_HOSTS"), (json!([]), false, "default", "list"));
    assert_eq!(about("PROXY_API_KEY"), (Value::Null, true, "environment", "string"));
    assert_eq!((named(&settings, "PORT").default.clone(), settings.restart_needed), (json!(11435), false));
    assert_eq!(named(&settings, "PROXY_CONFIG").key, None);
    let all = format!("{live:?}{}", serde_json::to_string(&settings).unwrap());
    assert!(!all.contains("canary"), "{all}");
}

#[test]
fn a_change_is_written_between_the_comments_and_needs_a_start() {
    let scene = Scene::new(Some("# mine\nport = 8080 # tunnel\nstrict_params = true\n"));
    let live = scene.start();
    let change = json!({
        "port": 8081, "strict_params": null, "allowed_hosts": ["a.example", "b.example:8443"], "env": "dev"
    });
    let saved = live.change(&changes(change)).unwrap();
    assert_eq!(
        scene.text(),
        "# mine\nport = 8081 # tunnel\nallowed_hosts = [\"a.example\", \"b.example:8443\"]\nenv = \"dev\"\n"
    );
    assert!(saved.restart_needed && live.read().restart_needed);
    assert_eq!(named(&saved, "PORT").value, 8081);
    assert_eq!(named(&saved, "PROXY_STRICT_PARAMS").source.as_str(), "default");
    let back = json!({"port": 8080, "strict_params": true, "allowed_hosts": [], "env": ""});
    let back = live.change(&changes(back)).unwrap();
    assert!(!back.restart_needed, "all is as it was at the start");
    assert_eq!(leftovers(scene.root.path()), 1);
}

#[test]
fn what_is_wrong_is_said_and_nothing_is_written() {
    let mut scene = Scene::new(Some("port = 8080\n"));
    scene.flags.insert("log".into(), "info".into());
    scene.env.insert("CODEX_MODEL".into(), "gpt-9".into());
    let live = scene.start();
    for (change, key, words) in [
        (json!({"port": 70_000}), "port", "a whole number from 0 to 65535"),
        (json!({"env": "prod", "port": true}), "port", "a whole number"),
        (json!({"allowed_hosts": [1]}), "allowed_hosts", "list"),
        (json!({"ports": 1}), "ports", "no setting ports"),
        (json!({"env": "dev", "host": "0.0.0.0"}), "host", "PROXY_API_KEY"),
        (json!({"api_key": "short"}), "api_key", "a key of"),
    ] {
        let error = live.change(&changes(change)).unwrap_err();
        assert!(matches!(&error, SettingsError::Invalid { key: blamed, .. } if blamed == key), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
    }
    for (change, words) in [(json!({"log": "debug"}), "--log"), (json!({"codex_model": "x"}), "CODEX_MODEL")]
    {
        let error = live.change(&changes(change)).unwrap_err();
        assert!(matches!(&error, SettingsError::Locked(message) if message.contains(words)), "{error:?}");
    }
    assert_eq!(scene.text(), "port = 8080\n");
}

#[test]
fn a_file_that_a_person_broke_is_left_alone() {
    let scene = Scene::new(Some(""));
    let live = scene.start();
    std::fs::write(scene.file(), "port = = \"canary\"\n").unwrap();
    let error = live.change(&changes(json!({"port": 1}))).unwrap_err().to_string();
    assert!(error.contains("not valid TOML") && !error.contains("canary"), "{error}");
    // Other problems in the file do not prevent the window from correcting one part.
    std::fs::write(scene.file(), "nonsense = 1\nport = 70000\n").unwrap();
    live.change(&changes(json!({"port": 1}))).unwrap();
    assert_eq!(scene.text(), "nonsense = 1\nport = 1\n");
}

#[cfg(unix)]
#[test]
fn the_file_is_its_owners_alone_where_it_is_new_or_holds_a_secret() {
    use std::os::unix::fs::PermissionsExt as _;
    let scene = Scene::new(None);
    let mode = || std::fs::metadata(scene.file()).unwrap().permissions().mode() & 0o777;
    let live = scene.start();
    live.change(&changes(json!({"port": 1}))).unwrap();
    assert_eq!(mode(), 0o600);
    std::fs::set_permissions(scene.file(), std::fs::Permissions::from_mode(0o644)).unwrap();
    live.change(&changes(json!({"port": 2}))).unwrap();
    assert_eq!(mode(), 0o644);
    let saved = live.change(&changes(json!({"api_key": "canary-canary-canary"}))).unwrap();
    assert_eq!(mode(), 0o600);
    assert_eq!(
        (named(&saved, "PROXY_API_KEY").value.clone(), named(&saved, "PROXY_API_KEY").set),
        (Value::Null, true)
    );
}
