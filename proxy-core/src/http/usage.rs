//! `/v1/usage` and `/v1/usage/raw`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::Uri;
use url::form_urlencoded;

use super::App;
use super::error::Error;
use crate::control::usage::{PageObject, UsageError, parameters};
use crate::usage::query::{QueryError, Summary, UsageQuery};
use protocol::openai::error::{RequestError, RequestErrorKind};

/// The sums over a time range.
pub(super) async fn sums(State(app): State<Arc<App>>, uri: Uri) -> Result<Json<Summary>, Error> {
    Ok(Json(app.control.usage(query(&app, &uri)?).await?))
}

/// The single events of a time range.
pub(super) async fn raw(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Error> {
    let limit = match number(&uri, "limit")? {
        None => DEFAULT_LIMIT,
        Some(limit) if (1..=MOST).contains(&limit) => limit,
        Some(_) => return Err(invalid("limit", format!("'limit' has to be from 1 to {MOST}."))),
    };
    let page = app.control.usage_page(limit as usize, number(&uri, "after")?).await?;
    Ok(Json(PageObject::from(&page)).into_response())
}

const DEFAULT_LIMIT: u64 = 100;
const MOST: u64 = 1000;

/// Parses the query string.
pub(super) fn query(app: &App, uri: &Uri) -> Result<UsageQuery, Error> {
    Ok(app.control.usage_query(&parameters(pairs(uri)))?)
}

/// The last value of a query parameter.
pub(super) fn value<'a>(uri: &'a Uri, name: &str) -> Option<std::borrow::Cow<'a, str>> {
    pairs(uri).filter(|(found, _)| found == name).last().map(|(_, value)| value)
}

fn number(uri: &Uri, name: &'static str) -> Result<Option<u64>, Error> {
    let Some(text) = value(uri, name) else { return Ok(None) };
    let number = text.parse().ok().filter(|number| i64::try_from(*number).is_ok());
    number.map(Some).ok_or_else(|| invalid(name, format!("'{name}' has to be a whole number.")))
}

fn pairs(uri: &Uri) -> form_urlencoded::Parse<'_> {
    form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
}

pub(super) fn invalid(param: &'static str, message: String) -> Error {
    RequestError::new(RequestErrorKind::InvalidValue, param, message).into()
}

impl From<QueryError> for Error {
    fn from(error: QueryError) -> Self {
        invalid(error.param, error.message)
    }
}

impl From<UsageError> for Error {
    fn from(error: UsageError) -> Self {
        match error {
            UsageError::Query(error) => error.into(),
            UsageError::Store(_) | UsageError::Interrupted => {
                tracing::warn!(%error, "usage could not be read");
                Self::UsageUnavailable
            }
        }
    }
}
