//! Tests with events as input and the transcript as output, for every way to split the text.

use serde_json::json;

use super::*;
use crate::turn::{AnswerForm, Item, OutputItem, Part, Role, ToolKind, TurnError, TurnErrorKind, TurnOutput};

mod form;
mod limits;
mod random;
mod tail;

/// One case: the request, the backend's events with their times (in milliseconds), and the client's view.
struct Case<'a> {
    setup: Setup,
    events: Vec<(u64, TurnEvent)>,
    expected: &'a [&'a str],
    verdict: Verdict,
}

/// The turn and the operator's settings that a filter is made for.
#[derive(Debug, Clone)]
struct Setup {
    turn: Turn,
    tail: TailControls,
}

impl Setup {
    /// No feature active; the prompt is estimated at 2 tokens.
    fn plain() -> Self {
        let mut turn = Turn::new("model");
        turn.items.push(Item::Message {
            role: Role::User,
            content: vec![Part::Text("Hello".into())],
            phase: None,
        });
        Self { turn, tail: TailControls::default() }
    }

    fn stop(texts: &[&str]) -> Self {
        let mut setup = Self::plain();
        setup.turn.limits.stop = texts.iter().map(|text| String::from(*text)).collect();
        setup
    }

    fn limit(mut self, tokens: u64) -> Self {
        self.turn.limits.max_output_tokens = Some(tokens);
        self
    }

    fn xml(mut self) -> Self {
        self.turn.output_mode = OutputMode::ObsidianXml;
        self
    }

    fn single_call(mut self) -> Self {
        self.turn.parallel_tool_calls = false;
        self
    }

    fn suppress(mut self) -> Self {
        self.tail.suppress_after_tools = true;
        self
    }

    fn stop_after(mut self, mode: StopMode) -> Self {
        self.tail.stop_after_tools = true;
        self.tail.stop_mode = mode;
        self
    }

    fn block_max(mut self, blocks: usize) -> Self {
        self.tail.block_max = blocks;
        self
    }
}

/// How the deltas of a test reach the filter.
#[derive(Debug, Clone, Copy)]
enum Split {
    Whole,
    Chars,
    At(usize),
}

impl Split {
    fn pieces(self, text: &str) -> Vec<String> {
        match self {
            Self::Chars if !text.is_empty() => text.chars().map(String::from).collect(),
            Self::At(index) => match text.char_indices().nth(index) {
                Some((at, _)) if at > 0 => vec![text[..at].into(), text[at..].into()],
                Some(_) | None => vec![text.into()],
            },
            Self::Whole | Self::Chars => vec![text.into()],
        }
    }

    fn apply(self, events: &[(u64, TurnEvent)]) -> Vec<(u64, TurnEvent)> {
        let mut split = Vec::new();
        for (at, event) in events {
            let Some((channel, id, text)) = delta_of(event) else {
                split.push((*at, event.clone()));
                continue;
            };
            split.extend(self.pieces(text).into_iter().map(|piece| (*at, channel.delta(id.clone(), piece))));
        }
        split
    }
}

/// Runs the events through a filter, with a timer that calls `tick` or, with `late_timer`, never does in time.
fn run(setup: &Setup, events: &[(u64, TurnEvent)], late_timer: bool) -> (Vec<TurnEvent>, Verdict) {
    let epoch = Instant::now();
    let mut shaper = Shaper::new(&setup.turn, &setup.tail);
    let mut out = Vec::new();
    let mut verdict = Verdict::Continue;
    for (at, event) in events {
        let now = epoch + Duration::from_millis(*at);
        while let Some(deadline) = shaper.deadline().filter(|deadline| !late_timer && *deadline <= now) {
            verdict = shaper.tick(deadline, &mut out);
            assert_eq!(verdict, Verdict::Cut, "a deadline that has passed ends the answer");
        }
        let said = shaper.push(event.clone(), now, &mut out);
        if out.last().is_some_and(TurnEvent::is_terminal) {
            if said == Verdict::Cut {
                assert_eq!(verdict, Verdict::Continue, "cut once");
                verdict = said;
            }
            let length = out.len();
            for event in [message("late", "text"), vec![finished(Finish::Stop)]].concat() {
                assert_eq!(shaper.push(event, now, &mut out), Verdict::Continue);
            }
            assert_eq!(shaper.tick(now + Duration::from_secs(60), &mut out), Verdict::Continue);
            assert_eq!(shaper.deadline(), None);
            assert_eq!(out.len(), length, "nothing follows the end");
        } else {
            assert_eq!(said, Verdict::Continue, "a cut has its end in the output");
        }
    }
    (out, verdict)
}

