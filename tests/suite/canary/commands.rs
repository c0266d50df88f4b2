//! Every command, as users type it and with secrets in the wrong places.

use std::path::Path;

use clap::Command as Tree;
use reqwest::Method;
use serde_json::json;

use super::world::World;
use crate::cli::{command, outcome};

/// A command line, the secrets that it may show, and its input.
struct Line {
    words: Vec<String>,
    shows: &'static [&'static str],
    input: String,
}

/// Every command, from the program's own tree, so that a new one is not forgotten.
fn commands() -> Vec<(String, bool)> {
    fn look(command: &Tree, path: &str, json: bool, found: &mut Vec<(String, bool)>) {
        let json = json || command.get_arguments().any(|argument| argument.get_id() == "json");
        let inner: Vec<_> = command.get_subcommands().filter(|inner| inner.get_name() != "help").collect();
        if !path.is_empty() && (inner.is_empty() || !command.is_subcommand_required_set()) {
            found.push((path.to_owned(), json));
        }
        for inner in inner {
            look(inner, format!("{path} {}", inner.get_name()).trim(), json, found);
        }
    }
    let mut found = Vec::new();
    look(&proxy_core::cli::command(), "", false, &mut found);
    found
}

/// The forms of a command, and the secrets that each may show.
fn ways(command: &str, dir: &Path) -> Vec<(String, &'static [&'static str], &'static str)> {
    let dir = dir.display();
    let plain = |arguments: &[&str]| arguments.iter().map(|one| ((*one).to_owned(), &[][..], "")).collect();
    let all: Vec<(String, &'static [&'static str], &'static str)> = match command {
        // It is what all of this is about.
        "run" => plain(&["--port {taken}"]),
        "status" => vec![(String::new(), &["e-mail"], "")],
        "login" => vec![
            ("--cancel".to_owned(), &["e-mail"], ""),
            ("--import {sign-in}".to_owned(), &["e-mail"], ""),
            ("--import {secret}".to_owned(), &["e-mail"], ""),
            ("--api-key {secret}".to_owned(), &[], ""),
            ("--api-key".to_owned(), &["e-mail"], "no key at all\n"),
            ("--api-key".to_owned(), &["e-mail"], "{openai}\n"),
        ],
        "keys create" => vec![("named".to_owned(), &["key "], ""), ("{secret}".to_owned(), &[], "")],
        "keys show" => vec![("client".to_owned(), &["key "], ""), ("{secret}".to_owned(), &[], "")],
        "keys rename" => plain(&["named renamed", "{secret} other", "client {secret}"]),
        "keys rotate" | "keys disable" | "keys enable" => plain(&["client", "{secret}"]),
        "keys delete" => plain(&["renamed", "{secret}"]),
        "keys migrate" => plain(&["--to file", "--to keychain", "--to {secret}"]),
        "codex install" | "codex update" => plain(&["", "9.9.9", "{secret}"]),
        "workers restart" => plain(&["", "0", "{secret}"]),
        "usage" => plain(&[
            "",
            "--group key",
            "--export csv",
            "--export json",
            "--tz {secret}",
            "--start {secret}",
            "--group {secret}",
        ]),
        "logs" => plain(&["", "-n 10000", "--level", "--level trace", "--level ={secret}=x"]),
        "completions" => plain(&["bash", "{secret}"]),
        "man" => vec![(String::new(), &[], ""), (format!("--dir {dir}/man"), &[], "")],
        "config sync" => {
            vec![
                (format!("--from {dir} --to {dir}/other"), &[], ""),
                ("--from {secret} --to x".to_owned(), &[], ""),
            ]
        }
        "backup" => vec![
            (format!("--to {dir}/backups"), &[], ""),
            ("--passphrase-file /nowhere/{secret}".to_owned(), &[], ""),
        ],
        // Refused, as the proxy runs.
        "restore" => plain(&["/nowhere/{secret}", "{secret} --dry-run"]),
        "smoke" => plain(&["", "--key-file /nowhere/{secret}", "--origin {secret}", "--model {secret}"]),
        // It sends the same requests as `smoke`, and more.
        "live-test" => plain(&["--url {secret}", "--key-file /nowhere/{secret}"]),
        "config" => plain(&["", "--port {secret}", "--config /nowhere/{secret}"]),
        "keys" | "keys list" | "codex" | "codex status" | "codex rollback" | "workers" | "workers list"
        | "doctor" | "prove" | "store" | "store stats" | "store export" | "store prune" | "store clear" => {
            plain(&["", "{secret}"])
        }
        "window" => plain(&["", "--no-browser"]),
        "service" | "service status" | "service uninstall" => plain(&["", "{secret}"]),
        // What it writes is looked at in `service.rs`; here no system is to start a proxy.
        "service install" => plain(&["{secret}"]),
        // Refused, as the proxy runs.
        "uninstall-data" => plain(&["--dry-run", "--yes", "{secret}"]),
        // Without a proxy, below: it would end the one that all the others ask.
        "quit" => Vec::new(),
        // Last, because no account is signed in afterwards.
        "logout" => plain(&[""]),
        other => panic!("{other} is new: say here how it is used"),
    };
    all
}

