//! The parameters about the prompt cache, which only the upstream decides about: they are checked, and have no effect.

use super::error::RequestError;
use super::read::Node;

/// Reads `prompt_cache_retention`. Some clients write its first value with a hyphen.
pub(super) fn retention(node: &Node<'_>) -> Result<&'static str, RequestError> {
    node.one_of(&[("in_memory", "in_memory"), ("in-memory", "in_memory"), ("24h", "24h")])
}

/// Checks `prompt_cache_options`. OpenAI has one value of `ttl` so far; another one is not refused here.
pub(super) fn check_options(node: &Node<'_>) -> Result<(), RequestError> {
    let options = node.object()?;
    if let Some(mode) = options.opt("mode") {
        mode.one_of(&[("implicit", ()), ("explicit", ())])?;
    }
    if let Some(ttl) = options.opt("ttl") {
        ttl.string()?;
    }
    Ok(())
}
