//! The two text formats: OpenMetrics, which the library writes, and the older one that every scraper reads.

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

/// A text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposition {
    /// Prometheus' own, 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Exposition {
    /// The format for a request with this `Accept`.
    pub fn accepted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// Its `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

pub(super) fn render(registry: &Registry, exposition: Exposition) -> Option<String> {
    let mut out = String::with_capacity(16 * 1024);
    text::encode(&mut out, registry).ok()?;
    Some(match exposition {
        Exposition::OpenMetrics => out,
        Exposition::Prometheus => as_prometheus(&out),
    })
}

/// The same samples; only the lines about a metric differ. The older format calls a counter by its samples' name and
/// knows neither units nor an end.
fn as_prometheus(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len());
    let mut lines = open_metrics.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("# UNIT ") || line == "# EOF" {
            continue;
        }
        if let Some(help) = line.strip_prefix("# HELP ") {
            // The type follows, and the name depends on it.
            let is_counter = lines.peek().is_some_and(|next| next.ends_with(" counter"));
            let (name, text) = help.split_once(' ').unwrap_or((help, ""));
            out.push_str(&format!("# HELP {name}{} {text}\n", if is_counter { "_total" } else { "" }));
            continue;
        }
        match line.strip_prefix("# TYPE ").and_then(|rest| rest.strip_suffix(" counter")) {
            Some(name) => out.push_str(&format!("# TYPE {name}_total counter\n")),
            None => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    out
}
