//! Tests of the table of settings itself.

use std::collections::BTreeSet;

use super::*;

#[test]
fn the_table_is_consistent() {
    let mut names = BTreeSet::new();
    let text = reference();
    for entry in table::ALL {
        let meta = entry.meta();
        for name in std::iter::once(meta.env).chain(meta.also.iter().copied()).chain(meta.flag) {
            assert!(names.insert(name), "{name} is there twice");
        }
        if let Some(key) = meta.key {
            let expected = meta.env.strip_prefix("PROXY_").unwrap_or(meta.env).to_lowercase();
            assert_eq!(key, expected);
        }
        assert!(meta.about.ends_with('.') && !meta.about.contains("  "), "{}", meta.about);
        assert!(text.contains(meta.about) && text.contains(&entry.allowed()), "{}", meta.env);
        assert!(!meta.secret || meta.preset == setting::Preset::Text(""), "{} has a default", meta.env);
    }
}

#[test]
fn every_variable_that_users_know_is_in_the_table() {
    let known: BTreeSet<&str> = table::ALL
        .iter()
        .flat_map(|entry| std::iter::once(entry.meta().env).chain(entry.meta().also.iter().copied()))
        .collect();
    for name in [
        "PORT",
        "CODEX_MODEL",
        "CODEX_BIN",
        "CODEX_HOME",
        "CODEX_FORCE_PROVIDER",
        "PROXY_HOST",
        "PROXY_API_KEY",
        "PROXY_SANDBOX_MODE",
        "PROXY_ENABLE_RESPONSES",
        "PROXY_OUTPUT_MODE",
        "PROXY_RESPONSES_OUTPUT_MODE",
        "PROXY_RESPONSES_DEFAULT_MAX_TOKENS",
        "PROXY_CODEX_WORKDIR",
        "PROXY_ENABLE_CORS",
        "PROXY_CORS_ALLOWED_ORIGINS",
        "PROXY_PROTECT_MODELS",
        "PROXY_TIMEOUT_MS",
        "PROXY_IDLE_TIMEOUT_MS",
        "PROXY_STREAM_IDLE_TIMEOUT_MS",
        "PROXY_PROTO_IDLE_MS",
        "PROXY_MAX_PROMPT_TOKENS",
        "PROXY_KILL_ON_DISCONNECT",
        "PROXY_SSE_KEEPALIVE_MS",
        "TOKEN_LOG_PATH",
        "RATE_LIMIT_AVG",
        "RATE_LIMIT_BURST",
        "PROXY_ENABLE_OTEL",
        "PROXY_OTEL_EXPORTER_URL",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "PROXY_OTEL_SERVICE_NAME",
        "PROXY_ENABLE_METRICS",
        "PROXY_USAGE_ALLOW_UNAUTH",
        "PROXY_SSE_MAX_CONCURRENCY",
        "PROXY_TEST_ENDPOINTS",
        "PROXY_TEST_ALLOW_REMOTE",
        "PROXY_IGNORE_CLIENT_SYSTEM_PROMPT",
        "PROXY_SUPPRESS_TAIL_AFTER_TOOLS",
        "PROXY_STOP_AFTER_TOOLS",
        "PROXY_STOP_AFTER_TOOLS_MODE",
        "PROXY_STOP_AFTER_TOOLS_GRACE_MS",
        "PROXY_TOOL_BLOCK_MAX",
        "PROXY_USE_APP_SERVER",
        "PROXY_WORKER_COUNT",
        "WORKER_STARTUP_TIMEOUT_MS",
        "WORKER_READY_TIMEOUT_MS",
        "WORKER_SHUTDOWN_GRACE_MS",
        "PROXY_ALLOWED_HOSTS",
        "PROXY_FETCH_IMAGES",
        "PROXY_STRICT_PARAMS",
        "PROXY_MODEL_FALLBACK",
        "PROXY_ENV",
        "PROXY_MAX_BODY_BYTES",
        "PROXY_DATA_DIR",
        "PROXY_CONFIG",
        "PROXY_LOG",
        "PROXY_LOG_DIR",
        "PROXY_LOG_FORMAT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "OTEL_SERVICE_NAME",
        "OTEL_TRACES_SAMPLER",
        "OTEL_TRACES_SAMPLER_ARG",
        "OTEL_RESOURCE_ATTRIBUTES",
    ] {
        assert!(known.contains(name), "{name}");
    }
}
