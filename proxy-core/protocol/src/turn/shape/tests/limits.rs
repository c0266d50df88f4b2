//! Stop texts, the output limit, and how calls are kept and rendered.

use super::*;

#[test]
fn a_stop_text_ends_the_answer() {
    let stop = || Setup::stop(&["END", "</s>"]);
    for (setup, events, expected, verdict) in [
        (
            stop(),
            whole(&[message("m", "one END two"), message("n", "x")], finished(Finish::Stop)),
            &["m: one ", "usage ~2+1", "Stop"][..],
            Verdict::Cut,
        ),
        (
            stop(),
            whole(&[usage(7, 1), message("m", "END")], finished(Finish::Stop)),
            &["m: ", "usage 7+1", "Stop"],
            Verdict::Cut,
        ),
        (
            stop(),
            whole(
                &[reasoning("r", &["END"]), message("m", "EN"), message("n", "D</s")],
                finished(Finish::Stop),
            ),
            &["r: END / ", "m: EN", "n: D</s", "usage ~2+3", "Stop"],
            Verdict::Continue,
        ),
        (
            stop(),
            whole(&[vec![open("m"), delta("m", "x EN")]], failed()),
            &["m: x EN\u{2026}", "failed: lost"],
            Verdict::Continue,
        ),
        (
            stop(),
            whole(&[message("m", "E\u{1b}[1mN\u{1b}[0mD")], finished(Finish::Stop)),
            &["m: ", "usage ~2+0", "Stop"],
            Verdict::Cut,
        ),
        (
            Setup::stop(&["\u{1b}["]),
            whole(&[message("m", "a\u{1b}[")], finished(Finish::Stop)),
            &["m: a", "usage ~2+1", "Stop"],
            Verdict::Cut,
        ),
    ] {
        check(&Case { setup, events, expected, verdict });
    }
}

#[test]
fn the_output_limit_ends_the_answer() {
    let limit = |tokens| Setup::plain().limit(tokens);
    for (setup, events, expected, verdict) in [
        (
            limit(2),
            whole(&[message("m", "12345678")], finished(Finish::Stop)),
            &["m: 12345678", "usage ~2+2", "Stop"][..],
            Verdict::Continue,
        ),
        (
            limit(2),
            whole(&[usage(1, 1), message("m", "1234567\u{1f600}9")], finished(Finish::Stop)),
            &["m: 1234567\u{1f600}\u{2026}", "usage 1+1", "Length"],
            Verdict::Cut,
        ),
        (
            limit(2),
            whole(&[reasoning("r", &["12", "34"]), message("m", "56789")], finished(Finish::Stop)),
            &["r: 12|34 / ", "m: 5678\u{2026}", "usage ~2+2", "Length"],
            Verdict::Cut,
        ),
        (
            limit(1),
            whole(&[reasoning("r", &["12", "345"]), message("m", "6")], finished(Finish::Stop)),
            &["r: 12|34 / \u{2026}", "usage ~2+1", "Length"],
            Verdict::Cut,
        ),
        (
            limit(0),
            whole(&[message("m", "1")], finished(Finish::Stop)),
            &["m: \u{2026}", "usage ~2+0", "Length"],
            Verdict::Cut,
        ),
        (
            limit(2),
            whole(&[call("c", "{123}"), call("d", "{12}")], finished(Finish::ToolCalls)),
            &["c: f({123})", "usage ~2+2", "Length"],
            Verdict::Cut,
        ),
        (
            limit(2).single_call(),
            whole(&[call("c", "{123}"), call("d", "{12}")], finished(Finish::ToolCalls)),
            &["c: f({123})", "usage ~2+2", "ToolCalls"],
            Verdict::Continue,
        ),
        (
            Setup::stop(&["89"]).limit(2),
            whole(&[message("m", "123456789")], finished(Finish::Stop)),
            &["m: 1234567", "usage ~2+2", "Stop"],
            Verdict::Cut,
        ),
        (
            Setup::stop(&["9ab"]).limit(2),
            whole(&[message("m", "123456789a")], finished(Finish::Stop)),
            &["m: 12345678\u{2026}", "usage ~2+2", "Length"],
            Verdict::Cut,
        ),
    ] {
        check(&Case { setup, events, expected, verdict });
    }
}

#[test]
fn only_one_call_is_kept_when_parallel_calls_are_off() {
    let events = whole(&[call("c", "{}"), call("d", "{}"), call("e", "{}")], finished(Finish::ToolCalls));
    check(&Case {
        setup: Setup::plain().single_call(),
        events: events.clone(),
        expected: &["c: f({})", "usage ~2+1", "ToolCalls"],
        verdict: Verdict::Continue,
    });
    check(&Case {
        setup: Setup::plain().single_call().xml(),
        events,
        expected: &["msg_c: <use_tool>\n<name>f</name>\n</use_tool>", "usage ~2+10", "Stop"],
        verdict: Verdict::Continue,
    });
}

#[test]
fn calls_become_blocks() {
    let events = whole(
        &[
            message("msg_c", "Looking."),
            call("c", r#"{"query":"piano","salientTerms":["piano"]}"#),
            call("d", "{}"),
        ],
        finished(Finish::ToolCalls),
    );
    check(&Case {
        setup: Setup::plain().xml(),
        events,
        expected: &[
            "msg_c: Looking.",
            "msg_c_: \n<use_tool>\n<name>f</name>\n<query>piano</query>\n<salientTerms>[\"piano\"]</salientTerms>\n</use_tool>",
            "msg_d: \n<use_tool>\n<name>f</name>\n</use_tool>",
            "usage ~2+36",
            "Stop",
        ],
        verdict: Verdict::Continue,
    });
}
