//! A simple client of `codex app-server` over stdio, to test a Codex without the proxy.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

const PATIENCE: Duration = Duration::from_secs(60);

/// One app-server child; it is killed when dropped.
#[derive(Debug)]
pub struct AppServer {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    next_id: u64,
    /// Every line received that was not the answer to a [`AppServer::request`], in order.
    pub log: Vec<Value>,
}

impl AppServer {
    /// Starts `binary app-server` with these switches and environment.
    pub fn spawn(binary: &Path, home: &Path, args: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(binary);
        command.arg("app-server").args(args).env("CODEX_HOME", home).current_dir(home);
        command.envs(environment.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot start {}: {e}", binary.display()));
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("stdout is piped");
        Self { child, stdin, lines: BufReader::new(stdout).lines(), next_id: 1, log: Vec::new() }
    }

    /// Does the handshake with the experimental API turned on. Returns the server's answer.
    pub async fn initialize(&mut self) -> Value {
        let client = json!({"name": "codex-proxy", "title": "Codex Proxy", "version": "0.0.0"});
        let params = json!({
            "clientInfo": client,
            "capabilities": {"experimentalApi": true, "requestAttestation": false},
        });
        let answer = self.request("initialize", params).await;
        self.send(&json!({"method": "initialized"})).await;
        answer
    }

    /// Sends a request without waiting and returns its id.
    pub async fn start_request(&mut self, method: &str, params: Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.send(&json!({"id": id, "method": method, "params": params})).await;
        id
    }

    /// Sends a request and returns the whole answer line. Other lines go to the log.
    pub async fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.start_request(method, params).await;
        loop {
            let line = self.receive().await.unwrap_or_else(|| panic!("the app-server ended before {method}"));
            if line["id"] == id && line.get("method").is_none() {
                return line;
            }
            self.log.push(line);
        }
    }

    /// Sends one line.
    pub async fn send(&mut self, message: &Value) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        stdin.write_all(format!("{message}\n").as_bytes()).await.expect("the app-server reads its input");
    }

    /// The next line, or `None` at the end of its output.
    pub async fn receive(&mut self) -> Option<Value> {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line())
            .await
            .unwrap_or_else(|_| {
                panic!("the app-server said nothing for {PATIENCE:?}; so far: {:#?}", self.log)
            })
            .expect("its output is UTF-8")?;
        Some(serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e} in the line {line:?}")))
    }

    /// The next line as text, JSON or not.
    pub async fn receive_text(&mut self) -> Option<String> {
        tokio::time::timeout(PATIENCE, self.lines.next_line())
            .await
            .expect("the app-server says something")
            .expect("its output is UTF-8")
    }

    /// Reads until a line with this method, which it returns; all lines go to the log.
    pub async fn until(&mut self, method: &str) -> Value {
        loop {
            let line = self.receive().await.unwrap_or_else(|| panic!("the app-server ended before {method}"));
            self.log.push(line.clone());
            if line["method"] == method {
                return line;
            }
        }
    }

    /// Starts a pure thread, injects `items` and starts a turn on them; returns both ids.
    pub async fn start_turn(&mut self, thread: Value, items: Value, turn: Value) -> (String, String) {
        let mut params = json!({
            "model": "gpt-6.1-sol", "approvalPolicy": "never", "sandbox": "read-only",
            "baseInstructions": "", "ephemeral": true, "environments": [], "dynamicTools": [],
            "experimentalRawEvents": true,
        });
        merge(&mut params, thread);
        let started = self.request("thread/start", params).await;
        let thread_id = text(&started["result"]["thread"]["id"]);
        let injected =
            self.request("thread/inject_items", json!({"threadId": thread_id, "items": items})).await;
        assert_eq!(injected["result"], json!({}), "injection was refused");
        let mut params = json!({"threadId": thread_id, "input": [], "effort": "low", "summary": "auto"});
        merge(&mut params, turn);
        let started = self.request("turn/start", params).await;
        (thread_id, text(&started["result"]["turn"]["id"]))
    }

    /// Closes its input and returns the exit code.
    pub async fn close(mut self) -> Option<i32> {
        self.stdin = None;
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        status.expect("the app-server ends when its input closes").expect("it can be waited for").code()
    }

    /// Waits until it ends by itself and returns the exit code.
    pub async fn exited(mut self) -> Option<i32> {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        status.expect("the app-server ends").expect("it can be waited for").code()
    }

    /// The child's process id.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// The received lines with this method.
    pub fn logged(&self, method: &str) -> Vec<&Value> {
        self.log.iter().filter(|line| line["method"] == method).collect()
    }
}

/// A user message as a Responses item.
pub fn user_item(text: &str) -> Value {
    json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]})
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a string was expected, not {value}")).to_owned()
}

fn merge(base: &mut Value, over: Value) {
    if let (Some(base), Value::Object(over)) = (base.as_object_mut(), over) {
        base.extend(over);
    }
}
