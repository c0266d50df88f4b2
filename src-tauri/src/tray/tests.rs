use proxy_core::control::api::{
    AccountMethod, AccountState, LimitWindow, Limits, Login, LoginMethod, Status, Worker, WorkerState,
};

use super::*;
use crate::fixtures::{NOON, account, down, limited, limits, ready, without_codex, worker};

/// The tray as lines: the icon, then the part of the menu that depends on the proxy.
fn shown(proxy: Proxy<'_>) -> Vec<String> {
    shown_at(proxy, NOON)
}

fn shown_at(proxy: Proxy<'_>, now: u64) -> Vec<String> {
    let view = whole(proxy, now, &Updates::Off, Some(false));
    assert!(view.tooltip.starts_with("Codex Proxy: "), "{}", view.tooltip);
    let mut lines = vec![format!("{:?}", view.icon)];
    lines.extend(view.menu.iter().map(line));
    let rest = lines.split_off(lines.len() - 5);
    assert_eq!(rest, ["---", "Notifications >", "[ ] Start at login", "---", "Quit"]);
    // What can be opened comes right after what is said.
    let first = lines.iter().position(|line| line == "---").unwrap();
    let opened: Vec<String> = lines.splice(first..=first + 2, []).collect();
    let open = if matches!(view.icon, Icon::Starting) && opened[1].starts_with('(') {
        ["---", "(Open)", "(Set up a client…)"]
    } else {
        ["---", "Open", "Set up a client…"]
    };
    assert_eq!(opened, open);
    lines
}

fn whole(proxy: Proxy<'_>, now: u64, updates: &Updates, starts_at_login: Option<bool>) -> View {
    view(&Facts {
        proxy,
        running: &[],
        signing_out: false,
        window_open: false,
        notify: Notify::default(),
        starts_at_login,
        updates,
        now: messages::timestamp(now).unwrap(),
        zone: &TimeZone::UTC,
    })
}

fn line(entry: &Entry) -> String {
    match entry {
        Entry::Text(text) => format!("· {text}"),
        Entry::Item { label, enabled: true, .. } => label.clone(),
        Entry::Item { label, enabled: false, .. } => format!("({label})"),
        Entry::Check { label, checked: true, .. } => format!("[x] {label}"),
        Entry::Check { label, checked: false, .. } => format!("[ ] {label}"),
        Entry::Submenu { label, .. } => format!("{label} >"),
        Entry::Separator => "---".to_owned(),
    }
}

#[test]
fn ready_shows_the_account_and_its_limits() {
    assert_eq!(
        shown(Proxy::Running(&ready())),
        [
            "Ready",
            "· Ready at http://127.0.0.1:11435/v1",
            "· Signed in as person@example.org (Plus)",
            "· 5-hour limit: 42 % used, resets 14:30",
            "· Weekly limit: 12 % used, resets Sat 12:00",
            "---",
            "Copy API key",
            "Copy base URL",
            "---",
            "Restart workers",
            "Pause",
            "Sign out…",
        ]
    );
}

#[test]
fn nothing_can_be_done_before_the_start_and_after_the_end() {
    let nothing =
        ["---", "(Copy API key)", "(Copy base URL)", "---", "(Restart workers)", "(Pause)", "(Sign in)"];
    let starting = shown(Proxy::Starting);
    assert_eq!(starting[..2], ["Starting", "· Starting…"]);
    assert_eq!(starting[2..], nothing);
    let stopping = whole(Proxy::Stopping, NOON, &Updates::Off, None);
    assert_eq!(line(&stopping.menu[0]), "· Finishing the last requests…");
    assert_eq!(stopping.icon, Icon::Starting);
    let enabled: Vec<String> = stopping
        .menu
        .iter()
        .filter(|entry| matches!(entry, Entry::Item { enabled: true, .. }))
        .map(line)
        .collect();
    assert_eq!(enabled, ["Quit"]);
}

