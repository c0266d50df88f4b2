//! `codex-proxy codex`: which Codex is used, and another version of it.

use http::Method;
use serde_json::{Value, json};

use super::client::{Client, typed};
use super::failure::Failure;
use super::output::{Output, Painter, clean, wrap};
use super::status::codex_words;
use super::tree::{CodexArgs, CodexVerb};
use super::units::bytes;
use super::wire::{Codex, Job};
use super::{Context, interrupted};

pub(super) async fn run(args: &CodexArgs, context: &Context, output: &mut Output) -> Result<(), Failure> {
    let client = Client::find(&context.config.data_dir)?;
    let json = args.json.json;
    let (path, body) = match args.verb.as_ref().unwrap_or(&CodexVerb::Status) {
        CodexVerb::Status => {
            let status = client.get("/codex").await?;
            return if json {
                Ok(output.json(&status)?)
            } else {
                Ok(output.text(&render(&typed(status)?, output.paint()))?)
            };
        }
        CodexVerb::Install(install) => ("/codex/install", version_body(install.version.as_deref())),
        CodexVerb::Update(update) => ("/codex/update", version_body(update.version.as_deref())),
        CodexVerb::Rollback => ("/codex/rollback", json!({})),
    };
    let job = client.call(Method::POST, path, Some(&body)).await?;
    let mut teller = Teller::new(json, output);
    teller.tell(&job)?;
    tokio::select! {
        done = follow(&client, &mut teller) => done,
        () = interrupted() => {
            client.call(Method::DELETE, "/codex/job", None).await?;
            teller.end_line()?;
            Err(Failure::Interrupted("cancelled; the Codex in use is still the one before".to_owned()))
        }
    }
}

fn version_body(version: Option<&str>) -> Value {
    version.map_or_else(|| json!({}), |version| json!({"version": version}))
}

/// Tells of the job until it is over.
async fn follow(client: &Client, teller: &mut Teller<'_>) -> Result<(), Failure> {
    let mut events = client.events().await?;
    loop {
        let mut status = events.next().await?;
        let job = status["codex"]["job"].take();
        if job.is_null() {
            // The proxy has forgotten a job that is over.
            return teller.over(&typed(status["codex"].take())?);
        }
        if teller.tell(&job)? {
            return teller.over(&typed(status["codex"].take())?);
        }
    }
}

/// Shows how far a job has got: one line that changes for a person, one line a phase for a file, one object a change
/// for a program.
pub(super) struct Teller<'a> {
    json: bool,
    output: &'a mut Output,
    last: Option<Job>,
}

impl<'a> Teller<'a> {
    pub(super) fn new(json: bool, output: &'a mut Output) -> Self {
        Self { json, output, last: None }
    }

    /// Returns whether the job is over.
    pub(super) fn tell(&mut self, value: &Value) -> Result<bool, Failure> {
        let job: Job = typed(value.clone())?;
        if self.last.as_ref() == Some(&job) {
            return Ok(false);
        }
        let new_phase = self.last.as_ref().is_none_or(|last| last.phase != job.phase);
        if self.json {
            self.output.json_line(value)?;
        } else if !self.output.progress(&progress(&job))? && new_phase {
            self.output.note(&progress(&job))?;
        }
        let over = ["done", "failed"].contains(&job.phase.as_str());
        self.last = Some(job);
        Ok(over)
    }

    fn end_line(&mut self) -> Result<(), Failure> {
        if !self.json && self.output.err_interactive {
            self.output.note("")?;
        }
        Ok(())
    }

    /// Says how it ended.
    pub(super) fn over(&mut self, codex: &Codex) -> Result<(), Failure> {
        self.end_line()?;
        let job = self.last.take().unwrap_or_default();
        if job.phase == "failed" {
            let why = job.error.map_or_else(|| "the proxy's log says why".to_owned(), |error| clean(&error));
            return Err(Failure::with_next(
                format!("{} has failed: {why}", clean(&job.action)),
                "The Codex in use is still the one before. Look at `codex-proxy logs`, then try again.",
            ));
        }
        if !self.json {
            self.output.line(&format!("Codex: {}", codex_words(codex, self.output.paint())))?;
        }
        Ok(())
    }
}

/// `install 0.169.0: downloading, 12.3 MiB of 45.6 MiB (27 %)`.
fn progress(job: &Job) -> String {
    let version = job.version.as_deref().map(|version| format!(" {}", clean(version))).unwrap_or_default();
    let amount = match (job.bytes, job.total_bytes) {
        (0, _) => String::new(),
        (done, Some(total)) if total > 0 => {
            let percent = u128::from(done) * 100 / u128::from(total);
            format!(", {} of {} ({} %)", bytes(done), bytes(total), percent.min(100))
        }
        (done, _) => format!(", {}", bytes(done)),
    };
    let amount = if job.phase == "downloading" { amount } else { String::new() };
    format!("{}{version}: {}{amount}", clean(&job.action), clean(&job.phase))
}

fn render(codex: &Codex, paint: Painter) -> String {
    let mut text = format!("Codex     {}\n", codex_words(codex, paint));
    let mut line = |name: &str, value: Option<&String>| {
        if let Some(value) = value {
            text.push_str(&format!("{name:10}{}\n", wrap(value, 80, 10)));
        }
    };
    line("Path", codex.path.as_ref());
    line("Problem", codex.problem.as_ref());
    line("Tested", codex.pinned.as_ref());
    line("Installed", codex.managed.current.as_ref());
    line("Before", codex.managed.previous.as_ref());
    if codex.version.is_none() {
        text.push_str("Install it with `codex-proxy codex install`.\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(phase: &str, bytes: u64, total_bytes: Option<u64>) -> Job {
        Job {
            action: "install".to_owned(),
            phase: phase.to_owned(),
            version: Some("0.169.0".to_owned()),
            bytes,
            total_bytes,
            error: None,
        }
    }

    #[test]
    fn progress_says_what_is_known() {
        for (job, expected) in [
            (job("resolving", 0, None), "install 0.169.0: resolving"),
            (job("downloading", 0, None), "install 0.169.0: downloading"),
            (job("downloading", 1 << 20, None), "install 0.169.0: downloading, 1.00 MiB"),
            (
                job("downloading", 1 << 20, Some(4 << 20)),
                "install 0.169.0: downloading, 1.00 MiB of 4.00 MiB (25 %)",
            ),
            (
                job("downloading", 5 << 20, Some(4 << 20)),
                "install 0.169.0: downloading, 5.00 MiB of 4.00 MiB (100 %)",
            ),
            (job("unpacking", 4 << 20, Some(4 << 20)), "install 0.169.0: unpacking"),
        ] {
            assert_eq!(progress(&job), expected);
        }
    }

    #[test]
    fn what_is_in_use() {
        let codex: Codex =
            typed(json!({"source": "managed", "path": "/d/codex/0.169.0/codex", "version": "0.169.0",
            "supported": true, "problem": null, "pinned": "0.169.0",
            "managed": {"current": "0.169.0", "previous": "0.168.0"}, "job": null}))
            .unwrap();
        let expected = "\
Codex     0.169.0, installed by the proxy
Path      /d/codex/0.169.0/codex
Tested    0.169.0
Installed 0.169.0
Before    0.168.0
";
        assert_eq!(render(&codex, Painter::PLAIN), expected);
        assert!(render(&Codex::default(), Painter::PLAIN).contains("codex-proxy codex install"));
    }
}
