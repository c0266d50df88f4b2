//! Facts about this process from the operating system.

/// The values of this process at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Process {
    pub(super) resident_bytes: u64,
    pub(super) virtual_bytes: u64,
    pub(super) cpu_seconds: f64,
    pub(super) threads: u64,
    pub(super) open_fds: Option<u64>,
    pub(super) max_fds: Option<u64>,
    pub(super) start_time_seconds: Option<f64>,
}

/// The current values; `None` if the system does not provide them.
#[cfg(target_os = "linux")]
pub(super) fn now() -> Option<Process> {
    use std::fs;

    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let field = |number| field(&stat, number);
    #[expect(clippy::cast_precision_loss, reason = "ticks of a process fit a float for ages")]
    let seconds = |ticks: u64| ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
    let boot = fs::read_to_string("/proc/stat").ok().and_then(|text| {
        text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse::<f64>().ok()
    });
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes = resident.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    Some(Process {
        resident_bytes: kibibytes * 1024,
        virtual_bytes: field(23)?,
        cpu_seconds: seconds(field(14)? + field(15)?),
        threads: field(20)?,
        open_fds: fs::read_dir("/proc/self/fd").ok().map(|fds| fds.count() as u64),
        max_fds: limit,
        start_time_seconds: boot.zip(field(22)).map(|(boot, ticks)| boot + seconds(ticks)),
    })
}

/// A number in a line of `/proc/PID/stat`, by its index in proc_pid_stat(5), from 3 on. The second value is the
/// name of the program in parentheses, which may contain any character.
#[cfg(target_os = "linux")]
fn field(stat: &str, place: usize) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(place.checked_sub(3)?)?.parse().ok()
}

/// The current values; `None` if the system does not provide them.
#[cfg(not(target_os = "linux"))]
pub(super) fn now() -> Option<Process> {
    None
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::time::SystemTime;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_numbers_are_this_processs_own() {
        let before = now().unwrap();
        let files: Vec<_> = (0..8).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        let after = now().unwrap();
        assert!(after.open_fds.unwrap() >= files.len() as u64, "{after:?}");
        assert!(after.open_fds.unwrap() <= after.max_fds.unwrap_or(u64::MAX), "{after:?}");
        assert!(
            before.resident_bytes > 100_000 && before.virtual_bytes >= before.resident_bytes,
            "{before:?}"
        );
        assert!(after.cpu_seconds >= before.cpu_seconds && before.threads >= 1, "{before:?}");
        let epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
        let age = epoch - after.start_time_seconds.unwrap();
        assert!((-2.0..3600.0).contains(&age), "started {age} s ago");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_name_of_any_kind_moves_no_field(name in any::<String>(), numbers in prop::collection::vec(any::<u64>(), 0..30)) {
            let texts: Vec<String> = numbers.iter().map(u64::to_string).collect();
            let stat = format!("1 ({name}) {}", texts.join(" "));
            for place in 0..31 {
                prop_assert_eq!(field(&stat, place + 3), numbers.get(place).copied());
            }
            field(&name, 3);
        }
    }
}