pub(crate) async fn drive(world: &mut World) {
    let mut commands = commands();
    assert!(commands.len() > 20, "{commands:?}");
    commands.sort_by_key(|(name, _)| name == "logout");
    for (name, json) in commands {
        for line in lines(world, &name, json) {
            run(world, &line).await;
        }
    }
    // The same without a proxy to ask.
    world.sign_in().await;
    let environment = settings(world);
    let data = tempfile::tempdir().unwrap();
    for words in [
        "keys create alone",
        "keys list",
        "keys rotate alone",
        "keys disable alone --json",
        "keys migrate --to keychain",
        "codex status --json",
        "doctor",
        "doctor --json",
        "status",
        "logs",
        "config",
        "login",
        "workers",
        "usage",
        "quit",
        "uninstall-data --dry-run",
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        let pairs: Vec<_> = environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let said = outcome(command(data.path(), &words, &pairs).spawn().unwrap(), "").await;
        if words[1..].first() == Some(&"create") {
            world.canaries.add("key alone", said.out.trim());
        }
        let shown: &[&str] = if words.contains(&"create") { &["key alone"] } else { &[] };
        look(world, &words.join(" "), &said, shown);
    }
    let leaks = super::places::files(data.path(), &world.canaries, super::places::OF_DATA);
    world.found(leaks);
    // A setting that is wrong, and secret.
    for (name, value) in [
        ("PROXY_API_KEY", "canary key with spaces 4711"),
        ("PROXY_NPM_REGISTRY", "http://me:canary-registry-password-4711@127.0.0.1:9/"),
        ("PROXY_OTEL_EXPORTER_URL", "canary-no-url-at-all-4711"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "canary-no-pair-at-all-4711"),
        ("PORT", "sk-canary-in-the-wrong-place-4711"),
        ("PROXY_LOG", "sk-canary-in-the-wrong-place-4711=x"),
    ] {
        let secret =
            value.trim_start_matches("http://me:").trim_end_matches("@127.0.0.1:9/").trim_end_matches("=x");
        world.canaries.add(name, secret);
        for words in [&["run"][..], &["config"], &["status"], &["doctor"], &["doctor", "--json"]] {
            let said = outcome(command(data.path(), words, &[(name, value)]).spawn().unwrap(), "").await;
            assert!(said.code != 0, "{name}: {said:?}");
            look(world, &format!("{} with a wrong {name}", words.join(" ")), &said, &[]);
        }
    }
}

fn lines(world: &mut World, name: &str, json: bool) -> Vec<Line> {
    let sign_in = world.sign_in_file().display().to_string();
    let port = world.proxy.port().to_string();
    let mut lines = Vec::new();
    for (arguments, shows, input) in ways(name, world.home.path()) {
        for json in [false, true].into_iter().filter(|wanted| !wanted || json) {
            let secret = if json { &world.made_key } else { &world.api_key };
            let fill = |text: &str| {
                text.replace("{secret}", secret)
                    .replace("{sign-in}", &sign_in)
                    .replace("{taken}", &port)
                    .replace("{openai}", &world.openai_key)
            };
            let words = name.split(' ').chain(arguments.split_whitespace()).map(fill);
            let words = words.chain(json.then(|| "--json".to_owned())).collect();
            lines.push(Line { words, shows, input: fill(input) });
        }
    }
    lines
}

/// The environment of a user's shell.
fn settings(world: &World) -> Vec<(String, String)> {
    [
        ("PROXY_API_KEY", world.api_key.clone()),
        ("HOME", world.home.path().display().to_string()),
        ("RUST_LOG", "trace".to_owned()),
        ("RUST_BACKTRACE", "full".to_owned()),
        ("PROXY_KEYCHAIN", "off".to_owned()),
        ("PROXY_NPM_REGISTRY", world.registry.url()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20otlp-canary-token-0123456789-4711".to_owned()),
        ("CODEX_HOME", world.proxy.codex_home().display().to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

async fn run(world: &mut World, line: &Line) {
    let environment = settings(world);
    let pairs: Vec<_> = environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let words: Vec<&str> = line.words.iter().map(String::as_str).collect();
    let said = outcome(command(world.proxy.data_dir(), &words, &pairs).spawn().unwrap(), &line.input).await;
    if words.starts_with(&["keys", "create"]) || words.starts_with(&["keys", "show"]) {
        note_key(world, &said.out);
    }
    if words.starts_with(&["keys", "rotate"]) {
        let request = world.proxy.control(Method::POST, "/keys/client/reveal").body(json!({}).to_string());
        let answer = request.send().await.unwrap().text().await.unwrap();
        note_key(world, &answer);
    }
    look(world, &words.join(" "), &said, line.shows);
}

/// Records the key in a text.
fn note_key(world: &mut World, text: &str) {
    let key = regex::Regex::new("cp-[A-Za-z0-9_-]{43}").unwrap();
    if let Some(found) = key.find(text) {
        world.canaries.add("key of a command", found.as_str());
    }
}

fn look(world: &mut World, words: &str, said: &crate::cli::Outcome, shown: &[&str]) {
    let finder = world.canaries.except(shown).finder();
    let mut found = finder.find(&format!("what `{words}` prints"), said.out.as_bytes());
    // No secret is an answer there.
    let finder = world.canaries.finder();
    found.extend(finder.find(&format!("what `{words}` complains of"), said.err.as_bytes()));
    world.found(found);
}
