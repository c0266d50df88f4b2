//! Which room may use which: compares the paths in a file with the table of its crate.

use std::collections::BTreeSet;

/// A top-level module, the rooms that it may use and the libraries that it may not use.
pub(super) struct Room {
    pub(super) name: &'static str,
    pub(super) may_use: &'static [&'static str],
    pub(super) no_library: &'static [&'static str],
}

/// The problems in `text`, a file at `inside` below the `src` of its crate.
pub(super) fn complaints(table: &[Room], path: &str, inside: &str, text: &str) -> Vec<String> {
    let name = inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs");
    if ["lib", "main"].contains(&name) {
        return Vec::new();
    }
    let Some(room) = table.iter().find(|room| room.name == name) else {
        return vec![format!("{path}: the table in xtask/src/tidy.rs has no room `{name}`")];
    };
    let code = code_of(text);
    let strangers =
        named_rooms(&code).into_iter().filter(|used| used != name && !room.may_use.contains(&&**used));
    let mut complaints: Vec<String> =
        strangers.map(|used| format!("{path}: `{name}` may not know `crate::{used}`")).collect();
    let banned = room.no_library.iter().filter(|library| names_library(&code, library));
    complaints.extend(banned.map(|library| format!("{path}: `{name}` may not use the library `{library}`")));
    complaints
}

/// The rooms after every `crate::`, also in groups. An item that `lib.rs` exports belongs to the room of its name:
/// `crate::Config` belongs to `config`.
fn named_rooms(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(is_of_a_name) {
            continue;
        }
        let rest = code[at + "crate::".len()..].trim_start();
        match rest.strip_prefix('{') {
            Some(group) => rooms.extend(first_names_of(group)),
            None => rooms.extend([name_at(rest)]),
        }
    }
    rooms.remove("");
    rooms.into_iter().map(|name| name.to_lowercase()).collect()
}

/// The first name of each path in a group, up to the brace that closes it.
fn first_names_of(group: &str) -> Vec<String> {
    let mut names = vec![name_at(group.trim_start())];
    let mut depth = 0_usize;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(name_at(group[at + 1..].trim_start())),
            _ => {}
        }
    }
    names
}

/// Whether a path in `code` starts with the library: `library::…` without a name or a path before it, except `::`.
fn names_library(code: &str, library: &str) -> bool {
    let path = format!("{library}::");
    code.match_indices(&path).any(|(at, _)| {
        let before = &code[..at];
        match before.strip_suffix("::") {
            Some(outer) => !outer.ends_with(is_of_a_name),
            None => !before.ends_with(is_of_a_name),
        }
    })
}

fn name_at(text: &str) -> String {
    text.chars().take_while(|c| is_of_a_name(*c)).collect()
}

fn is_of_a_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The lines of `text` that are not comments. A name in a comment is not a dependency.
fn code_of(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Room] = &[
        Room { name: "turn", may_use: &[], no_library: &["tokio", "http"] },
        Room { name: "worker", may_use: &["turn"], no_library: &[] },
        Room { name: "http", may_use: &["turn"], no_library: &[] },
    ];

    fn check(inside: &str, text: &str) -> usize {
        complaints(TABLE, inside, inside, text).len()
    }

    #[test]
    fn a_room_knows_itself_and_what_the_table_grants() {
        assert_eq!(check("worker.rs", "use crate::turn::Turn;\nuse crate::worker::pool::Pool;"), 0);
        assert_eq!(check("worker/pool.rs", "use crate::turn::Turn;"), 0);
        assert_eq!(check("turn.rs", "use crate::worker::Pool;"), 1);
        assert_eq!(check("worker/deep/er.rs", "use crate::http::Router;"), 1);
        assert_eq!(check("worker.rs", "use crate::{Turn, Http};"), 1);
    }

    #[test]
    fn groups_and_inline_paths_count() {
        assert_eq!(check("worker.rs", "use crate::{turn::{Turn, Event}, worker::Pool};"), 0);
        assert_eq!(check("worker.rs", "use crate::{\n    turn::{Turn, http},\n    http::Router,\n};"), 1);
        assert_eq!(check("worker.rs", "fn f(router: &crate::http::Router) {}"), 1);
        assert_eq!(check("worker.rs", "pub(crate) use crate::turn::Turn; // crate"), 0);
    }

    #[test]
    fn comments_and_macros_of_that_name_do_not() {
        assert_eq!(check("turn.rs", "//! Filled by [`crate::worker`].\n    /// See `crate::http`."), 0);
        assert_eq!(check("turn.rs", "othercrate::worker::f();"), 0);
    }

    #[test]
    fn a_banned_library_is_found_by_its_path_only() {
        assert_eq!(check("turn.rs", "use tokio::time::Instant;"), 1);
        assert_eq!(check("turn.rs", "let now = ::tokio::time::Instant::now();"), 1);
        assert_eq!(check("turn.rs", "let url = \"http://127.0.0.1\"; not_tokio::f(); turn::tokio::f();"), 0);
        assert_eq!(check("worker.rs", "use tokio::time::Instant;"), 0);
    }

    #[test]
    fn a_room_that_the_table_does_not_know_is_refused() {
        assert_eq!(check("utils.rs", ""), 1);
        assert_eq!(check("lib.rs", "pub mod turn;"), 0);
    }
}
