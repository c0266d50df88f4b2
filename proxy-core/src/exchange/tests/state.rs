//! Requests that continue others, and answers that are stored or that nobody waits for.

use super::fake::{Options, Scene, begun, said};
use super::*;
use crate::secret::KeyId;
use protocol::openai::responses::{Responses, ResponsesEncoder};
use protocol::turn::{Finish, Item, Part};

fn key(name: &str) -> AdmittedKey {
    AdmittedKey::named(name)
}

/// Sends a request over Responses.
async fn ask(scene: &Scene, body: &Value) -> Result<Reply<ResponsesEncoder>, Refusal> {
    let mut body = body.clone();
    body["model"] = json!("gpt-test");
    let text = JsonText(body.to_string().into());
    scene.exchanges.open::<Responses, _>(text, &key("default"), &scene.begin()).await
}

/// Sends a request that is answered with `text`. Returns the answer.
async fn answered(scene: &Scene, body: &Value, text: &str) -> Value {
    drop(scene.backend.turn(said(text)));
    let Answer::Object(object, _) = ask(scene, body).await.unwrap().answer else { panic!("no object") };
    object
}

async fn refused(scene: &Scene, body: &Value) -> RequestError {
    let refusal = ask(scene, body).await.unwrap_err();
    let Refusal::Request(error) = refusal else { panic!("{refusal:?}") };
    error
}

/// The texts of the transcript that the model was given last.
fn given(scene: &Scene) -> Vec<String> {
    let turn = scene.backend.script().turns.last().cloned().unwrap();
    let text = |item: &Item| {
        let Item::Message { content, .. } = item else { panic!("{item:?}") };
        match &content[0] {
            Part::Text(text) => text.clone(),
            Part::Image(_) => "an image".to_owned(),
        }
    };
    turn.items.iter().map(text).collect()
}

fn id(object: &Value) -> &str {
    object["id"].as_str().unwrap()
}

#[tokio::test]
async fn a_chain_goes_on_from_everything_before_and_branches() {
    let scene = Scene::new(Options::default());
    let first = answered(&scene, &json!({"input": "one", "instructions": "Be brief."}), "1").await;
    assert_eq!((&first["store"], &first["previous_response_id"]), (&json!(true), &Value::Null));
    let second = answered(&scene, &json!({"input": "two", "previous_response_id": id(&first)}), "2").await;
    assert_eq!(given(&scene), ["one", "1", "two"]);
    assert_eq!(second["previous_response_id"], first["id"]);
    assert_eq!(second["instructions"], Value::Null, "instructions are not carried over");
    answered(
        &scene,
        &json!({"input": [{"role": "user", "content": "three"}], "previous_response_id": id(&second)}),
        "3",
    )
    .await;
    assert_eq!(given(&scene), ["one", "1", "two", "2", "three"]);
    answered(&scene, &json!({"input": "other", "previous_response_id": id(&first)}), "4").await;
    assert_eq!(given(&scene), ["one", "1", "other"]);
}

#[tokio::test]
async fn what_is_unknown_not_stored_or_of_another_key_cannot_be_continued() {
    let scene = Scene::new(Options::default());
    let stored = answered(&scene, &json!({"input": "one"}), "1").await;
    let unstored = answered(&scene, &json!({"input": "one", "store": false}), "1").await;
    assert_eq!(unstored["store"], false);
    for unknown in ["resp_none", id(&unstored)] {
        let error = refused(&scene, &json!({"input": "x", "previous_response_id": unknown})).await;
        assert_eq!(error.kind, RequestErrorKind::PreviousResponseNotFound);
        assert_eq!(error.param.as_deref(), Some("previous_response_id"));
    }
    let body = json!({"model": "gpt-test", "input": "x", "previous_response_id": id(&stored)});
    let text = JsonText(body.to_string().into());
    let other = scene.exchanges.open::<Responses, _>(text, &key("other"), &scene.begin()).await;
    assert!(
        matches!(&other, Err(Refusal::Request(error)) if error.kind == RequestErrorKind::PreviousResponseNotFound),
        "{other:?}"
    );
}

#[tokio::test]
async fn an_error_names_the_parameter_that_was_sent() {
    let scene = Scene::new(Options::default());
    let first = answered(&scene, &json!({"input": "one"}), "1").await;
    let wrong = json!([{"role": "user", "content": "fine"}, {"role": "nobody", "content": "x"}]);
    let error = refused(&scene, &json!({"input": wrong, "previous_response_id": id(&first)})).await;
    assert_eq!(error.param.as_deref(), Some("input[1].role"));
    assert!(error.message.contains("'input[1].role'"), "{}", error.message);
}

