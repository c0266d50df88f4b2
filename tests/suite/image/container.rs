//! Runs the image with its own entry point, as an unprivileged user, on a read-only root.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use e2e::codex_bin::{NEWEST, codex_path};
use e2e::codex_home::codex_home;
use e2e::fake_openai::{FakeOpenAi, Script};
use e2e::harness::{fake_codex_path, proxy_path};
use e2e::patience::until;
use e2e::sse;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Builder, docker, run, stage};
use crate::surface::Surface;

const USER: u32 = 65532;
const KEY: &str = "a-key-of-the-image-test-0123456789";

/// What an engine does for `read_only`, `tmpfs`, `cap_drop` and `no-new-privileges`, and for the two volumes.
const ENGINE: &str = r#"
set -e
mount --bind "$ROOT" "$ROOT"
mkdir -p "$ROOT/proc" "$ROOT/dev"
mount -o remount,ro,bind "$ROOT"
if [ -n "$CODEX" ]; then mount --bind "$CODEX" "$ROOT/opt/codex"; mount -o remount,ro,bind "$ROOT/opt/codex"; fi
mount --bind "$HOME_VOLUME" "$ROOT/app/.codex-api"
mount --bind "$DATA_VOLUME" "$ROOT/app/data"
mount -t tmpfs -o nosuid,nodev,noexec,size=64m,mode=1777 tmpfs "$ROOT/tmp"
mount -t proc proc "$ROOT/proc"
mount -t tmpfs -o mode=755 tmpfs "$ROOT/dev"
for node in null zero random urandom; do : > "$ROOT/dev/$node"; mount --bind "/dev/$node" "$ROOT/dev/$node"; done
exec env -i $VARIABLES setpriv --clear-groups --no-new-privs \
  unshare --root="$ROOT" --wd="$DIRECTORY" --setgid "$USER_ID" --setuid "$USER_ID" "$@"
"#;

/// The image with what its first stages would have brought.
struct Image {
    builder: Builder,
    config: Value,
    root: PathBuf,
}

impl Image {
    fn build() -> Self {
        let context = tempfile::tempdir().unwrap();
        let (rust, node) = (context.path().join("rust"), context.path().join("node"));
        let out = rust.join("out");
        for folder in ["usr/bin", "etc", "tmp"] {
            fs::create_dir_all(out.join(folder)).unwrap();
        }
        fs::set_permissions(out.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        for name in ["passwd", "group"] {
            fs::copy(docker(name), out.join("etc").join(name)).unwrap();
        }
        for volume in [".codex-api", "data"] {
            let folder = rust.join("volumes").join(volume);
            fs::create_dir_all(&folder).unwrap();
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
        }
        fs::create_dir_all(node.join("out/bin")).unwrap();
        program(&proxy_path(), &out.join("usr/bin/codex-proxy"), &out);
        program(&fake_codex_path(), &node.join("out/bin/codex"), &out);
        let builder = Builder::new();
        builder.build("proxy", &stage("proxy"), context.path(), &[("rust", &rust), ("node", &node)]);
        let (config, root) = (builder.config("proxy"), builder.root("proxy"));
        Self { builder, config, root }
    }
}

/// Puts a program in its place without its symbols. One that is not linked statically, as those of a build for tests are
/// not, brings its libraries.
fn program(from: &Path, to: &Path, root: &Path) {
    run(Command::new("strip").arg("-o").arg(to).arg(from));
    let linked = Command::new("ldd").arg(from).output().unwrap();
    for word in
        String::from_utf8_lossy(&linked.stdout).split_whitespace().filter(|word| word.starts_with('/'))
    {
        let library = root.join(word.trim_start_matches('/'));
        fs::create_dir_all(library.parent().unwrap()).unwrap();
        fs::copy(word, library).unwrap();
    }
}

/// A running container; it is killed when dropped.
struct Container<'a> {
    image: &'a Image,
    child: Child,
    home: TempDir,
    data: TempDir,
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        // The first process of the container takes all others with it. What has changed its user since is not ended with
        // its parent.
        if let Some(pid) = self.inner().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl<'a> Container<'a> {
    /// Starts the entry point with these variables beside the image's own.
    fn start(image: &'a Image, home: TempDir, codex: Option<&Path>, variables: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().unwrap();
        for volume in [home.path(), data.path()] {
            run(Command::new("chown").args(["-R", &format!("{USER}:{USER}")]).arg(volume));
            chown(volume, Some(USER), Some(USER)).unwrap();
        }
        let own =
            image.config["Env"].as_array().unwrap().iter().map(|pair| pair.as_str().unwrap().to_owned());
        let given = variables.iter().map(|(name, value)| format!("{name}={value}"));
        let all: Vec<String> = own.chain(given).collect();
        let user = image.config["User"].as_str().unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENGINE, "engine"]);
        command.args(words(&image.config["Entrypoint"]));
        command.env("ROOT", &image.root).env("HOME_VOLUME", home.path()).env("DATA_VOLUME", data.path());
        command.env("CODEX", codex.unwrap_or(Path::new(""))).env("VARIABLES", all.join(" "));
        command.env("DIRECTORY", image.config["WorkingDir"].as_str().unwrap());
        command.env("USER_ID", user.split(':').next().unwrap());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        Self { image, child, home, data }
    }

    /// The address that it prints, with loopback in place of the wildcard address.
    fn address(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some(port) = line.strip_prefix("listening on http://0.0.0.0:") else {
            panic!("{line:?}");
        };
        format!("http://127.0.0.1:{}", port.trim().trim_end_matches("/v1"))
    }

    /// The proxy's process, which is the only child of what made the container.
    fn pid(&self) -> i32 {
        self.inner().expect("the container runs")
    }

    fn inner(&self) -> Option<i32> {
        let own = self.child.id();
        fs::read_to_string(format!("/proc/{own}/task/{own}/children")).ok()?.trim().parse().ok()
    }

    /// Runs a command inside, as `docker exec` does.
    fn inside(&self, command: &[String]) -> Output {
        let mut enter = Command::new("nsenter");
        enter.args(["--target", &self.pid().to_string(), "--mount", "--pid", "--root", "--wd"]);
        enter.args(["--setgid", &USER.to_string(), "--setuid", &USER.to_string()]);
        enter.args(command).env_clear().env("PROXY_API_KEY", KEY).env("PORT", "0");
        for pair in words(&self.image.config["Env"]) {
            let (name, value) = pair.split_once('=').unwrap();
            enter.env(name, value);
        }
        enter.output().unwrap()
    }
}

