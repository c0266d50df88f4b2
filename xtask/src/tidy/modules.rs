//! The modules of a crate, and the paths of other modules in the code of each.

use std::collections::{BTreeMap, BTreeSet};

/// The modules of a crate by path, e.g. `worker::pool`; without the root of the crate.
#[derive(Debug, Default)]
pub(super) struct Modules(BTreeMap<String, Module>);

/// The content of one file.
#[derive(Debug, Default)]
struct Module {
    /// The path of the file, for messages.
    file: String,
    /// Paths of the crate in its code, from the root of the crate, e.g. `process::Process`.
    named: BTreeSet<String>,
    /// The paths among them that it re-exports with `pub use`.
    handed_on: BTreeSet<String>,
}

impl Modules {
    /// Adds the file at `inside` below the crate's `src`, e.g. `worker/pool.rs`.
    pub(super) fn add(&mut self, file: &str, inside: &str, text: &str) {
        let Some(path) = module_of(inside) else { return };
        let code = code_of(text);
        let mut module = Module { file: file.to_owned(), ..Module::default() };
        for named in paths(&code, &path) {
            if named.handed_on {
                module.handed_on.insert(named.path.clone());
            }
            module.named.insert(named.path);
        }
        self.0.insert(path, module);
    }

    /// The top-level modules.
    pub(super) fn rooms(&self) -> BTreeSet<&str> {
        self.0.keys().map(|path| room_of(path)).collect()
    }

    /// The other rooms that each file of `room` uses.
    pub(super) fn used_by<'a>(&'a self, room: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let rooms = self.rooms();
        let files = self.0.iter().filter(move |(path, _)| room_of(path) == room);
        files.flat_map(move |(_, module)| {
            let named: BTreeSet<&str> = module.named.iter().map(|path| room_of(path)).collect();
            let others = named.into_iter().filter(|used| *used != room && rooms.contains(used));
            others.map(|used| (module.file.as_str(), used)).collect::<Vec<_>>()
        })
    }

    /// Re-exports of items from other rooms: a user of them would hide its dependency on these rooms.
    pub(super) fn laundered(&self) -> Vec<String> {
        let rooms = self.rooms();
        let mut complaints = Vec::new();
        for (path, module) in &self.0 {
            let own = room_of(path);
            let others = module.handed_on.iter().filter(|named| {
                let room = room_of(named);
                room != own && rooms.contains(room)
            });
            complaints.extend(others.map(|named| {
                format!(
                    "{}: `pub use crate::{named}` hides which room that is of; name it there",
                    module.file
                )
            }));
        }
        complaints
    }

    /// The circular dependencies among modules with the same parent.
    pub(super) fn circles(&self) -> Vec<String> {
        let mut parents: BTreeSet<&str> = self.0.keys().filter_map(|path| parent_of(path)).collect();
        parents.insert("");
        parents.into_iter().flat_map(|parent| self.circles_in(parent)).collect()
    }

    fn circles_in(&self, parent: &str) -> Vec<String> {
        let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (path, module) in &self.0 {
            let Some(from) = self.child(parent, path) else { continue };
            let known = edges.entry(from.clone()).or_default();
            known.extend(
                module.named.iter().filter_map(|named| self.child(parent, named)).filter(|to| *to != from),
            );
        }
        let found = circles(&edges);
        let name = if parent.is_empty() { "the rooms" } else { parent };
        found.into_iter().map(|circle| format!("{name}: a circle of {}", circle.join(" → "))).collect()
    }

    /// The module directly below `parent` that is `path` or contains it.
    fn child(&self, parent: &str, path: &str) -> Option<String> {
        let rest = if parent.is_empty() { path } else { path.strip_prefix(parent)?.strip_prefix("::")? };
        let name = rest.split("::").next()?;
        let child = if parent.is_empty() { name.to_owned() } else { format!("{parent}::{name}") };
        self.0.contains_key(&child).then_some(child)
    }
}

/// One circle of each group of modules that can reach each other.
fn circles(edges: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    for start in edges.keys() {
        if !seen.contains(start) {
            found.extend(way_back(edges, start));
            let group =
                edges.keys().filter(|other| reaches(edges, start, other) && reaches(edges, other, start));
            seen.extend(group);
        }
    }
    found
}

