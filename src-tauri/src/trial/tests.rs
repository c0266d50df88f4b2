//! Which process decides about an update, and which files remain, wherever it ends.

use tempfile::TempDir;
use tokio::time::Duration;

use super::watch::{Seen, Verdict, judge};
use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn plan(program: &Path) -> Plan {
    Plan {
        from: "1.0.0".into(),
        to: "2.0.0".into(),
        package: Package::File,
        program: program.to_owned(),
        arguments: vec!["--hidden".into()],
        served: true,
        installer: None,
    }
}

/// A data directory with an update on trial.
fn on_trial(changed: impl FnOnce(&mut Plan)) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("app");
    fs::write(&program, "before").unwrap();
    let mut plan = plan(&program);
    changed(&mut plan);
    let folder = folder(dir.path());
    keep::keep(&folder, &plan).unwrap();
    assert_eq!(fs::read(keep::program(&folder)).unwrap(), b"before");
    (dir, folder)
}

fn seen(changed: impl FnOnce(&mut Seen)) -> Verdict {
    let mut seen = Seen { on_trial: true, ended: None, waited: Duration::ZERO, session: true };
    changed(&mut seen);
    judge(&seen, MINUTE)
}

#[test]
fn a_new_version_that_does_not_start_is_taken_back_and_no_other() {
    assert_eq!(seen(|_| {}), Verdict::Wait);
    assert_eq!(seen(|seen| seen.waited = MINUTE - Duration::from_millis(1)), Verdict::Wait);
    let late = seen(|seen| seen.waited = MINUTE);
    assert_eq!(late, Verdict::TakeBack("it did not serve within 60 seconds".into()));
    let ended = seen(|seen| seen.ended = Some("exit status: 1".into()));
    assert_eq!(ended, Verdict::TakeBack("it ended before it served: exit status: 1".into()));
    let mut decided =
        Seen { on_trial: false, ended: Some("exit status: 0".into()), waited: MINUTE, session: true };
    assert_eq!(judge(&decided, MINUTE), Verdict::Leave, "it serves, or was asked to end");
    (decided.on_trial, decided.session) = (true, false);
    assert_eq!(judge(&decided, MINUTE), Verdict::Leave, "it ended with the session");
}

#[test]
fn each_version_knows_what_an_update_has_to_do_with_it() {
    let plan = plan(Path::new("/opt/app"));
    let back = Back { plan: plan.clone(), reason: String::new(), not_installed: false, not_put_back: None };
    let told = |trial: bool, back_is: bool, version| {
        standing(trial.then(|| plan.clone()), back_is.then(|| back.clone()), version)
    };
    assert_eq!(told(true, false, "2.0.0"), Standing::OnTrial { served: true });
    assert_eq!(told(true, false, "1.0.0"), Standing::Free, "it was not installed");
    assert_eq!(told(false, true, "1.0.0"), Standing::Back(Box::new(back.clone())));
    assert_eq!(told(false, true, "2.0.0"), Standing::Free, "it runs after all");
    assert_eq!(told(true, true, "3.0.0"), Standing::Free, "somebody has installed another");
    assert_eq!(told(false, false, "1.0.0"), Standing::Free);
}

#[test]
fn a_version_that_serves_is_over_its_trial_and_nothing_is_left() {
    let (dir, folder) = on_trial(|_| {});
    let mut trial = Trial::read(Some(dir.path()), "2.0.0");
    assert!(trial.has_started());
    assert!(!folder.exists());
    assert!(trial.has_started(), "again, after a person has tried again");
}

#[test]
fn a_version_that_is_asked_to_end_is_no_longer_watched_and_what_was_kept_stays_until_it_serves() {
    let (dir, folder) = on_trial(|_| {});
    Trial::read(Some(dir.path()), "2.0.0").is_ending();
    assert!(!folder.join(TRIAL).exists() && keep::program(&folder).exists());
    assert!(Trial::read(Some(dir.path()), "2.0.0").has_started());
    assert!(!folder.exists());
}

#[test]
fn the_version_before_that_ends_for_its_update_leaves_it_on_trial() {
    let (dir, folder) = on_trial(|_| {});
    Trial::read(Some(dir.path()), "1.0.0").is_ending();
    assert!(folder.join(TRIAL).exists());
}

#[test]
fn a_version_that_can_do_nothing_about_it_has_started() {
    let watched = |served: bool, port: bool| {
        let (dir, folder) = on_trial(|plan| plan.served = served);
        Trial::read(Some(dir.path()), "2.0.0").has_failed(port);
        folder.join(TRIAL).exists()
    };
    assert!(watched(true, false), "the version before did serve");
    assert!(!watched(false, false), "nor did the version before");
    assert!(!watched(true, true), "another program has its port");
}

#[test]
fn a_version_that_is_late_by_a_moment_leaves_everything_as_it_is() {
    let (dir, folder) = on_trial(|_| {});
    let mut trial = Trial::read(Some(dir.path()), "2.0.0");
    fs::rename(folder.join(TRIAL), folder.join(BACK)).unwrap();
    assert!(!trial.has_started());
    assert!(keep::program(&folder).exists());
    // The renamed trial file says which update was undone, even if the watcher could not write more.
    let trial = Trial::read(Some(dir.path()), "1.0.0");
    assert_eq!(trial.back().unwrap().plan.to, "2.0.0");
}

#[test]
fn a_version_that_a_person_has_installed_again_tells_nothing() {
    let (dir, folder) = on_trial(|_| {});
    fs::remove_file(folder.join(TRIAL)).unwrap();
    let plan = plan(&dir.path().join("app"));
    let not_put_back = Some("the password for it was not given".into());
    let back = Back { plan, reason: "it hangs".into(), not_installed: false, not_put_back };
    write(&folder.join(BACK), &back).unwrap();
    let mut trial = Trial::read(Some(dir.path()), "1.0.0");
    assert!(trial.back().is_none() && trial.has_started());
    assert!(!folder.exists());
}

#[test]
fn files_that_make_no_sense_are_as_good_as_none() {
    let (dir, folder) = on_trial(|_| {});
    fs::write(folder.join(TRIAL), "{").unwrap();
    let mut trial = Trial::read(Some(dir.path()), "2.0.0");
    assert!(trial.back().is_none() && trial.has_started());
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_program_is_put_back_in_one_step() {
    let (dir, folder) = on_trial(|_| {});
    let program = dir.path().join("app");
    fs::write(&program, "after").unwrap();
    keep::put_back(&folder, &plan(&program)).await.unwrap();
    assert_eq!(fs::read(&program).unwrap(), b"before");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left beside it");
    let nowhere = keep::put_back(&folder, &plan(&dir.path().join("gone/app"))).await;
    assert!(nowhere.is_err());
}

#[test]
fn the_control_file_of_a_package_is_what_the_system_knows_but_for_its_own_words() {
    let status = "Package: codex-proxy\nStatus: install ok installed\nVersion: 1.0.0-1\nConffiles:\n /etc/a 0123\n\
                  Description: short\n long\n .\n more\n";
    let control = "Package: codex-proxy\nVersion: 1.0.0-1\nDescription: short\n long\n .\n more\n";
    assert_eq!(keep::control_of(status), control);
}
