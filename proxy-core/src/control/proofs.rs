//! Makes proofs of what Codex adds to prompts, and lists them.

use super::ControlHandle;
use super::api::{
    Case, CaseKind, Connection, Example, Finding, FindingKind, Proof, ProofJob, ProofPhase, Proofs,
    ProtocolPart, Verdict,
};
use crate::codex_install::proofs::{self, Subject};
use crate::prove::{self, ProveError, Report};

impl ControlHandle {
    /// The existing proofs. It reads files, so it blocks.
    pub fn proofs(&self) -> Proofs {
        let job = self.0.prover.progress().borrow().clone();
        let proofs = self.0.prover.reports().into_iter().map(Proof::from).collect();
        Proofs { job: job.map(ProofJob::from), proofs }
    }

    /// Starts a proof of the Codex in use.
    ///
    /// # Errors
    /// If another proof is running.
    pub fn prove(&self) -> Result<Option<ProofJob>, ProveError> {
        Ok(self.0.prover.begin()?.map(ProofJob::from))
    }
}

impl From<prove::Job> for ProofJob {
    fn from(job: prove::Job) -> Self {
        let prove::Job { phase, version, done, all, verdict, error } = job;
        Self { phase: phase.into(), version, done, all, verdict: verdict.map(Verdict::from), error }
    }
}

impl From<Report> for Proof {
    fn from(report: Report) -> Self {
        let Subject { version, path, size, modified, switches } = report.subject;
        Self {
            version,
            path,
            size,
            modified,
            switches,
            proved_at: report.proved_at,
            took_ms: report.took_ms,
            verdict: report.verdict.into(),
            reasons: report.reasons,
            findings: report.findings.into_iter().map(Finding::from).collect(),
            models: report.models,
            word_bytes: report.word_bytes,
            tool_bytes: report.tool_bytes,
            foreign_bytes: report.foreign_bytes,
            protocol: report.protocol.into_iter().map(ProtocolPart::from).collect(),
            connections: report.connections.into_iter().map(Connection::from).collect(),
            example: report.example.map(Example::from),
            cases: report.cases.into_iter().map(Case::from).collect(),
        }
    }
}

impl From<prove::Finding> for Finding {
    fn from(finding: prove::Finding) -> Self {
        let prove::Finding { kind, what, bytes, requests, example } = finding;
        Self { kind: kind.into(), what, bytes, requests, example }
    }
}

impl From<prove::Part> for ProtocolPart {
    fn from(prove::Part { name, reason, bytes }: prove::Part) -> Self {
        Self { name, reason, bytes }
    }
}

impl From<prove::Connection> for Connection {
    fn from(connection: prove::Connection) -> Self {
        let prove::Connection { method, target, times, bytes, reason } = connection;
        Self { method, target, times, bytes, reason }
    }
}

impl From<prove::Example> for Example {
    fn from(prove::Example { said, arrived }: prove::Example) -> Self {
        Self { said, arrived }
    }
}

impl From<prove::CaseReport> for Case {
    fn from(case: prove::CaseReport) -> Self {
        let prove::CaseReport { model, kind, word_bytes, tool_bytes, foreign_bytes } = case;
        Self { model, kind: kind.into(), word_bytes, tool_bytes, foreign_bytes }
    }
}

impl From<prove::Phase> for ProofPhase {
    fn from(phase: prove::Phase) -> Self {
        match phase {
            prove::Phase::Starting => Self::Starting,
            prove::Phase::Asking => Self::Asking,
            prove::Phase::Done => Self::Done,
            prove::Phase::Failed => Self::Failed,
        }
    }
}

impl From<proofs::Verdict> for Verdict {
    fn from(verdict: proofs::Verdict) -> Self {
        match verdict {
            proofs::Verdict::Pure => Self::Pure,
            proofs::Verdict::Impure => Self::Impure,
            proofs::Verdict::Unproved => Self::Unproved,
        }
    }
}

impl From<prove::FindingKind> for FindingKind {
    fn from(kind: prove::FindingKind) -> Self {
        match kind {
            prove::FindingKind::Added => Self::Added,
            prove::FindingKind::Lost => Self::Lost,
            prove::FindingKind::Changed => Self::Changed,
            prove::FindingKind::Connection => Self::Connection,
            prove::FindingKind::Failed => Self::Failed,
        }
    }
}

impl From<prove::Kind> for CaseKind {
    fn from(kind: prove::Kind) -> Self {
        match kind {
            prove::Kind::Plain => Self::Plain,
            prove::Kind::Tools => Self::Tools,
            prove::Kind::Effort => Self::Effort,
            prove::Kind::Schema => Self::Schema,
            prove::Kind::Image => Self::Image,
        }
    }
}
