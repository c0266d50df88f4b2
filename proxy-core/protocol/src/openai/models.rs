//! Model ids: the ids that clients may write, their meaning, and the list of `/v1/models`.
//!
//! <https://platform.openai.com/docs/api-reference/models>.

mod overview;

use serde_json::{Value, json};

pub use overview::{Overview, Shown, overview};

use super::error::{RequestError, RequestErrorKind};
use super::read::{Node, excerpt};
use super::{Config, Context, Environment};
use crate::turn::{Catalogue, Effort, ServiceTier};

/// The target of the aliases when the operator sets none.
pub const DEFAULT_MODEL: &str = "gpt-5.2";

/// The longest model id, in bytes. The longest of any vendor is less than half of it.
const MAX_ID: usize = 256;

/// The meaning of a requested model id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The model to use.
    pub model: String,
    /// The effort to use; `None` leaves it to the model.
    pub effort: Option<Effort>,
    /// The service tier that the id requests.
    pub tier: Option<ServiceTier>,
    /// Set when the requested effort was replaced by one that the model supports.
    pub moved_effort: Option<Effort>,
}

/// Resolves `model` and the body's `effort`.
///
/// A suffix of the id (`-high`, `-XH`) has priority over the body, because a client adds an effort to every
/// `gpt-5` id by itself. `-fast` requests the tier `priority`, for clients that can only set a model.
///
/// # Errors
/// `ModelNotFound` for an id that is neither an alias nor in the catalogue.
pub fn resolve(
    model: &Node<'_>,
    effort: Option<Effort>,
    context: &Context<'_>,
) -> Result<Resolved, RequestError> {
    let (target, suffix, tier) = known(model.string()?, &model.path(), context)?;
    let asked = suffix.or(effort);
    let effort = match (context.catalogue.get(&target), asked) {
        (Some(known), Some(asked)) => Some(known.nearest_effort(asked)),
        (None, _) | (Some(_), None) => asked,
    };
    let moved_effort = effort.filter(|_| effort != asked);
    Ok(Resolved { model: target, effort, tier, moved_effort })
}

/// The result of [`lookup`] for an id in `param`.
fn known(requested: &str, param: &str, context: &Context<'_>) -> Result<Found, RequestError> {
    // The length is limited because answers and records repeat the id.
    let found = if requested.len() <= MAX_ID { lookup(requested, context) } else { None };
    found.ok_or_else(|| {
        let message = format!(
            "The model '{}' does not exist here. GET /v1/models lists the models there are.",
            excerpt(requested)
        );
        RequestError::new(RequestErrorKind::ModelNotFound, param, message)
    })
}

/// The meaning of a `service_tier`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TierName {
    /// The account's default.
    Default,
    /// This tier.
    Tier(ServiceTier),
    /// A tier that Codex cannot request.
    Unavailable,
}

/// The names of service tiers, OpenAI's and that of the vendor's apps.
pub const TIERS: &[(&str, TierName)] = &[
    ("auto", TierName::Default),
    ("default", TierName::Default),
    ("flex", TierName::Tier(ServiceTier::Flex)),
    ("priority", TierName::Tier(ServiceTier::Priority)),
    ("fast", TierName::Tier(ServiceTier::Priority)),
    ("scale", TierName::Unavailable),
    ("ultrafast", TierName::Unavailable),
];

/// Refuses a tier that the account does not have for the model: Codex would silently leave it out.
///
/// # Errors
/// Names the tier and the model.
pub fn check_tier(tier: Option<ServiceTier>, model: &str, context: &Context<'_>) -> Result<(), RequestError> {
    let lacks = |tier: &ServiceTier| context.catalogue.get(model).is_some_and(|known| !known.has_tier(*tier));
    let Some(tier) = tier.filter(lacks) else { return Ok(()) };
    Err(RequestError::new(
        RequestErrorKind::Unsupported,
        "service_tier",
        format!(
            "This account has no service tier '{}' for the model '{}'. Leave 'service_tier' out, or ask for another \
             model.",
            tier.as_str(),
            excerpt(model)
        ),
    ))
}

