//! The one handler of both surfaces: body → turn → worker → stream or object.

mod images;
mod request;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::{self, SelectAll, Stream, StreamExt};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::time::{Instant, sleep_until};

use super::body::Sent;
use super::caller::Caller;
use super::error::Error;
use super::streams::{Count, StreamPermit};
use super::{App, RequestId};
use crate::control::account::KnownLimits as Limits;
use crate::dispatch::{Arrival, Reading, Recording, TurnEvents};
use crate::secret::KeyName;
use crate::telemetry::request::About;
use crate::throttle::Allowed;
use images::Held;
use protocol::openai::sse::Frames;
use protocol::openai::{Context, Encoder, Notes, Surface, content};
use protocol::turn::{
    Effort, Finish, ItemId, ServiceTier, Turn, TurnError, TurnErrorKind, TurnEvent, TurnOutput, Usage,
};

const IGNORED_PARAMS: HeaderName = HeaderName::from_static("x-proxy-ignored-params");
const UNMET_PARAMS: HeaderName = HeaderName::from_static("x-proxy-unmet-params");
const REPLACED_CHARACTERS: HeaderName = HeaderName::from_static("x-proxy-replaced-characters");
const EFFECTIVE_MODEL: HeaderName = HeaderName::from_static("x-proxy-effective-model");
const EFFECTIVE_EFFORT: HeaderName = HeaderName::from_static("x-proxy-effective-effort");
const LIMIT_REQUESTS: HeaderName = HeaderName::from_static("x-ratelimit-limit-requests");
const REMAINING_REQUESTS: HeaderName = HeaderName::from_static("x-ratelimit-remaining-requests");
const RESET_REQUESTS: HeaderName = HeaderName::from_static("x-ratelimit-reset-requests");
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Of the short window and the long one: how much is used, how long it is, when it begins anew.
const LIMIT_HEADERS: [[&str; 3]; 2] = [
    [
        "x-ratelimit-primary-used-percent",
        "x-ratelimit-primary-window-minutes",
        "x-ratelimit-primary-reset-at",
    ],
    [
        "x-ratelimit-secondary-used-percent",
        "x-ratelimit-secondary-window-minutes",
        "x-ratelimit-secondary-reset-at",
    ],
];