/// Asserts the contract of [`TurnEvent`] and returns the answer as lines.
fn transcript(events: &[TurnEvent]) -> Vec<String> {
    let mut output = TurnOutput::default();
    let mut done = Vec::new();
    for event in events {
        assert_eq!(output.end, None, "{event:?} follows the end");
        let id = match event {
            TurnEvent::MessageStarted { id }
            | TurnEvent::ReasoningStarted { id }
            | TurnEvent::ToolCall { id, .. }
            | TurnEvent::Compaction { id, .. }
            | TurnEvent::WebSearchStarted { id } => {
                assert!(output.items.iter().all(|item| item.id() != id), "{id} is started twice");
                None
            }
            TurnEvent::MessageDone { id, .. }
            | TurnEvent::ReasoningDone { id, .. }
            | TurnEvent::WebSearchDone { id, .. }
            | TurnEvent::TextDelta { id, .. }
            | TurnEvent::Annotation { id, .. }
            | TurnEvent::RefusalDelta { id, .. }
            | TurnEvent::SummaryDelta { id, .. }
            | TurnEvent::ReasoningTextDelta { id, .. } => Some(id),
            TurnEvent::Withdrawn { .. }
            | TurnEvent::Compacted { .. }
            | TurnEvent::Started
            | TurnEvent::Retrying { .. }
            | TurnEvent::Usage(_)
            | TurnEvent::Finished(_)
            | TurnEvent::Failed(_) => None,
        };
        if let Some(id) = id {
            assert!(output.items.iter().any(|item| item.id() == id), "{id} was never started");
            assert!(!done.contains(id), "{id} was done");
        }
        if let TurnEvent::MessageDone { id, .. }
        | TurnEvent::ReasoningDone { id, .. }
        | TurnEvent::WebSearchDone { id, .. } = event
        {
            done.push(id.clone());
        }
        output.push(event);
    }
    let mut lines: Vec<String> = output.items.iter().map(line).collect();
    if let Some(usage) = output.usage {
        let sign = if usage.estimated { "~" } else { "" };
        lines.push(format!("usage {sign}{}+{}", usage.input, usage.output));
    }
    match &output.end {
        Some(Ok(finish)) => {
            assert!(output.usage.is_some(), "an answer that ends well has a usage");
            assert!(
                !finish.is_whole()
                    || lines.iter().all(|line| line.starts_with("search") || !line.ends_with('\u{2026}')),
                "all is closed: {lines:?}"
            );
            lines.push(format!("{finish:?}"));
        }
        Some(Err(error)) => lines.push(format!("failed: {error}")),
        None => {}
    }
    lines
}

