//! Responses and what continues them.

use super::*;

#[tokio::test]
async fn a_response_comes_back_as_it_was_saved_and_a_reopened_store_has_it() {
    let mut scene = Scene::new();
    let mut saved = response(&scene.owner, "r1", None);
    saved.stream = true;
    scene.store.save(saved.clone()).await.unwrap();
    for _ in 0..2 {
        let stored = scene.store.response(&scene.owner, "r1").await.unwrap().unwrap();
        assert_eq!(stored.object.to_string(), saved.object.to_string(), "also in the order of its fields");
        assert_eq!((stored.background, stored.stream, stored.status), (false, true, Status::Completed));
        scene.reopen(config()).await;
    }
    assert_eq!(scene.count("SELECT count(*) FROM response WHERE instr(object, 'answer') > 0").await, 0);
}

#[tokio::test]
async fn branches_share_their_history() {
    let scene = Scene::new();
    scene.save("r1", None).await;
    for (id, parent) in [("r2", "r1"), ("r3", "r1"), ("r4", "r3")] {
        scene.save(id, Some(parent)).await;
    }
    assert_eq!(scene.history("r2").await.unwrap(), ["in_r1", "out_r1", "in_r2", "out_r2"]);
    assert_eq!(scene.history("r4").await.unwrap(), ["in_r1", "out_r1", "in_r3", "out_r3", "in_r4", "out_r4"]);
    assert_eq!(scene.count("SELECT count(*) FROM item").await, 8);
}

#[tokio::test]
async fn to_another_key_everything_is_unknown() {
    let (scene, other) = (Scene::new(), key("b"));
    scene.save("r1", None).await;
    let conversation = json!({"id": "conv_1", "object": "conversation", "created_at": 1, "metadata": {}});
    scene.store.create_conversation(&scene.owner, conversation, vec![input("c")]).await.unwrap();
    let store = &scene.store;
    assert_eq!(store.history(&other, "r1", stored_item).await.unwrap(), None);
    assert_eq!(store.response(&other, "r1").await.unwrap(), None);
    assert_eq!(store.input_items(&other, "r1", &page(9)).await.unwrap(), None);
    assert!(!store.delete(&other, "r1").await.unwrap());
    let wanted = ["in_r1".to_owned(), "out_r1".to_owned(), "in_c".to_owned(), "none".to_owned()];
    assert!(store.items(&other, &wanted).await.unwrap().is_empty());
    assert_eq!(store.items(&scene.owner, &wanted).await.unwrap().len(), 3);
    let error = store.save(response(&other, "r2", Some("r1"))).await.unwrap_err();
    assert!(matches!(&error, StoreError::UnknownParent(id) if id == "r1"), "{error}");
    let in_conversation =
        |owner: &KeyId| Saved { conversation: Some("conv_1".into()), ..response(owner, "r3", None) };
    let error = store.save(in_conversation(&other)).await.unwrap_err();
    assert!(matches!(&error, StoreError::UnknownConversation(id) if id == "conv_1"), "{error}");
    assert!(!store.add_conversation_items(&other, "conv_1", vec![input("x")]).await.unwrap());
    assert!(!store.delete_conversation(&other, "conv_1").await.unwrap());
    assert_eq!(store.conversation(&other, "conv_1").await.unwrap(), None);
    assert_eq!(store.conversation_history(&other, "conv_1", stored_item).await.unwrap(), None);
    assert_eq!(store.conversation_items(&other, "conv_1", &page(9)).await.unwrap(), None);
    assert_eq!(store.conversation_item(&other, "conv_1", "in_c").await.unwrap(), None);
    assert_eq!(store.delete_conversation_item(&other, "conv_1", "in_c").await.unwrap(), None);
    assert_eq!(store.update_conversation(&other, "conv_1", json!({})).await.unwrap(), None);
    store.save(in_conversation(&scene.owner)).await.unwrap();
    let error = store.save(response(&other, "r1", None)).await.unwrap_err();
    assert!(matches!(error, StoreError::Exists(_)), "{error}");
}

