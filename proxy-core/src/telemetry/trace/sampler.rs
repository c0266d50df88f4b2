//! The samplers, which select the traces to send, with the names of the specification.

use opentelemetry_sdk::trace::Sampler;

/// A sampler's name in `OTEL_TRACES_SAMPLER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SamplerName {
    /// Every trace.
    AlwaysOn,
    /// No trace.
    AlwaysOff,
    /// A part of all traces, selected by their ids.
    TraceIdRatio,
    /// Traces that the caller records, and every trace without a caller.
    ParentBasedAlwaysOn,
    /// Only traces that the caller records.
    ParentBasedAlwaysOff,
    /// Traces that the caller records, and a part of those without a caller.
    ParentBasedTraceIdRatio,
}

impl SamplerName {
    /// Every sampler.
    pub const ALL: &[Self] = &[
        Self::AlwaysOn,
        Self::AlwaysOff,
        Self::TraceIdRatio,
        Self::ParentBasedAlwaysOn,
        Self::ParentBasedAlwaysOff,
        Self::ParentBasedTraceIdRatio,
    ];

    /// The name of the sampler in `OTEL_TRACES_SAMPLER`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AlwaysOn => "always_on",
            Self::AlwaysOff => "always_off",
            Self::TraceIdRatio => "traceidratio",
            Self::ParentBasedAlwaysOn => "parentbased_always_on",
            Self::ParentBasedAlwaysOff => "parentbased_always_off",
            Self::ParentBasedTraceIdRatio => "parentbased_traceidratio",
        }
    }

    pub(super) fn sampler(self, ratio: f64) -> Sampler {
        let by_parent = |root| Sampler::ParentBased(Box::new(root));
        match self {
            Self::AlwaysOn => Sampler::AlwaysOn,
            Self::AlwaysOff => Sampler::AlwaysOff,
            Self::TraceIdRatio => Sampler::TraceIdRatioBased(ratio),
            Self::ParentBasedAlwaysOn => by_parent(Sampler::AlwaysOn),
            Self::ParentBasedAlwaysOff => by_parent(Sampler::AlwaysOff),
            Self::ParentBasedTraceIdRatio => by_parent(Sampler::TraceIdRatioBased(ratio)),
        }
    }
}
