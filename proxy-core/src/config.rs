//! The configuration: defaults < file < environment < flags. It is read once, into a [`Config`] that contains
//! the configuration of each module.

mod backup;
pub mod kinds;
mod layers;
mod live;
mod problem;
mod removal;
mod report;
pub mod setting;
pub mod table;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use url::Url;

use crate::codex_install::proofs::{ProofGate, Proofs};
use crate::files::ToClose;
use crate::paths::Dirs;
use crate::secret::ApiKey;
use crate::telemetry::trace::Hidden;
use crate::worker::{CodexHome, SandboxMode};
use crate::{
    account, client_setup, codex_install, dispatch, http, image_fetch, keys, prove, request_log,
    response_store, telemetry, threads, throttle, usage, worker,
};
use protocol::openai;
use protocol::turn::shape::TailControls;

pub use layers::{Flags, ProcessEnvironment, Source, Strings};
pub use live::LiveSettings;
pub use problem::{Hint, Problem, Problems};
pub use report::{Effective, Row, reference};

use layers::{Values, fail_if_any, unknown_variables};
use setting::Setting;

/// Everything that the operator decides.
#[derive(Debug, Clone)]
pub struct Config {
    /// The directory for the files of the proxy.
    pub data_dir: PathBuf,
    /// The HTTP server.
    pub http: http::Config,
    /// The OpenAI surfaces.
    pub openai: openai::Config,
    /// The dispatch of turns.
    pub dispatch: dispatch::Config,
    /// The download of images.
    pub image_fetch: image_fetch::Config,
    /// The installation of Codex.
    pub codex_install: codex_install::Config,
    /// The Codex processes.
    pub worker: worker::Config,
    /// Proofs of what Codex adds to prompts.
    pub prove: prove::Config,
    /// The account behind Codex.
    pub account: account::Config,
    /// The sign-in pages.
    pub login: http::login::Config,
    /// The usage store.
    pub usage: usage::Config,
    /// The store of responses.
    pub response_store: response_store::Config,
    /// The API keys.
    pub keys: keys::Config,
    /// Logs, metrics and traces.
    pub telemetry: telemetry::Config,
    /// The limits of each key.
    pub throttle: throttle::Config,
    /// The request log.
    pub request_log: request_log::Config,
    /// The programs whose settings can be changed to use the proxy.
    pub client_setup: client_setup::Config,
    /// Every value in force and its source.
    pub effective: Effective,
    /// Reads and changes the settings while the proxy runs.
    pub live_settings: LiveSettings,
    /// Settings that are allowed but probably not intended, in sentences for the log.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads all layers: the defaults, the file, the environment and the flags.
    ///
    /// # Errors
    /// With all problems of all layers.
    pub fn load(flags: &Flags, env: &dyn Strings, dirs: &Dirs) -> Result<Self, Problems> {
        let (values, mut problems) = Values::gather(flags, env, dirs);
        problems.extend(exposures(&values));
        fail_if_any(problems)?;
        let derived = Derived {
            codex_install: codex_install_config(&values, env, dirs)?,
            client_setup: client_setup_config(&values, env, dirs)?,
            live_settings: LiveSettings::new(flags, env, dirs, &values),
            warnings: warnings(&values, env)?,
        };
        Ok(Self::build(&values, dirs, derived)?)
    }

    /// The files that other users must not read or change: the data directory and everything private in it, the
    /// log, the sign-in, and the configuration file if it contains a secret.
    pub fn private_files(&self) -> ToClose {
        let inside = ["api-key", "key-secrets", "keys.json", "control-token"].map(str::to_owned);
        let files_of = |database: &str| ["", "-wal", "-shm"].map(|end| format!("{database}{end}"));
        let databases = ["proxy.db", response_store::FILE].into_iter().flat_map(files_of);
        let mut more: Vec<PathBuf> =
            inside.into_iter().chain(databases).map(|name| self.data_dir.join(name)).collect();
        if let CodexHome::Private(home) = &self.worker.home {
            more.push(home.clone());
        }
        more.push(self.worker.home.sign_in_file());
        more.extend(self.file_with_secrets());
        let logs = self.telemetry.file.as_ref().map(|file| file.dir.clone());
        ToClose {
            root: self.data_dir.clone(),
            more,
            with_files: std::iter::once(self.usage.journal.clone()).chain(logs).collect(),
        }
    }

