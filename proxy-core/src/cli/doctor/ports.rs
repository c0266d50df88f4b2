//! Checks of the ports: of the API, of the sign-in pages, and of the callback of Codex's own sign-in.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use serde_json::Value;

use super::{Finding, Ground, setting};
use crate::instance;

/// The port to which OpenAI sends the browser back after Codex's own sign-in.
const CALLBACK: u16 = 1455;

pub(super) fn look(ground: &Ground) -> Vec<Finding> {
    vec![api(ground), login(ground), callback(ground)]
}

fn api(ground: &Ground) -> Finding {
    const CHECK: &str = "port";
    let wanted = SocketAddr::new(ground.config.http.host, ground.config.http.port);
    if let Ok(client) = &ground.proxy {
        let address = client.address();
        return if address.port() == wanted.port() || wanted.port() == 0 {
            Finding::ok(CHECK, format!("the running proxy listens on {address}"))
        } else {
            Finding::warn(
                CHECK,
                format!("the running proxy listens on {address}, but these settings say {wanted}"),
                "Restart it to have these settings take effect.",
            )
        };
    }
    if wanted.port() == 0 {
        return Finding::ok(CHECK, "any free port is taken at the start");
    }
    match free(wanted) {
        Ok(()) => Finding::ok(CHECK, format!("{wanted} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Finding::fail(
            CHECK,
            format!("{wanted} is taken by {}", who(wanted)),
            "Stop it, or choose another port with PORT or --port.",
        ),
        Err(error) => Finding::fail(
            CHECK,
            format!("{wanted} cannot be listened on: {error}"),
            "Choose another address with PROXY_HOST and PORT.",
        ),
    }
}

fn login(ground: &Ground) -> Finding {
    const CHECK: &str = "login_port";
    if setting(ground, "PROXY_LOGIN_LISTENER").and_then(Value::as_str) == Some("off") {
        return Finding::ok(CHECK, "PROXY_LOGIN_LISTENER is off, so none is needed");
    }
    let set = setting(ground, "PROXY_LOGIN_PORT").and_then(Value::as_u64);
    let port = set.and_then(|port| u16::try_from(port).ok()).unwrap_or(1435);
    if port == 0 {
        return Finding::ok(CHECK, "any free port is taken at the start");
    }
    sign_in_port(ground, CHECK, port, "Stop it, or choose another port with PROXY_LOGIN_PORT.")
}

fn callback(ground: &Ground) -> Finding {
    let advice = "Stop it while you sign in, or use `codex-proxy login --device-code`.";
    sign_in_port(ground, "callback_port", CALLBACK, advice)
}

/// Checks a port that is only needed to sign in. Codex, and so the proxy, may already use it.
fn sign_in_port(ground: &Ground, check: &'static str, port: u16, advice: &str) -> Finding {
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    match free(address) {
        Ok(()) => Finding::ok(check, format!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let who = who(address);
            if is_ours(ground, &who) {
                Finding::ok(check, format!("{address} is the running proxy's"))
            } else {
                Finding::warn(check, format!("{address} is taken by {who}"), advice)
            }
        }
        Err(error) => Finding::warn(check, format!("{address} cannot be listened on: {error}"), advice),
    }
}

fn is_ours(ground: &Ground, who: &str) -> bool {
    let own = ground.proxy.as_ref().ok().map(|client| client.pid());
    let workers = ground.status.iter().flat_map(|status| &status.workers).filter_map(|worker| worker.pid);
    own.into_iter().chain(workers).any(|pid| who.ends_with(&format!("(process {pid})")))
}

/// Binds the port for a moment. On Unix, closed connections do not block it.
fn free(address: SocketAddr) -> io::Result<()> {
    TcpListener::bind(address).map(drop)
}

fn who(address: SocketAddr) -> String {
    instance::who_listens(address).unwrap_or_else(|| "another program".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_not_free() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(free(address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        free(address).unwrap();
    }
}
