//! Placeholder for the composition root.

use tokio_util::sync::CancellationToken;

use crate::Config;

/// The running proxy.
#[derive(Debug)]
pub struct Proxy {}

/// Why the proxy could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// There is nothing to start yet.
    #[error("not built yet")]
    NotBuilt,
}

impl Proxy {
    /// Starts everything.
    #[expect(clippy::unused_async, reason = "the signature of the real one")]
    pub async fn start(_config: Config) -> Result<Self, ProxyError> {
        Err(ProxyError::NotBuilt)
    }

    /// Runs until `shutdown` is cancelled, then drains.
    #[expect(clippy::unused_async, reason = "the signature of the real one")]
    pub async fn wait(self, _shutdown: CancellationToken) -> Result<(), ProxyError> {
        Err(ProxyError::NotBuilt)
    }
}
