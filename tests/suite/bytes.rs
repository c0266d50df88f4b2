//! The client gets exactly the model's text, however it was cut on the way.

use e2e::codex_bin::NEWEST;
use e2e::fake_openai::{FakeOpenAi, Script, UPSTREAMS, Upstream};
use e2e::harness::Setup;
use serde_json::json;

use crate::surface::BOTH;

const HARD: [&str; 8] = [
    "plain",
    "a\r\nb\n\n  c\t",
    "ünïcödé 日本語 🦀👩‍👩‍👧‍👦 e\u{301}",
    "\u{2028}\u{2029}\u{85}\u{feff}",
    "data: x\n\nevent: y\n\n: z",
    "\"quotes\" \\ back \\u0041 </script>",
    "   leading and trailing   ",
    "\u{0}\u{1}\u{7f}",
];

#[tokio::test]
async fn deltas_concatenate_to_the_upstream_string() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        // The messages of a WebSocket are not cut.
        let cuts: &[&[usize]] = match kind {
            Upstream::Plain => &[&[1], &[2, 3], &[7, 1, 64], &[100_000]],
            Upstream::SignedIn => &[&[100_000]],
        };
        for (number, text) in HARD.into_iter().enumerate() {
            for sizes in cuts {
                for surface in BOTH {
                    let deltas: Vec<String> = text.chars().map(String::from).collect();
                    let deltas: Vec<&str> = deltas.iter().map(String::as_str).collect();
                    upstream.push(Script::new().chunk_sizes(sizes).message(&deltas));
                    let events = surface.events(&proxy, &surface.ask("hi")).await;
                    assert_eq!(surface.streamed_text(&events), text, "{surface:?} {number} {sizes:?}");
                }
            }
            for surface in BOTH {
                upstream.push(Script::text(text));
                assert_eq!(surface.text(&surface.answer(&proxy, &surface.ask("hi")).await), text, "{number}");
            }
        }
    }
}

#[tokio::test]
async fn escape_sequences_are_stripped_even_when_cut_in_two() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        for deltas in [&["a\u{1b}[31mred\u{1b}[0mb"][..], &["a\u{1b}", "[3", "1mre", "d\u{1b}[", "0m", "b"]] {
            for surface in BOTH {
                upstream.push(Script::new().message(deltas));
                let events = surface.events(&proxy, &surface.ask("hi")).await;
                assert_eq!(surface.streamed_text(&events), "aredb", "{surface:?}");
                upstream.push(Script::new().message(deltas));
                let answer = surface.answer(&proxy, &surface.ask("hi")).await;
                assert_eq!(surface.text(&answer), "aredb", "{surface:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_users_text_reaches_the_model_to_the_byte() {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        upstream.fall_back_to(Script::text("ok"));
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        for text in HARD {
            for surface in BOTH {
                surface.answer(&proxy, &surface.ask(text)).await;
                assert_eq!(upstream.requests().pop().unwrap().last_user_text(), text, "{surface:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_long_answer_of_many_deltas_comes_through() {
    let deltas: Vec<String> = (0..5000).map(|n| format!("{n} é ")).collect();
    let steps = json!([{"step": "text", "deltas": deltas}]);
    let proxy = Setup::fake(&steps).start().await;
    for surface in BOTH {
        let events = surface.events(&proxy, &surface.ask("hi")).await;
        assert_eq!(surface.streamed_text(&events), deltas.concat());
    }
}
