//! Codex CLI itself as a client: what it gets, what it does, and that the proxy adds nothing and removes nothing between it
//! and the model.

use std::fs;
use std::path::PathBuf;

use e2e::brought::{KEY_VARIABLE, Person};
use e2e::codex_bin::{FLOOR, NEWEST, PREVIOUS, codex_path};
use e2e::fake_openai::{FakeOpenAi, Recorded, Script, UPSTREAMS, Upstream};
use e2e::harness::{Proxy, Setup};
use serde_json::{Value, json};

/// A user with this Codex CLI, a proxy with the newest Codex, and the upstreams behind both.
struct Scene {
    version: &'static str,
    person: Person,
    settings: PathBuf,
    upstream: FakeOpenAi,
    /// The upstream of the client without the proxy.
    direct: FakeOpenAi,
    proxy: Proxy,
}

impl Scene {
    async fn new(version: &'static str, kind: Upstream) -> Self {
        let person = Person::default();
        let upstream = FakeOpenAi::of(kind).await;
        let proxy = person.owns(Setup::real(NEWEST, &upstream)).start().await;
        let settings = person.set_up(&proxy, "codex-cli").await;
        Self { version, person, settings, upstream, direct: FakeOpenAi::start().await, proxy }
    }

    /// What it prints as its answer to a prompt.
    async fn says(&self, prompt: &str, more: &[&str]) -> String {
        // Its own sandbox needs rights that not every machine gives, and the commands are ours.
        let mut arguments = vec!["exec", "--skip-git-repo-check", "--sandbox", "danger-full-access"];
        arguments.extend(more);
        arguments.push(prompt);
        let home = self.person.home().join(".codex");
        let variables = [("CODEX_HOME", home.to_str().unwrap()), (KEY_VARIABLE, self.proxy.key.as_str())];
        let printed = self.person.runs(&codex_path(self.version), &arguments, &variables).await;
        printed.out.trim().to_owned()
    }

    /// The same without the proxy.
    async fn says_directly(&self, prompt: &str, more: &[&str]) -> String {
        let settings = fs::read_to_string(&self.settings).unwrap();
        let direct = settings.replace(&self.proxy.base_url, &self.direct.base_url());
        assert_ne!(direct, settings);
        fs::write(&self.settings, direct).unwrap();
        let said = self.says(prompt, more).await;
        fs::write(&self.settings, settings).unwrap();
        said
    }

    /// One turn with and one without the proxy. The model must get the same texts and tools. Returns the tools.
    async fn plain_turn(&self, more: &[&str]) -> Vec<Value> {
        let prompt = "only this";
        for upstream in [&self.upstream, &self.direct] {
            upstream.push(Script::new().message(&["all ", "well 🦀"]));
        }
        assert_eq!(self.says(prompt, more).await, "all well 🦀");
        assert_eq!(self.says_directly(prompt, more).await, "all well 🦀");
        let (through, directly) = (last(&self.upstream), last(&self.direct));
        assert_eq!(through.last_user_text(), prompt);
        for (through, directly) in offered(&through).iter().zip(&offered(&directly)) {
            assert_eq!(through, directly, "{more:?}");
        }
        assert_eq!(offered(&through).len(), offered(&directly).len(), "{more:?}");
        assert_eq!(told(&through), told(&directly), "{more:?}");
        offered(&through)
    }

    /// A turn in which the model calls a tool. The client really runs it, and the model gets its output.
    async fn tool_turn(&self, call: Script, more: &[&str]) -> Value {
        let [item] = call.items() else { panic!("one call") };
        let id = item["call_id"].clone();
        let before = self.upstream.requests().len();
        self.upstream.on_marker("USE_IT", [call, Script::text("it is used")]);
        assert_eq!(self.says("USE_IT", more).await, "it is used");
        let requests = &self.upstream.requests()[before..];
        assert_eq!(requests.len(), 2, "{requests:#?}");
        let items = requests[1].input_without_ids();
        let output = items.last().unwrap();
        assert_eq!(output["call_id"], id, "{output}");
        output["output"].clone()
    }

