//! The limits of the plan: complete readings, and the partial updates between them. Pure: time is an argument.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use protocol::codex::calls::RateLimitsRead;
use protocol::codex::notice::{Credits, RateLimits, RateWindow};
use protocol::turn::{Remedy, TurnError, TurnErrorKind};

/// The age in seconds after which a requested reading is renewed.
const STALE: u64 = 5 * 60;

/// The age in seconds after which a reading that forbids use is renewed for a request: only the vendor knows when
/// use is allowed again.
const REFUSAL_STALE: u64 = 30;

/// The percentage from which a window counts as the one that was reached.
const FULL: u32 = 95;

/// The limits of the plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// The plan, by the vendor's name.
    pub plan: Option<String>,
    /// Whether the plan allows its included use now; `None` when the vendor has not reported it.
    pub ordinary_usage_allowed: Option<bool>,
    /// The limit that is reached, by the vendor's name.
    pub reached: Option<String>,
    /// The short window.
    pub primary: Option<Window>,
    /// The long window.
    pub secondary: Option<Window>,
    /// Bought credits.
    pub credits: Option<Credits>,
    /// When an update or reading last came, in seconds since the epoch.
    pub read_at: u64,
    /// When a complete reading last came, in seconds since the epoch.
    #[serde(skip)]
    whole_at: u64,
    /// How many updates have changed the two windows.
    #[serde(skip)]
    updates: [u64; 2],
}

/// A window of time over which use is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The used part of the window, in percent.
    pub used_percent: u32,
    /// The length of the window.
    pub window_minutes: Option<u64>,
    /// When the next window begins, in seconds since the epoch.
    pub resets_at: Option<u64>,
}

impl From<RateWindow> for Window {
    fn from(window: RateWindow) -> Self {
        Self {
            used_percent: window.used_percent,
            window_minutes: window.window_duration_mins,
            resets_at: window.resets_at,
        }
    }
}

impl Limits {
    /// A complete reading.
    pub fn of(read: RateLimitsRead, now: u64) -> Self {
        let told = read.rate_limits;
        Self {
            plan: told.plan_type,
            ordinary_usage_allowed: read.ordinary_usage_allowed,
            reached: told.rate_limit_reached_type,
            primary: told.primary.map(Window::from),
            secondary: told.secondary.map(Window::from),
            credits: told.credits,
            read_at: now,
            whole_at: now,
            updates: [0; 2],
        }
    }

    /// Keeps the windows that came with an update while this was being read: the limits were `before` when the reading
    /// began and are `current` now.
    #[must_use]
    pub fn after_updates(mut self, before: Option<&Self>, current: Option<&Self>) -> Self {
        let Some(current) = current else { return self };
        let [primary, secondary] = before.map_or([0; 2], |limits| limits.updates);
        if current.updates[0] != primary {
            self.primary = current.primary;
        }
        if current.updates[1] != secondary {
            self.secondary = current.secondary;
        }
        self.updates = current.updates;
        self
    }

    /// Applies a partial update: absent members have not changed. Updates of another meter than that of turns are
    /// ignored, as are empty ones.
    pub fn merge(current: &mut Option<Self>, told: &RateLimits, now: u64) {
        let empty = told.primary.is_none() && told.secondary.is_none() && told.credits.is_none();
        if !told.are_of_turns() || empty {
            return;
        }
        let limits = current.get_or_insert_with(Self::default);
        let told = told.clone();
        limits.updates[0] += u64::from(told.primary.is_some());
        limits.updates[1] += u64::from(told.secondary.is_some());
        limits.plan = told.plan_type.or(limits.plan.take());
        limits.reached = told.rate_limit_reached_type.or(limits.reached.take());
        limits.primary = told.primary.map(Window::from).or(limits.primary);
        limits.secondary = told.secondary.map(Window::from).or(limits.secondary);
        limits.credits = told.credits.or(limits.credits.take());
        limits.read_at = now;
    }

    /// Whether the reading must be renewed before it is shown.
    pub fn is_stale(&self, now: u64) -> bool {
        now >= self.whole_at + STALE
    }

    /// Whether every turn would be refused: the included use is not allowed, and there are no credits. If there
    /// are credits, Codex's turns use them automatically once the included use is used up.
    pub fn forbid(&self) -> bool {
        self.ordinary_usage_allowed == Some(false) && !self.is_paid()
    }

    fn is_paid(&self) -> bool {
        self.credits.as_ref().is_some_and(|credits| credits.unlimited || credits.has_credits)
    }

