//! Waits for conditions that send no event.

use std::time::Duration;

use tokio::time::{interval, timeout};

/// The longest wait in most tests.
pub const PATIENCE: Duration = Duration::from_secs(60);

const BETWEEN: Duration = Duration::from_millis(30);

/// Repeats a check until it has a result.
pub async fn until<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    within(PATIENCE, what, ask).await
}

/// The same, with a limit for something that is known to be slow.
pub async fn within<T>(patience: Duration, what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let waiting = async {
        let mut poll = interval(BETWEEN);
        loop {
            poll.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    match timeout(patience, waiting).await {
        Ok(answer) => answer,
        Err(_) => panic!("waited {patience:?} in vain for {what}"),
    }
}
