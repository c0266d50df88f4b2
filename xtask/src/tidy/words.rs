//! Texts that no tracked file may contain: paths of a developer's machine, the registry of a lock file, and the old default
//! key.

use std::path::Path;

/// A forbidden text, and the reason.
pub(super) struct Forbidden {
    needle: String,
    why: &'static str,
    /// Path prefixes where the text is allowed.
    except: &'static [&'static str],
}

/// The default key of an earlier version.
const OLD_KEY: &str = concat!("codex-local", "-secret");
/// Files that refuse the old key, test this, or mention that it is refused.
const MAY_REFUSE_OLD_KEY: &[&str] = &[
    "proxy-core/src/config",
    "proxy-core/src/keys",
    "proxy-core/src/secret",
    "tests/",
    "README.md",
    "CHANGELOG.md",
];
/// Registries by host. Files name packages only, because every user chooses a registry.
const REGISTRIES: &[&str] = &[
    concat!("registry.", "npmjs"),
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("pypi", ".org"),
    concat!("files.", "pythonhosted"),
    concat!("deb.", "debian.org"),
];
/// Top-level folders of every machine, so they reveal nothing.
const COMMON: &[&str] =
    &["/", "/tmp", "/home", "/opt", "/srv", "/usr", "/var", "/mnt", "/app", "/src", "/builds"];

/// The list for a checkout at `root` by the user whose home is `home`.
pub(super) fn forbidden(root: &Path, home: Option<&Path>) -> Vec<Forbidden> {
    let paths = [Some(root), root.parent(), home].into_iter().flatten().filter_map(Path::to_str);
    let mut list: Vec<Forbidden> = paths
        .filter(|path| !COMMON.contains(path))
        .map(|path| Forbidden { needle: format!("{path}/"), why: "is a path of this machine", except: &[] })
        .collect();
    list.extend(REGISTRIES.iter().map(|host| Forbidden {
        needle: (*host).to_owned(),
        why: "is the host of a registry; name the package instead",
        except: &[],
    }));
    list.push(Forbidden {
        needle: OLD_KEY.to_owned(),
        why: "is a key that everybody knows; only what refuses it may name it",
        except: MAY_REFUSE_OLD_KEY,
    });
    list
}

/// The places of forbidden texts in `text`.
pub(super) fn complaints(path: &str, text: &str, forbidden: &[Forbidden]) -> Vec<String> {
    let relevant: Vec<&Forbidden> = forbidden
        .iter()
        .filter(|entry| {
            text.contains(&entry.needle) && !entry.except.iter().any(|prefix| path.starts_with(prefix))
        })
        .collect();
    let mut complaints = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let found = relevant.iter().filter(|entry| line.contains(&entry.needle));
        complaints
            .extend(found.map(|entry| format!("{path}:{}: `{}` {}", number + 1, entry.needle, entry.why)));
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str) -> Vec<String> {
        let list = forbidden(Path::new("/builds/jo/codex-proxy"), Some(Path::new("/home/jo")));
        complaints(path, text, &list)
    }

    #[test]
    fn paths_of_the_machine_are_found_with_their_line() {
        let found = check("README.md", "Fine.\nSee /home/jo/notes.\nAnd /builds/jo/codex-proxy/xtask.\n");
        assert!(found[0].starts_with("README.md:2: "), "{found:?}");
        assert_eq!(found.len(), 3, "the checkout and the folder above it count: {found:?}");
        assert_eq!(check("README.md", "In /tmp/codex-work and /home/node/app."), [""; 0]);
    }

    #[test]
    fn registries_are_found() {
        let line = format!("\"resolved\": \"https://{}.org/ws\"", REGISTRIES[0]);
        assert_eq!(check("tests/sdk/node/package-lock.json", &line).len(), 1);
    }

    #[test]
    fn the_old_key_is_named_only_where_it_is_refused() {
        let line = format!("PROXY_API_KEY={OLD_KEY}");
        assert_eq!(check("installers/docker/compose.yml", &line).len(), 1);
        assert_eq!(check("proxy-core/src/config/check.rs", &line).len(), 0);
    }

    #[test]
    fn a_checkout_at_the_top_forbids_nothing_that_is_common() {
        let list = forbidden(Path::new("/app"), Some(Path::new("/")));
        assert!(complaints("a", "/app/x and /usr/bin/env and /", &list).is_empty());
    }
}
