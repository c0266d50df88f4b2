//! Reads the npm registry's description of a package, and selects the archive for this system. No I/O.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use url::Url;

use super::error::CodexError;
use super::platform::Platform;
use protocol::codex::capabilities::Release;

/// Codex's npm package. Its versions are the versions of Codex.
pub(super) const PACKAGE: &str = "@openai/codex";
/// The scope of the packages that may hold the archives of this one.
const SCOPE: &str = "@openai/";

/// The needed part of a registry's description of a package.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Packument {
    #[serde(default, rename = "dist-tags")]
    tags: BTreeMap<String, String>,
    versions: BTreeMap<String, Manifest>,
}

#[derive(Debug, Clone, Deserialize)]
struct Manifest {
    #[serde(default, rename = "optionalDependencies")]
    optional: BTreeMap<String, String>,
    dist: Dist,
}

#[derive(Debug, Clone, Deserialize)]
struct Dist {
    tarball: String,
    integrity: Option<String>,
}

/// An archive to download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Archive {
    /// The package and its version, for people.
    pub(super) what: String,
    /// Its URL.
    pub(super) url: Url,
    /// The sha512 of its bytes.
    pub(super) sha512: [u8; 64],
}

/// The place where the archive of a version is described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// In the present document.
    Here(Archive),
    /// In the document of another package, under this version.
    Elsewhere {
        /// The package's name, with its scope.
        package: String,
        /// The package's version that holds the archive.
        version: String,
    },
}

/// Parses a version from a request.
///
/// # Errors
/// When it is not a version, or too old to be used.
pub(super) fn wanted(text: &str) -> Result<String, CodexError> {
    let text = text.trim();
    let bare = text.strip_prefix('v').unwrap_or(text);
    let version = Release::parse(bare).ok_or_else(|| CodexError::NotAVersion(text.to_owned()))?;
    if version.is_too_old() { Err(CodexError::TooOld(bare.to_owned())) } else { Ok(version.to_string()) }
}

impl Packument {
    /// The newest stable release: the one with the tag `latest`, or if that is not stable, the highest.
    pub(super) fn newest(&self) -> Result<String, CodexError> {
        let stable = |text: &str| Release::parse(text).filter(Release::is_stable);
        let tagged = self.tags.get("latest").filter(|text| self.versions.contains_key(*text));
        let newest = match tagged.and_then(|text| stable(text)) {
            Some(version) => version,
            None => self
                .versions
                .keys()
                .filter_map(|text| stable(text))
                .max()
                .ok_or_else(|| bad(PACKAGE, "it lists no release"))?,
        };
        if newest.is_too_old() { Err(CodexError::TooOld(newest.to_string())) } else { Ok(newest.to_string()) }
    }

    /// The archive of `version` for this system. A version names one package for each platform, or holds them all.
    pub(super) fn place(
        &self,
        version: &str,
        platform: Platform,
        registry: &str,
    ) -> Result<Place, CodexError> {
        let manifest = self.versions.get(version).ok_or_else(|| CodexError::NoSuchVersion {
            registry: registry.to_owned(),
            version: version.to_owned(),
            newest: self.newest().ok(),
        })?;
        if manifest.optional.is_empty() {
            return self.archive(PACKAGE, version).map(Place::Here);
        }
        let name = format!("{PACKAGE}-{}", platform.package);
        let named = manifest.optional.get(&name).ok_or(CodexError::NoBinary { triple: platform.triple })?;
        let (package, version) = match named.strip_prefix("npm:") {
            Some(alias) => alias.rsplit_once('@').ok_or_else(|| bad(&name, "its alias names no version"))?,
            None => (name.as_str(), named.as_str()),
        };
        if !package.starts_with(SCOPE) {
            return Err(bad(&name, "it points to a package of another project"));
        }
        if package == PACKAGE {
            return self.archive(package, version).map(Place::Here);
        }
        Ok(Place::Elsewhere { package: package.to_owned(), version: version.to_owned() })
    }

