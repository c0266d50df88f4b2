use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn event(event: &str, data: &str) -> ServerEvent {
    ServerEvent { event: event.into(), data: data.into() }
}

fn read(text: &str) -> Vec<ServerEvent> {
    Reader::default().read(text.as_bytes())
}

#[test]
fn the_standards_own_examples_are_read_as_it_says() {
    assert_eq!(read("data: YHOO\ndata: +2\ndata: 10\n\n"), [event("", "YHOO\n+2\n10")]);
    let four = ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n";
    assert_eq!(read(four), [event("", "first event"), event("", "second event"), event("", " third event")]);
    assert_eq!(read("data\n\ndata\ndata\n\ndata:"), [event("", ""), event("", "\n")]);
    assert_eq!(read("data:test\n\ndata: test\n\n"), [event("", "test"), event("", "test")]);
    assert_eq!(
        read("event: add\ndata: 1\n\nevent: remove\n\ndata: 2\n\n"),
        [event("add", "1"), event("", "2")]
    );
}

#[test]
fn every_end_of_a_line_ends_it_once() {
    let expected = [event("a", "1\n2"), event("", "3")];
    for end in ["\n", "\r", "\r\n"] {
        let text = ["event: a", "data: 1", "data: 2", "", "data: 3", "", ""].join(end);
        assert_eq!(read(&text), expected, "{end:?}");
        for size in 1..5 {
            let mut reader = Reader::default();
            let cut: Vec<_> = text.as_bytes().chunks(size).flat_map(|chunk| reader.read(chunk)).collect();
            assert_eq!(cut, expected, "{end:?} in pieces of {size}");
        }
    }
}

#[test]
fn a_mark_at_the_begin_is_no_part_of_the_first_line_only() {
    assert_eq!(read("\u{feff}data: 1\n\n\u{feff}data: 2\n\n"), [event("", "1")]);
}

#[test]
fn what_is_cut_off_is_no_event_and_what_is_held_is_known() {
    let mut reader = Reader::default();
    assert_eq!(
        reader.read(b"event: status\ndata: {\"a\":1}\n\n: keepalive\n\ndata: cut "),
        [event("status", "{\"a\":1}")]
    );
    assert_eq!(reader.held(), "data: cut ".len());
    assert_eq!(reader.read(b"\xff off\n"), []);
    assert_eq!(reader.held(), "cut \u{fffd} off".len());
    assert_eq!(reader.read(b"\n"), [event("", "cut \u{fffd} off")]);
    assert_eq!(reader.held(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn how_a_stream_is_cut_changes_nothing(bytes in vec(prop_oneof![
        any::<u8>(),
        prop::sample::select(b"\r\n: data event".to_vec()),
    ], 0..200)) {
        fuzz(&bytes);
    }

    #[test]
    fn what_is_written_is_read(events in vec(("[a-z.]{0,12}", vec("[^\r\n]{0,20}", 1..4)), 0..8)) {
        let mut text = String::new();
        for (name, lines) in &events {
            if !name.is_empty() {
                text.push_str(&format!("event: {name}\n"));
            }
            lines.iter().for_each(|line| text.push_str(&format!("data: {line}\n")));
            text.push('\n');
        }
        let expected: Vec<_> = events.iter().map(|(name, lines)| event(name, &lines.join("\n"))).collect();
        prop_assert_eq!(read(&text), expected);
    }
}
