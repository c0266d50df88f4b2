//! Compares sums with a plain fold over the events, for random events, time ranges and time zones.

use super::*;
use crate::usage::rows::Kind;
use crate::usage::totals::Sums;

/// A random generator with a seed (splitmix64), so that runs can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len() as u64) as usize]
    }

    fn event(&mut self, ts_ms: i64) -> UsageEvent {
        UsageEvent {
            ts_ms,
            status: *self.of(&[200, 200, 200, 400, 499, 503]),
            key: (*self.of(&["default", "obsidian", "ci"])).into(),
            user_agent: (*self.of(&["curl/8", "OpenAI/JS 4", "Zed/0.2", ""])).into(),
            effective_model: (*self.of(&["gpt-a", "gpt-b", ""])).into(),
            input_tokens: self.below(10_000),
            cached_tokens: self.below(100),
            cache_write_tokens: self.below(10),
            output_tokens: self.below(5000),
            reasoning_tokens: self.below(100),
            estimated: self.below(3) == 0,
            ttft_ms: (self.below(2) == 0).then(|| self.below(900)),
            duration_ms: self.below(60_000),
            ..UsageEvent::default()
        }
    }
}

fn fold<'a>(events: impl IntoIterator<Item = &'a UsageEvent>) -> Totals {
    let mut sums = Sums::default();
    events.into_iter().for_each(|event| sums.add(&Sums::of(event)));
    sums.into()
}

const ZONES: [&str; 10] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "America/St_Johns",
    "Pacific/Chatham",
    "Pacific/Apia",
    "Africa/Casablanca",
    "Asia/Tokyo",
];

#[test]
fn sums_equal_a_fold_over_the_events() {
    let mut random = Random(20_260_329);
    let scene = Scene::new();
    let store = scene.open();
    // Years apart, with a change of the clock in each range.
    let bases = [at("2011-12-27T00:00:00Z"), at("2026-03-27T00:00:00Z"), at("2026-10-02T12:34:56.789Z")];
    let week = 7 * 86_400_000_u64;
    for _ in 0..3000 {
        let ts_ms = *random.of(&bases) + random.below(week) as i64;
        let event = random.event(ts_ms);
        store.sink().record(event);
    }
    let events = store.between(0, i64::MAX, (0, 0), 10_000).unwrap();
    assert_eq!(events.len(), 3000);
    for round in 0..40 {
        let base = *random.of(&bases);
        let mut ends = [0, 1].map(|_| base + random.below(week) as i64);
        // Some ends are on a quarter of an hour, some on an event.
        if random.below(3) == 0 {
            ends[0] -= ends[0] % 900_000;
        }
        if random.below(3) == 0 {
            ends[1] = random.of(&events).ts_ms;
        }
        ends.sort_unstable();
        let [start_ms, end_ms] = ends;
        if start_ms == end_ms || end_ms - start_ms > 20 * 365 * 86_400_000 {
            continue;
        }
        let tz = zone(random.of::<&str>(&ZONES));
        let group = *random.of(&[Group::Hour, Group::Day, Group::Model, Group::Key, Group::Client]);
        let query = UsageQuery { start_ms, end_ms, tz: tz.clone(), group };
        let summary = store.summary(&query).unwrap();
        let within: Vec<&UsageEvent> =
            events.iter().filter(|event| (start_ms..end_ms).contains(&event.ts_ms)).collect();
        assert_eq!(summary.totals, fold(within.iter().copied()), "round {round} {query:?}");
        match query.edges() {
            Some(edges) => {
                for (at, part) in summary.data.iter().enumerate() {
                    let (_, from, to) = edges.part(at).unwrap();
                    let inside = within.iter().filter(|event| (from..to).contains(&event.ts_ms)).copied();
                    assert_eq!(part.totals, fold(inside), "round {round} {query:?} {part:?}");
                }
            }
            None => {
                let kind = match group {
                    Group::Model => Kind::Model,
                    Group::Key => Kind::Key,
                    Group::Client | Group::Hour | Group::Day => Kind::Client,
                };
                for part in &summary.data {
                    let of = within.iter().filter(|event| kind.name_of(event) == part.bucket).copied();
                    assert_eq!(part.totals, fold(of), "round {round} {query:?} {part:?}");
                }
            }
        }
    }
}

#[test]
fn parts_of_every_zone_follow_each_other_and_agree_with_its_clock() {
    let mut random = Random(7);
    for name in ZONES {
        let tz = zone(name);
        for group in [Group::Hour, Group::Day] {
            for _ in 0..20 {
                let start_ms = at("2008-01-01T00:00:00Z") + random.below(20 * 365 * 86_400_000) as i64;
                let end_ms = start_ms + 1 + random.below(40 * 86_400_000) as i64;
                let query = UsageQuery { start_ms, end_ms, tz: tz.clone(), group };
                let edges = query.edges().unwrap();
                assert_eq!((edges.all()[0], *edges.all().last().unwrap()), (start_ms, end_ms));
                assert!(edges.all().is_sorted_by(|a, b| a < b), "{query:?}");
                for at in 1..edges.parts() {
                    let (part, from, to) = edges.part(at).unwrap();
                    let local =
                        |ms: i64| Timestamp::from_millisecond(ms).unwrap().to_zoned(tz.clone()).datetime();
                    let (first, last) = (local(from), local(to - 1));
                    assert_eq!(&part[..16], &first.to_string()[..16], "{query:?}");
                    if group == Group::Hour {
                        assert_eq!(
                            (first.date(), first.hour()),
                            (last.date(), last.hour()),
                            "{query:?} {part}"
                        );
                    } else if name != "America/St_Johns" {
                        assert_eq!(first.date(), last.date(), "{query:?} {part}");
                    }
                }
            }
        }
    }
}
