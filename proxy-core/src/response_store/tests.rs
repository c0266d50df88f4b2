//! Tests of the store from outside.

mod chains;
mod chats;
mod conversations;
mod model;
mod trouble;
mod upkeep;

use std::fs;

use protocol::openai::responses::{HistoryItem, stored_item};
use serde_json::{Value, json};

use super::*;

fn key(name: &str) -> KeyId {
    KeyId::parse(&format!("key_{name}")).unwrap()
}

fn config() -> Config {
    Config { enabled: true, max_age: None, max_bytes: None }
}

struct Scene {
    directory: tempfile::TempDir,
    store: ResponseStore,
    owner: KeyId,
}

impl Scene {
    fn new() -> Self {
        Self::with(config())
    }

    fn with(config: Config) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = ResponseStore::open(config, directory.path());
        Self { directory, store, owner: key("a") }
    }

    async fn reopen(&mut self, config: Config) {
        self.store.close().await;
        self.store = ResponseStore::open(config, self.directory.path());
    }

    async fn save(&self, id: &str, parent: Option<&str>) {
        self.store.save(response(&self.owner, id, parent)).await.unwrap();
    }

    async fn history(&self, id: &str) -> Option<Vec<String>> {
        let items = self.store.history(&self.owner, id, stored_item).await.unwrap()?;
        Some(ids(&items))
    }

    async fn count(&self, sql: &'static str) -> i64 {
        self.store.peek(|connection| connection.query_row(sql, [], |row| row.get(0))).await
    }

    /// Whether any file of the store has this text.
    fn has_text(&self, text: &str) -> bool {
        fs::read_dir(self.directory.path()).unwrap().any(|entry| {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            memchr::memmem::find(&bytes, text.as_bytes()).is_some()
        })
    }
}

fn ids(items: &[Value]) -> Vec<String> {
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

fn input(id: &str) -> Value {
    json!({"id": format!("in_{id}"), "type": "message", "role": "user", "content": format!("question of {id}")})
}

fn output(id: &str) -> Value {
    json!({"id": format!("out_{id}"), "type": "message", "role": "assistant", "content": format!("answer of {id}")})
}

fn response(owner: &KeyId, id: &str, parent: Option<&str>) -> Saved {
    Saved {
        id: id.to_owned(),
        owner: owner.clone(),
        created_at: now(),
        status: Status::Completed,
        background: false,
        stream: false,
        parent: parent.map(str::to_owned),
        conversation: None,
        object: json!({
            "id": id, "object": "response", "status": "completed", "error": null, "output": [output(id)], "usage": {"total_tokens": 3},
        }),
        input: vec![input(id)],
    }
}

fn running(owner: &KeyId, id: &str, status: Status) -> Saved {
    let mut saved = response(owner, id, None);
    (saved.background, saved.stream, saved.status) = (true, true, status);
    saved.object["status"] = status.as_str().into();
    saved.object["output"] = json!([]);
    saved
}

fn page(limit: u32) -> Page {
    Page { limit, descending: false, after: None, before: None }
}
