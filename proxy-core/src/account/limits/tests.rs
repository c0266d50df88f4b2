use std::time::Duration;

use proptest::prelude::*;
use protocol::codex::calls::{self, ReadRateLimits};
use serde_json::{Value, json};

use super::*;

/// Monday 23 November 2026, 10:45 in UTC.
const NOW: u64 = 1_795_430_700;

fn window(used_percent: u32, resets_at: u64) -> Window {
    Window { used_percent, window_minutes: Some(300), resets_at: Some(resets_at) }
}

fn read(answer: &Value) -> RateLimitsRead {
    calls::read::<ReadRateLimits>(&answer.to_string()).unwrap()
}

fn whole() -> Limits {
    let answer = json!({
        "ordinaryUsageAllowed": true,
        "rateLimits": {
            "limitId": "codex", "planType": "plus",
            "primary": {"usedPercent": 12, "windowDurationMins": 300, "resetsAt": NOW + 600},
            "secondary": {"usedPercent": 40, "windowDurationMins": 10080, "resetsAt": NOW + 6000},
            "credits": {"hasCredits": true, "unlimited": false, "balance": "12.5"},
        },
        "rateLimitsByLimitId": null,
    });
    Limits::of(read(&answer), NOW)
}

#[test]
fn sparse_news_clear_nothing() {
    let mut limits = Some(whole());
    let news = RateLimits {
        limit_id: Some("codex".into()),
        primary: Some(RateWindow {
            used_percent: 55,
            window_duration_mins: Some(300),
            resets_at: Some(NOW + 900),
        }),
        ..RateLimits::default()
    };
    Limits::merge(&mut limits, &news, NOW + 5);
    let expected =
        Limits { primary: Some(window(55, NOW + 900)), read_at: NOW + 5, updates: [1, 0], ..whole() };
    assert_eq!(limits, Some(expected));
}

#[test]
fn empty_news_and_those_of_other_meters_change_nothing() {
    let mut none = None;
    Limits::merge(&mut none, &RateLimits::default(), NOW);
    assert_eq!(none, None);
    let other = RateLimits {
        limit_id: Some("codex_other".into()),
        primary: Some(RateWindow { used_percent: 100, window_duration_mins: None, resets_at: None }),
        ..RateLimits::default()
    };
    let mut limits = Some(whole());
    Limits::merge(&mut limits, &other, NOW + 5);
    assert_eq!(limits, Some(whole()));
}

#[test]
fn turns_are_forbidden_only_when_nothing_can_pay_for_them() {
    let credits = |has_credits, unlimited| Some(Credits { has_credits, unlimited, balance: None });
    let cases = [
        (Some(true), None, false),
        (None, None, false),
        (Some(false), None, true),
        (Some(false), credits(false, false), true),
        (Some(false), credits(true, false), false),
        (Some(false), credits(false, true), false),
    ];
    for (ordinary_usage_allowed, credits, expected) in cases {
        let limits = Limits { ordinary_usage_allowed, credits: credits.clone(), ..whole() };
        assert_eq!(limits.forbid(), expected, "{ordinary_usage_allowed:?} {credits:?}");
    }
}

#[test]
fn a_full_window_is_a_limit_that_is_reached_even_if_nothing_else_says_so() {
    let full = Limits { primary: Some(window(100, NOW + 60)), credits: None, ..whole() };
    let credits = Some(Credits { has_credits: true, unlimited: false, balance: None });
    let said =
        |allowed, read_at| Limits { ordinary_usage_allowed: allowed, read_at, whole_at: NOW, ..full.clone() };
    for (limits, expected) in [
        (said(None, NOW), true),
        (said(Some(false), NOW), true),
        (said(Some(true), NOW), false),
        (said(Some(true), NOW + 1), true),
        (Limits { credits, ..said(None, NOW) }, false),
        (Limits { primary: Some(window(99, NOW + 60)), ..said(None, NOW) }, false),
    ] {
        assert_eq!(limits.are_reached(NOW), expected, "{limits:?}");
        assert!(!limits.are_reached(NOW + 61), "it is over: {limits:?}");
    }
}

