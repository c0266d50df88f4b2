//! The commands `codex-proxy smoke` and `live-test`.

use std::fs;
use std::net::IpAddr;

use http::Method;
use serde_json::json;
use url::Url;

use super::Context;
use super::client::{Client, cannot};
use super::failure::Failure;
use super::output::{Output, Painter, Tone, clean, wrap};
use super::tree::{LiveTestArgs, SmokeArgs, Who};
use crate::checks::{Check, Finding, LIVE, SMOKE, Target, Verdict};
use crate::config::{ProcessEnvironment, Strings as _};
use crate::control::api::RevealedKey;
use crate::keys::DEFAULT;
use crate::secret::ApiKey;

/// The variable with the key for these checks. The name is kept for older installations.
const KEY: &str = "KEY";

pub(super) async fn smoke(args: &SmokeArgs, context: &Context, output: &mut Output) -> Result<(), Failure> {
    let mut places = Vec::new();
    let given = [("origin", &args.origin, args.server_name.as_deref()), ("edge", &args.edge, None)];
    for (name, address, host) in given {
        if let Some(address) = address {
            places.push((name, address.clone(), host));
        }
    }
    if places.is_empty() {
        places.push(("proxy", own_address(context)?, None));
    }
    run(&places, SMOKE, &args.who, context, output).await
}

pub(super) async fn live(args: &LiveTestArgs, context: &Context, output: &mut Output) -> Result<(), Failure> {
    let address = args.url.clone().map_or_else(|| own_address(context), Ok)?;
    let all: Vec<Check> = SMOKE.iter().chain(LIVE).copied().collect();
    run(&[("proxy", address, None)], &all, &args.who, context, output).await
}

fn own_address(context: &Context) -> Result<String, Failure> {
    Ok(format!("http://{}", Client::find(&context.config.data_dir)?.address()))
}

async fn run(
    places: &[(&str, String, Option<&str>)],
    checks: &[Check],
    who: &Who,
    context: &Context,
    output: &mut Output,
) -> Result<(), Failure> {
    let key = key(who, context).await?;
    let mut targets = Vec::new();
    for (name, address, host) in places {
        if key.is_some() && is_open(address) {
            output.note(&format!(
                "warning: {} is asked without encryption, so the key can be read on the way",
                clean(address)
            ))?;
        }
        let target = Target::new(name, address, *host, key.clone(), who.model.clone()).await;
        targets.push(target.map_err(|error| Failure::Usage(error.to_string()))?);
    }
    let mut findings = Vec::new();
    for target in &targets {
        for check in checks {
            let finding = check.run(target).await;
            if !who.json.json {
                output.text(&line(&finding, places.len() > 1, output.paint()))?;
            }
            findings.push(finding);
        }
    }
    let count = |verdict| findings.iter().filter(|finding| finding.status == verdict).count();
    let (ok, failed, skipped) = (count(Verdict::Ok), count(Verdict::Failed), count(Verdict::Skipped));
    if who.json.json {
        output.json(&json!({"ok": failed == 0, "checks": findings}))?;
    } else {
        output.line(&format!("{ok} ok, {failed} failed, {skipped} not made."))?;
    }
    if failed == 0 { Ok(()) } else { Err(Failure::Told) }
}

/// The key to use: the one in the arguments, else that of the environment, else that of the running proxy, if
/// there is one.
async fn key(who: &Who, context: &Context) -> Result<Option<ApiKey>, Failure> {
    let parsed = |text: &str, from: &str| {
        ApiKey::parse(text.trim())
            .map_err(|reason| Failure::Usage(format!("{from} holds no API key: {reason}")))
    };
    if let Some(file) = &who.key_file {
        let file = context.dirs.current.join(file);
        let text =
            fs::read_to_string(&file).map_err(|error| cannot(&format!("read {}", file.display()), &error))?;
        return parsed(&text, &file.display().to_string()).map(Some);
    }
    if let Some(key) = &context.config.keys.api_key {
        return Ok(Some(key.clone()));
    }
    if let Some(text) =
        ProcessEnvironment.get(KEY).and_then(|key| key.into_string().ok()).filter(|key| !key.is_empty())
    {
        return parsed(&text, KEY).map(Some);
    }
    let client = match Client::find(&context.config.data_dir) {
        Ok(client) => client,
        Err(Failure::NotRunning(_)) => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let revealed = client.call::<RevealedKey>(Method::POST, &format!("/keys/{DEFAULT}/reveal")).await?;
    Ok(Some(revealed.read()?.secret))
}

/// Whether others on the network path can read what is sent to this address.
fn is_open(address: &str) -> bool {
    let Ok(url) = Url::parse(address) else { return false };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    url.scheme() == "http" && !is_here
}

fn line(finding: &Finding, with_place: bool, paint: Painter) -> String {
    const WIDTH: usize = 80;
    const INDENT: usize = 8;
    let (word, tone) = match finding.status {
        Verdict::Ok => ("ok", Tone::Good),
        Verdict::Failed => ("FAILED", Tone::Bad),
        Verdict::Skipped => ("skip", Tone::Quiet),
    };
    let place = if with_place { format!("{} ", finding.place) } else { String::new() };
    let sentence =
        format!("{place}{}: {} ({} ms)", finding.check.replace('_', " "), finding.detail, finding.ms);
    let mut text =
        format!("{}  {}\n", paint.paint(tone, &format!("{word:6}")), wrap(&sentence, WIDTH, INDENT));
    if let Some(advice) = &finding.advice {
        text.push_str(&format!("        -> {}\n", wrap(advice, WIDTH, INDENT + 3)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_it_went_and_what_to_do() {
        let finding = Finding {
            place: "edge".to_owned(),
            check: "no_key_is_refused",
            status: Verdict::Failed,
            detail: "the status is 200, not 401".to_owned(),
            advice: Some("Let nobody reach it.".to_owned()),
            ms: 12,
        };
        let expected = "FAILED  edge no key is refused: the status is 200, not 401 (12 ms)\n        -> Let nobody reach it.\n";
        assert_eq!(line(&finding, true, Painter::PLAIN), expected);
    }

    #[test]
    fn keys_are_open_to_others_only_without_encryption_and_away_from_here() {
        assert!(is_open("http://example.org") && is_open("http://192.0.2.1:80/v1"));
        for address in
            ["https://example.org", "http://127.0.0.1:1", "http://localhost", "http://[::1]:2", "x"]
        {
            assert!(!is_open(address), "{address}");
        }
    }
}
