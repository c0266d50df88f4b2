//! One WebSocket: reads requests, runs them in their lanes, writes their events, and ends in order.
//!
//! One task reads and writes. While a client does not read, nothing more is taken from its responses, so that
//! nothing of them piles up here; what a worker does with such an answer is the same as for an answer over HTTP.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{SelectAll, Stream, StreamExt as _};
use futures_util::{Sink, SinkExt as _};
use http::request::Parts;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep, interval_at, sleep, timeout};
use tokio_util::sync::CancellationToken;
use yawc::close::CloseCode;
use yawc::{Frame, OpCode, WebSocket, WebSocketError};

use super::frame::{self, Body, Create};
use super::lanes::{Lane, Lanes, MOST_REMEMBERED, Outcome, Start};
use super::response::{Piece, Record, respond};
use super::steering::{Begun, Note, Steering, Taken};
use crate::budget::{Budget, Share};
use crate::exchange::{Backend, Exchanges};
use crate::http::error::{Error, SocketError};
use crate::secret::AdmittedKey;
use crate::telemetry::Metrics;
use protocol::openai::error::{RequestError, RequestErrorKind};
use protocol::turn::{OutputMode, TurnError, TurnErrorKind};

/// The time between two pings. A client that has sent nothing from one to the next has gone.
const PING: Duration = Duration::from_secs(30);

/// The age from which a connection takes no more requests.
const LIFE: Duration = Duration::from_secs(60 * 60);

/// The most time in which a client has to read a frame.
const STALLED: Duration = Duration::from_secs(60);

/// The most time for the end of a connection.
const PARTING: Duration = Duration::from_secs(6);

/// What a connection needs.
pub(super) struct Terms<B> {
    pub(super) exchanges: Exchanges<B>,
    pub(super) metrics: Metrics,
    /// The head of the request that has opened the connection, without its key.
    pub(super) parts: Parts,
    pub(super) output_mode: Option<OutputMode>,
    /// The key of the connection, as long as it is accepted.
    pub(super) pass: Box<dyn Fn() -> Option<AdmittedKey> + Send + Sync>,
    /// Cancelled when the proxy ends.
    pub(super) closing: CancellationToken,
    /// The memory for what all connections remember.
    pub(super) memory: Budget,
}

/// One connection.
pub(super) struct Connection<S, B> {
    socket: WebSocket<S>,
    terms: Terms<B>,
    lanes: Lanes<Waiting>,
    steering: Steering,
    running: SelectAll<Response>,
    /// Why it takes no more requests.
    leaving: Option<Leaving>,
    /// Whether the client has sent anything since the last ping.
    heard: bool,
}

/// A response that runs, as what is to be sent of it.
type Response = Pin<Box<dyn Stream<Item = (Lane, Piece)> + Send>>;

/// A request that may have to wait for its lane.
struct Waiting {
    text: Bytes,
    key: AdmittedKey,
    record: Record,
    held: Share,
}

#[derive(Debug, Clone, Copy)]
enum Leaving {
    /// The proxy ends.
    Closing,
    /// The connection has reached its age.
    Old,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy)]
enum Over {
    /// The client has gone, or reads nothing.
    Gone,
    /// The client has sent its close frame, or a frame that is none; the library has an answer ready.
    Answered,
    /// With this close frame.
    Close(CloseCode, &'static str),
}

impl Over {
    fn after(error: &WebSocketError) -> Self {
        if matches!(error, WebSocketError::ConnectionClosed | WebSocketError::IoError(_)) {
            Self::Gone
        } else if matches!(error, WebSocketError::InvalidFragment) {
            Self::Close(CloseCode::Protocol, "the fragments are in no order")
        } else {
            Self::Answered
        }
    }
}

struct Timers {
    ping: Interval,
    life: Pin<Box<Sleep>>,
}

impl Leaving {
    fn refusal(self) -> Error {
        match self {
            Self::Old => Error::Socket(SocketError::TooOld),
            Self::Closing => {
                let message = "The proxy is being closed or started again. Connect again in a moment.";
                let error = TurnError::new(TurnErrorKind::Overloaded, message);
                Error::Turn(error.retry_after(Duration::from_secs(1)))
            }
        }
    }
}

impl<S, B> Connection<S, B>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    B: Backend,
{
    pub(super) fn new(socket: WebSocket<S>, terms: Terms<B>) -> Self {
        let lanes = Lanes::new(terms.memory.clone(), MOST_REMEMBERED);
        let steering = Steering::default();
        Self { socket, terms, lanes, steering, running: SelectAll::new(), leaving: None, heard: true }
    }