fn reaches(edges: &BTreeMap<String, BTreeSet<String>>, from: &String, to: &String) -> bool {
    let (mut reached, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(from) = next.pop() {
        next.extend(edges.get(from).into_iter().flatten().filter(|to| reached.insert(*to)));
    }
    reached.contains(to)
}

/// The shortest path from `start` back to it.
fn way_back(edges: &BTreeMap<String, BTreeSet<String>>, start: &String) -> Option<Vec<String>> {
    let mut ways = vec![vec![start.clone()]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for next in way.last().and_then(|last| edges.get(last)).into_iter().flatten() {
                let mut way = way.clone();
                way.push(next.clone());
                if next == start {
                    return Some(way);
                }
                if seen.insert(next.clone()) {
                    longer.push(way);
                }
            }
        }
        ways = longer;
    }
    None
}

fn module_of(inside: &str) -> Option<String> {
    let path = inside.strip_suffix(".rs")?;
    (!["lib", "main"].contains(&path)).then(|| path.replace('/', "::"))
}

fn room_of(path: &str) -> &str {
    path.split("::").next().unwrap_or(path)
}

fn parent_of(path: &str) -> Option<&str> {
    path.rsplit_once("::").map(|(parent, _)| parent)
}

/// The code of a file without its comments and its tests, because neither of them is a dependency.
fn code_of(text: &str) -> String {
    let mut lines = Vec::new();
    let mut inside_of_tests = false;
    let mut of_a_test = false;
    for line in text.lines() {
        if inside_of_tests {
            inside_of_tests = !line.starts_with('}');
        } else if is_of_tests(line.trim()) {
            of_a_test = true;
        } else if of_a_test && !line.trim_start().starts_with("#[") {
            of_a_test = false;
            inside_of_tests = line.ends_with('{') && !line.starts_with(' ');
        } else if !line.trim_start().starts_with("//") {
            lines.push(line);
        }
    }
    lines.join("\n")
}

fn is_of_tests(line: &str) -> bool {
    line == "#[cfg(test)]" || line.starts_with("#[cfg(all(test,")
}

struct Named {
    path: String,
    handed_on: bool,
}

/// Every path that begins with `crate`, `self` or `super` and a name that is not an item of its own module.
fn paths(code: &str, module: &str) -> Vec<Named> {
    let mut found = Vec::new();
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(start) {
            let before = &code[..at];
            if before.ends_with(is_of_a_name) || before.ends_with("::") {
                continue;
            }
            let item = before.rsplit([';', '}']).next().unwrap_or(before).trim();
            let handed_on =
                item.ends_with(" use") && (item.contains("pub use") || item.contains("pub(crate) use"));
            let mut base = match start {
                "crate::" => String::new(),
                "self::" => module.to_owned(),
                _ => parent_of(module).unwrap_or_default().to_owned(),
            };
            let mut rest = &code[at + start.len()..];
            while let Some(outer) = rest.strip_prefix("super::") {
                base = parent_of(&base).unwrap_or_default().to_owned();
                rest = outer;
            }
            let prefix = if base.is_empty() { String::new() } else { format!("{base}::") };
            found.extend(
                ends(rest).into_iter().map(|end| Named { path: format!("{prefix}{end}"), handed_on }),
            );
        }
    }
    found
}

/// The paths at the beginning of a text: one, or those of a group in braces.
fn ends(text: &str) -> Vec<String> {
    let mut text = text.trim_start();
    let mut base = String::new();
    loop {
        if let Some(group) = text.strip_prefix('{') {
            return members(group)
                .into_iter()
                .flat_map(ends)
                .map(|end| {
                    if end == "self" {
                        base.trim_end_matches("::").to_owned()
                    } else {
                        format!("{base}{end}")
                    }
                })
                .collect();
        }
        let name: String = text.chars().take_while(|c| is_of_a_name(*c)).collect();
        text = text[name.len()..].trim_start();
        match text.strip_prefix("::") {
            Some(rest) if !name.is_empty() => {
                base.push_str(&name);
                base.push_str("::");
                text = rest.trim_start();
            }
            _ if name.is_empty() => return vec![base.trim_end_matches("::").to_owned()],
            _ => return vec![format!("{base}{name}")],
        }
    }
}

