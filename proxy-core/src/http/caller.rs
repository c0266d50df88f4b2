//! Where a request comes from: from the other end of the connection, or from the client of a reverse proxy.
//!
//! Forwarding headers are used only if the operator trusts the peer. A forwarded request never counts as a
//! request of this machine, even if the peer is trusted: a tunnel or a reverse proxy connects from loopback too.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use http::header::{FORWARDED, HOST, VIA};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Version};
use ipnet::IpNet;

use super::guard::is_loopback_host;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Headers that reverse proxies and tunnels add, besides all that begin with `x-forwarded-`.
const SIGNS: [HeaderName; 11] = [
    FORWARDED,
    VIA,
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-client-ip"),
    HeaderName::from_static("x-cluster-client-ip"),
    HeaderName::from_static("x-original-forwarded-for"),
    HeaderName::from_static("x-original-host"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("cf-connecting-ip"),
    HeaderName::from_static("cf-ray"),
    HeaderName::from_static("fastly-client-ip"),
];

/// The maximum number of hops that are read.
const MOST_HOPS: usize = 32;

/// The sender of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    /// The address of the client: the address of the peer, or the one that trusted proxies report.
    pub(super) address: Option<IpAddr>,
    /// The scheme that the client used: `http` or `https`.
    pub(super) scheme: &'static str,
    /// The host names that the client used, as trusted proxies report them.
    pub(super) hosts: Vec<HeaderValue>,
    near: bool,
    behind_trusted: bool,
}

impl Caller {
    /// Reads the caller from a request and its connection.
    pub(super) fn of(
        version: Version,
        headers: &HeaderMap,
        extensions: &Extensions,
        trusted: &[IpNet],
    ) -> Self {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip().to_canonical());
        let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
        let behind_trusted = peer.is_some_and(is_trusted);
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        // By default, nginx sends HTTP/1.0 and no forwarding headers to the server behind it.
        let speaks_for_itself =
            version >= Version::HTTP_11 && !is_forwarded(headers) && is_loopback_host(host);
        let mut caller = Self {
            address: peer,
            scheme: "http",
            hosts: Vec::new(),
            near: peer.is_some_and(|address| address.is_loopback()) && speaks_for_itself,
            behind_trusted,
        };
        if behind_trusted {
            let standard: Vec<_> = headers.get_all(FORWARDED).iter().flat_map(listed).collect();
            let said =
                |name: &str| standard.iter().filter_map(|hop| parameter(hop, name)).collect::<Vec<_>>();
            caller.address = peer.map(|peer| client(peer, headers, is_trusted));
            caller.hosts =
                headers.get_all(FORWARDED_HOST).iter().flat_map(listed).chain(said("host")).collect();
            let proto = headers.get_all(FORWARDED_PROTO).iter().next_back().cloned();
            if proto.or_else(|| said("proto").pop()).is_some_and(|proto| proto == "https") {
                caller.scheme = "https";
            }
        }
        caller
    }

    /// Whether the caller is a program on this machine, not a reverse proxy. It may use what needs a secret of
    /// this machine.
    pub(super) const fn is_near(&self) -> bool {
        self.near
    }

    /// The same, and no trusted proxy has this address: the caller may get what this machine gets without a
    /// secret.
    pub(super) const fn is_alone(&self) -> bool {
        self.near && !self.behind_trusted
    }
}

/// Whether a header shows that the request was forwarded.
pub(super) fn is_forwarded(headers: &HeaderMap) -> bool {
    SIGNS.iter().any(|name| headers.contains_key(name))
        || headers.keys().any(|name| name.as_str().starts_with("x-forwarded-"))
}

/// The last address on the way that is not a trusted proxy. If a hop cannot be read, the address after it.
fn client(peer: IpAddr, headers: &HeaderMap, is_trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let by_name: Vec<_> =
        headers.get_all(FORWARDED_FOR).iter().flat_map(listed).map(|hop| hop_of(&hop)).collect();
    let standard: Vec<_> =
        headers.get_all(FORWARDED).iter().flat_map(listed).map(|hop| standard_hop(&hop)).collect();
    // A proxy adds to one of the two headers, and the other may hold what the client has sent.
    let hops = match (by_name.is_empty(), standard.is_empty()) {
        (false, true) => by_name,
        (true, false) => standard,
        (false, false) if by_name == standard => by_name,
        (true, true) | (false, false) => return peer,
    };
    let mut address = peer;
    for hop in hops.into_iter().rev().take(MOST_HOPS) {
        if !is_trusted(address) {
            return address;
        }
        let Some(hop) = hop else { return address };
        address = hop;
    }
    address
}

/// The parts of the value of a header. A comma in quotes also separates: no address contains one.
fn listed(value: &HeaderValue) -> Vec<HeaderValue> {
    let parts = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    parts.map(|part| HeaderValue::from_bytes(part).unwrap_or(HeaderValue::from_static("?"))).collect()
}

