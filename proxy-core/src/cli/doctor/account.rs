//! Checks of Codex, the sign-in and its limits.

use std::path::PathBuf;

use serde_json::Value;

use super::{Finding, Ground, setting};
use crate::cli::output::Painter;
use crate::cli::status::{account_words, codex_words};
use crate::cli::units::Now;
use crate::codex_install;
use crate::control::api::{Account, AccountState, CodexStatus, Limits};

pub(super) async fn look(ground: &Ground) -> Vec<Finding> {
    let Ok(client) = &ground.proxy else {
        return vec![
            codex_at_rest(ground).await,
            account_at_rest(ground),
            Finding::skipped("limits", "no proxy is running"),
        ];
    };
    let codex = client.read::<CodexStatus>("/codex").await;
    let account = client.read::<Account>("/account").await;
    vec![
        codex.map_or_else(
            |failure| Finding::skipped("codex", failure.to_string()),
            |codex| judge_codex(&codex),
        ),
        account.map_or_else(
            |failure| Finding::skipped("sign_in", failure.to_string()),
            |account| judge_account(&account),
        ),
        match ground.status.as_ref().and_then(|status| status.limits.as_ref()) {
            Some(limits) => judge_limits(limits, &Now::here()),
            None => Finding::skipped("limits", "Codex has not told of any"),
        },
    ]
}

/// The home directory of Codex.
pub(super) fn codex_home(ground: &Ground) -> PathBuf {
    setting(ground, "CODEX_HOME").and_then(Value::as_str).map(PathBuf::from).unwrap_or_default()
}

/// Runs the Codex that the proxy would start, to read its version.
async fn codex_at_rest(ground: &Ground) -> Finding {
    let status = codex_install::Codex::new(ground.config.codex_install.clone()).status().await;
    judge_codex(&status.into())
}

fn account_at_rest(ground: &Ground) -> Finding {
    const CHECK: &str = "sign_in";
    let file = codex_home(ground).join("auth.json");
    if file.exists() {
        return Finding::ok(
            CHECK,
            format!("there is a sign-in in {}; whether it works is seen once the proxy runs", file.display()),
        );
    }
    Finding::warn(CHECK, "nobody is signed in", "Start the proxy, then `codex-proxy login`.")
}

fn judge_codex(codex: &CodexStatus) -> Finding {
    const CHECK: &str = "codex";
    let words = codex_words(codex, Painter { colour: false });
    let path = codex.path.as_ref().map(|path| format!(" ({})", path.display())).unwrap_or_default();
    match (&codex.version, &codex.problem) {
        // A private build may have no version, and the version of a Codex that has just started may not be known
        // yet.
        (None, None) if codex.path.is_some() => Finding::skipped(CHECK, format!("{words}{path}")),
        (None, problem) => Finding::fail(
            CHECK,
            problem.clone().unwrap_or_else(|| "Codex is not found".to_owned()),
            "Install it with `codex-proxy codex install`, or set CODEX_BIN to the path of your own.",
        ),
        (Some(_), _) if !codex.supported => Finding::fail(
            CHECK,
            format!("{words}{path}"),
            "Install a supported one with `codex-proxy codex install`.",
        ),
        (Some(_), Some(problem)) => {
            Finding::warn(CHECK, format!("{words}{path}: {problem}"), "`codex-proxy codex status` says more.")
        }
        (Some(_), None) => Finding::ok(CHECK, format!("{words}{path}")),
    }
}

fn judge_account(account: &Account) -> Finding {
    const CHECK: &str = "sign_in";
    let words = match account.state {
        // The output may be copied into a report, so it does not name the account.
        AccountState::SignedIn => {
            let plan = account.plan.as_deref().map(|plan| format!(" (plan {plan})")).unwrap_or_default();
            format!("somebody is signed in{plan}")
        }
        AccountState::Unknown
        | AccountState::NotNeeded
        | AccountState::SignedOut
        | AccountState::SigningIn
        | AccountState::Other => account_words(account, Painter { colour: false }),
    };
    match (account.state, &account.problem) {
        (AccountState::SignedIn | AccountState::NotNeeded, None) => Finding::ok(CHECK, words),
        (AccountState::SignedIn | AccountState::NotNeeded, Some(problem)) => {
            Finding::warn(CHECK, format!("{words}, but: {problem}"), "`codex-proxy login` signs in again.")
        }
        (AccountState::SigningIn, _) => {
            Finding::warn(CHECK, words, "Finish it, or end it with `codex-proxy login --cancel`.")
        }
        (AccountState::SignedOut, problem) => {
            let problem = problem.as_ref().map(|problem| format!(": {problem}")).unwrap_or_default();
            Finding::fail(CHECK, format!("nobody is signed in{problem}"), "Sign in with `codex-proxy login`.")
        }
        (AccountState::Unknown | AccountState::Other, _) => {
            Finding::skipped(CHECK, "Codex has not said yet whether somebody is signed in")
        }
    }
}

