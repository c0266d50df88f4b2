//! Keeps the replaced process of a session as long as it is still needed.

use tokio::sync::watch;

/// Counts the holds on a process. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Holds {
    needed: watch::Sender<usize>,
}

/// Keeps a process alive, also after the worker's next one has replaced it. Dropping it releases the process.
#[derive(Debug)]
pub struct Hold {
    needed: watch::Sender<usize>,
}

impl Holds {
    /// Keeps the process from being ended after it has been replaced.
    pub fn keep(&self) -> Hold {
        self.needed.send_modify(|needed| *needed += 1);
        Hold { needed: self.needed.clone() }
    }

    /// Waits until there is no hold on the process.
    pub async fn let_go(&self) {
        // An error would mean that there is no sender, but `self` has one.
        let _ = self.needed.subscribe().wait_for(|needed| *needed == 0).await;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.needed.send_modify(|needed| *needed -= 1);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_process_is_let_go_once_nothing_keeps_it() {
        let holds = Holds::default();
        holds.let_go().await;
        let (one, other) = (holds.keep(), holds.clone().keep());
        drop(one);
        assert_eq!(holds.let_go().now_or_never(), None);
        drop(other);
        holds.let_go().await;
    }
}
