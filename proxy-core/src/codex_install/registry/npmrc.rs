//! npm's configuration: `key = value` lines, the environment's `npm_config_` variables, and their priority.

use std::collections::BTreeMap;

use super::super::Environment;

/// npm's configuration. It may hold tokens, so it cannot be printed.
#[derive(Default)]
pub(super) struct Npmrc {
    values: BTreeMap<String, String>,
}

impl Npmrc {
    /// The values from the environment.
    pub(super) fn of_environment(environment: &Environment) -> Self {
        const PREFIX: &str = "npm_config_";
        let mut npmrc = Self::default();
        for (name, value) in environment.texts() {
            let Some((prefix, key)) = name.split_at_checked(PREFIX.len()) else { continue };
            if prefix.eq_ignore_ascii_case(PREFIX) && !value.is_empty() {
                // A key that contains an address keeps its case.
                let key = if key.starts_with("//") { key.to_owned() } else { key.to_ascii_lowercase() };
                npmrc.values.entry(key).or_insert_with(|| value.to_owned());
            }
        }
        npmrc
    }

    /// Adds the lines of a file. Existing values are kept.
    pub(super) fn add(&mut self, text: &str, environment: &Environment) {
        let mut of_file = BTreeMap::new();
        for line in text.lines().map(str::trim) {
            if line.starts_with([';', '#', '[']) {
                continue;
            }
            let Some((key, value)) = line.split_once('=') else { continue };
            let (key, value) = (expand(key.trim(), environment), expand(unquoted(value.trim()), environment));
            if !value.is_empty() {
                of_file.insert(key, value);
            }
        }
        for (key, value) in of_file {
            self.values.entry(key).or_insert(value);
        }
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<String> {
        self.values.get(key).cloned()
    }
}

fn unquoted(value: &str) -> &str {
    let inside = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inside('"').or_else(|| inside('\'')).unwrap_or(value)
}

/// Expands variables: without such a variable `${NAME}` stays as it is, and `${NAME?}` becomes empty.
fn expand(text: &str, environment: &Environment) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, behind)) = after.split_once('}') else { break };
        out.push_str(before);
        let optional = name.strip_suffix('?');
        match environment.text(optional.unwrap_or(name)) {
            Some(value) => out.push_str(value),
            None if optional.is_some() => {}
            None => out.extend(["${", name, "}"]),
        }
        rest = behind;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn files_are_read_as_npm_reads_them() {
        let environment =
            Environment::of([("T".to_owned(), "v".into()), ("npm_config_b".to_owned(), "env".into())]);
        let mut npmrc = Npmrc::of_environment(&environment);
        npmrc.add(
            "; c\n#d=1\n[s]\na = 1\na=2\nb=file\nq=\"x y\"\ne=${T}-${U}-${U?}.\nn=${T\nempty=\nno",
            &environment,
        );
        npmrc.add("a=3\nc=4", &environment);
        let get = |key: &str| npmrc.get(key);
        assert_eq!(get("a").as_deref(), Some("2"));
        assert_eq!(get("b").as_deref(), Some("env"));
        assert_eq!(get("c").as_deref(), Some("4"));
        assert_eq!(get("q").as_deref(), Some("x y"));
        assert_eq!(get("e").as_deref(), Some("v-${U}-."));
        assert_eq!(get("n").as_deref(), Some("${T"));
        for none in ["empty", "no", "#d", "d", "; c"] {
            assert_eq!(get(none), None, "{none}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn nothing_in_a_file_is_too_strange(text in prop_oneof![any::<String>(), "([@a-z:/_=;#\\[\"'${}?]{0,30}\n){0,6}"]) {
            super::super::fuzz(text.as_bytes());
            let environment = Environment::of([]);
            let mut npmrc = Npmrc::default();
            npmrc.add("registry=first", &environment);
            npmrc.add(&text, &environment);
            let first = npmrc.get("registry");
            prop_assert_eq!(first.as_deref(), Some("first"), "what is there already stays");
        }

        #[test]
        fn what_is_written_is_read(key in "[@a-z/:_]{1,20}", value in "[a-z0-9/:. ]{0,20}[a-z0-9]", quote in "[\"']?") {
            let environment = Environment::of([]);
            let mut npmrc = Npmrc::default();
            npmrc.add(&format!(" {key} = {quote}{value}{quote} \n"), &environment);
            let found = npmrc.get(&key).unwrap();
            prop_assert_eq!(found.trim(), value.trim());
            prop_assert_eq!(expand(&value, &environment), value);
        }
    }
}
