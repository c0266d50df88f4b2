//! The rules of this project that no compiler checks. Each one is a pure function from a file to its problems.

mod modules;
mod rooms;
mod words;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use self::modules::Modules;
use self::words::Forbidden;
use crate::shell::{Cmd, env};
use crate::workspace::Workspace;

/// Rooms that may not use a library: `(folder, rooms, libraries)`.
const WITHOUT: &[(&str, &[&str], &[&str])] = &[
    ("proxy-core/protocol/src/", &["turn", "picture", "openai", "codex"], IO),
    ("proxy-core/src/", &["open_files", "secret", "throttle"], IO),
    (
        "proxy-core/src/",
        &[
            "backup",
            "budget",
            "client_family",
            "client_setup",
            "control",
            "dispatch",
            "event_stream",
            "files",
            "heap",
            "instance",
            "keys",
            "paths",
            "pause",
            "process",
            "removal",
            "request_log",
            "tls",
            "usage",
            "worker",
            "fuzzing",
            "reference",
            "headless",
        ],
        HTTP,
    ),
    ("proxy-core/src/", &["cli"], &["axum", "reqwest"]),
    ("proxy-core/src/", &["config"], &["tokio", "axum", "hyper", "reqwest"]),
    ("proxy-core/src/", &["http"], &["reqwest"]),
    ("src-tauri/src/", &["display", "rehearsal", "preferences", "tray", "notices"], DESKTOP),
    ("src-tauri/src/", &["trial", "engine", "controller", "shell", "fixtures"], &["tauri"]),
];
/// Input and output: time, processes and connections.
const IO: &[&str] = &["tokio", "tokio_util", "axum", "hyper", "hyper_util", "reqwest", "http", "http_body"];
/// HTTP.
const HTTP: &[&str] = &["axum", "hyper", "hyper_util", "reqwest", "http", "http_body"];
/// Libraries that control a desktop.
const DESKTOP: &[&str] = &["tauri", "tokio", "tokio_util", "open", "notify_rust"];

/// The folders whose modules are rooms.
const FOLDERS: [&str; 3] = ["proxy-core/src/", "proxy-core/protocol/src/", "src-tauri/src/"];

/// The maximum number of lines of a file in those folders.
const MAX_LINES: usize = 500;

/// Checks every file that git tracks, and every manifest of the workspace.
pub(crate) fn tidy(workspace: &Workspace) -> Result<()> {
    let list = Cmd::new("git").args(["ls-files", "-z"]).dir(&workspace.root).capture();
    let list = list.context("tidy reads the files that git tracks; run it in a git checkout")?;
    let forbidden = words::forbidden(&workspace.root, env("HOME").as_deref().map(Path::new));

    let mut complaints = Vec::new();
    let mut document = String::new();
    let mut crates: BTreeMap<&str, Modules> =
        FOLDERS.iter().map(|folder| (*folder, Modules::default())).collect();
    for path in list.split_terminator('\0') {
        // A file that is deleted, but not yet in a commit, has no problems.
        let Ok(bytes) = fs::read(workspace.root.join(path)) else { continue };
        let Ok(text) = String::from_utf8(bytes) else { continue };
        complaints.extend(file(path, &text, &forbidden));
        for (folder, modules) in &mut crates {
            if let Some(inside) = path.strip_prefix(folder).filter(|inside| !is_of_tests(inside)) {
                modules.add(path, inside, &text);
            }
        }
        if path == rooms::DOCUMENT {
            document = text;
        }
    }
    complaints.extend(shape(&document, &crates));
    complaints.extend(manifests(workspace)?);
    if !complaints.is_empty() {
        bail!("tidy found {}:\n  {}", complaints.len(), complaints.join("\n  "));
    }
    println!("tidy: passed");
    Ok(())
}

/// Whether a file contains only tests.
fn is_of_tests(inside: &str) -> bool {
    inside.split('/').any(|part| ["tests", "tests.rs", "testing", "testing.rs"].contains(&part))
}

/// The problems of the crates as a whole: dependencies between rooms that are not allowed, and circular ones.
fn shape(document: &str, crates: &BTreeMap<&str, Modules>) -> Vec<String> {
    let tables = rooms::tables(document);
    let mut complaints = Vec::new();
    for (folder, modules) in crates {
        match tables.get(*folder) {
            Some(table) => complaints.extend(table.complaints(modules)),
            None => complaints.push(format!("{}: no table of the rooms of {folder}", rooms::DOCUMENT)),
        }
        complaints.extend(modules.laundered());
        complaints.extend(modules.circles().into_iter().map(|circle| format!("{folder}: {circle}")));
    }
    complaints
}

