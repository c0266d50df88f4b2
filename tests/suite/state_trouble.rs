//! A store that cannot keep anything: answers go on and say so, and no usage is lost.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use e2e::harness::{Proxy, Setup};
use e2e::patience::until;
use e2e::small_disk;
use e2e::socket::Socket;
use e2e::sse;
use reqwest::Method;
use serde_json::{Value, json};

use crate::surface::{Surface, error_code};

fn setup(data: &Path) -> Setup {
    let scenario = json!({"scenarios": {"default": [{"step": "text", "deltas": ["to ", "you"]}]}});
    Setup::fake(&scenario).env("PROXY_DATA_DIR", data.to_str().unwrap())
}

fn ask(text: &str) -> Value {
    Surface::Responses.ask(text)
}

async fn post(proxy: &Proxy, path: &str, body: &Value) -> (Option<String>, u16, Value) {
    let response = proxy.post(path, body).send().await.unwrap();
    let told = response.headers().get("x-proxy-store").map(|value| value.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    (told, status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
}

async fn get(proxy: &Proxy, path: &str) -> (u16, Value) {
    let (status, answer) = sse::json(proxy.request(Method::GET, path)).await;
    (status.as_u16(), answer)
}

/// An answer that is kept.
async fn is_kept(proxy: &Proxy) -> Value {
    let (told, status, answer) = post(proxy, "/responses", &ask("hi")).await;
    assert_eq!((told, status, &answer["store"]), (None, 200, &json!(true)), "{answer}");
    let (status, stored) = get(proxy, &format!("/responses/{}", answer["id"].as_str().unwrap())).await;
    assert_eq!((status, &stored), (200, &answer));
    answer
}

/// Answers of every kind that are not kept: all of them come, and say so. Returns how many requests have counted.
async fn is_not_kept(proxy: &Proxy, text: &str) -> u64 {
    let (told, status, answer) = post(proxy, "/responses", &ask(text)).await;
    assert_eq!((told.as_deref(), status), (Some("failed"), 200), "{answer}");
    assert_eq!((&answer["status"], &answer["store"]), (&json!("completed"), &json!(false)));
    assert_eq!(Surface::Responses.text(&answer), "to you");

    let events = Surface::Responses.events(proxy, &ask(text)).await;
    let last = &events.last().unwrap()["response"];
    assert_eq!((&last["status"], &last["store"]), (&json!("completed"), &json!(false)), "{last}");

    let mut socket = Socket::open(proxy).await;
    socket.create(&ask(text)).await;
    let over_socket = socket.response().await;
    assert_eq!(over_socket["store"], false);
    // The connection remembers what the store cannot.
    let mut next = ask(text);
    next["previous_response_id"] = over_socket["id"].clone();
    socket.create(&next).await;
    assert_eq!(Surface::Responses.text(&socket.response().await), "to you");

    let mut chat = Surface::Chat.ask(text);
    chat["store"] = json!(true);
    let (told, status, answer) = post(proxy, "/chat/completions", &chat).await;
    assert_eq!((told.as_deref(), status), (Some("failed"), 200), "{answer}");
    assert_eq!(Surface::Chat.text(&answer), "to you");
    // Without anything to keep there is nothing to tell.
    let (told, status, _) = post(proxy, "/chat/completions", &Surface::Chat.ask(text)).await;
    assert_eq!((told, status), (None, 200));
    6
}

/// Waits until so many answered requests are counted.
async fn counted(proxy: &Proxy, expected: u64) {
    until("all usage", async || {
        let (_, usage) = get(proxy, "/usage/raw?limit=1000").await;
        let events = usage["data"].as_array().unwrap_or_else(|| panic!("{usage}"));
        let requests = events.iter().filter(|event| event["status"] == 200).count() as u64;
        assert!(requests <= expected, "{requests} of {expected}");
        (requests == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn on_a_full_disk_answers_go_on_and_with_room_everything_is_kept_again() {
    let root = tempfile::tempdir().unwrap();
    let Some(program) = small_disk::program(root.path(), 24) else {
        println!("skipped: this user can mount no tmpfs");
        return;
    };
    let data = root.path().join("mount/data");
    let proxy = setup(&data).program(program).start().await;
    let seen = small_disk::seen(&proxy, &data);
    let first = is_kept(&proxy).await;
    let ballast = seen.join("ballast");
    let mut file = fs::File::create(&ballast).unwrap();
    let full = (0..1024).find_map(|_| file.write_all(&[1; 64 << 10]).err()).expect("the disk is full");
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull, "{full}");
    // The rest, of less than that.
    while file.write_all(&[1; 512]).is_ok() {}
    drop(file);

    // A little may still fit into what the database has already.
    let large = "word ".repeat(100_000);
    let mut requests = 1 + is_not_kept(&proxy, &large).await;
    let mut background = ask(&large);
    background["background"] = json!(true);
    let (_, status, refused) = post(&proxy, "/responses", &background).await;
    assert_eq!(status, 503, "what nobody could get is not begun: {refused}");
    error_code(&refused);
    let path = format!("/responses/{}", first["id"].as_str().unwrap());
    assert_eq!(get(&proxy, &path).await, (200, first.clone()), "what is there can be read");
    let mut next = ask("and on");
    next["previous_response_id"] = first["id"].clone();
    let (_, status, answer) = post(&proxy, "/responses", &next).await;
    assert_eq!((status, Surface::Responses.text(&answer).as_str()), (200, "to you"));
    requests += 1;

    fs::remove_file(&ballast).unwrap();
    is_kept(&proxy).await;
    let (told, status, answer) = post(&proxy, "/responses", &ask(&large)).await;
    assert_eq!((told, status, &answer["store"]), (None, 200, &json!(true)));
    assert_eq!(get(&proxy, &path).await.0, 200);
    counted(&proxy, requests + 2).await;
    let names = fs::read_dir(&seen).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.into_iter().all(|name| !name.contains("corrupt")), "a full disk is no damage");
    proxy.stop().await;
}

#[tokio::test]
async fn a_database_that_is_damaged_while_in_use_is_replaced_by_a_new_one() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("responses.db");
    let proxy = setup(data.path()).start().await;
    let mut requests = 0;
    let mut last = Value::Null;
    for _ in 0..10 {
        last = is_kept(&proxy).await;
        requests += 1;
    }
    proxy.stop().await;

    // Once in the pages behind the first ones, which the start does not read, once from its first byte on.
    for from in [8 * 4096, 0] {
        let length = fs::metadata(&file).unwrap().len();
        let mut bytes = fs::read(&file).unwrap();
        bytes[from.min(usize::try_from(length).unwrap() - 1)..].fill(0xa5);
        fs::write(&file, &bytes).unwrap();
        let proxy = setup(data.path()).start().await;
        let mut next = ask("go on");
        next["previous_response_id"] = last["id"].clone();
        let (_, status, answer) = post(&proxy, "/responses", &next).await;
        assert!([200, 400, 503].contains(&status), "{status} {answer}");
        requests += u64::from(status == 200);
        // At the latest the second answer after the damage was noticed is kept.
        for _ in 0..3 {
            let (_, status, answer) = post(&proxy, "/responses", &ask("hi")).await;
            assert_eq!(status, 200, "{answer}");
            requests += 1;
        }
        last = is_kept(&proxy).await;
        requests += 1;
        counted(&proxy, requests).await;
        proxy.stop().await;
    }
    let names = fs::read_dir(data.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let aside = names.filter(|name| name.to_string_lossy().starts_with("responses.db.corrupt-")).count();
    assert!(aside >= 1, "the damaged one is kept");
}

#[tokio::test]
async fn a_database_of_a_later_version_is_left_alone_and_answers_go_on() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("responses.db");
    let proxy = setup(data.path()).start().await;
    let first = is_kept(&proxy).await;
    proxy.stop().await;
    // The number of the schema is at byte 60 of an SQLite file.
    let mut bytes = fs::read(&file).unwrap();
    bytes[60..64].copy_from_slice(&1234_u32.to_be_bytes());
    fs::write(&file, &bytes).unwrap();

    let proxy = setup(data.path()).start().await;
    let requests = is_not_kept(&proxy, "hi").await;
    let id = first["id"].as_str().unwrap();
    for path in [format!("/responses/{id}"), format!("/responses/{id}/input_items")] {
        let (status, told) = get(&proxy, &path).await;
        assert_eq!(status, 503, "it is not said to be unknown: {told}");
    }
    let mut next = ask("go on");
    next["previous_response_id"] = first["id"].clone();
    assert_eq!(post(&proxy, "/responses", &next).await.1, 503);
    assert_eq!(post(&proxy, "/conversations", &json!({})).await.1, 400);
    let token = fs::read_to_string(data.path().join("control-token")).unwrap();
    let control = proxy.bare(Method::GET, &proxy.root_url("/control/store")).bearer_auth(token.trim());
    let (_, about) = sse::json(control).await;
    assert_eq!(about["state"], "broken", "{about}");
    assert!(about["reason"].as_str().unwrap().contains("newer Codex Proxy"), "{about}");
    assert!(proxy.log_text().contains("newer Codex Proxy"));
    counted(&proxy, 1 + requests).await;
    proxy.stop().await;
    assert_eq!(fs::read(&file).unwrap(), bytes);
    assert!(!data.path().join("responses.db-wal").exists());
}
