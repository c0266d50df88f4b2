//! TLS for `https` images.
//!
//! Certificates are verified here and not by the operating system's verifier: on Windows and macOS that one
//! may follow revocation URLs that the server wrote into its own certificate, which would be a request to
//! anywhere at a stranger's word. The roots are Mozilla's and the platform's together. Mozilla's serve a
//! bare container and a Windows store, which is filled on demand; the platform's bring the root that a
//! company added to its machines.

use std::io;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use tracing::{debug, warn};

/// A connector that trusts Mozilla's roots and the platform's. It installs no process-wide provider.
pub(super) async fn connector() -> Result<TlsConnector, rustls::Error> {
    let native = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    match native {
        Ok(native) => {
            for error in &native.errors {
                warn!(%error, "part of the platform's certificate store could not be read");
            }
            let (added, ignored) = roots.add_parsable_certificates(native.certs);
            debug!(added, ignored, "read the platform's certificate store");
        }
        Err(error) => warn!(%error, "the platform's certificate store could not be read"),
    }
    trusting(roots)
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