/// An address, alone or with a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn hop_of(hop: &HeaderValue) -> Option<IpAddr> {
    let text = hop.to_str().ok()?;
    let address = match text.parse::<IpAddr>() {
        Ok(address) => address,
        Err(_) => match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(inside) => IpAddr::V6(inside.parse().ok()?),
            None => text.parse::<SocketAddr>().ok()?.ip(),
        },
    };
    Some(address.to_canonical())
}

/// The `for` of an element of `Forwarded`.
fn standard_hop(hop: &HeaderValue) -> Option<IpAddr> {
    hop_of(&parameter(hop, "for")?)
}

/// A parameter of an element of `Forwarded` (RFC 7239).
fn parameter(hop: &HeaderValue, name: &str) -> Option<HeaderValue> {
    let mut pairs = hop.to_str().ok()?.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(found, _)| found.trim().eq_ignore_ascii_case(name))?;
    let value = value.trim();
    let bare = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    HeaderValue::from_str(bare).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PROXY: &str = "10.0.0.2";

    fn caller(peer: &str, pairs: &[(&'static str, &'static str)]) -> Caller {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("127.0.0.1:11435"));
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let mut extensions = Extensions::new();
        extensions.insert(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 4000)));
        let trusted: Vec<IpNet> =
            ["10.0.0.0/8", "fd00::/8", "127.0.0.3/32"].iter().map(|net| net.parse().unwrap()).collect();
        Caller::of(Version::HTTP_11, &headers, &extensions, &trusted)
    }

    fn address(peer: &str, pairs: &[(&'static str, &'static str)]) -> String {
        caller(peer, pairs).address.unwrap().to_string()
    }

    #[test]
    fn only_a_trusted_peer_is_believed_and_only_up_to_the_first_who_is_not() {
        let xff = "x-forwarded-for";
        for (peer, pairs, expected) in [
            // Without a trusted peer, the address of the peer counts.
            ("203.0.113.7", &[(xff, "198.51.100.1")][..], "203.0.113.7"),
            ("127.0.0.1", &[(xff, "198.51.100.1"), ("forwarded", "for=198.51.100.1")], "127.0.0.1"),
            ("::ffff:203.0.113.7", &[(xff, "198.51.100.1")], "203.0.113.7"),
            // One hop, in every form.
            (PROXY, &[(xff, "198.51.100.1")], "198.51.100.1"),
            (PROXY, &[(xff, "198.51.100.1:4711")], "198.51.100.1"),
            (PROXY, &[(xff, "2001:db8::1")], "2001:db8::1"),
            (PROXY, &[(xff, "[2001:db8::1]")], "2001:db8::1"),
            (PROXY, &[(xff, "[2001:db8::1]:4711")], "2001:db8::1"),
            (PROXY, &[(xff, "::ffff:198.51.100.1")], "198.51.100.1"),
            ("fd00::5", &[(xff, " 198.51.100.1 ")], "198.51.100.1"),
            (PROXY, &[("forwarded", "for=198.51.100.1;proto=https;host=a.example")], "198.51.100.1"),
            (PROXY, &[("forwarded", "proto=https; For=\"[2001:db8::1]:4711\"")], "2001:db8::1"),
            // Several: what the client itself has written is on the left of what the proxy has added.
            (PROXY, &[(xff, "127.0.0.1, 198.51.100.1")], "198.51.100.1"),
            (PROXY, &[(xff, "127.0.0.1"), (xff, "198.51.100.1")], "198.51.100.1"),
            (PROXY, &[(xff, "127.0.0.1, 198.51.100.1, 10.9.9.9")], "198.51.100.1"),
            (PROXY, &[(xff, "10.1.1.1, 10.2.2.2")], "10.1.1.1"),
            (PROXY, &[("forwarded", "for=127.0.0.1, for=198.51.100.1")], "198.51.100.1"),
            // A hop that cannot be read ends the search.
            (PROXY, &[(xff, "198.51.100.1, garbage, 10.9.9.9")], "10.9.9.9"),
            (PROXY, &[(xff, "")], PROXY),
            (PROXY, &[(xff, "unknown")], PROXY),
            (PROXY, &[(xff, "198.51.100.1,")], PROXY),
            (PROXY, &[(xff, "198.51.100.1:99999")], PROXY),
            (PROXY, &[(xff, "[198.51.100.1]")], PROXY),
            (PROXY, &[("forwarded", "for=_hidden")], PROXY),
            (PROXY, &[("forwarded", "by=10.0.0.2")], PROXY),
            (PROXY, &[("forwarded", "for=\"198.51.100.1, for=198.51.100.2\"")], PROXY),
            // If the two headers differ, neither is used.
            (PROXY, &[(xff, "198.51.100.1"), ("forwarded", "for=198.51.100.2")], PROXY),
            (PROXY, &[(xff, "198.51.100.1"), ("forwarded", "for=198.51.100.1")], "198.51.100.1"),
        ] {
            assert_eq!(address(peer, pairs), expected, "{peer} {pairs:?}");
        }
    }

    #[test]
    fn more_hops_than_anybody_has_are_not_walked() {
        let long: &'static str = Box::leak(vec!["10.0.0.9"; 5000].join(",").into_boxed_str());
        assert_eq!(address(PROXY, &[("x-forwarded-for", long)]), "10.0.0.9");
    }

    #[test]
    fn scheme_and_host_are_a_trusted_peers_to_say() {
        let says = [("x-forwarded-proto", "https"), ("x-forwarded-host", "a.example, b.example")];
        let believed = caller(PROXY, &says);
        assert_eq!((believed.scheme, believed.hosts.len()), ("https", 2));
        let not = caller("203.0.113.7", &says);
        assert_eq!((not.scheme, not.hosts.len()), ("http", 0));
        let standard = [("forwarded", "for=198.51.100.1;proto=https;host=\"a.example:443\", for=10.0.0.3")];
        let believed = caller(PROXY, &standard);
        assert_eq!(
            (believed.scheme, &believed.hosts[..]),
            ("https", &[HeaderValue::from_static("a.example:443")][..])
        );
        assert!(caller("203.0.113.7", &standard).hosts.is_empty());
        let spoofed = caller(PROXY, &[("x-forwarded-proto", "https"), ("x-forwarded-proto", "http")]);
        assert_eq!(spoofed.scheme, "http");
    }

    #[test]
    fn whoever_comes_by_way_of_another_is_nobody_here() {
        assert!(caller("127.0.0.1", &[]).is_alone() && caller("::1", &[]).is_alone());
        assert!(!caller("203.0.113.7", &[]).is_near());
        let trusted = caller("127.0.0.3", &[]);
        assert!(trusted.is_near() && !trusted.is_alone(), "a reverse proxy that says nothing");
        let signs = SIGNS.map(|name| name.to_string());
        let signs = signs.iter().map(String::as_str);
        for sign in
            signs.chain(["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port"])
        {
            let sign: &'static str = Box::leak(sign.to_owned().into_boxed_str());
            for (peer, value) in [("127.0.0.1", "127.0.0.1"), ("127.0.0.3", "127.0.0.1"), ("::1", "")] {
                assert!(!caller(peer, &[(sign, value)]).is_near(), "{peer} {sign}");
            }
        }
    }

    #[test]
    fn an_old_version_or_a_public_name_is_a_reverse_proxys() {
        let of = |version, host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            let mut extensions = Extensions::new();
            extensions.insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 4000))));
            Caller::of(version, &headers, &extensions, &[]).is_near()
        };
        assert!(of(Version::HTTP_11, "localhost:11435"));
        assert!(!of(Version::HTTP_10, "localhost:11435"));
        assert!(!of(Version::HTTP_11, "codex.example"));
        assert!(!of(Version::HTTP_11, ""));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn an_address_is_read_in_every_form(address in any::<IpAddr>(), port in any::<u16>()) {
            let bracketed = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
            let quoted = format!("proto=https; For=\"{}\"", SocketAddr::new(address, port));
            let hop = |text: &str| HeaderValue::from_str(text).unwrap();
            for text in [address.to_string(), bracketed, SocketAddr::new(address, port).to_string()] {
                prop_assert_eq!(hop_of(&hop(&text)), Some(address.to_canonical()), "{}", text);
            }
            prop_assert_eq!(standard_hop(&hop(&quoted)), Some(address.to_canonical()));
        }

        #[test]
        fn whatever_headers_say_only_a_trusted_peer_is_believed(
            name in prop::sample::select(vec!["x-forwarded-for", "forwarded", "x-forwarded-host", "x-forwarded-proto", "via"]),
            values in prop::collection::vec(prop_oneof![
                "[ -~]{0,40}",
                "((for|host|proto)=\"?[0-9a-f.:\\[\\]]{0,20}\"?[;,] ?){0,4}",
                "((10|203)[.]0[.]113[.][0-9]{1,3}(:[0-9]{1,6})?,? ?){0,40}",
            ], 1..4),
            peer in prop::sample::select(vec![PROXY, "203.0.113.7", "127.0.0.1", "127.0.0.3"]),
        ) {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("127.0.0.1:11435"));
            for value in &values {
                headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
            }
            let mut extensions = Extensions::new();
            let peer: IpAddr = peer.parse().unwrap();
            extensions.insert(ConnectInfo(SocketAddr::new(peer, 4000)));
            let trusted: Vec<IpNet> = ["10.0.0.0/8", "127.0.0.3/32"].map(|net| net.parse().unwrap()).to_vec();
            let caller = Caller::of(Version::HTTP_11, &headers, &extensions, &trusted);
            prop_assert!(!caller.is_near() && !caller.is_alone(), "it came by way of another");
            let is_trusted = trusted.iter().any(|net| net.contains(&peer));
            if !is_trusted {
                prop_assert_eq!((caller.address, caller.scheme, caller.hosts.len()), (Some(peer), "http", 0));
            }
        }
    }
}
