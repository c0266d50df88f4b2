//! Waits for conditions that send no event.

use std::time::Duration;

use tokio::time::{interval, timeout};

/// The longest wait in a test.
pub const PATIENCE: Duration = Duration::from_secs(60);

const BETWEEN: Duration = Duration::from_millis(30);

/// Repeats a check until it has a result.
pub async fn until<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let waiting = async {
        let mut poll = interval(BETWEEN);
        loop {
            poll.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    match timeout(PATIENCE, waiting).await {
        Ok(answer) => answer,
        Err(_) => panic!("waited {PATIENCE:?} in vain for {what}"),
    }
}
