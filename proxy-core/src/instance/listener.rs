//! Finds the process that listens on an address.

use std::net::SocketAddr;

/// The process that listens on this address, as `name (process 1234)`.
///
/// `None` if there is none, if the process belongs to another user, and on systems other than Linux.
pub fn who_listens(address: SocketAddr) -> Option<String> {
    system::who_listens(address)
}

#[cfg(target_os = "linux")]
mod system {
    use std::fs;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

    pub(super) fn who_listens(address: SocketAddr) -> Option<String> {
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
        let sockets = tables.iter().flatten().flat_map(|table| table.lines());
        let wanted: Vec<String> = sockets
            .filter_map(listening)
            .filter(|(taken, _)| conflict(*taken, address))
            .map(|(_, inode)| format!("socket:[{inode}]"))
            .collect();
        if wanted.is_empty() {
            return None;
        }
        let processes = fs::read_dir("/proc").ok()?;
        let mut pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let pid: u32 = pids.find(|pid| has_any(*pid, &wanted))?;
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        Some(format!("{} (process {pid})", name.trim_end().escape_debug()))
    }

    /// Whether the process has one of these files open. The files of other users cannot be seen.
    fn has_any(pid: u32, wanted: &[String]) -> bool {
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        let mut targets = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
        targets.any(|target| wanted.iter().any(|socket| target.as_os_str() == socket.as_str()))
    }

    /// Whether a socket that listens on `taken` prevents another from listening on `wanted`.
    fn conflict(taken: SocketAddr, wanted: SocketAddr) -> bool {
        let (taken_ip, wanted_ip) = (taken.ip().to_canonical(), wanted.ip().to_canonical());
        // The IPv6 wildcard includes IPv4, unless the socket was configured differently.
        let everything = |wildcard: IpAddr, other: IpAddr| {
            wildcard.is_unspecified() && (wildcard.is_ipv6() || other.is_ipv4())
        };
        taken.port() == wanted.port()
            && (taken_ip == wanted_ip || everything(taken_ip, wanted_ip) || everything(wanted_ip, taken_ip))
    }

    /// The address and the inode in a line of `/proc/net/tcp` or `tcp6`, if that socket listens.
    fn listening(line: &str) -> Option<(SocketAddr, u64)> {
        const LISTEN: &str = "0A";
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (ip, port) = fields.next()?.split_once(':')?;
        let state = fields.nth(1)?;
        let inode = fields.nth(5)?.parse().ok()?;
        let address = SocketAddr::new(ip_of(ip)?, u16::from_str_radix(port, 16).ok()?);
        (state == LISTEN).then_some((address, inode))
    }

    /// The kernel prints each four bytes of an address as one number in the byte order of the machine.
    fn ip_of(hex: &str) -> Option<IpAddr> {
        let word = |at: usize| Some(u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
        match hex.len() {
            8 => Some(Ipv4Addr::from(word(0)?).into()),
            32 => {
                let mut bytes = [0; 16];
                for (index, four) in bytes.chunks_exact_mut(4).enumerate() {
                    four.copy_from_slice(&word(index * 8)?);
                }
                Some(Ipv6Addr::from(bytes).into())
            }
            _ => None,
        }
    }

    #[cfg(test)]
    mod tests {
        use proptest::prelude::*;

        use super::*;

        fn socket(text: &str) -> SocketAddr {
            text.parse().unwrap()
        }

        #[cfg(target_endian = "little")]
        #[test]
        fn the_kernels_tables_are_read() {
            let line = "  12: 0100007F:2CAB 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 55501 1 0";
            assert_eq!(listening(line), Some((socket("127.0.0.1:11435"), 55501)));
            let connected = line.replace(" 0A ", " 01 ");
            assert_eq!(listening(&connected), None);
            let line = "   0: B80D01200000000000000000010000FF:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 7 1 0";
            assert_eq!(listening(line), Some((socket("[2001:db8::ff00:1]:80"), 7)));
            assert_eq!(listening("  sl  local_address rem_address   st tx_queue rx_queue tr"), None);
            assert_eq!(listening(""), None);
        }

        #[test]
        fn a_wildcard_takes_the_addresses_of_its_family() {
            let cases = [
                ("127.0.0.1:80", "127.0.0.1:80", true),
                ("127.0.0.1:81", "127.0.0.1:80", false),
                ("127.0.0.2:80", "127.0.0.1:80", false),
                ("0.0.0.0:80", "127.0.0.1:80", true),
                ("127.0.0.1:80", "0.0.0.0:80", true),
                ("[::]:80", "127.0.0.1:80", true),
                ("[::ffff:127.0.0.1]:80", "127.0.0.1:80", true),
                ("0.0.0.0:80", "[::1]:80", false),
                ("[::1]:80", "127.0.0.1:80", false),
            ];
            for (taken, wanted, expected) in cases {
                assert_eq!(conflict(socket(taken), socket(wanted)), expected, "{taken} and {wanted}");
            }
        }

        proptest! {
            #![proptest_config(ProptestConfig::with_cases(64))]

            #[test]
            fn a_socket_is_read_as_the_kernel_prints_it(ip in any::<IpAddr>(), port in any::<u16>(), inode in any::<u64>()) {
                let words = |bytes: &[u8]| -> String {
                    let word = |four: &[u8]| format!("{:08X}", u32::from_ne_bytes(four.try_into().unwrap()));
                    bytes.chunks(4).map(word).collect()
                };
                let hex = match ip {
                    IpAddr::V4(ip) => words(&ip.octets()),
                    IpAddr::V6(ip) => words(&ip.octets()),
                };
                let line = format!("  7: {hex}:{port:04X} 0:0 0A 0:0 0:0 0 1000 0 {inode} 1 0");
                prop_assert_eq!(listening(&line), Some((SocketAddr::new(ip, port), inode)));
            }

            #[test]
            fn no_line_of_a_table_is_too_strange(line in "\\PC{0,40}", hex in "[0-9A-Fé:]{0,40}") {
                listening(&line);
                listening(&format!("0: {hex} {hex} 0A {hex} {hex} {hex} {hex} {hex} {hex}"));
                ip_of(&hex);
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::net::SocketAddr;

    pub(super) fn who_listens(_address: SocketAddr) -> Option<String> {
        None
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_listener_is_named_for_every_address_that_it_takes() {
        for (listens, asked) in
            [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "0.0.0.0")]
        {
            let listener = TcpListener::bind((listens, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            let who = who_listens(format!("{asked}:{port}").parse().unwrap()).unwrap();
            assert!(who.ends_with(&format!(" (process {})", std::process::id())), "{who}");
            drop(listener);
        }
    }

    #[test]
    fn an_ipv6_listener_is_named() {
        // Some systems have no IPv6, so a socket cannot listen on it there.
        let Ok(listener) = TcpListener::bind("[::1]:0") else { return };
        assert!(who_listens(listener.local_addr().unwrap()).is_some());
    }

    #[test]
    fn nobody_is_named_where_nobody_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(who_listens(format!("127.77.0.1:{port}").parse().unwrap()), None);
    }
}
