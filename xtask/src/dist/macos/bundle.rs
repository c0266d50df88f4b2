//! The application's bundle without its programs, made from the files that Tauri's bundler reads.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use plist::Dictionary;
use serde_json::Value;

use super::rules;

/// The oldest supported macOS. Codex does not run on older versions, and every Mac with this version can have the WebKit
/// that the window needs.
pub(crate) const MINIMUM_SYSTEM: &str = "12.0";

/// Writes the bundle below `into`, and returns its path.
pub(super) fn metadata(root: &Path, into: &Path) -> Result<PathBuf> {
    let config = config(root)?;
    let name = text(&config, "/productName")?;
    let app = into.join(format!("{name}.app"));
    if app.exists() {
        fs::remove_dir_all(&app).context("the bundle that was made before cannot be removed")?;
    }
    let contents = app.join("Contents");
    fs::create_dir_all(contents.join("Resources"))?;
    let icon = icon(root, &config)?;
    let file_name = icon.file_name().context("the icon has no name")?;
    fs::copy(&icon, contents.join("Resources").join(file_name))
        .with_context(|| format!("cannot copy {}", icon.display()))?;
    let info = info(&config, &own(root)?, env!("CARGO_PKG_VERSION"))?;
    let complaints = rules::complaints(&info);
    if !complaints.is_empty() {
        bail!("the bundle's Info.plist is not as it has to be:\n  {}", complaints.join("\n  "));
    }
    plist::to_file_xml(contents.join("Info.plist"), &info)?;
    Ok(app)
}

/// `tauri.conf.json`.
pub(super) fn config(root: &Path) -> Result<Value> {
    let file = root.join("src-tauri").join("tauri.conf.json");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()))
}

/// Our part of `Info.plist`. Tauri merges it into its own.
pub(super) fn own(root: &Path) -> Result<Dictionary> {
    let file = root.join("src-tauri").join("Info.plist");
    plist::from_file(&file).with_context(|| format!("{} is no property list", file.display()))
}

