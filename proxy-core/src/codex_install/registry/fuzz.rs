//! An `.npmrc` with arbitrary content.

use super::super::Environment;
use super::npmrc::Npmrc;
use super::{From, is_loopback, registry};

/// The text of an `.npmrc`, with some variables that it may use.
pub fn fuzz(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let variables = [("TOKEN", "secret"), ("NESTED", "${TOKEN}"), ("npm_config_//h/:_authToken", "t")];
    let environment = Environment::of(variables.map(|(name, value)| (name.to_owned(), value.into())));
    let mut npmrc = Npmrc::of_environment(&environment);
    npmrc.add(&text, &environment);
    for key in ["@openai:registry", "registry"] {
        let Some(url) = npmrc.get(key) else { continue };
        let Ok(registry) = registry(&url, From::Npmrc, &npmrc) else { continue };
        let url = &registry.url;
        assert!(url.scheme() == "https" || is_loopback(url), "{url}");
        assert!(url.username().is_empty() && url.password().is_none() && url.path().ends_with('/'), "{url}");
        if let Some(credentials) = registry.credentials {
            let value = credentials.expose();
            assert!(value.starts_with("Bearer ") || value.starts_with("Basic "));
            assert_eq!(format!("{credentials:?}"), "Credentials(***)");
        }
    }
}
