//! Decides which addresses are on the public internet.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The kind of an address that is not public. Its `Display` reads after "the host is".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressKind {
    /// 127.0.0.0/8, `::1`, and the name `localhost`.
    Loopback,
    /// RFC 1918 and `fc00::/7`, and the retired `fec0::/10`.
    Private,
    /// 169.254.0.0/16 (where clouds keep their metadata services) and `fe80::/10`.
    LinkLocal,
    /// 100.64.0.0/10, shared by the customers of a carrier or cloud.
    Shared,
    /// A service of a cloud for its own machines, at an address that looks public.
    CloudService,
    /// Multicast or broadcast.
    Multicast,
    /// 0.0.0.0/8 and `::`.
    Unspecified,
    /// An IPv6 address that wraps an IPv4 address: 6to4, Teredo, NAT64, IPv4-compatible.
    Transition,
    /// Documentation, benchmarking, protocol assignments and everything not allocated.
    Reserved,
    /// A public address of the machine that the proxy runs on.
    ThisMachine,
}

impl fmt::Display for AddressKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::LinkLocal => "a link-local address",
            Self::Shared => "a shared (carrier-grade NAT) address",
            Self::CloudService => "a cloud platform's internal service",
            Self::Multicast => "a multicast or broadcast address",
            Self::Unspecified => "an unspecified address",
            Self::Transition => "an IPv6 transition address",
            Self::Reserved => "a reserved address",
            Self::ThisMachine => "the server's own machine",
        })
    }
}

/// Decides which addresses may be connected to. Only tests use another policy than [`PublicOnly`].
pub(super) trait Policy: Send + Sync {
    /// Why this address may not be connected to, or `None` if it may.
    fn refuses(&self, address: &SocketAddr) -> Option<AddressKind>;
}

/// Public unicast addresses of other machines.
pub(super) struct PublicOnly;

impl Policy for PublicOnly {
    fn refuses(&self, address: &SocketAddr) -> Option<AddressKind> {
        // If the kernel has no answer, it has no route either, and the connection fails.
        special_kind(address.ip())
            .or_else(|| own_address(address).unwrap_or(false).then_some(AddressKind::ThisMachine))
    }
}

/// The kind of `ip`, if it is not a public unicast address.
pub(super) fn special_kind(ip: IpAddr) -> Option<AddressKind> {
    match ip.to_canonical() {
        IpAddr::V4(ip) => special_v4(ip),
        IpAddr::V6(ip) => special_v6(ip),
    }
}

/// Based on the IANA IPv4 Special-Purpose Address Registry.
fn special_v4(ip: Ipv4Addr) -> Option<AddressKind> {
    match ip.octets() {
        [0, ..] => Some(AddressKind::Unspecified),
        [127, ..] => Some(AddressKind::Loopback),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Some(AddressKind::Private),
        [169, 254, ..] => Some(AddressKind::LinkLocal),
        [100, 64..=127, ..] => Some(AddressKind::Shared),
        // Azure serves the configuration of each virtual machine at this address.
        [168, 63, 129, 16] => Some(AddressKind::CloudService),
        // The anycast prefix of 6to4 relays, which is no longer used.
        [192, 88, 99, _] => Some(AddressKind::Transition),
        [192, 0, 0 | 2, _] | [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => {
            Some(AddressKind::Reserved)
        }
        [224..=239, ..] | [255, 255, 255, 255] => Some(AddressKind::Multicast),
        [240..=255, ..] => Some(AddressKind::Reserved),
        [1..=223, ..] => None,
    }
}

/// Based on the IANA IPv6 Special-Purpose Address Registry. Global unicast addresses are allocated only from
/// `2000::/3`, so all others are not public.
fn special_v6(ip: Ipv6Addr) -> Option<AddressKind> {
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some(AddressKind::Unspecified),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some(AddressKind::Loopback),
        [0, 0, 0, 0, 0, 0, ..] | [0x64, 0xff9b, ..] | [0x2002, ..] | [0x2001, 0, ..] => {
            Some(AddressKind::Transition)
        }
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Some(AddressKind::Private),
        [0xfe80..=0xfebf, ..] => Some(AddressKind::LinkLocal),
        [0xff00..=0xffff, ..] => Some(AddressKind::Multicast),
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => {
            Some(AddressKind::Reserved)
        }
        [0x2000..=0x3fff, ..] => None,
        _ => Some(AddressKind::Reserved),
    }
}

