//! The picture in the README: the window of a signed-in user with active clients.
//!
//! `UPDATE_PICTURES=1` makes it again. Look at it before you commit it.

use std::fs;
use std::path::Path;

use e2e::codex_bin::NEWEST;
use e2e::desktop::picture_file;
use e2e::fake_openai::issuer::EMAIL;
use e2e::fake_openai::{FakeOpenAi, Script};
use e2e::harness::Setup;
use e2e::patience::until;
use e2e::sse;

use super::Scene;
use crate::surface::Surface;

const SIZE: (u32, u32) = (1024, 480);

/// Who asks, as each names itself.
const CLIENTS: [(&str, Surface); 5] = [
    ("Mozilla/5.0 (X11; Linux x86_64) obsidian/1.9.14 Chrome/138.0 Electron/37.2", Surface::Chat),
    ("Zed/0.210.4 (linux; x86_64)", Surface::Chat),
    ("Mozilla/5.0 (X11; Linux x86_64) obsidian/1.9.14 Chrome/138.0 Electron/37.2", Surface::Chat),
    ("OpenAI/Python 2.8.1", Surface::Responses),
    ("curl/8.14.1", Surface::Responses),
];

/// Width and height, from the header of a PNG file.
fn size(png: &[u8]) -> (u32, u32) {
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

#[tokio::test]
async fn it_shows_this_window() {
    let upstream = FakeOpenAi::signed_in().await;
    upstream.fall_back_to(Script::text("Here it is."));
    let scene = Scene::set(Setup::signed_in(NEWEST, &upstream)).await;
    let window = &scene.window;
    window.wait_for_text(EMAIL).await;
    for (client, surface) in CLIENTS {
        let request = window.app.post(surface.path(), &surface.ask("A question of some length."));
        let (status, answer) = sse::json(request.header("user-agent", client)).await;
        assert_eq!(status, 200, "{answer}");
    }
    window.resize(SIZE.0, SIZE.1).await;
    until("the window's size", async || {
        (window.run("done(innerWidth)").await.as_u64()? == u64::from(SIZE.0)).then_some(())
    })
    .await;
    window.run("location.hash = '#/home'; done(null)").await;
    for text in ["Ready", EMAIL, "Weekly limit", "Input from the cache"] {
        window.wait_for_text(text).await;
    }
    window.run("requestAnimationFrame(() => requestAnimationFrame(() => done(null)))").await;
    let taken = window.screenshot().await;
    fs::write(picture_file("readme"), &taken).unwrap();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs").join("images/window.png");
    if std::env::var_os("UPDATE_PICTURES").is_some() {
        fs::create_dir_all(kept.parent().unwrap()).unwrap();
        fs::write(&kept, &taken).unwrap();
    }
    assert_eq!(size(&fs::read(&kept).unwrap()), size(&taken), "{} is of this window", kept.display());
    scene.end().await;
}
