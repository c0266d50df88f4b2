//! Conversations.

use super::*;

fn conversation(id: &str) -> Value {
    json!({"id": id, "object": "conversation", "created_at": 5, "metadata": {"topic": "one"}})
}

async fn begun(scene: &Scene) {
    scene.store.create_conversation(&scene.owner, conversation("conv_1"), vec![input("c1")]).await.unwrap();
}

async fn turn(scene: &Scene, id: &str, status: Status) {
    let conversation = Some("conv_1".to_owned());
    scene.store.save(Saved { conversation, status, ..response(&scene.owner, id, None) }).await.unwrap();
}

async fn all(scene: &Scene) -> Option<Vec<String>> {
    let items = scene.store.conversation_history(&scene.owner, "conv_1", stored_item).await.unwrap()?;
    Some(ids(&items))
}

#[tokio::test]
async fn a_turn_appends_its_items_if_it_is_complete_or_cut_off() {
    let scene = Scene::new();
    begun(&scene).await;
    assert!(matches!(
        scene.store.create_conversation(&scene.owner, conversation("conv_1"), vec![]).await,
        Err(StoreError::Exists(_))
    ));
    turn(&scene, "r1", Status::Completed).await;
    turn(&scene, "r2", Status::Failed).await;
    turn(&scene, "r3", Status::Cancelled).await;
    turn(&scene, "r4", Status::Incomplete).await;
    let background =
        Saved { conversation: Some("conv_1".into()), ..running(&scene.owner, "r5", Status::Queued) };
    scene.store.save(background).await.unwrap();
    assert!(scene.store.add_conversation_items(&scene.owner, "conv_1", vec![input("c2")]).await.unwrap());
    let before = ["in_c1", "in_r1", "out_r1", "in_r4", "out_r4", "in_c2"];
    assert_eq!(all(&scene).await.unwrap(), before);
    let over =
        Saved { background: true, conversation: Some("conv_1".into()), ..response(&scene.owner, "r5", None) };
    scene.store.save(over).await.unwrap();
    assert_eq!(all(&scene).await.unwrap()[6..], ["in_r5", "out_r5"]);
    assert_eq!(scene.history("r5").await.unwrap(), ["in_r5", "out_r5"]);
    assert_eq!(scene.count("SELECT count(*) FROM item WHERE id LIKE '%r1'").await, 2, "kept once");
}

#[tokio::test]
async fn responses_and_conversations_are_deleted_apart_from_each_other() {
    let scene = Scene::new();
    let (store, owner) = (&scene.store, &scene.owner);
    begun(&scene).await;
    turn(&scene, "r1", Status::Completed).await;
    turn(&scene, "r2", Status::Completed).await;
    assert!(store.delete(owner, "r1").await.unwrap());
    assert_eq!(all(&scene).await.unwrap(), ["in_c1", "in_r1", "out_r1", "in_r2", "out_r2"]);
    assert_eq!(store.items(owner, &["in_r1".into()]).await.unwrap().len(), 1);
    assert!(store.delete_conversation(owner, "conv_1").await.unwrap());
    assert!(!store.delete_conversation(owner, "conv_1").await.unwrap());
    assert_eq!((all(&scene).await, store.conversation(owner, "conv_1").await.unwrap()), (None, None));
    assert_eq!(scene.history("r2").await.unwrap(), ["in_r2", "out_r2"]);
    assert!(!scene.has_text("answer of r1") && !scene.has_text("question of c1"));
    assert!(scene.has_text("answer of r2"));
}

#[tokio::test]
async fn items_are_read_and_removed_one_by_one() {
    let scene = Scene::new();
    let (store, owner) = (&scene.store, &scene.owner);
    begun(&scene).await;
    turn(&scene, "r1", Status::Completed).await;
    let item = async |id: &str| store.conversation_item(owner, "conv_1", id).await.unwrap();
    assert_eq!(item("out_r1").await, Some(output("r1")));
    assert_eq!(item("out_r2").await, None);
    assert_eq!(store.delete_conversation_item(owner, "conv_1", "out_r2").await.unwrap(), None);
    let left = store.delete_conversation_item(owner, "conv_1", "out_r1").await.unwrap();
    assert_eq!(left, Some(conversation("conv_1")));
    assert_eq!(item("out_r1").await, None);
    assert_eq!(all(&scene).await.unwrap(), ["in_c1", "in_r1"]);
    assert_eq!(scene.history("r1").await.unwrap(), ["in_r1", "out_r1"], "the response keeps it");
    store.delete_conversation_item(owner, "conv_1", "in_c1").await.unwrap().unwrap();
    assert!(!scene.has_text("question of c1"));
    let listed = store
        .conversation_items(owner, "conv_1", &Page { descending: true, ..page(1) })
        .await
        .unwrap()
        .unwrap();
    assert_eq!((ids(&listed.data), listed.has_more), (vec!["in_r1".to_owned()], false));
}

#[tokio::test]
async fn metadata_are_replaced_in_their_place() {
    let scene = Scene::new();
    begun(&scene).await;
    let updated = scene.store.update_conversation(&scene.owner, "conv_1", json!({"b": "2"})).await.unwrap();
    let mut expected = conversation("conv_1");
    expected["metadata"] = json!({"b": "2"});
    assert_eq!(updated.unwrap().to_string(), expected.to_string());
    let read = scene.store.conversation(&scene.owner, "conv_1").await.unwrap().unwrap();
    assert_eq!(read.to_string(), expected.to_string());
}

#[tokio::test]
async fn a_background_response_outlives_its_conversation() {
    let scene = Scene::new();
    begun(&scene).await;
    let conversation = Some("conv_1".to_owned());
    let queued = Saved { conversation: conversation.clone(), ..running(&scene.owner, "r1", Status::Queued) };
    scene.store.save(queued).await.unwrap();
    assert!(scene.store.delete_conversation(&scene.owner, "conv_1").await.unwrap());
    let over = Saved { background: true, conversation, ..response(&scene.owner, "r1", None) };
    scene.store.save(over).await.unwrap();
    assert_eq!(scene.history("r1").await.unwrap(), ["in_r1", "out_r1"]);
}
