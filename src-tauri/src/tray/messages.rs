//! The texts of the tray.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proxy_core::control::api::{Account, AccountMethod, AccountState, LimitWindow, Status, WINDOW_KEY};
use proxy_core::request_log::RequestEntry;

use super::{Facts, Icon, Proxy, icon, trouble};

/// The maximum length of a line in characters. The window shows the complete texts.
const MOST: usize = 72;

const MINUTES_OF_A_DAY: u64 = 24 * 60;

/// The maximum number of running requests that have a line of their own.
const MOST_RUNNING: usize = 3;

/// The state in one line, with the address.
pub(super) fn headline(facts: &Facts<'_>) -> String {
    let status = match facts.proxy {
        Proxy::Starting => return "Starting…".to_owned(),
        Proxy::Stopping => return "Finishing the last requests…".to_owned(),
        Proxy::Failed(_) => return "Not running".to_owned(),
        Proxy::Running(status) => status,
    };
    let at = &status.address;
    match icon(facts) {
        Icon::Ready => format!("Ready at {at}"),
        Icon::Busy => {
            let turns: usize = status.workers.iter().map(|worker| worker.turns_running).sum();
            let noun = if turns == 1 { "request" } else { "requests" };
            format!("Working on {turns} {noun} at {at}")
        }
        Icon::Starting => format!("Starting Codex, at {at}"),
        Icon::SignedOut => format!("Not signed in, at {at}"),
        Icon::Limited => format!("Limit reached, at {at}"),
        Icon::Paused => format!("Paused, at {at}"),
        Icon::Broken => format!("Not working, at {at}"),
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
        lines.push(format!("and {more} more"));
    }
    lines
}

fn one_running(entry: &RequestEntry) -> String {
    let known = Some(entry.client.as_str()).filter(|client| !["", "other", "unknown"].contains(client));
    let who = match entry.key.as_deref() {
        Some(WINDOW_KEY) => "This window",
        key => known.or(key).unwrap_or("A program"),
    };
    let model = entry.effective_model.as_deref().or(entry.requested_model.as_deref());
    let tokens = match entry.output_tokens {
        0 => None,
        1 => Some("1 token".to_owned()),
        tokens => Some(format!("{tokens} tokens")),
    };
    let parts = [Some(who.to_owned()), model.map(str::to_owned), tokens];
    shortened(&parts.into_iter().flatten().collect::<Vec<_>>().join(" · "))
}

/// Further lines: what is being answered, the problem, the account, the limits.
pub(super) fn details(facts: &Facts<'_>) -> Vec<String> {
    match facts.proxy {
        Proxy::Starting | Proxy::Stopping => vec![],
        Proxy::Failed(sentence) => vec![shortened(sentence)],
        Proxy::Running(status) => {
            let mut lines = running(facts);
            lines.extend(trouble(status).map(shortened));
            lines.extend(account(&status.account));
            lines.extend(limits(status, facts.now, facts.zone));
            lines
        }
    }
}

fn account(account: &Account) -> Option<String> {
    Some(match account.state {
        AccountState::SignedIn => signed_in(account),
        AccountState::SigningIn => "Waiting for the browser to sign in".to_owned(),
        AccountState::SignedOut => match &account.problem {
            Some(problem) => shortened(problem),
            None => "Nobody is signed in".to_owned(),
        },
        AccountState::NotNeeded => "No sign-in needed".to_owned(),
        AccountState::Unknown | AccountState::Other => return None,
    })
}

fn signed_in(account: &Account) -> String {
    let who = match (&account.email, &account.method) {
        (Some(email), _) => email.0.clone(),
        (None, Some(AccountMethod::ApiKey)) => return "Signed in with an API key".to_owned(),
        (None, _) => "ChatGPT".to_owned(),
    };
    let plan = account.plan.as_deref().map(|plan| format!(" ({})", capital(plan))).unwrap_or_default();
    shortened(&format!("Signed in as {who}{plan}"))
}

fn limits(status: &Status, now: Timestamp, zone: &TimeZone) -> Vec<String> {
    let Some(limits) = &status.limits else { return Vec::new() };
    let windows = [(limits.primary, "Short"), (limits.secondary, "Long")];
    windows
        .into_iter()
        .filter_map(|(window, name)| {
            let window = window?;
            Some(format!("{} limit: {}", window_name(&window, name), use_of(&window, now, zone)))
        })
        .collect()
}

/// The name of a time window by its length: `5-hour`, `Weekly`.
pub(crate) fn window_name(window: &LimitWindow, otherwise: &str) -> String {
    match window.window_minutes {
        Some(minutes) if minutes == 7 * MINUTES_OF_A_DAY => "Weekly".to_owned(),
        Some(MINUTES_OF_A_DAY) => "Daily".to_owned(),
        Some(minutes) if minutes > 0 && minutes % MINUTES_OF_A_DAY == 0 => {
            format!("{}-day", minutes / MINUTES_OF_A_DAY)
        }
        Some(minutes) if minutes > 0 && minutes % 60 == 0 => format!("{}-hour", minutes / 60),
        Some(minutes) if minutes > 0 => format!("{minutes}-minute"),
        Some(_) | None => otherwise.to_owned(),
    }
}

fn use_of(window: &LimitWindow, now: Timestamp, zone: &TimeZone) -> String {
    let used = window.used_percent;
    let Some(at) = window.resets_at.and_then(timestamp) else { return format!("{used} % used") };
    let when = clock(at, now, zone);
    if at <= now { format!("started again at {when}") } else { format!("{used} % used, resets {when}") }
}

/// A time in a short form: `14:30`, `Mon 14:30`, `5 Dec 14:30`.
pub(crate) fn clock(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let (at, now) = (at.to_zoned(zone.clone()), now.to_zoned(zone.clone()));
    let days = (at.date() - now.date()).get_days();
    let format = match days {
        0 => "%H:%M",
        -6..=6 => "%a %H:%M",
        _ => "%-d %b %H:%M",
    };
    at.strftime(format).to_string()
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
