//! The store does what a simple model of it does.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    /// By which key, continuing which of the responses so far, how old, to which conversation.
    Save {
        key: bool,
        parent: Option<prop::sample::Index>,
        is_old: bool,
        conversation: Option<bool>,
    },
    Delete {
        key: bool,
        which: prop::sample::Index,
    },
    DeleteItem {
        which: prop::sample::Index,
    },
    DeleteConversation,
    Prune,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let index = any::<prop::sample::Index>;
    let save =
        (any::<bool>(), prop::option::weighted(0.8, index()), any::<bool>(), prop::option::of(any::<bool>()))
            .prop_map(|(key, parent, is_old, conversation)| Step::Save { key, parent, is_old, conversation });
    let step = prop_oneof![
        8 => save,
        4 => (any::<bool>(), index()).prop_map(|(key, which)| Step::Delete { key, which }),
        1 => index().prop_map(|which| Step::DeleteItem { which }),
        1 => Just(Step::DeleteConversation),
        1 => Just(Step::Prune),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..40)
}

#[derive(Debug)]
struct Known {
    id: String,
    owner: KeyId,
    parent: Option<usize>,
    is_old: bool,
    is_live: bool,
    history: Vec<String>,
    /// Which of its items are in the conversation, if it still is there.
    in_conversation: BTreeMap<String, usize>,
}

/// What should be stored.
#[derive(Debug, Default)]
struct Model {
    known: Vec<Known>,
    /// The conversation of the first key, again after each removal.
    conversation: usize,
    conversation_items: Vec<String>,
}

impl Model {
    /// Whether a live response is or continues this one.
    fn is_needed(&self, which: usize) -> bool {
        let mut children = (0..self.known.len()).filter(|child| self.known[*child].parent == Some(which));
        self.known[which].is_live || children.any(|child| self.is_needed(child))
    }

    fn rows(&self) -> usize {
        (0..self.known.len()).filter(|which| self.is_needed(*which)).count()
    }

    fn item_rows(&self) -> usize {
        let own = (0..self.known.len()).filter(|which| self.is_needed(*which)).count() * 2;
        let shared = |known: &Known| {
            known.in_conversation.values().filter(|conversation| **conversation == self.conversation).count()
        };
        let gone = (0..self.known.len()).filter(|which| !self.is_needed(*which));
        own + gone.map(|which| shared(&self.known[which])).sum::<usize>()
    }
}

fn owner(is_first: bool) -> KeyId {
    key(if is_first { "a" } else { "b" })
}

async fn begin_conversation(scene: &Scene, number: usize) {
    let conversation = json!({"id": format!("conv_{number}"), "created_at": now(), "metadata": {}});
    scene.store.create_conversation(&owner(true), conversation, vec![]).await.unwrap();
}

