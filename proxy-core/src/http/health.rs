//! Whether the proxy lives and is ready.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde_json::{Value, json};

use super::App;
use crate::worker::WorkerState;

/// Everything, always 200.
pub(super) async fn healthz(State(app): State<Arc<App>>) -> Json<Value> {
    Json(report(&app))
}

/// 200 once a worker has done its handshake, else 503.
pub(super) async fn readyz(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
    let report = report(&app);
    let ready = report["health"]["readiness"]["ready"] == true;
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(report))
}

/// 200 as long as the proxy answers at all.
pub(super) async fn livez() -> Json<Value> {
    Json(json!({"ok": true}))
}

fn report(app: &App) -> Value {
    let status = app.dispatcher.pool().status();
    let (ready, state, reason) = match &status.worker {
        WorkerState::Ready { .. } => (true, "ready", None),
        WorkerState::Starting => (false, "starting", Some("the Codex worker has not done its handshake yet")),
        WorkerState::BackingOff { reason } => (false, "backing_off", Some(reason.as_str())),
        WorkerState::Stopped => (false, "stopped", Some("the proxy is shutting down")),
    };
    let (version, active_turns) = match &status.worker {
        WorkerState::Ready { version, active_turns } => (Some(version), *active_turns),
        WorkerState::Starting | WorkerState::BackingOff { .. } | WorkerState::Stopped => (None, 0),
    };
    json!({
        "ok": ready,
        "sandbox_mode": app.sandbox_mode,
        "backend_mode": "app-server",
        "health": {
            "readiness": {"ready": ready, "reason": reason},
            "liveness": {"live": true},
        },
        "worker_supervisor": {
            "workers": [{
                "state": state,
                "codex_version": version,
                "active_turns": active_turns,
                "reason": reason,
            }],
            "restarts": status.restarts,
        },
    })
}
