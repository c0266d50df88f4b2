//! The behaviour of the fake Codex, read from JSON.
//!
//! ```json
//! {
//!   "faults": [{"at": "thread/start", "fault": "exit", "code": 3, "runs": [1]}],
//!   "scenarios": {
//!     "default": [{"step": "text", "deltas": ["Hello, ", "{{user}}"]}],
//!     "tools": [{"step": "calls", "calls": [{"name": "f", "arguments": {"x": 1}}]}, {"step": "text", "deltas": ["done"]}]
//!   }
//! }
//! ```

use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::{env, fs, io};

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Value, json};

/// The whole behaviour of one fake.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// The output of `--version`.
    pub version: String,
    /// The answer to `account/read`.
    pub account: Value,
    /// What `account/rateLimits/read` answers; null stands for "not signed in".
    pub rate_limits: Value,
    /// Keeps every line of input in `$CODEX_HOME/fake-codex.received.jsonl`.
    pub record: bool,
    /// Keeps when each request came, in nanoseconds since 1970, and its method in `$CODEX_HOME/fake-codex.times`.
    pub times: bool,
    /// Ignores SIGTERM.
    pub ignore_sigterm: bool,
    /// Ignores the end of its input.
    pub ignore_stdin_close: bool,
    /// Faults outside of turns.
    pub faults: Vec<Fault>,
    /// Turns by name; `default` is for turns without a `[[scenario:NAME]]` marker.
    pub scenarios: HashMap<String, Rc<Vec<Step>>>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            version: "0.169.0".to_owned(),
            account: json!({
                "account": null, "userId": null, "requiresOpenaiAuth": false, "workspaceRouting": null,
            }),
            rate_limits: Value::Null,
            record: false,
            times: false,
            ignore_sigterm: false,
            ignore_stdin_close: false,
            faults: Vec::new(),
            scenarios: HashMap::new(),
        }
    }
}

/// A fault when a request with this method arrives.
#[derive(Clone, Debug, Deserialize)]
pub struct Fault {
    /// A method, or `start` (before anything is read), `--version`, `debug models`.
    pub at: String,
    /// What happens.
    #[serde(flatten)]
    pub verb: Verb,
    /// Only in these runs of the app-server, counted from 1 in one `CODEX_HOME`; empty stands for all.
    #[serde(default)]
    pub runs: Vec<usize>,
}

/// What a fault does instead of answering.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Verb {
    /// Ends the process.
    Exit {
        /// Its exit code.
        code: i32,
    },
    /// Never answers this request. Other requests work.
    Hang,
    /// Stops reading and writing.
    Freeze,
    /// A JSON-RPC error.
    Error {
        /// Its code.
        code: i64,
        /// Its message.
        message: String,
    },
    /// Refuses this many of these requests, as with a full queue, and then answers normally.
    Busy {
        /// How many.
        times: usize,
    },
    /// Writes a line that is not JSON, and then answers normally.
    Garbage {
        /// The line.
        line: String,
    },
    /// Answers only after the next answer, or after the end of a turn.
    Late,
    /// Writes this much to stderr, and then answers normally.
    StderrFlood {
        /// How many bytes.
        bytes: usize,
    },
}

/// One step of a turn.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// A reasoning item; each summary part is given as its deltas.
    Reasoning {
        /// Summary parts.
        parts: Vec<Vec<String>>,
        /// Its encrypted content.
        #[serde(default)]
        encrypted: Option<String>,
    },
    /// A message; `{{user}}` stands for the last user text.
    Text {
        /// Its deltas.
        deltas: Vec<String>,
        /// The message does not end, as when the turn is about to break off.
        #[serde(default)]
        open: bool,
    },
    /// A message of `count` deltas of the same text.
    Flood {
        /// How many.
        count: usize,
        /// Each of them.
        text: String,
    },
    /// A message in one delta of this many bytes.
    BigLine {
        /// How many bytes.
        bytes: usize,
    },
    /// Parallel function calls; the turn goes on when all are answered.
    Calls {
        /// The calls.
        calls: Vec<Call>,
        /// The requests come after the end of the model's response, as also happens for real.
        #[serde(default)]
        late: bool,
    },
    /// A hosted web search.
    WebSearch {
        /// The search query.
        query: String,
    },
    /// The token counts of the model response that these steps belong to.
    Usage(Tokens),
    /// An `error` notification; without `willRetry` the turn fails with it.
    Error {
        /// For people.
        message: String,
        /// `codexErrorInfo`.
        #[serde(default)]
        info: Value,
        /// `additionalDetails`.
        #[serde(default)]
        details: Option<String>,
        /// Whether this is only progress.
        #[serde(default, rename = "willRetry")]
        will_retry: bool,
    },
    /// Ends the process in the middle of the turn.
    Exit {
        /// Its exit code.
        code: i32,
    },
    /// Nothing more happens until the turn is interrupted.
    Hang,
    /// The process stops reading and writing.
    Freeze,
    /// Waits until this many turns have reached their barrier. Then their events interleave.
    Barrier {
        /// How many.
        turns: usize,
    },
    /// Waits until a file of this name is in `CODEX_HOME`.
    File {
        /// Its name.
        name: String,
    },
    /// Waits this long.
    Pause {
        /// Milliseconds.
        ms: u64,
    },
    /// A line that is not a protocol message.
    Garbage {
        /// The line.
        line: String,
    },
    /// Any notification; `threadId` and `turnId` are added.
    Notify {
        /// Its method.
        method: String,
        /// Its parameters.
        params: Value,
    },
    /// From here on every write has at most this many bytes.
    Split {
        /// How many bytes.
        size: usize,
    },
    /// Writes this much to stderr.
    StderrFlood {
        /// How many bytes.
        bytes: usize,
    },
}

