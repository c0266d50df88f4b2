//! Resident memory of the proxy: idle, with many streams open at once on the real Codex, and after them.

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use crate::Options;
use crate::os;
use crate::proxy::{Place, Proxy};
use crate::report::Report;
use crate::upstream::Upstream;

const SECTION: &str = "resident memory, on the real Codex";

pub(crate) async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let upstream = Upstream::start().await?;
    let place = Place::below(dir.path());
    upstream.write_codex_home(&place.codex_home)?;
    let proxy = Proxy::start(&options.proxy, &options.codex, &place).await?;
    let mut record = |when: &str| {
        let worker = os::app_server_below(proxy.pid)?;
        report.value(SECTION, format!("{when}: the proxy"), "MiB", mebibytes(os::resident(proxy.pid)?));
        report.value(SECTION, format!("{when}: its Codex"), "MiB", mebibytes(os::resident(worker.pid)?));
        anyhow::Ok(())
    };
    record("idle")?;

    upstream.hold();
    let mut opening = JoinSet::new();
    for _ in 0..options.streams {
        let mut client = proxy.connect().await?;
        opening.spawn(async move {
            let stream = client.open().await?;
            anyhow::Ok((client, stream))
        });
    }
    let mut open = Vec::new();
    while let Some(stream) = opening.join_next().await {
        open.push(stream?.with_context(|| format!("only {} streams could be opened", open.len()))?);
    }
    record(&format!("{} open streams", open.len()))?;

    upstream.release();
    for (client, stream) in open {
        stream.drain().await?;
        drop(client);
    }
    record("after them")?;
    proxy.stop().await
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
