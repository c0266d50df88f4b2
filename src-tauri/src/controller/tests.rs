//! Tests of the controller with a recording desktop and a real proxy without Codex.

mod desk;
mod updates;

use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use proxy_core::http::in_process::Refusal;
use proxy_core::secret::ApiKey;
use tempfile::TempDir;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;

use super::*;
use crate::fixtures::engine;
use crate::preferences::{Frame, Look, Notification, Notify, Panel};
use crate::rehearsal;
use crate::shell::Place;
use crate::tray::Icon;
use desk::{Desk, Did};

/// Options of a test that differ from the default.
#[derive(Default)]
struct Made {
    port: u16,
    hidden: bool,
    has_updates: bool,
    trouble: Option<&'static str>,
}

/// An application and its recorded actions.
struct Bench {
    dir: TempDir,
    events: mpsc::Sender<Event>,
    did: UnboundedReceiver<Did>,
    reach: watch::Receiver<Reach>,
    running: Option<JoinHandle<()>>,
}

fn make(dir: &Path, made: &Made) -> (Controller<Desk>, mpsc::Receiver<Event>, UnboundedReceiver<Did>) {
    let (record, did) = mpsc::unbounded_channel();
    let (events, inbox) = mpsc::channel(64);
    let shell = Desk {
        did: record,
        has_updates: made.has_updates,
        trouble: made.trouble,
        starts_at_login: AtomicBool::default(),
    };
    let controller = Controller::new(Start {
        shell: Arc::new(shell),
        engine: Arc::new(engine(dir, made.port)),
        preferences: Preferences::read(Some(&dir.join("config"))),
        events,
        quit: CancellationToken::new(),
        reach: watch::channel(Reach::Starting).0,
        hidden: made.hidden,
        farewell: Farewell::default(),
        frame: LastFrame::default(),
        trial: Trial::read(Some(&dir.join("data")), rehearsal::version()),
    });
    (controller, inbox, did)
}

impl Bench {
    fn run(made: &Made) -> Self {
        Self::run_in(tempfile::tempdir().unwrap(), made)
    }

    fn run_in(dir: TempDir, made: &Made) -> Self {
        let (controller, inbox, did) = make(dir.path(), made);
        let (events, reach) = (controller.events.clone(), controller.reach.subscribe());
        let running = Some(tokio::spawn(controller.run(inbox)));
        Self { dir, events, did, reach, running }
    }

    async fn send(&self, event: Event) {
        self.events.send(event).await.unwrap();
    }

    async fn click(&self, action: Action) {
        self.send(Event::Clicked(action)).await;
    }

    /// Waits until `of` returns a value for an action of the desktop.
    async fn find<T>(&mut self, of: impl Fn(&Did) -> Option<T>) -> T {
        let mut seen = Vec::new();
        let wait = async {
            loop {
                let did = self.did.recv().await.expect("the application has ended");
                if let Some(found) = of(&did) {
                    return found;
                }
                seen.push(did);
            }
        };
        match timeout(Duration::from_secs(30), wait).await {
            Ok(found) => found,
            Err(_) => panic!("not seen; there was {seen:?}"),
        }
    }

    async fn expect(&mut self, expected: Did) {
        self.find(|did| (*did == expected).then_some(())).await;
    }

    /// Waits until the tray has this icon, and returns its menu.
    async fn tray(&mut self, wanted: Icon) -> Vec<String> {
        self.find(|did| {
            if let Did::Tray(icon, menu) = did { (*icon == wanted).then(|| menu.clone()) } else { None }
        })
        .await
    }

    async fn notice(&mut self) -> (String, String) {
        self.find(|did| {
            if let Did::Notified(title, body) = did { Some((title.clone(), body.clone())) } else { None }
        })
        .await
    }

    async fn started(&mut self) -> Running {
        let reached = self.reach.wait_for(|reach| matches!(reach, Reach::Running(_))).await.unwrap();
        match &*reached {
            Reach::Running(running) => running.as_ref().clone(),
            Reach::Starting | Reach::Failed(_) | Reach::Stopping => unreachable!(),
        }
    }

    async fn ask(&self, event: impl FnOnce(Reply) -> Event) -> Result<(), Refusal> {
        let (reply, answer) = oneshot::channel();
        self.send(event(reply)).await;
        answer.await.unwrap()
    }

