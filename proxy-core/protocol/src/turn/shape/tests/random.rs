//! Random streams, valid and broken, through random features.

use super::form::{annotation, mapped};
use super::*;

const IDS: [&str; 5] = ["m1", "m2", "r1", "r2", "s1"];

const FRAGMENTS: [&str; 22] = [
    "",
    "a",
    "word ",
    "\n",
    "\u{e9}",
    "e\u{301}",
    "\u{1f468}\u{200d}\u{1f469}",
    "\u{1b}",
    "\u{1b}[31m",
    "\u{1b}[",
    "\u{1b}]0;t",
    "\u{7}",
    "\\",
    "<use_tool>",
    "</use_tool>",
    "<use_",
    "tool>",
    "ST",
    "OP",
    "STSTOP",
    "\u{e9}\u{1f600}",
    "\0\t\r",
];

const STOPS: [&str; 4] = ["STOP", "TOP!", "\u{e9}\u{1f600}", "aa"];

const ARGUMENTS: &str = r#"{"a":"b"}"#;

/// A small generator of its own (xorshift), so that a failure can be repeated by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0) % bound
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    fn text(&mut self) -> String {
        (0..self.below(5)).map(|_| self.pick(&FRAGMENTS)).collect()
    }

    fn setup(&mut self) -> Setup {
        let mut setup = match self.below(3) {
            0 => Setup::stop(&[]),
            1 => Setup::stop(&["STOP"]),
            _ => Setup::stop(&STOPS),
        };
        if self.below(3) == 0 {
            setup = setup.limit(self.below(40) as u64);
        }
        if self.below(4) == 0 {
            setup = setup.single_call();
        }
        if self.below(4) == 0 {
            setup = setup.xml();
        }
        match self.below(4) {
            0 => setup.turn.answer_form = AnswerForm::Json,
            1 => setup.turn.answer_form = mapped(),
            _ => {}
        }
        if self.below(3) == 0 {
            setup = setup.suppress();
        }
        match self.below(5) {
            0 => setup = setup.stop_after(StopMode::First),
            1 => setup = setup.stop_after(StopMode::Burst),
            _ => {}
        }
        setup.block_max(self.below(8) / 5)
    }

    /// Any event at all, of any item, whatever came before.
    fn event(&mut self) -> TurnEvent {
        let id = self.pick(&IDS);
        match self.below(26) {
            0..8 => delta(id, &self.text()),
            8..10 => Channel::Summary(self.below(2)).delta(id.into(), self.text()),
            10 => Channel::ReasoningText(self.below(2)).delta(id.into(), self.text()),
            11..13 => open(id),
            13..15 => done(id),
            15 => TurnEvent::ReasoningStarted { id: id.into() },
            16 => TurnEvent::ReasoningDone { id: id.into(), encrypted_content: None },
            17 => search(id),
            18 => TurnEvent::WebSearchDone { id: id.into(), action: Value::Null },
            19..21 => {
                let number = self.below(3);
                call(&format!("c{number}"), ARGUMENTS).remove(0)
            }
            21 => TurnEvent::Usage(Usage { input: 1, output: 1, ..Usage::default() }),
            24 => annotation(id, 1, 2),
            25 => TurnEvent::RefusalDelta { id: id.into(), text: self.text() },
            22 => TurnEvent::Retrying { message: "again".into() },
            _ => TurnEvent::Started,
        }
    }

    fn stream(&mut self) -> Vec<(u64, TurnEvent)> {
        let mut now = 0;
        let mut events = Vec::new();
        for _ in 0..self.below(40) {
            now += self.below(120) as u64;
            events.push((now, self.event()));
        }
        events.push((now, if self.below(4) == 0 { failed() } else { finished(Finish::ToolCalls) }));
        events
    }
}

#[test]
fn any_stream_keeps_the_contract_and_the_limits() {
    for seed in 1..2000_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let setup = random.setup();
        let events = random.stream();
        let (out, verdict) = run(&setup, &events, false);
        let seen = transcript(&out);
        assert!(out.last().is_some_and(TurnEvent::is_terminal), "seed {seed}: the answer ends");
        for split in [Split::Chars, Split::At(1), Split::At(5)] {
            for late_timer in [false, true] {
                let (again, same) = run(&setup, &split.apply(&events), late_timer);
                assert_eq!(transcript(&again), seen, "seed {seed}, {split:?}: {setup:?} {events:#?}");
                assert_eq!(same, verdict, "seed {seed}, {split:?}");
            }
        }
        check_limits(seed, &setup, &out);
    }
}

fn check_limits(seed: u64, setup: &Setup, out: &[TurnEvent]) {
    let mut output = TurnOutput::default();
    for event in out {
        output.push(event);
    }
    let mut calls = 0;
    for item in &output.items {
        match item {
            OutputItem::Message { id, text, .. } => {
                let stop = setup.turn.limits.stop.iter().find(|stop| text.contains(stop.as_str()));
                assert_eq!(stop, None, "seed {seed}: {id} has a stop text");
                calls += usize::from(id.starts_with("msg_"));
            }
            OutputItem::ToolCall { .. } => calls += 1,
            OutputItem::Reasoning { .. } | OutputItem::WebSearch { .. } | OutputItem::Compaction { .. } => {}
        }
    }
    assert!(calls <= 1 || setup.turn.parallel_tool_calls, "seed {seed}: {calls} calls");
    let said: usize = out
        .iter()
        .map(
            |event| {
                if let TurnEvent::ToolCall { input, .. } = event { input.len() } else { chars_of(event) }
            },
        )
        .sum();
    if setup.turn.output_mode == OutputMode::OpenaiJson
        && let Some(limit) = setup.turn.limits.max_output_tokens
    {
        assert!(estimate_tokens(said as u64) <= limit, "seed {seed}: {said} characters");
        let tail = setup.tail.suppress_after_tools || setup.tail.stop_after_tools;
        if output.end == Some(Ok(Finish::Length)) && !tail {
            // Only a call can leave room, because it is kept whole or dropped.
            let room = limit * 4 - said as u64;
            assert!(room < ARGUMENTS.len() as u64, "seed {seed}: cut {room} characters early");
        }
    }
    let refused: usize = output
        .items
        .iter()
        .map(|item| if let OutputItem::Message { refusal, .. } = item { refusal.chars().count() } else { 0 })
        .sum();
    if let Some(usage) = output.usage.filter(|usage| usage.estimated) {
        assert_eq!(usage.output, estimate_tokens((said + refused) as u64), "seed {seed}");
    }
}