/// Answers a request of surface `S`. What is left of the plan is told with every answer.
pub(super) async fn create<S: Surface>(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let recording = app.recorder.begin(arrival::<S>(&parts));
    if let Some(capture) = recording.capture() {
        capture.headers(parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
    }
    let mut response = match answer::<S>(&app, &parts, body, &recording).await {
        Ok(response) => response,
        Err(error) => {
            let error = if let Error::Turn(error) = error {
                Error::Turn(app.control.explain_refusal(error).await)
            } else {
                error
            };
            recording.answered(&error.bytes());
            recording.finish(error.status().as_u16(), error.code());
            error.into_response()
        }
    };
    if let Some(limits) = app.control.known_limits() {
        response.headers_mut().extend(limit_headers(&limits));
    }
    response
}

async fn answer<S: Surface>(
    app: &Arc<App>,
    parts: &Parts,
    body: Body,
    recording: &Recording,
) -> Result<Response, Error> {
    let key = parts.extensions.get::<KeyName>().map_or("", KeyName::as_str);
    let allowed = app.throttle.check(key, || app.recorder.today(key))?;
    let output_mode = request::output_mode(&parts.headers)?;
    let share = Arc::new(app.memory.share());
    let sent = Sent { headers: parts.headers.clone(), body };
    let (body, replaced) = request::read(sent, app.config.max_body_bytes, &share, recording).await?;
    let requested_model = body["model"].as_str().unwrap_or_default().to_owned();
    recording.model(&requested_model);
    // A request that is wrong is told so even while no worker is there to run it. Its place is given back: a request
    // that waits for its images must not keep one from those who have theirs.
    let (catalogue, there_is_none) = match app.dispatcher.catalogue() {
        Some(catalogue) => (catalogue, None),
        None => match app.dispatcher.place().await {
            Ok(place) => (place.catalogue(), None),
            Err(error) => (Arc::default(), Some(error)),
        },
    };
    let id = uuid::Uuid::new_v4().simple().to_string();
    let context = Context { config: &app.openai, catalogue: &catalogue, output_mode, id: &id, now: now() };
    let mut prepared = S::parse(&body, &context)?;
    drop(body);
    recording.read(&Reading {
        requested_model,
        effective_model: prepared.turn.model.clone(),
        effort: prepared.turn.effort.map(Effort::as_str),
        service_tier: prepared.turn.service_tier.map(ServiceTier::as_str),
        stream: prepared.stream,
    });
    if let Some(about) = parts.extensions.get::<About>() {
        about.model(&prepared.turn.model);
    }
    if app.control.is_paused() {
        return Err(Error::Paused);
    }
    let stream = prepared.stream.then(|| app.streams.begin().map_err(Error::TooManyStreams)).transpose()?;
    let (stream, count) = stream.unzip();
    images::fetch(app, &mut prepared.turn, &prepared.image_params, &share).await?;
    content::images::check_size(&prepared.turn)?;
    let mut notes = note_headers(&prepared.notes, &prepared.turn.model);
    if replaced > 0 {
        notes.insert(REPLACED_CHARACTERS, HeaderValue::from(replaced));
    }
    let asked = Asked { choices: prepared.choices, streamed: prepared.stream };
    let turns = match usage_answer(app, &prepared.turn).await {
        Some(answer) => (0..asked.choices).map(|_| Begun::ready(said(&answer))).collect(),
        None => {
            app.control.admit().await?;
            if let Some(error) = there_is_none {
                return Err(error.into());
            }
            let held = Held::new(share, &prepared.turn).await;
            start(app, prepared.turn, &asked, held, recording).await?
        }
    };
    let mut response = if asked.streamed {
        streamed(app, turns, prepared.encoder, recording.clone(), stream)
    } else {
        collected(turns, prepared.encoder, &prepared.notes, recording).await?
    };
    response.headers_mut().extend(notes);
    response.headers_mut().extend(count.map(Count::headers).unwrap_or_default());
    response.headers_mut().extend(allowed.map(rate_headers).unwrap_or_default());
    Ok(response)
}

/// The answer to a question about usage, for which no model is needed.
async fn usage_answer(app: &App, turn: &Turn) -> Option<String> {
    app.control.usage_answer(&turn.last_user_text()?).await
}

/// A message of the proxy's own, as a turn.
fn said(text: &str) -> TurnEvents {
    let id: ItemId = format!("msg_{}", uuid::Uuid::new_v4().simple()).into();
    TurnEvents::ready_made([
        TurnEvent::Started,
        TurnEvent::MessageStarted { id: id.clone() },
        TurnEvent::TextDelta { id: id.clone(), text: text.to_owned() },
        TurnEvent::MessageDone { id, phase: None },
        TurnEvent::Usage(Usage::default()),
        TurnEvent::Finished(Finish::Stop),
    ])
}

fn arrival<S: Surface>(parts: &Parts) -> Arrival {
    let user_agent = parts.headers.get(USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
    Arrival {
        route: parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned(),
        method: parts.method.to_string(),
        surface: S::NAME,
        id: parts.extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default(),
        key: parts.extensions.get::<KeyName>().map_or("", KeyName::as_str).to_owned(),
        user_agent: String::from_utf8_lossy(user_agent).into_owned(),
        address: parts.extensions.get::<Caller>().and_then(|caller| caller.address),
    }
}

/// How the model is asked.
struct Asked {
    choices: usize,
    streamed: bool,
}

/// Each choice is a turn of its own, on a place of its own.
async fn start(
    app: &App,
    turn: Turn,
    asked: &Asked,
    held: Held,
    recording: &Recording,
) -> Result<Vec<Begun>, TurnError> {
    let held = Arc::new(held);
    let mut turns = Vec::with_capacity(asked.choices);
    for _ in 0..asked.choices {
        let place = app.dispatcher.place().await?;
        let started = match place.start(turn.clone(), asked.streamed, recording).await {
            // It ended between the choice of it and the start: nothing was begun, so another can have the turn.
            Err(error) if error.kind == TurnErrorKind::WorkerExited => {
                let place = app.dispatcher.place().await?;
                place.start(turn.clone(), asked.streamed, recording).await?
            }
            started => started?,
        };
        turns.push(Begun { turn: started, held: Some(held.clone()) });
    }
    Ok(turns)
}

/// A turn, and what its request holds until Codex has the whole of it.
struct Begun {
    turn: TurnEvents,
    held: Option<Arc<Held>>,
}

impl Begun {
    fn ready(turn: TurnEvents) -> Self {
        Self { turn, held: None }
    }

    /// The next event; the first says that Codex has begun, or that it will not.
    async fn next(&mut self) -> Option<TurnEvent> {
        let event = self.turn.next().await;
        self.held = None;
        event
    }
}

/// The whole answer as one object.
async fn collected<E: Encoder>(
    turns: Vec<Begun>,
    encoder: E,
    notes: &Notes,
    recording: &Recording,
) -> Result<Response, Error> {
    let folds = turns.into_iter().map(|mut turn| async move {
        let mut output = TurnOutput::default();
        while let Some(event) = turn.next().await {
            if let TurnEvent::Withdrawn { id } = &event {
                output.withdraw(id);
            }
            output.push(&event);
        }
        (output, turn.turn.is_unmet())
    });
    let (outputs, unmet): (Vec<_>, Vec<_>) = futures_util::future::join_all(folds).await.into_iter().unzip();
    for output in &outputs {
        match &output.end {
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error.clone().into()),
            None => {
                return Err(TurnError::new(TurnErrorKind::Internal, "The turn ended without an end.").into());
            }
        }
    }
    let body = serde_json::to_vec(&encoder.object(&outputs)).map_err(|error| {
        tracing::error!(%error, "an answer could not be written; this is a bug");
        Error::Internal
    })?;
    recording.answered(&body);
    recording.finish(StatusCode::OK.as_u16(), None);
    let mut response = ([(CONTENT_TYPE, "application/json")], body).into_response();
    if let Some(param) = notes.format_param.filter(|_| unmet.contains(&true)) {
        response.headers_mut().insert(UNMET_PARAMS, HeaderValue::from_static(param));
    }
    Ok(response)
}

/// The answer as it comes. The headers and the opening frames go out at once.
fn streamed<E: Encoder>(
    app: &Arc<App>,
    turns: Vec<Begun>,
    mut encoder: E,
    recording: Recording,
    place: Option<StreamPermit>,
) -> Response {
    let keepalive = app.config.keepalive;
    let mut frames = Frames::default();
    encoder.open(&mut frames);
    let open = turns.len();
    let choices = turns.into_iter().enumerate().map(|(choice, turn)| -> Choice {
        Box::pin(stream::unfold((turn, app.clone()), move |(mut turn, app)| async move {
            let mut event = turn.next().await?;
            if let TurnEvent::Failed(error) = event {
                event = TurnEvent::Failed(app.control.explain(error));
            }
            Some(((choice, event), (turn, app)))
        }))
    });
    let mut answer = Answer {
        ready: VecDeque::new(),
        events: choices.collect(),
        open,
        encoder,
        frames,
        keepalive,
        quiet_until: keepalive.map(|time| Instant::now() + time),
        failure: None,
        recording,
        place,
    };
    answer.take_frames();
    let body = stream::unfold(answer, |mut answer| async move {
        let frame = answer.next().await?;
        Some((Ok::<_, Infallible>(frame), answer))
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// One choice's events, each with the choice's number.
type Choice = Pin<Box<dyn Stream<Item = (usize, TurnEvent)> + Send>>;

/// A stream on its way out.
struct Answer<E> {
    ready: VecDeque<Bytes>,
    events: SelectAll<Choice>,
    /// Choices that have not had their terminal event.
    open: usize,
    encoder: E,
    frames: Frames,
    keepalive: Option<Duration>,
    /// When a comment is due, if nothing comes before.
    quiet_until: Option<Instant>,
    failure: Option<TurnError>,
    recording: Recording,
    /// Given back with the last frame, so that whoever has seen the end can begin the next.
    place: Option<StreamPermit>,
}

impl<E: Encoder> Answer<E> {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                self.quiet_until = self.keepalive.map(|time| Instant::now() + time);
                return Some(frame);
            }
            if self.open == 0 {
                return None;
            }
            tokio::select! {
                biased;
                event = self.events.next() => self.take(event),
                () = at(self.quiet_until) => self.frames.keepalive(),
            }
            self.take_frames();
        }
    }

    fn take(&mut self, event: Option<(usize, TurnEvent)>) {
        match event {
            Some((choice, event)) => {
                self.encoder.push(choice, &event, &mut self.frames);
                self.open -= usize::from(event.is_terminal());
                if let TurnEvent::Failed(error) = event {
                    self.failure = Some(error);
                }
            }
            None => self.open = 0,
        }
        if self.open == 0 {
            self.encoder.finish(&mut self.frames);
        }
    }

    /// Whoever has seen the end of an answer can rely on its being counted: that comes first.
    fn take_frames(&mut self) {
        for frame in self.frames.take() {
            self.recording.answered(&frame);
            self.ready.push_back(frame);
        }
        if self.open == 0 {
            self.place = None;
            match self.failure.take().map(Error::from) {
                Some(error) => self.recording.finish(error.status().as_u16(), error.code()),
                None => self.recording.finish(StatusCode::OK.as_u16(), None),
            }
        }
    }
}

fn limit_headers(limits: &Limits) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let [primary, secondary] = LIMIT_HEADERS;
    for (names, window) in [(primary, limits.primary), (secondary, limits.secondary)] {
        let Some(window) = window else { continue };
        let [used, minutes, resets] = names.map(HeaderName::from_static);
        headers.insert(used, HeaderValue::from(window.used_percent));
        headers.extend(window.window_minutes.map(|window| (minutes, HeaderValue::from(window))));
        headers.extend(window.resets_at.map(|time| (resets, HeaderValue::from(time))));
    }
    headers
}

