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
    let status = app.control.status();
    let shown: Vec<_> = status
        .workers
        .iter()
        .map(|worker| {
            json!({
                "id": worker.id,
                "state": worker.state,
                "pid": worker.pid,
                "codex_version": worker.codex_version,
                "active_turns": worker.turns_running,
                "restarts": worker.restarts,
                "last_exit": worker.last_exit,
            })
        })
        .collect();
    let report = json!({
        "ok": status.ready,
        "sandbox_mode": status.sandbox_mode,
        "backend_mode": status.backend_mode,
        "health": {
            "readiness": {"ready": status.ready, "reason": status.reason},
            "liveness": {"live": true},
        },
        "worker_supervisor": {
            "workers": shown,
            "restarts": status.workers.iter().map(|worker| worker.restarts).sum::<u64>(),
            "queue_depth": status.queue_depth,
        },
    });
    (status.ready, report)
}
