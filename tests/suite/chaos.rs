//! A short form of `cargo xtask chaos`: kills workers and the proxy at points of streams.

use std::time::Duration;

use e2e::chaos::{self, Options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_left_without_an_answer_and_nothing_is_left_behind() {
    // Both are about more than what a machine with other things to do can make of a tenth of a second.
    let (limit, in_time) = (Some(Duration::from_secs(60)), Duration::from_secs(8));
    let options = Options { rounds: 40, seed: 20, limit, real: false, in_time };
    let summary = chaos::run(&options).await.unwrap_or_else(|reason| panic!("{reason}"));
    assert!(summary.worker_deaths > 0 && summary.proxy_deaths > 0, "{summary}");
    assert!(summary.answers > 0 && summary.errors > 0 && summary.cuts > 0, "{summary}");
}
