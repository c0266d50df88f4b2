//! The time from the start of the proxy until it is ready, and the time that Codex alone needs to answer
//! `initialize`.

use std::time::Instant;

use anyhow::Result;

use crate::Options;
use crate::codex::Codex;
use crate::os;
use crate::proxy::{Place, Proxy};
use crate::report::{Report, Times};
use crate::upstream::Upstream;

const SECTION: &str = "start, on the real Codex";

pub(crate) async fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let upstream = Upstream::start().await?;
    let place = Place::below(dir.path());
    upstream.write_codex_home(&place.codex_home)?;
    let home = dir.path().join("direct");
    upstream.write_codex_home(&home)?;

    let mut first = Times::default();
    let proxy = Proxy::start(&options.proxy, &options.codex, &place).await?;
    first.push(proxy.until_ready);
    let args = os::app_server_below(proxy.pid)?.args;
    proxy.stop().await?;

    let (mut with, mut without) = (Times::default(), Times::default());
    for _ in 0..options.starts {
        let proxy = Proxy::start(&options.proxy, &options.codex, &place).await?;
        with.push(proxy.until_ready);
        proxy.stop().await?;
        let begin = Instant::now();
        let codex = Codex::start(&options.codex, &args, &home).await?;
        without.push(begin.elapsed());
        drop(codex);
    }
    report.times(SECTION, "the very first, in an empty data directory", &first);
    report.times(SECTION, "the proxy until /readyz says 200", &with);
    report.times(SECTION, "Codex alone until it answers initialize", &without);
    report.added(SECTION, "added by the proxy", &with, &without);
    Ok(())
}
