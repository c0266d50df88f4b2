//! Backups of a proxy under load, restored to another place, and refused backups.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use e2e::harness::{Proxy, Setup, proxy_path};
use e2e::patience::until;
use e2e::sse;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::{Outcome, outcome, run};
use crate::surface::{BOTH, Surface};

const SIGN_IN: &str = r#"{"auth_mode":"apikey","OPENAI_API_KEY":"sk-canary-of-the-sign-in"}"#;

/// A command beside a proxy, with its settings.
async fn beside(proxy: &Proxy, arguments: &[&str]) -> Outcome {
    let mut command = proxy.beside(&proxy_path(), arguments);
    command.stdin(std::process::Stdio::piped());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    outcome(command.spawn().unwrap(), "").await
}

/// An unused data directory and Codex home.
struct Elsewhere {
    root: TempDir,
}

impl Elsewhere {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    async fn run(&self, arguments: &[&str]) -> Outcome {
        let (home, config) = (self.home().display().to_string(), self.root.path().display().to_string());
        let environment =
            [("CODEX_HOME", home.as_str()), ("PROXY_KEYCHAIN", "off"), ("XDG_CONFIG_HOME", config.as_str())];
        run(&self.data(), arguments, &environment, "").await
    }

    /// A proxy with the restored data.
    async fn start(&self) -> Proxy {
        let mut setup = Setup::fake(&scenario());
        for (flag, path) in [("--data-dir", self.data()), ("--codex-home", self.home())] {
            setup = setup.arg(flag).arg(&path.display().to_string());
        }
        setup.start().await
    }