    /// The configuration file, if it contains a secret.
    pub fn file_with_secrets(&self) -> Option<PathBuf> {
        let secret =
            |name: &str| table::ALL.iter().any(|entry| entry.meta().env == name && entry.meta().secret);
        self.effective.rows.iter().find_map(|row| match &row.source {
            Source::File(file) if secret(row.name) => Some(file.clone()),
            Source::File(_) | Source::Default | Source::Environment(_) | Source::Flag(_) => None,
        })
    }

    fn build(values: &Values, dirs: &Dirs, derived: Derived) -> Result<Self, Problem> {
        let Derived { codex_install, client_setup, live_settings, warnings } = derived;
        let data_dir = values.get(&table::DATA_DIR)?;
        let worker = worker_config(values, codex_install.finder())?;
        Ok(Self {
            http: http_config(values)?,
            openai: openai_config(values)?,
            dispatch: dispatch_config(values)?,
            image_fetch: image_fetch::Config {
                enabled: values.get(&table::FETCH_IMAGES)?,
                max_bytes: values.get(&table::FETCH_MAX_BYTES)?,
                timeout: values.get(&table::FETCH_TIMEOUT_MS)?,
                max_redirects: values.get(&table::FETCH_MAX_REDIRECTS)?,
            },
            prove: prove::Config {
                data_dir: data_dir.clone(),
                proofs: proofs(values)?,
                worker: worker.clone(),
            },
            account: account::Config {
                home: worker.home.clone(),
                startup_timeout: worker.startup_timeout,
                import_from: dirs.home.as_ref().map(|home| home.join(".codex").join("auth.json")),
                begin_on_request: values.get(&table::LOGIN_LISTENER)? != http::login::Mode::Off,
            },
            worker,
            codex_install,
            login: http::login::Config {
                mode: values.get(&table::LOGIN_LISTENER)?,
                host: values.get(&table::LOGIN_HOST)?,
                port: values.get(&table::LOGIN_PORT)?,
                allowed_hosts: values.get(&table::ALLOWED_HOSTS)?,
            },
            usage: usage::Config {
                database: data_dir.join("proxy.db"),
                journal: data_dir.join("usage-journal"),
                token_log: values.get(&table::TOKEN_LOG_PATH)?,
                retention_days: values.get(&table::USAGE_RETENTION_DAYS)?,
            },
            response_store: response_store::Config::of(
                values.get(&table::STORE)?,
                values.get(&table::STORE_MAX_DAYS)?,
                values.get(&table::STORE_MAX_MB)?,
            ),
            keys: keys::Config {
                api_key: values.get(&table::API_KEY)?,
                data_dir: data_dir.clone(),
                keychain: values.get(&table::KEYCHAIN)?,
                exposed: open_address(values, &table::HOST).is_some(),
            },
            telemetry: telemetry_config(values)?,
            client_setup,
            effective: Effective::of(values),
            live_settings,
            throttle: throttle_config(values)?,
            request_log: request_log::Config { kept: values.get(&table::REQUEST_LOG)? },
            warnings,
            data_dir,
        })
    }
}

/// Values that are derived from the environment besides the settings.
struct Derived {
    codex_install: codex_install::Config,
    client_setup: client_setup::Config,
    live_settings: LiveSettings,
    warnings: Vec<String>,
}

fn http_config(values: &Values) -> Result<http::Config, Problem> {
    Ok(http::Config {
        host: values.get(&table::HOST)?,
        port: values.get(&table::PORT)?,
        allowed_hosts: values.get(&table::ALLOWED_HOSTS)?,
        trusted_proxies: values.get(&table::TRUSTED_PROXIES)?,
        cors: http::Cors {
            enabled: values.get(&table::ENABLE_CORS)?,
            origins: values.get(&table::CORS_ALLOWED_ORIGINS)?,
        },
        protect_models: values.get(&table::PROTECT_MODELS)?,
        enable_responses: values.get(&table::ENABLE_RESPONSES)?,
        keepalive: Some(values.get(&table::SSE_KEEPALIVE_MS)?).filter(|time| !time.is_zero()),
        max_body_bytes: values.get(&table::MAX_BODY_BYTES)?,
        enable_metrics: values.get(&table::ENABLE_METRICS)?,
        usage_allow_unauth: values.get(&table::USAGE_ALLOW_UNAUTH)?,
        max_streams: values.get(&table::SSE_MAX_CONCURRENCY)?,
        tests: match values.get(&table::TEST_ENDPOINTS)? {
            true => Some(http::test_routes::Config {
                allow_remote: values.get(&table::TEST_ALLOW_REMOTE)?,
                release_file: values.get(&table::STREAM_RELEASE_FILE)?,
            }),
            false => None,
        },
    })
}

