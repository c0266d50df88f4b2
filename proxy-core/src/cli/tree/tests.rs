use std::path::Path;

use clap::FromArgMatches as _;

use super::*;

fn parse(line: &str) -> Result<(Verb, Flags), clap::Error> {
    let arguments = std::iter::once("codex-proxy").chain(line.split_whitespace());
    let matches = command().try_get_matches_from(arguments)?;
    let verb = Line::from_arg_matches(&matches)?.verb.unwrap_or(Verb::Run);
    Ok((verb, settings(&matches)))
}

fn json(verb: &Verb) -> bool {
    match verb {
        Verb::Status(args) => args.json.json,
        Verb::Login(args) => args.json.json,
        Verb::Keys(args) => args.json.json,
        Verb::Codex(args) => args.json.json,
        Verb::Workers(args) => args.json.json,
        Verb::Usage(args) => args.json.json,
        Verb::Store(args) => args.json.json,
        Verb::Logs(args) => args.json.json,
        Verb::Logout(args) | Verb::Prove(args) | Verb::Quit(args) | Verb::Doctor(args) => args.json,
        Verb::Window(args) => args.json.json,
        Verb::Config(args) => args.json.json,
        Verb::Smoke(args) => args.who.json.json,
        Verb::LiveTest(args) => args.who.json.json,
        Verb::Backup(args) => args.json.json,
        Verb::Restore(args) => args.json.json,
        Verb::Service(args) => args.json.json,
        Verb::UninstallData(args) => args.json.json,
        Verb::Run | Verb::Completions(_) | Verb::Man(_) => false,
        #[cfg(windows)]
        Verb::Path(_) => false,
    }
}

#[test]
fn the_tree_is_sound() {
    command().debug_assert();
}

/// Settings are taken behind every command, so no command may have an argument of the same name.
#[test]
fn no_argument_has_the_name_of_a_setting() {
    fn look(command: &Command, path: &str) {
        let mut names = command.get_arguments().filter(|argument| !argument.is_global_set());
        let taken = names.find(|argument| flags().any(|(_, flag)| Some(flag) == argument.get_long()));
        assert!(taken.is_none(), "{path}: {taken:?}");
        command.get_subcommands().for_each(|inner| look(inner, &format!("{path} {}", inner.get_name())));
    }
    look(&Line::command(), "codex-proxy");
}

#[test]
fn every_command_and_argument_says_what_it_is() {
    fn look(command: &Command, path: &str) {
        assert!(command.get_about().is_some(), "{path} says nothing");
        for argument in command.get_arguments() {
            let id = argument.get_id();
            assert!(argument.get_help().is_some(), "{path}: {id} says nothing");
        }
        for inner in command.get_subcommands() {
            look(inner, &format!("{path} {}", inner.get_name()));
        }
    }
    let mut command = command();
    command.build();
    look(&command, "codex-proxy");
}

#[test]
fn settings_are_taken_before_and_behind_a_command() {
    for line in
        ["--port 1 --data-dir /d", "--port 1 keys --data-dir /d list", "keys list --port 1 --data-dir /d"]
    {
        let (_, flags) = parse(line).unwrap();
        assert_eq!(flags.get("port"), Some(&OsString::from("1")), "{line}");
        assert_eq!(flags.get("data-dir"), Some(&OsString::from("/d")), "{line}");
    }
}

#[test]
fn json_is_taken_at_every_level() {
    for line in
        ["status --json", "keys --json list", "keys list --json", "codex install --json", "workers --json"]
    {
        assert!(json(&parse(line).unwrap().0), "{line}");
    }
    assert!(!json(&parse("keys list").unwrap().0));
    assert!(parse("run --json").is_err());
}

#[test]
fn ways_to_sign_in_exclude_each_other() {
    for line in
        ["login --device-code --api-key", "login --import --cancel", "login --no-browser --device-code"]
    {
        assert!(parse(line).is_err(), "{line}");
    }
    // A key on the command line would be in the shell's history and in the list of processes.
    assert!(parse("login --api-key sk-123").is_err());
    let (verb, _) = parse("login --import").unwrap();
    assert!(matches!(verb, Verb::Login(LoginArgs { import: Some(None), .. })), "{verb:?}");
}

#[test]
fn no_command_runs_the_proxy() {
    assert!(matches!(parse("").unwrap().0, Verb::Run));
}

/// What stands between backticks is run by whoever reads it.
#[test]
fn every_command_that_a_text_names_exists() {
    fn look(place: &Path, lines: &mut Vec<String>) {
        if place.is_dir() {
            for entry in std::fs::read_dir(place).unwrap() {
                look(&entry.unwrap().path(), lines);
            }
            return;
        }
        // Words may be anywhere, in a page and in a package's script too.
        let Ok(text) = std::fs::read_to_string(place) else { return };
        let named = text.split('`').filter_map(|part| part.strip_prefix("codex-proxy "));
        lines.extend(named.filter(|line| !line.contains('\n')).map(str::to_owned));
    }
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut lines = Vec::new();
    for place in
        ["proxy-core/src", "src-tauri/src", "ui/src", "installers", "docs", "README.md", "CHANGELOG.md"]
    {
        look(&top.join(place), &mut lines);
    }
    assert!(lines.len() > 50, "{lines:?}");
    for line in lines {
        // A name that is filled in, and what a shell does with the rest.
        let command = line.split(['<', '|', '>']).next().unwrap_or_default().replace(['{', '}'], "");
        // One that is only named may do without what it needs to be run.
        let runs = parse(&command).err().is_none_or(|error| {
            use clap::error::ErrorKind::{DisplayHelp, DisplayVersion, MissingRequiredArgument};
            matches!(error.kind(), DisplayHelp | DisplayVersion | MissingRequiredArgument)
        });
        assert!(runs, "a text says to run: codex-proxy {line}");
    }
}

#[test]
fn words_are_checked() {
    for line in [
        "usage --group week",
        "keys migrate --to cloud",
        "workers restart one",
        "logs -n many",
        "keys create",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}
