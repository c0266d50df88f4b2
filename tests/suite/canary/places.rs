//! Where secrets could be after the proxy has run: files, and what the system shows about processes.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use e2e::harness::Proxy;

use super::marks::{Canaries, Finder};

/// The files that may contain secrets, and which ones.
pub(crate) type Meant = &'static [(&'static str, &'static [&'static str])];

pub(crate) const OF_DATA: Meant = &[
    ("control-token", &["control token"]),
    ("key-secrets", &["key "]),
    // It leads a browser to the window.
    ("window.html", &["control token"]),
    ("codex-home/auth.json", OF_SIGN_IN),
    // Prompts and answers, with whatever clients and models put into them.
    ("responses.db", &[""]),
    ("responses.db-wal", &[""]),
];
pub(crate) const OF_CODEX: Meant = &[("auth.json", OF_SIGN_IN)];
/// The user's own file.
pub(crate) const OF_PERSON: Meant = &[
    (".npmrc", &["npm token"]),
    ("other-auth.json", OF_SIGN_IN),
    (SETTINGS, &["API key", "key ", "e-mail", "token"]),
];

/// The folder of a user's settings, including the operator's key.
const SETTINGS: &str = ".config/codex-proxy/config.toml";

const OF_SIGN_IN: &[&str] = &[
    "token",
    "claims of a token",
    "signature of a token",
    "refresh token",
    "account id",
    "e-mail",
    "OpenAI key",
];

/// Secrets in files below `dir` that must not contain them, and secret files that other users can read.
pub(crate) fn files(dir: &Path, canaries: &Canaries, meant: Meant) -> Vec<String> {
    let mut leaks = Vec::new();
    walk(dir, dir, canaries, &canaries.finder(), meant, &mut leaks);
    leaks
}

fn walk(
    root: &Path,
    dir: &Path,
    canaries: &Canaries,
    finder: &Finder,
    meant: Meant,
    leaks: &mut Vec<String>,
) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let path = entry.path();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        leaks.extend(finder.find("the name of a file", name.as_bytes()));
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            walk(root, &path, canaries, finder, meant, leaks);
        }
        // A file that was removed in the meantime is skipped, and so are links and sockets.
        let Some(bytes) = kind.is_file().then(|| fs::read(&path).ok()).flatten() else { continue };
        match meant.iter().find(|(file, _)| *file == name) {
            Some((_, secrets)) => {
                leaks.extend(canaries.except(secrets).finder().find(&format!("the file {name}"), &bytes));
                let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
                // The user protects their own files.
                if mode != 0o600 && (meant != OF_PERSON || name == SETTINGS) {
                    leaks.push(format!("the file {name} is open to others: {mode:o}"));
                }
            }
            None => leaks.extend(finder.find(&format!("the file {name}"), &bytes)),
        }
    }
}

/// The children of the proxy, and their children.
pub(crate) fn children(proxy: &Proxy) -> BTreeSet<i32> {
    let mut family = BTreeSet::from([proxy.pid().unwrap().as_raw_nonzero().get()]);
    let parents: Vec<(i32, i32)> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .filter_map(|pid: i32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((pid, parent))
        })
        .collect();
    loop {
        let more: Vec<i32> = parents
            .iter()
            .filter(|(pid, parent)| family.contains(parent) && !family.contains(pid))
            .map(|(pid, _)| *pid)
            .collect();
        if more.is_empty() {
            break;
        }
        family.extend(more);
    }
    family.remove(&proxy.pid().unwrap().as_raw_nonzero().get());
    family
}

/// The command lines of the proxy and its children, and the environments of the children.
pub(crate) fn processes(proxy: &Proxy, finder: &Finder) -> Vec<String> {
    let own = proxy.pid().unwrap().as_raw_nonzero().get();
    let children = children(proxy);
    assert!(!children.is_empty(), "the proxy has no children");
    let program = |pid: i32| fs::read_link(format!("/proc/{pid}/exe")).ok();
    let mut leaks = Vec::new();
    for pid in children.iter().chain([&own]) {
        // A child that has not begun its own program yet is the proxy once more.
        if *pid != own && program(*pid) == program(own) {
            continue;
        }
        for file in ["cmdline", "environ"] {
            // It may have ended just now. The proxy's own environment is the operator's.
            let Ok(bytes) = fs::read(format!("/proc/{pid}/{file}")) else { continue };
            if *pid != own || file == "cmdline" {
                leaks.extend(finder.find(&format!("the {file} of a process"), &bytes));
            }
        }
    }
    leaks
}
