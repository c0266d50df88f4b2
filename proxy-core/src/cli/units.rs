//! Formats numbers and times for people.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The current time and the time zone.
#[derive(Debug, Clone)]
pub(super) struct Now {
    pub(super) time: Timestamp,
    pub(super) zone: TimeZone,
}

impl Now {
    /// The time and the time zone of this machine.
    pub(super) fn here() -> Self {
        Self { time: Timestamp::now(), zone: TimeZone::system() }
    }

    /// A time in seconds since 1970: the hour if it is near, otherwise also the day.
    pub(super) fn clock(&self, epoch: u64) -> String {
        let Some(time) = timestamp(epoch) else { return "at an unknown time".to_owned() };
        let (now, then) = (self.time.to_zoned(self.zone.clone()), time.to_zoned(self.zone.clone()));
        let away = time.as_second().abs_diff(self.time.as_second());
        let format = if now.date() == then.date() {
            "%H:%M"
        } else if away < 6 * DAY {
            "%a %H:%M"
        } else {
            "%-d %b %Y %H:%M"
        };
        then.strftime(format).to_string()
    }

    /// The day of a time in seconds since 1970.
    pub(super) fn date(&self, epoch: u64) -> String {
        let time = timestamp(epoch).map(|time| time.to_zoned(self.zone.clone()));
        time.map_or_else(|| "unknown".to_owned(), |time| time.strftime("%Y-%m-%d").to_string())
    }

    /// The time since then.
    pub(super) fn ago(&self, epoch: u64) -> String {
        match self.seconds().checked_sub(epoch) {
            Some(seconds) if seconds < 60 => "just now".to_owned(),
            Some(seconds) => format!("{} ago", duration(seconds)),
            None => "in the future".to_owned(),
        }
    }

    /// The time until then; `None` if it is in the past.
    pub(super) fn until(&self, epoch: u64) -> Option<String> {
        epoch.checked_sub(self.seconds()).filter(|seconds| *seconds > 0).map(duration)
    }

    pub(super) fn seconds(&self) -> u64 {
        u64::try_from(self.time.as_second()).unwrap_or_default()
    }
}

const DAY: u64 = 86_400;

fn timestamp(epoch: u64) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(epoch).ok()?).ok()
}

