//! Compares the manifests with the expected ones (`xtask/golden/manifests`; `UPDATE_GOLDEN=1` writes them again) and with
//! the rules of their formats. `by_its_own_tool` runs the package managers' own tools.

use std::os::unix::fs::PermissionsExt as _;

use saphyr::{LoadableYamlNode as _, Yaml};
use tempfile::TempDir;

use super::*;
use crate::shell::{Cmd, env};

fn release() -> Release {
    let sums =
        NEEDED.iter().zip("123456".chars()).map(|(asset, digit)| (*asset, digit.to_string().repeat(64)));
    Release { version: "1.2.3".to_owned(), sums: sums.collect(), updates_itself: true }
}

fn text(name: &str) -> String {
    let found = files(&release()).into_iter().find(|(file, _)| file == name);
    found.unwrap_or_else(|| panic!("there is no {name}")).1
}

#[test]
fn they_are_as_they_were() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/manifests");
    let files = files(&release());
    if env("UPDATE_GOLDEN").is_some() {
        fs::remove_dir_all(&golden).ok();
        for (name, text) in &files {
            let file = golden.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
    }
    for (name, text) in &files {
        let golden = fs::read_to_string(golden.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(*text, golden, "{name}");
    }
    let mut count = 0;
    let mut folders = vec![golden];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { count += 1 }
        }
    }
    assert_eq!(count, files.len(), "a golden file is nobody's");
}

#[test]
fn every_package_has_its_own_address_and_checksum() {
    let release = release();
    let all: String = files(&release).into_iter().map(|(_, text)| text).collect();
    for asset in NEEDED {
        assert!(all.contains(&asset.name("1.2.3")) || all.contains(&asset.name("#{version}")), "{asset:?}");
        let sum = release.sum(asset);
        let elsewhere = nix::file(&release).1;
        assert!(all.contains(sum) || elsewhere.contains("sha256-"), "{asset:?}");
    }
    assert!(!all.contains("//v") && !all.contains(" \n"), "an empty part or a space at the end of a line");
}

