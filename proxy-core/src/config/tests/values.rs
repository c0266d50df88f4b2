//! Tests of how values are parsed and refused.

use super::*;

#[test]
fn values_of_every_type_are_read() {
    for (text, expected) in [
        ("true", true),
        ("TRUE", true),
        ("1", true),
        ("Yes", true),
        ("on", true),
        (" true ", true),
        ("false", false),
        ("0", false),
        ("no", false),
        ("OFF", false),
    ] {
        assert_eq!(env(&[("PROXY_PROTECT_MODELS", text)]).http.protect_models, expected, "{text}");
    }
    for (text, expected) in
        [("localhost", "127.0.0.1"), ("127.0.0.9", "127.0.0.9"), ("::1", "::1"), ("[::1]", "::1")]
    {
        assert_eq!(env(&[("PROXY_HOST", text)]).http.host.to_string(), expected);
    }
    for (text, expected) in [("0", 0), ("65535", 65535), ("00080", 80)] {
        assert_eq!(env(&[("PORT", text)]).http.port, expected);
    }
    let config = env(&[
        ("PROXY_ENV", "DEV"),
        ("PROXY_OUTPUT_MODE", "obsidian-xml"),
        ("PROXY_STOP_AFTER_TOOLS_MODE", "first"),
        ("PROXY_STOP_AFTER_TOOLS_GRACE_MS", "0"),
        ("PROXY_SANDBOX_MODE", "workspace-write"),
        ("PROXY_TIMEOUT_MS", "1500"),
        ("CODEX_FORCE_PROVIDER", "chatgpt"),
    ]);
    assert_eq!(config.openai.environment, Environment::Dev);
    assert_eq!(config.openai.chat_output_mode, OutputMode::ObsidianXml);
    assert_eq!(config.openai.responses_output_mode, OutputMode::OpenaiJson);
    assert_eq!(config.dispatch.tail.stop_mode, StopMode::First);
    assert_eq!(config.dispatch.tail.grace, Duration::ZERO);
    assert_eq!(config.worker.sandbox, SandboxMode::WorkspaceWrite);
    assert_eq!(config.dispatch.timeout, Duration::from_millis(1500));
    assert_eq!(config.worker.provider.as_deref(), Some("chatgpt"));
}

#[test]
fn values_that_are_not_allowed_are_named_with_what_would_be() {
    let port = "must be a whole number from 0 to 65535";
    let boolean = "must be true or false";
    let cases = [
        ("PORT", "65536", port),
        ("PORT", "-1", port),
        ("PORT", "+1", port),
        ("PORT", "80.0", port),
        ("PORT", "0x50", port),
        ("PORT", "http", port),
        ("PORT", "99999999999999999999999999", port),
        ("PROXY_HOST", "example.com", "must be an IP address"),
        ("PROXY_HOST", "127.0.0.1:80", "must be an IP address"),
        ("PROXY_HOST", "[127.0.0.1]", "must be an IP address"),
        ("PROXY_HOST", "256.0.0.1", "must be an IP address"),
        ("PROXY_PROTECT_MODELS", "maybe", boolean),
        ("PROXY_PROTECT_MODELS", "2", boolean),
        ("PROXY_PROTECT_MODELS", "truee", boolean),
        ("PROXY_OUTPUT_MODE", "xml", "must be one of openai-json, obsidian-xml"),
        ("PROXY_SANDBOX_MODE", "readonly", "must be one of read-only, workspace-write, danger-full-access"),
        ("PROXY_ENV", "staging", "must be one of prod, dev"),
        ("PROXY_STOP_AFTER_TOOLS_MODE", "last", "must be one of burst, first"),
        ("PROXY_TIMEOUT_MS", "0", "must be a whole number of milliseconds from 1 to 604800000"),
        ("PROXY_TIMEOUT_MS", "604800001", "milliseconds from 1 to 604800000"),
        ("PROXY_TIMEOUT_MS", "5s", "milliseconds"),
        ("PROXY_WORKER_COUNT", "0", "must be a whole number from 1 to 64"),
        ("PROXY_WORKER_COUNT", "18446744073709551616", "must be a whole number from 1 to 64"),
        ("PROXY_MAX_BODY_BYTES", "10", "must be a whole number from 1024 to"),
        ("PROXY_FETCH_MAX_REDIRECTS", "256", "must be a whole number from 0 to 20"),
        ("CODEX_MODEL", "gpt 5", "must be a name of"),
        ("CODEX_FORCE_PROVIDER", "a\"b", "must be a name of"),
        ("PROXY_LOG", "proxy_core=loud", "must be a log filter"),
        ("PROXY_ALLOWED_HOSTS", "https://proxy.example", "must be a comma-separated list of host names"),
        ("PROXY_ALLOWED_HOSTS", "*.example", "host names"),
        ("PROXY_ALLOWED_HOSTS", "proxy.example:http", "host names"),
        ("PROXY_ALLOWED_HOSTS", "user@proxy.example", "host names"),
        ("PROXY_CORS_ALLOWED_ORIGINS", "null", "must be a comma-separated list of origins"),
        ("PROXY_CORS_ALLOWED_ORIGINS", "*,app://obsidian.md", "origins"),
        ("PROXY_CORS_ALLOWED_ORIGINS", "https://*.example", "one or more labels before at least two others"),
        ("PROXY_CORS_ALLOWED_ORIGINS", "https://*", "a scheme that belongs to one kind of program"),
        ("PROXY_CORS_ALLOWED_ORIGINS", "app://obsidian.md,*://*", "only *, which allows every web page"),
        ("PROXY_CORS_ALLOWED_ORIGINS", "https://a.example/path", "origins"),
        ("PROXY_CORS_ALLOWED_ORIGINS", "a.example", "origins"),
        ("PROXY_CORS_ALLOWED_ORIGINS", ",", "origins"),
        // Values of features that are not available yet are checked too.
        ("PROXY_ENABLE_METRICS", "perhaps", boolean),
        ("RATE_LIMIT_AVG", "many", "must be a whole number"),
    ];
    for (name, value, allowed) in cases {
        let message = refused(&[(name, value)]);
        assert!(message.contains(&format!("{name} is `{}`", value.escape_debug())), "{message}");
        assert!(message.contains(allowed), "{message}");
    }
}

