//! Runs the examples.

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use e2e::harness::{Setup, proxy_path};
use e2e::sdk::Runtime;
use serde_json::Value;
use tokio::process::Command;

use super::blocks::{Block, Page};
use super::place::Place;

const PATIENCE: Duration = Duration::from_secs(100);

/// Stands between what two blocks print.
const MARK: &str = "----- block ";

/// Begins every error of the proxy's.
const REFUSED: &str = r#"{"error":{"message""#;

/// Runs the shell blocks of a page in one shell, and returns how many there were.
pub(super) async fn shell(page: &Page) -> usize {
    let blocks: Vec<(usize, &Block)> =
        page.blocks.iter().enumerate().filter(|(_, block)| block.is_to_run("sh")).collect();
    if blocks.is_empty() {
        return 0;
    }
    let place = Place::new().await;
    fs::write(place.folder().join("picture.png"), PICTURE).unwrap();
    fs::write(place.folder().join("notes.txt"), "hello\n").unwrap();
    let mut script = String::new();
    for (index, block) in &blocks {
        script.push_str(&format!("echo '{MARK}{index}'\n{}\n", place.adapted(&block.text)));
    }
    let mut bash = place.program(Path::new("bash"));
    bash.args(["--noprofile", "--norc", "-euo", "pipefail", "-c", &script]);
    let ended = run(bash, &page.name()).await;
    let printed = String::from_utf8_lossy(&ended.stdout).into_owned();
    let last = printed.rsplit(MARK).next().and_then(|rest| rest.lines().next()?.parse::<usize>().ok());
    let at = last.map_or_else(|| page.name(), |index| page.blocks[index].place(page));
    let complaints = String::from_utf8_lossy(&ended.stderr);
    assert!(
        ended.status.success(),
        "{at}: {}\n{printed}\n{complaints}\n{}",
        ended.status,
        place.proxy.log_text()
    );
    for part in printed.split(MARK).skip(1) {
        let (index, printed) = part.split_once('\n').unwrap();
        let index: usize = index.parse().unwrap();
        match page.blocks.get(index + 1).filter(|next| next.has("output")) {
            Some(expected) => compare(expected, printed, &expected.place(page)),
            // curl ends well with whatever it was answered.
            None => assert!(!printed.contains(REFUSED), "{}: {printed}", page.blocks[index].place(page)),
        }
    }
    blocks.len()
}

/// Runs every block of a language, each as a program of its own, and returns how many there were.
pub(super) async fn scripts(language: &str) -> usize {
    let (runtime, name) = match language {
        "python" => (Runtime::Python, "example.py"),
        _ => (Runtime::Node, "example.mjs"),
    };
    let installed = runtime.install();
    let place = Place::new().await;
    let mut count = 0;
    for page in Page::all() {
        for (index, block) in page.blocks.iter().enumerate().filter(|(_, block)| block.is_to_run(language)) {
            // Node looks for modules beside and above the script.
            let folder = tempfile::tempdir_in(&installed).unwrap();
            fs::write(folder.path().join(name), place.adapted(&block.text)).unwrap();
            fs::write(folder.path().join("picture.png"), PICTURE).unwrap();
            let mut command = place.program_with_key(&runtime.interpreter(&installed));
            command.arg(name).current_dir(folder.path());
            let at = block.place(&page);
            let ended = run(command, &at).await;
            let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
            assert!(
                ended.status.success(),
                "{at}: {}\n{out}\n{err}\n{}",
                ended.status,
                place.proxy.log_text()
            );
            match page.blocks.get(index + 1).filter(|next| next.has("output")) {
                Some(expected) => compare(expected, &out, &expected.place(&page)),
                None => assert!(!out.trim().is_empty(), "{at} prints nothing\n{err}"),
            }
            count += 1;
        }
    }
    count
}

/// Has the proxy read a block of its settings.
pub(super) async fn settings(block: &Block, at: &str) {
    assert_eq!(block.language(), "toml", "{at}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    fs::write(&file, &block.text).unwrap();
    let mut command = Command::new(proxy_path());
    command.args(["config", "--json", "--config"]).arg(&file).env_clear();
    command.env("HOME", folder.path()).stdin(Stdio::null()).kill_on_drop(true);
    let ended = run(command, at).await;
    let complaints = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && complaints.is_empty(), "{at}: {complaints}");
    let rows: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let from_file = rows.as_array().unwrap().iter().filter(|row| row["source"]["kind"] == "file").count();
    let written = block.toml(at);
    assert_eq!(from_file, written.as_object().unwrap().len(), "{at}: a setting is not read\n{rows:#}");
}

/// Compares blocks with what the proxy writes for these clients.
pub(super) async fn clients(blocks: &[(String, Block)]) {
    let person = e2e::brought::Person::default();
    let proxy = person.owns(Setup::fake(&serde_json::json!({}))).start().await;
    for (id, block) in blocks {
        let written = fs::read_to_string(person.set_up(&proxy, id).await).unwrap();
        let written = written.replace(&format!(":{}/", proxy.port()), ":11435/");
        let same = match block.language() {
            "json" => block.json(id) == serde_json::from_str::<Value>(&written).unwrap(),
            "toml" => block.toml(id) == toml_edit::de::from_str::<Value>(&written).unwrap(),
            _ => block.yaml(id) == super::blocks::yaml(&written, id),
        };
        assert!(same, "for {id} the proxy writes\n{written}\nand the page says\n{}", block.text);
    }
}

async fn run(mut command: Command, at: &str) -> Output {
    let ended = tokio::time::timeout(PATIENCE, command.output()).await;
    let ended = ended.unwrap_or_else(|_| panic!("{at} still runs after {PATIENCE:?}"));
    ended.unwrap_or_else(|e| panic!("{at} cannot be started: {e}"))
}

fn compare(expected: &Block, printed: &str, at: &str) {
    if expected.language() == "json" {
        let got: Value = serde_json::from_str(printed).unwrap_or_else(|e| panic!("{at}: {e}: {printed}"));
        let differs = difference(&expected.json(at), &got, "");
        assert!(differs.is_none(), "{at}: {}\n{got:#}", differs.unwrap_or_default());
    } else {
        assert_eq!(expected.text.trim(), printed.trim(), "{at}");
    }
}

/// Where two texts of JSON are of different forms: members, and kinds of values that both have.
fn difference(expected: &Value, got: &Value, path: &str) -> Option<String> {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => {
            let names = |object: &serde_json::Map<String, Value>| -> std::collections::BTreeSet<String> {
                object.keys().cloned().collect()
            };
            if names(expected) != names(got) {
                return Some(format!("{path} has {:?}, not {:?}", names(got), names(expected)));
            }
            expected.iter().find_map(|(name, value)| difference(value, &got[name], &format!("{path}/{name}")))
        }
        (Value::Array(expected), Value::Array(got)) => expected
            .iter()
            .zip(got)
            .enumerate()
            .find_map(|(at, (expected, got))| difference(expected, got, &format!("{path}/{at}"))),
        (Value::Null, _) | (_, Value::Null) => None,
        (expected, got) => {
            let same = std::mem::discriminant(expected) == std::mem::discriminant(got);
            (!same).then(|| format!("{path} is {got}, not {expected}"))
        }
    }
}

/// A red square.
const PICTURE: &[u8] = include_bytes!("picture.png");