#[test]
fn a_proxy_that_cannot_run_says_why_and_can_be_tried_again() {
    let sentence = "the address 127.0.0.1:11435 is taken by `other` (process 7). Stop it, or choose another port \
                    with PORT or --port.";
    assert_eq!(
        shown(Proxy::Failed(sentence))[..4],
        [
            "Broken",
            "· Not running",
            "· The address 127.0.0.1:11435 is taken by `other` (process 7)",
            "Try again"
        ]
    );
}

#[test]
fn the_icon_and_the_state_line_follow_the_state() {
    let with = |change: &dyn Fn(&mut Status)| {
        let mut status = ready();
        change(&mut status);
        status
    };
    let cases: Vec<(Status, Icon, &str)> = vec![
        (ready(), Icon::Ready, "Ready"),
        (with(&|status| status.workers[0].turns_running = 1), Icon::Busy, "Working on 1 request"),
        (with(&|status| status.workers[0].turns_running = 3), Icon::Busy, "Working on 3 requests"),
        (with(&|status| status.account = account(AccountState::SignedOut)), Icon::SignedOut, "Not signed in"),
        (with(&|status| status.account = account(AccountState::SigningIn)), Icon::SignedOut, "Not signed in"),
        (with(&|status| status.account = account(AccountState::Unknown)), Icon::Ready, "Ready"),
        (with(&|status| status.account = account(AccountState::NotNeeded)), Icon::Ready, "Ready"),
        (with(&|status| status.limits = None), Icon::Ready, "Ready"),
        (limited(limits(100, 12, false), true), Icon::Limited, "Limit reached"),
        (
            limited(Limits { ordinary_usage_allowed: None, ..limits(100, 12, true) }, true),
            Icon::Limited,
            "Limit reached",
        ),
        // A use that OpenAI still allows does not count as limited.
        (limited(limits(100, 12, true), false), Icon::Ready, "Ready"),
        (
            with(&|status| {
                *status = limited(limits(100, 12, false), true);
                status.account = account(AccountState::SignedOut);
            }),
            Icon::SignedOut,
            "Not signed in",
        ),
        (
            with(&|status| {
                status.ready = false;
                status.workers = vec![worker(WorkerState::Starting)];
            }),
            Icon::Starting,
            "Starting Codex",
        ),
        (
            with(&|status| {
                status.ready = false;
                status.workers = vec![worker(WorkerState::BackingOff)];
            }),
            Icon::Starting,
            "Starting Codex",
        ),
        // One of two workers is enough.
        (with(&|status| status.workers.push(worker(WorkerState::Failed))), Icon::Ready, "Ready"),
        (
            with(&|status| {
                (status.ready, status.paused) = (false, true);
                status.account = account(AccountState::SignedOut);
            }),
            Icon::Paused,
            "Paused",
        ),
        (down("it ended"), Icon::Broken, "Not working"),
        (without_codex(), Icon::Broken, "Not working"),
    ];
    for (status, icon, headline) in cases {
        let shown = shown(Proxy::Running(&status));
        assert_eq!(shown[0], format!("{icon:?}"), "{status:?}");
        assert_eq!(shown[1].replace(", at", " at"), format!("· {headline} at {}", status.address));
    }
}

#[test]
fn what_is_wrong_is_said_in_a_line() {
    let lines = shown(Proxy::Running(&without_codex()));
    assert_eq!(lines[2], "· There is no Codex CLI on this machine. Install it.");
    let long = down(&"it ended with a lot of words ".repeat(9));
    let line = &shown(Proxy::Running(&long))[2];
    assert!(line.starts_with("· It ended with a lot of words it") && line.ends_with('…'), "{line}");
    assert!(line.chars().count() <= 76, "{line}");
    let lines = down("exit status 1:\nfirst line\nsecond");
    assert_eq!(shown(Proxy::Running(&lines))[2], "· Exit status 1: first line second");
}

