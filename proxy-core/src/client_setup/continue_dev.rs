//! Continue's `config.yaml`.
//!
//! The entry is put in as lines, so that all other lines stay as they are. Before and after, the whole is read as YAML:
//! nothing is changed unless exactly the entry is what differs.

use saphyr::{LoadableYamlNode as _, Yaml};

use super::{ENTRY_NAME, KEY_VARIABLE, MODEL, MODEL_NAME, not_understood};

/// Where there is only the old file, a new one would put that out of use.
pub(super) const OLD_FORMAT: &str = "it is not there, but a config.json in Continue's old format is, which Continue would \
                                     no longer read if it were; make the entry there by hand, or change to config.yaml first";

/// What a file that is made anew begins with.
fn head() -> String {
    format!("name: {ENTRY_NAME}\nversion: 1.0.0\nschema: v1\n")
}

/// The entry's lines behind its dash. The key comes from Continue's own place for secrets.
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

/// By this the entry is known again.
fn secret() -> String {
    format!("${{{{ secrets.{KEY_VARIABLE} }}}}")
}

pub(super) fn leads_to(text: &str, base: &str) -> bool {
    let Ok(document) = parse(text) else { return false };
    models(&document).iter().any(|model| is_ours(model) && field(model, "apiBase") == Some(base))
}

pub(super) fn enter(text: &str, base: &str) -> Result<String, String> {
    let text = if text.trim().is_empty() { head() } else { remove(text)? };
    let lines: Vec<&str> = text.lines().collect();
    let list = List::find(&lines);
    if list.is_none() && parse(&text)?.is_some_and(|all| all.as_mapping_get("models").is_some()) {
        return Err(unusual());
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

pub(super) fn remove(text: &str) -> Result<String, String> {
    let document = parse(text)?;
    let ours = models(&document).iter().filter(|model| is_ours(model)).count();
    if ours == 0 {
        return Ok(text.to_owned());
    }
    let lines: Vec<&str> = text.lines().collect();
    let mut kept: Vec<&str> = Vec::with_capacity(lines.len());
    let Some(list) = List::find(&lines) else { return Err(unusual()) };
    kept.extend(&lines[..list.start]);
    let items = list.items(&lines);
    let is_kept = |item: &&[&str]| !item.iter().any(|line| line.contains(&secret()));
    let left: Vec<&[&str]> = items.into_iter().filter(is_kept).collect();
    if left.is_empty() {
        // A list without items would be no list.
        kept.pop();
    }
    kept.extend(left.into_iter().flatten());
    kept.extend(&lines[list.end..]);
    let new = joined(&kept, text);
    check(&new, text, ours)?;
    Ok(new)
}

/// Lines with the ends that the lines of `text` have.
fn joined<T: AsRef<str>>(lines: &[T], text: &str) -> String {
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    lines.iter().flat_map(|line| [line.as_ref(), end]).collect()
}

/// Makes sure that `with` is `without` and `more` entries at the end of the list.
fn check(without: &str, with: &str, more: usize) -> Result<(), String> {
    let (without, with) = (parse(without)?, parse(with).map_err(|_| unusual())?);
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
    if fits { Ok(()) } else { Err(unusual()) }
}

fn unusual() -> String {
    not_understood("Continue's settings", "its list of models is not written line by line")
}

/// The one document; `None` if there is nothing but comments.
fn parse(text: &str) -> Result<Option<Yaml<'_>>, String> {
    // What the parser says may quote the line, which may hold a key.
    let documents = Yaml::load_from_str(text).map_err(|_| not_understood("YAML", "its syntax is wrong"))?;
    let mut documents = documents.into_iter();
    match (documents.next(), documents.next()) {
        (None, _) => Ok(None),
        (Some(document), None) if document.as_mapping().is_some() => Ok(Some(document)),
        (Some(_), _) => Err(not_understood("Continue's settings", "it is not a list of settings")),
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

/// Where the lines of the list are that is written line by line.
struct List<'a> {
    /// Its first line behind `models:`.
    start: usize,
    /// The line behind its last one.
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
        // What stands between the last item and the next setting belongs to that.
        let trailing = lines[start..start + inside].iter().rev().take_while(|line| is_aside(line)).count();
        Some(Self { start, end: start + inside - trailing, indent })
    }

    /// Each item's lines.
    fn items<'b>(&self, lines: &'b [&'a str]) -> Vec<&'b [&'a str]> {
        let lines = &lines[self.start..self.end];
        let begins = |line: &&str| line.strip_prefix(self.indent).is_some_and(|rest| rest.starts_with('-'));
        let mut starts: Vec<usize> = (0..lines.len()).filter(|at| begins(&lines[*at])).collect();
        // Comments before the first item stay with it.
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

/// A comment or nothing.
fn is_aside(line: &str) -> bool {
    let text = line.trim_start();
    text.is_empty() || text.starts_with('#')
}
