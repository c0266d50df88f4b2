//! A line over the limit ends only its own turn.

use super::*;
use crate::codex::appserver::bounds::MAX_LINE;

/// A driver that has begun `turn`, whose thread is called `t`.
fn begun(turn: Turn) -> Bench {
    let mut bench = Bench::ready(NEW);
    bench.driver.start(KEY, turn, &mut bench.steps);
    bench
}

fn failure(bench: &mut Bench) -> TurnError {
    match bench.events().as_slice() {
        [TurnEvent::Failed(error)] => error.clone(),
        events => panic!("{events:?}"),
    }
}

#[test]
fn what_is_too_large_for_a_line_is_not_sent() {
    let large = "x".repeat(MAX_LINE);
    let mut in_thread = turn();
    in_thread.spec.base_instructions = Some(large.clone());
    let mut in_transcript = turn();
    in_transcript.items.push(user(&large));
    let mut in_start = turn();
    in_start.output_schema = Some(json!({"description": large}));
    for (turn, unsent) in
        [(in_thread, "thread/start"), (in_transcript, "thread/inject_items"), (in_start, "turn/start")]
    {
        let mut bench = begun(turn);
        for (method, answer) in
            [("thread/start", json!({"thread": {"id": "t"}})), ("thread/inject_items", json!({}))]
        {
            if method == unsent {
                break;
            }
            bench.answer(method, answer);
        }
        let error = failure(&mut bench);
        assert_eq!(error.kind, TurnErrorKind::BadRequest, "{unsent}");
        assert!(error.message.contains("at most 51000000"), "{unsent}: {}", error.message);
        assert!(bench.released(), "{unsent}");
        let sent =
            bench.steps.iter().any(|step| matches!(step, Step::SendFor(_, line) if line.contains(unsent)));
        assert!(!sent, "{unsent}");
    }
}

#[test]
fn a_line_that_is_too_long_ends_the_turn_that_it_is_about() {
    let echo = r#"{"method":"rawResponseItem/completed","params":{"threadId":"t","turnId":"auto-compact-0","item":{"ty"#;
    let mut bench = begun(turn());
    bench.answer("thread/start", json!({"thread": {"id": "t"}}));
    assert!(bench.driver.receive_too_long(echo, 70_000_000, &mut bench.steps));
    let error = failure(&mut bench);
    assert_eq!(error.kind, TurnErrorKind::BadRequest);
    assert!(error.message.contains("70000000 bytes"), "{}", error.message);
    bench.answer("thread/inject_items", json!({}));
    assert!(bench.released());

    let mut bench = Bench::running(NEW, turn());
    let piece = echo.replace("auto-compact-0", "u");
    assert!(bench.driver.receive_too_long(&piece, 70_000_000, &mut bench.steps));
    assert_eq!(failure(&mut bench).kind, TurnErrorKind::Upstream);
    bench.sent("turn/interrupt");
    bench.complete("interrupted", Value::Null);
    assert!(bench.released());
    assert_eq!(bench.events(), []);

    let mut bench = Bench::running(NEW, turn());
    let end = r#"{"method":"turn/completed","params":{"threadId":"t","turn":{"id":"u","items":[{"te"#;
    assert!(bench.driver.receive_too_long(end, 70_000_000, &mut bench.steps));
    assert_eq!(failure(&mut bench).kind, TurnErrorKind::Upstream);
    assert!(bench.released());
    // Later lines of the thread belong to no turn, and neither does a repeated line that names the thread.
    let shown = r#"{"method":"item/completed","params":{"item":{"type":"agentMessage","id":"m","text":"xx"#;
    assert!(bench.driver.receive_too_long(shown, 70_000_000, &mut bench.steps));
    assert!(bench.driver.receive_too_long(&piece, 70_000_000, &mut bench.steps));
    assert_eq!(bench.events(), []);
}

#[test]
fn nobody_else_is_taken_for_the_owner_of_a_line() {
    for head in [
        "",
        r#"{"id":7,"result":{"data":["#,
        r#"{"method":"x","params":{"text":"\"params\":{\"threadId\":\"t\"","#,
    ] {
        let mut bench = Bench::running(NEW, turn());
        assert!(!bench.driver.receive_too_long(head, 70_000_000, &mut bench.steps), "{head}");
        assert_eq!(bench.events(), [], "{head}");
    }
}
