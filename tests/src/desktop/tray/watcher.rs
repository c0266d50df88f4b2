//! The part of the tray where programs register their icons.

use futures_util::StreamExt;
use tokio::sync::watch;
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{MessageStream, interface};

const BUS: &str = "org.freedesktop.DBus";

/// The registered items, and a counter of changes.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) items: Vec<Item>,
    pub(super) changes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) bus_name: String,
    pub(super) path: String,
}

pub(super) struct Watcher {
    pub(super) state: watch::Sender<State>,
}

#[interface(name = "org.kde.StatusNotifierWatcher")]
impl Watcher {
    async fn register_status_notifier_item(
        &self,
        service: String,
        #[zbus(header)] header: Header<'_>,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> zbus::fdo::Result<()> {
        let sender = header.sender().map(ToString::to_string).unwrap_or_default();
        // Ayatana's library sends the path of the item, others send the name of its service.
        let path = if service.starts_with('/') { service } else { "/StatusNotifierItem".to_owned() };
        let item = Item { bus_name: sender, path };
        let reference = format!("{}{}", item.bus_name, item.path);
        self.state.send_modify(|state| {
            state.items.retain(|known| *known != item);
            state.items.push(item);
        });
        Ok(Self::status_notifier_item_registered(&emitter, &reference).await?)
    }

    fn register_status_notifier_host(&self, _service: String) {}

    #[zbus(property)]
    fn registered_status_notifier_items(&self) -> Vec<String> {
        let state = self.state.borrow();
        state.items.iter().map(|item| format!("{}{}", item.bus_name, item.path)).collect()
    }

    #[zbus(property)]
    fn is_status_notifier_host_registered(&self) -> bool {
        true
    }

    #[zbus(property)]
    fn protocol_version(&self) -> i32 {
        0
    }

    /// Notifies hosts.
    #[zbus(signal)]
    async fn status_notifier_item_registered(emitter: &SignalEmitter<'_>, service: &str) -> zbus::Result<()>;
}

/// Records every signal on the bus. Only processes of the test use this bus.
pub(super) async fn listen(mut signals: MessageStream, state: watch::Sender<State>) {
    while let Some(message) = signals.next().await {
        let Ok(message) = message else { return };
        let header = message.header();
        let gone = match header.member().map(ToString::to_string).as_deref() {
            Some("NameOwnerChanged") if header.interface().is_some_and(|name| name == BUS) => {
                let body = message.body();
                let (name, _, owner) =
                    body.deserialize::<(String, String, String)>().expect("a change of names");
                owner.is_empty().then_some(name)
            }
            _ => None,
        };
        state.send_modify(|state| {
            state.items.retain(|item| Some(&item.bus_name) != gone.as_ref());
            state.changes += 1;
        });
    }
}
