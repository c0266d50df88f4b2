//! The tokens of a request, counted without a turn.

use super::fake::{Options, Scene, begun, said};
use super::*;
use protocol::openai::responses::{Responses, ResponsesEncoder};

async fn count(scene: &Scene, body: &Value) -> Result<Reply<ResponsesEncoder>, Refusal> {
    let text = JsonText(body.to_string().into());
    scene.exchanges.count(text, &AdmittedKey::named("default"), &scene.begin()).await
}

/// The number in the answer, which is checked.
async fn counted(scene: &Scene, body: &Value) -> u64 {
    let Answer::Object(object, None) = count(scene, body).await.unwrap().answer else { panic!("no object") };
    let tokens = object["input_tokens"].as_u64().unwrap();
    assert_eq!(object, json!({"object": "response.input_tokens", "input_tokens": tokens}));
    tokens
}

/// Answers a request with `text`. Returns the answer's id.
async fn answered(scene: &Scene, body: &Value, text: &str) -> String {
    drop(scene.backend.turn(said(text)));
    let body = JsonText(body.to_string().into());
    let key = AdmittedKey::named("default");
    let reply = scene.exchanges.open::<Responses, _>(body, &key, &scene.begin()).await.unwrap();
    let Answer::Object(object, _) = reply.answer else { panic!("no object") };
    object["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_count_takes_no_place_and_is_no_stream() {
    let scene = Scene::new(Options { streams: 1, ..Options::default() });
    let turn = scene.backend.turn(begun("Hel"));
    let (_, stream) = scene.stream(&streamed()).await;
    scene.backend.taken();
    assert_eq!(counted(&scene, &json!({"model": "gpt-test", "input": "hello", "stream": true})).await, 7);
    assert_eq!(scene.backend.taken(), Vec::<&str>::new());
    let entry = scene.entry();
    assert_eq!((entry.effective_model.as_deref(), entry.input_tokens), (Some("gpt-test"), 0));
    drop((turn, stream));
}

#[tokio::test]
async fn what_a_request_continues_is_counted_and_nothing_is_stored() {
    let scene = Scene::new(Options::default());
    let id = answered(&scene, &json!({"model": "gpt-test", "input": "hello"}), "Hi!").await;
    let continued = json!({"model": "gpt-test", "input": "hello", "previous_response_id": id});
    // The answer is `<|start|>assistant<|channel|>final<|message|>Hi!<|end|>`.
    assert_eq!(counted(&scene, &continued).await, 7 + 8 + 5);
    let alone = json!({"model": "gpt-test", "previous_response_id": id});
    assert_eq!(counted(&scene, &alone).await, 7 + 8);
    let Refusal::Request(error) =
        count(&scene, &json!({"input": "x", "previous_response_id": "resp_none"})).await.unwrap_err()
    else {
        panic!("it is refused")
    };
    assert_eq!(error.kind, RequestErrorKind::PreviousResponseNotFound);
    assert_eq!(scene.backend.script().turns.len(), 1);
}

#[tokio::test]
async fn a_wrong_request_is_refused_as_when_it_is_answered() {
    let scene = Scene::new(Options::default());
    let Refusal::Request(error) = count(&scene, &json!({"model": "gpt-test"})).await.unwrap_err() else {
        panic!("it is refused")
    };
    assert_eq!((error.kind, error.param.as_deref()), (RequestErrorKind::MissingParameter, Some("input")));
    scene.pause.set(true);
    assert!(matches!(count(&scene, &json!({"input": "x"})).await, Err(Refusal::Paused)));
    scene.pause.set(false);
    scene.backend.script().ready = false;
    scene.backend.script().no_place = Some(TurnError::new(TurnErrorKind::WorkerNotReady, "None."));
    let error = failure(count(&scene, &json!({"input": "x"})).await.unwrap_err());
    assert_eq!(error.kind, TurnErrorKind::WorkerNotReady);
}

#[tokio::test]
async fn the_request_that_follows_is_compared_with_the_count() {
    let scene = Scene::new(Options::default());
    let body = json!({"model": "gpt-test", "input": "hello"});
    assert_eq!(counted(&scene, &body).await, 7);
    assert_eq!(scene.exchanges.0.tokens.expected(&scene.turn(&body).await), Some(7));
    let other = json!({"model": "gpt-test", "input": "bye"});
    assert_eq!(scene.exchanges.0.tokens.expected(&scene.turn(&other).await), None);
}

impl Scene {
    /// The turn that the backend gets for a request.
    async fn turn(&self, body: &Value) -> protocol::turn::Turn {
        answered(self, body, "ok").await;
        self.backend.script().turns.last().cloned().unwrap()
    }
}