    /// Serves the client until it goes, or has to.
    pub(super) async fn serve(mut self) {
        let mut timers =
            Timers { ping: interval_at(Instant::now() + PING, PING), life: Box::pin(sleep(LIFE)) };
        timers.ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let Err(over) = self.converse(&mut timers).await;
        tracing::debug!(?over, "a WebSocket ends");
        // Interrupts what still runs.
        self.running.clear();
        drop(self.lanes.take_waiting());
        // A client that does not answer is left.
        let _ = timeout(PARTING, part(&mut self.socket, over)).await;
    }

    async fn converse(&mut self, timers: &mut Timers) -> Result<Infallible, Over> {
        loop {
            if let Some(leaving) = self.leaving
                && self.running.is_empty()
            {
                return Err(self.leave(leaving).await?);
            }
            let stays = self.leaving.is_none();
            // What has come is read before a missing pong is noticed.
            tokio::select! {
                biased;
                frame = self.socket.next_frame() => self.hear(frame).await?,
                () = self.terms.closing.cancelled(), if stays => self.stay_no_longer(Leaving::Closing).await?,
                () = &mut timers.life, if stays => self.stay_no_longer(Leaving::Old).await?,
                _ = timers.ping.tick() => self.ping().await?,
                piece = self.running.next(), if !self.running.is_empty() => {
                    // Nothing comes from the end of the last one, which may be what is waited for.
                    if let Some((lane, piece)) = piece {
                        self.tell(&lane, piece).await?;
                    }
                }
            }
        }
    }

    async fn hear(&mut self, frame: Result<Frame, WebSocketError>) -> Result<(), Over> {
        self.heard = true;
        let frame = frame.map_err(|error| Over::after(&error))?;
        match frame.opcode() {
            OpCode::Text => self.request(frame.into_payload()).await,
            OpCode::Binary => {
                let message = "A frame has to be a text with a JSON object, not binary.".to_owned();
                let error = RequestError { kind: RequestErrorKind::InvalidJson, message, param: None };
                self.send(frame::error(&error.into(), &Lane::default())).await?;
                Err(Over::Close(CloseCode::Unsupported, "send text frames"))
            }
            // The pong goes out before more is read, so that a flood of pings piles up nothing.
            OpCode::Ping => {
                let ready = poll_fn(|context| Pin::new(&mut self.socket).poll_ready(context));
                written(ready).await
            }
            OpCode::Pong | OpCode::Continuation => Ok(()),
            OpCode::Close => Err(Over::Answered),
        }
    }

    async fn request(&mut self, text: Bytes) -> Result<(), Over> {
        let Some(key) = (self.terms.pass)() else {
            let error = Error::Unauthorized { is_shown: true };
            self.send(frame::error(&error, &Lane::default())).await?;
            return Err(Over::Close(CloseCode::Policy, "the API key is not accepted any more"));
        };
        if std::str::from_utf8(&text).is_err() {
            return Err(Over::Close(CloseCode::Invalid, "a text frame has to be UTF-8"));
        }
        let read = match Create::read(&text) {
            Ok(Create { lane, steers: true, .. }) => return self.steer(&lane, &text).await,
            read => read,
        };
        let record = self.record(&key);
        let admitted = read.and_then(|Create { lane, previous, .. }| match self.admit(&lane, text.len()) {
            Ok(held) => Ok((lane, previous, held)),
            Err(error) => Err((lane, Box::new(error))),
        });
        match admitted {
            Ok((lane, previous, held)) => {
                let waiting = Waiting { text, key, record, held };
                match self.lanes.push(&lane, previous, waiting) {
                    Some(start) => self.start(start).await,
                    None => Ok(()),
                }
            }
            Err((lane, error)) => {
                record.body(&text);
                self.send(record.refused(&error, &lane)).await
            }
        }
    }

    /// Whether a request of this many bytes may wait in a lane. Returns its memory.
    fn admit(&self, lane: &Lane, bytes: usize) -> Result<Share, Error> {
        if let Some(leaving) = self.leaving {
            return Err(leaving.refusal());
        }
        self.lanes.admit(lane).map_err(Error::Socket)?;
        Ok(self.terms.exchanges.hold(bytes)?)
    }

    async fn start(&mut self, start: Start<Waiting>) -> Result<(), Over> {
        let Start { lane, request, previous, recalled } = start;
        let Waiting { text, key, record, held } = request;
        let Begun { text, settings, signals, notes } = self.steering.begin(&lane, previous.as_deref(), text);
        let body = Body { text, output_mode: self.terms.output_mode, recalled, settings, held };
        let response = respond(self.terms.exchanges.clone(), lane.clone(), body, key, record, signals);
        self.running.push(Box::pin(response));
        self.note(&lane, notes).await
    }

