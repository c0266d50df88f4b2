//! From a turn to a worker and back: deadlines, interruption and tail controls.

use std::time::Duration;

/// What the operator decides about running turns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Longest that a whole turn may take.
    pub timeout: Duration,
    /// Longest silence of the backend in a turn that is not streamed.
    pub idle_timeout: Duration,
    /// Longest silence of the backend in a streamed turn.
    pub stream_idle_timeout: Duration,
    /// Whether a client that hangs up also ends the worker, not only its turn.
    pub kill_on_disconnect: bool,
    /// What happens to text after `<use_tool>` blocks.
    pub tail: TailControls,
}

/// How a stream ends once the model has written `<use_tool>` blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailControls {
    /// Hide what follows the last block, but keep the stream open.
    pub suppress_after_tools: bool,
    /// End the stream after the last block.
    pub stop_after_tools: bool,
    /// Which block is the last one.
    pub stop_mode: StopMode,
    /// How long a burst may wait for its next block.
    pub grace: Duration,
    /// Most blocks in one answer; 0 is no limit.
    pub block_max: usize,
}

/// Which `<use_tool>` block ends a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// The last of several that follow one another.
    Burst,
    /// The first.
    First,
}

impl StopMode {
    /// Every mode.
    pub const ALL: &[Self] = &[Self::Burst, Self::First];

    /// The name used in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Burst => "burst",
            Self::First => "first",
        }
    }
}
