//! The rules of the house that no compiler checks, each a pure function from a file to what is wrong with it.

mod rooms;
mod words;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use self::rooms::Room;
use self::words::Forbidden;
use crate::shell::{Cmd, env};
use crate::workspace::Workspace;

/// Who may know whom: the rooms of `proxy-core/src`, the rooms that each may name, and the libraries it may not.
/// `lib.rs` and `main.rs` stand outside.
const ROOMS: &[Room] = &[
    Room { name: "secret", may_use: &[], no_library: IO },
    Room { name: "paths", may_use: &[], no_library: NETWORK },
    Room { name: "files", may_use: &[], no_library: NETWORK },
    Room { name: "event_stream", may_use: &[], no_library: IO },
    Room { name: "client_setup", may_use: &["files"], no_library: NETWORK },
    Room { name: "checks", may_use: &["event_stream", "secret", "tls"], no_library: &[] },
    Room { name: "backup", may_use: &["files", "instance", "keys", "usage"], no_library: NETWORK },
    Room { name: "removal", may_use: &["client_setup", "instance", "keys"], no_library: NETWORK },
    Room { name: "instance", may_use: &["files"], no_library: NETWORK },
    Room { name: "heap", may_use: &[], no_library: NETWORK },
    Room { name: "budget", may_use: &["heap"], no_library: NETWORK },
    Room { name: "request_log", may_use: &[], no_library: NETWORK },
    Room { name: "throttle", may_use: &[], no_library: IO },
    Room { name: "pause", may_use: &[], no_library: NETWORK },
    Room { name: "open_files", may_use: &[], no_library: IO },
    Room { name: "process", may_use: &["open_files", "secret"], no_library: NETWORK },
    Room { name: "tls", may_use: &[], no_library: NETWORK },
    Room { name: "image_fetch", may_use: &["budget", "tls"], no_library: &[] },
    Room { name: "telemetry", may_use: &["secret"], no_library: &[] },
    Room { name: "worker", may_use: &["codex_install", "process", "secret"], no_library: NETWORK },
    Room { name: "client_family", may_use: &[], no_library: IO },
    Room { name: "usage", may_use: &["client_family", "secret"], no_library: NETWORK },
    Room {
        name: "recording",
        may_use: &["client_family", "heap", "request_log", "secret", "telemetry", "usage"],
        no_library: NETWORK,
    },
    Room { name: "keys", may_use: &["files", "secret"], no_library: NETWORK },
    Room { name: "codex_install", may_use: &["files", "process", "tls"], no_library: &[] },
    Room { name: "prove", may_use: &["codex_install", "process", "worker"], no_library: &[] },
    Room { name: "account", may_use: &["worker", "secret"], no_library: &[] },
    Room { name: "dispatch", may_use: &["worker", "recording", "telemetry", "secret"], no_library: NETWORK },
    Room {
        name: "exchange",
        may_use: &[
            "account",
            "budget",
            "dispatch",
            "image_fetch",
            "pause",
            "recording",
            "request_log",
            "telemetry",
            "throttle",
            "usage",
        ],
        no_library: NETWORK,
    },
    Room {
        name: "control",
        may_use: &[
            "worker",
            "usage",
            "keys",
            "account",
            "codex_install",
            "prove",
            "client_setup",
            "pause",
            "request_log",
            "secret",
            "telemetry",
        ],
        no_library: NETWORK,
    },
    Room {
        name: "http",
        may_use: &[
            "account",
            "budget",
            "dispatch",
            "exchange",
            "control",
            "event_stream",
            "image_fetch",
            "keys",
            "open_files",
            "secret",
            "recording",
            "request_log",
            "telemetry",
            "throttle",
        ],
        no_library: &["reqwest"],
    },
    Room {
        name: "config",
        may_use: &[
            "backup",
            "worker",
            "usage",
            "keys",
            "account",
            "codex_install",
            "prove",
            "client_setup",
            "files",
            "dispatch",
            "control",
            "http",
            "image_fetch",
            "request_log",
            "throttle",
            "telemetry",
            "secret",
            "paths",
            "removal",
        ],
        no_library: &["tokio", "axum", "hyper", "reqwest"],
    },
    Room {
        name: "cli",
        may_use: &[
            "backup",
            "checks",
            "config",
            "control",
            "event_stream",
            "files",
            "instance",
            "keys",
            "process",
            "removal",
            "codex_install",
            "prove",
            "telemetry",
            "paths",
            "secret",
        ],
        no_library: &["axum", "reqwest"],
    },
    Room {
        name: "fuzzing",
        may_use: &["codex_install", "config", "control", "event_stream", "paths", "http", "worker"],
        no_library: NETWORK,
    },
    Room { name: "reference", may_use: &["cli", "config", "telemetry"], no_library: NETWORK },
    Room { name: "headless", may_use: &["config", "open_files", "proxy", "telemetry"], no_library: NETWORK },
    Room {
        name: "proxy",
        may_use: &[
            "instance",
            "budget",
            "heap",
            "config",
            "worker",
            "usage",
            "keys",
            "account",
            "codex_install",
            "prove",
            "client_setup",
            "dispatch",
            "exchange",
            "pause",
            "control",
            "http",
            "image_fetch",
            "recording",
            "request_log",
            "throttle",
            "telemetry",
            "secret",
            "paths",
            "files",
        ],
        no_library: &[],
    },
];

/// The rooms of the protocols, `proxy-core/protocol/src`. None does input or output, or knows a clock.
const PROTOCOL_ROOMS: &[Room] = &[
    Room { name: "turn", may_use: &[], no_library: IO },
    Room { name: "picture", may_use: &[], no_library: IO },
    Room { name: "openai", may_use: &["picture", "turn"], no_library: IO },
    Room { name: "codex", may_use: &["turn"], no_library: IO },
];

