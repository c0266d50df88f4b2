#![expect(clippy::needless_pass_by_value, reason = "`json!` values are made for the call")]

use serde_json::{Value, json};

use super::*;
use crate::turn::{Finish, Image, ImageLoad, Tool, ToolKind, Usage};

mod bounds;
mod purity;
mod said;
mod threads;

const NEW: &str = "codex-proxy/0.169.0 (Debian 12.0.0; x86_64) xterm (codex-proxy; 1)";
const OLD: &str = "codex_cli_rs/0.77.0 (Debian 12.0.0; x86_64) xterm (codex-proxy; 1)";
const KEY: TurnKey = TurnKey(1);

/// A driver and the actions that it has requested so far.
struct Bench {
    driver: AppServer,
    steps: Vec<Step>,
}

impl Bench {
    /// A driver after its handshake with a Codex of the user agent `agent`.
    fn ready(agent: &str) -> Self {
        let settings = Settings {
            workdir: "/work".into(),
            sandbox: "read-only",
            no_catalogue: None,
            search_catalogue: Some("/search.json".into()),
            windows: BTreeMap::new(),
            effort_with_turn: false,
            client_version: "0.0.0",
        };
        let mut steps = Vec::new();
        let mut bench = Self { driver: AppServer::new(settings, &mut steps), steps };
        let (id, _) = bench.sent("initialize");
        bench.receive(&json!({"id": id, "result": {"userAgent": agent}}));
        assert_eq!(bench.sent("initialized").1, Value::Null);
        let (id, _) = bench.sent("account/read");
        bench.receive(&json!({"id": id, "result": {"account": null, "requiresOpenaiAuth": false}}));
        let (id, _) = bench.sent("model/list");
        bench.receive(&json!({"id": id, "result": {"data": [], "nextCursor": null}}));
        let steps = bench.steps.as_slice();
        assert!(matches!(
            steps,
            [Step::Account(Account::Usable), Step::Notice(Notice::Details(_)), Step::Ready(_)]
        ));
        bench.steps.clear();
        bench
    }

    /// A driver that is running `turn` as thread `t`, turn `u`.
    fn running(agent: &str, turn: Turn) -> Self {
        let mut bench = Self::ready(agent);
        bench.driver.start(KEY, turn, &mut bench.steps);
        let method = if agent == NEW { "thread/start" } else { "thread/resume" };
        bench.answer(method, json!({"thread": {"id": "t"}}));
        if agent == NEW {
            bench.answer("thread/inject_items", json!({}));
        }
        bench.answer("turn/start", json!({"turn": {"id": "u"}}));
        assert_eq!(bench.events(), [TurnEvent::Started]);
        bench
    }

    fn receive(&mut self, message: &Value) {
        self.driver.receive(&message.to_string(), &mut self.steps);
    }

    fn notify(&mut self, method: &str, mut params: Value) {
        params["threadId"] = json!("t");
        if params.get("turnId").is_none() {
            params["turnId"] = json!("u");
        }
        self.receive(&json!({"method": method, "params": params}));
    }

    /// Takes out the first line sent with this method: its id and parameters.
    fn sent(&mut self, method: &str) -> (Value, Value) {
        for index in 0..self.steps.len() {
            if let Step::Send(line) | Step::SendFor(_, line) = &self.steps[index] {
                let message: Value = serde_json::from_str(line).unwrap();
                if message["method"] == method {
                    self.steps.remove(index);
                    return (message["id"].clone(), message["params"].clone());
                }
            }
        }
        panic!("{method} was not sent: {:?}", self.steps)
    }

    fn answer(&mut self, method: &str, result: Value) -> Value {
        let (id, params) = self.sent(method);
        self.receive(&json!({"id": id, "result": result}));
        params
    }

    /// Takes out the events of the turn.
    fn events(&mut self) -> Vec<TurnEvent> {
        let (events, rest): (Vec<_>, Vec<_>) =
            self.steps.drain(..).partition(|step| matches!(step, Step::Emit(..)));
        self.steps = rest;
        events
            .into_iter()
            .filter_map(|step| if let Step::Emit(_, event) = step { Some(event) } else { None })
            .collect()
    }

    fn released(&self) -> bool {
        self.steps.contains(&Step::Released(KEY))
    }

