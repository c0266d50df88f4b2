//! Addresses of machines and networks.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Value, json};

use super::super::setting::{Base, Kind, Shape};
use super::parts;

/// Addresses, and networks in CIDR notation.
pub struct Networks;

impl Kind for Networks {
    type Value = Vec<IpNet>;
    const SHAPE: Shape = Shape::List;

    fn allowed() -> String {
        "a comma-separated list of IP addresses and networks, such as 127.0.0.1 or 172.18.0.0/16; a network of all \
         addresses is not taken"
            .to_owned()
    }

    fn parse(text: &str, _base: &Base<'_>) -> Option<Vec<IpNet>> {
        parts(text).map(network).collect()
    }

    fn show(value: &Vec<IpNet>) -> Value {
        let text = |network: &IpNet| match network.prefix_len() == network.max_prefix_len() {
            true => network.addr().to_string(),
            false => network.to_string(),
        };
        value.iter().map(|network| json!(text(network))).collect()
    }
}

fn network(text: &str) -> Option<IpNet> {
    match text.parse::<IpAddr>() {
        // The addresses of peers are compared in this form too.
        Ok(address) => Some(address.to_canonical().into()),
        Err(_) => {
            text.parse::<IpNet>().ok().map(|network| network.trunc()).filter(|net| net.prefix_len() > 0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        let base = Base { dir: std::path::Path::new("/"), home: None };
        Networks::parse(text, &base).map(|value| Networks::show(&value).to_string())
    }

    #[test]
    fn addresses_and_networks_are_read_and_everybody_is_not() {
        for (text, expected) in [
            ("", "[]"),
            ("127.0.0.1, ::1", r#"["127.0.0.1","::1"]"#),
            ("172.18.3.4/16,", r#"["172.18.0.0/16"]"#),
            ("fd00::/8", r#"["fd00::/8"]"#),
            ("::ffff:10.0.0.1", r#"["10.0.0.1"]"#),
        ] {
            assert_eq!(shown(text).as_deref(), Some(expected), "{text}");
        }
        for text in
            ["0.0.0.0/0", "::/0", "*", "traefik", "10.0.0.0/33", "10.0.0.1:80", "10.0.0.0/8 ::1", "1.2.3"]
        {
            assert_eq!(shown(text), None, "{text}");
        }
    }
}
