//! What can be done with responses that are stored, or that still run in the background.

use serde_json::Value;

use super::stream::FrameStream;
use super::{Backend, Exchanges};
use crate::response_store::{ResponseStore, Status, StoreError, Stored};
use crate::secret::KeyId;
use protocol::openai::frame::Frame;
use protocol::openai::responses::{ResponsesEncoder, replay, unseal};

/// Why a response cannot be cancelled or followed.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// The key has no such response.
    #[error("Response with id '{0}' not found.")]
    NotFound(String),
    /// It was not created with `background`.
    #[error("Cannot cancel a synchronous response. Close its connection instead.")]
    NotBackground,
    /// It was not created with both `background` and `stream`.
    #[error(
        "Only a response that was created with 'background': true and 'stream': true can be read as a stream. Leave \
         'stream' out."
    )]
    NotStreamed,
    /// The store has failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The events of a background response.
#[derive(Debug)]
pub enum Events {
    /// It has ended some time ago: all its events.
    Replayed(Vec<Frame>),
    /// The events so far, and those that come.
    Live(FrameStream<ResponsesEncoder>),
}

impl<B: Backend> Exchanges<B> {
    /// What is stored.
    pub fn store(&self) -> &ResponseStore {
        &self.0.store
    }

    /// A stored response as it is now.
    ///
    /// # Errors
    /// [`StoredError::NotFound`], or an error of the store.
    pub async fn response(&self, owner: &KeyId, id: &str) -> Result<Stored, StoredError> {
        let stored = self.0.store.response(owner, id).await?;
        let mut stored = stored.ok_or_else(|| StoredError::NotFound(id.to_owned()))?;
        let runs = || self.0.background.run(owner, id).is_some_and(|run| run.has_begun());
        if stored.status == Status::Queued && runs() {
            stored.status = Status::InProgress;
            stored.object["status"] = Status::InProgress.as_str().into();
        }
        Ok(stored)
    }

    /// Cancels a background response, and returns it. One that has ended stays as it is.
    ///
    /// # Errors
    /// If there is none, or it does not run in the background.
    pub async fn cancel(&self, owner: &KeyId, id: &str) -> Result<Value, StoredError> {
        let stored = self.response(owner, id).await?;
        if !stored.background {
            return Err(StoredError::NotBackground);
        }
        self.end_run(owner, id).await;
        Ok(self.response(owner, id).await?.object)
    }

    /// Deletes a response; one that runs is cancelled.
    ///
    /// # Errors
    /// If there is none.
    pub async fn delete(&self, owner: &KeyId, id: &str) -> Result<(), StoredError> {
        self.end_run(owner, id).await;
        match self.0.store.delete(owner, id).await? {
            true => Ok(()),
            false => Err(StoredError::NotFound(id.to_owned())),
        }
    }

    /// The events of a background response after the one with the number `after`. Those that are remembered are as they
    /// came; otherwise they have sealed reasoning only if it is asked for.
    ///
    /// # Errors
    /// If there is no such response, or it was not created as a stream.
    pub async fn follow(
        &self,
        owner: &KeyId,
        id: &str,
        after: Option<u64>,
        sealed: bool,
    ) -> Result<Events, StoredError> {
        let mut stored = self.response(owner, id).await?;
        if !stored.background || !stored.stream {
            return Err(StoredError::NotStreamed);
        }
        let skipped = after.map_or(0, |after| usize::try_from(after).unwrap_or(usize::MAX).saturating_add(1));
        if let Some(run) = self.0.background.run(owner, id) {
            return Ok(Events::Live(FrameStream::following(run.follow(skipped))));
        }
        if !sealed {
            stored.object["output"].as_array_mut().into_iter().flatten().for_each(unseal);
        }
        Ok(Events::Replayed(after_the_first(replay(&stored.object), skipped)))
    }

    async fn end_run(&self, owner: &KeyId, id: &str) {
        if let Some(run) = self.0.background.run(owner, id) {
            run.cancelled.cancel();
            run.over().await;
        }
    }
}

/// What is left of a replay after its first events. The last event is never left out: the stream as it came may have had
/// more events, because it had more deltas, and then the number of one of them is beyond this end.
fn after_the_first(mut frames: Vec<Frame>, skipped: usize) -> Vec<Frame> {
    let Some(last) = frames.len().checked_sub(1) else { return frames };
    if skipped <= last {
        return frames.split_off(skipped);
    }
    let mut end = frames.split_off(last);
    for frame in &mut end {
        if let Ok(mut event) = serde_json::from_str::<Value>(&frame.json) {
            event["sequence_number"] = skipped.into();
            frame.json = event.to_string();
        }
    }
    end
}