fn note_headers(notes: &Notes, model: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut note = |name, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    };
    note(EFFECTIVE_MODEL, model);
    if !notes.ignored_params.is_empty() {
        note(IGNORED_PARAMS, &header_list(&notes.ignored_params));
    }
    if let Some(effort) = notes.effective_effort {
        note(EFFECTIVE_EFFORT, effort.as_str());
    }
    headers
}

/// What the key may still ask for, as OpenAI says it.
fn rate_headers(allowed: Allowed) -> HeaderMap {
    let reset = format!("{}ms", allowed.reset.as_millis());
    let mut headers = HeaderMap::new();
    headers.insert(LIMIT_REQUESTS, HeaderValue::from(allowed.limit));
    headers.insert(REMAINING_REQUESTS, HeaderValue::from(allowed.remaining));
    if let Ok(reset) = HeaderValue::from_str(&reset) {
        headers.insert(RESET_REQUESTS, reset);
    }
    headers
}

/// Names the client chose itself: as much of them as is fit for a header.
fn header_list(names: &[String]) -> String {
    const MOST: usize = 50;
    let fit = |c: char| c.is_ascii_alphanumeric() || "_-.[]".contains(c);
    let mut list: Vec<String> = names
        .iter()
        .take(MOST)
        .map(|name| name.chars().map(|c| if fit(c) { c } else { '?' }).collect())
        .collect();
    if names.len() > MOST {
        list.push("...".to_owned());
    }
    list.join(", ")
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