    /// The model runs a command by the tool that this version has for it.
    async fn runs_a_command(&self, offered: &[Value]) {
        let (tool, argument) = shell(offered);
        let arguments = json!({argument: "echo \"it is $((6 * 7))\" | tee ran"}).to_string();
        let output = self.tool_turn(Script::new().function_call("call_sh", tool, &arguments, 4), &[]).await;
        assert!(output.as_str().unwrap().contains("it is 42"), "{output}");
        assert_eq!(self.read("ran"), "it is 42\n");
    }

    /// The model changes a file by a patch, for which it has a tool or the shell.
    async fn changes_a_file(&self, offered: &[Value], more: &[&str]) {
        fs::write(self.person.work().join("poem"), "roses are red\nviolets are red\n").unwrap();
        let patch = "*** Begin Patch\n*** Update File: poem\n@@\n roses are red\n-violets are red\n+violets are \
                     blue\n*** End Patch\n";
        let call = match offered.iter().any(|tool| tool["name"] == "apply_patch") {
            true => Script::new().custom_tool_call("call_patch", "apply_patch", patch, 5),
            false => {
                let (tool, argument) = shell(offered);
                let arguments = json!({argument: format!("apply_patch <<'EOF'\n{patch}EOF\n")}).to_string();
                Script::new().function_call("call_patch", tool, &arguments, 5)
            }
        };
        let output = self.tool_turn(call, more).await;
        assert!(output.as_str().unwrap().contains("M poem"), "{output}");
        assert_eq!(self.read("poem"), "roses are red\nviolets are blue\n");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.person.work().join(name)).unwrap()
    }

    /// Has the client use a WebSocket.
    fn over_a_web_socket(&self) {
        let settings = fs::read_to_string(&self.settings).unwrap();
        let wire = "wire_api = \"responses\"\n";
        let changed = settings.replace(wire, &format!("{wire}supports_websockets = true\n"));
        assert_ne!(changed, settings);
        fs::write(&self.settings, changed).unwrap();
    }

    /// Checks that the proxy accepted all its requests.
    async fn all_was_answered(&self) {
        let log = self.proxy.control_ok("/requests", None).await;
        let requests = log["requests"].as_array().unwrap();
        assert_eq!(requests.len(), self.upstream.requests().len(), "{log:#}");
        for request in requests {
            assert_eq!((&request["state"], &request["route"]), (&json!("done"), &json!("/v1/responses")));
        }
        assert_eq!(self.upstream.unscripted(), [""; 0]);
    }
}

fn last(upstream: &FakeOpenAi) -> Recorded {
    upstream.requests().pop().unwrap()
}

/// The client's tools by their names. Tools without a namespace have another position, because the proxy sends them in a
/// namespace. Leaves out what the proxy names in a header as not supported: `tool_search`, with which a client looks for
/// more tools, and the settings of the web search.
fn offered(request: &Recorded) -> Vec<Value> {
    let name = |tool: &Value| tool["name"].as_str().or(tool["type"].as_str()).unwrap().to_owned();
    let as_known = |tool: &Value| match tool["type"].as_str().unwrap() {
        "tool_search" => None,
        "web_search" => Some(json!({"type": "web_search"})),
        _ => Some(tool.clone()),
    };
    let mut tools: Vec<_> =
        request.offered().into_iter().filter_map(|offered| as_known(offered.tool)).collect();
    tools.sort_by_key(name);
    tools
}

/// The texts that the model gets, the instructions first.
fn told(request: &Recorded) -> Vec<Value> {
    let instructions = request.body["instructions"].as_str().filter(|text| !text.is_empty());
    let instructions = instructions.map(|text| {
        json!({"type": "message", "role": "developer", "content": [{"type": "input_text", "text": text}]})
    });
    let mut items = request.input_without_ids();
    items.retain(|item| item["type"] != "additional_tools");
    instructions.into_iter().chain(items).collect()
}

