//! The types as TypeScript, in the file that the window is written against.
//!
//! Nothing of this is in a program. `cargo xtask types` runs the tests below with [`WRITE`] set, which writes the file;
//! without it they hold the file against what they would write.

use std::fs;
use std::path::{Path, PathBuf};

use ts_rs::{Config, TS};

use super::*;
use crate::request_log::{CaptureState, Captured, Refusal, RefusalReason, RequestEntry, RequestState};
use crate::usage::Totals;

/// While this variable is set, the file is written.
const WRITE: &str = "CODEX_PROXY_WRITE_TYPES";

const HEAD: &str = "\
/**
 * What the control API sends and takes. Made by `cargo xtask types` of proxy-core/src/control/api.rs.
 *
 * Times are seconds since the epoch unless they say milliseconds.
 */

/** A setting's value: null if it is secret or has none. */
export type SettingValue = string | number | boolean | string[] | null;
";

/// The declarations of all types, in the order of `api.rs`.
fn declarations() -> String {
    let config = Config::new().with_large_int("number");
    let mut text = HEAD.to_owned();
    macro_rules! declare {
        ($($name:ident)+) => { $(text.push_str(&declaration::<$name>(&config));)+ };
    }
    declare! {
        Event ErrorBody ErrorObject
        Status BackendMode SandboxMode Worker WorkerState Paused
        Account AccountState AccountMethod Login LoginMethod LogIn SignInWith ImportLogin Imported
        Limits LimitWindow LimitHistory LimitReading Credits AccountUsage UsageSummary UsageDay
        CodexStatus CodexSource Managed Job JobAction JobPhase InstallCodex UpdateCodex
        Proofs ProofJob ProofPhase Verdict Proof Finding FindingKind ProtocolPart Connection Example Case CaseKind
        KeyList KeyStore Key KeyPlace ChangedKey DeletedKey RevealedKey CreateKey UpdateKey MigrateKeys KeyDestination
        RequestList RequestEntry RequestState Refusal RefusalReason CaptureState RequestDetail Captured
        StartCapture TryPrompt TryInput
        Usage UsageGroup UsageBucket Totals
        Store StoreState StoreRemoval
        Share StartShare
        Settings Setting SettingSource SettingKind
        ModelList Model
        LogTail LogLevel SetLogLevel
        ClientConfig Preview Applied SetUpFor
    }
    text.push_str(&format!(
        "\n/** What stands in place of a key's name where a prompt was tried in the window. */\n\
         export const WINDOW_KEY = '{WINDOW_KEY}';\n"
    ));
    text
}

fn declaration<T: TS>(config: &Config) -> String {
    let docs = T::docs().unwrap_or_default();
    // A line for each field, and no blanks at the ends of lines.
    let lines = [("{ \n", "{\n"), (", \n", ",\n"), (", };", ",\n};")];
    let declared = lines.iter().fold(T::decl(config), |text, (from, to)| text.replace(from, to));
    format!("\n{docs}export {declared}\n")
}

fn ui() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../ui")
}

#[expect(clippy::disallowed_methods, reason = "the test is asked by its environment to write")]
fn is_to_write() -> bool {
    std::env::var_os(WRITE).is_some()
}

#[test]
fn the_windows_types_are_up_to_date() {
    let file = ui().join("src/api.generated.ts");
    let text = declarations();
    if is_to_write() {
        fs::write(&file, &text).unwrap();
    }
    let there = fs::read_to_string(&file).unwrap_or_default();
    assert!(there == text, "ui/src/api.generated.ts is not what the control API is; run `cargo xtask types`");
}
