//! Mutated requests to the built proxy, and the fuzz targets: built with coverage, without a nightly compiler.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::shell::{Cmd, env};
use crate::workspace::Workspace;

/// The options: what to run, and for how long.
#[derive(Default)]
pub(crate) struct Options {
    /// Seconds for each target.
    pub(crate) time: Option<u32>,
    /// One target, or `requests`, or all of them.
    pub(crate) target: Option<String>,
}

/// The default number of seconds for each target.
const TIME: u32 = 60;
/// The compiler flags for libFuzzer: coverage of edges and of comparisons.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";

/// The target without a fuzzer: requests to the built proxy.
const REQUESTS: &str = "requests";

/// Runs the targets one after the other. New useful inputs are in `fuzz/found` of the target directory. The corpus is not
/// changed.
pub(crate) fn fuzz(workspace: &Workspace, options: &Options) -> Result<()> {
    if options.target.as_deref().is_none_or(|target| target == REQUESTS) {
        requests(workspace)?;
    }
    if options.target.as_deref() == Some(REQUESTS) {
        return Ok(());
    }
    let dir = workspace.root.join("fuzz");
    let names = names(&dir.join("corpus"))?;
    let wanted: Vec<&String> =
        names.iter().filter(|name| options.target.as_ref().is_none_or(|target| target == *name)).collect();
    if wanted.is_empty() {
        bail!("there is no such target; there are {REQUESTS}, {}", names.join(", "));
    }
    let host = host()?;
    // The fuzzed program uses the same library versions as the released one. Cargo adds those of the fuzzer.
    fs::copy(workspace.root.join("Cargo.lock"), dir.join("Cargo.lock")).context("cannot copy Cargo.lock")?;
    let target_dir = workspace.target.join("fuzz");
    let flags = env("RUSTFLAGS").map(|flags| flags.to_string_lossy().into_owned()).unwrap_or_default();
    let mut build = Cmd::cargo()
        .args(["build", "--release", "--target", &host, "--target-dir"])
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

/// The test of mutated requests, with more requests.
fn requests(workspace: &Workspace) -> Result<()> {
    let cargo = || Cmd::cargo().dir(&workspace.root);
    let packages = ["--locked", "-p", "proxy-core", "-p", "e2e"];
    cargo().arg("build").args(packages).args(["--bins", "--tests"]).run()?;
    cargo()
        .args(["nextest", "run"])
        .args(packages)
        .args(["--no-capture", "-E", "test(/^mutations/)"])
        .env("CODEX_PROXY_TEST_MUTATIONS", "50000")
        .run()
}

fn run(dir: &Path, target_dir: &Path, host: &str, name: &str, time: u32) -> Result<()> {
    let found = target_dir.join("found").join(name);
    let crashes = target_dir.join("crashes").join(name);
    for made in [&found, &crashes] {
        fs::create_dir_all(made).with_context(|| format!("cannot make {}", made.display()))?;
    }
    let binary = target_dir.join(host).join("release").join(name);
    // libFuzzer writes new inputs to the first directory. It only reads the others.
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
