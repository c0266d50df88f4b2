//! What is removed, and when.

use super::*;

const DAY: u64 = 86_400;

fn thirty_days() -> Config {
    Config { max_age: Some(Duration::from_secs(30 * DAY)), ..config() }
}

fn old(mut saved: Saved, days: u64) -> Saved {
    saved.created_at = now() - days * DAY;
    saved
}

fn conversation(id: &str, created_at: u64) -> Value {
    json!({"id": id, "object": "conversation", "created_at": created_at, "metadata": {}})
}

#[tokio::test]
async fn what_is_too_old_is_removed_but_not_the_history_of_what_is_not() {
    let scene = Scene::with(thirty_days());
    let (store, owner) = (&scene.store, &scene.owner);
    store.prune().await.unwrap();
    store.save(old(response(owner, "r1", None), 60)).await.unwrap();
    store.save(old(response(owner, "r2", Some("r1")), 40)).await.unwrap();
    store.save(old(response(owner, "r3", Some("r2")), 29)).await.unwrap();
    store.save(old(response(owner, "r4", Some("r1")), 31)).await.unwrap();
    store.save(old(running(owner, "r5", Status::InProgress), 31)).await.unwrap();
    store.create_conversation(owner, conversation("conv_1", 1), vec![input("c")]).await.unwrap();
    let chat = |id: &str, created: u64| json!({"id": id, "created": created, "model": "m"});
    store.save_chat(owner, chat("c1", 1), vec![json!({"id": "m1"})]).await.unwrap();
    store.save_chat(owner, chat("c2", now()), vec![]).await.unwrap();
    assert_eq!(store.prune().await.unwrap(), 4);
    assert_eq!(store.prune().await.unwrap(), 0);
    for id in ["r1", "r2", "r4"] {
        assert_eq!(store.response(owner, id).await.unwrap(), None);
    }
    assert_eq!(scene.history("r3").await.unwrap(), ["in_r1", "out_r1", "in_r2", "out_r2", "in_r3", "out_r3"]);
    assert!(!scene.has_text("answer of r4") && scene.has_text("answer of r1"));
    assert!(store.response(owner, "r5").await.unwrap().is_some(), "it still runs");
    assert!(store.conversation(owner, "conv_1").await.unwrap().is_some(), "it was just used");
    assert_eq!(store.chat(owner, "c1").await.unwrap(), None);
    assert!(store.chat(owner, "c2").await.unwrap().is_some());
    scene.store.peek(|connection| connection.execute("UPDATE conversation SET used_at = 1", [])).await;
    assert_eq!(store.prune().await.unwrap(), 1);
    assert_eq!(store.conversation(owner, "conv_1").await.unwrap(), None);
    assert!(!scene.has_text("question of c"));
}

#[tokio::test]
async fn a_save_removes_what_is_too_old_by_itself() {
    let scene = Scene::with(thirty_days());
    scene.store.save(old(response(&scene.owner, "r1", None), 31)).await.unwrap();
    assert_eq!(scene.store.response(&scene.owner, "r1").await.unwrap(), None, "it was too old at once");
}

#[tokio::test]
async fn the_oldest_make_room_for_the_newest() {
    let scene = Scene::with(Config { max_bytes: Some(1 << 20), ..config() });
    let mut last = None;
    let first = now() - 1000;
    for number in 0..100 {
        let id = format!("r{number}");
        let mut saved = response(&scene.owner, &id, None);
        saved.created_at = first + number;
        saved.input = vec![json!({"id": id, "text": "x".repeat(40_000)})];
        scene.store.save(saved).await.unwrap();
        last = Some(id);
    }
    assert!(scene.store.response(&scene.owner, "r0").await.unwrap().is_none());
    assert!(scene.store.response(&scene.owner, &last.unwrap()).await.unwrap().is_some());
    let stats = scene.store.stats().await.unwrap();
    assert!((15..26).contains(&stats.responses), "{stats:?}");
    assert_eq!(stats.newest, stats.oldest.map(|oldest| oldest + stats.responses - 1), "the oldest are gone");
    scene.store.prune().await.unwrap();
    assert!(scene.store.stats().await.unwrap().bytes < (1 << 20) + (300 << 10), "{stats:?}");
}

