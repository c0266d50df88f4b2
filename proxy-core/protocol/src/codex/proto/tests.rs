#![expect(clippy::wildcard_enum_match_arm, reason = "a step that no test expects ends the test")]

use serde_json::Value;

use super::*;
use crate::turn::{Effort, Finish, Item, Part, Role, Tool, ToolKind, Usage};

const KEY: TurnKey = TurnKey(1);

/// What Codex 0.42.0 printed: one turn each, from the handshake to the end.
macro_rules! recorded {
    ($name:literal) => {
        include_str!(concat!("recorded/", $name, ".jsonl"))
    };
}

/// A driver and the actions that it has requested so far.
struct Bench {
    driver: Proto,
    steps: Vec<Step>,
}

impl Bench {
    fn new() -> Self {
        let settings =
            Settings { version: "codex-cli 0.42.0\n".into(), workdir: "/work".into(), sandbox: "read-only" };
        Self { driver: Proto::new(settings), steps: Vec::new() }
    }

    /// A driver whose session is configured for the model `gpt-5`.
    fn ready() -> Self {
        let mut bench = Self::new();
        bench.receive(&json!({"id": "", "msg": {"type": "session_configured", "session_id": "a-b", "model": "gpt-5", "rollout_path": "/home/r.jsonl"}}));
        bench.steps.clear();
        bench
    }

    fn running() -> Self {
        let mut bench = Self::ready();
        bench.driver.start(KEY, &turn(), &mut bench.steps);
        bench.steps.clear();
        bench
    }

    fn receive(&mut self, message: &Value) {
        self.driver.receive(&message.to_string(), &mut self.steps);
    }

    fn event(&mut self, msg: &Value) {
        self.receive(&json!({"id": TURN, "msg": msg}));
    }

    /// Takes out the operations that were sent.
    fn sent(&mut self) -> Vec<Value> {
        let (sent, rest): (Vec<_>, Vec<_>) =
            self.steps.drain(..).partition(|step| matches!(step, Step::Send(_) | Step::SendFor(..)));
        self.steps = rest;
        sent.iter()
            .map(|step| match step {
                Step::Send(line) | Step::SendFor(_, line) => {
                    serde_json::from_str::<Value>(line).unwrap()["op"].take()
                }
                other => panic!("{other:?}"),
            })
            .collect()
    }
}

fn turn() -> Turn {
    let mut turn = Turn::new("gpt-5");
    turn.items.push(Item::Message { role: Role::User, content: vec![Part::Text("hi".into())], phase: None });
    turn
}

/// Feeds a recording to a new driver and writes down the resulting steps, one a line.
fn play(recording: &str, interrupt_after: Option<&str>) -> Vec<String> {
    let mut bench = Bench::new();
    let mut told = Vec::new();
    let mut session = String::new();
    for line in recording.lines() {
        bench.driver.receive(line, &mut bench.steps);
        if let Stage::Ready { session: id, .. } = &bench.driver.stage {
            session.clone_from(id);
            assert!(matches!(bench.steps.as_slice(), [Step::Account(Account::Usable), Step::Ready(_)]));
            bench.steps.clear();
            bench.driver.start(KEY, &turn(), &mut bench.steps);
        }
        if interrupt_after.is_some_and(|word| line.contains(word)) {
            bench.driver.interrupt(KEY, &mut bench.steps);
        }
        told.extend(bench.steps.drain(..).map(|step| written(&step).replace(&format!("{session}_"), "")));
    }
    assert!(matches!(bench.driver.stage, Stage::Spent), "the process has not been shut down");
    told
}

