//! The task runner behind `cargo xtask`, for developers, CI and releases.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a task runner talks to the terminal")]

mod assemble;
mod bench;
mod chaos;
mod cross;
mod dist;
mod docs;
mod fuzz;
mod registry;
mod release;
mod run;
mod sbom;
mod setup;
mod shell;
mod snapshot;
mod test;
mod tidy;
mod verify;
mod window;
mod workflows;
mod workspace;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use lexopt::prelude::*;

use crate::cross::{System, Task};
use crate::workspace::Workspace;

const HELP: &str = "\
Usage: cargo xtask <command>

Commands:
  setup [--check]                check for what building and testing need, and install what is missing
                                 (--check: only report)
  run [--tray | --demo] [--release] [-- ARGS...]
                                 build and start codex-proxy on the pinned Codex; ARGS go to codex-proxy
                                 (--demo: on a fake Codex and a throw-away data directory, so that neither
                                 an account nor a network is needed; --tray: the tray application)
  test [--fast]                  what CI runs on this system (--fast: without docs, dependency checks and the tests
                                 that start the real Codex or the SDKs)
  tidy                           the rules of the house that no compiler checks
  docs [--book]                  writes the pages of docs/ that are made of the program, and builds the book of all
                                 (--book: only builds it)
  types                          writes the window's types of the control API, ui/src/api.generated.ts
  bench [ARGS...]                what the proxy costs, measured on a release build (`bench --help`)
  dist [--target linux|windows|macos] [--debug] [--updates ENDPOINT --update-key FILE]
       [--tarball] [--appimage-runtime FILE] [--no-build] [--into DIR]
                                 packs what people install, for this system unless another is named (--updates:
                                 that looks there for newer versions, which FILE, a public key, has to prove;
                                 --tarball: also the command line alone, for any Linux; --appimage-runtime: also an
                                 AppImage, with this program before it; --no-build: what was built before)
  dist --manifests --version VERSION --assets DIR
                                 what package managers want to know of a version that was packed
  release VERSION [--commit]     sets the version everywhere and in the changelog (--commit: commits and tags it)
  snapshot [--dry-run] [--keep N --prune]
                                 bundles HEAD in releases/: source, locks and checksums (--dry-run: only says so;
                                 --prune: removes all bundles but the newest N, 3 unless it is given)
  sbom DIR                       lists there what the programs are made of
  assemble DIR [--changelog FILE]
                                 completes a release: DIR has the packages of every system
  verify-release DIR [--version VERSION] [--update-key FILE] [--install]
                                 whether a release is whole, and starts on this system (--install: it is installed,
                                 which needs a machine to throw away)
  cross windows|macos [check|test|build|start|update]
                                 the other systems, as far as Debian can tell: type checks, and for Windows
                                 tests under Wine (start: the programs themselves)
  chaos [ARGS...]                kills workers and the proxy at random points of streams, a thousand times over;
                                 with --load instead: many clients and streams at once; with --edge NAME: streams
                                 through a reverse proxy for ten minutes (`chaos --help`)
  fuzz [--time SECONDS] [TARGET] 50,000 mutated requests to the proxy (target `requests`), and what else comes from
                                 others, mutated by libFuzzer, for so long a target (60 s)
";

enum Command {
    Help,
    Setup { check: bool },
    Run(run::Options),
    Test { fast: bool },
    Tidy,
    Docs { book_only: bool },
    Types,
    Dist(DistArguments),
    Release(Option<String>, bool),
    Snapshot(snapshot::Options),
    Assemble(Option<PathBuf>, Option<PathBuf>),
    Sbom(Option<PathBuf>),
    Verify(verify::Options),
    Cross(Option<System>, Task),
    Bench { args: Vec<OsString> },
    Chaos { args: Vec<OsString> },
    Fuzz(fuzz::Options),
}

#[derive(Default)]
struct DistArguments {
    target: dist::Target,
    debug: bool,
    tarball: bool,
    appimage_runtime: Option<PathBuf>,
    no_build: bool,
    into: Option<PathBuf>,
    updates: Option<String>,
    update_key: Option<PathBuf>,
    manifests: bool,
    version: Option<String>,
    assets: Option<PathBuf>,
}

