//! What is stored of requests and answers, over HTTP: responses, conversations and chat completions.

pub(super) mod chats;
pub(super) mod conversations;
pub(super) mod responses;

use axum::extract::{FromRequestParts, Path};
use http::Uri;
use http::request::Parts;
use serde_json::{Value, json};

use super::App;
use super::body::{self, Sent};
use super::error::Error;
use super::usage::{invalid, value};
use crate::exchange;
use crate::response_store::{Listed, Page, StoreError};
use protocol::openai::error::{RequestError, RequestErrorKind};
use protocol::openai::read::{Node, excerpt};

/// The default number of entries of a page, and the most.
const LIMITS: (u64, u64) = (20, 100);

/// The largest body of a request that only changes what is stored, in bytes: the largest metadata is far smaller.
const MAX_CHANGE: usize = 64 << 10;

/// The two variable segments of a path, decoded.
pub(super) struct Pair(String, String);

impl<S: Send + Sync> FromRequestParts<S> for Pair {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path((first, second))) => Ok(Self(first, second)),
            Err(_) => Err(Error::UnknownRoute(parts.uri.path().to_owned())),
        }
    }
}

/// The page that a query asks for.
fn page(uri: &Uri, descending: bool) -> Result<Page, Error> {
    let (default, most) = LIMITS;
    let limit =
        match value(uri, "limit") {
            None => default,
            Some(text) => text.parse().ok().filter(|limit| (1..=most).contains(limit)).ok_or_else(|| {
                invalid("limit", format!("'limit' has to be a whole number from 1 to {most}."))
            })?,
        };
    let descending = match value(uri, "order").as_deref() {
        None => descending,
        Some("asc") => false,
        Some("desc") => true,
        Some(_) => return Err(invalid("order", "'order' has to be 'asc' or 'desc'.".to_owned())),
    };
    let text = |name| value(uri, name).map(|text| text.into_owned());
    Ok(Page {
        limit: u32::try_from(limit).unwrap_or(u32::MAX),
        descending,
        after: text("after"),
        before: text("before"),
    })
}

/// A page as OpenAI's list object.
fn list(listed: &Listed) -> Value {
    let id = |item: Option<&Value>| item.map_or(Value::Null, |item| item["id"].clone());
    json!({
        "object": "list",
        "first_id": id(listed.data.first()),
        "last_id": id(listed.data.last()),
        "has_more": listed.has_more,
        "data": listed.data,
    })
}

/// A boolean of the query.
fn flag(uri: &Uri, name: &'static str) -> Result<bool, Error> {
    match value(uri, name).as_deref() {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1") => Ok(true),
        Some(_) => Err(invalid(name, format!("'{name}' has to be 'true' or 'false'."))),
    }
}

/// The JSON object in a body; an empty one if there is no body.
async fn object(sent: Sent, limit: usize) -> Result<Value, Error> {
    let bytes = body::read(sent, limit, None).await?;
    if bytes.is_empty() {
        return Ok(json!({}));
    }
    let body = exchange::json(&bytes)?;
    Node::root(&body).object()?;
    Ok(body)
}

/// Refuses to keep something where nothing is kept.
fn require_store(app: &App) -> Result<(), Error> {
    if app.exchanges.store().is_on() {
        return Ok(());
    }
    Err(RequestError {
        kind: RequestErrorKind::Unsupported,
        message: "This proxy stores nothing (PROXY_STORE=off, or its database cannot be used: the log says why). Send \
                  the whole transcript with each request."
            .to_owned(),
        param: None,
    }
    .into())
}

/// The refusal of an id that is unknown, deleted or of another key.
fn not_found(what: &str, id: &str) -> Error {
    let message = format!("{what} with id '{}' not found.", excerpt(id));
    RequestError { kind: RequestErrorKind::NotFound, message, param: None }.into()
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        if let StoreError::UnknownCursor(id) = &error {
            return invalid("after", format!("There is no entry with id '{}' in this list.", excerpt(id)));
        }
        tracing::warn!(%error, "what is stored could not be used");
        Self::StoreUnavailable(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(query: &str) -> Uri {
        format!("/x?{query}").parse().unwrap()
    }

    #[test]
    fn a_page_has_the_defaults_and_bounds_of_the_api() {
        let default = page(&uri(""), true).unwrap();
        assert_eq!((default.limit, default.descending, default.after), (20, true, None));
        let asked = page(&uri("limit=3&order=asc&after=msg_1"), true).unwrap();
        assert_eq!((asked.limit, asked.descending, asked.after.as_deref()), (3, false, Some("msg_1")));
        for wrong in ["limit=0", "limit=101", "limit=x", "order=up"] {
            assert!(page(&uri(wrong), true).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_list_names_its_first_and_last_entry() {
        let data = vec![json!({"id": "a"}), json!({"id": "b"})];
        let listed = list(&Listed { data, has_more: true });
        assert_eq!((&listed["first_id"], &listed["last_id"]), (&json!("a"), &json!("b")));
        let none = list(&Listed { data: Vec::new(), has_more: false });
        assert_eq!((&none["first_id"], &none["data"]), (&Value::Null, &json!([])));
    }

    #[test]
    fn a_flag_is_true_or_false() {
        assert!(flag(&uri("stream=true"), "stream").unwrap());
        assert!(!flag(&uri("stream=false"), "stream").unwrap());
        assert!(!flag(&uri(""), "stream").unwrap());
        assert!(flag(&uri("stream=yes"), "stream").is_err());
    }
}
