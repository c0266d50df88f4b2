//! Requests per second with the fake Codex, which uses very little time, so that the result shows the proxy.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

use crate::Options;
use crate::client::Client;
use crate::os;
use crate::proxy::{Place, Proxy};
use crate::report::{Report, Times, millis};

const SECTION: &str = "streamed requests on the fake Codex";
const CLIENTS: [usize; 3] = [1, 8, 32];

pub(crate) async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let proxy = Proxy::start(&options.proxy, &options.fake_codex, &Place::below(dir.path())).await?;
    for clients in CLIENTS {
        let cpu = os::cpu_time(proxy.pid)?;
        let begin = Instant::now();
        let times = run(&proxy, clients, options.time).await?;
        let (elapsed, count) = (begin.elapsed().as_secs_f64(), times.len() as f64);
        let cpu = millis(os::cpu_time(proxy.pid)? - cpu);
        report.value(SECTION, format!("{clients} clients: rate"), "requests/s", count / elapsed);
        report.times(SECTION, format!("{clients} clients: time of a request"), &times);
        report.value(SECTION, format!("{clients} clients: CPU of the proxy, a request"), "ms", cpu / count);
    }
    proxy.stop().await
}

async fn run(proxy: &Proxy, clients: usize, time: Duration) -> Result<Times> {
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        let client = proxy.connect().await?;
        tasks.spawn(load(client, time));
    }
    let mut times = Times::default();
    while let Some(done) = tasks.join_next().await {
        times.extend(done??);
    }
    Ok(times)
}

/// One request after the other until the time is over.
async fn load(mut client: Client, time: Duration) -> Result<Times> {
    let mut times = Times::default();
    let begin = Instant::now();
    while begin.elapsed() < time {
        times.push(client.respond().await?.total);
    }
    Ok(times)
}
