//! One response on a WebSocket: from its request to the texts of its last events.

use futures_util::stream::{self, Stream};
use http::Method;
use http::request::Parts;
use serde::Deserialize;
use tokio::sync::mpsc::UnboundedReceiver;
use tracing::Instrument as _;

use super::frame::{self, Body};
use super::lanes::{Lane, Outcome};
use super::steering::{Note, Signal};
use crate::exchange::{Answer, Backend, Batch, End, Exchanges, FrameStream};
use crate::http::error::Error;
use crate::http::turns;
use crate::recording::Recording;
use crate::secret::AdmittedKey;
use crate::telemetry::Metrics;
use crate::telemetry::request::Observed;
use protocol::openai::Surface;
use protocol::openai::frame::Frame;
use protocol::openai::responses::Responses;

type Encoder = <Responses as Surface>::Encoder;

/// The record of one request on a WebSocket. Dropping it before the end records that the client has gone.
#[derive(Debug)]
pub(super) struct Record {
    recording: Recording,
    observed: Observed,
}

/// What is sent next.
#[derive(Debug)]
pub(super) struct Piece {
    /// Text frames.
    pub(super) texts: Vec<String>,
    /// The id of the response, with its first frames.
    pub(super) opened: Option<String>,
    /// How the request has ended, with its last frames.
    pub(super) end: Option<Outcome>,
}

impl Record {
    /// Begins the record of a request on the connection that was opened by the request `parts`.
    pub(super) fn begin<B: Backend>(
        exchanges: &Exchanges<B>,
        metrics: &Metrics,
        parts: &Parts,
        key: &AdmittedKey,
    ) -> Self {
        let id = format!("req_{}", uuid::Uuid::new_v4().simple());
        let path = parts.uri.path();
        let observed = Observed::begin(metrics, &id, &Method::GET, path, &parts.headers);
        let mut arrival = turns::arrival::<Responses>(parts, key);
        let about = observed.about();
        about.route(&arrival.route);
        about.key(key.name.as_str());
        arrival.about = Some(about.clone());
        arrival.id = id;
        let recording = exchanges.recorder().begin(arrival);
        turns::capture_headers(&recording, &parts.headers);
        Self { recording, observed }
    }

    /// The request was refused. Returns the frame that says so.
    pub(super) fn refused(mut self, error: &Error, lane: &Lane) -> String {
        let text = frame::error(error, lane);
        self.recording.answered(text.as_bytes());
        self.finish(error.status().as_u16(), error.code());
        text
    }

    /// A text frame with the request has come that will not be read further.
    pub(super) fn body(&self, text: &[u8]) {
        self.recording.body(text);
    }

    fn finish(&mut self, status: u16, code: Option<&str>) {
        self.recording.finish(status, code);
        self.observed.answered(status);
    }

    fn texts(&self, frames: Vec<Frame>, lane: &Lane) -> Vec<String> {
        let texts: Vec<_> = frames.into_iter().map(|frame| frame::event(frame, lane)).collect();
        texts.iter().for_each(|text| self.recording.answered(text.as_bytes()));
        texts
    }
}

enum Step {
    Begin(Box<(Body, AdmittedKey, Record, UnboundedReceiver<Signal>)>),
    Goes(Box<Going>),
    Over,
}

struct Going {
    frames: FrameStream<Encoder>,
    record: Record,
    signals: UnboundedReceiver<Signal>,
}

enum Woken {
    Signal(Signal),
    Batch(Option<Batch>),
}

/// Answers a request. Dropping the stream interrupts its turn.
pub(super) fn respond<B: Backend>(
    exchanges: Exchanges<B>,
    lane: Lane,
    body: Body,
    key: AdmittedKey,
    record: Record,
    signals: UnboundedReceiver<Signal>,
) -> impl Stream<Item = (Lane, Piece)> + Send {
    let span = record.observed.about().span().clone();
    let begin = Step::Begin(Box::new((body, key, record, signals)));
    stream::unfold(begin, move |step| {
        let (exchanges, lane) = (exchanges.clone(), lane.clone());
        async move {
            let (piece, step) = next(&exchanges, &lane, step).await?;
            Some(((lane, piece), step))
        }
        .instrument(span.clone())
    })
}

async fn next<B: Backend>(exchanges: &Exchanges<B>, lane: &Lane, step: Step) -> Option<(Piece, Step)> {
    match step {
        Step::Begin(begin) => {
            let (body, key, record, signals) = *begin;
            let reply = exchanges.open::<Responses, _>(body, &key, &record.recording).await;
            let (opening, frames) = match reply.map(|reply| reply.answer) {
                Ok(Answer::Stream(opening, frames)) => (opening, frames),
                // Every frame asks for a stream.
                Ok(Answer::Object(..) | Answer::Queued(_)) => {
                    return Some(refused(record, &Error::Internal, lane));
                }
                Err(error) => return Some(refused(record, &error, lane)),
            };
            let opened = opening.first().and_then(|frame| response_id(&frame.json));
            let texts = record.texts(opening, lane);
            let going = Going { frames, record, signals };
            Some((Piece { texts, opened, end: None }, Step::Goes(Box::new(going))))
        }
        Step::Goes(mut goes) => {
            let Going { frames, record, signals } = &mut *goes;
            let woken = tokio::select! {
                biased;
                Some(signal) = signals.recv() => Woken::Signal(signal),
                batch = frames.next() => Woken::Batch(batch),
            };
            let Batch { frames: batch, end } = match woken {
                Woken::Batch(batch) => batch?,
                Woken::Signal(Signal { note: Note { kind, body }, ends }) => {
                    if ends {
                        frames.end_with_item();
                    }
                    Batch { frames: frames.aside(kind, body), end: None }
                }
            };
            let texts = record.texts(batch, lane);
            let Some(end) = end else {
                return Some((Piece { texts, opened: None, end: None }, Step::Goes(goes)));
            };
            match end {
                End::Complete => record.finish(200, None),
                End::Failed(error) => {
                    let error = Error::from(error);
                    record.finish(error.status().as_u16(), error.code());
                }
            }
            let outcome = frames.transcript().map_or(Outcome::Failed, Outcome::Said);
            Some((Piece { texts, opened: None, end: Some(outcome) }, Step::Over))
        }
        Step::Over => None,
    }
}

fn refused(record: Record, error: &Error, lane: &Lane) -> (Piece, Step) {
    let texts = vec![record.refused(error, lane)];
    (Piece { texts, opened: None, end: Some(Outcome::Failed) }, Step::Over)
}

/// The id of the response in its first event.
fn response_id(event: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Opening {
        response: Named,
    }
    #[derive(Deserialize)]
    struct Named {
        id: String,
    }
    serde_json::from_str::<Opening>(event).ok().map(|opening| opening.response.id)
}