fn telemetry_config(values: &Values) -> Result<telemetry::Config, Problem> {
    let file = telemetry::FileConfig {
        dir: values.get(&table::LOG_DIR)?,
        limits: telemetry::Limits {
            max_bytes: values.get(&table::LOG_FILE_MAX_MB)? << 20,
            files: values.get(&table::LOG_FILES)?,
        },
    };
    Ok(telemetry::Config {
        filter: values.get(&table::LOG)?,
        format: values.get(&table::LOG_FORMAT)?,
        file: values.get(&table::LOG_FILE)?.then_some(file),
        otel: otel_config(values)?,
    })
}

/// The configuration of traces; `None` unless traces are enabled and there is an endpoint.
fn otel_config(values: &Values) -> Result<Option<telemetry::trace::Config>, Problem> {
    let Some(endpoint) = otel_endpoint(values)?.filter(|_| values.get(&table::ENABLE_OTEL) == Ok(true))
    else {
        return Ok(None);
    };
    let attributes = values.get(&table::OTEL_RESOURCE_ATTRIBUTES)?;
    let named = attributes.iter().find(|(name, _)| name == "service.name");
    let service_name = match (values.source(&table::OTEL_SERVICE_NAME), named) {
        (Source::Default, Some((_, name))) => name.clone(),
        _ => values.get(&table::OTEL_SERVICE_NAME)?,
    };
    Ok(Some(telemetry::trace::Config {
        endpoint: Hidden(endpoint),
        headers: Hidden(values.get(&table::OTEL_HEADERS)?),
        service_name,
        attributes,
        sampler: values.get(&table::OTEL_TRACES_SAMPLER)?,
        ratio: values.get(&table::OTEL_TRACES_SAMPLER_ARG)?,
    }))
}

/// The endpoint of traces. The proxy's own URL is used unchanged if it has a path; to the common URL, the path
/// for traces is added.
fn otel_endpoint(values: &Values) -> Result<Option<Url>, Problem> {
    let own = values.get(&table::OTEL_EXPORTER_URL)?;
    let below = |mut url: Url| {
        let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url
    };
    Ok(match own {
        Some(url) if matches!(url.path(), "" | "/") => Some(below(url)),
        Some(url) => Some(url),
        None => values.get(&table::OTEL_EXPORTER_OTLP_ENDPOINT)?.map(below),
    })
}

fn openai_config(values: &Values) -> Result<openai::Config, Problem> {
    Ok(openai::Config {
        environment: values.get(&table::ENVIRONMENT)?,
        default_model: values.get(&table::MODEL)?,
        ignore_client_system_prompt: values.get(&table::IGNORE_CLIENT_SYSTEM_PROMPT)?,
        strict_params: values.get(&table::STRICT_PARAMS)?,
        model_fallback: values.get(&table::MODEL_FALLBACK)?,
        max_prompt_tokens: values.get(&table::MAX_PROMPT_TOKENS)?,
        responses_default_max_tokens: values.get(&table::RESPONSES_DEFAULT_MAX_TOKENS)?,
        chat_output_mode: values.get(&table::OUTPUT_MODE)?,
        responses_output_mode: values.get(&table::RESPONSES_OUTPUT_MODE)?,
    })
}

fn dispatch_config(values: &Values) -> Result<dispatch::Config, Problem> {
    Ok(dispatch::Config {
        timeout: values.get(&table::TIMEOUT_MS)?,
        idle_timeout: values.get(&table::IDLE_TIMEOUT_MS)?,
        stream_idle_timeout: values.get(&table::STREAM_IDLE_TIMEOUT_MS)?,
        kill_on_disconnect: values.get(&table::KILL_ON_DISCONNECT)?,
        legacy_idle_timeout: match values.get(&table::USE_APP_SERVER)? {
            true => None,
            false => Some(values.get(&table::PROTO_IDLE_MS)?),
        },
        threads: threads::Limits {
            threads: values.get(&table::KEPT_THREADS)?,
            idle: values.get(&table::KEPT_THREADS_IDLE_MS)?,
            warm: values.get(&table::WARM_THREADS)?,
        },
        tail: TailControls {
            suppress_after_tools: values.get(&table::SUPPRESS_TAIL_AFTER_TOOLS)?,
            stop_after_tools: values.get(&table::STOP_AFTER_TOOLS)?,
            stop_mode: values.get(&table::STOP_AFTER_TOOLS_MODE)?,
            grace: values.get(&table::STOP_AFTER_TOOLS_GRACE_MS)?,
            block_max: values.get(&table::TOOL_BLOCK_MAX)?,
        },
    })
}

