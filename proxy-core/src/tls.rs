//! The trusted root certificates for TLS: those of Mozilla and those of the platform together.
//!
//! Mozilla's are needed in a minimal container and on Windows, where the store is filled on demand. The
//! platform's (or the file in `SSL_CERT_FILE`) include the certificate that a company has added to its machines.

use rustls::RootCertStore;
use tracing::{debug, warn};

/// Reads the root certificates.
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
