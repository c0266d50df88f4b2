//! Passes a worker's reports about a turn to the turn's recording.

use crate::recording::TurnTokens;
use crate::worker::Observer;
use protocol::turn::Usage;

impl Observer for TurnTokens {
    fn used(&self, usage: Usage) {
        self.counted(usage);
    }

    fn wants_lines(&self) -> bool {
        self.captures_lines()
    }

    fn sent(&self, line: &str) {
        self.line(line);
    }
}
