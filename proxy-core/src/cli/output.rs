//! The output of the commands and its format.

use std::io::{self, IsTerminal as _, Write};

use serde::Serialize;

use crate::config::{ProcessEnvironment, Strings};
use crate::secret::ApiKey;
use crate::secret::redact::redact;

/// Standard output and standard error, with their capabilities.
pub struct Output {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    /// Whether standard output is a terminal.
    pub(super) interactive: bool,
    /// Whether standard error is a terminal.
    pub(super) err_interactive: bool,
    paint: Painter,
    err_paint: Painter,
    /// The operator's key. While this value exists, error messages mask it.
    _known: Option<ApiKey>,
}

/// Adds colour to text, if colour is enabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Painter {
    pub(super) colour: bool,
}

/// The meaning of a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Warning,
    Bad,
    Quiet,
    Strong,
}

impl Painter {
    /// Without colour.
    #[cfg(test)]
    pub(super) const PLAIN: Self = Self { colour: false };

    pub(super) fn paint(self, tone: Tone, text: &str) -> String {
        if !self.colour || text.is_empty() {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Warning => "33",
            Tone::Bad => "31",
            Tone::Quiet => "2",
            Tone::Strong => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

impl Output {
    /// The streams of this process. `no_colour` turns colour off even on a terminal that has it.
    pub fn of_process(no_colour: bool) -> Self {
        let (interactive, err_interactive) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        Self {
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            interactive,
            err_interactive,
            paint: Painter { colour: interactive && !no_colour },
            err_paint: Painter { colour: err_interactive && !no_colour },
            _known: operators_key(),
        }
    }

    /// The painter for standard output.
    pub(super) fn paint(&self) -> Painter {
        self.paint
    }

    /// Writes text to standard output.
    pub(super) fn text(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// Writes a line to standard output.
    pub(super) fn line(&mut self, line: &str) -> io::Result<()> {
        self.text(&format!("{line}\n"))
    }

    /// Writes bytes to standard output.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.out.flush()
    }

    /// Writes an answer for programs: one object on several lines.
    pub(super) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string_pretty(value)?;
        self.line(&text)
    }

    /// Writes one of several answers for programs: one object on one line.
    pub(super) fn json_line(&mut self, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string(value)?;
        self.line(&text)
    }

    /// Writes a message that is not part of the answer to standard error.
    pub(super) fn note(&mut self, note: &str) -> io::Result<()> {
        self.err.write_all(format!("{note}\n").as_bytes())
    }

    /// Replaces the progress line on a terminal. Returns whether standard error is a terminal.
    pub(super) fn progress(&mut self, line: &str) -> io::Result<bool> {
        if self.err_interactive {
            self.err.write_all(format!("\r\u{1b}[K{line}").as_bytes())?;
            self.err.flush()?;
        }
        Ok(self.err_interactive)
    }

    /// Reports an error in the command line. It is redacted, because it may contain a key in the wrong place.
    pub(super) fn misuse(&mut self, message: &clap::builder::StyledStr) {
        let text = message.to_string();
        // If standard error fails, only the exit code can report the error.
        drop(self.err.write_all(redact(&text).as_bytes()));
    }

    /// Reports that a command has failed, and what to do about it.
    pub fn complain(&mut self, message: &str, next: Option<&str>) {
        let mut text = format!("{} {message}\n", self.err_paint.paint(Tone::Bad, "codex-proxy:"));
        if let Some(next) = next {
            text.push_str(next);
            text.push('\n');
        }
        let written = self.err.write_all(redact(&text).as_bytes());
        // If standard error fails, only the exit code can report the error.
        drop(written);
    }
}

fn operators_key() -> Option<ApiKey> {
    let key = ProcessEnvironment.get("PROXY_API_KEY")?;
    ApiKey::parse(key.to_str()?).ok()
}

/// A table with aligned columns. A tone colours a whole cell.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Vec<Cell>>,
    right: Vec<usize>,
}

#[derive(Debug)]
struct Cell {
    text: String,
    tone: Option<Tone>,
}

impl Table {
    pub(super) fn new(header: &[&str]) -> Self {
        let cells = header.iter().map(|text| Cell { text: (*text).to_owned(), tone: Some(Tone::Quiet) });
        Self { rows: vec![cells.collect()], right: Vec::new() }
    }

