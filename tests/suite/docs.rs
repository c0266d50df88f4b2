//! Compares the documentation with the program: every example is run or parsed, and every link is checked.
//!
//! The info string of a fenced block says what the tests do with it. `sh`, `python` and `js` run against a proxy with the
//! real Codex and a scripted upstream. The shell blocks of a page run one after another in one shell. `no_run=REASON` leaves
//! a block out. `output` after a shell block is the expected output: exactly this text, or JSON of this form. `json`, `toml`
//! and `yaml` are parsed. `settings` and `client=ID` compare them with what the proxy reads and writes.

mod blocks;
mod links;
mod names;
mod place;
mod run;

use std::collections::BTreeMap;

use blocks::{Block, Page};

/// The reasons to leave a block out, with the number of blocks for each. Add one only if the block cannot run.
const LEFT_OUT: &[(&str, usize)] = &[
    ("changes-the-system", 5),
    ("deletes-the-data", 1),
    ("does-not-end", 2),
    ("needs-a-deployment", 1),
    ("needs-a-person", 2),
    ("needs-root", 2),
    ("needs-the-network", 4),
];

/// The allowed languages of a block.
const LANGUAGES: &[&str] = &["sh", "python", "js", "json", "toml", "yaml", "text"];

#[test]
fn every_block_says_what_it_is() {
    let mut left_out: BTreeMap<&str, usize> = BTreeMap::new();
    let pages = Page::all();
    for (page, block) in pages.iter().flat_map(|page| page.blocks.iter().map(move |block| (page, block))) {
        let at = block.place(page);
        assert!(
            LANGUAGES.contains(&block.language()),
            "{at}: a block of the language {:?}",
            block.language()
        );
        assert!(block.unknown_marks().is_empty(), "{at}: unknown marks {:?}", block.unknown_marks());
        if let Some(reason) = block.reason_not_to_run() {
            let known = LEFT_OUT.iter().find(|(name, _)| *name == reason);
            let (name, _) =
                known.unwrap_or_else(|| panic!("{at}: {reason} is no reason to leave a block out"));
            *left_out.entry(name).or_default() += 1;
        }
    }
    let listed: BTreeMap<&str, usize> = LEFT_OUT.iter().copied().collect();
    assert_eq!(left_out, listed, "blocks are left out that are not listed, or no longer left out");
}

#[test]
fn blocks_of_data_can_be_read() {
    let mut read = 0;
    for page in Page::all() {
        for block in &page.blocks {
            let at = block.place(&page);
            match block.language() {
                "json" => drop(block.json(&at)),
                "toml" => drop(block.toml(&at)),
                "yaml" => drop(block.yaml(&at)),
                _ => continue,
            }
            read += 1;
        }
    }
    assert!(read > 10, "only {read} blocks of data were found");
}

#[tokio::test]
async fn blocks_of_settings_are_read_by_the_proxy() {
    let mut read = 0;
    for page in Page::all() {
        for block in page.blocks.iter().filter(|block| block.has("settings")) {
            run::settings(block, &block.place(&page)).await;
            read += 1;
        }
    }
    assert!(read > 0, "no block of settings was found");
}

#[tokio::test]
async fn blocks_for_clients_are_what_the_proxy_writes_for_them() {
    let pages = Page::all();
    let of_clients = |page: &Page| -> Vec<(String, Block)> {
        let named = page
            .blocks
            .iter()
            .filter_map(|block| Some((block.value_of("client")?.to_owned(), block.clone())));
        named.collect()
    };
    let blocks: Vec<_> = pages.iter().flat_map(of_clients).collect();
    let mut ids: Vec<_> = blocks.iter().map(|(id, _)| id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["codex-cli", "continue", "opencode", "zed"]);
    run::clients(&blocks).await;
}

#[tokio::test]
async fn shell_blocks_do_what_they_say() {
    let run = run::shell().await;
    assert!(run > 20, "only {run} shell blocks were run");
}

#[tokio::test]
async fn python_blocks_do_what_they_say() {
    assert!(run::scripts("python").await > 3);
}

#[tokio::test]
async fn javascript_blocks_do_what_they_say() {
    assert!(run::scripts("js").await > 2);
}

#[test]
fn links_lead_somewhere() {
    let pages = Page::all();
    let complaints = links::complaints(&pages);
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn the_summary_names_every_page_and_each_is_there() {
    links::check_summary(&Page::all());
}

#[test]
fn settings_that_a_text_names_exist() {
    names::check_settings(&Page::all());
}

#[test]
fn the_api_page_names_every_route_and_header() {
    names::check_api(&Page::all());
}

#[test]
fn the_page_of_clients_names_those_that_the_window_does() {
    names::check_clients(&Page::all());
}
