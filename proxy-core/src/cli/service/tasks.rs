//! Tasks of the Windows Task Scheduler:
//! <https://learn.microsoft.com/windows/win32/taskschd/task-scheduler-schema>.
//!
//! Only a task that is given as XML can start at the login of one user without administrator rights.

use super::launchd::escaped;

const NAME: &str = "Codex Proxy service";

pub(super) const QUERY: [&str; 5] = ["/Query", "/TN", NAME, "/FO", "CSV"];
pub(super) const RUN: [&str; 3] = ["/Run", "/TN", NAME];
pub(super) const REMOVE: [&[&str]; 2] = [&["/End", "/TN", NAME], &["/Delete", "/TN", NAME, "/F"]];

/// The arguments that create a task from a file.
pub(super) fn create(file: &str) -> [&str; 6] {
    ["/Create", "/TN", NAME, "/XML", file, "/F"]
}

/// Whether the output of `/Query` shows that the task is running. In languages with other words, the result is
/// always false.
pub(super) fn is_running(list: &str) -> bool {
    list.lines().any(|line| line.contains(NAME) && line.trim_end().ends_with("\"Running\""))
}

/// A task that starts `command` when `user` signs in, one instance at a time, without a time limit, and again
/// after a failure.
pub(super) fn task(command: &[String], user: &str) -> String {
    let (program, arguments) =
        command.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    let arguments: Vec<String> = arguments.iter().map(|word| quoted(word)).collect();
    let (user, program, arguments) = (escaped(user), escaped(program), escaped(&arguments.join(" ")));
    format!(
        r#"<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.3" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Description>Codex Proxy: OpenAI's APIs on this machine</Description>
  </RegistrationInfo>
  <Triggers>
    <LogonTrigger>
      <UserId>{user}</UserId>
    </LogonTrigger>
  </Triggers>
  <Principals>
    <Principal id="Author">
      <UserId>{user}</UserId>
      <LogonType>InteractiveToken</LogonType>
      <RunLevel>LeastPrivilege</RunLevel>
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <RestartOnFailure>
      <Interval>PT1M</Interval>
      <Count>10</Count>
    </RestartOnFailure>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>{program}</Command>
      <Arguments>{arguments}</Arguments>
    </Exec>
  </Actions>
</Task>
"#
    )
}

/// Encodes the text as the file declares it.
pub(super) fn utf16(text: &str) -> Vec<u8> {
    let with_mark = std::iter::once(0xfeff).chain(text.encode_utf16());
    with_mark.flat_map(u16::to_le_bytes).collect()
}

/// Quotes one argument as Windows programs parse their command line.
fn quoted(word: &str) -> String {
    if !word.is_empty() && !word.contains([' ', '\t', '"']) {
        return word.to_owned();
    }
    let mut text = String::from("\"");
    let mut slashes = 0;
    for letter in word.chars() {
        match letter {
            '\\' => slashes += 1,
            // Backslashes before a quotation mark have to be doubled.
            '"' => {
                text.extend(std::iter::repeat_n('\\', slashes + 1));
                slashes = 0;
            }
            _ => slashes = 0,
        }
        text.push(letter);
    }
    text.extend(std::iter::repeat_n('\\', slashes));
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_task_starts_what_it_is_told_to() {
        let command = [r"C:\Program Files\a & b\codex-proxy.exe", "run", "--data-dir", r"D:\my data\"];
        let task = task(&command.map(str::to_owned), r"PC\jo");
        assert!(task.contains(r"<Command>C:\Program Files\a &amp; b\codex-proxy.exe</Command>"), "{task}");
        assert!(task.contains(r#"<Arguments>run --data-dir "D:\my data\\"</Arguments>"#), "{task}");
        assert_eq!(task.matches(r"<UserId>PC\jo</UserId>").count(), 2, "{task}");
        assert!(task.contains("<ExecutionTimeLimit>PT0S</ExecutionTimeLimit>"), "it may run for ever");
    }

    #[test]
    fn arguments_are_taken_apart_as_they_were_put_together() {
        for (word, expected) in [
            ("a", "a"),
            ("", r#""""#),
            ("a b", r#""a b""#),
            (r"a\b", r"a\b"),
            (r#"a"b"#, r#""a\"b""#),
            (r#"a\"b"#, r#""a\\\"b""#),
            (r"a b\", r#""a b\\""#),
        ] {
            assert_eq!(quoted(word), expected, "{word}");
        }
    }

    #[test]
    fn the_file_has_a_mark_and_sixteen_bits_a_letter() {
        assert_eq!(utf16("aé"), [0xff, 0xfe, 0x61, 0, 0xe9, 0]);
    }

    #[test]
    fn a_list_tells_of_a_task_that_runs() {
        let list = |status: &str| {
            format!("\"TaskName\",\"Next Run Time\",\"Status\"\n\"\\{NAME}\",\"N/A\",\"{status}\"\n")
        };
        assert!(is_running(&list("Running")));
        assert!(!is_running(&list("Ready")));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn windows_takes_every_argument_apart_as_it_was_put_together(words in prop::collection::vec("([a-z ]|[\\\\\"\t]){0,12}", 0..4)) {
            let line = words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
            // Parses the arguments as `CommandLineToArgvW` does.
            let (mut found, mut word, mut inside, mut letters) = (Vec::new(), None::<String>, false, line.chars().peekable());
            while let Some(letter) = letters.next() {
                match letter {
                    '\\' => {
                        let mut slashes = 1;
                        while letters.next_if_eq(&'\\').is_some() {
                            slashes += 1;
                        }
                        let word = word.get_or_insert_default();
                        if letters.peek() == Some(&'"') {
                            word.extend(std::iter::repeat_n('\\', slashes / 2));
                            if slashes % 2 == 1 {
                                word.extend(letters.next());
                            }
                        } else {
                            word.extend(std::iter::repeat_n('\\', slashes));
                        }
                    }
                    '"' => {
                        word.get_or_insert_default();
                        inside = !inside;
                    }
                    ' ' | '\t' if !inside => found.extend(word.take()),
                    letter => word.get_or_insert_default().push(letter),
                }
            }
            found.extend(word);
            prop_assert_eq!(found, words);
        }

        #[test]
        fn the_file_is_read_back(text in any::<String>()) {
            let bytes = utf16(&text);
            let units: Vec<u16> = bytes.chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
            let back = String::from_utf16(&units).unwrap();
            prop_assert_eq!(back.strip_prefix('\u{feff}'), Some(text.as_str()));
            is_running(&text);
        }
    }
}
