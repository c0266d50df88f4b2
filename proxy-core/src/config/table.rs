//! Every setting, once: its environment variable, its key in `config.toml`, its default and its description.

use super::kinds::{
    Address, Bool, Budgets, CorsOrigins, FilePath, Hosts, HttpUrl, Int, Key, LogFilter, Maybe, Millis, Name,
    Networks, OneOf, Pairs, Program, Ratio, RegistryUrl,
};
use super::setting::{Entry, Preset, Setting, setting};
use crate::http::login::Mode as LoginListener;
use crate::keys::KeychainMode;
use crate::telemetry::Format;
use crate::telemetry::trace::SamplerName;
use crate::worker::SandboxMode;
use protocol::openai::Environment;
use protocol::turn::OutputMode;
use protocol::turn::shape::StopMode;

macro_rules! table {
    ($($(#[doc = $about:literal])+ $name:ident: $kind:ty = $setting:expr;)+) => {
        $(
            $(#[doc = $about])+
            pub static $name: Setting<$kind> = $setting.about(concat!($($about),+));
        )+

        /// Every setting, in the order of the documentation.
        pub static ALL: &[&dyn Entry] = &[$(&$name),+];
    };
}

table! {
    /// The configuration file. Without it, the proxy reads `config.toml` in the system's configuration directory, if that file exists.
    CONFIG_FILE: Maybe<FilePath> = setting("PROXY_CONFIG", "", "").not_in_file().flag("config");
    /// The directory for the proxy's data: keys, Codex's private home, usage, caches.
    DATA_DIR: FilePath = setting("PROXY_DATA_DIR", "data_dir", "").preset(Preset::DataDir).flag("data-dir");
    /// Which events are logged, in the syntax of `RUST_LOG`.
    LOG: LogFilter = setting("PROXY_LOG", "log", "info").also(&["RUST_LOG"]).flag("log");
    /// The format of the log file: lines for people (text), or JSON objects (json). It also applies to standard error if that is not a terminal.
    LOG_FORMAT: OneOf<Format> = setting("PROXY_LOG_FORMAT", "log_format", "text");
    /// Whether to write a log file in addition to standard error.
    LOG_FILE: Bool = setting("PROXY_LOG_FILE", "log_file", "true");
    /// The directory of the log file `codex-proxy.log` and of older log files.
    LOG_DIR: FilePath = setting("PROXY_LOG_DIR", "log_dir", "").preset(Preset::InDataDir("logs"));
    /// The size in MiB at which the proxy starts a new log file. It also starts a new one each day.
    LOG_FILE_MAX_MB: Int<u64, 1, 10_000> = setting("PROXY_LOG_FILE_MAX_MB", "log_file_max_mb", "10");
    /// How many log files to keep.
    LOG_FILES: Int<usize, 1, 1000> = setting("PROXY_LOG_FILES", "log_files", "7");

    /// The address to listen on. An address other than loopback needs a long random `PROXY_API_KEY`.
    HOST: Address = setting("PROXY_HOST", "host", "127.0.0.1").flag("host");
    /// The TCP port to listen on; 0 chooses a free port.
    PORT: Int<u16, 0, 65_535> = setting("PORT", "port", "11435").flag("port");
    /// Set this if the proxy runs in a container whose ports are published only on the host's loopback address, as with `-p 127.0.0.1:11435:11435`. Then it may listen on any address inside the container.
    PUBLISHED_ON_LOOPBACK: Bool = setting("PROXY_PUBLISHED_ON_LOOPBACK", "published_on_loopback", "false");
    /// The API key that clients must send. Without it, the proxy makes a key at its first start.
    API_KEY: Maybe<Key> = setting("PROXY_API_KEY", "api_key", "").secret();
    /// Where API keys are stored: in the operating system's keychain if it answers (auto), or in a file (off).
    KEYCHAIN: OneOf<KeychainMode> = setting("PROXY_KEYCHAIN", "keychain", "auto");
    /// More host names that clients may use for the proxy. Loopback names are always allowed.
    ALLOWED_HOSTS: Hosts = setting("PROXY_ALLOWED_HOSTS", "allowed_hosts", "");
    /// The addresses and networks of reverse proxies that the proxy trusts. It uses `X-Forwarded-For`, `-Proto` and `-Host` (or `Forwarded`) only from them. A client behind a reverse proxy never counts as a program on this machine.
    TRUSTED_PROXIES: Networks = setting("PROXY_TRUSTED_PROXIES", "trusted_proxies", "");
    /// Whether the proxy sends CORS headers and answers preflights. Turn it off if your reverse proxy does this.
    ENABLE_CORS: Bool = setting("PROXY_ENABLE_CORS", "enable_cors", "true");
    /// The web origins that may use the proxy. `*` can replace a random host, the labels on the left, or the port (`vscode-webview://*`, `https://*.example.org`, `http://localhost:*`). Without it, Obsidian's applications and loopback pages are allowed.
    CORS_ALLOWED_ORIGINS: CorsOrigins = setting("PROXY_CORS_ALLOWED_ORIGINS", "cors_allowed_origins", "");
    /// Whether `/v1/models` needs a key.
    PROTECT_MODELS: Bool = setting("PROXY_PROTECT_MODELS", "protect_models", "false");
    /// Whether `/v1/usage` answers without a key.
    USAGE_ALLOW_UNAUTH: Bool = setting("PROXY_USAGE_ALLOW_UNAUTH", "usage_allow_unauth", "false");
    /// Whether the proxy serves `/v1/responses`. Turn it off for clients that only use Chat Completions.
    ENABLE_RESPONSES: Bool = setting("PROXY_ENABLE_RESPONSES", "enable_responses", "true");
    /// Milliseconds between two `: keepalive` comments while a stream sends nothing else; 0 sends none.
    SSE_KEEPALIVE_MS: Millis<0> = setting("PROXY_SSE_KEEPALIVE_MS", "sse_keepalive_ms", "15000");
    /// Largest request body in bytes, before and after decompression.
    MAX_BODY_BYTES: Int<usize, 1024, 536_870_912> = setting("PROXY_MAX_BODY_BYTES", "max_body_bytes", "67108864");

    /// Which model names `/v1/models` lists: `codex-5` and its variants (prod), or `codev-5` and its variants (dev).
    ENVIRONMENT: OneOf<Environment> = setting("PROXY_ENV", "env", "prod");
    /// The Codex model for `codex-5` and its variants.
    MODEL: Name = setting("CODEX_MODEL", "codex_model", "gpt-5.2");
    /// Whether the default model answers for an unknown `gpt-*` ID. Otherwise an unknown ID is an error.
    MODEL_FALLBACK: Bool = setting("PROXY_MODEL_FALLBACK", "model_fallback", "true");
    /// Whether a client's system prompt stays in its place in the conversation. If false, it replaces Codex's base instructions.
    IGNORE_CLIENT_SYSTEM_PROMPT: Bool =
        setting("PROXY_IGNORE_CLIENT_SYSTEM_PROMPT", "ignore_client_system_prompt", "true");
    /// Whether an unsupported parameter is an error. If false, the proxy ignores it and names it in a response header.
    STRICT_PARAMS: Bool = setting("PROXY_STRICT_PARAMS", "strict_params", "false");
    /// The format of tool calls on `/v1/chat/completions`. The header `x-proxy-output-mode` of a request overrides it.
    OUTPUT_MODE: OneOf<OutputMode> = setting("PROXY_OUTPUT_MODE", "output_mode", "openai-json");
    /// The format of tool calls on `/v1/responses`. The header `x-proxy-output-mode` of a request overrides it.
    RESPONSES_OUTPUT_MODE: OneOf<OutputMode> =
        setting("PROXY_RESPONSES_OUTPUT_MODE", "responses_output_mode", "openai-json");
    /// Output limit in tokens for `/v1/responses` requests without their own limit; 0 means no limit.
    RESPONSES_DEFAULT_MAX_TOKENS: Int<u64, 0, 1_000_000_000> =
        setting("PROXY_RESPONSES_DEFAULT_MAX_TOKENS", "responses_default_max_tokens", "0");
    /// Longest prompt in estimated tokens (about four characters each); 0 means no limit.
    MAX_PROMPT_TOKENS: Int<u64, 0, 1_000_000_000> = setting("PROXY_MAX_PROMPT_TOKENS", "max_prompt_tokens", "0");

    /// When the sign-in pages are available: needed (while no account is signed in), always, or off. With off, requests cannot start a sign-in either.
    LOGIN_LISTENER: OneOf<LoginListener> = setting("PROXY_LOGIN_LISTENER", "login_listener", "needed");
    /// The TCP port of the sign-in pages; 0 chooses a free port.
    LOGIN_PORT: Int<u16, 0, 65_535> = setting("PROXY_LOGIN_PORT", "login_port", "1435");
    /// The address of the sign-in pages, which ask for no key. An address other than loopback needs `PROXY_PUBLISHED_ON_LOOPBACK`.
    LOGIN_HOST: Address = setting("PROXY_LOGIN_HOST", "login_host", "127.0.0.1");

    /// Longest time for a whole turn, in milliseconds.
    TIMEOUT_MS: Millis<1> = setting("PROXY_TIMEOUT_MS", "timeout_ms", "300000");
    /// Longest time without any output from Codex in a turn that is not streamed, in milliseconds.
    IDLE_TIMEOUT_MS: Millis<1> = setting("PROXY_IDLE_TIMEOUT_MS", "idle_timeout_ms", "15000");
    /// Longest time without any output from Codex in a streamed turn, in milliseconds.
    STREAM_IDLE_TIMEOUT_MS: Millis<1> = setting("PROXY_STREAM_IDLE_TIMEOUT_MS", "stream_idle_timeout_ms", "300000");
    /// Whether the Codex process ends when a client disconnects. If false, only the client's turn ends.
    KILL_ON_DISCONNECT: Bool = setting("PROXY_KILL_ON_DISCONNECT", "kill_on_disconnect", "false");
    /// Whether the proxy hides text after the last `<use_tool>` block. The stream stays open.
    SUPPRESS_TAIL_AFTER_TOOLS: Bool =
        setting("PROXY_SUPPRESS_TAIL_AFTER_TOOLS", "suppress_tail_after_tools", "false");
    /// Whether the stream ends after the last `<use_tool>` block.
    STOP_AFTER_TOOLS: Bool = setting("PROXY_STOP_AFTER_TOOLS", "stop_after_tools", "false");
    /// Which `<use_tool>` block ends the stream: the last block of a group (burst), or the first block (first).
    STOP_AFTER_TOOLS_MODE: OneOf<StopMode> = setting("PROXY_STOP_AFTER_TOOLS_MODE", "stop_after_tools_mode", "burst");
    /// How long to wait for the next `<use_tool>` block of a group, in milliseconds.
    STOP_AFTER_TOOLS_GRACE_MS: Millis<0> =
        setting("PROXY_STOP_AFTER_TOOLS_GRACE_MS", "stop_after_tools_grace_ms", "300");
    /// Largest number of `<use_tool>` blocks in one answer; 0 means no limit.
    TOOL_BLOCK_MAX: Int<usize, 0, 1_000_000> = setting("PROXY_TOOL_BLOCK_MAX", "tool_block_max", "0");

    /// Whether the proxy downloads images that a request contains as an http(s) URL.
    FETCH_IMAGES: Bool = setting("PROXY_FETCH_IMAGES", "fetch_images", "true");
    /// Largest image that the proxy downloads, in bytes.
    FETCH_MAX_BYTES: Int<usize, 1024, 1_073_741_824> = setting("PROXY_FETCH_MAX_BYTES", "fetch_max_bytes", "20971520");
    /// Longest time for the download of one image, in milliseconds.
    FETCH_TIMEOUT_MS: Millis<1> = setting("PROXY_FETCH_TIMEOUT_MS", "fetch_timeout_ms", "20000");
    /// Largest number of redirects for the download of an image.
    FETCH_MAX_REDIRECTS: Int<u8, 0, 20> = setting("PROXY_FETCH_MAX_REDIRECTS", "fetch_max_redirects", "3");

    /// The Codex CLI: a path, or a program name on PATH. Without it, the proxy uses its own copy (`codex-proxy codex install`). If there is none, it uses `codex` on PATH.
    CODEX_BIN: Maybe<Program> = setting("CODEX_BIN", "codex_bin", "").flag("codex-bin");
    /// The npm registry from which the proxy installs Codex. Without it, the registry in npm's settings.
    NPM_REGISTRY: Maybe<RegistryUrl> = setting("PROXY_NPM_REGISTRY", "npm_registry", "");
    /// Codex's own directory. The proxy does not rewrite files in a directory that you choose here. It manages the default directory itself.
    CODEX_HOME: FilePath =
        setting("CODEX_HOME", "codex_home", "").preset(Preset::InDataDir("codex-home")).flag("codex-home");
    /// The working directory of Codex. Do not use a shared temporary directory, where other users could put files.
    CODEX_WORKDIR: FilePath =
        setting("PROXY_CODEX_WORKDIR", "codex_workdir", "").preset(Preset::InDataDir("work"));
    /// Codex's model provider. Without it, Codex chooses.
    FORCE_PROVIDER: Maybe<Name> = setting("CODEX_FORCE_PROVIDER", "codex_force_provider", "");
    /// What Codex may do with files.
    SANDBOX_MODE: OneOf<SandboxMode> = setting("PROXY_SANDBOX_MODE", "sandbox_mode", "read-only");
    /// Whether to use `codex app-server`. Set it to false for `codex proto` of Codex 0.44 and older.
    USE_APP_SERVER: Bool =
        setting("PROXY_USE_APP_SERVER", "use_app_server", "true");
    /// How many Codex processes run at the same time.
    WORKER_COUNT: Int<usize, 1, 64> = setting("PROXY_WORKER_COUNT", "worker_count", "1");
    /// Longest time from the start of a Codex process to the end of its handshake, in milliseconds.
    WORKER_STARTUP_TIMEOUT_MS: Millis<1> =
        setting("WORKER_STARTUP_TIMEOUT_MS", "worker_startup_timeout_ms", "30000");
    /// How long a request waits for a Codex process to become ready, in milliseconds.
    WORKER_READY_TIMEOUT_MS: Millis<1> = setting("WORKER_READY_TIMEOUT_MS", "worker_ready_timeout_ms", "10000");
    /// Largest number of turns at once on one Codex process.
    WORKER_MAX_CONCURRENCY: Int<usize, 1, 100_000> =
        setting("WORKER_MAX_CONCURRENCY", "worker_max_concurrency", "1024");
    /// Largest number of turns at once on all Codex processes together.
    MAX_CONCURRENCY: Int<usize, 1, 1_000_000> = setting("PROXY_MAX_CONCURRENCY", "max_concurrency", "4096");
    /// How many requests may wait while Codex is full. The next request is refused.
    QUEUE_LIMIT: Int<usize, 0, 1_000_000> = setting("PROXY_QUEUE_LIMIT", "queue_limit", "1024");
    /// How long a request may wait while Codex is full, in milliseconds.
    QUEUE_TIMEOUT_MS: Millis<1> = setting("PROXY_QUEUE_TIMEOUT_MS", "queue_timeout_ms", "60000");
    /// How many chats each Codex process keeps open, so that their next answer starts sooner and more of the prompt comes
    /// from the vendor's cache; 0 turns it off.
    KEPT_THREADS: Int<usize, 0, 1_000> = setting("PROXY_KEPT_THREADS", "kept_threads", "16");
    /// How long a chat without a new request stays open, in milliseconds.
    KEPT_THREADS_IDLE_MS: Millis<1> = setting("PROXY_KEPT_THREADS_IDLE_MS", "kept_threads_idle_ms", "1800000");
    /// How many chats are opened before their first request, of the kinds that were used last; 0 turns it off.
    WARM_THREADS: Int<usize, 0, 100> = setting("PROXY_WARM_THREADS", "warm_threads", "2");
    /// How long a replaced Codex process may take to finish its turns, in milliseconds.
    WORKER_DRAIN_TIMEOUT_MS: Millis<0> = setting("WORKER_DRAIN_TIMEOUT_MS", "worker_drain_timeout_ms", "300000");
    /// How often the proxy checks that a Codex process answers, in milliseconds.
    WORKER_PING_INTERVAL_MS: Millis<1> = setting("WORKER_PING_INTERVAL_MS", "worker_ping_interval_ms", "15000");
    /// How long a Codex process may take to answer this check before it is replaced, in milliseconds.
    WORKER_PING_TIMEOUT_MS: Millis<1> = setting("WORKER_PING_TIMEOUT_MS", "worker_ping_timeout_ms", "15000");
    /// The age at which a Codex process is replaced by a new one, in milliseconds; 0 means never.
    WORKER_MAX_AGE_MS: Millis<0> = setting("WORKER_MAX_AGE_MS", "worker_max_age_ms", "86400000");
    /// The number of turns after which a Codex process is replaced by a new one; 0 means never.
    WORKER_MAX_TURNS: Int<u64, 0, 1_000_000_000> = setting("WORKER_MAX_TURNS", "worker_max_turns", "0");
    /// The resident memory, in MiB, at which a Codex process is replaced by a new one; 0 means never.
    WORKER_MAX_RSS_MB: Int<u64, 0, 1_000_000> = setting("WORKER_MAX_RSS_MB", "worker_max_rss_mb", "2048");
    /// How long a Codex process may take to end by itself at shutdown, in milliseconds.
    WORKER_SHUTDOWN_GRACE_MS: Millis<0> = setting("WORKER_SHUTDOWN_GRACE_MS", "worker_shutdown_grace_ms", "5000");

    /// Longest time without output in the old `codex proto` mode, in milliseconds.
    PROTO_IDLE_MS: Millis<1> =
        setting("PROXY_PROTO_IDLE_MS", "proto_idle_ms", "120000");
    /// Whether the proxy serves Prometheus metrics at `/metrics`. Programs on this machine need no key, all others need one.
    ENABLE_METRICS: Bool = setting("PROXY_ENABLE_METRICS", "enable_metrics", "false");
    /// Whether the proxy sends OTLP traces. This also needs an endpoint.
    ENABLE_OTEL: Bool = setting("PROXY_ENABLE_OTEL", "enable_otel", "false");
    /// The HTTP endpoint for OTLP traces. If the URL has no path, the proxy uses `/v1/traces`. The URL may contain a token, so the proxy treats it as a secret.
    OTEL_EXPORTER_URL: Maybe<HttpUrl> = setting("PROXY_OTEL_EXPORTER_URL", "otel_exporter_url", "")
        .also(&["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
        .secret();
    /// The OTLP endpoint for all signals. Traces go to `v1/traces` below it. `PROXY_OTEL_EXPORTER_URL` overrides it.
    OTEL_EXPORTER_OTLP_ENDPOINT: Maybe<HttpUrl> =
        setting("OTEL_EXPORTER_OTLP_ENDPOINT", "otel_exporter_otlp_endpoint", "").secret();
    /// Headers to send with OTLP traces, such as `authorization=Bearer%20abc`.
    OTEL_HEADERS: Pairs = setting("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "otel_exporter_otlp_traces_headers", "")
        .also(&["OTEL_EXPORTER_OTLP_HEADERS"])
        .secret();
    /// The service name in OTLP traces.
    OTEL_SERVICE_NAME: Name =
        setting("PROXY_OTEL_SERVICE_NAME", "otel_service_name", "codex-proxy").also(&["OTEL_SERVICE_NAME"]);
    /// More attributes of this service in OTLP traces.
    OTEL_RESOURCE_ATTRIBUTES: Pairs = setting("OTEL_RESOURCE_ATTRIBUTES", "otel_resource_attributes", "");
    /// The sampler: it decides which OTLP traces are sent.
    OTEL_TRACES_SAMPLER: OneOf<SamplerName> =
        setting("OTEL_TRACES_SAMPLER", "otel_traces_sampler", "parentbased_always_on");
    /// The part of OTLP traces to send, from 0 to 1, for samplers that use a ratio.
    OTEL_TRACES_SAMPLER_ARG: Ratio = setting("OTEL_TRACES_SAMPLER_ARG", "otel_traces_sampler_arg", "1");
    /// How many requests per second each key may send on average. Without it, there is no limit.
    RATE_LIMIT_AVG: Maybe<Int<u32, 1, 1_000_000>> = setting("RATE_LIMIT_AVG", "rate_limit_avg", "");
    /// How many requests each key may send at once, if `RATE_LIMIT_AVG` is set. Without it, twice the number in `RATE_LIMIT_AVG`.
    RATE_LIMIT_BURST: Maybe<Int<u32, 1, 1_000_000>> = setting("RATE_LIMIT_BURST", "rate_limit_burst", "");
    /// How many tokens each key may use per day; 0 means no limit.
    DAILY_TOKENS: Int<u64, 0, 1_000_000_000_000> = setting("PROXY_DAILY_TOKENS", "daily_tokens", "0");
    /// Tokens per day for single keys, instead of `PROXY_DAILY_TOKENS`: names and numbers, such as `obsidian=200000, ci=0`.
    KEY_DAILY_TOKENS: Budgets = setting("PROXY_KEY_DAILY_TOKENS", "key_daily_tokens", "");
    /// How many requests the request log keeps. The log is in memory. It contains no texts unless you capture them.
    REQUEST_LOG: Int<usize, 0, 100_000> = setting("PROXY_REQUEST_LOG", "request_log", "1000");
    /// A file to which the proxy appends one line of JSON for each request.
    TOKEN_LOG_PATH: Maybe<FilePath> = setting("TOKEN_LOG_PATH", "token_log_path", "");
    /// The number of days after which the record of a single request is deleted; 0 means never. The sums per period stay.
    USAGE_RETENTION_DAYS: Int<u32, 0, 36_500> = setting("PROXY_USAGE_RETENTION_DAYS", "usage_retention_days", "0");
    /// Whether the proxy keeps responses, conversations and stored chat completions, with their prompts and answers, in `responses.db` in the data directory, as clients expect of OpenAI's API. If off, a response can only be continued by sending its whole history, and what was kept before can still be removed.
    STORE: Bool = setting("PROXY_STORE", "store", "true");
    /// The number of days after which a stored response, conversation or chat completion is removed; 0 means never. The history of a younger response stays.
    STORE_MAX_DAYS: Int<u32, 0, 36_500> = setting("PROXY_STORE_MAX_DAYS", "store_max_days", "30");
    /// The size in MiB from which on the oldest stored responses, conversations and chat completions are removed; 0 means no limit.
    STORE_MAX_MB: Int<u64, 0, 1_000_000> = setting("PROXY_STORE_MAX_MB", "store_max_mb", "1024");
    /// How many answers may stream at once; the next request is refused immediately. 0 means no limit.
    SSE_MAX_CONCURRENCY: Int<usize, 0, 1_000_000> =
        setting("PROXY_SSE_MAX_CONCURRENCY", "sse_max_concurrency", "0");
    /// Whether the proxy serves the `/__test/*` routes. They need a key.
    TEST_ENDPOINTS: Bool = setting("PROXY_TEST_ENDPOINTS", "test_endpoints", "false");
    /// The file into which `POST /__test/conc/release` writes the time. A test backend waits for this file.
    STREAM_RELEASE_FILE: Maybe<FilePath> = setting("STREAM_RELEASE_FILE", "stream_release_file", "");
    /// Whether the `/__test/*` routes also answer other machines.
    TEST_ALLOW_REMOTE: Bool =
        setting("PROXY_TEST_ALLOW_REMOTE", "test_allow_remote", "false");
}
