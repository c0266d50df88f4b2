//! The state behind a request: what it continues, and what is stored of it.
//!
//! <https://platform.openai.com/docs/guides/conversation-state>

use super::error::RequestError;

/// What a request says about stored state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The response that it continues (`previous_response_id`).
    pub previous: Option<String>,
    /// The conversation that it continues and adds to (`conversation`).
    pub conversation: Option<String>,
    /// Whether it runs without a client that waits for it (`background`).
    pub background: bool,
    /// Whether it asks for its answer to be stored (`store`, with the default of its API).
    pub store: bool,
}

impl State {
    /// Whether the request continues something.
    pub fn continues(&self) -> bool {
        self.previous.is_some() || self.conversation.is_some()
    }
}

/// Names the client's own parameter in an error about a transcript that begins with `before` stored items.
pub fn own_param(param: &str, before: usize, source: &str) -> String {
    let Some((index, rest)) = param.strip_prefix("input[").and_then(|rest| rest.split_once(']')) else {
        return param.to_owned();
    };
    match index.parse::<usize>().map(|index| index.checked_sub(before)) {
        Ok(Some(own)) => format!("input[{own}]{rest}"),
        Ok(None) => source.to_owned(),
        Err(_) => param.to_owned(),
    }
}

/// The same error with the client's own parameter.
#[must_use]
pub fn own_error(error: RequestError, before: usize, source: &str) -> RequestError {
    let Some(param) = &error.param else { return error };
    let own = own_param(param, before, source);
    if own == *param {
        return error;
    }
    RequestError { message: error.message.replace(param.as_str(), &own), param: Some(own), ..error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openai::error::RequestErrorKind;

    #[test]
    fn an_error_names_the_parameter_that_the_client_has_sent() {
        assert_eq!(own_param("input[5].content[1]", 3, "previous_response_id"), "input[2].content[1]");
        assert_eq!(own_param("input[2].content", 3, "previous_response_id"), "previous_response_id");
        assert_eq!(own_param("model", 3, "conversation"), "model");
        let error =
            RequestError::new(RequestErrorKind::InvalidType, "input[4].role", "Wrong type: 'input[4].role'.");
        let own = own_error(error, 4, "previous_response_id");
        assert_eq!(own.param.as_deref(), Some("input[0].role"));
        assert_eq!(own.message, "Wrong type: 'input[0].role'.");
    }
}
