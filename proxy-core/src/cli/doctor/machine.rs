//! Checks of the machine: the clock, and settings of other programs that stop clients from reaching the proxy.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Finding, Ground};
use crate::cli::units::{Now, duration};
use crate::config::Strings;
use crate::control::api::Limits;

/// The tolerated difference of clocks in seconds.
const TOLERANCE: u64 = 300;

pub(super) fn look(ground: &Ground, environment: &dyn Strings) -> Vec<Finding> {
    let limits = ground.status.as_ref().and_then(|status| status.limits.as_ref());
    let files = [Some(ground.config.data_dir.clone()), std::env::current_exe().ok()];
    let newest = files.into_iter().flatten().filter_map(|path| newest_in(&path)).max();
    vec![clock(Now::here().seconds(), newest, limits), proxies(environment)]
}

/// Checks the clock against local facts. There is no time server, so only a large error is found.
fn clock(now: u64, newest: Option<u64>, limits: Option<&Limits>) -> Finding {
    const CHECK: &str = "clock";
    /// The time when this code was written. An earlier clock is wrong.
    const EARLIEST: u64 = 1_767_225_600;
    let advice = "Set the clock of this machine; a wrong one makes sign-ins fail.";
    if now < EARLIEST {
        return Finding::fail(CHECK, "it is set to before this program was written", advice);
    }
    if let Some(newest) = newest.filter(|newest| *newest > now + TOLERANCE) {
        let ahead = duration(newest - now);
        return Finding::warn(
            CHECK,
            format!("the newest of the proxy's files is {ahead} ahead of it"),
            advice,
        );
    }
    let windows = limits.into_iter().flat_map(|limits| [&limits.primary, &limits.secondary]).flatten();
    for window in windows {
        let (Some(resets), Some(minutes)) = (window.resets_at, window.window_minutes) else { continue };
        // A window ends at most its own length from now.
        if resets > now + minutes * 60 + TOLERANCE {
            let detail = "a limit of the account resets later than it can, so the clock seems to be slow";
            return Finding::warn(CHECK, detail, advice);
        }
    }
    let compared =
        if limits.is_some() { "the proxy's files and the account's limits" } else { "the proxy's files" };
    Finding::ok(CHECK, format!("plausible by {compared}; no time server was asked"))
}

/// The modification time of a file, or of the newest file in a directory, in seconds since 1970.
fn newest_in(path: &Path) -> Option<u64> {
    let time = |path: &Path| {
        let modified: SystemTime = fs::metadata(path).ok()?.modified().ok()?;
        Some(modified.duration_since(UNIX_EPOCH).ok()?.as_secs())
    };
    let inside = fs::read_dir(path).into_iter().flatten().filter_map(|entry| time(&entry.ok()?.path()));
    inside.chain(time(path)).max()
}

/// Whether clients on this machine would use an HTTP proxy to connect to loopback.
fn proxies(environment: &dyn Strings) -> Finding {
    const CHECK: &str = "proxy_environment";
    let set = |name: &str| {
        [name.to_owned(), name.to_lowercase()]
            .into_iter()
            .find_map(|name| Some((name.clone(), environment.get(&name).filter(|value| !value.is_empty())?)))
    };
    // The values may contain a password, so only the names are shown.
    let names: Vec<String> = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"]
        .into_iter()
        .filter_map(|name| Some(set(name)?.0))
        .collect();
    if names.is_empty() {
        return Finding::ok(CHECK, "no HTTP proxy is set in the environment");
    }
    let spared = set("NO_PROXY").is_some_and(|(_, hosts)| spares_loopback(&hosts.to_string_lossy()));
    let verb = if names.len() == 1 { "is" } else { "are" };
    let detail = format!("{} {verb} set", names.join(", "));
    if spared {
        return Finding::ok(CHECK, format!("{detail}, and NO_PROXY spares this machine"));
    }
    Finding::warn(
        CHECK,
        format!("{detail}, and NO_PROXY does not spare this machine: many clients would not reach the proxy"),
        "Set NO_PROXY=127.0.0.1,localhost where your clients run. This program is not affected.",
    )
}

fn spares_loopback(hosts: &str) -> bool {
    let hosts: Vec<&str> = hosts.split(',').map(str::trim).collect();
    hosts.iter().any(|host| ["127.0.0.1", "*", "127.0.0.0/8"].contains(host))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ffi::OsString;

    use super::super::Verdict;
    use super::*;

    const NOW: u64 = 1_783_936_600;

    #[test]
    fn gross_errors_of_the_clock_are_found() {
        let limits: Limits = serde_json::from_value(serde_json::json!({
            "primary": {"used_percent": 1.0, "window_minutes": 300, "resets_at": NOW + 300 * 60},
        }))
        .unwrap();
        assert_eq!(clock(NOW, Some(NOW), Some(&limits)).status, Verdict::Ok);
        assert_eq!(clock(NOW, None, None).status, Verdict::Ok);
        assert_eq!(clock(NOW, Some(NOW + 3600), None).status, Verdict::Warn);
        assert_eq!(clock(NOW - 3600, None, Some(&limits)).status, Verdict::Warn);
        assert_eq!(clock(0, None, None).status, Verdict::Fail);
    }

    #[test]
    fn http_proxies_in_the_way_are_found_and_not_shown() {
        let case = |pairs: &[(&str, &str)]| {
            let environment: BTreeMap<String, OsString> =
                pairs.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect();
            proxies(&environment)
        };
        assert_eq!(case(&[]).status, Verdict::Ok);
        let found = case(&[("https_proxy", "http://user:secret@proxy.example")]);
        assert_eq!(found.status, Verdict::Warn);
        assert!(found.detail.contains("https_proxy") && !found.detail.contains("secret"), "{found:?}");
        assert_eq!(
            case(&[("HTTP_PROXY", "http://p"), ("NO_PROXY", "localhost, 127.0.0.1")]).status,
            Verdict::Ok
        );
        assert_eq!(case(&[("HTTP_PROXY", "http://p"), ("no_proxy", "example.com")]).status, Verdict::Warn);
        assert_eq!(case(&[("HTTP_PROXY", "")]).status, Verdict::Ok);
    }
}
