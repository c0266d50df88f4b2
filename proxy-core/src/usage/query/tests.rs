use super::*;

const NOW: &str = "2026-11-23T15:30:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn berlin() -> TimeZone {
    TimeZone::get("Europe/Berlin").unwrap()
}

fn read(start: &str, end: &str, group: &str, tz: &str) -> Result<UsageQuery, QueryError> {
    let some = |text: &str| (!text.is_empty()).then(|| Cow::Owned(text.to_owned()));
    let parameters = Parameters { start: some(start), end: some(end), group: some(group), tz: some(tz) };
    UsageQuery::parse(&parameters, now(), &berlin())
}

fn range(query: &UsageQuery) -> (String, String) {
    (iso(query.start_ms, &query.tz), iso(query.end_ms, &query.tz))
}

fn pair(start: &str, end: &str) -> (String, String) {
    (start.to_owned(), end.to_owned())
}

#[test]
fn without_parameters_it_is_the_last_seven_days() {
    let query = read("", "", "", "").unwrap();
    assert_eq!(range(&query), pair("2026-11-17T00:00:00+01:00", "2026-11-24T00:00:00+01:00"));
    assert_eq!((query.group, query.tz_name().as_str()), (Group::Day, "Europe/Berlin"));
    assert_eq!(query.edges().unwrap().parts(), 7);
    let query = read("", "2026-11-10", "", "UTC").unwrap();
    assert_eq!(range(&query), pair("2026-11-03T00:00:00+00:00", "2026-11-10T00:00:00+00:00"));
}

#[test]
fn times_are_read_in_every_way_that_people_write_them() {
    let cases = [
        ("2026-11-01", "2026-11-01T00:00:00+01:00"),
        ("2026-06-01", "2026-06-01T00:00:00+02:00"),
        ("2026-11-01T10:20", "2026-11-01T10:20:00+01:00"),
        ("2026-11-01 10:20:30", "2026-11-01T10:20:30+01:00"),
        ("2026-11-01T10:20:30.5", "2026-11-01T10:20:30+01:00"),
        ("2026-11-01T10:20:30Z", "2026-11-01T11:20:30+01:00"),
        ("2026-11-01T10:20:30-05:00", "2026-11-01T16:20:30+01:00"),
        // A `+` that came through a query string unescaped.
        ("2026-11-01T10:20:30 02:00", "2026-11-01T09:20:30+01:00"),
        ("1761955200", "2025-11-01T01:00:00+01:00"),
        ("1761955200000", "2025-11-01T01:00:00+01:00"),
        ("1761955200.25", "2025-11-01T01:00:00+01:00"),
        ("0", "1970-01-01T01:00:00+01:00"),
        // Between two and three o'clock there was nothing on this day.
        ("2026-03-29T02:30", "2026-03-29T03:30:00+02:00"),
    ];
    for (text, expected) in cases {
        let query = read(text, "2026-12-01", "model", "").unwrap();
        assert_eq!(range(&query).0, expected, "{text}");
    }
    assert_eq!(read("1761955200.25", "2026-12-01", "model", "").unwrap().start_ms, 1_761_955_200_250);
}

#[test]
fn what_makes_no_sense_names_its_parameter() {
    let cases = [
        (("yesterday", "", "", ""), "start"),
        (("", "2026-13-01", "", ""), "end"),
        (("2026-02-30", "", "", ""), "start"),
        (("-5", "", "", ""), "start"),
        (("99999999999999999999", "", "", ""), "start"),
        (("2026-11-01", "2026-11-01", "", ""), "end"),
        (("2027-01-01", "", "", ""), "start"),
        (("2026-11-02", "2026-11-01", "", ""), "end"),
        (("", "", "week", ""), "group"),
        (("", "", "", "Europe/Berlin2"), "tz"),
        (("", "", "", "../../etc/passwd"), "tz"),
        (("0", "", "hour", ""), "group"),
        (("0", "", "day", ""), "start"),
    ];
    for ((start, end, group, tz), param) in cases {
        let error = read(start, end, group, tz).unwrap_err();
        assert_eq!(error.param, param, "{error}");
        assert!(error.message.ends_with('.') && error.message.len() < 400, "{error}");
    }
    assert!(read("0", "", "model", "").is_ok(), "names are few however long the time");
    assert!(read("", "", "HOUR", "europe/berlin").is_ok());
}

#[test]
fn messages_that_ask_are_told_from_those_that_talk() {
    let asked =
        |text: &str| chat::parse(text, now(), &berlin()).map(|query| query.map(|query| range(&query)));
    let cases = [
        ("usage today", "2026-11-23T00:00:00+01:00", "2026-11-24T00:00:00+01:00"),
        ("  Usage   TODAY \n", "2026-11-23T00:00:00+01:00", "2026-11-24T00:00:00+01:00"),
        ("usage yesterday", "2026-11-22T00:00:00+01:00", "2026-11-23T00:00:00+01:00"),
        ("usage last 7d", "2026-11-17T00:00:00+01:00", "2026-11-24T00:00:00+01:00"),
        ("usage last 24h", "2026-11-22T16:30:00+01:00", "2026-11-23T16:30:00+01:00"),
        ("usage this week", "2026-11-23T00:00:00+01:00", "2026-11-24T00:00:00+01:00"),
        ("usage this month", "2026-11-01T00:00:00+01:00", "2026-11-24T00:00:00+01:00"),
        (
            "usage start=2025-09-01 end=2025-09-02 group=hour",
            "2025-09-01T00:00:00+02:00",
            "2025-09-02T00:00:00+02:00",
        ),
        ("usage today tz=Asia/Tokyo", "2026-11-24T00:00:00+09:00", "2026-11-25T00:00:00+09:00"),
        ("usage group=model", "2026-11-17T00:00:00+01:00", "2026-11-24T00:00:00+01:00"),
    ];
    for (text, start, end) in cases {
        assert_eq!(asked(text), Some(Ok(pair(start, end))), "{text}");
    }
    for text in [
        "usage",
        "",
        "usage today please",
        "what is my usage today",
        "usage of the word last",
        "usage last week of may",
        "usage last 7",
        "usage last d",
        "usage last 7é",
        "usage today today",
        "usage today start=2026-01-01",
        "usage a=b",
        "usage start=",
        "usage start=2026-01-01 start=2026-01-02",
        "usages today",
        "usage: today",
    ] {
        assert_eq!(asked(text), None, "{text}");
    }
    for text in
        ["usage last 0d", "usage last 99999999999999999999d", "usage start=never", "usage today group=x"]
    {
        assert!(matches!(asked(text), Some(Err(_))), "{text}");
    }
    let group = |text: &str| chat::parse(text, now(), &berlin()).unwrap().unwrap().group;
    assert_eq!((group("usage today"), group("usage last 7d")), (Group::Hour, Group::Day));
    assert_eq!(group("usage last 7d group=Client"), Group::Client);
}

