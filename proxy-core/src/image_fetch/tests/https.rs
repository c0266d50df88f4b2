//! Downloads over TLS.

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;

struct Identity {
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

fn identity(names: &[&str]) -> Identity {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    Identity { certificate: cert.der().clone(), key: signing_key }
}

async fn serve(identity: &Identity, answer: Vec<u8>) -> SocketAddr {
    let key = PrivateKeyDer::try_from(identity.key.serialize_der()).unwrap();
    let mut config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![identity.certificate.clone()], key)
            .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that does not trust the certificate ends the handshake.
            if let Ok(mut stream) = acceptor.accept(stream).await {
                respond(&mut stream, &answer).await;
            }
        }
    });
    address
}

async fn respond(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), answer: &[u8]) {
    read_head(stream).await;
    stream.write_all(answer).await.unwrap();
    let _ = stream.shutdown().await;
}

/// A fetcher that trusts only `identity` and resolves `img.test` and `other.test` to 127.0.0.1.
fn fetcher(identity: &Identity, servers: &[SocketAddr]) -> ImageFetcher {
    let mut roots = RootCertStore::empty();
    roots.add(identity.certificate.clone()).unwrap();
    let names = Names::default().name("img.test", &[&["127.0.0.1"]]).name("other.test", &[&["127.0.0.1"]]);
    let mut fetcher = fetcher_with(config(), names, Except(servers.to_vec()));
    Arc::get_mut(&mut fetcher.inner).unwrap().tls = OnceCell::new_with(Some(tls::trusting(roots).unwrap()));
    fetcher
}

#[tokio::test]
async fn an_image_is_fetched_by_name_and_by_address() {
    let identity = identity(&["img.test", "127.0.0.1"]);
    let server = serve(&identity, answer("200 OK", &[], PNG)).await;
    let fetcher = fetcher(&identity, &[server]);
    for host in ["img.test", "127.0.0.1"] {
        let url = format!("https://{host}:{}/", server.port());
        assert_eq!(fetcher.fetch(&url).await.unwrap().as_str(), PNG_URL, "{host}");
    }
}

#[tokio::test]
async fn a_certificate_must_be_trusted_and_name_the_host() {
    let identity_a = identity(&["img.test"]);
    let identity_b = identity(&["img.test"]);
    let server = serve(&identity_a, answer("200 OK", &[], PNG)).await;
    let wrong_name = format!("https://other.test:{}/", server.port());
    let error = fetcher(&identity_a, &[server]).fetch(&wrong_name).await.unwrap_err();
    assert!(matches!(error, FetchError::Connect { .. }), "{error:?}");
    let right_name = format!("https://img.test:{}/", server.port());
    let error = fetcher(&identity_b, &[server]).fetch(&right_name).await.unwrap_err();
    assert!(matches!(error, FetchError::Connect { .. }), "{error:?}");
    assert!(fetcher(&identity_a, &[server]).fetch(&right_name).await.is_ok());
}

#[tokio::test]
async fn a_redirect_from_https_to_http_is_refused() {
    let mut plain = Server::image().await;
    let identity = identity(&["img.test"]);
    let location = format!("Location: {}", plain.url());
    let server = serve(&identity, answer("302 Found", &[&location], b"")).await;
    let error = fetcher(&identity, &[server, plain.address])
        .fetch(&format!("https://img.test:{}/", server.port()))
        .await
        .unwrap_err();
    assert!(matches!(error, FetchError::Redirects(RedirectError::Downgrade)), "{error:?}");
    assert_eq!(plain.requests(), 0);
}

#[tokio::test]
async fn the_roots_of_production_trust_no_strangers() {
    let identity = identity(&["img.test"]);
    let server = serve(&identity, answer("200 OK", &[], PNG)).await;
    let names = Names::default().name("img.test", &[&["127.0.0.1"]]);
    let fetcher = fetcher_with(config(), names, Except(vec![server]));
    assert!(!fetcher.inner.tls.initialized());
    let error = fetcher.fetch(&format!("https://img.test:{}/", server.port())).await.unwrap_err();
    assert!(matches!(error, FetchError::Connect { .. }), "{error:?}");
    assert!(fetcher.inner.tls.initialized());
}
