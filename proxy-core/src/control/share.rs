//! Sharing on the network: a second address, on which only the API is served, with a key of its own.
//!
//! It is off until a person turns it on. What is wanted is in a file of the data directory; the HTTP server opens
//! and closes the address ([`Sharing::doors`]).

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;

use super::ControlHandle;
use super::api::Share;
use super::keys::KeysError;
use crate::files;
use crate::secret::KeyId;

/// The file in the data directory.
const FILE: &str = "share.json";

/// The name of the key, if no other key has it.
const KEY_NAME: &str = "network";

/// The maximum time until the address is open or is not.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a person wants to share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// The address and port on which other machines call the proxy.
    pub address: SocketAddr,
    /// The only key that is accepted there.
    pub key: KeyId,
}

/// What has become of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Reached {
    /// Nothing is open, and nothing should be.
    #[default]
    Closed,
    /// This is open.
    Open(Shared),
    /// This should be open, but is not, for this reason.
    Failed(Shared, String),
}

/// Why sharing was not turned on or off.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// The address is not one of a private network.
    #[error(
        "{0} is no address of a private network, so it cannot be shared on; choose the one of your home or office network"
    )]
    NotPrivate(String),
    /// The address cannot be opened.
    #[error("{0}")]
    NotOpen(String),
    /// The key cannot be made or removed.
    #[error(transparent)]
    Key(#[from] KeysError),
    /// The file cannot be written.
    #[error("what is shared cannot be kept: {0}")]
    File(String),
}

/// The content of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    address: IpAddr,
    key: String,
}

/// Sharing. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sharing(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: PathBuf,
    port: u16,
    wanted: watch::Sender<Option<Shared>>,
    reached: watch::Sender<Reached>,
    /// Held while it is turned on or off.
    changing: Mutex<()>,
}

/// The side of the HTTP server.
#[derive(Debug)]
pub struct Doors {
    /// What should be open.
    pub wanted: watch::Receiver<Option<Shared>>,
    /// To say what is.
    pub reached: watch::Sender<Reached>,
}

impl Sharing {
    /// What the file in `data_dir` says; the proxy listens on `port`. A file that cannot be read shares nothing.
    pub fn read(data_dir: &Path, port: u16) -> Self {
        let file = data_dir.join(FILE);
        let kept = read(&file).unwrap_or_else(|error| {
            tracing::warn!(%error, "what is shared on the network cannot be read, so nothing is");
            None
        });
        let wanted = kept.filter(|kept| is_private(kept.address)).and_then(|kept| {
            Some(Shared { address: SocketAddr::new(kept.address, port), key: KeyId::parse(&kept.key).ok()? })
        });
        let (wanted, reached) = (watch::Sender::new(wanted), watch::Sender::new(Reached::default()));
        Self(Arc::new(Inner { file, port, wanted, reached, changing: Mutex::default() }))
    }

    /// What should be open, and where to say what is.
    pub fn doors(&self) -> Doors {
        Doors { wanted: self.0.wanted.subscribe(), reached: self.0.reached.clone() }
    }

    /// Opens the address, and waits until it is open.
    async fn open(&self, shared: &Shared) -> Result<(), ShareError> {
        let mut reached = self.0.reached.subscribe();
        self.0.wanted.send_replace(Some(shared.clone()));
        let settled = reached.wait_for(|reached| match reached {
            Reached::Open(open) => open == shared,
            Reached::Failed(failed, _) => failed == shared,
            Reached::Closed => false,
        });
        match timeout(PATIENCE, settled).await.ok().and_then(Result::ok).as_deref() {
            Some(Reached::Open(_)) => Ok(()),
            Some(Reached::Failed(_, reason)) => Err(ShareError::NotOpen(reason.clone())),
            Some(Reached::Closed) | None => {
                Err(ShareError::NotOpen(format!("the address {} did not open in time", shared.address)))
            }
        }
    }

    fn keep(&self, shared: &Shared) -> Result<(), ShareError> {
        let kept = Kept { address: shared.address.ip(), key: shared.key.to_string() };
        let text = serde_json::to_vec(&kept).map_err(|error| ShareError::File(error.to_string()))?;
        files::replace(&self.0.file, text, files::Target::Own)
            .map_err(|error| ShareError::File(error.to_string()))
    }

