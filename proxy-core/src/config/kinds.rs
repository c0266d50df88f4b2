//! The types of settings.

use std::collections::BTreeMap;
mod networks;
mod otel;

use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf, is_separator};
use std::time::Duration;

use ::http::uri::Authority;
use serde_json::{Value, json};
use url::Url;

pub use networks::Networks;
pub use otel::{Pairs, Ratio};

use super::setting::{Base, Kind, Shape};
use crate::http::login::Mode as LoginListener;
use crate::http::{Origins, Pattern};
use crate::keys::KeychainMode;
use crate::secret::ApiKey;
use crate::telemetry;
use crate::telemetry::trace::SamplerName;
use crate::worker::SandboxMode;
use protocol::openai::Environment;
use protocol::turn::OutputMode;
use protocol::turn::shape::StopMode;

/// A setting that may be unset; an empty text means unset.
pub struct Maybe<K>(PhantomData<K>);

impl<K: Kind> Kind for Maybe<K> {
    type Value = Option<K::Value>;
    const SHAPE: Shape = K::SHAPE;

    fn allowed() -> String {
        K::allowed()
    }

    fn parse(text: &str, base: &Base<'_>) -> Option<Self::Value> {
        if text.is_empty() { Some(None) } else { K::parse(text, base).map(Some) }
    }

    fn show(value: &Self::Value) -> Value {
        value.as_ref().map_or(Value::Null, K::show)
    }
}

/// True or false.
pub struct Bool;

impl Kind for Bool {
    type Value = bool;
    const SHAPE: Shape = Shape::Boolean;

    fn allowed() -> String {
        "true or false (or 1, 0, yes, no, on, off)".to_owned()
    }

    fn parse(text: &str, _base: &Base<'_>) -> Option<bool> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => None,
        }
    }

    fn show(value: &bool) -> Value {
        json!(value)
    }
}

/// A whole number of type `T` from `MIN` to `MAX`.
pub struct Int<T, const MIN: u64, const MAX: u64>(PhantomData<T>);

impl<T, const MIN: u64, const MAX: u64> Kind for Int<T, MIN, MAX>
where
    T: TryFrom<u64> + Copy + Into<Value>,
{
    type Value = T;
    const SHAPE: Shape = Shape::Integer;

    fn allowed() -> String {
        format!("a whole number from {MIN} to {MAX}")
    }

    fn parse(text: &str, _base: &Base<'_>) -> Option<T> {
        let number = whole(text).filter(|number| (MIN..=MAX).contains(number))?;
        T::try_from(number).ok()
    }

    fn show(value: &T) -> Value {
        (*value).into()
    }
}

fn whole(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

/// A duration in milliseconds, from `MIN` to a week.
pub struct Millis<const MIN: u64>;

const WEEK_MS: u64 = 7 * 24 * 60 * 60 * 1000;

impl<const MIN: u64> Kind for Millis<MIN> {
    type Value = Duration;
    const SHAPE: Shape = Shape::Integer;

    fn allowed() -> String {
        format!("a whole number of milliseconds from {MIN} to {WEEK_MS}")
    }

    fn parse(text: &str, _base: &Base<'_>) -> Option<Duration> {
        whole(text).filter(|millis| (MIN..=WEEK_MS).contains(millis)).map(Duration::from_millis)
    }

    fn show(value: &Duration) -> Value {
        u64::try_from(value.as_millis()).map_or(Value::Null, |millis| json!(millis))
    }
}

/// An enum with a name for each value.
pub trait Named: Copy + 'static {
    /// Every value.
    const ALL: &'static [Self];

    /// The name of the value.
    fn name(self) -> &'static str;
}

macro_rules! named {
    ($($type:ty),+) => {
        $(impl Named for $type {
            const ALL: &'static [Self] = <$type>::ALL;

            fn name(self) -> &'static str {
                self.as_str()
            }
        })+
    };
}

named!(
    Environment,
    KeychainMode,
    LoginListener,
    OutputMode,
    SandboxMode,
    SamplerName,
    StopMode,
    telemetry::Format
);

/// One of the names of an enum, in upper or lower case.
pub struct OneOf<T>(PhantomData<T>);

