//! Creates the parts of the application: the runtime, Tauri, the tray, the controller.

use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use proxy_core::config::{ProcessEnvironment, Strings as _};
use proxy_core::headless::{HangUp, cancel_on_signal};
use proxy_core::paths::Dirs;
use tauri::{AppHandle, Emitter as _, Manager as _, RunEvent, WindowEvent};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Duration, timeout};
use tokio_util::sync::CancellationToken;

use crate::commands::{self, Link};
use crate::controller::{Controller, Event, Farewell, LastFrame, Reach, Start};
use crate::engine::Engine;
use crate::preferences::Preferences;
use crate::rehearsal;
use crate::shell::{HIDDEN, QUIT};
use crate::tauri_shell::{Desktop, LABEL, TauriShell, frame_of, send, updates};
use crate::tray::{self, Facts, Updates};
use crate::trial::Trial;
use crate::trial::watch::hand_over;
use crate::words;

/// The maximum number of events that wait for the controller. It handles each event quickly.
const WAITING: usize = 256;

/// The maximum delay of the end of a system session.
const LAST_MOMENT: Duration = Duration::from_secs(15);

/// The objects that live as long as the application.
struct Alive {
    events: mpsc::Sender<Event>,
    quit: CancellationToken,
    controller: Mutex<Option<JoinHandle<()>>>,
    farewell: Farewell,
    frame: LastFrame,
}

/// The event for the window when a person closes it and has not yet been informed that the application continues
/// to run.
const FAREWELL: &str = "app://farewell";

/// Why the application was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To show it to a person.
    Shown,
    /// Started by the system, without a window.
    Hidden,
    /// To end the application that is already running.
    Quit,
}

/// Runs the application until it is ended; `None` if the named display cannot be used.
pub(crate) fn run(purpose: Purpose) -> anyhow::Result<Option<ExitCode>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("proxy")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    tauri::async_runtime::set(runtime.handle().clone());
    let runtime = Arc::new(runtime);
    let engine = Arc::new(Engine::of_process());

    let mut context = tauri::generate_context!();
    rehearse(&mut context);
    let (starter, builder_engine) = (runtime.clone(), engine.clone());
    let trial = Trial::read(engine.data_dir().as_deref(), rehearsal::version());
    let update = trial.dir().map(PathBuf::from);
    let mut builder = tauri::Builder::default()
        // This plugin has to be the first: it ends a second process here, before anything else is started.
        .plugin(tauri_plugin_single_instance::init(|app, arguments, _| {
            let asks = |what| arguments.iter().any(|argument| argument == what);
            if asks(QUIT) {
                quit(app);
            } else if !asks(HIDDEN) {
                open(app);
            }
        }))
        .plugin(tauri_plugin_clipboard_manager::init())
        .plugin(tauri_plugin_dialog::init());
    #[cfg(any(windows, target_os = "macos"))]
    {
        builder = builder.plugin(tauri_plugin_autostart::Builder::new().arg(HIDDEN).build());
    }
    if updates::has_channel(context.config()) {
        builder = builder.plugin(updates::plugin());
    }
    let builder = builder
        .invoke_handler(tauri::generate_handler![
            commands::app_state,
            commands::check_for_updates,
            commands::choose_clipboard,
            commands::choose_file,
            commands::choose_language,
            commands::choose_notices,
            commands::choose_panel,
            commands::control,
            commands::control_stream,
            commands::control_stream_stop,
            commands::copy_key,
            commands::copy_text,
            commands::find_data,
            commands::install_update,
            commands::open_external,
            commands::quit_app,
            commands::remove_data,
            commands::restart_app,
            commands::save_file,
            commands::set_zoom,
            commands::start_at_login,
            commands::try_again,
            commands::use_another_port,
            commands::window_close,
        ])
        .setup(move |app| {
            #[cfg(target_os = "macos")]
            app.set_activation_policy(tauri::ActivationPolicy::Accessory);
            set_up(app.handle(), &starter, builder_engine, purpose == Purpose::Hidden, trial);
            Ok(())
        })
        .on_window_event(|window, event| {
            if window.label() == LABEL {
                on_window_event(window, event);
            }
        });
    let Some(built) = unless_without_display(|| builder.build(context)) else { return Ok(None) };
    let app = built.context("cannot start the application")?;
    if purpose == Purpose::Quit {
        // No other process is running, so there is nothing to end.
        return Ok(Some(ExitCode::SUCCESS));
    }

    let code = app.run_return(|app, event| on_run_event(app, &event));
    if let Some(runtime) = Arc::into_inner(runtime) {
        runtime.shutdown_background();
    }
    drop(engine);
    if code == updates::HAND_OVER
        && let Some(update) = update
    {
        hand_over(&update).context("the new version cannot be started")?;
        return Ok(Some(ExitCode::SUCCESS));
    }
    Ok(Some(ExitCode::from(u8::try_from(code).unwrap_or(1))))
}

/// In a test, sets another version and the release channel of the test.
fn rehearse(context: &mut tauri::Context) {
    if let Ok(version) = rehearsal::version().parse() {
        context.package_info_mut().version = version;
    }
    if let Some(channel) = rehearsal::channel() {
        context.config_mut().plugins.0.insert(updates::PLUGIN.to_owned(), channel);
    }
}

/// Tauri panics if the named display does not answer. This returns `None` instead, so that we can show our own
/// message.
fn unless_without_display<T>(build: impl FnOnce() -> T) -> Option<T> {
    let report = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let built = panic::catch_unwind(AssertUnwindSafe(build));
    panic::set_hook(report);
    match built {
        Ok(built) => Some(built),
        Err(payload) => {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or_default();
            if !text.contains("gtk backend") {
                panic::resume_unwind(payload);
            }
            None
        }
    }
}

