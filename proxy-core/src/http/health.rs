//! Whether the proxy lives and is ready.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde_json::{Value, json};

use super::App;

/// Everything, always 200.
pub(super) async fn healthz(State(app): State<Arc<App>>) -> Json<Value> {
    Json(report(&app).1)
}

/// 200 once a worker has done its handshake, else 503.
pub(super) async fn readyz(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
    let (ready, report) = report(&app);
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(report))
}

/// 200 as long as the proxy answers at all.
pub(super) async fn livez() -> Json<Value> {
    Json(json!({"ok": true}))
}

fn report(app: &App) -> (bool, Value) {
    let status = app.dispatcher.status();
    let ready = status.is_ready();
    let report = json!({
        "ok": ready,
        "sandbox_mode": app.sandbox_mode,
        "backend_mode": "app-server",
        "health": {
            "readiness": {"ready": ready, "reason": status.reason},
            "liveness": {"live": true},
        },
        "worker_supervisor": {
            "workers": [{
                "state": status.state,
                "codex_version": status.version,
                "active_turns": status.active_turns,
                "reason": status.reason,
            }],
            "restarts": status.restarts,
        },
    });
    (ready, report)
}
