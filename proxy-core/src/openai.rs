//! The OpenAI side: wire types and pure translation.

/// What the operator decides about the OpenAI surfaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Which aliases `/v1/models` advertises.
    pub environment: Environment,
    /// The Codex model behind `codex-5` and its kin.
    pub default_model: String,
    /// Whether a client's system prompt is kept out of Codex's base instructions.
    pub ignore_client_system_prompt: bool,
    /// Whether a parameter that Codex cannot honour is an error rather than ignored.
    pub strict_params: bool,
    /// Whether an unknown `gpt-*` id is answered by the default model.
    pub model_fallback: bool,
    /// Longest prompt in estimated tokens; 0 is no limit.
    pub max_prompt_tokens: u64,
    /// Output limit in tokens for `/v1/responses` requests that bring none; 0 is no limit.
    pub responses_default_max_tokens: u64,
    /// Output mode of `/v1/chat/completions` unless a request names another.
    pub chat_output_mode: OutputMode,
    /// Output mode of `/v1/responses` unless a request names another.
    pub responses_output_mode: OutputMode,
}

/// Which model aliases are advertised. All of them are accepted in either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// `codex-5` and its kin.
    Prod,
    /// `codev-5` and its kin.
    Dev,
}

impl Environment {
    /// Every environment.
    pub const ALL: &[Self] = &[Self::Prod, Self::Dev];

    /// The name used in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prod => "prod",
            Self::Dev => "dev",
        }
    }
}

/// How tool calls are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputMode {
    /// As structured tool calls.
    OpenaiJson,
    /// As `<use_tool>` blocks in the text.
    ObsidianXml,
}

impl OutputMode {
    /// Every mode.
    pub const ALL: &[Self] = &[Self::OpenaiJson, Self::ObsidianXml];

    /// The name used in the configuration and in the `x-proxy-output-mode` header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenaiJson => "openai-json",
            Self::ObsidianXml => "obsidian-xml",
        }
    }
}
