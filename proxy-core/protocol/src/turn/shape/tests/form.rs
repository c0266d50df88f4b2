//! JSON in the requested form, citations and refusals.

use super::*;
use crate::turn::schema;

/// A turn that requests JSON of this form.
fn formed(form: AnswerForm) -> Setup {
    let mut setup = Setup::stop(&["STOP"]);
    setup.turn.answer_form = form;
    setup.turn.spec.web_search = true;
    setup
}

/// The form of an object whose only property may be missing.
pub(super) fn mapped() -> AnswerForm {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    schema::fit(&schema).and_then(|fitted| fitted.mapping).map(AnswerForm::Mapped).unwrap()
}

pub(super) fn annotation(id: &str, start: u64, end: u64) -> TurnEvent {
    let annotation =
        json!({"type": "url_citation", "url": "u", "title": "t", "start_index": start, "end_index": end});
    TurnEvent::Annotation { id: id.into(), annotation }
}

fn refusal(id: &str, text: &str) -> TurnEvent {
    TurnEvent::RefusalDelta { id: id.into(), text: text.into() }
}

/// A message with a text and more.
fn more(text: &str, events: &[TurnEvent]) -> Vec<TurnEvent> {
    [vec![open("m"), delta("m", text)], events.to_vec(), vec![done("m")]].concat()
}

fn check_whole(setup: Setup, message: Vec<TurnEvent>, expected: &str) {
    let events = whole(&[message, usage(1, 1)], finished(Finish::Stop));
    check(&Case { setup, events, expected: &[expected, "usage 1+1", "Stop"], verdict: Verdict::Continue });
}

fn check_cut(setup: Setup, text: &str, end: TurnEvent, expected: &[&str], verdict: Verdict) {
    check(&Case { setup, events: whole(&[vec![open("m"), delta("m", text)]], end), expected, verdict });
}

#[test]
fn json_is_taken_out_of_its_fence() {
    for (text, expected) in [
        ("```json\n{\"a\": 1}\n```", "m: {\"a\": 1}"),
        (" {\"a\": 1}", "m:  {\"a\": 1}"),
        ("Well: {}", "m: Well: {}"),
        ("```\n{} ", "m: ```\n{} "),
        ("\u{1b}[1m```\n{}\u{1b}[0m\n```", "m: {}"),
    ] {
        check_whole(formed(AnswerForm::Json), message("m", text), expected);
    }
    check_whole(formed(AnswerForm::Free), message("m", "```\n{}\n```"), "m: ```\n{}\n```");
}

#[test]
fn an_instance_is_mapped_back() {
    for (text, expected) in [
        ("{\"a\": null}", "m: {}"),
        ("{\"a\": \"x\"}", "m: {\"a\":\"x\"}"),
        ("no JSON", "m: no JSON"),
        ("", "m: "),
    ] {
        check_whole(formed(mapped()), message("m", text), expected);
    }
}

#[test]
fn what_was_cut_goes_out_as_it_is() {
    let stop = || finished(Finish::Stop);
    let length = || finished(Finish::Length);
    for (form, begun) in [(AnswerForm::Json, "```\n{\"a"), (mapped(), "{\"a\": 1")] {
        let setup = || formed(form.clone());
        let open = format!("m: {begun}\u{2026}");
        let closed = format!("m: {begun}");
        let estimated = "usage ~2+2";
        check_cut(setup(), begun, length(), &[&open, estimated, "Length"], Verdict::Continue);
        check_cut(setup(), begun, failed(), &[&open, "failed: lost"], Verdict::Continue);
        check_cut(setup(), &format!("{begun}STOP"), stop(), &[&closed, estimated, "Stop"], Verdict::Cut);
        let cut: String = begun.chars().take(4).collect();
        let open = format!("m: {cut}\u{2026}");
        check_cut(setup().limit(1), begun, stop(), &[&open, "usage ~2+1", "Length"], Verdict::Cut);
    }
}

#[test]
fn what_waits_counts_as_said() {
    let setup = formed(mapped());
    let mut shaper = Shaper::new(&setup.turn, &setup.tail);
    let mut out = Vec::new();
    for event in [open("m"), delta("m", "{\"a\":"), delta("m", "null")] {
        assert_eq!(shaper.push(event, Instant::now(), &mut out), Verdict::Continue);
    }
    assert_eq!(out, [open("m")]);
    assert_eq!(shaper.estimate().output, 3);
}

#[test]
fn an_answer_that_is_not_the_json_asked_for_is_known() {
    let comment = TurnEvent::MessageDone { id: "c".into(), phase: Some("commentary".into()) };
    let comment = vec![open("c"), delta("c", "I look."), comment];
    for (form, messages, expected) in [
        (AnswerForm::Free, message("m", "words"), false),
        (AnswerForm::Json, message("m", "words"), true),
        (AnswerForm::Json, message("m", "{}"), false),
        (AnswerForm::Json, message("m", "```\n{}\n```"), false),
        (AnswerForm::Json, [message("m", "words"), message("n", "{}")].concat(), false),
        (AnswerForm::Json, [message("m", "{}"), comment].concat(), false),
        (AnswerForm::Json, more("", &[refusal("m", "no")]), false),
        (mapped(), message("m", "words"), true),
        (mapped(), message("m", "{\"a\":null}"), false),
    ] {
        let setup = formed(form);
        let mut shaper = Shaper::new(&setup.turn, &setup.tail);
        let mut out = Vec::new();
        for event in messages.into_iter().chain([finished(Finish::Stop)]) {
            assert_eq!(shaper.push(event, Instant::now(), &mut out), Verdict::Continue);
        }
        assert_eq!(shaper.is_unmet(), expected, "{out:?}");
    }
}

#[test]
fn citations_point_into_the_text_that_comes_out() {
    let cited = |text: &str| more(text, &[annotation("m", 1, 12)]);
    check_whole(formed(AnswerForm::Free), cited("abcdefghijklm"), "m: abcdefghijklm [1..12]");
    check_whole(formed(AnswerForm::Free), cited("\u{e9}\u{1b}[31mred\u{1b}[0m."), "m: \u{e9}red. [1..4]");
    check_whole(formed(AnswerForm::Json), cited("{\"a\": \"bcdefg\"}"), "m: {\"a\": \"bcdefg\"} [1..12]");
    check_whole(formed(AnswerForm::Json), cited("```\n{\"a\":1}\n```"), "m: {\"a\":1}");
    check_whole(formed(mapped()), cited("{\"a\":null     }"), "m: {}");
}

#[test]
fn a_refusal_comes_after_the_text() {
    check_whole(formed(AnswerForm::Free), more("a", &[refusal("m", "n\u{1b}[1mo")]), "m: a refused: no");
    check_whole(formed(mapped()), more("", &[refusal("m", "no")]), "m:  refused: no");
}
