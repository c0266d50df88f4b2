//! The command `codex-proxy status`: the state of the proxy on one screen.

use super::client::{Answer, Client};
use super::failure::Failure;
use super::output::{Output, Painter, Tone, clean, wrap};
use super::tree::StatusArgs;
use super::units::{Now, bar, bytes, count, duration};
use super::{Context, Interruption};
use crate::control::api::{
    Account, AccountMethod, AccountState, CodexSource, CodexStatus, KeyList, KeyStore, LimitWindow, Limits,
    Status, Worker, WorkerState,
};

pub(super) async fn run(args: &StatusArgs, context: &Context, output: &mut Output) -> Result<(), Failure> {
    let client = Client::find(&context.config.data_dir)?;
    if args.watch {
        let mut interruption = Interruption::listen();
        return tokio::select! {
            ended = watch(args, &client, output) => ended,
            () = interruption.comes() => Ok(()),
        };
    }
    let status: Answer<Status> = client.get("/status").await?;
    if args.json.json {
        return Ok(output.json(status.sent())?);
    }
    let text = screen(&client, status, output.paint()).await?;
    Ok(output.text(&text)?)
}

async fn watch(args: &StatusArgs, client: &Client, output: &mut Output) -> Result<(), Failure> {
    const CLEAR: &str = "\u{1b}[H\u{1b}[2J";
    let mut events = client.events().await?;
    let mut first = true;
    loop {
        let status = events.next().await?;
        if args.json.json {
            output.json_line(status.sent())?;
            continue;
        }
        let text = screen(client, status, output.paint()).await?;
        let before = match (output.interactive, first) {
            (true, _) => CLEAR,
            (false, true) => "",
            (false, false) => "\n",
        };
        output.text(&format!("{before}{text}"))?;
        first = false;
    }
}

async fn screen(client: &Client, status: Answer<Status>, paint: Painter) -> Result<String, Failure> {
    // Without the keys, the rest of the screen is still useful.
    let keys = client.read("/keys").await.ok();
    let mut status = status.read()?;
    let address = match std::mem::take(&mut status.address) {
        address if address.is_empty() => format!("http://{}/v1", client.address()),
        address => address,
    };
    Ok(render(&status, &address, keys.as_ref(), &Now::here(), paint))
}

/// The screen, at most 80 columns wide if the words allow it.
fn render(status: &Status, address: &str, keys: Option<&KeyList>, now: &Now, paint: Painter) -> String {
    let state =
        if status.ready { paint.paint(Tone::Good, "ready") } else { paint.paint(Tone::Bad, "not ready") };
    let mut text =
        format!("Codex Proxy {}  {state}  up {}\n", clean(&status.version), duration(status.uptime_seconds));
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("{}{value}\n", paint.paint(Tone::Strong, &format!("{name:INDENT$}"))));
        }
    };
    line("Address", &clean(address));
    if let Some(reason) = &status.reason {
        line("Reason", &wrap(reason, WIDTH, INDENT));
    }
    let account = &status.account;
    line("Account", &account_words(account, paint));
    line("", &account.problem.as_ref().map(|problem| wrap(problem, WIDTH, INDENT)).unwrap_or_default());
    if let Some(limits) = &status.limits {
        for window in [&limits.primary, &limits.secondary].into_iter().flatten() {
            line(&window_name(window), &window_words(window, now, paint));
        }
        line("Limit", &limit_words(limits, paint));
    }
    if status.codex != CodexStatus::default() {
        line("Codex", &codex_words(&status.codex, paint));
    }
    // The problem may be the same as the reason, which is already shown.
    let problem = status.codex.problem.as_ref().filter(|problem| status.reason.as_ref() != Some(*problem));
    line("", &problem.map(|problem| wrap(problem, WIDTH, INDENT)).unwrap_or_default());
    for worker in &status.workers {
        line(&format!("Worker {}", worker.id), &worker_words(worker, paint));
    }
    line("Queue", &format!("{} waiting", status.queue_depth));
    if let Some(keys) = keys {
        line("Keys", &keys_words(keys));
    }
    let today = &status.today;
    let words = format!(
        "{} requests, {} tokens in ({} cached), {} out",
        count(today.requests),
        count(today.input_tokens),
        count(today.cached_tokens),
        count(today.output_tokens)
    );
    line("Today", &words);
    for warning in &status.warnings {
        line("Warning", &paint.paint(Tone::Warning, &wrap(warning, WIDTH, INDENT)));
    }
    text
}