fn judge_limits(limits: &Limits, now: &Now) -> Finding {
    const CHECK: &str = "limits";
    let windows: Vec<_> = [&limits.primary, &limits.secondary].into_iter().flatten().collect();
    if windows.is_empty() && limits.reached.is_none() {
        return Finding::skipped(CHECK, "Codex has not told of any");
    }
    let fullest = windows.into_iter().max_by_key(|window| window.used_percent);
    let words = fullest.map_or_else(
        || "a limit is reached".to_owned(),
        |window| {
            let reset =
                window.resets_at.map(|at| format!("; it resets {}", now.clock(at))).unwrap_or_default();
            format!("{} % of a limit are used{reset}", window.used_percent)
        },
    );
    let advice =
        "Wait for the reset, or use a smaller model or less effort. `codex-proxy status` shows both limits.";
    let used = fullest.map_or(0, |window| window.used_percent);
    if limits.reached.is_some() || used >= 90 {
        return Finding::warn(CHECK, words, advice);
    }
    Finding::ok(CHECK, words)
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::super::Verdict;
    use super::*;

    #[test]
    fn codex_is_judged() {
        for (codex, expected) in [
            (json!({"version": "0.169.0", "supported": true, "source": "path"}), Verdict::Ok),
            (
                json!({"version": "0.169.0", "supported": true, "problem": "a newer one is needed"}),
                Verdict::Warn,
            ),
            (json!({"version": "0.10.0", "supported": false}), Verdict::Fail),
            (json!({"version": null, "supported": false, "problem": "nothing on PATH"}), Verdict::Fail),
            (json!({"version": null, "supported": false}), Verdict::Fail),
            (
                json!({"version": null, "path": "/c", "supported": false, "problem": "it hangs"}),
                Verdict::Fail,
            ),
            (json!({"version": null, "path": "/c", "supported": false}), Verdict::Skipped),
        ] {
            assert_eq!(judge_codex(&from_value(codex.clone()).unwrap()).status, expected, "{codex}");
        }
    }

    #[test]
    fn the_sign_in_is_judged_and_nobody_is_named() {
        for (account, expected) in [
            (json!({"state": "signed_in", "email": "ada@example.com", "plan": "plus"}), Verdict::Ok),
            (json!({"state": "not_needed"}), Verdict::Ok),
            (json!({"state": "signed_out"}), Verdict::Fail),
            (json!({"state": "signing_in", "login": {"id": "1", "method": "browser"}}), Verdict::Warn),
            (json!({"state": "signed_in", "problem": "the last try failed"}), Verdict::Warn),
            (json!({"state": "unknown"}), Verdict::Skipped),
        ] {
            let finding = judge_account(&from_value(account.clone()).unwrap());
            assert_eq!(finding.status, expected, "{account}");
            assert!(!finding.detail.contains("ada@"), "{finding:?}");
        }
    }

    #[test]
    fn limits_are_judged_by_the_fullest() {
        let now = Now { time: jiff::Timestamp::UNIX_EPOCH, zone: jiff::tz::TimeZone::UTC };
        let judge = |limits: Value| judge_limits(&from_value(limits).unwrap(), &now).status;
        let window = |used: f64| json!({"used_percent": used, "window_minutes": 300, "resets_at": 60});
        assert_eq!(judge(json!({"primary": window(10.0), "secondary": window(89.0)})), Verdict::Ok);
        assert_eq!(judge(json!({"primary": window(10.0), "secondary": window(91.0)})), Verdict::Warn);
        assert_eq!(judge(json!({"reached": "rate_limit_reached"})), Verdict::Warn);
        assert_eq!(judge(json!({})), Verdict::Skipped);
    }
}
