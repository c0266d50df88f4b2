//! What a Codex binary can do. The only place that looks at a version.

use std::fmt;

/// The oldest app-server this proxy drives.
pub const OLDEST: Version = Version(0, 77, 0);

/// Since this version everything the proxy needs is there.
pub const FULL_SINCE: Version = Version(0, 121, 0);

/// A Codex version, `major.minor.patch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl Version {
    /// Reads the version out of the handshake's `userAgent` (`name/0.169.0 (…) …`).
    pub fn from_user_agent(agent: &str) -> Option<Self> {
        let number = agent.split_once('/')?.1.split([' ', '-', '+']).next()?;
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
    /// `outputSchema` on `turn/start`.
    pub output_schema: bool,
    /// `thread/unsubscribe`.
    pub unsubscribe: bool,
    /// `rawResponseItem/completed`: items as the vendor sent them, sealed reasoning included.
    pub raw_items: bool,
    /// `rawResponse/completed`: where a model response ends.
    pub raw_completed: bool,
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
            output_schema: since(Version(0, 98, 0)),
            unsubscribe: since(FULL_SINCE),
            raw_items: since(FULL_SINCE),
            raw_completed: since(Version(0, 169, 0)),
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
}
