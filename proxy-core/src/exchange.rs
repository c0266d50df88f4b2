//! One request and its answer, on any transport: admitted, read, resolved, run, and returned as frames or as one
//! object.
//!
//! The order of the checks is part of the API: the throttle comes before the body is read, an invalid request is
//! refused as invalid even while the proxy is paused or has no worker, and a stream counts from the time when its
//! request has been understood.
//!
//! A transport (HTTP or a WebSocket) passes the request as an [`Incoming`], writes the result in its own form, and reports
//! to the [`Recording`] what it has written and how the request ended. Nothing here knows a header, a status or an
//! encoding.

mod backend;
mod background;
mod batch;
mod choice;
mod compact;
mod count;
mod detach;
mod images;
mod incoming;
mod state;
mod stored;
mod stream;
mod streams;
#[cfg(test)]
pub(crate) mod tests;
mod usage_answer;

pub use backend::{Backend, Codex, Events, Place};
pub use background::Background;
pub use batch::{Batch, End};
pub use incoming::{Incoming, JsonText, Received, json};
pub use state::Transcript;
pub use stored::{Events as StoredEvents, StoredError};
pub use stream::FrameStream;
pub use streams::{Count, Streams};

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::account::Limits as PlanLimits;
use crate::budget::{Budget, Exhausted, Share};
use crate::image_fetch::ImageFetcher;
use crate::pause::Pause;
use crate::recording::{Reading, Recorder, Recording};
use crate::response_store::{ResponseStore, StoreError, StoreState};
use crate::secret::AdmittedKey;
use crate::telemetry::Metrics;
use crate::threads::ThreadSource;
use crate::throttle::{Allowed, Throttle, Throttled};
use crate::token_count::TokenCounter;
use crate::usage::UsageStore;
use choice::{Choice, Choices, Run};
use detach::Detached;
use images::Held;
use protocol::openai::error::RequestError;
use protocol::openai::frame::Frame;
use protocol::openai::state::State;
use protocol::openai::{self, Context, Encoder as _, Prepared, Surface, content};
use protocol::turn::{Catalogue, Effort, ServiceTier, Task, TurnError, TurnErrorKind};
use state::{Base, Keeping};

/// Answers requests. Cheap to clone.
pub struct Exchanges<B = Codex>(Arc<Parts<B>>);

/// The parts of exchanges.
pub struct Parts<B = Codex> {
    /// Runs turns.
    pub backend: B,
    /// The translation's settings.
    pub openai: openai::Config,
    /// The limits of each key.
    pub throttle: Throttle,
    /// Whether requests are refused at present.
    pub pause: Pause,
    /// The running streamed answers.
    pub streams: Streams,
    /// The memory budget of requests. Each one holds its share until Codex has received the whole request.
    pub memory: Budget,
    /// Fetches images.
    pub images: ImageFetcher,
    /// Answers questions about usage.
    pub usage: UsageStore,
    /// Counts the tokens of requests.
    pub tokens: TokenCounter,
    /// What is stored of requests and answers.
    pub store: ResponseStore,
    /// The answers that nobody waits for.
    pub background: Background,
    /// Records requests.
    pub recorder: Recorder,
    /// Counts images.
    pub metrics: Metrics,
    /// The status and the code with which the failure of an answer in the background is recorded.
    pub outcome: fn(&TurnError) -> (u16, Option<&'static str>),
}

/// The beginning of an answer, and the notes for the client.
#[derive(Debug)]
pub struct Reply<E> {
    /// How the request was understood.
    pub notes: Notes,
    /// The client's remaining limits.
    pub limits: Limits,
    /// The answer.
    pub answer: Answer<E>,
}

/// An answer.
#[derive(Debug)]
pub enum Answer<E> {
    /// The complete answer.
    Object(Value, Option<Transcript>),
    /// The object of an answer that runs in the background from now on.
    Queued(Value),
    /// The frames that open a stream, and the rest of it while it streams.
    Stream(Vec<Frame>, FrameStream<E>),
}

/// How a request was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notes {
    /// The model that answers.
    pub effective_model: String,
    /// The effort used instead of the requested one.
    pub effective_effort: Option<Effort>,
    /// Parameters that were accepted but have no effect. The names are the client's own.
    pub ignored_params: Vec<String>,
    /// The parameter that requests JSON, if the complete answer is not JSON. A stream cannot have this note.
    pub unmet_param: Option<&'static str>,
    /// The number of lone surrogates that were replaced in the request so that it could be read.
    pub replaced_characters: usize,
    /// Whether the answer was to be stored and cannot be.
    pub not_stored: bool,
    /// Where the thread of the first choice comes from; `None` if no model was asked.
    pub thread: Option<ThreadSource>,
}

