//! Fetches the images that clients name by URL.
//!
//! Codex takes images as data URLs only, so an `https://` image is fetched here. The request is made from
//! the proxy's own place in the network on behalf of a client, which makes it a way to reach what only this
//! machine can reach. The guard is therefore one straight line, walked again for every redirect:
//!
//! 1. [`target`]: `http` or `https`, no userinfo, a host;
//! 2. [`resolve`]: one lookup;
//! 3. [`address`]: every address of the answer is public unicast, or none is used;
//! 4. [`connection`]: a connection to one of exactly those addresses, one request, one answer;
//! 5. [`image`]: what arrives is a PNG, JPEG, GIF or WebP of a size that Codex can take, counted as it arrives.
//!
//! There is no connection pool, proxy, cookie jar, cache or decompression to reason about: each hop is one
//! connection that ends with it. Nothing is spawned for it, so dropping the future closes everything.
//!
//! No message here repeats a URL's path or query, which may hold a signature.

mod address;
mod connection;
mod image;
mod resolve;
mod target;
mod tls;

#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::sync::{OnceCell, Semaphore};
use tokio_rustls::TlsConnector;
use url::Host;

pub use address::AddressKind;
pub use image::DataUrl;

use address::{Policy, PublicOnly};
use connection::Answer;
use image::Allowance;
use resolve::{Resolve, SystemResolver};
use target::{Scheme, Target};

use crate::budget::{Exhausted, Share};
use protocol::picture::Unfit;

/// How many fetches run at a time in this process; the others wait for their turn.
const MAX_CONCURRENT: usize = 16;
/// How many of them may be one request's: slow hosts of one client leave room for the others.
const MAX_OF_A_REQUEST: usize = 4;

static SLOTS: Semaphore = Semaphore::const_new(MAX_CONCURRENT);

/// What the fetcher may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Whether images are fetched at all. When false every fetch is [`FetchError::Disabled`].
    pub enabled: bool,
    /// The largest image accepted, in bytes before base64.
    pub max_bytes: usize,
    /// How long one fetch may take in all, once its turn has come: lookups, redirects and the whole body.
    pub timeout: Duration,
    /// How many redirects are followed; 0 follows none.
    pub max_redirects: u8,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            max_bytes: 20 * 1024 * 1024,
            timeout: Duration::from_secs(20),
            max_redirects: 3,
        }
    }
}

/// Why an image was not fetched. The messages are meant for the client; `source` is meant for the log.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Fetching is switched off.
    #[error(
        "this server does not fetch images by URL: send the image as a data URL (data:image/png;base64,...)"
    )]
    Disabled,
    /// The URL, or the one a redirect named, is not usable.
    #[error("the image URL {reason}, so correct it, or send the image as a data URL")]
    BadUrl {
        /// What is wrong with it, to be read after "the image URL".
        reason: &'static str,
    },
    /// The URL is neither `http` nor `https`.
    #[error(
        "image URLs must be http or https, and {scheme:?} is neither: send the image as a data URL (data:image/png;base64,...)"
    )]
    Scheme {
        /// The scheme as given, cut short when it is very long.
        scheme: String,
    },
    /// The host is, or resolves to, an address that is not on the public internet.
    #[error(
        "the image host {host} is {kind}, and images are fetched from public addresses only: send the image as a data URL"
    )]
    Forbidden {
        /// The host as the URL names it; never the address behind a name.
        host: String,
        /// What the address is.
        kind: AddressKind,
    },
    /// A redirect was not followed.
    #[error(
        "the image URL was not followed: {0}. Use the image's final URL, or send the image as a data URL"
    )]
    Redirects(RedirectError),
    /// The image host answered with something other than 200.
    #[error(
        "the image host answered with HTTP status {0}: check the image URL, or send the image as a data URL"
    )]
    Status(u16),
    /// The answer is no PNG, JPEG, GIF or WebP image.
    #[error(
        "the image URL does not lead to a PNG, JPEG, GIF or WebP image ({reason}): use the URL of the image itself, or send the image as a data URL"
    )]
    NotAnImage {
        /// What came instead.
        reason: String,
    },
    /// The image has more bytes than allowed.
    #[error("the image is larger than {limit} bytes: send a smaller one")]
    TooLarge {
        /// [`Config::max_bytes`].
        limit: usize,
    },
    /// The images of the request have more bytes together than allowed.
    #[error(
        "the images of this request have more than {limit} bytes together in Base64: send fewer or smaller ones"
    )]
    TooLargeTogether {
        /// For all of them, in Base64.
        limit: usize,
    },
    /// The image has more pixels than Codex can be given.
    #[error("the image {0}")]
    TooManyPixels(Unfit),
    /// The requests together hold as much as they may.
    #[error(transparent)]
    Busy(#[from] Exhausted),
    /// The fetch took longer than [`Config::timeout`].
    #[error("fetching the image took longer than {:.0} s: try again, or send the image as a data URL", .limit.as_secs_f64())]
    Timeout {
        /// [`Config::timeout`].
        limit: Duration,
    },
    /// The host's name has no address.
    #[error(
        "the image host {host} could not be resolved: check the image URL, or send the image as a data URL"
    )]
    Resolve {
        /// The host as the URL names it.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// No connection, or no TLS session, came about.
    #[error("no connection to the image host {host}: check the image URL, or send the image as a data URL")]
    Connect {
        /// The host as the URL names it.
        host: String,
        /// The last attempt's failure.
        source: io::Error,
    },
    /// The host's answer broke off or is not HTTP.
    #[error(
        "the image host {host} did not give a complete HTTP answer: try again, or send the image as a data URL"
    )]
    Answer {
        /// The host as the URL names it.
        host: String,
        /// What broke.
        source: hyper::Error,
    },
    /// This machine's TLS could not be set up.
    #[error("this server cannot open https connections: send the image as a data URL")]
    Tls(#[from] rustls::Error),
}

