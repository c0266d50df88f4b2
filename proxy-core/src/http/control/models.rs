//! The route of the models, for the window and the tray.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};

use crate::control::api::{Model, ModelList};
use crate::http::{App, open};
use protocol::openai::models;

/// The route `/control/models`.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/models", open("GET, HEAD", get(list)))
}

async fn list(State(app): State<Arc<App>>) -> Json<ModelList> {
    let catalogue = app.dispatcher.catalogue().unwrap_or_default();
    let models::Overview { default, models } = models::overview(&app.openai, &catalogue);
    let supports_tools = app.control.takes_tools();
    let models = models.into_iter().map(|model| shown(model, supports_tools)).collect();
    Json(ModelList { default, models })
}

fn shown(models::Shown { model, aliases }: models::Shown, supports_tools: bool) -> Model {
    let modalities: &[&str] = if model.images { &["text", "image"] } else { &["text"] };
    Model {
        aliases,
        target: Some(model.id.clone()),
        id: model.id,
        efforts: model.efforts.iter().map(|effort| effort.as_str().to_owned()).collect(),
        default_effort: model.default_effort.map(|effort| effort.as_str().to_owned()),
        description: Some(model.description).filter(|words| !words.is_empty()),
        hidden: model.hidden,
        input_modalities: modalities.iter().copied().map(str::to_owned).collect(),
        supports_tools,
    }
}

#[cfg(test)]
mod tests {
    use protocol::turn::{Effort, Model as Known};

    use super::*;

    #[test]
    fn a_model_is_told_with_all_that_it_can() {
        let model = Known {
            id: "gpt-6-sol".to_owned(),
            display_name: "Sol".to_owned(),
            description: String::new(),
            efforts: vec![Effort::Low, Effort::High],
            default_effort: Some(Effort::Low),
            images: true,
            hidden: false,
            is_default: false,
            service_tiers: None,
            context_window: None,
        };
        let told = shown(models::Shown { model, aliases: vec!["codex-5".to_owned()] }, false);
        let expected = Model {
            id: "gpt-6-sol".to_owned(),
            aliases: vec!["codex-5".to_owned()],
            target: Some("gpt-6-sol".to_owned()),
            efforts: vec!["low".to_owned(), "high".to_owned()],
            default_effort: Some("low".to_owned()),
            description: None,
            hidden: false,
            input_modalities: vec!["text".to_owned(), "image".to_owned()],
            supports_tools: false,
        };
        assert_eq!(told, expected);
    }
}
