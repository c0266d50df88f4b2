//! `codex-proxy service` on Linux, with a fake `systemctl`, and with a real systemd user instance in a separate mount
//! namespace. Also `codex-proxy uninstall-data`, which must remove both.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use e2e::harness::proxy_path;
use e2e::secret_service::Session;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::{self, Outcome};
use crate::keys::Keys;

const UNIT: &str = ".config/systemd/user/codex-proxy.service";

/// A home directory with a fake `systemctl` that records its calls and keeps the state of the unit.
struct Home {
    dir: TempDir,
    path: String,
}

impl Home {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let programs = dir.path().join("programs");
        fs::create_dir(&programs).unwrap();
        let script = format!(
            "#!/bin/sh\necho \"$@\" >> '{0}/asked'\ncase \"$*\" in\n*' enable'*) touch '{0}/enabled' ;;\n\
             *' disable'*) rm -f '{0}/enabled' ;;\n*' show'*) if [ -e '{0}/enabled' ]; then\n\
             printf 'UnitFileState=enabled\\nActiveState=active\\n'; else\nprintf 'UnitFileState=\\nActiveState=inactive\\n'; \
             fi ;;\nesac\n",
            dir.path().display()
        );
        let systemctl = programs.join("systemctl");
        fs::write(&systemctl, script).unwrap();
        fs::set_permissions(&systemctl, fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:/usr/bin:/bin", programs.display());
        Self { dir, path }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    async fn run(&self, arguments: &[&str], input: &str) -> Outcome {
        let (home, data) = (self.dir.path().display().to_string(), self.data().display().to_string());
        let environment = [("HOME", &*home), ("PATH", &self.path), ("PROXY_DATA_DIR", &data)];
        cli::run(&self.data(), arguments, &environment, input).await
    }

    fn asked(&self) -> Vec<String> {
        let text = fs::read_to_string(self.dir.path().join("asked")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn unit(&self) -> PathBuf {
        self.dir.path().join(UNIT)
    }
}

#[tokio::test]
async fn systemd_is_told_what_to_start_and_then_no_longer() {
    let home = Home::new();
    let standing = home.run(&["service", "--json"], "").await;
    assert_eq!(standing.code, 0, "{standing:?}");
    let standing: Value = serde_json::from_str(&standing.out).unwrap();
    assert_eq!((&standing["installed"], &standing["running"]), (&json!(false), &json!(false)));

    let installed = home.run(&["service", "install", "--port", "12345"], "").await;
    assert_eq!(installed.code, 0, "{installed:?}");
    assert!(installed.err.contains("keychain") && installed.err.contains("enable-linger"), "{installed:?}");
    let unit = fs::read_to_string(home.unit()).unwrap();
    let line = format!("\nExecStart=\"{}\" \"run\" \"--port\" \"12345\"\n", proxy_path().display());
    assert!(unit.contains(&line), "{unit}");
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--user", "--man=no"]).arg(home.unit()).env("XDG_RUNTIME_DIR", home.dir.path());
    let verified = verify.output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    let standing = home.run(&["service"], "").await;
    assert!(
        standing.out.starts_with("systemd starts the proxy when you sign in; it runs.\n"),
        "{standing:?}"
    );

    let removed = home.run(&["service", "uninstall"], "").await;
    assert_eq!(removed.code, 0, "{removed:?}");
    assert!(!home.unit().exists());
    let done: Vec<String> = home.asked().into_iter().filter(|line| !line.contains(" show ")).collect();
    assert_eq!(
        done,
        [
            "--user daemon-reload",
            "--user enable --now codex-proxy.service",
            "--user disable --now codex-proxy.service",
            "--user daemon-reload",
        ]
    );
}

#[tokio::test]
async fn a_machine_without_systemd_is_told_so() {
    let home = Home::new();
    let empty = TempDir::new().unwrap();
    let path = empty.path().display().to_string();
    let outcome = cli::run(&home.data(), &["service", "install"], &[("PATH", &path)], "").await;
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.err.contains("`systemctl` cannot be started"), "{outcome:?}");
    assert!(!outcome.err.contains("Codex binary"), "{outcome:?}");
}

/// The script in a mount namespace with a separate `/run`, where it looks as if systemd has started the system.
const SCRIPT: &str = r#"
set -e
mount -t tmpfs none /run
mkdir -p /run/systemd/system /run/user
chmod 700 /run/user
export XDG_RUNTIME_DIR=/run/user
unset DBUS_SESSION_BUS_ADDRESS
/lib/systemd/systemd --user >"$HOME/systemd.log" 2>&1 &
manager=$!
trap 'kill $manager; wait $manager' EXIT
until [ -S /run/user/systemd/private ]; do sleep 0.1; done
main() { systemctl --user show codex-proxy.service --property=MainPID --value; }
"$PROXY" service install --port 0 >&2
until "$PROXY" config >/dev/null && "$PROXY" window --no-browser >/dev/null 2>&1; do sleep 0.1; done
first=$(main)
grep -E '^(NoNewPrivs|Seccomp):' "/proc/$first/status"
grep -E '^Max core file size' "/proc/$first/limits"
"$PROXY" service
kill -KILL "$first"
until second=$(main) && [ "$second" != 0 ] && [ "$second" != "$first" ]; do sleep 0.1; done
echo "started again"
"$PROXY" service uninstall
[ ! -e "/proc/$second" ] && echo "ended"
systemctl --user show codex-proxy.service --property=LoadState,Result
"#;

#[test]
fn a_real_systemd_starts_it_confined_and_again_when_it_fails() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("a mount namespace with a /run of its own is root's");
        return;
    }
    let home = TempDir::new().unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", home.path())
        .env("PROXY", proxy_path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let log = fs::read_to_string(home.path().join("systemd.log")).unwrap_or_default();
    assert!(output.status.success(), "{said}\n{complained}\n{log}");
    for line in [
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "systemd starts the proxy when you sign in; it runs.",
        "started again",
        "The system no longer starts the proxy.",
        "ended",
        "Result=success",
    ] {
        assert!(said.lines().any(|said| said == line), "`{line}` is missing in\n{said}\n{complained}\n{log}");
    }
    assert!(!home.path().join(UNIT).exists());
}

/// Every file below a directory.
fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(at) = dirs.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                found.push(path.strip_prefix(dir).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn all_data_goes_when_it_is_wished_and_nothing_runs() {
    let home = Home::new();
    for (file, text) in [
        (".codex/auth.json", "{}"),
        (".config/codex-proxy/config.toml", "log = \"debug\"\n"),
        (".config/codex-proxy/app.json", "{}"),
        (".config/autostart/io.github.codex-proxy.desktop", "[Desktop Entry]\n"),
        (".config/autostart/other.desktop", "[Desktop Entry]\n"),
        (".local/share/io.github.codex-proxy/localstorage", "1"),
    ] {
        let file = home.dir.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    let before = files(home.dir.path());
    let keys = Keys::start(&home.data(), &[("PROXY_KEYCHAIN".to_owned(), "off".to_owned())]).await;
    let refused = home.run(&["uninstall-data", "--yes"], "").await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("a proxy is running") && refused.err.contains("Ctrl-C"), "{refused:?}");
    keys.proxy.stop().await;
    assert_eq!(home.run(&["service", "install"], "").await.code, 0);
    fs::write(home.data().join("letter.txt"), "mine").unwrap();

    let listed = home.run(&["uninstall-data", "--dry-run"], "").await;
    assert_eq!(listed.code, 0, "{listed:?}");
    for part in
        ["keys.json", "config.toml", "autostart/io.github.codex-proxy.desktop", "letter.txt", "Nothing was"]
    {
        assert!(format!("{}{}", listed.out, listed.err).contains(part), "{listed:?}");
    }
    assert!(home.data().join("keys.json").exists());
    let unasked = home.run(&["uninstall-data"], "delete\n").await;
    assert_eq!(unasked.code, 64, "{unasked:?}");
    assert!(unasked.err.contains("--yes") && home.data().join("keys.json").exists(), "{unasked:?}");

    let deleted = home.run(&["uninstall-data", "--yes"], "").await;
    assert_eq!(deleted.code, 0, "{deleted:?}");
    let gone = [
        ".config/autostart/io.github.codex-proxy.desktop",
        ".config/codex-proxy/app.json",
        ".config/codex-proxy/config.toml",
        ".local/share/io.github.codex-proxy/localstorage",
    ];
    let mut kept: Vec<String> = before.into_iter().filter(|file| !gone.contains(&&**file)).collect();
    kept.extend(["asked", "data/letter.txt"].map(str::to_owned));
    kept.sort();
    assert_eq!(files(home.dir.path()), kept);
    assert!(home.asked().iter().any(|line| line == "--user disable --now codex-proxy.service"));
    assert!(!home.dir.path().join(".config/codex-proxy").exists());
    fs::remove_file(home.data().join("letter.txt")).unwrap();
    // Only the service is left. A dry run lists it too.
    assert_eq!(home.run(&["service", "install"], "").await.code, 0);
    let listed = home.run(&["uninstall-data", "--dry-run"], "").await;
    assert!(listed.out.contains("the service") && home.unit().exists(), "{listed:?}");
    assert_eq!(home.run(&["uninstall-data", "--yes"], "").await.code, 0);
    assert!(!home.unit().exists());
    let again = home.run(&["uninstall-data", "--yes"], "").await;
    assert!(again.out.contains("nothing of the proxy's"), "{again:?}");
}

#[tokio::test]
async fn the_keychain_is_emptied_before_what_knows_of_it() {
    let (session, home) = (Session::with_keyring(), Home::new());
    let mut settings = session.env();
    settings.push(("PROXY_KEYCHAIN".to_owned(), "auto".to_owned()));
    let keys = Keys::start(&home.data(), &settings).await;
    keys.ok(http::Method::POST, "", &json!({"name": "phone"})).await;
    keys.proxy.stop().await;
    assert_eq!(session.secrets().len(), 2);
    let environment: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (&**name, &**value)).collect();
    session.lock();
    let refused = {
        let mut environment = environment.clone();
        environment.push(("PROXY_KEYCHAIN", "off"));
        cli::run(&home.data(), &["uninstall-data", "--yes"], &environment, "").await
    };
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("--keep-keychain") && home.data().join("keys.json").exists(), "{refused:?}");
    drop(session);

    let session = Session::with_keyring();
    let other = Home::new();
    let mut settings = session.env();
    settings.push(("PROXY_KEYCHAIN".to_owned(), "auto".to_owned()));
    let keys = Keys::start(&other.data(), &settings).await;
    keys.proxy.stop().await;
    assert_eq!(session.secrets().len(), 1);
    let environment: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (&**name, &**value)).collect();
    let deleted = cli::run(&other.data(), &["uninstall-data", "--yes"], &environment, "").await;
    assert_eq!(deleted.code, 0, "{deleted:?}");
    assert!(deleted.out.contains("1 API key in the system's keychain"), "{deleted:?}");
    assert_eq!(session.secrets(), [""; 0]);
    assert!(!other.data().exists());
}
