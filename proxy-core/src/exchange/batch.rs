//! What is sent of an answer at a time.

use protocol::openai::frame::Frame;
use protocol::turn::TurnError;

/// Frames to be sent together, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The frames; there may be none at the end.
    pub frames: Vec<Frame>,
    /// How the answer ended, with its last frames.
    pub end: Option<End>,
}

/// How an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The answer is complete.
    Complete,
    /// A turn failed; the frames contain the error too.
    Failed(TurnError),
}