/// Why a redirect was not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RedirectError {
    /// There were more of them than [`Config::max_redirects`].
    #[error("it redirects more than {limit} times")]
    TooMany {
        /// [`Config::max_redirects`].
        limit: u8,
    },
    /// A redirect led from `https` to `http`.
    #[error("it redirects from https to http")]
    Downgrade,
    /// A redirect without a place to go.
    #[error("it redirects without saying where")]
    NoLocation,
}

/// Fetches images under guard. Cheap to clone.
#[derive(Clone)]
pub struct ImageFetcher {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    resolver: Box<dyn Resolve>,
    policy: Box<dyn Policy>,
    slots: &'static Semaphore,
    /// The certificate store is read when the first `https` image is asked for, not before.
    tls: OnceCell<TlsConnector>,
}

impl ImageFetcher {
    /// A fetcher that reaches public addresses only.
    pub fn new(config: Config) -> Self {
        Self {
            inner: Arc::new(Inner {
                config,
                resolver: Box::new(SystemResolver),
                policy: Box::new(PublicOnly),
                slots: &SLOTS,
                tls: OnceCell::new(),
            }),
        }
    }

    /// The fetches of one request, whose images may have `max_bytes` together in Base64. `share` holds what they
    /// take.
    pub fn batch<'a>(&'a self, max_bytes: usize, share: &'a Share) -> Batch<'a> {
        Batch {
            inner: &self.inner,
            places: Semaphore::new(MAX_OF_A_REQUEST),
            left: AtomicUsize::new(max_bytes),
            max_bytes,
            share,
        }
    }
}

/// The fetches of one request.
pub struct Batch<'a> {
    inner: &'a Inner,
    places: Semaphore,
    left: AtomicUsize,
    max_bytes: usize,
    share: &'a Share,
}

impl Batch<'_> {
    /// Fetches the image at `url`, following redirects. No clock runs until its turn has come.
    ///
    /// # Errors
    /// When it may not be fetched, cannot be reached within its time, or is no image that Codex takes.
    pub async fn fetch(&self, url: &str) -> Result<DataUrl, FetchError> {
        let config = &self.inner.config;
        if !config.enabled {
            return Err(FetchError::Disabled);
        }
        let target = Target::parse(url)?;
        let allowance = Allowance {
            image: config.max_bytes,
            left: &self.left,
            request: self.max_bytes,
            share: self.share,
        };
        // The semaphores are never closed; an error here would only mean that nothing limits the fetch.
        let _place = self.places.acquire().await.ok();
        let _slot = self.inner.slots.acquire().await.ok();
        tokio::time::timeout(config.timeout, self.inner.follow(target, allowance))
            .await
            .unwrap_or(Err(FetchError::Timeout { limit: config.timeout }))
    }
}

impl Inner {
    async fn follow(&self, mut target: Target, allowance: Allowance<'_>) -> Result<DataUrl, FetchError> {
        let mut followed = 0;
        loop {
            let addresses = self.addresses(&target).await?;
            let stream = connection::dial(&addresses, target.host()).await?;
            let answer = match target.scheme() {
                Scheme::Http => connection::exchange(stream, &target, allowance).await?,
                Scheme::Https => {
                    let tls = self.tls.get_or_try_init(tls::connector).await?;
                    let stream = connection::secure(tls, stream, &target).await?;
                    connection::exchange(stream, &target, allowance).await?
                }
            };
            match answer {
                Answer::Image(image) => return Ok(image),
                Answer::Redirect(location) => {
                    let limit = self.config.max_redirects;
                    if followed == limit {
                        return Err(FetchError::Redirects(RedirectError::TooMany { limit }));
                    }
                    followed += 1;
                    target = target.redirect(&location)?;
                }
            }
        }
    }

    /// The addresses that may be connected to: all that the host has, or none.
    async fn addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, FetchError> {
        let addresses = match target.url_host() {
            Host::Ipv4(ip) => vec![SocketAddr::from((*ip, target.port()))],
            Host::Ipv6(ip) => vec![SocketAddr::from((*ip, target.port()))],
            Host::Domain(name) => self
                .resolver
                .resolve(name, target.port())
                .await
                .map_err(|source| FetchError::Resolve { host: target.host().to_owned(), source })?,
        };
        if addresses.is_empty() {
            let source = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            return Err(FetchError::Resolve { host: target.host().to_owned(), source });
        }
        // A mapped address reaches the IPv4 address inside it, so that is the one to judge and to use.
        let addresses: Vec<_> =
            addresses.into_iter().map(|a| SocketAddr::new(a.ip().to_canonical(), target.port())).collect();
        match addresses.iter().find_map(|address| self.policy.refuses(address)) {
            Some(kind) => Err(FetchError::Forbidden { host: target.host().to_owned(), kind }),
            None => Ok(addresses),
        }
    }
}
