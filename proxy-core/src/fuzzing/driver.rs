//! Fuzzes the drivers with arbitrary lines from Codex.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::requests::{CHAT, RESPONSES, Rendered};
use protocol::codex::jsonrpc::{self, Incoming};
use protocol::codex::{AppServer, Driver, Proto, Step, TurnKey, appserver, proto};
use protocol::openai::chat::Chat;
use protocol::openai::responses::Responses;
use protocol::turn::{Item, Part, Role, Tool, ToolKind, Turn, TurnEvent};

const KEY: TurnKey = TurnKey(1);

/// The first line selects the Codex: for `new` and `old` a turn is running, `proto` uses the legacy protocol,
/// and any other text means that the handshake is not complete. The other lines are the output of Codex.
pub fn json_rpc(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let kind = lines.next().unwrap_or_default();
    let mut bench = Bench::new(kind == b"proto");
    match kind {
        b"new" => bench.start("codex-proxy/0.169.0 (Debian 12.0.0; x86_64) xterm (codex-proxy; 1)"),
        b"old" => bench.start("codex_cli_rs/0.77.0 (Debian 12.0.0; x86_64) xterm (codex-proxy; 1)"),
        b"proto" => {
            let configured = json!({"type": "session_configured", "session_id": "s", "model": "m"});
            bench.receive(&json!({"id": "", "msg": configured}).to_string());
            bench.driver.start(KEY, turn(), &mut bench.steps);
        }
        _ => {}
    }
    bench.look();
    for line in lines.filter_map(|line| std::str::from_utf8(line).ok()) {
        let sent = bench.sent;
        bench.receive(line);
        if bench.is_over {
            return;
        }
        // A pending call of the client's tool has to be answered when its turn is interrupted.
        let request =
            matches!(jsonrpc::parse(line), Ok(Incoming::Request(_, method, _)) if method != "item/tool/call");
        assert!(kind == b"proto" || !request || bench.sent > sent, "a request has no answer: {line}");
    }
    bench.driver.interrupt(KEY, &mut bench.steps);
    bench.look();
}

struct Bench {
    driver: Driver,
    steps: Vec<Step>,
    /// The number of lines sent to the child.
    sent: usize,
    has_ended: bool,
    is_released: bool,
    /// Whether the child can no longer be used.
    is_over: bool,
    responses: Rendered<Responses>,
    chat: Rendered<Chat>,
}

impl Bench {
    fn new(is_legacy: bool) -> Self {
        let mut steps = Vec::new();
        let driver = if is_legacy {
            let settings = proto::Settings {
                version: "codex-cli 0.42.0\n".into(),
                workdir: "/work".into(),
                sandbox: "read-only",
            };
            Driver::Proto(Proto::new(settings))
        } else {
            let settings = appserver::Settings {
                workdir: "/work".into(),
                sandbox: "read-only",
                no_catalogue: None,
                search_catalogue: Some("/search.json".into()),
                windows: BTreeMap::new(),
                effort_with_turn: false,
                client_version: "0.0.0",
            };
            Driver::AppServer(AppServer::new(settings, &mut steps))
        };
        Self {
            driver,
            steps,
            sent: 0,
            has_ended: false,
            is_released: false,
            is_over: false,
            responses: Rendered::of(&RESPONSES),
            chat: Rendered::of(&CHAT),
        }
    }

    /// Completes the handshake with a Codex of the name `agent`, and begins a turn.
    fn start(&mut self, agent: &str) {
        self.answer("initialize", &json!({"userAgent": agent}));
        self.answer("account/read", &json!({"account": null, "requiresOpenaiAuth": false}));
        self.answer("model/list", &json!({"data": [], "nextCursor": null}));
        self.driver.start(KEY, turn(), &mut self.steps);
        for method in ["thread/start", "thread/resume"] {
            self.answer(method, &json!({"thread": {"id": "t"}}));
        }
        self.answer("thread/inject_items", &json!({}));
        self.answer("turn/start", &json!({"turn": {"id": "u"}}));
    }

    /// Answers the last request of this method, if there is one.
    fn answer(&mut self, method: &str, result: &Value) {
        let requests = self.steps.iter().rev().filter_map(|step| {
            let (Step::Send(line) | Step::SendFor(_, line)) = step else { return None };
            serde_json::from_str::<Value>(line).ok().filter(|request| request["method"] == method)
        });
        if let Some(request) = requests.into_iter().next() {
            self.driver.receive(&json!({"id": request["id"], "result": result}).to_string(), &mut self.steps);
        }
    }

    fn receive(&mut self, line: &str) {
        self.driver.receive(line, &mut self.steps);
        self.look();
    }

    /// Checks the steps that the driver returns.
    fn look(&mut self) {
        for step in std::mem::take(&mut self.steps) {
            match step {
                Step::Send(line) | Step::SendFor(_, line) => {
                    self.sent += 1;
                    assert!(!line.contains('\n'), "a line is one line");
                    assert!(serde_json::from_str::<Value>(&line).is_ok(), "a line is JSON");
                }
                Step::Emit(key, event) => {
                    assert_eq!(key, KEY);
                    assert!(!self.is_released, "{event:?} comes after the end");
                    // The usage of a turn may arrive after its end. Only the usage recording takes it.
                    if self.has_ended {
                        assert!(matches!(event, TurnEvent::Usage(_)), "{event:?} comes after the end");
                        continue;
                    }
                    self.has_ended = event.is_terminal();
                    self.responses.push(&event);
                    self.chat.push(&event);
                }
                Step::Kept(key, _) => {
                    assert_eq!(key, KEY);
                    assert!(!self.has_ended, "a thread is kept before the end");
                }
                Step::Released(_) => {
                    assert!(!self.is_released, "a place is given back once");
                    self.is_released = true;
                }
                Step::Fatal(_) | Step::Unfit(_) => self.is_over = true,
                Step::Writes(..)
                | Step::Read(_)
                | Step::Deleted(_)
                | Step::Warmed(..)
                | Step::WasSentFor(..)
                | Step::Ready(_)
                | Step::Account(_)
                | Step::Notice(_)
                | Step::Answer(..)
                | Step::Pause => {}
            }
        }
    }
}

fn turn() -> Turn {
    let mut turn = Turn::new("m");
    turn.items.push(Item::Message { role: Role::User, content: vec![Part::Text("hi".into())], phase: None });
    let tool = |kind, name: &str, definition| {
        Arc::new(Tool { kind, namespace: None, name: name.into(), definition })
    };
    turn.spec.tools = vec![
        tool(
            ToolKind::Function,
            "f",
            json!({"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}),
        ),
        tool(ToolKind::Custom, "c", json!({"type": "custom", "name": "c"})),
    ];
    turn
}