#[tokio::test]
async fn a_reference_stands_for_its_item() {
    let scene = Scene::new(Options::default());
    let first = answered(&scene, &json!({"input": "one"}), "1").await;
    let reference = json!({"type": "item_reference", "id": first["output"][0]["id"]});
    let again = json!({"role": "user", "content": "again"});
    answered(&scene, &json!({"input": [reference, again]}), "2").await;
    assert_eq!(given(&scene), ["1", "again"]);
    let error = refused(&scene, &json!({"input": [{"id": "msg_none"}, again]})).await;
    assert_eq!((error.kind, error.param.as_deref()), (RequestErrorKind::NotFound, Some("input[0].id")));
    let twice = json!({"input": [reference, again], "previous_response_id": id(&first)});
    assert!(refused(&scene, &twice).await.message.starts_with("Duplicate item found"));
}

#[tokio::test]
async fn a_conversation_is_read_and_added_to() {
    let scene = Scene::new(Options::default());
    let owner = key("default").id;
    let conversation = json!({"id": "conv_1", "object": "conversation", "created_at": 1, "metadata": {}});
    let item = json!({"id": "msg_0", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "zero"}]});
    scene.exchanges.store().create_conversation(&owner, conversation, vec![item]).await.unwrap();
    let body = json!({"input": "one", "conversation": "conv_1"});
    let first = answered(&scene, &body, "1").await;
    assert_eq!(first["conversation"], json!({"id": "conv_1"}));
    assert_eq!(given(&scene), ["zero", "one"]);
    let unstored = json!({"input": "two", "conversation": {"id": "conv_1"}, "store": false});
    answered(&scene, &unstored, "2").await;
    assert_eq!(given(&scene), ["zero", "one", "1", "two"]);
    answered(&scene, &json!({"input": "three", "conversation": "conv_1"}), "3").await;
    assert_eq!(given(&scene), ["zero", "one", "1", "two", "2", "three"]);
    let error = refused(&scene, &json!({"input": "x", "conversation": "conv_2"})).await;
    assert_eq!((error.kind, error.param.as_deref()), (RequestErrorKind::NotFound, Some("conversation")));
}

#[tokio::test]
async fn a_connection_that_remembers_continues_what_is_not_stored() {
    let scene = Scene::new(Options::default());
    drop(scene.backend.turn(said("1")));
    let body = json!({"model": "gpt-test", "input": "one", "store": false, "stream": true});
    let first = Received { remembers: true, ..Received::new(body) };
    let reply = scene.exchanges.open::<Responses, _>(Told(first), &key("default"), &scene.begin()).await;
    let Answer::Stream(_, mut stream) = reply.unwrap().answer else { panic!("it is a stream") };
    drain(&mut stream).await;
    let transcript = stream.transcript().expect("it can be continued");
    assert_eq!(transcript.items.len(), 2);
    drop(scene.backend.turn(said("2")));
    let body = json!({"model": "gpt-test", "input": "two", "previous_response_id": transcript.response});
    let second = Received { recalled: Some(Arc::new(transcript)), ..Received::new(body) };
    scene.exchanges.open::<Responses, _>(Told(second), &key("default"), &scene.begin()).await.unwrap();
    assert_eq!(given(&scene), ["one", "1", "two"]);
}

/// A request that has been read.
struct Told(Received);

impl Incoming for Told {
    type Error = Refusal;

    async fn read(self, _: &Arc<Share>, _: &Recording) -> Result<Received, Refusal> {
        Ok(self.0)
    }
}

#[tokio::test]
async fn a_stored_answer_has_its_sealed_reasoning_and_the_shown_one_only_if_asked() {
    let scene = Scene::new(Options::default());
    let mut events = vec![
        TurnEvent::Started,
        TurnEvent::ReasoningStarted { id: "r".into() },
        TurnEvent::ReasoningDone { id: "r".into(), encrypted_content: Some("sealed".into()) },
    ];
    events.extend(said("1").into_iter().skip(1));
    drop(scene.backend.turn(events));
    let Answer::Object(shown, _) = ask(&scene, &json!({"input": "one"})).await.unwrap().answer else {
        panic!("it is an object")
    };
    assert_eq!(shown["output"][0].get("encrypted_content"), None);
    let stored = scene.exchanges.response(&key("default").id, id(&shown)).await.unwrap().object;
    assert_eq!(stored["output"][0]["encrypted_content"], "sealed");
    assert_eq!(stored["completed_at"], shown["completed_at"]);
}

