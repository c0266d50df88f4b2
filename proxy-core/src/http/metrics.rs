//! `/metrics`, for Prometheus.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CONTENT_TYPE, ORIGIN, VARY};

use super::caller::Caller;
use super::error::Error;
use super::{App, unauthorized};
use crate::control::api::{AccountState, Limits, Worker, WorkerState};
use crate::telemetry::metrics::{Exposition, LimitSample, Snapshot, WorkerSample};

/// All metrics, if they are enabled.
pub(super) async fn show(State(app): State<Arc<App>>, request: Request) -> Result<Response, Error> {
    if !app.metrics.is_on() {
        return Err(Error::UnknownRoute("/metrics".to_owned()));
    }
    if !is_from_here(&request) && app.admitted_key(request.headers()).is_none() {
        return Err(unauthorized(request.headers()));
    }
    let accept = request.headers().get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    let exposition = Exposition::accepted(&accept.collect::<Vec<_>>().join(","));
    // On a blocking thread: rendering reads a few files of the system.
    let text = tokio::task::spawn_blocking(move || app.metrics.render(snapshot(&app), exposition)).await;
    let text = text.ok().flatten().ok_or(Error::Internal)?;
    Ok(([(CONTENT_TYPE, exposition.content_type()), (VARY, "accept")], text).into_response())
}

/// Whether a program on this machine sent the request. A page in its browser does not count: it acts for its
/// author.
pub(super) fn is_from_here(request: &Request) -> bool {
    request.extensions().get::<Caller>().is_some_and(Caller::is_alone)
        && !request.headers().contains_key(ORIGIN)
}

fn snapshot(app: &App) -> Snapshot {
    let status = app.control.status();
    Snapshot {
        workers: status.workers.into_iter().map(sample).collect(),
        queue_depth: status.queue_depth,
        signed_in: match status.account.state {
            AccountState::SignedIn | AccountState::NotNeeded => Some(true),
            AccountState::SignedOut | AccountState::SigningIn => Some(false),
            AccountState::Unknown | AccountState::Other => None,
        },
        limits: status.limits.iter().flat_map(limits).collect(),
        usage_store_lag_seconds: None,
        log_lines_dropped: app.control.log_lines_dropped(),
    }
}

fn limits(limits: &Limits) -> impl Iterator<Item = LimitSample> {
    let windows = [("primary", limits.primary), ("secondary", limits.secondary)];
    windows.into_iter().filter_map(|(name, window)| {
        let window = window?;
        Some(LimitSample {
            window: name,
            used_percent: window.used_percent.into(),
            resets_at: window.resets_at,
        })
    })
}

fn sample(worker: Worker) -> WorkerSample {
    WorkerSample {
        id: worker.id,
        ready: matches!(worker.state, WorkerState::Ready | WorkerState::Draining),
        state: worker.state.as_str(),
        codex_version: worker.codex_version,
        uptime_seconds: worker.uptime_seconds,
        restarts: worker.restarts,
        turns_running: worker.turns_running,
        turns_done: worker.turns_done,
        resident_bytes: worker.resident_bytes,
    }
}
