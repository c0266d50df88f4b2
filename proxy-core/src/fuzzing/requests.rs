//! Fuzzes request bodies: a parsed turn goes to a driver, and an answer is rendered for it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Value, json};

use protocol::codex::{AppServer, Step, TurnKey, appserver};
use protocol::openai::chat::Chat;
use protocol::openai::frame::Frames;
use protocol::openai::responses::Responses;
use protocol::openai::{Config, Context, Encoder, Environment, Prepared, Surface};
use protocol::turn::{
    Catalogue, Effort, Finish, Model, OutputMode, ToolKind, Turn, TurnEvent, TurnOutput, Usage,
};

/// Fuzzes bodies of `/v1/responses`.
pub fn responses_request(bytes: &[u8]) {
    request::<Responses>(bytes);
}

/// Fuzzes bodies of `/v1/chat/completions`.
pub fn chat_request(bytes: &[u8]) {
    request::<Chat>(bytes);
}

/// Valid bodies.
pub(super) static RESPONSES: LazyLock<Value> =
    LazyLock::new(|| json!({"model": "gpt-test", "input": "hi", "stream": true}));
pub(super) static CHAT: LazyLock<Value> = LazyLock::new(
    || json!({"model": "gpt-test", "messages": [{"role": "user", "content": "hi"}], "stream": true}),
);

fn request<S: Surface>(bytes: &[u8]) {
    let Ok(body) = serde_json::from_slice::<Value>(bytes) else { return };
    for is_strict in [true, false] {
        let config = config(is_strict);
        match read::<S>(&body, &config) {
            Ok(prepared) => {
                assert!((1..=5).contains(&prepared.choices));
                assert_eq!(prepared.image_params.len(), prepared.turn.images().count());
                begin(prepared.turn.clone());
                let mut rendered = Rendered::<S>::new(prepared);
                answer().iter().for_each(|event| rendered.push(event));
            }
            Err(error) => assert!(!error.message.is_empty()),
        }
    }
}

fn config(is_strict: bool) -> Config {
    Config {
        environment: Environment::Prod,
        default_model: "gpt-test".into(),
        ignore_client_system_prompt: is_strict,
        strict_params: is_strict,
        model_fallback: !is_strict,
        max_prompt_tokens: 0,
        responses_default_max_tokens: 0,
        chat_output_mode: OutputMode::OpenaiJson,
        responses_output_mode: OutputMode::OpenaiJson,
    }
}

fn read<S: Surface>(
    body: &Value,
    config: &Config,
) -> Result<Prepared<S::Encoder>, protocol::openai::error::RequestError> {
    let catalogue = Catalogue {
        models: vec![Model {
            id: "gpt-test".into(),
            display_name: "Test".into(),
            description: String::new(),
            efforts: vec![Effort::Low, Effort::Medium, Effort::High],
            default_effort: None,
            images: true,
            hidden: false,
            is_default: true,
            service_tiers: Some(vec!["priority".into()]),
            context_window: None,
        }],
    };
    S::parse(
        body,
        &Context {
            config,
            catalogue: &catalogue,
            output_mode: None,
            id: "0",
            now: 7,
            continued: None,
            stores: true,
        },
    )
}

/// Passes the turn to a driver.
fn begin(turn: Turn) {
    let settings = appserver::Settings {
        workdir: "/work".into(),
        sandbox: "read-only",
        no_catalogue: None,
        search_catalogue: None,
        windows: BTreeMap::new(),
        effort_with_turn: false,
        client_version: "0.0.0",
    };
    let mut steps = Vec::new();
    let mut driver = AppServer::new(settings, &mut steps);
    let results = [
        json!({"userAgent": "codex-proxy/0.169.0 (Debian 12.0.0; x86_64) xterm (codex-proxy; 1)"}),
        json!({"account": null, "requiresOpenaiAuth": false}),
        json!({"data": [], "nextCursor": null}),
    ];
    for (id, result) in (1..).zip(results) {
        driver.receive(&json!({"id": id, "result": result}).to_string(), &mut steps);
    }
    driver.start(TurnKey(1), turn, &mut steps);
    // The transcript is sent after the thread was started.
    for id in 4..6 {
        driver.receive(&json!({"id": id, "result": {"thread": {"id": "t"}}}).to_string(), &mut steps);
    }
    for step in steps {
        if let Step::Send(line) | Step::SendFor(_, line) = step {
            assert!(!line.contains('\n'), "a line is one line");
            assert!(serde_json::from_str::<Value>(&line).is_ok(), "a line is JSON");
        }
    }
}

fn answer() -> Vec<TurnEvent> {
    let id = |id: &str| id.into();
    vec![
        TurnEvent::Started,
        TurnEvent::ReasoningStarted { id: id("r") },
        TurnEvent::SummaryDelta { id: id("r"), index: 0, text: "thinks".into() },
        TurnEvent::ReasoningDone { id: id("r"), encrypted_content: Some("sealed".into()) },
        TurnEvent::MessageStarted { id: id("m") },
        TurnEvent::TextDelta { id: id("m"), text: "{}".into() },
        TurnEvent::MessageDone { id: id("m"), phase: None },
        TurnEvent::ToolCall {
            id: id("f"),
            kind: ToolKind::Function,
            call_id: "c".into(),
            namespace: None,
            name: "f".into(),
            input: "{}".into(),
        },
        TurnEvent::Usage(Usage { input: 3, output: 4, ..Usage::default() }),
        TurnEvent::Finished(Finish::ToolCalls),
    ]
}

/// An answer in both forms: streamed and complete.
pub(super) struct Rendered<S: Surface> {
    encoder: S::Encoder,
    frames: Frames,
    outputs: Vec<TurnOutput>,
    waiting: usize,
}

impl<S: Surface> Rendered<S> {
    /// The answer to a valid body.
    pub(super) fn of(body: &Value) -> Self {
        match read::<S>(body, &config(true)) {
            Ok(prepared) => Self::new(prepared),
            Err(error) => unreachable!("{error}"),
        }
    }

    fn new(prepared: Prepared<S::Encoder>) -> Self {
        let mut rendered = Self {
            encoder: prepared.encoder,
            frames: Frames::default(),
            outputs: (0..prepared.choices).map(|_| TurnOutput::default()).collect(),
            waiting: prepared.choices,
        };
        rendered.encoder.open(&mut rendered.frames);
        rendered
    }

    /// Renders an event for each choice.
    pub(super) fn push(&mut self, event: &TurnEvent) {
        for (choice, output) in self.outputs.iter_mut().enumerate() {
            output.push(event);
            self.encoder.push(choice, event, &mut self.frames);
            self.waiting -= usize::from(event.is_terminal());
        }
        if self.waiting == 0 {
            self.encoder.finish(&mut self.frames);
            assert!(self.encoder.object(&self.outputs).is_object());
        }
        for frame in self.frames.take() {
            assert!(!frame.json.contains(['\n', '\r']), "a frame is one line");
        }
    }
}
