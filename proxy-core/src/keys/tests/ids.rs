//! The ids of keys, and which key they belong to over time.

use super::*;

/// The id of the accepted key with this text.
fn id_of(ring: &KeyRing, key: &str) -> KeyId {
    ring.pass(key.as_bytes()).unwrap().id
}

#[test]
fn a_key_keeps_its_id_and_a_later_one_of_its_name_has_another() {
    let scene = Scene::new();
    let ring = scene.open();
    let default = id_of(&ring, &text(&ring, "default"));
    let made = ring.create("phone").unwrap().key.id;
    assert_eq!(id_of(&ring, &text(&ring, "phone")), made);
    ring.rename("phone", "tablet").unwrap();
    ring.rotate("tablet").unwrap();
    assert_eq!(id_of(&ring, &text(&ring, "tablet")), made, "neither its name nor its text is it");
    ring.delete("tablet").unwrap();
    assert_ne!(ring.create("tablet").unwrap().key.id, made);
    assert_eq!(id_of(&scene.open(), &text(&ring, "default")), default);
}

#[test]
fn the_operators_key_has_an_id_until_it_is_another_key() {
    let mut scene = Scene::new();
    let configured = |scene: &mut Scene, key: &str| {
        scene.api_key = Some(ApiKey::parse(key).unwrap());
        let ring = scene.open();
        let id = id_of(&ring, key);
        let list = ring.list();
        assert_eq!((&list.keys[0].id, &*list.keys[0].name), (&id, "PROXY_API_KEY"));
        assert_eq!(text(&ring, id.as_str()), key);
        assert!(matches!(ring.rotate(id.as_str()), Err(KeyRingError::Configured)));
        id
    };
    let one = configured(&mut scene, "operators-key");
    assert_eq!(configured(&mut scene, "operators-key"), one);
    let before = fs::read(scene.path("keys.json")).unwrap();
    assert_eq!(configured(&mut scene, "operators-key"), one);
    assert_eq!(fs::read(scene.path("keys.json")).unwrap(), before, "nothing is written where nothing is new");
    let two = configured(&mut scene, "operators-key2");
    assert_ne!(two, one, "a new key gets at nothing of the old one");
    assert_eq!(configured(&mut scene, "operators-key"), one);
    scene.api_key = None;
    scene.open();
    assert_eq!(configured(&mut scene, "operators-key2"), two, "one that comes back is the same");
    assert!(!scene.on_disk().contains("operators-key"));
}

#[cfg(unix)]
#[test]
fn an_operators_key_whose_id_cannot_be_noted_is_accepted() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut scene = Scene::new();
    scene.api_key = Some(ApiKey::parse("operators-key").unwrap());
    let closed = fs::Permissions::from_mode(0o500);
    fs::set_permissions(scene.directory.path(), closed).unwrap();
    let ring = scene.open();
    fs::set_permissions(scene.directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
    // Root can read and write everything.
    let is_root = rustix::process::geteuid().is_root();
    assert_eq!(scene.directory.path().join("keys.json").exists(), is_root);
    assert_eq!(passes(&ring, "operators-key").as_deref(), Some("PROXY_API_KEY"));
}
