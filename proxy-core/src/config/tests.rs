use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::http::{Origins, Pattern};
use protocol::openai::Environment;
use protocol::turn::OutputMode;
use protocol::turn::shape::{StopMode, TailControls};

mod properties;
mod shown;
mod the_table;
mod values;

/// A user with a home directory, a working directory and optionally a `config.toml`.
struct Scene {
    root: tempfile::TempDir,
    dirs: Dirs,
}

impl Scene {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        let dirs = Dirs {
            config: Some(at("config")),
            data: Some(at("data")),
            home: Some(at("home")),
            current: at("cwd"),
        };
        Self { root, dirs }
    }

    fn with_file(text: &str) -> Self {
        let scene = Self::new();
        scene.write("config/config.toml", text);
        scene
    }

    fn at(&self, name: &str) -> PathBuf {
        name.split('/').fold(self.root.path().to_owned(), |path, part| path.join(part))
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.at(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn load(&self, flags: &[(&str, &str)], env: &[(&str, &str)]) -> Result<Config, Problems> {
        Config::load(&strings(flags), &strings(env), &self.dirs)
    }
}

fn strings(pairs: &[(&str, &str)]) -> BTreeMap<String, OsString> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect()
}

fn env(pairs: &[(&str, &str)]) -> Config {
    Scene::new().load(&[], pairs).unwrap()
}

fn refused(pairs: &[(&str, &str)]) -> String {
    Scene::new().load(&[], pairs).unwrap_err().to_string()
}

fn row<'a>(config: &'a Config, name: &str) -> &'a Row {
    config.effective.rows.iter().find(|row| row.name == name).unwrap()
}

#[test]
fn nothing_set_gives_the_documented_defaults() {
    let scene = Scene::new();
    let config = scene.load(&[], &[]).unwrap();
    let data = scene.at("data");
    let millis = Duration::from_millis;
    assert_eq!(config.data_dir, data);
    assert_eq!(
        config.http,
        http::Config {
            host: "127.0.0.1".parse().unwrap(),
            port: 11435,
            allowed_hosts: vec![],
            trusted_proxies: Vec::new(),
            cors: http::Cors { enabled: true, origins: Origins::Default },
            protect_models: false,
            enable_responses: true,
            keepalive: Some(millis(15_000)),
            max_body_bytes: 64 * 1024 * 1024,
            enable_metrics: false,
            usage_allow_unauth: false,
            max_streams: 0,
            tests: None,
        }
    );
    assert_eq!(
        config.openai,
        openai::Config {
            environment: Environment::Prod,
            default_model: "gpt-5.2".to_owned(),
            ignore_client_system_prompt: true,
            strict_params: false,
            model_fallback: true,
            max_prompt_tokens: 0,
            responses_default_max_tokens: 0,
            chat_output_mode: OutputMode::OpenaiJson,
            responses_output_mode: OutputMode::OpenaiJson,
        }
    );
    assert_eq!(
        config.dispatch,
        dispatch::Config {
            timeout: millis(300_000),
            idle_timeout: millis(15_000),
            stream_idle_timeout: millis(300_000),
            kill_on_disconnect: false,
            legacy_idle_timeout: None,
            threads: threads::Limits { threads: 16, idle: millis(1_800_000), warm: 2 },
            tail: TailControls {
                suppress_after_tools: false,
                stop_after_tools: false,
                stop_mode: StopMode::Burst,
                grace: millis(300),
                block_max: 0,
            },
        }
    );
    assert_eq!(
        config.worker,
        worker::Config {
            codex: config.codex_install.finder(),
            home: CodexHome::Private(data.join("codex-home")),
            workdir: data.join("work"),
            cache_dir: data.join("cache"),
            records_dir: data.join("workers"),
            provider: None,
            sandbox: SandboxMode::ReadOnly,
            count: 1,
            startup_timeout: millis(30_000),
            shutdown_grace: millis(5_000),
            ready_wait: millis(10_000),
            max_concurrency: 1024,
            max_total: 4096,
            queue_limit: 1024,
            queue_timeout: millis(60_000),
            drain_timeout: millis(300_000),
            look_interval: millis(15_000),
            ping_timeout: millis(15_000),
            max_age: Some(millis(86_400_000)),
            max_turns: 0,
            max_resident_bytes: 2048 << 20,
            hidden_env: [
                "PROXY_API_KEY",
                "PROXY_OTEL_EXPORTER_URL",
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
                "OTEL_EXPORTER_OTLP_HEADERS",
            ]
            .map(str::to_owned)
            .to_vec(),
            env: Vec::new(),
            effort_with_turn: false,
            proof_gate: ProofGate::guarded_by(Proofs::in_dir(data.join("proofs"))),
            use_app_server: true,
        }
    );
    assert_eq!(
        config.image_fetch,
        image_fetch::Config {
            enabled: true,
            max_bytes: 20 * 1024 * 1024,
            timeout: millis(20_000),
            max_redirects: 3
        }
    );
    assert!(config.keys.api_key.is_none(), "there is no default key");
    assert_eq!((&config.keys.data_dir, config.keys.keychain), (&data, keys::KeychainMode::Auto));
    assert_eq!(config.telemetry.filter, "info");
    assert_eq!(config.warnings, Vec::<String>::new());
    assert!(config.effective.rows.iter().all(|row| row.source == Source::Default));
    assert_eq!(config.effective.rows.len(), table::ALL.len());
}

