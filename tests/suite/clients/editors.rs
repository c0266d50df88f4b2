//! Clients that are editor extensions or servers: the requests that their source code makes.

use e2e::codex_bin::NEWEST;
use e2e::fake_openai::{FakeOpenAi, Recorded, Script, UPSTREAMS};
use e2e::harness::{Proxy, Setup};
use e2e::sse::SseReader;
use serde_json::{Value, json};

use crate::surface::Surface;

const PNG: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// The request of one client, and what the model must get from it.
struct Case {
    client: &'static str,
    surface: Surface,
    body: Value,
    /// The items of the input: a message's role and text, a call's or an output's kind and content.
    said: &'static [(&'static str, &'static str)],
    tools: &'static [&'static str],
    headers: &'static [(&'static str, &'static str)],
}

impl Case {
    fn new(client: &'static str, surface: Surface, body: Value) -> Self {
        Self { client, surface, body, said: &[], tools: &[], headers: &[] }
    }

    fn says(mut self, said: &'static [(&'static str, &'static str)]) -> Self {
        self.said = said;
        self
    }

    fn offers(mut self, tools: &'static [&'static str]) -> Self {
        self.tools = tools;
        self
    }

    async fn check(&self, proxy: &Proxy, upstream: &FakeOpenAi) {
        let Self { client, surface, body, .. } = self;
        let request = proxy.post(surface.path(), body);
        let request =
            self.headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = request.send().await.unwrap();
        if response.status() != 200 {
            panic!("{client}: {} {}", response.status(), response.text().await.unwrap());
        }
        if body["stream"] == true {
            let events = SseReader::new(response).await.events().await;
            assert_eq!(surface.streamed_text(&events), "all well 🦀", "{client}");
            match surface {
                Surface::Chat => {
                    let counted = events.last().unwrap();
                    assert_eq!(counted["choices"], json!([]), "{client}");
                    assert_eq!(counted["usage"]["prompt_tokens"], 100, "{client}");
                    assert_eq!(counted["usage"]["prompt_tokens_details"]["cached_tokens"], 40, "{client}");
                }
                Surface::Responses => {
                    let last = events.iter().find(|event| event["type"] == "response.completed").unwrap();
                    assert_eq!(surface.text(&last["response"]), "all well 🦀", "{client}");
                    assert_eq!(last["response"]["usage"]["input_tokens"], 100, "{client}");
                }
            }
        } else {
            let answer = serde_json::from_str(&response.text().await.unwrap()).unwrap();
            assert_eq!(surface.text(&answer), "all well 🦀", "{client}");
        }
        let request = upstream.requests().pop().unwrap();
        let said = said(&request);
        let said: Vec<_> = said.iter().map(|(who, what)| (who.as_str(), what.as_str())).collect();
        assert_eq!(said, self.said, "{client}");
        let offered = request.offered();
        let names: Vec<_> = offered.iter().map(|offered| offered.tool["name"].as_str().unwrap()).collect();
        assert_eq!(names, self.tools, "{client}");
    }
}

fn said(request: &Recorded) -> Vec<(String, String)> {
    let parts = |content: &Value| -> String {
        let text = |part: &Value| match part["type"].as_str() {
            Some("input_image") if part["image_url"] == PNG => "(image)".to_owned(),
            _ => part["text"].as_str().unwrap_or_else(|| panic!("no text: {part}")).to_owned(),
        };
        let of_all = || content.as_array().unwrap().iter().map(text).collect::<Vec<_>>().join("|");
        content.as_str().map_or_else(of_all, str::to_owned)
    };
    let item = |item: Value| match item["type"].as_str().unwrap() {
        "message" => (item["role"].as_str().unwrap().to_owned(), parts(&item["content"])),
        "function_call" => (
            "call".to_owned(),
            format!("{}{}", item["name"].as_str().unwrap(), item["arguments"].as_str().unwrap()),
        ),
        "function_call_output" => ("output".to_owned(), parts(&item["output"])),
        other => (other.to_owned(), String::new()),
    };
    let mut items = request.input_without_ids();
    items.retain(|item| item["type"] != "additional_tools");
    items.into_iter().map(item).collect()
}

async fn check(cases: &[Case]) {
    for kind in UPSTREAMS {
        let upstream = FakeOpenAi::of(kind).await;
        upstream.fall_back_to(Script::new().message(&["all ", "well 🦀"]));
        let proxy = Setup::real(NEWEST, &upstream).start().await;
        for case in cases {
            case.check(&proxy, &upstream).await;
        }
    }
}

