//! A separate Debian system below a directory, without the tools that a developer has installed.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// A root directory with Debian's smallest system that can install packages. Programs in it see this machine's network,
/// processes and `/tmp`.
#[derive(Debug)]
pub struct Root {
    dir: TempDir,
    /// Keeps the mounts while it runs.
    holder: Option<Child>,
}

/// The package lists of this machine.
const SOURCES: [&str; 2] = ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"];

/// The trusted TLS certificates of this machine.
const AUTHORITIES: &str = "etc/ssl/certs/ca-certificates.crt";

impl Root {
    /// The Debian release for a root: that of this machine.
    ///
    /// # Errors
    /// If this is not Debian, or if this user may not make a root directory.
    pub fn debian() -> Result<String, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("a system below a directory is root's to make".to_owned());
        }
        let about = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let field = |name: &str| {
            about.lines().find_map(|line| line.strip_prefix(name)).map(|text| text.trim_matches('"'))
        };
        match (field("ID="), field("VERSION_CODENAME=")) {
            (Some("debian"), Some(codename)) => Ok(codename.to_owned()),
            _ => Err("this is no Debian".to_owned()),
        }
    }

    /// Creates a root with the Debian release of this name.
    pub fn make(codename: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let root = dir.path().join("root");
        let mut command = Command::new("mmdebstrap");
        command.args(["--quiet", "--mode=root", "--variant=apt", "--include=ca-certificates", codename]);
        command.arg(&root).args(SOURCES.iter().filter(|file| Path::new(file).is_file()));
        succeeded(&mut command);
        // This machine may trust more certificate authorities, which are in no package.
        fs::copy(Path::new("/").join(AUTHORITIES), root.join(AUTHORITIES)).expect("it can be copied");
        let mut made = Self { dir, holder: None };
        made.holder = Some(made.mount());
        succeeded(made.command("apt-get").args(["--quiet", "update"]));
        made
    }

    /// Its path on this machine.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// A program on this machine that runs its arguments in the root.
    pub fn entry(&self) -> PathBuf {
        self.dir.path().join("enter")
    }

    /// A command in the root, as the root user and without the environment of this process.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.entry());
        command.arg(program).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("DEBIAN_FRONTEND", "noninteractive").env("HOME", "/root");
        command
    }

    /// Installs packages with apt, or package files in this machine's `/tmp`, without recommended packages.
    pub fn install(&self, packages: &[&OsStr]) -> Output {
        let arguments = ["--yes", "--quiet", "--no-install-recommends", "install"];
        succeeded(self.command("apt-get").args(arguments).args(packages))
    }

    /// All files with `part` in their names, except the system's own records of installations.
    pub fn named(&self, part: &str) -> Vec<String> {
        let mut command = Command::new("find");
        command.current_dir(self.path()).args([".", "-xdev", "-iname", &format!("*{part}*")]);
        let records = ["./var/lib/dpkg/*", "./var/lib/apt/*", "./var/cache/*", "./var/log/*"];
        command.args(records.iter().flat_map(|path| ["-not", "-path", path]));
        String::from_utf8_lossy(&succeeded(&mut command).stdout).lines().map(str::to_owned).collect()
    }

    /// The mounts are in a separate namespace that ends with its process: removing the directory can never
    /// follow them.
    fn mount(&self) -> Child {
        let root = self.path().display().to_string();
        let resolver = self.path().join("etc/resolv.conf");
        if !resolver.exists() {
            fs::write(&resolver, "").expect("it can be written");
        }
        let script = format!(
            "set -e\n\
             for place in dev proc sys tmp; do mount --rbind \"/$place\" \"{root}/$place\"; done\n\
             mount --bind /etc/resolv.conf \"{root}/etc/resolv.conf\"\n\
             echo mounted\n\
             exec cat\n"
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", &script]);
        let mut holder =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("util-linux is everywhere");
        let mut line = String::new();
        let said = holder.stdout.take().expect("it is piped");
        BufReader::new(said).read_line(&mut line).expect("it can be read");
        assert_eq!(line, "mounted\n", "the root cannot be mounted");
        let script = format!(
            "#!/bin/sh\nPATH=\"$PATH:/usr/sbin:/usr/bin:/sbin:/bin\"\n\
             exec nsenter --mount=/proc/{}/ns/mnt chroot \"{root}\" \"$@\"\n",
            holder.id()
        );
        fs::write(self.entry(), script).expect("it can be written");
        fs::set_permissions(self.entry(), fs::Permissions::from_mode(0o755))
            .expect("it can be made executable");
        holder
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // The holder ends when its input ends.
        if let Some(mut holder) = self.holder.take() {
            drop(holder.stdin.take());
            holder.wait().expect("it ends");
        }
    }
}

fn succeeded(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}\n{}{}", text(&output.stdout), text(&output.stderr));
    output
}