    fn record(&self, key: &AdmittedKey) -> Record {
        let Terms { exchanges, metrics, parts, .. } = &self.terms;
        Record::begin(exchanges, metrics, parts, key)
    }

    /// A frame steers the response of a lane.
    async fn steer(&mut self, lane: &Lane, text: &[u8]) -> Result<(), Over> {
        let Taken { notes, goes_on } = self.steering.take(lane, text);
        self.note(lane, notes).await?;
        if goes_on {
            self.go_on(lane).await?;
            if let Some(start) = self.lanes.next(lane) {
                return self.start(start).await;
            }
        }
        Ok(())
    }

    async fn note(&mut self, lane: &Lane, notes: Vec<(Note, u64)>) -> Result<(), Over> {
        for (note, number) in notes {
            self.send(frame::note(note, number, lane)).await?;
        }
        Ok(())
    }

    /// Has the latest response of a lane continued with the input that it was steered with. A request that continues it
    /// anyway gets the input instead.
    async fn go_on(&mut self, lane: &Lane) -> Result<(), Over> {
        let Some((text, previous)) = self.steering.continuation(lane) else { return Ok(()) };
        if self.lanes.next_continues(lane) == Some(&previous) {
            return Ok(());
        }
        let Some(key) = (self.terms.pass)() else { return Ok(()) };
        let record = self.record(&key);
        let held = match self.leaving {
            Some(leaving) => Err(leaving.refusal()),
            None => self.terms.exchanges.hold(text.len()).map_err(Error::from),
        };
        match held {
            Ok(held) => self.lanes.push_next(lane, Some(previous), Waiting { text, key, record, held }),
            Err(error) => self.send(record.refused(&error, lane)).await?,
        }
        Ok(())
    }

    async fn tell(&mut self, lane: &Lane, Piece { texts, opened, end }: Piece) -> Result<(), Over> {
        self.steering.sent(lane, texts.len(), opened);
        for text in texts {
            written(self.socket.feed(Frame::text(text))).await?;
        }
        written(self.socket.flush()).await?;
        match end {
            Some(outcome) => self.end(lane, outcome).await,
            None => Ok(()),
        }
    }

    async fn end(&mut self, lane: &Lane, outcome: Outcome) -> Result<(), Over> {
        let Taken { notes, goes_on } = self.steering.ended(lane, &outcome, &self.terms.memory);
        self.note(lane, notes).await?;
        if goes_on {
            self.go_on(lane).await?;
        }
        let next = self.lanes.ended(lane, outcome);
        self.steering.retain(|lane| self.lanes.has(lane));
        match next {
            Some(start) => self.start(start).await,
            None => Ok(()),
        }
    }

    async fn ping(&mut self) -> Result<(), Over> {
        if !std::mem::take(&mut self.heard) {
            return Err(Over::Close(CloseCode::Error, "no pong came"));
        }
        written(self.socket.send(Frame::ping(Bytes::new()))).await
    }

    /// Takes no more requests; the running ones go on.
    async fn stay_no_longer(&mut self, leaving: Leaving) -> Result<(), Over> {
        self.leaving = Some(leaving);
        for (lane, waiting) in self.lanes.take_waiting() {
            self.send(waiting.record.refused(&leaving.refusal(), &lane)).await?;
        }
        Ok(())
    }

    async fn leave(&mut self, leaving: Leaving) -> Result<Over, Over> {
        match leaving {
            Leaving::Closing => {
                Ok(Over::Close(CloseCode::Restart, "the proxy is being closed; connect again"))
            }
            Leaving::Old => {
                self.send(frame::error(&leaving.refusal(), &Lane::default())).await?;
                Ok(Over::Close(CloseCode::Normal, "60 minutes have passed; connect again"))
            }
        }
    }

    async fn send(&mut self, text: String) -> Result<(), Over> {
        written(self.socket.send(Frame::text(text))).await
    }
}

/// A client that reads nothing for too long has gone.
async fn written(writing: impl Future<Output = Result<(), WebSocketError>>) -> Result<(), Over> {
    match timeout(STALLED, writing).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Over::Gone),
    }
}

/// Ends the connection, and waits until the client has ended its side.
async fn part<S>(socket: &mut WebSocket<S>, over: Over) -> Result<(), WebSocketError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match over {
        Over::Gone => return Ok(()),
        // The answer goes out with the next look at what the client sends.
        Over::Answered => while socket.next_frame().await.is_ok() {},
        Over::Close(code, reason) => {
            socket.send(Frame::close(code, reason)).await?;
            while socket.next_frame().await?.opcode() != OpCode::Close {}
        }
    }
    socket.close().await
}

#[cfg(test)]
mod tests;