#[test]
fn an_answer_is_a_table_and_a_sentence() {
    let query = read("2026-11-22", "2026-11-24", "day", "").unwrap();
    let part = |bucket: &str, requests: u64| Bucket {
        bucket: bucket.to_owned(),
        key_id: None,
        start: Some(0),
        end: Some(0),
        totals: Totals {
            requests,
            input_tokens: 12_000 * requests,
            cached_tokens: 9000 * requests,
            output_tokens: 345 * requests,
            total_tokens: 12_345 * requests,
            ..Totals::default()
        },
    };
    let totals = Totals {
        errors: 1,
        avg_ttft_ms: Some(850),
        avg_duration_ms: Some(3210),
        estimated_requests: 1,
        estimated_tokens: 1234,
        ..part("", 2).totals
    };
    let mut summary = Summary {
        object: "usage",
        start: 0,
        end: 0,
        tz: query.tz_name(),
        group: "day",
        totals,
        data: vec![part("2026-11-22T00:00:00+01:00", 2), part("2026-11-23T00:00:00+01:00", 0)],
    };
    assert_eq!(
        chat::render(&query, &summary),
        "**Usage from 2026-11-22 00:00 to 2026-11-24 00:00** (Europe/Berlin)\n\n\
         | Day | Requests | Input | Cached | Output | Total |\n\
         | :-- | --: | --: | --: | --: | --: |\n\
         | 2026-11-22 | 2 | 24,000 | 75% | 690 | 24,690 |\n\n\
         **Total:** 2 requests (1 failed), 24,690 tokens: 24,000 in (75% cached), 690 out (0 reasoning). On average \
         0.9 s to the first piece, 3.2 s to the end. 1 request broke off before the count was told, at about 1,234 more tokens.\n"
    );
    summary.data = vec![Bucket { start: None, ..part("a|b_[x](y)", 1) }];
    let query = UsageQuery { group: Group::Key, ..query };
    let text = chat::render(&query, &summary);
    assert!(text.contains("| a\\|b\\_\\[x\\](y) | 1 |"), "{text}");
    summary.data.clear();
    assert!(chat::render(&query, &summary).ends_with("No requests in this time.\n"));
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn any_text() -> impl Strategy<Value = Option<String>> {
        let likely = "(-?[0-9]{1,14}(\\.[0-9]{0,4})?|[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:.]{0,8}(Z|[+ -][0-9:]{2,6})?)?)";
        prop_oneof![Just(None), any::<Option<String>>(), likely.prop_map(Some)]
    }

    proptest! {
        #[test]
        fn whatever_the_parameters_are_they_are_a_question_or_an_error(
            (start, end, group, tz) in (any_text(), any_text(), any_text(), any_text()),
        ) {
            let parameters = Parameters {
                start: start.map(Into::into),
                end: end.map(Into::into),
                group: group.map(Into::into),
                tz: tz.map(Into::into),
            };
            if let Ok(query) = UsageQuery::parse(&parameters, Timestamp::now(), &TimeZone::UTC) {
                prop_assert!(query.start_ms < query.end_ms);
                prop_assert!(query.edges().is_none_or(|edges| edges.parts() <= MOST_BUCKETS + 2));
            }
        }

        #[test]
        fn a_stretch_of_time_is_read_as_it_was_written(
            start_ms in 0_i64..4_000_000_000_000,
            length in 1_i64..100_000_000_000,
            group in prop::sample::select(vec![Group::Model, Group::Key, Group::Client]),
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns"]),
        ) {
            let query = UsageQuery { start_ms, end_ms: start_ms + length, tz: TimeZone::get(zone).unwrap(), group };
            let parameters = Parameters {
                start: Some(time::iso_exact(query.start_ms).into()),
                end: Some(time::iso_exact(query.end_ms).into()),
                group: Some(query.group.as_str().into()),
                tz: Some(query.tz_name().into()),
            };
            prop_assert_eq!(UsageQuery::parse(&parameters, Timestamp::now(), &TimeZone::UTC), Ok(query));
        }

        #[test]
        fn whatever_is_said_to_the_model_is_a_question_about_usage_or_none(
            said in "(usage |USAGE\t)?(today|last [0-9]{0,22}[dhw]?|this (week|month)|.{0,30})( (start|end|group|tz)=[^ ]{0,20}){0,4}",
        ) {
            let _either = chat::parse(&said, Timestamp::now(), &TimeZone::UTC);
        }
    }
}
