//! Counts what a request would give to the model. No turn is run.

use std::sync::Arc;

use serde_json::json;

use super::{
    Answer, Backend, Exchanges, Incoming, Limits, Notes, Received, Refusal, Reply, Understood, images,
};
use crate::budget::Share;
use crate::recording::Recording;
use crate::secret::AdmittedKey;
use crate::throttle::Allowed;
use crate::token_count::CountError;
use protocol::openai::content;
use protocol::openai::responses::{Responses, ResponsesEncoder};
use protocol::turn::{TurnError, TurnErrorKind};

impl<B: Backend> Exchanges<B> {
    /// Counts the input tokens of a request of the Responses API, which is read and refused like one that is answered.
    ///
    /// # Errors
    /// Why the request could not be read, or the [`Refusal`].
    pub async fn count<I: Incoming>(
        &self,
        incoming: I,
        key: &AdmittedKey,
        recording: &Recording,
    ) -> Result<Reply<ResponsesEncoder>, I::Error> {
        let today = || self.0.recorder.today(&key.id);
        let rate = self.0.throttle.check(key, today).map_err(Refusal::Throttled)?;
        let share = Arc::new(self.0.memory.share());
        let received = incoming.read(&share, recording).await?;
        match self.counted(received, key, rate, &share, recording).await {
            Ok(reply) => Ok(reply),
            Err(Refusal::Turn(error)) => {
                Err(Refusal::Turn(self.0.backend.explain_refusal(error).await).into())
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    async fn counted(
        &self,
        received: Received,
        key: &AdmittedKey,
        rate: Option<Allowed>,
        share: &Share,
        recording: &Recording,
    ) -> Result<Reply<ResponsesEncoder>, Refusal> {
        let replaced = received.replaced;
        let Understood { mut prepared, no_worker, .. } =
            self.understand::<Responses>(received, key, recording).await?;
        if self.0.pause.is_on() {
            return Err(Refusal::Paused);
        }
        images::fetch(&self.0.images, &self.0.metrics, &mut prepared, share).await?;
        content::images::check_size(&prepared.turn)?;
        // Without a catalogue it is not known which model would read it.
        if let Some(error) = no_worker {
            return Err(error.into());
        }
        let tokens = self.0.tokens.count(&prepared.turn).await?;
        let object = json!({"object": "response.input_tokens", "input_tokens": tokens});
        let limits = Limits { rate, streams: None };
        Ok(Reply { notes: Notes::of(&prepared, replaced), limits, answer: Answer::Object(object, None) })
    }
}

impl From<CountError> for Refusal {
    fn from(error: CountError) -> Self {
        tracing::error!(%error, "the tokens of a request could not be counted");
        let message = "The tokens could not be counted. Report it with the proxy's log.";
        Self::Turn(TurnError::new(TurnErrorKind::Internal, message))
    }
}