const WIDTH: usize = 80;
const INDENT: usize = 11;

/// The account in words, and the last sign-in error. Empty if the state is unknown.
pub(super) fn account_words(account: &Account, paint: Painter) -> String {
    match account.state {
        AccountState::SignedIn => {
            let who = match (&account.email, &account.method) {
                (Some(email), _) => clean(&email.0),
                (None, Some(AccountMethod::ApiKey)) => "signed in with an OpenAI API key".to_owned(),
                (None, _) => "signed in".to_owned(),
            };
            let workspace = account.workspace.as_ref().map(|workspace| clean(&workspace.0));
            let more: Vec<String> = account.plan.iter().map(|plan| clean(plan)).chain(workspace).collect();
            if more.is_empty() { who } else { format!("{who} ({})", more.join(", ")) }
        }
        AccountState::SigningIn => {
            let waiting = paint.paint(Tone::Warning, "waiting for the sign-in");
            let login = account.login.clone().unwrap_or_default();
            let how = match (login.verification_url, login.user_code) {
                (Some(url), Some(code)) => format!(": enter {} at {}", clean(&code.0), clean(&url)),
                _ => " in the browser".to_owned(),
            };
            waiting + &how
        }
        AccountState::SignedOut => {
            let url =
                account.sign_in_url.as_deref().map(|url| format!(" or {}", clean(url))).unwrap_or_default();
            format!("{}; sign in with `codex-proxy login`{url}", paint.paint(Tone::Bad, "signed out"))
        }
        AccountState::NotNeeded => "none needed: Codex uses a provider of its own".to_owned(),
        AccountState::Unknown => account.state.as_str().to_owned(),
        AccountState::Other => String::new(),
    }
}

fn window_name(window: &LimitWindow) -> String {
    match window.window_minutes {
        Some(10_080) => "Week".to_owned(),
        Some(1_440) => "Day".to_owned(),
        Some(minutes) if minutes % 1_440 == 0 => format!("{} days", minutes / 1_440),
        Some(minutes) if minutes % 60 == 0 => format!("{} hours", minutes / 60),
        Some(minutes) => format!("{minutes} min"),
        None => "Limit".to_owned(),
    }
}

fn window_words(window: &LimitWindow, now: &Now, paint: Painter) -> String {
    let tone = match window.used_percent {
        100.. => Tone::Bad,
        80..100 => Tone::Warning,
        0..80 => Tone::Good,
    };
    let used =
        format!("{} {:>3} % used", paint.paint(tone, &bar(window.used_percent.into())), window.used_percent);
    match window.resets_at {
        Some(at) => match now.until(at) {
            Some(left) => format!("{used}, resets {} (in {left})", now.clock(at)),
            None => format!("{used}, has reset {}", now.clock(at)),
        },
        None => used,
    }
}

fn limit_words(limits: &Limits, paint: Painter) -> String {
    let Some(reached) = &limits.reached else { return String::new() };
    let credits = match &limits.credits {
        Some(credits) if credits.unlimited => "; credits are unlimited".to_owned(),
        Some(credits) if credits.has_credits => {
            format!("; credits are left: {}", clean(credits.balance.as_deref().unwrap_or("some")))
        }
        Some(_) | None => String::new(),
    };
    format!("{} ({}){credits}", paint.paint(Tone::Bad, "reached"), clean(reached))
}

