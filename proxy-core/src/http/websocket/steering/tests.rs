use super::*;
use crate::exchange::Transcript;

fn said(items: Value) -> Outcome {
    let Value::Array(items) = items else { panic!("a list") };
    Outcome::Said(Transcript { response: "resp_1".into(), items })
}

fn memory() -> Budget {
    Budget::new(1 << 20)
}

fn frame(value: &Value) -> Bytes {
    value.to_string().into()
}

fn steer(input: &Value) -> Bytes {
    frame(&json!({"type": "response.steer", "previous_response_id": "resp_1", "input": input}))
}

/// A lane whose response has been announced.
fn running(steering: &mut Steering, lane: &Lane) -> Begun {
    let begun = steering.begin(lane, None, frame(&json!({"input": "hi"})));
    let request =
        json!({"model": "m", "tools": [], "input": "hi", "stream": true, "previous_response_id": "resp_0"});
    begun.settings.set(settings(request.as_object().unwrap())).unwrap();
    steering.sent(lane, 2, Some("resp_1".into()));
    begun
}

fn code(taken: &Taken) -> &str {
    taken.notes[0].0.body["error"]["code"].as_str().unwrap()
}

#[test]
fn a_running_response_says_that_input_was_taken_and_goes_on_with_it_at_its_end() {
    let (mut steering, lane) = (Steering::default(), Lane::default());
    let mut begun = running(&mut steering, &lane);
    for text in ["more", "and more"] {
        assert_eq!(steering.take(&lane, &steer(&json!(text))), Taken::default());
        let Signal { note, ends } = begun.signals.try_recv().unwrap();
        assert_eq!((note.kind, ends), ("response.steer.accepted", true));
        assert_eq!(note.body["steer"]["previous_response_id"], "resp_1");
    }
    let taken = steering.ended(&lane, &said(json!([])), &memory());
    assert_eq!(taken, Taken { notes: Vec::new(), goes_on: true });
    let (text, previous) = steering.continuation(&lane).unwrap();
    assert_eq!(previous, "resp_1");
    let text = steering.begin(&lane, Some("resp_1"), text).text;
    let message = |text: &str| json!({"type": "message", "role": "user", "content": text});
    assert_eq!(
        serde_json::from_slice::<Value>(&text).unwrap(),
        json!({
            "type": "response.create", "model": "m", "tools": [], "previous_response_id": "resp_1",
            "input": [message("more"), message("and more")],
        })
    );
}

#[test]
fn input_waits_for_the_outputs_that_the_client_owes() {
    let (mut steering, lane) = (Steering::default(), Lane::default());
    let mut begun = running(&mut steering, &lane);
    steering.take(&lane, &steer(&json!([{"role": "user", "content": "more"}])));
    begun.signals.try_recv().unwrap();
    let items = json!([
        {"type": "function_call", "call_id": "old", "name": "f"},
        {"type": "function_call_output", "call_id": "old", "output": "1"},
        {"type": "function_call", "call_id": "new", "name": "g"},
    ]);
    let taken = steering.ended(&lane, &said(items), &memory());
    assert!(!taken.goes_on);
    let (note, number) = &taken.notes[0];
    assert_eq!((note.kind, *number), ("response.steer.pending", 2));
    let owed = json!([{"type": "function_call_output", "call_id": "new", "name": "g"}]);
    assert_eq!(note.body["required_input"], owed);

    // More of it, after the end.
    let taken = steering.take(&lane, &steer(&json!("late")));
    let kinds: Vec<_> = taken.notes.iter().map(|(note, number)| (note.kind, *number)).collect();
    assert_eq!(kinds, [("response.steer.accepted", 3), ("response.steer.pending", 4)]);

    let output = json!({"type": "function_call_output", "call_id": "new", "output": "2"});
    let request = frame(&json!({"previous_response_id": "resp_1", "input": [output]}));
    let begun = steering.begin(&lane, Some("resp_1"), request);
    let input = serde_json::from_slice::<Value>(&begun.text).unwrap()["input"].take();
    let late = json!({"type": "message", "role": "user", "content": "late"});
    assert_eq!(input, json!([{"role": "user", "content": "more"}, late, output]));
    assert!(begun.notes.is_empty());
}

#[test]
fn a_response_that_has_ended_goes_on_at_once_and_one_that_has_failed_does_not() {
    let (mut steering, lane) = (Steering::default(), Lane::default());
    running(&mut steering, &lane);
    steering.ended(&lane, &said(json!([])), &memory());
    let taken = steering.take(&lane, &steer(&json!("more")));
    assert_eq!((taken.goes_on, taken.notes[0].1), (true, 2));

    let _begun = running(&mut steering, &lane);
    steering.take(&lane, &steer(&json!("more")));
    let taken = steering.ended(&lane, &Outcome::Failed, &memory());
    assert_eq!((code(&taken), taken.goes_on), ("response_not_found", false));
    assert_eq!(taken.notes[0].0.body["steer"]["input"][0]["content"], "more");
    assert_eq!(steering.continuation(&lane), None);
    assert_eq!(code(&steering.take(&lane, &steer(&json!("more")))), "response_not_found");
}

