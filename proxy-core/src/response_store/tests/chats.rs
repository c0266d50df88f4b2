//! Stored chat completions.

use super::*;

async fn save(scene: &Scene, owner: &KeyId, id: &str, created: u64, model: &str, topic: &str) -> Value {
    let chat = json!({
        "id": id, "object": "chat.completion", "created": created, "metadata": {"topic": topic, "n": "1"},
        "model": model, "choices": [{"message": {"content": format!("answer of {id}")}}],
    });
    let messages = ["a", "b", "c"].map(|n| json!({"id": format!("{id}-{n}"), "role": "user", "content": n}));
    scene.store.save_chat(owner, chat.clone(), messages.to_vec()).await.unwrap();
    chat
}

async fn list(scene: &Scene, filter: &ChatFilter, page: &Page) -> (Vec<String>, bool) {
    let listed = scene.store.chats(&scene.owner, filter, page).await.unwrap();
    (ids(&listed.data), listed.has_more)
}

#[tokio::test]
async fn a_chat_is_read_changed_and_deleted_by_its_key_only() {
    let (scene, other) = (Scene::new(), key("b"));
    let (store, owner) = (&scene.store, &scene.owner);
    let mut chat = save(&scene, owner, "c1", 1, "m", "x").await;
    assert!(matches!(store.save_chat(&other, chat.clone(), vec![]).await, Err(StoreError::Exists(_))));
    let read = async |owner| store.chat(owner, "c1").await.unwrap().map(|chat| chat.to_string());
    assert_eq!(read(owner).await, Some(chat.to_string()));
    assert_eq!(read(&other).await, None);
    assert_eq!(store.update_chat(&other, "c1", json!({})).await.unwrap(), None);
    assert_eq!(store.chat_messages(&other, "c1", &page(9)).await.unwrap(), None);
    assert!(!store.delete_chat(&other, "c1").await.unwrap());
    assert_eq!(store.chats(&other, &ChatFilter::default(), &page(9)).await.unwrap(), Listed::default());
    chat["metadata"] = json!({"topic": "y"});
    let updated = store.update_chat(owner, "c1", json!({"topic": "y"})).await.unwrap().unwrap();
    assert_eq!(updated.to_string(), chat.to_string());
    assert_eq!(read(owner).await, Some(chat.to_string()));
    let messages = async |page: Page| {
        let listed = store.chat_messages(owner, "c1", &page).await.unwrap().unwrap();
        (ids(&listed.data), listed.has_more)
    };
    assert_eq!(messages(page(2)).await, (vec!["c1-a".into(), "c1-b".into()], true));
    let last = Page { after: Some("c1-b".into()), ..page(2) };
    assert_eq!(messages(last).await, (vec!["c1-c".into()], false));
    assert!(store.delete_chat(owner, "c1").await.unwrap());
    assert!(!scene.has_text("answer of c1") && !scene.has_text("c1-a"));
    assert_eq!(scene.count("SELECT count(*) FROM chat_message").await, 0);
}

#[tokio::test]
async fn chats_are_listed_in_pages_by_time_model_and_metadata() {
    let scene = Scene::new();
    for (id, created, model, topic) in [
        ("c3", 3, "m", "x"),
        ("c1", 1, "m", "x"),
        ("c2", 2, "n", "x"),
        ("c4", 3, "m", "y"),
        ("c5", 9, "m", "x"),
    ] {
        save(&scene, &scene.owner, id, created, model, topic).await;
    }
    save(&scene, &key("b"), "other", 2, "m", "x").await;
    let all = ChatFilter::default();
    let fit = ChatFilter {
        model: Some("m".into()),
        metadata: vec![("topic".into(), "x".into()), ("n".into(), "1".into())],
    };
    for (filter, expected) in [(&all, vec!["c1", "c2", "c3", "c4", "c5"]), (&fit, vec!["c1", "c3", "c5"])] {
        for descending in [false, true] {
            let mut expected = expected.clone();
            if descending {
                expected.reverse();
            }
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let (some, has_more) = list(&scene, filter, &Page { descending, after, ..page(2) }).await;
                after = some.last().cloned();
                seen.extend(some);
                if !has_more {
                    break;
                }
            }
            assert_eq!(seen, expected);
            let before = Page { descending, before: Some(expected[2].into()), ..page(1) };
            assert_eq!(list(&scene, filter, &before).await, (vec![expected[1].to_owned()], true));
        }
    }
    let unknown = Page { after: Some("other".into()), ..page(2) };
    let error = scene.store.chats(&scene.owner, &all, &unknown).await.unwrap_err();
    assert!(matches!(&error, StoreError::UnknownCursor(id) if id == "other"), "{error}");
}
