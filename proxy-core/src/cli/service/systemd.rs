//! Units of a user for systemd: <https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html>.

use std::path::{Path, PathBuf};

const NAME: &str = "codex-proxy.service";
/// The same unit that the packages install.
const UNIT: &str = include_str!("../../../../installers/linux/codex-proxy.service");
const PACKAGED: &str = "/usr/bin/codex-proxy";
const PACKAGED_UNIT: &str = "/usr/lib/systemd/user/codex-proxy.service";

pub(super) const RELOAD: [&str; 2] = ["--user", "daemon-reload"];
pub(super) const ENABLE: [&str; 3] = ["--user", "enable", NAME];
pub(super) const ENABLE_NOW: [&str; 4] = ["--user", "enable", "--now", NAME];
pub(super) const DISABLE: [&str; 4] = ["--user", "disable", "--now", NAME];
pub(super) const SHOW: [&str; 4] = ["--user", "show", NAME, "--property=UnitFileState,ActiveState"];

/// The path of the unit, below the directory of the user's settings.
pub(super) fn file(settings: &Path) -> PathBuf {
    settings.join("systemd").join("user").join(NAME)
}

/// Whether the unit of an installed package starts exactly this command.
pub(super) fn is_packaged(command: &[String]) -> bool {
    matches!(command, [program, run] if program == PACKAGED && run == "run")
        && Path::new(PACKAGED_UNIT).exists()
}

/// The content of a unit that starts `command`.
pub(super) fn unit(command: &[String]) -> String {
    let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
    let line = |line: &str| {
        if line.starts_with("ExecStart=") {
            format!("ExecStart={}\n", words.join(" "))
        } else {
            format!("{line}\n")
        }
    };
    UNIT.lines().map(line).collect()
}

/// Whether the unit is enabled, and whether it is running.
pub(super) fn read(shown: &str) -> (bool, bool) {
    let value = |name: &str| shown.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let enabled = matches!(value("UnitFileState"), Some("enabled" | "enabled-runtime" | "linked"));
    (enabled, matches!(value("ActiveState"), Some("active" | "activating" | "reloading")))
}

/// Quotes one word of `ExecStart=`, in which `%` and `$` have a special meaning.
fn quoted(word: &str) -> String {
    let mut text = String::from("\"");
    for letter in word.chars() {
        match letter {
            '"' | '\\' => text.extend(['\\', letter]),
            '%' | '$' => text.extend([letter, letter]),
            other => text.push(other),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_unit_starts_what_it_is_told_to() {
        let command = ["/opt/a b/codex-proxy", "run", "--data-dir", "/100 %/$x\\\"y\""].map(str::to_owned);
        let unit = unit(&command);
        let line = unit.lines().find(|line| line.starts_with("ExecStart=")).unwrap();
        assert_eq!(line, r#"ExecStart="/opt/a b/codex-proxy" "run" "--data-dir" "/100 %%/$$x\\\"y\"""#);
        assert_eq!(unit.lines().count(), UNIT.lines().count());
        for setting in
            ["Restart=on-failure", "KillMode=mixed", "NoNewPrivileges=yes", "WantedBy=default.target"]
        {
            assert!(unit.contains(&format!("\n{setting}\n")), "{setting} is missing");
        }
    }

    #[test]
    fn what_systemd_shows_is_understood() {
        for (shown, expected) in [
            ("UnitFileState=enabled\nActiveState=active\n", (true, true)),
            ("ActiveState=inactive\nUnitFileState=enabled\n", (true, false)),
            ("UnitFileState=\nActiveState=inactive\n", (false, false)),
            ("UnitFileState=disabled\nActiveState=failed\n", (false, false)),
            ("", (false, false)),
        ] {
            assert_eq!(read(shown), expected, "{shown}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_word_is_taken_apart_as_it_was_put_together(words in prop::collection::vec("[^\\p{C}]{0,20}", 1..4)) {
            let unit = unit(&words);
            let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
            // Parses quotation marks, backslashes, specifiers and variables as systemd does.
            let (mut found, mut word, mut letters) = (Vec::new(), None::<String>, line.chars());
            while let Some(letter) = letters.next() {
                match (&mut word, letter) {
                    (None, '"') => word = Some(String::new()),
                    (None, space) => prop_assert_eq!(space, ' '),
                    (Some(_), '"') => found.extend(word.take()),
                    (Some(word), '\\') => word.extend(letters.next()),
                    (Some(word), '%' | '$') => {
                        prop_assert_eq!(letters.next(), Some(letter));
                        word.push(letter);
                    }
                    (Some(word), letter) => word.push(letter),
                }
            }
            prop_assert_eq!(found, words);
            prop_assert_eq!(unit.lines().count(), UNIT.lines().count());
        }

        #[test]
        fn no_answer_is_too_strange(shown in any::<String>()) {
            read(&shown);
        }
    }
}
