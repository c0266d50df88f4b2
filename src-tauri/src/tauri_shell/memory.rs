//! Gives memory back after the window was closed: the process that loads for web pages, the heap, and the code and the
//! constants of the web engine, which the system reads again from its files when they are needed.

use std::fs;

use rustix::process::{Pid, Signal, getpid, kill_process};

/// How Linux names the process that loads for all pages. WebKit starts another one with the next page.
const LOADER: &str = "WebKitNetworkPr";

/// The libraries that only a page needs. `libflite` speaks for it.
const LIBRARIES: [&str; 5] =
    ["/libwebkit2gtk-", "/libjavascriptcoregtk-", "/libLLVM", "_dri.so", "/libflite"];

pub(super) fn give_back() {
    let own = getpid().as_raw_nonzero().get();
    for loader in children(own).into_iter().filter(|pid| name_of(*pid).as_deref() == Some(LOADER)) {
        // It may have ended by itself.
        if let Some(Err(error)) = Pid::from_raw(loader).map(|pid| kill_process(pid, Signal::TERM)) {
            tracing::debug!(%error, "the web engine's loader does not end");
        }
    }
    proxy_core::heap::freed();
    let dropped = fs::read_to_string("/proc/self/smaps").map(|maps| drop_parts(&maps));
    tracing::debug!(?dropped, "the memory of the window was given back");
}

/// The child processes of a process.
fn children(parent: i32) -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &i32| parent_of(*pid) == Some(parent)).collect()
}

fn parent_of(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // A name may contain anything, even parentheses.
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

fn name_of(pid: i32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/comm")).ok().map(|name| name.trim_end().to_owned())
}

/// A part of the process' memory with code or constants of a library, as they are in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    start: usize,
    end: usize,
}

/// The parts of the libraries that only a page needs. A part of which anything was changed is left out.
fn parts(maps: &str) -> Vec<Part> {
    let mut found = Vec::new();
    let mut last: Option<Part> = None;
    for line in maps.lines() {
        if let Some(mapping) = mapping(line) {
            found.extend(std::mem::replace(&mut last, mapping.filter(|_| is_read_only(line))));
        } else if is_changed(line) {
            last = None;
        }
    }
    found.extend(last);
    found
}

/// The addresses in the first line of a mapping; `None` if this is another line.
fn mapping(line: &str) -> Option<Option<Part>> {
    let (range, _) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    let (start, end) = (number(start)?, number(end)?);
    Some((start < end).then_some(Part { start, end }))
}

fn is_read_only(line: &str) -> bool {
    let mut fields = line.split_whitespace().skip(1);
    let is_fixed = matches!(fields.next(), Some("r-xp" | "r--p"));
    let file = fields.nth(3).unwrap_or_default();
    is_fixed && LIBRARIES.iter().any(|name| file.contains(name)) && !line.ends_with(" (deleted)")
}

/// Whether this line of a mapping says that something in it is not as in the file.
fn is_changed(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let counts = words.next().is_some_and(|name| {
        ["Anonymous:", "Private_Dirty:", "Shared_Dirty:", "Swap:", "Locked:"].contains(&name)
    });
    counts && words.next() != Some("0")
}

/// Returns how many bytes were let go of at most.
fn drop_parts(maps: &str) -> usize {
    let dropped = parts(maps).into_iter().filter(|part| let_go(*part));
    dropped.map(|part| part.end - part.start).sum()
}

#[expect(unsafe_code, reason = "there is no other way to give back pages of a file that is mapped")]
fn let_go(part: Part) -> bool {
    let start = std::ptr::without_provenance_mut(part.start);
    // SAFETY: the part is a private mapping of a file that nobody can write to, and nothing in it differs from
    // the file. So whoever runs or reads it meanwhile gets the same bytes again.
    let done = unsafe { libc::madvise(start, part.end - part.start, libc::MADV_DONTNEED) };
    done == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
7f0000000000-7f0000001000 r--p 00000000 08:01 1  /usr/lib/x86_64-linux-gnu/libwebkit2gtk-4.1.so.0.19.9
Pss:  4 kB
Anonymous:  0 kB
7f0000001000-7f0000004000 r-xp 00001000 08:01 1  /usr/lib/x86_64-linux-gnu/libwebkit2gtk-4.1.so.0.19.9
Private_Dirty:         0 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
7f0000004000-7f0000005000 rw-p 00004000 08:01 1  /usr/lib/x86_64-linux-gnu/libwebkit2gtk-4.1.so.0.19.9
7f0000005000-7f0000006000 r--p 00004000 08:01 1  /usr/lib/x86_64-linux-gnu/libwebkit2gtk-4.1.so.0.19.9
Private_Dirty:         4 kB
Anonymous:             4 kB
7f0000006000-7f0000008000 r-xp 00001000 08:01 2  /usr/lib/libjavascriptcoregtk-4.1.so.0
Anonymous:             4 kB
7f0000009000-7f000000a000 r-xp 00001000 08:01 3  /usr/lib/libc.so.6
7f000000b000-7f000000c000 r-xp 00001000 08:01 3  /usr/lib/libjavascriptcoregtk-4.1.so.0 (deleted)
7f000000d000-7f000000e000 r-xp 00000000 00:00 0
7f000000f000-7f0000010000 r-xp 00001000 08:01 4  /usr/lib/dri/swrast_dri.so
";

    #[test]
    fn only_unchanged_parts_of_the_web_engine_are_let_go_of() {
        let part = |start, end| Part { start, end };
        let (constants, code) =
            (part(0x7f00_0000_0000, 0x7f00_0000_1000), part(0x7f00_0000_1000, 0x7f00_0000_4000));
        let graphics = part(0x7f00_0000_f000, 0x7f00_0001_0000);
        assert_eq!(parts(MAPS), [constants, code, graphics]);
    }

    #[test]
    fn a_process_knows_its_children() {
        #[expect(clippy::disallowed_methods, reason = "a child of this test")]
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(children(own).contains(&pid));
        assert_eq!(parent_of(pid), Some(own));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(name_of(own).is_some(), !own.to_string().is_empty());
    }
}