    /// Quits as a person does, and returns all remaining actions.
    async fn quit(mut self) -> Vec<Did> {
        self.click(Action::Quit).await;
        self.running.take().unwrap().await.unwrap();
        let mut rest = Vec::new();
        while let Some(did) = self.did.recv().await {
            rest.push(did);
        }
        rest
    }
}

fn message(refusal: &Refusal) -> &str {
    &refusal.error.message
}

#[tokio::test]
async fn whoever_starts_it_for_the_first_time_is_shown_what_to_do() {
    let mut bench = Bench::run(&Made::default());
    let menu = bench.tray(Icon::Starting).await;
    assert_eq!(menu[0], "Starting…");
    let menu = bench.tray(Icon::Broken).await;
    assert!(menu[0].starts_with("Not working, at http://127.0.0.1:"), "{menu:?}");
    bench.expect(Did::Shown(Place::Start)).await;
    let rest = bench.quit().await;
    assert!(!rest.iter().any(|did| matches!(did, Did::Notified(..))), "the window says it: {rest:?}");
}

#[tokio::test]
async fn at_login_no_window_opens_and_a_notice_says_what_is_missing() {
    let mut bench = Bench::run(&Made { hidden: true, ..Made::default() });
    assert_eq!(bench.notice().await.0, "Codex is missing");
    bench.send(Event::NoTray("there is none".into())).await;
    let rest = bench.quit().await;
    assert!(!rest.iter().any(|did| matches!(did, Did::Shown(_))), "{rest:?}");
}

#[tokio::test]
async fn where_there_is_no_tray_the_window_opens() {
    let mut bench = Bench::run(&Made::default());
    bench.send(Event::NoTray("there is none".into())).await;
    bench.expect(Did::Shown(Place::Anywhere)).await;
}

#[tokio::test]
async fn a_key_is_copied_as_a_secret_and_the_address_as_text() {
    let mut bench = Bench::run(&Made::default());
    let control = bench.started().await.control;
    bench.tray(Icon::Broken).await;
    bench.click(Action::CopyKey).await;
    let key = control.reveal_key("default".into()).await.unwrap();
    bench.expect(Did::CopiedSecret(key.expose().to_owned())).await;
    bench.click(Action::CopyBaseUrl).await;
    bench.expect(Did::CopiedText(control.status().address)).await;
    // The end removes the key from the clipboard.
    let rest = bench.quit().await;
    assert!(rest.contains(&Did::Forgot(key.expose().to_owned())), "{rest:?}");
}

#[tokio::test]
async fn a_key_that_is_still_being_copied_at_the_end_is_removed_too() {
    let mut bench = Bench::run(&Made::default());
    let control = bench.started().await.control;
    bench.tray(Icon::Broken).await;
    let key = control.reveal_key("default".into()).await.unwrap();
    bench.click(Action::CopyKey).await;
    let rest = bench.quit().await;
    let at = |wanted: Did| rest.iter().position(|did| *did == wanted);
    let copied = at(Did::CopiedSecret(key.expose().to_owned())).expect("it was copied");
    let forgotten = at(Did::Forgot(key.expose().to_owned())).expect("it was removed");
    assert!(copied < forgotten, "{rest:?}");
}

#[tokio::test]
async fn a_key_is_taken_back_after_a_minute() {
    let dir = tempfile::tempdir().unwrap();
    let (mut controller, _inbox, mut did) = make(dir.path(), &Made::default());
    let key = ApiKey::parse("a-key-on-the-clipboard").unwrap();
    controller.lend_key(key.clone());
    let due = controller.next_due();
    assert!(due <= Instant::now() + Duration::from_secs(60));
    controller.on_time(due - Duration::from_secs(1));
    assert!(controller.lent.is_some());
    controller.on_time(Instant::now() + Duration::from_secs(60));
    assert!(controller.lent.is_none());
    loop {
        if did.recv().await.unwrap() == Did::Forgot("a-key-on-the-clipboard".into()) {
            break;
        }
    }
}

#[tokio::test]
async fn a_key_stays_on_the_clipboard_as_long_as_is_wanted() {
    for (seconds, expected) in [(5, Some(5)), (0, None)] {
        let dir = tempfile::tempdir().unwrap();
        let (mut controller, _inbox, _did) = make(dir.path(), &Made::default());
        controller.preferences.change(|chosen| chosen.clipboard_seconds = seconds);
        let before = Instant::now();
        controller.lend_key(ApiKey::parse("a-key-on-the-clipboard").unwrap());
        let lent = controller.lent.as_ref().map(|lent| (lent.due - before).as_secs());
        assert_eq!(lent, expected);
    }
}