fn words(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

/// What the engine runs to see how it is.
fn health_check(image: &Image) -> Vec<String> {
    let mut words = words(&image.config["Healthcheck"]["Test"]);
    assert_eq!(words.remove(0), "CMD", "there is no shell for another form");
    words
}

async fn answers(address: &str, text: &str, expected: &str) {
    let client = sse::client();
    until("the proxy to be ready", async || {
        let answer = client.get(format!("{address}/readyz")).send().await;
        answer.is_ok_and(|answer| answer.status() == 200).then_some(())
    })
    .await;
    let request = client
        .post(format!("{address}/v1/chat/completions"))
        .bearer_auth(KEY)
        .header("content-type", "application/json")
        .body(Surface::Chat.ask(text).to_string());
    let (status, answer) = sse::json(request).await;
    assert_eq!((status.as_u16(), Surface::Chat.text(&answer).as_str()), (200, expected), "{answer}");
}

#[tokio::test]
async fn it_serves_as_nobody_on_a_root_that_is_read_only() {
    let image = Image::build();
    assert_eq!(image.config["User"], format!("{USER}:{USER}"));
    assert_eq!(image.config["ExposedPorts"], json!({"11435/tcp": {}, "1435/tcp": {}}));
    assert_eq!(image.config["Volumes"], json!({"/app/.codex-api": {}, "/app/data": {}}));
    assert!(!image.root.join("bin/sh").exists());

    let home = tempfile::tempdir().unwrap();
    let scenario = json!({"scenarios": {"default": [{"step": "text", "deltas": ["You said ", "{{user}}"]}]}});
    fs::write(home.path().join("fake-codex.json"), scenario.to_string()).unwrap();
    let variables = [("PROXY_API_KEY", KEY), ("PORT", "0"), ("PROXY_ALLOWED_HOSTS", "127.0.0.1")];
    let mut container = Container::start(&image, home, None, &variables);
    let address = container.address();
    answers(&address, "hi", "You said hi").await;

    let status = fs::read_to_string(format!("/proc/{}/status", container.pid())).unwrap();
    for line in
        ["Uid:\t65532\t65532\t65532\t65532", "Groups:\t \n", "NoNewPrivs:\t1", "CapEff:\t0000000000000000"]
    {
        assert!(status.contains(line), "{line}\n{status}");
    }
    let healthy = container.inside(&health_check(&image));
    let said = String::from_utf8_lossy(&healthy.stdout);
    assert!(healthy.status.success() && said.contains("ready"), "{healthy:?}");
    // The same check where no proxy runs.
    let mut ended = health_check(&image);
    ended.extend(["--data-dir".to_owned(), "/tmp/nothing".to_owned()]);
    assert_eq!(container.inside(&ended).status.code(), Some(69));
    let keys = container.inside(&["/usr/bin/codex-proxy".to_owned(), "keys".to_owned()]);
    assert!(keys.status.success(), "{keys:?}");
    let kept = fs::read_dir(container.data.path()).unwrap().count();
    assert!(kept > 0 && fs::read_dir(container.home.path()).unwrap().count() > 0);

    // As PID 1, which the kernel protects from signals that it does not handle.
    kill_process(Pid::from_raw(container.pid()).unwrap(), Signal::TERM).unwrap();
    let ended = container.child.wait().unwrap();
    let mut said = String::new();
    std::io::Read::read_to_string(&mut container.child.stderr.take().unwrap(), &mut said).unwrap();
    assert!(ended.success(), "{ended}\n{said}");
    assert!(!said.contains("ERROR") && !said.to_lowercase().contains("read-only"), "{said}");
    drop(container);
    without_a_good_key_it_does_not_start(&image);
    the_real_codex_answers(&image).await;
    drop(image.builder);
}

fn without_a_good_key_it_does_not_start(image: &Image) {
    for variables in [&[][..], &[("PROXY_API_KEY", "codex-local-secret")]] {
        let mut container = Container::start(image, tempfile::tempdir().unwrap(), None, variables);
        let ended = container.child.wait().unwrap();
        assert_eq!(ended.code(), Some(64), "{variables:?}");
    }
}

/// Codex as npm brings it is static too, and keeps to the two volumes and `/tmp`.
async fn the_real_codex_answers(image: &Image) {
    let upstream = FakeOpenAi::of(e2e::fake_openai::UPSTREAMS[0]).await;
    upstream.fall_back_to(Script::text("from upstream"));
    let home = tempfile::tempdir().unwrap();
    codex_home(home.path(), NEWEST, &upstream.base_url(), 0);
    let vendor = codex_path(NEWEST).parent().and_then(Path::parent).unwrap().to_owned();
    let variables = [("PROXY_API_KEY", KEY), ("PORT", "0"), ("PROXY_ALLOWED_HOSTS", "127.0.0.1")];
    let mut container = Container::start(image, home, Some(&vendor), &variables);
    let address = container.address();
    answers(&address, "hi", "from upstream").await;
}
