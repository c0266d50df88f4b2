//! STUB
use std::time::{Duration, Instant};
use super::{Turn, TurnEvent};
/// tail
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailControls { /// a
 pub suppress_after_tools: bool, /// a
 pub stop_after_tools: bool, /// a
 pub stop_mode: StopMode, /// a
 pub grace: Duration, /// a
 pub block_max: usize }
/// m
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode { /// b
 Burst, /// b
 First }
impl StopMode { /// a
 pub const ALL: &[Self] = &[Self::Burst, Self::First]; /// n
 pub const fn as_str(self) -> &'static str { match self { Self::Burst => "burst", Self::First => "first" } } }
/// v
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict { /// c
 Continue, /// c
 Cut }
/// s
#[derive(Debug)]
pub struct Shaper;
impl Shaper { /// x
 pub fn new(_: &Turn, _: &TailControls) -> Self { Self } /// x
 pub fn push(&mut self, e: TurnEvent, _n: Instant, out: &mut Vec<TurnEvent>) -> Verdict { out.push(e); Verdict::Continue } /// x
 pub fn deadline(&self) -> Option<Instant> { None } /// x
 pub fn tick(&mut self, _n: Instant, _o: &mut Vec<TurnEvent>) -> Verdict { Verdict::Continue } }