#[tokio::test]
async fn nothing_of_a_deleted_key_stays_or_comes() {
    let (scene, other) = (Scene::new(), key("b"));
    let (store, owner) = (&scene.store, &scene.owner);
    scene.save("r1", None).await;
    scene.save("r2", Some("r1")).await;
    scene.save("r3", Some("r2")).await;
    assert!(store.delete(owner, "r2").await.unwrap());
    store.create_conversation(owner, conversation("conv_1", 1), vec![input("c")]).await.unwrap();
    store.save(Saved { conversation: Some("conv_1".into()), ..response(owner, "r4", None) }).await.unwrap();
    store
        .save_chat(owner, json!({"id": "c1"}), vec![json!({"id": "m1", "content": "question of chat"})])
        .await
        .unwrap();
    store.save(response(&other, "o1", None)).await.unwrap();
    assert_eq!(store.forget_key(owner).await.unwrap(), 5);
    for text in ["answer of r1", "answer of r4", "question of c", "question of chat", owner.as_str()] {
        assert!(!scene.has_text(text), "{text}");
    }
    assert!(store.response(&other, "o1").await.unwrap().is_some());
    // A request of the key may end later.
    store.save(response(owner, "r9", None)).await.unwrap();
    assert!(!scene.has_text("answer of r9"));
    assert_eq!(store.forget_key(owner).await.unwrap(), 0);
}

#[tokio::test]
async fn clearing_removes_everything_and_the_store_goes_on() {
    let mut scene = Scene::new();
    for number in 0..50 {
        scene.save(&format!("r{number}"), None).await;
    }
    scene.store.create_conversation(&scene.owner, conversation("conv_1", 1), vec![input("c")]).await.unwrap();
    let aside = scene.directory.path().join("responses.db.corrupt-5-1");
    fs::write(&aside, "answer of a damaged one").unwrap();
    let before = scene.store.stats().await.unwrap();
    assert_eq!((before.responses, before.conversations, before.oldest), (50, 1, Some(1)));
    assert_eq!(scene.store.clear().await.unwrap(), 51);
    assert!(!scene.has_text("answer of") && !aside.exists());
    let after = scene.store.stats().await.unwrap();
    assert_eq!((after.responses, after.oldest, after.newest), (0, None, None));
    scene.save("r1", None).await;
    assert!(scene.history("r1").await.is_some());
    // Also if nothing new is to be kept.
    scene.reopen(Config { enabled: false, ..config() }).await;
    assert_eq!((scene.store.state(), scene.store.is_on()), (StoreState::Off, false));
    assert_eq!(scene.store.response(&scene.owner, "r1").await.unwrap(), None);
    scene.save("r2", None).await;
    assert_eq!(scene.store.stats().await.unwrap().responses, 1);
    assert_eq!(scene.store.clear().await.unwrap(), 1);
    assert_eq!(fs::read_dir(scene.directory.path()).unwrap().count(), 0);
    assert_eq!(scene.store.clear().await.unwrap(), 0);
    assert_eq!(scene.store.stats().await.unwrap(), Stats::default());
}

#[tokio::test]
async fn an_export_has_everything() {
    let scene = Scene::new();
    scene.save("r1", None).await;
    scene.save("r2", Some("r1")).await;
    assert!(scene.store.delete(&scene.owner, "r1").await.unwrap());
    scene.store.create_conversation(&key("b"), conversation("conv_1", 1), vec![input("c")]).await.unwrap();
    scene
        .store
        .save_chat(&scene.owner, json!({"id": "c1", "metadata": null}), vec![json!({"id": "m"})])
        .await
        .unwrap();
    let entries = Arc::new(Mutex::new(Vec::new()));
    let seen = entries.clone();
    assert_eq!(scene.store.export(move |entry| seen.lock().unwrap().push(entry)).await.unwrap(), 4);
    let entries = entries.lock().unwrap();
    let types: Vec<&str> = entries.iter().map(|entry| entry["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["deleted_response", "response", "conversation", "chat_completion"]);
    assert_eq!(entries[0]["output"], json!([output("r1")]));
    assert_eq!(entries[1]["response"]["output"], json!([output("r2")]));
    assert_eq!(entries[1]["input"], json!([input("r2")]));
    assert_eq!((&entries[2]["items"], &entries[2]["key_id"]), (&json!([input("c")]), &json!("key_b")));
    assert_eq!(entries[3]["messages"], json!([{"id": "m"}]));
}
