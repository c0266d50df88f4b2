//! The command `codex-proxy quit`: ends the running proxy, as a signal from the system would.

use std::path::Path;
use std::time::Duration;

use http::Method;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::Context;
use super::client::{Client, cannot};
use super::failure::Failure;
use super::output::Output;
use super::tree::Json;
use crate::instance;

/// The maximum time for the end: running requests have 10 seconds, and the workers end after them.
const PATIENCE: Duration = Duration::from_secs(40);

/// The interval at which the data directory is checked.
const LOOK: Duration = Duration::from_millis(100);

pub(super) async fn run(args: Json, context: &Context, output: &mut Output) -> Result<(), Failure> {
    let data_dir = &context.config.data_dir;
    let client = Client::find(data_dir)?;
    client.call::<()>(Method::POST, "/shutdown").await?;
    let pid = client.pid();
    if !has_ended(data_dir, pid).await? {
        return Err(Failure::with_next(
            format!("the proxy (process {pid}) was asked to end, but is still there"),
            "See what it is doing with `codex-proxy logs`, and end the process if it does not end by itself.",
        ));
    }
    if args.json {
        return Ok(output.json(&json!({"pid": pid}))?);
    }
    Ok(output.line(&format!("The proxy (process {pid}) has ended."))?)
}

/// Waits until this process no longer uses the data directory. Another process may use it by then.
async fn has_ended(data_dir: &Path, pid: u32) -> Result<bool, Failure> {
    let until = Instant::now() + PATIENCE;
    loop {
        let holder =
            instance::running(data_dir).map_err(|error| cannot("see whether the proxy has ended", &error))?;
        if holder.is_none_or(|holder| holder.pid != pid) {
            return Ok(true);
        }
        if Instant::now() >= until {
            return Ok(false);
        }
        sleep(LOOK).await;
    }
}