#[cfg(unix)]
#[test]
fn values_that_are_not_text_are_named() {
    use std::os::unix::ffi::OsStringExt as _;
    let broken = || OsString::from_vec(vec![b'1', 0xff]);
    let scene = Scene::new();
    let env = BTreeMap::from([("PORT".to_owned(), broken()), ("PROXY_API_KEY".to_owned(), broken())]);
    let flags = BTreeMap::from([("host".to_owned(), broken())]);
    let message = Config::load(&flags, &env, &scene.dirs).unwrap_err().to_string();
    for name in ["PORT", "PROXY_API_KEY", "--host"] {
        assert!(message.contains(&format!("{name} is not valid UTF-8; it must be")), "{message}");
    }
}

#[test]
fn the_file_has_toml_types_or_strings() {
    let config = Scene::with_file(concat!(
        "port = \"8080\"\nprotect_models = true\nenable_cors = \"no\"\ncodex_model = \"gpt-5.1\"\nenv = \"\"\n",
        "allowed_hosts = [\"One.Example\", \"two.example:8443\"]\n",
        "cors_allowed_origins = \"app://obsidian.md, https://NOTES.example:443/\"\n",
    ))
    .load(&[], &[])
    .unwrap();
    assert_eq!(config.http.port, 8080);
    assert!(config.http.protect_models);
    assert!(!config.http.cors.enabled);
    assert_eq!(config.openai.default_model, "gpt-5.1");
    assert_eq!(row(&config, "PROXY_ENV").source, Source::Default);
    assert_eq!(config.http.allowed_hosts, ["one.example", "two.example:8443"]);
    let origins = ["app://obsidian.md", "https://notes.example"].map(|text| Pattern::parse(text).unwrap());
    assert_eq!(config.http.cors.origins, Origins::List(origins.to_vec()));

    for (text, expected) in [
        ("port = true", "is `true`, but must be a whole number"),
        ("port = 80.5", "is `80.5`, but must be a whole number"),
        ("port = -1", "is `-1`, but must be a whole number"),
        ("port = [1]", "but must be a whole number"),
        ("[port]\nnumber = 1", "but must be a whole number"),
        ("protect_models = 1", "is `1`, but must be true or false"),
        ("codex_model = 5", "is `5`, but must be a name"),
        ("allowed_hosts = [1]", "but must be a comma-separated list of host names"),
        ("allowed_hosts = [\"a,b\"]", "but must be a comma-separated list of host names"),
        ("config = \"x\"", "`config` is not a setting"),
        ("PROXY_TIMEOUT_MS = 1", "did you mean `timeout_ms`?"),
        ("CODEX_BIN = \"x\"", "did you mean `codex_bin`?"),
        ("api-key = \"12345678\"", "did you mean `api_key`?"),
        ("banana = 1", "`banana` is not a setting; `codex-proxy config --help` lists them all"),
        ("port = 1\nport = 2", "not valid TOML: line 2: duplicate key"),
        ("\n\nport 1", "not valid TOML: line 3:"),
    ] {
        let message = Scene::with_file(text).load(&[], &[]).unwrap_err().to_string();
        assert!(message.contains(expected), "{text}: {message}");
    }
}