/// The client's remaining limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests of its key, if it has a limit.
    pub rate: Option<Allowed>,
    /// Streams, if the answer is one.
    pub streams: Option<Count>,
}

/// Why a request is refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    /// The key is over its limit.
    #[error(transparent)]
    Throttled(#[from] Throttled),
    /// A user has paused the proxy.
    #[error("the proxy is paused")]
    Paused,
    /// The limit of streamed answers is reached.
    #[error("too many concurrent streams")]
    TooManyStreams(Count),
    /// The request cannot become a turn.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// What is stored cannot be read, or the answer has to be stored and cannot be.
    #[error(transparent)]
    Store(Arc<StoreError>),
    /// The turn failed before the answer began.
    #[error(transparent)]
    Turn(#[from] TurnError),
}

impl From<Exhausted> for Refusal {
    fn from(error: Exhausted) -> Self {
        let error = TurnError::new(TurnErrorKind::Overloaded, format!("For now {error}."));
        Self::Turn(error.retry_after(Duration::from_secs(1)))
    }
}

impl<B> Clone for Exchanges<B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<B: Backend> Exchanges<B> {
    /// Exchanges made of these parts.
    pub fn new(parts: Parts<B>) -> Self {
        Self(Arc::new(parts))
    }

    /// Records requests.
    pub fn recorder(&self) -> &Recorder {
        &self.0.recorder
    }

    /// The number of running streamed answers.
    pub fn open_streams(&self) -> usize {
        self.0.streams.open()
    }

    /// Takes memory for a request that waits on its transport.
    ///
    /// # Errors
    /// If the other requests hold too much.
    pub fn hold(&self, bytes: usize) -> Result<Share, Exhausted> {
        let share = self.0.memory.share();
        share.take(bytes)?;
        Ok(share)
    }

    /// The last known limits of the plan. Every answer to a client has them, also an error.
    pub fn plan(&self) -> Option<PlanLimits> {
        self.0.backend.plan()
    }

    /// Answers a request of surface `S` under a key.
    ///
    /// The transport must finish `recording` when the answer is written, or when it is refused. Dropping the
    /// future or the answer interrupts the turns.
    ///
    /// # Errors
    /// Why the request could not be read, or the [`Refusal`].
    pub async fn open<S: Surface, I: Incoming>(
        &self,
        incoming: I,
        key: &AdmittedKey,
        recording: &Recording,
    ) -> Result<Reply<S::Encoder>, I::Error> {
        let today = || self.0.recorder.today(&key.id);
        let rate = self.0.throttle.check(key, today).map_err(Refusal::Throttled)?;
        let share = Arc::new(self.0.memory.share());
        let received = incoming.read(&share, recording).await?;
        match self.answer::<S>(received, key, rate, share, recording).await {
            Ok(reply) => Ok(reply),
            Err(Refusal::Turn(error)) => {
                Err(Refusal::Turn(self.0.backend.explain_refusal(error).await).into())
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    async fn answer<S: Surface>(
        &self,
        received: Received,
        key: &AdmittedKey,
        rate: Option<Allowed>,
        share: Arc<Share>,
        recording: &Recording,
    ) -> Result<Reply<S::Encoder>, Refusal> {
        let (replaced, remembers, warm_up) = (received.replaced, received.remembers, received.warm_up);
        let Understood { id, state, body, base, mut prepared, no_worker } =
            self.understand::<S>(received, key, recording).await?;
        let mut keeping = self.keeping::<S>(state.clone(), body, base, &key.id, &id, remembers);
        if self.0.pause.is_on() {
            return Err(Refusal::Paused);
        }
        let queued = prepared.encoder.queued();
        // Without a client that waits for it, only this limit bounds the number of background answers.
        let is_open = prepared.stream || queued.is_some();
        let stream = is_open.then(|| self.0.streams.begin().map_err(Refusal::TooManyStreams));
        let (permit, count) = stream.transpose()?.unzip();
        images::fetch(&self.0.images, &self.0.metrics, &mut prepared, &share).await?;
        content::images::check_size(&prepared.turn)?;
        if let Some(tokens) = self.0.tokens.expected(&prepared.turn) {
            recording.expect(tokens);
        }
        let mut notes = Notes::of(&prepared, replaced);
        notes.not_stored = state.store && matches!(self.0.store.state(), StoreState::Broken(_));
        let limits = Limits { rate, streams: count };
        let Prepared { turn, choices, compact_at, stream, encoder, .. } = prepared;
        let format_param = prepared.notes.format_param;
        let compacts = match compact_at {
            Some(limit) if !warm_up => self.0.tokens.count(&turn).await? >= limit,
            Some(_) | None => false,
        };
        let said = if warm_up || turn.task == Task::Compact {
            None
        } else {
            usage_answer::to(&self.0.usage, &turn).await
        };
        let choices = match said {
            None if warm_up => {
                self.0.backend.prepare(key.id.as_str(), &turn);
                vec![Choice::nothing()]
            }
            Some(text) => (0..choices).map(|_| Choice::said(&text)).collect(),
            None => {
                self.0.backend.admit().await?;
                if let Some(error) = no_worker {
                    return Err(error.into());
                }
                if let Some(queued) = queued
                    && let Some(keeping) = keeping.take()
                {
                    let run = Detached { turn, choices, compacts, stream, encoder, permit, keeping, share };
                    let answer = self.detach(queued, run, &key.id, recording).await?;
                    return Ok(Reply { notes, limits, answer });
                }
                let held = Held::new(share, &turn).await;
                choice::start(
                    &self.0.backend,
                    Run { owner: key.id.as_str(), turn, choices, streamed: stream, compacts },
                    held,
                    recording,
                )
                .await?
            }
        };
        notes.thread = choices.first().and_then(Choice::thread);
        let answer = if stream {
            let (opening, rest) = FrameStream::open(&self.0.backend, choices, encoder, permit, keeping);
            Answer::Stream(opening, rest)
        } else {
            let whole = collect(choices, &encoder, keeping).await?;
            notes.unmet_param = format_param.filter(|_| whole.is_unmet);
            notes.not_stored |= whole.not_stored;
            Answer::Object(whole.object, whole.transcript)
        };
        Ok(Reply { notes, limits, answer })
    }

    /// Reads a request: what it continues, and the turn that it asks for.
    async fn understand<S: Surface>(
        &self,
        received: Received,
        key: &AdmittedKey,
        recording: &Recording,
    ) -> Result<Understood<S::Encoder>, Refusal> {
        let Received { mut body, output_mode, recalled, remembers, .. } = received;
        let requested_model = body["model"].as_str().unwrap_or_default().to_owned();
        recording.model(&requested_model);
        let (catalogue, no_worker) = self.catalogue().await;
        let id = uuid::Uuid::new_v4().simple().to_string();
        let state = S::state(&body)?;
        let base = match S::CONTINUES {
            true => self.base(&state, &mut body, recalled, remembers, &key.id).await?,
            false => None,
        };
        let context = Context {
            config: &self.0.openai,
            catalogue: &catalogue,
            output_mode,
            id: &id,
            now: now(),
            continued: base.as_ref().map(Base::continued),
            stores: self.0.store.is_on(),
        };
        let prepared = S::parse(&body, &context)?;
        recording.read(Reading {
            requested_model,
            effective_model: prepared.turn.spec.model.clone(),
            effort: prepared.turn.spec.effort.map(Effort::as_str),
            service_tier: prepared.turn.spec.service_tier.map(ServiceTier::as_str),
            stream: prepared.stream,
        });
        Ok(Understood { id, state, body, base, prepared, no_worker })
    }

    /// The catalogue of models, and why no turn can run now. An invalid request is refused as invalid even then.
    ///
    /// A place that was waited for is given back: a request that waits for its images must not keep a place from
    /// requests that have theirs.
    async fn catalogue(&self) -> (Arc<Catalogue>, Option<TurnError>) {
        if let Some(catalogue) = self.0.backend.catalogue() {
            return (catalogue, None);
        }
        match self.0.backend.place().await {
            Ok(place) => (place.catalogue(), None),
            Err(error) => (Arc::default(), Some(error)),
        }
    }
}

impl Notes {
    fn of<E>(prepared: &Prepared<E>, replaced_characters: usize) -> Self {
        Self {
            effective_model: prepared.turn.spec.model.clone(),
            effective_effort: prepared.notes.effective_effort,
            ignored_params: prepared.notes.ignored_params.clone(),
            unmet_param: None,
            replaced_characters,
            not_stored: false,
            thread: None,
        }
    }
}

/// A request that has been understood.
struct Understood<E> {
    /// A fresh random id, without prefix.
    id: String,
    state: State,
    body: Value,
    /// What it continues.
    base: Option<Base>,
    prepared: Prepared<E>,
    /// Why no turn can run now.
    no_worker: Option<TurnError>,
}

/// A whole answer.
struct Whole {
    object: Value,
    transcript: Option<Transcript>,
    /// A choice is not the requested JSON.
    is_unmet: bool,
    /// It was to be stored and could not be.
    not_stored: bool,
}

/// The whole answer as one object, which has been stored if it is to be kept.
///
/// # Errors
/// The failure of the first choice that failed.
async fn collect<V: Events>(
    choices: Choices<V>,
    encoder: &impl openai::Encoder,
    keeping: Option<Keeping>,
) -> Result<Whole, TurnError> {
    let folded = futures_util::future::join_all(choices.into_iter().map(Choice::fold)).await;
    let (outputs, unmet): (Vec<_>, Vec<_>) = folded.into_iter().unzip();
    for output in &outputs {
        match &output.end {
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error.clone()),
            None => return Err(without_end()),
        }
    }
    let mut whole = Whole {
        object: encoder.object(&outputs),
        transcript: None,
        is_unmet: unmet.contains(&true),
        not_stored: false,
    };
    if let Some(keeping) = keeping {
        let mut stored = encoder.stored(&outputs);
        // Both have been made now, but a second may have begun in between.
        if let (Some(shown), Some(stored)) =
            (whole.object.get("completed_at"), stored.get_mut("completed_at"))
        {
            *stored = shown.clone();
        }
        let kept = keeping.end(stored).await;
        (whole.transcript, whole.not_stored) = (kept.transcript, kept.has_failed);
        if kept.has_failed && whole.object["store"] == true {
            whole.object["store"] = Value::Bool(false);
        }
    }
    Ok(whole)
}

/// The failure of a turn without a terminal event.
fn without_end() -> TurnError {
    TurnError::new(
        TurnErrorKind::Internal,
        "The answer stopped before its end. Try again. If it happens again, report it with the proxy's log.",
    )
}

/// Seconds since the epoch.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
