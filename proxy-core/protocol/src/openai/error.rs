//! OpenAI's error body, and its content for a bad request or a failed turn. Room `http` chooses the status.

use serde::Serialize;

use crate::turn::{Remedy, TurnError, TurnErrorKind};

/// The `error` object of OpenAI's error answers.
///
/// All four members are always present: clients show "400 status code (no body)" for any other shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorBody {
    /// The message for people.
    pub message: String,
    /// The family, e.g. `invalid_request_error`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The parameter that caused the error, as a path into the request.
    pub param: Option<String>,
    /// The code for programs.
    pub code: Option<&'static str>,
    /// The action that a program can take.
    #[serde(flatten)]
    pub remedy: Option<RemedyBody>,
}

/// Members that only some errors have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum RemedyBody {
    /// Members of `login_required`.
    SignIn {
        /// The page to open in a browser.
        auth_url: Option<String>,
        /// The sign-in that is under way.
        login_id: Option<String>,
        /// The page where the user enters the code.
        #[serde(skip_serializing_if = "Option::is_none")]
        verification_url: Option<String>,
        /// The code, if there is one.
        #[serde(skip_serializing_if = "Option::is_none")]
        user_code: Option<String>,
    },
    /// Members of `usage_limit_reached`.
    WaitUntil {
        /// When the limit resets, in seconds since the epoch.
        resets_at: u64,
    },
}

impl RemedyBody {
    fn of(remedy: &Remedy) -> Self {
        match remedy.clone() {
            Remedy::SignIn(sign_in) => Self::SignIn {
                auth_url: sign_in.auth_url,
                login_id: sign_in.login_id,
                verification_url: sign_in.verification_url,
                user_code: sign_in.user_code,
            },
            Remedy::WaitUntil(resets_at) => Self::WaitUntil { resets_at },
        }
    }
}

/// A request that cannot become a turn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RequestError {
    /// The kind of error.
    pub kind: RequestErrorKind,
    /// What is wrong, and what would be right.
    pub message: String,
    /// The parameter that caused the error, as a path into the request.
    pub param: Option<String>,
}

/// The kinds of errors in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestErrorKind {
    /// The body is not JSON.
    InvalidJson,
    /// A value has the wrong JSON type.
    InvalidType,
    /// A value of the right type is not allowed.
    InvalidValue,
    /// A required parameter is missing.
    MissingParameter,
    /// A parameter or value that this proxy or its Codex cannot honour.
    Unsupported,
    /// The model does not exist.
    ModelNotFound,
    /// The request refers to something that does not exist.
    NotFound,
    /// The response that the request continues does not exist.
    PreviousResponseNotFound,
    /// An image could not be read or fetched.
    InvalidImage,
    /// The prompt is over the operator's cap.
    PromptTooLong,
    /// The prompt does not fit the model.
    ContextLengthExceeded,
    /// The request is larger than one request may be.
    TooLarge,
}

impl RequestError {
    /// An error of `kind` about `param`.
    pub fn new(kind: RequestErrorKind, param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), param: Some(param.into()) }
    }

    /// The same error under the name that the client knows.
    #[must_use]
    pub fn renamed(self, param: &str) -> Self {
        let message = match &self.param {
            Some(own) => self.message.replace(own.as_str(), param),
            None => self.message,
        };
        Self { message, param: Some(param.to_owned()), ..self }
    }

    /// The error body that a client reads.
    pub fn body(&self) -> ErrorBody {
        let (kind, code) = match self.kind {
            RequestErrorKind::InvalidJson => ("invalid_request_error", "invalid_json"),
            RequestErrorKind::InvalidType => ("invalid_request_error", "invalid_type"),
            RequestErrorKind::InvalidValue => ("invalid_request_error", "invalid_value"),
            RequestErrorKind::MissingParameter => ("invalid_request_error", "missing_required_parameter"),
            RequestErrorKind::Unsupported => ("invalid_request_error", "unsupported_parameter"),
            RequestErrorKind::ModelNotFound => ("invalid_request_error", "model_not_found"),
            RequestErrorKind::NotFound => ("invalid_request_error", "not_found"),
            RequestErrorKind::PreviousResponseNotFound => {
                ("invalid_request_error", "previous_response_not_found")
            }
            RequestErrorKind::InvalidImage => ("invalid_request_error", "invalid_image_url"),
            RequestErrorKind::PromptTooLong => ("tokens_exceeded_error", "tokens_exceeded_error"),
            RequestErrorKind::ContextLengthExceeded => ("invalid_request_error", "context_length_exceeded"),
            RequestErrorKind::TooLarge => ("invalid_request_error", "request_too_large"),
        };
        ErrorBody {
            message: self.message.clone(),
            kind,
            param: self.param.clone(),
            code: Some(code),
            remedy: None,
        }
    }
}

/// The error body of a failed turn.
pub fn turn_error_body(error: &TurnError) -> ErrorBody {
    let (kind, code) = match error.kind {
        TurnErrorKind::LoginRequired => ("authentication_error", "login_required"),
        TurnErrorKind::UsageLimitReached => ("insufficient_quota", "usage_limit_reached"),
        TurnErrorKind::RateLimited => ("rate_limit_error", "rate_limit_exceeded"),
        TurnErrorKind::ContextLengthExceeded => ("invalid_request_error", "context_length_exceeded"),
        TurnErrorKind::ModelNotFound => ("invalid_request_error", "model_not_found"),
        TurnErrorKind::Unsupported => ("invalid_request_error", "unsupported_parameter"),
        TurnErrorKind::BadRequest => ("invalid_request_error", "invalid_request"),
        TurnErrorKind::Forbidden => ("permission_error", "forbidden"),
        TurnErrorKind::ContentFiltered => ("invalid_request_error", "content_filter"),
        TurnErrorKind::Overloaded => ("server_error", "server_overloaded"),
        TurnErrorKind::Upstream => ("server_error", "upstream_error"),
        TurnErrorKind::WorkerNotReady => ("server_error", "worker_not_ready"),
        TurnErrorKind::WorkerExited => ("server_error", "worker_exited"),
        TurnErrorKind::RequestTimeout => ("server_error", "request_timeout"),
        TurnErrorKind::IdleTimeout => ("server_error", "idle_timeout"),
        TurnErrorKind::Cancelled => ("invalid_request_error", "cancelled"),
        TurnErrorKind::Internal => ("server_error", "internal_error"),
    };
    ErrorBody {
        message: error.message.clone(),
        kind,
        param: error.param.clone(),
        code: Some(code),
        remedy: error.remedy.as_deref().map(RemedyBody::of),
    }
}

/// The code of a failed turn in a response object's `error`, where OpenAI's specification has a closed list.
pub fn response_error_code(error: &TurnError) -> &'static str {
    match error.kind {
        TurnErrorKind::RateLimited | TurnErrorKind::UsageLimitReached => "rate_limit_exceeded",
        TurnErrorKind::ContextLengthExceeded
        | TurnErrorKind::BadRequest
        | TurnErrorKind::Unsupported
        | TurnErrorKind::ModelNotFound
        | TurnErrorKind::ContentFiltered => "invalid_prompt",
        TurnErrorKind::LoginRequired
        | TurnErrorKind::Forbidden
        | TurnErrorKind::Overloaded
        | TurnErrorKind::Upstream
        | TurnErrorKind::WorkerNotReady
        | TurnErrorKind::WorkerExited
        | TurnErrorKind::RequestTimeout
        | TurnErrorKind::IdleTimeout
        | TurnErrorKind::Cancelled
        | TurnErrorKind::Internal => "server_error",
    }
}
