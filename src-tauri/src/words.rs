//! The words of the tray, the notices and the questions: one catalogue in each language, chosen in the window or by the
//! system. What the proxy itself says, such as the reason of a failure, is in English.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU8, Ordering};

use intl_pluralrules::{PluralCategory, PluralRuleType, PluralRules};
use serde::{Deserialize, Serialize};
use unic_langid::LanguageIdentifier;

/// A language with a catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Language {
    En,
    De,
}

impl Language {
    /// The first of these languages, such as `de-DE`, that has a catalogue.
    fn first_of(wanted: impl IntoIterator<Item = String>) -> Self {
        let known = |tag: String| match tag.get(..2)?.to_ascii_lowercase().as_str() {
            "en" => Some(Self::En),
            "de" => Some(Self::De),
            _ => None,
        };
        wanted.into_iter().find_map(known).unwrap_or(Self::En)
    }

    fn words(self) -> &'static Words {
        static ENGLISH: LazyLock<Words> =
            LazyLock::new(|| Words::new(include_str!("../words/en.json"), "en"));
        static GERMAN: LazyLock<Words> = LazyLock::new(|| Words::new(include_str!("../words/de.json"), "de"));
        match self {
            Self::En => &ENGLISH,
            Self::De => &GERMAN,
        }
    }
}

/// The language of this process, as the number of its variant.
static CURRENT: AtomicU8 = AtomicU8::new(Language::En as u8);

/// Sets the language of this process; `None` for that of the system.
pub(crate) fn choose(language: Option<Language>) {
    let language = language.unwrap_or_else(|| Language::first_of(sys_locale::get_locales()));
    CURRENT.store(language as u8, Ordering::Relaxed);
}

fn current() -> Language {
    if CURRENT.load(Ordering::Relaxed) == Language::De as u8 { Language::De } else { Language::En }
}

/// The text with this key in the language of this process.
pub(crate) fn t(key: &str) -> String {
    current().words().text(key, &[])
}

/// The text with this key, with each `{name}` replaced by its value.
pub(crate) fn with(key: &str, values: &[(&str, &dyn Display)]) -> String {
    current().words().text(key, values)
}

/// The text with this key for so many, with `{count}` and each other `{name}` replaced.
pub(crate) fn counted(key: &str, count: u64, values: &[(&str, &dyn Display)]) -> String {
    current().words().counted(key, count, values)
}

/// The words of one language.
struct Words {
    texts: BTreeMap<String, String>,
    plurals: Option<PluralRules>,
}

impl Words {
    fn new(catalogue: &str, language: &str) -> Self {
        let rules =
            |language: LanguageIdentifier| PluralRules::create(language, PluralRuleType::CARDINAL).ok();
        Self {
            texts: serde_json::from_str(catalogue).unwrap_or_default(),
            plurals: language.parse().ok().and_then(rules),
        }
    }

    fn text(&self, key: &str, values: &[(&str, &dyn Display)]) -> String {
        // A test finds every key that has no text.
        let text = self.texts.get(key).map_or(key, String::as_str);
        let mut parts = text.split('{');
        let mut whole = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}').unwrap_or((part, ""));
            if let Some((_, value)) = values.iter().find(|(known, _)| *known == name) {
                whole.push_str(&value.to_string());
            }
            whole.push_str(rest);
        }
        whole
    }

    fn counted(&self, key: &str, count: u64, values: &[(&str, &dyn Display)]) -> String {
        let category = self.plurals.as_ref().and_then(|rules| rules.select(count).ok());
        let form = if category == Some(PluralCategory::ONE) { "one" } else { "other" };
        let values: Vec<_> = values.iter().copied().chain([("count", &count as &dyn Display)]).collect();
        self.text(&format!("{key}_{form}"), &values)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    const BOTH: [Language; 2] = [Language::En, Language::De];

    fn holes(text: &str) -> BTreeSet<&str> {
        text.split('{').skip(1).filter_map(|part| Some(part.split_once('}')?.0)).collect()
    }

    #[test]
    fn both_languages_have_every_text_with_the_same_values() {
        let [english, german] = BOTH.map(|language| &language.words().texts);
        assert!(english.keys().eq(german.keys()));
        for (key, text) in english {
            let other = &german[key];
            assert!(!text.trim().is_empty() && !other.trim().is_empty(), "{key}");
            assert_eq!(holes(text), holes(other), "{key}");
            if let Some(base) = key.strip_suffix("_one") {
                assert!(english.contains_key(&format!("{base}_other")), "{key}");
            }
        }
        for language in BOTH {
            let count = |key: &str| language.words().texts[key].split(' ').count();
            assert_eq!((count("weekdays"), count("months")), (7, 12));
        }
    }

    /// The Rust files of the application.
    fn sources(folder: &Path, into: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, into);
            } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("words.rs") {
                into.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }

    #[test]
    fn every_text_is_used_and_every_used_one_is_there() {
        let mut source = String::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut source);
        let texts = &Language::En.words().texts;
        let base = |key: &str| key.trim_end_matches("_one").trim_end_matches("_other").to_owned();
        let unused: Vec<_> =
            texts.keys().filter(|key| !source.contains(&format!("\"{}\"", base(key)))).collect();
        assert_eq!(unused, [""; 0]);
        for call in ["words::t(\"", "words::with(\"", "words::counted(\""] {
            for used in source.split(call).skip(1).filter_map(|rest| Some(rest.split_once('"')?.0)) {
                let other = format!("{used}_other");
                assert!(texts.contains_key(used) || texts.contains_key(&other), "{used} has no text");
            }
        }
    }

    #[test]
    fn one_and_many_in_each_language() {
        let told = |language: Language, count| language.words().counted("tokens", count, &[]);
        assert_eq!([0, 1, 2].map(|count| told(Language::En, count)), ["0 tokens", "1 token", "2 tokens"]);
        assert_eq!([0, 1, 2].map(|count| told(Language::De, count)), ["0 Tokens", "1 Token", "2 Tokens"]);
    }

    #[test]
    fn values_are_put_in_their_places() {
        let words = Language::De.words();
        let address = "http://127.0.0.1:1/v1";
        assert_eq!(words.text("ready", &[("address", &address)]), "Bereit unter http://127.0.0.1:1/v1");
        assert_eq!(words.text("limit_line", &[("used", &"{name}"), ("name", &"x")]), "x: {name}");
    }

    #[test]
    fn the_first_known_language_of_the_system_is_taken() {
        let first = |tags: &[&str]| Language::first_of(tags.iter().map(|tag| (*tag).to_owned()));
        assert_eq!(first(&["fr-FR", "de-AT", "en-US"]), Language::De);
        assert_eq!(first(&["C"]), Language::En);
        assert_eq!(first(&[]), Language::En);
    }
}
