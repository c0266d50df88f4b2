//! Agents of a user for launchd: `man launchd.plist`, `man launchctl`.

use std::path::{Path, PathBuf};

const LABEL: &str = "io.github.codex-proxy.service";

/// The path of the agent's file, below the home directory.
pub(super) fn file(home: &Path) -> PathBuf {
    home.join("Library").join("LaunchAgents").join(format!("{LABEL}.plist"))
}

/// The domain of the user's graphical session.
pub(super) fn domain(user: u32) -> String {
    format!("gui/{user}")
}

/// The target of the agent in the session of `user`, a user id.
pub(super) fn target(user: u32) -> String {
    format!("{}/{LABEL}", domain(user))
}

/// Whether the output of `launchctl print` shows a process.
pub(super) fn is_running(printed: &str) -> bool {
    printed.lines().any(|line| line.trim() == "state = running")
}

/// The file of an agent that starts `command` at login, and again after a failure. Exit code 0 means a normal
/// end.
pub(super) fn plist(command: &[String]) -> String {
    let words: String =
        command.iter().map(|word| format!("        <string>{}</string>\n", escaped(word))).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <plist version=\"1.0\">\n\
         <dict>\n    \
             <key>Label</key>\n    <string>{LABEL}</string>\n    \
             <key>ProgramArguments</key>\n    <array>\n{words}    </array>\n    \
             <key>RunAtLoad</key>\n    <true/>\n    \
             <key>KeepAlive</key>\n    <dict>\n        <key>SuccessfulExit</key>\n        <false/>\n    </dict>\n    \
             <key>ProcessType</key>\n    <string>Interactive</string>\n    \
             <key>ExitTimeOut</key>\n    <integer>30</integer>\n    \
             <key>Umask</key>\n    <integer>63</integer>\n\
         </dict>\n\
         </plist>\n"
    )
}

pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_agent_starts_what_it_is_told_to() {
        let command = ["/opt/a & b/codex-proxy", "run", "--port", "1"].map(str::to_owned);
        let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
    <key>Label</key>
    <string>io.github.codex-proxy.service</string>
    <key>ProgramArguments</key>
    <array>
        <string>/opt/a &amp; b/codex-proxy</string>
        <string>run</string>
        <string>--port</string>
        <string>1</string>
    </array>
    <key>RunAtLoad</key>
    <true/>
    <key>KeepAlive</key>
    <dict>
        <key>SuccessfulExit</key>
        <false/>
    </dict>
    <key>ProcessType</key>
    <string>Interactive</string>
    <key>ExitTimeOut</key>
    <integer>30</integer>
    <key>Umask</key>
    <integer>63</integer>
</dict>
</plist>
"#;
        assert_eq!(plist(&command), expected);
    }

    #[test]
    fn names_are_those_that_launchctl_takes() {
        assert_eq!(target(501), "gui/501/io.github.codex-proxy.service");
        let file = file(Path::new("/Users/jo"));
        assert!(
            file.ends_with("Library/LaunchAgents/io.github.codex-proxy.service.plist"),
            "{}",
            file.display()
        );
        assert!(is_running("gui/501/x = {\n\tactive count = 1\n\tstate = running\n}\n"));
        assert!(!is_running("\tstate = not running\n"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_word_is_taken_apart_as_it_was_put_together(words in prop::collection::vec("[^\\p{C}]{0,20}", 0..4)) {
            let plist = plist(&words);
            let (_, list) = plist.split_once("<array>\n").unwrap();
            let (list, _) = list.split_once("    </array>").unwrap();
            let read = |line: &str| {
                let inside = line.strip_prefix("        <string>")?.strip_suffix("</string>")?;
                (!inside.contains(['<', '>']))
                    .then(|| inside.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
            };
            let found: Option<Vec<String>> = list.lines().map(read).collect();
            prop_assert_eq!(found, Some(words));
        }
    }
}
