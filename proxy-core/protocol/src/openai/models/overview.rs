//! The models as they are shown to a user: the catalogue, each with the aliases that lead to it.

use super::{aliases, lookup};
use crate::openai::{Config, Context};
use crate::turn::{Catalogue, Model};

/// All models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// The id that stands for the default model.
    pub default: Option<String>,
    /// The models, in the catalogue's order.
    pub models: Vec<Shown>,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The model.
    pub model: Model,
    /// The other ids that lead to it.
    pub aliases: Vec<String>,
}

/// All models, each with its aliases, and the id that stands for the default one.
pub fn overview(config: &Config, catalogue: &Catalogue) -> Overview {
    let context =
        Context { config, catalogue, output_mode: None, id: "", now: 0, continued: None, stores: true };
    let named: Vec<(String, String)> = aliases(config.environment)
        .into_iter()
        .filter_map(|alias| {
            let (target, ..) = lookup(&alias, &context)?;
            Some((target, alias))
        })
        .collect();
    let shown = |model: Model| {
        let leads_here = named.iter().filter(|(target, _)| *target == model.id);
        Shown { aliases: leads_here.map(|(_, alias)| alias.clone()).collect(), model }
    };
    let mut models: Vec<Shown> = catalogue.models.iter().cloned().map(shown).collect();
    // The operator's own default may belong to a provider with models that Codex does not list.
    let chosen = named.first().map(|(target, _)| target.as_str());
    if let Some(id) = chosen.filter(|id| !models.is_empty() && catalogue.get(id).is_none()) {
        models.insert(0, shown(unlisted(id)));
    }
    Overview { default: named.first().map(|(_, alias)| alias.clone()), models }
}

fn unlisted(id: &str) -> Model {
    Model {
        id: id.to_owned(),
        display_name: id.to_owned(),
        description: String::new(),
        efforts: Vec::new(),
        default_effort: None,
        images: false,
        hidden: false,
        is_default: false,
        service_tiers: None,
        context_window: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{LMH, catalogue, config};
    use super::*;

    fn ids(overview: &Overview) -> Vec<&str> {
        overview.models.iter().map(|shown| shown.model.id.as_str()).collect()
    }

    #[test]
    fn each_model_has_the_aliases_that_lead_to_it() {
        let shown = overview(&config(), &catalogue(&[("gpt-5.2", LMH), ("gpt-6-sol", LMH)]));
        assert_eq!(ids(&shown), ["gpt-5.2", "gpt-6-sol"]);
        assert_eq!(shown.default.as_deref(), Some("codex-5"));
        let aliases = &shown.models[0].aliases;
        assert!(aliases.iter().any(|alias| alias == "codex-5-high"), "{aliases:?}");
        assert!(aliases.iter().any(|alias| alias == "gpt-5.2-codex-XH"), "{aliases:?}");
        assert_eq!(shown.models[1].aliases, Vec::<String>::new());
    }

    #[test]
    fn a_default_that_codex_does_not_list_is_shown_and_nothing_else_is_made_up() {
        let own = Config { default_model: "llama".into(), ..config() };
        let shown = overview(&own, &catalogue(&[("gpt-6-sol", LMH)]));
        assert_eq!(ids(&shown), ["llama", "gpt-6-sol"]);
        assert_eq!(shown.models[0].aliases[0], "codex-5");
        assert_eq!(ids(&overview(&own, &Catalogue::default())), Vec::<&str>::new());
    }
}
