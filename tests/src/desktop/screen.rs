//! An X server without a screen, a window manager, and the visible windows.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::patience::until;

/// An X server and a window manager; both end with it.
#[derive(Debug)]
pub struct Screen {
    display: String,
    manager: Owned,
    _server: Owned,
}

/// A window that the window manager shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// X's number for it.
    pub id: String,
    /// What is written above it.
    pub title: String,
}

impl Screen {
    /// Starts both and waits until they are ready. The window manager gets the environment `env`.
    pub async fn start(env: &[(String, String)]) -> Self {
        let mut command = Command::new("Xvfb");
        command.args(["-displayfd", "1", "-screen", "0", "1280x1024x24", "-nolisten", "tcp", "-noreset"]);
        let mut server = Owned::start(command.stdout(Stdio::piped()).stderr(Stdio::null()));
        let mut display = String::new();
        let stdout = server.child.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut display).expect("Xvfb says which display it is");
        let display = format!(":{}", display.trim());
        assert_ne!(display, ":", "Xvfb did not start");
        let mut command = Command::new("openbox");
        command.envs(env.iter().cloned()).env("DISPLAY", &display).stdout(Stdio::null());
        let manager = Owned::start(command.stderr(Stdio::null()));
        let screen = Self { display, manager, _server: server };
        until("the window manager", async || screen.wmctrl(&["-m"]).filter(|said| said.contains("Openbox")))
            .await;
        screen
    }

    /// The value of `DISPLAY`.
    pub fn display(&self) -> &str {
        &self.display
    }

    /// The process of the window manager.
    pub fn manager(&self) -> u32 {
        self.manager.child.id()
    }

    /// The visible windows, oldest first.
    pub async fn windows(&self) -> Vec<Window> {
        // If a window closes while its title is read, the whole list fails.
        let list = until("a list of windows", async || self.wmctrl(&["-l"])).await;
        let window = |line: &str| {
            let mut fields = line.split_whitespace();
            let id = fields.next()?.to_owned();
            // The desktop and the machine are between a window's number and its title.
            Some(Window { id, title: fields.skip(2).collect::<Vec<_>>().join(" ") })
        };
        list.lines().filter_map(window).collect()
    }

    /// Waits for a window with this in its title.
    pub async fn window(&self, title: &str) -> Window {
        until(&format!("a window {title:?}"), async || {
            self.windows().await.into_iter().find(|window| window.title.contains(title))
        })
        .await
    }

    /// Waits until no window is visible.
    pub async fn no_window(&self) {
        until("the end of all windows", async || self.windows().await.is_empty().then_some(())).await;
    }

    /// Closes a window, like a click on its close button.
    pub fn close(&self, window: &Window) {
        self.wmctrl(&["-i", "-c", &window.id]).expect("the window manager runs");
    }

    /// Moves a window and changes its size.
    pub fn put(&self, window: &Window, [x, y, width, height]: [i32; 4]) {
        let place = format!("0,{x},{y},{width},{height}");
        self.wmctrl(&["-i", "-r", &window.id, "-e", &place]).expect("the window manager runs");
    }

    /// Where the content of a window is: its left and upper edge, its width and its height.
    pub fn place(&self, window: &Window) -> Option<[i32; 4]> {
        let shown = self.xdotool(&["getwindowgeometry", "--shell", &window.id]);
        let value = |name: &str| shown.lines().find_map(|line| line.strip_prefix(name)?.parse().ok());
        Some([value("X=")?, value("Y=")?, value("WIDTH=")?, value("HEIGHT=")?])
    }

    /// Presses keys, such as `ctrl+w`, in the window that has the keyboard.
    pub fn press(&self, keys: &str) {
        self.xdotool(&["key", keys]);
    }

    /// Waits until a window has the keyboard.
    pub async fn focus(&self, window: &Window) {
        let id =
            u64::from_str_radix(window.id.trim_start_matches("0x"), 16).expect("X's numbers are hexadecimal");
        until("the keyboard's focus", async || {
            (self.xdotool(&["getactivewindow"]).trim() == id.to_string()).then_some(())
        })
        .await;
    }

    /// Writes what is on the screen to a PNG file.
    pub fn picture(&self, file: &Path) {
        let mut command = self.command("import");
        let status = command.args(["-window", "root"]).arg(file).status().expect("imagemagick is installed");
        assert!(status.success(), "import ended with {status}");
    }

    /// The types in which the clipboard's content is offered; empty when there is none.
    pub async fn clipboard_types(&self) -> Vec<String> {
        let types = self.clipboard(&["-t", "TARGETS"]).await.unwrap_or_default();
        types.lines().map(str::to_owned).collect()
    }

    /// The text on the clipboard.
    pub async fn clipboard_text(&self) -> Option<String> {
        self.clipboard(&[]).await
    }

    /// Puts text onto the clipboard, like another program.
    pub async fn copy(&self, text: &str) {
        use tokio::io::AsyncWriteExt;
        let mut command = tokio::process::Command::from(self.command("xclip"));
        command.args(["-selection", "clipboard", "-i"]).stdin(Stdio::piped());
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("xclip is installed");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        stdin.write_all(text.as_bytes()).await.expect("xclip reads");
        drop(stdin);
        assert!(child.wait().await.expect("it can be waited for").success(), "xclip failed");
    }

    async fn clipboard(&self, arguments: &[&str]) -> Option<String> {
        let mut command = tokio::process::Command::from(self.command("xclip"));
        command
            .args(["-selection", "clipboard", "-o"])
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = command.output().await.expect("xclip is installed by xtask setup");
        // It fails if the clipboard is empty.
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn wmctrl(&self, arguments: &[&str]) -> Option<String> {
        let output =
            self.command("wmctrl").args(arguments).output().expect("wmctrl is installed by xtask setup");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn xdotool(&self, arguments: &[&str]) -> String {
        let output =
            self.command("xdotool").args(arguments).output().expect("xdotool is installed by xtask setup");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("DISPLAY", &self.display);
        command
    }
}

/// A process that ends with its owner.
#[derive(Debug)]
struct Owned {
    child: Child,
}

impl Owned {
    fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).spawn().unwrap_or_else(|error| {
            panic!("{}: {error}: run `cargo xtask setup`", command.get_program().display())
        });
        Self { child }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // A killed X server would leave its socket behind.
        let pid =
            i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process has a number");
        let asked = kill_process(pid, Signal::TERM);
        if let Err(error) = asked.map_err(Into::into).and_then(|()| self.child.wait()) {
            eprintln!("could not end a process of a test: {error}");
        }
    }
}
