//! The `config.yaml` of Continue.
//!
//! The entry is inserted as lines, so that all other lines stay unchanged. The file is parsed as YAML before and
//! after: the change is made only if exactly the entry differs.

use saphyr::{LoadableYamlNode as _, Yaml};

use super::{ENTRY_NAME, KEY_VARIABLE, MODEL, MODEL_NAME, Unfit};

/// The beginning of a new file.
fn head() -> String {
    format!("name: {ENTRY_NAME}\nversion: 1.0.0\nschema: v1\n")
}

/// The lines of the entry after its dash. The key comes from Continue's own storage for secrets.
fn entry(base: &str) -> [String; 6] {
    [
        format!("name: {MODEL_NAME}"),
        "provider: openai".to_owned(),
        format!("model: {MODEL}"),
        format!("apiBase: {base}"),
        format!("apiKey: {}", secret()),
        "roles: [chat, edit, apply]".to_owned(),
    ]
}

/// The reference to the secret, which identifies the entry.
fn secret() -> String {
    format!("${{{{ secrets.{KEY_VARIABLE} }}}}")
}

pub(super) fn leads_to(text: &str, base: &str) -> bool {
    let Ok(document) = parse(text) else { return false };
    models(&document).iter().any(|model| is_ours(model) && field(model, "apiBase") == Some(base))
}

pub(super) fn enter(text: &str, base: &str) -> Result<String, Unfit> {
    let text = if text.trim().is_empty() { head() } else { remove(text)? };
    let lines: Vec<&str> = text.lines().collect();
    let list = List::find(&lines);
    if list.is_none() && parse(&text)?.is_some_and(|all| all.as_mapping_get("models").is_some()) {
        return Err(Unfit::Models);
    }
    let (at, indent) = list.as_ref().map_or((lines.len(), "  "), |list| (list.end, list.indent));
    let mut new: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    let begin = if list.is_some() { vec![] } else { vec!["models:".to_owned()] };
    let item = entry(base).into_iter().enumerate().map(|(line, text)| {
        let mark = if line == 0 { "- " } else { "  " };
        format!("{indent}{mark}{text}")
    });
    new.splice(at..at, begin.into_iter().chain(item));
    let new = joined(&new, &text);
    check(&text, &new, 1)?;
    Ok(new)
}

pub(super) fn remove(text: &str) -> Result<String, Unfit> {
    let document = parse(text)?;
    let ours = models(&document).iter().filter(|model| is_ours(model)).count();
    if ours == 0 {
        return Ok(text.to_owned());
    }
    let lines: Vec<&str> = text.lines().collect();
    let mut kept: Vec<&str> = Vec::with_capacity(lines.len());
    let Some(list) = List::find(&lines) else { return Err(Unfit::Models) };
    kept.extend(&lines[..list.start]);
    let items = list.items(&lines);
    let is_kept = |item: &&[&str]| !item.iter().any(|line| line.contains(&secret()));
    let left: Vec<&[&str]> = items.into_iter().filter(is_kept).collect();
    if left.is_empty() {
        // A list without items would not be valid.
        kept.pop();
    }
    kept.extend(left.into_iter().flatten());
    kept.extend(&lines[list.end..]);
    let new = joined(&kept, text);
    check(&new, text, ours)?;
    Ok(new)
}

/// Joins lines with the line ends of `text`.
fn joined<T: AsRef<str>>(lines: &[T], text: &str) -> String {
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    lines.iter().flat_map(|line| [line.as_ref(), end]).collect()
}

