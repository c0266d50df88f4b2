//! An npm registry on this machine. It serves generated packages, with the faults that a test chooses.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, StatusCode, Uri, header};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha512};
use tar::{Builder, EntryType, Header};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// A running registry; it ends with the test.
#[derive(Debug, Clone)]
pub struct FakeNpm {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    scene: Mutex<Scene>,
    asked: watch::Sender<Vec<Asked>>,
}

/// The content and the faults of the registry.
#[derive(Debug, Default, Clone)]
pub struct Scene {
    archives: BTreeMap<String, Bytes>,
    latest: String,
    /// The body of an archive is cut after so many bytes, the next so many times.
    pub cut_after: Option<(usize, usize)>,
    /// The body of an archive stops after so many bytes and never ends.
    pub hold_after: Option<usize>,
    /// The package's description never arrives.
    pub hold_metadata: bool,
    /// The published digest is wrong.
    pub wrong_digest: bool,
    /// The package description contains archive URLs below this base URL.
    pub archives_at: Option<String>,
    /// Archives are redirected to this base URL.
    pub redirect_to: Option<String>,
    /// Everything is answered with this status.
    pub status: Option<u16>,
}

/// A received request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Its URI as it was written.
    pub uri: String,
    /// The requested range of bytes.
    pub range: Option<String>,
    /// The user agent.
    pub authorization: Option<String>,
}

/// An entry of an archive.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Its name, which may be anything.
    pub name: String,
    /// The type of the entry as a letter of tar; `0` is a file.
    pub kind: u8,
    /// The target of a link.
    pub link: String,
    /// Its content.
    pub body: Vec<u8>,
    /// The size in its header, if it differs from the content.
    pub size: Option<u64>,
}

impl Piece {
    /// A file.
    pub fn file(name: &str, body: &[u8]) -> Self {
        Self { name: name.to_owned(), kind: b'0', link: String::new(), body: body.to_owned(), size: None }
    }

    /// An entry that is not a file.
    pub fn special(name: &str, kind: u8, link: &str) -> Self {
        Self { kind, link: link.to_owned(), ..Self::file(name, b"") }
    }
}

/// The binary's place in a package for this system.
pub fn binary_name() -> String {
    format!("package/vendor/{}-unknown-linux-musl/bin/codex", std::env::consts::ARCH)
}

/// An npm package of these entries.
pub fn archive(pieces: &[Piece]) -> Bytes {
    archive_with(Compression::fast(), pieces)
}

/// The same without compression, which would take seconds for a whole Codex.
pub fn archive_of_much(pieces: &[Piece]) -> Bytes {
    archive_with(Compression::none(), pieces)
}

fn archive_with(compression: Compression, pieces: &[Piece]) -> Bytes {
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), compression));
    for piece in pieces {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..piece.name.len()].copy_from_slice(piece.name.as_bytes());
        header.as_old_mut().linkname[..piece.link.len()].copy_from_slice(piece.link.as_bytes());
        header.set_entry_type(EntryType::new(piece.kind));
        header.set_mode(0o755);
        header.set_size(piece.size.unwrap_or(piece.body.len() as u64));
        header.set_cksum();
        let out = builder.get_mut();
        out.write_all(header.as_bytes()).expect("memory can be written");
        out.write_all(&piece.body).expect("memory can be written");
        let padding = piece.body.len().next_multiple_of(512) - piece.body.len();
        out.write_all(&vec![0; padding]).expect("memory can be written");
    }
    builder.into_inner().and_then(GzEncoder::finish).expect("memory can be written").into()
}

impl FakeNpm {
    /// Starts an empty registry.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = Shared { scene: Mutex::default(), asked: watch::channel(Vec::new()).0 };
        let registry = Self { port, shared: Arc::new(shared) };
        let app = Router::new().fallback(serve).with_state(registry.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        registry
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// Publishes a release with this archive for this system; the last one is the latest.
    pub fn publish(&self, version: &str, archive: &Bytes) {
        let mut scene = self.scene();
        scene.archives.insert(version.to_owned(), archive.clone());
        version.clone_into(&mut scene.latest);
    }

    /// Publishes a release whose binary is this script.
    pub fn publish_script(&self, version: &str, script: &str) {
        self.publish(version, &archive(&[Piece::file(&binary_name(), script.as_bytes())]));
    }

    /// Publishes a release that prints its version and otherwise is the fake Codex; with `filler` random bytes
    /// beside it.
    pub fn publish_fake(&self, version: &str, filler: usize) {
        let fake = crate::harness::fake_codex_path();
        let script = format!(
            "#!/bin/sh\n[ \"$*\" = --version ] && echo codex-cli {version} && exit\nexec '{}' \"$@\"\n",
            fake.display()
        );
        let mut noise = vec![0; filler];
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for byte in &mut noise {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *byte = state.to_le_bytes()[0];
        }
        let filler = Piece::file(&binary_name().replace("bin/codex", "filler"), &noise);
        self.publish(version, &archive(&[Piece::file(&binary_name(), script.as_bytes()), filler]));
    }

    /// Changes the behaviour of the registry.
    pub fn set(&self, change: impl FnOnce(&mut Scene)) {
        change(&mut self.scene());
    }

    /// The requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.borrow().clone()
    }

