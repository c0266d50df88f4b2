use proxy_core::control::api::{AccountState, Limits, WorkerState};

use super::*;
use crate::fixtures::{NOON, account, down, limited, limits, ready, without_codex};
use crate::preferences::Notify;
use crate::tray::Updates;
use crate::trial::Package;

/// A sequence of states; returns the titles of the notices for each.
#[derive(Default)]
struct Story(Notices);

impl Story {
    fn at(&mut self, now: u64, proxy: Proxy<'_>) -> Vec<Notice> {
        self.0.due(&Facts {
            proxy,
            running: &[],
            signing_out: false,
            window_open: false,
            notify: Notify::default(),
            starts_at_login: None,
            updates: &Updates::Off,
            now: timestamp(now).unwrap(),
            zone: &TimeZone::UTC,
        })
    }

    fn titles(&mut self, status: &Status) -> Vec<String> {
        self.at(NOON, Proxy::Running(status)).into_iter().map(|notice| notice.title).collect()
    }

    fn with_limits(&mut self, now: u64, limits: Limits) -> Vec<(String, String)> {
        // As the proxy reports it: the plan does not allow more use.
        let is_limited = limits.ordinary_usage_allowed == Some(false);
        let status = limited(limits, is_limited);
        let due = self.at(now, Proxy::Running(&status));
        assert!(due.iter().all(|notice| notice.kind == Some(Notification::Limits)));
        due.into_iter().map(|notice| (notice.title, notice.body)).collect()
    }
}

const NONE: [&str; 0] = [];

fn in_state(state: AccountState) -> Status {
    let mut status = ready();
    status.account = account(state);
    status
}

#[test]
fn being_signed_out_is_told_once() {
    let mut story = Story::default();
    assert_eq!(story.titles(&in_state(AccountState::Unknown)), NONE);
    assert_eq!(story.titles(&in_state(AccountState::SignedIn)), NONE);
    assert_eq!(story.titles(&in_state(AccountState::SignedOut)), ["You have been signed out"]);
    assert_eq!(story.titles(&in_state(AccountState::SignedOut)), NONE);
    assert_eq!(story.titles(&in_state(AccountState::SigningIn)), NONE);
    assert_eq!(story.titles(&in_state(AccountState::SignedOut)), NONE);
    assert_eq!(story.titles(&in_state(AccountState::SignedIn)), NONE);
    assert_eq!(story.titles(&in_state(AccountState::SignedOut)), ["You have been signed out"]);
}

#[test]
fn whoever_signs_out_needs_no_notice_of_it() {
    let mut story = Story::default();
    assert_eq!(story.titles(&in_state(AccountState::SignedIn)), NONE);
    story.0.sign_out_wanted();
    assert_eq!(story.titles(&in_state(AccountState::SignedOut)), NONE);
    assert_eq!(story.titles(&in_state(AccountState::SignedIn)), NONE);
    assert_eq!(story.titles(&in_state(AccountState::SignedOut)), ["You have been signed out"]);
}

#[test]
fn nobody_signed_in_at_the_start_is_told_once() {
    let mut story = Story::default();
    assert_eq!(story.titles(&in_state(AccountState::SignedOut)), ["Codex Proxy is not signed in"]);
    assert_eq!(story.titles(&in_state(AccountState::SignedOut)), NONE);
}

#[test]
fn a_limit_that_is_near_is_told_once_in_its_window() {
    let mut story = Story::default();
    assert_eq!(story.with_limits(NOON, limits(79, 10, true)), []);
    let near = ("5-hour limit: 80 % used".to_owned(), "It starts again at 14:30.".to_owned());
    assert_eq!(story.with_limits(NOON, limits(80, 10, true)), [near]);
    assert_eq!(story.with_limits(NOON, limits(79, 10, true)), []);
    assert_eq!(story.with_limits(NOON, limits(91, 10, true)), []);
    let week = ("Weekly limit: 85 % used".to_owned(), "It starts again at Sat 12:00.".to_owned());
    assert_eq!(story.with_limits(NOON, limits(92, 85, true)), [week]);
    // A large part is available again.
    assert_eq!(story.with_limits(NOON, limits(5, 85, true)), []);
    assert_eq!(story.with_limits(NOON, limits(80, 85, true)).len(), 1);
    // Values from before the end of the time window are not valid after it.
    assert_eq!(story.with_limits(NOON + 9_000, limits(80, 85, true)), []);
}

