//! The command `codex-proxy uninstall-data`.

use std::io::{self, IsTerminal as _};

use super::Context;
use super::client::cannot;
use super::failure::Failure;
use super::output::{Output, clean};
use super::service::Manager;
use super::tree::UninstallArgs;
use super::units::bytes;
use crate::instance::{self, Holder};
use crate::removal::{self, Found};

/// The word that a person types to confirm.
const YES: &str = "delete";

pub(super) async fn run(args: UninstallArgs, context: &Context, output: &mut Output) -> Result<(), Failure> {
    let config = context.config.removal(&context.dirs);
    let running = instance::running(&config.data_dir).map_err(|error| {
        cannot(&format!("see whether a proxy runs on {}", config.data_dir.display()), &error)
    })?;
    let found = removal::find(&config);
    let manager = Manager::of_platform(context)?;
    let service = manager.is_installed().await;
    let all = shown(&found, args.keep_keychain, service);
    if args.dry_run && args.json.json {
        return Ok(output.json(&found)?);
    }
    if is_nothing(&found) && !service {
        return Ok(output.line("There is nothing of the proxy's to delete.")?);
    }
    if args.dry_run {
        output.text(&all)?;
        return Ok(output.note("Nothing was deleted.")?);
    }
    if let Some(holder) = running {
        return Err(in_use(&holder));
    }
    if !args.json.json {
        output.text(&all)?;
    }
    if !args.yes && !confirmed(output)? {
        return Err(Failure::Interrupted("nothing was deleted".to_owned()));
    }
    // If the system does not remove the service, this is reported, but the rest is deleted anyway.
    let taken_back = if service { manager.uninstall().await } else { Ok(()) };
    let taken_back = taken_back.and(forget_start_at_login(context).await);
    let removed = tokio::task::spawn_blocking(move || removal::remove(&config, !args.keep_keychain)).await;
    let removed = removed.map_err(|error| Failure::new(format!("deleting failed: {error}")))?;
    let removed = removed.map_err(|error| Failure::with_next(error.to_string(), AGAIN))?;
    if args.json.json {
        output.json(&removed)?;
    } else {
        output.line("Deleted.")?;
    }
    taken_back
}

const AGAIN: &str = "This command may be repeated. Where the keychain cannot be opened any more, --keep-keychain leaves \
                     what is in it.";

fn is_nothing(found: &Found) -> bool {
    found.places.is_empty() && found.in_keychain == Some(0)
}

fn in_use(holder: &Holder) -> Failure {
    Failure::with_next(
        format!("a proxy is running (process {}), so nothing was deleted", holder.pid),
        "Stop it first: with Quit in the menu of its icon, with Ctrl-C where it was started, or with \
         `codex-proxy service uninstall` if the system starts it.",
    )
}

fn confirmed(output: &mut Output) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage("without a terminal to ask on, deleting needs --yes".to_owned()));
    }
    output.note(&format!("This cannot be undone. Type `{YES}` to go on:"))?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(|error| cannot("read the answer", &error))?;
    Ok(answer.trim() == YES)
}

fn shown(found: &Found, keep_keychain: bool, service: bool) -> String {
    let mut text = String::new();
    let mut part = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            text.push_str(&format!("{title}\n"));
            lines.iter().for_each(|line| text.push_str(&format!("  {}\n", clean(line))));
        }
    };
    let mut doomed: Vec<String> = found
        .places
        .iter()
        .map(|place| format!("{} ({})", place.path.display(), bytes(place.bytes)))
        .collect();
    let mut stays: Vec<String> = found.others.iter().map(|path| path.display().to_string()).collect();
    if let Some(keys) = keys(found.in_keychain) {
        let keys = format!("{keys} in the system's keychain");
        if keep_keychain { stays.push(keys) } else { doomed.push(keys) }
    }
    if service {
        doomed.push("the service that starts the proxy when you sign in".to_owned());
    }
    part("To be deleted:", doomed);
    part("Not the proxy's, or to be kept; stays:", stays);
    let clients = found.clients.iter().map(|path| path.display().to_string()).collect();
    part(
        "Name the proxy in their settings and stay; start it and take them back under Clients in its window before:",
        clients,
    );
    text
}

fn keys(count: Option<usize>) -> Option<String> {
    match count {
        Some(0) => None,
        Some(1) => Some("1 API key".to_owned()),
        Some(count) => Some(format!("{count} API keys")),
        None => Some("an unknown number of API keys, as the list of keys cannot be read,".to_owned()),
    }
}

/// Removes the application's entry that starts it at login. On systems other than Windows this is a file, and is
/// deleted with the other files.
#[cfg(windows)]
async fn forget_start_at_login(context: &Context) -> Result<(), Failure> {
    const RUN: &str = r"HKCU\Software\Microsoft\Windows\CurrentVersion\Run";
    let about = ["/v", "Codex Proxy"];
    if super::service::asked("reg", &["query", RUN, about[0], about[1]], context).await.is_ok() {
        super::service::asked("reg", &["delete", RUN, about[0], about[1], "/f"], context).await?;
    }
    Ok(())
}

#[cfg(not(windows))]
#[expect(clippy::unused_async, reason = "the platforms share one signature")]
async fn forget_start_at_login(_context: &Context) -> Result<(), Failure> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::removal::Place;

    #[test]
    fn all_that_goes_and_stays_is_named() {
        let found = Found {
            places: vec![Place { path: PathBuf::from("/d/proxy.db"), bytes: 2048 }],
            in_keychain: Some(2),
            clients: vec![PathBuf::from("/h/.codex/config.toml")],
            others: vec![PathBuf::from("/d/letter.txt")],
        };
        assert_eq!(
            shown(&found, false, false),
            "To be deleted:\n  /d/proxy.db (2.00 KiB)\n  2 API keys in the system's keychain\n\
             Not the proxy's, or to be kept; stays:\n  /d/letter.txt\n\
             Name the proxy in their settings and stay; start it and take them back under Clients in its window \
             before:\n  /h/.codex/config.toml\n"
        );
        assert!(
            shown(&found, true, false)
                .contains("stays:\n  /d/letter.txt\n  2 API keys in the system's keychain\n")
        );
    }
}
