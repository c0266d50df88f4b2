//! The choice of a thread: how long it takes to find the thread that a long chat goes on with, among others.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use protocol::turn::lineage::{Hasher, Lineage};
use protocol::turn::{Item, Part, Role};
use proxy_core::threads::{Kept, Kind, Limits, Threads};

use crate::report::{Report, Times};

const SECTION: &str = "threads";
const ITEMS: usize = 2000;
const KEPT: usize = 64;
const ROUNDS: usize = 500;

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let hasher = Hasher::new(1);
    let kind = Kind { owner: "key_bench".to_owned(), spec: 1 };
    let limits = Limits { threads: KEPT, idle: Duration::from_secs(3600), warm: 0 };
    let mut threads = Threads::new(limits);
    let chat = chat(ITEMS);
    let keep = |threads: &mut Threads<usize>, items: &[Item], handle| {
        let mut lineage = Lineage::default();
        hasher.give(&mut lineage, items);
        let (kind, calls, since) = (kind.clone(), Vec::new(), Instant::now());
        threads.keep(Kept { kind, lineage, calls, since, handle })
    };
    // The others are beginnings of the same chat, or differ from it at their end.
    for number in 1..KEPT {
        let mut other = chat[..number].to_vec();
        other.push(said(Role::User, "another"));
        drop(keep(&mut threads, &other, number));
    }
    let mut times = Times::default();
    for _ in 0..ROUNDS {
        drop(keep(&mut threads, &chat[..ITEMS - 1], 0));
        let begin = Instant::now();
        let mut history = hasher.history(&chat);
        let found = threads.take(&kind, &mut history, &chat, |_| true);
        times.push(begin.elapsed());
        if found.is_none_or(|found| found.known != ITEMS - 1) {
            bail!("the thread of the chat was not found");
        }
    }
    report.times(SECTION, "choose, of 64 threads, for a chat of 2,000 items", &times);
    Ok(())
}

fn chat(items: usize) -> Vec<Item> {
    let roles = [Role::User, Role::Assistant].into_iter().cycle();
    roles
        .take(items)
        .enumerate()
        .map(|(number, role)| said(role, &format!("{number}: {}", "word ".repeat(40))))
        .collect()
}

fn said(role: Role, text: &str) -> Item {
    Item::Message { role, content: vec![Part::Text(text.to_owned())], phase: None }
}