fn file(path: &str, text: &str, forbidden: &[Forbidden]) -> Vec<String> {
    let mut complaints = words::complaints(path, text, forbidden);
    if path == "mod.rs" || path.ends_with("/mod.rs") {
        complaints.push(format!("{path}: a module lies in `name.rs` beside its folder, not in `mod.rs`"));
    }
    for folder in FOLDERS {
        let Some(inside) = path.strip_prefix(folder).filter(|path| path.ends_with(".rs")) else { continue };
        complaints.extend(libraries(folder, inside, path, text));
        let lines = text.lines().count();
        if lines > MAX_LINES {
            complaints
                .push(format!("{path}: {lines} lines; a file of more than {MAX_LINES} holds two things"));
        }
    }
    complaints
}

/// The libraries that a file uses although its room may not.
fn libraries(folder: &str, inside: &str, path: &str, text: &str) -> Vec<String> {
    let room = inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs");
    let banned = WITHOUT.iter().filter(|(of, rooms, _)| *of == folder && rooms.contains(&room));
    let banned = banned.flat_map(|(_, _, libraries)| *libraries);
    let used = banned.filter(|library| modules::names_library(text, library));
    used.map(|library| format!("{path}: `{room}` may not use the library `{library}`")).collect()
}

/// Checks that every member has the workspace's version and lints.
fn manifests(workspace: &Workspace) -> Result<Vec<String>> {
    let packages = workspace.metadata["packages"].as_array().context("`cargo metadata` lists no packages")?;
    let mut complaints = versions(packages);
    for package in packages {
        let path = package["manifest_path"].as_str().context("`cargo metadata` names no manifest")?;
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
        if !inherits_lints(&text) {
            complaints.push(format!("{path}: needs `[lints]` with `workspace = true`"));
        }
    }
    Ok(complaints)
}

fn versions(packages: &[Value]) -> Vec<String> {
    let of = |package: &Value| (package["name"].to_string(), package["version"].to_string());
    let Some((first, version)) = packages.first().map(of) else { return Vec::new() };
    let others = packages.iter().map(of).filter(|(_, other)| *other != version);
    others.map(|(name, other)| format!("{name} has version {other}, but {first} has {version}")).collect()
}

fn inherits_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.any(|line| line == "[lints]") && lines.next() == Some("workspace = true")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_library_that_a_room_may_not_use_is_found() {
        assert_eq!(file("src-tauri/src/tauri_shell.rs", "use tauri::AppHandle;\n", &[]), [""; 0]);
        assert_eq!(file("src-tauri/src/tray/messages.rs", "use tauri::AppHandle;\n", &[]).len(), 1);
        assert_eq!(
            file("proxy-core/protocol/src/turn/model.rs", "use tokio::time::Instant;\n", &[]).len(),
            1
        );
    }

    #[test]
    fn mod_rs_and_long_files_are_found() {
        assert_eq!(file("proxy-core/protocol/src/turn/mod.rs", "", &[]).len(), 1);
        assert_eq!(file("proxy-core/protocol/src/turn/model.rs", "", &[]).len(), 0);
        let long = "// A line.\n".repeat(MAX_LINES + 1);
        assert_eq!(file("proxy-core/protocol/src/turn/output.rs", &long, &[]).len(), 1);
    }

    #[test]
    fn crates_are_held_against_their_tables() {
        let crates = |text: &str| {
            let mut modules = Modules::default();
            modules.add("a/src/turn.rs", "turn.rs", text);
            modules.add("a/src/http.rs", "http.rs", "use crate::turn::Turn;");
            BTreeMap::from([("a/src/", modules)])
        };
        let document = "# `a/src`\n| room | what it is | may use |\n|---|---|---|\n| `turn` | x | |\n| `http` | x | `turn` |\n";
        assert_eq!(shape(document, &crates("")), [""; 0]);
        assert_eq!(shape("", &crates("")).len(), 1, "there is no table");
        assert_eq!(shape(document, &crates("use crate::http::X;")).len(), 2, "a grant and a circle");
    }

    #[test]
    fn the_libraries_are_forbidden_to_rooms_that_there_are() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for (folder, rooms, _) in WITHOUT {
            for room in *rooms {
                assert!(root.join(folder).join(format!("{room}.rs")).exists(), "{folder}{room}.rs");
            }
        }
    }

    #[test]
    fn a_member_of_its_own_version_is_found() {
        let members = [json!({"name": "a", "version": "1.0.0"}), json!({"name": "b", "version": "1.0.1"})];
        assert_eq!(versions(&members).len(), 1);
        assert_eq!(versions(&members[..1]).len(), 0);
    }

    #[test]
    fn lints_are_inherited_only_by_saying_so() {
        assert!(inherits_lints("[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n"));
        assert!(!inherits_lints("[package]\nversion.workspace = true\n"));
        assert!(!inherits_lints("[lints]\nrust.unsafe_code = \"allow\"\n\n[x]\nworkspace = true\n"));
    }
}
