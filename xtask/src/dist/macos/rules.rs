//! The rules for `Info.plist`: Apple's, from its reference "Information Property List", and ours.

use plist::{Dictionary, Value};

use super::super::product;

/// The broken rules.
pub(super) fn complaints(info: &Dictionary) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut text = |key: &str, rule: fn(&str) -> bool| match info.get(key) {
        None => complaints.push(format!("{key} is missing")),
        Some(Value::String(value)) if rule(value) => {}
        Some(value) => complaints.push(format!("{key} is {value:?}")),
    };
    text("CFBundleDevelopmentRegion", |region| !region.is_empty());
    text("CFBundleDisplayName", |name| name == product::NAME);
    text("CFBundleExecutable", |name| name == product::APP);
    text("CFBundleIconFile", |name| name.ends_with(".icns"));
    text("CFBundleIdentifier", |identifier| {
        let parts: Vec<&str> = identifier.split('.').collect();
        let letter = |c: char| c.is_ascii_alphanumeric() || c == '-';
        parts.len() > 1 && parts.iter().all(|part| !part.is_empty() && part.chars().all(letter))
    });
    text("CFBundleInfoDictionaryVersion", |version| version == "6.0");
    // The name in the menu bar and the Dock: at most 15 characters.
    text("CFBundleName", |name| name == product::NAME && name.len() <= 15);
    text("CFBundlePackageType", |kind| kind == "APPL");
    text("CFBundleShortVersionString", |version| is_version(version, 3..=3));
    text("CFBundleVersion", |version| is_version(version, 1..=3));
    text("LSApplicationCategoryType", |category| category.starts_with("public.app-category."));
    text("LSMinimumSystemVersion", |version| is_version(version, 2..=3));
    text("NSHumanReadableCopyright", |line| line.starts_with("Copyright"));

    for key in ["LSUIElement", "NSHighResolutionCapable"] {
        if info.get(key) != Some(&Value::Boolean(true)) {
            complaints.push(format!("{key} is not true"));
        }
    }
    for (key, value) in info {
        // The first key would remove the window. The others would make macOS ask for permissions that the program does not use.
        if key == "LSBackgroundOnly" || key.ends_with("UsageDescription") || key == "NSAppTransportSecurity" {
            complaints.push(format!("{key} is not wanted"));
        }
        if let Value::String(value) = value
            && (value.trim().is_empty()
                || ["$(", "${", "{{", "@@", "TODO"].iter().any(|sign| value.contains(sign)))
        {
            complaints.push(format!("{key} is a placeholder: {value:?}"));
        }
    }
    complaints
}

/// Whether this is the given count of numbers, separated by dots and without leading zeros.
fn is_version(text: &str, parts: std::ops::RangeInclusive<usize>) -> bool {
    let numbers: Vec<&str> = text.split('.').collect();
    let is_number = |part: &&str| part.parse::<u32>().is_ok_and(|number| number.to_string() == **part);
    parts.contains(&numbers.len()) && numbers.iter().all(is_number)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::bundle;
    use super::*;

    fn good() -> Dictionary {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        bundle::info(&bundle::config(root).unwrap(), &bundle::own(root).unwrap(), "1.2.3").unwrap()
    }

    fn with(key: &str, value: impl Into<Value>) -> Vec<String> {
        let mut info = good();
        info.insert(key.to_owned(), value.into());
        complaints(&info)
    }

    #[test]
    fn what_tauri_makes_of_our_settings_passes() {
        assert_eq!(complaints(&good()), [""; 0]);
    }

    #[test]
    fn every_rule_can_be_broken() {
        let broken: [(&str, Value); 12] = [
            ("CFBundleVersion", "1.2.3-rc.1".into()),
            ("CFBundleVersion", "1.02".into()),
            ("CFBundleVersion", "1.2.3.4".into()),
            ("CFBundleVersion", 1.into()),
            ("CFBundleShortVersionString", "1.2".into()),
            ("CFBundleIdentifier", "io.github.codex_proxy".into()),
            ("LSMinimumSystemVersion", "12".into()),
            ("LSUIElement", "true".into()),
            ("LSBackgroundOnly", true.into()),
            ("NSMicrophoneUsageDescription", "To listen.".into()),
            ("NSHumanReadableCopyright", "Copyright ${YEAR}".into()),
            ("CFBundleExecutable", "codex-proxy".into()),
        ];
        for (key, value) in broken {
            let complaints = with(key, value.clone());
            assert_eq!(complaints.len(), 1, "{key} = {value:?}: {complaints:?}");
            assert!(complaints[0].starts_with(key), "{complaints:?}");
        }
        for key in
            good().keys().filter(|key| !["CSResourcesFileMapped", "LSRequiresCarbon"].contains(&key.as_str()))
        {
            let mut info = good();
            info.remove(key);
            assert_eq!(complaints(&info).len(), 1, "{key} is not missed");
        }
    }
}
