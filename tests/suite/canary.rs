//! No secret leaks: known secrets (canaries) go through every route, command and failure, with all logging turned on. Then
//! the test searches for them in all output and all written files.

mod commands;
mod crashes;
mod faults;
mod marks;
mod places;
mod routes;
mod world;

use e2e::fake_openai::Script;
use e2e::fake_openai::issuer::Consent;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::sign_in::parameter;
use crate::surface::BOTH;
use world::World;

#[tokio::test]
async fn nothing_of_a_sign_in_leaks() {
    let mut world = World::new().await;
    refused_sign_ins(&mut world).await;
    signed_in(&mut world).await;
    upstream_echoes(&mut world).await;
    world.restart_workers().await;
    world.look_at_processes();
    other_ways_in(&mut world).await;
    world.end().await;
}

#[tokio::test]
async fn nothing_leaks_from_any_command() {
    let mut world = World::new().await;
    world.sign_in().await;
    commands::drive(&mut world).await;
    world.end().await;
}

#[tokio::test]
async fn nothing_leaks_on_any_route() {
    let mut world = World::new().await;
    signed_in(&mut world).await;
    routes::drive(&mut world).await;
    world.end().await;
}

/// Sign-ins that fail, with secrets in their requests.
async fn refused_sign_ins(world: &mut World) {
    let page = world.page().await;
    let callback = |query: String| format!("{page}auth/callback?{query}");
    world
        .get_page(&callback("code=canary-code-of-nobody-4711&state=canary-state-of-nobody-4711".into()))
        .await;

    // Takes the ports of Codex's sign-in, if they are free.
    let mut taken = Vec::new();
    for port in [1455, 1457] {
        taken.extend(TcpListener::bind(("127.0.0.1", port)).await.ok());
    }
    world.control(Method::POST, "/account/login", Some(&json!({"method": "browser"})), &[]).await;
    drop(taken);
    world.control(Method::DELETE, "/account/login", None, &[]).await;

    for consent in [Consent::Denied, Consent::Given] {
        world.issuer.consent(consent);
        world.issuer.refuse_codes(true);
        let login = world.login("browser").await;
        let answered = world.consent(&login).await;
        let state = parameter(&answered, "state");
        world.get_page(&callback(format!("code=canary-code-of-nobody-4711&state={state}x"))).await;
        let query = answered.split_once('?').unwrap().1.to_owned();
        world.get_page(&callback(query.clone())).await;
        world.get_page(&callback(query)).await;
        world.get_page(&format!("{page}failed")).await;
        world.look_at_account(&[]).await;
    }
    world.issuer.refuse_codes(false);
    for surface in BOTH {
        // Every refused request gets this: where to sign in.
        world.v1(Method::POST, surface.path(), Some(&surface.ask("hi")), &["state"]).await;
    }
    world.login("device_code").await;
    world.get_page(&page).await;
    world.control(Method::DELETE, "/account/login", None, &[]).await;
}

/// A sign-in, and requests that are served.
async fn signed_in(world: &mut World) {
    world.sign_in().await;
    world.look_at_account(&["e-mail"]).await;
    world.control(Method::POST, "/capture", Some(&json!({"key": null, "seconds": 600})), &[]).await;
    for surface in BOTH {
        for stream in [false, true] {
            let mut ask = surface.ask(&format!("my key is {}", world.api_key));
            ask["stream"] = stream.into();
            let (status, answer) = world.v1(Method::POST, surface.path(), Some(&ask), &[]).await;
            assert_eq!(status, 200, "{answer}");
        }
    }
    let (_, requests) = world.control(Method::GET, "/requests", None, &[]).await;
    let requests: Value = serde_json::from_str(&requests).unwrap();
    let captured = requests["requests"].as_array().unwrap();
    assert!(captured.iter().filter(|entry| entry["has_capture"] == true).count() >= 4, "{requests:#}");
    for entry in captured {
        let path = format!("/requests/{}", entry["id"].as_str().unwrap());
        let (status, details) = world.control(Method::GET, &path, None, &[]).await;
        assert_eq!(status, 200);
        assert!(entry["has_capture"] != true || details.contains("[redacted]"), "{details}");
    }
}

/// The upstream refuses and repeats the secrets of the request.
async fn upstream_echoes(world: &mut World) {
    let tokens = world.issuer.tokens();
    let token = tokens.last().unwrap();
    let said =
        format!("Incorrect token: Bearer {token} of {} ({})", world.person.email, world.person.refresh_token);
    for status in [400, 403, 429, 500, 401] {
        for surface in BOTH {
            let error =
                json!({"error": {"message": said, "type": "x", "code": "invalid_token", "param": token}});
            world.upstream.fall_back_to(Script::http_error(status, error, &[("x-echo", token)]));
            for stream in [false, true] {
                let mut ask = surface.ask("hi");
                ask["stream"] = stream.into();
                world.v1(Method::POST, surface.path(), Some(&ask), &[]).await;
            }
            world.upstream.fall_back_to(Script::new().failed("server_error", &said));
            world.v1(Method::POST, surface.path(), Some(&surface.ask("hi")), &[]).await;
        }
    }
    world.upstream.fall_back_to(Script::text("Hello"));
    world.look_at_account(&["e-mail", "state"]).await;
}

/// Signs in by device code, with a key and with a copy, and signs out again.
async fn other_ways_in(world: &mut World) {
    world.control(Method::POST, "/account/logout", Some(&json!({})), &[]).await;
    world.issuer.approve_device();
    world.login("device_code").await;
    world.wait_for_account("signed_in").await;
    world.note_tokens();
    world.control(Method::POST, "/account/logout", Some(&json!({})), &[]).await;

    let key = world.openai_key.clone();
    let login = json!({"method": "api_key", "api_key": key});
    let (status, answer) = world.control(Method::POST, "/account/login", Some(&login), &[]).await;
    assert_eq!(status, 200, "{answer}");
    let echo = json!({"error": {"message": format!("Incorrect API key provided: {key}."), "code": "invalid_api_key"}});
    world.upstream.fall_back_to(Script::http_error(401, echo, &[]));
    for surface in BOTH {
        world.v1(Method::POST, surface.path(), Some(&surface.ask("hi")), &[]).await;
    }
    world.look_at_processes();
    world.control(Method::POST, "/account/logout", Some(&json!({})), &[]).await;

    let file = world.sign_in_file();
    for path in [json!(file), json!(format!("{}/{key}", file.display())), json!(key)] {
        world.control(Method::POST, "/account/import", Some(&json!({"path": path})), &["e-mail"]).await;
    }
    world.control(Method::POST, "/account/logout", Some(&json!({})), &[]).await;
}
