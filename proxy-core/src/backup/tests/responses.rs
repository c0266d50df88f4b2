use super::*;
use crate::response_store::{self, ResponseStore, Saved, Status};
use crate::secret::KeyId;

fn stored(owner: &KeyId, id: &str) -> Saved {
    Saved {
        id: id.to_owned(),
        owner: owner.clone(),
        created_at: 1,
        status: Status::Completed,
        background: false,
        stream: false,
        parent: None,
        conversation: None,
        object: json!({"id": id, "output": [{"id": "msg_1", "text": format!("secret of {id}")}]}),
        input: Vec::new(),
    }
}

#[tokio::test]
async fn stored_responses_are_in_an_encrypted_backup_only() {
    let (from, to) = (World::used(), World::empty());
    let config = response_store::Config { enabled: true, max_age: None, max_bytes: None };
    let owner = KeyId::parse("key_a").unwrap();
    let file = |world: &World| world.places.data_dir.join("responses.db");
    let has = |manifest: &Manifest| manifest.files.iter().any(|file| file.path == "data/responses.db");
    let store = ResponseStore::open(config, &from.places.data_dir);
    let none = gather(&from.places, false).unwrap().manifest;
    assert_eq!(none.left_out, [""; 0], "nothing is stored, so nothing is left out");
    for id in ["resp_1", "resp_2"] {
        store.save(stored(&owner, id)).await.unwrap();
    }
    assert!(store.delete(&owner, "resp_2").await.unwrap());

    // All of it while the proxy runs.
    let right = passphrase("a long passphrase");
    let (open, sealed) = (from.backup(None), from.backup(Some(&right)));
    let manifest = check(&open, None).unwrap();
    assert!(!has(&manifest));
    let said = &manifest.left_out[0];
    assert!(
        said.contains("stored responses") && said.contains("an encrypted backup includes them"),
        "{said}"
    );
    assert!(has(&check(&sealed, Some(&right)).unwrap()));

    restore(&sealed, Some(&right), &to.places, false).unwrap();
    let text = fs::read(file(&to)).unwrap();
    assert!(memchr::memmem::find(&text, b"secret of resp_1").is_some());
    assert!(memchr::memmem::find(&text, b"secret of resp_2").is_none(), "what was deleted stays so");
    let restored = ResponseStore::open(config, &to.places.data_dir);
    assert!(restored.response(&owner, "resp_1").await.unwrap().is_some());
    assert_eq!(restored.response(&owner, "resp_2").await.unwrap(), None);
    restored.save(stored(&owner, "resp_3")).await.unwrap();
    restored.close().await;

    // A backup without them replaces none, one with them keeps what is there aside.
    restore(&open, None, &to.places, true).unwrap();
    assert!(memchr::memmem::find(&fs::read(file(&to)).unwrap(), b"secret of resp_3").is_some());
    let again = restore(&sealed, Some(&right), &to.places, true).unwrap();
    let aside = |dir: &PathBuf| fs::read(dir.join("responses.db")).ok();
    let kept: Vec<_> = again.aside.iter().filter_map(aside).collect();
    assert_eq!(kept.len(), 1);
    assert!(memchr::memmem::find(&kept[0], b"secret of resp_3").is_some());
    assert!(memchr::memmem::find(&fs::read(file(&to)).unwrap(), b"secret of resp_3").is_none());
}

#[tokio::test]
async fn responses_that_cannot_be_copied_are_left_out_and_newer_ones_are_not_put_in_place() {
    let (from, to) = (World::used(), World::empty());
    let config = response_store::Config { enabled: true, max_age: None, max_bytes: None };
    let file = from.places.data_dir.join("responses.db");
    let store = ResponseStore::open(config, &from.places.data_dir);
    store.save(stored(&KeyId::parse("key_a").unwrap(), "resp_1")).await.unwrap();
    store.close().await;
    rusqlite::Connection::open(&file).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let right = passphrase("a long passphrase");
    let newer = from.backup(Some(&right));
    let error = restore(&newer, Some(&right), &to.places, false).unwrap_err().to_string();
    assert!(error.contains("newer Codex Proxy"), "{error}");
    assert_eq!(to.files(), []);

    fs::write(&file, "no database").unwrap();
    let manifest = gather(&from.places, true).unwrap().manifest;
    assert!(manifest.left_out[0].contains("not a database"), "{:?}", manifest.left_out);
    assert!(manifest.files.iter().any(|file| file.path == "data/proxy.db"), "everything else is there");
}
