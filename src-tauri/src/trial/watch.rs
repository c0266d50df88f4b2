//! The watcher, a process of the previous version: it starts the new version, and undoes the update if it does not start.
//!
//! The watcher is the kept program, so it runs whatever was installed. It has no window, no tray and no lock.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{ExitCode, ExitStatus, Stdio};

use proxy_core::config::{ProcessEnvironment, Strings as _};
use tokio::process::{Child, Command};
use tokio::time::{Duration, timeout};

use super::{APPIMAGE, BACK, Back, Package, Plan, TRIAL, keep, read, write};
use crate::{display, rehearsal};

/// The argument that starts the kept program as a watcher. The next argument is the folder.
pub(crate) const WATCH: &str = "--watch-update";

/// How long a new version may take until it serves requests.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the watcher checks the new version.
const TICK: Duration = Duration::from_millis(100);
/// How long a version that does not start may take to end.
#[cfg(unix)]
const LAST_MOMENT: Duration = Duration::from_secs(5);

/// What the watcher sees of the new version.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// Whether it is still on trial.
    pub(super) on_trial: bool,
    /// How it has ended, if it has.
    pub(super) ended: Option<String>,
    /// How long the watcher has waited. Time while the machine was asleep does not count.
    pub(super) waited: Duration,
    /// Whether the desktop session of the new version still exists, if it needs one.
    pub(super) session: bool,
}

/// What the watcher does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Wait,
    /// The trial is over: the new version has started, or the watcher cannot find out.
    Leave,
    /// Undo the update, for this reason.
    TakeBack(String),
}

/// Decides about a new version that has `patience` to start.
pub(super) fn judge(seen: &Seen, patience: Duration) -> Verdict {
    if !seen.on_trial {
        return Verdict::Leave;
    }
    let reason = match &seen.ended {
        Some(how) => format!("it ended before it served: {how}"),
        None if seen.waited >= patience => format!("it did not serve within {} seconds", patience.as_secs()),
        None => return Verdict::Wait,
    };
    if seen.session { Verdict::TakeBack(reason) } else { Verdict::Leave }
}

/// Starts a watcher, which continues after the calling process has ended. If no watcher can be started, starts the new
/// version without one.
///
/// # Errors
/// When neither can be started.
pub(crate) fn hand_over(dir: &Path) -> io::Result<()> {
    let watcher = keep::command(keep::program(dir)).arg(WATCH).arg(dir).stdin(Stdio::piped()).spawn();
    match watcher {
        Ok(mut watcher) => {
            // The system closes this pipe when this process ends. The watcher waits for that.
            if let Some(end) = watcher.stdin.take() {
                Box::leak(Box::new(end));
            }
            Ok(())
        }
        Err(error) => {
            tracing::warn!(%error, "nobody can watch the new version start");
            let plan: Option<Plan> = read(&dir.join(TRIAL));
            let plan = plan.ok_or(io::ErrorKind::NotFound)?;
            launch(&plan.program, &plan).spawn().map(drop)
        }
    }
}

/// Waits until the previous version has ended, installs the new version if it is not installed yet, and starts it. Undoes
/// the update if the new version does not start.
pub(crate) fn run(dir: &Path) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.and_then(|runtime| {
        io::copy(&mut io::stdin(), &mut io::sink())?;
        runtime.block_on(watch(dir))
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // This is the only place for the message: the watcher has no log except the application's.
        Err(_) => ExitCode::FAILURE,
    }
}

