//! Finding, installing, updating and rolling back Codex, from a registry on this machine and once from a real one.

mod interrupted;
mod local;
pub(crate) mod running;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::codex_bin::NEWEST;
use e2e::fake_npm::{Asked, FakeNpm, Piece, archive, binary_name};
use proxy_core::codex_install::{Codex, CodexError, Config, Environment, Job, Phase, Source};

const PATIENCE: Duration = Duration::from_secs(60);

/// A manager of its own data directory.
struct Machine {
    root: tempfile::TempDir,
    registry: FakeNpm,
}

impl Machine {
    async fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap(), registry: FakeNpm::start().await }
    }

    fn codex(&self) -> Codex {
        self.with_npmrc(&format!("registry={}\n", self.registry.url()))
    }

    fn with_npmrc(&self, npmrc: &str) -> Codex {
        fs::write(self.root.path().join(".npmrc"), npmrc).unwrap();
        let none = self.root.path().join("none").into_os_string();
        Codex::new(Config {
            dir: self.dir(),
            bin: None,
            legacy: false,
            registry: None,
            environment: Environment::of([("npm_config_globalconfig".to_owned(), none)]),
            home: Some(self.root.path().to_owned()),
            hidden_env: vec![],
        })
    }

    fn dir(&self) -> PathBuf {
        self.root.path().join("codex")
    }

    /// Waits until this number of bytes is on the disk.
    async fn has_downloaded(&self, bytes: u64) {
        let dir = self.dir().join("downloads");
        let size = |name: &String| fs::metadata(dir.join(name)).map_or(0, |file| file.len());
        let polling = async {
            let mut poll = tokio::time::interval(Duration::from_millis(10));
            while names(&dir).iter().map(size).max() < Some(bytes) {
                poll.tick().await;
            }
        };
        tokio::time::timeout(PATIENCE, polling).await.expect("the bytes come in time");
    }

    /// Checks that no file of an installation is left.
    fn assert_nothing_is_left(&self) {
        assert!(!self.dir().join("current.json").exists());
        for dir in ["versions", "staging", "downloads"] {
            assert_eq!(names(&self.dir().join(dir)), [""; 0], "{dir}");
        }
        assert_eq!(names(self.root.path()), [".npmrc", "codex"], "nothing lies outside");
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

async fn until(codex: &Codex, met: impl Fn(&Job) -> bool) -> Job {
    let mut progress = codex.progress();
    let reached = progress.wait_for(|job| job.as_ref().is_some_and(&met));
    let reached = tokio::time::timeout(PATIENCE, reached).await.expect("the job gets there");
    reached.unwrap().clone().unwrap()
}

async fn version_in_use(codex: &Codex) -> Option<String> {
    let status = codex.status().await;
    assert_eq!(status.version, status.managed.current);
    status.version
}

#[tokio::test]
async fn the_pinned_version_is_installed_and_used() {
    let machine = Machine::new().await;
    machine.registry.publish_fake(NEWEST, 300_000);
    let codex = machine.codex();
    let before = codex.status().await;
    assert_eq!((before.source, before.supported), (None, false));
    assert!(before.problem.unwrap().contains("codex-proxy codex install"));

    let job = codex.install(None).await.unwrap();
    assert_eq!((job.phase, job.version.as_deref()), (Phase::Done, Some(NEWEST)));
    assert!(job.bytes > 300_000 && job.total_bytes == Some(job.bytes), "{job:?}");
    let status = codex.status().await;
    assert_eq!((status.source, status.supported, status.problem), (Some(Source::Managed), true, None));
    assert!(status.path.unwrap().starts_with(machine.dir().join("versions").join(NEWEST)));
    assert_eq!(names(&machine.dir().join("downloads")), [""; 0]);

    let asked = machine.registry.asked().len();
    codex.install(None).await.unwrap();
    assert_eq!(machine.registry.asked().len(), asked, "what is there is not asked for again");
}

#[tokio::test]
async fn a_copy_that_is_damaged_is_replaced() {
    let machine = Machine::new().await;
    machine.registry.publish_fake("1.0.0", 0);
    machine.registry.publish_fake("2.0.0", 0);
    let codex = machine.codex();
    codex.install(Some("1.0.0")).await.unwrap();
    codex.install(Some("2.0.0")).await.unwrap();
    let path = codex.status().await.path.unwrap();
    fs::write(&path, "#!/bin/sh\nexit 1\n").unwrap();
    codex.install(Some("2.0.0")).await.unwrap();
    let status = codex.status().await;
    assert_ne!(status.path.as_ref(), Some(&path));
    assert_eq!(status.managed.current.as_deref(), Some("2.0.0"));
    assert_eq!(status.managed.previous.as_deref(), Some("1.0.0"));
    assert!(!path.exists(), "the damaged copy is gone");
}

#[tokio::test]
async fn another_digest_than_promised_installs_nothing() {
    let machine = Machine::new().await;
    machine.registry.publish_fake(NEWEST, 1000);
    machine.registry.set(|scene| scene.wrong_digest = true);
    let codex = machine.codex();
    let error = codex.install(None).await.unwrap_err();
    assert!(matches!(error, CodexError::WrongHash { .. }), "{error}");
    assert_eq!(codex.progress().borrow().as_ref().unwrap().phase, Phase::Failed);
    machine.assert_nothing_is_left();
}

#[tokio::test]
async fn a_cut_download_goes_on_where_it_stopped() {
    let machine = Machine::new().await;
    machine.registry.publish_fake(NEWEST, 400_000);
    machine.registry.set(|scene| scene.cut_after = Some((100_000, 2)));
    machine.codex().install(None).await.unwrap();
    let from = |asked: &Asked| {
        let range = asked.range.as_ref()?;
        range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<u32>().ok()
    };
    let starts: Vec<_> = machine.registry.downloads().iter().map(from).collect();
    let [None, Some(first), Some(second)] = starts[..] else { panic!("{starts:?}") };
    assert!(0 < first && first <= 100_000, "{starts:?}");
    assert!(first < second && second <= first + 100_000, "{starts:?}");
}

#[tokio::test]
async fn a_download_goes_on_after_the_program_was_ended() {
    let machine = Machine::new().await;
    machine.registry.publish_fake(NEWEST, 400_000);
    machine.registry.set(|scene| scene.hold_after = Some(150_000));
    let codex = machine.codex();
    let job = codex.begin(proxy_core::codex_install::Action::Install, None).unwrap();
    assert_eq!(job.phase, Phase::Resolving);
    machine.has_downloaded(150_000).await;
    assert!(codex.cancel());
    let job = until(&codex, Job::is_over).await;
    assert!(job.phase == Phase::Failed && job.error.unwrap().contains("cancelled"));

    machine.registry.set(|scene| scene.hold_after = None);
    machine.codex().install(None).await.unwrap();
    assert_eq!(machine.registry.downloads().last().unwrap().range.as_deref(), Some("bytes=150000-"));
}

#[tokio::test]
async fn a_partial_file_that_was_damaged_is_downloaded_again() {
    let machine = Machine::new().await;
    machine.registry.publish_fake(NEWEST, 400_000);
    machine.registry.set(|scene| scene.hold_after = Some(150_000));
    let codex = machine.codex();
    let asked = codex.install(None);
    tokio::select! {
        _ = asked => panic!("the registry holds it"),
        () = machine.has_downloaded(150_000) => {}
    }
    let part = machine.dir().join("downloads");
    for name in names(&part).iter().filter(|name| name.ends_with(".tgz")) {
        fs::write(part.join(name), vec![7; 5000]).unwrap();
    }
    machine.registry.set(|scene| scene.hold_after = None);
    codex.install(None).await.unwrap();
    let ranges: Vec<_> = machine.registry.downloads().into_iter().map(|asked| asked.range).collect();
    assert_eq!(ranges[ranges.len() - 2..], [Some("bytes=5000-".to_owned()), None]);
}

#[tokio::test]
async fn hostile_archives_install_nothing() {
    let good = Piece::file(&binary_name(), b"#!/bin/sh\necho codex-cli 1.0.0\n");
    let file = |name: &str| Piece::file(name, b"evil");
    let huge = Piece { size: Some(5 << 30), ..Piece::file("package/huge", b"small") };
    let link = format!("{}-link", binary_name());
    let cases = [
        (file("package/../../../../evil"), "leads out"),
        (file("/tmp/evil-of-a-test"), "absolute"),
        (file("evil"), "not below"),
        (Piece::special(&link, b'2', "/etc"), "is a link"),
        (Piece::special(&link, b'1', &binary_name()), "is a link"),
        (Piece::special("package/null", b'3', ""), "neither"),
        (Piece::special("package/disk", b'4', ""), "neither"),
        (Piece::special("package/pipe", b'6', ""), "neither"),
        (good.clone(), "twice"),
        (huge, "larger than"),
    ];
    let machine = Machine::new().await;
    for (evil, why) in cases {
        machine.registry.publish("1.0.0", &archive(&[good.clone(), evil.clone()]));
        let codex = machine.codex();
        let message = codex.install(Some("1.0.0")).await.unwrap_err().to_string();
        assert!(message.contains(why), "{}: {message}", evil.name);
        assert!(!machine.dir().join("current.json").exists());
        assert_eq!(names(&machine.dir().join("versions")), [""; 0]);
        assert_eq!(names(&machine.dir().join("staging")), [""; 0]);
        assert_eq!(names(machine.root.path()), [".npmrc", "codex"]);
        assert!(!Path::new("/tmp/evil-of-a-test").exists());
    }
}

#[tokio::test]
async fn a_binary_that_does_not_run_or_is_another_version_is_not_used() {
    let machine = Machine::new().await;
    machine.registry.publish_fake("1.0.0", 0);
    let codex = machine.codex();
    codex.install(Some("1.0.0")).await.unwrap();
    for script in ["#!/bin/sh\necho codex-cli 1.9.9\n", "#!/bin/sh\necho broken >&2; exit 3\n", "no program"]
    {
        machine.registry.publish_script("2.0.0", script);
        let error = codex.update(None).await.unwrap_err();
        assert!(matches!(error, CodexError::DoesNotRun(_)), "{error}");
        assert_eq!(version_in_use(&codex).await.as_deref(), Some("1.0.0"));
    }
}

#[tokio::test]
async fn one_installation_at_a_time() {
    let machine = Machine::new().await;
    machine.registry.publish_fake(NEWEST, 1000);
    machine.registry.set(|scene| scene.hold_metadata = true);
    let (one, other) = (machine.codex(), machine.codex());
    let begin = |codex: &Codex| codex.begin(proxy_core::codex_install::Action::Install, None);
    begin(&one).unwrap();
    machine.registry.wait_for_requests(1).await;
    assert!(matches!(begin(&one), Err(CodexError::Busy)));
    assert!(matches!(other.install(None).await, Err(CodexError::Locked { .. })));
    one.cancel();
    until(&one, Job::is_over).await;
    machine.registry.set(|scene| scene.hold_metadata = false);
    other.install(None).await.unwrap();
}

#[tokio::test]
async fn updates_can_be_rolled_back_and_old_copies_go_unless_they_run() {
    let machine = Machine::new().await;
    let codex = machine.codex();
    let switches = codex.switches();
    assert!(matches!(codex.rollback().await, Err(CodexError::NoPrevious)));
    for version in ["1.0.0", "2.0.0"] {
        machine.registry.publish_fake(version, 0);
        codex.update(None).await.unwrap();
        assert_eq!(version_in_use(&codex).await.as_deref(), Some(version));
    }
    assert_eq!(*switches.borrow(), 2);
    codex.rollback().await.unwrap();
    assert_eq!(version_in_use(&codex).await.as_deref(), Some("1.0.0"));
    codex.rollback().await.unwrap();
    assert_eq!(version_in_use(&codex).await.as_deref(), Some("2.0.0"));

    let running = codex.finder().find().unwrap();
    for version in ["3.0.0", "4.0.0"] {
        machine.registry.publish_fake(version, 0);
        codex.update(None).await.unwrap();
    }
    let versions = machine.dir().join("versions");
    assert_eq!(names(&versions), ["2.0.0", "3.0.0", "4.0.0"], "1.0.0 is gone, and 2.0.0 still runs");
    drop(running);
    machine.registry.publish_fake("5.0.0", 0);
    codex.update(None).await.unwrap();
    assert_eq!(names(&versions), ["4.0.0", "5.0.0"]);
    assert!(codex.status().await.note.unwrap().contains("newer"));
}

#[tokio::test]
async fn what_cannot_be_had_says_what_to_do() {
    let machine = Machine::new().await;
    machine.registry.publish_fake("1.0.0", 0);
    let says = async |codex: &Codex, version: Option<&str>, words: &[&str]| {
        let message = codex.install(version).await.unwrap_err().to_string();
        for word in words {
            assert!(message.contains(word), "no {word:?} in: {message}");
        }
    };
    says(&machine.codex(), Some("9.9.9"), &["9.9.9", "newest is 1.0.0"]).await;
    says(&machine.codex(), Some("0.44.0"), &["too old", "PROXY_USE_APP_SERVER=false"]).await;
    says(&machine.codex(), Some("newest"), &["not a version"]).await;
    machine.registry.set(|scene| scene.status = Some(401));
    says(&machine.codex(), None, &["401", "_authToken", "PROXY_NPM_REGISTRY"]).await;
    machine.registry.set(|scene| scene.status = Some(404));
    says(&machine.codex(), None, &["404", "PROXY_NPM_REGISTRY"]).await;
    let offline = machine.with_npmrc("registry=http://127.0.0.1:1/\n");
    says(&offline, None, &["cannot be reached", "HTTPS_PROXY", "PROXY_NPM_REGISTRY", "PATH"]).await;
    assert!(!machine.dir().join("current.json").exists());
}

#[tokio::test]
async fn the_token_goes_to_its_own_registry_only() {
    let machine = Machine::new().await;
    let other = FakeNpm::start().await;
    for registry in [&machine.registry, &other] {
        registry.publish_fake("1.0.0", 0);
        registry.publish_fake("2.0.0", 0);
    }
    let address = machine.registry.url();
    let bare = address.trim_start_matches("http:");
    let codex = machine.with_npmrc(&format!("registry={address}\n{bare}:_authToken=s3cret\n"));
    let bearer = |asked: Asked| asked.authorization.as_deref() == Some("Bearer s3cret");

    machine.registry.set(|scene| scene.redirect_to = Some(other.url()));
    codex.install(Some("1.0.0")).await.unwrap();
    machine.registry.set(|scene| (scene.redirect_to, scene.archives_at) = (None, Some(other.url())));
    codex.install(Some("2.0.0")).await.unwrap();

    assert!(machine.registry.asked().len() >= 3 && machine.registry.asked().into_iter().all(bearer));
    assert_eq!(other.downloads().len(), 2);
    assert!(other.asked().iter().all(|asked| asked.authorization.is_none()), "{:?}", other.asked());
}

#[tokio::test]
async fn a_mirror_serves_archives_whose_own_host_cannot_be_reached() {
    let machine = Machine::new().await;
    machine.registry.publish_fake("1.0.0", 0);
    machine.registry.set(|scene| scene.archives_at = Some("http://127.0.0.1:1/".to_owned()));
    machine.codex().install(Some("1.0.0")).await.unwrap();
    assert_eq!(machine.registry.downloads().len(), 1);
}
