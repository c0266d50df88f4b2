//! The command `codex-proxy store`: what the proxy keeps of responses.

use http::Method;
use http_body_util::BodyExt as _;

use super::Context;
use super::client::{Answer, Client};
use super::failure::Failure;
use super::output::Output;
use super::tree::{StoreArgs, StoreVerb};
use super::units::{Now, bytes};
use crate::control::api::{Store, StoreRemoval, StoreState};

pub(super) async fn run(args: &StoreArgs, context: &Context, output: &mut Output) -> Result<(), Failure> {
    let client = Client::find(&context.config.data_dir)?;
    match args.verb.unwrap_or(StoreVerb::Stats) {
        StoreVerb::Stats => {
            let answer: Answer<Store> = client.get("/store").await?;
            if args.json.json {
                return Ok(output.json(answer.sent())?);
            }
            Ok(output.text(&render(&answer.read()?, &Now::here()))?)
        }
        StoreVerb::Export => export(&client, output).await,
        StoreVerb::Prune => remove(&client, "/store/prune", args, output).await,
        StoreVerb::Clear => remove(&client, "/store/clear", args, output).await,
    }
}

/// Writes the export as it is received, because it may be long.
async fn export(client: &Client, output: &mut Output) -> Result<(), Failure> {
    let mut body = client.stream("/store/export").await?.into_body();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::new(format!("the export broke off: {error}")))?;
        if let Ok(data) = frame.into_data() {
            output.bytes(&data)?;
        }
    }
    Ok(())
}

async fn remove(client: &Client, path: &str, args: &StoreArgs, output: &mut Output) -> Result<(), Failure> {
    let answer: Answer<StoreRemoval> = client.call(Method::POST, path).await?;
    if args.json.json {
        return Ok(output.json(answer.sent())?);
    }
    Ok(output.line(&match answer.read()?.removed {
        0 => "There was nothing to remove.".to_owned(),
        1 => "One response, conversation or chat completion was removed.".to_owned(),
        removed => format!("{removed} responses, conversations and chat completions were removed."),
    })?)
}

fn render(store: &Store, now: &Now) -> String {
    let state = match store.state {
        StoreState::On => "Responses are stored (PROXY_STORE).".to_owned(),
        StoreState::Off => "Responses are not stored (PROXY_STORE).".to_owned(),
        StoreState::Broken => {
            format!("Responses cannot be stored: {}", store.reason.as_deref().unwrap_or("the log says why"))
        }
        StoreState::Other => {
            "Whether responses are stored, only a newer version of this program can tell.".to_owned()
        }
    };
    let Store { responses, conversations, chats, .. } = store;
    let mut text = format!(
        "{state}\nResponses: {responses}\nConversations: {conversations}\nChat completions: {chats}\nOn disk: {}\n",
        bytes(store.bytes)
    );
    if let (Some(oldest), Some(newest)) = (store.oldest, store.newest) {
        text += &format!("Oldest: {}\nNewest: {}\n", now.date(oldest), now.date(newest));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_told() {
        let store = Store {
            state: StoreState::On,
            responses: 3,
            bytes: 2048,
            oldest: Some(0),
            newest: Some(86_400),
            ..Store::default()
        };
        let text = render(&store, &Now::here());
        assert!(
            text.contains("Responses: 3\nConversations: 0\nChat completions: 0\nOn disk: 2.00 KiB\nOldest: ")
        );
        let store =
            Store { state: StoreState::Broken, reason: Some("it is newer".into()), ..Store::default() };
        assert!(render(&store, &Now::here()).contains("cannot be stored: it is newer"));
    }
}
