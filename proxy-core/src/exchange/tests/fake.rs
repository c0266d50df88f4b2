//! A backend in memory, and exchanges over it; the transports use it in their tests too.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use tempfile::TempDir;
use tokio::sync::mpsc;

use super::super::*;
use crate::recording::Arrival;
use crate::request_log::{self, RequestEntry, RequestLog};
use crate::secret::AdmittedKey;
use crate::usage;
use crate::{image_fetch, response_store, throttle};
use protocol::openai::Environment;
use protocol::openai::chat::{Chat, ChatEncoder};
use protocol::turn::{Finish, Model, OutputMode, Turn, TurnEvent};

/// A backend that follows its script, and logs the calls to it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<Script>>);

/// The script of the backend.
#[derive(Debug, Default)]
pub(crate) struct Script {
    /// Whether a worker is ready.
    pub(crate) ready: bool,
    /// Why there are no places.
    pub(crate) no_place: Option<TurnError>,
    /// Why the plan forbids turns.
    pub(crate) forbidden: Option<TurnError>,
    /// The result of each start, in their order.
    pub(crate) starts: VecDeque<Result<FakeTurn, TurnError>>,
    /// The answers are not the requested JSON.
    pub(crate) unmet: bool,
    /// The turns that were started.
    pub(crate) turns: Vec<Turn>,
    log: Vec<&'static str>,
}

#[derive(Debug)]
pub(crate) struct FakePlace {
    backend: Fake,
    used: bool,
}

/// A turn with events that a test sends.
#[derive(Debug)]
pub(crate) struct FakeTurn {
    events: mpsc::UnboundedReceiver<TurnEvent>,
    ended: bool,
    backend: Option<Fake>,
}

pub(crate) type Sender = mpsc::UnboundedSender<TurnEvent>;

impl Fake {
    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap()
    }

    fn log(&self, what: &'static str) {
        self.script().log.push(what);
    }

    /// The calls since the last look.
    pub(crate) fn taken(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.script().log)
    }

    /// The next start begins a turn with these events, and with those that are sent later.
    pub(crate) fn turn(&self, events: Vec<TurnEvent>) -> Sender {
        let (sender, receiver) = mpsc::unbounded_channel();
        events.into_iter().for_each(|event| sender.send(event).unwrap());
        self.script().starts.push_back(Ok(FakeTurn { events: receiver, ended: false, backend: None }));
        sender
    }

    /// The next start fails.
    pub(crate) fn failing(&self, kind: TurnErrorKind) {
        self.script().starts.push_back(Err(TurnError::new(kind, "It failed.")));
    }
}

impl Backend for Fake {
    type Place = FakePlace;

    fn prepare(&self, _: &str, _: &Turn) {
        self.log("prepare");
    }

    fn catalogue(&self) -> Option<Arc<Catalogue>> {
        self.script().ready.then(catalogue)
    }

    async fn place(&self) -> Result<FakePlace, TurnError> {
        self.log("place");
        match self.script().no_place.clone() {
            Some(error) => Err(error),
            None => Ok(FakePlace { backend: self.clone(), used: false }),
        }
    }

    async fn place_for(&self, _owner: &str, _turn: &Turn) -> Result<FakePlace, TurnError> {
        self.place().await
    }

    async fn admit(&self) -> Result<(), TurnError> {
        self.log("admit");
        self.script().forbidden.clone().map_or(Ok(()), Err)
    }

    async fn explain(&self, mut error: TurnError) -> TurnError {
        error.message += " Explained.";
        error
    }

    async fn explain_refusal(&self, mut error: TurnError) -> TurnError {
        error.message += " Refused.";
        error
    }

    fn plan(&self) -> Option<PlanLimits> {
        None
    }
}

impl Place for FakePlace {
    type Events = FakeTurn;

    fn catalogue(&self) -> Arc<Catalogue> {
        catalogue()
    }

    async fn start(mut self, turn: Turn, _: bool, _: &Recording) -> Result<FakeTurn, TurnError> {
        self.used = true;
        self.backend.log("start");
        self.backend.script().turns.push(turn);
        let started = self.backend.script().starts.pop_front().unwrap();
        started.map(|mut turn| {
            turn.backend = Some(self.backend.clone());
            turn
        })
    }
}

impl Drop for FakePlace {
    fn drop(&mut self) {
        if !self.used {
            self.backend.log("given back");
        }
    }
}

impl Events for FakeTurn {
    async fn next(&mut self) -> Option<TurnEvent> {
        if self.ended {
            return None;
        }
        let event = self.events.recv().await;
        self.ended = event.as_ref().is_none_or(TurnEvent::is_terminal);
        event
    }

    fn source(&self) -> ThreadSource {
        ThreadSource::Fresh
    }

    fn is_unmet(&self) -> bool {
        self.backend.as_ref().is_some_and(|backend| backend.script().unmet)
    }
}

