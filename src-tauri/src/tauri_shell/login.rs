//! Start at login on Linux and similar systems: an entry in the desktop's autostart folder, which is not always
//! in `~/.config`.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use proxy_core::paths::Dirs;

use crate::shell::HIDDEN;

const FILE: &str = "io.github.codex-proxy.desktop";

/// Whether the entry exists.
pub(super) fn is_on() -> io::Result<bool> {
    Ok(folder()?.join(FILE).is_file())
}

/// Writes the entry that starts `program`, or removes it.
pub(super) fn set(wanted: bool, program: &Path) -> io::Result<()> {
    let folder = folder()?;
    let file = folder.join(FILE);
    if wanted {
        fs::create_dir_all(&folder)?;
        return fs::write(file, entry(program));
    }
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn folder() -> io::Result<PathBuf> {
    let config = Dirs::of_platform()?.config;
    let config = config.as_deref().and_then(Path::parent);
    let folder = config.map(|config| config.join("autostart"));
    folder.ok_or_else(|| io::Error::new(ErrorKind::NotFound, "there is no home directory"))
}

fn entry(program: &Path) -> String {
    let (path, program) = (escaped(&program.to_string_lossy()), quoted(&program.to_string_lossy()));
    format!(
        "[Desktop Entry]\n\
         Type=Application\n\
         Name=Codex Proxy\n\
         Comment=OpenAI's APIs on this machine, through Codex\n\
         TryExec={path}\n\
         Exec={program} {HIDDEN}\n\
         Icon=codex-proxy-app\n\
         Terminal=false\n"
    )
}

/// Escapes a string for the Desktop Entry Specification. With `TryExec`, the desktop ignores the entry of a
/// missing program.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
}

/// Quotes an argument for the Desktop Entry Specification: quoted first, then escaped like any other string.
fn quoted(argument: &str) -> String {
    let mut text = String::from("\"");
    for letter in argument.chars() {
        match letter {
            '"' | '`' | '$' => text.extend(["\\\\", &letter.to_string()]),
            '\\' => text.push_str("\\\\\\\\"),
            '%' => text.push_str("%%"),
            other => text.push(other),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_path_can_be_started() {
        assert_eq!(quoted("/usr/bin/codex-proxy-app"), r#""/usr/bin/codex-proxy-app""#);
        assert_eq!(quoted("/a b/100 %"), r#""/a b/100 %%""#);
        assert_eq!(quoted(r#"/$a/`b`/"c"/\d"#), r#""/\\$a/\\`b\\`/\\"c\\"/\\\\d""#);
        let entry = entry(Path::new("/opt/app"));
        assert!(entry.contains("\nTryExec=/opt/app\nExec=\"/opt/app\" --hidden\n"), "{entry}");
        assert_eq!(escaped(r"/a b/\d"), r"/a b/\\d");
    }
}
