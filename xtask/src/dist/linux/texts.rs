//! The project's texts in the formats of the packages.

/// The changelog for Debian's tools. It only names the version; `CHANGELOG.md` lists the changes.
pub(super) fn debian_changelog(name: &str, version: &str, maintainer: &str, date: &str) -> String {
    format!(
        "{name} ({version}) unstable; urgency=medium\n\n  * The upstream changelog says what is new.\n\n -- {maintainer}  \
         {date}\n"
    )
}

/// The machine-readable `debian/copyright`: `head`, followed by the text of the licence.
pub(super) fn debian_copyright(head: &str, licence: &str) -> String {
    // The first lines name the licence and its holder, which `head` does too.
    let text = licence.split_once("\n\n").map_or(licence, |(_, rest)| rest);
    let text = text.split_once("\n\n").map_or(text, |(_, rest)| rest);
    format!("{head}{}", indented(text))
}

/// A long description in the format of a Debian control field: each line starts with a space, a blank line is a dot.
pub(super) fn debian_description(summary: &str, text: &str) -> String {
    format!("{summary}\n{}", indented(&wrapped(text)))
}

fn indented(text: &str) -> String {
    text.trim_end()
        .lines()
        .map(|line| if line.is_empty() { " .\n".to_owned() } else { format!(" {line}\n") })
        .collect()
}

/// Paragraphs in lines of at most 79 characters.
pub(super) fn wrapped(text: &str) -> String {
    let mut lines = Vec::new();
    for paragraph in text.split("\n\n") {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.len() + 1 + word.len() > 79 {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changelog_is_what_debian_reads() {
        let text = debian_changelog("a", "1.0-1", "A B <a@b.c>", "Sat, 28 Nov 2026 00:00:00 +0000");
        let expected = "a (1.0-1) unstable; urgency=medium\n\n  * The upstream changelog says what is new.\n\n \
                        -- A B <a@b.c>  Sat, 28 Nov 2026 00:00:00 +0000\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_licence_is_indented_and_its_blank_lines_are_dots() {
        let licence = "MIT License\n\nCopyright (c) 2026 Us\n\nPermission\nis granted.\n\nTHE SOFTWARE\n";
        let text = debian_copyright("License: MIT\n", licence);
        assert_eq!(text, "License: MIT\n Permission\n is granted.\n .\n THE SOFTWARE\n");
    }

    #[test]
    fn a_description_has_lines_of_a_length_that_terminals_have() {
        let text = debian_description("Short", &format!("{}\n\nEnd.", "word ".repeat(40)));
        assert!(text.starts_with("Short\n word word"), "{text}");
        assert!(text.ends_with("\n .\n End.\n"), "{text}");
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    }
}
