//! Compares the allowed dependencies in the tables of ARCHITECTURE.md with the code of each crate.
//!
//! The heading of a table contains the folder in backticks. Its rows are rooms, which are the top-level modules
//! of the folder: the room, its description, and the other rooms that it may use.

use std::collections::{BTreeMap, BTreeSet};

use super::modules::Modules;

/// The document with the tables.
pub(super) const DOCUMENT: &str = "ARCHITECTURE.md";
/// The first line of a table.
const HEADER: &str = "| room | what it is | may use |";
/// The word for every room.
const ALL: &str = "all";

/// The rooms of one folder, each with the rooms that it may use.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    rooms: BTreeMap<String, BTreeSet<String>>,
    complaints: Vec<String>,
}

/// The tables of `document`, by their folder.
pub(super) fn tables(document: &str) -> BTreeMap<String, Table> {
    let mut tables: BTreeMap<String, Table> = BTreeMap::new();
    let (mut folder, mut inside) = (None, false);
    for line in document.lines() {
        if line.starts_with('#') {
            folder = in_backticks(line)
                .find(|name| name.ends_with("/src"))
                .or(folder.filter(|_| line.starts_with("###")));
        }
        if line == HEADER {
            inside = true;
            continue;
        }
        inside &= line.starts_with('|');
        let Some(folder) = folder.filter(|_| inside && !line.starts_with("| -") && !line.starts_with("|-"))
        else {
            continue;
        };
        tables.entry(format!("{folder}/")).or_default().row(line);
    }
    tables
}

fn in_backticks(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

impl Table {
    fn row(&mut self, line: &str) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").collect();
        let [rooms, _, uses] = cells[..] else {
            self.complaints.push(format!("{DOCUMENT}: a row of a table of rooms has three cells: {line}"));
            return;
        };
        let mut uses: BTreeSet<String> = in_backticks(uses).map(str::to_owned).collect();
        if cells[2].trim() == ALL {
            uses.insert(ALL.to_owned());
        }
        for room in in_backticks(rooms) {
            if self.rooms.insert(room.to_owned(), uses.clone()).is_some() {
                self.complaints.push(format!("{DOCUMENT}: the room `{room}` is there twice"));
            }
        }
    }

    /// The problems of the table, or of the modules in its folder.
    pub(super) fn complaints(&self, modules: &Modules) -> Vec<String> {
        let mut complaints = self.complaints.clone();
        let there = modules.rooms();
        for room in there.iter().filter(|room| !self.rooms.contains_key(**room)) {
            complaints.push(format!("{DOCUMENT}: the room `{room}` is in none of the tables"));
        }
        for (room, may_use) in &self.rooms {
            if !there.contains(room.as_str()) {
                complaints.push(format!("{DOCUMENT}: there is no room `{room}`"));
                continue;
            }
            let mut unused: BTreeSet<&str> =
                may_use.iter().map(String::as_str).filter(|used| *used != ALL).collect();
            for (file, used) in modules.used_by(room) {
                unused.remove(used);
                if !may_use.contains(used) && !may_use.contains(ALL) {
                    complaints.push(format!("{file}: `{room}` may not use `crate::{used}` ({DOCUMENT})"));
                }
            }
            complaints.extend(
                unused.into_iter().map(|used| format!("{DOCUMENT}: `{room}` may use `{used}` and does not")),
            );
        }
        complaints
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "\
# Title
## Rooms of `core/src`
### Backend
| room | what it is | may use |
|---|---|---|
| `turn`, `dirs` | a `request` | |
| `worker` | processes | `turn` |

### Edges
| room | what it is | may use |
| --- | --- | --- |
| `http` | routes | all |

## Others, in `app/src`
| room | what it is | may use |
|---|---|---|
| `tray` | icons | |
";

    fn complaints(files: &[(&str, &str)]) -> Vec<String> {
        let mut modules = Modules::default();
        for (inside, text) in files {
            modules.add(inside, inside, text);
        }
        tables(DOCUMENT)["core/src/"].complaints(&modules)
    }

    #[test]
    fn the_tables_are_read_with_their_folder() {
        let tables = tables(DOCUMENT);
        let rooms = |folder: &str| tables[folder].rooms.keys().cloned().collect::<Vec<_>>();
        assert_eq!(rooms("core/src/"), ["dirs", "http", "turn", "worker"]);
        assert_eq!(rooms("app/src/"), ["tray"]);
    }

    #[test]
    fn a_tree_that_is_as_the_table_says_passes() {
        let files = [
            ("turn.rs", ""),
            ("dirs.rs", ""),
            ("worker.rs", "use crate::turn::Turn;"),
            ("http.rs", "use crate::worker::Pool;"),
            ("lib.rs", "pub mod turn;"),
        ];
        assert_eq!(complaints(&files), [""; 0]);
    }

    #[test]
    fn a_missing_room_one_too_many_an_unused_grant_and_an_intruder_are_found() {
        let files = [
            ("turn.rs", ""),
            ("dirs.rs", "use crate::turn::Turn;"),
            ("worker/deep/er.rs", ""),
            ("utils.rs", ""),
        ];
        let found = complaints(&files);
        for expected in [
            "the room `utils` is in none of the tables",
            "there is no room `http`",
            "dirs.rs: `dirs` may not use `crate::turn`",
            "`worker` may use `turn` and does not",
        ] {
            assert!(found.iter().any(|complaint| complaint.contains(expected)), "{expected}: {found:?}");
        }
        assert_eq!(found.len(), 4);
    }

    #[test]
    fn rows_that_are_no_rows_and_rooms_that_are_there_twice_are_found() {
        let table = |rows: &str| {
            tables(&format!("# In `a/src`\n{HEADER}\n|---|---|---|\n{rows}"))
                .remove("a/src/")
                .unwrap()
                .complaints
        };
        assert_eq!(table("| `turn` | what |\n").len(), 1);
        assert_eq!(table("| `turn` | what | |\n| `turn` | what | |\n").len(), 1);
    }
}