/// One item; an ellipsis at the end says that it is open.
fn line(item: &OutputItem) -> String {
    let open = |done: &bool| if *done { "" } else { "\u{2026}" };
    match item {
        OutputItem::Message { id, text, annotations, refusal, done, .. } => {
            let refusal = if refusal.is_empty() { String::new() } else { format!(" refused: {refusal}") };
            let places =
                |annotation: &Value| format!(" [{}..{}]", annotation["start_index"], annotation["end_index"]);
            let places: String = annotations.iter().map(places).collect();
            format!("{id}: {text}{refusal}{places}{}", open(done))
        }
        OutputItem::Reasoning { id, summary, text, done, .. } => {
            format!("{id}: {} / {}{}", summary.join("|"), text.join("|"), open(done))
        }
        OutputItem::ToolCall { id, name, input, .. } => format!("{id}: {name}({input})"),
        OutputItem::Compaction { id, .. } => format!("compaction {id}"),
        OutputItem::WebSearch { id, action } => format!("search {id}{}", open(&action.is_some())),
    }
}

fn check(case: &Case<'_>) {
    let longest = case.events.iter().map(|(_, event)| chars_of(event)).max().unwrap_or(0);
    let splits = [Split::Whole, Split::Chars].into_iter().chain((1..longest).map(Split::At));
    for split in splits {
        for late_timer in [false, true] {
            let (out, verdict) = run(&case.setup, &split.apply(&case.events), late_timer);
            let context = format!("{split:?}, late timer {late_timer}, {:?}", case.setup);
            assert_eq!(transcript(&out), case.expected, "{context}");
            assert_eq!(verdict, case.verdict, "{context}");
        }
    }
}

fn chars_of(event: &TurnEvent) -> usize {
    delta_of(event).map_or(0, |(_, _, text)| text.chars().count())
}

fn delta_of(event: &TurnEvent) -> Option<(Channel, &ItemId, &str)> {
    if let TurnEvent::TextDelta { id, text } = event {
        Some((Channel::Message, id, text))
    } else if let TurnEvent::SummaryDelta { id, index, text } = event {
        Some((Channel::Summary(*index), id, text))
    } else if let TurnEvent::ReasoningTextDelta { id, index, text } = event {
        Some((Channel::ReasoningText(*index), id, text))
    } else {
        None
    }
}

fn open(id: &str) -> TurnEvent {
    TurnEvent::MessageStarted { id: id.into() }
}

fn delta(id: &str, text: &str) -> TurnEvent {
    TurnEvent::TextDelta { id: id.into(), text: text.into() }
}

fn done(id: &str) -> TurnEvent {
    TurnEvent::MessageDone { id: id.into(), phase: None }
}

fn message(id: &str, text: &str) -> Vec<TurnEvent> {
    vec![open(id), delta(id, text), done(id)]
}

fn reasoning(id: &str, parts: &[&str]) -> Vec<TurnEvent> {
    let mut events = vec![TurnEvent::ReasoningStarted { id: id.into() }];
    events.extend(
        parts
            .iter()
            .enumerate()
            .map(|(index, text)| Channel::Summary(index).delta(id.into(), (*text).into())),
    );
    events.push(TurnEvent::ReasoningDone { id: id.into(), encrypted_content: Some("sealed".into()) });
    events
}

fn call(id: &str, arguments: &str) -> Vec<TurnEvent> {
    vec![TurnEvent::ToolCall {
        id: id.into(),
        kind: ToolKind::Function,
        call_id: format!("call_{id}"),
        namespace: None,
        name: "f".into(),
        input: arguments.into(),
    }]
}

fn usage(input: u64, output: u64) -> Vec<TurnEvent> {
    vec![TurnEvent::Usage(Usage { input, output, ..Usage::default() })]
}

fn finished(finish: Finish) -> TurnEvent {
    TurnEvent::Finished(finish)
}

fn failed() -> TurnEvent {
    TurnEvent::Failed(TurnError::new(TurnErrorKind::Upstream, "lost"))
}

fn search(id: &str) -> TurnEvent {
    TurnEvent::WebSearchStarted { id: id.into() }
}

/// Events that all come at once. The backend ends them with `end`.
fn whole(parts: &[Vec<TurnEvent>], end: TurnEvent) -> Vec<(u64, TurnEvent)> {
    parts.concat().into_iter().chain([end]).map(|event| (0, event)).collect()
}

