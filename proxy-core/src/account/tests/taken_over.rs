//! Sign-ins that were made elsewhere.

use super::*;
use crate::account::NoWorker;
use crate::account::import::ImportError;

const SIGN_IN: &str = r#"{"OPENAI_API_KEY":"sk-1"}"#;

fn elsewhere(content: &str) -> (TempDir, std::path::PathBuf) {
    let there = tempfile::tempdir().unwrap();
    let file = there.path().join("auth.json");
    std::fs::write(&file, content).unwrap();
    (there, file)
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_is_taken_over_and_told_once_a_worker_has_started_with_it() {
    let (scene, session) = Scene::signed_out().await;
    let (_there, file) = elsewhere(SIGN_IN);
    let codex = async {
        scene.until(|state| state.phase() == Phase::SigningIn).await;
        // Sessions that were started before do not know the sign-in.
        session.tell(nobody());
        let next = scene.session(0);
        next.tell(person("a@b.example"));
        next
    };
    let (done, _next) = join!(scene.account.import(Some(file.clone())), codex);
    done.unwrap();
    assert_eq!(scene.account.state().phase(), Phase::SignedIn);
    assert_eq!(scene.replaced(), [true, true]);
    assert_eq!(std::fs::read_to_string(scene.file()).unwrap(), SIGN_IN);
    assert_eq!(std::fs::read_to_string(file).unwrap(), SIGN_IN);
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_that_no_worker_starts_with_is_told_as_that() {
    let (scene, _session) = Scene::signed_out().await;
    let (_there, file) = elsewhere(SIGN_IN);
    let began = Instant::now();
    let error = scene.account.import(Some(file)).await.unwrap_err();
    assert!(matches!(error, AccountError::NoWorker(NoWorker::NotStarted)), "{error}");
    assert_eq!(began.elapsed().as_secs(), 40);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_sign_in_changes_nothing() {
    let (scene, _session) = Scene::signed_out().await;
    let (_there, file) = elsewhere(r#"{"secret":"s"}"#);
    let error = scene.account.import(Some(file)).await.unwrap_err();
    assert!(matches!(error, AccountError::Import(ImportError::NoSignIn { .. })), "{error}");
    assert!(matches!(scene.account.import(None).await, Err(AccountError::NoDefault)));
    assert_eq!((scene.file().exists(), scene.replaced()), (false, [false, false]));
    assert_eq!(scene.account.state().phase(), Phase::SignedOut);
}

#[tokio::test(start_paused = true)]
async fn a_home_of_the_operators_is_not_written_to() {
    let (_there, file) = elsewhere(SIGN_IN);
    let from = Some(file);
    let scene = Scene::with(|config| {
        config.home = CodexHome::Given(config.home.path().to_owned());
        config.import_from.clone_from(&from);
    });
    assert!(matches!(scene.account.import(None).await, Err(AccountError::GivenHome)));
    assert!(!scene.file().exists());
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_in_the_home_is_taken_up_by_those_that_started_without_it() {
    let (scene, session) = Scene::signed_out().await;
    assert!(!scene.account.take_up().await, "there is none");
    let written = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    write_sign_in(&scene.file(), written);
    let newer = scene.session(1);
    let (taken, _next) = join!(scene.account.take_up(), async {
        while !scene.pool.is_restart_asked(0) {
            tokio::task::yield_now().await;
        }
        session.retire();
        scene.session(0)
    });
    assert!(taken);
    assert_eq!(scene.replaced(), [false, false], "the one that has it goes on");
    assert!(scene.account.take_up().await, "there is one");
    assert_eq!(scene.replaced(), [false, false], "all have it");
    drop(newer);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_cannot_take_a_sign_in_up_is_not_waited_for() {
    let (scene, _session) = Scene::signed_out().await;
    // A copy keeps its write time, so only a difference counts, not a later time.
    write_sign_in(&scene.file(), SystemTime::UNIX_EPOCH + Duration::from_secs(1000));
    let began = Instant::now();
    assert!(scene.account.take_up().await);
    assert_eq!(began.elapsed(), testing::STARTUP_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_success_with_the_same_sign_in_on_disk_is_none() {
    let (scene, mut session) = Scene::signed_in().await;
    write_sign_in(&scene.file(), SystemTime::UNIX_EPOCH + Duration::from_secs(1000));
    scene.begin(&mut session, "l").await;
    session.tell(completed("l"));
    // The session gets the call, and reports the earlier account: there is no new sign-in.
    answer(&mut session, "account/read", account(Some("a@b.example"))).await;
    answer(&mut session, "account/login/start", browser("again")).await;
    scene.until(|state| state.problem == Some(Problem::Renewed)).await;
    assert_eq!((scene.account.state().phase(), scene.replaced()), (Phase::SignedIn, [false, false]));
}