fn path_tool(strict: bool) -> Value {
    let mut function = json!({
        "name": "read_file", "description": "Reads a file.",
        "parameters": {
            "type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"],
            "additionalProperties": false,
        },
    });
    if strict {
        function["strict"] = json!(true);
    }
    json!({"type": "function", "function": function})
}

fn call() -> Value {
    json!([{"id": "call_1", "type": "function", "function": {"name": "read_file", "arguments": "{\"path\":\"a\"}"}}])
}

/// cline/cline, `src/core/api/providers/openai.ts`: with tools of the API, and with tools in tags within the texts.
#[tokio::test]
async fn cline() {
    let native = json!({
        "model": "codex-5", "temperature": 0, "stream": true, "stream_options": {"include_usage": true},
        "messages": [
            {"role": "system", "content": "You are Cline"},
            {"role": "user", "content": [
                {"type": "text", "text": "<task>\nlook\n</task>"},
                {"type": "image_url", "image_url": {"url": PNG}},
                {"type": "text", "text": "<environment_details>\n</environment_details>"},
            ]},
            {"role": "assistant", "content": "I look.", "tool_calls": call()},
            {"role": "tool", "tool_call_id": "call_1", "content": "[read_file] Result:\nb"},
            {"role": "user", "content": [{"type": "text", "text": "<environment_details>\n</environment_details>"}]},
        ],
        "tools": [path_tool(false)],
    });
    let tags = json!({
        "model": "gpt-5", "max_tokens": 32_000, "reasoning_effort": "medium", "stream": true,
        "stream_options": {"include_usage": true},
        "messages": [
            {"role": "developer", "content": "TOOL USE"},
            {"role": "user", "content": "<task>\nlook\n</task>"},
            {"role": "assistant", "content": "<read_file>\n<path>a</path>\n</read_file>"},
            {"role": "user", "content": "[read_file for 'a'] Result:"},
        ],
    });
    check(&[
        Case::new("Cline", Surface::Chat, native)
            .says(&[
                ("developer", "You are Cline"),
                ("user", "<task>\nlook\n</task>|(image)|<environment_details>\n</environment_details>"),
                ("assistant", "I look."),
                ("call", "read_file{\"path\":\"a\"}"),
                ("output", "[read_file] Result:\nb"),
                ("user", "<environment_details>\n</environment_details>"),
            ])
            .offers(&["read_file"]),
        Case::new("Cline with tags", Surface::Chat, tags).says(&[
            ("developer", "TOOL USE"),
            ("user", "<task>\nlook\n</task>"),
            ("assistant", "<read_file>\n<path>a</path>\n</read_file>"),
            ("user", "[read_file for 'a'] Result:"),
        ]),
    ])
    .await;
}

/// RooCodeInc/Roo-Code, `src/api/providers/openai.ts`.
#[tokio::test]
async fn roo_code() {
    let cached = |text: &str| json!([{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]);
    let native = json!({
        "model": "codex-5", "temperature": 0, "stream": true, "stream_options": {"include_usage": true},
        "reasoning_effort": "medium", "max_completion_tokens": 8192, "tool_choice": "auto",
        "parallel_tool_calls": false, "tools": [path_tool(true)],
        "messages": [
            {"role": "system", "content": cached("You are Roo")},
            {"role": "user", "content": cached("look")},
            {"role": "assistant", "content": "", "tool_calls": call()},
            {"role": "tool", "tool_call_id": "call_1", "content": "b"},
            {"role": "user", "content": cached("go on")},
        ],
    });
    let whole = json!({"model": "codex-5", "messages": [{"role": "user", "content": "better words"}]});
    check(&[
        Case::new("Roo Code", Surface::Chat, native)
            .says(&[
                ("developer", "You are Roo"),
                ("user", "look"),
                ("call", "read_file{\"path\":\"a\"}"),
                ("output", "b"),
                ("user", "go on"),
            ])
            .offers(&["read_file"]),
        Case::new("Roo Code's prompt", Surface::Chat, whole).says(&[("user", "better words")]),
    ])
    .await;
}

/// continuedev/continue, `core/llm/openaiTypeConverters.ts` and `packages/openai-adapters/src/apis/OpenAI.ts`.
#[tokio::test]
async fn continue_dev() {
    let body = json!({
        "model": "codex-5", "max_tokens": 4096, "temperature": 0.5, "top_p": 1, "frequency_penalty": 0,
        "presence_penalty": 0, "stop": ["\n\n\n\n\n"], "stream": true, "stream_options": {"include_usage": true},
        "messages": [
            {"role": "system", "content": "<important_rules>"},
            {"role": "user", "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": PNG, "detail": "auto"}},
            ]},
            {"role": "assistant", "content": " ", "tool_calls": call()},
            {"role": "tool", "tool_call_id": "call_1", "content": "b"},
        ],
        "tools": [path_tool(false)],
    });
    check(&[Case::new("Continue", Surface::Chat, body)
        .says(&[
            ("developer", "<important_rules>"),
            ("user", "look|(image)"),
            ("assistant", " "),
            ("call", "read_file{\"path\":\"a\"}"),
            ("output", "b"),
        ])
        .offers(&["read_file"])])
    .await;
}