fn throttle_config(values: &Values) -> Result<throttle::Config, Problem> {
    let number = NonZeroU32::new;
    let average = values.get(&table::RATE_LIMIT_AVG)?.and_then(number);
    let burst = values.get(&table::RATE_LIMIT_BURST)?.and_then(number);
    Ok(throttle::Config {
        rate: average.map(|average| throttle::Rate {
            average,
            burst: burst.unwrap_or_else(|| average.saturating_mul(TWO)),
        }),
        daily_tokens: values.get(&table::DAILY_TOKENS)?,
        key_daily_tokens: values.get(&table::KEY_DAILY_TOKENS)?,
    })
}

const TWO: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);

fn worker_config(values: &Values, codex: codex_install::Finder) -> Result<worker::Config, Problem> {
    let home = values.get(&table::CODEX_HOME)?;
    Ok(worker::Config {
        codex,
        home: match values.source(&table::CODEX_HOME) {
            Source::Default => CodexHome::Private(home),
            Source::File(_) | Source::Environment(_) | Source::Flag(_) => CodexHome::Given(home),
        },
        workdir: values.get(&table::CODEX_WORKDIR)?,
        cache_dir: values.get(&table::DATA_DIR)?.join("cache"),
        records_dir: values.get(&table::DATA_DIR)?.join("workers"),
        provider: values.get(&table::FORCE_PROVIDER)?,
        sandbox: values.get(&table::SANDBOX_MODE)?,
        count: values.get(&table::WORKER_COUNT)?,
        startup_timeout: values.get(&table::WORKER_STARTUP_TIMEOUT_MS)?,
        shutdown_grace: values.get(&table::WORKER_SHUTDOWN_GRACE_MS)?,
        ready_wait: values.get(&table::WORKER_READY_TIMEOUT_MS)?,
        max_concurrency: values.get(&table::WORKER_MAX_CONCURRENCY)?,
        max_total: values.get(&table::MAX_CONCURRENCY)?,
        queue_limit: values.get(&table::QUEUE_LIMIT)?,
        queue_timeout: values.get(&table::QUEUE_TIMEOUT_MS)?,
        drain_timeout: values.get(&table::WORKER_DRAIN_TIMEOUT_MS)?,
        look_interval: values.get(&table::WORKER_PING_INTERVAL_MS)?,
        ping_timeout: values.get(&table::WORKER_PING_TIMEOUT_MS)?,
        max_age: Some(values.get(&table::WORKER_MAX_AGE_MS)?).filter(|age| !age.is_zero()),
        max_turns: values.get(&table::WORKER_MAX_TURNS)?,
        max_resident_bytes: values.get(&table::WORKER_MAX_RSS_MB)? << 20,
        hidden_env: secret_variables(),
        env: Vec::new(),
        effort_with_turn: false,
        proof_gate: ProofGate::guarded_by(proofs(values)?),
        use_app_server: values.get(&table::USE_APP_SERVER)?,
    })
}

/// The store of the proofs of Codex.
fn proofs(values: &Values) -> Result<Proofs, Problem> {
    Ok(Proofs::in_dir(values.get(&table::DATA_DIR)?.join("proofs")))
}

fn codex_install_config(
    values: &Values,
    env: &dyn Strings,
    dirs: &Dirs,
) -> Result<codex_install::Config, Problem> {
    let variables = env.names().into_iter().filter_map(|name| {
        let value = env.get(&name)?;
        Some((name, value))
    });
    Ok(codex_install::Config {
        dir: values.get(&table::DATA_DIR)?.join("codex"),
        bin: values.get(&table::CODEX_BIN)?,
        legacy: !values.get(&table::USE_APP_SERVER)?,
        registry: values.get(&table::NPM_REGISTRY)?,
        environment: codex_install::Environment::of(variables),
        home: dirs.home.clone(),
        hidden_env: secret_variables(),
    })
}