/// The tool for commands among those that are offered, and which of its arguments the command is.
fn shell(offered: &[Value]) -> (&str, &'static str) {
    let known = [("exec_command", "cmd"), ("shell_command", "command")];
    let is_offered = |name: &str| offered.iter().any(|tool| tool["name"] == name);
    known.into_iter().find(|(name, _)| is_offered(name)).unwrap_or_else(|| panic!("no shell: {offered:#?}"))
}

async fn everything(version: &'static str, kind: Upstream) {
    let scene = Scene::new(version, kind).await;
    let offered = scene.plain_turn(&[]).await;
    scene.runs_a_command(&offered).await;
    scene.changes_a_file(&offered, &[]).await;
    scene.all_was_answered().await;
}

#[tokio::test]
async fn the_newest_codex_works_through_the_proxy() {
    for kind in UPSTREAMS {
        everything(NEWEST, kind).await;
    }
}

#[tokio::test]
async fn over_a_web_socket_the_newest_codex_sends_only_what_is_new() {
    for kind in UPSTREAMS {
        let scene = Scene::new(NEWEST, kind).await;
        scene.over_a_web_socket();
        let prompt = "only this";
        scene.upstream.push(Script::new().message(&["all ", "well 🦀"]));
        assert_eq!(scene.says(prompt, &[]).await, "all well 🦀");
        let first = last(&scene.upstream);
        assert_eq!(first.last_user_text(), prompt);
        scene.runs_a_command(&offered(&first)).await;
        let log = scene.proxy.control_ok("/requests", None).await;
        let requests = log["requests"].as_array().unwrap();
        assert!(requests.len() >= 3, "{log:#}");
        for request in requests {
            assert_eq!((&request["state"], &request["method"]), (&json!("done"), &json!("GET")), "{log:#}");
        }
        // What goes on from a warm-up or another answer is smaller than the warm-up, which has everything.
        let sizes: Vec<_> = requests.iter().filter_map(|request| request["request_bytes"].as_u64()).collect();
        let (largest, smallest) = (sizes.iter().max().unwrap(), sizes.iter().min().unwrap());
        assert!(smallest * 4 < largest * 3, "{sizes:?}");
    }
}

#[tokio::test]
async fn the_codex_before_it_works_through_the_proxy() {
    everything(PREVIOUS, Upstream::Plain).await;
}

#[tokio::test]
async fn the_oldest_codex_works_through_the_proxy() {
    everything(FLOOR, Upstream::Plain).await;
}

/// A model by a name that Codex CLI knows brings other tools: one for patches, or one that runs scripts.
#[tokio::test]
async fn a_codex_that_knows_the_models_name_works_through_the_proxy() {
    for kind in UPSTREAMS {
        let scene = Scene::new(NEWEST, kind).await;
        let more = ["--model", "gpt-5.5"];
        let offered = scene.plain_turn(&more).await;
        assert!(offered.iter().any(|tool| tool["name"] == "apply_patch"), "{offered:#?}");
        scene.changes_a_file(&offered, &more).await;

        let more = ["--model", "gpt-6.2-sol"];
        let offered = scene.plain_turn(&more).await;
        assert!(
            offered.iter().any(|tool| tool["name"] == "exec" && tool["type"] == "custom"),
            "{offered:#?}"
        );
        let script =
            "const r = await tools.exec_command({cmd: 'echo \"it is $((6 * 7))\"'}); text(r.output);";
        let output =
            scene.tool_turn(Script::new().custom_tool_call("call_js", "exec", script, 5), &more).await;
        assert!(output.to_string().contains("it is 42"), "{output}");
        scene.all_was_answered().await;
    }
}
