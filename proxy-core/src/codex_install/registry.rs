//! Finds the npm registry and its credentials: the setting, else npm's own configuration, else the build's
//! default. The source code names no registry.

#[cfg(any(test, feature = "fuzzing"))]
mod fuzz;
mod npmrc;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use url::{Host, Url};

#[cfg(any(test, feature = "fuzzing"))]
pub use self::fuzz::fuzz;
use self::npmrc::Npmrc;
use super::Config;
use super::error::CodexError;
use super::find::look_up;
use crate::process::{self, Program};

/// The default registry of packaged builds, if the build has one.
const OF_BUILD: Option<&str> = option_env!("CODEX_PROXY_NPM_REGISTRY");

/// How long npm may take to print its registry.
const NPM_TIME: Duration = Duration::from_secs(20);

/// The most bytes that npm may print with it.
const NPM_BYTES: usize = 64 * 1024;

/// The npm registry to use.
#[derive(Debug, Clone)]
pub(super) struct Registry {
    /// Its address, with a `/` at the end and without a user name.
    pub(super) url: Url,
    /// The credentials, for this address only.
    pub(super) credentials: Option<Credentials>,
}

/// The value of an `Authorization` header.
#[derive(Clone)]
pub(super) struct Credentials(SecretString);

impl Credentials {
    /// The header's value. The caller is responsible for where it is sent.
    pub(super) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(***)")
    }
}

/// The source of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Setting,
    Npmrc,
    Npm,
    Build,
}

impl From {
    fn as_str(self) -> &'static str {
        match self {
            Self::Setting => "PROXY_NPM_REGISTRY",
            Self::Npmrc => "npm's configuration",
            Self::Npm => "`npm config get registry`",
            Self::Build => "this build",
        }
    }
}

/// Finds the registry to use.
pub(super) async fn resolve(config: &Config) -> Result<Registry, CodexError> {
    let npmrc = npmrc(config);
    let configured = || npmrc.get("@openai:registry").or_else(|| npmrc.get("registry"));
    if let Some(url) = &config.registry {
        return registry(url.as_str(), From::Setting, &npmrc);
    }
    if let Some(url) = configured() {
        return registry(&url, From::Npmrc, &npmrc);
    }
    if let Some(url) = ask_npm(config).await {
        return registry(&url, From::Npm, &npmrc);
    }
    match OF_BUILD {
        Some(url) => registry(url, From::Build, &npmrc),
        None => Err(CodexError::NoRegistry),
    }
}

/// npm's own configuration, the environment first.
fn npmrc(config: &Config) -> Npmrc {
    let environment = &config.environment;
    let mut npmrc = Npmrc::of_environment(environment);
    let named = |key| npmrc.get(key).map(PathBuf::from);
    let user = named("userconfig").or_else(|| config.home.as_ref().map(|home| home.join(".npmrc")));
    let global = match named("globalconfig") {
        Some(file) => vec![file],
        None if cfg!(windows) => {
            let data = environment.get("APPDATA").map(PathBuf::from);
            data.map(|dir| dir.join("npm").join("etc").join("npmrc")).into_iter().collect()
        }
        None => ["/etc/npmrc", "/usr/etc/npmrc", "/usr/local/etc/npmrc"].map(PathBuf::from).to_vec(),
    };
    for file in user.into_iter().chain(global) {
        match std::fs::read_to_string(&file) {
            Ok(text) => npmrc.add(&text, environment),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(%error, file = %file.display(), "npm's configuration cannot be read");
            }
        }
    }
    npmrc
}

/// Runs npm, if it is installed: its built-in registry is in no file.
async fn ask_npm(config: &Config) -> Option<String> {
    let npm = look_up(config.environment.path()?, if cfg!(windows) { "npm.cmd" } else { "npm" }.as_ref())?;
    let program = Program {
        workdir: npm.parent()?.to_owned(),
        bin: npm,
        arguments: ["config", "get", "registry"].map(str::to_owned).to_vec(),
        env: vec![],
        hidden_env: config.hidden_env.clone(),
    };
    match process::output(&program, NPM_TIME, NPM_BYTES).await {
        Ok(printed) => {
            printed.lines().map(str::trim).rfind(|line| line.starts_with("http")).map(str::to_owned)
        }
        Err(error) => {
            tracing::debug!(%error, "npm did not say where its registry is");
            None
        }
    }
}