fn written(step: &Step) -> String {
    match step {
        Step::Send(line) | Step::SendFor(_, line) => {
            let op = &serde_json::from_str::<Value>(line).unwrap()["op"];
            format!("> {} {}", op["type"].as_str().unwrap(), op["decision"].as_str().unwrap_or_default())
        }
        Step::Emit(KEY, event) => match event {
            TurnEvent::TextDelta { id, text } => format!("{id} {text}"),
            TurnEvent::SummaryDelta { id, index, text } => format!("{id} summary {index} {text}"),
            TurnEvent::ReasoningTextDelta { id, index, text } => format!("{id} raw {index} {text}"),
            TurnEvent::MessageStarted { id } | TurnEvent::ReasoningStarted { id } => format!("{id} starts"),
            TurnEvent::MessageDone { id, phase: None }
            | TurnEvent::ReasoningDone { id, encrypted_content: None } => format!("{id} done"),
            TurnEvent::Usage(usage) => format!("usage {} of {}", usage.output, usage.input),
            TurnEvent::Failed(error) => format!("{:?}: {}", error.kind, error.message),
            other => format!("{other:?}"),
        },
        Step::Released(KEY) => "released".into(),
        Step::Fatal(reason) => format!("fatal: {reason}"),
        other => panic!("{other:?}"),
    }
}

const END: [&str; 3] = ["> shutdown ", "released", "fatal: its one turn is over"];

#[track_caller]
fn check(recording: &str, interrupt_after: Option<&str>, expected: &[&str]) {
    let expected: Vec<_> = ["> user_input ", "Started"].iter().chain(expected).chain(&END).collect();
    let told = play(recording, interrupt_after);
    assert_eq!(told.iter().collect::<Vec<_>>(), expected, "{told:#?}");
}

#[test]
fn items_are_made_of_what_follows_what() {
    let expected = [
        "rs_1 starts",
        "rs_1 summary 0 **Think",
        "rs_1 summary 0 ing**",
        "rs_1 summary 0 \n\nhmm",
        "rs_1 summary 1 second part",
        "rs_1 done",
        "msg_2 starts",
        "msg_2 one",
        "msg_2 done",
        "rs_3 starts",
        "rs_3 summary 0 **Think",
        "rs_3 summary 0 ing**",
        "rs_3 summary 0 \n\nhmm",
        "rs_3 summary 1 second part",
        "rs_3 done",
        "msg_4 starts",
        "msg_4 two",
        "msg_4 done",
        "usage 20 of 100",
        "Finished(Stop)",
    ];
    check(recorded!("two_answers"), None, &expected);
}

#[test]
fn raw_reasoning_is_shown() {
    let expected = [
        "rs_1 starts",
        "rs_1 raw 0 raw ",
        "rs_1 raw 0 thought",
        "rs_1 done",
        "msg_2 starts",
        "msg_2 ok",
        "msg_2 done",
        "usage 20 of 100",
        "Finished(Stop)",
    ];
    check(recorded!("raw_reasoning"), None, &expected);
}

#[test]
fn text_without_deltas_is_sent_whole() {
    let expected = [
        "msg_1 starts",
        "msg_1 done",
        "msg_2 starts",
        "msg_2 whole",
        "msg_2 done",
        "usage 20 of 100",
        "Finished(Stop)",
    ];
    check(recorded!("no_deltas"), None, &expected);
}

#[test]
fn a_web_search_is_an_item() {
    let expected = [
        "WebSearchStarted { id: \"ws_1\" }",
        "WebSearchDone { id: \"ws_1\", action: Object {\"type\": String(\"search\"), \"query\": String(\"weather\")} }",
        "msg_1 starts",
        "msg_1 found it",
        "msg_1 done",
        "usage 20 of 100",
        "Finished(Stop)",
    ];
    check(recorded!("web_search"), None, &expected);
}

#[test]
fn an_approval_is_denied_and_the_turn_goes_on() {
    let told = play(recorded!("shell_denied"), None);
    assert_eq!(told[2], "> exec_approval denied");
    assert!(told.contains(&"usage 40 of 200".to_owned()), "both responses count: {told:?}");
    assert!(told.contains(&"Finished(Stop)".to_owned()));
}

#[test]
fn an_interrupt_is_silent_and_shuts_the_process_down() {
    let expected = ["msg_1 starts", "msg_1 slow ", "> interrupt "];
    check(recorded!("interrupted"), Some("slow"), &expected);
}

