//! Packs the vocabulary, which is the one of `tiktoken-rs`. Its own table is more than twice as large as the packed one,
//! and the program has to be small.

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

use brotli::enc::BrotliEncoderParams;
use tiktoken_rs::CoreBPE;

/// The ordinary tokens; the special ones come after them.
const TOKENS: u32 = 199_998;
/// The tokens of one byte, which come first.
const BYTES: usize = 256;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let tokens = tokens(&tiktoken_rs::o200k_base()?)?;
    let ranks: HashMap<&[u8], usize> =
        tokens.iter().enumerate().map(|(rank, token)| (token.as_slice(), rank)).collect();
    let mut plain: Vec<u8> = tokens[..BYTES].concat();
    // Every other token is two earlier ones. Bytes of the same weight are stored together: they resemble each other.
    let pairs = tokens.iter().enumerate().skip(BYTES).map(|(rank, token)| pair(token, rank, &ranks));
    let pairs: Vec<[usize; 2]> =
        pairs.collect::<Option<_>>().ok_or("a token is not made of two earlier ones")?;
    for half in 0..2 {
        for weight in 0..3 {
            plain.extend(pairs.iter().map(|pair| pair[half].to_le_bytes()[weight]));
        }
    }
    let best = BrotliEncoderParams { quality: 11, lgwin: 21, size_hint: plain.len(), ..Default::default() };
    let mut packed = Vec::new();
    brotli::BrotliCompress(&mut plain.as_slice(), &mut packed, &best)?;
    fs::write(out().ok_or("cargo names no folder")?.join("o200k.br"), packed)?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "cargo tells a build script everything in this way")]
fn out() -> Option<PathBuf> {
    std::env::var_os("OUT_DIR").map(PathBuf::from)
}

fn tokens(bpe: &CoreBPE) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let tokens: Vec<_> = (0..TOKENS).map(|rank| bpe.decode_bytes(&[rank])).collect::<Result<_, _>>()?;
    match tokens[..BYTES].iter().all(|token| token.len() == 1) {
        true => Ok(tokens),
        false => Err("the first tokens are not the bytes".into()),
    }
}

/// The two earlier tokens of which the token with this rank is made.
fn pair(token: &[u8], rank: usize, ranks: &HashMap<&[u8], usize>) -> Option<[usize; 2]> {
    let mut ends: Vec<usize> = (0..=token.len()).collect();
    while ends.len() > 3 {
        let merged = |at: usize| ranks.get(&token[ends[at]..ends[at + 2]]).filter(|merged| **merged < rank);
        let (_, at) = (0..ends.len() - 2).filter_map(|at| Some((*merged(at)?, at))).min()?;
        ends.remove(at + 1);
    }
    Some([*ranks.get(&token[..ends[1]])?, *ranks.get(&token[ends[1]..])?])
}
