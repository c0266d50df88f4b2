//! A separate desktop for a test: a screen, a session bus on which nothing starts by itself, and a home directory.
//!
//! A test starts the other parts of a desktop itself, so they can be late or missing: the tray
//! ([`Tray`]), notifications ([`Notifications`]) and the keyring ([`Session::start_keyring`]).

pub mod memory;
pub mod menu;
pub mod notifications;
pub mod screen;
#[cfg(test)]
mod tests;
pub mod tray;
pub mod webview;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

pub use menu::MenuItem;
pub use notifications::{Notification, Notifications};
pub use screen::{Screen, Window};
pub use tray::Tray;
pub use webview::Webview;

use crate::codex_bin::target_dir;
use crate::harness::{Setup, app_path};
use crate::patience::until;
use crate::secret_service::Session;

/// Marks the processes that were started on a desktop.
const MARK: &str = "E2E_DESKTOP";

/// A desktop. All processes that were started on it end with it.
#[derive(Debug)]
pub struct Desktop {
    /// The screen.
    pub screen: Screen,
    /// The bus, the home and the keyring.
    pub session: Session,
}

impl Desktop {
    /// Starts one with a screen and a bus only.
    pub async fn start() -> Self {
        let session = Session::start();
        let screen = Screen::start(&session.env()).await;
        let desktop = Self { screen, session };
        let programs = desktop.programs();
        fs::create_dir(&programs).expect("a folder can be made");
        let opener = programs.join("xdg-open");
        let script = format!("#!/bin/sh\nprintf '%s\\n' \"$1\" >> '{}'\n", desktop.opened_file().display());
        fs::write(&opener, script).expect("a file can be written");
        fs::set_permissions(&opener, fs::Permissions::from_mode(0o755)).expect("it can be made executable");
        desktop
    }

    /// Starts a tray on it.
    pub async fn tray(&self) -> Tray {
        Tray::start(self.session.address()).await
    }

    /// Starts a notification daemon on it.
    pub async fn notifications(&self) -> Notifications {
        Notifications::start(self.session.address()).await
    }

    /// The environment of a program that is started on it.
    pub fn env(&self) -> Vec<(String, String)> {
        let mut variables = self.session.env();
        let more = [
            ("DISPLAY", self.screen.display()),
            // Nothing else is installed here: add each needed program by name.
            ("PATH", &self.programs().display().to_string()),
            (MARK, &self.mark()),
            ("GDK_BACKEND", "x11"),
            ("XDG_SESSION_TYPE", "x11"),
            ("NO_AT_BRIDGE", "1"),
            ("GTK_A11Y", "none"),
            ("LIBGL_ALWAYS_SOFTWARE", "1"),
        ];
        variables.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));
        variables
    }

    /// The tray application on this desktop, with the environment of `setup`.
    pub fn app(&self, setup: Setup) -> Setup {
        let setup = setup.program(app_path());
        self.env().iter().fold(setup, |setup, (name, value)| setup.env(name, value))
    }

    /// The home directory of the user.
    pub fn home(&self) -> PathBuf {
        self.session.dir().join("home")
    }

    /// Sets the preferences with which the application starts.
    pub fn prefer(&self, preferences: &Value) {
        let folder = self.session.dir().join("config").join("codex-proxy");
        fs::create_dir_all(&folder).expect("a folder can be made");
        fs::write(folder.join("app.json"), preferences.to_string()).expect("a file can be written");
    }

    /// The folder of programs that the desktop starts at login.
    pub fn autostart(&self) -> PathBuf {
        self.session.dir().join("config").join("autostart")
    }

    /// The addresses and files that were opened in the browser and other programs so far.
    pub fn opened(&self) -> Vec<String> {
        let text = fs::read_to_string(self.opened_file()).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until a matching address was opened in the browser.
    pub async fn wait_for_opened(&self, what: &str, condition: impl Fn(&str) -> bool) -> String {
        until(&format!("{what} to be opened"), async || self.opened().into_iter().find(|one| condition(one)))
            .await
    }

    /// Saves a picture of the screen to `desktop` in cargo's target folder.
    pub fn picture(&self, name: &str) {
        self.screen.picture(&picture_file(name));
    }

    /// The command lines of processes that were started on it and still run.
    pub fn running(&self) -> Vec<String> {
        self.processes().into_iter().map(|(_, line)| line).collect()
    }

    /// Waits until all processes that were started on it have ended by themselves.
    pub async fn end(self) {
        until(&format!("the end of {:?}", self.running()), async || {
            self.processes().is_empty().then_some(())
        })
        .await;
    }

    /// The processes that run on it: the id and the command line of each. Two of one program, one after the other, may
    /// have the same line.
    pub fn processes(&self) -> Vec<(i32, String)> {
        let mark = format!("{MARK}={}", self.mark()).into_bytes();
        let entries = fs::read_dir("/proc").expect("Linux has it").flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let marked = pids.filter(|pid: &i32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == mark)
        });
        let line = |pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            (pid, String::from_utf8_lossy(&line).replace('\0', " "))
        };
        marked.map(line).collect()
    }

    fn mark(&self) -> String {
        self.session.dir().display().to_string()
    }

    fn programs(&self) -> PathBuf {
        self.session.dir().join("bin")
    }

    fn opened_file(&self) -> PathBuf {
        self.session.dir().join("opened")
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        for (pid, line) in self.processes() {
            eprintln!("still on the desktop: {line}");
            let ended = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::KILL));
            if let Some(Err(error)) = ended {
                eprintln!("could not end process {pid} of a test: {error}");
            }
        }
    }
}

/// The path of a saved picture.
pub fn picture_file(name: &str) -> PathBuf {
    let folder = target_dir().join("desktop");
    fs::create_dir_all(&folder).expect("a folder can be made");
    folder.join(Path::new(name).with_extension("png"))
}
