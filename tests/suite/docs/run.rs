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

/// What runs scripts one after another, so that the SDK is loaded once.
const PYTHON: &str = r#"
import runpy, sys
for name in sys.argv[1:]:
    print("----- block " + name, flush=True)
    runpy.run_path("example" + name + ".py", run_name="__main__")
"#;
const NODE: &str = r#"
for (const name of process.argv.slice(2)) {
  console.log("----- block " + name);
  await import("./example" + name + ".mjs");
}
"#;

/// A block to run, and its expected output, if the page has one.
struct Example {
    at: String,
    text: String,
    output: Option<(Block, String)>,
}

fn examples(pages: &[Page], language: &str) -> Vec<Example> {
    let of_page = |page: &Page| -> Vec<Example> {
        let runs = page.blocks.iter().enumerate().filter(|(_, block)| block.is_to_run(language));
        runs.map(|(index, block)| {
            let output = page.blocks.get(index + 1).filter(|next| next.has("output"));
            let output = output.map(|output| (output.clone(), output.place(page)));
            Example { at: block.place(page), text: block.text.clone(), output }
        })
        .collect()
    };
    pages.iter().flat_map(of_page).collect()
}

/// Runs the shell blocks, those of a page in one shell, and returns how many there were.
pub(super) async fn shell() -> usize {
    let place = Place::new().await;
    fs::write(place.folder().join("picture.png"), PICTURE).unwrap();
    let mut count = 0;
    for page in Page::all() {
        let examples = examples(std::slice::from_ref(&page), "sh");
        let lines = examples
            .iter()
            .enumerate()
            .map(|(index, example)| format!("echo '{MARK}{index}'\n{}\n", place.adapted(&example.text)));
        let mut bash = place.program(Path::new("bash"));
        bash.args(["--noprofile", "--norc", "-euo", "pipefail", "-c", &lines.collect::<String>()]);
        let ended = run(bash, &page.name()).await;
        check(&examples, &ended, &place);
        count += examples.len();
    }
    count
}

/// Runs every block of a language, one after another, and returns how many there were.
pub(super) async fn scripts(language: &str) -> usize {
    let (runtime, end, driver) = match language {
        "python" => (Runtime::Python, "py", PYTHON),
        _ => (Runtime::Node, "mjs", NODE),
    };
    let examples = examples(&Page::all(), language);
    let installed = runtime.install();
    let place = Place::new().await;
    // Node looks for modules beside and above the script.
    let folder = tempfile::tempdir_in(&installed).unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    for (index, example) in examples.iter().enumerate() {
        write(&format!("example{index}.{end}"), place.adapted(&example.text).as_bytes());
    }
    write("picture.png", PICTURE);
    write(&format!("all.{end}"), driver.as_bytes());
    let mut command = place.program_with_key(&runtime.interpreter(&installed));
    command.arg(format!("all.{end}")).args((0..examples.len()).map(|index| index.to_string()));
    command.current_dir(folder.path());
    let ended = run(command, language).await;
    check(&examples, &ended, &place);
    examples.len()
}

/// Checks that every example has ended well and printed the output on the page.
fn check(examples: &[Example], ended: &Output, place: &Place) {
    let out = String::from_utf8_lossy(&ended.stdout);
    let printed: Vec<&str> = out
        .split(MARK)
        .skip(1)
        .map(|part| part.split_once('\n').map_or("", |(_, printed)| printed))
        .collect();
    if !ended.status.success() {
        let at = printed.len().checked_sub(1).map_or("the start", |last| examples[last].at.as_str());
        let complaints = String::from_utf8_lossy(&ended.stderr);
        panic!("{at}: {}\n{out}\n{complaints}\n{}", ended.status, place.proxy.log_text());
    }
    assert_eq!(printed.len(), examples.len(), "{out}");
    for (example, printed) in examples.iter().zip(printed) {
        match &example.output {
            Some((expected, at)) => compare(expected, printed, at),
            // curl ends well with whatever it was answered.
            None => assert!(!printed.contains(REFUSED), "{}: {printed}", example.at),
        }
    }
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