#[tokio::test]
async fn a_deleted_response_is_unknown_but_those_that_continue_it_keep_it_until_the_last_is_gone() {
    let scene = Scene::new();
    for (id, parent) in [("r1", None), ("r2", Some("r1")), ("r3", Some("r2")), ("r4", Some("r2"))] {
        scene.save(id, parent).await;
    }
    let before = scene.history("r3").await;
    for id in ["r2", "r1"] {
        assert!(scene.store.delete(&scene.owner, id).await.unwrap());
        assert!(!scene.store.delete(&scene.owner, id).await.unwrap());
        assert_eq!(scene.history(id).await, None);
        assert_eq!(scene.store.response(&scene.owner, id).await.unwrap(), None);
        assert_eq!(scene.store.input_items(&scene.owner, id, &page(9)).await.unwrap(), None);
        assert!(scene.store.items(&scene.owner, &[format!("out_{id}")]).await.unwrap().is_empty());
        let error = scene.store.save(response(&scene.owner, "r5", Some(id))).await.unwrap_err();
        assert!(matches!(error, StoreError::UnknownParent(_)), "{error}");
    }
    assert_eq!(scene.history("r3").await, before);
    assert!(scene.store.delete(&scene.owner, "r3").await.unwrap());
    assert!(scene.has_text("answer of r1"));
    assert!(scene.store.delete(&scene.owner, "r4").await.unwrap());
    for table in ["SELECT count(*) FROM response", "SELECT count(*) FROM item"] {
        assert_eq!(scene.count(table).await, 0);
    }
    for id in ["r1", "r2", "r3", "r4"] {
        assert!(!scene.has_text(&format!("answer of {id}")) && !scene.has_text(&format!("in_{id}")));
    }
}

#[tokio::test]
async fn a_background_response_is_replaced_until_it_is_over() {
    let scene = Scene::new();
    let (store, owner) = (&scene.store, &scene.owner);
    let status = async || store.response(owner, "r1").await.unwrap().unwrap().status;
    store.save(running(owner, "r1", Status::Queued)).await.unwrap();
    assert_eq!(status().await, Status::Queued);
    store.save(running(owner, "r1", Status::InProgress)).await.unwrap();
    assert_eq!(status().await, Status::InProgress);
    let over = Saved { background: true, ..response(owner, "r1", None) };
    store.save(over.clone()).await.unwrap();
    let stored = store.response(owner, "r1").await.unwrap().unwrap();
    assert_eq!((stored.status, &stored.object), (Status::Completed, &over.object));
    assert_eq!(scene.history("r1").await.unwrap(), ["in_r1", "out_r1"]);
    assert!(matches!(store.save(over).await, Err(StoreError::Exists(_))));
    scene.save("r2", None).await;
    assert!(matches!(store.save(response(owner, "r2", None)).await, Err(StoreError::Exists(_))));
}

#[tokio::test]
async fn a_response_that_is_deleted_while_it_runs_does_not_come_back() {
    let scene = Scene::new();
    let (store, owner) = (&scene.store, &scene.owner);
    store.save(running(owner, "r1", Status::InProgress)).await.unwrap();
    assert!(store.delete(owner, "r1").await.unwrap());
    assert_eq!(scene.count("SELECT count(*) FROM item").await, 0);
    store.save(running(owner, "r1", Status::InProgress)).await.unwrap();
    assert_eq!(store.response(owner, "r1").await.unwrap(), None);
    store.save(Saved { background: true, ..response(owner, "r1", None) }).await.unwrap();
    assert_eq!(store.response(owner, "r1").await.unwrap(), None);
    assert_eq!(scene.count("SELECT count(*) FROM response").await, 0);
    assert_eq!(scene.count("SELECT count(*) FROM item").await, 0);
}

#[tokio::test]
async fn what_still_runs_when_the_proxy_ends_has_failed() {
    let mut scene = Scene::new();
    let owner = scene.owner.clone();
    for (id, status) in [("r1", Status::Queued), ("r2", Status::InProgress), ("r4", Status::InProgress)] {
        scene.store.save(running(&owner, id, status)).await.unwrap();
    }
    scene.save("r3", None).await;
    assert!(scene.store.delete(&owner, "r4").await.unwrap());
    scene.reopen(config()).await;
    for id in ["r1", "r2"] {
        let stored = scene.store.response(&owner, id).await.unwrap().unwrap();
        assert_eq!((stored.status, stored.background), (Status::Failed, true));
        assert_eq!(stored.object["status"], "failed");
        assert_eq!(stored.object["error"]["code"], "server_error");
        assert!(stored.object["error"]["message"].as_str().unwrap().contains("proxy ended"));
        assert_eq!(scene.history(id).await.unwrap(), [format!("in_{id}")]);
    }
    assert_eq!(scene.store.response(&owner, "r3").await.unwrap().unwrap().status, Status::Completed);
    assert_eq!(scene.count("SELECT count(*) FROM response").await, 3, "the deleted one is gone");
}

