//! The limits of the plan, and the account.

use super::*;
use crate::account::Unsupported;
use protocol::turn::{Remedy, TurnError, TurnErrorKind};

fn usage_news(used: u32) -> Notice {
    let window =
        RateWindow { used_percent: used, window_duration_mins: Some(300), resets_at: Some(NOW + 600) };
    Notice::RateLimits(RateLimits { primary: Some(window), ..RateLimits::default() })
}

#[tokio::test(start_paused = true)]
async fn limits_are_read_once_for_all_who_ask_and_again_when_they_are_old() {
    let (scene, mut session) = Scene::signed_in().await;
    assert_eq!(used(scene.account.limits(false).await.as_ref().ok()), Some(10));
    assert!(session.is_left_alone(), "that was known");
    let (one, other, ()) = join!(
        scene.account.limits(true),
        scene.account.limits(true),
        answer(&mut session, "account/rateLimits/read", limits(20)),
    );
    assert_eq!((used(one.as_ref().ok()), used(other.as_ref().ok())), (Some(20), Some(20)));
    assert!(session.is_left_alone());
    tokio::time::advance(Duration::from_secs(300)).await;
    let (read, ()) =
        join!(scene.account.limits(false), answer(&mut session, "account/rateLimits/read", limits(30)),);
    assert_eq!(used(read.as_ref().ok()), Some(30));
}

#[tokio::test(start_paused = true)]
async fn news_of_the_limits_are_taken_without_asking() {
    let (scene, mut session) = Scene::signed_in().await;
    session.tell(usage_news(55));
    scene.until(|state| used(state.limits.as_ref()) == Some(55)).await;
    assert!(session.is_left_alone());
}

