use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn lane(name: &str) -> Lane {
    Lane::named(Some(&json!(name))).unwrap()
}

fn lanes() -> Lanes<u32> {
    Lanes::new(Budget::new(1 << 20), 1 << 20)
}

fn said(response: &str) -> Outcome {
    Outcome::Said(Transcript { response: response.to_owned(), items: vec![json!(response)] })
}

fn start(lane: &Lane, request: u32) -> Option<Start<u32>> {
    Some(Start { lane: lane.clone(), request, previous: None, recalled: None })
}

/// The response that the request which starts now continues.
fn continued(start: Option<Start<u32>>) -> Option<String> {
    assert!(start.is_some(), "it starts");
    start?.recalled.map(|recalled| recalled.response.clone())
}

/// Runs a request in a lane that is free. Returns what it continues.
fn run(lanes: &mut Lanes<u32>, lane: &Lane, previous: &str, outcome: Outcome) -> Option<String> {
    let previous = Some(previous).filter(|id| !id.is_empty()).map(str::to_owned);
    let recalled = continued(lanes.push(lane, previous, 0));
    assert_eq!(lanes.ended(lane, outcome), None);
    recalled
}

#[test]
fn requests_of_a_lane_run_in_their_order_and_lanes_side_by_side() {
    let (mut lanes, a, b) = (lanes(), Lane::default(), lane("b"));
    assert_eq!(lanes.push(&a, None, 1), start(&a, 1));
    assert_eq!(lanes.push(&a, None, 2), None);
    assert_eq!(lanes.push(&b, None, 3), start(&b, 3));
    assert_eq!(lanes.push(&a, None, 4), None);
    assert_eq!(lanes.ended(&a, said("1")), start(&a, 2));
    assert_eq!(lanes.ended(&b, Outcome::Failed), None);
    assert_eq!(lanes.ended(&a, Outcome::Failed), start(&a, 4));
    assert_eq!(lanes.ended(&a, Outcome::Failed), None);
    assert_eq!(lanes.ended(&a, Outcome::Failed), None, "none runs");
}

#[test]
fn a_lane_remembers_its_latest_response_alone() {
    let (mut lanes, a, b) = (lanes(), Lane::default(), lane("b"));
    assert_eq!(run(&mut lanes, &a, "", said("a1")), None);
    assert_eq!(run(&mut lanes, &a, "a1", said("a2")).as_deref(), Some("a1"));
    assert_eq!(run(&mut lanes, &a, "a1", Outcome::Failed), None, "an older one");
    assert_eq!(run(&mut lanes, &b, "a2", said("b1")).as_deref(), Some("a2"), "of another lane");
    assert_eq!(run(&mut lanes, &a, "b1", said("a3")).as_deref(), Some("b1"));
    assert_eq!(run(&mut lanes, &b, "a2", Outcome::Failed), None);
    assert_eq!(run(&mut lanes, &b, "b1", said("b2")).as_deref(), Some("b1"));
}

#[test]
fn a_failed_continuation_is_the_end_of_what_it_continues_in_its_own_lane() {
    let (mut lanes, a, b) = (lanes(), Lane::default(), lane("b"));
    run(&mut lanes, &a, "", said("a1"));
    run(&mut lanes, &b, "a1", Outcome::Failed);
    run(&mut lanes, &a, "", Outcome::Failed);
    run(&mut lanes, &a, "a0", Outcome::Failed);
    assert_eq!(run(&mut lanes, &a, "a1", Outcome::Failed).as_deref(), Some("a1"), "none was about it");
    assert_eq!(run(&mut lanes, &a, "a1", Outcome::Failed), None);
}

#[test]
fn a_fork_is_bound_when_it_starts() {
    let (mut lanes, a, b) = (lanes(), Lane::default(), lane("b"));
    run(&mut lanes, &a, "", said("a1"));
    lanes.push(&a, Some("a1".to_owned()), 1).unwrap();
    let fork = lanes.push(&b, Some("a1".to_owned()), 2).unwrap();
    lanes.push(&b, Some("a1".to_owned()), 3);
    assert_eq!(lanes.ended(&a, said("a2")), None);
    assert_eq!(fork.recalled.unwrap().response, "a1", "whatever its parent's lane does");
    assert_eq!(continued(lanes.ended(&b, said("b1"))), None, "it was too late");
}

#[test]
fn a_request_that_waits_can_continue_the_one_before_it() {
    let (mut lanes, a) = (lanes(), Lane::default());
    lanes.push(&a, None, 1).unwrap();
    assert_eq!(lanes.push(&a, Some("a1".to_owned()), 2), None);
    assert_eq!(continued(lanes.ended(&a, said("a1"))).as_deref(), Some("a1"));
}