impl Drop for FakeTurn {
    fn drop(&mut self) {
        if let Some(backend) = self.backend.as_ref().filter(|_| !self.ended) {
            backend.log("interrupted");
        }
    }
}

/// Exchanges over a fake backend with a ready worker.
pub(crate) struct Scene {
    pub(crate) exchanges: Exchanges<Fake>,
    pub(crate) backend: Fake,
    pub(crate) pause: Pause,
    log: RequestLog,
    _dir: TempDir,
}

/// The variable parts of a scene.
pub(crate) struct Options {
    pub(crate) throttle: throttle::Config,
    /// The most streams.
    pub(crate) streams: usize,
    /// The most bytes of all requests together.
    pub(crate) memory: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { throttle: throttle::Config::default(), streams: 0, memory: 1 << 20 }
    }
}

fn store_config() -> response_store::Config {
    response_store::Config { enabled: true, max_age: None, max_bytes: None }
}

impl Scene {
    pub(crate) fn new(options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = usage::Config {
            database: dir.path().join("proxy.db"),
            journal: dir.path().join("journal"),
            token_log: None,
            retention_days: 0,
        };
        let usage = UsageStore::open(config, Vec::new()).unwrap();
        let log = RequestLog::new(request_log::Config { kept: 100 });
        let (backend, pause) = (Fake::default(), Pause::default());
        backend.script().ready = true;
        let exchanges = Exchanges::new(Parts {
            backend: backend.clone(),
            openai: openai_config(),
            throttle: Throttle::new(options.throttle),
            pause: pause.clone(),
            streams: Streams::new(options.streams, true),
            memory: Budget::new(options.memory),
            images: ImageFetcher::new(image_fetch::Config::default()),
            tokens: TokenCounter::default(),
            store: ResponseStore::open(store_config(), dir.path()),
            background: Background::default(),
            recorder: Recorder::new(usage.sink(), log.clone()),
            usage,
            metrics: Metrics::default(),
            outcome: |_| (500, Some("failed")),
        });
        Self { exchanges, backend, pause, log, _dir: dir }
    }

    /// Begins the recording of a request.
    pub(crate) fn begin(&self) -> Recording {
        self.exchanges.recorder().begin(Arrival { id: "req_1".to_owned(), ..Arrival::default() })
    }

    /// Sends a request with this body, over Chat.
    pub(crate) async fn ask(&self, body: &Value) -> Result<Reply<ChatEncoder>, Refusal> {
        self.ask_as(body, &self.begin()).await
    }

    /// Sends a request with this body, over Chat, with this recording.
    pub(crate) async fn ask_as(
        &self,
        body: &Value,
        recording: &Recording,
    ) -> Result<Reply<ChatEncoder>, Refusal> {
        let text = JsonText(body.to_string().into());
        self.exchanges.open::<Chat, _>(text, &AdmittedKey::named("default"), recording).await
    }

    /// Requests a stream, which is expected.
    pub(crate) async fn stream(&self, body: &Value) -> (Vec<Frame>, FrameStream<ChatEncoder>) {
        match self.ask(body).await.unwrap().answer {
            Answer::Stream(opening, rest) => (opening, rest),
            Answer::Object(object, _) | Answer::Queued(object) => panic!("{object}"),
        }
    }

    /// The request log's entry of the last request.
    pub(crate) fn entry(&self) -> RequestEntry {
        self.log.get("req_1").unwrap().0
    }

    /// The request log's entries.
    pub(crate) fn entries(&self) -> Vec<RequestEntry> {
        self.log.list(100, None)
    }
}

fn catalogue() -> Arc<Catalogue> {
    let model = Model {
        id: "gpt-test".into(),
        display_name: "Test".into(),
        description: String::new(),
        efforts: vec![Effort::Low, Effort::High],
        default_effort: None,
        images: true,
        hidden: false,
        is_default: true,
        service_tiers: None,
        context_window: None,
    };
    Arc::new(Catalogue { models: vec![model] })
}

fn openai_config() -> openai::Config {
    openai::Config {
        environment: Environment::Prod,
        default_model: "gpt-test".into(),
        ignore_client_system_prompt: true,
        strict_params: false,
        model_fallback: true,
        max_prompt_tokens: 0,
        responses_default_max_tokens: 0,
        chat_output_mode: OutputMode::OpenaiJson,
        responses_output_mode: OutputMode::OpenaiJson,
    }
}

/// The events of a whole turn with the answer `text`.
pub(crate) fn said(text: &str) -> Vec<TurnEvent> {
    let mut events = begun(text);
    events.push(TurnEvent::MessageDone { id: "m".into(), phase: None });
    events.push(TurnEvent::Finished(Finish::Stop));
    events
}

/// The events of a turn that has sent `text` and continues.
pub(crate) fn begun(text: &str) -> Vec<TurnEvent> {
    vec![
        TurnEvent::Started,
        TurnEvent::MessageStarted { id: "m".into() },
        TurnEvent::TextDelta { id: "m".into(), text: text.to_owned() },
    ]
}
