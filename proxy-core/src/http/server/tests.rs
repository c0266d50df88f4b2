//! What becomes of connections when the server ends.

use std::io::{Read as _, Write as _};
use std::net::TcpStream as Client;

use tokio::task::{JoinHandle, spawn_blocking};

use super::*;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

struct Bench {
    address: SocketAddr,
    stop: CancellationToken,
    served: JoinHandle<bool>,
}

impl Bench {
    async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let service = Router::new().fallback(async || "answered");
        let served = serve(listener, service, TaskTracker::new(), stop.clone(), Duration::from_secs(30));
        Self { address, stop, served: tokio::spawn(served) }
    }

    fn client(&self) -> Client {
        let client = Client::connect(self.address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        client
    }

    async fn ended(self) {
        assert!(self.served.await.unwrap());
        assert!(Client::connect(self.address).is_err(), "nothing listens any more");
    }
}

/// All that is sent until the connection ends.
async fn all(mut client: Client) -> String {
    let read = spawn_blocking(move || {
        let mut text = String::new();
        client.read_to_string(&mut text).map(|_| text)
    });
    read.await.unwrap().unwrap()
}

fn assert_last(answer: &str) {
    let answer = answer.to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 200") && answer.ends_with("answered"), "{answer:?}");
    assert!(answer.contains("connection: close"), "{answer:?}");
}

#[tokio::test]
async fn a_client_that_waits_to_be_accepted_is_answered() {
    let bench = Bench::start().await;
    // Neither is seen by the server before it is told to end: it runs on the thread that this test holds.
    let mut client = bench.client();
    client.write_all(REQUEST).unwrap();
    let later = bench.client();
    bench.stop.cancel();
    assert_last(&all(client).await);
    (&later).write_all(REQUEST).unwrap();
    assert_last(&all(later).await);
    bench.ended().await;
}

#[tokio::test]
async fn a_request_that_is_on_its_way_on_a_used_connection_is_answered() {
    let bench = Bench::start().await;
    let mut client = bench.client();
    client.write_all(REQUEST).unwrap();
    let reader = client.try_clone().unwrap();
    let first = spawn_blocking(move || {
        let (mut reader, mut text) = (reader, Vec::new());
        while !text.ends_with(b"answered") {
            let mut byte = [0];
            reader.read_exact(&mut byte).unwrap();
            text.extend(byte);
        }
    });
    first.await.unwrap();
    client.write_all(REQUEST).unwrap();
    bench.stop.cancel();
    assert_last(&all(client).await);
    bench.ended().await;
}

#[tokio::test]
async fn clients_that_ask_nothing_do_not_hold_up_the_end() {
    let bench = Bench::start().await;
    let silent = bench.client();
    bench.stop.cancel();
    assert_eq!(all(silent).await, "");
    bench.ended().await;
}
