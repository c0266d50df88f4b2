//! Sets a version in every file that contains one, and moves the unreleased changes of the changelog under it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use semver::Version;
use serde_json::Value;
use time::{Date, OffsetDateTime};
use toml_edit::{DocumentMut, value};

use crate::shell::Cmd;
use crate::workspace::Workspace;

/// The heading of the unreleased changes in the changelog.
const UNRELEASED: &str = "## [Unreleased]";

/// The options of `cargo xtask release`.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) version: String,
    /// Also commit and tag it. It never pushes.
    pub(crate) commit: bool,
}

/// Sets the version everywhere, and prints the next steps.
pub(crate) fn release(workspace: &Workspace, options: &Options) -> Result<()> {
    let root = &workspace.root;
    let git = || Cmd::new("git").dir(root);
    let changed = git().args(["status", "--porcelain"]).capture()?;
    if !changed.trim().is_empty() {
        bail!("the checkout has changes of its own; commit them first:\n{}", changed.trim_end());
    }
    let version = checked(&options.version, env!("CARGO_PKG_VERSION"))?;
    let tag = format!("v{version}");
    if git().args(["rev-parse", "--quiet", "--verify", &format!("refs/tags/{tag}")]).succeeds() {
        bail!("there is a tag {tag} already");
    }
    for (file, text) in edits(root, &version, OffsetDateTime::now_utc().date())? {
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        println!("{version} is in {}", file.strip_prefix(root).unwrap_or(&file).display());
    }
    Cmd::cargo().dir(root).args(["metadata", "--locked", "--format-version", "1"]).capture().map(drop)?;
    if options.commit {
        git().args(["commit", "--quiet", "--all", "--message", &format!("Release {version}")]).run()?;
        git().args(["tag", "--annotate", &tag, "--message", &format!("Codex Proxy {version}")]).run()?;
        println!("to publish it: git push origin HEAD {tag}");
    } else {
        println!("to go on: look at the difference, then commit it and tag it {tag}");
    }
    Ok(())
}

/// The changelog of a version, without the heading.
pub(crate) fn notes(changelog: &str, version: &str) -> Result<String> {
    let heading = format!("## [{version}]");
    let mut lines = changelog.lines().skip_while(|line| !line.starts_with(&heading));
    lines.next().with_context(|| format!("the changelog has no section {heading}"))?;
    let section: Vec<&str> = lines.take_while(|line| !line.starts_with("## ")).collect();
    Ok(section.join("\n").trim().to_owned())
}

/// A version that may come after `current`.
fn checked(text: &str, current: &str) -> Result<Version> {
    let version = Version::parse(text).with_context(|| format!("{text} is no version like 1.2.3"))?;
    if !version.pre.is_empty() || !version.build.is_empty() {
        bail!(
            "{version} is more than three numbers, and what is installed from has no common way to write that"
        );
    }
    if version <= Version::parse(current)? {
        bail!("{version} is not newer than {current}");
    }
    Ok(version)
}

/// Every changed file, with its new content.
fn edits(root: &Path, version: &Version, date: Date) -> Result<Vec<(PathBuf, String)>> {
    let mut edits = Vec::new();
    let mut edit = |name: &str, with: &dyn Fn(&str) -> Result<Option<String>>| {
        let file = root.join(name);
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {name}"))?;
        let text = with(&text).with_context(|| format!("{name} is not as expected"))?;
        edits.extend(text.map(|text| (file, text)));
        anyhow::Ok(())
    };
    edit("Cargo.toml", &|text| manifest(text, version).map(Some))?;
    edit("Cargo.lock", &|text| lock_file(text, version).map(Some))?;
    edit("src-tauri/tauri.conf.json", &|text| Ok(own_version(text, version)))?;
    edit("ui/package.json", &|text| Ok(own_version(text, version)))?;
    edit("ui/package-lock.json", &|text| npm_lock_file(text, version).map(Some))?;
    edit("CHANGELOG.md", &|text| changelog(text, version, date).map(Some))?;
    Ok(edits)
}

fn manifest(text: &str, version: &Version) -> Result<String> {
    let mut document: DocumentMut = text.parse()?;
    let package = document.get_mut("workspace").and_then(|workspace| workspace.get_mut("package"));
    let package = package.context("there is no [workspace.package]")?;
    let entry = package.get_mut("version").context("the workspace has no version")?;
    *entry = value(version.to_string());
    Ok(document.to_string())
}

/// The packages without a source are the workspace's own.
fn lock_file(text: &str, version: &Version) -> Result<String> {
    let mut document: DocumentMut = text.parse()?;
    let packages = document.get_mut("package").and_then(toml_edit::Item::as_array_of_tables_mut);
    for package in packages.context("there are no packages")?.iter_mut() {
        if !package.contains_key("source") {
            package.insert("version", value(version.to_string()));
        }
    }
    Ok(document.to_string())
}

