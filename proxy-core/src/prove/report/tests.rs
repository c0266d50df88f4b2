use serde_json::json;

use super::super::mirror::Reached;
use super::*;

fn subject() -> Subject {
    Subject { version: "9.9.9".into(), path: "/c".into(), size: 1, modified: 2, switches: "s".into() }
}

fn case(number: usize, kind: Kind) -> Case {
    let marker = format!("Request {number} of a proof:");
    let said =
        json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": marker}]});
    Case { kind, body: json!({"model": "m", "input": [said]}), marker }
}

fn asked(case: &Case, thread: &str) -> Asked {
    let body =
        json!({"model": "m", "instructions": "", "prompt_cache_key": thread, "input": case.body["input"]});
    Asked { body, bytes: 100, is_warm_up: false }
}

fn warm_up(thread: &str) -> Asked {
    let body =
        json!({"model": "m", "instructions": "", "generate": false, "prompt_cache_key": thread, "input": []});
    Asked { body, bytes: 50, is_warm_up: true }
}

fn reached() -> Vec<Reached> {
    vec![Reached { method: "GET".into(), target: "/v1/responses".into(), bytes: 0 }]
}

#[test]
fn nothing_wrong_is_pure() {
    let cases = [case(1, Kind::Plain), case(2, Kind::Tools)];
    let recording = Recording {
        asked: vec![warm_up("a"), asked(&cases[1], "b"), asked(&cases[0], "a"), warm_up("b")],
        reached: reached(),
    };
    let report = report(subject(), &cases.map(|case| (case, Ok(()))), &recording);
    assert_eq!((report.verdict, report.findings, report.foreign_bytes), (Verdict::Pure, vec![], 0));
    assert!(report.word_bytes > 0 && report.models == 1 && report.cases.len() == 2);
    assert!(report.example.is_some() && report.connections[0].reason.is_some());
}

#[test]
fn findings_are_told_once_and_counted() {
    let cases = [case(1, Kind::Plain), case(2, Kind::Plain)];
    let mut recording =
        Recording { asked: cases.iter().map(|case| asked(case, "a")).collect(), reached: reached() };
    for one in &mut recording.asked {
        one.body["tools"] = json!([{"type": "function", "name": "image_gen"}]);
    }
    recording.reached.push(Reached { method: "CONNECT".into(), target: "example.org:443".into(), bytes: 0 });
    recording.asked.push(Asked { body: json!({"model": "m", "input": ["?"]}), bytes: 1, is_warm_up: false });
    let report = report(subject(), &cases.map(|case| (case, Ok(()))), &recording);
    assert_eq!(report.verdict, Verdict::Impure);
    let seen: Vec<_> = report.findings.iter().map(|found| (found.kind, found.requests)).collect();
    assert_eq!(seen, [(FindingKind::Added, 2), (FindingKind::Added, 1), (FindingKind::Connection, 1)]);
    assert!(
        report
            .reasons
            .starts_with("it adds a tool `image_gen` (38 bytes); it adds a request that nobody made")
    );
    assert!(report.reasons.ends_with("it reaches for CONNECT example.org:443"), "{}", report.reasons);
    assert_eq!(report.foreign_bytes, 2 * 38 + recording.asked[2].body.to_string().len() as u64);
}

#[test]
fn what_fails_proves_nothing() {
    let failed = Failed::TooSlow(Duration::from_secs(20));
    let cases = [(case(1, Kind::Plain), Err(failed)), (case(2, Kind::Plain), Ok(()))];
    let report = report(subject(), &cases, &Recording::default());
    assert_eq!(report.verdict, Verdict::Unproved);
    assert!(report.reasons.contains("a request (plain) to m failed"), "{}", report.reasons);
    assert!(report.reasons.contains("there was no answer within 20 s"), "{}", report.reasons);
}

#[test]
fn a_report_is_read_back_as_it_was() {
    let one = case(1, Kind::Tools);
    let recording = Recording { asked: vec![asked(&one, "a")], reached: reached() };
    let report = report(subject(), &[(one, Ok(()))], &recording);
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
}
