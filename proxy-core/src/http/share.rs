//! The second address for other machines of a private network: only the API, and only with the key that was made
//! for them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, Uri};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::error::Error;
use super::guard::Guard;
use super::{App, Edge, api, edge, note_route, server, unauthorized};
use crate::control::share::{Doors, Reached, Shared, is_private};
use crate::secret::KeyId;

/// The maximum time for running requests after sharing was turned off.
const DRAIN: Duration = Duration::from_secs(10);

/// Opens and closes the address as people want it, until the proxy accepts no more requests.
pub async fn run(app: Arc<App>, doors: Doors, closing: CancellationToken) {
    let Doors { mut wanted, reached } = doors;
    loop {
        let shared = wanted.borrow_and_update().clone();
        let stop = closing.child_token();
        let serving = match shared {
            None => {
                reached.send_replace(Reached::Closed);
                None
            }
            Some(shared) => match listen(&app, &shared).await {
                Ok(listener) => {
                    let service = service(&app, &shared, &stop);
                    reached.send_replace(Reached::Open(shared));
                    // The WebSockets of both addresses end together.
                    let upgraded = TaskTracker::new();
                    Some(tokio::spawn(server::serve(listener, service, upgraded, stop.clone(), DRAIN)))
                }
                Err(reason) => {
                    tracing::warn!(address = %shared.address, reason, "the proxy is not shared on the network");
                    reached.send_replace(Reached::Failed(shared, reason));
                    None
                }
            },
        };
        let goes_on = tokio::select! {
            changed = wanted.changed() => changed.is_ok(),
            () = closing.cancelled() => false,
        };
        stop.cancel();
        if let Some(Err(error)) = match serving {
            Some(serving) => Some(serving.await),
            None => None,
        } {
            tracing::error!(%error, "the server for the network ended with an error");
        }
        if !goes_on {
            return;
        }
    }
}

async fn listen(app: &App, shared: &Shared) -> Result<TcpListener, String> {
    if !app.keys.list().keys.iter().any(|key| key.id == shared.key) {
        return Err(
            "The key for the network was removed. Turn sharing off and on again to make another one."
                .to_owned(),
        );
    }
    TcpListener::bind(shared.address).await.map_err(|error| {
        format!(
            "The address {} cannot be opened: {error}. Choose the address that this machine has now.",
            shared.address
        )
    })
}

/// What is served there. No other route is in this router, so no request can find one.
fn service(app: &Arc<App>, shared: &Shared, stop: &CancellationToken) -> Router {
    let host = match shared.address {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    };
    let edge_state = Arc::new(Edge {
        guard: Guard::new(shared.address.port(), vec![host], app.config.cors.clone()),
        trusted_proxies: Vec::new(),
        metrics: app.metrics.clone(),
        recorder: app.exchanges.recorder().clone(),
    });
    let gate = Arc::new(Gate { app: app.clone(), key: shared.key.clone(), stop: stop.clone() });
    let routes = Router::new()
        .nest("/v1", api(app))
        .route_layer(middleware::from_fn(note_route))
        .fallback(|uri: Uri| async move { Error::UnknownRoute(uri.path().to_owned()) })
        .layer(middleware::from_fn_with_state(gate, only_with_its_key))
        .with_state(app.clone());
    Router::new().fallback_service(routes).layer(middleware::from_fn_with_state(edge_state, edge))
}

struct Gate {
    app: Arc<App>,
    key: KeyId,
    /// Set when the address closes. A request that comes later, on a connection from before, is not answered.
    stop: CancellationToken,
}

/// Refuses callers of other networks, and every key but the one for this address, before any route is chosen.
async fn only_with_its_key(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    if !peer.is_some_and(is_private) {
        return (StatusCode::FORBIDDEN, "This address answers only its own network.\n").into_response();
    }
    if gate.stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "This address is being closed.\n").into_response();
    }
    let shown = gate.app.admitted_key(request.headers());
    if shown.is_none_or(|key| key.id != gate.key) {
        return unauthorized(request.headers()).into_response();
    }
    next.run(request).await
}
