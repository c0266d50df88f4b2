//! opencode as a client, with the settings that the proxy writes for it.

use std::fs;

use e2e::brought::{KEY_VARIABLE, Person};
use e2e::codex_bin::NEWEST;
use e2e::fake_openai::{FakeOpenAi, Script, UPSTREAMS};
use e2e::harness::{Proxy, Setup};
use e2e::sdk::Runtime;
use serde_json::json;

/// What it prints as its answer to a prompt.
async fn says(person: &Person, proxy: &Proxy, prompt: &str, more: &[&str]) -> String {
    let mut arguments = vec!["run", "--model", "codex-proxy/codex-5"];
    arguments.extend(more);
    arguments.push(prompt);
    let variables = [
        (KEY_VARIABLE, proxy.key.as_str()),
        // It would look for a list of all models, and for a newer one of itself, on the internet.
        ("OPENCODE_DISABLE_MODELS_FETCH", "1"),
        ("OPENCODE_DISABLE_AUTOUPDATE", "1"),
    ];
    let program = Runtime::Opencode.interpreter(&Runtime::Opencode.install());
    person.runs(&program, &arguments, &variables).await.out
}

#[tokio::test]
async fn opencode_works_through_the_proxy() {
    for kind in UPSTREAMS {
        let person = Person::default();
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = person.owns(Setup::real(NEWEST, &upstream)).start().await;
        person.set_up(&proxy, "opencode").await;

        // It asks for a title of the conversation, too, at the same time.
        upstream.fall_back_to(Script::new().message(&["all ", "well 🦀"]));
        assert!(says(&person, &proxy, "only this", &[]).await.contains("all well 🦀"));
        let asked = upstream.requests();
        let main = asked.iter().find(|request| !request.offered().is_empty()).expect("tools are offered");
        // It puts its arguments into quotes.
        assert!(main.last_user_text().contains("only this"), "{}", main.last_user_text());
        assert_eq!(main.input_without_ids()[1]["role"], "developer");

        // With a title of ours there is one request at a time.
        let command = json!({"command": "echo \"it is $((6 * 7))\" | tee ran", "description": "a sum"});
        let read = json!({"filePath": person.work().join("poem")});
        fs::write(person.work().join("poem"), "violets are blue\n").unwrap();
        let before = upstream.requests().len();
        upstream.on_marker(
            "USE_IT",
            [
                Script::new().function_call("call_sh", "bash", &command.to_string(), 5),
                Script::new().function_call("call_read", "read", &read.to_string(), 5),
                Script::text("it is used"),
            ],
        );
        assert!(says(&person, &proxy, "USE_IT", &["--title", "ours"]).await.contains("it is used"));
        assert_eq!(fs::read_to_string(person.work().join("ran")).unwrap(), "it is 42\n");
        let requests = &upstream.requests()[before..];
        assert_eq!(requests.len(), 3, "{requests:#?}");
        for (request, id, output) in
            [(&requests[1], "call_sh", "it is 42"), (&requests[2], "call_read", "violets are blue")]
        {
            let items = request.input_without_ids();
            let last = items.last().unwrap();
            assert_eq!(last["call_id"], id, "{last}");
            assert!(last["output"].as_str().unwrap().contains(output), "{last}");
        }
        assert_eq!(upstream.unscripted(), [""; 0]);
    }
}
