//! The commands `codex-proxy completions` and `man`: output that is generated from the tree of commands.

use std::fs;
use std::io;
use std::path::Path;

use clap::Command;
use clap_mangen::Man;

use super::client::cannot;
use super::failure::Failure;
use super::output::Output;
use super::tree::{CompletionsArgs, ManArgs, command};

pub(super) fn completions(args: &CompletionsArgs, output: &mut Output) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "codex-proxy", &mut script);
    Ok(output.bytes(&script)?)
}

pub(super) fn man(args: &ManArgs, output: &mut Output) -> Result<(), Failure> {
    let Some(dir) = &args.dir else {
        let page = page(command()).map_err(|error| cannot("make the manual page", &error))?;
        return Ok(output.bytes(&page)?);
    };
    let into = |error: io::Error| cannot(&format!("write the manual pages into {}", dir.display()), &error);
    fs::create_dir_all(dir).map_err(into)?;
    let mut command = command().disable_help_subcommand(true);
    command.build();
    let mut written = 0;
    write_pages(&command, dir, &mut written).map_err(into)?;
    Ok(output.line(&format!("{written} pages are in {}", dir.display()))?)
}

/// Writes the page of a command, then those of its subcommands: `codex-proxy-keys-create.1`.
fn write_pages(command: &Command, dir: &Path, written: &mut usize) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    fs::write(dir.join(format!("{name}.1")), page(command.clone())?)?;
    *written += 1;
    command.get_subcommands().try_for_each(|inner| write_pages(inner, dir, written))
}

fn page(command: Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command).manual("Codex Proxy").render(&mut page)?;
    Ok(page)
}
