use super::*;
use crate::codex::{CallKey, Kept};
use crate::turn::ToolOutput;

const NEXT: TurnKey = TurnKey(2);

fn kept(bench: &mut Bench) -> Vec<Kept> {
    let (kept, rest): (Vec<_>, Vec<_>) =
        bench.steps.drain(..).partition(|step| matches!(step, Step::Kept(..)));
    bench.steps = rest;
    kept.into_iter()
        .filter_map(|step| if let Step::Kept(_, kept) = step { Some(kept) } else { None })
        .collect()
}

fn held_call(call: &str, arguments: &str) -> Value {
    json!({"item": {"type": "function_call", "id": format!("fc_{call}"), "call_id": call, "namespace": "client",
                    "name": "f", "arguments": arguments}})
}

/// Codex asks for the output of a call.
fn ask(bench: &mut Bench, call: &str) {
    bench.receive(&json!({"id": format!("ask-{call}"), "method": "item/tool/call", "params": {
        "threadId": "t", "turnId": "u", "callId": call, "namespace": "client", "tool": "f", "arguments": {}}}));
}

fn output(call: &str, text: &str) -> Item {
    Item::ToolOutput { kind: ToolKind::Function, call_id: call.into(), output: ToolOutput::Text(text.into()) }
}

/// Lines to Codex that are neither requests nor notifications: its own requests are answered.
fn answers(bench: &mut Bench) -> Vec<Value> {
    let mut answers = Vec::new();
    bench.steps.retain(|step| {
        let (Step::Send(line) | Step::SendFor(_, line)) = step else { return true };
        let message: Value = serde_json::from_str(line).unwrap();
        let is_answer = message.get("method").is_none();
        answers.extend(is_answer.then_some(message));
        !is_answer
    });
    answers
}

/// A turn that waits for the outputs of two calls, with its events taken out.
fn parked() -> Bench {
    let mut bench = Bench::running(NEW, with_tool());
    bench.steps.clear();
    bench.notify("rawResponseItem/completed", held_call("a", "{}"));
    bench.notify("rawResponseItem/completed", held_call("b", "{}"));
    ask(&mut bench, "b");
    bench.notify("rawResponse/completed", json!({"usage": {"inputTokens": 3, "outputTokens": 2}}));
    assert!(!bench.events().contains(&TurnEvent::Finished(Finish::ToolCalls)), "one is not held yet");
    ask(&mut bench, "a");
    let calls = ["a", "b"].map(str::to_owned).to_vec();
    let position = |wanted: &dyn Fn(&Step) -> bool| bench.steps.iter().position(wanted);
    let end = position(&|step| matches!(step, Step::Emit(KEY, TurnEvent::Finished(Finish::ToolCalls))));
    assert!(position(&|step| matches!(step, Step::Kept(..))) < end && end.is_some());
    assert_eq!(kept(&mut bench), [Kept { thread: ThreadId("t".into()), calls }]);
    assert!(bench.released(), "it takes no place");
    bench.steps.clear();
    bench
}

#[test]
fn a_thread_that_has_ended_its_turn_well_is_kept_and_gets_what_is_new() {
    let mut bench = Bench::running(NEW, with_tool());
    bench.notify("rawResponse/completed", json!({"usage": {"inputTokens": 3, "outputTokens": 2}}));
    bench.complete("completed", Value::Null);
    let thread = ThreadId("t".into());
    assert_eq!(kept(&mut bench), [Kept { thread: thread.clone(), calls: vec![] }]);
    assert!(bench.released());
    bench.steps.clear();
    let mut next = with_tool();
    next.items = vec![user("and?")];
    bench.driver.extend(NEXT, &thread, next, &mut bench.steps);
    let params = bench.answer("thread/inject_items", json!({}));
    assert_eq!(params["items"].as_array().unwrap().len(), 1, "the tools are there already");
    assert_eq!(params["items"][0]["content"][0]["text"], "and?");
    assert_eq!(bench.answer("turn/start", json!({"turn": {"id": "v"}}))["threadId"], "t");
    assert_eq!(bench.events(), [TurnEvent::Started]);
    let usage = json!({"turnId": "v", "usage": {"inputTokens": 9, "outputTokens": 1}});
    bench.notify("rawResponse/completed", usage);
    bench.notify("turn/completed", json!({"turn": {"id": "v", "status": "completed", "error": null}}));
    let usage = Usage { input: 9, output: 1, ..Usage::default() };
    assert_eq!(bench.events(), [TurnEvent::Usage(usage), TurnEvent::Finished(Finish::Stop)], "its own cost");
    assert_eq!(kept(&mut bench).len(), 1);
    bench.driver.leave(&thread, &mut bench.steps);
    assert_eq!(bench.sent("thread/unsubscribe").1["threadId"], "t");
}

