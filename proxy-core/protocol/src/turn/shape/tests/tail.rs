//! `<use_tool>` blocks and what follows them.

use super::*;

const BLOCK: &str = "<use_tool>\n<name>f</name>\n</use_tool>";

#[test]
fn the_tail_after_the_final_block_is_hidden() {
    let between = format!("Now {BLOCK} and {BLOCK} done.");
    let shown = format!("m: Now {BLOCK} and {BLOCK}");
    let text = |text: &str| message("m", text);
    for (setup, parts, expected, finish, verdict) in [
        (Setup::plain().suppress(), vec![text(&between)], vec![&*shown], Finish::Stop, Verdict::Continue),
        (
            Setup::plain().suppress(),
            vec![text("No <use_tool> here </use")],
            vec!["m: No <use_tool> here </use"],
            Finish::Stop,
            Verdict::Continue,
        ),
        (
            Setup::plain().suppress(),
            vec![text(&between), message("n", "more <use_tool>"), reasoning("r", &["why"]), call("c", "{}")],
            vec![&*shown, "r: why / ", "c: f({})"],
            Finish::ToolCalls,
            Verdict::Continue,
        ),
        (
            Setup::plain().suppress(),
            vec![text(&between), reasoning("r", &["why"]), message("n", BLOCK), message("o", "tail")],
            vec![
                "m: Now <use_tool>\n<name>f</name>\n</use_tool> and <use_tool>\n<name>f</name>\n</use_tool> done.",
                "r: why / ",
                "n: <use_tool>\n<name>f</name>\n</use_tool>",
            ],
            Finish::Stop,
            Verdict::Continue,
        ),
        (
            Setup::plain().stop_after(StopMode::First),
            vec![text("a <<use_tool>x<</use_tool> b")],
            vec!["m: a <<use_tool>x<</use_tool>"],
            Finish::Stop,
            Verdict::Cut,
        ),
        (Setup::plain().block_max(2), vec![text(&between)], vec![&*shown], Finish::Stop, Verdict::Cut),
        (
            Setup::plain().suppress().block_max(2),
            vec![text(&between)],
            vec![&*shown],
            Finish::Stop,
            Verdict::Cut,
        ),
        (
            Setup::plain().stop_after(StopMode::First),
            vec![text(&between)],
            vec!["m: Now <use_tool>\n<name>f</name>\n</use_tool>"],
            Finish::Stop,
            Verdict::Cut,
        ),
        (
            Setup::plain().stop_after(StopMode::Burst),
            vec![text(&between)],
            vec![&*shown],
            Finish::Stop,
            Verdict::Continue,
        ),
        (
            Setup::plain().stop_after(StopMode::First).xml(),
            vec![call("c", r#"{"a":"</use_tool>"}"#), call("d", "{}")],
            vec!["msg_c: <use_tool>\n<name>f</name>\n<a></use_tool></a>\n</use_tool>"],
            Finish::Stop,
            Verdict::Cut,
        ),
        (
            Setup::plain().suppress().xml(),
            vec![call("c", "{}"), message("m", "so"), call("d", "{}"), message("n", "tail")],
            vec![
                "msg_c: <use_tool>\n<name>f</name>\n</use_tool>",
                "m: so",
                "msg_d: \n<use_tool>\n<name>f</name>\n</use_tool>",
            ],
            Finish::Stop,
            Verdict::Continue,
        ),
    ] {
        let mut expected = expected;
        let finish_line = format!("{finish:?}");
        expected.extend(["usage 1+1", &finish_line]);
        let events = whole(&[usage(1, 1), parts.concat()], finished(finish));
        check(&Case { setup, events, expected: &expected, verdict });
    }
}

#[test]
fn a_limit_and_a_failure_hide_the_tail_too() {
    let block = format!("m: {BLOCK}");
    let tail = format!("{BLOCK} a long tail");
    check(&Case {
        setup: Setup::plain().suppress().limit(10),
        events: whole(&[message("m", &tail)], finished(Finish::Stop)),
        expected: &[&format!("{block}\u{2026}"), "usage ~2+10", "Length"],
        verdict: Verdict::Cut,
    });
    check(&Case {
        setup: Setup::stop(&["long"]).suppress(),
        events: whole(&[message("m", &tail)], finished(Finish::Stop)),
        expected: &[&block, "usage ~2+10", "Stop"],
        verdict: Verdict::Cut,
    });
    check(&Case {
        setup: Setup::plain().suppress(),
        events: whole(&[vec![open("m"), delta("m", &tail)], message("n", "x")], failed()),
        expected: &[&format!("{block}\u{2026}"), "failed: lost"],
        verdict: Verdict::Continue,
    });
}

#[test]
fn a_burst_of_blocks_ends_after_its_grace_time() {
    let burst = || Setup::plain().stop_after(StopMode::Burst);
    let one = format!("m: {BLOCK}");
    let two = format!("m: {BLOCK} and {BLOCK}");
    let (opening, rest) = BLOCK.split_at("<use_tool>".len());
    let timed = |deltas: &[(u64, &str)], end: u64| {
        let mut events = vec![(0, usage(1, 1)[0].clone()), (0, open("m"))];
        events.extend(deltas.iter().map(|(at, text)| (*at, delta("m", text))));
        events.extend([(end, done("m")), (end, finished(Finish::Stop))]);
        events
    };
    let and = format!(" and {BLOCK}");
    let and_opening = format!(" and {opening}");
    for (events, text, verdict) in [
        (timed(&[(0, BLOCK), (299, &and)], 300), &two, Verdict::Continue),
        (timed(&[(0, BLOCK), (299, &and)], 598), &two, Verdict::Continue),
        (timed(&[(0, BLOCK), (299, &and)], 599), &two, Verdict::Cut),
        (timed(&[(0, BLOCK), (300, &and)], 301), &one, Verdict::Cut),
        (timed(&[(0, BLOCK), (100, " so"), (299, " it is")], 300), &one, Verdict::Cut),
        (timed(&[(0, BLOCK), (200, &and_opening), (900, rest)], 1000), &two, Verdict::Continue),
        (timed(&[(0, opening), (900, rest), (1000, " x")], 1100), &one, Verdict::Continue),
    ] {
        check(&Case { setup: burst(), events, expected: &[text, "usage 1+1", "Stop"], verdict });
    }

    let mut abandoned = timed(&[(0, BLOCK), (200, &and_opening)], 250);
    abandoned.pop();
    abandoned.extend([(280, open("n")), (310, delta("n", BLOCK))]);
    let expected = [&*one, "usage 1+1", "Stop"];
    check(&Case { setup: burst(), events: abandoned, expected: &expected, verdict: Verdict::Cut });

    let mut endless = burst();
    endless.tail.grace = Duration::MAX;
    let events = timed(&[(0, BLOCK), (1_000_000, &and)], 2_000_000);
    check(&Case {
        setup: endless,
        events,
        expected: &[&two, "usage 1+1", "Stop"],
        verdict: Verdict::Continue,
    });
}

#[test]
fn the_deadline_waits_for_a_block_that_has_begun() {
    let setup = Setup::plain().stop_after(StopMode::Burst);
    let mut shaper = Shaper::new(&setup.turn, &setup.tail);
    let (mut out, now) = (Vec::new(), Instant::now());
    let grace = Some(now + Duration::from_millis(300));
    for (text, expected) in
        [("x", None), (BLOCK, grace), (" <use_too", grace), ("l>", None), ("</use_tool>", grace)]
    {
        assert_eq!(shaper.push(delta("m", text), now, &mut out), Verdict::Continue);
        assert_eq!(shaper.deadline(), expected, "after {text:?}");
    }
    assert_eq!(shaper.tick(now + Duration::from_millis(299), &mut out), Verdict::Continue);
    assert_eq!(shaper.tick(now + Duration::from_millis(300), &mut out), Verdict::Cut);
    assert_eq!(shaper.deadline(), None);
    assert_eq!(transcript(&out).last().map(String::as_str), Some("Stop"));
}
