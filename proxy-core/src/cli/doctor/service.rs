//! Checks of the running proxy: it answers, its key works, and Obsidian may call it while web pages may not.

use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD,
    AUTHORIZATION, ORIGIN,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::Value;

use super::{Finding, Ground};
use crate::cli::client::{Client, body_of};
use crate::cli::failure::Failure;
use crate::control::api::{KeyList, KeyStore, RevealedKey, Status, WorkerState};
use crate::instance;
use crate::secret::ApiKey;

const CHECKS: [&str; 5] = ["ready", "models", "key", "key_store", "cors"];

pub(super) async fn look(ground: &Ground) -> Vec<Finding> {
    const CHECK: &str = "proxy";
    let skipped =
        |reason: &str| CHECKS.into_iter().map(|check| Finding::skipped(check, reason)).collect::<Vec<_>>();
    let client = match &ground.proxy {
        Ok(client) => client,
        Err(Failure::NotRunning(_)) => {
            let finding = Finding::warn(CHECK, "no proxy is running", "Start it with `codex-proxy run`.");
            return [vec![finding], skipped("no proxy is running")].concat();
        }
        Err(failure) => {
            let finding = Finding::fail(CHECK, failure.to_string(), "See what `codex-proxy logs` says.");
            return [vec![finding], skipped("the running proxy cannot be asked")].concat();
        }
    };
    let (pid, address) = (client.pid(), client.address());
    let health = match fetch(client, Method::GET, "/healthz", HeaderMap::new()).await {
        Ok((StatusCode::OK, _, _)) => Finding::ok(CHECK, format!("process {pid} answers at {address}")),
        Ok((status, _, _)) => Finding::fail(
            CHECK,
            format!("process {pid} answers {status} to /healthz"),
            "Restart it, and see what `codex-proxy logs` says.",
        ),
        Err(failure) => {
            let who = instance::who_listens(address).unwrap_or_else(|| "nobody that can be seen".to_owned());
            let detail = format!("{failure}; {who} listens there");
            return [
                vec![Finding::fail(CHECK, detail, "Restart the proxy.")],
                skipped("the proxy does not answer"),
            ]
            .concat();
        }
    };
    vec![
        health,
        ready(ground.status.as_ref()),
        models(client).await,
        key(ground, client).await,
        key_store(client).await,
        cors(ground, client).await,
    ]
}

fn ready(status: Option<&Status>) -> Finding {
    const CHECK: &str = "ready";
    match status {
        None => Finding::fail(
            CHECK,
            "the control API does not tell the state",
            "Are the running proxy and this program of one version? Compare `codex-proxy --version`.",
        ),
        Some(status) if status.ready => {
            let ready = status.workers.iter().filter(|worker| worker.state == WorkerState::Ready).count();
            let version = status.workers.iter().find_map(|worker| worker.codex_version.as_deref());
            let version = version.map(|version| format!(" with Codex {version}")).unwrap_or_default();
            Finding::ok(
                CHECK,
                format!("{ready} of {} workers have done their handshake{version}", status.workers.len()),
            )
        }
        Some(Status { reason: Some(reason), codex, .. })
            if codex.version.is_none() && codex.problem.as_ref() == Some(reason) =>
        {
            Finding::fail(
                CHECK,
                "no worker can be started",
                "The check `codex`, below, says why and what to do.",
            )
        }
        Some(status) => Finding::fail(
            CHECK,
            status.reason.clone().unwrap_or_else(|| "no worker is ready".to_owned()),
            "`codex-proxy workers` and `codex-proxy logs` say more; `codex-proxy codex status` says which Codex is used.",
        ),
    }
}

async fn models(client: &Client) -> Finding {
    const CHECK: &str = "models";
    let advice = "`codex-proxy logs` says more.";
    match fetch(client, Method::GET, "/v1/models", HeaderMap::new()).await {
        Ok((StatusCode::OK, _, body)) => {
            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
            match body["data"].as_array().map(Vec::len) {
                Some(count) if count > 0 => Finding::ok(CHECK, format!("/v1/models lists {count} models")),
                Some(_) | None => Finding::fail(CHECK, "/v1/models lists no model", advice),
            }
        }
        Ok((StatusCode::UNAUTHORIZED, _, _)) => Finding::ok(CHECK, "/v1/models answers only with the key"),
        Ok((status, _, _)) => Finding::fail(CHECK, format!("/v1/models answers {status}"), advice),
        Err(failure) => Finding::fail(CHECK, failure.to_string(), advice),
    }
}

/// Checks that a key of the proxy is accepted, and that a wrong one is not.
async fn key(ground: &Ground, client: &Client) -> Finding {
    const CHECK: &str = "key";
    let (name, key) = match some_key(ground, client).await {
        Ok(found) => found,
        Err(reason) => {
            let advice = "`codex-proxy keys` lists the keys; `codex-proxy keys create NAME` makes one.";
            return Finding::warn(CHECK, reason.to_string(), advice);
        }
    };
    let right = verify(client, key.expose()).await;
    let wrong = verify(client, "not-the-key-of-this-proxy").await;
    match (right, wrong) {
        (Ok(StatusCode::OK), Ok(StatusCode::UNAUTHORIZED)) => {
            Finding::ok(CHECK, format!("the key {name} is accepted, and a wrong one is refused"))
        }
        (Ok(StatusCode::OK), Ok(other)) => Finding::fail(
            CHECK,
            format!("a wrong key is answered with {other}"),
            "Stop the proxy: whoever reaches it may use it. Then report this.",
        ),
        (Ok(other), _) => Finding::fail(
            CHECK,
            format!("the key {name} is answered with {other}"),
            "Restart the proxy: it was started with another key than these settings say.",
        ),
        (Err(failure), _) => Finding::fail(CHECK, failure.to_string(), "`codex-proxy logs` says more."),
    }
}

