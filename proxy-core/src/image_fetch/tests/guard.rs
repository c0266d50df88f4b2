//! Tests of the targets that a download may have.

use super::*;

/// Treats every address that is not this machine's as public.
struct NotThisMachine;

impl Policy for NotThisMachine {
    fn refuses(&self, address: &SocketAddr) -> Option<AddressKind> {
        address::own_address(address).unwrap().then_some(AddressKind::ThisMachine)
    }
}

#[tokio::test]
async fn the_strict_fetcher_refuses_every_spelling_of_a_private_address() {
    use AddressKind::*;
    let mut server = Server::image().await;
    let port = server.address.port();
    let fetcher = ImageFetcher::new(config());
    for (host, kind) in [
        ("127.0.0.1", Loopback),
        ("127.1", Loopback),
        ("2130706433", Loopback),
        ("0x7f.1", Loopback),
        ("0x7f000001", Loopback),
        ("0177.0.0.1", Loopback),
        ("017700000001", Loopback),
        ("127.0.0.1.", Loopback),
        ("\u{ff11}\u{ff12}\u{ff17}.0.0.1", Loopback),
        ("127\u{3002}0\u{3002}0\u{3002}1", Loopback),
        ("%31%32%37.0.0.1", Loopback),
        ("localhost", Loopback),
        ("LOCALHOST.", Loopback),
        ("a.localhost", Loopback),
        ("[::1]", Loopback),
        ("[0:0:0:0:0:0:0:1]", Loopback),
        ("[::ffff:127.0.0.1]", Loopback),
        ("[::ffff:7f00:1]", Loopback),
        ("[::127.0.0.1]", Transition),
        ("[64:ff9b::127.0.0.1]", Transition),
        ("[2002:7f00:1::]", Transition),
        ("0", Unspecified),
        ("0.0.0.0", Unspecified),
        ("[::]", Unspecified),
        ("10.0.0.1", Private),
        ("172.16.0.1", Private),
        ("192.168.1.1", Private),
        ("[fd00::1]", Private),
        ("[::ffff:10.0.0.1]", Private),
        ("169.254.169.254", LinkLocal),
        ("2852039166", LinkLocal),
        ("[fe80::1]", LinkLocal),
        ("100.64.0.1", Shared),
        ("168.63.129.16", CloudService),
        ("224.0.0.1", Multicast),
        ("255.255.255.255", Multicast),
        ("192.0.2.1", Reserved),
        ("[2001:db8::1]", Reserved),
    ] {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{port}/");
            assert_kind(fetcher.fetch(&url).await, kind, &url);
        }
    }
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn a_name_is_refused_when_any_of_its_addresses_is_not_public() {
    let mut server = Server::image().await;
    let names = Names::default()
        .name("private.test", &[&["10.0.0.1"]])
        .name("mixed.test", &[&["127.0.0.1", "93.184.215.14", "127.0.0.2"]])
        .name("mixed6.test", &[&["127.0.0.1", "2606:4700::1111", "::1"]])
        .name("mapped.test", &[&["127.0.0.1", "::ffff:169.254.169.254"]])
        .name("metadata.test", &[&["169.254.169.254"]]);
    let fetcher = fetcher_with(config(), names.clone(), Except(vec![server.address]));
    for (host, kind) in [
        ("private.test", AddressKind::Private),
        ("mixed.test", AddressKind::Loopback),
        ("mixed6.test", AddressKind::Loopback),
        ("mapped.test", AddressKind::LinkLocal),
        ("metadata.test", AddressKind::LinkLocal),
    ] {
        let result = fetcher.fetch(&format!("http://{host}:{}/", server.address.port())).await;
        let message = result.as_ref().unwrap_err().to_string();
        assert!(message.contains(host) && message.contains("data URL"), "{message}");
        assert!(!message.contains("169.254.") && !message.contains("10.0."), "{message}");
        assert_kind(result, kind, host);
    }
    assert_eq!(names.lookups(), 5);
    assert_eq!(server.requests(), 0, "the permitted address was not used either");
}

#[tokio::test]
async fn a_name_is_looked_up_once_and_the_connection_goes_where_the_check_went() {
    let mut server = Server::image().await;
    let names = Names::default().name("rebind.test", &[&["127.0.0.1"], &["127.0.0.2"], &["127.0.0.2"]]);
    let fetcher = fetcher_with(config(), names.clone(), Except(vec![server.address]));
    let url = format!("http://rebind.test:{}/", server.address.port());
    assert_eq!(fetcher.fetch(&url).await.unwrap().as_str(), PNG_URL);
    assert_eq!((names.lookups(), server.requests()), (1, 1));
    // The second download gets the second answer of the resolver, so this test would detect it.
    assert_kind(fetcher.fetch(&url).await, AddressKind::Loopback, "rebound");
    assert_eq!((names.lookups(), server.requests()), (2, 0));
}

