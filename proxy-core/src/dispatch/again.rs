//! A turn that starts again on a new thread, because the one that was kept for it is of no use.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use super::Dispatcher;
use crate::worker::{Observer, TurnStream};
use protocol::turn::{Item, Turn, TurnError, TurnErrorKind};

type Start = Pin<Box<dyn Future<Output = Result<TurnStream, TurnError>> + Send>>;

/// A turn that can start again.
pub(super) enum Again {
    /// It has the whole of its turn.
    Can(Dispatcher, Box<Turn>, Arc<dyn Observer>),
    /// It is on its way.
    Starts(Start),
}

impl fmt::Debug for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Can(..) => "Can",
            Self::Starts(_) => "Starts",
        })
    }
}

impl Again {
    pub(super) fn new(dispatcher: Dispatcher, turn: Turn, observer: Arc<dyn Observer>) -> Self {
        Self::Can(dispatcher, Box::new(turn), observer)
    }

    /// Whether a new thread may help after this failure: nothing was `asked` of the model yet, so that a second try costs
    /// nothing and says what is wrong with the request, or the worker is gone.
    pub(super) fn helps(error: &TurnError, asked: bool) -> bool {
        !asked || error.kind == TurnErrorKind::WorkerExited
    }

    /// The whole transcript of the turn.
    pub(super) fn items(&self) -> &[Item] {
        match self {
            Self::Can(_, turn, _) => &turn.items,
            Self::Starts(_) => &[],
        }
    }

    /// Starts the turn on a new thread, on any worker.
    pub(super) fn start(self) -> Self {
        match self {
            Self::Can(dispatcher, turn, observer) => Self::Starts(Box::pin(async move {
                let lease = dispatcher.pool.acquire().await?;
                lease.start(*turn, Some(observer)).await
            })),
            Self::Starts(start) => Self::Starts(start),
        }
    }

    /// The turn on its new thread, once it has started; `None` if it was not to start again. Dropping the future loses
    /// nothing.
    pub(super) async fn started(again: &mut Option<Self>) -> Option<Result<TurnStream, TurnError>> {
        let Some(Self::Starts(start)) = again else { return None };
        let started = start.await;
        *again = None;
        Some(started)
    }
}
