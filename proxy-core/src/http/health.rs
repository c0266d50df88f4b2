//! The health routes: whether the proxy runs and whether it is ready.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::App;
use crate::control::api::{BackendMode, Status};

/// The complete state; the status is always 200.
pub(super) async fn healthz(State(app): State<Arc<App>>) -> Json<Value> {
    Json(report(&app).1)
}

/// 200 if a worker has completed its handshake, otherwise 503.
pub(super) async fn readyz(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
    let (ready, report) = report(&app);
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(report))
}

/// 200 as long as the proxy can answer.
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
        "worker_supervisor": supervisor(&status, &shown),
    });
    (status.ready, report)
}

/// All workers as one, with the names that monitors expect, and then each worker. With several workers, a value
/// for all is the sum, the worst or the latest of them.
fn supervisor(status: &Status, shown: &[Value]) -> Value {
    let workers = &status.workers;
    let restarts: u64 = workers.iter().map(|worker| worker.restarts).sum();
    let ready_at = workers.iter().filter_map(|worker| worker.last_ready_at).max();
    let startup_ms = workers.iter().filter_map(|worker| worker.startup_ms).max();
    let last_exit =
        workers.iter().filter(|worker| worker.last_exit.is_some()).max_by_key(|worker| worker.last_exit_at);
    json!({
        "enabled": status.backend_mode != BackendMode::Proto,
        "running": true,
        "ready": status.ready,
        "shutdown_in_flight": false,
        "pid": workers.iter().find_map(|worker| worker.pid),
        "restarts_total": restarts,
        "consecutive_failures": workers.iter().map(|worker| worker.consecutive_failures).max().unwrap_or(0),
        "last_exit": last_exit.map(|worker| {
            json!({"reason": worker.last_exit, "at": worker.last_exit_at.and_then(iso)})
        }),
        "last_ready_at": ready_at.and_then(iso),
        "startup_latency_ms": startup_ms,
        "next_restart_delay_ms": workers.iter().filter_map(|worker| worker.retry_in_ms).min().unwrap_or(0),
        "metrics": {"codex_worker_restarts_total": restarts, "codex_worker_latency_ms": startup_ms},
        "health": {
            "readiness": {"ready": status.ready, "reason": status.reason},
            "liveness": {"live": true},
        },
        "workers": shown,
        "restarts": restarts,
        "queue_depth": status.queue_depth,
    })
}

/// A time in seconds since the epoch, in RFC 3339.
fn iso(epoch: u64) -> Option<String> {
    Some(Timestamp::from_second(i64::try_from(epoch).ok()?).ok()?.to_string())
}
