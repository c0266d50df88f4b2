//! Limits: of the plan, of a short while, and of how long a connection may last.

use std::time::{SystemTime, UNIX_EPOCH};

use e2e::codex_bin::{NEWEST, RECENT};
use e2e::fake_openai::{FakeOpenAi, Script};
use e2e::harness::Setup;
use serde_json::json;

use super::{all_say, everywhere, streamed, whole};
use crate::surface::{BOTH, error_code};

/// A time in the next week, because Codex reports such times with a date.
fn resets_at() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 50 * 3600
}

#[tokio::test]
async fn a_connection_that_has_lasted_an_hour_is_replaced_unseen() {
    for version in RECENT {
        let upstream = FakeOpenAi::signed_in().await;
        let proxy = Setup::signed_in(version, &upstream).start().await;
        for _ in 0..4 {
            upstream.push(Script::connection_limit_reached());
            upstream.push(Script::text("whole"));
        }
        all_say(&everywhere(&proxy, "hi").await, "whole");
        let requests = upstream.requests();
        for (first, second) in requests.iter().zip(&requests[1..]).step_by(2) {
            assert_ne!(first.connection, second.connection, "{version}");
            assert_eq!(second.last_user_text(), "hi");
        }
    }
}

#[tokio::test]
async fn the_plans_limit_is_told_at_once_with_when_it_resets() {
    for version in RECENT {
        for upgrades in [true, false] {
            let upstream = FakeOpenAi::signed_in().await;
            if !upgrades {
                upstream.refuse_upgrades(Some((426, json!({"error": {"message": "no"}}))));
            }
            let at = resets_at();
            upstream.fall_back_to(Script::usage_limit_reached(at));
            let proxy = Setup::signed_in(version, &upstream).start().await;
            for surface in BOTH {
                let answer = proxy.post(surface.path(), &surface.ask("hi")).send().await.unwrap();
                assert_eq!(answer.status(), 403);
                let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
                assert!(wait.abs_diff(50 * 3600) < 120, "{wait}");
                let body = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
                assert_eq!(error_code(&body), "usage_limit_reached");
                assert!(body["error"]["message"].as_str().unwrap().contains("It resets at"), "{body}");
                // Codex reports the time with a precision of one minute.
                assert!(body["error"]["resets_at"].as_u64().unwrap().abs_diff(at) < 60, "{body}");
                let seen = streamed(&proxy, surface, "hi").await;
                assert_eq!(
                    (seen.status, &seen.error["code"]),
                    (200, &json!("usage_limit_reached")),
                    "{seen:#?}"
                );
            }
            assert_eq!(upstream.requests().len(), 4, "{version}: nobody tries again");
        }
    }
}

#[tokio::test]
async fn a_short_limit_is_a_429() {
    let upstream = FakeOpenAi::signed_in().await;
    let error = json!({"type": "rate_limit_error", "code": "rate_limit_exceeded", "message": "slow down"});
    upstream.fall_back_to(Script::http_error(429, json!({"error": error}), &[]));
    let proxy = Setup::signed_in(NEWEST, &upstream).start().await;
    for surface in BOTH {
        let seen = whole(&proxy, surface, "hi").await;
        assert_eq!((seen.status, &seen.error["code"]), (429, &json!("rate_limit_exceeded")), "{seen:#?}");
        let seen = streamed(&proxy, surface, "hi").await;
        assert_eq!(seen.error["code"], "rate_limit_exceeded", "{seen:#?}");
    }
}
