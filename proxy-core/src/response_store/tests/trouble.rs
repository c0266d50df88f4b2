//! Damage, full disks, and other programs.

use std::io::{Seek as _, SeekFrom, Write as _};

use super::*;

fn asides(scene: &Scene) -> usize {
    database::asides(&scene.directory.path().join(FILE))
        .iter()
        .filter(|(_, path)| {
            let name = path.to_string_lossy();
            !name.ends_with("-wal") && !name.ends_with("-shm")
        })
        .count()
}

#[tokio::test]
async fn a_damaged_database_is_kept_aside_and_a_new_one_begun() {
    let mut scene = Scene::new();
    scene.save("r1", None).await;
    scene.store.close().await;
    let file = scene.directory.path().join(FILE);
    fs::write(&file, "this was a database").unwrap();
    scene.store = ResponseStore::open(config(), scene.directory.path());
    assert_eq!((scene.store.state(), asides(&scene)), (StoreState::On, 1));
    assert_eq!(scene.history("r1").await, None);
    scene.save("r1", None).await;
    assert!(scene.history("r1").await.is_some());
}

#[tokio::test]
async fn damage_that_a_read_finds_ends_the_database_too() {
    let mut scene = Scene::new();
    for number in 0..200 {
        scene.save(&format!("r{number}"), None).await;
    }
    scene.store.close().await;
    let file = scene.directory.path().join(FILE);
    let length = fs::metadata(&file).unwrap().len();
    let mut damaged = fs::OpenOptions::new().write(true).open(&file).unwrap();
    // The first pages have the schema.
    damaged.seek(SeekFrom::Start(20 * 4096)).unwrap();
    damaged.write_all(&vec![0xff; usize::try_from(length).unwrap() - 20 * 4096]).unwrap();
    drop(damaged);
    scene.store = ResponseStore::open(config(), scene.directory.path());
    let mut failed = 0;
    for number in 0..200 {
        failed +=
            usize::from(scene.store.history(&scene.owner, &format!("r{number}"), stored_item).await.is_err());
        if asides(&scene) > 0 {
            break;
        }
    }
    assert_eq!((failed, asides(&scene)), (1, 1));
    scene.save("new", None).await;
    assert!(scene.history("new").await.is_some());
}

#[tokio::test]
async fn a_newer_database_is_left_alone_and_requests_go_on() {
    let mut scene = Scene::new();
    scene.save("r1", None).await;
    scene.store.peek(|connection| connection.pragma_update(None, "user_version", 99)).await;
    scene.store.close().await;
    let file = scene.directory.path().join(FILE);
    let before = fs::read(&file).unwrap();
    scene.store = ResponseStore::open(config(), scene.directory.path());
    let StoreState::Broken(reason) = scene.store.state() else { panic!("{:?}", scene.store.state()) };
    assert!(reason.contains("newer Codex Proxy"), "{reason}");
    for failed in [
        scene.store.save(response(&scene.owner, "r2", None)).await.unwrap_err(),
        scene.store.history(&scene.owner, "r1", stored_item).await.unwrap_err(),
        scene.store.clear().await.unwrap_err(),
        scene.store.forget_key(&scene.owner).await.unwrap_err(),
    ] {
        assert!(matches!(failed, StoreError::Unavailable(_)), "{failed}");
    }
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_said_and_nothing_is_set_aside() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join(FILE)).unwrap();
    let store = ResponseStore::open(config(), directory.path());
    assert!(matches!(store.state(), StoreState::Broken(_)), "{:?}", store.state());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_full_disk_is_an_error_until_there_is_room() {
    let scene = Scene::new();
    scene.save("r1", None).await;
    scene.store.limit_growth(Some(5)).await;
    let big = |id: &str| {
        let mut saved = response(&scene.owner, id, Some("r1"));
        saved.input[0]["text"] = "x".repeat(100_000).into();
        saved
    };
    for _ in 0..3 {
        let error = scene.store.save(big("r2")).await.unwrap_err();
        assert!(matches!(error, StoreError::Database(_)) && error.to_string().contains("full"), "{error}");
        assert_eq!(scene.history("r2").await, None);
        assert!(scene.history("r1").await.is_some());
    }
    scene.store.limit_growth(None).await;
    scene.store.save(big("r2")).await.unwrap();
    assert_eq!(scene.history("r2").await.unwrap().len(), 4);
    assert_eq!((scene.store.state(), asides(&scene)), (StoreState::On, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_see_whole_responses_while_others_are_written() {
    let scene = Arc::new(Scene::new());
    scene.save("r0", None).await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 1..=60 {
        let scene = scene.clone();
        tasks.spawn(async move { scene.save(&format!("r{number}"), Some("r0")).await });
    }
    for number in (1..=60).cycle().take(240) {
        let scene = scene.clone();
        tasks.spawn(async move {
            let id = format!("r{number}");
            if let Some(history) = scene.history(&id).await {
                assert_eq!(
                    history,
                    ["in_r0".into(), "out_r0".into(), format!("in_{id}"), format!("out_{id}")]
                );
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(scene.store.stats().await.unwrap().responses, 61);
}

#[cfg(unix)]
#[tokio::test]
async fn the_files_are_the_owners_alone_and_a_removed_one_is_begun_anew() {
    use std::os::unix::fs::PermissionsExt as _;
    let scene = Scene::new();
    scene.save("r1", None).await;
    let files = || fs::read_dir(scene.directory.path()).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(files().count(), 3);
    for file in files() {
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
        fs::remove_file(file).unwrap();
    }
    scene.save("r2", None).await;
    assert_eq!(scene.history("r1").await, None);
    assert!(scene.history("r2").await.is_some());
    assert!(scene.has_text("answer of r2"));
}

#[tokio::test]
async fn a_store_that_is_off_keeps_nothing() {
    let directory = tempfile::tempdir().unwrap();
    for store in
        [ResponseStore::off(), ResponseStore::open(Config { enabled: false, ..config() }, directory.path())]
    {
        let owner = key("a");
        assert_eq!((store.state(), store.is_on()), (StoreState::Off, false));
        store.save(response(&owner, "r1", None)).await.unwrap();
        store.save_chat(&owner, json!({"id": "c1"}), vec![]).await.unwrap();
        assert_eq!(store.response(&owner, "r1").await.unwrap(), None);
        assert_eq!(store.chats(&owner, &ChatFilter::default(), &page(1)).await.unwrap(), Listed::default());
        assert_eq!(store.stats().await.unwrap(), Stats::default());
        assert_eq!([store.prune().await.unwrap(), store.clear().await.unwrap()], [0, 0]);
        assert_eq!(store.export(|_| {}).await.unwrap(), 0);
        assert_eq!(store.forget_key(&owner).await.unwrap(), 0);
        store.close().await;
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_closed_store_refuses_and_leaves_one_file() {
    let scene = Scene::new();
    scene.save("r1", None).await;
    scene.store.close().await;
    let error = scene.store.save(response(&scene.owner, "r2", None)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    assert_eq!(fs::read_dir(scene.directory.path()).unwrap().count(), 1);
}
