//! A mock of OpenAI behind Codex: answers at once with a short message, or holds its answer open.

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// How many deltas an answer has.
const DELTAS: usize = 20;

/// A running mock; it stops when it is dropped.
pub(crate) struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    hold: watch::Sender<bool>,
    last_body: Mutex<Bytes>,
}

impl Upstream {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("cannot listen on loopback")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { hold: watch::Sender::new(false), last_body: Mutex::default() });
        let task = tokio::spawn(serve(listener, Arc::clone(&shared))).abort_handle();
        Ok(Self { address, shared, task })
    }

    /// Writes a `CODEX_HOME` for a Codex that uses this mock.
    pub(crate) fn write_codex_home(&self, dir: &Path) -> Result<()> {
        let address = self.address;
        fs::create_dir_all(dir)?;
        let config = format!(
            "model_provider = \"mock\"\n[model_providers.mock]\nname = \"mock\"\n\
             base_url = \"http://{address}/v1\"\nwire_api = \"responses\"\nsupports_websockets = false\n"
        );
        fs::write(dir.join("config.toml"), config)
            .with_context(|| format!("cannot write to {}", dir.display()))
    }

    /// From now on answers stop after their first delta.
    pub(crate) fn hold(&self) {
        self.shared.hold.send_replace(true);
    }

    /// Continues the answers that were held, and does not hold later ones.
    pub(crate) fn release(&self) {
        self.shared.hold.send_replace(false);
    }

    /// The last request of Codex.
    pub(crate) fn last_request(&self) -> Result<Value> {
        let body = self.shared.last_body.lock().map_err(|_| anyhow::anyhow!("the mock upstream panicked"))?;
        serde_json::from_slice(&body).context("Codex sent no JSON to the mock upstream")
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) -> Result<()> {
    loop {
        let (connection, _) = listener.accept().await?;
        connection.set_nodelay(true)?;
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&shared)));
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(connection), service)
                .await
        });
    }
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Body>> {
    if request.method() != Method::POST {
        let mut response = Response::new(Full::new(Bytes::from_static(b"{}")).boxed_unsync());
        *response.status_mut() = StatusCode::NOT_FOUND;
        return Ok(response);
    }
    let body = request.into_body().collect().await?.to_bytes();
    *shared.last_body.lock().map_err(|_| anyhow::anyhow!("a lock was poisoned"))? = body;

    let mut hold = shared.hold.subscribe();
    let [first, rest] = sse();
    let rest = stream::once(async move {
        // This fails only if the mock is gone. Then the rest is not needed.
        let _released = hold.wait_for(|hold| !hold).await;
        rest
    });
    let frames = stream::iter([first]).chain(rest).map(|text| Ok(Frame::data(Bytes::from(text))));
    let response = Response::builder().header("content-type", "text/event-stream");
    Ok(response.body(StreamBody::new(frames).boxed_unsync())?)
}

/// A whole answer: up to its first delta, and the rest.
fn sse() -> [String; 2] {
    let item = |status: &str, content: Value| json!({"type": "message", "id": "msg_1", "role": "assistant", "status": status, "content": content});
    let delta = json!({"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0,
        "content_index": 0, "delta": "word "});
    let content = json!([{"type": "output_text", "text": "word ".repeat(DELTAS), "annotations": []}]);
    let usage = json!({"input_tokens": 10, "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 20, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 30});
    let start = [
        json!({"type": "response.created", "response": {"id": "resp_1"}}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": item("in_progress", json!([]))}),
        delta.clone(),
    ];
    let end = [
        json!({"type": "response.output_item.done", "output_index": 0, "item": item("completed", content)}),
        json!({"type": "response.completed", "response": {"id": "resp_1", "usage": usage}}),
    ];
    let text = |events: &[Value]| events.iter().map(frame).collect::<String>();
    [text(&start), text(&vec![delta; DELTAS - 1]) + &text(&end)]
}

fn frame(event: &Value) -> String {
    format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default())
}
