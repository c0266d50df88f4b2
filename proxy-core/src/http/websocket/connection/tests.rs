mod steering;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Request;
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio::task::JoinHandle;
use yawc::{Options, Role};

use super::*;
use crate::exchange::tests::fake::{self, Fake, Scene, begun, said};
use crate::request_log::RequestState;
use protocol::turn::TurnEvent;

/// The most bytes of a frame.
const LIMIT: usize = 4096;

/// A client of a connection.
struct Client {
    socket: WebSocket<DuplexStream>,
    server: JoinHandle<()>,
    accepted: Arc<AtomicBool>,
    closing: CancellationToken,
}

fn connect(scene: &Scene) -> Client {
    let (near, far) = tokio::io::duplex(LIMIT);
    let (accepted, closing) = (Arc::new(AtomicBool::new(true)), CancellationToken::new());
    let still = accepted.clone();
    let terms = Terms {
        exchanges: scene.exchanges.clone(),
        metrics: Metrics::default(),
        parts: Request::get("/v1/responses").body(()).unwrap().into_parts().0,
        output_mode: None,
        pass: Box::new(move || still.load(Ordering::Relaxed).then(|| AdmittedKey::named("default"))),
        closing: closing.clone(),
        memory: Budget::new(1 << 20),
    };
    let options = Options::default().with_limits(LIMIT + 1, LIMIT + 1);
    let socket = WebSocket::from_stream(far, Role::Server, options).unwrap();
    let server = tokio::spawn(Connection::<_, Fake>::new(socket, terms).serve());
    let socket = WebSocket::from_stream(near, Role::Client, Options::default()).unwrap();
    Client { socket, server, accepted, closing }
}

impl Client {
    async fn send(&mut self, frame: Frame) {
        self.socket.send(frame).await.unwrap();
    }

    /// Sends a request with these members.
    async fn ask(&mut self, changes: &Value) {
        let mut body = json!({"type": "response.create", "model": "gpt-test", "input": "hi", "store": false});
        for (key, value) in changes.as_object().unwrap() {
            body[key] = value.clone();
        }
        self.send(Frame::text(body.to_string())).await;
    }

    /// The next event.
    async fn next(&mut self) -> Value {
        loop {
            let frame = self.socket.next_frame().await.unwrap();
            match frame.opcode() {
                OpCode::Text => return serde_json::from_slice(frame.payload()).unwrap(),
                OpCode::Ping => {}
                other @ (OpCode::Continuation | OpCode::Binary | OpCode::Close | OpCode::Pong) => {
                    panic!("{other:?} in place of an event")
                }
            }
        }
    }

    /// The next event of this type.
    async fn until(&mut self, kind: &str) -> Value {
        loop {
            let event = self.next().await;
            if event["type"] == kind {
                return event;
            }
            assert_ne!(event["type"], "error", "{event}");
        }
    }

    /// The id and the text of the next response.
    async fn answer(&mut self) -> (String, String) {
        let response = self.until("response.completed").await["response"].take();
        let text = response["output"][0]["content"][0]["text"].as_str().unwrap_or_default();
        (response["id"].as_str().unwrap().to_owned(), text.to_owned())
    }

    /// The status and the code of the next error.
    async fn refusal(&mut self) -> (u64, String) {
        let error = self.next().await;
        assert_eq!(error["type"], "error", "{error}");
        (error["status"].as_u64().unwrap(), error["error"]["code"].as_str().unwrap().to_owned())
    }

    /// The code of the close frame, which is the next frame. The connection then ends.
    async fn closed(mut self) -> u16 {
        let frame = loop {
            let frame = self.socket.next_frame().await.unwrap();
            if frame.opcode() != OpCode::Ping {
                break frame;
            }
        };
        assert_eq!(frame.opcode(), OpCode::Close);
        // The answer goes out with the next look.
        assert!(self.socket.next_frame().await.is_err());
        let _ = self.socket.close().await;
        self.server.await.unwrap();
        frame.close_code().unwrap().into()
    }
}

