//! Usage queries as chat messages, such as `usage today`, and their answers as Markdown.

use std::borrow::Cow;
use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Bucket, Group, Parameters, QueryError, Summary, UsageQuery, time};

/// Parses a user message as a query; `None` if the message is not one.
///
/// `usage today`, `usage yesterday`, `usage last 7d`, `usage last 24h`, `usage this week`, `usage this month`,
/// each optionally followed by `group=…` and `tz=…`, or `usage start=… end=… group=… tz=…` with at least one of
/// them.
pub fn parse(message: &str, now: Timestamp, system: &TimeZone) -> Option<Result<UsageQuery, QueryError>> {
    if message.len() > LONGEST {
        return None;
    }
    let words: Vec<&str> = message.split_whitespace().collect();
    let (usage, rest) = words.split_first()?;
    if !usage.eq_ignore_ascii_case("usage") {
        return None;
    }
    let settings = rest.iter().position(|word| word.contains('=')).unwrap_or(rest.len());
    let (period, settings) = rest.split_at(settings);
    let parameters = settings_of(settings)?;
    let period: Vec<String> = period.iter().map(|word| word.to_ascii_lowercase()).collect();
    let period = match period.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] if settings.is_empty() => return None,
        [] => return Some(UsageQuery::parse(&parameters, now, system)),
        ["today"] => Period::Days { days: 1, back: 0 },
        ["yesterday"] => Period::Days { days: 1, back: 1 },
        ["this", "week"] => Period::Week,
        ["this", "month"] => Period::Month,
        ["last", length] => last(length)?,
        _ => return None,
    };
    if parameters.start.is_some() || parameters.end.is_some() {
        return None;
    }
    Some(period.query(parameters, now, system))
}

/// The maximum length of a query, in bytes.
const LONGEST: usize = 300;
const MOST_DAYS: i64 = 3660;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Period {
    Days { days: i64, back: i64 },
    Hours(i64),
    Week,
    Month,
}

/// Parses `7d` or `24h`.
fn last(length: &str) -> Option<Period> {
    let unit = length.chars().last()?;
    let count = length.strip_suffix(unit)?;
    let digits = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
    let count = digits.then(|| count.parse().unwrap_or(i64::MAX))?;
    match unit {
        'd' => Some(Period::Days { days: count, back: 0 }),
        'h' => Some(Period::Hours(count)),
        _ => None,
    }
}

impl Period {
    fn query(
        self,
        mut parameters: Parameters<'_>,
        now: Timestamp,
        system: &TimeZone,
    ) -> Result<UsageQuery, QueryError> {
        let longest = match self {
            Self::Days { days, .. } => days,
            Self::Hours(hours) => hours.saturating_add(23) / 24,
            Self::Week | Self::Month => 1,
        };
        if !(1..=MOST_DAYS).contains(&longest) {
            return Err(QueryError {
                param: "last",
                message: format!("Ask for 1 to {MOST_DAYS} days, e.g. `usage last 7d` or `usage last 24h`."),
            });
        }
        let now_ms = now.as_millisecond();
        let by_hour = matches!(self, Self::Hours(_) | Self::Days { days: 1, .. });
        parameters.group.get_or_insert(Cow::Borrowed(if by_hour { "hour" } else { "day" }));
        // The time zone is known only after the parameters are parsed, and the period depends on it.
        let zone = UsageQuery::parse(
            &Parameters { tz: parameters.tz.clone(), ..Parameters::default() },
            now,
            system,
        )?;
        let date = now.to_zoned(zone.tz.clone()).date();
        let (start_ms, end_ms) = match self {
            Self::Hours(hours) => (now_ms - hours * 3_600_000, now_ms + 1),
            Self::Days { days, back } => {
                let (start, _) = time::days_around(now_ms, 1, back + days - 1, &zone.tz);
                (start, time::days_around(now_ms, 1 - back, 0, &zone.tz).1)
            }
            Self::Week => {
                let back = i64::from(date.weekday().to_monday_zero_offset());
                time::days_around(now_ms, 1, back, &zone.tz)
            }
            Self::Month => time::days_around(now_ms, 1, i64::from(date.day()) - 1, &zone.tz),
        };
        parameters.start = Some(time::iso_exact(start_ms).into());
        parameters.end = Some(time::iso_exact(end_ms).into());
        UsageQuery::parse(&parameters, now, system)
    }
}