#[test]
fn an_old_refusal_is_looked_at_again() {
    let limits = Limits { primary: Some(window(100, NOW + 10)), ..whole() };
    let cases = [(0, false), (9, false), (10, true), (29, true), (30, true)];
    for (later, expected) in cases {
        assert_eq!(limits.may_have_recovered(NOW + later), expected, "{later}");
    }
    assert!(!whole().may_have_recovered(NOW + 29) && whole().may_have_recovered(NOW + 30));
    assert!(!whole().is_stale(NOW + 299) && whole().is_stale(NOW + 300));
}

#[test]
fn an_update_during_a_reading_is_newer_than_the_reading() {
    let (old, full, read) = (window(10, NOW + 600), window(100, NOW + 600), window(11, NOW + 600));
    let of = |primary| Limits { primary: Some(primary), secondary: Some(old), ..whole() };
    let updated = |limits| {
        let window =
            RateWindow { used_percent: 100, window_duration_mins: Some(300), resets_at: Some(NOW + 600) };
        let mut limits = Some(limits);
        Limits::merge(&mut limits, &RateLimits { primary: Some(window), ..RateLimits::default() }, NOW);
        limits
    };
    let cases = [
        (Some(of(old)), updated(of(old)), full),
        (None, updated(of(old)), full),
        (Some(of(full)), updated(of(full)), full),
        (Some(of(old)), Some(of(old)), read),
        (Some(of(old)), None, read),
    ];
    for (before, current, expected) in cases {
        let limits = of(read).after_updates(before.as_ref(), current.as_ref());
        assert_eq!((limits.primary, limits.secondary), (Some(expected), Some(old)), "{before:?} {current:?}");
    }
}

#[test]
fn the_full_windows_say_when_it_resets() {
    let both = |primary, secondary| Limits { primary: Some(primary), secondary: Some(secondary), ..whole() };
    let cases = [
        (both(window(100, NOW + 600), window(40, NOW + 6000)), Some(NOW + 600)),
        (both(window(100, NOW + 600), window(100, NOW + 6000)), Some(NOW + 6000)),
        (both(window(12, NOW + 600), window(40, NOW + 6000)), None),
        (both(window(100, NOW - 1), window(40, NOW + 6000)), None),
    ];
    for (limits, expected) in cases {
        assert_eq!(limits.resets_at(NOW), expected, "{limits:?}");
    }
}

#[test]
fn a_person_is_told_when_in_their_own_time() {
    let zone = TimeZone::fixed(jiff::tz::offset(1));
    let cases = [
        (NOW + 59, "Mon 11:45 (in 1 min)"),
        (NOW + 20 * 60, "Mon 12:05 (in 20 min)"),
        (NOW + 27 * 3600 + 20 * 60, "Tue 15:05 (in 1 d 3 h)"),
        (NOW + 3 * 3600 + 20 * 60, "Mon 15:05 (in 3 h 20 min)"),
        (NOW + 7 * 86400, "Mon 30 Nov 11:45 (in 7 d 0 h)"),
    ];
    for (at, expected) in cases {
        assert_eq!(when(at, NOW, &zone).as_deref(), Some(expected));
    }
}