/// zed-industries/zed, `crates/open_ai/src/open_ai.rs` with the capabilities that our settings name.
#[tokio::test]
async fn zed() {
    let body = json!({
        "model": "codex-5", "stream": true, "stream_options": {"include_usage": true},
        "parallel_tool_calls": true, "prompt_cache_key": "thread-1", "reasoning_effort": "medium",
        "tools": [{"type": "function", "function": {"name": "now", "description": null, "parameters": {
            "type": "object", "properties": {},
        }}}],
        "messages": [
            {"role": "system", "content": "You are Zed's agent"},
            {"role": "user", "content": [
                {"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": PNG}},
            ]},
            {"role": "assistant", "content": null, "tool_calls": call(), "reasoning_content": "hm"},
            {"role": "tool", "content": [{"type": "text", "text": "b"}], "tool_call_id": "call_1"},
            {"role": "user", "content": "go on"},
        ],
    });
    check(&[Case::new("Zed", Surface::Chat, body)
        .says(&[
            ("developer", "You are Zed's agent"),
            ("user", "look|(image)"),
            ("call", "read_file{\"path\":\"a\"}"),
            ("output", "b"),
            ("user", "go on"),
        ])
        .offers(&["now"])])
    .await;
}

/// Aider uses LiteLLM: texts only, with an answer of its own between the files and the question.
#[tokio::test]
async fn aider() {
    let body = json!({
        "model": "codex-5", "temperature": 0, "stream": true, "stream_options": {"include_usage": true},
        "messages": [
            {"role": "system", "content": "Act as an expert software developer."},
            {"role": "user", "content": "I have *added these files to the chat*"},
            {"role": "assistant", "content": "Ok."},
            {"role": "user", "content": "change it"},
            {"role": "system", "content": "# *SEARCH/REPLACE block* Rules:"},
        ],
    });
    check(&[Case::new("aider", Surface::Chat, body).says(&[
        ("developer", "Act as an expert software developer."),
        ("user", "I have *added these files to the chat*"),
        ("assistant", "Ok."),
        ("user", "change it"),
        ("developer", "# *SEARCH/REPLACE block* Rules:"),
    ])])
    .await;
}

/// run-llama/llama_index, `llama-index-integrations/llms/llama-index-llms-openai/llama_index/llms/openai/base.py`.
#[tokio::test]
async fn llama_index() {
    let whole = json!({
        "model": "codex-5", "temperature": 0.1, "stream": false, "tools": [path_tool(false)], "tool_choice": "auto",
        "messages": [
            {"role": "system", "content": "You answer from the sources."},
            {"role": "user", "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": PNG, "detail": "auto"}},
            ]},
            {"role": "assistant", "content": null, "tool_calls": call()},
            {"role": "tool", "content": "b", "tool_call_id": "call_1"},
        ],
    });
    let mut streamed = whole.clone();
    streamed["stream"] = json!(true);
    let says = &[
        ("developer", "You answer from the sources."),
        ("user", "look|(image)"),
        ("call", "read_file{\"path\":\"a\"}"),
        ("output", "b"),
    ];
    check(
        &[whole, streamed]
            .map(|body| Case::new("LlamaIndex", Surface::Chat, body).says(says).offers(&["read_file"])),
    )
    .await;
}