#[test]
fn signing_in_is_offered_where_it_makes_sense() {
    let offered = |change: &dyn Fn(&mut Status)| {
        let mut status = ready();
        change(&mut status);
        let lines = shown(Proxy::Running(&status));
        let at = lines.iter().position(|line| line == "Pause").unwrap();
        (lines[2].clone(), lines[at + 1..].to_vec())
    };
    let (said, items) = offered(&|status| status.account = account(AccountState::SignedOut));
    assert_eq!((said.as_str(), items), ("· Nobody is signed in", vec!["Sign in".to_owned()]));

    let (said, items) = offered(&|status| {
        status.account = account(AccountState::SignedOut);
        status.account.problem = Some("the sign-in took too long. Begin it again.".into());
    });
    assert_eq!((said.as_str(), items.len()), ("· The sign-in took too long. Begin it again.", 1));

    let (said, items) = offered(&|status| {
        status.account = account(AccountState::SigningIn);
        status.account.login = Some(Login {
            id: "1".into(),
            method: LoginMethod::Browser,
            auth_url: None,
            verification_url: None,
            user_code: None,
            started_at: NOON,
            expires_at: NOON + 60,
        });
    });
    assert_eq!(said, "· Waiting for the browser to sign in");
    assert_eq!(items, ["Go on signing in", "Cancel signing in"]);

    let (said, items) = offered(&|status| {
        status.account.method = Some(AccountMethod::ApiKey);
        status.account.email = None;
    });
    assert_eq!((said.as_str(), items), ("· Signed in with an API key", vec!["Sign out…".to_owned()]));

    let (_, items) = offered(&|status| status.account = account(AccountState::NotNeeded));
    assert_eq!(items, [""; 0]);

    // A sign-in needs a running Codex.
    let mut status = down("it ended");
    status.account = account(AccountState::Unknown);
    let lines = shown(Proxy::Running(&status));
    assert_eq!(lines.last().map(String::as_str), Some("(Sign in)"));
}

#[test]
fn a_limit_is_over_when_its_window_begins_anew() {
    let status = limited(limits(100, 12, false), true);
    assert_eq!(shown_at(Proxy::Running(&status), NOON + 8_999)[0], "Limited");
    let lines = shown_at(Proxy::Running(&status), NOON + 9_000);
    assert_eq!((lines[0].as_str(), lines[3].as_str()), ("Ready", "· 5-hour limit: started again at 14:30"));
}

fn asks(client: &str, key: &str, model: Option<&str>, tokens: u64) -> RequestEntry {
    serde_json::from_value(serde_json::json!({
        "id": "req_1", "at": 0, "method": "POST", "route": "/v1/responses", "surface": "responses", "key": key,
        "client": client, "user_agent": "", "status": null, "error_code": null, "requested_model": model,
        "effective_model": null, "effort": null, "service_tier": null, "stream": true, "request_bytes": 1,
        "response_bytes": 0, "ttft_ms": null, "duration_ms": null, "input_tokens": 0, "cached_tokens": 0,
        "output_tokens": tokens, "estimated": false, "tool_calls": 0, "worker": 0, "thread": null,
        "state": "running", "has_capture": false,
    }))
    .unwrap()
}

fn while_answering(running: &[RequestEntry], signing_out: bool) -> View {
    let status = ready();
    view(&Facts {
        proxy: Proxy::Running(&status),
        running,
        signing_out,
        window_open: false,
        notify: Notify::default(),
        starts_at_login: None,
        updates: &Updates::Off,
        now: messages::timestamp(NOON).unwrap(),
        zone: &TimeZone::UTC,
    })
}

#[test]
fn what_is_being_answered_is_in_the_tooltip_and_in_the_menu() {
    let three = [
        asks("obsidian", "notes", Some("gpt-5.2"), 1204),
        asks("other", "editor", None, 1),
        asks("browser", "window", Some("codex-5"), 0),
    ];
    let lines = ["Obsidian · gpt-5.2 · 1204 tokens", "Editor · 1 token", "This window · codex-5"];
    let shown = while_answering(&three, false);
    assert_eq!(shown.tooltip.lines().skip(1).collect::<Vec<_>>(), lines);
    let menu: Vec<String> = shown.menu.iter().map(line).collect();
    assert_eq!(menu[1..4], lines.map(|line| format!("· {line}")));
    let five: Vec<RequestEntry> = (0..5).map(|_| three[0].clone()).collect();
    assert!(while_answering(&five, false).tooltip.ends_with("\nand 2 more"));
    assert_eq!(while_answering(&[], false).tooltip.lines().count(), 1);
}