/// The Codex in use, in words.
pub(super) fn codex_words(codex: &CodexStatus, paint: Painter) -> String {
    let from = match codex.source {
        Some(CodexSource::Setting) => "named by CODEX_BIN",
        Some(CodexSource::Managed) => "installed by the proxy",
        Some(CodexSource::Path) => "found on PATH",
        Some(CodexSource::Other) | None => "",
    };
    let version = codex.version.as_deref().map(clean);
    let unknown = if codex.path.is_some() { "of unknown version" } else { "not found" };
    let mut parts = vec![version.unwrap_or_else(|| paint.paint(Tone::Bad, unknown))];
    parts.extend((!from.is_empty()).then(|| from.to_owned()));
    if codex.version.is_some() && !codex.supported {
        parts.push(paint.paint(Tone::Bad, "not supported"));
    }
    if let Some(job) = &codex.job
        && !job.is_over()
    {
        let words = format!("{}: {}", job.action.as_str(), job.phase.as_str());
        parts.push(paint.paint(Tone::Warning, &words));
    }
    parts.join(", ")
}

/// The state of a worker in words.
pub(super) fn state_words(state: WorkerState) -> String {
    state.as_str().replace('_', " ")
}

fn worker_words(worker: &Worker, paint: Painter) -> String {
    let tone = match worker.state {
        WorkerState::Ready => Tone::Good,
        WorkerState::Failed | WorkerState::BackingOff => Tone::Bad,
        WorkerState::Starting | WorkerState::Draining | WorkerState::Other => Tone::Warning,
    };
    let mut parts = vec![paint.paint(tone, &state_words(worker.state))];
    if let Some(seconds) = worker.retry_in_seconds {
        parts.push(format!("next try in {}", duration(seconds)));
    }
    if worker.pid.is_some() {
        parts.push(format!("{} running, {} done", worker.turns_running, count(worker.turns_done)));
    }
    parts.extend(worker.resident_bytes.map(bytes));
    parts.extend(worker.uptime_seconds.map(|seconds| format!("up {}", duration(seconds))));
    if worker.restarts > 0 {
        parts.push(format!("{} restarts", worker.restarts));
    }
    parts.join(", ")
}

