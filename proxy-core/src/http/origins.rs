//! The browser origins that may call, and the syntax in which an operator lists them.

use std::fmt;

use url::{Host, Url};

/// The browser origins that may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// The built-in list: Obsidian's applications and loopback pages.
    Default,
    /// Every origin.
    Any,
    /// Only these origins.
    List(Vec<Pattern>),
}

impl Origins {
    /// Whether a page of `origin`, as a browser sends it, may call.
    pub fn have(&self, origin: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        match self {
            Self::Any => true,
            Self::List(list) => list.iter().any(|pattern| pattern.matches(&origin)),
            Self::Default => is_default(&origin),
        }
    }
}

/// One origin, or all origins that match its `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    scheme: String,
    hosts: Hosts,
    ports: Ports,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    /// `*`: any host.
    Any,
    /// `*.` and this name: the hosts below it.
    Below(String),
    Exactly(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Ports {
    /// `:*`: any port, and no port.
    Any,
    /// This port; `None` for the default port of the scheme.
    Exactly(Option<u16>),
}

impl Pattern {
    /// The syntax of a [pattern](Self), for messages.
    pub const FORM: &str = "origins such as app://obsidian.md or https://notes.example, in which * may be the whole host \
                            after a scheme that belongs to one kind of program (vscode-webview://*), one or more labels \
                            before at least two others (https://*.notes.example), or the port (http://localhost:*)";

    /// Parses `scheme://host[:port]`. The host may be `*` or begin with `*.`, and the port may be `*`. `None` if
    /// the text has another form, or if it would allow almost everything: `https://*`, `https://*.org`.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest == "*" {
            let scheme = Url::parse(&format!("{scheme}://host")).ok().filter(|url| !url.is_special())?;
            let scheme = scheme.scheme().to_owned();
            return Some(Self { scheme, hosts: Hosts::Any, ports: Ports::Exactly(None) });
        }
        let (rest, any_port) = rest.strip_suffix(":*").map_or((rest, false), |rest| (rest, true));
        let (name, below) = rest.strip_prefix("*.").map_or((rest, false), |name| (name, true));
        let url = Url::parse(&format!("{scheme}://{name}")).ok()?;
        let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        let anonymous = url.username().is_empty() && url.password().is_none();
        let host =
            url.host_str().filter(|host| !host.is_empty() && !host.contains('*'))?.to_ascii_lowercase();
        if !bare || !anonymous || (any_port && url.port().is_some()) {
            return None;
        }
        let hosts = if below {
            // Names below `localhost` belong to this machine. A name directly below `org` can be bought by any
            // person.
            let narrow = host == "localhost" || host.contains('.');
            let is_name = matches!(url.host(), Some(Host::Domain(_))) && are_labels(&host);
            (narrow && is_name).then_some(Hosts::Below(host))?
        } else {
            Hosts::Exactly(host)
        };
        let ports = if any_port { Ports::Any } else { Ports::Exactly(url.port()) };
        Some(Self { scheme: url.scheme().to_owned(), hosts, ports })
    }

    /// Whether the pattern matches `origin`, which is in lower case.
    fn matches(&self, origin: &str) -> bool {
        let Some((scheme, rest)) = origin.split_once("://") else { return false };
        let (host, port) = split_port(rest);
        scheme == self.scheme && self.hosts.have(host) && self.ports.have(port)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        match &self.hosts {
            Hosts::Any => f.write_str("*"),
            Hosts::Below(name) => write!(f, "*.{name}"),
            Hosts::Exactly(host) => f.write_str(host),
        }?;
        match self.ports {
            Ports::Any => f.write_str(":*"),
            Ports::Exactly(Some(port)) => write!(f, ":{port}"),
            Ports::Exactly(None) => Ok(()),
        }
    }
}

impl Hosts {
    fn have(&self, host: &str) -> bool {
        match self {
            Self::Any => are_labels(host),
            Self::Below(name) => host
                .strip_suffix(name.as_str())
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(are_labels),
            Self::Exactly(only) => only == host,
        }
    }
}

