//! The controller of the application: one loop that handles all events and makes all decisions.

mod account;
mod answering;
mod choices;
mod clipboard;
mod event;
mod removal;
#[cfg(test)]
mod tests;
mod updates;
mod window;

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proxy_core::control::api::Status;
use proxy_core::control::{Changes, ControlHandle};
use proxy_core::request_log::RequestEntry;
use proxy_core::secret::ApiKey;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Duration, Instant, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::engine::{Engine, Failure, Running};
use crate::notices::{Notice, Notices};
use crate::preferences::Preferences;
use crate::shell::{AppEvent, Ending, Place, Shell, WindowEvent};
use crate::tray::{self, Action, Facts, Updates, View};
use crate::trial::Trial;
pub(crate) use choices::Choice;
use clipboard::Lent;
pub(crate) use event::{Event, Newer, Outside, Reach, Reply, Text, failed};
pub(crate) use window::{AppState, Farewell, LastFrame};

/// Changes within this time are shown together.
const SETTLE: Duration = Duration::from_millis(100);

/// The interval at which the tray is updated even without an event, because it shows times.
const REFRESH: Duration = Duration::from_secs(60);

/// A window that is opened again within this time finds everything as it was.
const REST: Duration = Duration::from_secs(5);

/// The maximum time that the end waits for the clipboard, which another program may have locked.
const PATIENCE: Duration = Duration::from_secs(2);

/// The controller.
pub(crate) struct Controller<S> {
    shell: Arc<S>,
    engine: Arc<Engine>,
    preferences: Preferences,
    /// Sends events to the controller itself, from the tasks that it starts.
    events: mpsc::Sender<Event>,
    /// Cancelled to end the application.
    quit: CancellationToken,
    reach: watch::Sender<Reach>,
    status: Option<Box<Status>>,
    changes: Option<Changes>,
    life: Option<Life>,
    /// Whether the window opens by itself if there is something to set up.
    first_look: bool,
    /// Whether a person has started the application, and not the system.
    by_hand: bool,
    /// Whether nothing shows the tray's icon.
    no_tray: bool,
    farewell: Farewell,
    frame: LastFrame,
    window_open: bool,
    /// When a closed window's memory is given back.
    rest_at: Option<Instant>,
    /// What the open window was told of the application.
    told_state: Option<AppState>,
    /// Stops the forwarding of events to the window when dropped. Set while the window is open.
    telling: Option<DropGuard>,
    shown: Option<View>,
    /// The requests that are being answered.
    answering: Vec<RequestEntry>,
    signing_out: bool,
    notices: Notices,
    /// Copies to the clipboard under way. A task returns the key that it copied, if any.
    copying: JoinSet<Option<ApiKey>>,
    lent: Option<Lent>,
    starts_at_login: Option<bool>,
    updates: Updates,
    /// Whether a person waits for the result of the check for updates.
    update_asked: bool,
    update_notes: Option<String>,
    update_problem: Option<String>,
    /// The role of this start in an update.
    trial: Trial,
    ending: Ending,
    /// Whether all data is to be removed at the end.
    remove_data: bool,
    /// Whether the setting of the port was changed while a start was under way.
    port_changed: bool,
    redraw_at: Option<Instant>,
    refresh_at: Instant,
    update_check_at: Instant,
    /// The end of the time window for which the limits were read again.
    limits_read_for: Option<u64>,
}

/// A running proxy.
struct Life {
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

/// The parts and settings of a new controller.
pub(crate) struct Start<S> {
    pub(crate) shell: Arc<S>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) preferences: Preferences,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) quit: CancellationToken,
    pub(crate) reach: watch::Sender<Reach>,
    /// Whether the system has started the application, and not a person.
    pub(crate) hidden: bool,
    pub(crate) farewell: Farewell,
    pub(crate) frame: LastFrame,
    pub(crate) trial: Trial,
}