/// A duration in its two largest units.
pub(super) fn duration(seconds: u64) -> String {
    let units = [(DAY, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let Some(largest) = units.iter().position(|(size, _)| seconds >= *size) else { return "0 s".to_owned() };
    let (size, name) = units[largest];
    let mut text = format!("{} {name}", seconds / size);
    if let Some((smaller, name)) = units.get(largest + 1)
        && seconds % size / smaller > 0
    {
        text.push_str(&format!(" {} {name}", seconds % size / smaller));
    }
    text
}

/// A number with three digits.
pub(super) fn count(number: u64) -> String {
    let units = [(1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    // A number that rounds to a thousand of one unit is shown as one of the next unit.
    let unit = units.iter().find(|(size, _)| number >= size - size / 2_000);
    let Some((size, name)) = unit else { return number.to_string() };
    format!("{} {name}", three_digits(number, *size))
}

/// A number of bytes with three digits.
pub(super) fn bytes(number: u64) -> String {
    let units = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let Some((size, name)) = units.iter().find(|(size, _)| number >= *size) else {
        return format!("{number} B");
    };
    format!("{} {name}", three_digits(number, *size))
}

fn three_digits(number: u64, size: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let value = number as f64 / size as f64;
    match value {
        value if value < 9.995 => format!("{value:.2}"),
        value if value < 99.95 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

/// A bar of 20 characters in brackets.
pub(super) fn bar(percent: f64) -> String {
    const LENGTH: usize = 20;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the number is between 0 and 20"
    )]
    let full = (percent.clamp(0.0, 100.0) / 100.0 * 20.0).round() as usize;
    // Only 0 percent is shown as empty, and only 100 percent as full.
    let full = match percent {
        percent if percent > 0.0 && full == 0 => 1,
        percent if percent < 100.0 && full == LENGTH => LENGTH - 1,
        _ => full,
    };
    format!("[{}{}]", "#".repeat(full), "-".repeat(LENGTH - full))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn noon() -> Now {
        // Monday 13 July 2026, 12:00 in Berlin.
        Now { time: "2026-07-13T10:00:00Z".parse().unwrap(), zone: TimeZone::get("Europe/Berlin").unwrap() }
    }

    fn epoch(text: &str) -> u64 {
        u64::try_from(text.parse::<Timestamp>().unwrap().as_second()).unwrap()
    }

    #[test]
    fn times_are_local_and_as_short_as_can_be() {
        let now = noon();
        assert_eq!(now.clock(epoch("2026-07-13T12:05:00Z")), "14:05");
        assert_eq!(now.clock(epoch("2026-07-14T07:00:00Z")), "Tue 09:00");
        assert_eq!(now.clock(epoch("2026-12-24T07:00:00Z")), "24 Dec 2026 08:00");
        assert_eq!(now.clock(u64::MAX), "at an unknown time");
        assert_eq!(now.date(epoch("2026-07-13T23:00:00Z")), "2026-07-14");
        assert_eq!(now.ago(epoch("2026-07-13T09:59:50Z")), "just now");
        assert_eq!(now.ago(epoch("2026-07-13T07:30:00Z")), "2 h 30 min ago");
        assert_eq!(now.until(epoch("2026-07-13T12:05:00Z")), Some("2 h 5 min".to_owned()));
        assert_eq!(now.until(epoch("2026-07-13T10:00:00Z")), None);
    }

    #[test]
    fn spans_have_two_units() {
        for (seconds, expected) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (61, "1 min 1 s"),
            (3600, "1 h"),
            (3661, "1 h 1 min"),
            (90_000, "1 d 1 h"),
            (86_400 * 400 + 59, "400 d"),
        ] {
            assert_eq!(duration(seconds), expected);
        }
    }

    #[test]
    fn numbers_have_three_digits() {
        for (number, expected) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1.00 k"),
            (12_345, "12.3 k"),
            (999_499, "999 k"),
            (999_600, "1.00 M"),
            (123_456_789, "123 M"),
            (5_000_000_000, "5.00 G"),
        ] {
            assert_eq!(count(number), expected, "{number}");
        }
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(224_395_264), "214 MiB");
        assert_eq!(bytes(3 << 30), "3.00 GiB");
    }

    #[test]
    fn bars_are_full_only_at_the_end() {
        assert_eq!(bar(0.0), "[--------------------]");
        assert_eq!(bar(0.4), "[#-------------------]");
        assert_eq!(bar(50.0), "[##########----------]");
        assert_eq!(bar(99.9), "[###################-]");
        assert_eq!(bar(250.0), "[####################]");
        assert_eq!(bar(f64::NAN), "[--------------------]");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_number_and_no_time_is_too_large(number in any::<u64>(), percent in any::<f64>()) {
            let now = noon();
            for text in [now.clock(number), now.date(number), now.ago(number), duration(number), count(number), bytes(number)] {
                prop_assert!(!text.is_empty());
            }
            now.until(number);
            prop_assert_eq!(bar(percent).len(), 22);
        }

        #[test]
        fn a_span_says_no_more_than_it_is(seconds in 0..10_000_000_u64) {
            let text = duration(seconds);
            let words: Vec<&str> = text.split(' ').collect();
            let size = |unit: &str| match unit {
                "d" => DAY,
                "h" => 3600,
                "min" => 60,
                "s" => 1,
                other => panic!("{other}"),
            };
            let read: u64 = words.chunks(2).map(|pair| pair[0].parse::<u64>().unwrap() * size(pair[1])).sum();
            // The omitted rest is less than the smallest unit that is shown.
            let shown = size(words[1]);
            let least = if shown == DAY { 3600 } else { (shown / 60).max(1) };
            prop_assert!(read <= seconds && seconds - read < least, "{} of {}", text, seconds);
        }
    }
}