#[test]
fn an_answer_that_broke_off_is_not_given_twice() {
    let expected = [
        "msg_1 starts",
        "msg_1 half",
        "msg_1 done",
        "Upstream: The connection to the model broke in the middle of the answer. Try again.",
    ];
    check(recorded!("cut"), None, &expected);
}

#[test]
fn a_refusal_ends_the_turn_at_the_first_try() {
    check(recorded!("refused"), None, &["BadRequest: upstream says no 400"]);
    let usage = "UsageLimitReached: You've hit your usage limit. Upgrade to Pro \
        (https://openai.com/chatgpt/pricing) or try again in 1 hour.";
    check(recorded!("usage_limit"), None, &[usage]);
}

#[test]
fn a_retry_is_progress() {
    let told = play(recorded!("rate_limit"), None);
    assert!(told[2].starts_with("Retrying"), "{told:?}");
    assert!(told[3].starts_with("RateLimited: "), "{told:?}");
    assert_eq!(told[4..], END);
}

#[test]
fn the_handshake_tells_what_the_protocol_lacks() {
    let mut bench = Bench::new();
    bench.driver.receive(recorded!("cut").lines().next().unwrap(), &mut bench.steps);
    let Some(Step::Ready(handshake)) = bench.steps.pop() else { panic!("{:?}", bench.steps) };
    assert!(handshake.catalogue.models.is_empty());
    assert!(handshake.record.is_some_and(|path| path.starts_with("/home/user/.codex/sessions")));
    let capabilities = handshake.capabilities;
    assert_eq!(capabilities.version, "0.42.0");
    let mut wanted = turn();
    wanted.spec.web_search = true;
    wanted.output_schema = Some(json!({"type": "object"}));
    assert_eq!(crate::codex::check(&wanted, &capabilities), Ok(()));
    let older = Capabilities::legacy("codex-cli 0.30.0");
    let refused = crate::codex::check(&wanted, &older).unwrap_err();
    assert_eq!(refused.param.as_deref(), Some("response_format"));
    let definition = json!({"type": "function", "name": "f"});
    let tool = Tool { kind: ToolKind::Function, namespace: None, name: "f".into(), definition };
    wanted.spec.tools.push(tool.into());
    let refused = crate::codex::check(&wanted, &capabilities).unwrap_err();
    assert_eq!((refused.kind, refused.param.as_deref()), (TurnErrorKind::Unsupported, Some("tools")));
    assert!(refused.message.contains("codex proto") && refused.message.contains("PROXY_USE_APP_SERVER"));
}

#[test]
fn the_plain_operation_serves_unless_arguments_do_not() {
    let mut bench = Bench::ready();
    bench.driver.start(KEY, &turn(), &mut bench.steps);
    let items = json!([{"type": "text", "text": "hi"}]);
    assert_eq!(bench.sent(), [json!({"type": "user_input", "items": items})]);

    let mut wanted = turn();
    wanted.output_schema = Some(json!({"type": "object"}));
    wanted.spec.effort = Some(Effort::Xhigh);
    let mut bench = Bench::ready();
    bench.driver.start(KEY, &wanted, &mut bench.steps);
    let full = json!({
        "type": "user_turn", "items": items, "cwd": "/work", "approval_policy": "untrusted",
        "sandbox_policy": {"mode": "read-only"}, "model": "gpt-5", "summary": "auto", "effort": "high",
        "final_output_json_schema": {"type": "object"},
    });
    assert_eq!(bench.sent(), [full]);

    let mut other = turn();
    other.spec.model = "gpt-5-codex".into();
    let mut bench = Bench::ready();
    bench.driver.start(KEY, &other, &mut bench.steps);
    let sent = bench.sent();
    assert_eq!((&sent[0]["type"], &sent[0]["model"]), (&json!("user_turn"), &json!("gpt-5-codex")));
}