    /// Whether the plan is used up at `now`, in seconds since the epoch: turns are forbidden, or a window is full
    /// and the vendor has not reported that turns continue all the same.
    pub fn are_reached(&self, now: u64) -> bool {
        let is_full =
            |window: &Window| window.used_percent >= 100 && window.resets_at.is_none_or(|at| at > now);
        // An update of a window does not say whether use is allowed, and an earlier statement about that no longer
        // applies.
        let allowed = self.ordinary_usage_allowed == Some(true) && self.read_at == self.whole_at;
        // Once the full windows have ended, an earlier reading no longer applies.
        let over = self.resets_at(0).is_some_and(|at| at <= now);
        let full = self.windows().any(is_full) && !allowed && !self.is_paid();
        full || (self.forbid() && !over)
    }

    /// Whether the reading must be renewed before a refusal: it is old, or one of its windows has ended.
    pub fn may_have_recovered(&self, now: u64) -> bool {
        let ended = |window: &Window| window.resets_at.is_some_and(|at| at > self.whole_at && at <= now);
        now >= self.whole_at + REFUSAL_STALE || self.windows().any(ended)
    }

    /// When all full windows have ended.
    pub fn resets_at(&self, now: u64) -> Option<u64> {
        let full = self.windows().filter(|window| window.used_percent >= FULL);
        full.filter_map(|window| window.resets_at).filter(|at| *at > now).max()
    }

    fn windows(&self) -> impl Iterator<Item = &Window> {
        self.primary.iter().chain(&self.secondary)
    }
}

/// The refusal of a turn that Codex would refuse.
pub fn refusal(limits: &Limits, now: u64, zone: &TimeZone) -> TurnError {
    let error = TurnError::new(
        TurnErrorKind::UsageLimitReached,
        "The plan's usage limit is reached, and there are no credits to go on with.",
    );
    explain(error, Some(limits), now, zone)
}

/// Adds to a failed turn when the limit ends: Codex's own text has priority, else the limits are used.
pub fn explain(mut error: TurnError, limits: Option<&Limits>, now: u64, zone: &TimeZone) -> TurnError {
    let told = error.retry_after.map(|delay| now.saturating_add(delay.as_secs()));
    let said = || time_in(&error.message, now, zone);
    let Some(at) = told.or_else(said).or_else(|| limits?.resets_at(now)) else { return error };
    if let Some(when) = when(at, now, zone) {
        let end = if error.message.ends_with(['.', '!', '?']) { "" } else { "." };
        error.message = format!("{}{end} It resets at {when}.", error.message);
    }
    error.retry_after = Some(std::time::Duration::from_secs(at.saturating_sub(now).max(1)));
    error.remedy(Remedy::WaitUntil(at))
}

/// The text of a time, such as "Tue 14:05 (in 3 h 20 min)".
fn when(at: u64, now: u64, zone: &TimeZone) -> Option<String> {
    let time = Timestamp::from_second(i64::try_from(at).ok()?).ok()?.to_zoned(zone.clone());
    let minutes = at.saturating_sub(now).div_ceil(60);
    let (days, hours, rest) = (minutes / (24 * 60), minutes / 60 % 24, minutes % 60);
    let wait = match (days, hours) {
        (0, 0) => format!("{rest} min"),
        (0, _) => format!("{hours} h {rest} min"),
        _ => format!("{days} d {hours} h"),
    };
    let format = if days < 6 { "%a %H:%M" } else { "%a %-d %b %H:%M" };
    Some(format!("{} (in {wait})", time.strftime(format)))
}

/// The time in Codex's "try again at 3:13 PM" or "try again at Nov 24th, 2026 3:13 AM", in this machine's time
/// zone.
fn time_in(message: &str, now: u64, zone: &TimeZone) -> Option<u64> {
    let said = message.split_once("try again at ")?.1.trim_end_matches('.');
    let now = Timestamp::from_second(i64::try_from(now).ok()?).ok()?;
    let today = now.to_zoned(zone.clone());
    let plain: String = without_ordinals(said);
    let time = match DateTime::strptime("%b %d, %Y %I:%M %p", &plain) {
        Ok(time) => time.to_zoned(zone.clone()).ok()?,
        Err(_) => {
            let time = jiff::civil::Time::strptime("%I:%M %p", &plain).ok()?;
            let time = today.date().to_datetime(time).to_zoned(zone.clone()).ok()?;
            // Codex leaves out the date when it is today.
            if time.timestamp() < now { time.tomorrow().ok()? } else { time }
        }
    };
    u64::try_from(time.timestamp().as_second())
        .ok()
        .filter(|at| i64::try_from(*at).is_ok_and(|at| at > now.as_second()))
}

/// Turns "Nov 24th, 2026" into "Nov 24, 2026".
fn without_ordinals(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let bare = word.strip_suffix(',').unwrap_or(word);
        let number = ["st", "nd", "rd", "th"].iter().find_map(|ending| bare.strip_suffix(ending));
        match number.filter(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())) {
            Some(number) => format!("{number},"),
            None => word.to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
