//! The command `codex-proxy doctor`: finds problems, and says what to do about them.
//!
//! It changes nothing, and connects only to this machine. A check that cannot be made is reported as skipped,
//! not as passed.

mod account;
mod files;
mod machine;
mod ports;
mod service;
mod usage;

use serde::Serialize;
use serde_json::Value;

use super::Errand;
use super::client::Client;
use super::failure::Failure;
use super::output::{Output, Painter, Tone, wrap};
use super::tree::Json;
use crate::Config;
use crate::config::{Flags, ProcessEnvironment, Strings};
use crate::control::api::Status;
use crate::paths::Dirs;
use crate::secret::redact::redact;

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    check: &'static str,
    status: Verdict,
    detail: String,
    advice: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Warn,
    Fail,
    Skipped,
}

impl Finding {
    fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, status: Verdict::Ok, detail: detail.into(), advice: None }
    }

    fn warn(check: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, status: Verdict::Warn, detail: detail.into(), advice: Some(advice.into()) }
    }

    fn fail(check: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, status: Verdict::Fail, detail: detail.into(), advice: Some(advice.into()) }
    }

    fn skipped(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, status: Verdict::Skipped, detail: detail.into(), advice: None }
    }
}

/// The data that the checks use.
struct Ground {
    config: Config,
    dirs: Dirs,
    /// The running proxy, if there is one.
    proxy: Result<Client, Failure>,
    /// The state of the proxy, if it answers.
    status: Option<Status>,
}

pub(super) async fn run(args: Json, errand: &Errand, output: &mut Output) -> Result<(), Failure> {
    let findings = examine(errand).await;
    if args.json {
        output.json(&findings)?;
    } else {
        output.text(&render(&findings, output.paint()))?;
    }
    let failed = findings.iter().any(|finding| finding.status == Verdict::Fail);
    if failed { Err(Failure::Told) } else { Ok(()) }
}

async fn examine(errand: &Errand) -> Vec<Finding> {
    let (first, config) = configuration(errand);
    let mut findings = vec![first];
    let Some(config) = config else { return findings };
    let proxy = Client::find(&config.data_dir);
    let status = match &proxy {
        Ok(client) => client.read("/status").await.ok(),
        Err(_) => None,
    };
    let ground = Ground { config, dirs: errand.dirs.clone(), proxy, status };
    findings.extend(files::look(&ground));
    findings.extend(usage::look(&ground).await);
    findings.extend(ports::look(&ground));
    findings.extend(service::look(&ground).await);
    findings.extend(account::look(&ground).await);
    findings.extend(machine::look(&ground, &ProcessEnvironment));
    findings
}

/// Whether the settings are valid. If not, the checks continue with the defaults.
fn configuration(errand: &Errand) -> (Finding, Option<Config>) {
    const CHECK: &str = "configuration";
    match &errand.config {
        Ok(config) if config.warnings.is_empty() => {
            (Finding::ok(CHECK, "every setting is valid"), Some(config.clone()))
        }
        Ok(config) => {
            let advice = "`codex-proxy config` shows what is in force and where it came from.";
            (Finding::warn(CHECK, config.warnings.join(" "), advice), Some(config.clone()))
        }
        Err(problems) => {
            let rest = defaults(errand);
            let how = match rest {
                Some(_) => "Correct them; the other checks assume the defaults.",
                None => "Correct them; the other checks cannot be made without them.",
            };
            let finding = Finding::fail(CHECK, redact(&problems.to_string()), how);
            (finding, rest)
        }
    }
}

/// The default settings, with the data directory of this command line.
fn defaults(errand: &Errand) -> Option<Config> {
    let data_dir = errand.flags.get("data-dir").cloned().or_else(|| ProcessEnvironment.get("PROXY_DATA_DIR"));
    let flags: Flags = data_dir.map(|dir| ("data-dir".to_owned(), dir)).into_iter().collect();
    let nothing = Flags::new();
    // The configuration file may be the cause of the problem.
    let dirs = Dirs { config: None, ..errand.dirs.clone() };
    Config::load(&flags, &nothing, &dirs).ok()
}

/// The value of a setting in force, as shown to a person.
fn setting<'a>(ground: &'a Ground, name: &str) -> Option<&'a Value> {
    ground.config.effective.rows.iter().find(|row| row.name == name).map(|row| &row.value)
}

fn render(findings: &[Finding], paint: Painter) -> String {
    const WIDTH: usize = 80;
    const INDENT: usize = 6;
    let mut text = String::new();
    for Finding { check, status, detail, advice } in findings {
        let (word, tone) = match status {
            Verdict::Ok => ("ok", Tone::Good),
            Verdict::Warn => ("warn", Tone::Warning),
            Verdict::Fail => ("FAIL", Tone::Bad),
            Verdict::Skipped => ("skip", Tone::Quiet),
        };
        let word = paint.paint(tone, &format!("{word:4}"));
        let sentence = format!("{}: {detail}", check.replace('_', " "));
        text.push_str(&format!("{word}  {}\n", wrap(&sentence, WIDTH, INDENT)));
        if let Some(advice) = advice {
            text.push_str(&format!("      -> {}\n", wrap(advice, WIDTH, INDENT + 3)));
        }
    }
    let count = |verdict| findings.iter().filter(|finding| finding.status == verdict).count();
    let (failed, warned, skipped) = (count(Verdict::Fail), count(Verdict::Warn), count(Verdict::Skipped));
    let summary = match (failed, warned) {
        (0, 0) => "Nothing is wrong".to_owned(),
        _ => format!("Failed: {failed}, warnings: {warned}"),
    };
    text.push_str(&format!("{summary}, not looked at: {skipped}.\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_told_with_what_to_do() {
        let findings = [
            Finding::ok("configuration", "every setting is valid"),
            Finding::fail(
                "port",
                "127.0.0.1:11435 is taken by nginx (process 17)",
                "Stop it, or choose another port with PORT, which the clients must then be told.",
            ),
            Finding::skipped("limits", "no proxy is running"),
        ];
        let expected = "\
ok    configuration: every setting is valid
FAIL  port: 127.0.0.1:11435 is taken by nginx (process 17)
      -> Stop it, or choose another port with PORT, which the clients must then
         be told.
skip  limits: no proxy is running
Failed: 1, warnings: 0, not looked at: 1.
";
        assert_eq!(render(&findings, Painter::PLAIN), expected);
    }

    #[test]
    fn the_shape_for_programs() {
        let json = serde_json::to_value([Finding::warn("clock", "late", "Set it.")]).unwrap();
        assert_eq!(
            json,
            serde_json::json!([{"check": "clock", "status": "warn", "detail": "late", "advice": "Set it."}])
        );
        assert_eq!(serde_json::to_value(Verdict::Skipped).unwrap(), "skipped");
    }
}