#[tokio::test(start_paused = true)]
async fn limits_are_those_of_a_chatgpt_account() {
    let (scene, mut session) = Scene::signed_out().await;
    assert!(matches!(scene.account.limits(true).await, Err(AccountError::NoLimits)));
    assert!(session.is_left_alone());
    let (scene, mut session) = Scene::signed_in().await;
    let (read, ()) = join!(
        scene.account.limits(true),
        answer(&mut session, "account/rateLimits/read", json!({"new": "form"})),
    );
    assert!(matches!(read, Err(AccountError::NoLimits)));
    let refused = async { session.asked().await.refuse("chatgpt authentication required") };
    let (read, ()) = join!(scene.account.limits(true), refused);
    assert_eq!(read.unwrap_err().to_string(), "Codex refused: chatgpt authentication required");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ends_leaves_the_question_to_the_next() {
    let (scene, mut session) = Scene::signed_in().await;
    let (read, ()) = join!(scene.account.limits(true), async {
        let asked = session.asked().await;
        drop((asked, session));
        let mut next = scene.session(1);
        answer(&mut next, "account/rateLimits/read", limits(40)).await;
    });
    assert_eq!(used(read.as_ref().ok()), Some(40));
}

#[tokio::test(start_paused = true)]
async fn turns_are_refused_while_the_vendor_says_so() {
    let (scene, mut session) = Scene::signed_in().await;
    assert_eq!(scene.account.admit().await, Ok(()));
    join!(
        async { scene.account.limits(true).await.unwrap() },
        answer(&mut session, "account/rateLimits/read", limits(100)),
    );
    let refusal = scene.account.admit().await.unwrap_err();
    assert_eq!(refusal.kind, TurnErrorKind::UsageLimitReached);
    assert_eq!(refusal.remedy.as_deref(), Some(&Remedy::WaitUntil(NOW + 600)));
    assert!(session.is_left_alone(), "that was read just now");
    tokio::time::advance(Duration::from_secs(30)).await;
    let (admitted, ()) =
        join!(scene.account.admit(), answer(&mut session, "account/rateLimits/read", limits(100)));
    assert_eq!(admitted.unwrap_err().kind, TurnErrorKind::UsageLimitReached);
    tokio::time::advance(Duration::from_secs(30)).await;
    let (admitted, ()) =
        join!(scene.account.admit(), answer(&mut session, "account/rateLimits/read", limits(0)));
    assert_eq!(admitted, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn an_old_refusal_that_cannot_be_checked_refuses_nothing() {
    let (scene, mut session) = Scene::signed_in().await;
    join!(
        async { scene.account.limits(true).await.unwrap() },
        answer(&mut session, "account/rateLimits/read", limits(100)),
    );
    tokio::time::advance(Duration::from_secs(30)).await;
    let began = Instant::now();
    let (admitted, _asked) = join!(scene.account.admit(), session.asked());
    assert_eq!(admitted, Ok(()));
    assert!(began.elapsed() < Duration::from_secs(2), "a request waits a moment only");
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_a_turn_has_met_is_read_anew() {
    let (scene, mut session) = Scene::signed_in().await;
    let error = TurnError::new(TurnErrorKind::UsageLimitReached, "Limit.");
    scene.account.explain(error).await;
    answer(&mut session, "account/rateLimits/read", limits(100)).await;
    scene.until(|state| used(state.limits.as_ref()) == Some(100)).await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_turn_is_explained_after_every_notice_that_came_before_it() {
    let (scene, session) = Scene::signed_in().await;
    session.tell(usage_news(100));
    let error = TurnError::new(TurnErrorKind::UsageLimitReached, "Limit.");
    let told = scene.account.explain(error).await;
    assert_eq!(told.remedy.as_deref(), Some(&Remedy::WaitUntil(NOW + 600)));
}

#[tokio::test(start_paused = true)]
async fn the_use_is_told_or_its_form_unknown() {
    let (scene, mut session) = Scene::signed_in().await;
    let told = json!({"summary": {"lifetimeTokens": 7}, "dailyUsageBuckets": [{"startDate": "2026-11-23", "tokens": 3}]});
    let (usage, ()) = join!(scene.account.usage(), answer(&mut session, "account/usage/read", told));
    let usage = usage.unwrap();
    assert_eq!((usage.summary.lifetime_tokens, usage.daily_usage_buckets.unwrap()[0].tokens), (Some(7), 3));
    let (usage, ()) = join!(scene.account.usage(), answer(&mut session, "account/usage/read", json!([])));
    assert!(matches!(usage, Err(AccountError::Unsupported(Unsupported::Usage))));
}

#[tokio::test(start_paused = true)]
async fn a_codex_that_cannot_say_who_is_signed_in_is_asked_again() {
    let scene = Scene::set();
    let mut session = scene.session(0);
    let began = Instant::now();
    session.tell(Notice::Unreadable(Unreadable::Refused("offline.".into())));
    let state = scene.until(|state| state.problem.is_some()).await;
    assert_eq!(
        (state.phase(), state.problem),
        (Phase::Unknown, Some(Problem::Unreadable("offline.".into())))
    );
    answer(&mut session, "account/read", json!({"account": 7, "requiresOpenaiAuth": "x"})).await;
    assert_eq!(began.elapsed().as_secs(), 15);
    let state = scene.until(|state| state.problem != Some(Problem::Unreadable("offline.".into()))).await;
    let told = state.problem.unwrap().to_string();
    assert!(told.contains(": an unknown shape at line 1, column "), "{told}");
    answer(&mut session, "account/read", account(None)).await;
    scene.until(|state| state.phase() == Phase::SignedOut).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_replaced_session_says_is_not_believed() {
    let (scene, mut session) = Scene::signed_out().await;
    let (before, mut via) = (scene.session(1), scene.session(1));
    // The sign-in is made through the second session.
    session.retire();
    before.retire();
    scene.begin(&mut via, "l").await;
    via.tell(completed("l"));
    via.tell(person("a@b.example"));
    scene.until(|state| state.phase() == Phase::SignedIn).await;
    answer(&mut via, "account/rateLimits/read", limits(10)).await;
    scene.until(|state| state.limits.is_some()).await;
    for old in [&session, &before] {
        old.tell(nobody());
        old.tell(usage_news(99));
        old.tell(Notice::Unreadable(Unreadable::Refused("offline".into())));
    }
    via.tell(usage_news(11));
    let state = scene.until(|state| used(state.limits.as_ref()) != Some(10)).await;
    assert_eq!(
        (used(state.limits.as_ref()), state.phase(), state.problem),
        (Some(11), Phase::SignedIn, None)
    );
    assert!(session.is_left_alone());
}

#[tokio::test(start_paused = true)]
async fn every_session_is_asked_when_news_were_missed() {
    let (scene, mut session) = Scene::signed_out().await;
    for _ in 0..300 {
        session.tell(usage_news(1));
    }
    answer(&mut session, "account/read", account(Some("a@b.example"))).await;
    scene.until(|state| state.phase() == Phase::SignedIn).await;
}
