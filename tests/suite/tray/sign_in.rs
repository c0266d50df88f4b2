//! Signing in and out by the menu, and the plan's limits, through the real Codex.

use e2e::desktop::Desktop;
use e2e::fake_openai::issuer::{EMAIL, Issuer, usage};
use e2e::fake_openai::{FakeOpenAi, Script};
use e2e::harness::Setup;
use e2e::patience::until;

use super::{Stage, follow};
use crate::surface::Surface;

struct World {
    upstream: FakeOpenAi,
    issuer: Issuer,
}

impl World {
    async fn make() -> Self {
        let (upstream, issuer) = (FakeOpenAi::start().await, Issuer::start().await);
        upstream.fall_back_to(Script::text("Hello"));
        Self { upstream, issuer }
    }

    fn setup(&self) -> Setup {
        Setup::with_sign_in(&self.upstream, &self.issuer).env("TZ", "UTC").unready()
    }
}

/// The notice after a start without a sign-in.
const NOT_SIGNED_IN: &str = "Codex Proxy is not signed in";

/// Chooses Sign in; returns the page that the browser opens.
async fn sign_in(stage: &Stage) -> String {
    stage.tray.click("Sign in").await;
    stage.desktop.wait_for_opened("the page of the sign-in", |page| page.contains("/oauth/authorize")).await
}

fn summaries(stage: &Stage) -> Vec<String> {
    stage.notifications.all().into_iter().map(|one| one.summary).collect()
}

#[tokio::test]
async fn a_person_signs_in_sees_the_limits_and_signs_out() {
    let world = World::make().await;
    let stage = Stage::on(Desktop::start().await, world.setup()).await;
    stage.tray.wait_for_icon("signed-out").await;
    let menu = stage.tray.wait_for_menu("Sign in", |menu| menu.find("Sign in").is_some()).await;
    assert!(menu.find("Nobody is signed in").is_some() && menu.starting("Not signed in").is_some(), "{menu}");

    let told = stage.notifications.wait_for("that nobody is", |one| one.summary == NOT_SIGNED_IN).await;
    assert_eq!(told.actions, ["sign_in", "Sign in"]);
    // The application may not be listening yet when the notice is there.
    let page = until("the page of the sign-in", async || {
        stage.notifications.press(&told, "sign_in").await;
        stage.desktop.opened().into_iter().find(|page| page.contains("/oauth/authorize"))
    })
    .await;
    stage.tray.wait_for_menu("the wait", |menu| menu.find("Cancel signing in").is_some()).await;
    follow(&stage.app, &page).await;
    let who = format!("Signed in as {EMAIL} (Plus)");
    stage
        .tray
        .wait_for_menu(&who, |menu| menu.find(&who).is_some() && menu.find("Sign out…").is_some())
        .await;
    stage.ready().await;
    let limits = |menu: &e2e::desktop::MenuItem| {
        let resets = |start: &str| menu.starting(start).is_some_and(|line| line.label.contains(", resets "));
        resets("5-hour limit: 12 % used") && resets("Weekly limit: 40 % used")
    };
    stage.tray.wait_for_menu("the limits", limits).await;
    let answer = Surface::Chat.answer(&stage.app, &Surface::Chat.ask("hi")).await;
    assert_eq!(Surface::Chat.text(&answer), "Hello");

    // It asks first, and a no changes nothing.
    for answer in ["Escape", "Return"] {
        stage.tray.click("Sign out…").await;
        let question = stage.desktop.screen.window("Sign out of Codex").await;
        stage.desktop.screen.focus(&question).await;
        stage.desktop.picture("sign-out");
        stage.desktop.screen.press(answer);
        stage.desktop.screen.no_window().await;
        if answer == "Escape" {
            let menu = stage.tray.menu().await;
            assert!(menu.find("Sign out…").is_some_and(|item| item.enabled), "{menu}");
        }
    }
    stage.tray.wait_for_menu("nobody", |menu| menu.find("Sign in").is_some()).await;
    stage.tray.wait_for_icon("signed-out").await;
    assert_eq!(summaries(&stage), [NOT_SIGNED_IN], "what a person chose is no news");
    assert!(!stage.app.log_text().contains(EMAIL), "{}", stage.app.log_text());
    stage.quit().await;
}

#[tokio::test]
async fn a_sign_in_is_cancelled() {
    let world = World::make().await;
    let stage = Stage::on(Desktop::start().await, world.setup()).await;
    sign_in(&stage).await;
    stage.tray.click("Cancel signing in").await;
    stage.tray.wait_for_menu("no sign-in", |menu| menu.find("Sign in").is_some()).await;
    stage.tray.wait_for_icon("signed-out").await;
    stage.quit().await;
}

#[tokio::test]
async fn limits_that_are_near_and_reached_are_told_of_once() {
    let world = World::make().await;
    let stage = Stage::on(Desktop::start().await, world.setup()).await;
    // A sign-in that is quicker than the look at the state would leave it out.
    stage.notifications.wait_for("that nobody is", |one| one.summary == NOT_SIGNED_IN).await;
    let page = sign_in(&stage).await;
    follow(&stage.app, &page).await;
    stage.ready().await;
    let read = async |percent: u32, allowed: bool| {
        world.issuer.set_usage(usage(percent, allowed));
        stage.app.control_ok("/limits?refresh=true", None).await
    };
    read(85, true).await;
    let near = stage.notifications.wait_for("of a near limit", |one| one.summary.contains("85 %")).await;
    assert!(near.summary.starts_with("5-hour") && near.body.contains(" at "), "{near:?}");
    stage.ready().await;
    read(90, true).await;
    read(100, false).await;
    stage.tray.wait_for_icon("limited").await;
    stage.notifications.wait_for("of a reached limit", |one| one.summary == "5-hour limit reached").await;
    stage.tray.wait_for_menu("it", |menu| menu.starting("Limit reached, at ").is_some()).await;
    read(3, true).await;
    stage.ready().await;
    stage.notifications.wait_for("of its end", |one| one.summary == "The limit is over").await;
    let told = [NOT_SIGNED_IN, "5-hour limit: 85 % used", "5-hour limit reached", "The limit is over"];
    assert_eq!(summaries(&stage), told);
    stage.quit().await;
}