fn client_setup_config(
    values: &Values,
    env: &dyn Strings,
    dirs: &Dirs,
) -> Result<client_setup::Config, Problem> {
    let named = env.get("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    Ok(client_setup::Config {
        home: dirs.home.clone(),
        config: named.or_else(|| dirs.home.as_ref().map(|home| home.join(".config"))),
        roaming: env.get("APPDATA").map(PathBuf::from),
        record: values.get(&table::DATA_DIR)?.join("clients.json"),
    })
}

/// The variables with the proxy's own secrets, which no child process may get.
fn secret_variables() -> Vec<String> {
    let secrets = table::ALL.iter().map(|entry| entry.meta()).filter(|meta| meta.secret);
    let names = secrets.flat_map(|meta| std::iter::once(meta.env).chain(meta.also.iter().copied()));
    names.map(str::to_owned).collect()
}

/// Settings that would let other machines in: without a key, with a key that can be guessed, or to the sign-in,
/// which needs no key.
///
/// A key or an address that was already refused is not reported again.
fn exposures(values: &Values) -> Vec<Problem> {
    let published_on_loopback = values.get(&table::PUBLISHED_ON_LOOPBACK) == Ok(true);
    let mut problems = Vec::new();
    if let (Some(host), Ok(key)) = (open_address(values, &table::HOST), values.get(&table::API_KEY)) {
        match key.as_ref().map(ApiKey::weakness) {
            // The key from the first start is random.
            None if published_on_loopback => {}
            None => problems.push(Problem::OpenToOthers(host)),
            // Other containers can still reach it.
            Some(Some(weakness)) => problems.push(Problem::WeakKey { host, weakness }),
            Some(None) => {}
        }
    }
    let has_pages = values.get(&table::LOGIN_LISTENER).is_ok_and(|mode| mode != http::login::Mode::Off);
    if let Some(host) = open_address(values, &table::LOGIN_HOST)
        && has_pages
        && !published_on_loopback
    {
        problems.push(Problem::OpenSignIn(host));
    }
    problems
}

/// The address in a setting, if other machines can reach it.
fn open_address(values: &Values, setting: &Setting<kinds::Address>) -> Option<IpAddr> {
    values.get(setting).ok().filter(|host| !host.to_canonical().is_loopback())
}

fn warnings(values: &Values, env: &dyn Strings) -> Result<Vec<String>, Problem> {
    let mut warnings = Vec::new();
    if values.get(&table::API_KEY)?.is_some_and(|key| key.is_publicly_known()) {
        warnings.push(
            "PROXY_API_KEY is a key from public documentation, which anyone can guess; set a random one"
                .to_owned(),
        );
    }
    let published_on_loopback = values.get(&table::PUBLISHED_ON_LOOPBACK)?;
    if let Some(host) = open_address(values, &table::HOST)
        && !published_on_loopback
        && values.get(&table::ALLOWED_HOSTS)?.is_empty()
    {
        warnings.push(format!(
            "PROXY_HOST is {host}, but PROXY_ALLOWED_HOSTS is empty, so requests to any but a loopback name are \
             refused; list the names by which clients call the proxy"
        ));
    }
    if values.get(&table::CORS_ALLOWED_ORIGINS)? == http::Origins::Any {
        warnings.push(
            "PROXY_CORS_ALLOWED_ORIGINS is *, so every web page may try to call the proxy; list the origins you use"
                .to_owned(),
        );
    }
    if values.get(&table::SANDBOX_MODE)? == SandboxMode::DangerFullAccess {
        warnings.push(
            "PROXY_SANDBOX_MODE is danger-full-access, so Codex may change any file of this user".to_owned(),
        );
    }
    if values.get(&table::ENABLE_OTEL)? && otel_endpoint(values)?.is_none() {
        warnings.push(
            "PROXY_ENABLE_OTEL is true, but nothing says where traces go, so none are sent; set PROXY_OTEL_EXPORTER_URL"
                .to_owned(),
        );
    }
    if values.get(&table::RATE_LIMIT_BURST)?.is_some() && values.get(&table::RATE_LIMIT_AVG)?.is_none() {
        warnings.push("RATE_LIMIT_BURST has no effect without RATE_LIMIT_AVG".to_owned());
    }
    warnings.extend(unknown_variables(env).into_iter().map(|(name, hint)| {
        format!("the environment variable {name} is not a setting and has no effect{hint}")
    }));
    Ok(warnings)
}

#[cfg(test)]
mod tests;