fn scene() -> Scene {
    Scene::new(fake::Options::default())
}

fn in_lane(name: &str) -> Value {
    json!({"stream_id": name})
}

fn refused(status: u64, code: &str) -> (u64, String) {
    (status, code.to_owned())
}

#[tokio::test(start_paused = true)]
async fn responses_come_one_after_the_other_and_are_recorded() {
    let scene = scene();
    let (first, second) = (scene.backend.turn(begun("on")), scene.backend.turn(said("two")));
    let mut client = connect(&scene);
    client.ask(&json!({})).await;
    client.ask(&json!({})).await;
    assert_eq!(client.next().await["type"], "response.created");
    assert_eq!(client.until("response.output_text.delta").await["delta"], "on");
    said("e").into_iter().skip(2).for_each(|event| first.send(event).unwrap());
    assert_eq!(client.answer().await.1, "one");
    assert_eq!(client.next().await["type"], "response.created");
    assert_eq!(client.answer().await.1, "two");
    let entries = scene.entries();
    assert_eq!(entries.len(), 2);
    for entry in entries {
        assert_eq!(
            (entry.state, entry.status, entry.surface.as_str()),
            (RequestState::Done, Some(200), "responses")
        );
        assert!(entry.stream && entry.request_bytes > 0 && entry.response_bytes > 0, "{entry:?}");
    }
    drop(second);
}

#[tokio::test(start_paused = true)]
async fn lanes_run_side_by_side_and_their_events_name_them() {
    let scene = scene();
    let (first, _second) = (scene.backend.turn(begun("on")), scene.backend.turn(said("two")));
    let mut client = connect(&scene);
    client.ask(&in_lane("a")).await;
    client.until("response.output_text.delta").await;
    client.ask(&in_lane("b")).await;
    let event = client.until("response.completed").await;
    assert_eq!(
        (&event["stream_id"], &event["response"]["output"][0]["content"][0]["text"]),
        (&json!("b"), &json!("two"))
    );
    said("e").into_iter().skip(2).for_each(|event| first.send(event).unwrap());
    let event = client.until("response.completed").await;
    assert_eq!(event["stream_id"], "a");
}

#[tokio::test(start_paused = true)]
async fn a_warm_up_asks_no_model_and_can_be_continued() {
    let scene = scene();
    let mut client = connect(&scene);
    client.ask(&json!({"generate": false, "store": false})).await;
    let created = client.next().await;
    assert_eq!(created["type"], "response.created");
    let completed = client.until("response.completed").await["response"].take();
    assert_eq!((&completed["output"], &completed["id"]), (&json!([]), &created["response"]["id"]));
    assert_eq!(scene.backend.taken(), ["prepare"]);

    let _turn = scene.backend.turn(said("well"));
    client.ask(&json!({"previous_response_id": completed["id"], "store": false, "input": []})).await;
    let (id, text) = client.answer().await;
    assert_eq!(text, "well");
    client.ask(&json!({"previous_response_id": completed["id"]})).await;
    assert_eq!(client.refusal().await, refused(400, "previous_response_not_found"), "an older one");
    let _turn = scene.backend.turn(said("again"));
    client.ask(&json!({"previous_response_id": id})).await;
    assert_eq!(client.answer().await.1, "again");
}

