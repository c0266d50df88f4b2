//! The command `codex-proxy config sync`.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::Context;
use super::client::cannot;
use super::failure::Failure;
use super::output::{Output, clean};
use super::tree::{Json, SyncArgs};
use crate::files;
use crate::secret::redact::redact;

/// The files to copy. The sign-in and all other files of a home directory are not copied.
const FILES: [&str; 2] = ["config.toml", "AGENTS.md"];

/// A file in both home directories.
struct Pair {
    name: &'static str,
    to: PathBuf,
    source: Option<String>,
    target: Option<String>,
}

/// The result for one file.
#[derive(Debug, Serialize)]
struct Done {
    file: &'static str,
    /// `missing` (in the source), `same`, `differs` or `copied`.
    status: &'static str,
    /// The path of the previous version of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<PathBuf>,
}

pub(super) fn run(
    args: &SyncArgs,
    json: Json,
    context: &Context,
    output: &mut Output,
) -> Result<(), Failure> {
    let [from, to] = [&args.from, &args.to].map(|home| context.dirs.current.join(home));
    let pairs = pairs(&from, &to)?;
    if pairs.iter().all(|pair| pair.source.is_none()) {
        return Err(Failure::new(format!("{} holds neither config.toml nor AGENTS.md", from.display())));
    }
    for pair in &pairs {
        no_secrets(pair)?;
    }
    let mut all = Vec::new();
    for pair in &pairs {
        if args.dry_run && !json.json {
            show(pair, output)?;
        }
        let done = copy(pair, args)?;
        if !json.json {
            tell(pair, &done, args, output)?;
        }
        all.push(done);
    }
    if json.json {
        output.json(&json!({"from": from, "to": to, "files": all}))?;
    }
    if args.dry_run || all.iter().all(|done| done.status != "differs") {
        return Ok(());
    }
    let next = "--dry-run shows how; --force overwrites it and keeps what it held.";
    Err(Failure::with_next("a file differs and was left as it is", next))
}

fn pairs(from: &Path, to: &Path) -> Result<Vec<Pair>, Failure> {
    let same = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if same(from) == same(to) {
        return Err(Failure::Usage("--from and --to are the same directory".to_owned()));
    }
    let read =
        |file: &Path| files::read(file).map_err(|error| cannot(&format!("read {}", file.display()), &error));
    FILES
        .into_iter()
        .map(|name| {
            let to = to.join(name);
            Ok(Pair { name, source: read(&from.join(name))?, target: read(&to)?, to })
        })
        .collect()
}

/// Refuses to copy a file that contains a secret.
fn no_secrets(pair: &Pair) -> Result<(), Failure> {
    let lines = pair.source.iter().flat_map(|text| text.lines()).enumerate();
    let secret: Vec<String> = lines
        .filter(|(_, line)| redact(line) != **line)
        .map(|(number, _)| (number + 1).to_string())
        .collect();
    if secret.is_empty() {
        return Ok(());
    }
    Err(Failure::with_next(
        format!(
            "{} holds what looks like a secret (line {}), so nothing was copied",
            pair.name,
            secret.join(", ")
        ),
        "Put it into an environment variable, which `env_key` or `bearer_token_env_var` can name.",
    ))
}

fn copy(pair: &Pair, args: &SyncArgs) -> Result<Done, Failure> {
    let done = |status, before| Done { file: pair.name, status, before };
    let Some(source) = &pair.source else { return Ok(done("missing", None)) };
    if pair.target.as_ref() == Some(source) {
        return Ok(done("same", None));
    }
    if args.dry_run || (pair.target.is_some() && !args.force) {
        return Ok(done("differs", None));
    }
    let stamp = Timestamp::now().strftime("%Y%m%d-%H%M%S");
    let kept =
        pair.target.as_ref().map(|_| files::copy_beside(&pair.to, &format!(".before-{stamp}"))).transpose();
    let kept = kept.map_err(|error| cannot(&format!("copy {}", pair.to.display()), &error))?;
    files::replace(&pair.to, source, files::Target::Settings)
        .map_err(|error| cannot(&format!("write {}", pair.to.display()), &error))?;
    Ok(done("copied", kept))
}

/// Shows the difference in the format of `diff -u`.
fn show(pair: &Pair, output: &mut Output) -> Result<(), Failure> {
    let Some(source) = &pair.source else { return Ok(()) };
    let target = pair.target.clone().unwrap_or_default();
    let (now, then) = (format!("{} (now)", pair.name), format!("{} (then)", pair.name));
    let text = files::difference([&now, &then], &target, source);
    // The existing file may contain a secret.
    Ok(output.text(&redact(&text))?)
}

fn tell(pair: &Pair, done: &Done, args: &SyncArgs, output: &mut Output) -> Result<(), Failure> {
    let name = pair.name;
    let sentence = match done.status {
        "missing" => format!("{name}: not there, so nothing to copy"),
        "same" => format!("{name}: the same already"),
        "differs" if args.dry_run => format!("{name}: would be copied"),
        "differs" => format!("{name}: differs, left as it is"),
        _ => match &done.before {
            Some(before) => {
                format!("{name}: copied; what it held is in {}", clean(&before.display().to_string()))
            }
            None => format!("{name}: copied"),
        },
    };
    Ok(output.note(&sentence)?)
}