impl<S: Shell> Controller<S> {
    pub(crate) fn new(start: Start<S>) -> Self {
        let Start { shell, engine, preferences, events, quit, reach, hidden, farewell, frame, trial } = start;
        let updates = if shell.has_updates() { Updates::None } else { Updates::Off };
        let starts_at_login = shell.starts_at_login();
        let now = Instant::now();
        Self {
            shell,
            engine,
            preferences,
            events,
            quit,
            reach,
            status: None,
            changes: None,
            life: None,
            first_look: !hidden,
            by_hand: !hidden,
            no_tray: false,
            farewell,
            frame,
            window_open: false,
            rest_at: None,
            told_state: None,
            telling: None,
            shown: None,
            answering: Vec::new(),
            signing_out: false,
            notices: Notices::default(),
            copying: JoinSet::new(),
            lent: None,
            starts_at_login,
            updates,
            update_asked: false,
            update_notes: None,
            update_problem: None,
            trial,
            ending: Ending::Quit,
            remove_data: false,
            port_changed: false,
            redraw_at: None,
            refresh_at: now + REFRESH,
            update_check_at: now,
            limits_read_for: None,
        }
    }

    /// Runs the application until it is ended, then drains the proxy.
    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<Event>) {
        self.tell_of_update();
        self.start();
        self.look();
        self.reopen_window();
        let quit = self.quit.clone();
        loop {
            let due = self.next_due();
            let changes = &mut self.changes;
            let changed = async {
                match changes {
                    Some(changes) => changes.changed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = quit.cancelled() => break,
                event = inbox.recv() => match event {
                    Some(event) => self.on(event),
                    None => break,
                },
                more = changed => self.on_change(more),
                Some(copied) = self.copying.join_next() => self.on_copied(copied),
                () = sleep_until(due) => self.on_time(Instant::now()),
            }
        }
        self.end(inbox).await;
    }

    fn on(&mut self, event: Event) {
        match event {
            Event::Clicked(action) => self.on_click(action),
            Event::OpenAsked => self.shell.show_window(Place::Anywhere),
            Event::Started(running) => self.on_started(running),
            Event::Failed(failure) => self.on_failed(failure),
            Event::Ended(None) => self.quit.cancel(),
            Event::Ended(Some(sentence)) => self.on_failed(sentence.into()),
            Event::NoTray(reason) => self.on_no_tray(&reason),
            Event::WindowOpened => self.on_window(true),
            Event::WindowClosed => self.on_window(false),
            Event::Copy(text, reply) => self.copy(text, Some(reply)),
            Event::OpenOutside(what, reply) => {
                // The receiver may have been dropped.
                drop(reply.send(self.open_outside(what)));
            }
            // The receiver may have been dropped.
            Event::StateAsked(reply) => drop(reply.send(self.app_state())),
            Event::Chosen(choice) => self.choose(choice),
            Event::LoginChosen(wanted, reply) => self.choose_login(wanted, reply),
            Event::AnotherPort(reply) => drop(reply.send(self.use_another_port())),
            Event::FarewellSaid => self.preferences.change(|chosen| chosen.told_of_background = true),
            Event::DataAsked(reply) => self.tell_data(reply),
            Event::RemovalChosen => self.remove_data_and_quit(),
            // The package of the update also requests a restart, even before it is completely installed.
            Event::RestartAsked if matches!(self.updates, Updates::Installing(_)) => {}
            Event::RestartAsked => self.start_anew(Ending::Restart),
            Event::SignOutWanted => self.notices.sign_out_wanted(),
            Event::SignOutAgreed => self.sign_out(),
            Event::SignOutEnded => self.on_signed_out(),
            Event::UpdatesChecked(found) => self.on_updates(found),
            Event::UpdateInstalled(done) => self.on_installed(done),
        }
    }

    fn on_click(&mut self, action: Action) {
        match action {
            Action::TryAgain => self.try_again(),
            Action::CopyKey => self.copy(Text::Key(None), None),
            Action::CopyBaseUrl => {
                if let Some(status) = &self.status {
                    let address = status.address.clone();
                    self.copy(Text::Plain(address), None);
                }
            }
            Action::RestartWorkers => {
                if let Some(control) = self.control() {
                    control.restart_workers();
                }
            }
            Action::Pause | Action::Resume => {
                if let Some(control) = self.control() {
                    control.pause(action == Action::Pause);
                }
            }
            Action::SignIn => self.sign_in(),
            Action::CancelSignIn => self.with_control(|control, _| async move {
                control.cancel_login().await;
            }),
            Action::SignOut => self.ask_to_sign_out(),
            Action::Open => self.shell.show_window(Place::Anywhere),
            Action::SetUpClient => self.shell.show_window(Place::Clients),
            Action::Toggle(kind) => {
                self.preferences.change(|chosen| chosen.notify.toggle(kind));
                self.show();
            }
            Action::StartAtLogin => self.toggle_start_at_login(),
            Action::CheckForUpdates => {
                self.update_asked = true;
                self.check_for_updates();
            }
            Action::InstallUpdate => self.install_update(),
            Action::Quit => self.quit.cancel(),
        }
    }

    fn start(&mut self) {
        let (engine, events, shutdown) = (self.engine.clone(), self.events.clone(), CancellationToken::new());
        self.reach.send_replace(Reach::Starting);
        let task = tokio::spawn(live(engine, events, shutdown.clone()));
        self.life = Some(Life { shutdown, task });
    }

    fn try_again(&mut self) {
        if matches!(*self.reach.borrow(), Reach::Failed(_)) {
            self.port_changed = false;
            self.notices.trying_again();
            self.start();
            self.show();
        }
    }

    fn on_started(&mut self, running: Box<Running>) {
        self.changes = Some(running.control.watch());
        self.reach.send_replace(Reach::Running(running));
        self.has_started();
        self.tell_window();
        self.look();
    }

    fn on_failed(&mut self, failure: Failure) {
        if std::mem::take(&mut self.port_changed) && failure.is_port_taken {
            self.start();
            return;
        }
        tracing::error!(reason = failure.sentence, "the proxy does not run");
        self.trial.has_failed(failure.is_port_taken);
        (self.status, self.changes, self.telling) = (None, None, None);
        self.reach.send_replace(Reach::Failed(failure));
        if self.window_open {
            self.shell.tell_window(&WindowEvent::Application(AppEvent::NotRunning(())));
        }
        self.look();
    }

    fn on_change(&mut self, more: bool) {
        if !more {
            self.changes = None;
        }
        self.redraw_at.get_or_insert_with(|| Instant::now() + SETTLE);
    }

    fn next_due(&self) -> Instant {
        let mut due = self.refresh_at;
        if self.updates != Updates::Off {
            due = due.min(self.update_check_at);
        }
        let others = [self.redraw_at, self.rest_at, self.lent.as_ref().map(|lent| lent.due)];
        others.into_iter().flatten().fold(due, Instant::min)
    }

    fn on_time(&mut self, now: Instant) {
        if self.lent.as_ref().is_some_and(|lent| lent.due <= now) {
            drop(self.forget_key());
        }
        if self.updates != Updates::Off && self.update_check_at <= now {
            self.check_for_updates();
        }
        if self.rest_at.is_some_and(|at| at <= now) {
            self.rest_at = None;
            self.shell.give_back();
        }
        let redraw = self.redraw_at.is_some_and(|at| at <= now);
        if redraw || self.refresh_at <= now {
            self.look();
        }
    }

    /// Reads the state of all parts, updates the tray, and shows the notices that are due.
    fn look(&mut self) {
        self.redraw_at = None;
        self.refresh_at = Instant::now() + REFRESH;
        if let Some(changes) = &mut self.changes {
            changes.mark_seen();
        }
        self.status = self.control().map(|control| Box::new(control.status()));
        self.look_at_requests();
        self.show();
        let opened = self.look_for_the_first_time();
        let mut notices = std::mem::take(&mut self.notices);
        let due = self.with_facts(|facts| notices.due(facts));
        self.notices = notices;
        for notice in due {
            // The window that has just opened shows the same information.
            if !opened {
                self.notify(notice);
            }
        }
        self.read_limits_anew();
    }

    /// Updates the tray.
    fn show(&mut self) {
        let view = self.with_facts(tray::view);
        if self.shown.as_ref() != Some(&view) {
            self.shell.set_tray(view.clone());
            self.shown = Some(view);
        }
        self.tell_app_state();
    }

    fn with_facts<T>(&self, use_them: impl FnOnce(&Facts<'_>) -> T) -> T {
        let reach = self.reach.borrow();
        let proxy = match (&*reach, &self.status) {
            (Reach::Starting, _) | (Reach::Running(_), None) => tray::Proxy::Starting,
            (Reach::Running(_), Some(status)) => tray::Proxy::Running(status),
            (Reach::Failed(failure), _) => tray::Proxy::Failed(&failure.sentence),
            (Reach::Stopping, _) => tray::Proxy::Stopping,
        };
        use_them(&Facts {
            proxy,
            running: &self.answering,
            signing_out: self.signing_out,
            window_open: self.window_open,
            notify: self.preferences.chosen().notify,
            starts_at_login: self.starts_at_login,
            updates: &self.updates,
            now: Timestamp::now(),
            zone: &TimeZone::system(),
        })
    }

    fn notify(&self, notice: Notice) {
        let wanted = notice.kind.is_none_or(|kind| self.preferences.chosen().notify.wants(kind));
        if wanted {
            self.shell.notify(notice);
        }
    }

    fn control(&self) -> Option<ControlHandle> {
        self.running(|running| running.control.clone())
    }

    fn running<T>(&self, of: impl FnOnce(&Running) -> T) -> Option<T> {
        match &*self.reach.borrow() {
            Reach::Running(running) => Some(of(running)),
            Reach::Starting | Reach::Failed(_) | Reach::Stopping => None,
        }
    }

    /// Starts a slow operation on the proxy in a new task.
    fn with_control<F>(&self, work: impl FnOnce(ControlHandle, Arc<S>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if let Some(control) = self.control() {
            tokio::spawn(work(control, self.shell.clone()));
        }
    }

    /// Ends the application and starts it again.
    fn start_anew(&mut self, ending: Ending) {
        self.ending = ending;
        self.quit.cancel();
    }

    /// Drains the proxy. A second Quit skips the wait.
    async fn end(mut self, mut inbox: mpsc::Receiver<Event>) {
        self.trial.is_ending();
        self.reach.send_replace(Reach::Stopping);
        (self.status, self.changes, self.telling) = (None, None, None);
        self.show();
        self.remember_window();
        self.keep_frame();
        self.farewell.set(false);
        self.shell.close_window();
        self.finish_copying().await;
        let forgotten = self.forget_key();
        if let Some(Life { shutdown, mut task }) = self.life.take() {
            shutdown.cancel();
            loop {
                tokio::select! {
                    ended = &mut task => {
                        if let Err(error) = ended {
                            tracing::error!(%error, "the proxy did not end well");
                        }
                        break;
                    }
                    event = inbox.recv() => match event {
                        Some(Event::Clicked(Action::Quit)) | None => break,
                        Some(_) => {}
                    },
                }
            }
        }
        if let Some(Err(error)) = match forgotten {
            Some(forgotten) => timeout(PATIENCE, forgotten).await.ok(),
            None => None,
        } {
            tracing::error!(%error, "the clipboard was not cleared");
        }
        if self.remove_data {
            self.remove_data().await;
        }
        self.shell.exit(self.ending);
    }
}

/// One run of the proxy, from its start to its end.
async fn live(engine: Arc<Engine>, events: mpsc::Sender<Event>, shutdown: CancellationToken) {
    let event = match engine.start().await {
        Err(failure) => Event::Failed(failure),
        Ok((proxy, running)) => {
            // The receiver is dropped if the application is ending.
            drop(events.send(Event::Started(Box::new(running))).await);
            Event::Ended(proxy.wait(shutdown).await.err().map(|error| error.to_string()))
        }
    };
    drop(events.send(event).await);
}
