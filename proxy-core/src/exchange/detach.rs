//! Starts an answer without a client that waits for it.

use std::sync::Arc;

use serde_json::Value;

use super::background::{Cut, cut_object};
use super::batch::{Batch, End};
use super::choice::{self, Choice, Run};
use super::images::Held;
use super::state::Keeping;
use super::stream::{FrameStream, Turns};
use super::streams::StreamPermit;
use super::{Answer, Backend, Exchanges, Refusal};
use crate::budget::Share;
use crate::recording::Recording;
use crate::secret::KeyId;
use protocol::openai::Encoder;
use protocol::openai::frame::Frames;
use protocol::turn::{Turn, TurnError, TurnErrorKind};

/// The status with which a complete answer in the background is recorded.
const OK: u16 = 200;

/// An answer that is to run in the background.
pub(super) struct Detached<E> {
    pub(super) turn: Turn,
    pub(super) choices: usize,
    /// Whether its transcript is compacted first.
    pub(super) compacts: bool,
    pub(super) stream: bool,
    pub(super) encoder: E,
    pub(super) permit: Option<StreamPermit>,
    pub(super) keeping: Keeping,
    pub(super) share: Arc<Share>,
}

impl<B: Backend> Exchanges<B> {
    /// Runs an answer without a client that waits for it.
    ///
    /// # Errors
    /// If it cannot be stored.
    pub(super) async fn detach<E: Encoder>(
        &self,
        queued: Value,
        detached: Detached<E>,
        owner: &KeyId,
        recording: &Recording,
    ) -> Result<Answer<E>, Refusal> {
        let Detached { turn, choices, compacts, stream, mut encoder, permit, keeping, share } = detached;
        keeping.queue(&queued).await?;
        let id = queued["id"].as_str().unwrap_or_default().to_owned();
        let run = self.0.background.begin(&id, owner);
        let mut opening = Frames::default();
        encoder.open(&mut opening);
        run.push(opening.take());
        let answer = match stream {
            true => Answer::Stream(Vec::new(), FrameStream::following(run.follow(0))),
            false => Answer::Queued(queued),
        };
        let (exchanges, owner, recording) = (self.clone(), owner.clone(), recording.clone());
        let running = run.clone();
        self.0.background.spawn(id, run, async move {
            let (backend, background) = (&exchanges.0.backend, &exchanges.0.background);
            let begun = async {
                let held = Held::new(share, &turn).await;
                let run = Run { owner: owner.as_str(), turn, choices, streamed: true, compacts };
                match choice::start(backend, run, held, &recording).await {
                    Ok(choices) => choices,
                    Err(error) => vec![Choice::failed(backend.explain_refusal(error).await)],
                }
            };
            let begun = tokio::select! {
                biased;
                cut = background.cut(&running) => Err(cut),
                choices = begun => Ok(choices),
            };
            let choices = match begun {
                Ok(choices) => choices,
                Err(cut) => {
                    keeping.end(cut_object(encoder.stored(&[]), cut)).await;
                    return exchanges.record(&recording, &cut_error(cut));
                }
            };
            running.begin();
            let mut turns = Turns::new(backend, choices, encoder, permit, Some(keeping));
            let mut is_ending = false;
            loop {
                let cut = tokio::select! {
                    biased;
                    cut = background.cut(&running), if !is_ending => cut,
                    next = turns.next() => {
                        let Some((Batch { frames, end }, _)) = next else { return };
                        frames.iter().for_each(|frame| recording.answered(frame.json.as_bytes()));
                        match &end {
                            Some(End::Complete) => recording.finish(OK, None),
                            Some(End::Failed(error)) => exchanges.record(&recording, error),
                            None => {}
                        }
                        running.push(frames);
                        continue;
                    }
                };
                // Without it, the answer is being stored already: it comes to its own end.
                let Some((object, keeping)) = turns.cut() else {
                    is_ending = true;
                    continue;
                };
                keeping.end(cut_object(object, cut)).await;
                return exchanges.record(&recording, &cut_error(cut));
            }
        });
        Ok(answer)
    }

    /// Records how an answer in the background has failed.
    fn record(&self, recording: &Recording, error: &TurnError) {
        let (status, code) = (self.0.outcome)(error);
        recording.finish(status, code);
    }
}

/// Why an answer in the background ended before its time.
fn cut_error(cut: Cut) -> TurnError {
    match cut {
        Cut::Cancelled => TurnError::new(TurnErrorKind::Cancelled, "The client has cancelled the response."),
        Cut::Ending => TurnError::new(TurnErrorKind::Internal, "The proxy ended before the response did."),
    }
}