fn main() -> ExitCode {
    match parse(lexopt::Parser::from_env()).and_then(execute) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command) -> Result<ExitCode> {
    match command {
        Command::Help => print!("{HELP}"),
        Command::Setup { check } => setup::everything(&Workspace::locate()?, check)?,
        Command::Run(options) => return run::run(&Workspace::locate()?, &options),
        Command::Test { fast } => test::test(&Workspace::locate()?, fast)?,
        Command::Tidy => tidy::tidy(&Workspace::locate()?)?,
        Command::Docs { book_only } => {
            let workspace = Workspace::locate()?;
            setup::for_docs(!book_only)?;
            if !book_only {
                docs::write(&workspace)?;
            }
            docs::build(&workspace)?;
        }
        Command::Types => {
            setup::for_types()?;
            docs::write_types(&Workspace::locate()?)?;
        }
        Command::Dist(DistArguments { manifests: true, version, assets, .. }) => {
            let version = version.context("`dist --manifests` needs a --version")?;
            let assets = assets.context("`dist --manifests` needs --assets: the folder with the packages")?;
            dist::manifests::write(&Workspace::locate()?, &version, &assets)?;
        }
        Command::Release(version, commit) => {
            let version = version.context("`cargo xtask release` needs a version")?;
            release::release(&Workspace::locate()?, &release::Options { version, commit })?;
        }
        Command::Snapshot(options) => snapshot::snapshot(&Workspace::locate()?, &options)?,
        Command::Assemble(folder, changelog) => {
            let folder = folder.context("`cargo xtask assemble` needs the folder with the packages")?;
            let usual = || anyhow::Ok(Workspace::locate()?.root.join("CHANGELOG.md"));
            assemble::assemble(&folder, &changelog.map_or_else(usual, Ok)?)?;
        }
        Command::Sbom(folder) => {
            sbom::sbom(&Workspace::locate()?, &folder.context("`cargo xtask sbom` needs a folder")?)?;
        }
        Command::Verify(options) => verify::verify(&options)?,
        Command::Dist(arguments) => dist::dist(&Workspace::locate()?, &dist_options(arguments)?)?,
        Command::Cross(system, task) => {
            let system = system.context("`cargo xtask cross` needs a system: windows or macos")?;
            cross::cross(&Workspace::locate()?, system, task)?;
        }
        Command::Bench { args } => bench::bench(&Workspace::locate()?, args)?,
        Command::Chaos { args } => chaos::chaos(&Workspace::locate()?, args)?,
        Command::Fuzz(options) => fuzz::fuzz(&Workspace::locate()?, &options)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn parse(mut parser: lexopt::Parser) -> Result<Command> {
    let name = match parser.next()? {
        Some(Value(name)) => name.string()?,
        None | Some(Short('h') | Long("help")) => return Ok(Command::Help),
        Some(other) => return Err(other.unexpected().into()),
    };
    let mut command = match name.as_str() {
        "help" => return Ok(Command::Help),
        "setup" => Command::Setup { check: false },
        "run" => Command::Run(run::Options::default()),
        "test" => Command::Test { fast: false },
        "tidy" => Command::Tidy,
        "docs" => Command::Docs { book_only: false },
        "types" => Command::Types,
        "dist" => Command::Dist(DistArguments::default()),
        "release" => Command::Release(None, false),
        "snapshot" => Command::Snapshot(snapshot::Options::default()),
        "assemble" => Command::Assemble(None, None),
        "sbom" => Command::Sbom(None),
        "verify-release" => Command::Verify(verify::Options::default()),
        "cross" => Command::Cross(None, Task::Check),
        "fuzz" => Command::Fuzz(fuzz::Options::default()),
        "bench" => return Ok(Command::Bench { args: parser.raw_args()?.collect() }),
        "chaos" => return Ok(Command::Chaos { args: parser.raw_args()?.collect() }),
        other => bail!("there is no command `{other}`; `cargo xtask help` lists them"),
    };
    while let Some(argument) = parser.next()? {
        match (&mut command, argument) {
            (_, Short('h') | Long("help")) => return Ok(Command::Help),
            (Command::Setup { check }, Long("check")) => *check = true,
            (Command::Test { fast }, Long("fast")) => *fast = true,
            (Command::Docs { book_only }, Long("book")) => *book_only = true,
            (Command::Run(options), Long("demo")) => options.demo = true,
            (Command::Run(options), Long("tray")) => options.tray = true,
            (Command::Run(options), Long("release")) => options.release = true,
            (Command::Dist(arguments), Long("target")) => {
                arguments.target = parser.value()?.parse_with(|name| match name {
                    "linux" => Ok(dist::Target::Linux),
                    "windows" => Ok(dist::Target::Windows),
                    "macos" => Ok(dist::Target::Macos),
                    _ => Err("linux, windows or macos"),
                })?;
            }
            (Command::Dist(arguments), Long("debug")) => arguments.debug = true,
            (Command::Dist(arguments), Long("tarball")) => arguments.tarball = true,
            (Command::Dist(arguments), Long("no-build")) => arguments.no_build = true,
            (Command::Dist(arguments), Long("into")) => arguments.into = Some(parser.value()?.into()),
            (Command::Dist(arguments), Long("appimage-runtime")) => {
                arguments.appimage_runtime = Some(parser.value()?.into());
            }
            (Command::Dist(arguments), Long("updates")) => {
                arguments.updates = Some(parser.value()?.string()?);
            }
            (Command::Dist(arguments), Long("update-key")) => {
                arguments.update_key = Some(parser.value()?.into());
            }
            (Command::Dist(arguments), Long("manifests")) => arguments.manifests = true,
            (Command::Dist(arguments), Long("version")) => {
                arguments.version = Some(parser.value()?.string()?);
            }
            (Command::Dist(arguments), Long("assets")) => arguments.assets = Some(parser.value()?.into()),
            (Command::Snapshot(options), Long("dry-run")) => options.dry_run = true,
            (Command::Snapshot(options), Long("prune")) => options.prune = true,
            (Command::Snapshot(options), Long("keep")) => options.keep = parser.value()?.parse()?,
            (Command::Release(_, commit), Long("commit")) => *commit = true,
            (Command::Release(version @ None, _), Value(name)) => *version = Some(name.string()?),
            (Command::Assemble(folder @ None, _) | Command::Sbom(folder @ None), Value(name)) => {
                *folder = Some(name.into());
            }
            (Command::Assemble(_, changelog), Long("changelog")) => *changelog = Some(parser.value()?.into()),
            (Command::Verify(options), Long("version")) => {
                options.version = Some(parser.value()?.string()?);
            }
            (Command::Verify(options), Long("update-key")) => options.key = Some(parser.value()?.into()),
            (Command::Verify(options), Long("install")) => options.install = true,
            (Command::Verify(options), Value(name)) if options.folder.as_os_str().is_empty() => {
                options.folder = name.into();
            }
            (Command::Cross(system @ None, _), Value(name)) => {
                *system = Some(name.parse_with(|name| match name {
                    "windows" => Ok(System::Windows),
                    "macos" => Ok(System::Macos),
                    _ => Err("windows or macos"),
                })?);
            }
            (Command::Cross(_, task), Value(name)) => {
                *task = name.parse_with(|name| match name {
                    "check" => Ok(Task::Check),
                    "test" => Ok(Task::Test),
                    "build" => Ok(Task::Build),
                    "start" => Ok(Task::Start),
                    "update" => Ok(Task::Update),
                    _ => Err("check, test, build, start or update"),
                })?;
            }
            (Command::Fuzz(options), Long("time")) => options.time = Some(parser.value()?.parse()?),
            (Command::Fuzz(options @ fuzz::Options { target: None, .. }), Value(name)) => {
                options.target = Some(name.string()?);
            }
            (Command::Run(options), Value(first)) => {
                options.args.push(first);
                options.args.extend(parser.raw_args()?);
            }
            (_, other) => return Err(other.unexpected().into()),
        }
    }
    Ok(command)
}

fn dist_options(arguments: DistArguments) -> Result<dist::Options> {
    let channel = match (arguments.updates, arguments.update_key) {
        (None, None) => None,
        (Some(endpoint), Some(file)) => {
            let public_key = std::fs::read_to_string(&file)
                .with_context(|| format!("cannot read the public key {}", file.display()))?;
            Some(dist::Channel { endpoint, public_key: public_key.trim().to_owned() })
        }
        _ => bail!("--updates and --update-key belong together"),
    };
    Ok(dist::Options {
        target: arguments.target,
        debug: arguments.debug,
        tarball: arguments.tarball,
        appimage_runtime: arguments.appimage_runtime,
        no_build: arguments.no_build,
        into: arguments.into,
        channel,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Command> {
        parse(lexopt::Parser::from_args(args))
    }

    #[test]
    fn arguments_after_the_dashes_reach_the_proxy_untouched() {
        let Ok(Command::Run(options)) = parsed(&["run", "--demo", "--", "--port", "0", "--demo"]) else {
            panic!("`run` was not parsed");
        };
        assert!(options.demo);
        assert_eq!(options.args, ["--port", "0", "--demo"]);
    }

    #[test]
    fn a_fuzz_target_and_its_time_may_be_named() {
        let Ok(Command::Fuzz(options)) = parsed(&["fuzz", "npmrc", "--time", "5"]) else {
            panic!("`fuzz` was not parsed");
        };
        assert_eq!((options.target.as_deref(), options.time), (Some("npmrc"), Some(5)));
        assert!(parsed(&["fuzz", "npmrc", "archive"]).is_err());
    }

    #[test]
    fn an_option_of_another_command_is_refused() {
        assert!(parsed(&["setup", "--demo"]).is_err());
        assert!(parsed(&["tidy", "--check"]).is_err());
        assert!(parsed(&["run", "--book"]).is_err());
        assert!(matches!(parsed(&["docs", "--book"]), Ok(Command::Docs { book_only: true })));
        assert!(matches!(parsed(&["types"]), Ok(Command::Types)));
        assert!(parsed(&["deploy"]).is_err());
    }
}
