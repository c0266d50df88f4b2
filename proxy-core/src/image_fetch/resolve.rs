//! Resolves host names.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

/// Resolves a name to addresses. Only tests use another one than [`SystemResolver`].
pub(super) trait Resolve: Send + Sync {
    /// Resolves `name` once.
    fn resolve<'a>(&'a self, name: &'a str, port: u16) -> Resolving<'a>;
}

pub(super) type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

/// The operating system's resolver, with its hosts file and search rules.
pub(super) struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str, port: u16) -> Resolving<'a> {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, port)).await?.collect()) })
    }
}
