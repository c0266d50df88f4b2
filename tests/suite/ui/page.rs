//! The window as a user sees it: the built page, served by the proxy, in Chromium.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use e2e::browser::Browser;
use e2e::codex_bin::NEWEST;
use e2e::fake_openai::{FakeOpenAi, Script};
use e2e::harness::Setup;
use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::run;
use crate::surface::Surface;

/// The answer of the model.
const ANSWER: &str = "Hello from the far end.";

#[tokio::test]
async fn a_command_opens_the_window_and_tells_nobody_else_the_token() {
    let proxy = Setup::fake(&json!({})).start().await;
    let shown = run(proxy.data_dir(), &["window", "--no-browser"], &[], "").await;
    assert_eq!(shown.code, 0, "{shown:?}");
    let token = fs::read_to_string(proxy.data_dir().join("control-token")).unwrap();
    assert!(!format!("{shown:?}").contains(token.trim()), "{shown:?}");
    let file = Path::new(shown.out.trim());
    assert_eq!(file.parent(), Some(proxy.data_dir()));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let browser = Browser::open().await;
    browser.go(&format!("file://{}", file.display())).await;
    browser.wait_for_url("the window", |url| url == proxy.root_url("/ui/#/")).await;
    browser.close().await;

    let told = run(proxy.data_dir(), &["window", "--json"], &[("DISPLAY", "")], "").await;
    let told: Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(told, json!({"page": proxy.root_url("/ui/"), "file": file.to_str().unwrap()}));
}

/// The walk itself is `ui/tests/live`, in the language of the page and with its tools.
#[tokio::test]
async fn every_view_and_flow_works_against_the_real_proxy() {
    let ui = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("ui");
    let vitest = ui.join("node_modules").join("vitest").join("vitest.mjs");
    assert!(vitest.exists(), "the window's packages are not installed: (cd ui && npm ci)");
    let home = tempfile::tempdir().unwrap();
    let codex = home.path().join(".codex");
    fs::create_dir(&codex).unwrap();
    fs::write(codex.join("config.toml"), "# mine\nmodel = \"gpt-5\"\n").unwrap();
    let file = home.path().join("proxy.toml");
    fs::write(&file, "").unwrap();

    let upstream = FakeOpenAi::start().await;
    upstream.fall_back_to(Script::text(ANSWER));
    let setup = Setup::real(NEWEST, &upstream).env("PROXY_CONFIG", file.to_str().unwrap());
    let proxy = setup.env("HOME", home.path().to_str().unwrap()).start().await;
    let page = proxy.bare(Method::GET, &proxy.root_url("/ui/")).send().await.unwrap();
    assert_eq!(page.status(), 200, "the proxy has no window: (cd ui && npm run build), then build it again");
    Surface::Chat.answer(&proxy, &Surface::Chat.ask("An early question")).await;

    let token = fs::read_to_string(proxy.data_dir().join("control-token")).unwrap();
    let walk = tokio::process::Command::new("node")
        .arg(&vitest)
        .args(["run", "--project", "live"])
        .current_dir(&ui)
        .env("CODEX_PROXY_WINDOW", proxy.root_url(""))
        .env("CODEX_PROXY_TOKEN", token.trim())
        .env("CODEX_PROXY_KEY", &proxy.key)
        .env("CODEX_PROXY_ANSWER", ANSWER)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said = [walk.stdout, walk.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).join("\n");
    assert!(walk.status.success(), "{said}\n{}", proxy.log_text());
    assert_eq!(fs::read_to_string(codex.join("config.toml")).unwrap(), "# mine\nmodel = \"gpt-5\"\n");
}
