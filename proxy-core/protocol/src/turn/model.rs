//! Models and their settings.

use std::fmt;
use std::str::FromStr;

/// Every model the backend offers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// The models, best first.
    pub models: Vec<Model>,
}

impl Catalogue {
    /// The model with this id, case-insensitively.
    pub fn get(&self, id: &str) -> Option<&Model> {
        self.models.iter().find(|model| model.id.eq_ignore_ascii_case(id))
    }

    /// The vendor's default model, or the first that is offered.
    pub fn default_model(&self) -> Option<&Model> {
        self.models
            .iter()
            .find(|model| model.is_default)
            .or_else(|| self.models.iter().find(|model| !model.hidden))
            .or_else(|| self.models.first())
    }
}

/// One model of the backend's catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// The model's id upstream.
    pub id: String,
    /// The model's name for people.
    pub display_name: String,
    /// The model's purpose, in the vendor's words.
    pub description: String,
    /// Efforts it supports, in ascending order; empty when the catalogue does not say.
    pub efforts: Vec<Effort>,
    /// The effort that the model uses when the request sets none.
    pub default_effort: Option<Effort>,
    /// Whether it reads images.
    pub images: bool,
    /// Whether the vendor hides it from pickers.
    pub hidden: bool,
    /// Whether the vendor makes it the default.
    pub is_default: bool,
    /// The service tiers that the account has for it, besides the default; `None` when the catalogue does not say.
    pub service_tiers: Option<Vec<String>>,
    /// The context window in tokens (prompt and answer together); `None` when the catalogue does not say.
    pub context_window: Option<u64>,
}

impl Model {
    /// Whether the account has this tier for the model, by the catalogue.
    ///
    /// Catalogues list only the tiers that the vendor's apps offer, and `flex` is not among them.
    pub fn has_tier(&self, tier: ServiceTier) -> bool {
        match (tier, &self.service_tiers) {
            (ServiceTier::Flex, _) => true,
            (ServiceTier::Priority, Some(tiers)) => tiers.iter().any(|known| known == tier.as_str()),
            (ServiceTier::Priority, None) => false,
        }
    }

    /// The supported effort nearest to `effort`; of two equally near, the lower.
    pub fn nearest_effort(&self, effort: Effort) -> Effort {
        self.efforts
            .iter()
            .copied()
            .min_by_key(|candidate| ((*candidate as i32 - effort as i32).abs(), *candidate))
            .unwrap_or(effort)
    }
}

/// How much the model reasons before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effort {
    /// No reasoning.
    None,
    /// The least reasoning.
    Minimal,
    /// Little reasoning.
    Low,
    /// Medium reasoning.
    Medium,
    /// Much reasoning.
    High,
    /// More than `High`.
    Xhigh,
    /// The most reasoning.
    Max,
}

impl Effort {
    /// All efforts, in ascending order.
    pub const ALL: [Self; 7] =
        [Self::None, Self::Minimal, Self::Low, Self::Medium, Self::High, Self::Xhigh, Self::Max];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Xhigh => "xhigh",
            Self::Max => "max",
        }
    }
}

impl fmt::Display for Effort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Effort {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|effort| effort.as_str() == text).ok_or(())
    }
}

/// The service tier: how soon the vendor answers, and at what cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServiceTier {
    /// A later answer at a lower cost.
    Flex,
    /// A sooner answer at a higher cost; the vendor's apps call it "Fast".
    Priority,
}

impl ServiceTier {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flex => "flex",
            Self::Priority => "priority",
        }
    }
}

/// How reasoning is summarised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Summary {
    /// The model decides.
    Auto,
    /// A brief summary.
    Concise,
    /// A long summary.
    Detailed,
    /// No summary.
    None,
}

impl Summary {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Concise => "concise",
            Self::Detailed => "detailed",
            Self::None => "none",
        }
    }
}

/// The verbosity of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// A short answer.
    Low,
    /// A medium answer.
    Medium,
    /// A long answer.
    High,
}

impl Verbosity {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(efforts: &[Effort]) -> Model {
        Model {
            id: "m".into(),
            display_name: "M".into(),
            description: String::new(),
            efforts: efforts.to_vec(),
            default_effort: None,
            images: true,
            hidden: false,
            is_default: false,
            service_tiers: None,
            context_window: None,
        }
    }

    #[test]
    fn the_nearest_supported_effort_is_taken() {
        use Effort::{High, Low, Max, Medium, Minimal, None, Xhigh};
        let cases = [
            (&[Low, Medium, High][..], Minimal, Low),
            (&[Low, Medium, High], Max, High),
            (&[Low, High], Medium, Low),
            (&[Low, Medium, High, Xhigh], Xhigh, Xhigh),
            (&[], None, None),
        ];
        for (supported, asked, expected) in cases {
            assert_eq!(model(supported).nearest_effort(asked), expected, "{supported:?} {asked}");
        }
    }

    #[test]
    fn names_round_trip() {
        for effort in Effort::ALL {
            assert_eq!(effort.as_str().parse(), Ok(effort));
        }
        assert_eq!("ultra".parse::<Effort>(), Err(()));
    }
}
