//! The texts of the tray.

use std::fmt::Display;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proxy_core::control::api::{Account, AccountMethod, AccountState, LimitWindow, Status, WINDOW_KEY};
use proxy_core::request_log::RequestEntry;

use super::{Facts, Icon, Proxy, icon, trouble};
use crate::words;

/// The maximum length of a line in characters. The window shows the complete texts.
const MOST: usize = 72;

const MINUTES_OF_A_DAY: u64 = 24 * 60;

/// The maximum number of running requests that have a line of their own.
const MOST_RUNNING: usize = 3;

/// The state in one line, with the address.
pub(super) fn headline(facts: &Facts<'_>) -> String {
    let status = match facts.proxy {
        Proxy::Starting => return words::t("starting"),
        Proxy::Stopping => return words::t("stopping"),
        Proxy::Failed(_) => return words::t("not_running"),
        Proxy::Running(status) => status,
    };
    let at: &[(&str, &dyn Display)] = &[("address", &status.address)];
    match icon(facts) {
        Icon::Ready => words::with("ready", at),
        Icon::Busy => {
            let turns: usize = status.workers.iter().map(|worker| worker.turns_running).sum();
            words::counted("busy", number(turns), at)
        }
        Icon::Starting => words::with("starting_codex", at),
        Icon::SignedOut => words::with("signed_out", at),
        Icon::Limited => words::with("limited", at),
        Icon::Paused => words::with("paused", at),
        Icon::Broken => words::with("broken", at),
    }
}

/// The state, and what is being answered now.
pub(super) fn tooltip(facts: &Facts<'_>, headline: &str) -> String {
    let lines = std::iter::once(format!("Codex Proxy: {headline}")).chain(running(facts));
    lines.collect::<Vec<_>>().join("\n")
}

/// A line for each of the newest requests that are being answered: who asks, the model, the tokens so far.
fn running(facts: &Facts<'_>) -> Vec<String> {
    let mut lines: Vec<String> = facts.running.iter().take(MOST_RUNNING).map(one_running).collect();
    if let Some(more) = facts.running.len().checked_sub(MOST_RUNNING).filter(|more| *more > 0) {
        lines.push(words::with("more_running", &[("count", &more)]));
    }
    lines
}

fn one_running(entry: &RequestEntry) -> String {
    let known = Some(entry.client.as_str()).filter(|client| !["", "other", "unknown"].contains(client));
    let who = match entry.key.as_deref() {
        Some(WINDOW_KEY) => words::t("this_window"),
        key => known.or(key).map_or_else(|| words::t("a_program"), str::to_owned),
    };
    let model = entry.effective_model.as_deref().or(entry.requested_model.as_deref());
    let tokens = Some(entry.output_tokens).filter(|tokens| *tokens > 0);
    let tokens = tokens.map(|tokens| words::counted("tokens", tokens, &[]));
    let parts = [Some(who), model.map(str::to_owned), tokens];
    shortened(&parts.into_iter().flatten().collect::<Vec<_>>().join(" · "))
}

/// Further lines: what is being answered, the problem, the account, the limits.
pub(super) fn details(facts: &Facts<'_>) -> Vec<String> {
    match facts.proxy {
        Proxy::Starting | Proxy::Stopping => vec![],
        Proxy::Failed(sentence) => vec![shortened(sentence)],
        Proxy::Running(status) => {
            let mut lines = running(facts);
            lines.extend(trouble(status).map(|trouble| shortened(&trouble)));
            lines.extend(account(&status.account));
            lines.extend(limits(status, facts.now, facts.zone));
            lines
        }
    }
}

fn account(account: &Account) -> Option<String> {
    Some(match account.state {
        AccountState::SignedIn => signed_in(account),
        AccountState::SigningIn => words::t("signing_in"),
        AccountState::SignedOut => match &account.problem {
            Some(problem) => shortened(problem),
            None => words::t("nobody_signed_in"),
        },
        AccountState::NotNeeded => words::t("no_sign_in_needed"),
        AccountState::Unknown | AccountState::Other => return None,
    })
}

