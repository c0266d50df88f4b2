//! A thread of the fake: its input, and the default behaviour of a turn on it.

use std::rc::Rc;

use serde_json::{Value, json};

use super::sample::sample;
use super::scenario::{Call, Scenario, Step};

pub(super) const GREETING: &str = "Hello! This is the demonstration model behind Codex Proxy: what you read is \
    scripted, needs no account and costs nothing. Connect the real Codex to get real answers.";

/// A started thread.
pub(super) struct Thread {
    pub(super) model: String,
    pub(super) tools: Vec<Value>,
    pub(super) raw_events: bool,
    pub(super) user_text: String,
    /// Tool outputs that came after the last user text.
    pub(super) outputs: Vec<String>,
}

impl Thread {
    /// Updates the default scenario for an injected item.
    pub(super) fn take(&mut self, item: &Value) {
        if item["role"] == "user" {
            let parts = item["content"].as_array().map(Vec::as_slice).unwrap_or_default();
            let texts: Vec<_> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
            self.user_text = texts.join("\n");
            self.outputs.clear();
        } else if item["type"] == "function_call_output" {
            self.outputs
                .push(item["output"].as_str().map_or_else(|| item["output"].to_string(), str::to_owned));
        }
    }

    /// The item that contains the tools of a thread, if it has any.
    pub(super) fn additional_tools(&self) -> Option<Value> {
        let tools: Vec<_> = self
            .tools
            .iter()
            .map(|tool| {
                json!({
                    "type": "function", "name": tool["name"], "description": tool["description"],
                    "strict": false, "parameters": tool["inputSchema"],
                })
            })
            .collect();
        let namespace =
            json!([{"type": "namespace", "name": "functions", "description": "", "tools": tools}]);
        (!self.tools.is_empty())
            .then(|| json!({"type": "additional_tools", "role": "developer", "tools": namespace}))
    }

    /// The steps of a turn on this thread.
    pub(super) fn steps(&self, scenario: &Scenario, schema: &Value) -> Rc<Vec<Step>> {
        let named = between(&self.user_text, "[[scenario:", "]]").first().copied();
        if let Some(steps) = scenario.scenarios.get(named.unwrap_or("default")) {
            return steps.clone();
        }
        Rc::new(self.default_steps(schema))
    }

    fn default_steps(&self, schema: &Value) -> Vec<Step> {
        let reasoning = Step::Reasoning {
            parts: vec![vec!["**Reading ".to_owned(), "the question**".to_owned()]],
            encrypted: Some("ZGVtbw==".to_owned()),
        };
        if schema.is_object() {
            return vec![reasoning, text(deltas(&sample(schema).to_string()))];
        }
        if !self.outputs.is_empty() {
            let answer = format!("The tools answered: {}", self.outputs.join("; "));
            return vec![reasoning, text(deltas(&answer))];
        }
        let calls = self.calls();
        if calls.is_empty() {
            return vec![reasoning, text(deltas(GREETING))];
        }
        let done = text(deltas("The tools have answered, thank you."));
        vec![reasoning, Step::Calls { calls, late: false }, done]
    }

    /// The calls that the user text requests, of tools that the thread has.
    fn calls(&self) -> Vec<Call> {
        between(&self.user_text, "[[call:", "]]")
            .into_iter()
            .filter_map(|call| {
                let (name, arguments) = call.split_once(' ').unwrap_or((call, "{}"));
                let known = self.tools.iter().any(|tool| tool["name"] == name);
                known.then(|| Call { name: name.to_owned(), arguments: json!(arguments), call_id: None })
            })
            .collect()
    }
}

fn between<'a>(text: &'a str, open: &str, close: &str) -> Vec<&'a str> {
    text.split(open).skip(1).filter_map(|rest| rest.split_once(close).map(|(inside, _)| inside)).collect()
}

fn text(deltas: Vec<String>) -> Step {
    Step::Text { deltas, open: false }
}

fn deltas(text: &str) -> Vec<String> {
    text.split_inclusive(' ').map(str::to_owned).collect()
}

/// The parameters of `thread/settings/updated`.
pub(super) fn settings(thread_id: &str, model: &str, effort: &Value, summary: &Value) -> Value {
    json!({
        "threadId": thread_id,
        "threadSettings": {
            "disabledPluginIds": [], "cwd": "", "environments": [], "approvalPolicy": "never",
            "approvalsReviewer": "user", "sandboxPolicy": {"type": "readOnly", "networkAccess": false},
            "activePermissionProfile": null, "model": model, "modelProvider": "mock",
            "serviceTier": null, "effort": effort, "summary": summary,
            "collaborationMode": {
                "mode": "default",
                "settings": {"model": model, "reasoning_effort": effort, "developer_instructions": null},
            },
            "multiAgentMode": "explicitRequestOnly", "personality": null,
        },
    })
}

/// The result of `model/list`.
pub(super) fn model_list() -> Value {
    let catalogue = serde_json::from_str::<Value>(super::CATALOGUE).expect("the bundled catalogue is JSON");
    let models = catalogue["models"].as_array().cloned().unwrap_or_default();
    let mut first = true;
    let listed = models.iter().filter(|model| model["visibility"] == "list").map(|model| {
        let efforts = model["supported_reasoning_levels"].as_array().cloned().unwrap_or_default();
        let efforts: Vec<_> = efforts
            .iter()
            .map(|e| json!({"reasoningEffort": e["effort"], "description": e["description"]}))
            .collect();
        json!({
            "id": model["slug"], "model": model["slug"], "upgrade": null, "upgradeInfo": null,
            "availabilityNux": model["availability_nux"], "displayName": model["display_name"],
            "description": model["description"], "modelSpecialty": null, "hidden": false,
            "supportedReasoningEfforts": efforts,
            "defaultReasoningEffort": model["default_reasoning_level"],
            "inputModalities": model["input_modalities"], "supportsPersonality": false,
            "multiAgentVersion": null, "additionalSpeedTiers": model["additional_speed_tiers"],
            "serviceTiers": model["service_tiers"], "defaultServiceTier": null,
            "availableAccessPrograms": null, "isDefault": std::mem::take(&mut first),
        })
    });
    json!({"data": listed.collect::<Vec<_>>(), "nextCursor": null})
}