#[test]
fn a_parked_turn_goes_on_with_the_outputs() {
    let mut bench = parked();
    let mut next = with_tool();
    next.items = vec![output("a", "sunny"), output("b", "")];
    bench.driver.extend(NEXT, &ThreadId("t".into()), next, &mut bench.steps);
    assert_eq!(bench.events(), [TurnEvent::Started]);
    let text = |text: &str| json!({"contentItems": [{"type": "inputText", "text": text}], "success": true});
    assert_eq!(
        answers(&mut bench),
        [json!({"id": "ask-a", "result": text("sunny")}), json!({"id": "ask-b", "result": text("")})]
    );
    for call in ["a", "b"] {
        let echo = json!({"item": {"type": "function_call_output", "call_id": call, "output": "x"}});
        bench.notify("rawResponseItem/completed", echo);
    }
    bench.notify("rawResponse/completed", json!({"usage": {"inputTokens": 7, "outputTokens": 1}}));
    bench.complete("completed", Value::Null);
    let usage = Usage { input: 7, output: 1, ..Usage::default() };
    assert_eq!(bench.events(), [TurnEvent::Usage(usage), TurnEvent::Finished(Finish::Stop)]);
    assert_eq!(kept(&mut bench).len(), 1);
}

#[test]
fn a_parked_turn_that_nobody_goes_on_with_is_interrupted_before_its_calls_are_answered() {
    let mut bench = parked();
    bench.driver.leave(&ThreadId("t".into()), &mut bench.steps);
    assert_eq!(answers(&mut bench), Vec::<Value>::new(), "the model would be asked again");
    bench.answer("turn/interrupt", json!({}));
    bench.complete("interrupted", Value::Null);
    assert_eq!(answers(&mut bench).len(), 2);
    bench.sent("thread/unsubscribe");
    assert_eq!(bench.events(), []);
}

#[test]
fn a_thread_with_something_of_codex_is_not_kept() {
    let foreign = [
        json!({"item": {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "x"}]}}),
        json!({"item": {"type": "function_call_output", "call_id": "z", "output": "unsupported call"}}),
        json!({"item": {"type": "some_new_item"}}),
    ];
    for item in foreign {
        let mut bench = Bench::running(NEW, turn());
        bench.notify("rawResponseItem/completed", item);
        bench.complete("completed", Value::Null);
        assert_eq!(kept(&mut bench), []);
        assert_eq!(bench.events(), [TurnEvent::Finished(Finish::Stop)]);
        bench.sent("thread/unsubscribe");
    }
    for status in ["failed", "interrupted"] {
        let mut bench = Bench::running(NEW, turn());
        bench.complete(status, Value::Null);
        assert_eq!(kept(&mut bench), []);
        bench.sent("thread/unsubscribe");
    }
}

#[test]
fn a_call_that_codex_answers_itself_ends_the_answer_and_the_thread() {
    for call in [held_call("a", "{not json"), raw_call("a")] {
        let mut bench = Bench::running(NEW, with_tool());
        bench.notify("rawResponseItem/completed", call);
        bench.notify("rawResponse/completed", json!({}));
        assert_eq!(bench.events().last(), Some(&TurnEvent::Finished(Finish::ToolCalls)));
        bench.sent("turn/interrupt");
        assert_eq!(kept(&mut bench), []);
    }
}