/// Starts all parts. An error here would make Tauri panic, so this returns none.
fn set_up(app: &AppHandle, runtime: &Runtime, engine: Arc<Engine>, hidden: bool, trial: Trial) {
    engine.begin_log();
    let (events, inbox) = mpsc::channel(WAITING);
    let (reach, reached) = watch::channel(Reach::Starting);
    let quit = CancellationToken::new();
    let dirs = Dirs::of_platform().ok();
    let preferences = Preferences::read(dirs.as_ref().and_then(|dirs| dirs.config.as_deref()));
    words::choose(preferences.chosen().language);
    let desktop = Desktop::of(&ProcessEnvironment, dirs.as_ref());
    let place = updates::Place::of(&trial);
    let chosen = preferences.chosen();
    let shell = TauriShell::new(app.clone(), events.clone(), chosen.panel, chosen.look(), desktop, place);
    let shell = Arc::new(shell);

    let first = tray::view(&Facts {
        proxy: tray::Proxy::Starting,
        running: &[],
        signing_out: false,
        window_open: false,
        notify: preferences.chosen().notify,
        starts_at_login: None,
        updates: &Updates::Off,
        now: Timestamp::now(),
        zone: &TimeZone::UTC,
    });
    shell.build_tray(first, tray_files(dirs.as_ref()));
    if let Err(error) = runtime.block_on(async { cancel_on_signal(quit.clone(), HangUp::Ends) }) {
        tracing::warn!(%error, "the system's signals end the application without further ado");
    }
    #[cfg(unix)]
    if let Err(error) = runtime.block_on(async { start_anew_on_signal(events.clone()) }) {
        tracing::warn!(%error, "after an upgrade the application has to be started anew by hand");
    }
    app.manage(Link::new(reached, events.clone()));
    let (quit_too, events_too) = (quit.clone(), events.clone());
    let farewell = Farewell::default();
    let farewell_too = farewell.clone();
    let frame = LastFrame::default();
    let frame_too = frame.clone();
    let start = Start { shell, engine, preferences, events, quit, reach, hidden, farewell, frame, trial };
    let controller = runtime.spawn(Controller::new(start).run(inbox));
    let controller = Mutex::new(Some(controller));
    let alive =
        Alive { events: events_too, quit: quit_too, controller, farewell: farewell_too, frame: frame_too };
    app.manage(alive);
}

fn on_window_event(window: &tauri::Window, event: &WindowEvent) {
    let alive = window.state::<Alive>();
    if let WindowEvent::CloseRequested { api, .. } = event
        && alive.farewell.take()
    {
        // Without a tray icon, the person has to learn that the application continues to run, and how to end it.
        api.prevent_close();
        if let Err(error) = window.emit_to(LABEL, FAREWELL, ()) {
            tracing::warn!(%error, "the window cannot say that the application goes on");
        }
        send(&alive.events, Event::FarewellSaid);
    }
    if let WindowEvent::Resized(_) | WindowEvent::Moved(_) = event
        && let Some(frame) = frame_of(window)
    {
        alive.frame.set(frame);
    }
    if let WindowEvent::Destroyed = event {
        window.state::<Link>().stop_all();
        send(&alive.events, Event::WindowClosed);
    }
}

/// After the installation of another version, its package sends `SIGUSR2` to request a restart:
/// `installers/linux/running.sh`. WebKit uses `SIGUSR1` once a window has been open.
#[cfg(unix)]
fn start_anew_on_signal(events: mpsc::Sender<Event>) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut upgraded = signal(SignalKind::user_defined2())?;
    tokio::spawn(async move {
        while upgraded.recv().await.is_some() {
            tracing::info!("another version is in place; starting anew");
            send(&events, Event::RestartAsked);
        }
    });
    Ok(())
}

fn on_run_event(app: &AppHandle, event: &RunEvent) {
    // Only an explicit exit ends the application, not the closing of its last window.
    if let RunEvent::ExitRequested { code: None, api, .. } = event {
        api.prevent_exit();
    }
    if let RunEvent::Exit = event {
        drain(app);
    }
    #[cfg(target_os = "macos")]
    if let RunEvent::Reopen { .. } = event {
        open(app);
    }
}

/// Drains the proxy if the session ends without Quit.
fn drain(app: &AppHandle) {
    let Some(alive) = app.try_state::<Alive>() else { return };
    alive.quit.cancel();
    let controller = alive.controller.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(controller) = controller {
        let drained = tauri::async_runtime::block_on(async { timeout(LAST_MOMENT, controller).await });
        if drained.is_err() {
            tracing::warn!("the proxy did not end in time");
        }
    }
}

fn open(app: &AppHandle) {
    if let Some(alive) = app.try_state::<Alive>() {
        send(&alive.events, Event::OpenAsked);
    }
}

fn quit(app: &AppHandle) {
    if let Some(alive) = app.try_state::<Alive>() {
        tracing::info!("shutting down: a second one was started with {QUIT}");
        alive.quit.cancel();
    }
}

/// The directory for the image files of the icon, if the default directory would be shared by all users.
fn tray_files(dirs: Option<&Dirs>) -> Option<PathBuf> {
    let own = ProcessEnvironment.get("XDG_RUNTIME_DIR").is_some();
    dirs.filter(|_| cfg!(target_os = "linux") && !own)?.data.as_ref().map(|data| data.join("tray-icon"))
}