    /// The archive of exactly this package and version.
    pub(super) fn archive(&self, package: &str, version: &str) -> Result<Archive, CodexError> {
        let what = format!("{package} {version}");
        let manifest =
            self.versions.get(version).ok_or_else(|| bad(&what, "it is mentioned but not in the list"))?;
        let url = Url::parse(&manifest.dist.tarball).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let url = url.ok_or_else(|| bad(&what, "its archive has no http(s) address"))?;
        let integrity = manifest.dist.integrity.as_deref().unwrap_or_default();
        let sha512 =
            sha512(integrity).ok_or_else(|| bad(&what, "it has no sha512 to check the archive with"))?;
        Ok(Archive { what, url, sha512 })
    }
}

/// The digest from a list of `algorithm-base64?options`.
fn sha512(integrity: &str) -> Option<[u8; 64]> {
    integrity.split_whitespace().find_map(|entry| {
        let text = entry.strip_prefix("sha512-")?;
        STANDARD.decode(text.split('?').next()?).ok()?.try_into().ok()
    })
}

fn bad(what: &str, why: &str) -> CodexError {
    CodexError::BadMetadata { what: what.to_owned(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const PLATFORM: Platform = Platform { package: "linux-x64", triple: "x86_64-unknown-linux-musl" };

    fn dist(tarball: &str) -> Value {
        json!({"tarball": tarball, "integrity": format!("sha1-x sha512-{}", STANDARD.encode([7_u8; 64]))})
    }

    fn read(document: &Value) -> Packument {
        serde_json::from_value(document.clone()).unwrap()
    }

    fn real() -> Packument {
        read(&json!({
            "name": PACKAGE,
            "dist-tags": {"latest": "0.169.0", "alpha": "0.170.0-alpha.1"},
            "versions": {
                "0.77.0": {"dist": dist("https://r.example/codex-0.77.0.tgz")},
                "0.169.0": {
                    "optionalDependencies": {"@openai/codex-linux-x64": "npm:@openai/codex@0.169.0-linux-x64"},
                    "dist": dist("https://r.example/codex-0.169.0.tgz"),
                },
                "0.169.0-linux-x64": {"dist": dist("https://r.example/codex-0.169.0-linux-x64.tgz")},
                "0.170.0-alpha.1": {"dist": dist("https://r.example/a.tgz")},
            },
        }))
    }

    #[test]
    fn an_archive_is_found_in_both_layouts() {
        for (version, file) in [("0.169.0", "codex-0.169.0-linux-x64.tgz"), ("0.77.0", "codex-0.77.0.tgz")] {
            let Place::Here(archive) = real().place(version, PLATFORM, "r").unwrap() else { panic!("here") };
            assert_eq!(archive.url.as_str(), format!("https://r.example/{file}"));
            assert_eq!(archive.sha512, [7; 64]);
        }
        let arm = Platform { package: "linux-arm64", triple: "aarch64-unknown-linux-musl" };
        assert!(matches!(real().place("0.169.0", arm, "r"), Err(CodexError::NoBinary { .. })));
    }

    #[test]
    fn a_platform_package_of_its_own_name_is_looked_up() {
        let place = |named: &str| {
            let mut document = json!({"versions": {"1.0.0": {"dist": dist("https://r.example/x")}}});
            document["versions"]["1.0.0"]["optionalDependencies"] = json!({"@openai/codex-linux-x64": named});
            read(&document).place("1.0.0", PLATFORM, "r")
        };
        let elsewhere = |package: &str, version: &str| Place::Elsewhere {
            package: package.into(),
            version: version.into(),
        };
        assert_eq!(place("1.0.1").unwrap(), elsewhere("@openai/codex-linux-x64", "1.0.1"));
        assert_eq!(place("npm:@openai/x@2.0.0").unwrap(), elsewhere("@openai/x", "2.0.0"));
        for foreign in ["npm:codex@1.0.0", "npm:@evil/codex@1.0.0", "npm:@openai"] {
            assert!(matches!(place(foreign), Err(CodexError::BadMetadata { .. })), "{foreign}");
        }
    }

    #[test]
    fn the_newest_is_the_tagged_release_and_never_a_preview() {
        assert_eq!(real().newest().unwrap(), "0.169.0");
        let tagged = |latest: &str| {
            let mut packument = real();
            packument.tags.insert("latest".into(), latest.into());
            packument.newest().unwrap()
        };
        assert_eq!(tagged("0.77.0"), "0.77.0");
        assert_eq!(tagged("0.170.0-alpha.1"), "0.169.0");
        assert_eq!(tagged("9.9.9"), "0.169.0");
        let old = read(&json!({"versions": {"0.76.0": {"dist": dist("https://r.example/x")}}}));
        assert!(matches!(old.newest(), Err(CodexError::TooOld(_))));
    }

    #[test]
    fn unfit_versions_are_refused() {
        assert_eq!(wanted(" v0.169.0 ").unwrap(), "0.169.0");
        assert_eq!(wanted("0.170.0-alpha.1").unwrap(), "0.170.0-alpha.1");
        for old in ["0.76.9", "0.44.0", "0.77.0-alpha.1"] {
            assert!(matches!(wanted(old), Err(CodexError::TooOld(_))), "{old}");
        }
        for none in ["", "latest", "1.2", "../1.2.3", "1.2.3/..", "1.2.3 "] {
            assert_eq!(wanted(none).is_ok(), none == "1.2.3 ", "{none}");
        }
        let missing = real().place("0.168.0", PLATFORM, "https://r.example/").unwrap_err().to_string();
        assert!(missing.contains("0.168.0") && missing.contains("0.169.0"), "{missing}");
    }

    #[test]
    fn an_archive_without_a_digest_or_an_address_is_refused() {
        let refused = |dist: Value| {
            let document = json!({"versions": {"1.0.0": {"dist": dist}}});
            matches!(read(&document).archive(PACKAGE, "1.0.0"), Err(CodexError::BadMetadata { .. }))
        };
        assert!(refused(json!({"tarball": "https://r.example/x"})));
        assert!(refused(json!({"tarball": "https://r.example/x", "integrity": "sha1-AAAA"})));
        assert!(refused(json!({"tarball": "https://r.example/x", "integrity": "sha512-AAAA"})));
        assert!(refused(dist("file:///etc/passwd")));
        assert!(refused(dist("x.tgz")));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_document_leads_to_a_package_of_somebody_elses(
            named in prop_oneof![any::<String>(), "(npm:)?@?(openai|evil)?/?(codex)?@?[0-9.a-z-]{0,12}"],
            tag in any::<String>(),
            tarball in "(https?|file)?:?/?/?[a-z./]{0,20}",
        ) {
            let document = json!({"dist-tags": {"latest": tag}, "versions": {
                "1.0.0": {"dist": dist(&tarball), "optionalDependencies": {"@openai/codex-linux-x64": named}},
                "9.9.9-linux-x64": {"dist": dist(&tarball)},
            }});
            let packument = read(&document);
            prop_assert_eq!(packument.newest().unwrap(), "1.0.0");
            match packument.place("1.0.0", PLATFORM, "r") {
                Ok(Place::Here(archive)) => prop_assert!(matches!(archive.url.scheme(), "http" | "https")),
                Ok(Place::Elsewhere { package, .. }) => prop_assert!(package.starts_with(SCOPE) && package != PACKAGE),
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }

        #[test]
        fn no_answer_of_a_registry_is_too_strange(text in any::<String>(), integrity in any::<String>()) {
            if let Ok(packument) = serde_json::from_str::<Packument>(&text) {
                prop_assert!(packument.newest().is_ok() || packument.place("1.0.0", PLATFORM, "r").is_err());
            }
            prop_assert!(sha512(&integrity).is_none());
        }

        #[test]
        fn a_digest_is_found_among_others(digest in prop::collection::vec(any::<u8>(), 64), other in "(sha(1|256|384)-[a-z+/]{0,20} ){0,3}") {
            let text = format!("{other}sha512-{}?opt", STANDARD.encode(&digest));
            prop_assert_eq!(sha512(&text).map(|found| found.to_vec()), Some(digest));
        }

        #[test]
        fn a_version_that_is_taken_stays_the_same(text in prop_oneof![any::<String>(), "v?[0-9]{1,3}[.][0-9]{1,3}[.][0-9]{1,3}(-[a-z.0-9]{1,8})?"]) {
            if let Ok(version) = wanted(&text) {
                prop_assert_eq!(wanted(&version).unwrap(), version.as_str());
                prop_assert!(!version.contains(['/', '\\', ' ']), "it is a part of paths");
            }
        }
    }
}
