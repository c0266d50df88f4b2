//! `/__test/*`: routes for tests of a deployment, if `PROXY_TEST_ENDPOINTS` enables them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde_json::{Value, json};

use super::error::Error;
use super::metrics::is_from_here;
use super::{App, open, require_key};

/// The settings of the routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Whether other machines may call them too.
    pub allow_remote: bool,
    /// The file that the release route writes, for a backend that waits for it.
    pub release_file: Option<PathBuf>,
}

/// The routes, if they are enabled.
pub(super) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    if app.config.tests.is_none() {
        return Router::new();
    }
    Router::new()
        .route("/conc", open("GET, HEAD", get(streams)))
        .route("/conc/release", open("POST", post(release)))
        .route("/tool-buffer-metrics", open("GET, HEAD", get(tool_blocks)))
        .route("/tool-buffer-metrics/reset", open("POST", post(reset_tool_blocks)))
        .layer(middleware::from_fn_with_state(app.clone(), require_key))
        .layer(middleware::from_fn_with_state(app.clone(), from_here))
}

/// Other machines get the same answer as from a proxy without these routes.
async fn from_here(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let is_near = is_from_here(&request);
    if is_near || app.config.tests.as_ref().is_some_and(|tests| tests.allow_remote) {
        return next.run(request).await;
    }
    Error::UnknownRoute(request.uri().path().to_owned()).into_response()
}

async fn streams(State(app): State<Arc<App>>) -> Json<Value> {
    Json(json!({"conc": app.exchanges.open_streams()}))
}

async fn release(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
    let file = app.config.tests.as_ref().and_then(|tests| tests.release_file.clone());
    let Some(file) = file else {
        return (
            StatusCode::BAD_REQUEST,
            Json(json!({"ok": false, "reason": "STREAM_RELEASE_FILE not set"})),
        );
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    match tokio::fs::write(&file, now.to_string()).await {
        Ok(()) => (StatusCode::OK, Json(json!({"ok": true}))),
        Err(error) => {
            let error = format!("cannot write {}: {error}", file.display());
            (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({"ok": false, "error": error})))
        }
    }
}

/// Counts the tool blocks. The proxy always completes a block, so the two counters are equal.
async fn tool_blocks(State(app): State<Arc<App>>) -> Json<Value> {
    let made = app.dispatcher.tool_blocks();
    let counter = |what: &str, total: u64| {
        let bucket = json!({"labels": {"output_mode": "obsidian-xml"}, "value": total});
        let buckets: Vec<Value> = (total > 0).then_some(bucket).into_iter().collect();
        json!({"name": format!("codex_tool_buffer_{what}_total"), "total": total, "buckets": buckets})
    };
    Json(json!({
        "ok": true,
        "summary": {
            "started": counter("started", made),
            "flushed": counter("flushed", made),
            "aborted": counter("aborted", 0),
        },
    }))
}

async fn reset_tool_blocks(State(app): State<Arc<App>>) -> Json<Value> {
    app.dispatcher.reset_tool_blocks();
    Json(json!({"ok": true}))
}