#[test]
fn the_checksums_are_the_files() {
    let folder = tempfile::tempdir().unwrap();
    for asset in NEEDED {
        fs::write(folder.path().join(asset.name("1.2.3")), "abc").unwrap();
    }
    let release = Release::of("1.2.3", folder.path()).unwrap();
    assert_eq!(release.sum(Asset::Dmg), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert!(!release.updates_itself);
    assert!(!homebrew::files(&release)[0].1.contains("auto_updates"), "it does not update itself");
    // `printf abc | openssl dgst -sha256 -binary | base64`
    assert!(nix::file(&release).1.contains("\"sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=\""));
    fs::remove_file(folder.path().join(Asset::Dmg.name("1.2.3"))).unwrap();
    assert!(Release::of("1.2.3", folder.path()).is_err());
    assert!(Release::of("1.2.3-rc.1", folder.path()).is_err());
}

/// The top level of a YAML document: the keys, and the values that are texts.
fn yaml(text: &str) -> BTreeMap<String, Option<String>> {
    let documents = Yaml::load_from_str(text).unwrap();
    assert_eq!(documents.len(), 1);
    let mapping = documents[0].as_mapping().unwrap();
    mapping
        .iter()
        .map(|(key, value)| (key.as_str().unwrap().to_owned(), value.as_str().map(str::to_owned)))
        .collect()
}

/// The rules of the published schemas, for the parts that we use.
#[test]
fn winget_gets_what_its_schema_requires() {
    let folder = "winget/manifests/c/CodexProxy/CodexProxy/1.2.3/CodexProxy.CodexProxy";
    let version = yaml(&text(&format!("{folder}.yaml")));
    let installer = yaml(&text(&format!("{folder}.installer.yaml")));
    let locale = yaml(&text(&format!("{folder}.locale.en-US.yaml")));
    let shared = ["PackageIdentifier", "PackageVersion", "ManifestType", "ManifestVersion"];
    for (file, kind, own) in [
        (&version, "version", vec!["DefaultLocale"]),
        (&installer, "installer", vec!["Installers"]),
        (
            &locale,
            "defaultLocale",
            vec!["PackageLocale", "Publisher", "PackageName", "License", "ShortDescription"],
        ),
    ] {
        for key in shared.iter().chain(&own) {
            assert!(file.contains_key(*key), "{kind} needs {key}");
        }
        assert_eq!(file["ManifestType"].as_deref(), Some(kind));
        assert_eq!(file["PackageIdentifier"], version["PackageIdentifier"]);
        assert_eq!(file["PackageVersion"].as_deref(), Some("1.2.3"), "a version is a text, and no number");
    }
    let identifier = version["PackageIdentifier"].clone().unwrap();
    let parts: Vec<&str> = identifier.split('.').collect();
    assert!((2..=8).contains(&parts.len()) && parts.iter().all(|part| (1..=32).contains(&part.len())));
    let length = |key: &str| locale[key].as_deref().unwrap().chars().count();
    assert!((3..=256).contains(&length("ShortDescription")) && (3..=10_000).contains(&length("Description")));
    assert!((2..=256).contains(&length("Publisher")) && (3..=512).contains(&length("Copyright")));

    let documents = Yaml::load_from_str(&text(&format!("{folder}.installer.yaml"))).unwrap().remove(0);
    let installers = documents.as_mapping_get("Installers").and_then(Yaml::as_sequence).unwrap().clone();
    assert_eq!(installers.len(), 1);
    for key in ["Architecture", "InstallerUrl", "InstallerSha256"] {
        assert!(installers[0].as_mapping_get(key).is_some(), "an installer needs {key}");
    }
    let lines = text(&format!("{folder}.installer.yaml"));
    let sum = lines.lines().find_map(|line| line.trim().strip_prefix("InstallerSha256: \"")).unwrap();
    let sum = sum.trim_end_matches('"');
    assert!(sum.len() == 64 && sum.chars().all(|c| c.is_ascii_digit() || ('A'..='F').contains(&c)), "{sum}");
}

#[test]
fn scoop_gets_what_its_schema_requires() {
    let manifest: serde_json::Value = serde_json::from_str(&text("scoop/codex-proxy.json")).unwrap();
    for key in ["version", "homepage", "license"] {
        assert!(manifest[key].is_string(), "{key}");
    }
    let package = &manifest["architecture"]["64bit"];
    assert!(package["url"].as_str().unwrap().ends_with("-x64-setup.exe#/dl.7z"));
    assert_eq!(package["hash"].as_str().unwrap().len(), 64);
    let next = &manifest["autoupdate"]["architecture"]["64bit"];
    assert_eq!(next["url"].as_str().unwrap().replace("$version", "1.2.3"), package["url"].as_str().unwrap());
    // The schema has no other names among those that we use.
    let known = [
        "version",
        "description",
        "homepage",
        "license",
        "architecture",
        "pre_install",
        "bin",
        "shortcuts",
        "checkver",
        "autoupdate",
    ];
    assert!(manifest.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())));
}

#[test]
fn the_sandbox_of_flatpak_opens_what_is_used_and_no_more() {
    let text = text("flatpak/io.github.codex_proxy.yml");
    let manifest = yaml(&text);
    for key in ["id", "runtime", "runtime-version", "sdk", "command", "finish-args", "modules"] {
        assert!(manifest.contains_key(key), "{key}");
    }
    assert_eq!(manifest["id"].as_deref(), Some(product::DESKTOP_ID));
    for permission in [
        "--share=network",
        "--talk-name=org.kde.StatusNotifierWatcher",
        "--talk-name=org.freedesktop.secrets",
    ] {
        assert!(text.contains(&format!("  - {permission}\n")), "{permission}");
    }
    for too_much in [
        "--filesystem=host",
        "--filesystem=home",
        "--socket=session-bus",
        "--device=all",
        "--talk-name=org.freedesktop.Flatpak",
    ] {
        assert!(!text.contains(too_much), "{too_much}");
    }
}