    /// The requests for archives so far.
    pub fn downloads(&self) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.uri.ends_with(".tgz")).collect()
    }

    /// Waits for a number of requests.
    pub async fn wait_for_requests(&self, count: usize) {
        let mut asked = self.shared.asked.subscribe();
        let came = asked.wait_for(|all| all.len() >= count);
        let came = tokio::time::timeout(Duration::from_secs(60), came).await;
        came.expect("the requests come in time").expect("the sender lives here");
    }

    fn scene(&self) -> MutexGuard<'_, Scene> {
        self.shared.scene.lock().expect("no test panics while it holds this")
    }
}

async fn serve(State(registry): State<FakeNpm>, uri: Uri, headers: HeaderMap) -> Response {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (range, authorization) = (text(header::RANGE), text(header::AUTHORIZATION));
    let asked = Asked { uri: uri.to_string(), range: range.clone(), authorization };
    registry.shared.asked.send_modify(|all| all.push(asked));
    let scene = registry.scene().clone();
    if let Some(status) = scene.status {
        return StatusCode::from_u16(status).expect("a status").into_response();
    }
    match uri.path().strip_prefix("/@openai/codex/-/codex-") {
        Some(file) => registry.download(&scene, file.trim_end_matches(".tgz"), range.as_deref()),
        None if uri.path() == "/@openai%2fcodex" => {
            if scene.hold_metadata {
                std::future::pending::<Infallible>().await;
            }
            axum::Json(registry.packument(&scene)).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

impl FakeNpm {
    fn packument(&self, scene: &Scene) -> Value {
        let platform = if cfg!(target_arch = "x86_64") { "linux-x64" } else { "linux-arm64" };
        let base = scene.archives_at.clone().unwrap_or_else(|| self.url());
        let mut versions = serde_json::Map::new();
        for (version, archive) in &scene.archives {
            let mut digest = Sha512::digest(archive);
            if scene.wrong_digest {
                digest[0] ^= 1;
            }
            let dist = |name: &str| {
                json!({
                    "tarball": format!("{base}@openai/codex/-/codex-{name}.tgz"),
                    "integrity": format!("sha512-{}", STANDARD.encode(digest)),
                })
            };
            let of_platform = format!("{version}-{platform}");
            let alias =
                json!({format!("@openai/codex-{platform}"): format!("npm:@openai/codex@{of_platform}")});
            versions.insert(version.clone(), json!({"optionalDependencies": alias, "dist": dist(version)}));
            versions.insert(of_platform.clone(), json!({"dist": dist(&of_platform)}));
        }
        json!({"name": "@openai/codex", "dist-tags": {"latest": scene.latest}, "versions": versions})
    }

    fn download(&self, scene: &Scene, name: &str, range: Option<&str>) -> Response {
        if let Some(base) = &scene.redirect_to {
            let target = format!("{base}@openai/codex/-/codex-{name}.tgz");
            return (StatusCode::FOUND, [(header::LOCATION, target)]).into_response();
        }
        let version = name.split("-linux-").next().unwrap_or_default();
        let Some(archive) = scene.archives.get(version) else { return StatusCode::NOT_FOUND.into_response() };
        let total = archive.len();
        let from = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        let mut headers = HeaderMap::new();
        headers.insert(header::ETAG, format!("\"{name}\"").parse().expect("a tag"));
        let from: usize = from.unwrap_or(0);
        let status = if from >= total {
            headers.insert(header::CONTENT_RANGE, format!("bytes */{total}").parse().expect("a range"));
            return (StatusCode::RANGE_NOT_SATISFIABLE, headers).into_response();
        } else if from > 0 {
            let range = format!("bytes {from}-{}/{total}", total - 1);
            headers.insert(header::CONTENT_RANGE, range.parse().expect("a range"));
            StatusCode::PARTIAL_CONTENT
        } else {
            StatusCode::OK
        };
        headers.insert(header::CONTENT_LENGTH, (total - from).into());
        let rest = archive.slice(from..);
        let body = match (scene.hold_after, self.cut()) {
            (Some(after), _) => {
                let first = rest.slice(..after.min(rest.len()));
                let first = stream::once(async move { Ok::<_, io::Error>(first) });
                Body::from_stream(first.chain(stream::pending()))
            }
            (None, Some(after)) => {
                let first = rest.slice(..after.min(rest.len()));
                let first = stream::once(async move { Ok(first) });
                // The bytes before the cut are sent while the stream waits.
                let cut = stream::once(async {
                    tokio::task::yield_now().await;
                    Err(io::Error::other("cut"))
                });
                Body::from_stream(first.chain(cut))
            }
            (None, None) => Body::from(rest),
        };
        (status, headers, body).into_response()
    }

    /// After how many bytes this answer is to be cut.
    fn cut(&self) -> Option<usize> {
        let mut scene = self.scene();
        let (after, times) = scene.cut_after?;
        scene.cut_after = (times > 1).then_some((after, times - 1));
        Some(after)
    }
}