/// The rooms of the application, `src-tauri/src`: only `app`, `shell` and `commands` may know Tauri, and what is shown
/// and said is made without doing anything.
const APP_ROOMS: &[Room] = &[
    Room { name: "display", may_use: &[], no_library: APP_PURE },
    Room { name: "rehearsal", may_use: &[], no_library: APP_PURE },
    Room { name: "trial", may_use: &["display", "rehearsal"], no_library: TAURI },
    Room { name: "preferences", may_use: &[], no_library: APP_PURE },
    Room { name: "tray", may_use: &["preferences", "fixtures"], no_library: APP_PURE },
    Room { name: "notices", may_use: &["tray", "trial", "preferences", "fixtures"], no_library: APP_PURE },
    Room { name: "engine", may_use: &[], no_library: TAURI },
    Room {
        name: "controller",
        may_use: &["engine", "notices", "preferences", "rehearsal", "shell", "tray", "trial", "fixtures"],
        no_library: TAURI,
    },
    Room {
        name: "shell",
        may_use: &["controller", "notices", "preferences", "rehearsal", "tray", "trial"],
        no_library: &[],
    },
    Room {
        name: "commands",
        may_use: &["controller", "engine", "fixtures", "preferences", "tray"],
        no_library: &[],
    },
    Room {
        name: "app",
        may_use: &["commands", "controller", "engine", "preferences", "rehearsal", "shell", "tray", "trial"],
        no_library: &[],
    },
    Room { name: "fixtures", may_use: &["engine"], no_library: TAURI },
];
/// A room that does not know which desktop it is on.
const TAURI: &[&str] = &["tauri"];
/// A room of the application that does nothing but tell.
const APP_PURE: &[&str] = &["tauri", "tokio", "tokio_util", "open", "notify_rust"];

/// A room that does no input and output: time, processes and connections are somebody else's.
const IO: &[&str] = &["tokio", "tokio_util", "axum", "hyper", "hyper_util", "reqwest", "http", "http_body"];
/// A room that speaks no HTTP.
const NETWORK: &[&str] = &["axum", "hyper", "hyper_util", "reqwest", "http", "http_body"];

/// The longest file of `proxy-core/src` and `src-tauri/src`.
const MAX_LINES: usize = 500;

/// Checks every file that git tracks, and every manifest of the workspace.
pub(crate) fn tidy(workspace: &Workspace) -> Result<()> {
    let list = Cmd::new("git").args(["ls-files", "-z"]).dir(&workspace.root).capture();
    let list = list.context("tidy reads the files that git tracks; run it in a git checkout")?;
    let forbidden = words::forbidden(&workspace.root, env("HOME").as_deref().map(Path::new));

    let mut complaints = Vec::new();
    for path in list.split_terminator('\0') {
        // A file that is tracked and deleted, but not yet committed so, has nothing to complain about.
        let Ok(bytes) = fs::read(workspace.root.join(path)) else { continue };
        if let Ok(text) = String::from_utf8(bytes) {
            complaints.extend(file(path, &text, &forbidden));
        }
    }
    complaints.extend(manifests(workspace)?);
    if !complaints.is_empty() {
        bail!("tidy found {}:\n  {}", complaints.len(), complaints.join("\n  "));
    }
    println!("tidy: passed");
    Ok(())
}

fn file(path: &str, text: &str, forbidden: &[Forbidden]) -> Vec<String> {
    let mut complaints = words::complaints(path, text, forbidden);
    if path == "mod.rs" || path.ends_with("/mod.rs") {
        complaints.push(format!("{path}: a module lies in `name.rs` beside its folder, not in `mod.rs`"));
    }
    for (crate_dir, rooms) in [
        ("proxy-core/src/", ROOMS),
        ("proxy-core/protocol/src/", PROTOCOL_ROOMS),
        ("src-tauri/src/", APP_ROOMS),
    ] {
        let Some(inside) = path.strip_prefix(crate_dir).filter(|path| path.ends_with(".rs")) else {
            continue;
        };
        complaints.extend(rooms::complaints(rooms, path, inside, text));
        let lines = text.lines().count();
        if lines > MAX_LINES {
            complaints
                .push(format!("{path}: {lines} lines; a file of more than {MAX_LINES} holds two things"));
        }
    }
    complaints
}

/// Every member has the workspace's version and lints.
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
    fn a_tidy_file_passes() {
        assert_eq!(file("proxy-core/src/worker/pool.rs", "use crate::process::Process;\n", &[]), [""; 0]);
    }

    #[test]
    fn the_application_has_rooms_too() {
        assert_eq!(file("src-tauri/src/shell/tauri.rs", "use tauri::AppHandle;\n", &[]), [""; 0]);
        assert_eq!(file("src-tauri/src/tray/messages.rs", "use tauri::AppHandle;\n", &[]).len(), 1);
        assert_eq!(file("src-tauri/src/controller.rs", "use crate::commands::Link;\n", &[]).len(), 1);
    }

    #[test]
    fn mod_rs_and_long_files_are_found() {
        assert_eq!(file("proxy-core/protocol/src/turn/mod.rs", "", &[]).len(), 1);
        assert_eq!(file("proxy-core/protocol/src/turn/model.rs", "", &[]).len(), 0);
        let long = "// A line.\n".repeat(MAX_LINES + 1);
        assert_eq!(file("proxy-core/protocol/src/turn/output.rs", &long, &[]).len(), 1);
    }

    #[test]
    fn the_table_names_only_rooms_that_exist() {
        for table in [ROOMS, PROTOCOL_ROOMS, APP_ROOMS] {
            for room in table {
                for used in room.may_use {
                    assert!(table.iter().any(|other| other.name == *used), "{} may use {used}", room.name);
                }
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
