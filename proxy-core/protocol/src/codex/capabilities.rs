//! What a Codex binary can do. The only place that looks at a version.

use std::fmt;

/// The oldest Codex with an app-server that this proxy drives.
pub const OLDEST: Version = Version(0, 77, 0);

/// The first version in which tools pass exactly as the client sent them.
const EXACT_TOOLS_SINCE: Version = Version(0, 169, 0);

/// The first version in which a thread can be limited to one request to the model without a message about it to
/// the model.
const ONE_RESPONSE_SINCE: Version = Version(0, 171, 0);

/// The last Codex that has `codex proto`.
pub const LEGACY_UNTIL: Version = Version(0, 44, 0);

/// The first version with everything that the proxy needs.
pub const FULL_SINCE: Version = Version(0, 121, 0);

/// The versions for which the test suite proves that nothing is added to a prompt. Any other version from
/// [`FULL_SINCE`] on is proved on the machine before it is used; older ones are known to add something.
pub const PROVED: &[Version] = &[Version(0, 169, 0), Version(0, 171, 0)];

/// The first version in which a turn of the legacy protocol accepts an output schema (of the versions examined).
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

    /// Reads a number alone (`0.169.0`); a suffix is ignored.
    pub fn from_number(text: &str) -> Option<Self> {
        let number = text.split([' ', '-', '+']).next()?;
        let mut parts = number.split('.').map(str::parse);
        let version = Self(parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
        parts.next().is_none().then_some(version)
    }

    /// Whether the number has no meaning: every local build has this one.
    fn is_of_an_own_build(self) -> bool {
        self == Self(0, 0, 0)
    }

    /// Whether the proxy drives its app-server. It does so for every local build.
    pub fn has_app_server(self) -> bool {
        self >= OLDEST || self.is_of_an_own_build()
    }

    /// Whether it has `codex proto`.
    pub fn has_proto(self) -> bool {
        self <= LEGACY_UNTIL
    }

    /// Whether it is newer than the version with this number.
    pub fn is_newer_than(self, number: &str) -> bool {
        Self::from_number(number).is_none_or(|other| self > other)
    }
}

/// A version as a package registry lists it, with the suffix after the number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release(semver::Version);

impl Release {
    /// Reads one, if the text is a semantic version.
    pub fn parse(text: &str) -> Option<Self> {
        semver::Version::parse(text).ok().map(Self)
    }

    /// Whether it is not a pre-release.
    pub fn is_stable(&self) -> bool {
        self.0.pre.is_empty()
    }

    /// Whether its app-server is too old to be driven.
    pub fn is_too_old(&self) -> bool {
        self.0 < semver::Version::new(OLDEST.0.into(), OLDEST.1.into(), OLDEST.2.into())
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is known, without a proof on the machine, about the additions of a version to prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// The test suite proves that it adds nothing.
    Tested,
    /// The version adds something that cannot be switched off; the README describes it.
    KeepsItsOwn,
}

/// What is known of the version with this number, as Codex prints it.
pub fn known(number: &str) -> Option<Known> {
    let version = Version::from_number(number.split_whitespace().next()?)?;
    if version < FULL_SINCE && !version.is_of_an_own_build() {
        return Some(Known::KeepsItsOwn);
    }
    (PROVED.contains(&version) && version.to_string() == number).then_some(Known::Tested)
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// The capabilities of one Codex.
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
    /// A thread can be limited to one request to the model.
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
    /// The capabilities of the Codex with this `user_agent`. A version that cannot be read (a local build) counts
    /// as the newest.
    pub fn of(user_agent: &str) -> Self {
        let known = Version::from_user_agent(user_agent).filter(|version| !version.is_of_an_own_build());
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

    /// The capabilities of a `codex proto` with this output of `codex --version`. A version that cannot be read
    /// counts as one of the older ones.
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
    fn a_version_says_which_protocols_it_has() {
        let cases = [
            ("0.42.0", (false, true)),
            ("0.44.0", (false, true)),
            ("0.45.0", (false, false)),
            ("0.76.9", (false, false)),
            ("0.77.0", (true, false)),
            ("0.171.0", (true, false)),
            ("0.0.0", (true, true)),
        ];
        for (number, expected) in cases {
            let version = Version::from_number(number).unwrap();
            assert_eq!((version.has_app_server(), version.has_proto()), expected, "{number}");
        }
        let version = Version(0, 171, 0);
        assert!(version.is_newer_than("0.170.9") && version.is_newer_than("no number"));
        assert!(!version.is_newer_than("0.171.0"));
    }

    #[test]
    fn releases_are_ordered_as_a_registry_does() {
        let release = |text: &str| Release::parse(text).unwrap();
        assert!(release("0.171.0-alpha.2") < release("0.171.0") && release("0.171.0") < release("1.0.0"));
        assert!(!release("0.171.0-alpha.2").is_stable() && release("0.171.0+build").is_stable());
        assert!(release("0.77.0-rc.1").is_too_old() && !release("0.77.0").is_too_old());
        for text in ["", "latest", "1.2", "v1.2.3", "01.2.3"] {
            assert_eq!(Release::parse(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig {
            failure_persistence: None,
            ..proptest::prelude::ProptestConfig::with_cases(256)
        })]

        #[test]
        fn a_version_is_read_back(major: u32, minor: u32, patch: u32, suffix in "|-[a-z0-9.]{1,8}|\\+[a-z0-9]{1,8}| \\(.*") {
            let version = Version(major, minor, patch);
            let number = format!("{version}{suffix}");
            proptest::prop_assert_eq!(Version::from_number(&number), Some(version));
            proptest::prop_assert_eq!(Version::from_user_agent(&format!("codex-proxy/{number}")), Some(version));
            proptest::prop_assert_eq!(Version::from_printed(&format!("codex-cli {number}\n")), Some(version));
        }

        #[test]
        fn no_text_is_too_strange_for_a_version(text in ".{0,40}") {
            let read = [
                Version::from_number(&text),
                Version::from_user_agent(&text),
                Version::from_printed(&text),
            ];
            for version in read.into_iter().flatten() {
                proptest::prop_assert_eq!(Version::from_number(&version.to_string()), Some(version));
            }
            let release = Release::parse(&text).map(|release| release.to_string());
            proptest::prop_assert!(release.is_none_or(|release| release == text));
            let _ = (known(&text), Capabilities::of(&text), Capabilities::legacy(&text));
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
