//! The numbers, as a table for people and as JSON for programs.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

/// Rows in the order in which they were measured.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

struct Row {
    section: &'static str,
    name: String,
    unit: &'static str,
    values: Vec<(&'static str, f64)>,
}

impl Report {
    /// Adds one number.
    pub(crate) fn value(
        &mut self,
        section: &'static str,
        name: impl Into<String>,
        unit: &'static str,
        value: f64,
    ) {
        self.rows.push(Row { section, name: name.into(), unit, values: vec![("value", value)] });
    }

    /// Adds the usual percentiles of some durations, in milliseconds.
    pub(crate) fn times(&mut self, section: &'static str, name: impl Into<String>, times: &Times) {
        let values = PERCENTILES.map(|(label, share)| (label, millis(times.percentile(share))));
        self.rows.push(Row { section, name: name.into(), unit: "ms", values: values.into() });
    }

    /// Adds the difference of each percentile between `with` and `without`, in milliseconds.
    pub(crate) fn added(&mut self, section: &'static str, name: &str, with: &Times, without: &Times) {
        let values = PERCENTILES.map(|(label, share)| {
            (label, millis(with.percentile(share)) - millis(without.percentile(share)))
        });
        self.rows.push(Row { section, name: name.to_owned(), unit: "ms", values: values.into() });
    }

    pub(crate) fn table(&self) -> String {
        let width = self.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
        let mut table = String::new();
        let mut section = "";
        for row in &self.rows {
            if row.section != section {
                section = row.section;
                table.push_str(&format!("\n{section}\n"));
            }
            let values: Vec<String> = row
                .values
                .iter()
                .map(|(label, value)| match *label {
                    "value" => format!("{value:10.2} {}", row.unit),
                    label => format!("{label} {value:8.2} {}", row.unit),
                })
                .collect();
            // Writing to a `String` cannot fail.
            let _ok = writeln!(table, "  {:width$}  {}", row.name, values.join("   "));
        }
        table
    }

    pub(crate) fn json(&self) -> String {
        let rows = self.rows.iter().map(|row| {
            let values: serde_json::Map<String, Value> =
                row.values.iter().map(|(label, value)| ((*label).to_owned(), json!(value))).collect();
            json!({"section": row.section, "name": row.name, "unit": row.unit, "values": values})
        });
        format!("{:#}\n", Value::from_iter(rows))
    }
}

const PERCENTILES: [(&str, f64); 3] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)];

/// Repeated measurements of one duration.
#[derive(Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn push(&mut self, time: Duration) {
        let at = self.0.partition_point(|other| *other <= time);
        self.0.insert(at, time);
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
        self.0.sort_unstable();
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The smallest duration that is not exceeded by this share of all.
    fn percentile(&self, share: f64) -> Duration {
        let rank = (share * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(millis: impl IntoIterator<Item = u64>) -> Times {
        let mut times = Times::default();
        millis.into_iter().for_each(|time| times.push(Duration::from_millis(time)));
        times
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let hundred = times((1..=100).rev());
        assert_eq!(hundred.percentile(0.5), Duration::from_millis(50));
        assert_eq!(hundred.percentile(0.99), Duration::from_millis(99));
        assert_eq!(times([7]).percentile(0.5), Duration::from_millis(7));
    }

    #[test]
    fn what_is_added_is_the_difference_of_like_percentiles() {
        let mut report = Report::default();
        report.added("latency", "added", &times([3, 5, 9]), &times([2, 3, 4]));
        let json: Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json[0]["values"], json!({"p50": 2.0, "p90": 5.0, "p99": 5.0}));
        assert!(report.table().contains("p50     2.00 ms"), "{}", report.table());
    }
}
