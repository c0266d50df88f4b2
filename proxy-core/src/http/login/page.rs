//! A small page: a title, some sentences, and one link or button.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sha2::{Digest as _, Sha256};

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:15vh auto;padding:0 1.5rem}\
h1{font-size:1.5rem}\
button,a.next{display:inline-block;font:inherit;padding:.5rem 1.25rem;border:1px solid;border-radius:.5rem;\
background:none;color:inherit;text-decoration:none;cursor:pointer}\
button:focus-visible,a.next:focus-visible{outline:3px solid Highlight}\
p{overflow-wrap:anywhere}";

/// A page that is being built.
#[derive(Debug)]
pub(super) struct Page {
    status: StatusCode,
    title: &'static str,
    again: Option<u32>,
    body: String,
}

impl Page {
    pub(super) fn new(status: StatusCode, title: &'static str) -> Self {
        Self { status, title, again: None, body: String::new() }
    }

    /// Adds a paragraph.
    pub(super) fn text(mut self, text: &str) -> Self {
        self.body.push_str("<p>");
        escape(text, &mut self.body);
        self.body.push_str("</p>\n");
        self
    }

    /// Adds a button that begins a sign-in.
    pub(super) fn button(mut self, label: &'static str) -> Self {
        // Writing to a `String` cannot fail.
        let _ = writeln!(
            self.body,
            "<form method=\"post\" action=\"/start\"><button autofocus>{label}</button></form>"
        );
        self
    }

    /// Adds a link to another page of ours.
    pub(super) fn link(mut self, to: &'static str, label: &'static str) -> Self {
        // Writing to a `String` cannot fail.
        let _ = writeln!(self.body, "<p><a class=\"next\" href=\"{to}\">{label}</a></p>");
        self
    }

    /// Loads the page again after some seconds.
    pub(super) fn again(mut self, seconds: u32) -> Self {
        self.again = Some(seconds);
        self
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let again =
            self.again.map(|seconds| format!("<meta http-equiv=\"refresh\" content=\"{seconds}\">\n"));
        let html = format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n{}\
             <title>{title} – Codex Proxy</title>\n<style>{STYLE}</style>\n<main>\n<h1>{title}</h1>\n{}</main>\n</html>\n",
            again.unwrap_or_default(),
            self.body,
            title = self.title,
        );
        (self.status, [(CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response()
    }
}

/// Adds the headers that keep other sites from framing, reading or caching a page, and the page from loading
/// anything.
pub(super) fn protect(headers: &mut HeaderMap) {
    static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; frame-ancestors 'none'",
            STANDARD.encode(Sha256::digest(STYLE))
        );
        HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
    });
    headers.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    let fixed: [(HeaderName, &'static str); 6] = [
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        // Browsers have to send the origin of the form, which a stricter policy would hide.
        (REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

fn escape(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_others_say_is_shown_and_not_run() {
        let page = Page::new(StatusCode::OK, "Title").text("<script>alert('\"&\"')</script>");
        assert_eq!(page.body, "<p>&lt;script&gt;alert(&#39;&quot;&amp;&quot;&#39;)&lt;/script&gt;</p>\n");
    }

    #[test]
    fn only_our_own_style_is_let_in() {
        let mut headers = HeaderMap::new();
        protect(&mut headers);
        let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_text_gets_out_of_its_paragraph(text in any::<String>()) {
            let mut out = String::new();
            escape(&text, &mut out);
            prop_assert!(!out.contains(['<', '>', '"', '\'']), "{}", out);
            let back = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
            prop_assert_eq!(back.iter().fold(out, |text, (from, to)| text.replace(from, to)), text);
        }
    }
}