#[tokio::test]
async fn each_redirect_is_looked_up_and_checked_anew() {
    let mut server = Server::redirect("/again").await;
    let names = Names::default().name("rebind.test", &[&["127.0.0.1"], &["127.0.0.2"]]);
    let fetcher = fetcher_with(config(), names.clone(), Except(vec![server.address]));
    let url = format!("http://rebind.test:{}/", server.address.port());
    assert_kind(fetcher.fetch(&url).await, AddressKind::Loopback, "rebound between hops");
    assert_eq!((names.lookups(), server.requests()), (2, 1));
}

#[tokio::test]
async fn the_machines_own_address_is_refused_though_it_looks_public() {
    let mut server = Server::image().await;
    let fetcher = fetcher_with(config(), Names::default(), NotThisMachine);
    assert_kind(fetcher.fetch(&server.url()).await, AddressKind::ThisMachine, "own address");
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn redirects_are_followed_to_permitted_places() {
    let image = Server::image().await;
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"] {
        let location = format!("Location: {}", image.url());
        let mut server = Server::start(answer(status, &[&location], b"moved")).await;
        let fetcher = fetcher(&[&server, &image]);
        assert_eq!(fetcher.fetch(&server.url()).await.unwrap().as_str(), PNG_URL);
        let request = server.requests.recv().await.unwrap();
        assert!(!request.to_lowercase().contains("referer"));
    }
}

#[tokio::test]
async fn redirects_to_other_places_are_refused() {
    let mut inside = Server::image().await;
    let port = inside.address.port();
    for location in [
        format!("http://127.0.0.1:{port}/"),
        format!("//127.0.0.1:{port}/"),
        format!("http://localhost:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://2130706433:{port}/"),
    ] {
        let server = Server::redirect(&location).await;
        assert_kind(fetcher(&[&server]).fetch(&server.url()).await, AddressKind::Loopback, &location);
    }
    assert_eq!(inside.requests(), 0);
    let server = Server::redirect("http://169.254.169.254/latest/meta-data/").await;
    assert_kind(fetcher(&[&server]).fetch(&server.url()).await, AddressKind::LinkLocal, "metadata");
    let server = Server::redirect("file:///etc/passwd").await;
    let error = fetcher(&[&server]).fetch(&server.url()).await.unwrap_err();
    assert!(matches!(error, FetchError::Scheme { .. }), "{error:?}");
    let server = Server::redirect("http://user:pass@example.com/").await;
    let error = fetcher(&[&server]).fetch(&server.url()).await.unwrap_err();
    assert!(matches!(error, FetchError::BadUrl { .. }), "{error:?}");
    let server = Server::start(answer("302 Found", &[], b"")).await;
    let error = fetcher(&[&server]).fetch(&server.url()).await.unwrap_err();
    assert!(matches!(error, FetchError::Redirects(RedirectError::NoLocation)), "{error:?}");
}

#[tokio::test]
async fn a_redirect_loop_ends_at_the_limit() {
    let mut server = Server::redirect("/a.png").await;
    let error = fetcher(&[&server]).fetch(&server.url()).await.unwrap_err();
    assert!(matches!(error, FetchError::Redirects(RedirectError::TooMany { limit: 2 })), "{error:?}");
    assert_eq!(server.requests(), 3);
    let none =
        fetcher_with(Config { max_redirects: 0, ..config() }, Names::default(), Except(vec![server.address]));
    let error = none.fetch(&server.url()).await.unwrap_err();
    assert!(matches!(error, FetchError::Redirects(RedirectError::TooMany { limit: 0 })), "{error:?}");
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a_mapped_address_is_used_as_the_ipv4_address_that_was_judged() {
    let server = Server::image().await;
    let names = Names::default().name("mapped.test", &[&["::ffff:127.0.0.1"]]);
    let fetcher = fetcher_with(config(), names, Except(vec![server.address]));
    let url = format!("http://mapped.test:{}/", server.address.port());
    assert_eq!(fetcher.fetch(&url).await.unwrap().as_str(), PNG_URL);
}
