//! Builds and starts `codex-proxy` with the pinned Codex, and prints how to use it.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ExitCode, ExitStatus};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use crate::dist::Target;
use crate::setup;
use crate::shell::{Cmd, env, quoted};
use crate::window;
use crate::workspace::Workspace;

/// The start of the line in which the proxy prints its base URL.
pub(crate) const LISTENING: &str = "listening on ";
/// The proxy's default port, as in its configuration.
const PORT: u16 = 11_435;

/// The options of `cargo xtask run`.
#[derive(Default)]
pub(crate) struct Options {
    /// Use the fake Codex and a temporary data directory.
    pub(crate) demo: bool,
    /// Run the tray application instead of the headless proxy.
    pub(crate) tray: bool,
    /// Build with the release profile.
    pub(crate) release: bool,
    /// Arguments of `codex-proxy`.
    pub(crate) args: Vec<OsString>,
}

/// Runs until the proxy ends, and returns its exit code.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    if options.tray {
        return tray(workspace, options);
    }
    let bring_codex = !options.demo && env("CODEX_BIN").is_none();
    let codex = setup::for_run(workspace, bring_codex)?;
    window::build(workspace)?;
    build(workspace, options)?;

    let demo_dir = if options.demo { Some(demo_dir()?) } else { None };
    let proxy = workspace.binary("codex-proxy", options.release);
    let command = || {
        let mut cmd = Cmd::new(&proxy).args(&options.args);
        if let Some(codex) = &codex {
            cmd = cmd.env("CODEX_BIN", codex);
        }
        if let Some(dir) = &demo_dir {
            cmd = cmd.env("CODEX_BIN", workspace.binary("fake-codex", options.release));
            cmd = cmd.env("PROXY_DATA_DIR", dir.path()).env_remove("PROXY_API_KEY").env_remove("CODEX_HOME");
            // A key of a demo in the keychain would remain after its directory is gone.
            cmd = cmd.env("PROXY_KEYCHAIN", "off");
            if env("PORT").is_none() && TcpListener::bind(("127.0.0.1", PORT)).is_err() {
                println!("port {PORT} is in use: the demo takes a free one");
                cmd = cmd.env("PORT", "0");
            }
        }
        cmd
    };

    let config = command().args(["config", "--json"]).capture()?;
    let config: Value =
        serde_json::from_str(&config).context("`codex-proxy config --json` printed no JSON")?;
    let hint = Hint::new(&config, &proxy, options.demo)?;

    let mut child = command().spawn_piped()?;
    let status = supervise(&mut child, &hint)?;
    Ok(exit_code(status))
}

/// The application installs Codex itself when the user asks for it, and shows the next steps itself.
fn tray(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    if options.demo {
        bail!("--tray and --demo do not go together");
    }
    setup::for_dist(Target::default())?;
    window::build(workspace)?;
    let mut cmd = Cmd::cargo().args(["build", "--locked", "--package", "codex-proxy-app"]);
    if options.release {
        cmd = cmd.args(["--release", "--features", "codex-proxy-app/custom-protocol"]);
    }
    cmd.dir(&workspace.root).run()?;
    let mut child =
        Cmd::new(workspace.binary("codex-proxy-app", options.release)).args(&options.args).spawn_piped()?;
    let signals = forward_signals(child.id())?;
    let stdout = child.stdout.take().context("the application's standard output is not piped")?;
    std::io::copy(&mut BufReader::new(stdout), &mut std::io::stdout())?;
    let status = child.wait().context("cannot wait for the application")?;
    drop(signals);
    Ok(exit_code(status))
}

/// The default is the debug profile. On a new machine it builds minutes faster, and its extra time per request is much
/// less than the model's.
fn build(workspace: &Workspace, options: &Options) -> Result<()> {
    let mut cmd = Cmd::cargo().args(["build", "--locked", "--bin", "codex-proxy", "--package", "proxy-core"]);
    if options.demo {
        cmd = cmd.args(["--bin", "fake-codex", "--package", "e2e"]);
    }
    if options.release {
        cmd = cmd.arg("--release");
    } else {
        println!("run: building with the debug profile, which is ready sooner (--release: the fast one)");
    }
    cmd.dir(&workspace.root).run()
}

fn demo_dir() -> Result<TempDir> {
    let dir = tempfile::Builder::new().prefix("codex-proxy-demo-").tempdir();
    dir.context("cannot create a temporary data directory")
}

