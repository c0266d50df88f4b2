//! Links within the repository: to files, and to headings in them.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Component, Path, PathBuf};

use e2e::codex_bin::workspace_dir;
use pulldown_cmark::{Event, Tag, TagEnd};

use super::blocks::Page;

/// A message for every broken link.
pub(super) fn complaints(pages: &[Page]) -> Vec<String> {
    let top = workspace_dir();
    let others = ["ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md"];
    let others = others.map(|name| Page::read(&top, &top.join(name)));
    let mut complaints = Vec::new();
    let mut seen = 0;
    for page in pages.iter().chain(&others) {
        for target in targets(page) {
            seen += 1;
            if let Some(complaint) = complaint(&top, page, &target) {
                complaints.push(format!("{}: {target}: {complaint}", page.path.display()));
            }
        }
    }
    assert!(seen > 50, "only {seen} links were found");
    complaints
}

fn targets(page: &Page) -> Vec<String> {
    let target = |event| {
        let Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) = event else {
            return None;
        };
        Some(dest_url.into_string())
    };
    page.events().filter_map(target).collect()
}

fn complaint(top: &Path, page: &Page, target: &str) -> Option<String> {
    if ["https://", "http://", "mailto:"].iter().any(|scheme| target.starts_with(scheme)) {
        return None;
    }
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let folder = page.path.parent().unwrap_or(Path::new(""));
    let path = if file.is_empty() { page.path.clone() } else { plain(&folder.join(file))? };
    // The book contains only its own folder. Other files need a link to the repository's website.
    if page.path.starts_with("docs") && !path.starts_with("docs/src") {
        return Some("is not in the book; link to it on GitHub".to_owned());
    }
    if !top.join(&path).exists() {
        return Some("is not there".to_owned());
    }
    let anchor = anchor?;
    let ids = ids(&Page::read(top, &top.join(&path)));
    (!ids.contains(anchor)).then(|| format!("has no such heading; it has {ids:?}"))
}

/// The path without `..`; `None` if it leaves the repository.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                if !plain.pop() {
                    return None;
                }
            }
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => plain.push(part),
        }
    }
    Some(plain)
}

/// The anchors of the headings, the same in mdBook and GitHub.
fn ids(page: &Page) -> BTreeSet<String> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut ids = BTreeSet::new();
    let mut heading: Option<String> = None;
    for event in page.events() {
        if matches!(event, Event::Start(Tag::Heading { .. })) {
            heading = Some(String::new());
        } else if matches!(event, Event::End(TagEnd::Heading(_))) {
            let id = id(&heading.take().unwrap_or_default());
            let count = counts.entry(id.clone()).or_default();
            ids.insert(if *count == 0 { id } else { format!("{id}-{count}") });
            *count += 1;
        } else if let (Event::Text(text) | Event::Code(text), Some(heading)) = (event, &mut heading) {
            heading.push_str(&text);
        }
    }
    ids
}

fn id(heading: &str) -> String {
    let kept = heading.trim().chars().filter_map(|letter| match letter {
        letter if letter.is_alphanumeric() || letter == '_' || letter == '-' => {
            Some(letter.to_ascii_lowercase())
        }
        letter if letter.is_whitespace() => Some('-'),
        _ => None,
    });
    kept.collect()
}

/// Checks that the summary lists every page and nothing else.
pub(super) fn check_summary(pages: &[Page]) {
    let top = workspace_dir();
    let folder = Path::new("docs/src");
    let summary = folder.join("SUMMARY.md");
    let page = pages.iter().find(|page| page.path == summary).expect("the book has a summary");
    let listed: Vec<PathBuf> = targets(page).iter().map(|target| folder.join(target)).collect();
    let as_set: BTreeSet<_> = listed.iter().cloned().collect();
    assert_eq!(as_set.len(), listed.len(), "a page is listed twice");
    let there: BTreeSet<_> = pages
        .iter()
        .map(|page| page.path.clone())
        .filter(|path| path.starts_with(folder) && *path != summary)
        .collect();
    assert_eq!(as_set, there);
    let book = fs::read_to_string(top.join("docs/book.toml")).unwrap();
    let book: serde_json::Value = toml_edit::de::from_str(&book).unwrap();
    assert_eq!(book["book"]["src"], "src");
}
