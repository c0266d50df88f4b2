//! `/ui/`: the window as a page. Its files hold no secret, so they need no key. The page works through
//! `/control`, with the token in the fragment of its address.

use std::fmt::Write as _;
use std::io::Read as _;
use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::read::DeflateDecoder;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HOST, IF_NONE_MATCH, LOCATION,
    REFERRER_POLICY, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use rust_embed::RustEmbed;

use super::error::Error;
use super::{App, open};

/// The path of the page.
pub(super) const ROOT: &str = "/ui/";

/// Whether a path belongs to the page.
pub(super) fn has(path: &str) -> bool {
    path.starts_with(ROOT) || path == ROOT.trim_end_matches('/')
}

/// The file for [`ROOT`] itself.
const INDEX: &str = "index.html";

/// The content security policy: the page loads and calls only the proxy, runs no inline script, and cannot be
/// framed.
const POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", open("GET, HEAD", get(welcome)))
        .route("/ui", open("GET, HEAD", get(to_root)))
        .route(ROOT, open("GET, HEAD", get(file)))
        .route("/ui/{*name}", open("GET, HEAD", get(file)))
}

/// The files of `ui/dist` at build time, each packed by `build.rs`. Empty if there were none.
#[derive(RustEmbed)]
#[folder = "$OUT_DIR/window"]
#[allow_missing = true]
struct Files;

/// The page of a program that was built without the files.
const NO_WINDOW: &str = "\
This codex-proxy was built without its window.

To have it, in a checkout of the project and with Node.js 20.19 or newer:

    cd ui && npm ci && npm run build && cd ..
    cargo build --release

The command line does all the same without it: codex-proxy --help
";

/// What is at `/`, for a person who opens the address in a browser or asks with a command.
const WELCOME: &str = "\
<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<title>Codex Proxy</title>
<h1>Codex Proxy</h1>
<p>This is Codex Proxy: it gives programs on this machine the OpenAI API, through the Codex CLI that is signed in to
ChatGPT.</p>
<ul>
<li>Programs use the base URL <code>http://HOST/v1</code> and an API key of the proxy.</li>
<li><a href=\"/ui/\">Its window</a> opens with <code>codex-proxy window</code>, or from the icon in the tray.</li>
<li><a href=\"/healthz\">Its state</a> is there for monitors.</li>
</ul>
</html>
";

async fn welcome(headers: HeaderMap) -> Response {
    // Only a host that is allowed comes here, and no such name has a character of HTML.
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host: String = host.chars().filter(|letter| !"<>&\"'".contains(*letter)).collect();
    let headers = [(CONTENT_TYPE, "text/html; charset=utf-8"), (REFERRER_POLICY, "no-referrer")];
    (headers, WELCOME.replace("HOST", &host)).into_response()
}

async fn to_root() -> Response {
    (StatusCode::PERMANENT_REDIRECT, [(LOCATION, ROOT)]).into_response()
}

async fn file(uri: Uri, headers: HeaderMap) -> Response {
    // The path is not decoded: no file has a name with an escape or a dot segment.
    let name = uri.path().strip_prefix(ROOT).unwrap_or_default();
    let mut response = answer(if name.is_empty() { INDEX } else { name }, &headers);
    for (header, value) in
        [(CONTENT_SECURITY_POLICY, POLICY), (X_FRAME_OPTIONS, "DENY"), (REFERRER_POLICY, "no-referrer")]
    {
        response.headers_mut().insert(header, HeaderValue::from_static(value));
    }
    response
}

