use super::*;
use crate::turn::{Tool, ToolKind};

#[test]
fn an_upstream_that_takes_no_tools_as_an_item_gets_them_the_plain_way_from_then_on() {
    let mut bench = Bench::running(NEW, with_tool());
    let refusal = json!({"message": r#"{"error":{"message":"Invalid value: 'additional_tools'."}}"#,
                         "codexErrorInfo": "other"});
    bench.complete("failed", refusal);
    bench.sent("thread/unsubscribe");
    let params = bench.answer("thread/start", json!({"thread": {"id": "t2"}}));
    assert_eq!(params["dynamicTools"][0]["inputSchema"], json!({"type": "object"}));
    let params = bench.answer("thread/inject_items", json!({}));
    assert_eq!(params["items"].as_array().map(Vec::len), Some(1), "the transcript is sent again");
    bench.answer("turn/start", json!({"turn": {"id": "u"}}));
    assert_eq!(bench.events(), [], "its owner knows already that it runs");
    assert!(!bench.released());
    bench.driver.start(TurnKey(2), with_tool(), &mut bench.steps);
    assert_eq!(bench.sent("thread/start").1["dynamicTools"][0]["type"], "function");
}

#[test]
fn another_refusal_is_told_and_nothing_is_sent_again() {
    let mut bench = Bench::running(NEW, with_tool());
    bench.complete("failed", json!({"message": r#"{"error":{"message":"no"}}"#, "codexErrorInfo": "other"}));
    assert!(matches!(bench.events().as_slice(), [TurnEvent::Failed(error)] if error.message == "no"));
    assert!(bench.released());
}

#[test]
fn a_custom_tool_makes_codex_ask_the_model_once() {
    let agent = NEW.replace("0.169.0", "0.171.0");
    let mut turn = turn();
    let definition = json!({"type": "custom", "name": "p", "format": {"type": "text"}});
    turn.spec
        .tools
        .push(Tool { kind: ToolKind::Custom, namespace: None, name: "p".into(), definition }.into());
    for (called, finish) in [(true, Finish::ToolCalls), (false, Finish::Stop)] {
        let mut bench = Bench::ready(&agent);
        bench.driver.start(KEY, turn.clone(), &mut bench.steps);
        let params = bench.answer("thread/start", json!({"thread": {"id": "t"}}));
        assert_eq!(params["config"]["features.rollout_budget.enabled"], true);
        bench.answer("thread/inject_items", json!({}));
        bench.answer("turn/start", json!({"turn": {"id": "u"}}));
        bench.events();
        if called {
            bench.notify(
                "rawResponseItem/completed",
                json!({"item": {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c", "namespace": "client",
                                "name": "p", "input": "free"}}),
            );
        }
        bench.notify("rawResponse/completed", json!({"usage": {"inputTokens": 3, "outputTokens": 2}}));
        bench.complete(
            "failed",
            json!({"message": "budget reached", "codexErrorInfo": "sessionBudgetExceeded"}),
        );
        let events = bench.events();
        let call = TurnEvent::ToolCall {
            id: "ctc_1".into(),
            kind: ToolKind::Custom,
            call_id: "c".into(),
            namespace: None,
            name: "p".into(),
            input: "free".into(),
        };
        assert_eq!(events.contains(&call), called);
        assert_eq!(events.last(), Some(&TurnEvent::Finished(finish)));
        assert!(bench.released());
    }
}

#[test]
fn a_codex_whose_prompts_would_not_be_pure_is_unfit() {
    let warning = "Codex is ignoring 1 settings.\n  session-flags: `features.image_generation` is ignored.";
    let mut bench = Bench::ready(NEW);
    bench.receive(&json!({"method": "configWarning", "params": {"summary": warning, "details": null}}));
    let unfit = |steps: &[Step]| match steps {
        [Step::Unfit(reason)] => reason.to_string(),
        others => panic!("{others:?}"),
    };
    let reason = unfit(&bench.steps);
    assert!(reason.contains("0.169.0") && reason.contains("features.image_generation"), "{reason}");

    let mut bench = Bench::running(NEW, turn());
    bench.notify("warning", json!({"message": warning}));
    assert!(matches!(bench.events().as_slice(), [TurnEvent::Failed(_)]));
    bench.sent("turn/interrupt");

    let settings = Settings {
        workdir: "/".into(),
        sandbox: "read-only",
        no_catalogue: Some("it did not print its model catalogue.".into()),
        search_catalogue: None,
        windows: BTreeMap::new(),
        effort_with_turn: false,
        client_version: "0",
    };
    for (agent, fit) in [(NEW, false), (OLD, true)] {
        let mut steps = Vec::new();
        let mut driver = AppServer::new(settings.clone(), &mut steps);
        steps.clear();
        driver.receive(&json!({"id": 1, "result": {"userAgent": agent}}).to_string(), &mut steps);
        if fit {
            assert!(steps.iter().all(|step| matches!(step, Step::Send(_))), "{steps:?}");
        } else {
            assert!(unfit(&steps).contains("did not print its model catalogue"));
        }
    }
}

#[test]
fn a_failed_handshake_is_fatal_and_an_unreadable_catalogue_is_not() {
    let settings = Settings {
        workdir: "/".into(),
        sandbox: "read-only",
        no_catalogue: None,
        search_catalogue: None,
        windows: BTreeMap::new(),
        effort_with_turn: false,
        client_version: "0",
    };
    let mut steps = Vec::new();
    let mut driver = AppServer::new(settings, &mut steps);
    steps.clear();
    driver.receive(r#"{"id":1,"error":{"code":-32600,"message":"no"}}"#, &mut steps);
    assert!(matches!(steps.as_slice(), [Step::Fatal(reason)] if reason.to_string().contains("no")));
    let mut bench = Bench::ready(NEW);
    bench.driver.start(KEY, turn(), &mut bench.steps);
    bench.sent("thread/start");
}