impl Ports {
    fn have(&self, port: Option<&str>) -> bool {
        match self {
            Self::Any => port.is_none_or(is_port),
            Self::Exactly(only) => only.map(|port| port.to_string()).as_deref() == port,
        }
    }
}

fn are_labels(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    name.split('.').all(|label| !label.is_empty() && label.bytes().all(fits))
}

/// Whether the text is a port as browsers write it.
fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|number| number.to_string() == text)
}

/// Splits `host`, `host:port`, `[v6]`, `[v6]:port`.
pub(super) fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rfind(']') {
        Some(end) => {
            host[end + 1..].strip_prefix(':').map_or((host, None), |port| (&host[..=end], Some(port)))
        }
        None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    }
}

/// Whether the origin is one of Obsidian's applications, or a page that this machine serves itself.
fn is_default(origin: &str) -> bool {
    if matches!(
        origin,
        "app://obsidian.md"
            | "capacitor://localhost"
            | "https://localhost"
            | "tauri://localhost"
            | "http://tauri.localhost"
    ) {
        return true;
    }
    let Some(rest) = origin.strip_prefix("http://") else { return false };
    let (name, port) = split_port(rest);
    matches!(name, "localhost" | "127.0.0.1") && port.is_none_or(is_port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pattern_is_for_whole_labels_on_the_left_and_for_nobody_else() {
        let long = format!("https://{}.example.org.evil.example", "a".repeat(180));
        for (pattern, yes, no) in [
            (
                "vscode-webview://*",
                &["vscode-webview://1a2b3c4d-0000", "VSCODE-WEBVIEW://abc", "vscode-webview://a.b"][..],
                &[
                    "vscode-webview://",
                    "vscode-webview://a/b",
                    "vscode-webview://a@b",
                    "https://a",
                    "xvscode-webview://a",
                    "vscode-webview:a",
                    "vscode-webview://a:80",
                ][..],
            ),
            ("moz-extension://*", &["moz-extension://0a1b-2c"], &["chrome-extension://0a1b-2c", "null"]),
            (
                "chrome-extension://abc",
                &["chrome-extension://abc"],
                &["chrome-extension://abcd", "chrome-extension://ab"],
            ),
            ("app://*", &["app://obsidian.md", "app://-"], &["capacitor://localhost", "app://a?b"]),
            (
                "https://*.example.org",
                &["https://a.example.org", "https://a.b.example.org", "HTTPS://A.EXAMPLE.ORG"],
                &[
                    "https://example.org",
                    "https://.example.org",
                    "https://a..example.org",
                    "https://evil-example.org",
                    "https://evilexample.org",
                    "https://a.example.org.evil.com",
                    "https://evil.com/.example.org",
                    "https://evil.com#.example.org",
                    "https://evil.com?.example.org",
                    "https://evil.com:80.example.org",
                    "https://evil.com\\.example.org",
                    "https://u@a.example.org",
                    "https://*.example.org",
                    "https://a.example.org:8443",
                    "https://a.example.org:",
                    "http://a.example.org",
                    "https://a.example.org.",
                    long.as_str(),
                ],
            ),
            (
                "https://*.example.org:8443",
                &["https://a.example.org:8443"],
                &["https://a.example.org", "https://a.example.org:84430"],
            ),
            (
                "https://*.example.org:*",
                &["https://a.example.org:1", "https://a.example.org"],
                &["https://example.org:1", "https://a.example.org:x"],
            ),
            (
                "http://localhost:*",
                &["http://localhost", "http://localhost:1", "http://localhost:65535"],
                &[
                    "http://localhost:",
                    "http://localhost:080",
                    "http://localhost:65536",
                    "http://localhost:1@evil.com",
                    "http://a.localhost:1",
                    "https://localhost:1",
                ],
            ),
            (
                "http://*.localhost:*",
                &["http://a.localhost:3000"],
                &["http://localhost:3000", "http://evillocalhost:3000"],
            ),
            (
                "http://[::1]:*",
                &["http://[::1]:3000", "http://[::1]"],
                &["http://[::2]:3000", "http://[::1]x:3000"],
            ),
            (
                "https://Notes.Example:443/",
                &["https://notes.example"],
                &["https://notes.example:443", "https://a.notes.example"],
            ),
            ("https://b\u{fc}cher.example", &["https://xn--bcher-kva.example"], &["https://bcher.example"]),
        ] {
            let origins = Origins::List(vec![Pattern::parse(pattern).unwrap()]);
            for origin in yes {
                assert!(origins.have(origin), "{pattern} {origin}");
            }
            for origin in no {
                assert!(!origins.have(origin), "{pattern} {origin}");
            }
        }
    }

    #[test]
    fn what_would_let_everybody_in_is_no_pattern() {
        for text in [
            "*",
            "*://*",
            "https://*",
            "http://*",
            "https://*/",
            "https://*:443",
            "https://*:*",
            "ws://*",
            "file://*",
            "https://*.org",
            "https://*.org:*",
            "https://*.",
            "https://*..org",
            "https://*.org.",
            "https://*.*",
            "https://*.*.org",
            "https://a.*.example.org",
            "https://*example.org",
            "https://exa*mple.org",
            "https://*.1.2.3.4",
            "https://*.[::1]",
            "*.example.org",
            "*://a.example.org",
            "htt*://a.example.org",
            "https://a.example.org:8*",
            "https://a.example.org:80:*",
            "https://*.example.org/path",
            "https://u@*.example.org",
            "null",
            "",
            "vscode-webview",
            "vscode-webview:*",
            "vscode-webview://*/x",
            "vscode-webview://*:*",
            "app://*.md",
        ] {
            assert_eq!(Pattern::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_pattern_is_shown_as_it_is_understood() {
        for (text, shown) in [
            ("VSCode-Webview://*", "vscode-webview://*"),
            ("https://*.Example.org:443", "https://*.example.org"),
            ("http://*.example.org:8080/", "http://*.example.org:8080"),
            ("http://localhost:*", "http://localhost:*"),
            ("app://obsidian.md", "app://obsidian.md"),
        ] {
            assert_eq!(Pattern::parse(text).unwrap().to_string(), shown);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_pattern_that_is_shown_is_the_same_pattern(
            text in "([a-z][a-z+.-]{0,8}|https?)://([*][.])?[a-zA-Z0-9_.:*%-]{0,20}(:[0-9*]{1,6})?/?"
        ) {
            if let Some(pattern) = Pattern::parse(&text) {
                prop_assert_eq!(Pattern::parse(&pattern.to_string()), Some(pattern), "{}", text);
            }
        }

        #[test]
        fn no_text_is_too_strange_for_a_pattern_or_an_origin(text in any::<String>(), origin in any::<String>()) {
            if let Some(pattern) = Pattern::parse(&text) {
                Origins::List(vec![pattern]).have(&origin);
            }
            Origins::Default.have(&origin);
            let (host, port) = split_port(&origin);
            let whole = port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
            // What stands between a bracket and its port belongs to neither of them.
            prop_assert!(origin == whole || origin.contains(']'), "{}", origin);
        }

        #[test]
        fn a_star_stands_for_whole_labels_only(
            labels in "[a-z0-9]{1,6}([.][a-z0-9]{1,6}){0,2}",
            other in "[a-z0-9.]{1,12}",
            port in any::<u16>(),
        ) {
            let pattern = Pattern::parse("https://*.notes.example:*").unwrap();
            let origins = Origins::List(vec![pattern]);
            let inside = format!("https://{labels}.notes.example:{port}");
            let above = format!("https://notes.example:{port}");
            let (glued, behind) = (format!("https://{labels}notes.example"), format!("https://{labels}.notes.example.{other}"));
            prop_assert!(origins.have(&inside), "{}", inside);
            for no in [above, glued, behind] {
                prop_assert!(!origins.have(&no), "{}", no);
            }
        }
    }
}