fn signed_in(account: &Account) -> String {
    let who = match (&account.email, &account.method) {
        (Some(email), _) => email.0.clone(),
        (None, Some(AccountMethod::ApiKey)) => return words::t("signed_in_with_key"),
        (None, _) => "ChatGPT".to_owned(),
    };
    let plan = account.plan.as_deref().map(|plan| format!(" ({})", capital(plan))).unwrap_or_default();
    shortened(&words::with("signed_in_as", &[("who", &format_args!("{who}{plan}"))]))
}

fn limits(status: &Status, now: Timestamp, zone: &TimeZone) -> Vec<String> {
    let Some(limits) = &status.limits else { return Vec::new() };
    let windows = [(limits.primary, "short_limit"), (limits.secondary, "long_limit")];
    windows
        .into_iter()
        .filter_map(|(window, name)| {
            let window = window?;
            let (name, used) = (window_name(&window, name), use_of(&window, now, zone));
            Some(words::with("limit_line", &[("name", &name), ("used", &used)]))
        })
        .collect()
}

/// The name of a limit by the length of its time window: `5-hour limit`, `Weekly limit`; else the text with the key
/// `otherwise`.
pub(crate) fn window_name(window: &LimitWindow, otherwise: &str) -> String {
    let count = |key: &str, count: u64| words::with(key, &[("count", &count)]);
    match window.window_minutes {
        Some(minutes) if minutes == 7 * MINUTES_OF_A_DAY => words::t("weekly_limit"),
        Some(MINUTES_OF_A_DAY) => words::t("daily_limit"),
        Some(minutes) if minutes > 0 && minutes % MINUTES_OF_A_DAY == 0 => {
            count("day_limit", minutes / MINUTES_OF_A_DAY)
        }
        Some(minutes) if minutes > 0 && minutes % 60 == 0 => count("hour_limit", minutes / 60),
        Some(minutes) if minutes > 0 => count("minute_limit", minutes),
        Some(_) | None => words::t(otherwise),
    }
}

fn use_of(window: &LimitWindow, now: Timestamp, zone: &TimeZone) -> String {
    let percent = window.used_percent;
    let Some(at) = window.resets_at.and_then(timestamp) else {
        return words::with("limit_used", &[("percent", &percent)]);
    };
    let when = clock(at, now, zone);
    if at <= now {
        words::with("limit_was_reset", &[("when", &when)])
    } else {
        words::with("limit_used_resets", &[("percent", &percent), ("when", &when)])
    }
}

/// A time in a short form: `14:30`, `Mon 14:30`, `5 Dec 14:30`.
pub(crate) fn clock(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let (at, now) = (at.to_zoned(zone.clone()), now.to_zoned(zone.clone()));
    let time = at.strftime("%H:%M").to_string();
    match (at.date() - now.date()).get_days() {
        0 => time,
        -6..=6 => {
            let weekday = nth(&words::t("weekdays"), at.weekday().to_monday_zero_offset());
            words::with("at_weekday", &[("weekday", &weekday), ("time", &time)])
        }
        _ => {
            let month = nth(&words::t("months"), at.month() - 1);
            words::with("at_date", &[("day", &at.day()), ("month", &month), ("time", &time)])
        }
    }
}

/// One of the words of a list, counted from 0.
fn nth(list: &str, at: i8) -> String {
    let word = usize::try_from(at).ok().and_then(|at| list.split(' ').nth(at));
    word.unwrap_or_default().to_owned()
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// A time in seconds since the epoch.
pub(crate) fn timestamp(seconds: u64) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(seconds).ok()?).ok()
}

fn shortened(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= MOST {
        return capital(&text);
    }
    // The first sentence is the problem, the others are the advice.
    if let Some((first, _)) = text.split_once(". ").filter(|(first, _)| first.chars().count() <= MOST) {
        return capital(first);
    }
    let start: String = text.chars().take(MOST - 1).collect();
    let cut = start.rfind(' ').map_or(start.as_str(), |end| &start[..end]);
    format!("{}…", capital(cut))
}

/// The text with a capital first letter.
pub(crate) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
