//! The tray of a desktop: a StatusNotifier watcher and host in one.

mod watcher;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use zbus::connection::Builder;
use zbus::message::Type;
use zbus::zvariant::{DynamicType, OwnedValue, Structure, Value};
use zbus::{Connection, MatchRule, Message, MessageStream};

use self::watcher::{Item, State, Watcher, listen};
use super::menu::MenuItem;
use crate::codex_bin::workspace_dir;
use crate::patience::{PATIENCE, until};

const WATCHER: &str = "org.kde.StatusNotifierWatcher";
const WATCHER_PATH: &str = "/StatusNotifierWatcher";
const ITEM: &str = "org.kde.StatusNotifierItem";
const MENU: &str = "com.canonical.dbusmenu";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// The tray; it leaves the bus with this.
#[derive(Debug)]
pub struct Tray {
    state: watch::Sender<State>,
    connection: Connection,
    listener: JoinHandle<()>,
}

impl Tray {
    /// Starts one on the bus at `address`.
    pub async fn start(address: &str) -> Self {
        let state = watch::channel(State::default()).0;
        let watcher = Watcher { state: state.clone() };
        let builder = Builder::address(address).and_then(|bus| bus.serve_at(WATCHER_PATH, watcher));
        let connection = builder.expect("the address and the path are valid").build().await;
        let connection = connection.expect("the bus can be connected to");
        let signals = MatchRule::builder().msg_type(Type::Signal).build();
        let signals = MessageStream::for_match_rule(signals, &connection, Some(1024)).await;
        let listener = tokio::spawn(listen(signals.expect("the bus takes rules"), state.clone()));
        // Programs call as soon as the name exists. A call to an interface that is not served yet would never get an answer.
        connection.request_name(WATCHER).await.expect("the name is free");
        Self { state, connection, listener }
    }

    /// Waits until there is an item.
    pub async fn item(&self) {
        self.wait("an item in the tray", |state| !state.items.is_empty()).await;
    }

