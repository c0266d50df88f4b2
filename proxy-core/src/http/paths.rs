//! Corrects the paths of clients: accepts the common mistakes of a pasted base address, and has a hint for other
//! paths.

/// The endpoints that clients add to a base address. Some people paste an address that already ends with one.
const PASTED: [&[&str]; 4] = [&["chat", "completions"], &["chat"], &["responses"], &["models"]];

/// The path in the form of the routes; `None` if it already has this form.
///
/// People paste base addresses with an extra slash, with a `/v1` that the client adds again, with a whole
/// endpoint, or in the form of other services: `/v1//v1/models/` is `/v1/models`, and
/// `/openai/v1/responses/chat/completions` is `/v1/chat/completions`. In a path of the control API, only slashes
/// at the end are removed: these paths are not pasted, and reverse proxies filter them as they are sent.
pub(super) fn rewritten(path: &str) -> Option<String> {
    let mut parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
    if parts.first() == Some(&"control") {
        let trimmed = path.trim_end_matches('/');
        return (trimmed != path).then(|| trimmed.to_owned());
    }
    while parts.starts_with(&["v1", "v1"]) || parts.starts_with(&["openai", "v1"]) {
        parts.remove(0);
    }
    if let Some(endpoint) = after_pasted(&parts) {
        parts.drain(..endpoint);
        parts.insert(0, "v1");
    }
    let rewritten = format!("/{}", parts.join("/"));
    (rewritten != path).then_some(rewritten)
}

/// The index at which the endpoint of the client begins, if pasted parts are before it.
fn after_pasted(parts: &[&str]) -> Option<usize> {
    let versions = |from: usize| parts[from..].iter().take_while(|part| **part == "v1").count();
    let start = versions(0);
    let end = PASTED.iter().find_map(|pasted| {
        let end = start + pasted.len();
        let end = parts[start..].starts_with(pasted).then(|| end + versions(end))?;
        // What is below `models` may be the name of a model, unless it names an operation.
        let lists = parts[end..].first() == Some(&"models") && pasted[0] != "models";
        (lists || matches!(parts[end..], ["responses", ..] | ["chat", ..])).then_some(end)
    })?;
    Some(after_pasted(&parts[end..]).map_or(end, |more| end + more)).filter(|end| is_endpoint(&parts[*end..]))
}

fn is_endpoint(parts: &[&str]) -> bool {
    matches!(parts, ["chat", "completions"] | ["responses"] | ["models", ..])
}

/// The hint in the error for an unknown path.
pub(super) fn way_out(path: &str) -> &'static str {
    let lower = path.to_ascii_lowercase();
    let lower = rewritten(&lower).unwrap_or(lower);
    let parts: Vec<_> = lower.split('/').filter(|part| !part.is_empty() && *part != "v1").collect();
    match parts[..] {
        ["control" | "ui", ..] => "",
        _ if is_endpoint(&parts) && path.bytes().any(|byte| byte.is_ascii_uppercase()) => {
            " Write the path in lower case."
        }
        ["openai", "deployments", ..] | ["deployments" | "engines", ..] => {
            " Azure's addresses are not served: choose OpenAI, or an OpenAI-compatible service, in the client, and a base \
             address that ends in /v1."
        }
        ["completions"] => {
            " Completions without a chat are not served: choose Chat Completions in the client."
        }
        ["api", "chat" | "generate" | "tags" | "show" | "version" | "embed" | "embeddings"] => {
            " This is Ollama's API: choose an OpenAI-compatible service in the client, and a base address that ends in /v1."
        }
        ["messages", ..] => {
            " This is Anthropic's API: choose an OpenAI-compatible service in the client, and a base address that ends in \
             /v1."
        }
        [
            "embeddings" | "audio" | "images" | "moderations" | "files" | "batches" | "assistants"
            | "threads" | "realtime",
            ..,
        ] => " Codex has nothing for it.",
        _ => " The base address in a client's settings ends in /v1, such as http://127.0.0.1:11435/v1.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_people_paste_is_rewritten() {
        for (pasted, written) in [
            ("/v1/models/", "/v1/models"),
            ("/control/keys//", "/control/keys"),
            ("//v1/v1//models//", "/v1/models"),
            ("//", "/"),
            ("/v1/responses/", "/v1/responses"),
            ("/openai/v1/responses", "/v1/responses"),
            ("/openai/v1/v1/models", "/v1/models"),
            ("/v1/chat/completions/chat/completions", "/v1/chat/completions"),
            ("/chat/completions/chat/completions", "/v1/chat/completions"),
            ("/v1/chat/completions/v1/chat/completions", "/v1/chat/completions"),
            ("/v1/chat/chat/completions", "/v1/chat/completions"),
            ("/v1/chat/completions/models", "/v1/models"),
            ("/v1/chat/completions/responses", "/v1/responses"),
            ("/v1/responses/chat/completions", "/v1/chat/completions"),
            ("/v1/responses/responses/", "/v1/responses"),
            ("/v1/responses/models/openai%2Fgpt-5", "/v1/models/openai%2Fgpt-5"),
            ("/v1/models/chat/completions", "/v1/chat/completions"),
            ("/v1/models/v1/responses", "/v1/responses"),
            ("/v1/responses/chat/completions/v1/models", "/v1/models"),
        ] {
            assert_eq!(rewritten(pasted).as_deref(), Some(written), "{pasted}");
            assert_eq!(rewritten(written), None, "{written}");
        }
    }

    #[test]
    fn what_has_a_meaning_of_its_own_stays() {
        for path in [
            "/",
            "/v1",
            "/models/openai/gpt-5",
            "/v1/models/models",
            "/v1/models/chat",
            "/v1/responses/resp_1",
            "/v1/responses/resp_1/input_items",
            "/v1/chat/completions/chatcmpl-1",
            "/openai/deployments/gpt-5/chat/completions",
            "/V1/models",
            "/control/keys/v1/v1",
            "/control//keys",
            "//control/keys/default/reveal",
            "/healthz",
        ] {
            assert_eq!(rewritten(path), None, "{path}");
        }
    }

    #[test]
    fn a_wrong_path_is_told_what_is_right() {
        for (path, told) in [
            ("/V1/Chat/Completions", "lower case"),
            ("/v1/Models", "lower case"),
            ("/openai/deployments/gpt-5/chat/completions", "Azure"),
            ("/v1/engines/davinci/completions", "Azure"),
            ("/v1/completions", "Chat Completions"),
            ("/api/chat", "Ollama"),
            ("/v1/messages", "Anthropic"),
            ("/v1/embeddings", "Codex has nothing"),
            ("/", "ends in /v1"),
            ("/v1", "ends in /v1"),
            ("/v2/models", "ends in /v1"),
        ] {
            assert!(way_out(path).contains(told), "{path}: {}", way_out(path));
        }
        assert_eq!(way_out("/control/nothing"), "");
    }

    proptest! {
        #[test]
        fn a_rewritten_path_is_as_it_should_be(
            parts in prop::collection::vec("v1|openai|chat|completions|responses|models|control|x|", 0..8),
        ) {
            let path = format!("/{}", parts.join("/"));
            if let Some(rewritten) = rewritten(&path) {
                prop_assert!(rewritten.starts_with('/'), "{}", rewritten);
                prop_assert_eq!(super::rewritten(&rewritten), None, "{} of {}", rewritten, path);
            }
            let _ = way_out(&path);
        }
    }
}
