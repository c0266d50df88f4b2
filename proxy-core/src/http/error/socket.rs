//! What is wrong with a request on a WebSocket, besides what is wrong with any request.

/// Why a WebSocket takes no request, or not this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SocketError {
    /// The name of the lane is none.
    #[error("A `stream_id` is a text of 1 to 256 letters, digits, `_`, `.` and `-`.")]
    InvalidStreamId,
    /// Too many requests run or wait.
    #[error(
        "At most 16 responses can be in flight on one WebSocket. Wait until one has ended, or open another WebSocket."
    )]
    TooManyRequests,
    /// Too many names of lanes.
    #[error(
        "At most 32 different `stream_id`s can be used on one WebSocket. Use one again, or open another WebSocket."
    )]
    TooManyLanes,
    /// The connection has reached its age.
    #[error("This WebSocket is 60 minutes old, which is the limit. Open a new one to go on.")]
    TooOld,
}

impl SocketError {
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::InvalidStreamId => "invalid_stream_id",
            Self::TooManyRequests | Self::TooManyLanes => "websocket_stream_limit_reached",
            Self::TooOld => "websocket_connection_limit_reached",
        }
    }

    pub(super) fn param(self) -> Option<String> {
        matches!(self, Self::InvalidStreamId | Self::TooManyLanes).then(|| "stream_id".to_owned())
    }
}
