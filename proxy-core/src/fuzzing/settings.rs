//! Fuzzes `config.toml`: its start values, and changes while the proxy runs.

use std::collections::BTreeMap;
use std::ffi::OsString;

use serde_json::{Map, Value, json};

use crate::Config;
use crate::codex_install::fuzz_scratch as scratch;
use crate::config::Flags;
use crate::control::settings::SettingsBook as _;
use crate::paths::Dirs;

/// The text of the file. After a zero byte follow the changes, in the form of the control API.
pub fn settings(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let text = parts.next().unwrap_or_default();
    let changes = parts.next().and_then(|changes| serde_json::from_slice::<Map<String, Value>>(changes).ok());
    let changes = changes.unwrap_or_else(|| {
        let changes =
            [("port", json!(4000)), ("strict_params", json!(true)), ("cors_allowed_origins", json!(["*"]))];
        changes.map(|(key, value)| (key.to_owned(), value)).into_iter().collect()
    });
    let Ok(root) = scratch() else { return };
    let root = root.path();
    let file = root.join("config.toml");
    let dirs = Dirs {
        config: Some(root.to_owned()),
        data: Some(root.join("data")),
        home: Some(root.to_owned()),
        current: root.to_owned(),
    };
    let environment = BTreeMap::<String, OsString>::new();
    let load = || Config::load(&Flags::new(), &environment, &dirs);
    if std::fs::write(&file, text).is_err() {
        return;
    }
    let config = match load() {
        Ok(config) => config,
        Err(problems) => {
            assert!(!problems.to_string().is_empty());
            return;
        }
    };
    let Ok(changed) = config.live_settings.change(&changes) else {
        assert!(std::fs::read(&file).is_ok_and(|after| after == text), "a refused change changes nothing");
        return;
    };
    assert!(load().is_ok(), "a change that was taken can be started with: {changes:?}");
    let value = |name: &str| changed.settings.iter().find(|setting| setting.key.as_deref() == Some(name));
    assert!(changes.keys().all(|key| value(key).is_some()), "only settings are changed");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::config::table::ALL;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_file_of_settings_is_too_strange(
            lines in prop::collection::vec((select(keys()), prop_oneof![
                "\"[a-z0-9*:/.]{0,10}\"",
                "[0-9]{1,6}",
                Just("true".to_owned()),
                "\\[(\"[a-z.]{0,6}\",?){0,3}\\]",
                any::<String>(),
            ]), 0..5),
            change in any::<String>(),
        ) {
            let mut text = String::new();
            let mut seen = BTreeSet::new();
            for (key, value) in lines {
                if seen.insert(key) {
                    text.push_str(&format!("{key} = {value}\n"));
                }
            }
            let changes = json!({"default_model": change}).to_string();
            settings(&[text.as_bytes(), b"\0", changes.as_bytes()].concat());
        }
    }

    /// The keys of the file, and an invalid one.
    fn keys() -> Vec<&'static str> {
        ALL.iter().filter_map(|entry| entry.meta().key).chain(["no_such_setting"]).collect()
    }
}
