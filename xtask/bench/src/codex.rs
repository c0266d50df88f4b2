//! Codex without the proxy: the same app-server with the same switches, used directly over stdio.

use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::client::Timing;
use crate::os;

/// A running app-server that has completed its handshake.
pub(crate) struct Codex {
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    next_id: u64,
    _child: Child,
}

impl Codex {
    /// Starts `program` with `args`, with `home` as its `CODEX_HOME` and working directory.
    pub(crate) async fn start(program: &Path, args: &[String], home: &Path) -> Result<Self> {
        let mut command = os::command(program);
        command.args(args).env("CODEX_HOME", home).current_dir(home);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let stdin = child.stdin.take().context("Codex's standard input is not piped")?;
        let stdout = child.stdout.take().context("Codex's standard output is not piped")?;
        let lines = BufReader::new(stdout).lines();
        let mut codex = Self { stdin, lines, next_id: 1, _child: child };
        let client =
            json!({"name": "codex-proxy", "title": "Codex Proxy", "version": env!("CARGO_PKG_VERSION")});
        let capabilities = json!({"experimentalApi": true, "requestAttestation": false});
        codex.request("initialize", json!({"clientInfo": client, "capabilities": capabilities})).await?;
        codex.send(&json!({"method": "initialized"})).await?;
        Ok(codex)
    }

    /// One turn with the same steps as in the proxy. `sent` is the request that Codex sent upstream for the
    /// proxy's turn.
    pub(crate) async fn turn(&mut self, sent: &Value, cwd: &Path) -> Result<Timing> {
        let begin = Instant::now();
        let thread = json!({
            "model": sent["model"], "cwd": cwd, "approvalPolicy": "never", "sandbox": "read-only",
            "baseInstructions": "", "ephemeral": true, "environments": [], "dynamicTools": [],
            "experimentalRawEvents": true,
        });
        let thread = self.request("thread/start", thread).await?["thread"]["id"].clone();
        let content = json!([{"type": "input_text", "text": "Say hello."}]);
        let items = json!([{"type": "message", "role": "user", "content": content}]);
        self.request("thread/inject_items", json!({"threadId": thread, "items": items})).await?;
        let mut turn = json!({"threadId": thread, "input": []});
        for key in ["effort", "summary"] {
            if let Some(value) = sent["reasoning"].get(key).filter(|value| value.is_string()) {
                turn[key] = value.clone();
            }
        }
        self.request("turn/start", turn).await?;
        self.until("item/agentMessage/delta").await?;
        let first_token = begin.elapsed();
        let end = self.until("turn/completed").await?;
        let total = begin.elapsed();
        if end["turn"]["status"] != "completed" {
            bail!("Codex's turn failed: {end}");
        }
        self.request("thread/unsubscribe", json!({"threadId": thread})).await?;
        Ok(Timing { first_token, total })
    }

    async fn request(&mut self, method: &str, params: Value) -> Result<Value> {
        let id = self.next_id;
        self.next_id += 1;
        self.send(&json!({"id": id, "method": method, "params": params})).await?;
        loop {
            let mut line = self.receive().await?;
            if line["id"] == id && line.get("method").is_none() {
                if let Some(error) = line.get("error") {
                    bail!("{method} failed: {error}");
                }
                return Ok(line["result"].take());
            }
        }
    }

    async fn until(&mut self, method: &str) -> Result<Value> {
        loop {
            let mut line = self.receive().await?;
            if line["method"] == method {
                return Ok(line["params"].take());
            }
            if line["method"] == "turn/completed" {
                bail!("Codex's turn ended before `{method}`: {line}");
            }
        }
    }

    async fn send(&mut self, message: &Value) -> Result<()> {
        self.stdin.write_all(format!("{message}\n").as_bytes()).await.context("Codex reads no more")
    }

    async fn receive(&mut self) -> Result<Value> {
        let line = self.lines.next_line().await?.context("Codex ended")?;
        serde_json::from_str(&line).context("Codex printed a line that is no JSON")
    }
}
