//! The pages, and the blocks of code in them.

use std::fs;
use std::path::{Path, PathBuf};

use e2e::codex_bin::workspace_dir;
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use serde_json::Value;

/// A page of Markdown.
pub(super) struct Page {
    /// Its path below the workspace.
    pub(super) path: PathBuf,
    pub(super) text: String,
    /// Its fenced blocks.
    pub(super) blocks: Vec<Block>,
}

/// A fenced block.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// Behind the fence: a language, then marks, with commas.
    info: String,
    /// Where it is in its page, from 1.
    line: usize,
    pub(super) text: String,
}

/// What may stand behind the language.
const MARKS: &[&str] = &["no_run", "output", "settings", "client"];

impl Page {
    /// Every page of the documentation, and what the repository shows first.
    pub(super) fn all() -> Vec<Self> {
        let top = workspace_dir();
        let mut paths = Vec::new();
        find(&top.join("docs/src"), &mut paths);
        paths.sort();
        assert!(paths.len() > 10, "the documentation is missing");
        paths.push(top.join("README.md"));
        paths.iter().map(|path| Self::read(&top, path)).collect()
    }

    pub(super) fn read(top: &Path, path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let blocks = blocks(&text);
        Self { path: path.strip_prefix(top).unwrap().to_owned(), text, blocks }
    }

    pub(super) fn name(&self) -> String {
        self.path.display().to_string()
    }

    pub(super) fn events(&self) -> Parser<'_> {
        Parser::new_ext(&self.text, Options::ENABLE_TABLES)
    }
}

fn find(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "md") {
            found.push(path);
        }
    }
}

fn blocks(text: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut is_inside = false;
    for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
        if let Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) = event {
            let line = text[..range.start].lines().count() + 1;
            found.push(Block { info: info.into_string(), line, text: String::new() });
            is_inside = true;
        } else if event == Event::End(TagEnd::CodeBlock) {
            is_inside = false;
        } else if let (Event::Text(part), true, Some(block)) = (event, is_inside, found.last_mut()) {
            block.text.push_str(&part);
        }
    }
    found
}

impl Block {
    pub(super) fn language(&self) -> &str {
        self.info.split(',').next().unwrap_or_default()
    }

    /// For a message.
    pub(super) fn place(&self, page: &Page) -> String {
        format!("{}:{}", page.path.display(), self.line)
    }

    pub(super) fn has(&self, mark: &str) -> bool {
        self.marks().any(|(name, _)| name == mark)
    }

    pub(super) fn value_of(&self, mark: &str) -> Option<&str> {
        self.marks().find(|(name, _)| *name == mark).and_then(|(_, value)| value)
    }

    pub(super) fn reason_not_to_run(&self) -> Option<&str> {
        self.has("no_run").then(|| self.value_of("no_run").unwrap_or("nothing"))
    }

    pub(super) fn is_to_run(&self, language: &str) -> bool {
        self.language() == language && !self.has("no_run")
    }

    pub(super) fn unknown_marks(&self) -> Vec<&str> {
        self.marks().map(|(name, _)| name).filter(|name| !MARKS.contains(name)).collect()
    }

    pub(super) fn json(&self, at: &str) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{at} is no JSON: {e}"))
    }

    /// As JSON, so that it can be compared.
    pub(super) fn toml(&self, at: &str) -> Value {
        toml_edit::de::from_str(&self.text).unwrap_or_else(|e| panic!("{at} is no TOML: {e}"))
    }

    /// In the parser's own words, which can be compared.
    pub(super) fn yaml(&self, at: &str) -> String {
        yaml(&self.text, at)
    }

    fn marks(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.info.split(',').skip(1).map(|mark| match mark.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (mark, None),
        })
    }
}

pub(super) fn yaml(text: &str, at: &str) -> String {
    use saphyr::{LoadableYamlNode as _, Yaml};
    let documents = Yaml::load_from_str(text).unwrap_or_else(|e| panic!("{at} is no YAML: {e}"));
    format!("{documents:?}")
}