/// The operator's key, or the first enabled one, or the reason why there is none.
async fn some_key(ground: &Ground, client: &Client) -> Result<(String, ApiKey), Failure> {
    if let Some(key) = &ground.config.keys.api_key {
        return Ok(("PROXY_API_KEY".to_owned(), key.clone()));
    }
    let keys: KeyList = client.read("/keys").await?;
    let Some(key) = keys.keys.iter().find(|key| key.enabled && !key.overridden) else {
        return Err(Failure::new("no key is enabled, so no client gets in"));
    };
    let path = format!("/keys/{}/reveal", key.id);
    let RevealedKey { secret } = client.call(Method::POST, &path).await?.read()?;
    Ok((key.name.clone(), secret))
}

async fn verify(client: &Client, key: &str) -> Result<StatusCode, Failure> {
    let mut headers = HeaderMap::new();
    let mut bearer = HeaderValue::try_from(format!("Bearer {key}"))
        .map_err(|_| Failure::new("the key cannot be sent in a header"))?;
    bearer.set_sensitive(true);
    headers.insert(AUTHORIZATION, bearer);
    fetch(client, Method::GET, "/verify", headers).await.map(|(status, _, _)| status)
}

async fn key_store(client: &Client) -> Finding {
    const CHECK: &str = "key_store";
    match client.read::<KeyList>("/keys").await {
        Ok(KeyList { store: KeyStore::Keychain, warning: None, .. }) => {
            Finding::ok(CHECK, "the keys are in the system's keychain")
        }
        Ok(KeyList { warning: None, .. }) => {
            Finding::ok(CHECK, "the keys are in a file that only this user can read")
        }
        Ok(KeyList { warning: Some(warning), .. }) => Finding::warn(
            CHECK,
            warning,
            "Unlock or install a keychain, then `codex-proxy keys migrate --to keychain`.",
        ),
        Err(failure) => Finding::skipped(CHECK, failure.to_string()),
    }
}

/// Sends a preflight as Obsidian does, then one as a web page would.
async fn cors(ground: &Ground, client: &Client) -> Finding {
    const CHECK: &str = "cors";
    const OBSIDIAN: &str = "app://obsidian.md";
    const FOREIGN: &str = "https://foreign.invalid";
    if !ground.config.http.cors.enabled {
        return Finding::skipped(CHECK, "PROXY_ENABLE_CORS is false: browsers are answered elsewhere");
    }
    let (own, foreign) = match (preflight(client, OBSIDIAN).await, preflight(client, FOREIGN).await) {
        (Ok(own), Ok(foreign)) => (own, foreign),
        (Err(failure), _) | (_, Err(failure)) => {
            return Finding::fail(CHECK, failure.to_string(), "`codex-proxy logs` says more.");
        }
    };
    if foreign.1 {
        return Finding::warn(
            CHECK,
            format!("a page of {FOREIGN}, so any, may try to call the proxy"),
            "List the origins you use in PROXY_CORS_ALLOWED_ORIGINS, or unset it.",
        );
    }
    if !own.1 {
        return Finding::warn(
            CHECK,
            format!("Obsidian's requests ({OBSIDIAN}) are answered {} without the origin", own.0),
            "If you use Obsidian, add app://obsidian.md to PROXY_CORS_ALLOWED_ORIGINS, or unset it.",
        );
    }
    Finding::ok(
        CHECK,
        format!("a preflight of {OBSIDIAN} is answered {}, one of a web page {}", own.0, foreign.0),
    )
}

/// The status of a preflight, and whether a browser would continue.
async fn preflight(client: &Client, origin: &'static str) -> Result<(StatusCode, bool), Failure> {
    let headers = [
        (ORIGIN, origin),
        (ACCESS_CONTROL_REQUEST_METHOD, "POST"),
        (ACCESS_CONTROL_REQUEST_HEADERS, "authorization,content-type"),
    ];
    let headers = headers.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect();
    let (status, headers, _) = fetch(client, Method::OPTIONS, "/v1/chat/completions", headers).await?;
    let allowed = headers.get(ACCESS_CONTROL_ALLOW_ORIGIN);
    let allowed = allowed.is_some_and(|allowed| allowed == origin || allowed == "*");
    Ok((status, status.is_success() && allowed))
}

async fn fetch(
    client: &Client,
    method: Method,
    path: &str,
    headers: HeaderMap,
) -> Result<(StatusCode, HeaderMap, Vec<u8>), Failure> {
    let answer = client.plain(method, path, headers, String::new()).await?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    Ok((status, headers, body_of(answer).await?))
}