    fn is_untouched(&self) {
        let left: Vec<_> = fs::read_dir(self.root.path()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

fn scenario() -> Value {
    json!({"scenarios": {"default": [{"step": "text", "deltas": ["Hello"]}]}})
}

async fn start() -> Proxy {
    let proxy = Setup::fake(&scenario()).start().await;
    fs::write(proxy.codex_home().join("auth.json"), SIGN_IN).unwrap();
    fs::create_dir_all(proxy.codex_home().join("sessions")).unwrap();
    fs::write(proxy.codex_home().join("sessions/one.jsonl"), "a session").unwrap();
    proxy
}

async fn requests(proxy: &Proxy) -> u64 {
    let (status, sums) = sse::json(proxy.request(Method::GET, "/usage")).await;
    assert_eq!(status, 200, "{sums}");
    sums["totals"]["requests"].as_u64().expect("a number of requests")
}

fn made(shown: &Outcome) -> Value {
    assert_eq!(shown.code, 0, "{shown:?}");
    serde_json::from_str(&shown.out).unwrap_or_else(|error| panic!("{error}: {shown:?}"))
}

/// Files of a folder by name, without those that start with this prefix.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_backup_under_load_is_whole_and_works_elsewhere() {
    let proxy = Arc::new(start().await);
    let key = beside(&proxy, &["keys", "create", "laptop"]).await.out.trim().to_owned();
    assert!(!key.is_empty());
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().display().to_string();
    let (going, done) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
    let load: Vec<_> = (0..4)
        .map(|number| {
            let (proxy, going, done) = (proxy.clone(), going.clone(), done.clone());
            tokio::spawn(async move {
                while going.load(Ordering::Relaxed) {
                    let surface = BOTH[number % 2];
                    proxy.post_ok(surface.path(), &surface.ask("hi")).await;
                    done.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    until("some requests", async || (done.load(Ordering::SeqCst) > 20).then_some(())).await;
    let before = done.load(Ordering::SeqCst);
    let backup = made(&beside(&proxy, &["backup", "--to", &to, "--json"]).await);
    let after = done.load(Ordering::SeqCst) + load.len() as u64;
    assert!(after > before + load.len() as u64, "requests were answered meanwhile");
    going.store(false, Ordering::Relaxed);
    for one in load {
        one.await.unwrap();
    }
    // What is quiet is equal.
    let total = requests(&proxy).await;
    let quiet = made(&beside(&proxy, &["backup", "--to", &to, "--json"]).await);
    let proxy = Arc::into_inner(proxy).unwrap();
    let key_file_text = fs::read_to_string(proxy.data_dir().join("keys.json")).unwrap();
    proxy.stop().await;

    for (backup, fewest, most) in [(&backup, before, after), (&quiet, total, total)] {
        assert_eq!(backup["encrypted"], Value::Null);
        let file = backup["file"].as_str().unwrap();
        let sum = fs::read_to_string(format!("{file}.sha256")).unwrap();
        let name = Path::new(file).file_name().unwrap().to_str().unwrap();
        assert_eq!(sum, format!("{}  {name}\n", backup["sha256"].as_str().unwrap()));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let elsewhere = Elsewhere::new();
        let dry = elsewhere.run(&["restore", file, "--dry-run"]).await;
        assert_eq!(dry.code, 0, "{dry:?}");
        assert!(dry.out.contains("auth.json") && dry.err.contains("Nothing was changed"), "{dry:?}");
        elsewhere.is_untouched();
        let restored = elsewhere.run(&["restore", file]).await;
        assert_eq!(restored.code, 0, "{restored:?}");
        assert_eq!(fs::read_to_string(elsewhere.home().join("auth.json")).unwrap(), SIGN_IN);
        assert!(!elsewhere.home().join("sessions").exists());
        let shown = elsewhere.run(&["keys", "show", "laptop"]).await;
        assert_eq!(shown.out.trim(), key, "{shown:?}");
        let proxy = elsewhere.start().await;
        let counted = requests(&proxy).await;
        assert!((fewest..=most).contains(&counted), "{fewest} <= {counted} <= {most}");
        let url = format!("{}{}", proxy.base_url, Surface::Chat.path());
        let asked = proxy.bare(Method::POST, &url).bearer_auth(&key);
        let asked =
            asked.header("content-type", "application/json").body(Surface::Chat.ask("hi").to_string());
        assert_eq!(sse::json(asked).await.0, 200, "the same key is let in");
        proxy.stop().await;
    }
    assert!(key_file_text.contains("laptop"));
}

#[tokio::test]
async fn an_encrypted_backup_opens_with_its_passphrase_only() {
    let proxy = start().await;
    let key = beside(&proxy, &["keys", "create", "laptop"]).await.out.trim().to_owned();
    let url = |proxy: &Proxy, path: &str| format!("{}{path}", proxy.base_url);
    let asked = proxy.bare(Method::POST, &url(&proxy, "/responses")).bearer_auth(&key);
    let (_, response) = sse::json(asked.body(Surface::Responses.ask("hi").to_string())).await;
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("backups").display().to_string();
    let (right, wrong) = (folder.path().join("right"), folder.path().join("wrong"));
    fs::write(&right, "correct horse battery\n").unwrap();
    fs::write(&wrong, "incorrect horse battery\n").unwrap();
    let (right, wrong) = (right.display().to_string(), wrong.display().to_string());
    let shown = beside(&proxy, &["backup", "--to", &to, "--passphrase-file", &right, "--json"]).await;
    assert!(!shown.err.contains("warning"), "{shown:?}");
    let file = made(&shown)["file"].as_str().unwrap().to_owned();
    proxy.stop().await;
    assert!(file.ends_with(".tar.gz.age"), "{file}");
    let bytes = fs::read(&file).unwrap();
    assert!(!bytes.windows(9).any(|nine| nine == b"sk-canary"));

    let elsewhere = Elsewhere::new();
    let without = elsewhere.run(&["restore", &file]).await;
    assert_eq!(without.code, 64, "{without:?}");
    assert!(without.err.contains("--passphrase-file"), "{without:?}");
    let with_wrong = elsewhere.run(&["restore", &file, "--passphrase-file", &wrong]).await;
    assert_eq!(with_wrong.code, 1, "{with_wrong:?}");
    assert!(with_wrong.err.contains("passphrase does not open"), "{with_wrong:?}");
    elsewhere.is_untouched();
    let restored = elsewhere.run(&["restore", &file, "--passphrase-file", &right, "--json"]).await;
    assert_eq!(made(&restored)["aside"], json!([]));
    assert_eq!(elsewhere.run(&["keys", "show", "laptop"]).await.out.trim(), key);
    // What was stored can be read, and goes on.
    let proxy = elsewhere.start().await;
    let path = format!("/responses/{}", response["id"].as_str().unwrap());
    let read = proxy.bare(Method::GET, &url(&proxy, &path)).bearer_auth(&key);
    assert_eq!(sse::json(read).await, (http::StatusCode::OK, response.clone()));
    let mut next = Surface::Responses.ask("and on");
    next["previous_response_id"] = response["id"].clone();
    let asked = proxy.bare(Method::POST, &url(&proxy, "/responses")).bearer_auth(&key);
    assert_eq!(sse::json(asked.body(next.to_string())).await.0, 200);
    proxy.stop().await;
}

#[tokio::test]
async fn what_is_damaged_or_in_use_is_refused_and_nothing_is_touched() {
    let proxy = start().await;
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().display().to_string();
    proxy.post_ok("/responses", &Surface::Responses.ask("hi")).await;
    let shown = beside(&proxy, &["backup", "--to", &to]).await;
    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(shown.err.contains("the sign-in as they are"), "{shown:?}");
    assert!(shown.err.contains("Left out: The stored responses"), "{shown:?}");
    let file = shown.out.trim().to_owned();

    let running = beside(&proxy, &["restore", &file, "--force"]).await;
    assert_eq!(running.code, 1, "{running:?}");
    assert!(
        running.err.contains("a proxy is running") && running.err.contains("codex-proxy quit"),
        "{running:?}"
    );
    assert_eq!(beside(&proxy, &["restore", &file, "--dry-run"]).await.code, 0);

    let elsewhere = Elsewhere::new();
    let whole = fs::read(&file).unwrap();
    let other = folder.path().join("other");
    for (bytes, said) in [
        (whole[..whole.len() / 2].to_vec(), "not a complete backup"),
        (whole[..whole.len() - 1].to_vec(), "not a complete backup"),
        (b"letters".to_vec(), "does not start like a backup"),
        (Vec::new(), "does not start like a backup"),
    ] {
        fs::write(&other, bytes).unwrap();
        let refused = elsewhere.run(&["restore", &other.display().to_string(), "--force"]).await;
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.err.contains(said) && refused.err.contains("Nothing was changed"), "{refused:?}");
        elsewhere.is_untouched();
    }
    assert_eq!(elsewhere.run(&["restore", "/nowhere/backup"]).await.code, 1);

    // What is there is kept.
    assert_eq!(elsewhere.run(&["restore", &file]).await.code, 0);
    fs::write(elsewhere.home().join("auth.json"), "newer").unwrap();
    let occupied = elsewhere.run(&["restore", &file]).await;
    assert_eq!(occupied.code, 1, "{occupied:?}");
    assert!(occupied.err.contains("--force"), "{occupied:?}");
    assert_eq!(fs::read_to_string(elsewhere.home().join("auth.json")).unwrap(), "newer");
    let forced = made(&elsewhere.run(&["restore", &file, "--force", "--json"]).await);
    let aside = forced["aside"].as_array().unwrap();
    let kept: Vec<String> = aside
        .iter()
        .filter_map(|dir| fs::read_to_string(Path::new(dir.as_str()?).join("auth.json")).ok())
        .collect();
    assert_eq!(kept, ["newer"]);
    proxy.stop().await;
}

#[tokio::test]
async fn older_backups_go_only_behind_a_new_one() {
    let proxy = start().await;
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().display().to_string();
    fs::write(folder.path().join("letter.txt"), "").unwrap();
    let foreign = "codex-proxy-backup-20200101-000000-ffffffff.tar.gz";
    fs::write(folder.path().join(foreign), "").unwrap();
    let mut files = Vec::new();
    for _ in 0..3 {
        let backup = made(&beside(&proxy, &["backup", "--to", &to, "--json"]).await);
        assert_eq!(backup["pruned"], json!([]));
        files.push(backup["file"].as_str().unwrap().to_owned());
    }
    // A failed backup must not remove old ones.
    let bad =
        beside(&proxy, &["backup", "--to", &to, "--prune", "--keep", "1", "--passphrase-file", "/nowhere"])
            .await;
    assert_eq!(bad.code, 1, "{bad:?}");
    assert!(files.iter().all(|file| Path::new(file).exists()));
    let last = made(&beside(&proxy, &["backup", "--to", &to, "--json", "--prune", "--keep", "2"]).await);
    assert_eq!(last["pruned"], json!(files[..2]));
    let left = names(folder.path());
    assert_eq!(left.len(), 6, "two backups with their check sums, a letter and another's: {left:?}");
    assert!(left.iter().any(|name| name == foreign));

    let missing = beside(&proxy, &["backup", "--to", &to, "--mount-check"]).await;
    if cfg!(unix) {
        assert_eq!(missing.code, 1, "{missing:?}");
        assert!(missing.err.contains("nothing is mounted there"), "{missing:?}");
        assert_eq!(names(folder.path()), left);
    }
    if cfg!(target_os = "linux") {
        // A file system of its own on every Linux.
        let mounted = tempfile::tempdir_in("/dev/shm").unwrap();
        let to = mounted.path().display().to_string();
        made(&beside(&proxy, &["backup", "--to", &to, "--mount-check", "--json"]).await);
    }
    proxy.stop().await;
}

#[tokio::test]
async fn gpg_encrypts_and_opens_one_for_a_key() {
    let has_gpg = std::process::Command::new("gpg").arg("--version").output().is_ok();
    if !has_gpg {
        eprintln!("gpg is not here, so this was not tried");
        return;
    }
    let keys = tempfile::tempdir().unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(keys.path(), fs::Permissions::from_mode(0o700)).unwrap();
    }
    let made_key = std::process::Command::new("gpg")
        .env("GNUPGHOME", keys.path())
        .args([
            "--batch",
            "--quiet",
            "--passphrase",
            "",
            "--quick-generate-key",
            "backup@example.org",
            "default",
        ])
        .output()
        .unwrap();
    assert!(made_key.status.success(), "{made_key:?}");
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().display().to_string();
    let home = keys.path().display().to_string();
    let proxy =
        Setup::fake(&scenario()).env("GNUPGHOME", &home).env("CODEX_BACKUP_GPG_KEY", "backup@example.org");
    let proxy = proxy.start().await;
    fs::write(proxy.codex_home().join("auth.json"), SIGN_IN).unwrap();
    let backup = made(&beside(&proxy, &["backup", "--to", &to, "--json"]).await);
    assert_eq!(backup["encrypted"], "gpg");
    let file = backup["file"].as_str().unwrap();
    let unknown = beside(&proxy, &["backup", "--to", &to, "--gpg-key", "nobody@example.org"]).await;
    assert_eq!(unknown.code, 1, "{unknown:?}");
    assert!(unknown.err.contains("gpg refused"), "{unknown:?}");
    assert_eq!(names(folder.path()).len(), 2, "{:?}", names(folder.path()));
    let checked = beside(&proxy, &["restore", file, "--dry-run"]).await;
    assert_eq!(checked.code, 0, "{checked:?}");
    assert!(checked.out.contains("auth.json"), "{checked:?}");
    proxy.stop().await;
    drop(std::process::Command::new("gpgconf").env("GNUPGHOME", &home).args(["--kill", "all"]).output());
}