#[tokio::test(start_paused = true)]
async fn a_continuation_that_fails_forgets_what_it_continues() {
    let scene = scene();
    let mut client = connect(&scene);
    client.ask(&json!({"generate": false})).await;
    let (id, _) = client.answer().await;
    let continues = json!({"previous_response_id": id});
    let mut fork = continues.clone();
    fork["stream_id"] = json!("fork");
    scene.backend.failing(TurnErrorKind::Upstream);
    client.ask(&fork).await;
    assert_eq!(client.refusal().await, refused(502, "upstream_error"));
    let _turn = scene.backend.turn(said("well"));
    client.ask(&fork).await;
    client.answer().await;
    scene.backend.failing(TurnErrorKind::Upstream);
    client.ask(&continues).await;
    assert_eq!(client.refusal().await, refused(502, "upstream_error"));
    client.ask(&continues).await;
    assert_eq!(client.refusal().await, refused(400, "previous_response_not_found"));
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_is_no_request_is_refused_and_the_connection_stays() {
    let scene = scene();
    let mut client = connect(&scene);
    for (frame, status, code) in [
        ("no JSON", 400, "invalid_json"),
        (r#"{"type":"response.cancel"}"#, 400, "invalid_value"),
        (r#"{"type":"response.create","stream_id":"ü"}"#, 400, "invalid_stream_id"),
        (r#"{"type":"response.create","background":true}"#, 400, "unsupported_parameter"),
        (r#"{"type":"response.create","model":"none such","input":"x"}"#, 404, "model_not_found"),
    ] {
        client.send(Frame::text(frame)).await;
        assert_eq!(client.refusal().await, refused(status, code), "{frame}");
    }
    assert!(
        scene.entries().iter().all(|entry| entry.state == RequestState::Failed && entry.request_bytes > 0)
    );
    assert_eq!(scene.entries().len(), 5);
    let _turn = scene.backend.turn(said("well"));
    client.ask(&json!({})).await;
    assert_eq!(client.answer().await.1, "well");
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_cannot_be_read_ends_the_connection() {
    let scene = scene();
    let mut client = connect(&scene);
    client.send(Frame::binary(vec![1])).await;
    assert_eq!(client.refusal().await, refused(400, "invalid_json"));
    assert_eq!(client.closed().await, 1003);

    let mut client = connect(&scene);
    // The connection may end before all of it is read.
    let _ = client.socket.send(Frame::text("x".repeat(LIMIT + 1))).await;
    assert_eq!(client.closed().await, 1009);

    let mut client = connect(&scene);
    client.send(Frame::text(vec![0xFF])).await;
    assert_eq!(client.closed().await, 1007);

    let mut client = connect(&scene);
    client.send(Frame::text("x".repeat(LIMIT))).await;
    assert_eq!(client.refusal().await, refused(400, "invalid_json"), "the largest that is read");
}

#[tokio::test(start_paused = true)]
async fn there_is_room_for_sixteen() {
    let scene = scene();
    let turns: Vec<_> = (0..16).map(|_| scene.backend.turn(begun("x"))).collect();
    let mut client = connect(&scene);
    for number in 0..16 {
        client.ask(&in_lane(&number.to_string())).await;
        client.until("response.output_text.delta").await;
    }
    client.ask(&json!({})).await;
    assert_eq!(client.refusal().await, refused(400, "websocket_stream_limit_reached"));
    drop(client.socket);
    client.server.await.unwrap();
    assert!(turns.iter().all(|turn| turn.is_closed()), "the turns are interrupted with their client");
    let cancelled = scene.entries().iter().filter(|entry| entry.state == RequestState::Cancelled).count();
    assert_eq!(cancelled, 16);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_not_accepted_any_more_ends_the_connection() {
    let scene = scene();
    let mut client = connect(&scene);
    client.accepted.store(false, Ordering::Relaxed);
    client.ask(&json!({})).await;
    assert_eq!(client.refusal().await, refused(401, "invalid_api_key"));
    assert_eq!(client.closed().await, 1008);
    assert_eq!(scene.backend.taken(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_no_ping_is_left() {
    let scene = scene();
    let turn = scene.backend.turn(begun("x"));
    let mut client = connect(&scene);
    client.ask(&json!({})).await;
    client.until("response.output_text.delta").await;
    let silent = Instant::now();
    client.server.await.unwrap();
    assert!((PING..PING * 2 + PARTING * 2).contains(&silent.elapsed()), "{:?}", silent.elapsed());
    assert!(turn.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_left_and_costs_no_memory() {
    let scene = scene();
    let turn = scene.backend.turn(begun("x"));
    let mut client = connect(&scene);
    client.ask(&json!({})).await;
    client.until("response.output_text.delta").await;
    let delta = TurnEvent::TextDelta { id: "m".into(), text: "y".repeat(LIMIT) };
    (0..100).for_each(|_| turn.send(delta.clone()).unwrap());
    client.server.await.unwrap();
    assert!(turn.is_closed());
    assert!(
        scene.entries()[0].response_bytes < 5 * LIMIT as u64,
        "what it did not read was not even written"
    );
}

#[tokio::test(start_paused = true)]
async fn after_an_hour_a_connection_ends_with_its_last_response() {
    let scene = scene();
    let turn = scene.backend.turn(begun("on"));
    let mut client = connect(&scene);
    client.ask(&json!({})).await;
    client.until("response.output_text.delta").await;
    client.ask(&json!({})).await;
    let opened = Instant::now();
    // It reads all the time, and so answers the pings.
    assert_eq!(
        client.refusal().await,
        refused(400, "websocket_connection_limit_reached"),
        "the one that waits"
    );
    assert_eq!(opened.elapsed(), LIFE);
    client.ask(&json!({})).await;
    assert_eq!(client.refusal().await, refused(400, "websocket_connection_limit_reached"));
    said("e").into_iter().skip(2).for_each(|event| turn.send(event).unwrap());
    assert_eq!(client.answer().await.1, "one");
    assert_eq!(client.refusal().await, refused(400, "websocket_connection_limit_reached"));
    assert_eq!(client.closed().await, 1000);
}

#[tokio::test(start_paused = true)]
async fn when_the_proxy_ends_running_responses_end_first() {
    let scene = scene();
    let idle = connect(&scene);
    idle.closing.cancel();
    assert_eq!(idle.closed().await, 1012);

    let turn = scene.backend.turn(begun("on"));
    let mut client = connect(&scene);
    client.ask(&json!({})).await;
    client.until("response.output_text.delta").await;
    client.ask(&json!({})).await;
    // The frames have been read when the answer to the one after them is here.
    client.send(Frame::text("no JSON")).await;
    assert_eq!(client.refusal().await, refused(400, "invalid_json"));
    client.closing.cancel();
    assert_eq!(client.refusal().await, refused(503, "server_overloaded"), "the one that waits");
    client.ask(&in_lane("b")).await;
    assert_eq!(client.refusal().await, refused(503, "server_overloaded"));
    said("e").into_iter().skip(2).for_each(|event| turn.send(event).unwrap());
    let ending = Instant::now();
    assert_eq!(client.answer().await.1, "one");
    assert_eq!(client.closed().await, 1012);
    assert!(ending.elapsed() < Duration::from_secs(1), "it waits for nothing: {:?}", ending.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closes_gets_its_close_frame_back() {
    let scene = scene();
    let turn = scene.backend.turn(begun("x"));
    let mut client = connect(&scene);
    client.ask(&json!({})).await;
    client.until("response.output_text.delta").await;
    client.send(Frame::close(CloseCode::Normal, "bye")).await;
    let frame = client.socket.next_frame().await.unwrap();
    assert_eq!((frame.opcode(), frame.close_code()), (OpCode::Close, Some(CloseCode::Normal)));
    drop(client.socket);
    client.server.await.unwrap();
    assert!(turn.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_pings_is_answered() {
    let scene = scene();
    let mut client = connect(&scene);
    for _ in 0..200 {
        client.send(Frame::ping("x")).await;
        let frame = client.socket.next_frame().await.unwrap();
        assert_eq!((frame.opcode(), frame.payload().as_ref()), (OpCode::Pong, &b"x"[..]));
    }
}
