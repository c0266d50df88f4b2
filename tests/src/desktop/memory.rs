//! The memory of a process, from Linux's `/proc/PID/smaps`.

use std::fs;

/// The memory of a process in KiB. Shared memory is divided among the processes (PSS).
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// The total.
    pub total: u64,
    /// Mapped files of the system: shared libraries, fonts, icon themes, translations.
    pub system_files: u64,
    /// Memory without a file: heap, stacks, buffers.
    pub anonymous: u64,
}

impl Memory {
    /// That of a running process, whose own program is at `program`.
    pub fn of(pid: i32, program: &str) -> Self {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps")).expect("the process runs");
        let mut memory = Self::default();
        let mut file = String::new();
        for line in text.lines() {
            if let Some(path) = mapped(line) {
                path.clone_into(&mut file);
            } else if let Some(kib) = field(line, "Pss:") {
                memory.total += kib;
                if file.starts_with('/') && file != program && !file.starts_with("/dev/") {
                    memory.system_files += kib;
                }
            } else if let Some(kib) = field(line, "Anonymous:") {
                memory.anonymous += kib;
                // A file's page that was written to is the process's own.
                if file.starts_with('/') && file != program && !file.starts_with("/dev/") {
                    memory.system_files = memory.system_files.saturating_sub(kib);
                }
            }
        }
        memory
    }

    /// Everything except the system's files.
    pub fn own(&self) -> u64 {
        self.total - self.system_files
    }
}

/// The growth from each value to the next: the slope of the best straight line.
pub fn slope(course: &[u64]) -> f64 {
    let middle = (course.len() as f64 - 1.0) / 2.0;
    let distances = || (0..course.len()).map(|at| at as f64 - middle);
    let together: f64 = distances().zip(course).map(|(distance, value)| distance * *value as f64).sum();
    together / distances().map(|distance| distance * distance).sum::<f64>()
}

/// The file in the first line of a mapping (`7f..-7f.. r-xp 00000000 08:01 123 /usr/lib/..`); empty if there is none.
fn mapped(line: &str) -> Option<&str> {
    let (range, _) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let is_range = [start, end].iter().all(|part| u64::from_str_radix(part, 16).is_ok());
    is_range.then(|| line.find(['/', '[']).map_or("", |at| &line[at..]))
}

fn field(line: &str, name: &str) -> Option<u64> {
    line.strip_prefix(name)?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_and_their_sizes_are_told_apart() {
        assert_eq!(
            mapped("7f12a000-7f12b000 r-xp 00000000 08:01 123    /usr/lib/libgtk-3.so"),
            Some("/usr/lib/libgtk-3.so")
        );
        assert_eq!(mapped("7f12a000-7f12b000 rw-p 00000000 00:00 0"), Some(""));
        assert_eq!(mapped("7ffd0000-7ffd1000 rw-p 00000000 00:00 0    [stack]"), Some("[stack]"));
        assert_eq!(mapped("Pss:                   4 kB"), None);
        assert_eq!(field("Pss:                   4 kB", "Pss:"), Some(4));
        assert_eq!(field("Pss_Dirty:             4 kB", "Pss:"), None);
    }

    #[test]
    fn a_slope_is_what_is_usual_between_one_and_the_next() {
        let rounded = |course: &[u64]| slope(course).round() as i64;
        assert_eq!(rounded(&[5, 5, 5, 5]), 0);
        assert_eq!(rounded(&(0..30).map(|at| 40_000 + 210 * at).collect::<Vec<_>>()), 210);
        assert_eq!(rounded(&(0..30).map(|at| 40_000 - 7 * at).collect::<Vec<_>>()), -7);
        // Memory that an allocator requests at once and keeps: at the worst moment, and at a typical one.
        assert_eq!(rounded(&(0..30).map(|at| if at < 15 { 36_400 } else { 37_100 }).collect::<Vec<_>>()), 35);
        assert_eq!(rounded(&(0..30).map(|at| if at < 27 { 36_400 } else { 37_100 }).collect::<Vec<_>>()), 13);
    }

    #[test]
    fn this_process_takes_some() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let program = std::env::current_exe().unwrap().display().to_string();
        let memory = Memory::of(pid, &program);
        assert!(memory.anonymous > 0 && memory.system_files > 0, "{memory:?}");
        assert!(memory.own() > 0 && memory.own() < memory.total, "{memory:?}");
    }
}
