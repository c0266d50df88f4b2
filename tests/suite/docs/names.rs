//! Compares names in texts with the sources: settings, routes, headers and clients.

use std::collections::BTreeSet;
use std::fs;

use e2e::codex_bin::workspace_dir;
use regex::Regex;

use super::blocks::Page;

/// Variables of other programs, and of the build.
const OTHERS: &[&str] = &["CODEX_BACKUP_GPG_KEY", "CODEX_PROXY_KEY", "CODEX_PROXY_NPM_REGISTRY"];

/// Checks that every variable in a text is a setting.
pub(super) fn check_settings(pages: &[Page]) {
    let known: BTreeSet<&str> = proxy_core::config::table::ALL
        .iter()
        .flat_map(|entry| std::iter::once(entry.meta().env).chain(entry.meta().also.iter().copied()))
        .chain(OTHERS.iter().copied())
        .collect();
    let name = Regex::new(r"\b(?:PROXY|CODEX|WORKER|OTEL|RATE_LIMIT)_[A-Z_]*[A-Z]\b").unwrap();
    let mut seen = 0;
    for page in pages {
        for found in name.find_iter(&page.text) {
            seen += 1;
            assert!(
                known.contains(found.as_str()),
                "{}: there is no {}",
                page.path.display(),
                found.as_str()
            );
        }
    }
    assert!(seen > 50, "only {seen} settings are named");
}

/// Checks that the API page has every route outside of the control API, and every header of the proxy.
pub(super) fn check_api(pages: &[Page]) {
    let api = text_of(pages, "docs/src/api.md");
    let route = Regex::new(r#"\.route\(\s*"(/[^"]*)""#).unwrap();
    let routes = source("proxy-core/src/http.rs");
    let header = Regex::new(r#""(x-(?:proxy|ratelimit)-[a-z-]+)""#).unwrap();
    let headers = source("proxy-core/src/http/headers.rs") + &source("proxy-core/src/http/turns/request.rs");
    let routes = route.captures_iter(&routes).map(|found| found[1].replace("{*id}", "{id}"));
    let headers = header.captures_iter(&headers).map(|found| found[1].to_owned());
    let names: Vec<_> = routes.chain(headers).collect();
    assert!(names.len() > 15, "{names:?}");
    let missing: Vec<_> = names.iter().filter(|name| !api.contains(&format!("{name}`"))).collect();
    assert!(missing.is_empty(), "docs/src/api.md lacks {missing:?}");
}

/// Checks that the page has every client that the window explains.
pub(super) fn check_clients(pages: &[Page]) {
    let page = text_of(pages, "docs/src/clients.md");
    let guide = Regex::new(r"guide\('[a-z0-9-]+', '([^']+)'").unwrap();
    let guides = source("ui/src/lib/clients.ts");
    let names: Vec<_> = guide.captures_iter(&guides).map(|found| found[1].to_owned()).collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert!(page.contains(&format!("## {name}\n")), "docs/src/clients.md says nothing of {name}");
    }
}

fn text_of<'a>(pages: &'a [Page], path: &str) -> &'a str {
    let page = pages.iter().find(|page| page.name() == path);
    &page.unwrap_or_else(|| panic!("{path} is missing")).text
}

fn source(path: &str) -> String {
    fs::read_to_string(workspace_dir().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}
