//! Makes the requests of a proof, on the same path as every client's request: read, given to a worker, sent by its
//! driver.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{StreamExt as _, stream};
use tokio::time::timeout;

use super::cases::{self, Case};
use super::report::{Failed, Outcome};
use crate::worker::WorkerPool;
use protocol::openai::responses::Responses;
use protocol::openai::{self, Context, Surface as _};
use protocol::turn::{Catalogue, OutputMode, TurnError, TurnEvent};

/// Requests at the same time.
const AT_ONCE: usize = 8;

/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(20);

/// How long Codex may take to be ready.
const READY: Duration = Duration::from_secs(30);

/// Why no request could be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotReady {
    /// It takes no turns.
    #[error("{}", .0.message)]
    Turn(TurnError),
    /// It takes too long.
    #[error("it did not get ready in time")]
    TooSlow,
}

/// Makes every request. `tell` hears how many there are and how many are done.
pub(super) async fn run(
    pool: &WorkerPool,
    tell: impl Fn(usize, usize),
) -> Result<Vec<(Case, Outcome)>, NotReady> {
    let lease = timeout(READY, pool.acquire()).await.map_err(|_| NotReady::TooSlow)?;
    let catalogue = lease.map_err(NotReady::Turn)?.catalogue();
    let config = settings();
    let cases = cases::all(&catalogue);
    let all = cases.len();
    tell(0, all);
    let requests = cases.into_iter().map(|case| {
        let (config, catalogue) = (&config, &catalogue);
        async move {
            let outcome = match timeout(LIMIT, ask(pool, config, catalogue, &case)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Failed::TooSlow(LIMIT)),
            };
            (case, outcome)
        }
    });
    let mut done = stream::iter(requests).buffered(AT_ONCE);
    let mut asked = Vec::with_capacity(all);
    while let Some(one) = done.next().await {
        asked.push(one);
        tell(asked.len(), all);
    }
    Ok(asked)
}

async fn ask(pool: &WorkerPool, config: &openai::Config, catalogue: &Catalogue, case: &Case) -> Outcome {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let context =
        Context { config, catalogue, output_mode: None, id: "proof", now, continued: None, stores: false };
    let prepared = Responses::parse(&case.body, &context).map_err(Failed::Request)?;
    let lease = pool.acquire().await.map_err(Failed::Turn)?;
    let mut turn = lease.start(prepared.turn, None).await.map_err(Failed::Turn)?;
    while let Some(event) = turn.next().await {
        if let TurnEvent::Failed(error) = event {
            return Err(Failed::Turn(error));
        }
    }
    Ok(())
}

/// The default settings of the translation.
fn settings() -> openai::Config {
    openai::Config {
        environment: openai::Environment::Prod,
        default_model: openai::models::DEFAULT_MODEL.to_owned(),
        ignore_client_system_prompt: true,
        strict_params: true,
        model_fallback: false,
        max_prompt_tokens: 0,
        responses_default_max_tokens: 0,
        chat_output_mode: OutputMode::OpenaiJson,
        responses_output_mode: OutputMode::OpenaiJson,
    }
}
