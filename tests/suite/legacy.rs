//! The driver of the legacy protocol with the real Codex 0.42.0, and a comparison of the fake with its output.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use e2e::codex_bin::{LEGACY, codex_path};
use e2e::codex_home::codex_home;
use e2e::fake_openai::{Ending, FakeOpenAi, Gate, Script, ev_item_added, ev_text_delta};
use e2e::harness::{Proxy, Setup, fake_codex_path};
use protocol::codex::{Driver, Fatal, Proto, Step, TurnKey, isolation, proto};
use protocol::turn::{
    Effort, Finish, Image, ImageLoad, Item, Part, Role, Summary, Turn, TurnErrorKind, TurnEvent, Verbosity,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::surface::{BOTH, Surface};

const KEY: TurnKey = TurnKey(1);
const PATIENCE: Duration = Duration::from_secs(60);

/// One process, one driver, one turn.
struct Legacy {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    driver: Driver,
    events: Vec<TurnEvent>,
    printed: Vec<Value>,
    steps: Vec<Step>,
    over: bool,
}

impl Legacy {
    /// Starts `binary proto` with the arguments of `turn`, and the turn as soon as the session is configured.
    async fn start(binary: &Path, home: &Path, turn: &Turn) -> Self {
        let instructions = home.join("instructions.md");
        std::fs::write(&instructions, isolation::PROTO_INSTRUCTIONS).unwrap();
        let mut command = Command::new(binary);
        command.args(isolation::proto_arguments(&turn.spec, &instructions, None, "read-only"));
        command.env("CODEX_HOME", home).current_dir(home);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let settings = proto::Settings {
            version: format!("codex-cli {LEGACY}"),
            workdir: home.to_owned(),
            sandbox: "read-only",
        };
        let mut legacy = Self {
            stdin: child.stdin.take().unwrap(),
            lines: BufReader::new(child.stdout.take().unwrap()).lines(),
            child,
            driver: Driver::Proto(Proto::new(settings)),
            events: Vec::new(),
            printed: Vec::new(),
            steps: Vec::new(),
            over: false,
        };
        let handshake = loop {
            legacy.read().await;
            let ready = |step: &Step| matches!(step, Step::Ready(_));
            if let Some(index) = legacy.steps.iter().position(ready) {
                let Step::Ready(handshake) = legacy.steps.remove(index) else { unreachable!() };
                break handshake;
            }
        };
        let record = handshake.record.expect("this Codex keeps a record");
        assert!(record.starts_with(home) && record.is_file(), "{}", record.display());
        legacy.driver.start(KEY, turn.clone(), &mut legacy.steps);
        legacy.perform().await;
        legacy
    }

    /// Takes one line.
    async fn read(&mut self) {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("nothing for {PATIENCE:?} after {:#?}", self.printed));
        let line = line.unwrap().unwrap_or_else(|| panic!("it ended after {:#?}", self.printed));
        self.printed.push(serde_json::from_str(&line).unwrap());
        self.driver.receive(&line, &mut self.steps);
    }

    async fn perform(&mut self) {
        for step in self.steps.drain(..) {
            match step {
                Step::Send(line) | Step::SendFor(_, line) => {
                    self.stdin.write_all(format!("{line}\n").as_bytes()).await.unwrap();
                }
                Step::Emit(KEY, event) => self.events.push(event),
                Step::Fatal(reason) => {
                    assert_eq!(reason, Fatal::Spent);
                    self.over = true;
                }
                Step::Unfit(unfit) => panic!("{unfit}"),
                Step::Emit(..)
                | Step::Released(_)
                | Step::Pause
                | Step::Ready(_)
                | Step::Account(_)
                | Step::Notice(_)
                | Step::Answer(..)
                | Step::Kept(..)
                | Step::Warmed(..)
                | Step::Writes(..)
                | Step::Read(_)
                | Step::WasSentFor(..)
                | Step::Deleted(_) => {}
            }
        }
    }

    /// Continues until the process has been shut down. Then it must end with its input.
    async fn finish(mut self) -> (Vec<TurnEvent>, Vec<Value>) {
        while !self.over {
            self.read().await;
            self.perform().await;
        }
        drop(self.stdin);
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        assert_eq!(status.expect("it ends with its input").unwrap().code(), Some(0));
        (self.events, self.printed)
    }
}

struct Real {
    upstream: FakeOpenAi,
    home: TempDir,
}