#[test]
fn a_message_of_several_parts_is_not_repeated() {
    let mut bench = Bench::running();
    for msg in [
        json!({"type": "agent_message_delta", "delta": "h\u{e9}"}),
        json!({"type": "agent_message_delta", "delta": "llo"}),
        json!({"type": "agent_message", "message": "h\u{e9}"}),
        json!({"type": "agent_message", "message": "llo you"}),
        json!({"type": "agent_message_delta", "delta": "next"}),
        json!({"type": "agent_message", "message": "next"}),
    ] {
        bench.event(&msg);
    }
    let told: Vec<_> = bench.steps.iter().map(written).collect();
    assert_eq!(
        told,
        [
            "msg_ab_1 starts",
            "msg_ab_1 h\u{e9}",
            "msg_ab_1 llo",
            "msg_ab_1  you",
            "msg_ab_1 done",
            "msg_ab_2 starts",
            "msg_ab_2 next",
            "msg_ab_2 done"
        ]
    );
}

#[test]
fn a_process_has_one_turn() {
    let mut bench = Bench::running();
    let refused = |steps: &mut Vec<Step>| {
        let steps = std::mem::take(steps);
        let [Step::Emit(TurnKey(2), TurnEvent::Failed(error)), Step::Released(TurnKey(2))] = steps.as_slice()
        else {
            panic!("{steps:?}")
        };
        assert_eq!(error.kind, TurnErrorKind::WorkerNotReady);
    };
    bench.driver.start(TurnKey(2), &turn(), &mut bench.steps);
    refused(&mut bench.steps);
    bench.driver.interrupt(TurnKey(2), &mut bench.steps);
    assert_eq!(bench.steps, [], "another turn's interrupt is not this one's");
    bench.event(&json!({"type": "task_complete"}));
    assert!(bench.steps.contains(&Step::Emit(KEY, TurnEvent::Finished(Finish::Stop))));
    bench.steps.clear();
    bench.driver.interrupt(KEY, &mut bench.steps);
    assert_eq!(bench.steps, [], "the turn is over");
    bench.driver.start(TurnKey(2), &turn(), &mut bench.steps);
    refused(&mut bench.steps);
    let mut early = Bench::new();
    early.driver.start(TurnKey(2), &turn(), &mut early.steps);
    refused(&mut early.steps);
}

#[test]
fn an_end_that_nobody_asked_for_is_told() {
    let mut bench = Bench::running();
    bench.event(&json!({"type": "agent_message_delta", "delta": "a"}));
    bench.event(&json!({"type": "turn_aborted", "reason": "replaced"}));
    let failed = |step: &Step| matches!(step, Step::Emit(KEY, TurnEvent::Failed(error)) if error.kind == TurnErrorKind::Upstream);
    assert!(bench.steps.iter().any(failed), "{:?}", bench.steps);
    let mut bench = Bench::running();
    bench.receive(&json!({"id": "", "msg": {"type": "shutdown_complete"}}));
    assert!(matches!(bench.steps.as_slice(), [Step::Fatal(_)]));
}

#[test]
fn nonsense_is_left_out() {
    let mut bench = Bench::running();
    for line in [
        "",
        "banner",
        "{}",
        "[1]",
        "{\"id\":\"turn\"}",
        "{\"id\":\"turn\",\"msg\":{\"type\":\"agent_message_delta\"}}",
    ] {
        bench.driver.receive(line, &mut bench.steps);
    }
    bench.event(&json!({"type": "something_new", "a": 1}));
    bench.event(&json!({"type": "token_count", "info": null}));
    bench.receive(&json!({"id": "", "msg": {"type": "error", "message": "an MCP server did not start"}}));
    bench.receive(&json!({"id": "other", "msg": {"type": "agent_message", "message": "not ours"}}));
    assert_eq!(bench.steps, []);
    bench.event(&json!({"type": "token_count", "info": {"total_token_usage": {"input_tokens": 3}}}));
    bench.event(&json!({"type": "task_complete", "last_agent_message": null}));
    let usage = TurnEvent::Usage(Usage { input: 3, ..Usage::default() });
    assert_eq!(bench.steps[0], Step::Emit(KEY, usage));
}

#[test]
fn a_plain_call_is_refused() {
    let mut bench = Bench::ready();
    bench.driver.call(CallKey(7), "account/read", &mut bench.steps);
    assert!(matches!(bench.steps.as_slice(), [Step::Answer(CallKey(7), Err(error))] if error.code == -32601));
}
