//! What a Codex binary can do. The only place that looks at a version.

use std::fmt;

/// The oldest app-server this proxy drives.
pub const OLDEST: Version = Version(0, 77, 0);

/// Since this version tools can be handed on exactly as the client sent them.
const EXACT_TOOLS_SINCE: Version = Version(0, 169, 0);

/// Since this version a thread can be told to ask the model once only, without a word about it to the model.
const ONE_RESPONSE_SINCE: Version = Version(0, 171, 0);

/// The last Codex that has `codex proto`.
pub const LEGACY_UNTIL: Version = Version(0, 44, 0);

/// Since this version everything the proxy needs is there.
pub const FULL_SINCE: Version = Version(0, 121, 0);

/// The versions of which the suite proves that nothing is added to a prompt. Any other since [`FULL_SINCE`] is proved
/// on the machine before it is used; older ones are known to add something.
pub const PROVED: &[Version] = &[Version(0, 169, 0), Version(0, 171, 0)];

/// Since this version a turn of the legacy protocol takes an output schema (of the versions looked at).
const LEGACY_SCHEMA_SINCE: Version = Version(0, 42, 0);

/// A Codex version, `major.minor.patch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl Version {
    /// Reads the version out of the handshake's `userAgent` (`name/0.169.0 (…) …`).
    pub fn from_user_agent(agent: &str) -> Option<Self> {
        Self::from_number(agent.split_once('/')?.1)
    }

    /// Reads the version out of what `codex --version` prints (`codex-cli 0.42.0`).
    pub fn from_printed(line: &str) -> Option<Self> {
        Self::from_number(line.split_whitespace().nth(1)?)
    }

    fn from_number(text: &str) -> Option<Self> {
        let number = text.split([' ', '-', '+']).next()?;
        let mut parts = number.split('.').map(str::parse);
        let version = Self(parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
        parts.next().is_none().then_some(version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// What one Codex can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// Its version, for people.
    pub version: String,
    /// `thread/inject_items`: the transcript goes in item by item, as it is.
    pub inject_items: bool,
    /// Function tools of the client's, together with a given transcript.
    pub dynamic_tools: bool,
    /// Function tools reach the model as the client sent them.
    pub exact_tools: bool,
    /// A thread can be told to ask the model once only.
    pub one_response: bool,
    /// `outputSchema` on `turn/start`.
    pub output_schema: bool,
    /// `thread/unsubscribe`.
    pub unsubscribe: bool,
    /// `rawResponseItem/completed`: items as the vendor sent them, sealed reasoning included.
    pub raw_items: bool,
    /// `rawResponse/completed`: where a model response ends.
    pub raw_completed: bool,
    /// This is `codex proto`, which takes one user message and nothing else.
    pub legacy: bool,
}

impl Capabilities {
    /// The capabilities of the Codex that called itself `user_agent`. A version that cannot be read (a build of
    /// one's own) is taken for the newest.
    pub fn of(user_agent: &str) -> Self {
        let known = Version::from_user_agent(user_agent).filter(|version| *version > Version(0, 0, 0));
        let since = |version: Version| known.is_none_or(|known| known >= version);
        Self {
            version: known.map_or_else(|| "of unknown version".to_owned(), |version| version.to_string()),
            inject_items: since(FULL_SINCE),
            dynamic_tools: since(FULL_SINCE),
            exact_tools: since(EXACT_TOOLS_SINCE),
            one_response: since(ONE_RESPONSE_SINCE),
            output_schema: since(Version(0, 98, 0)),
            unsubscribe: since(FULL_SINCE),
            raw_items: since(FULL_SINCE),
            raw_completed: since(Version(0, 169, 0)),
            legacy: false,
        }
    }

    /// The capabilities of a `codex proto` whose `codex --version` printed this. Of a version that cannot be read
    /// nothing is expected that older ones lack.
    pub fn legacy(printed: &str) -> Self {
        let known = Version::from_printed(printed);
        Self {
            version: known.map_or_else(|| "of unknown version".to_owned(), |version| version.to_string()),
            inject_items: false,
            dynamic_tools: false,
            exact_tools: false,
            one_response: false,
            output_schema: known.is_some_and(|known| known >= LEGACY_SCHEMA_SINCE),
            unsubscribe: false,
            raw_items: false,
            raw_completed: false,
            legacy: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_real_user_agents() {
        let cases = [
            ("codex-proxy/0.169.0 (Debian 12.0.0; x86_64) xterm (codex-proxy; 1)", Some(Version(0, 169, 0))),
            ("codex_cli_rs/0.77.0 (Debian 12.0.0; x86_64) xterm (codex-proxy; 1)", Some(Version(0, 77, 0))),
            ("x/0.170.0-alpha.3 (Mac OS)", Some(Version(0, 170, 0))),
            ("codex", None),
            ("x/1.2 (a)", None),
            ("x/a.b.c", None),
        ];
        for (agent, expected) in cases {
            assert_eq!(Version::from_user_agent(agent), expected, "{agent}");
        }
    }

    #[test]
    fn capabilities_follow_the_version() {
        let old = Capabilities::of("codex_cli_rs/0.77.0 (x)");
        assert!(!old.inject_items && !old.dynamic_tools && !old.output_schema && !old.raw_items);
        let middle = Capabilities::of("x/0.135.0 (x)");
        assert!(middle.inject_items && middle.raw_items && !middle.raw_completed);
        let own_build = Capabilities::of("x/0.0.0 (x)");
        assert!(own_build.inject_items && own_build.raw_completed);
    }

    #[test]
    fn the_legacy_protocol_promises_nothing_that_is_not_known() {
        let known = Capabilities::legacy("codex-cli 0.42.0\n");
        assert_eq!((known.version.as_str(), known.output_schema, known.legacy), ("0.42.0", true, true));
        assert!(!known.dynamic_tools && !known.inject_items);
        assert!(!Capabilities::legacy("codex-cli 0.20.0").output_schema);
        assert!(!Capabilities::legacy("a build of my own").output_schema);
    }
}
