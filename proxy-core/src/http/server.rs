//! Accepts connections, and drains them at the end.

mod connection;
mod refusal;
mod remains;
mod wire;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::open_files;
use connection::ConnectionState;
use remains::RequestBody;
use wire::Wire;

/// The maximum time for a client to send the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// Serves until `stop`, then waits at most `drain` for running requests, and for the connections that have become
/// others, of which `upgraded` has the tasks.
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
    let connections = TaskTracker::new();
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    match open_files::remedy(&error) {
                        Some(remedy) => tracing::warn!("a connection has to wait: {remedy}"),
                        None => tracing::warn!(%error, "a connection could not be accepted"),
                    }
                    // The error repeats until other connections have ended.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = stop.cancelled() => break,
        };
        prepare(&stream, peer);
        let (service, state) = (service.clone(), Arc::new(ConnectionState::default()));
        let wire = Wire::new(stream, state.clone());
        let answer = move |request: Request<Incoming>| {
            let busy = state.begin(request.version());
            let answering = service.clone().oneshot(prepared(request, peer));
            async move { answering.await.map(|response| busy.answer(response)) }
        };
        let connection = http.serve_connection(TokioIo::new(wire), service_fn(answer)).with_upgrades();
        let stop = stop.clone();
        connections.spawn(async move {
            let mut connection = pin!(connection);
            let ended = tokio::select! {
                ended = &mut connection => ended,
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, %peer, "a connection ended early");
            }
        });
    }
    drop(listener);
    let drained = async {
        for tasks in [connections, upgraded] {
            tasks.close();
            tasks.wait().await;
        }
    };
    tokio::time::timeout(drain, drained).await.is_ok()
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
