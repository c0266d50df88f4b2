//! Downloads the images that clients send as URLs.
//!
//! Codex accepts images only as data URLs, so an `https://` image is downloaded here. The proxy makes this
//! request for a client, so without a guard a client could reach addresses that only this machine can reach. The
//! guard is one sequence of steps, and it is repeated for every redirect:
//!
//! 1. [`target`]: `http` or `https`, no userinfo, a host;
//! 2. [`resolve`]: one lookup;
//! 3. [`address`]: every address of the answer is public unicast, or none is used;
//! 4. [`connection`]: a connection to one of exactly those addresses, one request, one answer;
//! 5. [`image`]: the content is a PNG, JPEG, GIF or WebP of a size that Codex accepts; its length is checked
//!    while it is received.
//!
//! There is no connection pool, proxy, cookie jar, cache or decompression: each hop uses one connection, and
//! closes it. No task is spawned, so dropping the future closes everything.
//!
//! No message here contains the path or the query of a URL, which may contain a signature.

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

/// The maximum number of downloads at one time in this process; further ones wait.
const MAX_CONCURRENT: usize = 16;
/// The maximum number for one request, so that slow hosts of one client do not block others.
const MAX_OF_A_REQUEST: usize = 4;

static SLOTS: Semaphore = Semaphore::const_new(MAX_CONCURRENT);

/// The limits of downloads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Whether images are downloaded at all. If false, every fetch is [`FetchError::Disabled`].
    pub enabled: bool,
    /// The maximum size of an image, in bytes before base64.
    pub max_bytes: usize,
    /// The maximum time of one download after its wait in the queue: lookups, redirects and the whole body.
    pub timeout: Duration,
    /// The maximum number of redirects; 0 for none.
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

/// Why an image was not downloaded. The messages are for the client; `source` is for the log.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Downloads are disabled.
    #[error(
        "this server does not fetch images by URL: send the image as a data URL (data:image/png;base64,...)"
    )]
    Disabled,
    /// The URL, or that of a redirect, cannot be used.
    #[error("the image URL {reason}, so correct it, or send the image as a data URL")]
    BadUrl {
        /// The problem, to be read after "the image URL".
        reason: &'static str,
    },
    /// The URL is neither `http` nor `https`.
    #[error(
        "image URLs must be http or https, and {scheme:?} is neither: send the image as a data URL (data:image/png;base64,...)"
    )]
    Scheme {
        /// The scheme as given, shortened if it is very long.
        scheme: String,
    },
    /// The host is, or resolves to, an address that is not on the public internet.
    #[error(
        "the image host {host} is {kind}, and images are fetched from public addresses only: send the image as a data URL"
    )]
    Forbidden {
        /// The host as written in the URL; never the address behind a name.
        host: String,
        /// The kind of the address.
        kind: AddressKind,
    },
    /// A redirect was not followed.
    #[error(
        "the image URL was not followed: {0}. Use the image's final URL, or send the image as a data URL"
    )]
    Redirects(RedirectError),
    /// The status of the answer is not 200.
    #[error(
        "the image host answered with HTTP status {0}: check the image URL, or send the image as a data URL"
    )]
    Status(u16),
    /// The answer is not a PNG, JPEG, GIF or WebP image.
    #[error(
        "the image URL does not lead to a PNG, JPEG, GIF or WebP image ({reason}): use the URL of the image itself, or send the image as a data URL"
    )]
    NotAnImage {
        /// What was received instead.
        reason: String,
    },
    /// The image is larger than allowed.
    #[error("the image is larger than {limit} bytes: send a smaller one")]
    TooLarge {
        /// [`Config::max_bytes`].
        limit: usize,
    },
    /// The images of the request are together larger than allowed.
    #[error(
        "the images of this request have more than {limit} bytes together in Base64: send fewer or smaller ones"
    )]
    TooLargeTogether {
        /// The limit for all of them, in bytes of Base64.
        limit: usize,
    },
    /// The image has more pixels than Codex accepts.
    #[error("the image {0}")]
    TooManyPixels(Unfit),
    /// All requests together hold the maximum amount of memory.
    #[error(transparent)]
    Busy(#[from] Exhausted),
    /// The download took longer than [`Config::timeout`].
    #[error("fetching the image took longer than {:.0} s: try again, or send the image as a data URL", .limit.as_secs_f64())]
    Timeout {
        /// [`Config::timeout`].
        limit: Duration,
    },
    /// The name of the host has no address.
    #[error(
        "the image host {host} could not be resolved: check the image URL, or send the image as a data URL"
    )]
    Resolve {
        /// The host as the URL names it.
        host: String,
        /// The error from the resolver.
        source: io::Error,
    },
    /// No connection or no TLS session could be established.
    #[error("no connection to the image host {host}: check the image URL, or send the image as a data URL")]
    Connect {
        /// The host as the URL names it.
        host: String,
        /// The error of the last attempt.
        source: io::Error,
    },
    /// The answer ended too early, or is not HTTP.
    #[error(
        "the image host {host} did not give a complete HTTP answer: try again, or send the image as a data URL"
    )]
    Answer {
        /// The host as the URL names it.
        host: String,
        /// The error of the connection.
        source: hyper::Error,
    },
    /// TLS could not be initialized on this machine.
    #[error("this server cannot open https connections: send the image as a data URL")]
    Tls(#[from] rustls::Error),
}

/// Why a redirect was not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RedirectError {
    /// There are more redirects than [`Config::max_redirects`].
    #[error("it redirects more than {limit} times")]
    TooMany {
        /// [`Config::max_redirects`].
        limit: u8,
    },
    /// A redirect led from `https` to `http`.
    #[error("it redirects from https to http")]
    Downgrade,
    /// A redirect without a target.
    #[error("it redirects without saying where")]
    NoLocation,
}

/// Downloads images under the guard. Cheap to clone.
#[derive(Clone)]
pub struct ImageFetcher {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    resolver: Box<dyn Resolve>,
    policy: Box<dyn Policy>,
    slots: &'static Semaphore,
    /// The certificate store is read only for the first `https` image.
    tls: OnceCell<TlsConnector>,
}

impl ImageFetcher {
    /// A fetcher that reaches only public addresses.
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

    /// The downloads of one request, whose images may together have `max_bytes` of Base64. `share` counts their
    /// memory.
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

/// The downloads of one request.
pub struct Batch<'a> {
    inner: &'a Inner,
    places: Semaphore,
    left: AtomicUsize,
    max_bytes: usize,
    share: &'a Share,
}

impl Batch<'_> {
    /// Downloads the image at `url` and follows redirects. The timeout starts after the wait in the queue.
    ///
    /// # Errors
    /// If it must not be downloaded, cannot be reached in time, or is not an image that Codex accepts.
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
        // The semaphores are never closed; an error here would only mean that the number of downloads is not
        // limited.
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

    /// The addresses for the connection: all addresses of the host, or none if one is not public.
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
        // A mapped address reaches the IPv4 address inside it, so this one is checked and used.
        let addresses: Vec<_> =
            addresses.into_iter().map(|a| SocketAddr::new(a.ip().to_canonical(), target.port())).collect();
        match addresses.iter().find_map(|address| self.policy.refuses(address)) {
            Some(kind) => Err(FetchError::Forbidden { host: target.host().to_owned(), kind }),
            None => Ok(addresses),
        }
    }
}
