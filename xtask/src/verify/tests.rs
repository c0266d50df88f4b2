//! Tests with made-up releases: real packages for Linux, with a script as the command line.

use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minisign::KeyPair;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::dist::names::{ASSETS, Asset, signature_of};
use crate::dist::product;
use crate::shell::Cmd;

const VERSION: &str = "1.2.3";

/// A release in a folder, and its signing key.
struct Made {
    folder: TempDir,
    key: KeyPair,
}

/// The program in the packages: it prints a version, listens, and answers.
fn program(version: &str) -> String {
    format!(
        r#"#!/usr/bin/env python3
import http.server, sys
if sys.argv[1:] == ["--version"]:
    print("codex-proxy {version}")
    sys.exit()
class Live(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200 if self.path == "/livez" else 404)
        self.send_header("content-length", "0")
        self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", 0), Live)
print(f"listening on http://127.0.0.1:{{server.server_port}}/v1", flush=True)
server.serve_forever()
"#
    )
}

fn file(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

impl Made {
    /// Every package of the release, those for Linux with this program in them.
    fn new(program: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for asset in ASSETS.into_iter().filter(|asset| *asset != Asset::AppImage) {
            fs::write(folder.path().join(asset.name(VERSION)), format!("{asset:?}")).unwrap();
        }
        let work = tempfile::tempdir().unwrap();
        let (deb, tar) = (work.path().join("deb"), work.path().join("tar"));
        file(&deb.join("usr/bin/codex-proxy"), program);
        file(
            &deb.join("DEBIAN/control"),
            "Package: codex-proxy\nVersion: 1.2.3\nArchitecture: amd64\nMaintainer: N. N. <nn@example.org>\nDescription: x\n",
        );
        let to = |asset: Asset| folder.path().join(asset.name(VERSION));
        Cmd::new("dpkg-deb")
            .args(["--root-owner-group", "--build"])
            .arg(&deb)
            .arg(to(Asset::Deb))
            .capture()
            .unwrap();
        let name = "codex-proxy-1.2.3-x86_64-linux";
        file(&tar.join(name).join("bin/codex-proxy"), program);
        Cmd::new("tar")
            .arg("-czf")
            .arg(to(Asset::LinuxTarball))
            .arg("-C")
            .arg(&tar)
            .arg(name)
            .capture()
            .unwrap();
        // Not every machine has the tool for RPMs. The end-to-end tests check a real one.
        let made = Self { folder, key: KeyPair::generate_unencrypted_keypair().unwrap() };
        made.sign(VERSION);
        made.assemble();
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Signs like `tauri signer sign --app-version`.
    fn sign(&self, version: &str) {
        for asset in ASSETS.into_iter().filter(|asset| !asset.updater_targets().is_empty()) {
            let package = self.path(&asset.name(VERSION));
            if let Ok(bytes) = fs::read(&package) {
                let comment = format!("timestamp:1\tfile:package\tversion:{version}");
                let signature =
                    minisign::sign(None, &self.key.sk, bytes.as_slice(), Some(&comment), None).unwrap();
                fs::write(signature_of(&package), STANDARD.encode(signature.into_string())).unwrap();
            }
        }
    }

    /// Like `cargo xtask assemble`, which uses the version and changelog of this checkout.
    fn assemble(&self) {
        let manifest =
            assemble::updates(self.folder.path(), VERSION, "", &product::downloads(VERSION)).unwrap();
        fs::write(self.path(UPDATES), manifest.unwrap().to_string()).unwrap();
        self.sum();
    }

    fn sum(&self) {
        fs::write(self.path(CHECKSUMS), assemble::checksums(self.folder.path()).unwrap()).unwrap();
    }

    fn change(&self, manifest: impl FnOnce(&mut Value)) {
        let mut value: Value =
            serde_json::from_str(&fs::read_to_string(self.path(UPDATES)).unwrap()).unwrap();
        manifest(&mut value);
        fs::write(self.path(UPDATES), value.to_string()).unwrap();
        self.sum();
    }

    fn public(&self) -> String {
        STANDARD.encode(self.key.pk.to_box().unwrap().into_string())
    }

    fn updates(&self) -> Result<usize> {
        updates::verify(self.folder.path(), VERSION, &self.public())
    }
}

/// The complete text of an error.
fn said<T: std::fmt::Debug>(result: Result<T>) -> String {
    format!("{:#}", result.unwrap_err())
}

#[test]
fn a_whole_release_passes() {
    let made = Made::new(&program(VERSION));
    assert_eq!(
        checksums(made.folder.path()).unwrap().len(),
        8 + 5 + 1,
        "packages, signatures, and the updates"
    );
    assert_eq!(made.updates().unwrap(), 9);
    // All except the RPM, which is not a real one here.
    fs::remove_file(made.path(&Asset::Rpm.name(VERSION))).unwrap();
    let started = packages::verify(made.folder.path(), VERSION, false).unwrap();
    assert_eq!(started, ["codex-proxy_1.2.3_amd64.deb", "codex-proxy-1.2.3-x86_64-linux.tar.gz"]);
}

#[test]
fn what_was_changed_added_or_left_out_is_found() {
    let made = Made::new(&program(VERSION));
    let dmg = made.path(&Asset::Dmg.name(VERSION));
    fs::write(&dmg, "other").unwrap();
    assert!(said(checksums(made.folder.path())).contains("universal.dmg is not what"));
    fs::remove_file(&dmg).unwrap();
    assert!(said(checksums(made.folder.path())).contains("universal.dmg"));
    assert!(said(assemble::missing(made.folder.path(), VERSION)).contains("universal.dmg"));
    made.sum();
    fs::write(made.path("extra.exe"), "").unwrap();
    assert!(said(checksums(made.folder.path())).contains("extra.exe is not in"));
    fs::write(made.path(CHECKSUMS), format!("{}  ../elsewhere\n", "0".repeat(64))).unwrap();
    assert!(said(checksums(made.folder.path())).contains("not beside it"));
}

#[test]
fn an_update_is_signed_by_the_key_for_the_version_and_for_its_own_package() {
    let made = Made::new(&program(VERSION));
    let stranger = Made::new(&program(VERSION));
    let other = stranger.public();
    assert!(said(updates::verify(made.folder.path(), VERSION, &other)).contains("is not signed"));

    made.sign("1.2.2");
    made.assemble();
    assert!(said(made.updates()).contains("signed as 1.2.2"));
    made.sign(VERSION);
    made.assemble();

    let right = fs::read_to_string(made.path(UPDATES)).unwrap();
    let restore = || fs::write(made.path(UPDATES), &right).unwrap();
    made.change(|manifest| manifest["version"] = json!("9.9.9"));
    assert!(said(made.updates()).contains("announces \"9.9.9\""));
    restore();
    made.change(|manifest| {
        manifest["platforms"]["linux-x86_64-deb"]["url"] = json!("https://example.org/x.deb");
    });
    assert!(said(made.updates()).contains("example.org"));
    restore();
    made.change(|manifest| {
        let rpm = manifest["platforms"]["linux-x86_64-rpm"]["signature"].clone();
        manifest["platforms"]["linux-x86_64-deb"]["signature"] = rpm;
    });
    assert!(said(made.updates()).contains("is not signed for linux-x86_64-deb"));
    restore();
    made.change(|manifest| {
        manifest["platforms"].as_object_mut().unwrap().remove("darwin-aarch64");
    });
    assert!(said(made.updates()).contains("nothing for darwin-aarch64"));
    restore();
    made.change(|manifest| manifest["platforms"]["linux-riscv64"] = json!({"url": "x", "signature": "x"}));
    assert!(said(made.updates()).contains("linux-riscv64"));
    restore();
    assert_eq!(made.updates().unwrap(), 9);
}

#[test]
fn a_package_that_is_another_version_or_does_not_serve_is_found() {
    let old = Made::new(&program("1.2.2"));
    assert!(said(packages::verify(old.folder.path(), VERSION, false)).contains("codex-proxy 1.2.2"));
    let dead = Made::new("#!/bin/sh\necho codex-proxy 1.2.3\n");
    assert!(
        said(packages::verify(dead.folder.path(), VERSION, false)).contains("never said where it listens")
    );
    let sick = Made::new(&program(VERSION).replace("\"/livez\"", "\"/nothing\""));
    assert!(said(packages::verify(sick.folder.path(), VERSION, false)).contains("HTTP/1.1 404"));
}

#[test]
fn updates_without_a_key_and_a_key_without_updates_are_refused() {
    let made = Made::new(&program(VERSION));
    let options = |key: Option<PathBuf>| Options {
        folder: made.folder.path().to_owned(),
        version: Some(VERSION.to_owned()),
        key,
        install: false,
    };
    assert!(said(verify(&options(None))).contains("--update-key"));
    fs::remove_file(made.path(UPDATES)).unwrap();
    made.sum();
    assert!(said(verify(&options(Some(made.path("key"))))).contains("although there is a key"));
}