#[tokio::test]
async fn the_application_starts_anew_with_the_window_it_had() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config");
    let mut bench = Bench::run_in(dir, &Made { hidden: true, ..Made::default() });
    bench.send(Event::WindowOpened).await;
    bench.started().await;
    bench.send(Event::RestartAsked).await;
    bench.expect(Did::Exited(Ending::Restart)).await;
    assert!(Preferences::read(Some(&config)).chosen().reopen_window);

    bench.running.take().unwrap().await.unwrap();
    let mut bench = Bench::run_in(bench.dir, &Made { hidden: true, ..Made::default() });
    bench.expect(Did::Shown(Place::Anywhere)).await;
    assert!(!Preferences::read(Some(&config)).chosen().reopen_window, "once is enough");
    let rest = bench.quit().await;
    assert_eq!(rest.last(), Some(&Did::Exited(Ending::Quit)));
}

#[tokio::test]
async fn the_window_may_have_keys_copied_and_is_told_why_not() {
    let mut bench = Bench::run(&Made::default());
    let control = bench.started().await.control;
    let made = control.create_key("editor".into()).await.unwrap().key;
    bench.ask(|reply| Event::Copy(Text::Key(Some(made.id.to_string())), reply)).await.unwrap();
    let key = control.reveal_key(made.id.to_string()).await.unwrap();
    bench.expect(Did::CopiedSecret(key.expose().to_owned())).await;

    let refusal = bench.ask(|reply| Event::Copy(Text::Key(Some("nobody".into())), reply)).await.unwrap_err();
    assert!(message(&refusal).contains("nobody"), "{refusal:?}");
    bench.ask(|reply| Event::Copy(Text::Plain("text".into()), reply)).await.unwrap();
    bench.expect(Did::CopiedText("text".into())).await;
}

#[tokio::test]
async fn without_a_usable_key_or_a_clipboard_a_notice_says_so() {
    let mut bench = Bench::run(&Made { trouble: Some("nobody has it"), ..Made::default() });
    let control = bench.started().await.control;
    bench.expect(Did::Shown(Place::Start)).await;
    bench.click(Action::CopyKey).await;
    let expected =
        ("Nothing was copied".to_owned(), "The clipboard cannot be used: nobody has it.".to_owned());
    assert_eq!(bench.notice().await, expected);
    control.update_key("default".into(), None, Some(false)).await.unwrap();
    bench.click(Action::CopyKey).await;
    let (_, body) = bench.notice().await;
    assert!(body.starts_with("There is no key that clients may use."), "{body}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_said_and_can_be_tried_again() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let mut bench = Bench::run(&Made { port, hidden: true, ..Made::default() });
    let menu = bench.tray(Icon::Broken).await;
    assert_eq!(menu[0], "Not running");
    assert!(menu[1].starts_with(&format!("The address 127.0.0.1:{port} is taken by")), "{menu:?}");
    assert!(menu.contains(&"Try again".to_owned()));
    assert!(!menu.contains(&"Copy API key".to_owned()));
    assert_eq!(bench.notice().await.0, "Codex Proxy is not running");

    // The port is still in use: each attempt shows the message again.
    bench.click(Action::TryAgain).await;
    bench.tray(Icon::Broken).await;
    assert_eq!(bench.notice().await.0, "Codex Proxy is not running");

    drop(other);
    bench.click(Action::TryAgain).await;
    let control = bench.started().await.control;
    assert!(control.status().address.ends_with(&format!(":{port}/v1")));
    let rest = bench.quit().await;
    assert_eq!(rest.last(), Some(&Did::Exited(Ending::Quit)));
}

#[tokio::test]
async fn a_directory_that_another_proxy_uses_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let (other, _) = engine(dir.path(), 0).start().await.unwrap();
    let mut bench = Bench::run_in(dir, &Made { hidden: true, ..Made::default() });
    let (title, body) = bench.notice().await;
    assert_eq!(title, "Codex Proxy is not running");
    assert!(body.starts_with("Another Codex Proxy (process "), "{body}");
    let end = CancellationToken::new();
    end.cancel();
    other.wait(end).await.unwrap();
    bench.click(Action::TryAgain).await;
    bench.started().await;
}

