//! Complete downloads from real servers on loopback. The policy is the strict one, but each test allows its own
//! sockets.

mod answers;
mod guard;
mod https;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;

use super::resolve::Resolving;
use super::*;
use crate::budget::Budget;
use protocol::picture::ImageType;

/// An image of one pixel.
pub(super) const PNG: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\
    \0\0\0\rIDATx\xdacd\xf8\xcfP\x0f\0\x03\x86\x01\x80Z4}k\0\0\0\0IEND\xaeB`\x82";
const PNG_URL: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

impl ImageFetcher {
    /// Downloads the only image of a request.
    async fn fetch(&self, url: &str) -> Result<DataUrl, FetchError> {
        self.batch(1000, &Budget::new(1000).share()).fetch(url).await
    }
}

#[tokio::test]
async fn an_image_of_20_mib_is_taken_and_of_a_byte_more_is_not() {
    let most = Config::default().max_bytes;
    assert_eq!(most, 20 << 20);
    for (length, taken) in [(most, true), (most + 1, false)] {
        let file = [PNG, &vec![0; length - PNG.len()]].concat();
        let server = Server::start(answer("200 OK", &["Content-Type: image/png"], &file)).await;
        let fetcher = fetcher_with(Config::default(), Names::default(), Except(vec![server.address]));
        let share = Budget::new(512 << 20).share();
        let fetched = fetcher.batch(50_000_000, &share).fetch(&server.url()).await;
        match fetched {
            Ok(url) => assert!(taken && url.as_str().len() == 22 + length.div_ceil(3) * 4),
            Err(error) => assert!(!taken && matches!(error, FetchError::TooLarge { .. }), "{error}"),
        }
    }
}

/// The strict policy, except for these sockets.
struct Except(Vec<SocketAddr>);

impl Policy for Except {
    fn refuses(&self, address: &SocketAddr) -> Option<AddressKind> {
        if self.0.contains(address) { None } else { PublicOnly.refuses(address) }
    }
}

/// Answers the lookups of each name in this order, and counts them.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<HashMap<&'static str, Answers>>>, Arc<AtomicUsize>);

/// The addresses of each future lookup; the next one is last.
type Answers = Vec<Vec<&'static str>>;

impl Names {
    fn name(self, name: &'static str, answers: &[&[&'static str]]) -> Self {
        self.0.lock().unwrap().insert(name, answers.iter().rev().map(|a| a.to_vec()).collect());
        self
    }

    fn lookups(&self) -> usize {
        self.1.load(Ordering::SeqCst)
    }
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, name: &'a str, port: u16) -> Resolving<'a> {
        self.1.fetch_add(1, Ordering::SeqCst);
        let answer = self.0.lock().unwrap().get_mut(name).and_then(Vec::pop);
        let answer = answer
            .map(|ips| ips.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), port)).collect())
            .ok_or_else(|| io::Error::other("no such name"));
        Box::pin(async move { answer })
    }
}

fn config() -> Config {
    Config { enabled: true, max_bytes: 100, timeout: Duration::from_secs(60), max_redirects: 2 }
}

fn fetcher_with(config: Config, names: Names, policy: impl Policy + 'static) -> ImageFetcher {
    let slots = Box::leak(Box::new(Semaphore::new(MAX_CONCURRENT)));
    ImageFetcher {
        inner: Arc::new(Inner {
            config,
            resolver: Box::new(names),
            policy: Box::new(policy),
            slots,
            tls: OnceCell::new(),
        }),
    }
}

/// A fetcher that may reach these servers and public addresses.
fn fetcher(servers: &[&Server]) -> ImageFetcher {
    fetcher_with(config(), Names::default(), Except(servers.iter().map(|s| s.address).collect()))
}

/// A server that gives the same answer on every connection, and returns the head of each request.
struct Server {
    address: SocketAddr,
    requests: mpsc::UnboundedReceiver<String>,
}

impl Server {
    async fn start(answer: impl Into<Vec<u8>>) -> Self {
        let answer = Arc::new(answer.into());
        Self::serve(move |mut stream| {
            let answer = Arc::clone(&answer);
            async move {
                // The client closes the connection on an answer that it refuses, so writing may fail.
                let _ = stream.write_all(&answer).await;
                let _ = stream.shutdown().await;
            }
        })
        .await
    }

    async fn image() -> Self {
        Self::start(answer("200 OK", &["Content-Type: image/png"], PNG)).await
    }

    async fn redirect(location: &str) -> Self {
        Self::start(answer("302 Found", &[&format!("Location: {location}")], b"")).await
    }

    /// Runs `answer` on every connection once its request has been read.
    async fn serve<F>(answer: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        Self::serve_on(listener, answer)
    }

    fn serve_on<F>(listener: TcpListener, answer: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let address = listener.local_addr().unwrap();
        let (sender, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let head = read_head(&mut stream).await;
                if sender.send(head).is_err() {
                    return;
                }
                tokio::spawn(answer(stream));
            }
        });
        Self { address, requests }
    }

    fn url(&self) -> String {
        format!("http://{}/a.png", self.address)
    }

    /// The number of requests since the last call.
    fn requests(&mut self) -> usize {
        std::iter::from_fn(|| self.requests.try_recv().ok()).count()
    }
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

fn answer(status: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[track_caller]
fn assert_kind(result: Result<DataUrl, FetchError>, expected: AddressKind, context: &str) {
    match result {
        Err(FetchError::Forbidden { kind, .. }) => assert_eq!(kind, expected, "{context}"),
        other => panic!("{context}: {other:?}"),
    }
}

#[tokio::test]
async fn an_image_becomes_a_data_url() {
    let mut server = Server::image().await;
    let url = fetcher(&[&server]).fetch(&format!("{}?size=1#top", server.url())).await.unwrap();
    assert_eq!(url.image_type(), ImageType::Png);
    assert_eq!(url.as_str(), PNG_URL);
    let request = server.requests.recv().await.unwrap();
    let lines: Vec<_> = request.trim_end().split("\r\n").collect();
    assert_eq!(
        lines,
        [
            "GET /a.png?size=1 HTTP/1.1",
            &format!("host: {}", server.address),
            "user-agent: codex-proxy",
            "accept: image/png, image/jpeg, image/webp, image/gif",
            "accept-encoding: identity",
            "connection: close",
        ],
        "and nothing that tells of the client, the user or the machine"
    );
}

/// A server that accepts requests and never answers.
async fn silent() -> Server {
    Server::serve(|stream| async move {
        let _stream = stream;
        std::future::pending::<()>().await;
    })
    .await
}

#[tokio::test]
async fn no_clock_runs_while_a_fetch_waits_for_its_turn() {
    let mut server = Server::image().await;
    let fetcher = fetcher(&[&server]);
    let all = fetcher.inner.slots.acquire_many(u32::try_from(MAX_CONCURRENT).unwrap()).await.unwrap();
    tokio::time::pause();
    let url = server.url();
    let mut fetch = std::pin::pin!(fetcher.fetch(&url));
    let waited = tokio::time::timeout(config().timeout * 10, &mut fetch).await;
    assert!(waited.is_err(), "{waited:?}");
    assert_eq!(server.requests(), 0);
    tokio::time::resume();
    drop(all);
    assert!(fetch.await.is_ok());
    assert_eq!(fetcher.inner.slots.available_permits(), MAX_CONCURRENT, "the slot was given back");
}

#[tokio::test]
async fn silent_hosts_of_one_request_leave_places_to_the_others() {
    let (mut silent, mut server) = (silent().await, Server::image().await);
    let fetcher = fetcher(&[&silent, &server]);
    let (silent_url, share) = (silent.url(), Budget::new(1000).share());
    let batch = fetcher.batch(1000, &share);
    let mut many = std::pin::pin!(futures_util::future::join_all((0..60).map(|_| batch.fetch(&silent_url))));
    let mut asked = 0;
    while asked < MAX_OF_A_REQUEST {
        tokio::select! {
            answers = &mut many => panic!("{} answers", answers.len()),
            request = silent.requests.recv() => asked += usize::from(request.is_some()),
        }
    }
    let url = server.url();
    tokio::select! {
        answers = &mut many => panic!("{} answers", answers.len()),
        fetched = fetcher.fetch(&url) => assert!(fetched.is_ok(), "{fetched:?}"),
    }
    assert_eq!((server.requests(), silent.requests()), (1, 0), "no more than its share was asked for");
}

#[tokio::test]
async fn dropping_a_fetch_closes_its_connection_and_frees_its_slot() {
    let (closed, close) = oneshot::channel();
    let closed = Mutex::new(Some(closed));
    let mut server = Server::serve(move |mut stream| {
        let closed = closed.lock().unwrap().take().unwrap();
        async move { closed.send(stream.read(&mut [0]).await.unwrap_or(0)).unwrap() }
    })
    .await;
    let fetcher = fetcher(&[&server]);
    {
        let url = server.url();
        let mut fetch = std::pin::pin!(fetcher.fetch(&url));
        tokio::select! {
            result = &mut fetch => panic!("{result:?}"),
            request = server.requests.recv() => assert!(request.is_some()),
        }
        assert_eq!(fetcher.inner.slots.available_permits(), MAX_CONCURRENT - 1);
    }
    assert_eq!(fetcher.inner.slots.available_permits(), MAX_CONCURRENT);
    assert_eq!(close.await.unwrap(), 0, "end of stream");
}

#[tokio::test]
async fn names_and_sockets_without_a_server_are_errors_of_their_own() {
    let names = Names::default().name("empty.test", &[&[]]);
    let fetcher = fetcher_with(config(), names, Except(vec![]));
    for host in ["empty.test", "unknown.test"] {
        let error = fetcher.fetch(&format!("http://{host}/")).await.unwrap_err();
        assert!(matches!(&error, FetchError::Resolve { host: named, .. } if named == host), "{error:?}");
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let fetcher = fetcher_with(config(), Names::default(), Except(vec![address]));
    let error = fetcher.fetch(&format!("http://{address}/")).await.unwrap_err();
    assert!(matches!(error, FetchError::Connect { .. }), "{error:?}");
}

#[tokio::test]
async fn a_dead_address_does_not_stop_the_next_one() {
    let mut server = Server::image().await;
    let port = server.address.port();
    let dead = SocketAddr::new(IpAddr::from([127, 0, 0, 2]), port);
    let names = Names::default().name("two.test", &[&["127.0.0.2", "127.0.0.1"]]);
    let fetcher = fetcher_with(config(), names, Except(vec![dead, server.address]));
    let url = fetcher.fetch(&format!("http://two.test:{port}/")).await.unwrap();
    assert_eq!((url.as_str(), server.requests()), (PNG_URL, 1));
}

#[tokio::test]
async fn a_disabled_fetcher_does_nothing() {
    let mut server = Server::image().await;
    let fetcher =
        fetcher_with(Config { enabled: false, ..config() }, Names::default(), Except(vec![server.address]));
    assert!(matches!(fetcher.fetch(&server.url()).await, Err(FetchError::Disabled)));
    assert_eq!(server.requests(), 0);
}