/// The icon that Tauri uses for a bundle: the first `.icns` file.
pub(super) fn icon(root: &Path, config: &Value) -> Result<PathBuf> {
    let mut icons = config["bundle"]["icon"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let icon = icons.find(|icon| icon.ends_with(".icns")).context("tauri.conf.json names no .icns")?;
    Ok(root.join("src-tauri").join(icon))
}

/// The same `Info.plist` that Tauri's bundler makes.
pub(super) fn info(config: &Value, own: &Dictionary, version: &str) -> Result<Dictionary> {
    let name = text(config, "/productName")?;
    let icon = icon(Path::new(""), config)?;
    let icon = icon.file_name().context("the icon has no name")?.to_string_lossy();
    let category = match text(config, "/bundle/category")? {
        "DeveloperTool" => "public.app-category.developer-tools",
        other => bail!("what Apple calls the category {other} is not known here"),
    };
    let mut info = Dictionary::new();
    for (key, value) in [
        ("CFBundleDevelopmentRegion", "English"),
        ("CFBundleDisplayName", name),
        ("CFBundleExecutable", text(config, "/mainBinaryName")?),
        ("CFBundleIconFile", &*icon),
        ("CFBundleIdentifier", text(config, "/identifier")?),
        ("CFBundleInfoDictionaryVersion", "6.0"),
        ("CFBundleName", name),
        ("CFBundlePackageType", "APPL"),
        ("CFBundleShortVersionString", version),
        ("CFBundleVersion", version),
        ("LSApplicationCategoryType", category),
        ("LSMinimumSystemVersion", text(config, "/bundle/macOS/minimumSystemVersion")?),
        ("NSHumanReadableCopyright", text(config, "/bundle/copyright")?),
    ] {
        info.insert(key.to_owned(), value.into());
    }
    for key in ["CSResourcesFileMapped", "LSRequiresCarbon", "NSHighResolutionCapable"] {
        info.insert(key.to_owned(), true.into());
    }
    for (key, value) in own {
        if info.contains_key(key) {
            bail!("src-tauri/Info.plist sets {key}, which Tauri sets from tauri.conf.json");
        }
        info.insert(key.clone(), value.clone());
    }
    Ok(info)
}

fn text<'a>(config: &'a Value, at: &str) -> Result<&'a str> {
    config.pointer(at).and_then(Value::as_str).with_context(|| format!("tauri.conf.json has no text at {at}"))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::super::product;
    use super::*;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
    }

    #[test]
    fn what_is_made_here_is_as_apple_wants_it() {
        let folder = tempfile::tempdir().unwrap();
        let app = metadata(&root(), folder.path()).unwrap();
        // A second time, over the existing bundle.
        assert_eq!(metadata(&root(), folder.path()).unwrap(), app);
        assert_eq!(app.file_name().unwrap(), "Codex Proxy.app");
        super::super::check_info(&app.join("Contents/Info.plist")).unwrap();
        let info: Dictionary = plist::from_file(app.join("Contents/Info.plist")).unwrap();
        let icon = info["CFBundleIconFile"].as_string().unwrap();
        assert!(app.join("Contents/Resources").join(icon).is_file());
        assert_eq!(
            info["LSUIElement"].as_boolean(),
            Some(true),
            "a tray application has no place in the Dock"
        );
        assert_eq!(info["CFBundleShortVersionString"].as_string(), Some(env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn tauri_and_we_say_the_same_of_the_product() {
        let config = config(&root()).unwrap();
        let expected = [
            ("/productName", product::NAME),
            ("/mainBinaryName", product::APP),
            ("/identifier", product::IDENTIFIER),
            ("/bundle/publisher", product::PUBLISHER),
            ("/bundle/shortDescription", product::SUMMARY),
            ("/bundle/license", product::LICENCE),
            ("/bundle/copyright", product::COPYRIGHT),
            ("/bundle/macOS/minimumSystemVersion", MINIMUM_SYSTEM),
            ("/bundle/macOS/entitlements", "../installers/macos/entitlements.plist"),
        ];
        for (at, value) in expected {
            assert_eq!(text(&config, at).unwrap(), value, "{at}");
        }
        assert_eq!(config["bundle"]["macOS"]["hardenedRuntime"], true);
        assert!(config.get("version").is_none(), "Tauri takes the version from Cargo.toml");
        let licence = fs::read_to_string(root().join("LICENSE")).unwrap();
        assert!(licence.contains(product::COPYRIGHT));
    }

    #[test]
    fn a_key_of_tauris_is_not_set_twice() {
        let mut own = own(&root()).unwrap();
        own.insert("CFBundleVersion".to_owned(), "7".into());
        let error = info(&config(&root()).unwrap(), &own, "1.2.3").unwrap_err();
        assert!(error.to_string().contains("CFBundleVersion"), "{error}");
    }

    #[test]
    fn the_programs_are_given_no_rights_beyond_the_hardened_runtime() {
        let file = root().join("installers/macos/entitlements.plist");
        let entitlements: Dictionary = plist::from_file(&file).unwrap();
        // WebKit compiles in its own process, and a child process has the rights of its own signature. So the program needs
        // no entitlement. If you add one, explain it in installers/README.md and list it here.
        let allowed: [&str; 0] = [];
        let found: Vec<&String> = entitlements.keys().collect();
        assert!(found.iter().all(|key| allowed.contains(&key.as_str())), "{found:?}");
        let text = fs::read_to_string(&file).unwrap();
        assert!(!text.contains("<!--"), "the system's parser of entitlements refuses comments");
    }

    #[test]
    fn the_icon_has_every_size_that_macos_shows() {
        let data = fs::read(icon(&root(), &config(&root()).unwrap()).unwrap()).unwrap();
        let number = |at: usize| u32::from_be_bytes(data[at..at + 4].try_into().unwrap());
        assert_eq!((&data[..4], number(4) as usize), (b"icns".as_slice(), data.len()));
        let mut images: BTreeMap<String, usize> = BTreeMap::new();
        let mut at = 8;
        while at < data.len() {
            let kind = String::from_utf8(data[at..at + 4].to_vec()).unwrap();
            // A PNG has its width in the first chunk; the oldest kinds show it only in the name.
            let png = data[at + 8..].starts_with(b"\x89PNG");
            images.insert(kind, if png { number(at + 8 + 16) as usize } else { 0 });
            at += number(at + 4) as usize;
        }
        for (kind, width) in [
            ("ic07", 128),
            ("ic08", 256),
            ("ic09", 512),
            ("ic10", 1024),
            ("ic11", 32),
            ("ic12", 64),
            ("ic13", 256),
            ("ic14", 512),
        ] {
            assert_eq!(images.get(kind), Some(&width), "{kind}");
        }
        let kinds: BTreeSet<&str> = images.keys().map(String::as_str).collect();
        assert!(["is32", "s8mk", "il32", "l8mk"].iter().all(|kind| kinds.contains(kind)), "16 and 32 pixels");
    }
}
