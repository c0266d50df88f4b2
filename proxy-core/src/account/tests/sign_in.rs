//! Signing in and out.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::account::{CallbackRefusal, SignInError, Unsupported};
use crate::secret::ApiKey;

#[tokio::test(start_paused = true)]
async fn a_browser_signs_in_and_the_workers_start_again_with_it() {
    let (scene, mut session) = Scene::signed_out().await;
    scene.begin(&mut session, "l").await;
    assert_eq!(scene.account.state().phase(), Phase::SigningIn);
    assert_eq!(session.handle.holds().let_go().now_or_never(), None, "its process waits for the browser");
    session.tell(completed("l"));
    session.tell(person("a@b.example"));
    let state = scene.until(|state| state.phase() == Phase::SignedIn).await;
    assert_eq!((state.login, state.problem), (None, None));
    answer(&mut session, "account/rateLimits/read", limits(10)).await;
    assert_eq!(scene.replaced(), [true, true]);
    session.handle.holds().let_go().await;
}

#[tokio::test(start_paused = true)]
async fn a_codex_that_says_no_more_is_asked_whether_somebody_has_signed_in() {
    let (scene, mut session) = Scene::signed_out().await;
    scene.begin(&mut session, "l").await;
    session.tell(completed("l"));
    answer(&mut session, "account/read", account(Some("a@b.example"))).await;
    scene.until(|state| state.phase() == Phase::SignedIn).await;
    answer(&mut session, "account/rateLimits/read", limits(10)).await;
    assert_eq!(scene.replaced(), [true, true]);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_anybody_can_open_signs_nobody_in() {
    let (scene, mut session) = Scene::signed_out().await;
    scene.begin(&mut session, "0").await;
    for next in ["1", "2"] {
        session.tell(completed(&scene.account.state().login.unwrap().id));
        answer(&mut session, "account/read", account(None)).await;
        answer(&mut session, "account/login/start", browser(next)).await;
        let renewed = |state: &State| state.login.as_ref().is_some_and(|login| login.id == next);
        scene.until(|state| renewed(state) && state.problem == Some(Problem::Renewed)).await;
    }
    session.tell(completed("2"));
    answer(&mut session, "account/read", account(None)).await;
    let state = scene.until(|state| state.login.is_none() && state.problem.is_some()).await;
    assert_eq!((state.phase(), state.problem), (Phase::SignedOut, Some(Problem::EndedTooOften)));
    assert!(session.is_left_alone());
    assert_eq!(scene.replaced(), [false, false]);
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_that_another_program_ends_is_begun_again_unless_that_one_signs_in() {
    for is_taken in [false, true] {
        let (scene, mut session) = Scene::signed_out().await;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let _other_program = is_taken.then_some(listener);
        let (login, ()) = join!(
            scene.account.log_in(Method::Browser),
            answer(&mut session, "account/login/start", browser_on("l", port)),
        );
        login.unwrap();
        session.tell(failed("l", LoginFailure::Cancelled));
        if is_taken {
            let state = scene.until(|state| state.problem.is_some()).await;
            assert_eq!(state.problem, Some(Problem::Failed(LoginFailure::Cancelled)));
            assert!(session.is_left_alone());
        } else {
            answer(&mut session, "account/login/start", browser("again")).await;
            scene.until(|state| state.problem == Some(Problem::Renewed)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_is_cancelled() {
    let (scene, mut session) = Scene::signed_out().await;
    scene.begin(&mut session, "l").await;
    let cancelled = async {
        let asked = session.asked().await;
        assert_eq!((asked.method, &asked.params), ("account/login/cancel", &json!({"loginId": "l"})));
        asked.answer(&json!({"status": "canceled"}));
    };
    join!(scene.account.cancel(), cancelled);
    // Codex reports the end that was requested.
    session.tell(failed("l", LoginFailure::NotCompleted));
    session.handle.holds().let_go().await;
    let state = scene.account.state();
    assert_eq!((state.phase(), state.login, state.problem), (Phase::SignedOut, None, None));
    scene.account.cancel().await;
    assert!(session.is_left_alone(), "there is nothing more to end");
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_that_nobody_completes_is_over_after_its_time() {
    let (scene, mut session) = Scene::signed_out().await;
    let began = Instant::now();
    scene.begin(&mut session, "l").await;
    let state = scene.until(|state| state.login.is_none()).await;
    assert_eq!(began.elapsed().as_secs(), 600);
    assert_eq!((state.phase(), state.problem), (Phase::SignedOut, Some(Problem::Expired { minutes: 10 })));
    session.handle.holds().let_go().await;
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_ends_with_the_process_that_waits_for_it() {
    let (scene, mut session) = Scene::signed_out().await;
    scene.begin(&mut session, "l").await;
    drop(session);
    let state = scene.until(|state| state.login.is_none()).await;
    assert_eq!((state.phase(), state.problem), (Phase::SignedOut, Some(Problem::SessionEnded)));
}

#[tokio::test(start_paused = true)]
async fn a_replaced_process_still_completes_the_sign_in_that_it_waits_for() {
    let (scene, mut session) = Scene::signed_out().await;
    scene.begin(&mut session, "l").await;
    let next = scene.session(0);
    session.retire();
    next.tell(nobody());
    session.tell(completed("l"));
    answer(&mut session, "account/read", account(Some("a@b.example"))).await;
    scene.until(|state| state.phase() == Phase::SignedIn).await;
    assert_eq!(scene.replaced(), [true, true]);
}

#[tokio::test(start_paused = true)]
async fn everybody_who_asks_is_given_the_same_sign_in() {
    let (scene, mut session) = Scene::signed_out().await;
    let (one, other, ()) = join!(
        scene.account.log_in(Method::Browser),
        scene.account.log_in(Method::Browser),
        answer(&mut session, "account/login/start", browser("l")),
    );
    assert_eq!(one.unwrap(), other.unwrap());
    assert_eq!(scene.account.log_in(Method::Browser).await.unwrap().id, "l");
    assert!(session.is_left_alone());
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_of_another_kind_takes_the_place_of_the_first() {
    let (scene, mut session) = Scene::signed_out().await;
    scene.begin(&mut session, "l").await;
    let code = json!({"loginId": "c", "verificationUrl": "https://d.example", "userCode": "AB-12"});
    let codex = async {
        answer(&mut session, "account/login/cancel", json!({})).await;
        let asked = session.asked().await;
        assert_eq!(
            (asked.method, &asked.params),
            ("account/login/start", &json!({"type": "chatgptDeviceCode"}))
        );
        asked.answer(&code);
    };
    let (login, ()) = join!(scene.account.log_in(Method::DeviceCode), codex);
    let login = login.unwrap();
    assert_eq!((login.id.as_str(), login.method(), login.expires_at), ("c", Method::DeviceCode, NOW + 900));
    let state = scene.until(|state| state.login.is_none()).await;
    assert_eq!(state.problem, Some(Problem::Expired { minutes: 15 }));
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_that_codex_refuses_says_why() {
    let unknown = "Invalid request: unknown variant `chatgptDeviceCode`, expected `apiKey` or `chatgpt`";
    let in_use = "failed to start login server: Port 127.0.0.1:1455 is already in use";
    for (method, refusal, expected) in [
        (
            Method::DeviceCode,
            unknown,
            "Signing in with a code needs Codex 0.118 or newer; this is Codex 0.110.0.",
        ),
        (Method::Browser, unknown, "The sign-in failed: Invalid request: unknown variant"),
        (Method::Browser, in_use, "The ports 1455 and 1457,"),
    ] {
        let (scene, mut session) = Scene::signed_out().await;
        let refused = async { session.asked().await.refuse(refusal) };
        let (login, ()) = join!(scene.account.log_in(method), refused);
        let error = login.unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
        match (method, error) {
            (Method::DeviceCode, AccountError::Unsupported(Unsupported::DeviceCode { .. })) => {}
            (Method::Browser, AccountError::SignIn(SignInError::Failed(_))) => {}
            (_, other) => panic!("{other:?}"),
        }
        let state = scene.account.state();
        assert!(state.problem.unwrap().to_string().starts_with(expected));
        session.handle.holds().let_go().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_of_an_unknown_form_is_none() {
    let (scene, mut session) = Scene::signed_out().await;
    for strange in [json!({}), json!({"loginId": "l", "authUrl": "javascript:alert(1)"}), json!(null)] {
        let (login, ()) = join!(
            scene.account.log_in(Method::Browser),
            answer(&mut session, "account/login/start", &strange),
        );
        assert!(matches!(login, Err(AccountError::SignIn(SignInError::Unknown))), "{strange}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_codex_that_does_not_answer_is_not_waited_for() {
    let (scene, mut session) = Scene::signed_out().await;
    let began = Instant::now();
    let (login, _asked) = join!(scene.account.log_in(Method::Browser), session.asked());
    assert!(matches!(login, Err(AccountError::Slow)));
    assert_eq!(began.elapsed().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ends_just_then_leaves_the_sign_in_to_the_next() {
    let (scene, mut session) = Scene::signed_out().await;
    let (login, next) = join!(scene.account.log_in(Method::Browser), async {
        let asked = session.asked().await;
        let mut next = scene.session(1);
        drop((asked, session));
        answer(&mut next, "account/login/start", browser("l")).await;
        next
    });
    assert_eq!(login.unwrap().session, next.id());
}

#[tokio::test(start_paused = true)]
async fn an_api_key_signs_in() {
    let (scene, mut session) = Scene::signed_out().await;
    let key = ApiKey::parse("sk-test-0123456789").unwrap();
    let codex = async {
        let asked = session.asked().await;
        assert_eq!(asked.params, json!({"type": "apiKey", "apiKey": "sk-test-0123456789"}));
        asked.answer(&json!({"type": "apiKey"}));
        session.tell(Notice::LoginCompleted(LoginCompleted { login_id: None, outcome: Ok(()) }));
        answer(
            &mut session,
            "account/read",
            json!({"account": {"type": "apiKey"}, "requiresOpenaiAuth": true}),
        )
        .await;
    };
    let (done, ()) = join!(scene.account.log_in_with_key(&key), codex);
    done.unwrap();
    assert_eq!(scene.account.state().phase(), Phase::SignedIn);
    let refused = async { session.asked().await.refuse("that is no key") };
    let (done, ()) = join!(scene.account.log_in_with_key(&key), refused);
    assert_eq!(done.unwrap_err().to_string(), "The sign-in failed: that is no key. Start it again.");
}

#[tokio::test(start_paused = true)]
async fn signing_out_is_for_all_workers_and_old_news_change_nothing() {
    let (scene, mut session) = Scene::signed_in().await;
    let mut other = scene.session(1);
    let goodbye = async |session: &mut FakeSession| {
        answer(session, "account/logout", json!({})).await;
        session.set_account(codex::Account::SignedOut);
    };
    let (done, (), ()) = join!(scene.account.log_out(), goodbye(&mut session), goodbye(&mut other));
    done.unwrap();
    let state = scene.account.state();
    assert_eq!((state.phase(), state.limits), (Phase::SignedOut, None));
    assert_eq!(scene.replaced(), [false, false], "they are up, and know it");
    session.tell(person("a@b.example"));
    let newer = scene.session(0);
    newer.tell(person("c@d.example"));
    let state = scene.until(|state| state.phase() != Phase::SignedOut).await;
    assert_eq!(Notice::Details(state.details.unwrap()), person("c@d.example"));
}

#[tokio::test(start_paused = true)]
async fn a_sign_out_that_codex_refuses_is_none() {
    let (scene, mut session) = Scene::signed_in().await;
    let refused = async { session.asked().await.refuse("not now") };
    let (done, ()) = join!(scene.account.log_out(), refused);
    assert_eq!(done.unwrap_err().to_string(), "Codex refused: not now");
    assert_eq!(scene.account.state().phase(), Phase::SignedIn);
}

/// A Codex that waits for a browser: it accepts one request, and answers with this.
async fn page(listener: TcpListener, answer: &str) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(answer.as_bytes()).await.unwrap();
    String::from_utf8(request).unwrap()
}

/// Real sockets take real time.
#[tokio::test]
async fn a_callback_is_brought_to_codex_once() {
    let (scene, mut session) = Scene::signed_out().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (login, ()) = join!(
        scene.account.log_in(Method::Browser),
        answer(&mut session, "account/login/start", browser_on("l", port)),
    );
    login.unwrap();
    let refused = scene.account.callback("code=c&state=other".into()).await;
    assert_eq!(refused, Err(CallbackRefusal::WrongState));
    let codex = async {
        let request =
            page(listener, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        assert!(request.starts_with("GET /auth/callback?code=c&state=s HTTP/1.1\r\n"), "{request}");
        session.tell(completed("l"));
        session.tell(person("a@b.example"));
    };
    let (taken, ()) = join!(scene.account.callback("code=c&state=s".into()), codex);
    assert_eq!(taken, Ok(()));
    assert_eq!(scene.account.state().phase(), Phase::SignedIn);
    assert_eq!(scene.account.callback("code=c&state=s".into()).await, Err(CallbackRefusal::NoLogin));
}

#[tokio::test]
async fn a_callback_that_nothing_waits_for_ends_the_sign_in() {
    let (scene, mut session) = Scene::signed_out().await;
    // The port is bound, so that no other program gets it, and nothing listens.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let (login, ()) = join!(
        scene.account.log_in(Method::Browser),
        answer(&mut session, "account/login/start", browser_on("l", port)),
    );
    login.unwrap();
    assert_eq!(scene.account.callback("state=s".into()).await, Ok(()));
    let told = scene.account.state().problem.unwrap().to_string();
    let expected =
        format!("The sign-in could not be completed: nobody waits for it on port {port} any more: ");
    assert!(told.starts_with(&expected), "{told}");
}