#[test]
fn without_features_only_escapes_are_stripped() {
    let text = "a\u{1b}[31mb\u{1b}[0m\tc\r\n\u{7}\0 e\u{301}\u{1f600}";
    for (events, expected) in [
        (
            whole(&[reasoning("r", &[text, "x"]), message("m", text), usage(9, 5)], finished(Finish::Stop)),
            &[
                "r: ab\tc\r\n\u{7}\0 e\u{301}\u{1f600}|x / ",
                "m: ab\tc\r\n\u{7}\0 e\u{301}\u{1f600}",
                "usage 9+5",
                "Stop",
            ][..],
        ),
        (
            whole(
                &[message("m", "say <use_tool>x</use_tool> ok"), call("c", "{\u{1b}[31m}")],
                finished(Finish::ToolCalls),
            ),
            &["m: say <use_tool>x</use_tool> ok", "c: f({\u{1b}[31m})", "usage ~2+9", "ToolCalls"],
        ),
        (
            whole(
                &[reasoning("r", &["a\u{1b}[3", "1mb\u{1b}"]), message("m", "c\u{1b}]0;d")],
                finished(Finish::Length),
            ),
            &["r: a\u{1b}[3|1mb\u{1b} / ", "m: c\u{1b}]0;d", "usage ~2+4", "Length"],
        ),
        (
            whole(&[vec![open("m"), delta("m", "half\u{1b}["), search("s")]], failed()),
            &["m: half\u{1b}[\u{2026}", "search s\u{2026}", "failed: lost"],
        ),
        (
            whole(&[vec![open("m"), delta("m", "half"), search("s")]], finished(Finish::Stop)),
            &["m: half", "search s\u{2026}", "usage ~2+1", "Stop"],
        ),
    ] {
        check(&Case { setup: Setup::plain(), events, expected, verdict: Verdict::Continue });
    }
}

#[test]
fn without_features_events_pass_as_they_are() {
    let sent = [
        vec![TurnEvent::Started, TurnEvent::Retrying { message: "again".into() }],
        reasoning("r", &["a", ""]),
        vec![
            TurnEvent::ReasoningStarted { id: "t".into() },
            Channel::ReasoningText(0).delta("t".into(), "raw".into()),
        ],
        vec![TurnEvent::ReasoningDone { id: "t".into(), encrypted_content: None }],
        vec![search("s"), TurnEvent::WebSearchDone { id: "s".into(), action: json!({"type": "search"}) }],
        vec![open("m"), delta("m", ""), delta("m", "text")],
        vec![TurnEvent::MessageDone { id: "m".into(), phase: Some("final_answer".into()) }],
        call("c", "{}"),
        call("d", "{}"),
        usage(3, 2),
        vec![finished(Finish::ToolCalls)],
    ]
    .concat();
    let timed: Vec<_> = sent.iter().cloned().map(|event| (0, event)).collect();
    assert_eq!(run(&Setup::plain(), &timed, false), (sent, Verdict::Continue));
}

#[test]
fn a_broken_stream_is_mended() {
    let check = |parts: &[Vec<TurnEvent>], expected: &[&str]| {
        let events = whole(parts, finished(Finish::Stop));
        check(&Case { setup: Setup::plain(), events, expected, verdict: Verdict::Continue });
    };
    check(&[vec![delta("m", "never started"), done("m")]], &["m: never started", "usage ~2+4", "Stop"]);
    check(&[vec![done("m")]], &["m: ", "usage ~2+0", "Stop"]);
    check(&[message("m", "once"), message("m", "twice")], &["m: once", "usage ~2+1", "Stop"]);
    check(&[message("m", "once"), call("m", "{}")], &["m: once", "usage ~2+1", "Stop"]);
    check(&[vec![open("m"), search("m")], reasoning("m", &["x"])], &["m: ", "usage ~2+0", "Stop"]);
}
