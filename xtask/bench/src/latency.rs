//! What the proxy adds to a request: each one is sent through it and, in turn, straight to the same Codex with the
//! same switches, so that a drift of the machine touches both alike.

use anyhow::{Context, Result};

use crate::Options;
use crate::codex::Codex;
use crate::os;
use crate::proxy::{Place, Proxy};
use crate::report::{Report, Times, millis};
use crate::upstream::Upstream;

const SECTION: &str = "time of a streamed request on the real Codex, one at a time";
/// Requests that are not counted: caches fill, connections open.
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
    for _ in 0..options.requests {
        let (with, without) = (client.respond().await?, codex.turn(&sent, &home).await?);
        first.with.push(with.first_token);
        first.without.push(without.first_token);
        total.with.push(with.total);
        total.without.push(without.total);
    }
    let requests = options.requests as f64;
    let cpu = millis(os::cpu_time(proxy.pid)? - cpu) / requests;
    let worker_cpu = millis(os::cpu_time(worker.pid)? - worker_cpu) / requests;

    for (name, pair) in [("to the first token", first), ("in all", total)] {
        report.times(SECTION, format!("{name}: through the proxy"), &pair.with);
        report.times(SECTION, format!("{name}: straight to Codex"), &pair.without);
        report.added(SECTION, &format!("{name}: added by the proxy"), &pair.with, &pair.without);
    }
    report.value(SECTION, "CPU of the proxy, a request", "ms", cpu);
    report.value(SECTION, "CPU of its Codex, a request", "ms", worker_cpu);
    proxy.stop().await
}

#[derive(Default)]
struct Pair {
    with: Times,
    without: Times,
}
