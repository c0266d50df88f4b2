//! A notification daemon that shows nothing and records everything.

use std::collections::HashMap;

use tokio::sync::watch;
use tokio::time::timeout;
use zbus::connection::Builder;
use zbus::zvariant::OwnedValue;
use zbus::{Connection, interface};

use crate::patience::PATIENCE;

const NAME: &str = "org.freedesktop.Notifications";
const PATH: &str = "/org/freedesktop/Notifications";

/// A notification from a program.
#[derive(Clone, Debug)]
pub struct Notification {
    /// The daemon's number for it.
    pub id: u32,
    /// The name of the sender.
    pub app: String,
    /// The file or name of its picture.
    pub icon: String,
    /// Its first line.
    pub summary: String,
    /// The rest of the text.
    pub body: String,
    /// The keys and labels of its buttons.
    pub actions: Vec<String>,
    /// The names and values of the hints.
    pub hints: Vec<(String, String)>,
}

/// The daemon; it leaves the bus with this.
#[derive(Debug)]
pub struct Notifications {
    shown: watch::Sender<Vec<Notification>>,
    connection: Connection,
}

impl Notifications {
    /// Starts one on the bus at `address`.
    pub async fn start(address: &str) -> Self {
        let shown = watch::channel(Vec::new()).0;
        let server = Server { shown: shown.clone() };
        let builder = Builder::address(address).and_then(|bus| bus.serve_at(PATH, server));
        let connection = builder.and_then(|bus| bus.name(NAME)).expect("the names are valid").build().await;
        Self { shown, connection: connection.expect("the bus can be connected to") }
    }

    /// Everything so far.
    pub fn all(&self) -> Vec<Notification> {
        self.shown.borrow().clone()
    }

    /// Waits for the first matching notification.
    pub async fn wait_for(&self, what: &str, condition: impl Fn(&Notification) -> bool) -> Notification {
        let mut shown = self.shown.subscribe();
        let found = shown.wait_for(|all| all.iter().any(&condition));
        let Ok(found) = timeout(PATIENCE, found).await else {
            panic!("waited {PATIENCE:?} in vain for a notification {what}; so far: {:#?}", self.all());
        };
        let found = found.expect("the sender lives here");
        found.iter().find(|one| condition(one)).cloned().expect("just seen")
    }

    /// Presses a button of a notification, as a person does.
    ///
    /// # Panics
    /// If it has no such button.
    pub async fn press(&self, notification: &Notification, action: &str) {
        assert!(notification.actions.iter().any(|known| known == action), "{notification:?}");
        let told = (notification.id, action);
        let sent = self.connection.emit_signal(None::<&str>, PATH, NAME, "ActionInvoked", &told).await;
        sent.expect("the bus takes a signal");
    }

    /// Leaves the bus.
    pub async fn end(self) {
        self.connection.close().await.expect("the connection can be closed");
    }
}

struct Server {
    shown: watch::Sender<Vec<Notification>>,
}

#[interface(name = "org.freedesktop.Notifications")]
impl Server {
    #[expect(clippy::too_many_arguments, reason = "the specification has that many")]
    fn notify(
        &self,
        app_name: String,
        replaces_id: u32,
        app_icon: String,
        summary: String,
        body: String,
        actions: Vec<String>,
        hints: HashMap<String, OwnedValue>,
        _expire_timeout: i32,
    ) -> u32 {
        let hints = hints.into_iter().map(|(name, value)| (name, format!("{value:?}"))).collect();
        let mut id = replaces_id;
        self.shown.send_modify(|all| {
            if id == 0 {
                id = u32::try_from(all.len() + 1).unwrap_or(u32::MAX);
            }
            all.push(Notification { id, app: app_name, icon: app_icon, summary, body, actions, hints });
        });
        id
    }

    fn close_notification(&self, _id: u32) {}

    fn get_capabilities(&self) -> Vec<String> {
        ["body", "actions", "persistence"].map(str::to_owned).to_vec()
    }

    fn get_server_information(&self) -> (String, String, String, String) {
        ("recorder".to_owned(), "test".to_owned(), "1".to_owned(), "1.2".to_owned())
    }
}
