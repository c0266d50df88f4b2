//! The command `codex-proxy prove`: shows what Codex sends in addition to your own words.

use http::Method;

use super::client::{Client, Events};
use super::failure::Failure;
use super::output::{Output, Painter, Tone, clean, wrap};
use super::tree::Json;
use super::units::bytes;
use super::{Context, Interruption};
use crate::control::api::{Finding, FindingKind, Proof, ProofJob, Proofs, Verdict};
use crate::instance::InstanceLock;
use crate::prove::{ProveError, Prover};

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
    let proof = tokio::select! {
        proof = proving => proof?,
        () = interruption.comes() => return Err(Failure::Interrupted("cancelled; nothing was proved".to_owned())),
    };
    if args.json {
        output.json(&proof)?;
    } else {
        output.text(&render(&proof, output.paint()))?;
    }
    if proof.verdict == Verdict::Pure { Ok(()) } else { Err(Failure::Told) }
}

/// The running proxy makes the proof.
async fn by_proxy(client: &Client, json: bool, output: &mut Output) -> Result<Proof, Failure> {
    let mut events: Events = client.events().await?;
    client.call::<Option<ProofJob>>(Method::POST, "/prove").await?;
    let job = loop {
        let Some(job) = events.next().await?.read()?.proof else { continue };
        if job.is_over() {
            break job;
        }
        tell(&job, json, output)?;
    };
    over(json, output)?;
    if let Some(error) = job.error {
        return Err(Failure::new(clean(&error)));
    }
    let Proofs { proofs, .. } = client.read("/proofs").await?;
    let made = proofs.into_iter().find(|proof| Some(&proof.version) == job.version.as_ref());
    made.ok_or_else(|| Failure::new("the proof is gone. Try again."))
}

/// This program makes the proof.
async fn here(prover: &Prover, json: bool, output: &mut Output) -> Result<Proof, Failure> {
    let mut progress = prover.progress();
    let mut making = std::pin::pin!(prover.prove());
    let made = loop {
        tokio::select! {
            made = &mut making => break made,
            changed = progress.changed() => {
                let job = progress.borrow_and_update().clone();
                if let (Ok(()), Some(job)) = (changed, job) {
                    tell(&job.into(), json, output)?;
                }
            }
        }
    };
    over(json, output)?;
    Ok(made?.into())
}

impl From<ProveError> for Failure {
    fn from(error: ProveError) -> Self {
        Self::new(error.to_string())
    }
}

fn tell(job: &ProofJob, json: bool, output: &mut Output) -> Result<(), Failure> {
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

fn render(proof: &Proof, paint: Painter) -> String {
    let (tone, words) = verdict_words(proof.verdict);
    let mut text = format!("Codex {}: {}\n", clean(&proof.version), paint.paint(tone, words));
    let mut row = |name: &str, value: &str| text.push_str(&format!("{name:12}{}\n", wrap(value, 80, 12)));
    row("Binary", &proof.path.display().to_string());
    row(
        "Asked",
        &format!(
            "{} requests to {} models in {}.{} s",
            proof.cases.len(),
            proof.models,
            proof.took_ms / 1000,
            proof.took_ms % 1000 / 100
        ),
    );
    row("Your words", &bytes(proof.word_bytes));
    row("Your tools", &bytes(proof.tool_bytes));
    row("Foreign", &format!("{} bytes", proof.foreign_bytes));
    text.push_str("\nAround them, no part of a prompt:\n");
    for part in &proof.protocol {
        text.push_str(&explained(&format!("{} ({})", part.name, bytes(part.bytes)), &part.reason));
    }
    text.push_str("\nConnections:\n");
    for connection in &proof.connections {
        let name = format!("{} {}", clean(&connection.method), clean(&connection.target));
        text.push_str(&explained(&name, connection.reason.as_deref().unwrap_or("NOT KNOWN")));
    }
    if !proof.findings.is_empty() {
        text.push_str("\nWhat is wrong:\n");
        for finding in &proof.findings {
            text.push_str(&found(finding));
        }
    }
    text
}

/// A name with its explanation beside it, or below it if the name is long.
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
    let words = format!("{}, in {} {requests}", clean(&finding_words(finding)), finding.requests);
    let mut text = format!("  {}\n", wrap(&words, 80, 2));
    if !finding.example.is_empty() {
        text.push_str(&format!("    {}\n", clean(&finding.example)));
    }
    text
}

/// A finding as a part of a sentence: its kind and its size.
fn finding_words(finding: &Finding) -> String {
    let Finding { kind, what, bytes, example, .. } = finding;
    match kind {
        FindingKind::Added => format!("it adds {what} ({bytes} bytes)"),
        FindingKind::Lost => format!("it leaves out {what}"),
        FindingKind::Changed => format!("it changes {what}"),
        FindingKind::Connection => format!("it reaches for {what}"),
        FindingKind::Failed => format!("{what} failed: {example}"),
        FindingKind::Other => what.clone(),
    }
}

/// A verdict in words.
fn verdict_words(verdict: Verdict) -> (Tone, &'static str) {
    match verdict {
        Verdict::Pure => (Tone::Good, "nothing but your own words and tools reaches the model"),
        Verdict::Impure => (Tone::Bad, "it does not send exactly what you say"),
        Verdict::Unproved | Verdict::Other => (Tone::Warning, "it could not be proved"),
    }
}