impl Real {
    async fn new(scripts: Vec<Script>) -> Self {
        let upstream = FakeOpenAi::start().await;
        scripts.into_iter().for_each(|script| upstream.push(script));
        let home = tempfile::tempdir().unwrap();
        codex_home(home.path(), LEGACY, &upstream.base_url(), 1);
        Self { upstream, home }
    }

    async fn start(&self, turn: &Turn) -> Legacy {
        Legacy::start(&codex_path(LEGACY), self.home.path(), turn).await
    }

    async fn run(&self, turn: &Turn) -> Vec<TurnEvent> {
        self.start(turn).await.finish().await.0
    }

    /// The body of the last request.
    fn request(&self) -> Value {
        self.upstream.requests().pop().expect("a request has come").body
    }
}

fn turn(model: &str, text: &str) -> Turn {
    let mut turn = Turn::new(model);
    turn.items.push(message(Role::User, text));
    turn
}

fn message(role: Role, text: &str) -> Item {
    Item::Message { role, content: vec![Part::Text(text.into())], phase: None }
}

/// A message that stops at the gate.
fn half(gate: &Gate) -> Script {
    let item = json!({"type": "message", "id": "msg", "role": "assistant", "content": []});
    Script::new().event(ev_item_added(0, &item)).event(ev_text_delta("msg", 0, "half")).gate(gate)
}

fn text_of(events: &[TurnEvent]) -> String {
    events
        .iter()
        .filter_map(
            |event| if let TurnEvent::TextDelta { text, .. } = event { Some(text.as_str()) } else { None },
        )
        .collect()
}

/// The request's input without the message that describes the surroundings, which has to be the first.
fn said(request: &Value) -> Vec<Value> {
    let input = request["input"].as_array().unwrap();
    let surroundings = input[0]["content"][0]["text"].as_str().unwrap();
    assert!(surroundings.starts_with("<environment_context>"), "{surroundings}");
    input[1..].to_vec()
}

#[tokio::test]
async fn little_is_added_to_a_prompt() {
    for model in ["gpt-5", "gpt-5-codex", "gpt-4.1", "o3", "of-tomorrow"] {
        let real = Real::new(vec![Script::text("hello")]).await;
        let events = real.run(&turn(model, "hi")).await;
        assert_eq!(text_of(&events), "hello");
        assert_eq!(events.last(), Some(&TurnEvent::Finished(Finish::Stop)));
        let request = real.request();
        assert_eq!(request["model"], model);
        assert_eq!(request["instructions"], isolation::PROTO_INSTRUCTIONS.trim());
        let tools: Vec<_> = request["tools"].as_array().unwrap().iter().map(|tool| &tool["name"]).collect();
        assert_eq!(tools, ["shell"], "{model}");
        let user =
            json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]});
        assert_eq!(said(&request), [user], "{model}");
        assert_eq!(request["text"].get("verbosity"), None, "{model}");
    }
}

#[tokio::test]
async fn what_steers_a_turn_arrives() {
    let real = Real::new(vec![Script::text("{}")]).await;
    let schema = json!({"type": "object", "properties": {}, "required": [], "additionalProperties": false});
    let mut wanted = turn("gpt-5", "hi");
    wanted.spec.effort = Some(Effort::Xhigh);
    wanted.spec.summary = Some(Summary::Detailed);
    wanted.spec.verbosity = Some(Verbosity::Low);
    wanted.spec.web_search = true;
    wanted.output_schema = Some(schema.clone());
    real.run(&wanted).await;
    let request = real.request();
    assert_eq!(request["reasoning"], json!({"effort": "high", "summary": "detailed"}));
    assert_eq!(request["text"]["verbosity"], "low");
    assert_eq!(request["text"]["format"]["schema"], schema);
    assert!(request["tools"].as_array().unwrap().contains(&json!({"type": "web_search"})), "{request:#}");
}

#[tokio::test]
async fn effort_reaches_a_model_that_came_later() {
    let real = Real::new(vec![Script::text("yes")]).await;
    let mut wanted = turn("of-tomorrow", "hi");
    wanted.spec.effort = Some(Effort::None);
    real.run(&wanted).await;
    assert_eq!(real.request()["reasoning"]["effort"], "minimal");
}