#[test]
fn a_limit_that_is_reached_is_told_once_and_so_is_its_end() {
    let mut story = Story::default();
    let reached = ("5-hour limit reached".to_owned(), "Requests are refused until 14:30.".to_owned());
    assert_eq!(story.with_limits(NOON, limits(100, 10, false)), [reached]);
    assert_eq!(story.with_limits(NOON, limits(100, 10, false)), []);
    let over = ("The limit is over".to_owned(), "Requests are answered again.".to_owned());
    assert_eq!(story.with_limits(NOON + 9_000, limits(100, 10, false)), [over]);
    assert_eq!(story.with_limits(NOON + 9_000, limits(0, 10, true)), []);
}

#[test]
fn a_broken_worker_is_told_once_until_it_works_again() {
    let mut story = Story::default();
    assert_eq!(story.titles(&ready()), NONE);
    assert_eq!(story.titles(&down("exit status 1")), ["Codex is not working"]);
    assert_eq!(story.titles(&down("exit status 2")), NONE);
    let mut starting = ready();
    starting.ready = false;
    starting.workers[0].state = WorkerState::Starting;
    assert_eq!(story.titles(&starting), NONE);
    assert_eq!(story.titles(&down("exit status 1")), NONE);
    assert_eq!(story.titles(&ready()), NONE);
    assert_eq!(story.titles(&down("exit status 1")), ["Codex is not working"]);
}

#[test]
fn what_is_broken_is_said() {
    let mut story = Story::default();
    let said = story.at(NOON, Proxy::Running(&down("exit status 1\nmuch more")));
    assert_eq!(said[0].body, "Exit status 1");
    assert_eq!(said[0].kind, Some(Notification::Broken));
    let mut story = Story::default();
    assert_eq!(story.titles(&without_codex()), ["Codex is missing"]);
}

#[test]
fn a_proxy_that_does_not_run_is_told_once() {
    let mut story = Story::default();
    let failed = |story: &mut Story| story.at(NOON, Proxy::Failed("the port is taken. Stop it."));
    let said = failed(&mut story);
    assert_eq!(
        (said[0].title.as_str(), said[0].body.as_str()),
        ("Codex Proxy is not running", "The port is taken. Stop it.")
    );
    assert_eq!(failed(&mut story), []);
    assert_eq!(story.at(NOON, Proxy::Starting), []);
    assert_eq!(failed(&mut story), []);
    story.0.trying_again();
    assert_eq!(failed(&mut story).len(), 1);
}

#[test]
fn an_update_that_was_taken_back_is_told_with_what_is_left_to_do() {
    let plan = Plan {
        from: "1.0.0".into(),
        to: "2.0.0".into(),
        package: Package::Deb,
        program: "/usr/bin/codex-proxy-app".into(),
        arguments: vec![],
        served: true,
        installer: None,
    };
    let back = Back { plan, reason: "it hangs".into(), not_installed: false, not_put_back: None };
    let told = |back: &Back, folder: &Path| {
        let notice = Notice::taken_back(back, Some(folder));
        assert_eq!(notice.kind, None, "nobody can have switched it off");
        (notice.title, notice.body)
    };
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(told(&back, dir.path()).0, "Version 2.0.0 did not start, so 1.0.0 is back");
    let failed = Back { not_installed: true, ..back.clone() };
    assert_eq!(told(&failed, dir.path()).0, "Version 2.0.0 could not be installed, so 1.0.0 is back");
    let kept = Back { not_put_back: Some("the password for it was not given".into()), ..back };
    let (title, body) = told(&kept, dir.path());
    let how = "1.0.0 runs for now, but could not be installed again: the password for it was not given.";
    assert_eq!(title, "Version 2.0.0 did not start");
    assert_eq!(body, format!("{how} To do that, install the package of version 1.0.0."));
    let package = dir.path().join(keep::PACKAGE);
    std::fs::write(&package, "").unwrap();
    let command = format!("sudo dpkg --install '{}'", package.display());
    assert_eq!(told(&kept, dir.path()).1, format!("{how} To do that, run: {command}"));
}