/// Shows the output of the proxy and, when it listens, how to use it. Forwards Ctrl-C and SIGTERM to it, and returns when
/// it has ended.
fn supervise(child: &mut Child, hint: &Hint) -> Result<ExitStatus> {
    let signals = forward_signals(child.id())?;
    let stdout = child.stdout.take().context("the proxy's standard output is not piped")?;
    for line in BufReader::new(stdout).lines() {
        let line = line.context("cannot read what the proxy prints")?;
        println!("{line}");
        if let Some(base) = line.split_once(LISTENING).map(|(_, base)| base.trim()) {
            println!("{}", hint.text(base));
        }
        std::io::stdout().flush()?;
    }
    let status = child.wait().context("cannot wait for the proxy")?;
    drop(signals);
    Ok(status)
}

/// Stops forwarding signals when it is dropped.
#[cfg(unix)]
struct Forwarding(signal_hook::iterator::Handle);

#[cfg(unix)]
impl Drop for Forwarding {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The child has its own process group, so that Ctrl-C reaches it only once, through us.
#[cfg(unix)]
fn forward_signals(pid: u32) -> Result<Forwarding> {
    use rustix::process::{Pid, Signal, kill_process};
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("the proxy has no process id")?;
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let handle = signals.handle();
    std::thread::spawn(move || {
        for number in signals.forever() {
            let signal = if number == SIGINT { Signal::INT } else { Signal::TERM };
            if let Err(error) = kill_process(pid, signal) {
                eprintln!("could not pass the signal on to the proxy: {error}");
            }
        }
    });
    Ok(Forwarding(handle))
}

/// On Windows Ctrl-C reaches every process of the console by itself.
#[cfg(not(unix))]
fn forward_signals(_pid: u32) -> Result<()> {
    Ok(())
}

fn exit_code(status: ExitStatus) -> ExitCode {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return ExitCode::from(u8::try_from(128 + signal).unwrap_or(u8::MAX));
    }
    status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// The text for the user when the base URL is known.
struct Hint {
    key: String,
    sign_in: Option<String>,
}

impl Hint {
    /// `proxy` is the program that prints the key and signs in. A demo needs no sign-in.
    fn new(config: &Value, proxy: &Path, demo: bool) -> Result<Self> {
        let setting = |name: &str| {
            let mut rows = config.as_array().into_iter().flatten();
            let value = rows.find(|row| row["name"] == name).and_then(|row| row["value"].as_str());
            value.with_context(|| format!("`codex-proxy config --json` has no {name}"))
        };
        // The key itself is never printed: the shell asks for it when the line is run.
        let key = if setting("PROXY_API_KEY")? == "unset" {
            let (proxy, data_dir) = (proxy.to_string_lossy(), setting("PROXY_DATA_DIR")?);
            format!("$({} keys show default --data-dir {})", quoted(&proxy), quoted(data_dir))
        } else {
            "$PROXY_API_KEY".to_owned()
        };
        let sign_in = (!demo).then(|| {
            let (proxy, data_dir) = (proxy.to_string_lossy(), setting("PROXY_DATA_DIR")?);
            anyhow::Ok(format!("{} login --data-dir {}", quoted(&proxy), quoted(data_dir)))
        });
        Ok(Self { key, sign_in: sign_in.transpose()? })
    }

    fn text(&self, base: &str) -> String {
        let mut text = format!(
            "\nTry it:\n\n  curl -N {base}/responses -H \"Authorization: Bearer {}\" \
             -H 'Content-Type: application/json' \
             -d '{{\"model\":\"codex-5\",\"input\":\"Say hello.\",\"stream\":true}}'\n",
            self.key
        );
        if let Some(sign_in) = &self.sign_in {
            text.push_str(&format!("\nNot signed in yet?\n\n  {sign_in}\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(data_dir: &str, key: &str) -> Value {
        let row =
            |name: &str, value: &str| json!({"name": name, "value": value, "source": {"kind": "default"}});
        json!([row("PROXY_DATA_DIR", data_dir), row("PROXY_API_KEY", key),])
    }

    #[test]
    fn the_line_asks_the_proxy_for_the_key() {
        let hint =
            Hint::new(&config("/var/lib/my proxy", "unset"), Path::new("/bin/codex-proxy"), true).unwrap();
        let text = hint.text("http://127.0.0.1:4711/v1");
        assert!(text.contains("curl -N http://127.0.0.1:4711/v1/responses "), "{text}");
        assert!(
            text.contains("Bearer $(/bin/codex-proxy keys show default --data-dir '/var/lib/my proxy')\""),
            "{text}"
        );
        assert!(!text.contains("login"), "{text}");
    }

    #[test]
    fn a_key_from_the_environment_is_named_and_not_shown() {
        let hint = Hint::new(&config("/d", "set"), Path::new("/bin/codex-proxy"), false).unwrap();
        let text = hint.text("http://[::1]:1/v1");
        assert!(text.contains("Bearer $PROXY_API_KEY\""), "{text}");
        assert!(text.contains("/bin/codex-proxy login --data-dir /d\n"), "{text}");
    }
}
