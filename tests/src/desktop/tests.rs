use std::collections::HashMap;
use std::process::{Command, Stdio};

use tokio::sync::mpsc;
use zbus::connection::Builder;
use zbus::zvariant::{ObjectPath, OwnedValue, Value};
use zbus::{Connection, interface};

use super::*;
use crate::codex_bin::workspace_dir;

/// A line of the menu of [`Item`], as dbusmenu sends it.
type Layout = (i32, HashMap<String, OwnedValue>, Vec<OwnedValue>);

const PATH: &str = "/the/item";

/// A tray icon like that of a program, with a counter in its menu.
struct Item {
    icon: String,
}

#[interface(name = "org.kde.StatusNotifierItem")]
impl Item {
    #[zbus(property)]
    fn icon_name(&self) -> String {
        self.icon.clone()
    }

    #[zbus(property)]
    fn icon_theme_path(&self) -> &'static str {
        ""
    }

    #[zbus(property)]
    fn menu(&self) -> ObjectPath<'static> {
        ObjectPath::try_from(PATH).unwrap()
    }
}

struct Menu {
    label: String,
    clicks: mpsc::UnboundedSender<i32>,
}

#[interface(name = "com.canonical.dbusmenu")]
impl Menu {
    fn about_to_show(&self, _id: i32) -> bool {
        false
    }

    fn get_layout(&self, _parent: i32, _depth: i32, _names: Vec<String>) -> (u32, Layout) {
        let line = |id: i32, properties: &[(&str, Value<'static>)]| {
            let properties: HashMap<String, OwnedValue> = properties
                .iter()
                .map(|(name, value)| ((*name).to_owned(), OwnedValue::try_from(value.clone()).unwrap()))
                .collect();
            OwnedValue::try_from(Value::from((id, properties, Vec::<OwnedValue>::new()))).unwrap()
        };
        let children = vec![
            line(1, &[("label", self.label.clone().into()), ("enabled", false.into())]),
            line(2, &[("type", "separator".into())]),
            line(
                3,
                &[
                    ("label", "Start at _login".into()),
                    ("toggle-type", "checkmark".into()),
                    ("toggle-state", 1.into()),
                ],
            ),
            line(4, &[("label", "Hidden".into()), ("visible", false.into())]),
        ];
        (1, (0, HashMap::new(), children))
    }

    async fn event(
        &mut self,
        id: i32,
        kind: &str,
        _data: Value<'_>,
        _time: u32,
        #[zbus(signal_emitter)] emitter: zbus::object_server::SignalEmitter<'_>,
    ) {
        assert_eq!(kind, "clicked");
        "clicked once".clone_into(&mut self.label);
        self.clicks.send(id).unwrap();
        Self::layout_updated(&emitter, 2, 0).await.unwrap();
    }

    #[zbus(signal)]
    async fn layout_updated(
        emitter: &zbus::object_server::SignalEmitter<'_>,
        revision: u32,
        parent: i32,
    ) -> zbus::Result<()>;
}

async fn item(desktop: &Desktop, state: &str) -> (Connection, mpsc::UnboundedReceiver<i32>) {
    let (clicks, clicked) = mpsc::unbounded_channel();
    let icon = workspace_dir().join(format!("icons/tray/{state}-dark-24.png")).display().to_string();
    let connection = Builder::address(desktop.session.address()).unwrap();
    let connection = connection.serve_at(PATH, Item { icon }).unwrap();
    let connection = connection.serve_at(PATH, Menu { label: "never".to_owned(), clicks }).unwrap();
    let connection = connection.build().await.unwrap();
    let watcher = "org.kde.StatusNotifierWatcher";
    connection
        .call_method(
            Some(watcher),
            "/StatusNotifierWatcher",
            Some(watcher),
            "RegisterStatusNotifierItem",
            &PATH,
        )
        .await
        .unwrap();
    (connection, clicked)
}

#[tokio::test]
async fn the_tray_sees_an_item_chooses_a_line_and_sees_what_changes() {
    let desktop = Desktop::start().await;
    let tray = desktop.tray().await;
    assert!(tray.is_empty());
    let (program, mut clicked) = item(&desktop, "limited").await;
    tray.item().await;
    assert_eq!(tray.icon().await.as_deref(), Some("limited"));
    let menu = tray.menu().await;
    assert_eq!(menu.labels(), ["never", "Start at login"]);
    assert_eq!(menu.to_string(), "never (off)\n----\n[x] Start at login\n");
    let waiting = tray.wait_for_menu("the click", |menu| menu.starting("clicked").is_some());
    let (menu, ()) = tokio::join!(waiting, tray.click("Start at login"));
    assert_eq!((menu.labels()[0], clicked.recv().await), ("clicked once", Some(3)));
    program.close().await.unwrap();
    tray.empty().await;
    desktop.end().await;
}

#[tokio::test]
async fn the_icons_of_all_states_are_told_apart() {
    let desktop = Desktop::start().await;
    let tray = desktop.tray().await;
    for state in ["signed-out", "starting", "ready", "busy", "limited", "broken"] {
        let (program, _clicked) = item(&desktop, state).await;
        tray.wait_for_icon(state).await;
        program.close().await.unwrap();
        tray.empty().await;
    }
}

#[tokio::test]
async fn what_is_copied_is_read() {
    let desktop = Desktop::start().await;
    assert_eq!(desktop.screen.clipboard_text().await, None);
    desktop.screen.copy("some text").await;
    assert_eq!(desktop.screen.clipboard_text().await.as_deref(), Some("some text"));
    assert!(desktop.screen.clipboard_types().await.contains(&"UTF8_STRING".to_owned()));
}

#[tokio::test]
async fn the_opener_and_the_daemon_note_what_they_get() {
    let desktop = Desktop::start().await;
    let notifications = desktop.notifications().await;
    let opened = Command::new("xdg-open").arg("http://127.0.0.1:1/?a=b c").envs(desktop.env()).status();
    assert!(opened.unwrap().success());
    desktop.wait_for_opened("the page", |page| page.ends_with("a=b c")).await;
    let connection = Builder::address(desktop.session.address()).unwrap().build().await.unwrap();
    let name = "org.freedesktop.Notifications";
    let hints = HashMap::from([("urgency", Value::from(2_u8))]);
    let notification = ("app", 0_u32, "", "Title", "Text", Vec::<&str>::new(), hints, 1000_i32);
    let path = "/org/freedesktop/Notifications";
    connection.call_method(Some(name), path, Some(name), "Notify", &notification).await.unwrap();
    let shown = notifications.wait_for("with a title", |one| one.summary == "Title").await;
    assert_eq!((shown.body.as_str(), shown.hints.len()), ("Text", 1));
    desktop.end().await;
}

#[tokio::test]
async fn whatever_runs_on_a_desktop_ends_with_it() {
    let desktop = Desktop::start().await;
    let display = desktop.screen.display().to_owned();
    let mut left = Command::new("cat");
    left.envs(desktop.env()).env("PATH", std::env::var_os("PATH").unwrap());
    let mut left = left.stdin(Stdio::piped()).spawn().unwrap();
    assert_eq!(desktop.running(), ["cat "]);
    drop(desktop);
    assert!(!left.wait().unwrap().success());
    let socket = format!("/tmp/.X11-unix/X{}", display.trim_start_matches(':'));
    assert!(!Path::new(&socket).exists(), "Xvfb still runs");
}
