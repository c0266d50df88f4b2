//! `codex-proxy prove`: what leaves the machine beside your own words.

use http::Method;
use serde_json::Value;

use super::client::{Client, Events, typed, value_of};
use super::failure::Failure;
use super::output::{Output, Painter, Tone, clean, wrap};
use super::tree::Json;
use super::units::bytes;
use super::{Context, Interruption};
use crate::codex_install::proofs::Verdict;
use crate::instance::InstanceLock;
use crate::prove::{Finding, Job, ProveError, Prover, Report};

pub(super) async fn run(args: Json, context: &Context, output: &mut Output) -> Result<(), Failure> {
    let config = &context.config;
    let mut interruption = Interruption::listen();
    let proving = async {
        match Client::find(&config.data_dir) {
            Ok(client) => by_proxy(&client, args.json, output).await,
            Err(Failure::NotRunning(_)) => {
                let _lock = InstanceLock::take(&config.data_dir)?;
                here(&Prover::new(config.prove.clone()), args.json, output).await
            }
            Err(failure) => Err(failure),
        }
    };
    let report = tokio::select! {
        report = proving => report?,
        () = interruption.comes() => return Err(Failure::Interrupted("cancelled; nothing was proved".to_owned())),
    };
    let is_pure = report["verdict"] == "pure";
    if args.json {
        output.json(&report)?;
    } else {
        output.text(&render(&typed(report)?, output.paint()))?;
    }
    if is_pure { Ok(()) } else { Err(Failure::Told) }
}

/// Has the running proxy do it.
async fn by_proxy(client: &Client, json: bool, output: &mut Output) -> Result<Value, Failure> {
    let mut events: Events = client.events().await?;
    client.call(Method::POST, "/prove", None).await?;
    let job = loop {
        let value = events.next().await?["proof"].take();
        let Some(job) = typed::<Option<Job>>(value)? else { continue };
        if job.is_over() {
            break job;
        }
        tell(&job, json, output)?;
    };
    over(json, output)?;
    if let Some(error) = job.error {
        return Err(Failure::new(clean(&error)));
    }
    let mut known = client.get("/proofs").await?;
    let proofs = known["proofs"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let made = proofs.into_iter().find(|proof| proof["version"].as_str() == job.version.as_deref());
    made.ok_or_else(|| Failure::new("the proof is gone. Try again."))
}

/// Does it in this program.
async fn here(prover: &Prover, json: bool, output: &mut Output) -> Result<Value, Failure> {
    let mut progress = prover.progress();
    let mut making = std::pin::pin!(prover.prove());
    let made = loop {
        tokio::select! {
            made = &mut making => break made,
            changed = progress.changed() => {
                let job = progress.borrow_and_update().clone();
                if let (Ok(()), Some(job)) = (changed, job) {
                    tell(&job, json, output)?;
                }
            }
        }
    };
    over(json, output)?;
    value_of(&made?)
}

impl From<ProveError> for Failure {
    fn from(error: ProveError) -> Self {
        Self::new(error.to_string())
    }
}

fn tell(job: &Job, json: bool, output: &mut Output) -> Result<(), Failure> {
    if !json {
        let version =
            job.version.as_deref().map(|version| format!(" {}", clean(version))).unwrap_or_default();
        let amount =
            if job.all > 0 { format!(": {} of {} requests", job.done, job.all) } else { String::new() };
        output.progress(&format!("proving Codex{version}{amount}"))?;
    }
    Ok(())
}

fn over(json: bool, output: &mut Output) -> Result<(), Failure> {
    if !json {
        output.progress("")?;
    }
    Ok(())
}

fn render(report: &Report, paint: Painter) -> String {
    let (tone, words) = verdict_words(report.verdict);
    let subject = &report.subject;
    let mut text = format!("Codex {}: {}\n", clean(&subject.version), paint.paint(tone, words));
    let mut row = |name: &str, value: &str| text.push_str(&format!("{name:12}{}\n", wrap(value, 80, 12)));
    row("Binary", &subject.path.display().to_string());
    row(
        "Asked",
        &format!(
            "{} requests to {} models in {}.{} s",
            report.cases.len(),
            report.models,
            report.took_ms / 1000,
            report.took_ms % 1000 / 100
        ),
    );
    row("Your words", &bytes(report.word_bytes));
    row("Your tools", &bytes(report.tool_bytes));
    row("Foreign", &format!("{} bytes", report.foreign_bytes));
    text.push_str("\nAround them, no part of a prompt:\n");
    for part in &report.protocol {
        text.push_str(&explained(&format!("{} ({})", part.name, bytes(part.bytes)), &part.reason));
    }
    text.push_str("\nConnections:\n");
    for connection in &report.connections {
        let name = format!("{} {}", clean(&connection.method), clean(&connection.target));
        text.push_str(&explained(&name, connection.reason.as_deref().unwrap_or("NOT KNOWN")));
    }
    if !report.findings.is_empty() {
        text.push_str("\nWhat is wrong:\n");
        for finding in &report.findings {
            text.push_str(&found(finding));
        }
    }
    text
}

/// A name, and what it is for beside it, or below it where it is long.
fn explained(name: &str, reason: &str) -> String {
    const COLUMN: usize = 42;
    let reason = wrap(reason, 80, COLUMN);
    let name = format!("  {name}");
    let gap = if name.chars().count() < COLUMN { "" } else { "\n" };
    let pad = COLUMN.saturating_sub(if gap.is_empty() { name.chars().count() } else { 0 });
    format!("{name}{gap}{}{reason}\n", " ".repeat(pad))
}

fn found(finding: &Finding) -> String {
    let requests = if finding.requests == 1 { "request" } else { "requests" };
    let words = format!("{}, in {} {requests}", clean(&finding.words()), finding.requests);
    let mut text = format!("  {}\n", wrap(&words, 80, 2));
    if !finding.example.is_empty() {
        text.push_str(&format!("    {}\n", clean(&finding.example)));
    }
    text
}

/// A verdict for people.
pub(super) fn verdict_words(verdict: Verdict) -> (Tone, &'static str) {
    match verdict {
        Verdict::Pure => (Tone::Good, "nothing but your own words and tools reaches the model"),
        Verdict::Impure => (Tone::Bad, "it does not send exactly what you say"),
        Verdict::Unproved => (Tone::Warning, "it could not be proved"),
    }
}