#[tokio::test]
async fn input_items_are_what_the_model_was_given_in_pages() {
    let scene = Scene::new();
    scene.save("r1", None).await;
    scene.save("r2", Some("r1")).await;
    let mut last = response(&scene.owner, "r3", Some("r2"));
    last.input.push(input("r3b"));
    scene.store.save(last).await.unwrap();
    let all = ["in_r1", "out_r1", "in_r2", "out_r2", "in_r3", "in_r3b"];
    let list = async |page: &Page| {
        let listed = scene.store.input_items(&scene.owner, "r3", page).await.unwrap().unwrap();
        (ids(&listed.data), listed.has_more)
    };
    assert_eq!(list(&page(100)).await, (all.map(str::to_owned).to_vec(), false));
    assert!(!list(&page(6)).await.1);
    let mut backwards = all.to_vec();
    backwards.reverse();
    for descending in [false, true] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let (some, has_more) = list(&Page { descending, after, ..page(4) }).await;
            after = some.last().cloned();
            seen.extend(some);
            if !has_more {
                break;
            }
        }
        assert_eq!(seen, if descending { backwards.clone() } else { all.to_vec() });
    }
    let before = |limit, after: Option<&str>| Page {
        before: Some("in_r3".into()),
        after: after.map(str::to_owned),
        ..page(limit)
    };
    assert_eq!(list(&before(2, None)).await, (vec!["in_r2".into(), "out_r2".into()], true));
    assert_eq!(list(&before(2, Some("in_r1"))).await, (vec!["out_r1".into(), "in_r2".into()], true));
    assert_eq!(list(&before(9, Some("in_r3b"))).await, (vec![], false));
    for unknown in ["out_r3", "nothing"] {
        let page = Page { after: Some(unknown.into()), ..page(2) };
        let error = scene.store.input_items(&scene.owner, "r3", &page).await.unwrap_err();
        assert!(matches!(&error, StoreError::UnknownCursor(id) if id == unknown), "{error}");
    }
}

#[tokio::test]
async fn an_item_by_its_id_is_the_newest_copy() {
    let scene = Scene::new();
    for (id, text) in [("r1", "old"), ("r2", "new")] {
        let mut saved = response(&scene.owner, id, None);
        saved.input = vec![json!({"id": "same", "text": text})];
        scene.store.save(saved).await.unwrap();
    }
    let same = async || scene.store.items(&scene.owner, &["same".into()]).await.unwrap();
    assert_eq!(same().await["same"]["text"], "new");
    assert!(scene.store.delete(&scene.owner, "r2").await.unwrap());
    assert_eq!(same().await["same"]["text"], "old");
}

#[tokio::test]
async fn long_chains_are_read_with_one_look_for_each_response() {
    let scene = Scene::new();
    let mut parent = None;
    for number in 0..500 {
        let id = format!("r{number}");
        scene.save(&id, parent.as_deref()).await;
        parent = Some(id);
    }
    assert_eq!(scene.history("r499").await.unwrap().len(), 1000);
    let scans = scene
        .store
        .peek(|connection| {
            let mut plan = connection
                .prepare("EXPLAIN QUERY PLAN SELECT item FROM item WHERE response = 1 ORDER BY number")?;
            let rows = plan.query_map([], |row| row.get::<_, String>(3))?;
            rows.collect::<Result<Vec<_>, _>>()
        })
        .await;
    assert!(scans.iter().all(|line| line.contains("item_response")), "{scans:?}");
}

#[tokio::test]
async fn what_is_at_hand_is_of_its_key_and_goes_with_what_is_removed() {
    let scene = Scene::new();
    let (store, owner) = (&scene.store, &scene.owner);
    scene.save("r1", None).await;
    let other = key("other");
    // Not what the database has, so that the two can be told apart.
    let kept = || vec![HistoryItem::of(&json!({"type": "message", "role": "user", "content": "at hand"}))];
    let read = || async { store.continued(owner, "r1").await.unwrap().map(|items| items == kept()) };
    store.keep_at_hand(owner, "r1", kept());
    assert_eq!(store.continued(&other, "r1").await.unwrap(), None);
    assert_eq!(read().await, Some(true));
    assert_eq!(read().await, Some(false), "a second branch is read from the database");
    store.keep_at_hand(owner, "r1", kept());
    scene.save("r2", Some("r1")).await;
    store.delete(owner, "r2").await.unwrap();
    assert_eq!(read().await, Some(false), "any deletion forgets what is at hand");
    store.delete(owner, "r1").await.unwrap();
    store.keep_at_hand(owner, "r1", kept());
    assert_eq!(read().await, None, "only what is stored can be continued");
    store.keep_at_hand(owner, "r1", kept());
    store.clear().await.unwrap();
    assert_eq!(read().await, None);
}