/// The manifests in a folder that all users may read, because makepkg refuses to run as root.
fn written() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for (name, text) in files(&release()) {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    folder
}

/// Runs the package managers' own tools that Debian has.
mod by_its_own_tool {
    use super::*;

    #[test]
    fn makepkg_says_of_the_pkgbuild_what_srcinfo_says() {
        let folder = written();
        let aur = folder.path().join("aur");
        Cmd::new("bash").arg("-n").arg(aur.join("PKGBUILD")).capture().unwrap();
        let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
        let cmd = if rustix::process::geteuid().is_root() {
            Cmd::new("setpriv").args(nobody).arg("makepkg")
        } else {
            Cmd::new("makepkg")
        };
        // It searches for writable folders, and for a pacman, before it reads anything.
        let cmd = ["HOME", "BUILDDIR", "PKGDEST", "SRCDEST", "SRCPKGDEST", "LOGDEST"]
            .into_iter()
            .fold(cmd, |cmd, name| cmd.env(name, std::env::temp_dir()));
        let said = cmd.arg("--printsrcinfo").dir(&aur).env("PACMAN", "true").capture().unwrap();
        assert_eq!(said.trim(), fs::read_to_string(aur.join(".SRCINFO")).unwrap().trim());
        let broken = aur.join("PKGBUILD.broken");
        fs::write(&broken, text("aur/PKGBUILD").replace("package() {", "package( {")).unwrap();
        assert!(Cmd::new("bash").arg("-n").arg(broken).capture().is_err());
    }

    #[test]
    fn ruby_reads_what_homebrew_runs() {
        let folder = written();
        for file in ["Casks/codex-proxy-app.rb", "Formula/codex-proxy.rb"] {
            let file = folder.path().join("homebrew").join(file);
            let said = Cmd::new("ruby").args(["-W2", "-c"]).arg(&file).capture().unwrap();
            assert_eq!(said, "Syntax OK\n");
        }
    }

    #[test]
    fn nix_reads_the_flake() {
        let folder = written();
        let home = tempfile::tempdir().unwrap();
        let parse = |file: &Path| {
            Cmd::new("nix-instantiate").arg("--parse").arg(file).env("NIX_STATE_DIR", home.path()).capture()
        };
        let parsed = parse(&folder.path().join("nix/flake.nix")).unwrap();
        assert!(parsed.contains("codex-proxy"), "{parsed}");
        let broken = folder.path().join("broken.nix");
        fs::write(&broken, text("nix/flake.nix").replace("in\n", "")).unwrap();
        assert!(parse(&broken).is_err());
    }

    #[test]
    fn flatpak_builder_reads_the_manifest() {
        let folder = written();
        let shared = folder.path().join("flatpak/shared-modules/libayatana-appindicator");
        fs::create_dir_all(&shared).unwrap();
        // In a repository on Flathub this one is a submodule.
        fs::write(
            shared.join("libayatana-appindicator-gtk3.json"),
            "{\"name\": \"libayatana-appindicator\"}",
        )
        .unwrap();
        let show = |name: &str| {
            Cmd::new("flatpak-builder")
                .args(["--show-manifest", name])
                .dir(&folder.path().join("flatpak"))
                .capture()
        };
        let shown = show("io.github.codex_proxy.yml").unwrap();
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["finish-args"].as_array().unwrap().len(), 8);
        assert_eq!(shown["modules"].as_array().unwrap().len(), 2);
        assert_eq!(shown["rename-icon"], "codex-proxy-app");
        let file = &shown["modules"][1]["sources"][0];
        assert_eq!(
            file["sha256"].as_str().map(str::len),
            Some(64),
            "it has digits alone, and is a text for all that"
        );
        assert!(show("missing.yml").is_err());
    }
}
