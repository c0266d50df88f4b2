//! The registry from which a built program installs Codex on a machine without npm: the one that npm uses on the build
//! machine.
//!
//! The sources name no registry. So the build sets one, and nothing is packed without it.

use anyhow::{Context, Result, bail};

use crate::shell::{Cmd, env};

/// The environment variable that the build of the library reads.
pub(crate) const VARIABLE: &str = "CODEX_PROXY_NPM_REGISTRY";

/// The address from the variable, or else from npm.
pub(crate) fn address() -> Result<String> {
    let given = env(VARIABLE).map(|value| value.to_string_lossy().into_owned());
    let told = match given {
        Some(address) => address,
        None => Cmd::npm()
            .args(["config", "get", "registry"])
            .capture()
            .with_context(|| format!("npm does not say where its registry is; {VARIABLE} can name it"))?,
    };
    checked(told.trim())
}

fn checked(address: &str) -> Result<String> {
    let Some(rest) = address.strip_prefix("https://") else {
        bail!("the npm registry that builds are given has to be an https address; {VARIABLE} can name one");
    };
    let host = rest.split('/').next().unwrap_or_default();
    if host.is_empty() || host.contains('@') || address.contains(['?', '#', ' ']) {
        bail!("the npm registry that builds are given must be a plain address, without a name or a password");
    }
    Ok(address.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_https_address_is_built_in() {
        assert!(checked("https://npm.example/path/").is_ok());
        for bad in [
            "",
            "undefined",
            "http://npm.example/",
            "https://",
            "https://me:secret@npm.example/",
            "https://a/?b",
        ] {
            assert!(checked(bad).is_err(), "{bad}");
        }
    }
}