impl<T: Named> Kind for OneOf<T> {
    type Value = T;
    const SHAPE: Shape = Shape::String;

    fn allowed() -> String {
        let names: Vec<_> = T::ALL.iter().map(|value| value.name()).collect();
        format!("one of {}", names.join(", "))
    }

    fn parse(text: &str, _base: &Base<'_>) -> Option<T> {
        T::ALL.iter().copied().find(|value| value.name().eq_ignore_ascii_case(text))
    }

    fn show(value: &T) -> Value {
        json!(value.name())
    }
}

/// A name that is used in a command line or a URL.
pub struct Name;

impl Kind for Name {
    type Value = String;
    const SHAPE: Shape = Shape::String;

    fn allowed() -> String {
        "a name of at most 128 letters, digits and the characters . _ - / :".to_owned()
    }

    fn parse(text: &str, _base: &Base<'_>) -> Option<String> {
        let fit = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:".contains(&byte);
        ((1..=128).contains(&text.len()) && text.bytes().all(fit)).then(|| text.to_owned())
    }

    fn show(value: &String) -> Value {
        json!(value)
    }
}

/// An address to listen on.
pub struct Address;

impl Kind for Address {
    type Value = IpAddr;
    const SHAPE: Shape = Shape::String;

    fn allowed() -> String {
        "an IP address such as 127.0.0.1 or ::1, or localhost".to_owned()
    }

    fn parse(text: &str, _base: &Base<'_>) -> Option<IpAddr> {
        if text.eq_ignore_ascii_case("localhost") {
            return Some(Ipv4Addr::LOCALHOST.into());
        }
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        match bare {
            Some(inside) => inside.parse().ok().map(IpAddr::V6),
            None => text.parse().ok(),
        }
    }

    fn show(value: &IpAddr) -> Value {
        json!(value.to_string())
    }
}

/// Host names for the `Host` header, in lower case as browsers send them.
pub struct Hosts;

impl Kind for Hosts {
    type Value = Vec<String>;
    const SHAPE: Shape = Shape::List;

    fn allowed() -> String {
        "a comma-separated list of host names, with a port if needed, such as proxy.example:8443".to_owned()
    }

    fn parse(text: &str, _base: &Base<'_>) -> Option<Vec<String>> {
        parts(text).map(host).collect()
    }

    fn show(value: &Vec<String>) -> Value {
        json!(value)
    }
}

fn host(text: &str) -> Option<String> {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !text.ends_with(']') => (name, Some(port)),
        _ => (text, None),
    };
    let name = url::Host::parse(name).ok()?.to_string();
    let whole = match port {
        Some(port) => format!("{name}:{}", port.parse::<u16>().ok()?),
        None => name,
    };
    // `Authority` refuses everything that is not valid in a `Host` header, such as `*`.
    let authority: Authority = whole.parse().ok()?;
    (!whole.contains(['*', '@']) && !authority.host().is_empty()).then_some(whole)
}

/// The origins from which browsers may call.
pub struct CorsOrigins;

impl Kind for CorsOrigins {
    type Value = Origins;
    const SHAPE: Shape = Shape::List;

    fn allowed() -> String {
        format!("a comma-separated list of {}; or only *, which allows every web page", Pattern::FORM)
    }

    fn parse(text: &str, _base: &Base<'_>) -> Option<Origins> {
        match text {
            "" => Some(Origins::Default),
            "*" => Some(Origins::Any),
            _ => {
                let origins = parts(text).map(Pattern::parse).collect::<Option<Vec<_>>>()?;
                (!origins.is_empty()).then_some(Origins::List(origins))
            }
        }
    }

    fn show(value: &Origins) -> Value {
        match value {
            Origins::Default => json!("the built-in list"),
            Origins::Any => json!(["*"]),
            Origins::List(origins) => origins.iter().map(Pattern::to_string).collect(),
        }
    }
}

/// A number of tokens for single keys, by the name of the key.
pub struct Budgets;

impl Kind for Budgets {
    type Value = BTreeMap<String, u64>;
    const SHAPE: Shape = Shape::List;

    fn allowed() -> String {
        "a comma-separated list of key names with their tokens per day, such as obsidian=200000".to_owned()
    }