#[tokio::test]
async fn a_transcript_and_its_images_arrive_as_one_message() {
    let real = Real::new(vec![Script::text("yes")]).await;
    let url = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    let mut wanted = Turn::new("gpt-5");
    let image = Part::Image(Image { url: url.into(), detail: None, load: ImageLoad::default() });
    wanted.items = vec![
        message(Role::Developer, "be brief"),
        message(Role::Assistant, "hello"),
        Item::Message { role: Role::User, content: vec![Part::Text("see:".into()), image], phase: None },
    ];
    real.run(&wanted).await;
    let text = "System:\nbe brief\n\nAssistant:\nhello\n\nUser:\nsee:";
    let content = json!([{"type": "input_text", "text": text}, {"type": "input_image", "image_url": url}]);
    assert_eq!(said(&real.request()), [json!({"type": "message", "role": "user", "content": content})]);
}

#[tokio::test]
async fn the_shell_that_remains_does_nothing() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "the-secret").unwrap();
    let path = secret.path().to_str().unwrap();
    let commands = [
        json!(["cat", path]),
        json!(["bash", "-lc", format!("cat {path}")]),
        json!(["/bin/cat", path]),
        json!(["/bin/bash", "-c", format!("/bin/cat {path}")]),
        json!(["rm", path]),
    ];
    for command in commands {
        let arguments = json!({"command": command}).to_string();
        let call = Script::new().function_call("call", "shell", &arguments, 16);
        let real = Real::new(vec![call, Script::text("done")]).await;
        let events = real.run(&turn("gpt-5", "hi")).await;
        assert_eq!(text_of(&events), "done", "{command}");
        let output = said(&real.request()).pop().unwrap();
        assert_eq!(output["type"], "function_call_output", "{command}");
        let output = output.to_string();
        assert!(!output.contains("the-secret"), "{command}: {output}");
        assert!(output.contains("rejected") || output.contains("NotFound"), "{command}: {output}");
    }
    assert!(secret.path().is_file());
}

#[tokio::test]
async fn an_interrupt_reaches_the_upstream() {
    let gate = Gate::new();
    let real = Real::new(vec![half(&gate)]).await;
    let mut legacy = real.start(&turn("gpt-5", "hi")).await;
    while text_of(&legacy.events) != "half" {
        legacy.read().await;
        legacy.perform().await;
    }
    legacy.driver.interrupt(KEY, &mut legacy.steps);
    legacy.perform().await;
    let (events, _) = legacy.finish().await;
    assert!(!events.iter().any(TurnEvent::is_terminal), "an interrupted turn says nothing more");
    assert_eq!(real.upstream.wait_for_ending(0).await, Ending::ClosedEarly);
}

#[tokio::test]
async fn a_refusal_is_not_repeated() {
    let body = json!({"error": {"message": "too odd", "type": "invalid_request_error"}});
    let real = Real::new(vec![Script::http_error(400, body, &[])]).await;
    let events = real.run(&turn("gpt-5", "hi")).await;
    let Some(TurnEvent::Failed(error)) = events.last() else { panic!("{events:?}") };
    assert_eq!((error.kind, error.message.as_str()), (TurnErrorKind::BadRequest, "too odd"));
    assert_eq!(real.upstream.requests().len(), 1);
}

/// Both print the same for the same turn, apart from values.
async fn agree(scripts: Vec<Script>, scenario: Value, interrupt: bool) {
    let real = Real::new(scripts).await;
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("fake-codex.json"), scenario.to_string()).unwrap();
    let wanted = turn("gpt-5", "hi");
    let mut printed = Vec::new();
    for mut legacy in
        [real.start(&wanted).await, Legacy::start(&fake_codex_path(), home.path(), &wanted).await]
    {
        if interrupt {
            while text_of(&legacy.events).is_empty() {
                legacy.read().await;
                legacy.perform().await;
            }
            legacy.driver.interrupt(KEY, &mut legacy.steps);
            legacy.perform().await;
        }
        let (_, lines) = legacy.finish().await;
        // The real one may report or not report that a failed turn was aborted, depending on the time of the shutdown.
        let said = lines.iter().filter(|line| interrupt || line["msg"]["type"] != "turn_aborted");
        printed.push(said.map(form).collect::<Vec<_>>());
    }
    assert_eq!(printed[1], printed[0], "the fake on the left, the real one on the right");
}

/// A line with every leaf but its kind replaced by its type.
fn form(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "string".to_owned(),
        Value::Array(items) => format!("[{}]", items.iter().map(form).collect::<Vec<_>>().join(",")),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| match (name.as_str(), value) {
                ("type" | "reason" | "id", Value::String(text)) => format!("{name}:{text:?}"),
                _ => format!("{name}:{}", form(value)),
            });
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
    }
}

