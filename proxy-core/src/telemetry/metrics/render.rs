//! The two text formats: OpenMetrics, which the library writes, and the older format that every scraper can
//! read.

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

/// A text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposition {
    /// The format of Prometheus, version 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Exposition {
    /// The format for a request with this `Accept`.
    pub fn accepted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// The `Content-Type` of the format.
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

/// Converts to the older format. The samples are the same, only the lines about a metric differ: a counter has
/// the name of its samples, and there are no units and no end mark.
fn as_prometheus(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len());
    let mut lines = open_metrics.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("# UNIT ") || line == "# EOF" {
            continue;
        }
        if let Some(help) = line.strip_prefix("# HELP ") {
            // The line with the type is the next one, and the name depends on the type.
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