    fn parse(text: &str, _base: &Base<'_>) -> Option<Self::Value> {
        let one = |part: &str| {
            let (name, tokens) = part.rsplit_once('=')?;
            let name = name.trim();
            (!name.is_empty()).then_some((name.to_owned(), whole(tokens.trim())?))
        };
        parts(text).map(one).collect()
    }

    fn show(value: &Self::Value) -> Value {
        value.iter().map(|(name, tokens)| format!("{name}={tokens}")).collect()
    }
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

/// An `http` or `https` URL.
pub struct HttpUrl;

impl Kind for HttpUrl {
    type Value = Url;
    const SHAPE: Shape = Shape::String;

    fn allowed() -> String {
        "an http or https URL".to_owned()
    }

    fn parse(text: &str, _base: &Base<'_>) -> Option<Url> {
        Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))
    }

    fn show(value: &Url) -> Value {
        json!(value.as_str())
    }
}

/// The address of a registry, without a user name or a password.
pub struct RegistryUrl;

impl Kind for RegistryUrl {
    type Value = Url;
    const SHAPE: Shape = Shape::String;

    fn allowed() -> String {
        "an http or https URL without a user name or password; put a token into ~/.npmrc".to_owned()
    }

    fn parse(text: &str, base: &Base<'_>) -> Option<Url> {
        let anonymous = |url: &Url| url.username().is_empty() && url.password().is_none();
        HttpUrl::parse(text, base).filter(anonymous)
    }

    fn show(value: &Url) -> Value {
        HttpUrl::show(value)
    }
}

/// A log filter in the syntax of `RUST_LOG`.
pub struct LogFilter;

impl Kind for LogFilter {
    type Value = String;
    const SHAPE: Shape = Shape::String;

    fn allowed() -> String {
        "a log filter such as info or info,proxy_core=debug".to_owned()
    }

    fn parse(text: &str, _base: &Base<'_>) -> Option<String> {
        telemetry::is_valid_filter(text).then(|| text.to_owned())
    }

    fn show(value: &String) -> Value {
        json!(value)
    }
}

/// An API key.
pub struct Key;

impl Kind for Key {
    type Value = ApiKey;
    const SHAPE: Shape = Shape::String;

    fn allowed() -> String {
        let (min, max) = (ApiKey::MIN_LEN, ApiKey::MAX_LEN);
        format!("a key of {min} to {max} printable ASCII characters without spaces")
    }

    fn parse(text: &str, _base: &Base<'_>) -> Option<ApiKey> {
        ApiKey::parse(text).ok()
    }

    fn show(_value: &ApiKey) -> Value {
        json!("set")
    }
}

/// A path; a relative path is made absolute.
pub struct FilePath;

impl Kind for FilePath {
    type Value = PathBuf;
    const SHAPE: Shape = Shape::String;

    fn allowed() -> String {
        "a path".to_owned()
    }

    fn parse(text: &str, base: &Base<'_>) -> Option<PathBuf> {
        if text.is_empty() || text.contains('\0') {
            return None;
        }
        let path = match text.strip_prefix('~') {
            Some("") => base.home?.to_owned(),
            Some(rest) if rest.starts_with(is_separator) => {
                base.home?.join(rest.trim_start_matches(is_separator))
            }
            _ => base.dir.join(text),
        };
        std::path::absolute(path).ok()
    }

    fn show(value: &PathBuf) -> Value {
        json!(value.display().to_string())
    }
}

/// A program: a path as in [`FilePath`], or a name that is searched on `PATH`.
pub struct Program;

impl Kind for Program {
    type Value = PathBuf;
    const SHAPE: Shape = Shape::String;

    fn allowed() -> String {
        "the path of a program, or the name of a program on PATH".to_owned()
    }

    fn parse(text: &str, base: &Base<'_>) -> Option<PathBuf> {
        let is_bare = !text.contains(is_separator) && Path::new(text).file_name() == Some(text.as_ref());
        if is_bare && !text.contains('\0') { Some(PathBuf::from(text)) } else { FilePath::parse(text, base) }
    }

    fn show(value: &PathBuf) -> Value {
        FilePath::show(value)
    }
}
