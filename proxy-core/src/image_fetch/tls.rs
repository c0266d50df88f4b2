//! TLS for `https` images.
//!
//! Certificates are verified here and not by the operating system's verifier: on Windows and macOS that one
//! may follow revocation URLs that the server wrote into its own certificate, which would be a request to
//! anywhere at a stranger's word.

use std::io;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

/// A connector that trusts Mozilla's roots and the platform's. It installs no process-wide provider.
pub(super) async fn connector() -> Result<TlsConnector, rustls::Error> {
    trusting(crate::tls::roots().await)
}

/// A connector that trusts `roots`.
pub(super) fn trusting(roots: RootCertStore) -> Result<TlsConnector, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A session is never resumed, for no two fetches should be linked by a ticket.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The TLS name error as the kind of error that connecting has.
pub(super) fn invalid_name(error: rustls::pki_types::InvalidDnsNameError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}