fn answer(name: &str, request: &HeaderMap) -> Response {
    let Some(file) = Files::get(name) else {
        return if name == INDEX {
            (StatusCode::NOT_FOUND, [(CONTENT_TYPE, "text/plain; charset=utf-8")], NO_WINDOW).into_response()
        } else {
            Error::UnknownRoute(format!("{ROOT}{name}")).into_response()
        };
    };
    let tag = tag(&file.metadata.sha256_hash());
    // A name under `assets/` contains a hash of the content, so the content of this name never changes.
    let caching =
        if name.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers: [(HeaderName, HeaderValue); 3] = [
        (CONTENT_TYPE, HeaderValue::from_static(media_type(name))),
        (CACHE_CONTROL, HeaderValue::from_static(caching)),
        (ETAG, HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\""))),
    ];
    let known = request.get_all(IF_NONE_MATCH).iter().any(|value| has_tag(value.as_bytes(), &tag));
    if known {
        (StatusCode::NOT_MODIFIED, headers).into_response()
    } else {
        (headers, unpacked(&file.data)).into_response()
    }
}

#[expect(clippy::expect_used, reason = "every test of a page reads what the build has packed")]
fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    DeflateDecoder::new(packed).read_to_end(&mut file).expect("a file that the build has packed");
    file
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "woff2" => "font/woff2",
        "json" => "application/json",
        _ => "application/octet-stream",
    }
}

fn tag(hash: &[u8]) -> String {
    let hex = hash.iter().take(16).fold(String::new(), |mut hex, byte| {
        // Writing into a `String` cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    format!("\"{hex}\"")
}

/// Whether an `If-None-Match` names this tag.
fn has_tag(header: &[u8], tag: &str) -> bool {
    let Ok(header) = std::str::from_utf8(header) else { return false };
    header.split(',').map(str::trim).any(|given| given == "*" || given.trim_start_matches("W/") == tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tags_are_compared_as_a_cache_sends_them() {
        let tag = tag(&[0xab; 32]);
        assert_eq!(tag, format!("\"{}\"", "ab".repeat(16)));
        for same in [tag.clone(), format!("\"x\", W/{tag}"), "*".to_owned()] {
            assert!(has_tag(same.as_bytes(), &tag), "{same}");
        }
        for other in ["", "\"x\"", "abab"] {
            assert!(!has_tag(other.as_bytes(), &tag), "{other}");
        }
    }

    #[tokio::test]
    async fn the_window_is_what_was_built_or_else_the_way_to_it() {
        let answer = answer(INDEX, &HeaderMap::new());
        let (status, kind) = (answer.status(), answer.headers()[CONTENT_TYPE].clone());
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        if Files::iter().next().is_some() {
            assert_eq!((status, kind.to_str().unwrap()), (StatusCode::OK, "text/html; charset=utf-8"));
            assert!(body.contains("<script type=\"module\""), "{body}");
        } else {
            assert_eq!(
                (status, kind.to_str().unwrap()),
                (StatusCode::NOT_FOUND, "text/plain; charset=utf-8")
            );
            assert!(body.contains("npm run build"), "{body}");
        }
    }

    #[test]
    fn every_file_is_what_the_build_of_the_window_has_made() {
        let built = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../ui/dist");
        for name in Files::iter() {
            let file = Files::get(&name).unwrap();
            assert!(unpacked(&file.data) == std::fs::read(built.join(&*name)).unwrap(), "{name}");
        }
    }

    #[test]
    fn every_kind_of_file_that_a_build_makes_has_a_type() {
        for name in Files::iter() {
            assert_ne!(media_type(&name), "application/octet-stream", "{name}");
        }
        assert_eq!(media_type("assets/index-1.js"), "text/javascript; charset=utf-8");
        assert_eq!(media_type("LICENSE"), "application/octet-stream");
    }

    #[test]
    fn only_names_of_files_are_answered() {
        for name in
            ["../package.json", "..%2fpackage.json", "/etc/passwd", "assets", "assets/", "x", "a\\..\\b"]
        {
            let answer = answer(name, &HeaderMap::new());
            assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{name}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_name_and_no_tag_is_too_strange(name in any::<String>(), tags in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_ne!(answer(&format!("../{name}"), &HeaderMap::new()).status(), StatusCode::OK);
            let tag = tag(&tags);
            let named = format!("W/\"x\", {tag}");
            prop_assert!(has_tag(named.as_bytes(), &tag));
            has_tag(&tags, &tag);
        }
    }
}
