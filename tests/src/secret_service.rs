//! A separate session bus for a test, with the real GNOME keyring, with a silent replacement for it, or without one.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use tempfile::TempDir;
use zbus::blocking::connection::Builder;
use zbus::blocking::fdo::DBusProxy;
use zbus::blocking::{Connection, MessageIterator};
use zbus::message::Type;
use zbus::names::BusName;
use zbus::zvariant::OwnedObjectPath;

const SECRETS: &str = "org.freedesktop.secrets";
const ROOT: &str = "/org/freedesktop/secrets";
const SERVICE: &str = "org.freedesktop.Secret.Service";
const PROMPTER: &str = "org.gnome.keyring.SystemPrompter";

/// A session with its own home directory. Nothing starts by itself in it.
#[derive(Debug)]
pub struct Session {
    dir: TempDir,
    bus: Child,
    address: String,
    keyring: Option<Child>,
}

impl Session {
    /// Starts an empty bus.
    pub fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        for name in ["home", "run", "config", "data", "cache"] {
            fs::create_dir(dir.path().join(name)).expect("a folder can be made");
        }
        let config = dir.path().join("bus.conf");
        fs::write(&config, bus_config(&dir.path().join("run"))).expect("a file can be written");
        let mut command = Command::new("dbus-daemon");
        command.arg("--nofork").arg("--print-address").arg("--config-file").arg(&config);
        let mut bus =
            command.stdout(Stdio::piped()).spawn().expect("dbus-daemon is installed by xtask setup");
        let mut address = String::new();
        let stdout = bus.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut address).expect("the bus says where it is");
        let address = address.trim().to_owned();
        assert!(address.starts_with("unix:"), "the bus said {address:?}");
        Self { dir, bus, address, keyring: None }
    }

    /// Starts the GNOME keyring with an unlocked default collection.
    pub fn with_keyring() -> Self {
        let mut session = Self::start();
        session.start_keyring();
        session
    }

    /// Starts the GNOME keyring with an unlocked default collection and waits until it is there.
    pub fn start_keyring(&mut self) {
        let mut command = Command::new("gnome-keyring-daemon");
        command.args(["--foreground", "--unlock", "--components=secrets"]).envs(self.env());
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let connection = self.connect();
        let bus = DBusProxy::new(&connection).expect("the bus answers");
        let mut changes = bus.receive_name_owner_changed().expect("the bus tells of names");
        let mut keyring = command.spawn().expect("gnome-keyring is installed by xtask setup");
        let mut stdin = keyring.stdin.take().expect("stdin is piped");
        stdin.write_all(b"password of a test").expect("the keyring reads its password");
        drop(stdin);
        self.keyring = Some(keyring);
        let is_there =
            || bus.name_has_owner(BusName::try_from(SECRETS).expect("a name")).expect("it answers");
        while !is_there() {
            changes.next().expect("the bus runs");
        }
        self.default_collection();
    }

    /// The address of the bus.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The environment of a program in this session.
    pub fn env(&self) -> Vec<(String, String)> {
        let at = |name: &str| self.dir.path().join(name).display().to_string();
        [
            ("DBUS_SESSION_BUS_ADDRESS", self.address.clone()),
            ("HOME", at("home")),
            ("XDG_RUNTIME_DIR", at("run")),
            ("XDG_CONFIG_HOME", at("config")),
            ("XDG_DATA_HOME", at("data")),
            ("XDG_CACHE_HOME", at("cache")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// The directory with all files of this session.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The secrets of `codex-proxy` in the keyring, as libsecret's own tool returns them.
    pub fn secrets(&self) -> Vec<String> {
        let mut command = Command::new("secret-tool");
        command.args(["search", "--all", "service", "codex-proxy"]).envs(self.env());
        let output = command.output().expect("libsecret-tools is installed by xtask setup");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().filter_map(|line| line.strip_prefix("secret = ")).map(str::to_owned).collect()
    }

    /// Locks the default collection.
    pub fn lock(&self) {
        let collections = vec![self.default_collection()];
        let connection = self.connect();
        let locked = connection.call_method(Some(SECRETS), ROOT, Some(SERVICE), "Lock", &(collections,));
        locked.expect("the keyring locks without asking");
    }

    /// A service that accepts every call to the Secret Service and never answers.
    pub fn silence(&self) -> Unanswering {
        Unanswering::on(self.connect(), SECRETS)
    }

    /// A replacement for the window that asks for passwords.
    pub fn prompter(&self) -> Unanswering {
        Unanswering::on(self.connect(), PROMPTER)
    }

    fn default_collection(&self) -> OwnedObjectPath {
        let connection = self.connect();
        let path = connection.call_method(Some(SECRETS), ROOT, Some(SERVICE), "ReadAlias", &("default",));
        let path = path.expect("the keyring answers").body().deserialize::<OwnedObjectPath>();
        let path = path.expect("the answer is a path");
        assert_ne!(path.as_str(), "/", "the keyring has a default collection");
        path
    }

    fn connect(&self) -> Connection {
        let connection = Builder::address(&*self.address).and_then(Builder::build);
        connection.expect("the bus can be connected to")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for child in self.keyring.iter_mut().chain([&mut self.bus]) {
            if let Err(error) = child.kill().and_then(|()| child.wait()) {
                eprintln!("could not end a process of a test: {error}");
            }
        }
    }
}

/// Owns a name on the bus, and records the calls to it.
#[derive(Debug)]
pub struct Unanswering {
    asked: Arc<Mutex<Vec<String>>>,
    _connection: Connection,
}

impl Unanswering {
    fn on(connection: Connection, name: &'static str) -> Self {
        let messages = MessageIterator::from(&connection);
        connection.request_name(name).expect("the name is free");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = asked.clone();
        thread::spawn(move || {
            for message in messages.flatten() {
                let header = message.header();
                if header.message_type() == Type::MethodCall {
                    let member = header.member().map(ToString::to_string).unwrap_or_default();
                    noted.lock().expect("nothing panics with it").push(member);
                }
            }
        });
        Self { asked, _connection: connection }
    }

    /// The methods that were called so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("nothing panics with it").clone()
    }
}

/// The files below `dir` that hold `text`.
pub fn files_with(dir: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a folder").flatten() {
        let (path, kind) = (entry.path(), entry.file_type().expect("it has a type"));
        if kind.is_dir() {
            found.extend(files_with(&path, text));
        } else if kind.is_file() {
            let mut content = Vec::new();
            let read = fs::File::open(&path).and_then(|mut file| file.read_to_end(&mut content));
            if read.is_ok() && content.windows(text.len()).any(|window| window == text.as_bytes()) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

fn bus_config(run: &Path) -> String {
    format!(
        r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:dir={}</listen>
  <policy context="default">
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#,
        run.display()
    )
}
