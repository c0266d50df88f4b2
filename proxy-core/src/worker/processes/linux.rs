//! Processes on Linux, from `/proc`.

use std::fs;
use std::io;

use super::{Identity, Running};

/// Every process that is visible to this one.
///
/// # Errors
/// When there is no `/proc`.
pub(in super::super) fn all() -> io::Result<Vec<Running>> {
    let mut running = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let pid = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        running.extend(pid.and_then(look));
    }
    Ok(running)
}

/// The process with this id, if there is one.
pub(in super::super) fn look(pid: u32) -> Option<Running> {
    parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Identifies the boot: start times count from it.
pub(in super::super) fn boot_id() -> Option<String> {
    Some(fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned())
}

/// Reads `/proc/PID/stat`. The second field is the program's name in parentheses; the name may contain any
/// characters, also spaces and parentheses.
fn parse(pid: u32, stat: &str) -> Option<Running> {
    const STATE: usize = 0;
    const GROUP: usize = 2;
    const START_TIME: usize = 19;
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    Some(Running {
        identity: Identity { pid, start_time: fields.get(START_TIME)?.parse().ok()? },
        group: fields.get(GROUP)?.parse().ok()?,
        ended: matches!(*fields.get(STATE)?, "Z" | "X" | "x"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: &str =
        "1 77 60 0 -1 4194560 98 0 0 0 1 2 0 0 20 0 1 0 123456 2703360 227 18446744073709551615";

    #[test]
    fn a_stat_line_is_read_whatever_the_name() {
        for name in ["sleep", "a b", "tricky) R 1 1 1", "(", ")"] {
            let process = parse(5, &format!("5 ({name}) S {REST}")).unwrap();
            let identity = Identity { pid: 5, start_time: 123_456 };
            assert_eq!(process, Running { identity, group: 77, ended: false }, "{name}");
        }
        assert!(parse(5, &format!("5 (sleep) Z {REST}")).unwrap().ended);
    }

    #[test]
    fn half_a_stat_line_is_none() {
        assert_eq!(parse(5, ""), None);
        assert_eq!(parse(5, "5 (sleep) S 1 77"), None);
    }

    #[test]
    fn a_boot_has_an_id() {
        assert_eq!(boot_id().unwrap().len(), 36);
    }

    mod properties {
        use proptest::prelude::*;

        use super::*;

        proptest! {
            #![proptest_config(ProptestConfig::with_cases(128))]

            #[test]
            fn a_stat_line_is_read_exactly_whatever_the_name(
                name in prop_oneof![any::<String>(), "[a-z() 0-9\n]{0,15}"],
                state in "[RSDZTtXxKWPI]",
                (pid, parent, group, start_time) in any::<(u32, u32, u32, u64)>(),
                other in any::<[i64; 16]>(),
                after in prop::collection::vec(any::<u64>(), 0..4),
                cut in 0..20_usize,
            ) {
                let mut fields = vec![state.clone(), parent.to_string(), group.to_string()];
                fields.extend(other.iter().map(i64::to_string));
                fields.push(start_time.to_string());
                fields.extend(after.iter().map(u64::to_string));
                let whole = format!("{pid} ({name}) {}\n", fields.join(" "));
                let identity = Identity { pid, start_time };
                let ended = ["Z", "X", "x"].contains(&state.as_str());
                prop_assert_eq!(parse(pid, &whole), Some(Running { identity, group, ended }), "{}", whole);
                // Without its start time, a process could be taken for another of the same number.
                let half = format!("{pid} ({name}) {}", fields[..cut].join(" "));
                prop_assert_eq!(parse(pid, &half), None, "{}", half);
            }

            #[test]
            fn what_is_no_stat_line_is_none(text in any::<String>()) {
                let has_fields = text.rsplit_once(')').is_some_and(|(_, rest)| rest.split_whitespace().count() > 19);
                prop_assert!(parse(5, &text).is_none() || has_fields, "{}", text);
            }
        }
    }
}
