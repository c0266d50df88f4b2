//! `/control/requests` and `/control/capture`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::Uri;
use url::form_urlencoded;

use super::super::body::Sent;
use super::super::error::Error;
use super::super::segment::Segment;
use super::super::{App, open};
use super::{invalid, read_body};
use crate::control::api::{RequestDetail, RequestList, StartCapture};
use crate::request_log::CaptureState;

/// The longest time for which a person can turn the capture of texts on, in seconds.
const LONGEST_CAPTURE: u64 = 3600;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/requests", open("GET, HEAD", get(list)))
        .route("/requests/{id}", open("GET, HEAD", get(one)))
        .route("/capture", open("POST, DELETE", post(start).delete(stop)))
}

/// How many requests a page has by default.
const PAGE: usize = 100;

async fn list(State(app): State<Arc<App>>, uri: Uri) -> Result<Json<RequestList>, Error> {
    let (mut limit, mut before) = (PAGE, None);
    for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        match &*name {
            "limit" => limit = value.parse().map_err(|_| invalid("limit", "'limit' is a whole number."))?,
            "before" => before = Some(value),
            _ => {}
        }
    }
    Ok(Json(app.control.requests(limit, before.as_deref())))
}

async fn one(State(app): State<Arc<App>>, Segment(id): Segment) -> Result<Json<RequestDetail>, Error> {
    let known = app.control.request(&id);
    known.map(Json).ok_or_else(|| Error::UnknownRoute(format!("/control/requests/{id}")))
}

async fn start(State(app): State<Arc<App>>, body: Sent) -> Result<Json<CaptureState>, Error> {
    let capture: StartCapture = read_body(body).await?;
    if !(1..=LONGEST_CAPTURE).contains(&capture.seconds) {
        return Err(invalid("seconds", format!("'seconds' must be from 1 to {LONGEST_CAPTURE}.")));
    }
    Ok(Json(app.control.capture(capture.key, Duration::from_secs(capture.seconds))?))
}

async fn stop(State(app): State<Arc<App>>) -> Json<CaptureState> {
    Json(app.control.stop_capture())
}
