//! The routes of the account under `/control`.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};

use super::super::body::Sent;
use super::super::error::Error;
use super::super::{App, open};
use super::{invalid, read_body};
use crate::account::Method;
use crate::control::api::{
    Account, AccountUsage, ImportLogin, Imported, LimitHistory, Limits, LogIn, SignInWith,
};
use crate::secret::ApiKey;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/account", open("GET, HEAD", get(account)))
        .route("/account/login", open("POST, DELETE", post(log_in).merge(delete(cancel))))
        .route("/account/logout", open("POST", post(log_out)))
        .route("/account/import", open("POST", post(import)))
        .route("/account/usage", open("GET, HEAD", get(usage)))
        .route("/limits", open("GET, HEAD", get(limits)))
        .route("/limits/history", open("GET, HEAD", get(limit_history)))
}

async fn account(State(app): State<Arc<App>>) -> Json<Account> {
    Json(app.control.account())
}

async fn log_in(State(app): State<Arc<App>>, body: Sent) -> Result<Response, Error> {
    let asked: LogIn = read_body(body).await?;
    let method = match asked.method {
        SignInWith::Browser => Method::Browser,
        SignInWith::DeviceCode => Method::DeviceCode,
        SignInWith::ApiKey => {
            let key = asked.api_key.as_ref().map_or("", |key| key.0.as_str());
            let key = ApiKey::parse(key.trim()).map_err(|error| invalid("api_key", format!("{error}.")))?;
            return Ok(Json(app.control.log_in_with_key(&key).await?).into_response());
        }
        SignInWith::Other => {
            return Err(invalid("method", "'method' is 'browser', 'device_code' or 'api_key'."));
        }
    };
    Ok(Json(app.control.log_in(method).await?).into_response())
}

async fn cancel(State(app): State<Arc<App>>) -> Json<Account> {
    Json(app.control.cancel_login().await)
}

async fn log_out(State(app): State<Arc<App>>) -> Result<Json<Account>, Error> {
    Ok(Json(app.control.log_out().await?))
}

async fn import(State(app): State<Arc<App>>, body: Sent) -> Result<Json<Imported>, Error> {
    let asked: ImportLogin = read_body(body).await?;
    if asked.path.as_ref().is_some_and(|path| !path.is_absolute()) {
        return Err(invalid("path", "'path' has to be absolute: the proxy does not know where you are."));
    }
    Ok(Json(app.control.import_login(asked.path).await?))
}

async fn limits(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Result<Json<Limits>, Error> {
    let query = query.unwrap_or_default();
    let asked = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "refresh");
    let refresh = match asked.as_ref().map(|(_, value)| value.as_ref()) {
        None | Some("false") => false,
        Some("true" | "") => true,
        Some(_) => return Err(invalid("refresh", "'refresh' is true or false.")),
    };
    Ok(Json(app.control.limits(refresh).await?))
}

async fn limit_history(State(app): State<Arc<App>>) -> Json<LimitHistory> {
    Json(app.control.limit_history())
}

async fn usage(State(app): State<Arc<App>>) -> Result<Json<AccountUsage>, Error> {
    Ok(Json(app.control.account_usage().await?))
}