#[tokio::test]
async fn quitting_drains_and_frees_everything() {
    let mut bench = Bench::run(&Made::default());
    let address = bench.started().await.control.status().address;
    let port = address.trim_end_matches("/v1").rsplit(':').next().unwrap().parse::<u16>().unwrap();
    let mut reach = bench.reach.clone();
    let rest = bench.quit().await;
    assert!(rest.contains(&Did::Closed), "{rest:?}");
    assert_eq!(rest.last(), Some(&Did::Exited(Ending::Quit)));
    assert!(matches!(*reach.borrow_and_update(), Reach::Stopping));
    TcpListener::bind(("127.0.0.1", port)).unwrap();
}

#[tokio::test]
async fn quitting_while_the_proxy_starts_ends_it_as_well() {
    let bench = Bench::run(&Made::default());
    assert_eq!(bench.quit().await.last(), Some(&Did::Exited(Ending::Quit)));
}

/// A sign-in waits for Codex for some time; the test advances the clock.
#[tokio::test(start_paused = true)]
async fn signing_in_without_codex_says_why_it_does_not_work() {
    let mut bench = Bench::run(&Made::default());
    bench.started().await;
    bench.click(Action::SignIn).await;
    let (title, body) = bench.notice().await;
    assert_eq!(title, "Signing in does not work");
    assert!(body.contains("Codex"), "{body}");
    bench.click(Action::SignOut).await;
    bench.expect(Did::AskedToSignOut("this account".into())).await;
    bench.send(Event::SignOutAgreed).await;
    assert_eq!(bench.notice().await.0, "Signing out does not work");
    bench.click(Action::RestartWorkers).await;
    bench.click(Action::CancelSignIn).await;
    bench.click(Action::Open).await;
    bench.expect(Did::Shown(Place::Anywhere)).await;
    bench.click(Action::SetUpClient).await;
    bench.expect(Did::Shown(Place::Clients)).await;
    bench.send(Event::OpenAsked).await;
    bench.expect(Did::Shown(Place::Anywhere)).await;
}

#[tokio::test]
async fn what_is_switched_off_is_not_said() {
    let dir = tempfile::tempdir().unwrap();
    Preferences::read(Some(&dir.path().join("config")))
        .change(|chosen| chosen.notify.toggle(Notification::Broken));
    let mut bench = Bench::run_in(dir, &Made { hidden: true, ..Made::default() });
    bench.tray(Icon::Broken).await;
    bench.click(Action::Toggle(Notification::Limits)).await;
    let config = bench.dir.path().join("config");
    bench.click(Action::CopyKey).await;
    bench.find(|did| matches!(did, Did::CopiedSecret(_)).then_some(())).await;
    let kept = Preferences::read(Some(&config));
    assert!(!kept.chosen().notify.wants(Notification::Limits));
    let rest = bench.quit().await;
    let copied = |did: &Did| matches!(did, Did::Notified(title, _) if title == "API key copied");
    assert!(rest.iter().all(|did| copied(did) || !matches!(did, Did::Notified(..))), "{rest:?}");
}

#[tokio::test]
async fn what_is_chosen_in_the_window_is_kept_and_holds_at_once() {
    let mut bench = Bench::run(&Made { hidden: true, ..Made::default() });
    bench.send(Event::WindowOpened).await;
    bench.started().await;
    let mut notify = Notify::default();
    notify.toggle(Notification::Broken);
    bench.send(Event::Chosen(Choice::Notices(notify))).await;
    bench.expect(Did::Told("changed".into())).await;
    bench.send(Event::Chosen(Choice::Clipboard(5))).await;
    bench.send(Event::Chosen(Choice::Panel(Panel::Dark))).await;
    bench.expect(Did::Panel(Panel::Dark)).await;
    bench.send(Event::Chosen(Choice::Zoom(150))).await;
    bench.expect(Did::Looks(Look { zoom: 150, frame: None })).await;
    bench.ask(|reply| Event::LoginChosen(true, reply)).await.unwrap();
    let (reply, answer) = oneshot::channel();
    bench.send(Event::StateAsked(reply)).await;
    let state = serde_json::to_value(answer.await.unwrap()).unwrap();
    assert_eq!((&state["zoom"], &state["clipboard_seconds"]), (&150.into(), &5.into()), "{state}");
    assert_eq!((&state["starts_at_login"], &state["update"]), (&true.into(), &serde_json::Value::Null));
    assert_eq!((&state["notify"]["broken"], &state["panel"]), (&false.into(), &"dark".into()));
    let kept = Preferences::read(Some(&bench.dir.path().join("config")));
    assert_eq!((kept.chosen().zoom, kept.chosen().clipboard_seconds), (150, 5));
    assert!(!kept.chosen().notify.wants(Notification::Broken));
}