    fn complete(&mut self, status: &str, error: Value) {
        self.notify("turn/completed", json!({"turn": {"id": "u", "status": status, "error": error}}));
    }
}

fn turn() -> Turn {
    let mut turn = Turn::new("m");
    turn.items.push(user("hi"));
    turn
}

fn user(text: &str) -> Item {
    Item::Message { role: Role::User, content: vec![Part::Text(text.into())], phase: None }
}

fn with_tool() -> Turn {
    let mut turn = turn();
    let definition =
        json!({"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}});
    turn.spec
        .tools
        .push(Tool { kind: ToolKind::Function, namespace: None, name: "f".into(), definition }.into());
    turn
}

fn raw_call(call: &str) -> Value {
    json!({"item": {"type": "function_call", "id": format!("fc_{call}"), "call_id": call, "name": "f", "arguments": "{}"}})
}

fn call_event(call: &str) -> TurnEvent {
    TurnEvent::ToolCall {
        id: format!("fc_{call}").into(),
        kind: ToolKind::Function,
        call_id: call.into(),
        namespace: None,
        name: "f".into(),
        input: "{}".into(),
    }
}

fn text(id: &str, text: &str) -> TurnEvent {
    TurnEvent::TextDelta { id: id.into(), text: text.into() }
}

#[test]
fn a_turn_is_a_fresh_thread_with_the_transcript_injected() {
    let mut bench = Bench::ready(NEW);
    let mut wanted = with_tool();
    wanted.spec.effort = Some(crate::turn::Effort::High);
    wanted.spec.service_tier = Some(crate::turn::ServiceTier::Priority);
    wanted.output_schema = Some(json!({"type": "object"}));
    wanted.spec.web_search = true;
    bench.driver.start(KEY, wanted, &mut bench.steps);
    let params = bench.answer("thread/start", json!({"thread": {"id": "t"}}));
    assert_eq!(params["ephemeral"], true);
    assert_eq!(params["baseInstructions"], "");
    assert_eq!(params["environments"], json!([]));
    assert_eq!(
        params["config"],
        json!({"model_reasoning_effort": "high", "web_search": "live", "model_catalog_json": "/search.json"})
    );
    assert_eq!(params["serviceTier"], "priority");
    assert_eq!(params["dynamicTools"][0]["tools"][0]["deferLoading"], true);
    let params = bench.answer("thread/inject_items", json!({}));
    let tool = &with_tool().spec.tools[0].definition;
    assert_eq!(
        params["items"],
        json!([
            {"type": "additional_tools", "role": "developer", "tools": [
                {"type": "namespace", "name": "client", "description": "", "tools": [tool]},
            ]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        ])
    );
    let (_, params) = bench.sent("turn/start");
    assert_eq!(params, json!({"threadId": "t", "input": [], "outputSchema": {"type": "object"}}));
}

#[test]
fn an_older_codex_is_given_the_transcript_by_resuming() {
    let mut bench = Bench::ready(OLD);
    let mut wanted = turn();
    wanted.items.push(Item::Message {
        role: Role::Assistant,
        content: vec![Part::Text("yes".into())],
        phase: None,
    });
    wanted.items.push(user("and"));
    bench.driver.start(KEY, wanted, &mut bench.steps);
    let params = bench.answer("thread/resume", json!({"thread": {"id": "t"}}));
    assert_eq!(params["history"].as_array().map(Vec::len), Some(2));
    assert_eq!(params["config"]["features.shell_tool"], false);
    let (_, params) = bench.sent("turn/start");
    assert_eq!(params["input"], json!([{"type": "text", "text": "and", "text_elements": []}]));
}

#[test]
fn items_come_out_in_order_with_the_vendors_ids() {
    let mut bench = Bench::running(NEW, turn());
    bench.notify("item/started", json!({"item": {"type": "reasoning", "id": "rs"}}));
    bench.notify(
        "item/reasoning/summaryTextDelta",
        json!({"itemId": "rs", "delta": "why", "summaryIndex": 1}),
    );
    bench
        .notify("item/completed", json!({"item": {"type": "reasoning", "id": "rs", "summary": ["", "why"]}}));
    bench.notify(
        "rawResponseItem/completed",
        json!({"item": {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": ""}, {"type": "summary_text", "text": "why"}], "encrypted_content": "E"}}),
    );
    bench.notify("item/started", json!({"item": {"type": "agentMessage", "id": "msg", "text": ""}}));
    bench.notify("item/agentMessage/delta", json!({"itemId": "msg", "delta": "h\u{e9}"}));
    bench.notify(
        "rawResponseItem/completed",
        json!({"item": {"type": "message", "id": "msg", "role": "assistant", "phase": "final_answer", "content": [{"type": "output_text", "text": "h\u{e9}llo"}]}}),
    );
    bench.notify(
        "rawResponse/completed",
        json!({"usage": {"inputTokens": 3, "cachedInputTokens": 1, "outputTokens": 2, "reasoningOutputTokens": 1}}),
    );
    bench.notify("thread/tokenUsage/updated", json!({"tokenUsage": {"total": {"inputTokens": 99}}}));
    bench.complete("completed", Value::Null);
    let usage = Usage { input: 3, cached: 1, output: 2, reasoning: 1, ..Usage::default() };
    assert_eq!(
        bench.events(),
        [
            TurnEvent::ReasoningStarted { id: "rs".into() },
            TurnEvent::SummaryDelta { id: "rs".into(), index: 1, text: "why".into() },
            TurnEvent::ReasoningDone { id: "rs".into(), encrypted_content: Some("E".into()) },
            TurnEvent::MessageStarted { id: "msg".into() },
            text("msg", "h\u{e9}"),
            text("msg", "llo"),
            TurnEvent::MessageDone { id: "msg".into(), phase: Some("final_answer".into()) },
            TurnEvent::Usage(usage),
            TurnEvent::Finished(Finish::Stop),
        ]
    );
    assert!(bench.released());
}

#[test]
fn without_raw_items_the_shown_ones_serve() {
    let mut bench = Bench::running(OLD, turn());
    bench.receive(
        &json!({"method": "codex/event/agent_message_delta", "params": {"msg": {"delta": "double"}}}),
    );
    bench.notify("item/agentMessage/delta", json!({"itemId": "msg", "delta": "a"}));
    bench.notify("item/completed", json!({"item": {"type": "agentMessage", "id": "msg", "text": "a"}}));
    bench.notify(
        "thread/tokenUsage/updated",
        json!({"tokenUsage": {"total": {"inputTokens": 5, "outputTokens": 1}}}),
    );
    bench.complete("completed", Value::Null);
    assert_eq!(
        bench.events(),
        [
            TurnEvent::MessageStarted { id: "msg".into() },
            text("msg", "a"),
            TurnEvent::MessageDone { id: "msg".into(), phase: None },
            TurnEvent::Usage(Usage { input: 5, output: 1, ..Usage::default() }),
            TurnEvent::Finished(Finish::Stop),
        ]
    );
    bench.sent("thread/archive");
}

#[test]
fn what_a_turn_cost_is_told_after_it_was_given_up() {
    let mut bench = Bench::running(NEW, turn());
    bench.driver.interrupt(KEY, &mut bench.steps);
    bench.notify("item/agentMessage/delta", json!({"itemId": "m", "delta": "late"}));
    bench.notify("rawResponse/completed", json!({"usage": {"inputTokens": 7, "outputTokens": 2}}));
    let usage = Usage { input: 7, output: 2, ..Usage::default() };
    assert_eq!(bench.events(), [TurnEvent::Usage(usage)]);
    bench.complete("interrupted", Value::Null);
    assert_eq!(bench.events(), [], "once is enough");
    assert!(bench.released());
}

#[test]
fn parallel_calls_end_the_turn_when_the_model_response_ends() {
    let mut bench = Bench::running(NEW, with_tool());
    bench.notify("rawResponseItem/completed", raw_call("a"));
    bench.receive(&json!({"id": 9, "method": "item/tool/call", "params": {"threadId": "t", "turnId": "u", "callId": "a", "tool": "f", "arguments": {}}}));
    bench.notify("rawResponseItem/completed", raw_call("b"));
    assert_eq!(bench.events(), [call_event("a"), call_event("b")]);
    bench.notify("rawResponse/completed", json!({"usage": null}));
    assert_eq!(bench.events(), [TurnEvent::Finished(Finish::ToolCalls)]);
    assert_eq!(bench.sent("turn/interrupt").1, json!({"threadId": "t", "turnId": "u"}));
    // This request comes late, which is allowed.
    bench.receive(&json!({"id": 10, "method": "item/tool/call", "params": {"threadId": "t", "turnId": "u", "callId": "b", "tool": "f", "arguments": {}}}));
    bench.complete("interrupted", Value::Null);
    assert_eq!(bench.events(), []);
    assert!(bench.released());
    let answered: Vec<_> = bench
        .steps
        .iter()
        .filter_map(|step| {
            if let Step::Send(line) | Step::SendFor(_, line) = step {
                serde_json::from_str::<Value>(line).ok()
            } else {
                None
            }
        })
        .filter(|message| message.get("result").is_some())
        .map(|message| message["id"].clone())
        .collect();
    assert_eq!(answered, [json!(9), json!(10)], "every request of Codex's is answered");
}

#[test]
fn a_call_of_no_function_of_the_clients_is_codexs_own_business() {
    let mut bench = Bench::running(NEW, with_tool());
    let mut call = raw_call("a");
    call["item"]["name"] = json!("update_plan");
    bench.notify("rawResponseItem/completed", call);
    bench.notify("rawResponse/completed", json!({}));
    assert_eq!(
        bench.events(),
        [TurnEvent::Finished(Finish::Stop)],
        "what Codex would say of it is not heard"
    );
    bench.sent("turn/interrupt");
}

#[test]
fn echoes_of_the_transcript_are_no_answer_but_a_lost_image_is_an_error() {
    let echo = json!({"turnId": "auto-compact-0", "item": {"type": "message", "role": "user", "id": "x",
        "content": [{"type": "input_text", "text": "image content omitted because it could not be processed"}]}});
    let mut bench = Bench::running(NEW, turn());
    bench.notify("rawResponseItem/completed", echo.clone());
    assert_eq!(bench.events(), []);
    let mut pictured = turn();
    let image = Part::Image(Image {
        url: "data:image/png;base64,AAAA".into(),
        detail: None,
        load: ImageLoad::default(),
    });
    pictured.items.push(Item::Message { role: Role::User, content: vec![image], phase: None });
    let mut bench = Bench::running(NEW, pictured);
    bench.notify("rawResponseItem/completed", echo);
    let events = bench.events();
    assert!(
        matches!(events.as_slice(), [TurnEvent::Failed(error)] if error.kind == TurnErrorKind::BadRequest)
    );
    bench.sent("turn/interrupt");
}

#[test]
fn a_retry_is_progress_and_a_failure_has_its_kind() {
    let mut bench = Bench::running(NEW, turn());
    let error = json!({"message": "Reconnecting... 1/5", "codexErrorInfo": {"responseStreamDisconnected": {"httpStatusCode": null}}});
    bench.notify("error", json!({"error": error, "willRetry": true}));
    assert_eq!(bench.events(), [TurnEvent::Retrying { message: "Reconnecting... 1/5".into() }]);
    bench.complete("failed", json!({"message": "too long", "codexErrorInfo": "contextWindowExceeded"}));
    let events = bench.events();
    let [TurnEvent::Failed(error)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(error.kind, TurnErrorKind::ContextLengthExceeded);
    assert!(bench.released());
}

#[test]
fn a_failure_told_before_the_end_is_kept() {
    let mut bench = Bench::running(NEW, turn());
    bench.notify(
        "error",
        json!({"error": {"message": "no", "codexErrorInfo": "usageLimitExceeded"}, "willRetry": false}),
    );
    bench.complete("failed", Value::Null);
    let events = bench.events();
    assert!(
        matches!(events.as_slice(), [TurnEvent::Failed(error)] if error.kind == TurnErrorKind::UsageLimitReached)
    );
}

#[test]
fn an_interrupt_works_at_every_stage() {
    for stage in ["thread/start", "thread/inject_items", "turn/start", "running"] {
        let mut bench = Bench::ready(NEW);
        bench.driver.start(KEY, turn(), &mut bench.steps);
        for (method, result) in [
            ("thread/start", json!({"thread": {"id": "t"}})),
            ("thread/inject_items", json!({})),
            ("turn/start", json!({"turn": {"id": "u"}})),
        ] {
            if method == stage {
                bench.driver.interrupt(KEY, &mut bench.steps);
            }
            bench.answer(method, result);
            if bench.released() {
                break;
            }
        }
        if stage == "running" {
            bench.driver.interrupt(KEY, &mut bench.steps);
        }
        if !bench.released() {
            bench.sent("turn/interrupt");
            bench.notify("item/agentMessage/delta", json!({"itemId": "msg", "delta": "late"}));
            bench.complete("interrupted", Value::Null);
        }
        assert!(bench.released(), "{stage}");
        let after: Vec<_> = bench.events().into_iter().filter(|event| *event != TurnEvent::Started).collect();
        assert_eq!(after, [], "{stage}");
        assert!(bench.driver.turns.is_empty() && bench.driver.threads.is_empty(), "{stage}");
    }
}

#[test]
fn a_refusal_ends_the_turn_at_every_step() {
    for step in ["thread/start", "thread/inject_items", "turn/start"] {
        let mut bench = Bench::ready(NEW);
        bench.driver.start(KEY, turn(), &mut bench.steps);
        for (method, result) in [
            ("thread/start", json!({"thread": {"id": "t"}})),
            ("thread/inject_items", json!({})),
            ("turn/start", json!({"turn": {"id": "u"}})),
        ] {
            if method == step {
                let (id, _) = bench.sent(method);
                bench.receive(&json!({"id": id, "error": {"code": -32603, "message": "broken"}}));
                break;
            }
            bench.answer(method, result);
        }
        let events = bench.events();
        let [TurnEvent::Failed(error)] = events.as_slice() else { panic!("{step}: {events:?}") };
        assert_eq!(error.kind, TurnErrorKind::Internal, "{step}");
        assert!(bench.released(), "{step}");
    }
}

#[test]
fn turns_do_not_mix() {
    let mut bench = Bench::ready(NEW);
    for (key, thread) in [(1, "t1"), (2, "t2")] {
        bench.driver.start(TurnKey(key), turn(), &mut bench.steps);
        bench.answer("thread/start", json!({"thread": {"id": thread}}));
        bench.answer("thread/inject_items", json!({}));
        bench.answer("turn/start", json!({"turn": {"id": format!("u-{thread}")}}));
    }
    bench.steps.clear();
    for (thread, delta) in [("t1", "a"), ("t2", "b"), ("t1", "c"), ("t3", "x")] {
        bench.receive(&json!({"method": "item/agentMessage/delta", "params":
            {"threadId": thread, "turnId": format!("u-{thread}"), "itemId": "msg", "delta": delta}}));
    }
    assert_eq!(
        bench.steps,
        [
            Step::Emit(TurnKey(1), TurnEvent::MessageStarted { id: "msg".into() }),
            Step::Emit(TurnKey(1), text("msg", "a")),
            Step::Emit(TurnKey(2), TurnEvent::MessageStarted { id: "msg".into() }),
            Step::Emit(TurnKey(2), text("msg", "b")),
            Step::Emit(TurnKey(1), text("msg", "c")),
        ]
    );
}

#[test]
fn nonsense_is_left_out() {
    let mut bench = Bench::running(NEW, turn());
    for line in
        ["", "banner", "{}", "[1]", "{\"id\":77,\"result\":{}}", "{\"method\":\"x/y\",\"params\":{\"a\":1}}"]
    {
        bench.driver.receive(line, &mut bench.steps);
    }
    bench.notify("item/agentMessage/delta", json!({"itemId": 5}));
    bench.notify("item/started", json!({"item": {"type": "somethingNew", "id": "x"}}));
    bench.receive(&json!({"method": "error", "params": "words"}));
    assert_eq!(bench.steps, []);
}

#[test]
fn codexs_own_requests_are_refused() {
    let mut bench = Bench::running(NEW, turn());
    for method in
        ["item/commandExecution/requestApproval", "execCommandApproval", "attestation/generate", "new/one"]
    {
        bench.receive(&json!({"id": 4, "method": method, "params": {}}));
        assert!(matches!(bench.steps.pop(), Some(Step::Send(line)) if line.contains("\"id\":4")), "{method}");
    }
}
