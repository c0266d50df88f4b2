//! Plays a script over a transport.

use serde_json::Value;

use super::recorded::Ending;
use super::script::Step;

/// The transport of an answer to Codex.
pub(super) trait Carrier {
    /// Sends an event; false if the receiver is gone.
    async fn event(&mut self, event: &Value) -> bool;

    /// Sends its bytes in pieces of these sizes from now on, if it can.
    fn cut_into(&mut self, sizes: Vec<usize>);

    /// Breaks the connection off.
    async fn break_off(&mut self);
}

pub(super) async fn play(steps: Vec<Step>, carrier: &mut impl Carrier) -> Ending {
    for step in steps {
        match step {
            Step::Event(event) => {
                if !carrier.event(&event).await {
                    return Ending::ClosedEarly;
                }
            }
            Step::Gate(gate) => gate.pass().await,
            Step::ChunkSizes(sizes) => carrier.cut_into(sizes),
            Step::Disconnect => {
                carrier.break_off().await;
                break;
            }
        }
    }
    Ending::Sent
}
