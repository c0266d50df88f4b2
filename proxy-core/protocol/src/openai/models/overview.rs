//! The models as a person is shown them: the catalogue, each with the aliases that lead to it.

use serde_json::{Value, json};

use super::{aliases, lookup};
use crate::openai::{Config, Context};
use crate::turn::{Catalogue, Effort, Model};

/// All models and which id stands for the default one. `tools` is whether this Codex takes function tools.
pub fn overview(config: &Config, catalogue: &Catalogue, tools: bool) -> Value {
    let context = Context { config, catalogue, output_mode: None, id: "", now: 0 };
    let named: Vec<(String, String)> = aliases(config.environment)
        .into_iter()
        .filter_map(|alias| {
            let (target, ..) = lookup(&alias, &context)?;
            Some((target, alias))
        })
        .collect();
    let names_of = |id: &str| -> Vec<&str> {
        named.iter().filter(|(target, _)| target == id).map(|(_, alias)| alias.as_str()).collect()
    };
    let mut models: Vec<Value> =
        catalogue.models.iter().map(|model| one(model, &names_of(&model.id), tools)).collect();
    // A default of the operator's own may belong to a provider whose models Codex does not list.
    let chosen = named.first().map(|(target, _)| target.as_str());
    if let Some(id) = chosen.filter(|id| !models.is_empty() && catalogue.get(id).is_none()) {
        models.insert(0, one(&unlisted(id), &names_of(id), tools));
    }
    json!({"default": named.first().map(|(_, alias)| alias), "models": models})
}

fn one(model: &Model, aliases: &[&str], tools: bool) -> Value {
    let modalities: &[&str] = if model.images { &["text", "image"] } else { &["text"] };
    json!({
        "id": model.id,
        "aliases": aliases,
        "target": model.id,
        "efforts": model.efforts.iter().map(|effort| effort.as_str()).collect::<Vec<_>>(),
        "default_effort": model.default_effort.map(Effort::as_str),
        "description": Some(&model.description).filter(|words| !words.is_empty()),
        "hidden": model.hidden,
        "input_modalities": modalities,
        "supports_tools": tools,
    })
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

    fn ids(overview: &Value) -> Vec<&str> {
        overview["models"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect()
    }

    #[test]
    fn each_model_has_the_aliases_that_lead_to_it() {
        let shown = overview(&config(), &catalogue(&[("gpt-5.2", LMH), ("gpt-6-sol", LMH)]), true);
        assert_eq!(ids(&shown), ["gpt-5.2", "gpt-6-sol"]);
        assert_eq!(shown["default"], "codex-5");
        let aliases = shown["models"][0]["aliases"].as_array().unwrap();
        assert!(aliases.contains(&json!("codex-5-high")) && aliases.contains(&json!("gpt-5.2-codex-XH")));
        assert_eq!(shown["models"][1]["aliases"], json!([]));
        assert_eq!(shown["models"][1]["efforts"], json!(["low", "medium", "high"]));
        assert_eq!(shown["models"][1]["input_modalities"], json!(["text", "image"]));
        assert_eq!(shown["models"][1]["description"], Value::Null);
    }

    #[test]
    fn a_default_that_codex_does_not_list_is_shown_and_nothing_else_is_made_up() {
        let own = Config { default_model: "llama".into(), ..config() };
        let shown = overview(&own, &catalogue(&[("gpt-6-sol", LMH)]), false);
        assert_eq!(ids(&shown), ["llama", "gpt-6-sol"]);
        assert_eq!(shown["models"][0]["aliases"][0], "codex-5");
        assert_eq!(shown["models"][0]["supports_tools"], false);
        assert_eq!(ids(&overview(&own, &Catalogue::default(), true)), Vec::<&str>::new());
    }
}
