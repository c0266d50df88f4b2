//! The command `path`, on Windows: changes PATH for the setup program, which cannot handle texts above a
//! thousand characters.

use windows_registry::{CURRENT_USER, Result as Registry, Type, Value};

use super::client::cannot;
use super::failure::Failure;
use super::tree::{PathArgs, PathVerb};

/// The registry key of the user's environment variables.
const KEY: &str = "Environment";
const NAME: &str = "Path";

/// `ERROR_FILE_NOT_FOUND` as an `HRESULT`.
const NOT_FOUND: i32 = 0x8007_0002_u32.cast_signed();

pub(super) fn run(args: &PathArgs) -> Result<(), Failure> {
    let program = std::env::current_exe().map_err(|error| cannot("find this program", &error))?;
    let folder = program.parent().and_then(|folder| folder.to_str());
    let folder =
        folder.ok_or_else(|| Failure::new("this program's folder has no name that PATH could hold"))?;
    change(args.verb, folder).map_err(|error| Failure::new(format!("cannot change PATH: {error}")))
}

/// Changes the user's PATH. Keeps its registry type and the names of variables in it.
fn change(verb: PathVerb, folder: &str) -> Registry<()> {
    let key = CURRENT_USER.options().read().write().create().open(KEY)?;
    let (before, kind) = match key.get_value(NAME) {
        Ok(value) => {
            let kind = value.ty();
            (String::try_from(value)?, kind)
        }
        Err(error) if error.code().0 == NOT_FOUND => (String::new(), Type::ExpandString),
        Err(error) => return Err(error),
    };
    let after = match verb {
        PathVerb::Add => with(&before, folder),
        PathVerb::Remove => without(&before, folder),
    };
    if after == before {
        return Ok(());
    }
    if after.is_empty() {
        return key.remove_value(NAME);
    }
    let mut value = Value::from(after.as_str());
    value.set_ty(kind);
    key.set_value(NAME, &value)
}

fn with(path: &str, folder: &str) -> String {
    if path.split(';').any(|entry| is(entry, folder)) {
        return path.to_owned();
    }
    let between = if path.is_empty() || path.ends_with(';') { "" } else { ";" };
    format!("{path}{between}{folder}")
}

fn without(path: &str, folder: &str) -> String {
    let kept: Vec<&str> = path.split(';').filter(|entry| !is(entry, folder)).collect();
    kept.join(";")
}

fn is(entry: &str, folder: &str) -> bool {
    entry.trim_end_matches('\\').eq_ignore_ascii_case(folder.trim_end_matches('\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_put_behind_what_is_there_and_taken_away_again() {
        let long = "%USERPROFILE%\\bin;".repeat(500);
        for before in ["", "C:\\a", "C:\\a;", ";;C:\\a;;C:\\b", "\"C:\\a;b\"", &long] {
            let after = with(before, "C:\\x y");
            assert!(after.starts_with(before) && after.ends_with("C:\\x y"), "{after}");
            assert_eq!(with(&after, "C:\\X Y\\"), after);
            assert_eq!(without(&after, "C:\\x y").trim_end_matches(';'), before.trim_end_matches(';'));
            assert_eq!(without(before, "C:\\x y"), before);
        }
    }

    #[test]
    fn all_of_it_goes_and_nothing_else() {
        assert_eq!(without("C:\\x;C:\\xx;c:\\X\\;D:\\x", "C:\\x"), "C:\\xx;D:\\x");
        assert_eq!(without("C:\\x", "C:\\x"), "");
    }
}