    fn forget(&self) -> Result<(), ShareError> {
        match fs::remove_file(&self.0.file) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(ShareError::File(error.to_string())),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

fn read(file: &Path) -> io::Result<Option<Kept>> {
    Ok(files::read(file)?.map(|text| serde_json::from_str(&text)).transpose()?)
}

impl ControlHandle {
    /// Whether the proxy is shared on the network.
    pub fn share(&self) -> Share {
        let sharing = &self.0.sharing.0;
        let shared = sharing.wanted.borrow().clone();
        let reached = sharing.reached.borrow().clone();
        let names = self.list_keys().keys;
        let key = shared.as_ref().map(|shared| shared.key.to_string());
        Share {
            on: matches!(&reached, Reached::Open(open) if Some(open) == shared.as_ref()),
            base_url: shared.as_ref().map(|shared| format!("http://{}/v1", shared.address)),
            key_name: names.into_iter().find(|known| Some(&known.id) == key.as_ref()).map(|known| known.name),
            key,
            problem: if let Reached::Failed(_, reason) = reached { Some(reason) } else { None },
            addresses: own_addresses().into_iter().map(|address| address.to_string()).collect(),
        }
    }

    /// Lets other machines of a private network call the API on this address, with a key that is made for them.
    ///
    /// # Errors
    /// If the address is not private or cannot be opened, or the key cannot be made. Then nothing is shared.
    pub async fn start_sharing(&self, address: &str) -> Result<Share, ShareError> {
        let sharing = &self.0.sharing;
        let _alone = sharing.0.changing.lock().await;
        let parsed = address.trim().parse().ok().filter(|address| is_private(*address));
        let address: IpAddr = parsed.ok_or_else(|| ShareError::NotPrivate(format!("'{address:.60}'")))?;
        self.withdraw().await?;
        let key = self.create_key(self.free_name()).await?;
        let id = KeyId::parse(&key.key.id).map_err(|error| ShareError::File(error.to_string()))?;
        let shared = Shared { address: SocketAddr::new(address, sharing.0.port), key: id };
        let opened = match sharing.keep(&shared) {
            Ok(()) => sharing.open(&shared).await,
            Err(error) => Err(error),
        };
        if let Err(error) = opened {
            self.withdraw().await?;
            return Err(error);
        }
        tracing::info!(address = %shared.address, key = key.key.name, "other machines of the network may call the API now");
        Ok(self.share())
    }

    /// Ends sharing, and removes its key.
    ///
    /// # Errors
    /// If the file or the key cannot be removed. The address is closed all the same.
    pub async fn stop_sharing(&self) -> Result<Share, ShareError> {
        let _alone = self.0.sharing.0.changing.lock().await;
        self.withdraw().await?;
        Ok(self.share())
    }

    async fn withdraw(&self) -> Result<(), ShareError> {
        let sharing = &self.0.sharing;
        let Some(shared) = sharing.0.wanted.send_replace(None) else { return Ok(()) };
        tracing::info!(address = %shared.address, "other machines may not call the API any more");
        sharing.forget()?;
        let id = shared.key.to_string();
        if self.list_keys().keys.iter().any(|key| key.id == id) {
            self.delete_key(id).await?;
        }
        Ok(())
    }

    /// A name that no key has.
    fn free_name(&self) -> String {
        let taken: BTreeSet<String> = self.list_keys().keys.into_iter().map(|key| key.name).collect();
        let names = (2..).map(|number| format!("{KEY_NAME}-{number}"));
        let mut names = std::iter::once(KEY_NAME.to_owned()).chain(names);
        names.find(|name| !taken.contains(name)).unwrap_or_else(|| KEY_NAME.to_owned())
    }
}

/// Whether an address belongs to a private network or to this machine, so that nobody on the internet can call it.
pub fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_private() || address.is_link_local() || address.is_loopback(),
        IpAddr::V6(address) => {
            address.is_unique_local() || address.is_unicast_link_local() || address.is_loopback()
        }
    }
}

/// The private addresses of this machine from which it reaches others. Nothing is sent to find them.
fn own_addresses() -> Vec<IpAddr> {
    let towards = [[192, 168, 255, 254], [10, 255, 255, 254], [172, 31, 255, 254]].map(Ipv4Addr::from);
    let own = towards.into_iter().filter_map(|other| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        socket.connect((other, 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    });
    let own: BTreeSet<IpAddr> =
        own.filter(|address| is_private(*address) && !address.is_loopback()).collect();
    own.into_iter().collect()
}