#[test]
fn there_are_limits() {
    let mut lanes = lanes();
    for number in 0..MOST_IN_FLIGHT {
        assert_eq!(lanes.admit(&Lane::default()), Ok(()));
        lanes.push(&Lane::default(), None, u32::try_from(number).unwrap());
    }
    assert_eq!(lanes.admit(&lane("b")), Err(SocketError::TooManyRequests));
    let waited = lanes.take_waiting();
    assert_eq!(waited.len(), MOST_IN_FLIGHT - 1, "all but the one that runs");
    assert_eq!(lanes.ended(&Lane::default(), Outcome::Failed), None);

    for number in 0..MOST_NAMED {
        let lane = lane(&number.to_string());
        assert_eq!(lanes.admit(&lane), Ok(()));
        run(&mut lanes, &lane, "", said(&number.to_string()));
    }
    assert_eq!(lanes.admit(&lane("one-more")), Err(SocketError::TooManyLanes));
    assert_eq!((lanes.admit(&lane("7")), lanes.admit(&Lane::default())), (Ok(()), Ok(())));
    run(&mut lanes, &lane("7"), "7", Outcome::Failed);
    assert_eq!(lanes.admit(&lane("one-more")), Ok(()), "a lane that remembers nothing is none");
}

#[test]
fn what_does_not_fit_is_forgotten_oldest_first() {
    let budget = Budget::new(100);
    let mut lanes: Lanes<u32> = Lanes::new(budget.clone(), 20);
    let big = |id: &str, bytes: usize| {
        Outcome::Said(Transcript { response: id.to_owned(), items: vec![json!("x".repeat(bytes - 4))] })
    };
    for name in ["a", "b"] {
        run(&mut lanes, &lane(name), "", big(name, 10));
    }
    assert_eq!(run(&mut lanes, &lane("a"), "a", big("a2", 9)).as_deref(), Some("a"));
    run(&mut lanes, &lane("c"), "", big("c", 5));
    assert_eq!(run(&mut lanes, &lane("x"), "b", Outcome::Failed), None, "the oldest");
    assert_eq!(run(&mut lanes, &lane("x"), "a2", Outcome::Failed).as_deref(), Some("a2"));
    run(&mut lanes, &lane("c"), "c", big("c2", 21));
    assert_eq!(run(&mut lanes, &lane("x"), "c2", Outcome::Failed), None, "larger than all there is");

    let others = budget.share();
    others.take(91).unwrap();
    run(&mut lanes, &lane("d"), "", big("d", 9));
    assert_eq!(run(&mut lanes, &lane("x"), "a2", Outcome::Failed), None);
    assert_eq!(run(&mut lanes, &lane("x"), "d", Outcome::Failed).as_deref(), Some("d"));
    drop((lanes, others));
    assert!(budget.share().take(100).is_ok(), "all of it is given back");
}

#[derive(Debug, Clone)]
enum Act {
    Push(usize, Option<usize>),
    End(usize, bool),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0..5_usize, prop::option::of(0..40_usize)).prop_map(|(lane, previous)| Act::Push(lane, previous)),
        (0..5_usize, any::<bool>()).prop_map(|(lane, well)| Act::End(lane, well)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Compares with a model: a queue for each lane, and the latest response of each.
    #[test]
    fn every_request_runs_once_in_the_order_of_its_lane(acts in prop::collection::vec(act(), 0..120)) {
        let budget = Budget::new(4000);
        let mut lanes: Lanes<u32> = Lanes::new(budget.clone(), 1000);
        let names = [Lane::default(), lane("a"), lane("b"), lane("c"), lane("d")];
        let mut queues: [VecDeque<u32>; 5] = Default::default();
        let mut latest: [Option<String>; 5] = Default::default();
        let mut pushed = 0;
        let mut run = HashSet::new();
        for act in acts {
            let (at, started) = match act {
                Act::Push(at, previous) => {
                    let waiting: usize = queues.iter().map(VecDeque::len).sum();
                    let admitted = lanes.admit(&names[at]);
                    prop_assert_eq!(admitted.is_ok(), waiting < MOST_IN_FLIGHT);
                    if admitted.is_err() {
                        continue;
                    }
                    pushed += 1;
                    queues[at].push_back(pushed);
                    (at, lanes.push(&names[at], previous.map(|id| id.to_string()), pushed))
                }
                Act::End(at, well) => {
                    let ended = queues[at].pop_front();
                    let id = ended.unwrap_or_default().to_string();
                    let outcome = if well {
                        Outcome::Said(Transcript { response: id.clone(), items: vec![json!("x".repeat(100))] })
                    } else {
                        Outcome::Failed
                    };
                    if ended.is_some() && well {
                        latest[at] = Some(id);
                    }
                    (at, lanes.ended(&names[at], outcome))
                }
            };
            if let Some(start) = started {
                prop_assert_eq!(&start.lane, &names[at]);
                prop_assert_eq!(queues[at].front(), Some(&start.request));
                prop_assert!(run.insert(start.request), "twice");
                if let Some(recalled) = start.recalled {
                    prop_assert!(latest.contains(&Some(recalled.response.clone())), "{:?}", recalled.response);
                }
            }
            for (queue, name) in queues.iter().zip(&names) {
                let runs = lanes.lanes.get(name).is_some_and(|state| state.running.is_some());
                prop_assert_eq!(runs, !queue.is_empty(), "a lane with requests runs one");
            }
            let bytes: usize = lanes.lanes.values().filter_map(|state| state.remembered.as_ref()).map(|known| known.bytes).sum();
            prop_assert_eq!(lanes.remembered, bytes);
            prop_assert!(bytes <= 1000);
        }
        drop(lanes);
        prop_assert!(budget.share().take(4000).is_ok());
    }
}