#[test]
fn the_time_comes_from_codex_first_and_from_the_limits_else() {
    let utc = TimeZone::UTC;
    let limits = Limits { primary: Some(window(100, NOW + 3600)), ..whole() };
    let cases = [
        ("You've hit your usage limit. Try later", None, Some(NOW + 3600)),
        ("Limit, or try again at Nov 24th, 2026 3:13 AM.", None, Some(1_795_489_980)),
        ("Limit, or try again at 3:13 PM.", None, Some(1_795_446_780)),
        ("Limit, or try again at 3:13 AM.", None, Some(1_795_489_980)),
        ("Limit, or try again at some point.", Some(120), Some(NOW + 120)),
    ];
    for (message, retry_after, expected) in cases {
        let mut error = TurnError::new(TurnErrorKind::UsageLimitReached, message);
        error.retry_after = retry_after.map(Duration::from_secs);
        let told = explain(error, Some(&limits), NOW, &utc);
        let at = expected.unwrap();
        assert_eq!(told.remedy.as_deref(), Some(&Remedy::WaitUntil(at)), "{message}");
        assert_eq!(told.retry_after, Some(Duration::from_secs(at - NOW)));
        assert!(told.message.contains(" It resets at "), "{}", told.message);
    }
    let unknown = explain(TurnError::new(TurnErrorKind::UsageLimitReached, "Limit."), None, NOW, &utc);
    assert_eq!((unknown.message.as_str(), unknown.remedy, unknown.retry_after), ("Limit.", None, None));
}

#[test]
fn a_refusal_says_when_it_ends() {
    let limits = Limits { primary: Some(window(100, NOW + 3 * 3600 + 20 * 60)), ..whole() };
    assert_eq!(
        refusal(&limits, NOW, &TimeZone::UTC).message,
        "The plan's usage limit is reached, and there are no credits to go on with. It resets at Mon 14:05 (in 3 h \
         20 min)."
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn no_words_about_a_time_are_too_strange(words in ".{0,40}", hour in 0_u8..30, minute in 0_u8..70, year in 0_u32..12_000) {
        for said in [
            format!("Limit, try again at {words}"),
            format!("try again at {hour}:{minute:02} PM."),
            format!("try again at Nov 24th, {year} {hour}:{minute:02} AM"),
        ] {
            // A time in the past is ignored.
            prop_assert!(time_in(&said, NOW, &TimeZone::UTC).is_none_or(|at| at > NOW), "{}", said);
        }
        without_ordinals(&words);
    }

    #[test]
    fn every_time_of_day_is_found_within_a_day(hour in 1_u8..=12, minute in 0_u8..60, half in "AM|PM") {
        let twelve = if half == "PM" { 12 } else { 0 };
        let of_day = u64::from(hour % 12 + twelve) * 3600 + u64::from(minute) * 60;
        let at = time_in(&format!("Limit, or try again at {hour}:{minute:02} {half}."), NOW, &TimeZone::UTC);
        if of_day == NOW % 86400 {
            prop_assert_eq!(at, None, "it is now");
            return Ok(());
        }
        let at = at.unwrap();
        prop_assert!(at > NOW && at - NOW <= 86400);
        prop_assert_eq!(at % 86400, of_day);
    }

    #[test]
    fn readings_and_news_of_any_size_are_taken(
        used: u32,
        resets: u64,
        retry: u64,
        news in proptest::option::of((any::<u32>(), proptest::option::of(any::<u64>()))),
    ) {
        let told = json!({"rateLimits": {"primary": {"usedPercent": used, "resetsAt": resets}}});
        let first = Limits::of(read(&told), NOW);
        prop_assert_eq!(first.primary.map(|window| (window.used_percent, window.resets_at)), Some((used, Some(resets))));
        let mut limits = Some(first.clone());
        let window = |(used_percent, resets_at)| RateWindow { used_percent, window_duration_mins: None, resets_at };
        let update = RateLimits { primary: news.map(window), ..RateLimits::default() };
        Limits::merge(&mut limits, &update, NOW + 1);
        let merged = limits.unwrap();
        prop_assert_eq!(merged.primary, news.map(window).map(Window::from).or(first.primary));
        prop_assert!(merged.resets_at(NOW).is_none_or(|at| at > NOW));
        let mut error = TurnError::new(TurnErrorKind::UsageLimitReached, "Limit");
        error.retry_after = Some(Duration::from_secs(retry));
        prop_assert!(explain(error, Some(&merged), NOW, &TimeZone::UTC).message.starts_with("Limit"));
        let _ = (merged.are_reached(NOW), merged.may_have_recovered(NOW), merged.forbid());
    }
}
