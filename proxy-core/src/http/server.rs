//! Accepts connections, and drains them at the end.

mod connection;
mod refusal;
mod remains;
mod wire;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::header::{CONNECTION, HeaderValue};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::open_files;
use connection::ConnectionState;
use remains::RequestBody;
use wire::Wire;

/// The maximum time for a client to send the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// At the end, for how long a request that is on its way is waited for: on a connection that has just been made for it,
/// counted from then, and on one that had requests before.
const FIRST_REQUEST: Duration = Duration::from_secs(2);
const NEXT_REQUEST: Duration = Duration::from_millis(100);

/// The maximum number of clients that wait to be accepted: what the listener asks the system for.
const MOST_WAITING: usize = 1024;

/// Serves until `stop`, then waits at most `drain` for running requests, and for the connections that have become
/// others, of which `upgraded` has the tasks. A client that has connected before `stop` is answered.
///
/// Returns whether all of them ended in time.
pub async fn serve(
    listener: TcpListener,
    service: Router,
    upgraded: TaskTracker,
    stop: CancellationToken,
    drain: Duration,
) -> bool {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).keep_alive(true).half_close(true);
    let server = Server { http, service, stop: stop.clone(), connections: TaskTracker::new() };
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => server.start(stream, peer),
                Err(error) => {
                    match open_files::remedy(&error) {
                        Some(remedy) => tracing::warn!("a connection has to wait: {remedy}"),
                        None => tracing::warn!(%error, "a connection could not be accepted"),
                    }
                    // The error repeats until other connections have ended.
                    sleep(Duration::from_millis(50)).await;
                }
            },
            () = stop.cancelled() => break,
        }
    }
    if let Err(error) = server.start_waiting(listener) {
        tracing::debug!(%error, "the last connections could not be accepted");
    }
    let drained = async {
        for tasks in [server.connections, upgraded] {
            tasks.close();
            tasks.wait().await;
        }
    };
    timeout(drain, drained).await.is_ok()
}

struct Server {
    http: http1::Builder,
    service: Router,
    stop: CancellationToken,
    connections: TaskTracker,
}

impl Server {
    /// Accepts the clients that have connected and still wait for that. Without it, the end of the listener would
    /// reset their connections.
    fn start_waiting(&self, listener: TcpListener) -> io::Result<()> {
        let listener = listener.into_std()?;
        for _ in 0..MOST_WAITING {
            let (stream, peer) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            stream.set_nonblocking(true)?;
            self.start(TcpStream::from_std(stream)?, peer);
        }
        Ok(())
    }

    fn start(&self, stream: TcpStream, peer: SocketAddr) {
        prepare(&stream, peer);
        let state = Arc::new(ConnectionState::default());
        let wire = Wire::new(stream, state.clone());
        let (service, requests, stop) = (self.service.clone(), state.clone(), self.stop.clone());
        let answer = service_fn(move |request: Request<Incoming>| {
            let busy = requests.begin(request.version());
            let answering = service.clone().oneshot(prepared(request, peer));
            let stop = stop.clone();
            async move {
                let mut response = answering.await?;
                if stop.is_cancelled() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(busy.answer(response))
            }
        });
        let connection = self.http.serve_connection(TokioIo::new(wire), answer).with_upgrades();
        let (stop, accepted) = (self.stop.clone(), Instant::now());
        self.connections.spawn(async move {
            let mut connection = pin!(connection);
            let last_request = async {
                stop.cancelled().await;
                if !state.is_used() {
                    sleep_until(accepted + FIRST_REQUEST).await;
                } else if !state.is_busy() {
                    sleep(NEXT_REQUEST).await;
                }
            };
            let ended = tokio::select! {
                ended = &mut connection => ended,
                () = last_request => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, %peer, "a connection ended early");
            }
        });
    }
}

fn prepared(request: Request<Incoming>, peer: SocketAddr) -> Request<Body> {
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(ConnectInfo(peer));
    let body = Body::new(RequestBody::new(body, &parts.headers));
    Request::from_parts(parts, body)
}

fn prepare(stream: &TcpStream, peer: SocketAddr) {
    // Without Nagle's algorithm: a small frame must not wait for the next one.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, %peer, "TCP_NODELAY could not be set");
    }
}

#[cfg(test)]
mod tests;