/// The members of a group, up to its closing brace.
fn members(group: &str) -> Vec<&str> {
    let (mut members, mut depth, mut begin) = (Vec::new(), 0_usize, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                members.push(&group[begin..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                members.push(&group[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    members.into_iter().map(str::trim).filter(|member| !member.is_empty()).collect()
}

fn is_of_a_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether the code of `text` contains a path that starts at the library: `library::…` without a name or a path
/// before it.
pub(super) fn names_library(text: &str, library: &str) -> bool {
    let code = code_of(text);
    let path = format!("{library}::");
    code.match_indices(&path).any(|(at, _)| {
        let before = &code[..at];
        match before.strip_suffix("::") {
            Some(outer) => !outer.ends_with(is_of_a_name),
            None => !before.ends_with(is_of_a_name),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules(files: &[(&str, &str)]) -> Modules {
        let mut modules = Modules::default();
        for (inside, text) in files {
            modules.add(inside, inside, text);
        }
        modules
    }

    fn used(files: &[(&str, &str)], room: &str) -> Vec<String> {
        let modules = modules(files);
        let used = modules.used_by(room).map(|(_, used)| used.to_owned()).collect::<BTreeSet<_>>();
        used.into_iter().collect()
    }

    const OTHERS: [(&str, &str); 2] = [("turn.rs", ""), ("http.rs", "")];

    #[test]
    fn groups_and_inline_paths_count() {
        for (code, expected) in [
            ("use crate::turn::Turn;\nuse crate::worker::Pool;", &["turn"][..]),
            ("use crate::{turn::{Turn, Event}, worker::Pool};", &["turn"]),
            ("use crate::{\n    turn::{Turn, http},\n    http::Router,\n};", &["http", "turn"]),
            ("use crate::{http, turn};", &["http", "turn"]),
            ("fn f(router: &crate::http::Router) {}", &["http"]),
            ("use super::turn::Turn;", &["turn"]),
            ("pub(crate) use crate::turn::Turn; // crate", &["turn"]),
            ("#[cfg(test)]\nuse crate::{\n    http::X,\n};\nuse crate::turn::Y;", &["turn"]),
            ("#[cfg(all(test, unix))]\nmod tests {\n    use crate::http::X;\n}", &[]),
            ("//! Filled by [`crate::turn`].\n    /// See `crate::http`.", &[]),
            ("othercrate::http::f(); self::http::g();", &[]),
            ("#[cfg(test)]\nmod tests {\n    use crate::http::X;\n}\nuse crate::turn::Y;", &["turn"]),
        ] {
            let [one, other] = OTHERS;
            assert_eq!(used(&[one, other, ("worker.rs", code)], "worker"), expected, "{code}");
        }
        let deep = "use super::super::super::http::X;\nuse super::super::y::Z;";
        let [one, other] = OTHERS;
        assert_eq!(used(&[one, other, ("worker/a/b.rs", deep)], "worker"), ["http"]);
    }

    #[test]
    fn what_is_handed_on_of_another_room_is_found() {
        for (code, found) in [
            ("pub use crate::turn::Turn;\npub use self::pool::Pool;", 1),
            ("use crate::turn::A;\npub(crate) use crate::turn::Turn;", 1),
            ("pub(super) use crate::turn::Turn;\npub fn f() {}\nuse crate::turn::A;", 0),
        ] {
            let files = [("turn.rs", ""), ("worker.rs", code)];
            assert_eq!(modules(&files).laundered().len(), found, "{code}");
        }
    }

    #[test]
    fn circles_are_found_among_siblings_only() {
        let parent_and_child = [("a.rs", "mod b;\nuse self::b::B;"), ("a/b.rs", "use super::A;")];
        assert_eq!(modules(&parent_and_child).circles(), [""; 0]);
        let siblings = [("a/b.rs", "use super::c::C;"), ("a/c.rs", "use crate::a::b::B;"), ("a.rs", "")];
        assert_eq!(modules(&siblings).circles(), ["a: a circle of a::b → a::c → a::b"]);
        let rooms = [
            ("a.rs", "use crate::b::B;"),
            ("b/x.rs", "use crate::c;"),
            ("c.rs", "use crate::a;"),
            ("b.rs", ""),
        ];
        assert_eq!(modules(&rooms).circles(), ["the rooms: a circle of a → b → c → a"]);
        let by_a_test =
            [("a.rs", "use crate::b::B;"), ("b.rs", "#[cfg(test)]\nmod tests {\n    use crate::a;\n}")];
        assert_eq!(modules(&by_a_test).circles(), [""; 0]);
    }

    #[test]
    fn a_library_is_found_by_its_path_only() {
        assert!(names_library("use tokio::time::Instant;", "tokio"));
        assert!(names_library("let now = ::tokio::time::Instant::now();", "tokio"));
        assert!(!names_library("let url = \"x\"; not_tokio::f(); turn::tokio::f();", "tokio"));
    }
}
