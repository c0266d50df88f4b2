//! TLS for `https` images.
//!
//! Certificates are verified here and not by the verifier of the operating system: on Windows and macOS it may
//! load revocation URLs from the certificate of the server, so the server could cause requests to any address.

use std::io;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

/// A connector that trusts the root certificates of Mozilla and of the platform. It installs no process-wide
/// provider.
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
    // Sessions are never resumed, because a ticket would link two downloads.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Converts the error of an invalid TLS name to the type of connection errors.
pub(super) fn invalid_name(error: rustls::pki_types::InvalidDnsNameError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}