/// The ids that `/v1/models` lists: the environment's aliases, then the catalogue with its efforts.
pub fn list(config: &Config, catalogue: &Catalogue, created: u64) -> Value {
    let data: Vec<_> = ids(config, catalogue).into_iter().map(|id| object(&id, created)).collect();
    json!({"object": "list", "data": data})
}

/// The model with any id that a request may use: as it is listed, case-insensitively, or else under the id itself.
///
/// # Errors
/// As [`resolve`].
pub fn get(id: &str, config: &Config, catalogue: &Catalogue, created: u64) -> Result<Value, RequestError> {
    known(
        id,
        "model",
        &Context { config, catalogue, output_mode: None, id: "", now: 0, continued: None, stores: true },
    )?;
    let other = match config.environment {
        Environment::Prod => Environment::Dev,
        Environment::Dev => Environment::Prod,
    };
    let listed = ids(config, catalogue)
        .into_iter()
        .chain(aliases(other))
        .find(|listed| listed.eq_ignore_ascii_case(id));
    Ok(object(listed.as_deref().unwrap_or(id), created))
}

fn ids(config: &Config, catalogue: &Catalogue) -> Vec<String> {
    let mut ids = aliases(config.environment);
    for model in catalogue.models.iter().filter(|model| !model.hidden) {
        ids.push(model.id.clone());
        ids.extend(model.efforts.iter().map(|effort| format!("{}-{effort}", model.id)));
        ids.extend(model.has_tier(ServiceTier::Priority).then(|| format!("{}{FAST}", model.id)));
    }
    ids
}

fn object(id: &str, created: u64) -> Value {
    json!({"id": id, "object": "model", "created": created, "owned_by": "openai"})
}

fn aliases(environment: Environment) -> Vec<String> {
    let (prefix, lettered): (_, &[(&str, &[&str])]) = match environment {
        Environment::Prod => ("codex", &[("gpt-5.2-codex", &["L", "M", "H", "XH"])]),
        Environment::Dev => {
            ("codev", &[("codev-5.1", &["L", "M", "H"]), ("codev-5.2", &["L", "M", "H", "XH"])])
        }
    };
    let mut ids = vec![format!("{prefix}-5")];
    ids.extend(["low", "medium", "high", "minimal"].map(|effort| format!("{prefix}-5-{effort}")));
    for (family, letters) in lettered {
        ids.extend(letters.iter().map(|letter| format!("{family}-{letter}")));
    }
    ids
}

/// The suffix of an id that requests the tier `priority`.
const FAST: &str = "-fast";

/// The model that an id stands for, and the effort and tier that its suffixes request.
type Found = (String, Option<Effort>, Option<ServiceTier>);

/// Resolves an id; its suffixes come in either order.
fn lookup(requested: &str, context: &Context<'_>) -> Option<Found> {
    let lower = requested.trim().to_ascii_lowercase();
    let id = ["codex/", "codev/", "openai/"]
        .into_iter()
        .find_map(|prefix| lower.strip_prefix(prefix))
        .unwrap_or(&lower);
    if let Some(model) = context.catalogue.get(id) {
        return Some((model.id.clone(), None, None));
    }
    let fast = |id: &mut &str| {
        let stem = id.strip_suffix(FAST);
        *id = stem.unwrap_or(id);
        stem.map(|_| ServiceTier::Priority)
    };
    let mut id = id;
    let last = fast(&mut id);
    if let Some(model) = context.catalogue.get(id) {
        return Some((model.id.clone(), None, last));
    }
    let (mut stem, suffix) = split_effort(id);
    let tier = last.or_else(|| fast(&mut stem));
    if let Some(model) = context.catalogue.get(stem) {
        return Some((model.id.clone(), suffix, tier));
    }
    let default = context.config.default_model.as_str();
    let target = match stem {
        "codex-5" | "codev-5" => default,
        "codex-5.1" | "codev-5.1" => "gpt-5.1",
        "codex-5.2" | "codev-5.2" | "gpt-5.2-codex" | "gpt-5.2" => "gpt-5.2",
        _ if stem.eq_ignore_ascii_case(default) => default,
        _ if stem.starts_with("gpt-") && stem.len() > 4 && context.config.model_fallback => default,
        _ => return None,
    };
    Some((available(target, context), suffix, tier))
}