#[tokio::test]
async fn the_fakes_text_and_reasoning_look_real() {
    let script = Script::new().reasoning(&[&["**Pl", "an**"], &["two"]], Some("E")).message(&["one ", "two"]);
    let scenario = json!([
        {"step": "reasoning", "parts": [["**Pl", "an**"], ["two"]]},
        {"step": "text", "deltas": ["one ", "two"]},
    ]);
    agree(vec![script], scenario, false).await;
}

#[tokio::test]
async fn the_fakes_error_looks_real() {
    let body = json!({"error": {"type": "usage_limit_reached", "message": "no", "plan_type": "plus", "resets_in_seconds": 60}});
    let scenario = json!([{"step": "error", "message": "You've hit your usage limit."}]);
    agree(vec![Script::http_error(429, body, &[])], scenario, false).await;
}

#[tokio::test]
async fn the_fakes_interrupt_looks_real() {
    let scenario = json!([{"step": "text", "deltas": ["half"], "open": true}, {"step": "hang"}]);
    agree(vec![half(&Gate::new())], scenario, true).await;
}

#[tokio::test]
async fn the_fakes_request_for_an_approval_looks_real() {
    let arguments = json!({"command": ["rm", "x"]});
    let real = Script::new().function_call("call", "shell", &arguments.to_string(), 16);
    let call = json!({"name": "shell", "arguments": {"command": ["rm", "x"], "cwd": "/"}});
    let scenario = json!([{"step": "calls", "calls": [call]}, {"step": "text", "deltas": ["done"]}]);
    agree(vec![real, Script::text("done")], scenario, false).await;
}

/// A proxy over the real legacy Codex.
async fn proxy_over_legacy(upstream: &FakeOpenAi) -> Proxy {
    Setup::real(LEGACY, upstream).env("PROXY_USE_APP_SERVER", "false").start().await
}

#[tokio::test]
async fn both_surfaces_answer_over_the_legacy_protocol() {
    let upstream = FakeOpenAi::start().await;
    upstream.fall_back_to(Script::new().message(&["h\u{e9}", "llo \u{1f980}"]));
    let proxy = proxy_over_legacy(&upstream).await;
    for surface in BOTH {
        let answer = surface.answer(&proxy, &surface.ask("hi")).await;
        assert_eq!(surface.text(&answer), "h\u{e9}llo \u{1f980}");
        let events = surface.events(&proxy, &surface.ask("hi")).await;
        assert_eq!(surface.streamed_text(&events), "h\u{e9}llo \u{1f980}");
    }
    let asks: Vec<_> = (0..4).map(|number| Surface::Chat.ask(&format!("number {number}"))).collect();
    let answers =
        futures_util::future::join_all(asks.iter().map(|ask| Surface::Chat.answer(&proxy, ask))).await;
    assert!(answers.iter().all(|answer| Surface::Chat.text(answer) == "h\u{e9}llo \u{1f980}"));
    proxy.stop().await;
}

#[tokio::test]
async fn the_legacy_protocol_refuses_tools_by_name() {
    let upstream = FakeOpenAi::start().await;
    let proxy = proxy_over_legacy(&upstream).await;
    for surface in BOTH {
        let ask = surface.ask_with_tool("x", "f", &json!({"type": "object"}));
        let (status, body) = e2e::sse::json(proxy.post(surface.path(), &ask)).await;
        assert_eq!((status.as_u16(), body["error"]["param"].as_str()), (400, Some("tools")), "{body}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_legacy_process_and_its_record() {
    let upstream = FakeOpenAi::start().await;
    let proxy = proxy_over_legacy(&upstream).await;
    upstream.push(Script::new().message(&["part"]).gate(&Gate::new()));
    let mut stream = proxy.stream("/chat/completions", &Surface::Chat.ask("hi")).await;
    while !stream.next_data().await.unwrap().data.unwrap().contains("part") {}
    drop(stream);
    assert_eq!(upstream.wait_for_ending(0).await, Ending::ClosedEarly);
    let home = proxy.codex_home().to_owned();
    let records = home.join("sessions");
    // The proxy ends only after its children, and the record of a child is removed with it.
    let log_dir = proxy.data_dir().to_owned();
    proxy.stop().await;
    let left = walk(&records);
    assert_eq!(left, Vec::<std::path::PathBuf>::new(), "{}", log_dir.display());
}

fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    entries
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] })
        .collect()
}