fn registry(text: &str, from: From, npmrc: &Npmrc) -> Result<Registry, CodexError> {
    let bad = |why: &str| CodexError::BadRegistry { from: from.as_str().to_owned(), why: why.to_owned() };
    let mut url = Url::parse(text).map_err(|_| bad("it is not a URL"))?;
    match url.scheme() {
        "https" => {}
        "http" if from == From::Setting || is_loopback(&url) => {}
        "http" => return Err(bad("it is not https; only PROXY_NPM_REGISTRY may be http")),
        _ => return Err(bad("it is neither https nor http")),
    }
    if !url.has_host() {
        return Err(bad("it has no host"));
    }
    let in_url = in_url(&url);
    // Neither call fails for a URL with a host.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    url.set_query(None);
    url.set_fragment(None);
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    let credentials = credentials(&url, npmrc).or(in_url);
    Ok(Registry { url, credentials })
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The user name and password in the address itself.
fn in_url(url: &Url) -> Option<Credentials> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }

    let pair = format!("{}:{}", decoded(url.username()), decoded(url.password().unwrap_or_default()));
    Some(basic(&STANDARD.encode(pair)))
}

/// Decodes the percent-encoding of a part of a URL.
fn decoded(text: &str) -> String {
    let pair = format!("x={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(pair.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

/// The value in npm's configuration for this address or for one of its parent folders, in npm's notation
/// `//host/path/:_authToken`.
fn credentials(url: &Url, npmrc: &Npmrc) -> Option<Credentials> {
    let host = url.host_str()?;
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let mut path = url.path();
    loop {
        for place in [path, path.trim_end_matches('/')] {
            let get = |key: &str| npmrc.get(&format!("//{host}{port}{place}:{key}"));
            if let Some(token) = get("_authToken") {
                return Some(Credentials(format!("Bearer {token}").into()));
            }
            if let Some(pair) = get("_auth") {
                return Some(basic(&pair));
            }
            if let (Some(name), Some(password)) = (get("username"), get("_password")) {
                let password = STANDARD.decode(password.trim()).ok()?;
                let pair = [name.as_bytes(), b":", &password].concat();
                return Some(basic(&STANDARD.encode(pair)));
            }
        }
        let above = path.trim_end_matches('/').rfind('/')?;
        path = &path[..=above];
    }
}

fn basic(pair: &str) -> Credentials {
    Credentials(format!("Basic {pair}").into())
}

#[cfg(test)]
mod tests {
    use super::super::Environment;
    use super::*;

    struct Scene {
        home: tempfile::TempDir,
        config: Config,
    }

    impl Scene {
        fn new(environment: &[(&str, &str)], user: &str) -> Self {
            let home = tempfile::tempdir().unwrap();
            let global = home.path().join("global");
            std::fs::write(home.path().join(".npmrc"), user).unwrap();
            let mut pairs: Vec<_> =
                environment.iter().map(|(name, value)| (*name, (*value).into())).collect();
            pairs.push(("npm_config_globalconfig", global.into_os_string()));
            let environment =
                Environment::of(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)));
            let config = Config {
                dir: home.path().join("codex"),
                bin: None,
                legacy: false,
                registry: None,
                environment,
                home: Some(home.path().to_owned()),
                hidden_env: vec![],
            };
            Self { home, config }
        }

        fn global(self, text: &str) -> Self {
            std::fs::write(self.home.path().join("global"), text).unwrap();
            self
        }

        fn setting(mut self, url: &str) -> Self {
            self.config.registry = Some(url.parse().unwrap());
            self
        }

        async fn resolve(&self) -> (String, Option<String>) {
            let registry = resolve(&self.config).await.unwrap();
            (
                registry.url.to_string(),
                registry.credentials.map(|credentials| credentials.expose().to_owned()),
            )
        }

        async fn refused(&self) -> String {
            resolve(&self.config).await.unwrap_err().to_string()
        }
    }

    #[tokio::test]
    async fn the_address_is_the_settings_or_npms() {
        let address = |url: &str| (url.to_owned(), None);
        let user = "registry=https://user.example/npm\n";
        let scene = Scene::new(&[], user).global("registry=https://global.example");
        assert_eq!(scene.resolve().await, address("https://user.example/npm/"));
        assert_eq!(scene.setting("http://set.example").resolve().await, address("http://set.example/"));
        let scene = Scene::new(&[], "").global("registry = \"https://global.example\"");
        assert_eq!(scene.resolve().await, address("https://global.example/"));
        let scene = Scene::new(&[], user).global("@openai:registry=https://scoped.example");
        assert_eq!(scene.resolve().await, address("https://scoped.example/"));
        for name in ["npm_config_registry", "NPM_CONFIG_REGISTRY"] {
            let scene = Scene::new(&[(name, "https://env.example/")], user);
            assert_eq!(scene.resolve().await, address("https://env.example/"), "{name}");
        }
    }

    #[tokio::test]
    async fn without_any_address_the_error_names_the_setting() {
        if OF_BUILD.is_none() {
            let message = Scene::new(&[("PATH", "/nonexistent")], "").refused().await;
            assert!(message.contains("PROXY_NPM_REGISTRY"), "{message}");
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn npm_is_asked_last() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let npm = dir.path().join("npm");
        std::fs::write(&npm, "#!/bin/sh\necho npm notice >&2\necho https://npm.example/$1-$3\n").unwrap();
        std::fs::set_permissions(&npm, std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = [("PATH", dir.path().to_str().unwrap())];
        assert_eq!(Scene::new(&path, "").resolve().await.0, "https://npm.example/config-registry/");
        let scene = Scene::new(&path, "registry=https://user.example");
        assert_eq!(scene.resolve().await.0, "https://user.example/");
    }

    #[tokio::test]
    async fn plain_http_is_for_this_machine_or_for_who_names_it() {
        for (url, fits) in [
            ("http://127.0.0.1:4873/", true),
            ("http://localhost:4873", true),
            ("http://[::1]:1", true),
            ("http://registry.example/", false),
            ("http://10.0.0.1/", false),
            ("ftp://registry.example/", false),
            ("nonsense", false),
        ] {
            let scene = Scene::new(&[("npm_config_registry", url)], "");
            assert_eq!(resolve(&scene.config).await.is_ok(), fits, "{url}");
        }
    }

    #[tokio::test]
    async fn credentials_belong_to_their_address() {
        let bearer = |token: &str| Some(format!("Bearer {token}"));
        let get = async |url: &str, user: &str| {
            Scene::new(&[("TOKEN", "from-env")], user).setting(url).resolve().await.1
        };
        assert_eq!(get("https://r.example", "//r.example/:_authToken=t1").await, bearer("t1"));
        assert_eq!(get("https://r.example/a/b/", "//r.example/a/:_authToken=t2").await, bearer("t2"));
        assert_eq!(get("https://r.example:8443", "//r.example:8443/:_authToken=t3").await, bearer("t3"));
        assert_eq!(get("https://r.example", "//r.example/:_authToken=${TOKEN}").await, bearer("from-env"));
        assert_eq!(get("https://r.example", "//r.example/:_auth=dTpw").await, Some("Basic dTpw".into()));
        let named = "//r.example/:username=u\n//r.example/:_password=cA==";
        assert_eq!(get("https://r.example", named).await, Some("Basic dTpw".into()));
        assert_eq!(get("https://u:p@r.example", "").await, Some("Basic dTpw".into()));
        for stranger in ["//other.example/", "//r.example:8443/", "//r.example/sub/", "//r.exampl/"] {
            assert_eq!(
                get("https://r.example", &format!("{stranger}:_authToken=t")).await,
                None,
                "{stranger}"
            );
        }
        let registry =
            resolve(&Scene::new(&[], "").setting("https://u:s3cret@r.example").config).await.unwrap();
        assert!(!format!("{registry:?}").contains("s3cret") && !format!("{registry:?}").contains("czNjcmV0"));
    }
}
