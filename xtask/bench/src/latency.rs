//! The time that the proxy adds to a request. Each request is sent through the proxy and directly to the same
//! Codex with the same switches, alternately, so that changes of the machine affect both in the same way.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::Options;
use crate::codex::Codex;
use crate::os;
use crate::proxy::{Place, Proxy};
use crate::report::{Report, Times, millis};
use crate::upstream::Upstream;

const SECTION: &str = "time of a streamed request on the real Codex, one at a time";
/// The number of first requests that are not counted, while caches fill and connections open.
const WARM_UP: usize = 10;

pub(crate) async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let upstream = Upstream::start().await?;
    let place = Place::below(dir.path());
    upstream.write_codex_home(&place.codex_home)?;
    let proxy = Proxy::start(&options.proxy, &options.codex, &place).await?;
    let mut client = proxy.connect().await?;
    client.respond().await.context("the first request through the proxy failed")?;
    let sent = upstream.last_request()?;
    let worker = os::app_server_below(proxy.pid)?;

    let home = dir.path().join("direct");
    upstream.write_codex_home(&home)?;
    let mut codex = Codex::start(&options.codex, &worker.args, &home).await?;
    for _ in 0..WARM_UP {
        client.respond().await?;
        codex.turn(&sent, &home).await?;
    }

    let (mut first, mut total) = (Pair::default(), Pair::default());
    let (cpu, worker_cpu) = (os::cpu_time(proxy.pid)?, os::cpu_time(worker.pid)?);
    for round in 0..options.requests {
        // Codex still cleans up after the end of a turn, which slows down the next request. So each comes first in
        // every other round.
        let (with, without) = if round % 2 == 0 {
            let with = client.respond().await?;
            (with, codex.turn(&sent, &home).await?)
        } else {
            let without = codex.turn(&sent, &home).await?;
            (client.respond().await?, without)
        };
        first.push(with.first_token, without.first_token);
        total.push(with.total, without.total);
    }
    let requests = options.requests as f64;
    let cpu = millis(os::cpu_time(proxy.pid)? - cpu) / requests;
    let worker_cpu = millis(os::cpu_time(worker.pid)? - worker_cpu) / requests;

    for (name, pair) in [("to the first token", first), ("in all", total)] {
        report.times(SECTION, format!("{name}: through the proxy"), &pair.with);
        report.times(SECTION, format!("{name}: straight to Codex"), &pair.without);
        report.added(SECTION, &format!("{name}: added by the proxy"), &pair.with, &pair.without);
        report.value(SECTION, format!("{name}: added, median of the rounds"), "ms", median(pair.added));
    }
    report.value(SECTION, "CPU of the proxy, a request", "ms", cpu);
    report.value(SECTION, "CPU of its Codex, a request", "ms", worker_cpu);
    proxy.stop().await
}

#[derive(Default)]
struct Pair {
    with: Times,
    without: Times,
    /// The time that the proxy added in each round, in milliseconds.
    added: Vec<f64>,
}

impl Pair {
    fn push(&mut self, with: Duration, without: Duration) {
        self.with.push(with);
        self.without.push(without);
        self.added.push(millis(with) - millis(without));
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let (below, above) = (values.get(values.len().saturating_sub(1) / 2), values.get(values.len() / 2));
    below.zip(above).map_or(0.0, |(below, above)| (below + above) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two() {
        assert_eq!(median(vec![9.0, -1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 2.5);
    }
}