/// open-webui/open-webui, `backend/open_webui/routers/openai.py`: what its own page has sent is in the body too. It keeps
/// `metadata` to itself. The thoughts that it has stored are not sealed, so they say nothing to the model.
#[tokio::test]
async fn open_webui() {
    let chat = json!({
        "model": "codex-5", "stream": true, "stream_options": {"include_usage": true},
        "chat_id": "c0ffee", "session_id": "s1", "id": "m1", "features": {"web_search": false, "memory": false},
        "variables": {"{{USER_NAME}}": "me"}, "background_tasks": {"title_generation": true}, "params": {},
        "tool_ids": [], "model_item": {"id": "codex-5", "owned_by": "openai"}, "files": [], "filter_ids": [],
        "temperature": 0.8, "top_k": 40, "repeat_penalty": 1.1, "num_ctx": 2048,
        "messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"}],
    });
    let responses = json!({
        "model": "codex-5", "stream": true, "instructions": "be kind", "max_output_tokens": 4000,
        "temperature": 0.8, "reasoning_effort": "medium",
        "tools": [{"type": "function", "name": "read_file", "description": "d", "parameters": {
            "type": "object", "properties": {"path": {"type": "string"}},
        }}],
        "input": [
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "look"}, {"type": "input_image", "image_url": PNG},
            ]},
            {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "read_file",
             "arguments": "{\"path\":\"a\"}"},
            {"type": "function_call_output", "call_id": "call_1", "output": [{"type": "input_text", "text": "b"}]},
            {"type": "reasoning", "id": "r_1", "status": "completed", "start_tag": "<think>", "end_tag": "</think>",
             "attributes": {"type": "reasoning_content"}, "content": [{"type": "output_text", "text": "hm"}],
             "summary": null, "started_at": 1.5, "ended_at": 2.5, "duration": 1},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "seen"}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "again"}]},
        ],
    });
    check(&[
        Case::new("Open WebUI", Surface::Chat, chat).says(&[("developer", "be kind"), ("user", "hello")]),
        Case::new("Open WebUI on Responses", Surface::Responses, responses)
            .says(&[
                ("developer", "be kind"),
                ("user", "look|(image)"),
                ("call", "read_file{\"path\":\"a\"}"),
                ("output", "b"),
                ("assistant", "seen"),
                ("user", "again"),
            ])
            .offers(&["read_file"]),
    ])
    .await;
}

/// logancyang/obsidian-copilot, `src/LLMProviders/chatModelManager.ts`: LangChain's client, in Obsidian's window.
#[tokio::test]
async fn obsidian_copilot() {
    let responses = json!({
        "model": "gpt-5", "stream": true, "reasoning": {"effort": "low"}, "text": {"verbosity": "medium"},
        "input": [
            {"type": "message", "role": "developer", "content": "You are Obsidian Copilot"},
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "look"},
                {"type": "input_image", "image_url": PNG, "detail": "auto"},
            ]},
        ],
    });
    let chat = json!({
        "model": "codex-5", "stream": true, "tools": [path_tool(false)],
        "messages": [
            {"role": "system", "content": "You are Obsidian Copilot"},
            {"role": "user", "content": [{"type": "text", "text": "look"}]},
        ],
    });
    let cases = [
        Case::new("Obsidian Copilot", Surface::Responses, responses)
            .says(&[("developer", "You are Obsidian Copilot"), ("user", "look|(image)")]),
        Case::new("Obsidian Copilot's agent", Surface::Chat, chat)
            .says(&[("developer", "You are Obsidian Copilot"), ("user", "look")])
            .offers(&["read_file"]),
    ];
    let headers = &[("origin", "app://obsidian.md"), ("x-stainless-lang", "js")];
    check(&cases.map(|case| Case { headers, ..case })).await;
}

/// Cursor in its ask mode, as BerriAI/litellm's pull request 34029 describes it: tools of both forms in one list.
#[tokio::test]
async fn cursor() {
    let ask = json!({
        "model": "codex-5", "stream": true, "stream_options": {"include_usage": true}, "user": "u",
        "metadata": {"cursorConversationId": "c"},
        "messages": [{"role": "system", "content": "You are in Cursor"}, {"role": "user", "content": "look"}],
        "tools": [
            path_tool(false),
            {"type": "custom", "name": "ApplyPatch", "description": "d", "format": {"type": "text"}},
        ],
    });
    check(&[Case::new("Cursor", Surface::Chat, ask)
        .says(&[("developer", "You are in Cursor"), ("user", "look")])
        .offers(&["read_file", "ApplyPatch"])])
    .await;
}