#[test]
fn a_request_that_continues_something_else_loses_the_input_and_says_so() {
    let (mut steering, lane) = (Steering::default(), Lane::default());
    let _begun = running(&mut steering, &lane);
    steering.take(&lane, &steer(&json!("more")));
    let call = json!([{"type": "custom_tool_call", "call_id": "c", "name": "g"}]);
    let taken = steering.ended(&lane, &said(call), &memory());
    assert_eq!(taken.notes[0].0.body["required_input"][0]["type"], "custom_tool_call_output");
    let request = frame(&json!({"input": "new"}));
    let begun = steering.begin(&lane, None, request.clone());
    assert_eq!(begun.text, request);
    assert_eq!(begun.notes[0].0.kind, "response.steer.failed");
}

#[test]
fn what_is_wrong_is_refused_with_its_input() {
    let (mut steering, lane) = (Steering::default(), Lane::default());
    assert_eq!(code(&steering.take(&lane, &steer(&json!("more")))), "response_not_found");
    let mut begun = running(&mut steering, &lane);
    for wrong in [
        json!({"previous_response_id": "resp_1"}),
        json!({"previous_response_id": "resp_1", "input": ""}),
        json!({"previous_response_id": "resp_1", "input": []}),
        json!({"previous_response_id": "resp_1", "input": [{"role": "developer", "content": "x"}]}),
        json!({"previous_response_id": "resp_1", "input": [{"type": "function_call_output", "role": "user"}]}),
        json!({"previous_response_id": 1, "input": "x"}),
        json!({"previous_response_id": "resp_1", "input": "x", "model": "m"}),
    ] {
        assert_eq!(steering.take(&lane, &frame(&wrong)), Taken::default());
        let Signal { note, ends } = begun.signals.try_recv().unwrap();
        assert_eq!((note.kind, ends), ("response.steer.failed", false));
        assert_eq!(note.body["error"]["code"], "invalid_input", "{wrong}");
        assert_eq!(note.body["steer"]["input"], wrong["input"]);
    }
    for _ in 0..MOST_PENDING {
        steering.take(&lane, &steer(&json!("more")));
        begun.signals.try_recv().unwrap();
    }
    steering.take(&lane, &steer(&json!("more")));
    assert_eq!(begun.signals.try_recv().unwrap().note.body["error"]["code"], "too_many_pending_steers");
}

#[test]
fn what_is_kept_of_a_response_is_bounded() {
    let (mut steering, lane) = (Steering::default(), Lane::default());
    let _begun = running(&mut steering, &lane);
    let (full, room) = (Budget::new(10), Budget::new(100));
    steering.ended(&lane, &said(json!([])), &full);
    assert_eq!(
        code(&steering.take(&lane, &steer(&json!("late")))),
        "response_not_found",
        "there was no room"
    );

    let _begun = running(&mut steering, &lane);
    steering.ended(&lane, &said(json!([])), &room);
    assert!(room.share().take(100).is_err(), "its settings are counted");
    steering.retain(|_| true);
    assert!(room.share().take(100).is_err());
    steering.retain(|_| false);
    assert!(room.share().take(100).is_ok(), "nothing is left of a lane that is gone");

    // Input that was accepted outlives its lane.
    let mut begun = running(&mut steering, &lane);
    steering.take(&lane, &steer(&json!("more")));
    begun.signals.try_recv().unwrap();
    steering.ended(&lane, &said(json!([{"type": "function_call", "call_id": "c", "name": "f"}])), &full);
    steering.retain(|_| false);
    let begun = steering.begin(&lane, Some("resp_1"), frame(&json!({"input": "and"})));
    assert_eq!(serde_json::from_slice::<Value>(&begun.text).unwrap()["input"].as_array().unwrap().len(), 2);
}

#[test]
fn a_request_that_cannot_have_the_input_says_so() {
    let (mut steering, lane) = (Steering::default(), Lane::default());
    let _begun = running(&mut steering, &lane);
    steering.take(&lane, &steer(&json!("more")));
    steering.ended(&lane, &said(json!([{"type": "function_call", "call_id": "c", "name": "f"}])), &memory());
    let wrong = frame(&json!({"previous_response_id": "resp_1", "input": 7}));
    let begun = steering.begin(&lane, Some("resp_1"), wrong.clone());
    assert_eq!((begun.text, begun.notes[0].0.kind), (wrong, "response.steer.failed"));
}