async fn take(scene: &mut Scene, model: &mut Model, step: &Step) {
    let config = scene.store.0.config;
    match step {
        Step::Save { key, parent, is_old, conversation } => {
            let (id, owner) = (format!("r{}", model.known.len()), owner(*key));
            let parent =
                parent.filter(|_| !model.known.is_empty()).map(|which| which.index(model.known.len()));
            let mut saved = response(&owner, &id, parent.map(|which| model.known[which].id.as_str()));
            saved.created_at -= if *is_old { 40 * 86_400 } else { 0 };
            let in_conversation = conversation.is_some();
            let is_incomplete = *conversation == Some(true);
            if in_conversation {
                saved.conversation = Some(format!("conv_{}", model.conversation));
            }
            if is_incomplete {
                saved.status = Status::Incomplete;
            }
            let parent_fits =
                parent.is_none_or(|which| model.known[which].is_live && model.known[which].owner == owner);
            let result = scene.store.save(saved).await;
            if !parent_fits || (in_conversation && !*key) {
                assert!(matches!(
                    result,
                    Err(StoreError::UnknownParent(_) | StoreError::UnknownConversation(_))
                ));
                return;
            }
            result.unwrap();
            let mut history = parent.map(|which| model.known[which].history.clone()).unwrap_or_default();
            let own = [format!("in_{id}"), format!("out_{id}")];
            history.extend(own.clone());
            let mut shared = BTreeMap::new();
            if in_conversation {
                model.conversation_items.extend(own.clone());
                shared.extend(own.map(|item| (item, model.conversation)));
            }
            let (is_live, is_old) = (true, *is_old);
            model.known.push(Known { id, owner, parent, is_old, is_live, history, in_conversation: shared });
        }
        Step::Delete { key, which } if !model.known.is_empty() => {
            let which = which.index(model.known.len());
            let known = &mut model.known[which];
            let may = known.is_live && known.owner == owner(*key);
            assert_eq!(scene.store.delete(&owner(*key), &known.id).await.unwrap(), may);
            known.is_live &= !may;
        }
        Step::DeleteItem { which } if !model.conversation_items.is_empty() => {
            let item = model.conversation_items.remove(which.index(model.conversation_items.len()));
            let conversation = format!("conv_{}", model.conversation);
            let left =
                scene.store.delete_conversation_item(&owner(true), &conversation, &item).await.unwrap();
            assert!(left.is_some());
            for known in &mut model.known {
                known.in_conversation.remove(&item);
            }
        }
        Step::DeleteConversation => {
            let conversation = format!("conv_{}", model.conversation);
            assert!(!scene.store.delete_conversation(&owner(false), &conversation).await.unwrap());
            assert!(scene.store.delete_conversation(&owner(true), &conversation).await.unwrap());
            model.conversation += 1;
            model.conversation_items.clear();
            begin_conversation(scene, model.conversation).await;
        }
        Step::Prune => {
            let old = model.known.iter_mut().filter(|known| known.is_live && known.is_old);
            let removed = old.map(|known| known.is_live = false).count();
            assert_eq!(scene.store.prune().await.unwrap(), removed as u64);
        }
        Step::Reopen => {
            scene.reopen(config).await;
            scene.store.0.writer.lock().await.pruned_at = Some(Instant::now());
        }
        Step::Delete { .. } | Step::DeleteItem { .. } => {}
    }
}

async fn compare(scene: &Scene, model: &Model) {
    for known in &model.known {
        for is_first in [true, false] {
            let (reader, own) = (owner(is_first), format!("out_{}", known.id));
            let expected = (known.is_live && known.owner == reader).then_some(known.history.clone());
            let history = scene.store.history(&reader, &known.id, stored_item).await.unwrap();
            assert_eq!(history.map(|items| ids(&items)), expected);
            let stored = scene.store.response(&reader, &known.id).await.unwrap();
            assert_eq!(
                stored.map(|stored| stored.object["output"][0]["id"].clone()),
                expected.is_some().then(|| own.clone().into())
            );
            let item = !scene.store.items(&reader, std::slice::from_ref(&own)).await.unwrap().is_empty();
            let in_conversation = is_first && model.conversation_items.contains(&own);
            assert_eq!(item, expected.is_some() || in_conversation);
        }
    }
    let conversation = format!("conv_{}", model.conversation);
    let items =
        scene.store.conversation_history(&owner(true), &conversation, stored_item).await.unwrap().unwrap();
    assert_eq!(ids(&items), model.conversation_items);
    assert_eq!(scene.count("SELECT count(*) FROM response").await, model.rows() as i64);
    assert_eq!(scene.count("SELECT count(*) FROM item").await, model.item_rows() as i64);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_store_is_like_its_model(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let thirty_days = Duration::from_secs(30 * 86_400);
            let mut scene = Scene::with(Config { max_age: Some(thirty_days), ..config() });
            let mut model = Model::default();
            // From here on, only the steps prune.
            scene.store.prune().await.unwrap();
            begin_conversation(&scene, 0).await;
            for step in &steps {
                take(&mut scene, &mut model, step).await;
                compare(&scene, &model).await;
            }
        });
    }
}
