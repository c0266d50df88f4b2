use super::*;

fn private(address: &str) -> bool {
    is_private(address.parse().unwrap())
}

#[test]
fn only_addresses_that_the_internet_cannot_reach_are_private() {
    for address in [
        "192.168.1.20",
        "10.0.0.5",
        "172.16.0.1",
        "172.31.255.255",
        "169.254.3.4",
        "127.0.0.2",
        "::1",
        "fd12::1",
        "fe80::1",
        "::ffff:192.168.1.20",
    ] {
        assert!(private(address), "{address}");
    }
    for address in [
        "0.0.0.0",
        "::",
        "8.8.8.8",
        "192.0.2.2",
        "172.32.0.1",
        "192.169.0.1",
        "11.0.0.1",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "2001:db8::1",
        "2a00:1450::1",
        "::ffff:8.8.8.8",
        "ff02::1",
    ] {
        assert!(!private(address), "{address}");
    }
}

#[test]
fn what_is_kept_is_read_again_and_nothing_else_is_shared() {
    let dir = tempfile::tempdir().unwrap();
    let wanted = || Sharing::read(dir.path(), 11435).doors().wanted.borrow().clone();
    assert_eq!(wanted(), None);
    let shared = Shared {
        address: "192.168.1.20:11435".parse().unwrap(),
        key: KeyId::parse("key_0123456789abcdef").unwrap(),
    };
    let sharing = Sharing::read(dir.path(), 11435);
    sharing.keep(&shared).unwrap();
    assert_eq!(wanted(), Some(shared));
    let file = dir.path().join(FILE);
    for broken in [
        r#"{"address":"8.8.8.8","key":"key_0123456789abcdef"}"#,
        r#"{"address":"0.0.0.0","key":"key_0123456789abcdef"}"#,
        r#"{"address":"192.168.1.20"}"#,
        r#"{"address":"192.168.1.20","key":""}"#,
        "{",
        "",
    ] {
        fs::write(&file, broken).unwrap();
        assert_eq!(wanted(), None, "{broken}");
    }
    sharing.forget().unwrap();
    sharing.forget().unwrap();
    assert!(!file.exists());
}