#[test]
fn relative_paths_become_absolute() {
    let scene = Scene::with_file("codex_home = \"file-home\"\n");
    let data = scene.at("cwd/d");
    let load = |flags: &[(&str, &str)], pairs: &[(&str, &str)]| scene.load(flags, pairs).unwrap();

    let config = load(&[("data-dir", "d")], &[("CODEX_BIN", "./bin/codex"), ("PROXY_CODEX_WORKDIR", "~/w")]);
    assert_eq!(config.worker.codex.bin, Some(scene.at("cwd/bin/codex")));
    assert_eq!(config.worker.home, CodexHome::Given(scene.at("config/file-home")));
    assert_eq!(config.worker.workdir, scene.at("home/w"));
    assert_eq!((config.data_dir, config.keys.data_dir), (data.clone(), data.clone()));
    assert_eq!(config.worker.cache_dir, data.join("cache"));

    let absolute = scene.at("elsewhere/codex");
    for (given, expected) in [
        ("codex-nightly", Path::new("codex-nightly").to_owned()),
        ("bin/codex", scene.at("cwd/bin/codex")),
        ("~/codex", scene.at("home/codex")),
        (absolute.to_str().unwrap(), absolute.clone()),
    ] {
        let expected = Some(expected);
        assert_eq!(load(&[], &[("CODEX_BIN", given)]).worker.codex.bin, expected);
        assert_eq!(load(&[("codex-bin", given)], &[("CODEX_BIN", "x")]).worker.codex.bin, expected);
    }
    let given = load(&[], &[("CODEX_HOME", ".codev")]).worker.home;
    assert_eq!(given, CodexHome::Given(scene.at("cwd/.codev")));
    let private = Scene::new().load(&[("data-dir", "/d")], &[]).unwrap().worker.home;
    assert!(matches!(private, CodexHome::Private(path) if path.ends_with("d/codex-home")));
}

#[test]
fn traces_go_where_the_specification_says() {
    let endpoint = |pairs: &[(&str, &str)]| {
        let mut pairs = pairs.to_vec();
        pairs.push(("PROXY_ENABLE_OTEL", "true"));
        env(&pairs).telemetry.otel.map(|otel| otel.endpoint.0.to_string())
    };
    let (own, traces, all) =
        ("PROXY_OTEL_EXPORTER_URL", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT");
    assert_eq!(endpoint(&[]), None);
    for (pairs, expected) in [
        (&[(own, "http://h:1")][..], "http://h:1/v1/traces"),
        (&[(own, "http://h:1/at/once")], "http://h:1/at/once"),
        (&[(traces, "http://h:1/at/once")], "http://h:1/at/once"),
        (&[(all, "http://h:1")], "http://h:1/v1/traces"),
        (&[(all, "https://h/otlp/")], "https://h/otlp/v1/traces"),
        (&[(all, "http://h:1"), (traces, "http://h:2/x")], "http://h:2/x"),
        (&[(all, "http://h:1"), (own, "http://h:3/y"), (traces, "http://h:2/x")], "http://h:3/y"),
    ] {
        assert_eq!(endpoint(pairs).as_deref(), Some(expected), "{pairs:?}");
    }
    assert_eq!(env(&[(all, "http://h:1")]).telemetry.otel, None, "it is off unless it is asked for");
}

#[test]
fn a_service_has_the_name_that_is_nearest() {
    let name = |pairs: &[(&str, &str)]| {
        let mut pairs = pairs.to_vec();
        pairs.extend([("PROXY_ENABLE_OTEL", "true"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:1")]);
        env(&pairs).telemetry.otel.unwrap().service_name
    };
    let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=third,x=y");
    assert_eq!(name(&[]), "codex-proxy");
    assert_eq!(name(&[attributes]), "third");
    assert_eq!(name(&[attributes, ("OTEL_SERVICE_NAME", "second")]), "second");
    assert_eq!(name(&[("OTEL_SERVICE_NAME", "second"), ("PROXY_OTEL_SERVICE_NAME", "first")]), "first");
}