async fn watch(dir: &Path) -> io::Result<()> {
    let Some(plan) = read::<Plan>(&dir.join(TRIAL)) else { return Ok(()) };
    if let Err(reason) = install(dir, &plan).await {
        return take_back(dir, plan, None, Why { reason, not_installed: true }).await;
    }
    let did_not_start = |reason| Why { reason, not_installed: false };
    let mut child = match Command::from(launch(&plan.program, &plan)).spawn() {
        Ok(child) => child,
        Err(error) => {
            let reason = did_not_start(format!("it cannot be started: {error}"));
            return take_back(dir, plan, None, reason).await;
        }
    };
    let patience = rehearsal::patience().unwrap_or(PATIENCE);
    let mut waited = Duration::ZERO;
    loop {
        let ended = timeout(TICK, child.wait()).await.ok();
        // Time while the machine sleeps does not count.
        waited += TICK;
        let how = |ended: io::Result<ExitStatus>| {
            ended.map_or_else(|error| error.to_string(), |status| status.to_string())
        };
        let session = ended.is_none() && waited < patience || display::answers(&ProcessEnvironment);
        let seen = Seen { on_trial: dir.join(TRIAL).exists(), ended: ended.map(how), waited, session };
        match judge(&seen, patience) {
            Verdict::Wait => {}
            Verdict::Leave => return Ok(()),
            Verdict::TakeBack(reason) => {
                let living = seen.ended.is_none().then_some(child);
                return take_back(dir, plan, living, did_not_start(reason)).await;
            }
        }
    }
}

/// Runs the installer, on systems where the previous version had to end first.
async fn install(dir: &Path, plan: &Plan) -> Result<(), String> {
    let Some(installer) = &plan.installer else { return Ok(()) };
    let file = dir.join(installer);
    let mut run = match plan.package {
        // The same options as the updater: the installers show the progress and ask nothing.
        Package::Msi => {
            let mut run = keep::command("msiexec.exe");
            run.arg("/i").arg(file).args(["/passive", "/promptrestart"]);
            run
        }
        Package::Nsis | Package::Deb | Package::Rpm | Package::File => {
            let mut run = keep::command(file);
            run.args(["/P", "/UPDATE"]);
            run
        }
    };
    run.stdout(Stdio::null()).stderr(Stdio::null());
    let status = Command::from(run).status().await;
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("its installer ended with {status}")),
        Err(error) => Err(format!("its installer cannot be run: {error}")),
    }
}

/// Why an update is undone.
struct Why {
    reason: String,
    not_installed: bool,
}

/// The process that renames the trial file makes the decision, because the new version may start to serve at this moment.
async fn take_back(dir: &Path, plan: Plan, new: Option<Child>, why: Why) -> io::Result<()> {
    let file = dir.join(BACK);
    if fs::rename(dir.join(TRIAL), &file).is_err() {
        return Ok(());
    }
    let Why { reason, not_installed } = why;
    let mut back = Back { plan, reason, not_installed, not_put_back: None };
    // If this cannot be written, the notice still appears, with fewer details.
    let written = write(&file, &back);
    if let Some(new) = new
        && let Err(error) = end(new).await
    {
        back.reason.push_str(&format!("; it could not be ended: {error}"));
    }
    back.not_put_back = keep::put_back(dir, &back.plan).await.err();
    let program = if back.not_put_back.is_some() { keep::program(dir) } else { back.plan.program.clone() };
    let written = written.and_then(|()| write(&file, &back));
    let back = &back.plan;
    launch(&program, back).spawn().or_else(|_| launch(&keep::program(dir), back).spawn())?;
    written
}

/// Ends a version that hangs. It first asks the process to end, because it may be busy, and then kills it.
async fn end(mut new: Child) -> io::Result<()> {
    #[cfg(unix)]
    if let Some(pid) = new.id().and_then(|pid| rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)) {
        let asked = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        if asked.is_ok() && timeout(LAST_MOMENT, new.wait()).await.is_ok() {
            return Ok(());
        }
    }
    new.kill().await
}

/// The command that starts the application in the same way as before.
fn launch(program: &Path, plan: &Plan) -> std::process::Command {
    let mut launch = keep::command(program);
    launch.args(&plan.arguments);
    if ProcessEnvironment.get(APPIMAGE).is_some() {
        // An AppImage sets this variable itself, but this code does not depend on that.
        launch.env(APPIMAGE, program);
    }
    launch
}
