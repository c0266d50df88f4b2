//! Every setting, once: its environment variable, its key in `config.toml`, its default and its meaning.

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

        /// Every setting in the order in which people are shown them.
        pub static ALL: &[&dyn Entry] = &[$(&$name),+];
    };
}

table! {
    /// The configuration file; without it, `config.toml` in the platform's configuration directory is read if it is there.
    CONFIG_FILE: Maybe<FilePath> = setting("PROXY_CONFIG", "", "").not_in_file().flag("config");
    /// Where the proxy keeps its key, Codex's private home and its caches.
    DATA_DIR: FilePath = setting("PROXY_DATA_DIR", "data_dir", "").preset(Preset::DataDir).flag("data-dir");
    /// Which events are logged, in the syntax of `RUST_LOG`.
    LOG: LogFilter = setting("PROXY_LOG", "log", "info").also(&["RUST_LOG"]).flag("log");
    /// How the log file is written, and standard error too where it is no terminal: lines for people, or JSON objects.
    LOG_FORMAT: OneOf<Format> = setting("PROXY_LOG_FORMAT", "log_format", "text");
    /// Whether there is a log file besides standard error.
    LOG_FILE: Bool = setting("PROXY_LOG_FILE", "log_file", "true");
    /// The directory of the log file `codex-proxy.log` and the ones before it.
    LOG_DIR: FilePath = setting("PROXY_LOG_DIR", "log_dir", "").preset(Preset::InDataDir("logs"));
    /// Size in MiB at which the log file is followed by a new one; a day after its start it is in any case.
    LOG_FILE_MAX_MB: Int<u64, 1, 10_000> = setting("PROXY_LOG_FILE_MAX_MB", "log_file_max_mb", "10");
    /// How many log files are kept.
    LOG_FILES: Int<usize, 1, 1000> = setting("PROXY_LOG_FILES", "log_files", "7");

    /// The address to listen on; any but a loopback one needs a long random `PROXY_API_KEY`.
    HOST: Address = setting("PROXY_HOST", "host", "127.0.0.1").flag("host");
    /// The TCP port to listen on; 0 takes any free one.
    PORT: Int<u16, 0, 65_535> = setting("PORT", "port", "11435").flag("port");
    /// Whether the proxy is in a container whose ports are published on the host's loopback address only, as by `-p 127.0.0.1:11435:11435`; any address inside of it may then be listened on.
    PUBLISHED_ON_LOOPBACK: Bool = setting("PROXY_PUBLISHED_ON_LOOPBACK", "published_on_loopback", "false");
    /// The key that clients must send; without it the proxy makes one at its first start.
    API_KEY: Maybe<Key> = setting("PROXY_API_KEY", "api_key", "").secret();
    /// Whether API keys are kept in the operating system's keychain: wherever it answers (auto), or in a file (off).
    KEYCHAIN: OneOf<KeychainMode> = setting("PROXY_KEYCHAIN", "keychain", "auto");
    /// Host names besides the loopback ones by which clients may call the proxy.
    ALLOWED_HOSTS: Hosts = setting("PROXY_ALLOWED_HOSTS", "allowed_hosts", "");
    /// The addresses and networks of reverse proxies whose `X-Forwarded-For`, `-Proto` and `-Host` (or `Forwarded`) are believed; whoever comes by way of one is never taken for a program on this machine.
    TRUSTED_PROXIES: Networks = setting("PROXY_TRUSTED_PROXIES", "trusted_proxies", "");
    /// Whether the proxy sends CORS headers and answers preflights; turn it off where the edge does.
    ENABLE_CORS: Bool = setting("PROXY_ENABLE_CORS", "enable_cors", "true");
    /// The origins whose browser code may call, with * for a program's random host, labels on the left or the port (`vscode-webview://*`, `https://*.example.org`, `http://localhost:*`); without it, Obsidian's applications and loopback pages.
    CORS_ALLOWED_ORIGINS: CorsOrigins = setting("PROXY_CORS_ALLOWED_ORIGINS", "cors_allowed_origins", "");
    /// Whether `/v1/models` needs the key.
    PROTECT_MODELS: Bool = setting("PROXY_PROTECT_MODELS", "protect_models", "false");
    /// Whether `/v1/usage` answers without the key.
    USAGE_ALLOW_UNAUTH: Bool = setting("PROXY_USAGE_ALLOW_UNAUTH", "usage_allow_unauth", "false");
    /// Whether `/v1/responses` is served; turn it off for clients that only chat.
    ENABLE_RESPONSES: Bool = setting("PROXY_ENABLE_RESPONSES", "enable_responses", "true");
    /// Milliseconds between two `: keepalive` comments on a silent stream; 0 sends none.
    SSE_KEEPALIVE_MS: Millis<0> = setting("PROXY_SSE_KEEPALIVE_MS", "sse_keepalive_ms", "15000");
    /// Largest request body in bytes, as it comes and unpacked.
    MAX_BODY_BYTES: Int<usize, 1024, 536_870_912> = setting("PROXY_MAX_BODY_BYTES", "max_body_bytes", "67108864");

    /// Which model aliases `/v1/models` advertises: `codex-5` and its kin (prod) or `codev-5` and its kin (dev).
    ENVIRONMENT: OneOf<Environment> = setting("PROXY_ENV", "env", "prod");
    /// The Codex model behind `codex-5` and its kin.
    MODEL: Name = setting("CODEX_MODEL", "codex_model", "gpt-5.2");
    /// Whether an unknown `gpt-*` id is answered by the default model instead of an error.
    MODEL_FALLBACK: Bool = setting("PROXY_MODEL_FALLBACK", "model_fallback", "true");
    /// Whether a client's system prompt is kept out of Codex's base instructions and sent in its place in the conversation.
    IGNORE_CLIENT_SYSTEM_PROMPT: Bool =
        setting("PROXY_IGNORE_CLIENT_SYSTEM_PROMPT", "ignore_client_system_prompt", "true");
    /// Whether a parameter that Codex cannot honour is an error instead of being named in a response header.
    STRICT_PARAMS: Bool = setting("PROXY_STRICT_PARAMS", "strict_params", "false");
    /// How tool calls are written on `/v1/chat/completions` unless a request's `x-proxy-output-mode` says otherwise.
    OUTPUT_MODE: OneOf<OutputMode> = setting("PROXY_OUTPUT_MODE", "output_mode", "openai-json");
    /// How tool calls are written on `/v1/responses` unless a request's `x-proxy-output-mode` says otherwise.
    RESPONSES_OUTPUT_MODE: OneOf<OutputMode> =
        setting("PROXY_RESPONSES_OUTPUT_MODE", "responses_output_mode", "openai-json");
    /// Output limit in tokens for `/v1/responses` requests that bring none; 0 is no limit.
    RESPONSES_DEFAULT_MAX_TOKENS: Int<u64, 0, 1_000_000_000> =
        setting("PROXY_RESPONSES_DEFAULT_MAX_TOKENS", "responses_default_max_tokens", "0");
    /// Longest prompt in estimated tokens (about four characters each); 0 is no limit.
    MAX_PROMPT_TOKENS: Int<u64, 0, 1_000_000_000> = setting("PROXY_MAX_PROMPT_TOKENS", "max_prompt_tokens", "0");

    /// When the sign-in pages are there: needed (while nobody is signed in), always, or off; off also keeps requests from beginning a sign-in.
    LOGIN_LISTENER: OneOf<LoginListener> = setting("PROXY_LOGIN_LISTENER", "login_listener", "needed");
    /// The TCP port of the sign-in pages; 0 takes any free one.
    LOGIN_PORT: Int<u16, 0, 65_535> = setting("PROXY_LOGIN_PORT", "login_port", "1435");
    /// The address of the sign-in pages, which ask for no key; any but a loopback one needs `PROXY_PUBLISHED_ON_LOOPBACK`.
    LOGIN_HOST: Address = setting("PROXY_LOGIN_HOST", "login_host", "127.0.0.1");

    /// Longest that a whole turn may take, in milliseconds.
    TIMEOUT_MS: Millis<1> = setting("PROXY_TIMEOUT_MS", "timeout_ms", "300000");
    /// Longest silence of the backend in a turn that is not streamed, in milliseconds.
    IDLE_TIMEOUT_MS: Millis<1> = setting("PROXY_IDLE_TIMEOUT_MS", "idle_timeout_ms", "15000");
    /// Longest silence of the backend in a streamed turn, in milliseconds.
    STREAM_IDLE_TIMEOUT_MS: Millis<1> = setting("PROXY_STREAM_IDLE_TIMEOUT_MS", "stream_idle_timeout_ms", "300000");
    /// Whether a client that hangs up also ends the Codex process, not only its turn.
    KILL_ON_DISCONNECT: Bool = setting("PROXY_KILL_ON_DISCONNECT", "kill_on_disconnect", "false");
    /// Whether text after the last `<use_tool>` block is hidden while the stream stays open.
    SUPPRESS_TAIL_AFTER_TOOLS: Bool =
        setting("PROXY_SUPPRESS_TAIL_AFTER_TOOLS", "suppress_tail_after_tools", "false");
    /// Whether the stream ends after the last `<use_tool>` block.
    STOP_AFTER_TOOLS: Bool = setting("PROXY_STOP_AFTER_TOOLS", "stop_after_tools", "false");
    /// Which `<use_tool>` block ends the stream: the last of a burst, or the first.
    STOP_AFTER_TOOLS_MODE: OneOf<StopMode> = setting("PROXY_STOP_AFTER_TOOLS_MODE", "stop_after_tools_mode", "burst");
    /// How long a burst may wait for its next `<use_tool>` block, in milliseconds.
    STOP_AFTER_TOOLS_GRACE_MS: Millis<0> =
        setting("PROXY_STOP_AFTER_TOOLS_GRACE_MS", "stop_after_tools_grace_ms", "300");
    /// Most `<use_tool>` blocks in one answer; 0 is no limit.
    TOOL_BLOCK_MAX: Int<usize, 0, 1_000_000> = setting("PROXY_TOOL_BLOCK_MAX", "tool_block_max", "0");

    /// Whether images that a request names by an http(s) URL are fetched for Codex.
    FETCH_IMAGES: Bool = setting("PROXY_FETCH_IMAGES", "fetch_images", "true");
    /// Largest image that is fetched, in bytes.
    FETCH_MAX_BYTES: Int<usize, 1024, 1_073_741_824> = setting("PROXY_FETCH_MAX_BYTES", "fetch_max_bytes", "20971520");
    /// Longest that fetching one image may take, in milliseconds.
    FETCH_TIMEOUT_MS: Millis<1> = setting("PROXY_FETCH_TIMEOUT_MS", "fetch_timeout_ms", "20000");
    /// Most redirects that are followed to an image.
    FETCH_MAX_REDIRECTS: Int<u8, 0, 20> = setting("PROXY_FETCH_MAX_REDIRECTS", "fetch_max_redirects", "3");

    /// The Codex CLI: a path, or a bare name that is looked up on PATH; without it, the proxy's own copy (`codex-proxy codex install`), else `codex` on PATH.
    CODEX_BIN: Maybe<Program> = setting("CODEX_BIN", "codex_bin", "").flag("codex-bin");
    /// The npm registry that Codex is installed from; without it, the one that npm is configured for.
    NPM_REGISTRY: Maybe<RegistryUrl> = setting("PROXY_NPM_REGISTRY", "npm_registry", "");
    /// Codex's own directory; one that is named here is never rewritten, the default one is the proxy's own.
    CODEX_HOME: FilePath =
        setting("CODEX_HOME", "codex_home", "").preset(Preset::InDataDir("codex-home")).flag("codex-home");
    /// The working directory of Codex, which is not in a shared temporary directory, where others could plant files.
    CODEX_WORKDIR: FilePath =
        setting("PROXY_CODEX_WORKDIR", "codex_workdir", "").preset(Preset::InDataDir("work"));
    /// Codex's model provider, where it must not choose by itself.
    FORCE_PROVIDER: Maybe<Name> = setting("CODEX_FORCE_PROVIDER", "codex_force_provider", "");
    /// What Codex may do to the file system.
    SANDBOX_MODE: OneOf<SandboxMode> = setting("PROXY_SANDBOX_MODE", "sandbox_mode", "read-only");
    /// Whether to drive `codex app-server`; false is for `codex proto` of Codex 0.44 and older.
    USE_APP_SERVER: Bool =
        setting("PROXY_USE_APP_SERVER", "use_app_server", "true");
    /// How many Codex processes run at once.
    WORKER_COUNT: Int<usize, 1, 64> = setting("PROXY_WORKER_COUNT", "worker_count", "1");
    /// Longest from starting a Codex process to the end of its handshake, in milliseconds.
    WORKER_STARTUP_TIMEOUT_MS: Millis<1> =
        setting("WORKER_STARTUP_TIMEOUT_MS", "worker_startup_timeout_ms", "30000");
    /// How long a request waits for a Codex process to become ready, in milliseconds.
    WORKER_READY_TIMEOUT_MS: Millis<1> = setting("WORKER_READY_TIMEOUT_MS", "worker_ready_timeout_ms", "10000");
    /// Turns at once on one Codex process.
    WORKER_MAX_CONCURRENCY: Int<usize, 1, 100_000> =
        setting("WORKER_MAX_CONCURRENCY", "worker_max_concurrency", "1024");
    /// Turns at once on all Codex processes together.
    MAX_CONCURRENCY: Int<usize, 1, 1_000_000> = setting("PROXY_MAX_CONCURRENCY", "max_concurrency", "4096");
    /// Requests that may wait while all places on Codex are taken; one more is refused.
    QUEUE_LIMIT: Int<usize, 0, 1_000_000> = setting("PROXY_QUEUE_LIMIT", "queue_limit", "1024");
    /// How long a request waits while all places on Codex are taken, in milliseconds.
    QUEUE_TIMEOUT_MS: Millis<1> = setting("PROXY_QUEUE_TIMEOUT_MS", "queue_timeout_ms", "60000");
    /// How long a replaced Codex process may take to finish its turns, in milliseconds.
    WORKER_DRAIN_TIMEOUT_MS: Millis<0> = setting("WORKER_DRAIN_TIMEOUT_MS", "worker_drain_timeout_ms", "300000");
    /// How often a Codex process is asked for a sign of life, in milliseconds.
    WORKER_PING_INTERVAL_MS: Millis<1> = setting("WORKER_PING_INTERVAL_MS", "worker_ping_interval_ms", "15000");
    /// How long a Codex process may take to give a sign of life before it is replaced, in milliseconds.
    WORKER_PING_TIMEOUT_MS: Millis<1> = setting("WORKER_PING_TIMEOUT_MS", "worker_ping_timeout_ms", "15000");
    /// The age at which a Codex process is replaced by a fresh one, in milliseconds; 0 is never.
    WORKER_MAX_AGE_MS: Millis<0> = setting("WORKER_MAX_AGE_MS", "worker_max_age_ms", "86400000");
    /// Turns after which a Codex process is replaced by a fresh one; 0 is never.
    WORKER_MAX_TURNS: Int<u64, 0, 1_000_000_000> = setting("WORKER_MAX_TURNS", "worker_max_turns", "0");
    /// Resident memory, in MiB, at which a Codex process is replaced by a fresh one; 0 is never.
    WORKER_MAX_RSS_MB: Int<u64, 0, 1_000_000> = setting("WORKER_MAX_RSS_MB", "worker_max_rss_mb", "2048");
    /// How long a Codex process may take to end by itself at shutdown, in milliseconds.
    WORKER_SHUTDOWN_GRACE_MS: Millis<0> = setting("WORKER_SHUTDOWN_GRACE_MS", "worker_shutdown_grace_ms", "5000");

    /// Longest silence in the legacy `codex proto` mode, in milliseconds.
    PROTO_IDLE_MS: Millis<1> =
        setting("PROXY_PROTO_IDLE_MS", "proto_idle_ms", "120000");
    /// Whether Prometheus metrics are served at `/metrics`, to programs on this machine and to whoever shows the key.
    ENABLE_METRICS: Bool = setting("PROXY_ENABLE_METRICS", "enable_metrics", "false");
    /// Whether OTLP traces are sent; it takes an endpoint to send them to.
    ENABLE_OTEL: Bool = setting("PROXY_ENABLE_OTEL", "enable_otel", "false");
    /// Where OTLP traces are sent over HTTP; without a path, to `/v1/traces` there. It may hold a token, so it is treated as a secret.
    OTEL_EXPORTER_URL: Maybe<HttpUrl> = setting("PROXY_OTEL_EXPORTER_URL", "otel_exporter_url", "")
        .also(&["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
        .secret();
    /// The OTLP endpoint of all signals, below which traces go to `v1/traces`; `PROXY_OTEL_EXPORTER_URL` goes before it.
    OTEL_EXPORTER_OTLP_ENDPOINT: Maybe<HttpUrl> =
        setting("OTEL_EXPORTER_OTLP_ENDPOINT", "otel_exporter_otlp_endpoint", "").secret();
    /// Headers to send with OTLP traces, such as `authorization=Bearer%20abc`.
    OTEL_HEADERS: Pairs = setting("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "otel_exporter_otlp_traces_headers", "")
        .also(&["OTEL_EXPORTER_OTLP_HEADERS"])
        .secret();
    /// The service name in OTLP traces.
    OTEL_SERVICE_NAME: Name =
        setting("PROXY_OTEL_SERVICE_NAME", "otel_service_name", "codex-proxy").also(&["OTEL_SERVICE_NAME"]);
    /// What else OTLP traces say about this service.
    OTEL_RESOURCE_ATTRIBUTES: Pairs = setting("OTEL_RESOURCE_ATTRIBUTES", "otel_resource_attributes", "");
    /// Which OTLP traces are sent.
    OTEL_TRACES_SAMPLER: OneOf<SamplerName> =
        setting("OTEL_TRACES_SAMPLER", "otel_traces_sampler", "parentbased_always_on");
    /// The part of OTLP traces that is sent, for the samplers that take one.
    OTEL_TRACES_SAMPLER_ARG: Ratio = setting("OTEL_TRACES_SAMPLER_ARG", "otel_traces_sampler_arg", "1");
    /// Requests a second that each key may make on average; without it there is no limit.
    RATE_LIMIT_AVG: Maybe<Int<u32, 1, 1_000_000>> = setting("RATE_LIMIT_AVG", "rate_limit_avg", "");
    /// Requests that each key may make at once, where `RATE_LIMIT_AVG` is set; without it, twice as many as in a second.
    RATE_LIMIT_BURST: Maybe<Int<u32, 1, 1_000_000>> = setting("RATE_LIMIT_BURST", "rate_limit_burst", "");
    /// Tokens that each key may use a day; 0 is no limit.
    DAILY_TOKENS: Int<u64, 0, 1_000_000_000_000> = setting("PROXY_DAILY_TOKENS", "daily_tokens", "0");
    /// Tokens a day of single keys, instead of `PROXY_DAILY_TOKENS`: names and numbers, such as `obsidian=200000, ci=0`.
    KEY_DAILY_TOKENS: Budgets = setting("PROXY_KEY_DAILY_TOKENS", "key_daily_tokens", "");
    /// How many requests the request log keeps; it is in memory and holds no texts unless they are asked for.
    REQUEST_LOG: Int<usize, 0, 100_000> = setting("PROXY_REQUEST_LOG", "request_log", "1000");
    /// A file to which a line of JSON is appended for each request.
    TOKEN_LOG_PATH: Maybe<FilePath> = setting("TOKEN_LOG_PATH", "token_log_path", "");
    /// Days after which a request's own record is removed, though the sums of its time stay; 0 is never.
    USAGE_RETENTION_DAYS: Int<u32, 0, 36_500> = setting("PROXY_USAGE_RETENTION_DAYS", "usage_retention_days", "0");
    /// Streamed answers at once; one more is refused at once. 0 is any number.
    SSE_MAX_CONCURRENCY: Int<usize, 0, 1_000_000> =
        setting("PROXY_SSE_MAX_CONCURRENCY", "sse_max_concurrency", "0");
    /// Whether the `/__test/*` routes are served, to those who have a key.
    TEST_ENDPOINTS: Bool = setting("PROXY_TEST_ENDPOINTS", "test_endpoints", "false");
    /// The file that `POST /__test/conc/release` writes the time into, for a backend that waits for it.
    STREAM_RELEASE_FILE: Maybe<FilePath> = setting("STREAM_RELEASE_FILE", "stream_release_file", "");
    /// Whether the `/__test/*` routes answer other machines.
    TEST_ALLOW_REMOTE: Bool =
        setting("PROXY_TEST_ALLOW_REMOTE", "test_allow_remote", "false");
}
