//! Builds the fuzz targets with coverage, without a nightly compiler, and runs them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::shell::{Cmd, env};
use crate::workspace::Workspace;

/// What is run, and for how long.
#[derive(Default)]
pub(crate) struct Options {
    /// Seconds for each target.
    pub(crate) time: Option<u32>,
    /// One target, or all of them.
    pub(crate) target: Option<String>,
}

/// Seconds for each target when nobody says.
const TIME: u32 = 60;
/// What libFuzzer is told of the program: which edges are taken, and what is compared.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";

/// Runs the targets one after the other. Inputs that are worth keeping are found in `fuzz/found` of the target
/// directory; the corpus stays as it is.
pub(crate) fn fuzz(workspace: &Workspace, options: &Options) -> Result<()> {
    let dir = workspace.root.join("fuzz");
    let names = names(&dir.join("corpus"))?;
    let wanted: Vec<&String> =
        names.iter().filter(|name| options.target.as_ref().is_none_or(|target| target == *name)).collect();
    if wanted.is_empty() {
        bail!("there is no such target; there are {}", names.join(", "));
    }
    let host = host()?;
    let target_dir = workspace.target.join("fuzz");
    let flags = env("RUSTFLAGS").map(|flags| flags.to_string_lossy().into_owned()).unwrap_or_default();
    let mut build = Cmd::cargo()
        .args(["build", "--release", "--locked", "--target", &host, "--target-dir"])
        .arg(&target_dir)
        .env("RUSTFLAGS", format!("{flags} {COVERAGE}"))
        .dir(&dir);
    if let [name] = wanted[..] {
        build = build.args(["--bin", name]);
    }
    build
        .run()
        .context("the targets cannot be built; libFuzzer needs a C++ compiler (`apt-get install g++`)")?;
    for name in wanted {
        run(&dir, &target_dir, &host, name, options.time.unwrap_or(TIME))?;
    }
    Ok(())
}

fn run(dir: &Path, target_dir: &Path, host: &str, name: &str, time: u32) -> Result<()> {
    let found = target_dir.join("found").join(name);
    let crashes = target_dir.join("crashes").join(name);
    for made in [&found, &crashes] {
        fs::create_dir_all(made).with_context(|| format!("cannot make {}", made.display()))?;
    }
    let binary = target_dir.join(host).join("release").join(name);
    // The first directory is where libFuzzer puts what it finds, the others it only reads.
    Cmd::new(binary)
        .arg(&found)
        .arg(dir.join("corpus").join(name))
        .arg(format!("-artifact_prefix={}/", crashes.display()))
        .arg(format!("-dict={}", dir.join("json.dict").display()))
        .arg(format!("-max_total_time={time}"))
        .args(["-max_len=16384", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"])
        // Logs of refused input would fill the terminal.
        .env("RUST_LOG", "off")
        .run()
        .with_context(|| {
            format!("{name}: the input is in {}; mend it and keep it in fuzz/corpus", crashes.display())
        })
}

/// The targets: each has a corpus.
fn names(corpus: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(corpus).with_context(|| format!("cannot read {}", corpus.display()))?;
    let paths = entries.collect::<std::io::Result<Vec<_>>>()?.into_iter().map(|entry| entry.path());
    let dirs: Vec<PathBuf> = paths.filter(|path| path.is_dir()).collect();
    let mut names: Vec<String> =
        dirs.iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect();
    names.sort_unstable();
    Ok(names)
}

/// The compiler's own triple. Naming it keeps the coverage out of build scripts and macros.
fn host() -> Result<String> {
    let shown = Cmd::new("rustc").arg("-vV").capture()?;
    let host = shown.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not say which system it is for")?.to_owned())
}
