//! Proving what Codex adds, and the proofs there are.

use serde::Serialize;

use super::ControlHandle;
use crate::prove::{Job, ProveError, Report};

/// The proofs there are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Proofs {
    /// The last one since the program was started, as it goes on.
    pub job: Option<Job>,
    /// One for each version, the newest first.
    pub proofs: Vec<Report>,
}

impl ControlHandle {
    /// The proofs there are. This reads files.
    pub fn proofs(&self) -> Proofs {
        let job = self.0.prover.progress().borrow().clone();
        Proofs { job, proofs: self.0.prover.reports() }
    }

    /// Starts to prove the Codex in use.
    ///
    /// # Errors
    /// When a proof is being made.
    pub fn prove(&self) -> Result<Option<Job>, ProveError> {
        self.0.prover.begin()
    }
}