#[test]
fn each_layer_goes_before_the_one_below() {
    let scene = Scene::with_file("port = 2\nhost = \"127.0.0.2\"\n");
    let file = Source::File(scene.at("config/config.toml"));
    let check = |flags: &[(&str, &str)], env: &[(&str, &str)], port: u16, source: &Source| {
        let config = scene.load(flags, env).unwrap();
        assert_eq!((config.http.port, &row(&config, "PORT").source), (port, source), "{flags:?} {env:?}");
        assert_eq!(config.http.host.to_string(), "127.0.0.2");
    };
    check(&[], &[], 2, &file);
    check(&[], &[("PORT", "3")], 3, &Source::Environment("PORT"));
    check(&[("port", "4")], &[("PORT", "3")], 4, &Source::Flag("port"));
    check(&[("port", "4")], &[], 4, &Source::Flag("port"));
    check(&[], &[("PORT", "")], 2, &file);
    check(&[], &[("PORT", "  ")], 2, &file);
}

#[test]
fn fallback_variables_count_only_where_the_own_one_is_not_set() {
    for (pairs, filter, source) in [
        (&[("RUST_LOG", "warn")][..], "warn", Source::Environment("RUST_LOG")),
        (&[("RUST_LOG", "warn"), ("PROXY_LOG", "error")], "error", Source::Environment("PROXY_LOG")),
        (&[("RUST_LOG", "warn"), ("PROXY_LOG", "")], "warn", Source::Environment("RUST_LOG")),
    ] {
        let config = env(pairs);
        assert_eq!((config.telemetry.filter.as_str(), &row(&config, "PROXY_LOG").source), (filter, &source));
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let scene = Scene::with_file("prot = 1\ntimeout_ms = \"soon\"\n");
    let flags = [("log", "")];
    let pairs = [("PORT", "x"), ("PROXY_HOST", "0.0.0.0"), ("PROXY_ENV", "y")];
    let Problems(problems) = scene.load(&flags, &pairs).unwrap_err();
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let file = scene.at("config/config.toml").display().to_string();
    for expected in [
        format!("{file}: `prot` is not a setting; did you mean `port`?"),
        "--log is empty; leave it out, or give a log filter".to_owned(),
        "PORT is `x`, but".to_owned(),
        "PROXY_ENV is `y`, but".to_owned(),
        format!("`timeout_ms` in {file} is `soon`, but"),
        "PROXY_HOST is 0.0.0.0, which other machines may reach".to_owned(),
    ] {
        assert_eq!(
            texts.iter().filter(|text| text.starts_with(&expected)).count(),
            1,
            "{expected}\n{texts:#?}"
        );
    }
    assert_eq!(texts.len(), 6, "{texts:#?}");
}

#[test]
fn a_named_file_must_be_there_and_goes_before_the_platforms() {
    let scene = Scene::with_file("port = 2");
    scene.write("cwd/own.toml", "port = 5");
    for (flags, pairs) in [
        (&[("config", "own.toml")][..], &[][..]),
        (&[], &[("PROXY_CONFIG", "own.toml")]),
        (&[("config", "own.toml")], &[("PROXY_CONFIG", "missing.toml")]),
    ] {
        let config = scene.load(flags, pairs).unwrap();
        assert_eq!(config.http.port, 5);
        assert_eq!(row(&config, "PORT").source, Source::File(scene.at("cwd/own.toml")));
    }
    for name in ["missing.toml", "."] {
        let message = scene.load(&[("config", name)], &[]).unwrap_err().to_string();
        assert!(message.contains("cannot read the configuration file"), "{message}");
    }
    let not_text = scene.at("cwd/binary.toml");
    std::fs::write(&not_text, [0xff, 0xfe]).unwrap();
    let message = scene.load(&[("config", "binary.toml")], &[]).unwrap_err().to_string();
    assert!(message.contains("UTF-8"), "{message}");
}

#[test]
fn without_a_home_directory_the_data_directory_must_be_named() {
    let mut scene = Scene::new();
    scene.dirs = Dirs { config: None, data: None, home: None, ..scene.dirs };
    let Problems(problems) = scene.load(&[], &[]).unwrap_err();
    assert_eq!(problems, [Problem::NoDataDir]);
    let config = scene.load(&[], &[("PROXY_DATA_DIR", "d")]).unwrap();
    assert_eq!(config.keys.data_dir, scene.at("cwd/d"));
}

#[test]
fn other_machines_need_a_key_of_the_operators_own() {
    for host in ["0.0.0.0", "::", "192.0.2.1", "::ffff:192.0.2.1"] {
        let message = refused(&[("PROXY_HOST", host)]);
        assert!(message.contains("set PROXY_API_KEY to a long random value"), "{message}");
        assert!(message.contains("PROXY_PUBLISHED_ON_LOOPBACK=true"), "{message}");
        let config = env(&[("PROXY_HOST", host), ("PROXY_API_KEY", "my-own-long-secret")]);
        assert!(config.warnings.iter().any(|warning| warning.contains("PROXY_ALLOWED_HOSTS")));
        assert!(config.keys.exposed);
        let message = refused(&[("PROXY_HOST", host), ("PROXY_API_KEY", "short")]);
        assert!(message.contains("PROXY_API_KEY") && !message.contains("PROXY_HOST"), "{message}");
    }
    for host in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "localhost"] {
        let config = env(&[("PROXY_HOST", host)]);
        assert_eq!((config.warnings, config.keys.exposed), (Vec::<String>::new(), false), "{host}");
    }
}

