use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

#[cfg(not(windows))]
use super::super::kinds::FilePath;
use super::super::kinds::{Budgets, Hosts, Int, Millis, Networks, Pairs};
use super::super::setting::{Base, Kind};
use super::super::table::ALL;
use super::*;

fn base() -> Base<'static> {
    Base { dir: Path::new("/there"), home: Some(Path::new("/home/jo")) }
}

fn kind<K: Kind>(text: &str) -> Option<Value> {
    K::parse(text, &base()).map(|value| K::show(&value))
}

/// A shown value as it would be written in a setting.
fn written(shown: &Value) -> String {
    match shown {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(written).collect::<Vec<_>>().join(","),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Object(_)) => other.to_string(),
    }
}

/// Texts that some setting accepts, and texts that are similar to these.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "-?[0-9]{1,20}([.][0-9]{1,3})?",
        "([a-z*-]{1,8}[.]?){0,4}(:[0-9]{1,6})?(, ?[a-z.]{1,8}){0,2}",
        "([0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(/[0-9]{1,3})?",
        "[0-9]{1,3}([.][0-9]{1,3}){3}(/[0-9]{1,2})?,?",
        "(https?|app|file)://[a-z*.@:]{0,12}(/[a-z?#]{0,5})?",
        "[a-z ]{1,8}=[0-9a-z%+]{0,8}(,[a-z]{1,4}=[0-9%]{0,4}){0,2}",
        "~?(/[a-z.]{0,5}){0,3}",
        select(vec!["true", "YES", "0", "off", "localhost", "*", "info,proxy_core=debug", "[::1]"])
            .prop_map(str::to_owned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_a_setting_is_shown_as_is_what_it_is(text in text()) {
        for entry in ALL {
            let meta = entry.meta();
            let Some(shown) = entry.show(&text, &base()) else { continue };
            // A key is not shown, the built-in list of origins is shown in words, and percent encodings are
            // decoded only once.
            let is_decoded = meta.env.contains("HEADERS") || meta.env.contains("ATTRIBUTES");
            if meta.secret || shown == "the built-in list" || is_decoded {
                continue;
            }
            // Windows removes dots and spaces at the end of each name, and then another pair of dots may remain.
            if cfg!(windows) && shown.as_str().is_some_and(|path| Path::new(path).is_absolute()) {
                continue;
            }
            let again = entry.show(&written(&shown), &base());
            prop_assert_eq!(again, Some(shown), "{}: {}", meta.env, text);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn numbers_are_taken_within_their_bounds_only(number in prop_oneof![any::<u64>(), 0..2_000_u64], sign in select(vec!["-", "+", " ", "0x"])) {
        let text = number.to_string();
        prop_assert_eq!(kind::<Int<u64, 10, 1000>>(&text).is_some(), (10..=1000).contains(&number));
        prop_assert_eq!(kind::<Int<u16, 0, 100_000>>(&text).is_some(), number <= u64::from(u16::MAX));
        let week = 7 * 24 * 60 * 60 * 1000;
        prop_assert_eq!(kind::<Millis<5>>(&text), (5..=week).contains(&number).then(|| number.into()));
        prop_assert_eq!(kind::<Millis<0>>(&format!("{sign}{text}")), None);
    }

    #[test]
    fn an_address_is_in_a_network_that_is_written_of_it(address in any::<IpAddr>(), length in 1..=128_u8) {
        let most = if address.is_ipv4() { 32 } else { 128 };
        let text = format!("{address}/{}, {address}", (length - 1) % most + 1);
        let networks = Networks::parse(&text, &base()).unwrap();
        prop_assert!(networks[0].contains(&address), "{}", text);
        prop_assert!(networks[1].contains(&address.to_canonical()));
        prop_assert_eq!(kind::<Networks>(&format!("{address}/0")), None, "nobody trusts everybody");
    }

    #[test]
    fn lists_are_what_was_put_into_them(
        budgets in prop::collection::btree_map("[a-z][a-z =]{0,6}[a-z]", any::<u64>(), 0..4),
        pairs in prop::collection::vec(("[a-z]{1,8}", "[^\\p{Cc}]{0,12}"), 0..4),
        names in prop::collection::vec("[a-z]{1,6}([.][a-z]{1,6}){0,2}", 0..4),
    ) {
        let text: Vec<String> = budgets.iter().map(|(name, tokens)| format!(" {name} = {tokens}")).collect();
        prop_assert_eq!(Budgets::parse(&text.join(","), &base()), Some(budgets));
        let encoded = |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
        let text: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        prop_assert_eq!(Pairs::parse(&text.join(" , "), &base()), Some(pairs));
        prop_assert_eq!(Hosts::parse(&names.join(","), &base()), Some(names));
    }

    #[cfg(not(windows))]
    #[test]
    fn a_path_is_absolute_and_stays(text in "~?[a-z ./~]{1,20}") {
        if let Some(path) = FilePath::parse(&text, &base()) {
            prop_assert!(path.is_absolute());
            prop_assert_eq!(FilePath::parse(path.to_str().unwrap(), &base()), Some(path));
        }
    }
}