#[tokio::test]
async fn a_chat_completion_is_stored_only_if_asked() {
    let scene = Scene::new(Options::default());
    let owner = key("default").id;
    for (store, is_there) in [(false, false), (true, true)] {
        drop(scene.backend.turn(said("1")));
        let body = with(&[("store", json!(store)), ("metadata", json!({"a": "b"}))]);
        let Answer::Object(object, _) = scene.ask(&body).await.unwrap().answer else { panic!("no object") };
        let stored = scene.exchanges.store().chat(&owner, id(&object)).await.unwrap();
        assert_eq!(stored.is_some(), is_there);
        if let Some(stored) = stored {
            assert_eq!((&stored["metadata"], &stored["choices"]), (&json!({"a": "b"}), &object["choices"]));
        }
    }
    drop(scene.backend.turn(said("2")));
    let body = with(&[("store", json!(true)), ("stream", json!(true))]);
    let (opening, mut rest) = scene.stream(&body).await;
    let (mut frames, _) = drain(&mut rest).await;
    frames.extend(opening);
    let chunk: Value = serde_json::from_str(&frames[0].json).unwrap();
    let stored = scene.exchanges.store().chat(&owner, id(&chunk)).await.unwrap().unwrap();
    assert_eq!(stored["choices"][0]["message"]["content"], "2");
}

#[tokio::test]
async fn a_background_response_runs_without_its_client() {
    let scene = Scene::new(Options::default());
    let owner = key("default").id;
    let turn = scene.backend.turn(begun("He"));
    let reply = ask(&scene, &json!({"input": "one", "background": true, "stream": true})).await.unwrap();
    let Answer::Stream(opening, mut stream) = reply.answer else { panic!("it is a stream") };
    assert!(opening.is_empty() && stream.is_background());
    let frames = stream.next().await.unwrap().frames;
    let created: Value = serde_json::from_str(&frames[0].json).unwrap();
    assert_eq!(created["response"]["status"], "queued");
    let id = id(&created["response"]).to_owned();
    while scene.exchanges.response(&owner, &id).await.unwrap().object["status"] == "queued" {
        stream.next().await.unwrap();
    }
    drop(stream);
    said("llo").into_iter().skip(2).for_each(|event| turn.send(event).unwrap());
    let StoredEvents::Live(mut live) = scene.exchanges.follow(&owner, &id, Some(0), false).await.unwrap()
    else {
        panic!("it still runs")
    };
    let (frames, _) = drain(&mut live).await;
    let numbers = frames.iter().map(|frame| {
        serde_json::from_str::<Value>(&frame.json).unwrap()["sequence_number"].as_u64().unwrap()
    });
    assert!(numbers.eq(1..=frames.len() as u64), "none is missing, none is there twice");
    let done = scene.exchanges.response(&owner, &id).await.unwrap().object;
    assert_eq!(
        (&done["status"], &done["output"][0]["content"][0]["text"]),
        (&json!("completed"), &json!("Hello"))
    );
    assert_eq!(scene.entry().status, Some(200));
    assert_eq!(scene.exchanges.cancel(&owner, &id).await.unwrap()["status"], "completed", "it has ended");
    answered(&scene, &json!({"input": "two", "previous_response_id": id}), "2").await;
    assert_eq!(given(&scene), ["one", "Hello", "two"]);
}

