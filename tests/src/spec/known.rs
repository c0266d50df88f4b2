//! Intended differences between the proxy and a document, each with its reason.

use super::Spec;

/// A complaint that is expected.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// The document that complains.
    pub spec: Spec,
    /// The last steps of the JSON pointer into the value; `*` stands for any one step.
    pub at: &'static str,
    /// A part of the complaint.
    pub says: &'static str,
    /// Why the proxy does it anyway.
    pub reason: &'static str,
}

impl Known {
    pub(super) fn covers(&self, spec: Spec, at: &str, says: &str) -> bool {
        self.spec == spec && ends_with(at, self.at) && says.contains(self.says)
    }
}

fn ends_with(at: &str, pattern: &str) -> bool {
    let mut steps = at.rsplit('/');
    pattern.rsplit('/').all(|expected| steps.next().is_some_and(|step| expected == "*" || expected == step))
}

/// All expected complaints.
pub const KNOWN: &[Known] = &[
    Known {
        spec: Spec::OpenAi,
        at: "response/usage",
        says: "null is not of type \"object\"",
        reason: "Open Responses requires `usage`, null until the response has ended, and OpenAI's service sends it so",
    },
    Known {
        spec: Spec::OpenAi,
        at: "text/format/description",
        says: "null is not of type \"string\"",
        reason: "Open Responses requires the key, null if the request gave no description",
    },
    Known {
        spec: Spec::OpenResponses,
        at: "text/format/schema",
        says: "is not of type \"null\"",
        reason: "the document allows null alone, which tells a client nothing; OpenAI's requires the request's schema",
    },
    Known {
        spec: Spec::OpenResponses,
        at: "tools/*/type",
        says: "\"web_search\" is not one of \"function\"",
        reason: "Open Responses knows no hosted tools; a client that asks for OpenAI's web search reads OpenAI's objects",
    },
    Known {
        spec: Spec::OpenResponses,
        at: "output/*/type",
        says: "\"web_search_call\" is not one of",
        reason: "Open Responses knows no hosted tools; a client that asks for OpenAI's web search reads OpenAI's objects",
    },
    Known {
        spec: Spec::OpenResponses,
        at: "item/type",
        says: "\"web_search_call\" is not one of",
        reason: "Open Responses knows no hosted tools; a client that asks for OpenAI's web search reads OpenAI's objects",
    },
    Known {
        spec: Spec::OpenResponses,
        at: "type",
        says: "\"response.web_search_call.",
        reason: "Open Responses knows no hosted tools; a client that asks for OpenAI's web search reads OpenAI's events",
    },
];