/// Changes the version of a JSON object, if it has one, and nothing else of the text.
fn own_version(text: &str, version: &Version) -> Option<String> {
    const KEY: &str = "\n  \"version\": \"";
    let from = text.find(KEY)? + KEY.len();
    let to = from + text.get(from..)?.find('"')?;
    Some(format!("{}{version}{}", text.get(..from)?, text.get(to..)?))
}

/// npm's lock file contains the version twice.
fn npm_lock_file(text: &str, version: &Version) -> Result<String> {
    let mut lock: Value = serde_json::from_str(text)?;
    for at in ["/version", "/packages//version"] {
        *lock.pointer_mut(at).with_context(|| format!("nothing is at {at}"))? = version.to_string().into();
    }
    Ok(format!("{}\n", serde_json::to_string_pretty(&lock)?))
}

fn changelog(text: &str, version: &Version, date: Date) -> Result<String> {
    let (before, after) = text.split_once(UNRELEASED).with_context(|| format!("there is no {UNRELEASED}"))?;
    let next = after.find("\n## ").unwrap_or(after.len());
    if after.get(..next).unwrap_or(after).trim().is_empty() {
        bail!("nothing is unreleased");
    }
    Ok(format!("{before}{UNRELEASED}\n\n## [{version}] - {date}{after}"))
}

#[cfg(test)]
mod tests {
    use time::Month;

    use super::*;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
    }

    fn day() -> Date {
        Date::from_calendar_date(2027, Month::March, 9).unwrap()
    }

    /// The lines that differ, as old → new.
    fn changes(old: &str, new: &str) -> Vec<String> {
        assert_eq!(old.lines().count(), new.lines().count());
        let differing = old.lines().zip(new.lines()).filter(|(old, new)| old != new);
        differing.map(|(old, new)| format!("{} → {}", old.trim(), new.trim())).collect()
    }

    #[test]
    fn every_file_of_this_checkout_gets_the_version_and_nothing_else() {
        let version = Version::new(71, 72, 73);
        let edits = edits(&root(), &version, day()).unwrap();
        let names: Vec<_> =
            edits.iter().map(|(file, _)| file.strip_prefix(root()).unwrap().to_str().unwrap()).collect();
        assert_eq!(
            names,
            ["Cargo.toml", "Cargo.lock", "ui/package.json", "ui/package-lock.json", "CHANGELOG.md"],
            "tauri.conf.json has none: Tauri takes Cargo.toml's"
        );
        for (file, text) in &edits {
            let old = fs::read_to_string(file).unwrap();
            let name = file.file_name().unwrap().to_str().unwrap();
            let expected = match name {
                "Cargo.toml" | "package.json" => 1,
                // proxy-core, protocol, the tokenizer, the application, the tests, xtask and the benchmark.
                "Cargo.lock" => 7,
                "package-lock.json" => 2,
                "CHANGELOG.md" => {
                    let heading = "## [Unreleased]\n\n## [71.72.73] - 2027-03-09\n\n### ";
                    assert_eq!(text.matches(heading).count(), 1);
                    assert_eq!(text.len(), old.len() + "\n\n## [71.72.73] - 2027-03-09".len());
                    continue;
                }
                other => panic!("{other}"),
            };
            let changes = changes(&old, text);
            assert_eq!(changes.len(), expected, "{name}: {changes:?}");
            assert!(changes.iter().all(|change| change.contains("71.72.73")), "{changes:?}");
        }
    }

    #[test]
    fn a_version_of_tauris_own_would_be_set_too() {
        let text = "{\n  \"productName\": \"Codex Proxy\",\n  \"version\": \"0.1.0\",\n  \"x\": 1\n}\n";
        let set = own_version(text, &Version::new(1, 2, 3)).unwrap();
        assert_eq!(changes(text, &set), ["\"version\": \"0.1.0\", → \"version\": \"1.2.3\","]);
    }

    #[test]
    fn what_comes_next_is_newer_and_three_numbers() {
        assert_eq!(checked("0.2.0", "0.1.0").unwrap(), Version::new(0, 2, 0));
        for refused in ["0.1.0", "0.0.9", "1.0", "v1.0.0", "1.0.0-rc.1", "1.0.0+5", "1.0.0 "] {
            assert!(checked(refused, "0.1.0").is_err(), "{refused}");
        }
    }

    #[test]
    fn there_has_to_be_something_to_release() {
        let version = Version::new(1, 2, 3);
        assert!(
            changelog("# Changelog\n\n## [Unreleased]\n\n## [1.2.2] - 2027-01-01\n\n- x\n", &version, day())
                .is_err()
        );
        assert!(changelog("# Changelog\n\n## [1.2.2] - 2027-01-01\n\n- x\n", &version, day()).is_err());
    }

    #[test]
    fn the_notes_are_the_versions_own() {
        let text = changelog(
            "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- New.\n\n## [1.2.2] - 2027-01-01\n\n- Old.\n",
            &Version::new(1, 2, 3),
            day(),
        )
        .unwrap();
        assert_eq!(notes(&text, "1.2.3").unwrap(), "### Added\n\n- New.");
        assert_eq!(notes(&text, "1.2.2").unwrap(), "- Old.");
        assert!(notes(&text, "1.2").is_err());
    }
}