fn keys_words(keys: &KeyList) -> String {
    let enabled = keys.keys.iter().filter(|key| key.enabled && !key.overridden).count();
    let place = match keys.store {
        KeyStore::Keychain => "in the keychain",
        KeyStore::File => "in a file",
        KeyStore::Other => "",
    };
    let refused = keys.keys.len() - enabled;
    let refused = if refused > 0 { format!(", {refused} not accepted") } else { String::new() };
    format!("{enabled} {place}{refused}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use serde_json::{Value, from_value, json};

    use super::*;

    fn full() -> Value {
        json!({
            "version": "0.1.0", "ready": true, "reason": null, "backend_mode": "app-server", "sandbox_mode": "read-only",
            "uptime_seconds": 7980, "queue_depth": 3, "address": "http://127.0.0.1:11435/v1",
            "workers": [
                {"id": 0, "state": "ready", "pid": 4242, "codex_version": "0.169.0", "uptime_seconds": 7980, "restarts": 0,
                 "last_exit": null, "last_exit_at": null, "retry_in_seconds": null, "turns_running": 2, "turns_done": 1130,
                 "resident_bytes": 224_395_264},
                {"id": 1, "state": "backing_off", "pid": null, "codex_version": null, "uptime_seconds": null, "restarts": 4,
                 "last_exit": "it crashed", "last_exit_at": 1, "retry_in_seconds": 8, "turns_running": 0, "turns_done": 7,
                 "resident_bytes": null},
            ],
            "account": {"state": "signed_in", "method": "chatgpt", "email": "ada@example.com", "plan": "plus",
                        "workspace": null, "login": null, "sign_in_url": "http://127.0.0.1:1435/", "problem": null},
            "limits": {"plan": "plus", "ordinary_usage_allowed": true, "reached": null,
                       "primary": {"used_percent": 31.4, "window_minutes": 300, "resets_at": 1_783_944_300_u64},
                       "secondary": {"used_percent": 85.0, "window_minutes": 10080, "resets_at": 1_784_012_400_u64},
                       "credits": null, "read_at": 1_783_936_000_u64},
            "codex": {"source": "managed", "path": "/x/codex", "version": "0.169.0", "supported": true, "problem": null,
                      "pinned": "0.169.0", "managed": {"current": "0.169.0", "previous": null}, "job": null},
            "today": {"requests": 42, "errors": 1, "cancelled": 0, "input_tokens": 1_234_567, "cached_tokens": 800_000,
                      "cache_write_tokens": 0, "output_tokens": 90_000, "reasoning_tokens": 0, "total_tokens": 1_324_567,
                      "estimated_requests": 0, "avg_ttft_ms": 400, "avg_duration_ms": 2000},
            "warnings": ["the key is kept in a file, as no keychain answers: any program of this user can read it there, and so could a backup"],
        })
    }

    fn shown(status: Value) -> String {
        let keys = json!({"store": "file", "warning": null, "keys": [{"id": "k1", "name": "default", "enabled": true},
                                                                    {"id": "k2", "name": "old", "enabled": false}]});
        let now = Now {
            time: "2026-07-13T10:00:00Z".parse().unwrap(),
            zone: TimeZone::get("Europe/Berlin").unwrap(),
        };
        let status: Status = from_value(status).unwrap();
        render(&status, "http://127.0.0.1:11435/v1", Some(&from_value(keys).unwrap()), &now, Painter::PLAIN)
    }

    #[test]
    fn a_whole_screen() {
        let text = shown(full());
        let expected = "\
Codex Proxy 0.1.0  ready  up 2 h 13 min
Address    http://127.0.0.1:11435/v1
Account    ada@example.com (plus)
5 hours    [######--------------]  31 % used, resets 14:05 (in 2 h 5 min)
Week       [#################---]  85 % used, resets Tue 09:00 (in 21 h)
Codex      0.169.0, installed by the proxy
Worker 0   ready, 2 running, 1.13 k done, 214 MiB, up 2 h 13 min
Worker 1   backing off, next try in 8 s, 4 restarts
Queue      3 waiting
Keys       1 in a file, 1 not accepted
Today      42 requests, 1.23 M tokens in (800 k cached), 90.0 k out
Warning    the key is kept in a file, as no keychain answers: any program of
           this user can read it there, and so could a backup
";
        assert_eq!(text, expected);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
    }

    #[test]
    fn what_is_unknown_is_left_out() {
        let text =
            shown(json!({"version": "0.0.9", "ready": false, "reason": "no Codex", "uptime_seconds": 1}));
        assert!(text.starts_with("Codex Proxy 0.0.9  not ready  up 1 s\nAddress"), "{text}");
        assert!(text.contains("Reason     no Codex\n"), "{text}");
        assert!(!text.contains("Account"), "{text}");
    }

    #[test]
    fn people_are_told_how_to_sign_in() {
        let mut status = full();
        status["account"] = json!({"state": "signed_out", "sign_in_url": "http://127.0.0.1:1435/", "problem": "port 1455 is taken"});
        let text = shown(status.clone());
        assert!(
            text.contains("signed out; sign in with `codex-proxy login` or http://127.0.0.1:1435/"),
            "{text}"
        );
        assert!(text.contains("port 1455 is taken"), "{text}");
        status["account"] = json!({"state": "signing_in", "login": {"id": "1", "method": "device_code",
            "verification_url": "https://example.com/device", "user_code": "ABCD-1234"}});
        assert!(shown(status).contains("enter ABCD-1234 at https://example.com/device"));
    }

    #[test]
    fn a_reached_limit_says_whether_credits_are_left() {
        let mut status = full();
        status["limits"]["reached"] = json!("rate_limit_reached");
        status["limits"]["credits"] = json!({"has_credits": true, "unlimited": false, "balance": "12.50"});
        assert!(shown(status).contains("Limit      reached (rate_limit_reached); credits are left: 12.50"));
    }

    #[test]
    fn names_cannot_steer_the_terminal() {
        let mut status = full();
        status["account"]["email"] = json!("a\u{1b}[2J@b");
        status["warnings"] = json!(["x \u{7}y"]);
        assert!(!shown(status).contains(['\u{1b}', '\u{7}']));
    }
}