/// The target itself where it can be used, else the catalogue's default.
///
/// A default model that the operator chose is used even if the catalogue does not list it: it may belong to a
/// provider of theirs. Without a catalogue, nothing can be checked.
fn available(target: &str, context: &Context<'_>) -> String {
    if let Some(model) = context.catalogue.get(target) {
        return model.id.clone();
    }
    let chosen = &context.config.default_model;
    if chosen != DEFAULT_MODEL {
        return context.catalogue.get(chosen).map_or_else(|| chosen.clone(), |model| model.id.clone());
    }
    context.catalogue.default_model().map_or_else(|| target.to_owned(), |model| model.id.clone())
}

fn split_effort(id: &str) -> (&str, Option<Effort>) {
    let Some((stem, suffix)) = id.rsplit_once('-') else { return (id, None) };
    let effort = match suffix {
        "l" => Some(Effort::Low),
        "m" => Some(Effort::Medium),
        "h" => Some(Effort::High),
        "xh" => Some(Effort::Xhigh),
        word => word.parse().ok(),
    };
    if effort.is_some() { (stem, effort) } else { (id, None) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::{Model, OutputMode};

    pub(super) fn config() -> Config {
        Config {
            environment: Environment::Prod,
            default_model: DEFAULT_MODEL.into(),
            ignore_client_system_prompt: true,
            strict_params: false,
            model_fallback: true,
            max_prompt_tokens: 0,
            responses_default_max_tokens: 0,
            chat_output_mode: OutputMode::OpenaiJson,
            responses_output_mode: OutputMode::OpenaiJson,
        }
    }

    pub(super) fn catalogue(models: &[(&str, &[Effort])]) -> Catalogue {
        Catalogue {
            models: models
                .iter()
                .enumerate()
                .map(|(index, (id, efforts))| Model {
                    id: (*id).into(),
                    display_name: (*id).into(),
                    description: String::new(),
                    efforts: efforts.to_vec(),
                    default_effort: None,
                    images: true,
                    hidden: id.contains("hidden"),
                    is_default: index == 1,
                    service_tiers: None,
                    context_window: None,
                })
                .collect(),
        }
    }

    pub(super) const LMH: &[Effort] = &[Effort::Low, Effort::Medium, Effort::High];

    fn check(
        config: &Config,
        catalogue: &Catalogue,
        asked: (&str, Option<Effort>),
        expected: Option<(&str, Option<Effort>)>,
    ) {
        let context =
            Context { config, catalogue, output_mode: None, id: "x", now: 0, continued: None, stores: true };
        let value = json!(asked.0);
        let node = Node::named(&value, "model");
        let got = resolve(&node, asked.1, &context).ok().map(|resolved| (resolved.model, resolved.effort));
        assert_eq!(got, expected.map(|(model, effort)| (model.to_owned(), effort)), "{asked:?}");
    }

    #[test]
    fn an_id_of_any_length_is_no_model() {
        let catalogue = catalogue(&[("gpt-5.2", &[])]);
        let context = Context {
            config: &config(),
            catalogue: &catalogue,
            output_mode: None,
            id: "1",
            now: 0,
            continued: None,
            stores: true,
        };
        let id = |length: usize| json!(format!("gpt-{}", "n".repeat(length - 4)));
        let resolved = |id: &Value| resolve(&Node::named(id, "model"), None, &context);
        assert_eq!(resolved(&id(MAX_ID)).unwrap().model, "gpt-5.2");
        let error = resolved(&id(MAX_ID + 1)).unwrap_err();
        assert_eq!(error.kind, RequestErrorKind::ModelNotFound);
        assert!(error.message.len() < 250, "{error}");
    }

    #[test]
    fn aliases_suffixes_and_catalogue_ids_resolve() {
        use Effort::{High, Low, Medium, Minimal, Xhigh};
        let full: &[Effort] = &[Low, Medium, High, Xhigh];
        let known = catalogue(&[("gpt-5.2", full), ("gpt-6-sol", LMH), ("gpt-5.1", LMH)]);
        let config = config();
        let cases = [
            (("codex-5", None), Some(("gpt-5.2", None))),
            (("CODEX-5-HIGH", None), Some(("gpt-5.2", Some(High)))),
            (("codev-5-minimal", None), Some(("gpt-5.2", Some(Low)))),
            (("codev-5.1-L", None), Some(("gpt-5.1", Some(Low)))),
            (("gpt-5.2-codex-XH", None), Some(("gpt-5.2", Some(Xhigh)))),
            (("codev-5.2-xh", Some(Low)), Some(("gpt-5.2", Some(Xhigh)))),
            (("codex/gpt-5.2", Some(Medium)), Some(("gpt-5.2", Some(Medium)))),
            (("gpt-6-SOL-low", Some(High)), Some(("gpt-6-sol", Some(Low)))),
            (("gpt-6-sol", Some(Minimal)), Some(("gpt-6-sol", Some(Low)))),
            (("gpt-5.4-nano", None), Some(("gpt-5.2", None))),
            (("llama-3", None), None),
            (("gpt-", None), None),
            (("", None), None),
        ];
        for (asked, expected) in cases {
            check(&config, &known, asked, expected);
        }
    }

    #[test]
    fn a_missing_target_falls_to_the_catalogues_default() {
        let known = catalogue(&[("a", LMH), ("b", LMH)]);
        check(&config(), &known, ("codex-5", None), Some(("b", None)));
        check(&config(), &known, ("gpt-5.2-high", None), Some(("b", Some(Effort::High))));
        check(&config(), &Catalogue::default(), ("codex-5", None), Some(("gpt-5.2", None)));
        let chosen = Config { default_model: "llama".into(), ..config() };
        check(&chosen, &known, ("codex-5", None), Some(("llama", None)));
        check(&chosen, &known, ("Llama", None), Some(("llama", None)));
        let strict = Config { model_fallback: false, ..config() };
        check(&strict, &known, ("gpt-9", None), None);
    }

    #[test]
    fn the_list_has_aliases_first_and_an_id_per_effort() {
        let known = catalogue(&[("gpt-6-sol", LMH), ("hidden", LMH)]);
        let listed = list(&config(), &known, 7);
        let ids: Vec<_> =
            listed["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
        assert_eq!(
            ids,
            [
                "codex-5",
                "codex-5-low",
                "codex-5-medium",
                "codex-5-high",
                "codex-5-minimal",
                "gpt-5.2-codex-L",
                "gpt-5.2-codex-M",
                "gpt-5.2-codex-H",
                "gpt-5.2-codex-XH",
                "gpt-6-sol",
                "gpt-6-sol-low",
                "gpt-6-sol-medium",
                "gpt-6-sol-high",
            ]
        );
        assert_eq!(get("CODEV-5.1-m", &config(), &known, 7).unwrap()["id"], "codev-5.1-M");
        for id in
            ["GPT-5", "gpt-4o-2024-08-06", "openai/gpt-6-sol-high", "codev-5.2-xh", "codex-5-fast", "hidden"]
        {
            let model = get(id, &config(), &known, 7).unwrap();
            assert!(model["id"].as_str().unwrap().eq_ignore_ascii_case(id), "{model}");
        }
        let strict = Config { model_fallback: false, ..config() };
        for (id, settings) in [("nobody", config()), ("gpt-4o", strict), ("", config())] {
            assert_eq!(get(id, &settings, &known, 7).unwrap_err().kind, RequestErrorKind::ModelNotFound);
        }
    }
}