/// Checks that `with` is equal to `without` with `more` additional entries at the end of the list.
fn check(without: &str, with: &str, more: usize) -> Result<(), Unfit> {
    let (without, with) = (parse(without)?, parse(with).map_err(|_| Unfit::Models)?);
    let others = |document: &Option<Yaml<'_>>| {
        let pairs = document.as_ref().and_then(Yaml::as_mapping).cloned().unwrap_or_default();
        pairs.into_iter().filter(|(key, _)| key.as_str() != Some("models")).count()
    };
    let same = |key: &Yaml<'_>| {
        let of = |document: &Option<Yaml<'_>>| {
            format!("{:?}", document.as_ref().and_then(|all| all.as_mapping()?.get(key)))
        };
        key.as_str() == Some("models") || of(&without) == of(&with)
    };
    let all_the_same = with.as_ref().and_then(Yaml::as_mapping).is_some_and(|pairs| pairs.keys().all(same));
    let theirs =
        |document| models(document).iter().filter(|model| !is_ours(model)).map(|model| format!("{model:?}"));
    let ours = |document| models(document).iter().filter(|model| is_ours(model)).count();
    let fits = all_the_same
        && others(&without) == others(&with)
        && theirs(&without).eq(theirs(&with))
        && ours(&without) + more == ours(&with);
    if fits { Ok(()) } else { Err(Unfit::Models) }
}

/// The single document; `None` if there are only comments.
fn parse(text: &str) -> Result<Option<Yaml<'_>>, Unfit> {
    // The message of the parser may quote the line, which may contain a key.
    let documents = Yaml::load_from_str(text).map_err(|_| Unfit::Syntax("YAML"))?;
    let mut documents = documents.into_iter();
    match (documents.next(), documents.next()) {
        (None, _) => Ok(None),
        (Some(document), None) if document.as_mapping().is_some() => Ok(Some(document)),
        (Some(_), _) => Err(Unfit::NoSettings),
    }
}

fn models<'a>(document: &'a Option<Yaml<'_>>) -> &'a [Yaml<'a>] {
    let list = document.as_ref().and_then(|all| all.as_mapping_get("models")?.as_sequence());
    list.map_or(&[], |list| list.as_slice())
}

fn is_ours(model: &Yaml<'_>) -> bool {
    field(model, "apiKey") == Some(&secret())
}

fn field<'a>(model: &'a Yaml<'_>, name: &str) -> Option<&'a str> {
    model.as_mapping_get(name)?.as_str()
}

/// The position of a list that has one item per line or more.
struct List<'a> {
    /// The first line after `models:`.
    start: usize,
    /// The line after its last one.
    end: usize,
    indent: &'a str,
}

impl<'a> List<'a> {
    fn find(lines: &[&'a str]) -> Option<Self> {
        let is_head = |line: &&str| {
            line.strip_prefix("models:")
                .is_some_and(|rest| rest.trim().is_empty() || rest.trim().starts_with('#'))
        };
        let start = lines.iter().position(is_head)? + 1;
        let first = lines[start..].iter().find(|line| !is_aside(line))?;
        let indent = &first[..first.len() - first.trim_start().len()];
        let is_inside = |line: &str| {
            let begins_item = line.strip_prefix(indent).is_some_and(|rest| rest.starts_with('-'));
            is_aside(line) || begins_item || depth(line) > indent.len()
        };
        if !first.trim_start().starts_with('-') {
            return None;
        }
        let inside = lines[start..].iter().take_while(|line| is_inside(line)).count();
        // Lines between the last item and the next setting belong to the next setting.
        let trailing = lines[start..start + inside].iter().rev().take_while(|line| is_aside(line)).count();
        Some(Self { start, end: start + inside - trailing, indent })
    }

    /// The lines of each item.
    fn items<'b>(&self, lines: &'b [&'a str]) -> Vec<&'b [&'a str]> {
        let lines = &lines[self.start..self.end];
        let begins = |line: &&str| line.strip_prefix(self.indent).is_some_and(|rest| rest.starts_with('-'));
        let mut starts: Vec<usize> = (0..lines.len()).filter(|at| begins(&lines[*at])).collect();
        // Comments before the first item belong to it.
        if let Some(first) = starts.first_mut() {
            *first = 0;
        }
        let ends = starts.iter().skip(1).copied().chain([lines.len()]);
        starts.iter().zip(ends).map(|(start, end)| &lines[*start..end]).collect()
    }
}

fn depth(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Whether the line is empty or a comment.
fn is_aside(line: &str) -> bool {
    let text = line.trim_start();
    text.is_empty() || text.starts_with('#')
}
