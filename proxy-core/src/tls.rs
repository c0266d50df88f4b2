//! Whom this program believes over TLS: Mozilla's roots and the platform's together.
//!
//! Mozilla's serve a bare container and a Windows store, which is filled on demand; the platform's (or the file in
//! `SSL_CERT_FILE`) bring the root that a company added to its machines.

use rustls::RootCertStore;
use tracing::{debug, warn};

/// The roots of trust, read anew.
pub async fn roots() -> RootCertStore {
    let native = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    match native {
        Ok(native) => {
            for error in &native.errors {
                warn!(%error, "a part of the system's certificate store could not be read");
            }
            let (added, ignored) = roots.add_parsable_certificates(native.certs);
            debug!(added, ignored, "read the system's certificate store");
        }
        Err(error) => warn!(%error, "the system's certificate store could not be read"),
    }
    roots
}