#[test]
fn a_key_that_can_be_guessed_lets_no_other_machine_in() {
    for key in ["codex-local-secret", "changeme-changeme", "my-own-secret", "aaaaaaaaaaaaaaaaaaaa"] {
        for published in ["false", "true"] {
            let message = refused(&[
                ("PROXY_HOST", "0.0.0.0"),
                ("PROXY_API_KEY", key),
                ("PROXY_PUBLISHED_ON_LOOPBACK", published),
            ]);
            assert!(message.contains("but PROXY_API_KEY ") && message.contains("openssl rand"), "{message}");
            assert!(!message.contains(key), "{message}");
        }
        assert!(env(&[("PROXY_API_KEY", key)]).keys.api_key.is_some(), "on loopback it will do");
    }
}

#[test]
fn the_sign_in_is_for_this_machine_unless_a_container_keeps_it_so() {
    let key = ("PROXY_API_KEY", "my-own-long-secret");
    for more in [&[][..], &[key]] {
        let open = [&[("PROXY_LOGIN_HOST", "0.0.0.0")][..], more].concat();
        let message = refused(&open);
        for part in ["PROXY_LOGIN_HOST is 0.0.0.0", "--device-code", "PROXY_PUBLISHED_ON_LOOPBACK=true"] {
            assert!(message.contains(part), "{message}");
        }
        env(&[&open[..], &[("PROXY_LOGIN_LISTENER", "off")]].concat());
        let inside =
            [&open[..], &[("PROXY_HOST", "0.0.0.0"), ("PROXY_PUBLISHED_ON_LOOPBACK", "true")]].concat();
        assert_eq!(env(&inside).warnings, Vec::<String>::new());
    }
}