#[test]
fn a_sign_out_is_seen_at_once() {
    let lines = |signing_out| while_answering(&[], signing_out).menu.iter().map(line).collect::<Vec<_>>();
    assert!(lines(false).contains(&"Sign out…".to_owned()));
    assert!(lines(true).contains(&"(Signing out…)".to_owned()));
}

#[test]
fn windows_are_named_by_their_length() {
    let window = |minutes| LimitWindow { used_percent: 1, window_minutes: minutes, resets_at: None };
    let cases = [
        (Some(300), "5-hour limit"),
        (Some(60), "1-hour limit"),
        (Some(90), "90-minute limit"),
        (Some(1_440), "Daily limit"),
        (Some(10_080), "Weekly limit"),
        (Some(43_200), "30-day limit"),
        (Some(0), "Short limit"),
        (None, "Short limit"),
    ];
    for (minutes, name) in cases {
        assert_eq!(messages::window_name(&window(minutes), "short_limit"), name);
    }
}

#[test]
fn times_are_told_as_people_tell_them() {
    let at = |seconds: u64| messages::timestamp(seconds).unwrap();
    let told = |then: u64| messages::clock(at(then), at(NOON), &TimeZone::UTC);
    assert_eq!(told(NOON + 60), "12:01");
    assert_eq!(told(NOON + 86_400), "Thu 12:00");
    assert_eq!(told(NOON + 6 * 86_400), "Tue 12:00");
    assert_eq!(told(NOON + 7 * 86_400), "11 Mar 12:00");
    let there = TimeZone::get("Asia/Tokyo").unwrap();
    assert_eq!(messages::clock(at(NOON + 5 * 3_600), at(NOON), &there), "Thu 02:00");
}

#[test]
fn updates_are_only_there_with_a_release_channel() {
    let item = |updates: &Updates| {
        let view = whole(Proxy::Running(&ready()), NOON, updates, Some(true));
        let lines: Vec<String> = view.menu.iter().map(line).collect();
        let at = lines.iter().position(|line| line == "[x] Start at login").unwrap();
        lines[at + 1].clone()
    };
    assert_eq!(item(&Updates::Off), "---");
    assert_eq!(item(&Updates::None), "Check for updates");
    assert_eq!(item(&Updates::Checking), "(Checking for updates…)");
    assert_eq!(item(&Updates::Failed("2.0.0".into())), "· Version 2.0.0 did not start");
    assert_eq!(item(&Updates::Ready("2.0.0".into())), "Install version 2.0.0 and restart");
    assert_eq!(item(&Updates::Installing("2.0.0".into())), "(Installing version 2.0.0…)");
}

#[test]
fn every_notice_has_a_switch() {
    let switches = |updates: &Updates| {
        let view = whole(Proxy::Starting, NOON, updates, None);
        let below = view.menu.iter().find_map(|entry| match entry {
            Entry::Submenu { entries, .. } => Some(entries.iter().map(line).collect::<Vec<_>>()),
            Entry::Text(_) | Entry::Item { .. } | Entry::Check { .. } | Entry::Separator => None,
        });
        below.unwrap()
    };
    let without = switches(&Updates::Off);
    assert_eq!(
        without,
        ["[x] When signed out", "[x] About the plan's limits", "[x] When something is broken"]
    );
    assert_eq!(switches(&Updates::None).len(), 4);
}

#[test]
fn every_action_is_found_by_its_name() {
    for action in Action::ALL {
        assert_eq!(Action::of_id(action.id()), Some(action));
    }
    assert_eq!(Action::of_id("something else"), None);
}

#[test]
fn a_worker_that_failed_without_a_word_is_trouble_all_the_same() {
    let mut status = down("");
    status.workers = vec![Worker { last_exit: None, ..worker(WorkerState::Failed) }];
    assert_eq!(trouble(&status).as_deref(), Some("the Codex worker does not start"));
}
