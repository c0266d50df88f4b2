use rustix::process::{Signal, getpgrp};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use super::super::processes::{is_running, look};
use super::testing::Family;
use super::*;

const FAMILY: &str = "sleep 60 & echo $!; wait";
/// What a shell ignores, its children ignore too.
const DEAF_FAMILY: &str = "trap '' TERM; sleep 60 & echo $!; wait";

struct Scene {
    dir: TempDir,
    pid_files: PidFiles,
}

impl Scene {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let pid_files = PidFiles::open(dir.path().join("workers"));
        Self { dir, pid_files }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("workers").join(name)
    }

    /// Leaves a pid file as a killed proxy does, with one change in it.
    fn leave(&self, family: &Family, change: impl FnOnce(&mut Value)) -> PathBuf {
        let record = self.pid_files.write(family.pid()).unwrap();
        self.kill_the_proxy_of(record, change)
    }

    /// The file's proxy has this process's id and another start time, so it no longer runs.
    fn kill_the_proxy_of(&self, record: PidFile, change: impl FnOnce(&mut Value)) -> PathBuf {
        let file = record.file.clone();
        std::mem::forget(record);
        let mut content = self.content(&file);
        content["proxy"]["start_time"] = json!(content["proxy"]["start_time"].as_u64().unwrap() - 1);
        change(&mut content);
        self.write(&file, &content);
        file
    }

    fn content(&self, file: &Path) -> Value {
        serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
    }

    fn write(&self, file: &Path, content: &Value) {
        fs::write(file, content.to_string()).unwrap();
    }

    fn left(&self) -> usize {
        fs::read_dir(self.dir.path().join("workers")).unwrap().count()
    }
}

fn lives(pid: u32) -> bool {
    look(pid).is_some_and(|process| !process.ended)
}

#[tokio::test]
async fn a_worker_left_behind_is_ended_with_its_children() {
    let scene = Scene::new();
    let family = Family::start(FAMILY);
    scene.leave(&family, |_| {});
    assert!(lives(family.pid()) && lives(family.grandchild));
    assert_eq!(scene.pid_files.reap().await, [family.pid()]);
    assert!(!lives(family.pid()) && !lives(family.grandchild));
    assert_eq!(scene.left(), 0);
    assert_eq!(family.ended_by(), Signal::TERM.as_raw());
}

