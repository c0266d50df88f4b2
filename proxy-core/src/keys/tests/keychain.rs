//! The behaviour of keychains, and the keys that move into and out of them.

use super::*;

#[test]
fn what_the_keychain_does_not_let_go_is_reported_and_removed_later() {
    let scene = Scene::new();
    let ring = scene.open();
    let key = text(&ring, "default");
    scene.keychain.fails(Some(locked()));
    let warning = ring.delete("default").unwrap().unwrap();
    assert!(warning.contains("locked") && !warning.contains(&key), "{warning}");
    assert_eq!(passes(&ring, &key), None);
    assert!(ring.list().warning.unwrap().contains("may still hold 1 texts"));
    assert_eq!(scene.keychain.secrets(), [key]);

    let later = scene.open();
    scene.keychain.fails(None);
    later.round();
    assert_eq!(scene.keychain.secrets(), [""; 0]);
    assert!(!later.list().warning.unwrap().contains("may still hold"));
}

#[test]
fn a_text_that_may_have_come_into_the_keychain_is_removed_again() {
    let scene = Scene::new();
    scene.keychain.fails(Some(KeychainError::Silent(Duration::from_secs(3))));
    let ring = scene.open();
    let index = ring.snapshot().index.clone();
    let [leftover] = &*index.leftovers else { panic!("{index:?}") };
    // The call without a waiting caller comes to an end.
    scene.keychain.0.lock().unwrap().secrets.insert(index.account(leftover), "late".to_owned());
    scene.keychain.fails(None);
    ring.round();
    assert_eq!(scene.keychain.secrets(), [text(&ring, "default")]);
}

#[test]
fn only_a_person_is_asked_to_unlock() {
    let scene = Scene::new();
    let ring = scene.open();
    let key = text(&ring, "default");
    scene.keychain.fails(Some(locked()));
    let message = ring.reveal("default").unwrap_err().to_string();
    assert!(message.contains("locked") && message.contains("Unlock the keychain"), "{message}");
    scene.keychain.0.lock().unwrap().person_helps = true;
    assert_eq!(text(&ring, "default"), key);
    assert_eq!(ring.create("phone").unwrap().key.secret_in, SecretIn::File);
    ring.round();
    assert_eq!(ring.list().keys[1].secret_in, SecretIn::File);
    let list = ring.migrate(Destination::Keychain).unwrap();
    assert!(list.keys.iter().all(|key| key.secret_in == SecretIn::Keychain));
}

#[test]
fn keys_move_to_the_file_and_stay_there_and_back() {
    let scene = Scene::new();
    let ring = scene.open();
    let key = text(&ring, "default");
    let list = ring.migrate(Destination::File).unwrap();
    assert_eq!((list.store, only(&list).secret_in), (SecretIn::File, SecretIn::File));
    assert_eq!((scene.keychain.secrets(), text(&ring, "default")), (vec![], key.clone()));
    ring.round();
    let ring = scene.open();
    ring.round();
    assert_eq!(ring.create("phone").unwrap().key.secret_in, SecretIn::File);
    assert_eq!(scene.keychain.secrets(), [""; 0], "a person has chosen the file");

    let list = ring.migrate(Destination::Keychain).unwrap();
    assert!(list.keys.iter().all(|key| key.secret_in == SecretIn::Keychain));
    assert_eq!((scene.keychain.secrets().len(), text(&ring, "default")), (2, key));
    assert!(!scene.path("key-secrets").exists());
}

#[test]
fn a_text_that_was_changed_or_removed_elsewhere_is_not_given_out() {
    let scene = Scene::new();
    let ring = scene.open();
    for value in scene.keychain.0.lock().unwrap().secrets.values_mut() {
        *value = "another-key".to_owned();
    }
    assert!(matches!(ring.reveal("default"), Err(KeyRingError::Lost { .. })));
    scene.keychain.0.lock().unwrap().secrets.clear();
    assert!(matches!(ring.reveal("default"), Err(KeyRingError::Lost { .. })));
    ring.rotate("default").unwrap();
    assert_eq!(passes(&ring, &text(&ring, "default")).as_deref(), Some("default"));
}
