use super::*;

use protocol::turn::ToolKind;

fn steer(id: &Value, input: &str) -> Frame {
    let frame = json!({"type": "response.steer", "previous_response_id": id, "input": input});
    Frame::text(frame.to_string())
}

/// The types and the numbers of the events up to this type.
async fn until(client: &mut Client, kind: &str) -> (Vec<(String, u64)>, Value) {
    let mut seen = Vec::new();
    loop {
        let event = client.next().await;
        let name = event["type"].as_str().unwrap().to_owned();
        seen.push((name.clone(), event["sequence_number"].as_u64().unwrap_or_else(|| panic!("{event}"))));
        if name == kind {
            return (seen, event);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_item_is_not_begun_and_the_continuation_has_the_settings() {
    let scene = scene();
    let first = scene.backend.turn(begun("on"));
    let _second = scene.backend.turn(said("two"));
    let mut client = connect(&scene);
    client.ask(&json!({"instructions": "Count.", "stream_id": "a"})).await;
    let created = client.next().await;
    let id = created["response"]["id"].clone();
    client.until("response.output_text.delta").await;
    let frame =
        json!({"type": "response.steer", "stream_id": "a", "previous_response_id": id, "input": "more"});
    client.send(Frame::text(frame.to_string())).await;
    let accepted = client.until("response.steer.accepted").await;
    assert_eq!((&accepted["steer"]["previous_response_id"], &accepted["stream_id"]), (&id, &json!("a")));

    first.send(TurnEvent::MessageDone { id: "m".into(), phase: None }).unwrap();
    first.send(TurnEvent::MessageStarted { id: "n".into() }).unwrap();
    let (seen, ended) = until(&mut client, "response.incomplete").await;
    assert!(seen.iter().all(|(kind, _)| kind != "response.output_item.added"), "{seen:?}");
    assert_eq!(seen[0].1, accepted["sequence_number"].as_u64().unwrap() + 1);
    assert_eq!(ended["response"]["incomplete_details"], json!({"reason": "steered"}));
    assert_eq!(ended["response"]["output"][0]["content"][0]["text"], "on");

    let next = client.next().await;
    let response = &next["response"];
    assert_eq!((&next["type"], &next["sequence_number"]), (&json!("response.created"), &json!(0)));
    assert_eq!((&response["previous_response_id"], &response["instructions"]), (&id, &json!("Count.")));
    assert_eq!(next["stream_id"], "a");
    assert_eq!(client.answer().await.1, "two");
    let turns = scene.backend.script().turns.clone();
    // The instructions, "hi", what was said until then, and the input.
    assert_eq!(turns[1].items.len(), 4, "{:?}", turns[1].items);
    assert_eq!(turns[1].last_user_text().as_deref(), Some("more"));
    assert_eq!(scene.entries().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_response_that_completes_first_goes_on_too() {
    let scene = scene();
    let first = scene.backend.turn(begun("on"));
    let _second = scene.backend.turn(said("two"));
    let mut client = connect(&scene);
    client.ask(&json!({})).await;
    let id = client.next().await["response"]["id"].clone();
    client.until("response.output_text.delta").await;
    client.send(steer(&id, "more")).await;
    client.until("response.steer.accepted").await;
    said("e").into_iter().skip(2).for_each(|event| first.send(event).unwrap());
    assert_eq!(client.answer().await.1, "one");
    let next = client.next().await;
    assert_eq!(next["response"]["previous_response_id"], id);
    assert_eq!(client.answer().await.1, "two");

    // It has ended.
    let _third = scene.backend.turn(said("three"));
    client.send(steer(&next["response"]["id"], "again")).await;
    assert_eq!(client.next().await["type"], "response.steer.accepted");
    assert_eq!(client.answer().await.1, "three");
    client.send(steer(&id, "too late")).await;
    let failed = client.next().await;
    assert_eq!(
        (&failed["type"], &failed["error"]["code"]),
        (&json!("response.steer.failed"), &json!("response_not_found"))
    );
}

#[tokio::test(start_paused = true)]
async fn input_waits_for_the_outputs_of_tools() {
    let scene = scene();
    let first = scene.backend.turn(vec![TurnEvent::Started]);
    let _second = scene.backend.turn(said("two"));
    let mut client = connect(&scene);
    client.ask(&json!({"tools": [{"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}]})).await;
    let id = client.next().await["response"]["id"].clone();
    let call = TurnEvent::ToolCall {
        id: "fc".into(),
        kind: ToolKind::Function,
        call_id: "call_1".into(),
        namespace: None,
        name: "look".into(),
        input: "{}".into(),
    };
    first.send(call).unwrap();
    client.until("response.output_item.done").await;
    client.send(steer(&id, "more")).await;
    client.until("response.steer.accepted").await;
    first.send(TurnEvent::Finished(protocol::turn::Finish::ToolCalls)).unwrap();
    client.until("response.completed").await;
    let pending = client.next().await;
    assert_eq!(pending["type"], "response.steer.pending");
    assert_eq!(pending["required_input"][0]["call_id"], "call_1");
    let output = json!({"type": "function_call_output", "call_id": "call_1", "output": "42"});
    client.ask(&json!({"previous_response_id": id, "input": [output]})).await;
    assert_eq!(client.answer().await.1, "two");
    let turns = scene.backend.script().turns.clone();
    assert_eq!(turns[1].items.len(), 4, "{:?}", turns[1].items);
}