#[tokio::test]
async fn several_are_ended_within_one_grace_even_if_they_do_not_listen() {
    let scene = Scene::new();
    let families = [Family::start(DEAF_FAMILY), Family::start(FAMILY), Family::start(DEAF_FAMILY)];
    let mut pids = families.each_ref().map(Family::pid);
    for family in &families {
        scene.leave(family, |_| {});
    }
    let started = Instant::now();
    let mut ended = scene.pid_files.reap().await;
    let took = started.elapsed().as_millis();
    ended.sort_unstable();
    pids.sort_unstable();
    assert_eq!(ended, pids);
    // Three grace periods in sequence would take three seconds.
    assert!((1000..2900).contains(&took), "{took} ms");
    for family in families {
        assert!(!lives(family.pid()) && !lives(family.grandchild));
        // The second one did not have the trap.
        assert!([Signal::TERM.as_raw(), Signal::KILL.as_raw()].contains(&family.ended_by()));
    }
    assert_eq!(scene.left(), 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_waited_for_when_nothing_is_left() {
    let scene = Scene::new();
    let started = Instant::now();
    assert_eq!(scene.pid_files.reap().await, [0; 0]);
    let mut family = Family::start("sleep 0 & ended=$!; wait $ended; echo $ended; exec sleep 60");
    let file = scene.leave(&family, |_| {});
    family.kill_the_leader();
    assert_eq!(scene.pid_files.reap().await, [0; 0]);
    assert!(!file.exists());
    assert!(started.elapsed().is_zero());
}

#[tokio::test]
async fn a_child_that_outlived_the_worker_is_ended_if_the_pid_file_names_it() {
    let scene = Scene::new();
    let mut family = Family::start(FAMILY);
    let record = scene.pid_files.write(family.pid()).unwrap();
    scene.kill_the_proxy_of(record, |_| {});
    family.kill_the_leader();
    assert!(lives(family.grandchild));
    assert_eq!(scene.pid_files.reap().await, [family.pid()]);
    assert!(!lives(family.grandchild));
}

#[tokio::test]
async fn a_refreshed_pid_file_names_what_the_worker_has_started() {
    let scene = Scene::new();
    let family = Family::start(FAMILY);
    let mut record = scene.pid_files.write(family.pid()).unwrap();
    let known = |record: &PidFile| {
        let content = scene.content(&record.file);
        let members = content["members"].as_array().unwrap().clone();
        members.iter().any(|member| member["pid"] == family.grandchild)
    };
    record.content.members.clear();
    record.write().unwrap();
    assert!(!known(&record));
    record.refresh().unwrap();
    assert!(known(&record));
}

#[tokio::test]
async fn a_process_that_got_a_workers_number_is_not_touched() {
    let scene = Scene::new();
    let family = Family::start(FAMILY);
    let later = |value: &mut Value| *value = json!(value.as_u64().unwrap() + 1);
    let file = scene.leave(&family, |content| {
        later(&mut content["start_time"]);
        content["members"].as_array_mut().unwrap().iter_mut().for_each(|one| later(&mut one["start_time"]));
    });
    assert_eq!(scene.pid_files.reap().await, [0; 0]);
    assert!(!file.exists());
    assert!(lives(family.pid()) && lives(family.grandchild));
    assert_eq!(family.ended_by(), Signal::KILL.as_raw(), "nothing was sent before the test's own signal");
}

#[tokio::test]
async fn a_process_of_another_boot_is_not_touched() {
    let scene = Scene::new();
    let family = Family::start(FAMILY);
    let file = scene.leave(&family, |content| content["boot_id"] = json!("of-another-boot"));
    assert_eq!(scene.pid_files.reap().await, [0; 0]);
    assert!(!file.exists());
    assert_eq!(family.ended_by(), Signal::KILL.as_raw(), "nothing was sent before the test's own signal");
}

#[tokio::test]
async fn a_worker_of_a_running_proxy_is_left_alone() {
    let scene = Scene::new();
    let family = Family::start(FAMILY);
    let record = scene.pid_files.write(family.pid()).unwrap();
    assert_eq!(scene.pid_files.reap().await, [0; 0]);
    assert!(record.file.exists());
    drop(record);
    assert_eq!(scene.left(), 0);
    assert_eq!(family.ended_by(), Signal::KILL.as_raw(), "nothing was sent before the test's own signal");
}

#[tokio::test]
async fn a_proxy_that_was_killed_and_is_still_in_the_list_of_processes_is_gone() {
    let scene = Scene::new();
    let (mut proxy, family) = (Family::start(FAMILY), Family::start(FAMILY));
    proxy.leave_the_leader_unburied();
    let zombie = look(proxy.pid()).unwrap();
    assert!(zombie.ended);
    scene.leave(&family, |content| content["proxy"] = serde_json::to_value(zombie.identity).unwrap());
    assert_eq!(scene.pid_files.reap().await, [family.pid()]);
    assert!(!lives(family.grandchild));
}

#[tokio::test]
async fn the_first_process_and_our_own_group_are_never_ended() {
    let scene = Scene::new();
    let family = Family::start(FAMILY);
    scene.leave(&family, |_| {});
    let template = scene.content(&scene.file(&format!("{}.json", family.pid())));
    let own = u32::try_from(getpgrp().as_raw_nonzero().get()).unwrap();
    for group in [0, 1, own] {
        let members = processes::all().unwrap().into_iter().filter(|process| process.group == group);
        let members: Vec<Identity> = members.map(|process| process.identity).collect();
        let mut content = template.clone();
        content["pid"] = json!(group);
        content["group"] = json!(group);
        content["members"] = serde_json::to_value(members).unwrap();
        if let Some(leader) = look(group) {
            content["start_time"] = json!(leader.identity.start_time);
        }
        scene.write(&scene.file(&format!("{group}.json")), &content);
    }
    // A record that names one process and claims the group of others.
    let mut content = template.clone();
    content["group"] = json!(own);
    scene.write(&scene.file("4000000.json"), &content);
    assert_eq!(scene.pid_files.reap().await, [family.pid()]);
    assert_eq!(scene.left(), 0);
}

#[tokio::test]
async fn broken_pid_files_are_removed_and_other_files_are_not() {
    let scene = Scene::new();
    fs::create_dir_all(scene.file("")).unwrap();
    let broken = ["", "{", "[]", "\0\0", r#"{"pid": 7}"#, r#"{"pid": -7, "start_time": 1, "group": -7}"#];
    for (pid, text) in (4_000_000..).zip(broken) {
        fs::write(scene.file(&format!("{pid}.json")), text).unwrap();
    }
    fs::write(scene.file("4000000.json.tmp"), "{").unwrap();
    fs::write(scene.file("notes.txt"), "mine").unwrap();
    assert_eq!(scene.pid_files.reap().await, [0; 0]);
    assert_eq!(scene.left(), 1);
    assert!(scene.file("notes.txt").exists());
}

#[test]
fn only_a_running_leader_of_a_group_is_noted() {
    let scene = Scene::new();
    assert_eq!(scene.pid_files.write(u32::MAX).unwrap_err().kind(), io::ErrorKind::NotFound);
    let family = Family::start(FAMILY);
    assert_eq!(scene.pid_files.write(family.grandchild).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    let record = scene.pid_files.write(family.pid()).unwrap();
    assert!(is_running(record.content.worker));
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(scene.file("")).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_pid_file_is_not_removed_by_an_earlier_one_of_the_same_number() {
    let scene = Scene::new();
    let family = Family::start(FAMILY);
    let mut earlier = scene.pid_files.write(family.pid()).unwrap();
    earlier.content.worker.start_time -= 1;
    let later = scene.pid_files.write(family.pid()).unwrap();
    drop(earlier);
    assert!(later.file.exists());
    drop(later);
    assert_eq!(scene.left(), 0);
}
