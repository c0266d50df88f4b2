//! The command `codex-proxy restore`.

use std::path::PathBuf;

use serde_json::json;

use super::Context;
use super::backup::{aside, gpg};
use super::failure::Failure;
use super::output::{Output, clean};
use super::tree::RestoreArgs;
use crate::backup::{self, Kind, Passphrase, Planned};
use crate::instance;

pub(super) async fn run(args: &RestoreArgs, context: &Context, output: &mut Output) -> Result<(), Failure> {
    let places = context.config.backup(&context.dirs);
    let given = context.dirs.current.join(&args.file);
    let passphrase =
        args.passphrase_file.as_ref().map(|file| Passphrase::read(&context.dirs.current.join(file)));
    let passphrase = passphrase.transpose()?;
    let running = instance::running(&places.data_dir);
    let running = running.map_err(|error| super::client::cannot("see whether a proxy runs", &error))?;
    if let Some(holder) = running.filter(|_| !args.dry_run) {
        return Err(Failure::with_next(
            format!("a proxy is running (process {}), so nothing was changed", holder.pid),
            "End it first with `codex-proxy quit`, or `codex-proxy service uninstall` if the system starts it.",
        ));
    }
    // The decrypted file is private, and it is removed at the end.
    let mut opened = None;
    let mut file = given.clone();
    if backup::kind_of(&given)? == Kind::Other && given.extension().is_some_and(|ending| ending == "gpg") {
        let folder = opened.insert(scratch()?);
        file = folder.path().join("backup.tar.gz");
        let (from, to) = (given.display().to_string(), file.display().to_string());
        gpg(&["--output", &to, "--decrypt", &from], context).await?;
    }
    let (at, with) = (file.clone(), passphrase.clone());
    let manifest = aside(move || backup::check(&at, with.as_ref())).await?;
    if args.dry_run {
        let planned = backup::plan(&manifest, &places);
        if args.json.json {
            return Ok(output.json(&json!({
                "created": manifest.created,
                "product": manifest.product,
                "files": planned.files,
                "occupied": planned.occupied,
                "left_out": manifest.left_out,
            }))?);
        }
        output.text(&shown(&planned, &manifest.left_out))?;
        return Ok(output.note("The backup is whole. Nothing was changed.")?);
    }
    let force = args.force;
    let restored = aside(move || backup::restore(&file, passphrase.as_ref(), &places, force)).await?;
    if args.json.json {
        return Ok(output.json(&json!({
            "created": manifest.created,
            "files": restored.files,
            "aside": restored.aside,
            "left_out": manifest.left_out,
        }))?);
    }
    output.line(&format!("Restored {} files of {}.", restored.files.len(), manifest.created))?;
    for path in &restored.aside {
        output.line(&format!("What was there before is in {}", clean(&path.display().to_string())))?;
    }
    for what in &manifest.left_out {
        output.note(&format!("Was not in the backup: {}", clean(what)))?;
    }
    Ok(output.note(
        "A sign-in that was renewed since the backup may have to be made again: `codex-proxy login`.",
    )?)
}

fn shown(planned: &Planned, left_out: &[String]) -> String {
    let mut text = String::new();
    let mut part = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            text.push_str(&format!("{title}\n"));
            lines.iter().for_each(|line| text.push_str(&format!("  {}\n", clean(line))));
        }
    };
    let paths = |paths: &[PathBuf]| paths.iter().map(|path| path.display().to_string()).collect();
    part("To be written:", paths(&planned.files));
    part("There now, and to be kept aside (needs --force):", paths(&planned.occupied));
    part("Not in the backup:", left_out.to_vec());
    text
}

fn scratch() -> Result<tempfile::TempDir, Failure> {
    tempfile::Builder::new()
        .prefix("codex-proxy-")
        .tempdir()
        .map_err(|error| super::client::cannot("make a temporary directory", &error))
}