#[test]
fn a_thread_is_started_ahead_and_gets_tools_and_transcript_with_its_first_turn() {
    let mut bench = Bench::ready(NEW);
    bench.driver.warm(CallKey(1), with_tool().spec, &mut bench.steps);
    bench.answer("thread/start", json!({"thread": {"id": "w"}}));
    let thread = ThreadId("w".into());
    assert!(bench.steps.contains(&Step::Warmed(CallKey(1), Some(thread.clone()))));
    bench.driver.extend(KEY, &thread, with_tool(), &mut bench.steps);
    let opening = |step: &Step| matches!(step, Step::WasSentFor(KEY, line) if line.contains("thread/start"));
    assert!(bench.steps.iter().any(opening), "what started the thread is shown with its first turn");
    let items = bench.answer("thread/inject_items", json!({}))["items"].clone();
    assert_eq!(items[0]["type"], "additional_tools");
    assert_eq!(items.as_array().unwrap().len(), 2);
    bench.sent("turn/start");
    bench.driver.warm(CallKey(2), turn().spec, &mut bench.steps);
    let (id, _) = bench.sent("thread/start");
    bench.receive(&json!({"id": id, "error": {"code": -1, "message": "no"}}));
    assert!(bench.steps.contains(&Step::Warmed(CallKey(2), None)));
    let mut old = Bench::ready(OLD);
    old.driver.warm(CallKey(1), turn().spec, &mut old.steps);
    assert_eq!(old.steps, [Step::Warmed(CallKey(1), None)], "its threads serve one turn");
}

#[test]
fn a_turn_on_a_thread_that_is_gone_fails_alone() {
    let mut bench = Bench::ready(NEW);
    bench.driver.extend(KEY, &ThreadId("gone".into()), turn(), &mut bench.steps);
    assert!(matches!(
        bench.events().as_slice(),
        [TurnEvent::Failed(error)] if error.kind == TurnErrorKind::WorkerExited
    ));
    assert!(bench.released());
}

/// Whether Codex is told to ask the model once only, in a thread with a function of these parameters.
fn asks_once(bench: &mut Bench, key: u64, parameters: Value) -> bool {
    let mut turn = turn();
    let definition = json!({"type": "function", "name": "f", "parameters": parameters});
    let tool = Tool { kind: ToolKind::Function, namespace: None, name: "f".into(), definition };
    turn.spec.tools.push(tool.into());
    bench.driver.start(TurnKey(key), turn, &mut bench.steps);
    let params = bench.answer("thread/start", json!({"thread": {"id": "t"}}));
    bench.answer("thread/inject_items", json!({}));
    bench.answer("turn/start", json!({"turn": {"id": "u"}}));
    params["config"].get("features.rollout_budget.enabled").is_some()
}

#[test]
fn a_model_is_trusted_with_functions_that_take_nothing_once_it_has_written_json_for_one() {
    let (nothing, something) =
        (json!({"type": "object"}), json!({"type": "object", "properties": {"a": {}}}));
    for (arguments, then) in [("{}", [false, false]), ("", [true, true])] {
        let mut bench = Bench::ready(&NEW.replace("0.169.0", "0.171.0"));
        assert!(!asks_once(&mut bench, 1, something.clone()));
        bench.complete("completed", Value::Null);
        assert!(asks_once(&mut bench, 2, nothing.clone()), "it may write nothing, which Codex would answer");
        bench.notify("rawResponseItem/completed", held_call("a", arguments));
        bench.notify("rawResponse/completed", json!({}));
        bench.complete("interrupted", Value::Null);
        let now = [asks_once(&mut bench, 3, nothing.clone()), asks_once(&mut bench, 4, something.clone())];
        assert_eq!(now, then, "{arguments:?}");
    }
}
