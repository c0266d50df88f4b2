//! The command `codex-proxy window`.
//!
//! A browser is started with a command line, which other users of the machine can read. So its argument is a
//! file that only its owner can read, and that redirects to the window with the control token.

use std::path::Path;

use serde_json::json;

use super::Context;
use super::client::{Client, cannot};
use super::failure::Failure;
use super::login::has_display;
use super::output::Output;
use super::tree::WindowArgs;
use crate::config::ProcessEnvironment;
use crate::files;

/// The name of the file in the data directory.
const FILE: &str = "window.html";

pub(super) fn run(args: &WindowArgs, context: &Context, output: &mut Output) -> Result<(), Failure> {
    let data_dir = &context.config.data_dir;
    let client = Client::find(data_dir)?;
    let page = format!("http://{}/ui/", client.address());
    let file = data_dir.join(FILE);
    files::replace(&file, leading_to(&page, client.token().expose()), files::Target::Secret)
        .map_err(|error| cannot("write the way to the window", &error))?;
    if args.json.json {
        return Ok(output.json(&json!({"page": page, "file": file.display().to_string()}))?);
    }
    let opened = !args.no_browser && has_display(&ProcessEnvironment) && open::that_detached(&file).is_ok();
    if opened {
        output.note("The browser opens with the window. If it does not, open this file in it:")?;
    } else {
        output.note("Open this file in a browser on this machine:")?;
    }
    output.line(&file.display().to_string())?;
    Ok(output.note(&by_hand(&page, &data_dir.join("control-token")))?)
}

fn by_hand(page: &str, token: &Path) -> String {
    format!("Or open {page} and enter what is in {}.", token.display())
}

/// A page that redirects. The token contains only characters that need no escape in a URL or in HTML.
fn leading_to(page: &str, token: &str) -> String {
    format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>Codex Proxy</title>\n<meta http-equiv=\"refresh\" content=\"0; url={page}#token={token}\">\n\
         <p><a href=\"{page}#token={token}\">To the window of Codex Proxy</a></p>\n"
    )
}