#[tokio::test]
async fn a_choice_that_the_system_refuses_is_answered_in_the_window() {
    let bench = Bench::run(&Made { trouble: Some("the folder is read-only"), ..Made::default() });
    let refusal = bench.ask(|reply| Event::LoginChosen(true, reply)).await.unwrap_err();
    assert_eq!(message(&refusal), "The folder is read-only.");
}

#[tokio::test(start_paused = true)]
async fn a_closed_window_is_remembered_and_its_memory_given_back_after_a_while() {
    let dir = tempfile::tempdir().unwrap();
    let (controller, inbox, did) = make(dir.path(), &Made { hidden: true, ..Made::default() });
    let (events, frame) = (controller.events.clone(), controller.frame.clone());
    let reach = controller.reach.subscribe();
    let running = Some(tokio::spawn(controller.run(inbox)));
    let mut bench = Bench { dir, events, did, reach, running };
    bench.started().await;
    bench.send(Event::WindowOpened).await;
    let normal = Frame { x: 10, y: 20, width: 800, height: 600, maximized: false };
    frame.set(normal);
    frame.set(Frame { x: 0, y: 0, width: 1280, height: 1024, maximized: true });
    let kept = Frame { maximized: true, ..normal };
    bench.send(Event::WindowClosed).await;
    bench.expect(Did::Looks(Look { zoom: 100, frame: Some(kept) })).await;
    let closed = Instant::now();
    bench.expect(Did::GaveBack).await;
    assert!(closed.elapsed() >= REST);
    let read = Preferences::read(Some(&bench.dir.path().join("config")));
    assert_eq!(read.chosen().window, Some(kept));
}

#[tokio::test]
async fn starting_at_login_is_off_until_somebody_wants_it() {
    let mut bench = Bench::run(&Made::default());
    let menu = bench.tray(Icon::Starting).await;
    assert!(!menu.contains(&"Start at login".to_owned()));
    bench.click(Action::StartAtLogin).await;
    bench.expect(Did::StartsAtLogin(true)).await;
    let on = |did: &Did| matches!(did, Did::Tray(_, menu) if menu.contains(&"Start at login".to_owned()));
    bench.find(|did| on(did).then_some(())).await;
    bench.click(Action::StartAtLogin).await;
    bench.expect(Did::StartsAtLogin(false)).await;
    bench.find(|did| (matches!(did, Did::Tray(..)) && !on(did)).then_some(())).await;
}

#[tokio::test]
async fn the_window_hears_of_events_while_it_is_open() {
    let mut bench = Bench::run(&Made::default());
    bench.send(Event::WindowOpened).await;
    bench.expect(Did::Told("status".into())).await;
    bench.send(Event::WindowClosed).await;
    bench.started().await.control.create_key("noise".into()).await.unwrap();
    let rest = bench.quit().await;
    assert!(!rest.iter().any(|did| matches!(did, Did::Told(_))), "{rest:?}");
}

#[tokio::test]
async fn what_the_window_wants_opened_is_opened() {
    let mut bench = Bench::run(&Made::default());
    bench.started().await;
    bench.ask(|reply| Event::OpenOutside(Outside::Config, reply)).await.unwrap();
    let file = bench.dir.path().join("config/config.toml");
    bench.expect(Did::Opened(file.display().to_string())).await;
    assert!(file.is_file());
    bench.ask(|reply| Event::OpenOutside(Outside::Logs, reply)).await.unwrap();
    bench.expect(Did::Opened(bench.dir.path().join("data/logs").display().to_string())).await;
    bench.ask(|reply| Event::OpenOutside(Outside::ObsidianCopilot, reply)).await.unwrap();
    bench.expect(Did::Opened("obsidian://show-plugin?id=copilot".into())).await;
    let refusal = bench.ask(|reply| Event::OpenOutside(Outside::Verification, reply)).await.unwrap_err();
    assert_eq!(message(&refusal), "There is nothing to open now.");
}

#[tokio::test]
async fn a_proxy_that_ends_by_itself_is_said() {
    let mut bench = Bench::run(&Made::default());
    bench.started().await;
    bench.send(Event::Ended(Some("the HTTP server has failed".into()))).await;
    assert_eq!(bench.notice().await.1, "The HTTP server has failed");
}
