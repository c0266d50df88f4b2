//! Whether the proxy lives and is ready.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde_json::{Value, json};

use super::App;
use crate::dispatch::WorkerFacts;

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
    let workers = app.dispatcher.workers();
    let ready = workers.iter().any(WorkerFacts::is_up);
    let reason = (!ready).then(|| {
        let down = workers.iter().find_map(|worker| worker.last_exit.as_ref());
        down.map_or("the Codex worker has not done its handshake yet", |(_, reason)| reason.as_str())
            .to_owned()
    });
    let shown: Vec<_> = workers
        .iter()
        .map(|worker| {
            json!({
                "id": worker.id,
                "state": worker.state.as_str(),
                "pid": worker.pid,
                "codex_version": worker.version,
                "active_turns": worker.turns_running,
                "turns_done": worker.turns_done,
                "restarts": worker.restarts,
                "last_exit": worker.last_exit.as_ref().map(|(_, reason)| reason),
            })
        })
        .collect();
    let report = json!({
        "ok": ready,
        "sandbox_mode": app.sandbox_mode,
        "backend_mode": "app-server",
        "health": {
            "readiness": {"ready": ready, "reason": reason},
            "liveness": {"live": true},
        },
        "worker_supervisor": {
            "workers": shown,
            "restarts": workers.iter().map(|worker| worker.restarts).sum::<u64>(),
            "queue_depth": app.dispatcher.queue_depth(),
        },
    });
    (ready, report)
}
