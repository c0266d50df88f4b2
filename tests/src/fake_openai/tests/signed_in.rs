//! Tests of OpenAI's own upstream with the real Codex.

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::codex_bin::NEWEST;
use crate::codex_home::signed_in_home;
use crate::fake_openai::issuer::Person;

/// A signed-in Codex, used without the proxy.
async fn codex(upstream: &FakeOpenAi) -> (AppServer, TempDir) {
    let home = tempfile::tempdir().unwrap();
    let accounts = upstream.issuer().unwrap().accounts_url();
    signed_in_home(home.path(), &upstream.base_url(), &accounts, &Person::default());
    let arguments = ["features.plugins=false", "features.apps=false"].map(|switch| ["-c", switch]).concat();
    let mut codex = AppServer::spawn(&codex_path(NEWEST), home.path(), &arguments, &[]);
    codex.initialize().await;
    (codex, home)
}

fn thread() -> Value {
    let tool = json!({
        "type": "function", "name": "look", "description": "d",
        "inputSchema": {"type": "object", "properties": {}},
    });
    json!({
        "model": "gpt-5.5",
        "dynamicTools": [{"type": "namespace", "name": "client", "description": "", "tools": [tool]}],
    })
}

#[tokio::test]
async fn a_turn_goes_on_where_its_connection_left_off() {
    let upstream = FakeOpenAi::signed_in().await;
    let (mut codex, _home) = codex(&upstream).await;
    upstream.push(Script::new().message(&["Hé", "llo"]).function_call("call_a", "look", "{}", 9));
    upstream.push(Script::text("seen"));
    codex.start_turn(thread(), json!([user_item("hi")]), json!({})).await;
    let call = codex.until("item/tool/call").await;
    assert_eq!(call["params"]["namespace"], "client", "{call}");
    let output = json!({"contentItems": [{"type": "inputText", "text": "sunny"}], "success": true});
    codex.send(&json!({"id": call["id"], "result": output})).await;
    codex.until("turn/completed").await;

    let [first, second] = &upstream.requests()[..] else { panic!("{:#?}", upstream.requests()) };
    assert_eq!((second.last_output(), second.last_user_text().as_str()), (Some("sunny"), "hi"));
    assert_eq!(second.sent["previous_response_id"], "resp_0");
    assert_eq!(second.sent["input"].as_array().map(Vec::len), Some(1), "only what is new was sent");
    assert_eq!(second.input().len(), first.input().len() + 3);
    assert_eq!(second.body["type"], Value::Null);
    assert_eq!((first.connection, second.connection), (Some(0), Some(0)));
    assert_eq!(upstream.warm_ups().len(), 1);
    assert_eq!(upstream.connections(), Connections { open: 1, ever: 1, frames: 3 });
    assert_eq!(codex.close().await, Some(0));
    upstream.wait_for_connections("the end of the connection", |now| now.open == 0).await;
}

#[tokio::test]
async fn what_was_forgotten_is_sent_again_whole() {
    let upstream = FakeOpenAi::signed_in().await;
    let (mut codex, _home) = codex(&upstream).await;
    upstream.fall_back_to(Script::text("well"));
    let (thread, _) = codex.start_turn(thread(), json!([user_item("one")]), json!({})).await;
    codex.until("turn/completed").await;
    upstream.forget_next();
    let input = json!([{"type": "text", "text": "two", "text_elements": []}]);
    let turn = json!({"threadId": thread, "input": input, "effort": "low", "summary": "auto"});
    codex.request("turn/start", turn).await;
    codex.until("turn/completed").await;
    let again = upstream.requests().pop().unwrap();
    assert_eq!((again.last_user_text().as_str(), &again.sent["previous_response_id"]), ("two", &Value::Null));
    assert!(again.body.to_string().contains("one"), "{:#}", again.body);
    assert_eq!(upstream.refused().len(), 1);
}

#[tokio::test]
async fn without_upgrades_the_same_scripts_are_played_over_http() {
    let upstream = FakeOpenAi::signed_in().await;
    upstream.refuse_upgrades(Some((426, json!({"error": {"message": "no upgrade"}}))));
    let (mut codex, _home) = codex(&upstream).await;
    upstream.push(Script::text("over HTTP"));
    codex.start_turn(thread(), json!([user_item("hi")]), json!({})).await;
    codex.until("turn/completed").await;
    let request = upstream.requests().pop().unwrap();
    assert_eq!((request.method.as_str(), request.connection), ("POST", None));
    assert_eq!(request.last_user_text(), "hi", "{request:#?}");
    assert_eq!(upstream.connections(), Connections::default());
}

#[tokio::test]
async fn a_distance_delays_every_frame() {
    let upstream = FakeOpenAi::signed_in().await;
    let trip = Duration::from_millis(40);
    upstream.set_round_trip(trip);
    upstream.fall_back_to(Script::text("from afar"));
    let (mut codex, _home) = codex(&upstream).await;
    let before = tokio::time::Instant::now();
    codex.start_turn(thread(), json!([user_item("hi")]), json!({})).await;
    codex.until("turn/completed").await;
    assert!(before.elapsed() >= trip * 4, "it took {:?}", before.elapsed());
}

#[tokio::test]
async fn what_is_meant_for_other_hosts_is_noted() {
    let upstream = FakeOpenAi::signed_in().await;
    let issuer = upstream.issuer().unwrap();
    let mut socket = TcpStream::connect(issuer.url().trim_start_matches("http://")).await.unwrap();
    socket
        .write_all(b"CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n")
        .await
        .unwrap();
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 404");
    let noted = issuer.requests().pop().unwrap();
    assert_eq!((noted.method.as_str(), noted.path.as_str()), ("CONNECT", "elsewhere.example:443"));
}
