//! The checked URL of one hop.

use url::{Host, Position, Url};

use super::{AddressKind, FetchError, RedirectError};

/// The maximum length of a URL in bytes: signed URLs are much shorter, and servers need not accept longer ones.
const MAX_URL_BYTES: usize = 8 * 1024;

/// The supported schemes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

/// An `http` or `https` URL with a host and without userinfo.
#[derive(Debug)]
pub(super) struct Target {
    url: Url,
    scheme: Scheme,
    host: Host<String>,
    /// The host as written in the URL, an IPv6 address in brackets.
    host_text: String,
    port: u16,
}

impl Target {
    /// Checks the URL that a client sent. The URL parser normalizes every spelling of an IPv4 address.
    pub(super) fn parse(url: &str) -> Result<Self, FetchError> {
        let url =
            Url::parse(url).map_err(|_| FetchError::BadUrl { reason: "is not a valid absolute URL" })?;
        Self::new(url)
    }

    /// The target of a redirect, checked in the same way.
    pub(super) fn redirect(&self, location: &[u8]) -> Result<Self, FetchError> {
        let url = str::from_utf8(location).ok().and_then(|location| self.url.join(location).ok());
        let bad = FetchError::BadUrl { reason: "redirects to something that is not a valid URL" };
        let next = Self::new(url.ok_or(bad)?)?;
        match (self.scheme, next.scheme) {
            (Scheme::Https, Scheme::Http) => Err(FetchError::Redirects(RedirectError::Downgrade)),
            (Scheme::Https, Scheme::Https) | (Scheme::Http, Scheme::Http | Scheme::Https) => Ok(next),
        }
    }

    pub(super) fn scheme(&self) -> Scheme {
        self.scheme
    }

    pub(super) fn host(&self) -> &str {
        &self.host_text
    }

    pub(super) fn url_host(&self) -> &Host<String> {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The value of the `Host` header.
    pub(super) fn authority(&self) -> &str {
        &self.url[Position::BeforeHost..Position::AfterPort]
    }

    /// The request target: path and query without the fragment.
    pub(super) fn path_and_query(&self) -> &str {
        &self.url[Position::BeforePath..Position::AfterQuery]
    }

    fn new(url: Url) -> Result<Self, FetchError> {
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => return Err(FetchError::Scheme { scheme: other.chars().take(32).collect() }),
        };
        if url.as_str().len() > MAX_URL_BYTES {
            return Err(FetchError::BadUrl { reason: "is longer than 8 KiB" });
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(FetchError::BadUrl { reason: "contains a user name or password" });
        }
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(FetchError::BadUrl { reason: "has no host" });
        };
        let (host, host_text) = (host.to_owned(), host.to_string());
        if let Host::Domain(name) = &host
            && is_localhost(name)
        {
            return Err(FetchError::Forbidden { host: host_text, kind: AddressKind::Loopback });
        }
        Ok(Self { url, scheme, host, host_text, port })
    }
}

/// Names that always mean this machine (RFC 6761, section 6.3).
fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_request_line_and_host_come_from_the_parsed_url() {
        for (url, authority, path, port) in [
            ("http://Example.com", "example.com", "/", 80),
            ("https://example.com:443/a b?c=d e#f", "example.com", "/a%20b?c=d%20e", 443),
            ("https://example.com:8443/../x", "example.com:8443", "/x", 8443),
            ("http:\\\\example.com\\x\r\n", "example.com", "/x", 80),
            ("http://[2606:4700::1]:81/", "[2606:4700::1]:81", "/", 81),
            ("http://b\u{fc}cher.example/", "xn--bcher-kva.example", "/", 80),
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!(
                (target.authority(), target.path_and_query(), target.port()),
                (authority, path, port),
                "{url}"
            );
        }
    }

    #[test]
    fn other_schemes_are_refused_without_repeating_the_url() {
        for url in [
            "file:///etc/passwd",
            "data:image/png;base64,iVBORw0KGgo=",
            "ftp://example.com/a.png",
            "gopher://example.com/_x",
            "javascript:alert(1)",
            "unix:/run/docker.sock",
            "ws://example.com/",
        ] {
            let error = Target::parse(url).unwrap_err();
            assert!(matches!(error, FetchError::Scheme { .. }), "{url}: {error:?}");
            assert!(error.to_string().contains("data URL"));
            assert!(!error.to_string().contains("passwd"));
        }
    }

    #[test]
    fn unusable_urls_are_refused() {
        let long = format!("http://example.com/{}", "a".repeat(MAX_URL_BYTES));
        for url in [
            "",
            "example.com/a.png",
            "/a.png",
            "http://",
            "http://exa mple.com/",
            "http://256.256.256.256/",
            "http://[fe80::1%25eth0]/",
            "http://user@example.com/",
            "http://:secret@example.com/",
            "http://user:secret@example.com/",
            "http://127.0.0.1:80@example.com/",
            "http://example.com:65536/",
            &long,
        ] {
            let error = Target::parse(url).unwrap_err();
            assert!(matches!(error, FetchError::BadUrl { .. }), "{url}: {error:?}");
            assert!(!error.to_string().contains("secret"));
        }
    }

    #[test]
    fn a_redirect_is_checked_like_the_first_url() {
        let secure = Target::parse("https://example.com/a/b").unwrap();
        let plain = Target::parse("http://example.com/a/b").unwrap();
        assert_eq!(secure.redirect(b"../c").unwrap().path_and_query(), "/c");
        assert_eq!(secure.redirect(b"//other.example/c").unwrap().scheme(), Scheme::Https);
        assert_eq!(plain.redirect(b"https://example.com/").unwrap().scheme(), Scheme::Https);
        assert_eq!(plain.redirect("/\u{e9}".as_bytes()).unwrap().path_and_query(), "/%C3%A9");
        assert!(matches!(
            secure.redirect(b"http://example.com/").unwrap_err(),
            FetchError::Redirects(RedirectError::Downgrade)
        ));
        assert!(matches!(plain.redirect(b"file:///etc/passwd").unwrap_err(), FetchError::Scheme { .. }));
        assert!(matches!(plain.redirect(b"http://u:p@example.com/").unwrap_err(), FetchError::BadUrl { .. }));
        assert!(matches!(plain.redirect(b"http://\xff/").unwrap_err(), FetchError::BadUrl { .. }));
        assert!(matches!(plain.redirect(b"http://[").unwrap_err(), FetchError::BadUrl { .. }));
        assert!(matches!(
            plain.redirect(b"http://localhost/").unwrap_err(),
            FetchError::Forbidden { kind: AddressKind::Loopback, .. }
        ));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_asked_for_fits_one_line_of_a_request(
            url in prop_oneof![any::<String>(), "https?:[/\\\\]{1,2}[ -~]{0,60}", "https?://[a-z.]{1,20}\\PC{0,20}"],
            location in prop_oneof![prop::collection::vec(any::<u8>(), 0..60), "[ -~]{0,40}".prop_map(String::into_bytes)],
        ) {
            let Ok(target) = Target::parse(&url) else { return Ok(()) };
            let plain = |text: &str| text.bytes().all(|byte| (0x21..0x7f).contains(&byte));
            prop_assert!(plain(target.authority()) && plain(target.path_and_query()) && target.path_and_query().starts_with('/'));
            prop_assert!(!target.authority().contains('@') && !target.path_and_query().contains('#'));
            if let Ok(next) = target.redirect(&location) {
                prop_assert!(target.scheme() == Scheme::Http || next.scheme() == Scheme::Https);
                prop_assert!(plain(next.authority()) && plain(next.path_and_query()));
            }
        }
    }
}
