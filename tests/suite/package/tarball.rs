//! The command line for any Linux, in a root directory with nothing else in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{bundle, run, said};

/// Unpacks the archive as the root of a system. Returns where its one folder is there.
fn root(folder: &Path) -> PathBuf {
    run(Command::new("tar").args(["--extract", "--file"]).arg(bundle("tar")).arg("--directory").arg(folder));
    let mut found = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (one, none) = (found.next().unwrap(), found.next());
    assert_eq!(none, None, "the archive has one folder");
    for name in ["tmp", "proc"] {
        fs::create_dir(one.join(name)).unwrap();
    }
    one
}

#[test]
#[ignore = "`cargo xtask dist --debug --tarball` makes it, which takes a build of its own"]
fn it_runs_where_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let root = root(folder.path());
    let inside = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--root"]).arg(&root).arg("/bin/codex-proxy").args(arguments);
        command.env_clear().env("PATH", "/usr/bin").env("HOME", "/tmp").env("PORT", "0");
        command
    };
    let version = run(&mut inside(&["--version"]));
    assert!(said(&version).contains(env!("CARGO_PKG_VERSION")), "{}", said(&version));
    let settings = run(&mut inside(&["config", "--json"]));
    assert!(said(&settings).contains("/tmp/.local/share/codex-proxy"), "{}", said(&settings));
    for file in [
        "share/man/man1/codex-proxy.1.gz",
        "share/systemd/user/codex-proxy.service",
        "share/doc/codex-proxy/LICENSE",
    ] {
        assert!(root.join(file).is_file(), "{file}");
    }
    // It serves requests: it prints its address, and ends when asked.
    let mut proxy = inside(&["run"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(proxy.stdout.take().unwrap()), &mut line)
        .unwrap();
    assert!(line.contains("http://127.0.0.1:"), "{line}");
    let status = run(&mut inside(&["workers"]));
    assert!(status.status.success());
    let pid = rustix::process::Pid::from_child(&proxy);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(proxy.wait().unwrap().success());
}