/// Parses `name=value` words. Each name may occur once.
fn settings_of<'a>(words: &[&'a str]) -> Option<Parameters<'a>> {
    let mut parameters = Parameters::default();
    for word in words {
        let (name, value) = word.split_once('=')?;
        let place = match name.to_ascii_lowercase().as_str() {
            "start" => &mut parameters.start,
            "end" => &mut parameters.end,
            "group" => &mut parameters.group,
            "tz" => &mut parameters.tz,
            _ => return None,
        };
        if value.is_empty() || place.replace(Cow::Borrowed(value)).is_some() {
            return None;
        }
    }
    Some(parameters)
}

/// The maximum number of rows in an answer.
const ROWS: usize = 50;

/// The answer as Markdown: a table of the rows that are not empty, and the totals.
pub fn render(query: &UsageQuery, summary: &Summary) -> String {
    let day = |ms: i64| time::iso(ms, &query.tz)[..16].replace('T', " ");
    let mut text = format!(
        "**Usage from {} to {}** ({})\n\n",
        day(query.start_ms),
        day(query.end_ms),
        escaped(&summary.tz)
    );
    let rows: Vec<&Bucket> = summary.data.iter().filter(|row| row.totals.requests > 0).collect();
    if rows.is_empty() {
        text.push_str("No requests in this time.\n");
        return text;
    }
    let title = match query.group {
        Group::Hour => "Hour",
        Group::Day => "Day",
        Group::Model => "Model",
        Group::Key => "Key",
        Group::Client => "Client",
    };
    let _ok = writeln!(
        text,
        "| {title} | Requests | Input | Cached | Output | Total |\n| :-- | --: | --: | --: | --: | --: |"
    );
    // The latest hours and days are the most useful, and the names with the most tokens.
    let hidden = rows.len().saturating_sub(ROWS);
    let shown = if summary.data[0].start.is_some() { &rows[hidden..] } else { &rows[..rows.len() - hidden] };
    for row in shown {
        let totals = &row.totals;
        let name = match query.group {
            Group::Hour => row.bucket[..16].replace('T', " "),
            Group::Day => row.bucket[..10].to_owned(),
            Group::Model | Group::Client => escaped(&row.bucket),
            Group::Key => {
                // Two keys may have had the same name.
                let twice = rows.iter().filter(|other| other.bucket == row.bucket).count() > 1;
                match row.key_id.as_ref().filter(|_| twice) {
                    Some(id) => format!("{} ({id})", escaped(&row.bucket)),
                    None => escaped(&row.bucket),
                }
            }
        };
        let _ok = writeln!(
            text,
            "| {name} | {} | {} | {} | {} | {} |",
            grouped(totals.requests),
            grouped(totals.input_tokens),
            share(totals.cached_tokens, totals.input_tokens),
            grouped(totals.output_tokens),
            grouped(totals.total_tokens)
        );
    }
    if hidden > 0 {
        let _ok = writeln!(text, "\n{hidden} more rows are not shown.");
    }
    text.push_str(&totals_line(summary));
    text
}

fn totals_line(summary: &Summary) -> String {
    let totals = &summary.totals;
    let mut line = format!("\n**Total:** {}", counted(totals.requests, "request"));
    let asides: Vec<String> = [(totals.errors, "failed"), (totals.cancelled, "cancelled")]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", grouped(count)))
        .collect();
    if !asides.is_empty() {
        let _ok = write!(line, " ({})", asides.join(", "));
    }
    let _ok = write!(
        line,
        ", {}: {} in ({} cached), {} out ({} reasoning).",
        counted(totals.total_tokens, "token"),
        grouped(totals.input_tokens),
        share(totals.cached_tokens, totals.input_tokens),
        grouped(totals.output_tokens),
        grouped(totals.reasoning_tokens)
    );
    let times = [(totals.avg_ttft_ms, "to the first piece"), (totals.avg_duration_ms, "to the end")];
    let times: Vec<String> =
        times.into_iter().filter_map(|(ms, what)| Some(format!("{} s {what}", tenths(ms?)))).collect();
    if !times.is_empty() {
        let _ok = write!(line, " On average {}.", times.join(", "));
    }
    if totals.estimated_requests > 0 {
        let _ok = write!(
            line,
            " {} broke off before the count was told, at about {} more tokens.",
            counted(totals.estimated_requests, "request"),
            grouped(totals.estimated_tokens)
        );
    }
    line.push('\n');
    line
}

fn counted(count: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// Formats a number as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn share(part: u64, whole: u64) -> String {
    match part.saturating_mul(100).saturating_add(whole / 2).checked_div(whole) {
        Some(percent) => format!("{percent}%"),
        None => "–".to_owned(),
    }
}

fn tenths(ms: u64) -> String {
    let tenths = (ms + 50) / 100;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// Escapes a name, so that Markdown shows it unchanged.
fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        if "\\|`*_[]<>#~!&".contains(c) {
            text.push('\\');
        }
        text.push(c);
    }
    text
}