#[tokio::test]
async fn a_background_response_can_be_cancelled_and_fails_with_the_proxy() {
    let scene = Scene::new(Options::default());
    let owner = key("default").id;
    let queue = async |body: Value| {
        let Answer::Queued(object) = ask(&scene, &body).await.unwrap().answer else { panic!("not queued") };
        assert_eq!(object["status"], "queued");
        id(&object).to_owned()
    };
    let turn = scene.backend.turn(begun("par"));
    let first = queue(json!({"input": "one", "background": true})).await;
    while scene.exchanges.response(&owner, &first).await.unwrap().object["status"] == "queued" {
        tokio::task::yield_now().await;
    }
    assert!(matches!(
        scene.exchanges.cancel(&KeyId::parse("key_other").unwrap(), &first).await,
        Err(StoredError::NotFound(_))
    ));
    assert_eq!(scene.exchanges.cancel(&owner, &first).await.unwrap()["status"], "cancelled");
    assert!(turn.is_closed(), "the turn is interrupted");
    assert_eq!(scene.exchanges.cancel(&owner, &first).await.unwrap()["status"], "cancelled", "again");

    let _turn = scene.backend.turn(begun("par"));
    let second = queue(json!({"input": "two", "background": true})).await;
    scene.exchanges.0.background.end(Duration::ZERO).await;
    let failed = scene.exchanges.response(&owner, &second).await.unwrap().object;
    assert_eq!((&failed["status"], &failed["error"]["code"]), (&json!("failed"), &json!("server_error")));

    let plain = answered(&scene, &json!({"input": "three"}), "3").await;
    assert!(matches!(scene.exchanges.cancel(&owner, id(&plain)).await, Err(StoredError::NotBackground)));
    assert!(matches!(
        scene.exchanges.follow(&owner, id(&plain), None, false).await,
        Err(StoredError::NotStreamed)
    ));
}

#[tokio::test]
async fn a_background_response_that_fails_is_stored_as_failed() {
    let scene = Scene::new(Options::default());
    let owner = key("default").id;
    scene.backend.failing(TurnErrorKind::Overloaded);
    let Answer::Queued(object) =
        ask(&scene, &json!({"input": "one", "background": true})).await.unwrap().answer
    else {
        panic!("it is queued")
    };
    scene.exchanges.0.background.end(LONG).await;
    let failed = scene.exchanges.response(&owner, id(&object)).await.unwrap().object;
    assert_eq!(failed["status"], "failed");
    assert!(failed["error"]["message"].as_str().unwrap().starts_with("It failed."), "{failed}");
}

#[tokio::test]
async fn the_end_of_a_stream_is_sent_when_it_is_stored() {
    let scene = Scene::new(Options::default());
    let mut events = said("1");
    events.pop();
    events.push(TurnEvent::Finished(Finish::Length));
    drop(scene.backend.turn(events));
    let reply = ask(&scene, &json!({"input": "one", "stream": true})).await.unwrap();
    let Answer::Stream(_, mut stream) = reply.answer else { panic!("it is a stream") };
    let (frames, end) = drain(&mut stream).await;
    assert_eq!(end, End::Complete);
    let last: Value = serde_json::from_str(&frames.last().unwrap().json).unwrap();
    let stored = scene.exchanges.response(&key("default").id, id(&last["response"])).await.unwrap();
    assert_eq!(stored.object, last["response"]);
}

#[tokio::test(start_paused = true)]
async fn a_background_response_that_is_being_stored_comes_to_its_own_end() {
    let scene = Scene::new(Options::default());
    let owner = key("default").id;
    for is_cancelled in [true, false] {
        let turn = scene.backend.turn(begun("He"));
        let body = json!({"input": "one", "background": true});
        let Answer::Queued(object) = ask(&scene, &body).await.unwrap().answer else { panic!("not queued") };
        let id = id(&object).to_owned();
        while scene.exchanges.response(&owner, &id).await.unwrap().object["status"] == "queued" {
            tokio::task::yield_now().await;
        }
        let held = scene.exchanges.store().hold().await;
        said("llo").into_iter().skip(2).for_each(|event| turn.send(event).unwrap());
        // Time passes only when nothing else can happen: by now the answer waits until it can be stored.
        tokio::time::sleep(LONG).await;
        let (exchanges, of, cut) = (scene.exchanges.clone(), owner.clone(), id.clone());
        let ending = tokio::spawn(async move {
            match is_cancelled {
                true => drop(exchanges.cancel(&of, &cut).await.unwrap()),
                false => exchanges.0.background.end(Duration::ZERO).await,
            }
        });
        tokio::time::sleep(LONG).await;
        assert!(!ending.is_finished(), "it waits for the end");
        drop(held);
        ending.await.unwrap();
        let done = scene.exchanges.response(&owner, &id).await.unwrap().object;
        assert_eq!(
            (&done["status"], &done["output"][0]["content"][0]["text"]),
            (&json!("completed"), &json!("Hello"))
        );
        assert_eq!(scene.entry().status, Some(200));
    }
}