    /// Aligns these columns to the right, for numbers.
    pub(super) fn right(mut self, columns: impl IntoIterator<Item = usize>) -> Self {
        self.right.extend(columns);
        self
    }

    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into_iter().map(|text| Cell { text: clean(&text), tone: None }).collect());
    }

    /// Colours the cell of the last row in this column.
    pub(super) fn tone(&mut self, column: usize, tone: Tone) {
        if let Some(cell) = self.rows.last_mut().and_then(|row| row.get_mut(column)) {
            cell.tone = Some(tone);
        }
    }

    pub(super) fn render(&self, paint: Painter) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.text.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let line = |row: &Vec<Cell>| {
            let cells = row.iter().enumerate().map(|(column, cell)| {
                let gap = " ".repeat(widths[column] - cell.text.chars().count());
                let text = cell.tone.map_or_else(|| cell.text.clone(), |tone| paint.paint(tone, &cell.text));
                if self.right.contains(&column) { gap + &text } else { text + &gap }
            });
            let mut line = cells.collect::<Vec<_>>().join("  ").trim_end().to_owned();
            line.push('\n');
            line
        };
        self.rows.iter().map(line).collect()
    }
}

/// Removes control sequences for the terminal from foreign text.
pub(super) fn clean(text: &str) -> String {
    let escaped = |c: char| match c {
        '\t' => " ".to_owned(),
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    };
    text.chars().map(escaped).collect()
}

/// Wraps `text` into lines of at most `width` columns, as far as the words allow. Each line after the first is
/// indented by `indent` spaces.
pub(super) fn wrap(text: &str, width: usize, indent: usize) -> String {
    let mut wrapped = String::new();
    let mut column = indent;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > indent && column + 1 + length > width {
            wrapped.push('\n');
            wrapped.push_str(&" ".repeat(indent));
            column = indent;
        } else if column > indent {
            wrapped.push(' ');
            column += 1;
        }
        wrapped.push_str(&clean(word));
        column += length;
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tables_are_aligned_with_and_without_colour() {
        let mut table = Table::new(&["NAME", "COUNT"]).right([1]);
        table.row(["a".to_owned(), "7".to_owned()]);
        table.tone(0, Tone::Good);
        table.row(["größe".to_owned(), "123456".to_owned()]);
        assert_eq!(table.render(Painter::PLAIN), "NAME    COUNT\na           7\ngröße  123456\n");
        let coloured = table.render(Painter { colour: true });
        assert!(coloured.contains("\u{1b}[32ma\u{1b}[0m           7\n"), "{coloured:?}");
    }

    #[test]
    fn text_from_elsewhere_does_not_steer_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\nc\td"), "a\\u{1b}[2Jb\\nc d");
        let mut table = Table::new(&["NAME"]);
        table.row(["\u{1b}]0;x\u{7}".to_owned()]);
        assert!(!table.render(Painter::PLAIN).contains('\u{1b}'));
        assert!(!wrap("a \u{1b}[31mb", 80, 0).contains('\u{1b}'));
    }

    #[test]
    fn long_sentences_are_broken_between_words() {
        assert_eq!(wrap("one two three four", 11, 2), "one two\n  three\n  four");
        assert_eq!(wrap("unbreakableword", 5, 2), "unbreakableword");
        assert_eq!(wrap("", 5, 2), "");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn nothing_steers_the_terminal(text in any::<String>(), width in 1..200_usize, indent in 0..20_usize) {
            let cleaned = clean(&text);
            prop_assert!(!cleaned.contains(char::is_control));
            prop_assert_eq!(clean(&cleaned), cleaned);
            let wrapped = wrap(&text, width, indent);
            prop_assert!(!wrapped.replace('\n', "").contains(char::is_control));
        }
    }
}
