//! A test release channel with a temporary key, and other versions made from the built program.

use std::collections::HashMap;
use std::io::Cursor;
use std::path::Path;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minisign::KeyPair;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// The channel's answer for a path.
#[derive(Clone)]
struct File {
    bytes: Vec<u8>,
    /// The stated length.
    length: usize,
}

type Files = Arc<Mutex<HashMap<String, File>>>;

pub(crate) struct Channel {
    key: KeyPair,
    root: String,
    files: Files,
}

impl Channel {
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let root = format!("http://{}", listener.local_addr().unwrap());
        let files = Files::default();
        let served = files.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(answer(connection, served.clone()));
            }
        });
        Self { key: KeyPair::generate_unencrypted_keypair().unwrap(), root, files }
    }

    /// The application's setting for it.
    pub(crate) fn setting(&self) -> String {
        let key = STANDARD.encode(self.key.pk.to_box().unwrap().to_string());
        json!({
            "endpoints": [format!("{}/latest.json", self.root)], "pubkey": key, "requireSignedVersion": true,
            "dangerousInsecureTransportProtocol": true,
        })
        .to_string()
    }

    /// Signs like `tauri signer sign --app-version`.
    pub(crate) fn sign(&self, package: &[u8], version: &str) -> String {
        let comment = format!("timestamp:1\tfile:package\tversion:{version}");
        let signed = minisign::sign(None, &self.key.sk, Cursor::new(package), Some(&comment), None).unwrap();
        STANDARD.encode(signed.into_string())
    }

    /// Adds this version for `target`, the updater's name for a kind of installation.
    pub(crate) fn offer(&self, version: &str, target: &str, package: &[u8]) {
        self.offer_signed(version, target, package, &self.sign(package, version));
    }

    pub(crate) fn offer_signed(&self, version: &str, target: &str, package: &[u8], signature: &str) {
        let release = json!({"signature": signature, "url": format!("{}/package", self.root)});
        let manifest = json!({"version": version, "notes": "", "platforms": {target: release}});
        self.put("package", package.to_vec(), package.len());
        self.announce(&manifest);
    }

    /// The connection ends in the middle of the package.
    pub(crate) fn cut(&self) {
        let whole = self.files.lock().unwrap()["/package"].bytes.clone();
        self.put("package", whole[..whole.len() / 2].to_vec(), whole.len());
    }

    /// Adds a release from a folder, with its files at `base`.
    pub(crate) fn publish(&self, folder: &Path, base: &str) {
        let text = std::fs::read_to_string(folder.join("latest.json")).unwrap();
        assert!(text.contains(base), "{text}");
        self.announce(&serde_json::from_str(&text.replace(base, &self.root)).unwrap());
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let bytes = std::fs::read(entry.path()).unwrap();
            let length = bytes.len();
            if entry.file_name() != "latest.json" {
                self.put(entry.file_name().to_str().unwrap(), bytes, length);
            }
        }
    }

    fn announce(&self, manifest: &Value) {
        let text = manifest.to_string().into_bytes();
        let length = text.len();
        self.put("latest.json", text, length);
    }

    fn put(&self, name: &str, bytes: Vec<u8>, length: usize) {
        self.files.lock().unwrap().insert(format!("/{name}"), File { bytes, length });
    }
}

async fn answer(connection: TcpStream, files: Files) {
    let mut connection = BufReader::new(connection);
    let mut path = None;
    let mut line = String::new();
    while connection.read_line(&mut line).await.is_ok_and(|read| read > 2) {
        path = path.or_else(|| line.split(' ').nth(1).map(str::to_owned));
        line.clear();
    }
    let file = files.lock().unwrap().get(&path.unwrap_or_default()).cloned();
    let (status, file) = match file {
        Some(file) => ("200 OK", file),
        None => ("404 Not Found", File { bytes: Vec::new(), length: 0 }),
    };
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", file.length);
    // The client may be gone.
    if connection.write_all(head.as_bytes()).await.is_ok() && connection.write_all(&file.bytes).await.is_ok()
    {
        drop(connection.shutdown().await);
    }
}

/// The built application with another version number (see `src-tauri/src/rehearsal.rs`).
pub(crate) fn as_version(program: &[u8], version: &str) -> Vec<u8> {
    const MARK: &[u8] = b"__CODEX_PROXY_APP_VERSION:";
    let mut program = program.to_vec();
    let places: Vec<usize> = memchr::memmem::find_iter(&program, MARK).collect();
    assert_eq!(places.len(), 1, "a debug build has one place for its version");
    let at = places[0] + MARK.len();
    program[at..at + version.len()].copy_from_slice(version.as_bytes());
    program
}
