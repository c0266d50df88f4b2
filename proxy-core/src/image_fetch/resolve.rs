//! Name lookups.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

/// The addresses behind a name. Only tests use another than [`SystemResolver`].
pub(super) trait Resolve: Send + Sync {
    /// Looks `name` up once.
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