/// Whether the address belongs to this machine. The kernel chooses an address as its own source exactly if it is
/// local; connecting a UDP socket shows this choice and sends nothing.
pub(super) fn own_address(address: &SocketAddr) -> io::Result<bool> {
    let any = match address {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(address)?;
    Ok(socket.local_addr()?.ip() == address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn special_addresses_are_told_apart() {
        use AddressKind::*;
        for (addresses, kind) in [
            ("127.0.0.1 127.255.255.255 ::1 ::ffff:127.0.0.1", Loopback),
            ("10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255", Private),
            ("fc00:: fd00:ec2::254 fdff:ffff::1 fec0:: feff::1 ::ffff:10.0.0.1 ::ffff:192.168.1.1", Private),
            ("169.254.0.0 169.254.169.254 169.254.255.255 fe80:: fe80::1 febf:ffff::1", LinkLocal),
            ("::ffff:169.254.169.254 ::ffff:a9fe:a9fe", LinkLocal),
            ("100.64.0.0 100.100.100.200 100.127.255.255 ::ffff:100.64.0.1", Shared),
            ("168.63.129.16 ::ffff:168.63.129.16", CloudService),
            ("224.0.0.0 239.255.255.255 255.255.255.255 ff00:: ff02::1 ffff::1", Multicast),
            ("0.0.0.0 0.255.255.255 :: ::ffff:0.0.0.0", Unspecified),
            ("::2 ::7f00:1 ::a9fe:a9fe ::8.8.8.8 192.88.99.0 192.88.99.255", Transition),
            ("64:ff9b:: 64:ff9b::7f00:1 64:ff9b::808:808 64:ff9b:1:: 64:ff9b:1:ffff::1", Transition),
            ("2001:: 2001:0:7f00:1:: 2002:: 2002:7f00:1:: 2002:ffff::1", Transition),
            ("192.0.0.0 192.0.0.192 192.0.0.255 192.0.2.0 192.0.2.255 198.18.0.0 198.19.255.255", Reserved),
            ("198.51.100.0 198.51.100.255 203.0.113.0 203.0.113.255 240.0.0.0 255.255.255.254", Reserved),
            ("2001:1::1 2001:2::1 2001:20::1 2001:1ff:ffff::1 2001:db8:: 2001:db8:ffff::1", Reserved),
            ("3fff:: 3fff:fff:ffff::1 5f00:: 5f00:ffff::1 100:: 100::1 100:0:0:1::", Reserved),
            ("1::1 400::1 1fff:ffff::1 4000:: 8000::1 e000::1 fbff:ffff::1 fe00::1 fe7f:ffff::1", Reserved),
            ("0:0:0:0:0:1:7f00:1 0:0:0:0:ffff:0:7f00:1", Reserved),
        ] {
            for address in addresses.split(' ') {
                let ip: IpAddr = address.parse().unwrap();
                assert_eq!(special_kind(ip), Some(kind), "{address}");
            }
        }
    }

    #[test]
    fn the_neighbours_of_special_blocks_are_public() {
        for address in "1.0.0.0 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 \
            168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 \
            192.0.1.0 192.0.3.0 192.88.98.255 192.88.100.0 192.167.255.255 192.169.0.0 198.17.255.255 \
            198.20.0.0 198.51.99.255 198.51.101.0 203.0.112.255 203.0.114.0 223.255.255.255 ::ffff:8.8.8.8 \
            2000::1 2001:200::1 2001:db7:ffff::1 2001:db9::1 2001:4860:4860::8888 2003::1 2606:4700::1111 \
            3ffe:ffff::1 3fff:1000::1"
            .split_whitespace()
        {
            assert_eq!(special_kind(address.parse().unwrap()), None, "{address}");
        }
    }

    #[test]
    fn own_addresses_are_recognised_without_sending_anything() {
        assert!(own_address(&"127.0.0.1:9".parse().unwrap()).unwrap());
        // A documentation address is not in use; without a route to it, the kernel has no answer.
        assert!(!matches!(own_address(&"192.0.2.1:9".parse().unwrap()), Ok(true)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn an_address_is_judged_alike_in_both_families(address in any::<Ipv4Addr>()) {
            let wrapped = IpAddr::V6(address.to_ipv6_mapped());
            prop_assert_eq!(special_kind(wrapped), special_kind(address.into()));
        }

        #[test]
        fn what_the_standard_library_knows_to_be_special_is_never_public(address in any::<IpAddr>()) {
            let special = match address {
                IpAddr::V4(ip) => {
                    ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_multicast() || ip.is_documentation()
                }
                IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_multicast(),
            };
            prop_assert!(!special || special_kind(address).is_some(), "{}", address);
        }
    }
}
