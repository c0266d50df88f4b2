use std::sync::LazyLock;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tiktoken_rs::CoreBPE;

use super::*;

static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(|| Tokenizer::load().unwrap());
static ORIGINAL: LazyLock<CoreBPE> = LazyLock::new(|| tiktoken_rs::o200k_base().unwrap());

impl Tokenizer {
    fn encode(&self, text: &str) -> Vec<u32> {
        let mut merger = Merger::default();
        let mut tokens = Vec::new();
        for piece in self.pieces(text) {
            if let Some(rank) = self.vocabulary.rank(piece) {
                tokens.push(rank);
                continue;
            }
            merger.merge(piece, &self.vocabulary);
            let mut start = 0;
            for end in merger.ends() {
                tokens.push(self.vocabulary.rank(&piece[start..end]).unwrap());
                start = end;
            }
        }
        tokens
    }
}

fn assert_same(text: &str) {
    let tokens = ORIGINAL.encode_ordinary(text);
    assert_eq!(TOKENIZER.encode(text), tokens, "{text:?}");
    assert_eq!(TOKENIZER.count(text), tokens.len() as u64, "{text:?}");
}

/// From OpenAI's cookbook, "How to count tokens with tiktoken", and the tests of `tiktoken`.
#[test]
fn published_texts_have_their_published_tokens() {
    assert_eq!(TOKENIZER.encode("tiktoken is great!"), [83, 8251, 2488, 382, 2212, 0]);
    assert_eq!(TOKENIZER.count("antidisestablishmentarianism"), 6);
    assert_eq!(TOKENIZER.count("2 + 2 = 4"), 7);
    assert_eq!(TOKENIZER.count("お誕生日おめでとう"), 8);
    assert_eq!(TOKENIZER.encode("hello world"), [24_912, 2375]);
    assert_eq!(TOKENIZER.count(""), 0);
}

#[test]
fn every_token_is_in_its_place() {
    for rank in 0..199_998 {
        let token = ORIGINAL.decode_bytes(&[rank]).unwrap();
        assert_eq!(TOKENIZER.vocabulary.token(rank), token, "{rank}");
        assert_eq!(TOKENIZER.vocabulary.rank(&token), Some(rank));
    }
    assert_eq!(TOKENIZER.vocabulary.rank(b""), None);
    assert_eq!(TOKENIZER.vocabulary.rank(b"<|endoftext|>"), None, "special tokens are text");
}

#[test]
fn texts_of_many_kinds_have_the_tokens_of_the_original() {
    for text in [
        "The quick brown fox. It's DON'T we'll I'M you'Re THEY'VE he'd 'ſ don\u{2019}t",
        "fn main() {\n    let mut x = vec![1, 22, 333, 4444];\r\n\tprintln!(\"{x:?}\");\n\n\n}\n  \n",
        "   leading,   inner   and trailing   ",
        "\n \n\t \r\n \u{a0}\u{a0}x\u{3000}\u{3000}y\u{2028}\u{2028}z",
        "https://example.com/a/b//c///?q=1&r=%20#x /\n//\n",
        "Быстрая коричневая лиса прыгает через ленивую собаку.",
        "敏捷的棕色狐狸跳过了懒狗。我能吞下玻璃而不伤身体。",
        "いろはにほへと ちりぬるを カタカナ ﾊﾝｶｸ",
        "다람쥐 헌 쳇바퀴에 타고파",
        "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر",
        "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण",
        "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า",
        "👩‍👩‍👧‍👦🏳️‍🌈👍🏽 ☃️ e\u{301}\u{323}\u{32d} Z̤͔ͧ̑̓ä͖̭̈̇lͮ̒ͫǧ̗͚̚o̙̔ͮ̇͐̇",
        "<|start|>user<|message|>hi<|end|>",
        "ǅungla ǈ ʰʱ ªº Ⅷ ² ½ ௧௨௩௪ \u{0}\u{1}\u{7f}\u{fffd}\u{10ffff}",
    ] {
        assert_same(text);
    }
}

#[test]
fn long_pieces_take_no_square_of_their_length() {
    let began = Instant::now();
    for text in ["a".repeat(1 << 20), "ab".repeat(1 << 19), " ".repeat(1 << 20), "!".repeat(1 << 20)] {
        let expected = ORIGINAL.encode_ordinary(&text[..1 << 12]).len() as u64 * (1 << 8);
        let counted = TOKENIZER.count(&text);
        assert!(counted.abs_diff(expected) <= 1 << 8, "{counted} {expected}");
    }
    // With a square it takes an hour.
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[test]
fn a_million_spaces_are_counted() {
    let text = format!("{}x", " ".repeat(3 << 20));
    assert!(TOKENIZER.count(&text) > 1000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_has_the_tokens_of_the_original(text in any::<String>()) {
        assert_same(&text);
    }

    #[test]
    fn any_mixture_has_the_tokens_of_the_original(parts in prop::collection::vec(part(), 0..40)) {
        assert_same(&parts.concat());
    }
}

fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ \t\r\n\u{a0}\u{3000}]{1,6}",
        "[a-zA-Z]{1,12}",
        "[0-9]{1,7}",
        "[!-/:-@\\[-`{-~]{1,5}",
        "'(s|S|t|re|VE|m|ll|D|ſ)",
        "\\p{Lo}{1,6}",
        "\\p{Lu}{1,4}\\p{Ll}{0,4}",
        "\\p{M}{1,3}",
        "\\p{Lm}{1,3}\\p{Lt}{0,2}",
        "\\p{N}{1,5}",
        "(hello| world|the|ing| function|\n\n|  return)",
        any::<char>().prop_map(String::from),
    ]
}