    /// Waits until there is no item.
    pub async fn empty(&self) {
        self.wait("an empty tray", |state| state.items.is_empty()).await;
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.state.borrow().items.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The present menu, as a user sees it after opening it.
    pub async fn menu(&self) -> MenuItem {
        let (item, menu) = self.menu_path().await;
        let call = async |method: &str, body: &_| self.call(&item.bus_name, &menu, MENU, method, body).await;
        // The item appears a moment before its menu.
        until("the menu to be there", async || {
            let about = Structure::from((0_i32,));
            match self.try_call(&item.bus_name, &menu, MENU, "AboutToShow", &about).await {
                Ok(_) => Some(()),
                Err(error) if error.to_string().contains("Object does not exist") => None,
                Err(error) => panic!("AboutToShow of {menu}: {error}"),
            }
        })
        .await;
        let answer = call("GetLayout", &Structure::from((0_i32, -1_i32, Vec::<String>::new()))).await;
        let body = answer.body();
        let answer: Structure<'_> = body.deserialize().expect("an answer of GetLayout");
        let Some(Value::Structure(layout)) = answer.fields().get(1) else {
            panic!("no layout of a menu: {answer:?}")
        };
        MenuItem::read(layout)
    }

    /// Waits until the menu matches.
    pub async fn wait_for_menu(&self, what: &str, condition: impl Fn(&MenuItem) -> bool) -> MenuItem {
        self.item().await;
        let mut changes = self.state.subscribe();
        let waiting = async {
            loop {
                changes.mark_unchanged();
                let menu = self.menu().await;
                if condition(&menu) {
                    return menu;
                }
                changes.changed().await.expect("the sender lives here");
            }
        };
        match timeout(PATIENCE, waiting).await {
            Ok(menu) => menu,
            Err(_) => panic!("waited {PATIENCE:?} in vain for {what} in the menu:\n{}", self.menu().await),
        }
    }

    /// Waits for a line with this text that can be chosen, and chooses it.
    pub async fn click(&self, label: &str) {
        let enabled = |menu: &MenuItem| menu.find(label).is_some_and(|item| item.enabled);
        loop {
            let menu = self.wait_for_menu(&format!("{label:?} to be chosen"), enabled).await;
            let id = menu.find(label).expect("just seen").id;
            let (item, path) = self.menu_path().await;
            let event = Structure::from((id, "clicked", Value::from(0_i32), 0_u32));
            match self.try_call(&item.bus_name, &path, MENU, "Event", &event).await {
                Ok(_) => return,
                // The menu was rebuilt meanwhile. A user would choose again.
                Err(error) if error.to_string().contains("does not refer to a menu item") => {}
                Err(error) => panic!("choosing {label:?}: {error}"),
            }
        }
    }

    /// A property of the item.
    pub async fn property(&self, name: &str) -> OwnedValue {
        let item = self.first().await;
        let answer =
            self.call(&item.bus_name, &item.path, PROPERTIES, "Get", &Structure::from((ITEM, name))).await;
        answer.body().deserialize().unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The state that the icon shows, from its picture in `icons/tray`; `None` while it changes.
    pub async fn icon(&self) -> Option<String> {
        let name = String::try_from(self.property("IconName").await).expect("a text");
        let theme = String::try_from(self.property("IconThemePath").await).unwrap_or_default();
        icon_state(&icon_file(&name, &theme)?)
    }

    /// Waits until the icon shows this state.
    pub async fn wait_for_icon(&self, state: &str) {
        self.item().await;
        let mut changes = self.state.subscribe();
        let waiting = async {
            loop {
                changes.mark_unchanged();
                if self.icon().await.as_deref() == Some(state) {
                    return;
                }
                changes.changed().await.expect("the sender lives here");
            }
        };
        if timeout(PATIENCE, waiting).await.is_err() {
            panic!("waited {PATIENCE:?} in vain for the icon {state:?}; it is {:?}", self.icon().await);
        }
    }

    /// Leaves the bus, like a crashed panel.
    pub async fn end(self) {
        self.listener.abort();
        self.connection.clone().close().await.expect("the connection can be closed");
    }

    async fn menu_path(&self) -> (Item, String) {
        let item = self.first().await;
        let path = self.property("Menu").await;
        let path = zbus::zvariant::OwnedObjectPath::try_from(path).expect("the menu's path");
        (item, path.to_string())
    }

    async fn first(&self) -> Item {
        self.item().await;
        self.state.borrow().items.first().cloned().expect("just seen")
    }

    async fn wait(&self, what: &str, condition: impl FnMut(&State) -> bool) {
        let mut state = self.state.subscribe();
        if timeout(PATIENCE, state.wait_for(condition)).await.is_err() {
            panic!("waited {PATIENCE:?} in vain for {what}");
        }
    }

    async fn call<B>(&self, bus_name: &str, path: &str, interface: &str, method: &str, body: &B) -> Message
    where
        B: serde::Serialize + DynamicType,
    {
        let answer = self.try_call(bus_name, path, interface, method, body).await;
        answer.unwrap_or_else(|error| panic!("{method} of {path}: {error}"))
    }

    async fn try_call<B>(
        &self,
        bus_name: &str,
        path: &str,
        interface: &str,
        method: &str,
        body: &B,
    ) -> zbus::Result<Message>
    where
        B: serde::Serialize + DynamicType,
    {
        let call = self.connection.call_method(Some(bus_name), path, Some(interface), method, body);
        timeout(PATIENCE, call).await.unwrap_or_else(|_| panic!("{method} was not answered"))
    }
}

impl Drop for Tray {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// The file that an item's icon is in; a name is looked up in the item's own theme folder.
fn icon_file(name: &str, theme: &str) -> Option<PathBuf> {
    let candidates =
        [PathBuf::from(name), Path::new(theme).join(name), Path::new(theme).join(format!("{name}.png"))];
    candidates.into_iter().find(|path| path.is_file())
}

/// The state of a picture in `icons/tray`, found by its pixels.
fn icon_state(file: &Path) -> Option<String> {
    static KNOWN: OnceLock<Vec<(String, PathBuf)>> = OnceLock::new();
    let known = KNOWN.get_or_init(|| {
        let folder = workspace_dir().join("icons").join("tray");
        let files = folder.read_dir().expect("icons/tray").flatten().map(|entry| entry.path());
        signatures(&files.collect::<Vec<_>>()).expect("the icons can be read")
    });
    let shown = signatures(&[file.to_owned()])?;
    let same = known.iter().find(|(signature, _)| *signature == shown[0].0);
    let (_, path) = same.unwrap_or_else(|| panic!("{} is none of the icons in icons/tray", file.display()));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let states = ["signed-out", "starting", "ready", "busy", "limited", "broken"];
    let state = states.into_iter().find(|state| name.starts_with(state));
    Some(state.unwrap_or_else(|| panic!("the icon {name} is of no state")).to_owned())
}

/// Identifies a picture by a hash of its pixels, in any file format. `None` if the file was just deleted.
fn signatures(files: &[PathBuf]) -> Option<Vec<(String, PathBuf)>> {
    let output = Command::new("identify").args(["-format", "%#\n"]).args(files).output();
    let output = output.expect("imagemagick is installed by xtask setup");
    if !output.status.success() {
        let gone = files.iter().any(|file| !file.exists());
        assert!(gone, "{files:?}: {}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    let hashes = String::from_utf8(output.stdout).expect("hexadecimal");
    Some(hashes.lines().map(str::to_owned).zip(files.iter().cloned()).collect())
}