/// One function call.
#[derive(Clone, Debug, Deserialize)]
pub struct Call {
    /// The tool.
    pub name: String,
    /// Its arguments: an object, or a string that is passed on as it is.
    pub arguments: Value,
    /// The id; by default, a new one is generated.
    #[serde(default)]
    pub call_id: Option<String>,
}

/// Token counts of one model response.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Tokens {
    /// All input.
    pub input: u64,
    /// Of these, from the cache.
    pub cached: u64,
    /// Of these, written to the cache.
    pub cache_write: u64,
    /// All output.
    pub output: u64,
    /// Of these, reasoning.
    pub reasoning: u64,
}

impl Scenario {
    /// Reads `FAKE_CODEX_SCENARIO` (inline JSON or a path), else `$CODEX_HOME/fake-codex.json`, else default.
    ///
    /// # Errors
    /// If what is there cannot be read as a scenario.
    pub fn load() -> anyhow::Result<Self> {
        let text = match env::var("FAKE_CODEX_SCENARIO") {
            Ok(inline) if inline.trim_start().starts_with(['{', '[']) => inline,
            Ok(path) => fs::read_to_string(&path).with_context(|| format!("FAKE_CODEX_SCENARIO={path}"))?,
            Err(_) => match codex_home().map(|home| fs::read_to_string(home.join("fake-codex.json"))) {
                Some(Ok(text)) => text,
                Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => return Ok(Self::default()),
            },
        };
        Self::parse(&text).context("this scenario cannot be understood")
    }

    /// Reads a scenario; a bare array is the default turn's steps.
    ///
    /// # Errors
    /// If it is not JSON of this shape.
    pub fn parse(text: &str) -> serde_json::Result<Self> {
        if text.trim_start().starts_with('[') {
            let steps = Rc::new(serde_json::from_str(text)?);
            return Ok(Self { scenarios: HashMap::from([("default".to_owned(), steps)]), ..Self::default() });
        }
        serde_json::from_str(text)
    }

    /// The fault for this place in this run.
    pub fn fault(&self, at: &str, run: usize) -> Option<&Verb> {
        let matches = |fault: &&Fault| fault.at == at && (fault.runs.is_empty() || fault.runs.contains(&run));
        self.faults.iter().find(matches).map(|fault| &fault.verb)
    }
}

/// `$CODEX_HOME`, if set.
pub fn codex_home() -> Option<PathBuf> {
    env::var_os("CODEX_HOME").map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_is_read_and_a_misspelt_one_is_refused() {
        let text = r#"{"faults":[{"at":"turn/start","fault":"exit","code":3,"runs":[2]}],
            "scenarios":{"a":[{"step":"usage","input":5},{"step":"flood","count":2,"text":"x"}]}}"#;
        let scenario = Scenario::parse(text).unwrap();
        assert!(matches!(scenario.fault("turn/start", 2), Some(Verb::Exit { code: 3 })));
        assert!(scenario.fault("turn/start", 1).is_none());
        assert!(matches!(scenario.scenarios["a"][0], Step::Usage(Tokens { input: 5, .. })));
        for bad in [r#"{"scenarois":{}}"#, r#"[{"step":"txt"}]"#, r#"[{"step":"text","deltas":["a"],"x":1}]"#]
        {
            assert!(Scenario::parse(bad).is_err(), "{bad}");
        }
    }
}
