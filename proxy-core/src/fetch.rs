//! Fetching the images that a request names by URL.

use std::time::Duration;

/// What the operator decides about fetching images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Whether image URLs are fetched at all.
    pub enabled: bool,
    /// Largest image in bytes.
    pub max_bytes: usize,
    /// Longest that one image may take, redirects included.
    pub timeout: Duration,
    /// Most redirects that are followed.
    pub max_redirects: u8,
}
