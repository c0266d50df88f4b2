//! The page of commands, generated from the command tree.

use clap::{Arg, Command};

const INTRO: &str = "`codex-proxy` without a command runs the proxy. Most other commands talk to the running proxy. They find \
                     it through the data directory. With `--json`, a command prints the answer of the control API, for use \
                     in programs.\n\n\
                     | exit code | |\n|---|---|\n| 0 | done |\n| 1 | failed |\n| 64 | wrong usage or settings |\n| 69 | the \
                     proxy is not running |\n";

pub(super) fn page() -> String {
    let mut root = crate::cli::command().disable_help_subcommand(true);
    root.build();
    let settings = "## Flags of every command\n\nA flag overrides the environment and the file.\n\n"
        .to_owned()
        + &table(root.get_arguments().filter(|argument| argument.is_global_set()));
    let mut page = super::page("Commands", INTRO) + "\n" + &settings;
    for command in root.get_subcommands() {
        add(command, "codex-proxy", &mut page);
    }
    page
}

/// Adds the section of a command, then the sections of its subcommands.
fn add(command: &Command, above: &str, page: &mut String) {
    if command.is_hide_set() {
        return;
    }
    let name = format!("{above} {}", command.get_name());
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    page.push_str(&format!("\n## `{name}`\n\n{about}.\n"));
    let own = command.get_arguments().filter(|argument| !is_common(argument));
    let rows = table(own);
    if !rows.is_empty() {
        page.push_str(&format!("\n{rows}"));
    }
    for inner in command.get_subcommands() {
        add(inner, &name, page);
    }
}

/// Whether all commands have this argument, or all commands that can print JSON.
fn is_common(argument: &Arg) -> bool {
    argument.get_help_heading().is_some() || matches!(argument.get_id().as_str(), "help" | "version" | "json")
}

fn table<'a>(arguments: impl Iterator<Item = &'a Arg>) -> String {
    let rows: Vec<String> = arguments
        .map(|argument| {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            let values: Vec<String> = argument
                .get_possible_values()
                .iter()
                .filter(|value| !argument.is_positional() && !value.is_hide_set())
                .map(|value| format!("`{}`", value.get_name()))
                .collect();
            let values = match (values.is_empty(), argument.get_action().takes_values()) {
                (false, true) => format!(" ({})", values.join(", ")),
                _ => String::new(),
            };
            let default: Vec<_> =
                argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
            let default = match (default.is_empty(), argument.get_action().takes_values()) {
                (false, true) => format!(". Default: `{}`", default.join(" ")),
                _ => String::new(),
            };
            format!("| `{}` | {}{values}{default} |\n", shown(argument), help.replace('|', "\\|"))
        })
        .collect();
    if rows.is_empty() { String::new() } else { format!("| | |\n|---|---|\n{}", rows.concat()) }
}

/// The argument as it is written: `--start TIME`, `-n, --lines COUNT`, `[VERSION]`.
fn shown(argument: &Arg) -> String {
    let value: Vec<_> = argument.get_value_names().into_iter().flatten().map(|name| name.as_str()).collect();
    let value = value.join(" ");
    if argument.is_positional() {
        return if argument.is_required_set() { value } else { format!("[{value}]") };
    }
    let short = argument.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
    let long = argument.get_long().map(|long| format!("--{long}")).unwrap_or_default();
    let may_be_empty = argument.get_num_args().is_some_and(|count| count.min_values() == 0);
    match (argument.get_action().takes_values(), may_be_empty) {
        (false, _) => format!("{short}{long}"),
        (true, true) => format!("{short}{long} [{value}]"),
        (true, false) => format!("{short}{long} {value}"),
    }
}
